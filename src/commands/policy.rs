//! `policy`: the channel order, as data on the log.

use anyhow::Result;
use clap::{Subcommand, ValueEnum};
use sealpost_schemas::Channel;
use sealpost_schemas::record::{Action, Apply, Policy, PolicySet};

use super::{Answer, Scene};
use crate::deployment::Deployment;
use crate::usage_error::UsageError;

/// `policy …`
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// The policy in force
    Show,
    /// Set the channel order
    Set(NewPolicy),
}

/// `policy set …`
#[derive(Debug, clap::Args, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewPolicy {
    /// First to last, each at most once: email,sms,kakao,push
    #[arg(long, value_delimiter = ',', required = true)]
    channels: Vec<Channel>,
    /// Calls on one channel while its provider does not accept [default: as configured]
    #[arg(long)]
    attempts: Option<u16>,
    /// What it applies to
    #[arg(long, value_enum, default_value_t = Scope::New)]
    #[serde(default)]
    apply: Scope,
}

/// What a policy applies to.
#[derive(Debug, Clone, Copy, Default, ValueEnum, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Scope {
    /// Bills whose route begins later
    #[default]
    New,
    /// Also the next rounds of what failed
    Failed,
    /// Also everything that has not been sent
    Unsent,
}

pub(super) fn execute(scene: &Scene, command: &Command) -> Result<()> {
    scene.command(|deployment| match command {
        Command::Show => show(deployment),
        Command::Set(new) => set(deployment, new),
    })
}

/// The policy in force, and where it is from.
pub(super) fn show(deployment: &Deployment) -> Result<Answer> {
    let set = deployment
        .commands()?
        .into_iter()
        .rev()
        .find_map(|command| match command.action {
            Action::PolicySet(set) => Some((set, command.command_id, command.issued_at)),
            _ => None,
        });
    let (policy, from) = match set {
        Some((set, id, at)) => (set.policy, format!("set by command {id} at {at}")),
        None => (deployment.config.policy(), "configured".to_owned()),
    };
    let json = serde_json::json!({
        "channels": policy.channels, "attempts_per_channel": policy.attempts_per_channel, "from": from,
    });
    let text = format!(
        "{} ({} attempts each; {from})",
        names(&policy),
        policy.attempts_per_channel
    );
    Ok(Answer { json, text })
}

/// Sets the channel order.
pub(super) fn set(deployment: &Deployment, new: &NewPolicy) -> Result<Answer> {
    let policy = Policy {
        channels: new.channels.clone(),
        attempts_per_channel: new
            .attempts
            .unwrap_or(deployment.config.policy.attempts_per_channel),
    };
    let mut distinct = policy.channels.clone();
    distinct.sort_unstable();
    distinct.dedup();
    if distinct.is_empty()
        || distinct.len() != policy.channels.len()
        || policy.attempts_per_channel == 0
    {
        return Err(UsageError(
            "a policy names at least one channel, each at most once, and allows at least one attempt"
                .to_owned(),
        )
        .into());
    }
    let apply = match new.apply {
        Scope::New => Apply::New,
        Scope::Failed => Apply::Failed,
        Scope::Unsent => Apply::Unsent,
    };
    let id = deployment.command(&|_, _| {
        Action::PolicySet(PolicySet {
            policy: policy.clone(),
            apply,
        })
    })?;
    let json = serde_json::json!({ "channels": policy.channels, "apply": apply, "command_id": id });
    let text = format!("the channel order is {} (command {id})", names(&policy));
    Ok(Answer { json, text })
}

fn names(policy: &Policy) -> String {
    policy
        .channels
        .iter()
        .map(|channel| channel.name())
        .collect::<Vec<_>>()
        .join(", ")
}
