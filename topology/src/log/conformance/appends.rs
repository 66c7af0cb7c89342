//! Appending, and the shapes of what is read.

use std::collections::BTreeMap;

use super::support::{
    Seen, append, create, numbers, one_topic, pairs, progress, read_all, read_numbers, step,
};
use super::{Check, Harness, Outcome};
use crate::batch::Batch;
use crate::log::{Cleanup, CommitError, Durability, LogError, TopicSpec, Write};
use crate::types::{Offset, Shard};

pub(super) const CHECKS: &[Check] = &[
    Check {
        name: "records are read in the order of their appends",
        partitions: 3,
        run: order,
    },
    Check {
        name: "keys, values and tombstones are read as written",
        partitions: 1,
        run: bytes,
    },
    Check {
        name: "a large batch is read in parts, whole and in order",
        partitions: 2,
        run: large,
    },
    Check {
        name: "a large record is read as it was written",
        partitions: 1,
        run: large_record,
    },
    Check {
        name: "an append of nothing changes nothing",
        partitions: 1,
        run: nothing,
    },
    Check {
        name: "appends of many threads are all there, each in its order",
        partitions: 2,
        run: threads,
    },
    Check {
        name: "an unknown topic is refused",
        partitions: 2,
        run: unknown_topic,
    },
    Check {
        name: "an unknown partition is refused",
        partitions: 2,
        run: unknown_shard,
    },
    Check {
        name: "an append that is refused in part appends nothing",
        partitions: 2,
        run: refused,
    },
    Check {
        name: "creating a topic again keeps its records",
        partitions: 2,
        run: create_again,
    },
    Check {
        name: "another cleanup of a topic is a mismatch",
        partitions: 1,
        run: mismatch,
    },
];

fn order(harness: &mut dyn Harness) -> Outcome {
    let (log, topic) = one_topic(harness);
    for round in 0..5 {
        let first = round * 10;
        append(
            log.as_ref(),
            vec![
                numbers(&topic, Shard(0), first..first + 4),
                numbers(&topic, Shard(1), first..first + 3),
                numbers(&topic, Shard(0), first + 4..first + 10),
            ],
        );
    }
    assert_eq!(
        read_numbers(log.as_ref(), &topic, Shard(0)),
        (0..50).collect::<Vec<_>>()
    );
    let second: Vec<_> = (0..5)
        .flat_map(|round| round * 10..round * 10 + 3)
        .collect();
    assert_eq!(read_numbers(log.as_ref(), &topic, Shard(1)), second);
    assert_eq!(read_numbers(log.as_ref(), &topic, Shard(2)), [0_u64; 0]);
    let bounds = log.bounds(&topic, Shard(0)).unwrap();
    let seen = read_all(log.as_ref(), &topic, Shard(0));
    assert!(
        bounds.start <= seen[0].offset && seen[49].offset < bounds.end,
        "{bounds:?}"
    );
    Outcome::Held
}

fn bytes(harness: &mut dyn Harness) -> Outcome {
    let (log, topic) = one_topic(harness);
    let every_byte: Vec<u8> = (0..=255).collect();
    let records: [(&[u8], Option<&[u8]>); 5] = [
        (b"key", Some(b"value")),
        (b"", Some(b"no key")),
        (b"no value", Some(b"")),
        (b"tombstone", None),
        (&every_byte, Some(&every_byte)),
    ];
    append(log.as_ref(), vec![pairs(&topic, Shard(0), &records)]);
    let seen = read_all(log.as_ref(), &topic, Shard(0));
    let seen: Vec<_> = seen
        .iter()
        .map(|record| (record.key.as_slice(), record.value.as_deref()))
        .collect();
    assert_eq!(seen, records);
    Outcome::Held
}

fn large(harness: &mut dyn Harness) -> Outcome {
    let (log, topic) = one_topic(harness);
    let mut batch = Batch::default();
    for number in 0..12_000_u64 {
        let mut value = number.to_be_bytes().to_vec();
        value.resize(300, number as u8);
        batch.push(b"key", Some(&value));
    }
    let large = Write {
        topic: topic.clone(),
        shard: Shard(0),
        batch,
    };
    append(log.as_ref(), vec![large, numbers(&topic, Shard(1), [1])]);
    let seen = read_all(log.as_ref(), &topic, Shard(0));
    let expected: Vec<_> = (0..12_000).collect();
    assert_eq!(seen.iter().map(Seen::number).collect::<Vec<_>>(), expected);
    assert!(
        seen.iter()
            .all(|record| record.value.as_ref().unwrap().len() == 300)
    );
    let first = log.read(&topic, Shard(0), Offset(0)).unwrap().unwrap();
    assert!(first.count() < 12_000, "3.6 MB came in one piece");
    Outcome::Held
}

