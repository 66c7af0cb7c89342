//! What is known of the provider of one channel, from how its calls went: whether the channel is
//! parked, and when it was last told that the provider is not reached.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sealpost_operators::gate::Answer;
use sealpost_schemas::Channel;
use tokio::time::Instant;

use super::parking::{self, Change, Gate, Parking, Sign};

/// How often it is told at most that the provider is not reached.
const TELL_EVERY: Duration = Duration::from_secs(10);

/// See the module.
pub(super) struct Standing {
    channel: Channel,
    /// The section of the channel that says where the provider is.
    section: &'static str,
    began: Instant,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    parking: Parking,
    told_at: Option<Duration>,
}

impl Standing {
    /// Of a provider that nothing is known of yet, set up in `[channels.NAME.SECTION]`.
    pub(super) fn new(channel: Channel, section: &'static str) -> Self {
        Self {
            channel,
            section,
            began: Instant::now(),
            known: Mutex::default(),
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why the channel is parked, if it is.
    pub(super) fn parked(&self) -> Option<&'static str> {
        self.known().parking.reason()
    }

    /// Whether a call may go out now.
    pub(super) fn gate(&self) -> Gate {
        self.known().parking.gate(self.began.elapsed())
    }

    /// Takes from an answer how the channel is set up, and says so when that changes.
    pub(super) fn learn(&self, answer: &Answer) {
        let sign = match answer {
            Answer::Misconfigured(reason) => Sign::Wrong(reason),
            Answer::Accepted { .. } | Answer::Refused(_) | Answer::NotAccepted { .. } => {
                Sign::Right
            }
            Answer::NoAnswer(_) | Answer::NotStarted => Sign::None,
        };
        let change = self.known().parking.learn(sign, self.began.elapsed());
        let (channel, section) = (self.channel, self.section);
        match change {
            Change::Parked(reason) => tracing::error!(
                %channel,
                reason,
                "the provider says that channels.{channel}.{section} is set up wrongly: the channel is parked, nothing \
                 is sent on it or moves on from it; mend its address, its credentials or the account, it is tried again \
                 every {} seconds",
                parking::TRY_EVERY.as_secs()
            ),
            Change::Opened => tracing::warn!(%channel, "the channel is no longer parked"),
            Change::None => {}
        }
    }

    /// Says that the provider is not reached, now and then.
    pub(super) fn not_reached(&self, reason: &'static str) {
        let now = self.began.elapsed();
        {
            let mut known = self.known();
            if known
                .told_at
                .is_some_and(|told_at| now < told_at + TELL_EVERY)
            {
                return;
            }
            known.told_at = Some(now);
        }
        let channel = self.channel;
        tracing::warn!(
            %channel,
            reason,
            "the provider is not reached: its calls are repeated, up to policy.attempts_per_channel; then their channel has failed"
        );
    }
}
