//! `status`: where a period, or one user of it, stands.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use anyhow::Result;
use sealpost_schemas::record::{Action, SendState, Statement};
use sealpost_schemas::{MessageKey, Period, UserId};

use super::Answer;
use crate::books::{Books, send_states};
use crate::deployment::Deployment;
use crate::stages::user_period_key;

pub(super) fn command(
    deployment: &Deployment,
    period: Option<Period>,
    user: Option<UserId>,
) -> Result<Answer> {
    match (period, user) {
        (Some(period), Some(user)) => one_user(deployment, period, user),
        (Some(period), None) => {
            let books = Books::read(deployment, period)?;
            Ok(Answer {
                json: serde_json::to_value(&books)?,
                text: text(&books),
            })
        }
        (None, _) => {
            let closed: BTreeSet<Period> = deployment
                .commands()?
                .into_iter()
                .filter_map(|command| match command.action {
                    Action::Close(close) => Some(close.period),
                    _ => None,
                })
                .collect();
            let books: Vec<_> = closed
                .into_iter()
                .map(|period| Books::read(deployment, period))
                .collect::<Result<_>>()?;
            let all: Vec<_> = books.iter().map(text).collect();
            let all = if all.is_empty() {
                "no period has been closed".to_owned()
            } else {
                all.join("\n")
            };
            Ok(Answer {
                json: serde_json::to_value(&books)?,
                text: all,
            })
        }
    }
}

/// Hours of held messages that a person is shown; `--json` has all.
const HOURS_SHOWN: usize = 12;

/// The books as a person reads them.
pub(super) fn text(books: &Books) -> String {
    let mut text = format!("period {}, version {}\n", books.period, books.version);
    let mut line = |what: &str, amount: u64| {
        let _ = writeln!(text, "  {what:<12} {:>13}", grouped(amount.cast_signed()));
    };
    line("subscribers", books.subscribers);
    line("statements", books.statements);
    for (what, amount) in [
        ("pending", books.pending),
        ("held", books.held),
        ("sending", books.sending),
        ("sent", books.sent),
        ("failed", books.failed),
        ("unknown", books.unknown),
        ("suppressed", books.suppressed),
    ] {
        line(&format!("· {what}"), amount);
    }
    line("dead letters", books.dead_letters);
    if !books.holds.is_empty() {
        let channels: Vec<_> = books.holds.iter().map(|channel| channel.name()).collect();
        let _ = writeln!(text, "  on hold until `release`: {}", channels.join(", "));
    }
    if let Some(until) = &books.held_until {
        let _ = writeln!(text, "  the next held message goes at {until}");
    }
    for (hour, held) in books.held_by_hour.iter().take(HOURS_SHOWN) {
        let _ = writeln!(text, "  from {hour} {:>8}", grouped(held.cast_signed()));
    }
    if books.held_by_hour.len() > HOURS_SHOWN {
        let later = books.held_by_hour.values().skip(HOURS_SHOWN).sum::<u64>();
        let _ = writeln!(text, "  later {:>24}", grouped(later.cast_signed()));
    }
    let _ = writeln!(text, "  total        {:>13} won", grouped(books.total_won));
    for (channel, calls) in &books.by_channel {
        let _ = writeln!(
            text,
            "  by {channel:<6} {} sent, {} failed, {} unknown, {} open",
            grouped(calls.sent.cast_signed()),
            grouped(calls.failed.cast_signed()),
            grouped(calls.unknown.cast_signed()),
            grouped(calls.sending.cast_signed())
        );
    }
    for correction in &books.corrections {
        let _ = writeln!(
            text,
            "  {} to {} who received version {}: {} sent, {} failed, {} unknown, {} suppressed, {} held, {} on their way",
            correction.kind,
            grouped(correction.due.cast_signed()),
            correction.version,
            grouped(correction.sent.cast_signed()),
            grouped(correction.failed.cast_signed()),
            grouped(correction.unknown.cast_signed()),
            grouped(correction.suppressed.cast_signed()),
            grouped(correction.held.cast_signed()),
            grouped((correction.pending + correction.sending).cast_signed())
        );
    }
    let verdict = if books.balanced {
        "the books balance"
    } else {
        "THE BOOKS DO NOT BALANCE"
    };
    let _ = writeln!(
        text,
        "  {verdict}: statements = pending + held + sending + sent + failed + unknown + suppressed"
    );
    text
}

