//! Where every batch of a log begins and ends, and what the groups have committed: all that is
//! known of a log without reading a batch.
//!
//! # Invariants
//! The batches of a partition are ordered, do not overlap and leave no offset out: each begins
//! where the one before it ends. So a position is at the end, or lies in exactly one batch.

use std::collections::{BTreeMap, HashMap};

use crate::log::storage::{Contents, Extent, Place};
use crate::log::{Cleanup, LogError};
use crate::types::{Group, Offset, Shard, Topic};

/// The index of a log.
#[derive(Default)]
pub(super) struct Index {
    pub(super) topics: BTreeMap<Topic, (Cleanup, Vec<Partition>)>,
    pub(super) committed: HashMap<(Group, Topic, Shard), Offset>,
}

/// A batch of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stored {
    pub(super) base: Offset,
    pub(super) extent: Extent,
}

impl Stored {
    /// Where the next batch begins.
    pub(super) const fn end(&self) -> Offset {
        Offset(self.base.0 + self.extent.span)
    }
}

/// The batches of a partition.
#[derive(Default, Clone)]
pub(super) struct Partition {
    batches: Vec<Stored>,
    /// Of what lies before this offset no key is there twice.
    compacted_to: Offset,
}

impl Index {
    /// # Errors
    /// [`LogError::Damaged`] when a partition's batches overlap or leave a gap.
    pub(super) fn build(contents: Contents, partitions: u32) -> Result<Self, LogError> {
        let Contents {
            topics,
            mut batches,
            committed,
            compacted,
        } = contents;
        let mut index = Self::default();
        for (topic, cleanup) in topics {
            index.create(topic, cleanup, partitions);
        }
        batches.sort_unstable();
        for (Place { topic, shard, base }, extent) in batches {
            let damaged = |damage: &str| LogError::Damaged {
                topic: topic.clone(),
                shard,
                offset: base,
                damage: damage.to_owned(),
            };
            let partition = index
                .partition_mut(&topic, shard)
                .ok_or_else(|| damaged("the batch belongs to no partition of the log"))?;
            if partition
                .batches
                .last()
                .is_some_and(|last| last.end() != base)
            {
                return Err(damaged(
                    "the batch does not begin where the one before it ends",
                ));
            }
            partition.push(Stored { base, extent });
        }
        for (group, topic, shard, offset) in committed {
            index.committed.insert((group, topic, shard), offset);
        }
        for (topic, shard, to) in compacted {
            if let Some(partition) = index.partition_mut(&topic, shard) {
                partition.set_compacted_to(to);
            }
        }
        Ok(index)
    }

    pub(super) fn create(&mut self, topic: Topic, cleanup: Cleanup, partitions: u32) {
        self.topics.insert(
            topic,
            (cleanup, vec![Partition::default(); partitions as usize]),
        );
    }

    /// # Errors
    /// [`LogError::UnknownTopic`], [`LogError::UnknownShard`].
    pub(super) fn partition(&self, topic: &Topic, shard: Shard) -> Result<&Partition, LogError> {
        let (_, partitions) = self
            .topics
            .get(topic)
            .ok_or_else(|| LogError::UnknownTopic(topic.clone()))?;
        partitions
            .get(shard.0 as usize)
            .ok_or_else(|| LogError::UnknownShard {
                topic: topic.clone(),
                shard,
                partitions: partitions.len() as u32,
            })
    }

    pub(super) fn partition_mut(&mut self, topic: &Topic, shard: Shard) -> Option<&mut Partition> {
        self.topics
            .get_mut(topic)
            .and_then(|(_, all)| all.get_mut(shard.0 as usize))
    }
}

impl Partition {
    /// The first batch that reaches beyond `from`.
    pub(super) fn seek(&self, from: Offset) -> Option<Stored> {
        self.batches
            .get(self.batches.partition_point(|stored| stored.end() <= from))
            .copied()
    }

    /// The first offset that may be there.
    pub(super) fn start(&self) -> Offset {
        self.batches.first().map_or(Offset(0), |first| first.base)
    }

    /// The offset that the next record will have.
    pub(super) fn end(&self) -> Offset {
        self.batches.last().map_or(Offset(0), Stored::end)
    }

