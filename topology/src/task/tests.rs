#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;

use super::*;
use crate::graph::InputSpec;
use crate::log::{Bounds, Cleanup, CutBuilder, Durability, Faults, MemoryLog, Progress, TopicSpec};
use crate::types::{Group, Topic};

/// A log with something nearer at hand.
struct Near {
    log: MemoryLog,
    near: RecordBatch,
}

impl Log for Near {
    fn partitions(&self) -> u32 {
        self.log.partitions()
    }
    fn create(&self, topics: &[TopicSpec]) -> Result<(), LogError> {
        self.log.create(topics)
    }
    fn append(&self, writes: Vec<Write>, durability: Durability) -> Result<(), LogError> {
        self.log.append(writes, durability)
    }
    fn append_cut(&self, cut: &[Topic], build: &mut CutBuilder<'_>) -> Result<(), LogError> {
        self.log.append_cut(cut, build)
    }
    fn bounds(&self, topic: &Topic, shard: Shard) -> Result<Bounds, LogError> {
        self.log.bounds(topic, shard)
    }
    fn read(
        &self,
        topic: &Topic,
        shard: Shard,
        from: Offset,
    ) -> Result<Option<RecordBatch>, LogError> {
        self.log.read(topic, shard, from)
    }
    fn committed(
        &self,
        group: &Group,
        topic: &Topic,
        shard: Shard,
    ) -> Result<Option<Offset>, LogError> {
        self.log.committed(group, topic, shard)
    }
    fn set_committed(&self, group: &Group, progress: &[Progress]) -> Result<(), LogError> {
        self.log.set_committed(group, progress)
    }
    fn at_hand(&self, _: &Topic, _: Shard, _: Offset) -> Result<Option<RecordBatch>, LogError> {
        Ok(Some(self.near.clone()))
    }
    fn join(&self, group: &Group, topics: &[Topic]) -> Result<Box<dyn Member>, LogError> {
        self.log.join(group, topics)
    }
}

#[test]
fn what_is_compacted_away_near_by_is_looked_up_in_the_log() {
    let topic = Topic::new("table");
    let log = MemoryLog::in_memory(1, Arc::new(|| TimeMs(7)), Faults::default()).unwrap();
    let cleanup = Cleanup::Compact;
    log.create(&[TopicSpec {
        topic: topic.clone(),
        cleanup,
    }])
    .unwrap();
    let mut batch = Batch::default();
    batch.push(b"a", Some(b"first"));
    batch.push(b"a", Some(b"second"));
    let write = Write {
        topic: topic.clone(),
        shard: Shard(0),
        batch,
    };
    log.append(vec![write], Durability::Process).unwrap();
    let near = log
        .read(&topic, Shard(0), Offset(0))
        .unwrap()
        .unwrap()
        .only_from(Offset(1));
    let spec = StageSpec {
        name: "stage",
        group: Group::new("group"),
        inputs: vec![InputSpec {
            topic,
            role: Role::Data,
        }],
        outputs: Vec::new(),
        stores: Vec::new(),
        effect_durability: Durability::Process,
        note: "",
    };
    let (log, mut cache) = (Near { log, near }, LookupCache::default());
    let mut lookup = LogLookup {
        log: &log,
        spec: &spec,
        shard: Shard(0),
        cache: &mut cache,
    };
    // in this order the batch near by is in the cache when the other one is asked for
    for (offset, expected) in [(1, &b"second"[..]), (0, b"first"), (1, b"second")] {
        let value = lookup.value(InputId(0), b"a", Offset(offset)).unwrap();
        assert_eq!(value.as_deref(), Some(expected));
    }
}

impl RecordBatch {
    /// The same offsets, with the records before one of them gone.
    fn only_from(&self, offset: Offset) -> Self {
        let mut left = Batch::default();
        for record in self.iter().filter(|record| record.offset >= offset) {
            left.push_kept(self.base(), record.appended_at, &record);
        }
        left.extend_span(self.next_offset().0 - self.base().0);
        Self::placed(left, self.base(), TimeMs(7))
    }
}
