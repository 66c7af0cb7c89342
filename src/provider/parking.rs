//! A channel that is set up wrongly is parked: instead of every message finding out for itself,
//! one call now and then tries whether it has been set right.
//!
//! Pure but for the time that it is handed.

use std::time::Duration;

/// How often a parked channel is tried.
pub(super) const TRY_EVERY: Duration = Duration::from_secs(5);

/// Whether a call may go out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Gate {
    /// It may.
    Open,
    /// It may not, for this reason.
    Parked(&'static str),
}

/// What an answer said about how the channel is set up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sign {
    /// It is wrong, for this reason.
    Wrong(&'static str),
    /// It is right: the provider dealt with the message.
    Right,
}

/// What changed with an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// It was open, and is parked now.
    Parked(&'static str),
    /// It was parked, and is open now.
    Opened,
    /// Nothing.
    None,
}

/// See the module. Times are since any fixed moment.
#[derive(Debug, Default)]
pub(super) struct Parking {
    parked: Option<Parked>,
}

#[derive(Debug)]
struct Parked {
    reason: &'static str,
    try_at: Duration,
}

impl Parking {
    /// Why it is parked, if it is.
    pub(super) fn reason(&self) -> Option<&'static str> {
        self.parked.as_ref().map(|parked| parked.reason)
    }

    /// After how long it is tried again, if it is parked.
    pub(super) fn try_in(&self, now: Duration) -> Option<Duration> {
        let parked = self.parked.as_ref()?;
        Some(parked.try_at.saturating_sub(now))
    }

    /// Whether a call may go out now. Of a parked channel's calls, one in each [`TRY_EVERY`] may.
    pub(super) fn gate(&mut self, now: Duration) -> Gate {
        match &mut self.parked {
            None => Gate::Open,
            Some(parked) if parked.try_at <= now => {
                parked.try_at = now + TRY_EVERY;
                Gate::Open
            }
            Some(parked) => Gate::Parked(parked.reason),
        }
    }

    /// Learns from an answer.
    pub(super) fn learn(&mut self, sign: Sign, now: Duration) -> Change {
        match sign {
            Sign::Wrong(reason) => {
                let parked = Parked {
                    reason,
                    try_at: now + TRY_EVERY,
                };
                match self.parked.replace(parked) {
                    None => Change::Parked(reason),
                    Some(_) => Change::None,
                }
            }
            Sign::Right => match self.parked.take() {
                None => Change::None,
                Some(_) => Change::Opened,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_parked_channel_lets_one_call_through_now_and_then() {
        let mut parking = Parking::default();
        assert_eq!(parking.gate(at(0)), Gate::Open);
        assert_eq!(
            parking.learn(Sign::Wrong("http-401"), at(1)),
            Change::Parked("http-401")
        );
        assert_eq!(parking.gate(at(2)), Gate::Parked("http-401"));
        assert_eq!(parking.gate(at(6)), Gate::Open);
        assert_eq!(parking.gate(at(6)), Gate::Parked("http-401"));
        assert_eq!(parking.gate(at(11)), Gate::Open);
    }

    #[test]
    fn only_an_answer_that_deals_with_a_message_opens_it() {
        let mut parking = Parking::default();
        assert_eq!(parking.learn(Sign::Right, at(0)), Change::None);
        assert_eq!(
            parking.learn(Sign::Wrong("http-404"), at(0)),
            Change::Parked("http-404")
        );
        assert_eq!(parking.learn(Sign::Wrong("http-403"), at(0)), Change::None);
        assert_eq!(parking.reason(), Some("http-403"));
        assert_eq!(parking.learn(Sign::Right, at(1)), Change::Opened);
        assert_eq!((parking.reason(), parking.gate(at(1))), (None, Gate::Open));
    }
}