    /// Where its batches begin.
    pub(super) fn bases(&self) -> impl Iterator<Item = Offset> {
        self.batches.iter().map(|stored| stored.base)
    }

    pub(super) fn push(&mut self, stored: Stored) {
        self.batches.push(stored);
    }

    /// What a compaction now would go over: batches that were compacted before, then the others.
    pub(super) fn clean_and_dirty(&self) -> (&[Stored], &[Stored]) {
        let clean = self
            .batches
            .partition_point(|stored| stored.end() <= self.compacted_to);
        self.batches.split_at_checked(clean).unwrap_or_default()
    }

    pub(super) fn set_compacted_to(&mut self, offset: Offset) {
        self.compacted_to = offset;
    }

    /// Puts one batch in the place of those that it covers, which it does to the offset.
    pub(super) fn replace(&mut self, with: Stored) {
        let from = self
            .batches
            .partition_point(|stored| stored.base < with.base);
        let to = self
            .batches
            .partition_point(|stored| stored.base < with.end());
        if from <= to {
            self.batches.splice(from..to, [with]);
        }
    }

    /// The batches that lie below an offset as a whole. The last batch is never among them: it
    /// keeps the end of the partition known.
    pub(super) fn below(&self, offset: Offset) -> &[Stored] {
        let below = self
            .batches
            .partition_point(|stored| stored.end() <= offset);
        self.batches
            .get(..below.min(self.batches.len().saturating_sub(1)))
            .unwrap_or_default()
    }

    pub(super) fn remove_first(&mut self, count: usize) {
        self.batches.drain(..count.min(self.batches.len()));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
    use super::*;

    fn contents(batches: &[(u64, u64)]) -> Contents {
        let topic = Topic::new("t");
        let place = |base| Place {
            topic: topic.clone(),
            shard: Shard(0),
            base: Offset(base),
        };
        Contents {
            topics: vec![(topic.clone(), Cleanup::Keep)],
            batches: batches
                .iter()
                .map(|(base, span)| {
                    (
                        place(*base),
                        Extent {
                            span: *span,
                            count: 1,
                        },
                    )
                })
                .collect(),
            ..Contents::default()
        }
    }

    fn built(batches: &[(u64, u64)]) -> Result<Partition, LogError> {
        let index = Index::build(contents(batches), 1)?;
        index.partition(&Topic::new("t"), Shard(0)).cloned()
    }

    #[test]
    fn every_position_before_the_end_lies_in_one_batch() {
        let partition = built(&[(7, 2), (4, 3), (9, 1)]).unwrap();
        let bases: Vec<_> = (0..12)
            .map(|from| partition.seek(Offset(from)).map(|stored| stored.base.0))
            .collect();
        let (four, seven, nine) = (Some(4), Some(7), Some(9));
        assert_eq!(
            bases,
            [
                four, four, four, four, four, four, four, seven, seven, nine, None, None
            ]
        );
        assert_eq!(
            (partition.start(), partition.end()),
            (Offset(4), Offset(10))
        );
    }

    #[test]
    fn batches_with_a_gap_or_an_overlap_are_damage() {
        assert!(matches!(
            built(&[(0, 2), (3, 1)]),
            Err(LogError::Damaged {
                offset: Offset(3),
                ..
            })
        ));
        assert!(matches!(
            built(&[(0, 2), (1, 1)]),
            Err(LogError::Damaged {
                offset: Offset(1),
                ..
            })
        ));
    }

    #[test]
    fn a_batch_takes_the_place_of_those_it_covers() {
        let mut partition = built(&[(0, 2), (2, 2), (4, 2), (6, 2)]).unwrap();
        partition.replace(Stored {
            base: Offset(2),
            extent: Extent { span: 4, count: 1 },
        });
        let bases: Vec<_> = partition
            .batches
            .iter()
            .map(|stored| stored.base.0)
            .collect();
        assert_eq!(bases, [0, 2, 6]);
        assert_eq!(partition.end(), Offset(8));
    }

    #[test]
    fn the_last_batch_is_never_below() {
        let partition = built(&[(0, 2), (2, 2)]).unwrap();
        assert_eq!(partition.below(Offset(1)).len(), 0);
        assert_eq!(partition.below(Offset(3)).len(), 1);
        assert_eq!(partition.below(Offset(9)).len(), 1);
    }
}
