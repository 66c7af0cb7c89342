#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests"
)]

use std::sync::atomic::{AtomicU64, Ordering};

use super::*;

#[derive(Default)]
struct Nobody;

impl Post for Nobody {
    fn post(&self, _: Vec<(Shard, Completion)>) {}
}

/// A clock that stands until it is moved.
#[derive(Clone, Default)]
struct Hands(Arc<AtomicU64>);

impl Hands {
    fn clock(&self) -> Monotonic {
        let us = Arc::clone(&self.0);
        Monotonic::new(move || Duration::from_micros(us.load(Ordering::Relaxed)))
    }

    fn forward(&self, by: Duration) {
        self.0
            .fetch_add(u64::try_from(by.as_micros()).unwrap(), Ordering::Relaxed);
    }

    fn us(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

struct Bench {
    hands: Hands,
    flow: Flow<u64>,
    post: Arc<dyn Post>,
}

fn bench(in_flight_max: usize, rate_per_second: Option<u32>) -> Bench {
    bench_within(Duration::from_secs(2), in_flight_max, rate_per_second)
}

fn bench_within(
    start_within: Duration,
    in_flight_max: usize,
    rate_per_second: Option<u32>,
) -> Bench {
    let hands = Hands::default();
    let limits = Limits {
        in_flight_max,
        rate_per_second: rate_per_second.and_then(NonZeroU32::new),
        start_within,
    };
    // not at zero: the limiter's state begins there
    hands.forward(Duration::from_secs(100));
    Bench {
        flow: Flow::new(limits, hands.clock()),
        hands,
        post: Arc::new(Nobody),
    }
}

impl Bench {
    fn ask(&mut self, shard: u32, permits: usize) {
        self.flow
            .ask(Shard(shard), &Arc::downgrade(&self.post), permits);
    }

    fn grants(&mut self) -> Vec<(u32, usize)> {
        self.flow
            .grants()
            .into_iter()
            .map(|grant| (grant.shard.0, grant.permits))
            .collect()
    }
}

/// Numbers that look random and are the same in every run.
struct Draw(u64);

impl Draw {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}

/// Moves a second's worth of calls and more through a flow whose shard answers to its permits
/// only after `held_up`, and returns when each call began.
fn begins(rate: u32, held_up: Duration, seconds: u64) -> Vec<u64> {
    let mut bench = bench(usize::MAX, Some(rate));
    bench.ask(0, rate as usize * seconds as usize * 2);
    let (mut begun, mut granted) = (Vec::new(), 0);
    let end = bench.hands.us() + seconds * 1_000_000;
    let mut next_commit = bench.hands.us() + held_up.as_micros() as u64;
    while bench.hands.us() < end {
        granted += bench
            .grants()
            .into_iter()
            .map(|(_, permits)| permits)
            .sum::<usize>();
        if bench.hands.us() >= next_commit {
            next_commit = bench.hands.us() + held_up.as_micros() as u64;
            for call in 0..std::mem::take(&mut granted) {
                bench.flow.admit(Shard(0), call as u64).unwrap();
            }
        }
        let due = bench.flow.due();
        begun.extend(due.iter().map(|_| bench.hands.us()));
        bench.flow.ended(due.len());
        bench.hands.forward(Duration::from_micros(700));
    }
    begun
}

fn most_in_a_second(begun: &[u64]) -> usize {
    let within = |(place, at): (usize, &u64)| {
        begun[place..].partition_point(|other| *other < at + 1_000_000)
    };
    begun.iter().enumerate().map(within).max().unwrap_or(0)
}

#[test]
fn no_second_sees_more_calls_begin_than_the_rate() {
    for rate in [1, 2, 7, 49, 50, 99, 100, 101, 2_000, 9_999] {
        let begun = begins(rate, Duration::ZERO, 4);
        assert!(
            most_in_a_second(&begun) <= rate as usize,
            "{rate}: {}",
            most_in_a_second(&begun)
        );
        assert!(
            begun.len() as f64 >= 4.0 * f64::from(rate) * 0.95,
            "{rate}: only {} in 4 s",
            begun.len()
        );
    }
}

#[test]
fn permits_that_were_held_up_do_not_become_a_burst() {
    for held_up_ms in [50, 400, 3_000] {
        let begun = begins(500, Duration::from_millis(held_up_ms), 8);
        assert!(
            most_in_a_second(&begun) <= 500,
            "{held_up_ms}: {}",
            most_in_a_second(&begun)
        );
        assert!(!begun.is_empty());
    }
}

#[test]
fn permits_run_ahead_of_calls_by_half_a_second_at_most() {
    let mut bench = bench(10_000, Some(100));
    bench.ask(0, 10_000);
    assert_eq!(bench.grants(), vec![(0, 50)]);
    assert_eq!(bench.grants(), vec![]);
}

#[test]
fn permits_do_not_run_further_ahead_than_their_intents_last() {
    let mut bench = bench_within(Duration::from_millis(400), 10_000, Some(100));
    bench.ask(0, 10_000);
    assert_eq!(bench.grants(), vec![(0, 10)]);
}

#[test]
fn slots_are_never_exceeded_and_every_permit_is_granted_in_the_end() {
    for seed in 0..40 {
        let mut draw = Draw(seed);
        let in_flight_max = 1 + draw.below(20) as usize;
        let mut bench = bench(in_flight_max, (seed % 2 == 0).then_some(300));
        let (mut asked, mut granted, mut online) = (0, 0, 0);
        let mut held = [0_usize; 5];
        for step in 0..4_000 {
            let shard = draw.below(5) as usize;
            match draw.below(5) {
                0 if step < 2_000 => {
                    let permits = draw.below(30) as usize;
                    asked += permits;
                    bench.ask(shard as u32, permits);
                }
                1 if held[shard] > 0 => {
                    held[shard] -= 1;
                    bench.flow.give_back(Shard(shard as u32), 1);
                }
                2 if held[shard] > 0 => {
                    held[shard] -= 1;
                    bench.flow.admit(Shard(shard as u32), 0).unwrap();
                }
                3 if online > 0 => {
                    online -= 1;
                    bench.flow.ended(1);
                }
                _ => bench
                    .hands
                    .forward(Duration::from_micros(draw.below(3_000))),
            }
            online += bench.flow.due().len();
            for (shard, permits) in bench.grants() {
                held[shard as usize] += permits;
                granted += permits;
            }
            assert!(held.iter().sum::<usize>() + online <= in_flight_max);
            assert!(bench.flow.taken() <= in_flight_max);
        }
        // whatever is held is given back, and the rest follows
        while granted < asked {
            for (shard, permits) in held.iter_mut().enumerate() {
                bench
                    .flow
                    .give_back(Shard(shard as u32), std::mem::take(permits));
            }
            bench.flow.ended(std::mem::take(&mut online));
            bench.hands.forward(Duration::from_millis(20));
            online += bench.flow.due().len();
            let grants = bench.grants();
            assert!(
                !grants.is_empty() || online > 0 || bench.flow.wait().is_some(),
                "seed {seed}: stuck"
            );
            for (shard, permits) in grants {
                held[shard as usize] += permits;
                granted += permits;
            }
        }
        assert_eq!(granted, asked);
        assert_eq!(bench.flow.waiting(), 0);
    }
}

#[test]
fn shards_take_turns() {
    let mut bench = bench(9, None);
    for shard in 0..3 {
        bench.ask(shard, 100);
    }
    assert_eq!(bench.grants(), vec![(0, 3), (1, 3), (2, 3)]);
    for turn in [0, 1, 2, 0] {
        bench.flow.give_back(Shard(turn), 1);
        assert_eq!(bench.grants(), vec![(turn, 1)]);
    }
}

#[test]
fn what_one_shard_does_not_need_goes_to_the_others() {
    let mut bench = bench(9, None);
    bench.ask(0, 1);
    bench.ask(1, 100);
    assert_eq!(bench.grants(), vec![(0, 1), (1, 8)]);
}

#[test]
fn a_shard_whose_worker_is_gone_holds_nobody_up() {
    let mut bench = bench(4, None);
    bench.ask(0, 100);
    bench.post = Arc::new(Nobody);
    bench.ask(1, 2);
    assert_eq!(bench.grants(), vec![(1, 2)]);
    assert_eq!(bench.flow.waiting(), 0);
}

#[test]
fn what_a_shard_asked_through_its_last_worker_is_void() {
    let mut bench = bench(100, None);
    let last = Arc::clone(&bench.post);
    bench.ask(0, 70);
    bench.post = Arc::new(Nobody);
    bench.ask(0, 5);
    assert_eq!(bench.grants(), vec![(0, 5)]);
    drop(last);
}

#[test]
fn a_permit_that_was_never_used_comes_back_after_its_lease() {
    let mut bench = bench(2, None);
    bench.ask(0, 2);
    assert_eq!(bench.grants(), vec![(0, 2)]);
    bench.ask(1, 2);
    assert_eq!(bench.grants(), vec![]);
    let wait = bench.flow.wait().unwrap();
    assert_eq!(wait, LEASE_MIN);
    bench.hands.forward(wait);
    assert_eq!(bench.grants(), vec![(1, 2)]);
    assert_eq!(bench.flow.taken(), 2);
}

#[test]
fn a_lost_permit_comes_back_while_others_of_its_shard_are_used() {
    let mut bench = bench(2, None);
    bench.ask(0, 1_000);
    assert_eq!(bench.grants(), vec![(0, 2)]);
    // the step that took one of them was aborted; the other one goes round and round
    let mut most = 0;
    for _ in 0..200 {
        bench.flow.give_back(Shard(0), 1);
        bench.hands.forward(Duration::from_millis(100));
        most = most.max(
            bench
                .grants()
                .iter()
                .map(|(_, permits)| *permits)
                .sum::<usize>(),
        );
    }
    assert_eq!(most, 2);
}

#[test]
fn a_call_whose_permit_has_come_back_needs_a_free_slot() {
    let mut bench = bench(1, None);
    bench.ask(0, 1);
    assert_eq!(bench.grants(), vec![(0, 1)]);
    bench.hands.forward(LEASE_MIN);
    bench.ask(1, 1);
    assert_eq!(bench.grants(), vec![(1, 1)]);
    assert_eq!(bench.flow.admit(Shard(0), 7), Err(7));
    bench.flow.give_back(Shard(1), 1);
    assert_eq!(bench.flow.admit(Shard(0), 7), Ok(()));
    assert_eq!(bench.flow.taken(), 1);
}

#[test]
fn a_permit_is_freed_once_however_often_it_is_returned() {
    let mut bench = bench(10, None);
    bench.ask(0, 4);
    bench.grants();
    bench.flow.give_back(Shard(0), 4);
    bench.flow.give_back(Shard(0), 4);
    assert_eq!(bench.flow.taken(), 0);
}

#[test]
fn a_provider_that_ails_is_tried_again_when_the_last_try_was_never_made() {
    let mut bench = bench(10, None);
    bench.flow.allow(Allowance::One);
    assert!(bench.flow.may_be_tried());
    bench.ask(0, 1);
    assert_eq!(bench.grants(), vec![(0, 1)]);
    assert!(!bench.flow.may_be_tried());
    bench.hands.forward(LEASE_MIN);
    assert!(bench.flow.may_be_tried());
}

#[test]
fn who_may_go_anywhere_is_lent_and_withdrawn_and_who_may_not_stays() {
    let mut bench = bench(10, None);
    let line = Line::Only(sealpost_schemas::record::Rank::Primary);
    let bound = Asker {
        shard: Shard(0),
        line,
    };
    let post = Arc::downgrade(&bench.post);
    bench.flow.ask(bound, &post, 4);
    bench.ask(1, 1);
    bench.ask(2, 2);
    let lent = |bench: &mut Bench| bench.flow.lend().map(|(asker, _)| asker);
    assert_eq!(lent(&mut bench), Some(Shard(1).into()));
    assert_eq!(lent(&mut bench), Some(Shard(2).into()));
    let withdrawn: Vec<_> = bench
        .flow
        .withdraw()
        .into_iter()
        .map(|(asker, _, permits)| (asker, permits))
        .collect();
    assert_eq!(withdrawn, [(Shard(2).into(), 1)]);
    assert_eq!(lent(&mut bench), None);
    assert_eq!(bench.grants(), vec![(0, 4)]);
}
