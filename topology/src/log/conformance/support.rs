//! What the checks share: records as they were read, and members that do as they are told.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Harness;
use crate::batch::{Batch, RecordBatch};
use crate::log::{
    Cleanup, Durability, Log, LogError, Member, Ownership, Progress, Step, TopicSpec, Write,
};
use crate::types::{Group, Offset, Shard, TimeMs, Topic};

/// A record as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) offset: Offset,
    pub(super) appended_at: TimeMs,
    pub(super) key: Vec<u8>,
    pub(super) value: Option<Vec<u8>>,
}

impl Seen {
    /// The value as the number that [`numbers`] wrote.
    pub(super) fn number(&self) -> u64 {
        let value = self.value.as_deref().unwrap();
        u64::from_be_bytes(*value.first_chunk().unwrap())
    }
}

/// Creates topics of one kind.
pub(super) fn create(harness: &dyn Harness, cleanup: Cleanup, names: &[&str]) -> Vec<Topic> {
    let topics: Vec<_> = names.iter().map(|name| harness.topic(name)).collect();
    let specs: Vec<_> = topics
        .iter()
        .map(|topic| TopicSpec {
            topic: topic.clone(),
            cleanup,
        })
        .collect();
    harness.log().create(&specs).unwrap();
    topics
}

/// A write of records with numbers as their values.
pub(super) fn numbers(
    topic: &Topic,
    shard: Shard,
    numbers: impl IntoIterator<Item = u64>,
) -> Write {
    let mut batch = Batch::default();
    for number in numbers {
        batch.push(
            format!("key-{number}").as_bytes(),
            Some(&number.to_be_bytes()),
        );
    }
    Write {
        topic: topic.clone(),
        shard,
        batch,
    }
}

/// A write of records with keys and values.
pub(super) fn pairs(topic: &Topic, shard: Shard, pairs: &[(&[u8], Option<&[u8]>)]) -> Write {
    let mut batch = Batch::default();
    for (key, value) in pairs {
        batch.push(key, *value);
    }
    Write {
        topic: topic.clone(),
        shard,
        batch,
    }
}

/// Appends, to survive the process.
pub(super) fn append(log: &dyn Log, writes: Vec<Write>) {
    log.append(writes, Durability::Process).unwrap();
}

/// Everything at or after an offset, in the order of reading, through `next`: once to the end.
pub(super) fn drain(
    from: Offset,
    mut next: impl FnMut(Offset) -> Result<Option<RecordBatch>, LogError>,
) -> (Vec<Seen>, Offset) {
    let mut seen: Vec<Seen> = Vec::new();
    let mut at = from;
    while let Some(batch) = next(at).unwrap() {
        let before = seen.len();
        for record in batch.iter().filter(|record| record.offset >= at) {
            assert!(
                seen.last().is_none_or(|last| last.offset < record.offset),
                "offsets must grow, but {} follows {:?}",
                record.offset,
                seen.last().map(|last| last.offset)
            );
            seen.push(Seen {
                offset: record.offset,
                appended_at: record.appended_at,
                key: record.key.to_vec(),
                value: record.value.map(<[u8]>::to_vec),
            });
        }
        assert!(
            seen.len() > before,
            "a read at {at} gave a batch with nothing at or after it"
        );
        assert!(
            seen.last().unwrap().offset < batch.next_offset(),
            "reading on would repeat"
        );
        at = batch.next_offset();
    }
    (seen, at)
}

/// Everything in a partition at or after an offset, outside any group.
pub(super) fn read_from(log: &dyn Log, topic: &Topic, shard: Shard, from: Offset) -> Vec<Seen> {
    drain(from, |at| log.read(topic, shard, at)).0
}

/// Everything in a partition, outside any group.
pub(super) fn read_all(log: &dyn Log, topic: &Topic, shard: Shard) -> Vec<Seen> {
    read_from(log, topic, shard, Offset(0))
}

/// The numbers in a partition.
pub(super) fn read_numbers(log: &dyn Log, topic: &Topic, shard: Shard) -> Vec<u64> {
    read_all(log, topic, shard)
        .iter()
        .map(Seen::number)
        .collect()
}

/// All shards of a log.
pub(super) fn shards(log: &dyn Log) -> impl Iterator<Item = Shard> + use<> {
    (0..log.partitions()).map(Shard)
}

/// A member that gives away at once what it is asked for.
pub(super) struct Seat {
    pub(super) member: Box<dyn Member>,
    pub(super) owned: BTreeSet<Shard>,
}

