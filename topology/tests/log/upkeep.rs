//! Compaction and trimming beyond what every log promises: what goes, and when.

use sealpost_topology::batch::Batch;
use sealpost_topology::log::{
    Bounds, Cleanup, Durability, Faults, Log, LogError, MemoryLog, Progress, Write,
};
use sealpost_topology::types::{Group, Offset, Shard, TimeMs, Topic};

use crate::support::{Clock, bytes_on_disk, create, in_memory, open, read_all, records};

const HOUR_MS: i64 = 60 * 60 * 1_000;

fn table(clock: &Clock) -> (MemoryLog, Topic) {
    let log = MemoryLog::in_memory(1, clock.reader(), Faults::default()).unwrap();
    let topic = create(&log, Cleanup::Compact, "table");
    (log, topic)
}

fn put(log: &dyn Log, topic: &Topic, pairs: &[(&str, Option<&str>)]) {
    log.append(vec![records(topic, Shard(0), pairs)], Durability::Process)
        .unwrap();
}

fn keys(log: &dyn Log, topic: &Topic) -> Vec<String> {
    let records = read_all(log, topic, Shard(0)).into_iter();
    records
        .map(|(_, key, _)| String::from_utf8(key).unwrap())
        .collect()
}

#[test]
fn a_tombstone_goes_a_day_after_it_was_written() {
    let clock = Clock::default();
    let (log, topic) = table(&clock);
    put(&log, &topic, &[("stays", Some("1")), ("goes", Some("1"))]);
    put(&log, &topic, &[("goes", None)]);
    assert_eq!(log.compact(0).unwrap(), 1);
    assert_eq!(keys(&log, &topic), ["stays", "goes"]);
    clock.advance_ms(23 * HOUR_MS);
    put(&log, &topic, &[("a", Some("1")), ("b", Some("1"))]);
    assert_eq!(log.compact(0).unwrap(), 0);
    assert_eq!(keys(&log, &topic), ["stays", "goes", "a", "b"]);
    clock.advance_ms(2 * HOUR_MS);
    put(
        &log,
        &topic,
        &[("c", Some("1")), ("d", Some("1")), ("e", Some("1"))],
    );
    assert_eq!(log.compact(0).unwrap(), 1);
    assert_eq!(keys(&log, &topic), ["stays", "a", "b", "c", "d", "e"]);
}

#[test]
fn a_topic_of_which_every_record_went_keeps_its_end() {
    let clock = Clock::default();
    let (log, topic) = table(&clock);
    put(&log, &topic, &[("a", Some("1")), ("b", Some("1"))]);
    put(&log, &topic, &[("a", None), ("b", None)]);
    clock.advance_ms(25 * HOUR_MS);
    assert_eq!(log.compact(0).unwrap(), 4);
    assert_eq!(keys(&log, &topic), [""; 0]);
    assert_eq!(log.bounds(&topic, Shard(0)).unwrap().end, Offset(4));
    put(&log, &topic, &[("a", Some("2"))]);
    let read = read_all(&log, &topic, Shard(0));
    assert_eq!(read, [(4, b"a".to_vec(), Some(b"2".to_vec()))]);
}

#[test]
fn compaction_keeps_the_time_of_each_record() {
    let clock = Clock::default();
    let (log, topic) = table(&clock);
    let times = |log: &MemoryLog| -> Vec<(Vec<u8>, TimeMs)> {
        let batch = log.read(&topic, Shard(0), Offset(0)).unwrap().unwrap();
        batch
            .iter()
            .map(|record| (record.key.to_vec(), record.appended_at))
            .collect()
    };
    put(&log, &topic, &[("old", Some("1")), ("both", Some("1"))]);
    let first = times(&log)[0].1;
    clock.advance_ms(5_000);
    put(&log, &topic, &[("both", Some("2")), ("new", Some("2"))]);
    log.compact(0).unwrap();
    let later = TimeMs(first.0 + 5_000);
    let expected = [
        (b"old".to_vec(), first),
        (b"both".to_vec(), later),
        (b"new".to_vec(), later),
    ];
    assert_eq!(times(&log), expected);
}

#[test]
fn little_that_is_new_is_not_compacted() {
    let (log, topic) = table(&Clock::default());
    for _ in 0..10 {
        put(&log, &topic, &[("key", Some("value"))]);
    }
    assert_eq!(log.compact(10).unwrap(), 0, "ten are not more than ten");
    put(&log, &topic, &[("key", Some("value"))]);
    assert_eq!(log.compact(10).unwrap(), 10);
    assert_eq!(log.compact(0).unwrap(), 0, "nothing is new");
}

