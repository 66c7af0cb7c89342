//! Which call a message key is of: of those that have not ended with the message taken. A receipt
//! carries a key, and a key does not say whose it is.
//!
//! # Invariants
//! - A call's intent is on the log before the call is made, so whoever reads the send state up to
//!   its end after a receipt came finds every call that the receipt can be about.
//! - What is kept are open, unknown and failed calls, never those that were sent: a few of a
//!   hundred, however many users there are.

use std::collections::HashMap;
use std::time::Instant;

use anyhow::Result;
use sealpost_operators::gate::CallId;
use sealpost_schemas::MessageKey;
use sealpost_schemas::codec::Decoder;
use sealpost_schemas::record::{Outcome, Rank, SendState};
use sealpost_topology::types::Offset;

use crate::deployment::Deployment;

/// Where a call stands that is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It may be on the line, or waits for a repeat.
    Open,
    /// The provider may or may not have taken it.
    Unknown,
    /// Its channel failed.
    Failed,
}

/// A call that is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Call {
    /// Which one.
    pub id: CallId,
    /// Where it stands.
    pub standing: Standing,
    /// Whom its last intent names.
    pub provider: Rank,
}

/// See the module.
pub struct Index {
    deployment: Deployment,
    decoder: Decoder<SendState>,
    /// Where reading goes on, by shard.
    positions: Vec<Offset>,
    calls: HashMap<MessageKey, Call>,
    /// When it last began to read up to the end.
    read_at: Option<Instant>,
}

impl Index {
    /// An index that has read nothing yet.
    #[must_use]
    pub fn new(deployment: Deployment) -> Self {
        Self {
            decoder: deployment.values.decoder(),
            positions: deployment.shards().map(|_| Offset(0)).collect(),
            calls: HashMap::new(),
            read_at: None,
            deployment,
        }
    }

    /// The call of a key, as of this moment or later.
    ///
    /// # Errors
    /// When the log failed, or a send state cannot be read.
    pub(super) fn find(&mut self, key: MessageKey, asked_at: Instant) -> Result<Option<Call>> {
        // whoever waited for another's reading need not read again
        if self.read_at.is_none_or(|read_at| read_at < asked_at) {
            let began = Instant::now();
            self.read_on()?;
            self.read_at = Some(began);
        }
        Ok(self.get(key))
    }

    /// The call of a key, as far as was read.
    #[must_use]
    pub fn get(&self, key: MessageKey) -> Option<Call> {
        self.calls.get(&key).copied()
    }

    /// Reads what came since, up to the end.
    ///
    /// # Errors
    /// When the log failed, or a send state cannot be read.
    pub fn read_on(&mut self) -> Result<()> {
        let topic = self.deployment.topics().send_state.clone();
        for (shard, position) in self.deployment.shards().zip(&mut self.positions) {
            let end = self.deployment.log.bounds(&topic, shard)?.end;
            while *position < end
                && let Some(batch) = self.deployment.log.read(&topic, shard, *position)?
            {
                for record in batch.iter().filter(|record| record.offset >= *position) {
                    if let Some(value) = record.value {
                        note(&mut self.calls, &self.decoder.decode(value)?);
                    }
                }
                *position = batch.next_offset();
            }
        }
        Ok(())
    }
}

fn note(calls: &mut HashMap<MessageKey, Call>, state: &SendState) {
    for kind in &state.kinds {
        for call in &kind.calls {
            let id = CallId {
                user_id: state.user_id,
                period: state.period,
                kind: kind.kind,
                version: call.version,
                channel: call.channel,
            };
            let standing = match call.outcome {
                None => Standing::Open,
                Some(Outcome::Unknown) => Standing::Unknown,
                Some(Outcome::Failed) => Standing::Failed,
                Some(Outcome::Sent) => {
                    calls.remove(&id.message_key());
                    continue;
                }
            };
            let provider = call.provider;
            let known = Call {
                id,
                standing,
                provider,
            };
            calls.insert(id.message_key(), known);
        }
    }
}
