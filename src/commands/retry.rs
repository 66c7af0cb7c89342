//! `retry`: the next round of a period.

use anyhow::Result;
use sealpost_schemas::record::{Action, Command, Retry};
use sealpost_schemas::{Period, Version};
use sealpost_topology::types::Offset;

use super::Answer;
use crate::books::Books;
use crate::deployment::{Deployment, readable};
use crate::suppressions;
use crate::usage_error::Refused;

pub(super) fn command(deployment: &Deployment, period: Period) -> Result<Answer> {
    let refused = |why: String| Err(Refused(why).into());
    let books = Books::read(deployment, period)?;
    if books.statements == 0 {
        return refused(format!("{period} has no statements: close it first"));
    }
    let follow_ups = &books.corrections;
    let running = books.pending
        + books.sending
        + follow_ups
            .iter()
            .map(|it| it.pending + it.sending)
            .sum::<u64>();
    if running > 0 {
        return refused(format!(
            "a round of {period} is running, with {running} on their way: wait until `status {period}` shows none"
        ));
    }
    if is_on_its_way(deployment, period, books.version)? {
        return refused(format!(
            "version {} of {period} has begun and is on its way: let `run` take it up and wait until it is through",
            books.version
        ));
    }
    let failed = books.failed + follow_ups.iter().map(|it| it.failed).sum::<u64>();
    let suppressed = books.suppressed + follow_ups.iter().map(|it| it.suppressed).sum::<u64>();
    let released = match suppressed {
        0 => 0,
        _ => suppressions::released(deployment, period)?,
    };
    if failed + released == 0 {
        let waits = if suppressed > 0 {
            "; what is suppressed waits for `suppress remove`"
        } else {
            ""
        };
        return Ok(Answer {
            json: serde_json::json!({ "period": period, "version": books.version, "failed": 0 }),
            text: format!("nothing of {period} is failed: there is nothing to retry{waits}"),
        });
    }
    let version = books.version.next();
    let policy = deployment.config.policy();
    let id = deployment.command(&|_, _| {
        Action::Retry(Retry {
            period,
            version,
            policy: policy.clone(),
        })
    })?;
    let json = serde_json::json!({
        "period": period, "version": version, "failed": failed, "released": released,
        "command_id": id,
    });
    let text = format!(
        "version {version} of {period} begins: {} are sent again (command {id})",
        failed + released
    );
    Ok(Answer { json, text })
}

/// Whether a round was begun that the books do not show yet: its command is not taken up, or a
/// message of the period waits for its turn.
fn is_on_its_way(deployment: &Deployment, period: Period, version: Version) -> Result<bool> {
    if version == Version::default() {
        // what the first round has in hand is `pending`
        return Ok(false);
    }
    let (pipeline, topics) = (&deployment.pipeline, deployment.topics());
    let suffix = format!("/{period}");
    let mut decoder = deployment.values.decoder();
    for shard in deployment.shards() {
        let mut begun_at = None;
        deployment.scan(&topics.control, shard, |offset, _, value| {
            if let Some(Command {
                action: Action::Retry(retry),
                ..
            }) = readable(decoder.decode(value))?
                && (retry.period, retry.version) == (period, version)
            {
                begun_at = Some(offset);
            }
            Ok(())
        })?;
        let committed = |group, topic| -> Result<Offset> {
            Ok(deployment
                .log
                .committed(group, topic, shard)?
                .unwrap_or_default())
        };
        let render = committed(&pipeline.render.group, &topics.control)?;
        if begun_at.is_some_and(|begun| begun >= render) {
            return Ok(true);
        }
        let mut at = committed(&pipeline.send.group, &topics.dispatches)?;
        while let Some(batch) = deployment.log.read(&topics.dispatches, shard, at)? {
            let waits = |key: &[u8]| key.ends_with(suffix.as_bytes());
            if batch
                .iter()
                .any(|record| record.offset >= at && waits(record.key))
            {
                return Ok(true);
            }
            at = batch.next_offset();
        }
    }
    Ok(false)
}
