//! What goes wrong, how often, and for whom: drawn from a seed, the message key and which call of
//! the key it is, so that a run can be had again.

use std::fmt;
use std::str::FromStr;

/// What may happen to a call instead of a plain 200.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// Taken, and the connection closed without a word.
    Swallow,
    /// Reset in the middle of the request: not taken.
    ResetInRequest,
    /// Reset once the request was there: not taken.
    ResetAfterRequest,
    /// Taken, and reset in the middle of the answer's head.
    ResetInAnswer,
    /// Taken at once, answered only after the delay.
    Delay,
    /// Taken, and answered, only after the delay.
    Late,
    /// 429 with `Retry-After`: not taken.
    TooMany,
    /// 503: not taken.
    Unavailable,
    /// Taken, and answered with 409 as if it had been there already.
    Conflict,
    /// 500, 502 or 504; every other one of them was taken.
    Error,
    /// As `Error`, but all calls of a quarter of a second together.
    Burst,
    /// 400, 402, 410 or 422: refused.
    Refuse,
    /// 401, 403 or 404: the caller is set up wrongly.
    Misconfigured,
    /// Taken, answered with 200 and a body that is no JSON.
    Garbage,
    /// Taken, answered with 200 and a body that comes drop by drop, past any time-out.
    DripBody,
    /// Taken, answered with a head that comes drop by drop, past any time-out.
    DripHead,
    /// Taken, answered with 200 and a body without an end.
    Endless,
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 17] = [
        Self::Swallow,
        Self::ResetInRequest,
        Self::ResetAfterRequest,
        Self::ResetInAnswer,
        Self::Delay,
        Self::Late,
        Self::TooMany,
        Self::Unavailable,
        Self::Conflict,
        Self::Error,
        Self::Burst,
        Self::Refuse,
        Self::Misconfigured,
        Self::Garbage,
        Self::DripBody,
        Self::DripHead,
        Self::Endless,
    ];

    /// The name on the command line and in the ledger.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Swallow => "swallow",
            Self::ResetInRequest => "reset-in-request",
            Self::ResetAfterRequest => "reset-after-request",
            Self::ResetInAnswer => "reset-in-answer",
            Self::Delay => "delay",
            Self::Late => "late",
            Self::TooMany => "too-many",
            Self::Unavailable => "unavailable",
            Self::Conflict => "conflict",
            Self::Error => "error",
            Self::Burst => "burst",
            Self::Refuse => "refuse",
            Self::Misconfigured => "misconfigured",
            Self::Garbage => "garbage",
            Self::DripBody => "drip-body",
            Self::DripHead => "drip-head",
            Self::Endless => "endless",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The share of each fault, such as `swallow=0.1,reset-in-request=0.05`; the rest goes well.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Faults {
    shares: Vec<(Fault, f64)>,
}

/// Why faults cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FaultsError(String);

impl fmt::Display for FaultsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for FaultsError {}

impl FromStr for Faults {
    type Err = FaultsError;

    fn from_str(text: &str) -> Result<Self, FaultsError> {
        let mut shares: Vec<(Fault, f64)> = Vec::new();
        for part in text
            .split(',')
            .map(str::trim)
            .filter(|part| !part.is_empty())
        {
            let wrong = || FaultsError(format!("{part}: expected FAULT=SHARE, each fault once"));
            let (name, share) = part.split_once('=').ok_or_else(wrong)?;
            let fault = Fault::ALL
                .into_iter()
                .find(|fault| fault.name() == name)
                .ok_or_else(|| FaultsError(format!("{name} is no fault")))?;
            let share: f64 = share.parse().map_err(|_| wrong())?;
            if !(0.0..=1.0).contains(&share) || shares.iter().any(|(known, _)| *known == fault) {
                return Err(wrong());
            }
            shares.push((fault, share));
        }
        let together: f64 = shares.iter().map(|(_, share)| share).sum();
        if together > 1.0 + 1e-9 {
            return Err(FaultsError(format!(
                "all shares together are {together}, above 1"
            )));
        }
        Ok(Self { shares })
    }
}

impl Faults {
    /// Draws what happens to the `nth` call of a key, counted from 1, in a quarter of a second
    /// counted from the start.
    #[must_use]
    pub fn draw(&self, seed: u64, key: &str, nth: u64, quarter: u64) -> Option<Fault> {
        let burst = self.share(Fault::Burst);
        if burst > 0.0 && share_of(seed, "burst", quarter) < burst {
            return Some(Fault::Burst);
        }
        let mut drawn = share_of(seed, key, nth);
        for (fault, share) in self
            .shares
            .iter()
            .filter(|(fault, _)| *fault != Fault::Burst)
        {
            if drawn < *share {
                return Some(*fault);
            }
            drawn -= share;
        }
        None
    }

    fn share(&self, wanted: Fault) -> f64 {
        self.shares
            .iter()
            .find(|(fault, _)| *fault == wanted)
            .map_or(0.0, |(_, share)| *share)
    }
}

/// 64 bits drawn from a seed, a text and a number.
#[must_use]
pub fn draw(seed: u64, text: &str, nth: u64) -> u64 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&seed.to_le_bytes());
    hasher.update(&nth.to_le_bytes());
    hasher.update(text.as_bytes());
    let mut bytes = [0_u8; 8];
    hasher.finalize_xof().fill(&mut bytes);
    u64::from_le_bytes(bytes)
}

/// A share from 0 to below 1.
fn share_of(seed: u64, text: &str, nth: u64) -> f64 {
    (draw(seed, text, nth) >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn shares_are_drawn_as_often_as_they_say_and_the_same_again() {
        let faults: Faults = "swallow=0.2,refuse=0.1".parse().unwrap();
        let drawn = |seed| {
            (0..10_000)
                .map(|key| faults.draw(seed, &format!("k{key}"), 1, 0))
                .collect::<Vec<_>>()
        };
        let first = drawn(1);
        let count = |fault| first.iter().filter(|drawn| **drawn == fault).count();
        assert!((1_800..2_200).contains(&count(Some(Fault::Swallow))));
        assert!((850..1_150).contains(&count(Some(Fault::Refuse))));
        assert_eq!(first, drawn(1));
        assert_ne!(first, drawn(2));
    }

    #[test]
    fn a_burst_strikes_all_calls_of_its_time() {
        let faults: Faults = "burst=0.3".parse().unwrap();
        let struck = |key: &str| -> Vec<u64> {
            (0..200)
                .filter(|quarter| faults.draw(1, key, 1, *quarter).is_some())
                .collect()
        };
        assert!((30..90).contains(&struck("a").len()));
        assert_eq!(struck("a"), struck("b"));
    }

    #[test]
    fn what_is_no_share_is_refused() {
        for wrong in [
            "x=0.1",
            "swallow",
            "swallow=2",
            "swallow=0.6,refuse=0.6",
            "late=0,late=0",
        ] {
            assert!(wrong.parse::<Faults>().is_err(), "{wrong}");
        }
        assert_eq!("".parse::<Faults>().unwrap(), Faults::default());
    }
}