fn large_record(harness: &mut dyn Harness) -> Outcome {
    let (log, topic) = one_topic(harness);
    let value: Vec<u8> = (0..900_000_u32)
        .map(|at| (at.wrapping_mul(at) >> 7) as u8)
        .collect();
    let records: [(&[u8], Option<&[u8]>); 3] = [
        (b"before", Some(b"1")),
        (b"large", Some(&value)),
        (b"after", Some(b"2")),
    ];
    append(log.as_ref(), vec![pairs(&topic, Shard(0), &records)]);
    let seen = read_all(log.as_ref(), &topic, Shard(0));
    let keys: Vec<_> = seen.iter().map(|record| record.key.as_slice()).collect();
    assert_eq!(keys, [&b"before"[..], b"large", b"after"]);
    assert!(
        seen[1].value.as_deref() == Some(&value),
        "the large record was changed"
    );
    Outcome::Held
}

fn nothing(harness: &mut dyn Harness) -> Outcome {
    let (log, topic) = one_topic(harness);
    let before = log.bounds(&topic, Shard(0)).unwrap();
    append(log.as_ref(), Vec::new());
    append(log.as_ref(), vec![numbers(&topic, Shard(0), [])]);
    assert_eq!(log.bounds(&topic, Shard(0)).unwrap(), before);
    assert_eq!(read_numbers(log.as_ref(), &topic, Shard(0)), [0_u64; 0]);
    append(log.as_ref(), vec![numbers(&topic, Shard(0), [7])]);
    assert_eq!(read_numbers(log.as_ref(), &topic, Shard(0)), [7]);
    Outcome::Held
}

fn threads(harness: &mut dyn Harness) -> Outcome {
    let (log, topic) = one_topic(harness);
    std::thread::scope(|scope| {
        for thread in 0..4_u64 {
            let (log, topic) = (&log, &topic);
            scope.spawn(move || {
                for round in 0..20 {
                    let first = thread * 1_000 + round * 5;
                    let both =
                        [Shard(0), Shard(1)].map(|shard| numbers(topic, shard, first..first + 5));
                    append(log.as_ref(), Vec::from(both));
                }
            });
        }
    });
    for shard in [Shard(0), Shard(1)] {
        let mut by_thread: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
        for number in read_numbers(log.as_ref(), &topic, shard) {
            by_thread
                .entry(number / 1_000)
                .or_default()
                .push(number % 1_000);
        }
        assert_eq!(by_thread.len(), 4);
        for (thread, numbers) in by_thread {
            assert_eq!(
                numbers,
                (0..100).collect::<Vec<_>>(),
                "thread {thread} in {shard}"
            );
        }
    }
    Outcome::Held
}

fn unknown_topic(harness: &mut dyn Harness) -> Outcome {
    let (log, topic) = one_topic(harness);
    let (unknown, group) = (harness.topic("never-made"), harness.group("group"));
    let is_unknown = |result: Result<(), LogError>, what: &str| {
        assert!(
            matches!(&result, Err(LogError::UnknownTopic(named)) if *named == unknown),
            "{what}: {result:?}"
        );
    };
    let written = || vec![numbers(&unknown, Shard(0), [1])];
    is_unknown(log.append(written(), Durability::Process), "append");
    is_unknown(
        log.append_cut(std::slice::from_ref(&unknown), &mut |_| Vec::new()),
        "a cut",
    );
    is_unknown(
        log.append_cut(std::slice::from_ref(&topic), &mut |_| written()),
        "append_cut",
    );
    is_unknown(log.bounds(&unknown, Shard(0)).map(drop), "bounds");
    is_unknown(log.read(&unknown, Shard(0), Offset(0)).map(drop), "read");
    is_unknown(
        log.committed(&group, &unknown, Shard(0)).map(drop),
        "committed",
    );
    let at = progress(&unknown, Shard(0), Offset(1));
    is_unknown(
        log.set_committed(&group, std::slice::from_ref(&at)),
        "set_committed",
    );
    is_unknown(
        log.join(&group, &[topic.clone(), unknown.clone()])
            .map(drop),
        "join",
    );
    let mut seat = super::support::sole_member(harness, &group, &[topic]);
    for step in [step(written(), Vec::new()), step(Vec::new(), vec![at])] {
        match seat.member.commit(step) {
            Err(CommitError::Log(error)) => is_unknown(Err(error), "commit"),
            other => panic!("commit: {other:?}"),
        }
    }
    Outcome::Held
}

