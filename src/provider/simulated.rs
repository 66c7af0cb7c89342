//! A provider inside this process: it takes its time, refuses some, and writes down in its
//! [ledger](super::ledger) what it was asked and what it took.
//!
//! Invariants:
//! - It does not collapse repeats: called twice with one key, it takes the message twice. What
//!   keeps a user from two bills is the pipeline, and the ledger shows whether it did.
//! - Whether it refuses, and at which share of its latency it decides, is drawn from the message
//!   key: a replay draws the same.
//! - A call is in the ledger before it counts as begun, and an acceptance before it is answered;
//!   with a latency, acceptance and answer lie apart, so that a kill can fall between them.
//! - Of a message it keeps the id and the key. Address and text are dropped when the call begins.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sealpost_operators::gate::{Answer, CallId, Doubt, Word};
use sealpost_schemas::MessageKey;
use tokio::runtime::Handle;
use tokio::time::{Instant, sleep_until};

use super::ledger::{Event, Index, Ledger, Lines};
use super::{Message, Provider, Reply, WallClock};
use crate::config::ChannelConfig;

/// At how many different shares of the latency calls are decided. Each batch is written once for
/// each that occurs in it.
const MOMENTS: u32 = 8;

/// How a simulated provider behaves.
#[derive(Debug, Clone, Copy)]
pub struct Temper {
    /// How long an answer takes.
    pub latency: Duration,
    /// Share of keys that are refused, 0 to 1.
    pub failure_rate: f64,
    /// What can be done about a call in doubt.
    pub doubt: Doubt,
}

impl Temper {
    /// As a channel is configured.
    #[must_use]
    pub const fn of(settings: &ChannelConfig) -> Self {
        Self {
            latency: Duration::from_millis(settings.latency_ms),
            failure_rate: settings.failure_rate,
            doubt: if settings.can_be_asked {
                Doubt::Ask
            } else {
                Doubt::Nothing
            },
        }
    }

    /// What becomes of a key.
    fn fate(&self, key: MessageKey) -> Event {
        // the upper 53 bits, as a share of 1; the moment is drawn from the lower bits
        let drawn = (key.draw() >> 11) as f64 / (1_u64 << 53) as f64;
        if drawn < self.failure_rate {
            Event::Refused
        } else {
            Event::Accepted
        }
    }
}

/// At which share of the latency a key is decided on: from 1/16 to 15/16.
fn moment(key: MessageKey) -> u32 {
    // below MOMENTS, which is a power of two
    (key.draw() & u64::from(MOMENTS - 1)) as u32
}

/// What is kept of a call.
#[derive(Clone, Copy)]
struct Call {
    id: CallId,
    key: MessageKey,
}

/// See the module.
pub struct Simulated {
    desk: Arc<Desk>,
    temper: Temper,
    runtime: Handle,
}

/// What calls on the line share.
struct Desk {
    ledger: Ledger,
    index: Mutex<Index>,
    clock: WallClock,
}

impl Simulated {
    /// A provider that writes to `ledger`, waits on `runtime`, and dates its lines by `clock`.
    #[must_use]
    pub fn new(ledger: Ledger, temper: Temper, runtime: Handle, clock: WallClock) -> Self {
        let index = Mutex::new(ledger.index());
        Self {
            desk: Arc::new(Desk {
                ledger,
                index,
                clock,
            }),
            temper,
            runtime,
        }
    }
}

