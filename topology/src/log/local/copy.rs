//! A log on one machine as the copy of parts of another log: batches come with the offsets that they
//! have there, and how far each part is copied is noted in the same change.
//!
//! Notes are committed offsets of topics that do not exist: they hold no compaction back.

use super::{LocalLog, Prepared, lock};
use crate::batch::{Batch, RecordBatch};
use crate::log::storage::{Change, Extent, Place, Storage};
use crate::log::{Durability, LogError};
use crate::types::{Group, Offset, Shard, TimeMs, Topic};

/// A number that is kept beside the batches.
pub(crate) type Note = (Group, Topic, Shard, Offset);

impl Prepared {
    /// Records that have no offsets yet.
    pub(crate) fn fresh(topic: &Topic, shard: Shard, batch: &Batch, now: TimeMs) -> Self {
        Self {
            topic: topic.clone(),
            shard,
            extent: Extent {
                span: batch.span(),
                count: batch.count(),
            },
            stored: batch.encode(now),
        }
    }

    /// Bytes that are no batch.
    #[cfg(test)]
    pub(crate) fn damaged(topic: &Topic, shard: Shard, span: u64) -> Self {
        Self {
            topic: topic.clone(),
            shard,
            extent: Extent { span, count: 1 },
            stored: b"no batch at all".to_vec(),
        }
    }

    /// Where it goes.
    pub(crate) fn partition(&self) -> (Topic, Shard) {
        (self.topic.clone(), self.shard)
    }

    /// Records as they were read, with all gaps between their offsets.
    pub(crate) fn read(topic: &Topic, shard: Shard, batch: &RecordBatch) -> Self {
        Self {
            topic: topic.clone(),
            shard,
            extent: Extent {
                span: batch.next_offset().0 - batch.base().0,
                count: batch.count(),
            },
            stored: batch.encode(),
        }
    }
}

impl<S: Storage> LocalLog<S> {
    /// Appends batches and writes notes down, as one unit.
    pub(crate) fn take_over(
        &self,
        prepared: Vec<Prepared>,
        notes: Vec<Note>,
    ) -> Result<(), LogError> {
        let mut order = lock(&self.shared.order);
        self.shared
            .apply(&mut order, prepared, notes, Durability::Process)
    }

    /// Whether nothing was ever written to it.
    pub(crate) fn is_untouched(&self) -> bool {
        let index = self.shared.index();
        index.topics.is_empty() && index.committed.is_empty()
    }

    /// A note.
    pub(crate) fn note(&self, group: &Group, topic: &Topic, shard: Shard) -> Option<Offset> {
        let key = (group.clone(), topic.clone(), shard);
        self.shared.index().committed.get(&key).copied()
    }

    /// Empties a partition, which begins anew at offset 0, and sets notes, as one unit.
    pub(crate) fn clear(
        &self,
        topic: &Topic,
        shard: Shard,
        notes: Vec<Note>,
    ) -> Result<(), LogError> {
        let shared = &self.shared;
        let _alone = lock(&shared.compacting);
        let mut order = lock(&shared.order);
        order.check()?;
        let mut index = shared.index_mut();
        let bases = index.partition(topic, shard)?.bases();
        let change = Change {
            removed: bases
                .map(|base| Place {
                    topic: topic.clone(),
                    shard,
                    base,
                })
                .collect(),
            committed: notes.clone(),
            compacted: vec![(topic.clone(), shard, Offset::default())],
            ..Change::default()
        };
        order.note(shared.storage.apply(change, Durability::Process))?;
        if let Some(partition) = index.partition_mut(topic, shard) {
            *partition = Default::default();
        }
        for (group, topic, shard, offset) in notes {
            index.committed.insert((group, topic, shard), offset);
        }
        Ok(())
    }
}
