//! All of a step or nothing of it, across topics and shards.

use std::sync::atomic::{AtomicBool, Ordering};

use super::support::{
    Deadline, append, create, numbers, progress, read_numbers, shards, sole_member, step,
};
use super::{Check, Harness, Outcome, Support};
use crate::log::{Cleanup, CommitError, Log, Write};
use crate::types::{Offset, Shard, Topic};

pub(super) const CHECKS: &[Check] = &[
    Check {
        name: "a step's writes and progress are there when the commit returns",
        partitions: 2,
        run: together,
    },
    Check {
        name: "an empty step is committed and changes nothing",
        partitions: 1,
        run: empty,
    },
    Check {
        name: "nothing of an aborted step stays, and it can be done again",
        partitions: 2,
        run: aborted,
    },
    Check {
        name: "whoever sees one write of a step sees them all",
        partitions: 2,
        run: observed_steps,
    },
    Check {
        name: "whoever sees one write of an append sees them all",
        partitions: 2,
        run: observed_appends,
    },
    Check {
        name: "outputs and progress appear together",
        partitions: 1,
        run: observed_progress,
    },
];

/// A record with the number in every partition of every topic.
fn everywhere(log: &dyn Log, topics: &[Topic], number: u64) -> Vec<Write> {
    let each = |topic| shards(log).map(move |shard| numbers(topic, shard, [number]));
    topics.iter().flat_map(each).collect()
}

fn together(harness: &mut dyn Harness) -> Outcome {
    let topics = create(harness, Cleanup::Keep, &["in", "a", "b"]);
    let (log, group) = (harness.log(), harness.group("group"));
    append(log.as_ref(), vec![numbers(&topics[0], Shard(0), 0..10)]);
    let mut seat = sole_member(harness, &group, &topics[..1]);
    assert_eq!(log.committed(&group, &topics[0], Shard(0)).unwrap(), None);
    let at = seat.fetch_from(&topics[0], Shard(0), Offset(0))[6].offset;
    let writes = everywhere(log.as_ref(), &topics[1..], 5);
    seat.member
        .commit(step(writes, vec![progress(&topics[0], Shard(0), at)]))
        .unwrap();
    for topic in &topics[1..] {
        for shard in shards(log.as_ref()) {
            assert_eq!(read_numbers(log.as_ref(), topic, shard), [5]);
        }
    }
    assert_eq!(
        log.committed(&group, &topics[0], Shard(0)).unwrap(),
        Some(at)
    );
    assert_eq!(log.committed(&group, &topics[0], Shard(1)).unwrap(), None);
    Outcome::Held
}

fn empty(harness: &mut dyn Harness) -> Outcome {
    let topics = create(harness, Cleanup::Keep, &["in", "out"]);
    let (log, group) = (harness.log(), harness.group("group"));
    let mut seat = sole_member(harness, &group, &topics[..1]);
    seat.member.commit(step(Vec::new(), Vec::new())).unwrap();
    seat.member
        .commit(step(vec![numbers(&topics[1], Shard(0), [])], Vec::new()))
        .unwrap();
    assert_eq!(read_numbers(log.as_ref(), &topics[1], Shard(0)), [0_u64; 0]);
    assert_eq!(log.committed(&group, &topics[0], Shard(0)).unwrap(), None);
    Outcome::Held
}

fn aborted(harness: &mut dyn Harness) -> Outcome {
    let topics = create(harness, Cleanup::Keep, &["in", "a", "b"]);
    let (log, group) = (harness.log(), harness.group("group"));
    let mut seat = sole_member(harness, &group, &topics[..1]);
    let whole_step = |number| {
        let progress = progress(&topics[0], Shard(1), Offset(number));
        step(
            everywhere(log.as_ref(), &topics[1..], number),
            vec![progress],
        )
    };
    let everything = || -> Vec<Vec<u64>> {
        let each = |topic| shards(log.as_ref()).map(move |shard| (topic, shard));
        let all = topics[1..].iter().flat_map(each);
        all.map(|(topic, shard)| read_numbers(log.as_ref(), topic, shard))
            .collect()
    };
    seat.member.commit(whole_step(1)).unwrap();
    if harness.abort_next_commit() == Support::Unsupported {
        return Outcome::Skipped;
    }
    let answer = seat.member.commit(whole_step(2));
    assert!(matches!(answer, Err(CommitError::Aborted)), "{answer:?}");
    assert_eq!(everything(), vec![vec![1]; 4]);
    assert_eq!(
        log.committed(&group, &topics[0], Shard(1)).unwrap(),
        Some(Offset(1))
    );
    seat.member.commit(whole_step(3)).unwrap();
    assert_eq!(everything(), vec![vec![1, 3]; 4]);
    assert_eq!(
        log.committed(&group, &topics[0], Shard(1)).unwrap(),
        Some(Offset(3))
    );
    Outcome::Held
}