/// 1234567 as 1,234,567.
pub(super) fn grouped(number: i64) -> String {
    let digits = number.unsigned_abs().to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3 + 1);
    if number < 0 {
        text.push('-');
    }
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn one_user(deployment: &Deployment, period: Period, user: UserId) -> Result<Answer> {
    let shard = deployment.shard_of(user);
    let key = user_period_key(user, period);
    let mut statement: Option<Statement> = None;
    let mut decoder = deployment.values.decoder();
    deployment.scan(&deployment.topics().statements, shard, |_, of, value| {
        if of == key.as_bytes() {
            statement = Some(decoder.decode(value)?);
        }
        Ok(())
    })?;
    let state: Option<SendState> = send_states(deployment, shard, period)?.remove(key.as_bytes());
    let Some(statement) = statement else {
        let json = serde_json::json!({ "user_id": user, "period": period, "statement": null });
        let text = format!("user {user} has no statement for {period}");
        return Ok(Answer { json, text });
    };
    let lines: Vec<_> = statement
        .lines
        .iter()
        .map(|line| {
            serde_json::json!({
                "kind": line.kind, "code": line.code, "name": line.name,
                "source_period": line.source_period, "amount_won": line.amount_won,
            })
        })
        .collect();
    let kinds: Vec<_> = state
        .iter()
        .flat_map(|state| &state.kinds)
        .map(|kind| {
            let calls: Vec<_> = kind
                .calls
                .iter()
                .map(|call| {
                    serde_json::json!({
                        "version": call.version, "channel": call.channel, "outcome": call.outcome,
                        "reason": call.reason, "attempts": call.attempts,
                        "provider_message_id": call.provider_message_id,
                        "message_key": MessageKey::new(period, user, kind.kind, call.version, call.channel).to_string(),
                        "body_digest": call.body_digest.to_string(),
                        "updated_at": call.updated_at.to_string(),
                    })
                })
                .collect();
            serde_json::json!({
                "kind": kind.kind, "state": kind.state, "version": kind.version, "reason": kind.reason,
                "held_until": kind.held_until.map(|at| at.to_string()),
                "updated_at": kind.updated_at.to_string(), "calls": calls,
            })
        })
        .collect();
    let json = serde_json::json!({
        "user_id": user, "period": period, "total_won": statement.total_won,
        "invoice_key": Statement::invoice_key(period, user).to_string(),
        "statement": { "plan": statement.plan, "lines": lines,
            "catalog_digest": statement.catalog_digest.to_string(),
            "template_digest": statement.template_digest.to_string() },
        "kinds": kinds,
    });
    let mut text = format!(
        "user {user}, period {period}: {} won\n",
        grouped(statement.total_won.0)
    );
    for line in &statement.lines {
        let what = serde_json::to_value(line.kind)?;
        let _ = writeln!(
            text,
            "  {:<18} {:>10}  {}",
            what.as_str().unwrap_or_default(),
            grouped(line.amount_won.0),
            line.name.as_deref().unwrap_or_default()
        );
    }
    for kind in state.iter().flat_map(|state| &state.kinds) {
        let _ = writeln!(
            text,
            "  {} is {}, version {}{}",
            kind.kind,
            kind.state.name(),
            kind.version,
            kind.reason
                .as_ref()
                .map(|reason| format!(" ({reason})"))
                .unwrap_or_default()
        );
        for call in &kind.calls {
            let outcome = serde_json::to_value(call.outcome)?;
            let _ = writeln!(
                text,
                "    v{} {}: {} {} ({} attempts, {})",
                call.version,
                call.channel,
                outcome.as_str().unwrap_or("open"),
                call.reason.as_deref().unwrap_or_default(),
                call.attempts,
                call.updated_at
            );
        }
    }
    if state.is_none() {
        text.push_str("  bill is pending, version 0\n");
    }
    Ok(Answer { json, text })
}
