//! What compaction keeps: promise 7.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use super::support::{
    Deadline, Seen, append, create, pairs, read_all, read_from, read_numbers, shards,
};
use super::{Check, Harness, Outcome, Support};
use crate::batch::Batch;
use crate::log::{Cleanup, Log, Write};
use crate::types::{Offset, Shard, Topic};

pub(super) const CHECKS: &[Check] = &[
    Check {
        name: "compaction keeps the last record of each key at its offset",
        partitions: 2,
        run: last,
    },
    Check {
        name: "after compaction a read from any offset finds what is left",
        partitions: 1,
        run: any_offset,
    },
    Check {
        name: "a compacted partition goes on where it ended",
        partitions: 1,
        run: goes_on,
    },
    Check {
        name: "what was deleted is gone, and the end stays",
        partitions: 1,
        run: all_gone,
    },
    Check {
        name: "a topic that is kept is not compacted",
        partitions: 1,
        run: kept,
    },
    Check {
        name: "no reader misses a last record while compaction runs",
        partitions: 1,
        run: meanwhile,
    },
];

/// Rounds of writes to the same keys; now and then a key is deleted.
fn fill(log: &dyn Log, topic: &Topic, shard: Shard, rounds: std::ops::Range<u64>) {
    for round in rounds {
        let mut batch = Batch::default();
        for key in (0..40_u64).filter(|key| (key + round) % 3 != 0) {
            let value = format!("value {round} of {key}");
            let value = ((key * 5 + round) % 11 != 0).then_some(value.as_bytes());
            batch.push(&key.to_be_bytes(), value);
        }
        append(
            log,
            vec![Write {
                topic: topic.clone(),
                shard,
                batch,
            }],
        );
    }
}

/// The last record of each key.
fn last_of_each(records: &[Seen]) -> BTreeMap<&[u8], &Seen> {
    records
        .iter()
        .map(|record| (record.key.as_slice(), record))
        .collect()
}

/// That `after` is what compaction may leave of `before`.
fn assert_kept(before: &[Seen], after: &[Seen]) {
    for record in after {
        assert!(before.contains(record), "{record:?} was not there before");
    }
    let last_after = last_of_each(after);
    for (key, record) in last_of_each(before) {
        match (&record.value, last_after.get(key)) {
            (_, Some(left)) => assert_eq!(*left, record, "an older record came back"),
            (None, None) => {}
            (Some(_), None) => panic!("{record:?} was the last of its key, and is gone"),
        }
    }
}

fn last(harness: &mut dyn Harness) -> Outcome {
    let topic = create(harness, Cleanup::Compact, &["table"]).remove(0);
    let log = harness.log();
    let log = log.as_ref();
    for round in 0..4 {
        for shard in shards(log) {
            fill(log, &topic, shard, round * 8..round * 8 + 8);
        }
        let before: Vec<_> = shards(log)
            .map(|shard| read_all(log, &topic, shard))
            .collect();
        let compacted = harness.compact();
        for (shard, before) in shards(log).zip(before) {
            let after = read_all(log, &topic, shard);
            assert_kept(&before, &after);
            if compacted == Support::Done {
                assert_eq!(
                    after.len(),
                    last_of_each(&after).len(),
                    "a key is there twice"
                );
            }
        }
    }
    Outcome::Held
}

fn any_offset(harness: &mut dyn Harness) -> Outcome {
    let topic = create(harness, Cleanup::Compact, &["table"]).remove(0);
    let log = harness.log();
    let log = log.as_ref();
    fill(log, &topic, Shard(0), 0..10);
    harness.compact();
    let all = read_all(log, &topic, Shard(0));
    let end = log.bounds(&topic, Shard(0)).unwrap().end;
    for from in (0..=end.0).map(Offset) {
        let left = read_from(log, &topic, Shard(0), from);
        let expected: Vec<_> = all.iter().filter(|seen| seen.offset >= from).collect();
        assert!(left.iter().eq(expected), "from {from}");
    }
    Outcome::Held
}

