//! What is made of a receipt, by where its call stands: no log, no clock.

use sealpost_operators::gate::{CallId, RECEIPT, RECEIPT_OF_FALLBACK};
use sealpost_schemas::Timestamp;
use sealpost_schemas::record::{Delivery, Outcome, Rank};
use serde::Deserialize;

use super::index::{Call, Standing};
use crate::provider::Section;

/// What the provider says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// It has taken the message.
    Sent,
    /// The message has arrived: the same here.
    Delivered,
    /// It has not, and never will.
    Failed,
}

/// What is done about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// This is written where the gate reads it.
    Settles(CallId, Outcome),
    /// Nothing: it is settled, or none of ours.
    NothingToSettle,
    /// Nothing: the call failed, and stays so.
    Contradicts,
    /// It has to come again: the call's own answer, or the question by key, comes first.
    Undecided,
}

/// Decides, given the call of the key; a channel's receipts speak for that channel alone.
#[must_use]
pub fn judge(found: Option<Call>, of: Section, status: Status) -> Verdict {
    let Some(call) = found.filter(|call| call.id.channel == of.channel) else {
        return Verdict::NothingToSettle;
    };
    // that one provider did not take it says nothing of the other
    if status == Status::Failed && call.provider != of.rank {
        return Verdict::NothingToSettle;
    }
    let Call { id, standing, .. } = call;
    match (standing, status) {
        (Standing::Unknown | Standing::Open, Status::Sent | Status::Delivered) => {
            Verdict::Settles(id, Outcome::Sent)
        }
        (Standing::Unknown, Status::Failed) => Verdict::Settles(id, Outcome::Failed),
        (Standing::Open, Status::Failed) => Verdict::Undecided,
        (Standing::Failed, Status::Failed) => Verdict::NothingToSettle,
        (Standing::Failed, Status::Sent | Status::Delivered) => Verdict::Contradicts,
    }
}

/// What the gate reads. No call of the key can have been made since it was decided: an unknown one
/// is called no more, and for an open one only that it was taken is written.
#[must_use]
pub fn record(
    id: CallId,
    of: Rank,
    outcome: Outcome,
    provider_message_id: Option<String>,
    now: Timestamp,
) -> Delivery {
    let reason = match of {
        Rank::Primary => RECEIPT,
        Rank::Fallback => RECEIPT_OF_FALLBACK,
    };
    Delivery {
        user_id: id.user_id,
        period: id.period,
        kind: id.kind,
        version: id.version,
        channel: id.channel,
        message_key: id.message_key(),
        outcome,
        reason: Some(reason.to_owned()),
        attempts: 0,
        provider_message_id,
        updated_at: now,
    }
}
