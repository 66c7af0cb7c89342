//! What is known of a provider from how its calls went: whether it is parked, whether its circuit
//! is open, and when it was last told that it is not reached.
//!
//! Invariant: a call that did not begin because the provider is down is answered as one that was
//! not started: it uses up no attempt and moves nothing on.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sealpost_operators::gate::Answer;
use tokio::time::Instant;

use super::circuit::{self, Circuit, Pass, Rule};
use super::parking::{self, Change, Gate, Parking, Sign};
use super::{Ailment, Condition};
use crate::config::ChannelConfig;

/// How often it is told at most that the provider is not reached.
const TELL_EVERY: Duration = Duration::from_secs(10);

/// See the module.
pub(super) struct Standing {
    /// Where in the configuration the provider is set up: `channels.NAME`.
    place: String,
    /// The section there that says where the provider is.
    section: &'static str,
    began: Instant,
    known: Mutex<Known>,
}

struct Known {
    parking: Parking,
    circuit: Circuit,
    told_at: Option<Duration>,
}

impl Standing {
    /// Of a provider that nothing is known of yet, set up in `[PLACE.SECTION]`.
    pub(super) fn new(place: String, section: &'static str, settings: &ChannelConfig) -> Self {
        let rule = Rule {
            failures: settings.breaker_failures(),
            pause: Duration::from_millis(settings.breaker_pause_ms),
        };
        Self {
            place,
            section,
            began: Instant::now(),
            known: Mutex::new(Known {
                parking: Parking::default(),
                circuit: Circuit::new(rule),
                told_at: None,
            }),
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why the channel is parked, if it is.
    pub(super) fn parked(&self) -> Option<&'static str> {
        self.known().parking.reason()
    }

    /// Whether calls may go out.
    pub(super) fn condition(&self) -> Condition {
        let now = self.began.elapsed();
        let known = self.known();
        let (parked, open) = (known.parking.try_in(now), known.circuit.try_in(now));
        match (parked, open) {
            (None, None) => Condition::Well,
            (None, Some(try_in)) => Condition::Ailing(Ailment::Down, try_in),
            // nothing but a call that may pass both is worth a permit
            (Some(try_in), open) => {
                Condition::Ailing(Ailment::Misconfigured, try_in.max(open.unwrap_or_default()))
            }
        }
    }

    /// Whether a call may go out now; if not, its answer.
    pub(super) fn pass(&self) -> Result<Pass, Answer> {
        let now = self.began.elapsed();
        let mut known = self.known();
        if let Gate::Parked(reason) = known.parking.gate(now) {
            return Err(Answer::Misconfigured(reason));
        }
        match known.circuit.pass(now) {
            Pass::Held => Err(Answer::NotStarted),
            pass => Ok(pass),
        }
    }

    /// Takes from a call's answer how the provider is, and says so when that changes. Returns the
    /// answer to give.
    pub(super) fn learn(&self, answer: Answer, pass: Pass) -> Answer {
        let sign = match &answer {
            Answer::Misconfigured(reason) => Sign::Wrong(reason),
            Answer::Accepted { .. } | Answer::Refused(_) | Answer::NotAccepted { .. } => {
                Sign::Right
            }
            Answer::NoAnswer(reason) => {
                self.failed(reason, pass);
                return answer;
            }
            Answer::NotStarted => return answer,
        };
        let (parking, circuit) = {
            let mut known = self.known();
            let now = self.began.elapsed();
            (known.parking.learn(sign, now), known.circuit.answered())
        };
        let (place, section) = (&self.place, self.section);
        match parking {
            Change::Parked(reason) => tracing::error!(
                %place,
                reason,
                "the provider says that {place}.{section} is set up wrongly: it is parked, nothing is sent \
                 by it or moves on from it to another channel; mend its address, its credentials or the account, it \
                 is tried again every {} seconds",
                parking::TRY_EVERY.as_secs()
            ),
            Change::Opened => tracing::warn!(%place, "the provider of {place} is no longer parked"),
            Change::None => {}
        }
        if circuit == circuit::Change::Closed {
            tracing::warn!(%place, "the provider of {place} answers again: its circuit is closed");
        }
        answer
    }

    /// A call did not reach the provider. Returns the answer to give.
    pub(super) fn not_reached(&self, reason: &'static str, pass: Pass) -> Answer {
        if self.failed(reason, pass) == Circuitry::Open {
            return Answer::NotStarted;
        }
        let place = &self.place;
        if self.is_to_be_told() {
            tracing::warn!(
                %place,
                reason,
                "the provider of {place} is not reached: its calls are repeated, up to policy.attempts_per_channel; then their channel has failed"
            );
        }
        Answer::NotAccepted {
            reason,
            retry_after_ms: None,
        }
    }

    fn failed(&self, reason: &'static str, pass: Pass) -> Circuitry {
        let now = self.began.elapsed();
        let (change, is_open) = {
            let mut known = self.known();
            let change = known.circuit.failed(pass, now);
            (change, known.circuit.try_in(now).is_some())
        };
        let place = &self.place;
        if let circuit::Change::Opened(pause) = change {
            tracing::error!(
                %place,
                reason,
                "the provider of {place} is down: its circuit is open, nothing is sent by it, no attempt is counted \
                 and nothing moves on from it to another channel; it is tried again after {} ms, then at growing \
                 intervals. `run --drain` waits for it",
                pause.as_millis()
            );
        }
        if is_open {
            Circuitry::Open
        } else {
            Circuitry::Closed
        }
    }

    fn is_to_be_told(&self) -> bool {
        let now = self.began.elapsed();
        let mut known = self.known();
        let told = known
            .told_at
            .is_some_and(|told_at| now < told_at + TELL_EVERY);
        if !told {
            known.told_at = Some(now);
        }
        !told
    }
}

/// How the circuit is once a failure was counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Circuitry {
    Open,
    Closed,
}