fn goes_on(harness: &mut dyn Harness) -> Outcome {
    let topic = create(harness, Cleanup::Compact, &["table"]).remove(0);
    let log = harness.log();
    let log = log.as_ref();
    fill(log, &topic, Shard(0), 0..10);
    let end = log.bounds(&topic, Shard(0)).unwrap().end;
    harness.compact();
    // what marks the end of the last append may come only now
    assert!(log.bounds(&topic, Shard(0)).unwrap().end >= end);
    append(log, vec![pairs(&topic, Shard(0), &[(b"new", Some(b"1"))])]);
    let new = read_from(log, &topic, Shard(0), end);
    assert_eq!(new.len(), 1);
    assert_eq!(new[0].key, b"new");
    Outcome::Held
}

fn all_gone(harness: &mut dyn Harness) -> Outcome {
    let topic = create(harness, Cleanup::Compact, &["table"]).remove(0);
    let log = harness.log();
    let log = log.as_ref();
    for _ in 0..3 {
        append(
            log,
            vec![pairs(
                &topic,
                Shard(0),
                &[(b"a", Some(b"1")), (b"b", Some(b"2"))],
            )],
        );
        append(
            log,
            vec![pairs(&topic, Shard(0), &[(b"b", None), (b"a", None)])],
        );
        let before = read_all(log, &topic, Shard(0));
        let end = log.bounds(&topic, Shard(0)).unwrap().end;
        let compacted = harness.compact();
        assert!(log.bounds(&topic, Shard(0)).unwrap().end >= end);
        let after = read_all(log, &topic, Shard(0));
        assert_kept(&before, &after);
        if compacted == Support::Done {
            assert!(
                after.iter().all(|record| record.value.is_none()),
                "a deleted value is there"
            );
        }
    }
    Outcome::Held
}

fn kept(harness: &mut dyn Harness) -> Outcome {
    let topic = create(harness, Cleanup::Keep, &["events"]).remove(0);
    let log = harness.log();
    fill(log.as_ref(), &topic, Shard(0), 0..10);
    let before = read_all(log.as_ref(), &topic, Shard(0));
    harness.compact();
    assert_eq!(read_all(log.as_ref(), &topic, Shard(0)), before);
    Outcome::Held
}

const ROUNDS: u64 = 150;
const KEYS: u64 = 25;

fn meanwhile(harness: &mut dyn Harness) -> Outcome {
    let topic = create(harness, Cleanup::Compact, &["table"]).remove(0);
    let log = harness.log();
    let log = log.as_ref();
    let deadline = Deadline::of(harness);
    let written = AtomicU64::new(0);
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for round in 1..=ROUNDS {
                let mut batch = Batch::default();
                for key in 0..KEYS {
                    batch.push(&key.to_be_bytes(), Some(&round.to_be_bytes()));
                }
                append(
                    log,
                    vec![Write {
                        topic: topic.clone(),
                        shard: Shard(0),
                        batch,
                    }],
                );
                written.store(round, Ordering::SeqCst);
            }
        });
        let reader = scope.spawn(|| {
            let mut round = 0;
            while round < ROUNDS {
                round = written.load(Ordering::SeqCst);
                let seen = read_all(log, &topic, Shard(0));
                let last = last_of_each(&seen);
                assert!(
                    round == 0 || last.len() as u64 == KEYS,
                    "only {} keys",
                    last.len()
                );
                for record in last.values() {
                    let there = record.number();
                    assert!(there >= round, "{there} is the last of a key, not {round}");
                }
                deadline.check("reading what another thread writes");
            }
        });
        while !(writer.is_finished() && reader.is_finished()) {
            harness.compact();
            std::thread::yield_now();
        }
    });
    let left = read_numbers(log, &topic, Shard(0));
    assert!(left.ends_with(&vec![ROUNDS; KEYS as usize]));
    Outcome::Held
}
