//! One suite for every implementation of [`Log`]: what [`crate::log`] promises, check by check.
//!
//! # How a backend uses it
//! Its test implements [`Harness`], calls [`run`], and compares [`Report::skipped`] with what the
//! backend cannot do. A check that does not hold panics in [`run`], with every failed check named.
//!
//! # What the suite assumes
//! Only the contract: offsets may have gaps, ownership changes arrive by [`poll`](super::Member::poll), a read
//! may take its time. Nothing sleeps: waiting is polling with a deadline, [`Harness::deadline`].
//! Each check gets a log of its own without topics.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a suite of checks: it fails by panicking"
)]

mod appends;
mod atomicity;
mod compaction;
mod cuts;
mod fencing;
mod membership;
mod reading;
mod reopening;
mod replay;
mod support;
mod waiting;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use crate::log::Log;
use crate::types::{Group, Topic};

/// Whether a backend can do what a check asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Support {
    /// It can, and did.
    Done,
    /// It cannot: the check is skipped, and reported as such.
    Unsupported,
}

/// A log under test, with the handles that the contract does not have.
pub trait Harness {
    /// The log; the same one until [`Harness::reopen`].
    fn log(&self) -> Arc<dyn Log>;

    /// Closes the log and opens it again as a new process would. The check has dropped
    /// everything that it got from [`Harness::log`].
    fn reopen(&mut self) -> Support;

    /// Takes the longest-standing member out of a group as a session time-out would: the
    /// member's handle stays alive and does not know yet.
    fn evict(&self, group: &Group) -> Support;

    /// Makes the next [`crate::log::Member::commit`] end as
    /// [`crate::log::CommitError::Aborted`].
    fn abort_next_commit(&self) -> Support;

    /// Compacts now what is due. A backend that compacts when it sees fit says `Unsupported`;
    /// the checks then hold for whatever it did.
    fn compact(&self) -> Support;

    /// A topic's whole name: where a log cannot be new for every check, its names are.
    fn topic(&self, name: &str) -> Topic {
        Topic::new(name)
    }

    /// A group's whole name, likewise.
    fn group(&self, name: &str) -> Group {
        Group::new(name)
    }

    /// After how long what has not happened will not happen.
    fn deadline(&self) -> Duration {
        Duration::from_secs(60)
    }
}

/// What became of the checks.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Names of the checks that held.
    pub held: Vec<&'static str>,
    /// Names of the checks that ask for something that the backend cannot do.
    pub skipped: Vec<&'static str>,
}

/// How a check ended that did not panic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Held,
    Skipped,
}

struct Check {
    name: &'static str,
    partitions: u32,
    run: fn(&mut dyn Harness) -> Outcome,
}

/// Runs every check, each on a log that `make` makes with so many partitions.
///
/// # Panics
/// When a check does not hold; the message names all that did not, and why.
pub fn run(make: &mut dyn FnMut(u32) -> Box<dyn Harness>) -> Report {
    let mut report = Report::default();
    let mut failures = Vec::new();
    let suites = [
        appends::CHECKS,
        reading::CHECKS,
        atomicity::CHECKS,
        fencing::CHECKS,
        membership::CHECKS,
        waiting::CHECKS,
        cuts::CHECKS,
        compaction::CHECKS,
        replay::CHECKS,
        reopening::CHECKS,
    ];
    for Check {
        name,
        partitions,
        run,
    } in suites.into_iter().flatten()
    {
        let outcome = catch_unwind(AssertUnwindSafe(|| run(make(*partitions).as_mut())));
        match outcome {
            Ok(Outcome::Held) => report.held.push(*name),
            Ok(Outcome::Skipped) => report.skipped.push(*name),
            Err(panic) => {
                let why = panic.downcast_ref::<String>().map(String::as_str);
                let why = why.or_else(|| panic.downcast_ref::<&str>().copied());
                failures.push(format!("{name}: {}", why.unwrap_or("it panicked")));
            }
        }
    }
    assert!(
        failures.is_empty(),
        "the log breaks its contract:\n{}",
        failures.join("\n")
    );
    report
}
