//! `hold` and `release`: an operator stops a period, or one of its channels, and lets it go on.

use std::time::{Duration, Instant};

use anyhow::Result;
use sealpost_schemas::record::{Action, Hold, Release};
use sealpost_schemas::{Channel, Period};
use serde_json::json;

use super::Answer;
use crate::books::holds_after;
use crate::deployment::Deployment;

/// How long an answer waits for running stages to take a hold up.
const TAKEN_UP_WITHIN: Duration = Duration::from_secs(2);
/// How often it looks.
const LOOK: Duration = Duration::from_millis(20);

/// `hold …`, `release …`
#[derive(Debug, clap::Args, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Arguments {
    /// The month, YYYY-MM
    period: Period,
    /// Only this channel [default: all of them]
    #[arg(long)]
    #[serde(default)]
    channel: Option<Channel>,
}

/// Nothing more of the period begins.
pub(super) fn hold(deployment: &Deployment, arguments: &Arguments) -> Result<Answer> {
    let &Arguments { period, channel } = arguments;
    let id = deployment.command(&|_, _| Action::Hold(Hold { period, channel }))?;
    let in_force = is_taken_up(deployment)?;
    let held = holds_after(&deployment.commands()?, period);
    let text = if in_force {
        format!(
            "{} is held: nothing more of it begins (command {id})",
            named(arguments)
        )
    } else {
        format!(
            "{} is held from when a `run` reads it: no running send stage has answered yet (command {id})",
            named(arguments)
        )
    };
    Ok(Answer {
        json: json!({ "period": period, "holds": held, "in_force": in_force, "command_id": id }),
        text,
    })
}

/// It goes on.
pub(super) fn release(deployment: &Deployment, arguments: &Arguments) -> Result<Answer> {
    let &Arguments { period, channel } = arguments;
    let id = deployment.command(&|_, _| Action::Release(Release { period, channel }))?;
    let held = holds_after(&deployment.commands()?, period);
    Ok(Answer {
        json: json!({ "period": period, "holds": held, "command_id": id }),
        text: format!("{} goes on (command {id})", named(arguments)),
    })
}

fn named(arguments: &Arguments) -> String {
    match arguments.channel {
        None => arguments.period.to_string(),
        Some(channel) => format!("{channel} of {}", arguments.period),
    }
}

/// Whether send has read every command that is there, in every shard: from then on nothing that
/// is held begins. Waits a moment for it.
fn is_taken_up(deployment: &Deployment) -> Result<bool> {
    let control = &deployment.topics().control;
    let group = &deployment.pipeline.send.group;
    let until = Instant::now() + TAKEN_UP_WITHIN;
    for shard in deployment.shards() {
        let end = deployment.log.bounds(control, shard)?.end;
        while deployment
            .log
            .committed(group, control, shard)?
            .unwrap_or_default()
            < end
        {
            if Instant::now() >= until {
                return Ok(false);
            }
            std::thread::sleep(LOOK);
        }
    }
    Ok(true)
}
