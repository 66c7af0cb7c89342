//! Who owns what, while members come and go.

use std::collections::BTreeMap;

use super::support::{
    Deadline, Seat, TURN, append, create, numbers, one_owner_each, progress, read_all,
    read_numbers, settle, settled, shards, sole_member, step,
};
use super::{Check, Harness, Outcome};
use crate::log::{Cleanup, Log, Step};
use crate::types::{Group, Offset, Shard, Topic};

pub(super) const CHECKS: &[Check] = &[
    Check {
        name: "one member gets every shard",
        partitions: 5,
        run: alone,
    },
    Check {
        name: "members get equal shares",
        partitions: 7,
        run: shares,
    },
    Check {
        name: "more members than shards leave some without",
        partitions: 2,
        run: crowd,
    },
    Check {
        name: "the owner of a shard reads that partition of every topic",
        partitions: 4,
        run: whole,
    },
    Check {
        name: "groups do not know of each other",
        partitions: 2,
        run: groups,
    },
    Check {
        name: "a revoked shard can be committed until it is released",
        partitions: 2,
        run: last_commit,
    },
    Check {
        name: "members come and go, and every record is processed once and in order",
        partitions: 6,
        run: hand_over,
    },
];

fn alone(harness: &mut dyn Harness) -> Outcome {
    let topics = create(harness, Cleanup::Keep, &["in"]);
    let seat = sole_member(harness, &harness.group("group"), &topics);
    let all: Vec<_> = shards(harness.log().as_ref()).collect();
    assert!(seat.owned.iter().copied().eq(all));
    Outcome::Held
}

fn shares(harness: &mut dyn Harness) -> Outcome {
    let topics = create(harness, Cleanup::Keep, &["in"]);
    let (log, group) = (harness.log(), harness.group("group"));
    let mut one = sole_member(harness, &group, &topics);
    let mut two = Seat::join(log.as_ref(), &group, &topics);
    settle(harness, &mut [&mut one, &mut two]);
    let mut three = Seat::join(log.as_ref(), &group, &topics);
    settle(harness, &mut [&mut one, &mut two, &mut three]);
    drop(one);
    settle(harness, &mut [&mut two, &mut three]);
    drop(three);
    settle(harness, &mut [&mut two]);
    Outcome::Held
}

fn crowd(harness: &mut dyn Harness) -> Outcome {
    let topics = create(harness, Cleanup::Keep, &["in"]);
    let (log, group) = (harness.log(), harness.group("group"));
    let [mut one, mut two, mut three] = [(); 3].map(|()| Seat::join(log.as_ref(), &group, &topics));
    settle(harness, &mut [&mut one, &mut two, &mut three]);
    assert!(one.owned.is_empty() || two.owned.is_empty() || three.owned.is_empty());
    Outcome::Held
}

fn whole(harness: &mut dyn Harness) -> Outcome {
    let topics = create(harness, Cleanup::Keep, &["a", "b", "c"]);
    let (log, group) = (harness.log(), harness.group("group"));
    for (place, topic) in (0..).zip(&topics) {
        let all = shards(log.as_ref());
        let writes = all.map(|shard| numbers(topic, shard, [place * 100 + u64::from(shard.0)]));
        append(log.as_ref(), writes.collect());
    }
    let mut one = Seat::join(log.as_ref(), &group, &topics);
    let mut two = Seat::join(log.as_ref(), &group, &topics);
    settle(harness, &mut [&mut one, &mut two]);
    for seat in [&mut one, &mut two] {
        for shard in seat.owned.clone() {
            for (place, topic) in (0..).zip(&topics) {
                let seen = seat.fetch_from(topic, shard, Offset(0));
                let seen: Vec<_> = seen.iter().map(|record| record.number()).collect();
                assert_eq!(seen, [place * 100 + u64::from(shard.0)]);
            }
            let all = topics.iter().map(|topic| progress(topic, shard, Offset(1)));
            seat.member.commit(step(Vec::new(), all.collect())).unwrap();
        }
    }
    for topic in &topics {
        for shard in shards(log.as_ref()) {
            assert_eq!(
                log.committed(&group, topic, shard).unwrap(),
                Some(Offset(1))
            );
        }
    }
    Outcome::Held
}

fn groups(harness: &mut dyn Harness) -> Outcome {
    let topics = create(harness, Cleanup::Keep, &["in"]);
    let (log, here, there) = (harness.log(), harness.group("here"), harness.group("there"));
    append(log.as_ref(), vec![numbers(&topics[0], Shard(0), 0..3)]);
    let mut one = sole_member(harness, &here, &topics);
    let mut two = sole_member(harness, &there, &topics);
    for seat in [&mut one, &mut two] {
        assert_eq!(seat.fetch_from(&topics[0], Shard(0), Offset(0)).len(), 3);
    }
    one.member
        .commit(step(
            Vec::new(),
            vec![progress(&topics[0], Shard(0), Offset(3))],
        ))
        .unwrap();
    assert_eq!(
        log.committed(&here, &topics[0], Shard(0)).unwrap(),
        Some(Offset(3))
    );
    assert_eq!(log.committed(&there, &topics[0], Shard(0)).unwrap(), None);
    Outcome::Held
}

