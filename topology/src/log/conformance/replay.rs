//! Reading again from an offset that was set, and what is left to read.

use super::support::{
    Seen, append, create, numbers, progress, read_all, shards, sole_member, step,
};
use super::{Check, Harness, Outcome};
use crate::log::{Cleanup, LogError};
use crate::types::{Offset, Shard, TimeMs};

pub(super) const CHECKS: &[Check] = &[
    Check {
        name: "a group has committed nothing at first",
        partitions: 2,
        run: nothing_yet,
    },
    Check {
        name: "offsets are not set while the group has members",
        partitions: 2,
        run: in_use,
    },
    Check {
        name: "a replay from the start reads the same records",
        partitions: 2,
        run: from_start,
    },
    Check {
        name: "trimming lets go of what lies below an offset at most, and never of the end",
        partitions: 2,
        run: trimmed,
    },
];

fn nothing_yet(harness: &mut dyn Harness) -> Outcome {
    let topics = create(harness, Cleanup::Keep, &["in"]);
    let (log, group) = (harness.log(), harness.group("group"));
    append(log.as_ref(), vec![numbers(&topics[0], Shard(0), 0..3)]);
    for shard in shards(log.as_ref()) {
        assert_eq!(log.committed(&group, &topics[0], shard).unwrap(), None);
    }
    Outcome::Held
}

fn in_use(harness: &mut dyn Harness) -> Outcome {
    let topics = create(harness, Cleanup::Keep, &["in"]);
    let (log, group) = (harness.log(), harness.group("group"));
    let at = |offset| [progress(&topics[0], Shard(1), Offset(offset))];
    let committed = || log.committed(&group, &topics[0], Shard(1)).unwrap();
    log.set_committed(&group, &at(7)).unwrap();
    assert_eq!(committed(), Some(Offset(7)));
    let mut seat = sole_member(harness, &group, &topics);
    let refused = log.set_committed(&group, &at(3));
    assert!(
        matches!(&refused, Err(LogError::GroupInUse(named)) if *named == group),
        "{refused:?}"
    );
    assert_eq!(committed(), Some(Offset(7)));
    log.set_committed(&harness.group("other"), &at(3)).unwrap();
    seat.member
        .commit(step(Vec::new(), Vec::from(at(9))))
        .unwrap();
    drop(seat);
    assert_eq!(committed(), Some(Offset(9)));
    log.set_committed(&group, &at(0)).unwrap();
    assert_eq!(committed(), Some(Offset(0)));
    Outcome::Held
}

fn from_start(harness: &mut dyn Harness) -> Outcome {
    let topics = create(harness, Cleanup::Keep, &["in"]);
    let (log, group) = (harness.log(), harness.group("group"));
    for round in 0..6 {
        let each =
            shards(log.as_ref()).map(|shard| numbers(&topics[0], shard, round * 9..round * 9 + 9));
        append(log.as_ref(), each.collect());
    }
    let mut passes = Vec::new();
    for _ in 0..2 {
        let mut seat = sole_member(harness, &group, &topics);
        let mut pass = Vec::new();
        for shard in shards(log.as_ref()) {
            let from = log
                .committed(&group, &topics[0], shard)
                .unwrap()
                .unwrap_or_default();
            assert_eq!(from, Offset(0));
            let records = seat.fetch_from(&topics[0], shard, from);
            let end = records.last().unwrap().offset.next();
            let done = vec![progress(&topics[0], shard, end)];
            seat.member.commit(step(Vec::new(), done)).unwrap();
            pass.push(records);
        }
        passes.push(pass);
        drop(seat);
        let start: Vec<_> = shards(log.as_ref())
            .map(|shard| progress(&topics[0], shard, Offset(0)))
            .collect();
        log.set_committed(&group, &start).unwrap();
    }
    assert_eq!(passes[0], passes[1]);
    assert_eq!(passes[0][1].len(), 54);
    Outcome::Held
}

/// What is let go is below the offset, and the end never is.
fn trimmed(harness: &mut dyn Harness) -> Outcome {
    let topics = create(harness, Cleanup::Keep, &["in"]);
    let log = harness.log();
    for round in 0..6 {
        let each =
            shards(log.as_ref()).map(|shard| numbers(&topics[0], shard, round * 9..round * 9 + 9));
        append(log.as_ref(), each.collect());
    }
    let (before, other) = (
        read_all(log.as_ref(), &topics[0], Shard(0)),
        read_all(log.as_ref(), &topics[0], Shard(1)),
    );
    let below = before[30].offset;
    let since = |time| log.first_since(&topics[0], Shard(0), time).unwrap();
    let first = before[0].appended_at;
    assert_eq!(since(first), before[0].offset);
    assert!(since(TimeMs(before[53].appended_at.0 + 1)) > before[53].offset);
    log.trim(&topics[0], Shard(0), below).unwrap();
    let after = read_all(log.as_ref(), &topics[0], Shard(0));
    assert!(before.ends_with(&after), "nothing in between is let go");
    assert!(
        after.len() >= before.len() - 30,
        "nothing beyond it is let go"
    );
    assert_eq!(read_all(log.as_ref(), &topics[0], Shard(1)), other);
    let end = log.bounds(&topics[0], Shard(0)).unwrap().end;
    log.trim(&topics[0], Shard(0), Offset(end.0 + 100)).unwrap();
    assert!(log.bounds(&topics[0], Shard(0)).unwrap().end >= end);
    append(log.as_ref(), vec![numbers(&topics[0], Shard(0), [100])]);
    let last = read_all(log.as_ref(), &topics[0], Shard(0)).pop().unwrap();
    assert_eq!((last.number(), last.offset >= end), (100, true));
    // a group that has read none of it begins with what is there
    let mut seat = sole_member(harness, &harness.group("group"), &topics);
    let fetched = seat.fetch_from(&topics[0], Shard(0), Offset(0));
    assert_eq!(fetched.last().map(Seen::number), Some(100));
    Outcome::Held
}
