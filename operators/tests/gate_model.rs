//! Gate against a world that loses answers, among crashes, moves, repeats and replays: whatever
//! happens, the world is asked what was sent, not the program.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests"
)]

mod common;
#[path = "common/gate_world.rs"]
mod gate_world;

use gate_world::{Sabotage, World};
use proptest::prelude::*;
use sealpost_operators::gate::Doubt;

const STEPS: usize = 250;

fn doubts() -> impl Strategy<Value = Doubt> {
    prop_oneof![
        Just(Doubt::Nothing),
        Just(Doubt::Ask),
        Just(Doubt::Repeat {
            window_ms: 2_000_000
        }),
        Just(Doubt::Repeat { window_ms: 9_000 }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nobody_is_sent_anything_twice_and_everything_ends(seed: u64, doubt in doubts()) {
        let seen = World::new(seed, doubt, Sabotage::None).live(STEPS);
        prop_assert!(seen.is_ok(), "seed {seed}, {doubt:?}: {}", seen.unwrap_err());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 6_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_held_does_not_begin_and_once_released_everybody_is_sent_one(
        seed: u64, doubt in doubts(),
    ) {
        let seen = World::new(seed, doubt, Sabotage::None).with_holds().live(STEPS);
        prop_assert!(seen.is_ok(), "seed {seed}, {doubt:?}: {}", seen.unwrap_err());
    }
}

#[test]
fn runs_with_holds_come_across_what_goes_back() {
    let mut seen = gate_world::Seen::default();
    for seed in 0..200 {
        let world = World::new(seed, Doubt::Ask, Sabotage::None).with_holds();
        seen.add(world.live(STEPS).unwrap());
    }
    assert!(seen.given_back > 100 && seen.sent > 100, "{seen:?}");
}

#[test]
fn a_late_answer_is_not_taken_for_that_of_a_repeat_on_the_line() {
    let doubt = Doubt::Repeat {
        window_ms: 2_000_000,
    };
    // the step that began the first call took longer to commit than the call had
    let world = World::new(5_631_132_559_947_809_058, doubt, Sabotage::None);
    assert!(world.live(STEPS).is_ok());
}

/// Whether any of many runs of a broken protocol is found out.
fn is_found_out(doubt: Doubt, sabotage: Sabotage) -> bool {
    (0..400).any(|seed| World::new(seed, doubt, sabotage).live(STEPS).is_err())
}

#[test]
fn canary_calls_made_before_their_intent_is_committed_are_found_out() {
    assert!(is_found_out(Doubt::Ask, Sabotage::CallsBeforeCommit));
}

#[test]
fn canary_calls_started_after_their_deadline_are_found_out() {
    assert!(is_found_out(Doubt::Ask, Sabotage::StartsAfterDeadline));
}

#[test]
fn canary_a_lost_send_state_is_found_out() {
    assert!(is_found_out(Doubt::Ask, Sabotage::ForgetsState));
}

#[test]
fn canary_a_watermark_that_passes_the_unfinished_is_found_out() {
    assert!(is_found_out(
        Doubt::Nothing,
        Sabotage::CommitsWhatIsUnfinished
    ));
}

#[test]
fn canary_a_provider_that_does_not_dedupe_as_configured_is_found_out() {
    assert!(is_found_out(
        Doubt::Repeat {
            window_ms: 2_000_000
        },
        Sabotage::ProviderDoesNotDedupe
    ));
}

#[test]
fn the_runs_come_across_every_end() {
    let mut seen = gate_world::Seen::default();
    for seed in 0..200 {
        seen.add(
            World::new(seed, Doubt::Nothing, Sabotage::None)
                .live(STEPS)
                .unwrap(),
        );
        seen.add(
            World::new(seed, Doubt::Ask, Sabotage::None)
                .live(STEPS)
                .unwrap(),
        );
    }
    assert!(
        seen.sent > 100 && seen.failed > 20 && seen.unknown > 20,
        "{seen:?}"
    );
    assert!(
        seen.crashes > 100 && seen.repeated > 20 && seen.late_answers > 20,
        "{seen:?}"
    );
}

/// Seeds of the campaign over two providers; `SEALPOST_GATE_SEEDS` makes it longer.
fn seeds() -> u64 {
    #[allow(
        clippy::disallowed_methods,
        reason = "how long a campaign is, only the environment knows"
    )]
    let seeds = std::env::var("SEALPOST_GATE_SEEDS");
    seeds.map_or(4_000, |text| text.parse().unwrap())
}

const DOUBTS: [Doubt; 4] = [
    Doubt::Nothing,
    Doubt::Ask,
    Doubt::Repeat {
        window_ms: 2_000_000,
    },
    Doubt::Repeat { window_ms: 9_000 },
];

fn two(seed: u64) -> [Doubt; 2] {
    let (primary, fallback) = (seed % 4, seed / 4 % 4);
    [DOUBTS[primary as usize], DOUBTS[fallback as usize]]
}

#[test]
fn over_two_providers_nobody_is_sent_anything_twice_and_no_doubt_goes_to_the_other() {
    let mut seen = gate_world::Seen::default();
    for seed in 0..seeds() {
        match World::of_two(seed, two(seed), Sabotage::None).live(STEPS) {
            Ok(more) => seen.add(more),
            Err(wrong) => panic!("seed {seed}, {:?}: {wrong}", two(seed)),
        }
    }
    assert!(
        seen.by_fallback > 100 && seen.crossed > 100 && seen.unknown > 20,
        "{seen:?}"
    );
}

fn is_found_out_over_two(sabotage: Sabotage) -> bool {
    (0..400).any(|seed| {
        World::of_two(seed, two(seed), sabotage)
            .live(STEPS)
            .is_err()
    })
}

#[test]
fn canary_calls_that_go_to_either_provider_are_found_out() {
    assert!(is_found_out_over_two(Sabotage::CallsEitherProvider));
}

#[test]
fn canary_questions_that_go_to_either_provider_are_found_out() {
    assert!(is_found_out_over_two(Sabotage::AsksEitherProvider));
}
