//! A circuit breaker: while a provider is down its calls are held back, instead of every message
//! finding out for itself, and one call now and then tries whether it is back.
//!
//! # How it works
//! Calls in a row that did not reach the provider, or that it did not answer, open the circuit;
//! any answer, a refusal and "not now" included, closes it. While it is open one call, the *trial*,
//! may go out after each pause. A trial that fails too doubles the pause, up to [`PAUSE_MAX`].
//!
//! Pure but for the time that it is handed.

use std::time::Duration;

/// A pause does not grow beyond this, unless it is configured to begin with more.
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// When the circuit opens, and for how long at first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rule {
    /// Calls in a row that must fail; 0: it never opens.
    pub(super) failures: u32,
    /// The first pause.
    pub(super) pause: Duration,
}

/// Whether a call may go out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pass {
    /// It may.
    Free,
    /// It may, as the one that tries.
    Trial,
    /// It may not.
    Held,
}

/// What changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// It was closed, and is open now; the first trial is after this pause.
    Opened(Duration),
    /// It was open, and is closed now.
    Closed,
    /// Nothing.
    None,
}

/// See the module. Times are since any fixed moment.
#[derive(Debug)]
pub(super) struct Circuit {
    rule: Rule,
    failed_in_row: u32,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    pause: Duration,
    try_at: Duration,
}

impl Circuit {
    /// A closed one.
    pub(super) const fn new(rule: Rule) -> Self {
        Self {
            rule,
            failed_in_row: 0,
            open: None,
        }
    }

    /// After how long the next trial is due, if the circuit is open.
    pub(super) fn try_in(&self, now: Duration) -> Option<Duration> {
        let open = self.open.as_ref()?;
        Some(open.try_at.saturating_sub(now))
    }

    /// Whether a call may go out now. A trial that nobody hears of is followed by another.
    pub(super) fn pass(&mut self, now: Duration) -> Pass {
        match &mut self.open {
            None => Pass::Free,
            Some(open) if open.try_at <= now => {
                open.try_at = now + open.pause;
                Pass::Trial
            }
            Some(_) => Pass::Held,
        }
    }

    /// A call that had this pass did not reach the provider, or got no answer.
    pub(super) fn failed(&mut self, pass: Pass, now: Duration) -> Change {
        if let Some(open) = &mut self.open {
            // calls that began before it opened say nothing new
            if pass == Pass::Trial {
                open.pause = (open.pause * 2).min(PAUSE_MAX.max(self.rule.pause));
                open.try_at = now + open.pause;
            }
            return Change::None;
        }
        self.failed_in_row = self.failed_in_row.saturating_add(1);
        if self.rule.failures == 0 || self.failed_in_row < self.rule.failures {
            return Change::None;
        }
        let pause = self.rule.pause;
        let try_at = now + pause;
        self.open = Some(Open { pause, try_at });
        Change::Opened(pause)
    }

    /// The provider answered, whatever it said.
    pub(super) fn answered(&mut self) -> Change {
        self.failed_in_row = 0;
        match self.open.take() {
            None => Change::None,
            Some(_) => Change::Closed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: Rule = Rule {
        failures: 3,
        pause: Duration::from_secs(1),
    };

    const fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn opened() -> Circuit {
        let mut circuit = Circuit::new(RULE);
        for _ in 0..2 {
            assert_eq!(circuit.failed(Pass::Free, at(0)), Change::None);
        }
        assert_eq!(circuit.failed(Pass::Free, at(0)), Change::Opened(at(1)));
        circuit
    }

    #[test]
    fn it_opens_after_failures_in_a_row_alone() {
        let mut circuit = Circuit::new(RULE);
        for _ in 0..10 {
            circuit.failed(Pass::Free, at(0));
            circuit.failed(Pass::Free, at(0));
            assert_eq!(circuit.answered(), Change::None);
        }
        assert_eq!(circuit.pass(at(0)), Pass::Free);
        assert_eq!(opened().pass(at(0)), Pass::Held);
    }

    #[test]
    fn one_call_tries_after_each_pause_and_the_pause_grows_up_to_a_bound() {
        let mut circuit = opened();
        let mut now = Duration::ZERO;
        let mut pauses = Vec::new();
        for _ in 0..9 {
            let pause = circuit.try_in(now).unwrap_or_default();
            pauses.push(pause.as_secs());
            assert_eq!(
                circuit.pass(now + pause - Duration::from_millis(1)),
                Pass::Held
            );
            now += pause;
            assert_eq!(circuit.pass(now), Pass::Trial);
            assert_eq!(circuit.pass(now), Pass::Held, "one at a time");
            assert_eq!(circuit.failed(Pass::Trial, now), Change::None);
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
    }

    #[test]
    fn calls_from_before_it_opened_put_no_trial_off() {
        let mut circuit = opened();
        assert_eq!(circuit.failed(Pass::Free, at(0)), Change::None);
        assert_eq!(circuit.try_in(at(0)), Some(at(1)));
    }

    #[test]
    fn any_answer_closes_it_and_the_count_begins_anew() {
        let mut circuit = opened();
        assert_eq!(circuit.pass(at(1)), Pass::Trial);
        assert_eq!(circuit.answered(), Change::Closed);
        assert_eq!(
            (circuit.try_in(at(1)), circuit.pass(at(1))),
            (None, Pass::Free)
        );
        assert_eq!(circuit.failed(Pass::Free, at(1)), Change::None);
    }

    #[test]
    fn a_trial_that_is_never_heard_of_is_followed_by_another() {
        let mut circuit = opened();
        assert_eq!(circuit.pass(at(1)), Pass::Trial);
        assert_eq!(circuit.pass(at(2)), Pass::Trial);
    }

    #[test]
    fn without_a_number_it_never_opens() {
        let mut circuit = Circuit::new(Rule {
            failures: 0,
            ..RULE
        });
        for _ in 0..1_000 {
            assert_eq!(circuit.failed(Pass::Free, at(0)), Change::None);
        }
    }
}
