//! What the provider knows and decides, apart from any connection.

use std::collections::HashMap;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::fault::{Fault, Faults, draw};
use crate::ledger::{Event, Ledger, Line, digest};

/// What a provider does with a second call of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Repeats {
    /// It takes the message again.
    #[default]
    Taken,
    /// It takes it once, and answers as before.
    Collapsed,
}

/// How a provider behaves.
#[derive(Debug, Clone)]
pub struct Behaviour {
    /// What faults are drawn from.
    pub seed: u64,
    /// What goes wrong with calls.
    pub faults: Faults,
    /// The share of questions by key that are answered with 500.
    pub status_faults: f64,
    /// What is done with a second call of a key.
    pub repeats: Repeats,
    /// How long a delayed or late call takes.
    pub delay: Duration,
    /// `Retry-After`, in seconds.
    pub retry_after_seconds: u64,
    /// How long every other answer takes.
    pub latency: Duration,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            seed: 1,
            faults: Faults::default(),
            status_faults: 0.0,
            repeats: Repeats::Taken,
            delay: Duration::from_secs(1),
            retry_after_seconds: 1,
            latency: Duration::ZERO,
        }
    }
}

#[derive(Default)]
struct Known {
    calls: u64,
    questions: u64,
    accepted: bool,
}

/// See the module.
pub struct Service {
    /// How it behaves.
    pub behaviour: Behaviour,
    ledger: Ledger,
    known: Mutex<HashMap<String, Known>>,
    began: Instant,
}

/// A call, as it was read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Called {
    /// The message key.
    pub key: String,
    /// The channel.
    pub channel: String,
    /// The digest of the address.
    pub address: String,
}

impl Called {
    /// Reads a call's body; its key must be the one in the header.
    #[must_use]
    pub fn read(key: &str, body: &[u8]) -> Option<Self> {
        #[derive(serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Fields<'a> {
            message_key: &'a str,
            channel: &'a str,
            to: String,
            #[serde(rename = "subject")]
            _subject: Option<String>,
            #[serde(rename = "body")]
            _body: String,
            #[serde(rename = "html")]
            _html: Option<String>,
        }
        let fields: Fields<'_> = serde_json::from_slice(body).ok()?;
        (fields.message_key == key && !key.is_empty()).then(|| Self {
            key: key.to_owned(),
            channel: fields.channel.to_owned(),
            address: digest(&fields.to),
        })
    }
}

impl Service {
    /// A provider that writes to a ledger. It forgets what it took when it ends; the ledger
    /// does not.
    #[must_use]
    pub fn new(behaviour: Behaviour, ledger: Ledger) -> Self {
        Self {
            behaviour,
            ledger,
            known: Mutex::default(),
            began: Instant::now(),
        }
    }

    fn known(&self) -> MutexGuard<'_, HashMap<String, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What will happen to the next call of a key, and which call of it that is.
    pub fn draw(&self, key: &str) -> (Option<Fault>, u64) {
        let nth = {
            let mut known = self.known();
            let known = known.entry(key.to_owned()).or_default();
            known.calls += 1;
            known.calls
        };
        let quarter = u64::try_from(self.began.elapsed().as_millis() / 250).unwrap_or(u64::MAX);
        let Behaviour { seed, faults, .. } = &self.behaviour;
        (faults.draw(*seed, key, nth, quarter), nth)
    }

    /// One of several variants of what happens to a call.
    #[must_use]
    pub fn variant(&self, key: &str, nth: u64, of: u64) -> u64 {
        draw(self.behaviour.seed.wrapping_add(1), key, nth) % of.max(1)
    }

    /// Writes down a call and what will be answered.
    ///
    /// # Errors
    /// When the ledger cannot be written.
    pub fn called(&self, call: &Called, answer: &str) -> io::Result<()> {
        let Called {
            key,
            channel,
            address,
        } = call;
        self.ledger
            .write(&Line::now(Event::Call, key, channel, address, answer))
    }

    /// Takes a message, and writes that down.
    ///
    /// # Errors
    /// When the ledger cannot be written.
    pub fn accept(&self, call: &Called) -> io::Result<()> {
        let Called {
            key,
            channel,
            address,
        } = call;
        // one lock over both: a question must not be answered before the line is there
        let mut known = self.known();
        let known = known.entry(key.clone()).or_default();
        let event = if known.accepted && self.behaviour.repeats == Repeats::Collapsed {
            Event::Collapsed
        } else {
            Event::Accepted
        };
        self.ledger
            .write(&Line::now(event, key, channel, address, ""))?;
        known.accepted = true;
        Ok(())
    }

    /// The status with which a question by key is answered.
    ///
    /// # Errors
    /// When the ledger cannot be written.
    pub fn asked(&self, key: &str) -> io::Result<u16> {
        let mut all = self.known();
        // also of a key that was never called: each question is drawn anew
        let known = all.entry(key.to_owned()).or_default();
        known.questions += 1;
        let (nth, accepted) = (known.questions, known.accepted);
        let drawn = draw(self.behaviour.seed.wrapping_add(2), key, nth) >> 11;
        let status = match accepted {
            _ if (drawn as f64 / (1_u64 << 53) as f64) < self.behaviour.status_faults => 500,
            true => 200,
            false => 404,
        };
        self.ledger
            .write(&Line::now(Event::Asked, key, "", "", &status.to_string()))?;
        Ok(status)
    }
}
