//! The log as it lies on disk while no process has it open.

use std::path::Path;
use std::sync::Arc;

use sealpost_topology::batch::Batch;
use sealpost_topology::log::{Durability, EmbeddedLog, Log as _, Write};
use sealpost_topology::partitioner::shard_of;
use sealpost_topology::types::{Offset, Shard, TimeMs, Topic};

/// What a log is made with where the configuration says nothing of it.
const PARTITIONS: u32 = 8;

fn open(data: &Path) -> EmbeddedLog {
    EmbeddedLog::open_directory(&data.join("log"), PARTITIONS, Arc::new(|| TimeMs(0))).unwrap()
}

/// Every value of a topic.
pub(crate) fn values(data: &Path, topic: &str) -> Vec<Vec<u8>> {
    let (log, topic) = (open(data), Topic::new(topic));
    let mut values = Vec::new();
    for shard in (0..PARTITIONS).map(Shard) {
        let mut at = Offset(0);
        while let Some(batch) = log.read(&topic, shard, at).unwrap() {
            let records = batch.iter().filter(|record| record.offset >= at);
            values.extend(records.filter_map(|record| record.value.map(<[u8]>::to_vec)));
            at = batch.next_offset();
        }
    }
    values
}

/// Appends a value as a producer from outside does: by the key's partition.
pub(crate) fn append(data: &Path, topic: &str, key: &str, value: &[u8]) {
    let mut batch = Batch::default();
    batch.push(key.as_bytes(), Some(value));
    let write = Write {
        topic: Topic::new(topic),
        shard: shard_of(key.as_bytes(), PARTITIONS),
        batch,
    };
    open(data).append(vec![write], Durability::Process).unwrap();
}
