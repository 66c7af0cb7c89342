//! `resolve`: an operator's word on a message in doubt.

use anyhow::Result;
use clap::ValueEnum;
use sealpost_schemas::record::{Action, Resolution, Resolve, State};
use sealpost_schemas::{Kind, Period, UserId};

use super::Answer;
use crate::books::send_states;
use crate::deployment::Deployment;
use crate::stages::user_period_key;
use crate::usage_error::Refused;

/// `resolve …`
#[derive(Debug, clap::Args, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Arguments {
    /// The month, YYYY-MM
    period: Period,
    /// Whose message
    #[arg(long)]
    user: UserId,
    /// What the provider says
    #[arg(long = "as", value_enum)]
    #[serde(rename = "as")]
    resolution: Word,
    /// Which message: bill, or correction-N
    #[arg(long, default_value_t)]
    #[serde(default)]
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
enum Word {
    /// It has the message
    Sent,
    /// It does not have it
    Failed,
}

pub(super) fn command(deployment: &Deployment, arguments: &Arguments) -> Result<Answer> {
    let (period, user_id, of) = (arguments.period, arguments.user, arguments.kind);
    let states = send_states(deployment, deployment.shard_of(user_id), period)?;
    let state = states.get(user_period_key(user_id, period).as_bytes());
    let standing = state.and_then(|state| state.kinds.iter().find(|kind| kind.kind == of));
    match standing.map(|kind| kind.state) {
        Some(State::Unknown) => {}
        Some(other) => {
            return Err(Refused(format!(
                "the {of} of user {user_id} for {period} is {}, not unknown: there is nothing to resolve",
                other.name()
            ))
            .into());
        }
        None => {
            return Err(Refused(format!(
                "user {user_id} has no send state of a {of} for {period}: there is nothing to resolve"
            ))
            .into());
        }
    }
    let resolution = if arguments.resolution == Word::Sent {
        Resolution::Sent
    } else {
        Resolution::Failed
    };
    let id = deployment.command(&|_, _| {
        Action::Resolve(Resolve {
            period,
            user_id,
            kind: of,
            resolution,
        })
    })?;
    Ok(Answer {
        json: serde_json::json!({ "period": period, "user_id": user_id, "kind": of, "command_id": id }),
        text: format!("a running pipeline takes the word on user {user_id} (command {id})"),
    })
}