impl Seat {
    pub(super) fn join(log: &dyn Log, group: &Group, topics: &[Topic]) -> Self {
        Self {
            member: log.join(group, topics).unwrap(),
            owned: BTreeSet::new(),
        }
    }

    /// One poll. What is revoked is released after `before_release` was called for it.
    pub(super) fn turn(
        &mut self,
        timeout: Duration,
        mut before_release: impl FnMut(&mut dyn Member, Shard),
    ) -> Vec<Ownership> {
        let changes = self.member.poll(timeout).unwrap();
        for change in &changes {
            match *change {
                Ownership::Assigned(shard) => {
                    assert!(self.owned.insert(shard), "shard {shard} was assigned twice");
                }
                Ownership::Revoked(shard) => {
                    assert!(
                        self.owned.remove(&shard),
                        "shard {shard} was revoked, but not owned"
                    );
                    before_release(self.member.as_mut(), shard);
                    self.member.release(shard);
                }
                Ownership::Lost(shard) => {
                    assert!(
                        self.owned.remove(&shard),
                        "shard {shard} was lost, but not owned"
                    );
                }
            }
        }
        changes
    }

    /// Everything in an owned partition at or after an offset.
    pub(super) fn fetch_from(&mut self, topic: &Topic, shard: Shard, from: Offset) -> Vec<Seen> {
        drain(from, |at| self.member.fetch(topic, shard, at)).0
    }
}

/// One poll's patience while members are brought to agree.
pub(super) const TURN: Duration = Duration::from_millis(20);

/// Lets the members do as they are told until every shard has an owner and the shares are equal.
pub(super) fn settle(harness: &dyn Harness, seats: &mut [&mut Seat]) {
    let shards: BTreeSet<_> = shards(harness.log().as_ref()).collect();
    let until = Instant::now() + harness.deadline();
    while !settled(&shards, seats) {
        assert!(
            Instant::now() < until,
            "the members own {:?}, and not equal shares of all",
            seats.iter().map(|seat| &seat.owned).collect::<Vec<_>>()
        );
        for place in 0..seats.len() {
            seats[place].turn(TURN, |_, _| ());
            one_owner_each(seats);
        }
    }
}

/// No shard has two owners.
pub(super) fn one_owner_each(seats: &[&mut Seat]) {
    let mut taken = BTreeSet::new();
    for shard in seats.iter().flat_map(|seat| &seat.owned) {
        assert!(taken.insert(*shard), "shard {shard} has two owners");
    }
}

/// Whether all shards are owned in equal shares.
pub(super) fn settled(shards: &BTreeSet<Shard>, seats: &[&mut Seat]) -> bool {
    let owned: BTreeSet<_> = seats
        .iter()
        .flat_map(|seat| seat.owned.iter().copied())
        .collect();
    let most = seats.iter().map(|seat| seat.owned.len()).max().unwrap_or(0);
    let least = seats.iter().map(|seat| seat.owned.len()).min().unwrap_or(0);
    owned == *shards && most - least <= 1
}

/// A member that owns every shard.
pub(super) fn sole_member(harness: &dyn Harness, group: &Group, topics: &[Topic]) -> Seat {
    let log = harness.log();
    let mut seat = Seat::join(log.as_ref(), group, topics);
    settle(harness, &mut [&mut seat]);
    seat
}

/// Progress of one partition.
pub(super) fn progress(topic: &Topic, shard: Shard, offset: Offset) -> Progress {
    Progress {
        topic: topic.clone(),
        shard,
        offset,
    }
}

/// A step, to survive the process.
pub(super) fn step(writes: Vec<Write>, progress: Vec<Progress>) -> Step {
    Step {
        writes,
        progress,
        durability: Durability::Process,
    }
}

/// A deadline that has not passed.
pub(super) struct Deadline(Instant);

impl Deadline {
    pub(super) fn of(harness: &dyn Harness) -> Self {
        Self(Instant::now() + harness.deadline())
    }

    pub(super) fn check(&self, what: &str) {
        assert!(Instant::now() < self.0, "it took too long: {what}");
    }
}

/// The log and the names that most checks need.
pub(super) fn one_topic(harness: &dyn Harness) -> (Arc<dyn Log>, Topic) {
    let topic = create(harness, Cleanup::Keep, &["data"]).remove(0);
    (harness.log(), topic)
}
