//! The simulator as part of the tests: kept seeds, fresh seeds, known bugs that must be caught.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::panic,
    reason = "tests"
)]

use sealpost_simulator::campaign::{Report, campaign, shrink, twice};
use sealpost_simulator::canary::Canary;
use sealpost_simulator::plan::Plan;
use sealpost_simulator::trace::Show;
use sealpost_simulator::world::run;

fn holds(seeds: impl Iterator<Item = u64>) -> Report {
    let report = campaign(seeds, None, |_| true).unwrap();
    if let Some(failure) = &report.failure {
        panic!(
            "{}\nagain: cargo run --release -p sealpost-simulator -- {} --trace",
            failure.violation,
            failure.plan.arguments()
        );
    }
    report
}

#[test]
fn a_seed_is_the_same_run_twice() {
    for seed in 0..60 {
        let [once, again] = twice(&Plan::of(seed)).unwrap();
        assert_eq!(once.digest, again.digest, "seed {seed}");
    }
}

#[test]
fn kept_seeds_hold_and_come_across_everything() {
    let report = holds(100_000..102_000);
    assert!(
        report.missed().is_empty(),
        "never seen: {:?}",
        report.missed()
    );
}

#[test]
fn fresh_seeds_hold() {
    #[allow(
        clippy::disallowed_methods,
        reason = "what is drawn from it is printed"
    )]
    let now = std::time::SystemTime::now();
    let from = now
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_micros() as u64;
    println!("fresh seeds from {from}");
    let report = holds(from..from + 1_500);
    assert_eq!(report.seeds, 1_500);
}

#[test]
fn every_known_bug_is_caught() {
    for canary in Canary::ALL {
        let report = campaign(1..4_000, Some(*canary), |_| true).unwrap();
        let name = canary.name();
        let failure = report.failure.unwrap_or_else(|| panic!("{name} lives"));
        println!("{name}: {} seeds: {}", report.seeds, failure.violation);
    }
}

#[test]
fn what_fails_is_made_small_and_still_fails() {
    let canary = Some(Canary::ForgetsSendState);
    let failure = campaign(1..4_000, canary, |_| true)
        .unwrap()
        .failure
        .unwrap();
    let small = shrink(failure.clone(), canary).unwrap();
    assert!(small.plan.faults.len() < failure.plan.faults.len());
    let ended = run(small.plan, canary, Show::Nothing).unwrap();
    assert_eq!(ended.violation, Some(small.violation));
}
