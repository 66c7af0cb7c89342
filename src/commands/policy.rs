//! `policy`: the channel order, as data on the log.

use anyhow::Result;
use clap::{Subcommand, ValueEnum};
use sealpost_schemas::Channel;
use sealpost_schemas::record::{Action, Apply, Policy, PolicySet};

use super::Scene;
use crate::deployment::Deployment;
use crate::host::Role;
use crate::usage_error::UsageError;

/// `policy …`
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// The policy in force
    Show,
    /// Set the channel order
    Set {
        /// First to last, each at most once: email,sms,kakao,push
        #[arg(long, value_delimiter = ',', required = true)]
        channels: Vec<Channel>,
        /// Calls on one channel while its provider does not accept [default: as configured]
        #[arg(long)]
        attempts: Option<u16>,
        /// What it applies to
        #[arg(long, value_enum, default_value_t = Scope::New)]
        apply: Scope,
    },
}

/// What a policy applies to.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum Scope {
    /// Bills whose route begins later
    New,
    /// Also the next rounds of what failed
    Failed,
    /// Also everything that has not been sent
    Unsent,
}

pub(super) fn execute(scene: &Scene, command: &Command) -> Result<()> {
    let deployment = Deployment::open(scene.config.clone(), &scene.data_dir, Role::Command)?;
    match command {
        Command::Show => {
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
                None => (scene.config.policy(), "configured".to_owned()),
            };
            let json = serde_json::json!({
                "channels": policy.channels, "attempts_per_channel": policy.attempts_per_channel, "from": from,
            });
            scene.answer(
                &json,
                &format!(
                    "{} ({} attempts each; {from})",
                    names(&policy),
                    policy.attempts_per_channel
                ),
            )
        }
        Command::Set {
            channels,
            attempts,
            apply,
        } => {
            let policy = Policy {
                channels: channels.clone(),
                attempts_per_channel: attempts.unwrap_or(scene.config.policy.attempts_per_channel),
            };
            let mut distinct = policy.channels.clone();
            distinct.sort_unstable();
            distinct.dedup();
            if distinct.len() != policy.channels.len() || policy.attempts_per_channel == 0 {
                return Err(UsageError(
                    "a policy names each channel at most once and allows at least one attempt"
                        .to_owned(),
                )
                .into());
            }
            let apply = match apply {
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
            scene.answer(
                &json,
                &format!("the channel order is {} (command {id})", names(&policy)),
            )
        }
    }
}

fn names(policy: &Policy) -> String {
    policy
        .channels
        .iter()
        .map(|channel| channel.name())
        .collect::<Vec<_>>()
        .join(", ")
}
