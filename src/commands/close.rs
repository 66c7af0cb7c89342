//! `close`: the command by which a period is settled.

use anyhow::Result;
use jiff::civil::Time;
use jiff::fmt::temporal::Pieces;
use jiff::tz::TimeZone;
use sealpost_operators::settle::MONTHS_KEPT;
use sealpost_schemas::record::{Action, Close};
use sealpost_schemas::{Period, Timestamp};
use sealpost_topology::types::Offset;

use super::Answer;
use crate::deployment::{Deployment, catalog};
use crate::templates;
use crate::usage_error::UsageError;

/// `close …`
#[derive(Debug, clap::Args, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Arguments {
    /// The month, YYYY-MM
    period: Period,
    /// No message of the period goes before: 2026-02-10, 2026-02-10T09:00 (in the configured
    /// zone), or with an offset
    #[arg(long, value_name = "TIME")]
    #[serde(default)]
    not_before: Option<String>,
}

pub(super) fn command(deployment: &Deployment, arguments: &Arguments) -> Result<Answer> {
    let period = arguments.period;
    let not_before = arguments
        .not_before
        .as_deref()
        .map(|text| moment(text, &deployment.config.time_zone))
        .transpose()?;
    let newest = deployment
        .commands()?
        .into_iter()
        .filter_map(|command| match command.action {
            Action::Close(close) => Some(close.period),
            _ => None,
        });
    if let Some(newest) = newest
        .max()
        .filter(|newest| period.months_until(*newest) > MONTHS_KEPT)
    {
        return Err(UsageError(format!(
            "{period} lies more than {MONTHS_KEPT} months before {newest}, which was closed: what it was settled from is no longer kept"
        ))
        .into());
    }
    let id = close(deployment, period, not_before)?;
    let not_before = not_before.map(|at| at.to_string());
    let waits = not_before
        .as_ref()
        .map(|at| format!("; nothing of it goes before {at}"))
        .unwrap_or_default();
    Ok(Answer {
        json: serde_json::json!({
            "period": period, "not_before": not_before, "command_id": id,
        }),
        text: format!("{period} closes: a running pipeline settles it{waits} (command {id})"),
    })
}

/// A time with an offset, or a date or time in the configured zone.
fn moment(text: &str, time_zone: &str) -> Result<Timestamp> {
    let refused = || {
        UsageError(format!(
            "not_before is no time: write 2026-02-10 or 2026-02-10T09:00 (in {time_zone}), or 2026-02-10T09:00:00+09:00"
        ))
    };
    let pieces = Pieces::parse(text.trim()).map_err(|_| refused())?;
    if pieces.time_zone_annotation().is_some() {
        return Err(refused().into());
    }
    let wall = pieces
        .date()
        .to_datetime(pieces.time().unwrap_or(Time::midnight()));
    let at = match pieces.to_numeric_offset() {
        Some(offset) => offset.to_timestamp(wall),
        None => TimeZone::get(time_zone).and_then(|zone| zone.to_timestamp(wall)),
    };
    at.map(|at| Timestamp(at.as_microsecond()))
        .map_err(|_| refused().into())
}

/// Writes the command. The catalogue and the templates travel with it, so that what it means
/// does not depend on any file.
pub(super) fn close(
    deployment: &Deployment,
    period: Period,
    not_before: Option<Timestamp>,
) -> Result<String> {
    let catalog = catalog(&deployment.config)?;
    let templates = templates::load(&deployment.config)?;
    let offset = |offset: Offset| offset.0.cast_signed();
    deployment.command(&|usage_end, subscribers_end| {
        Action::Close(Close {
            period,
            usage_end: offset(usage_end),
            subscribers_end: offset(subscribers_end),
            catalog_digest: catalog.digest(),
            catalog: catalog.text().to_owned(),
            template_digest: templates.digest(),
            templates: templates.sources().clone(),
            policy: deployment.config.policy(),
            time_zone: deployment.config.time_zone.clone(),
            not_before,
        })
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_time_is_read_with_its_offset_and_else_in_the_zone() {
        for (text, expected) in [
            ("2026-02-10", "2026-02-09T15:00:00Z"),
            ("2026-02-10T09:30", "2026-02-10T00:30:00Z"),
            ("2026-02-10 09:30:15", "2026-02-10T00:30:15Z"),
            ("2026-02-10T09:30:00+01:00", "2026-02-10T08:30:00Z"),
            (" 2026-02-10T09:30:00Z ", "2026-02-10T09:30:00Z"),
        ] {
            let at = moment(text, "Asia/Seoul").unwrap();
            let expected: jiff::Timestamp = expected.parse().unwrap();
            assert_eq!(at.0, expected.as_microsecond(), "{text}");
        }
        // the clocks skip this half hour: it begins where they land
        let skipped = moment("2026-03-29T02:30", "Europe/Berlin").unwrap();
        let lands: jiff::Timestamp = "2026-03-29T01:30:00Z".parse().unwrap();
        assert_eq!(skipped.0, lands.as_microsecond());
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            "tomorrow",
            "2026-02-30",
            "2026-02-10T25:00",
            "10:00",
            "2026-02-10T09:00[Asia/Seoul]",
        ] {
            assert!(moment(text, "Asia/Seoul").is_err(), "{text}");
        }
    }
}