#[test]
fn compaction_waits_until_half_as_much_as_is_there_is_new() {
    let (log, topic) = table(&Clock::default());
    let names: Vec<_> = (0..100).map(|number| format!("key-{number}")).collect();
    for name in &names {
        put(&log, &topic, &[(name, Some("1"))]);
    }
    log.compact(0).unwrap();
    for name in &names[..50] {
        put(&log, &topic, &[(name, Some("2"))]);
    }
    assert_eq!(log.compact(0).unwrap(), 0);
    put(&log, &topic, &[("key-99", Some("2"))]);
    assert_eq!(log.compact(0).unwrap(), 51);
    assert_eq!(read_all(&log, &topic, Shard(0)).len(), 100);
}

#[test]
fn what_a_group_has_not_read_yet_is_not_compacted() {
    let (log, topic) = table(&Clock::default());
    let group = Group::new("group");
    let read_up_to = |offset| {
        let (topic, shard) = (topic.clone(), Shard(0));
        let progress = Progress {
            topic,
            shard,
            offset: Offset(offset),
        };
        log.set_committed(&group, &[progress]).unwrap();
    };
    for _ in 0..10 {
        put(&log, &topic, &[("key", Some("value"))]);
    }
    read_up_to(4);
    assert_eq!(log.compact(0).unwrap(), 3);
    let left: Vec<_> = read_all(&log, &topic, Shard(0))
        .iter()
        .map(|record| record.0)
        .collect();
    assert_eq!(left, [3, 4, 5, 6, 7, 8, 9]);
    read_up_to(10);
    assert_eq!(log.compact(0).unwrap(), 6);
}

#[test]
fn small_batches_become_large_ones() {
    let (log, topic) = table(&Clock::default());
    for number in 0..500 {
        put(&log, &topic, &[(&format!("key-{number}"), Some("value"))]);
    }
    log.compact(0).unwrap();
    let batch = log.read(&topic, Shard(0), Offset(0)).unwrap().unwrap();
    assert_eq!(batch.count(), 500);
}

#[test]
fn no_batch_becomes_larger_than_a_reader_expects() {
    let (log, topic) = table(&Clock::default());
    let value = vec![7_u8; 1_000];
    for first in (0..6_000_u32).step_by(400) {
        let mut batch = Batch::default();
        for number in first..first + 400 {
            batch.push(&number.to_be_bytes(), Some(&value));
            batch.push(b"the same", Some(&value));
        }
        let write = Write {
            topic: topic.clone(),
            shard: Shard(0),
            batch,
        };
        log.append(vec![write], Durability::Process).unwrap();
    }
    assert_eq!(log.compact(0).unwrap(), 5_999);
    let mut at = Offset(0);
    let mut records = 0;
    while let Some(batch) = log.read(&topic, Shard(0), at).unwrap() {
        assert!(batch.bytes() < 1024 * 1024, "{} bytes", batch.bytes());
        records += batch.count();
        at = batch.next_offset();
    }
    assert_eq!(records, 6_001);
}

#[test]
fn two_threads_that_compact_do_not_disturb_each_other() {
    let log = in_memory(1);
    let topic = create(&log, Cleanup::Compact, "table");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for round in 0..300 {
                let value = round.to_string();
                put(&log, &topic, &[("a", Some(&value)), ("b", Some(&value))]);
            }
        });
        for _ in 0..2 {
            scope.spawn(|| {
                for _ in 0..300 {
                    log.compact(0).unwrap();
                }
            });
        }
    });
    log.compact(0).unwrap();
    let read = read_all(&log, &topic, Shard(0));
    let values: Vec<_> = read
        .into_iter()
        .map(|(_, _, value)| value.unwrap())
        .collect();
    assert!(values.ends_with(&[b"299".to_vec(), b"299".to_vec()]));
}

#[test]
fn trimming_removes_what_lies_below_and_nothing_else() {
    let log = in_memory(2);
    let topic = create(&log, Cleanup::Keep, "events");
    for _ in 0..10 {
        let both =
            [Shard(0), Shard(1)].map(|shard| records(&topic, shard, &[("a", None), ("b", None)]));
        log.append(Vec::from(both), Durability::Process).unwrap();
    }
    let before = read_all(&log, &topic, Shard(0));
    log.trim(&topic, Shard(0), Offset(7)).unwrap();
    // 7 lies within a batch, which stays as a whole
    assert_eq!(read_all(&log, &topic, Shard(0)), before[6..]);
    let bounds = Bounds {
        start: Offset(6),
        end: Offset(20),
    };
    assert_eq!(log.bounds(&topic, Shard(0)).unwrap(), bounds);
    assert_eq!(read_all(&log, &topic, Shard(1)).len(), 20);
}

