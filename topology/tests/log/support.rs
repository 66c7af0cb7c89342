//! Logs to test with, and short ways to fill and read them.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use sealpost_topology::batch::Batch;
use sealpost_topology::log::{
    Cleanup, ClockMs, EmbeddedLog, Faults, Log, LogError, MemoryLog, TopicSpec, Write,
};
use sealpost_topology::types::{Offset, Shard, TimeMs, Topic};

/// A clock that a test sets.
#[derive(Debug, Clone)]
pub(crate) struct Clock(Arc<AtomicI64>);

impl Default for Clock {
    fn default() -> Self {
        Self(Arc::new(AtomicI64::new(1_700_000_000_000)))
    }
}

impl Clock {
    pub(crate) fn advance_ms(&self, ms: i64) {
        self.0.fetch_add(ms, Ordering::SeqCst);
    }

    pub(crate) fn reader(&self) -> ClockMs {
        let now = Arc::clone(&self.0);
        Arc::new(move || TimeMs(now.load(Ordering::SeqCst)))
    }
}

pub(crate) fn in_memory(partitions: u32) -> MemoryLog {
    MemoryLog::in_memory(partitions, Clock::default().reader(), Faults::default()).unwrap()
}

pub(crate) fn open(directory: &Path, partitions: u32) -> Result<EmbeddedLog, LogError> {
    EmbeddedLog::open_directory(directory, partitions, Clock::default().reader())
}

pub(crate) fn create(log: &dyn Log, cleanup: Cleanup, name: &str) -> Topic {
    let topic = Topic::new(name);
    log.create(&[TopicSpec {
        topic: topic.clone(),
        cleanup,
    }])
    .unwrap();
    topic
}

pub(crate) fn records(topic: &Topic, shard: Shard, records: &[(&str, Option<&str>)]) -> Write {
    let mut batch = Batch::default();
    for (key, value) in records {
        batch.push(key.as_bytes(), value.map(str::as_bytes));
    }
    Write {
        topic: topic.clone(),
        shard,
        batch,
    }
}

/// Key, value, offset of every record of a partition.
pub(crate) type Read = (u64, Vec<u8>, Option<Vec<u8>>);

pub(crate) fn read_all(log: &dyn Log, topic: &Topic, shard: Shard) -> Vec<Read> {
    let mut seen = Vec::new();
    let mut at = Offset(0);
    while let Some(batch) = log.read(topic, shard, at).unwrap() {
        for record in batch.iter().filter(|record| record.offset >= at) {
            let value = record.value.map(<[u8]>::to_vec);
            seen.push((record.offset.0, record.key.to_vec(), value));
        }
        at = batch.next_offset();
    }
    seen
}

/// Bytes of all files in a directory and below.
pub(crate) fn bytes_on_disk(directory: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            match entry.metadata() {
                Ok(metadata) if metadata.is_dir() => bytes_on_disk(&entry.path()),
                Ok(metadata) => metadata.blocks() * 512,
                // removed meanwhile
                Err(_) => 0,
            }
        })
        .sum()
}
