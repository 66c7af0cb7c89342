//! Opening destinations, and telling one bad destination from a wrong key ring.
//!
//! Invariants:
//! - A destination that does not open fails its own message and nothing else, once any
//!   destination of its purpose has opened here.
//! - While none ever has, and those of [`STRANGERS_MAX`] users did not open for a reason that can
//!   lie with the key ring, the ring is taken to be the wrong one: every message that does not
//!   open is held back, none moves to another channel, and the process is told to stop.
//! - A value that is damaged or was sealed for something else says nothing about the ring.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use sealpost_operators::gate::Answer;
use sealpost_schemas::key_ring::{KeyRing, SealError};
use sealpost_schemas::sealed::{Plaintext, Purpose};
use sealpost_schemas::{Channel, Sealed, UserId};

/// Users whose destinations may fail to open before the ring is suspected.
const STRANGERS_MAX: usize = 3;

/// What is known of one purpose.
#[derive(Default)]
struct Standing {
    opened: AtomicBool,
    strangers: Mutex<Vec<UserId>>,
}

/// See the module.
pub(super) struct Opening {
    ring: Arc<KeyRing>,
    standings: [Standing; Channel::ALL.len()],
    fatal: Mutex<Option<String>>,
}

impl Opening {
    pub(super) fn new(ring: Arc<KeyRing>) -> Self {
        Self {
            ring,
            standings: Default::default(),
            fatal: Mutex::new(None),
        }
    }

    /// Why this process must stop, if it must.
    pub(super) fn fatal(&self) -> Option<String> {
        self.fatal
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Opens a destination.
    pub(super) fn open(
        &self,
        channel: Channel,
        user: UserId,
        sealed: &Sealed,
    ) -> Result<Plaintext, SealError> {
        let opened = self.ring.open(Purpose::destination(channel), user, sealed);
        if opened.is_ok()
            && let Some(standing) = self.standings.get(channel.index())
            && !standing.opened.load(Ordering::Relaxed)
        {
            standing.opened.store(true, Ordering::Relaxed);
            standing
                .strangers
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clear();
        }
        opened
    }

    /// What to answer for those of a batch that did not open. Asked after the whole batch was
    /// tried, so that a wrong ring is recognised before the first of them is answered.
    pub(super) fn judge(&self, channel: Channel, failures: &[(UserId, SealError)]) -> Answer {
        const UNREADABLE: Answer = Answer::Refused("destination-unreadable");
        let Some(standing) = self.standings.get(channel.index()) else {
            return UNREADABLE;
        };
        if standing.opened.load(Ordering::Relaxed) {
            return UNREADABLE;
        }
        let mut strangers = standing
            .strangers
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        for (user, error) in failures {
            if strangers.len() < STRANGERS_MAX
                && blames_the_ring(error)
                && !strangers.contains(user)
            {
                strangers.push(*user);
            }
        }
        if strangers.len() < STRANGERS_MAX {
            return UNREADABLE;
        }
        let reason = failures
            .iter()
            .map(|(_, error)| error)
            .find(|error| blames_the_ring(error));
        let mut fatal = self.fatal.lock().unwrap_or_else(PoisonError::into_inner);
        if fatal.is_none() {
            let purpose = Purpose::destination(channel).name();
            let reason = reason.map(ToString::to_string).unwrap_or_default();
            *fatal = Some(format!(
                "send: no `{purpose}` could be opened, so nothing was sent ({reason}); this is not the key ring \
                 that they were sealed with: name that one in keys.file, and start again"
            ));
        }
        Answer::Misconfigured("wrong key ring")
    }
}

/// Whether another key ring might have opened the value.
const fn blames_the_ring(error: &SealError) -> bool {
    match error {
        SealError::NoKey { .. }
        | SealError::UnknownKey { .. }
        | SealError::OtherKeyPurpose { .. }
        | SealError::NotAuthentic { .. } => true,
        SealError::Truncated { .. }
        | SealError::Reserved
        | SealError::UnknownFormat { .. }
        | SealError::OtherPurpose { .. }
        | SealError::Refused { .. } => false,
    }
}
