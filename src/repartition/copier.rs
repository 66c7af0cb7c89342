//! Records on their way into the partitions of one new topic, and their reading back.
//!
//! # Invariants
//! - A portion is one transaction, of bounded size.
//! - What was written is read back before it counts: the same records, in the same order, and none
//!   besides, so that whoever else writes to the new topics is found out.

use anyhow::{Result, bail};
use sealpost_topology::batch::Batch;
use sealpost_topology::log::{Durability, Write};
use sealpost_topology::types::{Offset, Shard, Topic};

use super::side::{Side, digest};

/// Records, and bytes, of one transaction.
const PORTION_RECORDS: u32 = 5_000;
const PORTION_BYTES: usize = 8 * 1024 * 1024;

/// One new partition.
#[derive(Default)]
struct Target {
    batch: Batch,
    /// What the caller knows each record by, in the order of writing.
    tags: Vec<u64>,
    sum: u128,
    from: Offset,
}

/// See the module.
pub(super) struct Copier<'a> {
    to: &'a Side,
    topic: Topic,
    targets: Vec<Target>,
    records: u32,
    bytes: usize,
}

impl<'a> Copier<'a> {
    /// A copier that appends from `from` on, by partition: where the last one ended.
    pub(super) fn new(to: &'a Side, topic: &Topic, from: &[Offset]) -> Self {
        let target = |shard: Shard| Target {
            from: from.get(shard.0 as usize).copied().unwrap_or_default(),
            ..Target::default()
        };
        Self {
            to,
            topic: topic.clone(),
            targets: to.shards().map(target).collect(),
            records: 0,
            bytes: 0,
        }
    }

    /// Appends a record to the partition of its key.
    pub(super) fn put(&mut self, tag: u64, key: &[u8], value: Option<&[u8]>) -> Result<()> {
        self.put_at(self.to.shard_of_key(key), tag, key, value)
    }

    /// Appends a record to every partition.
    pub(super) fn put_everywhere(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        self.to
            .shards()
            .try_for_each(|shard| self.put_at(shard, 0, key, Some(value)))
    }

    /// Appends a record to a partition.
    pub(super) fn put_at(
        &mut self,
        shard: Shard,
        tag: u64,
        key: &[u8],
        value: Option<&[u8]>,
    ) -> Result<()> {
        let Some(target) = self.targets.get_mut(shard.0 as usize) else {
            bail!("partition {shard} of {} is none: this is a bug", self.topic);
        };
        target.sum = mixed(target.sum, key, value);
        target.tags.push(tag);
        target.batch.push(key, value);
        self.records += 1;
        self.bytes += key.len() + value.map_or(0, <[u8]>::len);
        if self.records >= PORTION_RECORDS || self.bytes >= PORTION_BYTES {
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        let writes = self
            .targets
            .iter_mut()
            .zip(self.to.shards())
            .filter(|(target, _)| !target.batch.is_empty())
            .map(|(target, shard)| Write {
                topic: self.topic.clone(),
                shard,
                batch: std::mem::take(&mut target.batch),
            })
            .collect();
        (self.records, self.bytes) = (0, 0);
        self.to.log.append(writes, Durability::Machine)?;
        Ok(())
    }

    /// Writes what is left, into topics that others write to as well.
    pub(super) fn close(mut self) -> Result<()> {
        self.flush()
    }

    /// Writes what is left, and reads everything back: `see` is shown each record's tag, key and
    /// new offset. Returns where each partition ends now.
    pub(super) fn finish(mut self, see: &mut dyn FnMut(u64, &[u8], Offset)) -> Result<Vec<Offset>> {
        self.flush()?;
        let mut ends = Vec::with_capacity(self.targets.len());
        for (target, shard) in self.targets.iter().zip(self.to.shards()) {
            let (mut sum, mut count, mut at) = (0, 0, target.from);
            let topic = &self.topic;
            while !target.tags.is_empty()
                && let Some(batch) = self.to.log.read(topic, shard, at)?
            {
                for record in batch.iter().filter(|record| record.offset >= at) {
                    sum = mixed(sum, record.key, record.value);
                    if let Some(tag) = target.tags.get(count) {
                        see(*tag, record.key, record.offset);
                    }
                    count += 1;
                }
                at = batch.next_offset();
            }
            if (count, sum) != (target.tags.len(), target.sum) {
                bail!(
                    "partition {shard} of {topic} holds other records than were written to it ({count} instead of {}): stop whoever else writes to the new topics, then `sealpost repartition --resume`",
                    target.tags.len()
                );
            }
            ends.push(at);
        }
        Ok(ends)
    }
}

/// Depends on the order.
fn mixed(sum: u128, key: &[u8], value: Option<&[u8]>) -> u128 {
    let kind: &[u8] = if value.is_some() { b"v" } else { b"" };
    let record = digest(&[key, kind, value.unwrap_or_default()]);
    sum.rotate_left(1).wrapping_add(record)
}