fn unknown_shard(harness: &mut dyn Harness) -> Outcome {
    let (log, topic) = one_topic(harness);
    let group = harness.group("group");
    let beyond = Shard(2);
    let is_unknown = |result: Result<(), LogError>, what: &str| {
        let expected = matches!(
            &result,
            Err(LogError::UnknownShard {
                shard: Shard(2),
                partitions: 2,
                ..
            })
        );
        assert!(expected, "{what}: {result:?}");
    };
    is_unknown(
        log.append(vec![numbers(&topic, beyond, [1])], Durability::Process),
        "append",
    );
    is_unknown(log.bounds(&topic, beyond).map(drop), "bounds");
    is_unknown(log.read(&topic, beyond, Offset(0)).map(drop), "read");
    is_unknown(log.committed(&group, &topic, beyond).map(drop), "committed");
    let at = progress(&topic, beyond, Offset(1));
    is_unknown(log.set_committed(&group, &[at]), "set_committed");
    Outcome::Held
}

fn refused(harness: &mut dyn Harness) -> Outcome {
    let (log, topic) = one_topic(harness);
    let unknown = harness.topic("never-made");
    let writes = vec![
        numbers(&topic, Shard(0), [1]),
        numbers(&unknown, Shard(0), [1]),
    ];
    assert!(log.append(writes, Durability::Process).is_err());
    let writes = vec![
        numbers(&topic, Shard(0), [2]),
        numbers(&topic, Shard(9), [2]),
    ];
    assert!(log.append(writes, Durability::Process).is_err());
    append(log.as_ref(), vec![numbers(&topic, Shard(0), [3])]);
    assert_eq!(read_numbers(log.as_ref(), &topic, Shard(0)), [3]);
    Outcome::Held
}

fn create_again(harness: &mut dyn Harness) -> Outcome {
    let (log, topic) = one_topic(harness);
    append(log.as_ref(), vec![numbers(&topic, Shard(1), [1, 2])]);
    let both = create(harness, Cleanup::Keep, &["data", "more"]);
    append(log.as_ref(), vec![numbers(&both[1], Shard(1), [3])]);
    let named_twice = TopicSpec {
        topic: harness.topic("twice"),
        cleanup: Cleanup::Compact,
    };
    log.create(&[named_twice.clone(), named_twice.clone()])
        .unwrap();
    append(
        log.as_ref(),
        vec![numbers(&named_twice.topic, Shard(0), [4])],
    );
    assert_eq!(read_numbers(log.as_ref(), &topic, Shard(1)), [1, 2]);
    assert_eq!(read_numbers(log.as_ref(), &both[1], Shard(1)), [3]);
    assert_eq!(
        read_numbers(log.as_ref(), &named_twice.topic, Shard(0)),
        [4]
    );
    Outcome::Held
}

fn mismatch(harness: &mut dyn Harness) -> Outcome {
    let (log, topic) = one_topic(harness);
    let spec = |topic, cleanup| TopicSpec { topic, cleanup };
    let other = harness.topic("other");
    let refused = log.create(&[
        spec(other.clone(), Cleanup::Keep),
        spec(topic.clone(), Cleanup::Compact),
    ]);
    assert!(matches!(refused, Err(LogError::Mismatch(_))), "{refused:?}");
    let both = [
        spec(topic, Cleanup::Keep),
        spec(other.clone(), Cleanup::Compact),
    ];
    log.create(&both).unwrap();
    append(log.as_ref(), vec![numbers(&other, Shard(0), [1])]);
    assert_eq!(read_numbers(log.as_ref(), &other, Shard(0)), [1]);
    Outcome::Held
}