#[test]
fn trimming_everything_keeps_the_end() {
    let log = in_memory(1);
    let topic = create(&log, Cleanup::Keep, "events");
    log.trim(&topic, Shard(0), Offset(100)).unwrap();
    for _ in 0..3 {
        put(&log, &topic, &[("a", None)]);
    }
    log.trim(&topic, Shard(0), Offset(100)).unwrap();
    assert_eq!(log.bounds(&topic, Shard(0)).unwrap().end, Offset(3));
    put(&log, &topic, &[("b", None)]);
    assert_eq!(read_all(&log, &topic, Shard(0)).last().unwrap().0, 3);
}

#[test]
fn trimming_what_does_not_exist_is_refused() {
    let log = in_memory(1);
    let topic = create(&log, Cleanup::Keep, "events");
    let refused = log.trim(&topic, Shard(5), Offset(1));
    assert!(
        matches!(refused, Err(LogError::UnknownShard { .. })),
        "{refused:?}"
    );
}

#[test]
fn a_trimmed_and_compacted_log_is_the_same_after_a_reopen() {
    let directory = tempfile::tempdir().unwrap();
    let log = open(directory.path(), 1).unwrap();
    let (events, table) = (
        create(&log, Cleanup::Keep, "events"),
        create(&log, Cleanup::Compact, "table"),
    );
    for round in 0..50 {
        let value = round.to_string();
        put(&log, &events, &[("a", Some(&value)), ("b", Some(&value))]);
        put(&log, &table, &[("a", Some(&value)), (&value, Some("x"))]);
    }
    log.trim(&events, Shard(0), Offset(40)).unwrap();
    log.compact(0).unwrap();
    let read = |log: &dyn Log| {
        [&events, &table].map(|topic| {
            (
                read_all(log, topic, Shard(0)),
                log.bounds(topic, Shard(0)).unwrap(),
            )
        })
    };
    let before = read(&log);
    assert_eq!((before[0].0.len(), before[1].0.len()), (60, 51));
    drop(log);
    assert_eq!(read(&open(directory.path(), 1).unwrap()), before);
}

#[test]
fn what_was_compacted_before_a_reopen_is_not_new_after_it() {
    let directory = tempfile::tempdir().unwrap();
    let log = open(directory.path(), 1).unwrap();
    let table = create(&log, Cleanup::Compact, "table");
    let names: Vec<_> = (0..100).map(|number| format!("key-{number}")).collect();
    let rewrite = |log: &dyn Log, names: &[String], value: &str| {
        for name in names {
            put(log, &table, &[(name, Some(value))]);
        }
    };
    rewrite(&log, &names, "1");
    rewrite(&log, &names, "2");
    assert_eq!(log.compact(0).unwrap(), 100);
    drop(log);
    let log = open(directory.path(), 1).unwrap();
    rewrite(&log, &names[..50], "3");
    assert_eq!(log.compact(0).unwrap(), 0, "half of what is there is new");
    rewrite(&log, &names[50..51], "3");
    assert_eq!(log.compact(0).unwrap(), 51);
    assert_eq!(read_all(&log, &table, Shard(0)).len(), 100);
}

/// Bytes that no compression makes smaller.
fn noise(seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let words = (0..16 * 1024).map(|_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    });
    words.flat_map(u64::to_le_bytes).collect()
}

#[test]
fn what_was_trimmed_or_compacted_away_does_not_stay_on_disk() {
    const LIVE_BYTES: u64 = 20 * 128 * 1024;
    let directory = tempfile::tempdir().unwrap();
    let log = open(directory.path(), 1).unwrap();
    let (events, table) = (
        create(&log, Cleanup::Keep, "events"),
        create(&log, Cleanup::Compact, "table"),
    );
    let mut most = 0;
    for number in 0..3_000_u64 {
        for topic in [&events, &table] {
            let mut batch = Batch::default();
            batch.push(&(number % 20).to_be_bytes(), Some(&noise(number)));
            let write = Write {
                topic: topic.clone(),
                shard: Shard(0),
                batch,
            };
            log.append(vec![write], Durability::Process).unwrap();
        }
        if number % 50 == 0 {
            log.trim(&events, Shard(0), Offset(number)).unwrap();
            log.compact(0).unwrap();
        }
        most = most.max(bytes_on_disk(directory.path()) / LIVE_BYTES);
    }
    // 750 MB went through
    assert!(most < 150, "it grew to {most} times of what lives");
}
