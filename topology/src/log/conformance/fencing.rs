//! A member commits only for what it owns.

use super::support::{
    Deadline, Seat, TURN, append, create, numbers, progress, read_all, read_numbers, settle,
    sole_member, step,
};
use super::{Check, Harness, Outcome, Support};
use crate::log::{Cleanup, CommitError, Ownership, Step};
use crate::types::{Offset, Shard};

pub(super) const CHECKS: &[Check] = &[
    Check {
        name: "a member cannot commit for a shard of another",
        partitions: 2,
        run: not_owned,
    },
    Check {
        name: "a member cannot commit for a shard that it released",
        partitions: 2,
        run: released,
    },
    Check {
        name: "a member cannot commit before it was assigned a shard",
        partitions: 1,
        run: not_yet,
    },
    Check {
        name: "an evicted member is fenced, and its shards go on from what is committed",
        partitions: 2,
        run: evicted,
    },
    Check {
        name: "a fenced member that joins again gets its share",
        partitions: 2,
        run: joins_again,
    },
];

fn assert_fenced(seat: &mut Seat, step: Step) {
    let answer = seat.member.commit(step);
    assert!(matches!(answer, Err(CommitError::Fenced)), "{answer:?}");
}

fn not_owned(harness: &mut dyn Harness) -> Outcome {
    let topics = create(harness, Cleanup::Keep, &["in", "out"]);
    let (log, group) = (harness.log(), harness.group("group"));
    let mut one = Seat::join(log.as_ref(), &group, &topics[..1]);
    let mut other = Seat::join(log.as_ref(), &group, &topics[..1]);
    settle(harness, &mut [&mut one, &mut other]);
    let (own, foreign) = (*one.owned.first().unwrap(), *other.owned.first().unwrap());
    let write = |shard| numbers(&topics[1], shard, [1]);
    let done = |shard| progress(&topics[0], shard, Offset(1));
    assert_fenced(&mut one, step(vec![write(foreign)], Vec::new()));
    assert_fenced(&mut one, step(Vec::new(), vec![done(foreign)]));
    assert_fenced(
        &mut one,
        step(vec![write(own), write(foreign)], vec![done(own)]),
    );
    assert_fenced(
        &mut one,
        step(vec![write(own)], vec![done(own), done(foreign)]),
    );
    for shard in [own, foreign] {
        assert_eq!(read_numbers(log.as_ref(), &topics[1], shard), [0_u64; 0]);
        assert_eq!(log.committed(&group, &topics[0], shard).unwrap(), None);
    }
    Outcome::Held
}

fn released(harness: &mut dyn Harness) -> Outcome {
    let topics = create(harness, Cleanup::Keep, &["in", "out"]);
    let (log, group) = (harness.log(), harness.group("group"));
    let mut first = sole_member(harness, &group, &topics[..1]);
    let mut second = Seat::join(log.as_ref(), &group, &topics[..1]);
    settle(harness, &mut [&mut first, &mut second]);
    let moved = *second.owned.first().unwrap();
    assert_fenced(
        &mut first,
        step(vec![numbers(&topics[1], moved, [1])], Vec::new()),
    );
    second
        .member
        .commit(step(vec![numbers(&topics[1], moved, [2])], Vec::new()))
        .unwrap();
    assert_eq!(read_numbers(log.as_ref(), &topics[1], moved), [2]);
    Outcome::Held
}

fn not_yet(harness: &mut dyn Harness) -> Outcome {
    let topics = create(harness, Cleanup::Keep, &["in", "out"]);
    let (log, group) = (harness.log(), harness.group("group"));
    let mut seat = Seat::join(log.as_ref(), &group, &topics[..1]);
    assert_fenced(
        &mut seat,
        step(vec![numbers(&topics[1], Shard(0), [1])], Vec::new()),
    );
    settle(harness, &mut [&mut seat]);
    seat.member
        .commit(step(vec![numbers(&topics[1], Shard(0), [2])], Vec::new()))
        .unwrap();
    assert_eq!(read_numbers(log.as_ref(), &topics[1], Shard(0)), [2]);
    Outcome::Held
}

fn evicted(harness: &mut dyn Harness) -> Outcome {
    let topics = create(harness, Cleanup::Keep, &["in", "out"]);
    let (log, group) = (harness.log(), harness.group("group"));
    append(log.as_ref(), vec![numbers(&topics[0], Shard(1), 0..10)]);
    let mut old = sole_member(harness, &group, &topics[..1]);
    let records = old.fetch_from(&topics[0], Shard(1), Offset(0));
    let up_to = |last: usize| progress(&topics[0], Shard(1), records[last].offset.next());
    old.member
        .commit(step(
            vec![numbers(&topics[1], Shard(1), 0..4)],
            vec![up_to(3)],
        ))
        .unwrap();
    // the next step is ready when the member is taken out
    let pending = || step(vec![numbers(&topics[1], Shard(1), 4..8)], vec![up_to(7)]);
    if harness.evict(&group) == Support::Unsupported {
        return Outcome::Skipped;
    }
    assert_fenced(&mut old, pending());
    let mut new = sole_member(harness, &group, &topics[..1]);
    let from = log
        .committed(&group, &topics[0], Shard(1))
        .unwrap()
        .unwrap();
    let rest = new.fetch_from(&topics[0], Shard(1), from);
    assert_eq!(rest, records[4..]);
    new.member
        .commit(step(
            vec![numbers(&topics[1], Shard(1), 4..6)],
            vec![up_to(5)],
        ))
        .unwrap();
    assert_fenced(&mut old, pending());
    new.member
        .commit(step(
            vec![numbers(&topics[1], Shard(1), 6..10)],
            vec![up_to(9)],
        ))
        .unwrap();
    let out = read_all(log.as_ref(), &topics[1], Shard(1));
    let out: Vec<_> = out.iter().map(|record| record.number()).collect();
    assert_eq!(out, (0..10).collect::<Vec<_>>());
    let end = records[9].offset.next();
    assert_eq!(
        log.committed(&group, &topics[0], Shard(1)).unwrap(),
        Some(end)
    );
    Outcome::Held
}

fn joins_again(harness: &mut dyn Harness) -> Outcome {
    let topics = create(harness, Cleanup::Keep, &["in", "out"]);
    let (log, group) = (harness.log(), harness.group("group"));
    let mut old = sole_member(harness, &group, &topics[..1]);
    if harness.evict(&group) == Support::Unsupported {
        return Outcome::Skipped;
    }
    let mut new = sole_member(harness, &group, &topics[..1]);
    // it learns of it when it wakes up
    let deadline = Deadline::of(harness);
    while !old.owned.is_empty() {
        let changes = old.turn(TURN, |_, _| ());
        let lost = changes
            .iter()
            .all(|change| matches!(change, Ownership::Lost(_)));
        assert!(lost, "the shards are gone, but it was told {changes:?}");
        deadline.check("telling an evicted member what it lost");
    }
    drop(old);
    let mut again = Seat::join(log.as_ref(), &group, &topics[..1]);
    settle(harness, &mut [&mut new, &mut again]);
    let own = *again.owned.first().unwrap();
    again
        .member
        .commit(step(vec![numbers(&topics[1], own, [1])], Vec::new()))
        .unwrap();
    assert_eq!(read_numbers(log.as_ref(), &topics[1], own), [1]);
    Outcome::Held
}
