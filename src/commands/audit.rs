//! `audit`: who gave which command, when. What a command carries of catalogues and templates is
//! told by its digest; nothing personal is in a command.

use std::fmt::Write as _;

use anyhow::Result;
use clap::Subcommand;
use sealpost_schemas::record::{Action, Command as Given};
use serde_json::{Value, json};

use super::{Answer, Scene};
use crate::deployment::Deployment;

/// `audit …`
#[derive(Debug, Clone, Copy, Subcommand)]
pub(super) enum Command {
    /// Every command on the log, oldest first
    List,
}

pub(super) fn execute(scene: &Scene, command: Command) -> Result<()> {
    match command {
        Command::List => scene.command(list),
    }
}

/// Every command on the log, oldest first.
pub(super) fn list(deployment: &Deployment) -> Result<Answer> {
    let commands = deployment.commands()?;
    let mut text = String::new();
    let json: Vec<_> = commands
        .iter()
        .map(|command| {
            let (what, details) = describe(&command.action);
            let by = command.by.as_deref().unwrap_or("not recorded");
            let _ = writeln!(
                text,
                "{} {by} {what}{} ({})",
                command.issued_at,
                told(&details),
                command.command_id
            );
            entry(command, what, details)
        })
        .collect();
    if commands.is_empty() {
        text.push_str("no command was given");
    }
    let json = Value::from(json);
    Ok(Answer { json, text })
}

fn entry(command: &Given, what: &str, details: Value) -> Value {
    json!({
        "command_id": command.command_id, "at": command.issued_at.to_string(),
        "by": command.by, "command": what, "details": details,
    })
}

/// A command's name, and what it said.
fn describe(action: &Action) -> (&'static str, Value) {
    match action {
        Action::Close(close) => (
            "close",
            json!({ "period": close.period, "catalog_digest": close.catalog_digest.to_string(),
                "template_digest": close.template_digest.to_string(),
                "not_before": close.not_before.map(|at| at.to_string()) }),
        ),
        Action::PolicySet(set) => (
            "policy set",
            json!({ "channels": set.policy.channels, "apply": set.apply,
                "attempts_per_channel": set.policy.attempts_per_channel }),
        ),
        Action::Retry(retry) => (
            "retry",
            json!({ "period": retry.period, "version": retry.version }),
        ),
        Action::Resolve(resolve) => (
            "resolve",
            json!({ "period": resolve.period, "user_id": resolve.user_id, "kind": resolve.kind,
                "as": resolve.resolution }),
        ),
        Action::Requeue(requeue) => ("dead-letters requeue", json!({ "reason": requeue.reason })),
        Action::Suppress(suppress) => (
            "suppress",
            json!({ "reason": suppress.reason, "addresses": suppress.addresses.len() }),
        ),
        Action::Unsuppress(unsuppress) => (
            "suppress remove",
            json!({ "addresses": unsuppress.addresses.len() }),
        ),
        Action::Hold(hold) => (
            "hold",
            json!({ "period": hold.period, "channel": hold.channel }),
        ),
        Action::Release(release) => (
            "release",
            json!({ "period": release.period, "channel": release.channel }),
        ),
        Action::Correct(correct) => (
            "correct",
            json!({ "period": correct.period, "kind": correct.kind, "version": correct.version,
                "template_digest": correct.template_digest.to_string() }),
        ),
        Action::Replay(replay) => ("replay", json!({ "stages": replay.stages })),
    }
}

/// Details on one line.
fn told(details: &Value) -> String {
    let fields = details.as_object().into_iter().flatten();
    fields.fold(String::new(), |mut line, (name, value)| {
        let _ = match value {
            Value::String(text) => write!(line, " {name}={text}"),
            value => write!(line, " {name}={value}"),
        };
        line
    })
}