const ROUNDS: u64 = 120;

/// While `act` does one round after another, looks from one partition to another.
fn observe(harness: &dyn Harness, topics: &[Topic], act: impl FnMut(u64) + Send) -> Outcome {
    let log = harness.log();
    let deadline = Deadline::of(harness);
    let partitions: Vec<(&Topic, Shard)> = topics
        .iter()
        .flat_map(|topic| shards(log.as_ref()).map(move |shard| (topic, shard)))
        .collect();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let done = &done;
        scope.spawn(move || {
            let guard = SetOnDrop(done);
            (1..=ROUNDS).for_each(act);
            drop(guard);
        });
        let mut look = 0;
        loop {
            let last_look = done.load(Ordering::SeqCst);
            // one partition, then another: what the first shows, the second must show too
            let (first, shard) = partitions[look % partitions.len()];
            let seen = read_numbers(log.as_ref(), first, shard);
            look += 1;
            let (second, other) = partitions[(look + look / partitions.len()) % partitions.len()];
            let later = read_numbers(log.as_ref(), second, other);
            assert!(
                later.starts_with(&seen),
                "{first} {shard} shows {:?} as its last, {second} {other} only {:?}",
                seen.last(),
                later.last()
            );
            if last_look && look > partitions.len() * partitions.len() {
                return Outcome::Held;
            }
            deadline.check("watching what another thread commits");
        }
    })
}

/// Tells the other thread, also when this one panics.
struct SetOnDrop<'a>(&'a AtomicBool);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

fn observed_steps(harness: &mut dyn Harness) -> Outcome {
    let topics = create(harness, Cleanup::Keep, &["in", "a", "b"]);
    let (log, group) = (harness.log(), harness.group("group"));
    let mut seat = sole_member(harness, &group, &topics[..1]);
    observe(harness, &topics[1..], |round| {
        let writes = everywhere(log.as_ref(), &topics[1..], round);
        seat.member.commit(step(writes, Vec::new())).unwrap();
    })
}

fn observed_appends(harness: &mut dyn Harness) -> Outcome {
    let topics = create(harness, Cleanup::Keep, &["a", "b"]);
    let log = harness.log();
    observe(harness, &topics, |round| {
        append(log.as_ref(), everywhere(log.as_ref(), &topics, round));
    })
}

fn observed_progress(harness: &mut dyn Harness) -> Outcome {
    let topics = create(harness, Cleanup::Keep, &["in", "out"]);
    let (log, group) = (harness.log(), harness.group("group"));
    let mut seat = sole_member(harness, &group, &topics[..1]);
    let deadline = Deadline::of(harness);
    let committed = || {
        let committed = log.committed(&group, &topics[0], Shard(0)).unwrap();
        committed.map_or(0, |offset| offset.0)
    };
    let shown = || {
        read_numbers(log.as_ref(), &topics[1], Shard(0))
            .last()
            .copied()
            .unwrap_or(0)
    };
    std::thread::scope(|scope| {
        let worker = scope.spawn(|| {
            for round in 1..=ROUNDS {
                let writes = vec![numbers(&topics[1], Shard(0), [round])];
                let done = vec![progress(&topics[0], Shard(0), Offset(round))];
                seat.member.commit(step(writes, done)).unwrap();
            }
        });
        while !worker.is_finished() {
            let before = committed();
            assert!(
                shown() >= before,
                "progress {before} was there before its output"
            );
            let before = shown();
            assert!(
                committed() >= before,
                "output {before} was there before its progress"
            );
            deadline.check("watching what another thread commits");
        }
    });
    assert_eq!((committed(), shown()), (ROUNDS, ROUNDS));
    Outcome::Held
}
