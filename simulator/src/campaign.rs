//! Many seeds: run, counted, and where one fails, made small.

use std::collections::BTreeMap;

use anyhow::Result;

use crate::canary::Canary;
use crate::marks::Mark;
use crate::plan::Plan;
use crate::trace::Show;
use crate::world::{Ended, run};

/// A plan that breaks a promise.
#[derive(Debug, Clone)]
pub struct Failure {
    /// The plan.
    pub plan: Plan,
    /// The promise.
    pub violation: String,
}

/// What a campaign came to.
#[derive(Debug, Default)]
pub struct Report {
    /// Seeds that were run.
    pub seeds: u64,
    /// What they came across, in how many runs.
    pub marks: BTreeMap<Mark, u64>,
    /// The first that failed.
    pub failure: Option<Failure>,
}

impl Report {
    /// States that no run came across.
    #[must_use]
    pub fn missed(&self) -> Vec<&'static str> {
        Mark::ALL
            .iter()
            .filter(|mark| !self.marks.contains_key(mark))
            .map(|mark| mark.name())
            .collect()
    }
}

/// Runs seeds until one fails or `go_on` says that it is enough.
///
/// # Errors
/// When the simulator itself fails.
pub fn campaign(
    seeds: impl Iterator<Item = u64>,
    canary: Option<Canary>,
    mut go_on: impl FnMut(&Report) -> bool,
) -> Result<Report> {
    let mut report = Report::default();
    for seed in seeds {
        if !go_on(&report) {
            break;
        }
        let mut plan = Plan::of(seed);
        if let Some(canary) = canary {
            canary.provoke(&mut plan);
        }
        let ended = run(plan.clone(), canary, Show::Nothing)?;
        report.seeds += 1;
        for mark in ended.marks.keys() {
            *report.marks.entry(*mark).or_default() += 1;
        }
        if let Some(violation) = ended.violation {
            report.failure = Some(Failure { plan, violation });
            break;
        }
    }
    Ok(report)
}

/// Runs a plan twice.
///
/// # Errors
/// When the simulator itself fails.
pub fn twice(plan: &Plan) -> Result<[Ended; 2]> {
    Ok([
        run(plan.clone(), None, Show::Nothing)?,
        run(plan.clone(), None, Show::Nothing)?,
    ])
}

/// Makes a failing plan smaller for as long as it breaks some promise: faults go first, then
/// processes, periods, users and moments.
///
/// # Errors
/// When the simulator itself fails.
pub fn shrink(failure: Failure, canary: Option<Canary>) -> Result<Failure> {
    let mut smallest = failure;
    loop {
        let mut smaller = None;
        for candidate in candidates(&smallest.plan) {
            if let Some(violation) = run(candidate.clone(), canary, Show::Nothing)?.violation {
                smaller = Some(Failure {
                    plan: candidate,
                    violation,
                });
                break;
            }
        }
        match smaller {
            Some(smaller) => smallest = smaller,
            None => return Ok(smallest),
        }
    }
}

fn candidates(plan: &Plan) -> Vec<Plan> {
    let mut candidates = Vec::new();
    let mut add = |change: &dyn Fn(&mut Plan)| {
        let mut candidate = plan.clone();
        change(&mut candidate);
        if candidate != *plan {
            candidates.push(candidate);
        }
    };
    for fault in plan.faults.clone() {
        add(&|plan| {
            plan.faults.remove(&fault);
        });
    }
    add(&|plan| plan.moments /= 2);
    add(&|plan| plan.users = (plan.users / 2).max(1));
    add(&|plan| plan.users = (plan.users - 1).max(1));
    add(&|plan| plan.periods = (plan.periods - 1).max(1));
    add(&|plan| plan.processes = (plan.processes - 1).max(1));
    add(&|plan| plan.workers = 1);
    add(&|plan| plan.partitions = 1);
    add(&|plan| plan.moments -= plan.moments / 8);
    candidates
}