impl Desk {
    /// Decides on calls, writes that down, and says what to answer.
    fn decide(
        &self,
        calls: &[Call],
        temper: &Temper,
        lines: Option<Lines>,
    ) -> Vec<(CallId, Answer)> {
        let mut lines = lines.unwrap_or_else(|| Lines::new(calls.len(), (self.clock)()));
        let fates: Vec<_> = calls
            .iter()
            .map(|call| (call, temper.fate(call.key)))
            .collect();
        for (call, fate) in &fates {
            lines.push(*fate, &call.id, call.key);
        }
        let written = self.ledger.append(&lines);
        if let Err(error) = &written {
            tracing::error!(channel = %self.ledger.channel(), %error, "the simulated provider's ledger cannot be written");
        }
        let answer = |(call, fate): &(&Call, Event)| {
            let answer = match (&written, fate) {
                // how far the lines got is not known, and so neither is what was taken
                (Err(_), _) => Answer::NoAnswer("ledger-unwritable"),
                (Ok(()), Event::Refused) => Answer::Refused("simulated"),
                (Ok(()), _) => Answer::Accepted {
                    provider_message_id: Some(message_id(call.key)),
                },
            };
            (call.id, answer)
        };
        fates.iter().map(answer).collect()
    }

    /// Looks keys up in what the ledgers say by now.
    fn look_up(&self, ids: Vec<CallId>) -> Vec<(CallId, Word)> {
        let mut index = self.index.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = index.refresh() {
            tracing::warn!(channel = %self.ledger.channel(), %error, "the simulated provider's ledger cannot be read");
            return ids.into_iter().map(|id| (id, Word::Unclear)).collect();
        }
        let word = |id: CallId| {
            let key = id.message_key();
            match index.accepted(key) {
                true => (
                    id,
                    Word::Taken {
                        provider_message_id: Some(message_id(key)),
                    },
                ),
                false => (id, Word::NotTaken),
            }
        };
        ids.into_iter().map(word).collect()
    }
}

impl Provider for Simulated {
    fn name(&self) -> &'static str {
        "simulated"
    }

    fn doubt(&self) -> Doubt {
        self.temper.doubt
    }

    fn call(&self, messages: Vec<Message>, reply: Arc<Reply<Answer>>) {
        // here the messages end, and their addresses are wiped
        let calls: Vec<_> = messages
            .into_iter()
            .map(|message| Call {
                id: message.id,
                key: message.message_key,
            })
            .collect();
        let mut lines = Lines::new(calls.len().saturating_mul(2), (self.desk.clock)());
        for call in &calls {
            lines.push(Event::Call, &call.id, call.key);
        }
        if self.temper.latency.is_zero() {
            reply.answer(self.desk.decide(&calls, &self.temper, Some(lines)));
            return;
        }
        if let Err(error) = self.desk.ledger.append(&lines) {
            tracing::error!(channel = %self.desk.ledger.channel(), %error, "the simulated provider's ledger cannot be written");
            let busy = Answer::NotAccepted {
                reason: "ledger-unwritable",
                retry_after_ms: None,
            };
            reply.answer(calls.iter().map(|call| (call.id, busy.clone())).collect());
            return;
        }
        // one task for the batch: a timer for each moment that occurs, and one for the answers
        let (desk, temper) = (Arc::clone(&self.desk), self.temper);
        let began = Instant::now();
        self.runtime.spawn(async move {
            let mut answers = Vec::with_capacity(calls.len());
            for nth in 0..MOMENTS {
                let due: Vec<_> = calls
                    .iter()
                    .copied()
                    .filter(|call| moment(call.key) == nth)
                    .collect();
                if !due.is_empty() {
                    sleep_until(began + temper.latency * (2 * nth + 1) / (2 * MOMENTS)).await;
                    answers.extend(desk.decide(&due, &temper, None));
                }
            }
            sleep_until(began + temper.latency).await;
            reply.answer(answers);
        });
    }

    fn ask(&self, ids: Vec<CallId>, reply: Arc<Reply<Word>>) {
        // the first question reads the whole ledger: not on a worker's thread
        let desk = Arc::clone(&self.desk);
        self.runtime
            .spawn_blocking(move || reply.answer(desk.look_up(ids)));
    }
}

/// What this provider calls a message: the same for every repeat of a key.
fn message_id(key: MessageKey) -> String {
    format!("sim-{:016x}", key.draw())
}

#[cfg(test)]
mod tests;