fn last_commit(harness: &mut dyn Harness) -> Outcome {
    let topics = create(harness, Cleanup::Keep, &["in", "out"]);
    let (log, group) = (harness.log(), harness.group("group"));
    let mut old = sole_member(harness, &group, &topics[..1]);
    let mut new = Seat::join(log.as_ref(), &group, &topics[..1]);
    let deadline = Deadline::of(harness);
    let mut moved = None;
    while moved.is_none() {
        old.turn(TURN, |member, shard| {
            member
                .commit(step(vec![numbers(&topics[1], shard, [1])], Vec::new()))
                .unwrap();
            moved = Some(shard);
        });
        new.turn(TURN, |_, _| ());
        deadline.check("asking for a shard that another member is to have");
    }
    settle(harness, &mut [&mut old, &mut new]);
    assert_eq!(read_numbers(log.as_ref(), &topics[1], moved.unwrap()), [1]);
    Outcome::Held
}

/// Copies numbers from one topic to another, a few at a time, and commits every second turn: at
/// any moment some of its work is not committed.
struct Copier {
    seat: Seat,
    at: BTreeMap<Shard, Offset>,
    pending: BTreeMap<Shard, Step>,
}

const RECORDS_PER_STEP: usize = 5;

impl Copier {
    fn join(log: &dyn Log, group: &Group, from: &Topic) -> Self {
        let seat = Seat::join(log, group, std::slice::from_ref(from));
        Self {
            seat,
            at: BTreeMap::new(),
            pending: BTreeMap::new(),
        }
    }

    /// Returns whether there was nothing to do.
    fn turn(&mut self, log: &dyn Log, group: &Group, from: &Topic, to: &Topic) -> bool {
        let Self { seat, at, pending } = self;
        seat.turn(TURN, |member, shard| {
            if let Some(step) = pending.remove(&shard) {
                member.commit(step).unwrap();
            }
        });
        at.retain(|shard, _| seat.owned.contains(shard));
        let mut idle = true;
        for shard in &seat.owned {
            if let Some(step) = pending.remove(shard) {
                seat.member.commit(step).unwrap();
                idle = false;
                continue;
            }
            let at = at.entry(*shard).or_insert_with(|| {
                log.committed(group, from, *shard)
                    .unwrap()
                    .unwrap_or_default()
            });
            let Some(batch) = seat.member.fetch(from, *shard, *at).unwrap() else {
                continue;
            };
            let from_here = *at;
            let records = batch.iter().filter(|record| record.offset >= from_here);
            let mut taken = Vec::new();
            for record in records.take(RECORDS_PER_STEP) {
                taken.push(u64::from_be_bytes(
                    *record.value.unwrap().first_chunk().unwrap(),
                ));
                *at = record.offset.next();
            }
            let done = vec![progress(from, *shard, *at)];
            pending.insert(*shard, step(vec![numbers(to, *shard, taken)], done));
            idle = false;
        }
        idle
    }
}

fn hand_over(harness: &mut dyn Harness) -> Outcome {
    let topics = create(harness, Cleanup::Keep, &["in", "out"]);
    let (log, group) = (harness.log(), harness.group("group"));
    let (log, from, to) = (log.as_ref(), &topics[0], &topics[1]);
    let all_shards = shards(log).collect();
    let mut copiers: Vec<Copier> = Vec::new();
    let mut appended = 0;
    // how many there are after each change; one fewer means that the longest-standing one leaves
    for count in [1, 2, 3, 2, 3, 1, 2, 3] {
        let more: Vec<_> = shards(log)
            .map(|shard| numbers(from, shard, appended..appended + 40))
            .collect();
        append(log, more);
        appended += 40;
        while copiers.len() > count {
            drop(copiers.remove(0));
        }
        while copiers.len() < count {
            copiers.push(Copier::join(log, &group, from));
        }
        let deadline = Deadline::of(harness);
        loop {
            for place in 0..copiers.len() {
                copiers[place].turn(log, &group, from, to);
                let seats: Vec<_> = copiers.iter_mut().map(|copier| &mut copier.seat).collect();
                one_owner_each(&seats);
            }
            let seats: Vec<_> = copiers.iter_mut().map(|copier| &mut copier.seat).collect();
            if settled(&all_shards, &seats) {
                break;
            }
            deadline.check("sharing the shards among those who are there");
        }
    }
    let deadline = Deadline::of(harness);
    loop {
        let idle: Vec<_> = copiers
            .iter_mut()
            .map(|copier| copier.turn(log, &group, from, to))
            .collect();
        if idle.into_iter().all(|idle| idle) {
            break;
        }
        deadline.check("copying the rest");
    }
    for shard in shards(log) {
        assert_eq!(
            read_numbers(log, to, shard),
            (0..appended).collect::<Vec<_>>()
        );
        let last = read_all(log, from, shard).last().unwrap().offset;
        assert_eq!(
            log.committed(&group, from, shard).unwrap(),
            Some(last.next())
        );
    }
    Outcome::Held
}
