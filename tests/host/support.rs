//! Directories, logs and records to test with.

use std::path::Path;
use std::sync::Arc;

use sealpost::host::{Host, Opened, Role};
use sealpost_topology::batch::Batch;
use sealpost_topology::log::{Cleanup, ClockMs, Durability, Log, TopicSpec, Write};
use sealpost_topology::types::{Offset, Shard, TimeMs, Topic};

pub(crate) const PARTITIONS: u32 = 3;

pub(crate) fn clock() -> ClockMs {
    Arc::new(|| TimeMs(1_700_000_000_000))
}

pub(crate) fn try_open(data_dir: &Path, role: Role) -> anyhow::Result<Opened> {
    Host::open(data_dir, role, PARTITIONS, clock())
}

pub(crate) fn open(data_dir: &Path, role: Role) -> Opened {
    try_open(data_dir, role).unwrap()
}

pub(crate) fn create(log: &dyn Log, name: &str) -> Topic {
    let topic = Topic::new(name);
    log.create(&[TopicSpec {
        topic: topic.clone(),
        cleanup: Cleanup::Keep,
    }])
    .unwrap();
    topic
}

/// A write of records with numbers as their values.
pub(crate) fn numbers(
    topic: &Topic,
    shard: Shard,
    numbers: impl IntoIterator<Item = u64>,
) -> Write {
    let mut batch = Batch::default();
    for number in numbers {
        batch.push(b"key", Some(&number.to_be_bytes()));
    }
    Write {
        topic: topic.clone(),
        shard,
        batch,
    }
}

pub(crate) fn append(log: &dyn Log, writes: Vec<Write>) {
    log.append(writes, Durability::Process).unwrap();
}

/// The numbers in a partition.
pub(crate) fn read_numbers(log: &dyn Log, topic: &Topic, shard: Shard) -> Vec<u64> {
    let mut seen = Vec::new();
    let mut at = Offset(0);
    while let Some(batch) = log.read(topic, shard, at).unwrap() {
        for record in batch.iter().filter(|record| record.offset >= at) {
            seen.push(u64::from_be_bytes(
                *record.value.unwrap().first_chunk().unwrap(),
            ));
        }
        at = batch.next_offset();
    }
    seen
}
