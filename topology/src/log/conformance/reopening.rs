//! What is there after the log was closed and opened again.

use super::support::{
    append, create, numbers, pairs, progress, read_all, read_numbers, sole_member, step,
};
use super::{Check, Harness, Outcome, Support};
use crate::log::{Cleanup, LogError, TopicSpec};
use crate::types::{Offset, Shard};

pub(super) const CHECKS: &[Check] = &[
    Check {
        name: "records and progress survive a reopen",
        partitions: 3,
        run: survive,
    },
    Check {
        name: "a log that was opened again goes on where it ended",
        partitions: 2,
        run: goes_on,
    },
    Check {
        name: "a compacted topic is the same after a reopen",
        partitions: 1,
        run: compacted,
    },
];

fn survive(harness: &mut dyn Harness) -> Outcome {
    let kept = create(harness, Cleanup::Keep, &["in", "out"]);
    let table = create(harness, Cleanup::Compact, &["table"]).remove(0);
    let group = harness.group("group");
    let partitions = [
        (&kept[0], Shard(0)),
        (&kept[1], Shard(2)),
        (&table, Shard(1)),
    ];
    let log = harness.log();
    append(log.as_ref(), vec![numbers(&kept[0], Shard(0), 0..50)]);
    let writes = vec![
        numbers(&kept[1], Shard(2), 0..9),
        pairs(&table, Shard(1), &[(b"k", None), (b"", Some(b""))]),
    ];
    let mut seat = sole_member(harness, &group, &kept[..1]);
    seat.member
        .commit(step(writes, vec![progress(&kept[0], Shard(0), Offset(31))]))
        .unwrap();
    drop(seat);
    let before = partitions.map(|(topic, shard)| read_all(log.as_ref(), topic, shard));
    drop(log);
    for _ in 0..2 {
        if harness.reopen() == Support::Unsupported {
            return Outcome::Skipped;
        }
        let log = harness.log();
        let after = partitions.map(|(topic, shard)| read_all(log.as_ref(), topic, shard));
        assert_eq!(after, before);
        assert_eq!(
            log.committed(&group, &kept[0], Shard(0)).unwrap(),
            Some(Offset(31))
        );
        assert_eq!(log.committed(&group, &kept[0], Shard(1)).unwrap(), None);
        assert_eq!(log.partitions(), 3);
        let other = TopicSpec {
            topic: table.clone(),
            cleanup: Cleanup::Keep,
        };
        assert!(matches!(log.create(&[other]), Err(LogError::Mismatch(_))));
    }
    Outcome::Held
}

fn goes_on(harness: &mut dyn Harness) -> Outcome {
    let topics = create(harness, Cleanup::Keep, &["first"]);
    append(
        harness.log().as_ref(),
        vec![numbers(&topics[0], Shard(1), 0..5)],
    );
    for round in 1..4_u64 {
        if harness.reopen() == Support::Unsupported {
            return Outcome::Skipped;
        }
        let name = format!("made-in-round-{round}");
        let both = create(harness, Cleanup::Keep, &["first", &name]);
        let log = harness.log();
        let end = log.bounds(&both[0], Shard(1)).unwrap().end;
        append(
            log.as_ref(),
            vec![
                numbers(&both[0], Shard(1), round * 5..round * 5 + 5),
                numbers(&both[1], Shard(0), [round]),
            ],
        );
        let seen = read_all(log.as_ref(), &both[0], Shard(1));
        assert!(
            seen[round as usize * 5].offset >= end,
            "offsets were given twice"
        );
        let expected: Vec<_> = (0..round * 5 + 5).collect();
        assert_eq!(read_numbers(log.as_ref(), &both[0], Shard(1)), expected);
        assert_eq!(read_numbers(log.as_ref(), &both[1], Shard(0)), [round]);
    }
    Outcome::Held
}

fn compacted(harness: &mut dyn Harness) -> Outcome {
    let table = create(harness, Cleanup::Compact, &["table"]).remove(0);
    for round in 0..4_u64 {
        let log = harness.log();
        for value in 0..10 {
            append(
                log.as_ref(),
                vec![numbers(&table, Shard(0), 0..20 + value + round)],
            );
        }
        harness.compact();
        let before = read_all(log.as_ref(), &table, Shard(0));
        let bounds = log.bounds(&table, Shard(0)).unwrap();
        drop(log);
        if harness.reopen() == Support::Unsupported {
            return Outcome::Skipped;
        }
        let log = harness.log();
        assert_eq!(read_all(log.as_ref(), &table, Shard(0)), before);
        let after = log.bounds(&table, Shard(0)).unwrap();
        // what marks the end of the last append may come only now
        assert!(after.start == bounds.start && after.end >= bounds.end);
    }
    Outcome::Held
}
