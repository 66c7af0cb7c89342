//! Commands that carry the ends of other topics: promise 4.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::support::{Deadline, append, create, numbers, read_all, shards, sole_member};
use super::{Check, Harness, Outcome};
use crate::batch::Batch;
use crate::log::{Cleanup, Log, Write};
use crate::types::{Offset, Shard, Topic};

pub(super) const CHECKS: &[Check] = &[
    Check {
        name: "a cut is at or after everything appended before it",
        partitions: 3,
        run: after,
    },
    Check {
        name: "a cut of nothing but commands is an append",
        partitions: 2,
        run: no_cut,
    },
    Check {
        name: "no record behind a cut is processed before the command",
        partitions: 2,
        run: race,
    },
];

/// A command for every shard: the ends of the topics there.
fn command(
    log: &dyn Log,
    control: &Topic,
    cut: &[Topic],
    end: &dyn Fn(&Topic, Shard) -> Offset,
) -> Vec<Write> {
    shards(log)
        .map(|shard| {
            let ends: Vec<u8> = cut
                .iter()
                .flat_map(|topic| end(topic, shard).0.to_be_bytes())
                .collect();
            let mut batch = Batch::default();
            batch.push(b"command", Some(&ends));
            Write {
                topic: control.clone(),
                shard,
                batch,
            }
        })
        .collect()
}

/// The ends that a command carries.
fn cuts(value: &[u8]) -> Vec<Offset> {
    value
        .as_chunks::<8>()
        .0
        .iter()
        .map(|end| Offset(u64::from_be_bytes(*end)))
        .collect()
}

fn after(harness: &mut dyn Harness) -> Outcome {
    let topics = create(harness, Cleanup::Keep, &["control", "a", "b"]);
    let log = harness.log();
    let (control, cut) = (&topics[0], &topics[1..]);
    for round in 1..=3 {
        append(
            log.as_ref(),
            vec![
                numbers(&cut[0], Shard(0), 0..5),
                numbers(&cut[1], Shard(2), 0..round),
            ],
        );
        log.append_cut(cut, &mut |end| command(log.as_ref(), control, cut, end))
            .unwrap();
        append(log.as_ref(), vec![numbers(&cut[0], Shard(0), 5..7)]);
        for shard in shards(log.as_ref()) {
            let commands = read_all(log.as_ref(), control, shard);
            assert_eq!(commands.len() as u64, round);
            let ends = cuts(commands.last().unwrap().value.as_deref().unwrap());
            for (topic, end) in cut.iter().zip(ends) {
                let before = read_all(log.as_ref(), topic, shard);
                let before = before.iter().filter(|record| record.offset < end).count() as u64;
                let expected = match (topic == &cut[0], shard) {
                    (true, Shard(0)) => round * 7 - 2,
                    (false, Shard(2)) => (1..=round).sum(),
                    _ => 0,
                };
                assert_eq!(
                    before, expected,
                    "records of {topic} {shard} before the cut"
                );
            }
        }
    }
    Outcome::Held
}

fn no_cut(harness: &mut dyn Harness) -> Outcome {
    let topics = create(harness, Cleanup::Keep, &["control"]);
    let log = harness.log();
    log.append_cut(&[], &mut |end| command(log.as_ref(), &topics[0], &[], end))
        .unwrap();
    for shard in shards(log.as_ref()) {
        assert_eq!(read_all(log.as_ref(), &topics[0], shard).len(), 1);
    }
    log.append_cut(&topics, &mut |_| Vec::new()).unwrap();
    assert_eq!(read_all(log.as_ref(), &topics[0], Shard(0)).len(), 1);
    Outcome::Held
}

const APPENDERS: usize = 2;
const APPENDS: u64 = 400;
const COMMANDS: usize = 25;

/// One reader's place in a shard.
#[derive(Default)]
struct Place {
    data: Offset,
    control: Offset,
    /// Everything before it was processed.
    processed: Offset,
    records: u64,
    commands: usize,
}

fn race(harness: &mut dyn Harness) -> Outcome {
    let topics = create(harness, Cleanup::Keep, &["control", "data"]);
    let (control, data) = (&topics[0], &topics[1]);
    let log = harness.log();
    let log = log.as_ref();
    let mut seat = sole_member(harness, &harness.group("group"), &topics);
    let deadline = Deadline::of(harness);
    let appending = AtomicUsize::new(APPENDERS);
    std::thread::scope(|scope| {
        for _ in 0..APPENDERS {
            scope.spawn(|| {
                for number in 0..APPENDS {
                    let each = shards(log).map(|shard| numbers(data, shard, [number, number]));
                    append(log, each.collect());
                }
                appending.fetch_sub(1, Ordering::SeqCst);
            });
        }
        scope.spawn(|| {
            for number in 0..COMMANDS {
                let known = shards(log).map(|shard| log.bounds(data, shard).unwrap().end);
                let known: Vec<_> = known.collect();
                let cut = std::slice::from_ref(data);
                log.append_cut(cut, &mut |end| {
                    for (shard, known) in shards(log).zip(&known) {
                        assert!(
                            end(data, shard) >= *known,
                            "command {number} cuts too early"
                        );
                    }
                    command(log, control, cut, end)
                })
                .unwrap();
                // the next one when there is something new to cut
                while appending.load(Ordering::SeqCst) > 0
                    && log.bounds(data, Shard(0)).unwrap().end == known[0]
                {
                    std::thread::yield_now();
                }
            }
        });
        let mut places: Vec<_> = shards(log).map(|shard| (shard, Place::default())).collect();
        let done = |place: &Place| {
            place.records == APPENDS * 2 * APPENDERS as u64 && place.commands == COMMANDS
        };
        while !places.iter().all(|(_, place)| done(place)) {
            for (shard, place) in &mut places {
                // data in hand first, then the commands to their end, then the data is processed
                let batch = seat.member.fetch(data, *shard, place.data).unwrap();
                while let Some(commands) =
                    seat.member.fetch(control, *shard, place.control).unwrap()
                {
                    let new = commands
                        .iter()
                        .filter(|record| record.offset >= place.control);
                    for record in new {
                        let cut = cuts(record.value.unwrap())[0];
                        assert!(
                            place.processed <= cut,
                            "the command at {} cuts at {cut}, but what lies before {} was processed",
                            record.offset,
                            place.processed
                        );
                        place.commands += 1;
                    }
                    place.control = commands.next_offset();
                }
                if let Some(batch) = batch {
                    let new = batch.iter().filter(|record| record.offset >= place.data);
                    for record in new {
                        place.processed = record.offset.next();
                        place.records += 1;
                    }
                    place.data = batch.next_offset();
                }
            }
            deadline.check("reading data and commands to their ends");
        }
    });
    Outcome::Held
}
