//! Compaction and trimming: how a log on one machine becomes smaller.
//!
//! # Invariants
//! - Of each key the last record stays, at its offset and with its time. A tombstone that is the
//!   last record of its key stays for [`TOMBSTONE_KEPT_MS`], as long as Kafka keeps it by
//!   default, so that whoever is less than that behind learns that the key is gone.
//! - A partition is rewritten from its start, one run of batches after another, each run in one
//!   atomic change. Whatever a crash or an error leaves behind is a log that says the same: a
//!   record goes only when a later one of its key is stored, and a tombstone goes after
//!   everything that it deletes.
//! - What some group has not read yet is left as it was written: a group whose committed offset
//!   lies below a batch holds it back.
//! - One thread compacts or trims at a time; writers and readers go on meanwhile and wait for one
//!   run at most.
//! - How far a partition was compacted is stored with it: opened again, only what is new counts.
//! - Memory: two batches, and each key written since the last time with 24 bytes beside it.

mod latest;

use crate::batch::{Batch, Record};
use crate::log::storage::{Change, Extent, Place, Storage};
use crate::log::{Cleanup, Durability, LogError};
use crate::types::{Offset, Shard, TimeMs, Topic};

use self::latest::Latest;
use super::index::Stored;
use super::{BATCH_BYTES_MAX, LocalLog, Shared, lock};

/// How long a tombstone stays: 24 hours.
pub(super) const TOMBSTONE_KEPT_MS: i64 = 24 * 60 * 60 * 1_000;

/// From this body size on a batch is large enough to be left alone.
const BATCH_BYTES_FULL: usize = BATCH_BYTES_MAX / 2;

/// How many batches one change removes when trimming.
const TRIMMED_BATCHES_MAX: usize = 1_024;

impl<S: Storage> LocalLog<S> {
    /// Compacts every partition of a compacted topic into which more than `dirty_min` records
    /// were written since the last time, and more than half of what it held then. Returns how
    /// many records went.
    ///
    /// # Errors
    /// [`LogError`] of the storage.
    pub fn compact(&self, dirty_min: u64) -> Result<u64, LogError> {
        let shared = &self.shared;
        let _alone = lock(&shared.compacting);
        let mut due: Vec<(Topic, Shard)> = Vec::new();
        for (topic, (cleanup, partitions)) in &shared.index().topics {
            if *cleanup == Cleanup::Compact {
                due.extend((0_u32..).map(Shard).zip(partitions).filter_map(
                    |(shard, partition)| {
                        let (clean, dirty) = partition.clean_and_dirty();
                        let (clean, dirty) = (records(clean), records(dirty));
                        (dirty > dirty_min && dirty > clean / 2).then(|| (topic.clone(), shard))
                    },
                ));
            }
        }
        due.into_iter().try_fold(0, |gone, (topic, shard)| {
            shared.compact(&topic, shard).map(|records| gone + records)
        })
    }

    /// Removes the batches of a partition that lie below an offset as a whole; the last batch
    /// stays. Whether somebody still needs them is for the caller to know.
    ///
    /// # Errors
    /// [`LogError`] when there is no such partition, or of the storage.
    pub fn trim(&self, topic: &Topic, shard: Shard, below: Offset) -> Result<(), LogError> {
        let shared = &self.shared;
        let _alone = lock(&shared.compacting);
        loop {
            let bases: Vec<_> = shared
                .index()
                .partition(topic, shard)?
                .below(below)
                .iter()
                .take(TRIMMED_BATCHES_MAX)
                .map(|stored| stored.base)
                .collect();
            if bases.is_empty() {
                return Ok(());
            }
            let removed = bases
                .iter()
                .map(|base| place(topic, shard, *base))
                .collect();
            let mut order = lock(&shared.order);
            order.check()?;
            let mut index = shared.index_mut();
            let change = Change {
                removed,
                ..Change::default()
            };
            order.note(shared.storage.apply(change, Durability::Process))?;
            if let Some(partition) = index.partition_mut(topic, shard) {
                partition.remove_first(bases.len());
            }
        }
    }
}

fn records(batches: &[Stored]) -> u64 {
    batches
        .iter()
        .map(|stored| u64::from(stored.extent.count))
        .sum()
}

fn place(topic: &Topic, shard: Shard, base: Offset) -> Place {
    Place {
        topic: topic.clone(),
        shard,
        base,
    }
}

impl<S: Storage> Shared<S> {
    fn compact(&self, topic: &Topic, shard: Shard) -> Result<u64, LogError> {
        let (clean, dirty) = {
            let index = self.index();
            // what a group has still to read stays as it was written: a record at a cut must not
            // go because of one behind it
            let readers = index
                .committed
                .iter()
                .filter(|((_, of, at), _)| of == topic && *at == shard);
            let read = readers.map(|(_, offset)| *offset).min();
            let (clean, dirty) = index.partition(topic, shard)?.clean_and_dirty();
            let dirty = dirty
                .iter()
                .take_while(|stored| read.is_none_or(|read| stored.end() <= read));
            (clean.to_vec(), dirty.cloned().collect::<Vec<_>>())
        };
        if dirty.is_empty() {
            return Ok(0);
        }
        // no two records of a key are among the clean ones: what makes them old is dirty
        let mut latest = Latest::default();
        for stored in &dirty {
            for record in self.load(topic, shard, stored.base)?.iter() {
                latest.note(record.key);
            }
        }
        let kept_since = TimeMs((self.clock)().0.saturating_sub(TOMBSTONE_KEPT_MS));
        let mut gone = 0;
        let mut run = Run::default();
        let mut stays = Vec::new();
        for (place, stored) in clean.iter().chain(&dirty).enumerate() {
            let batch = self.load(topic, shard, stored.base)?;
            stays.clear();
            stays.extend(batch.iter().map(|record| {
                let is_old = if place < clean.len() {
                    latest.has(record.key)
                } else {
                    latest.next_is_old()
                };
                !is_old && (record.value.is_some() || record.appended_at >= kept_since)
            }));
            let dead = stays.iter().filter(|stays| !**stays).count() as u64;
            gone += dead;
            if dead == 0 && batch.bytes() >= BATCH_BYTES_FULL {
                self.rewrite(topic, shard, std::mem::take(&mut run))?;
                continue;
            }
            let kept = batch.iter().zip(&stays).filter(|(_, stays)| **stays);
            run.take(stored, dead, kept.map(|(record, _)| record));
            if run.batch.bytes() >= BATCH_BYTES_FULL {
                self.rewrite(topic, shard, std::mem::take(&mut run))?;
            }
        }
        self.rewrite(topic, shard, run)?;
        if let Some(last) = dirty.last() {
            self.compacted(topic, shard, last.end())?;
        }
        Ok(gone)
    }

    /// Notes how far a partition is compacted.
    fn compacted(&self, topic: &Topic, shard: Shard, to: Offset) -> Result<(), LogError> {
        let change = Change {
            compacted: vec![(topic.clone(), shard, to)],
            ..Change::default()
        };
        let mut order = lock(&self.order);
        order.check()?;
        order.note(self.storage.apply(change, Durability::Process))?;
        if let Some(partition) = self.index_mut().partition_mut(topic, shard) {
            partition.set_compacted_to(to);
        }
        Ok(())
    }

    fn rewrite(&self, topic: &Topic, shard: Shard, run: Run) -> Result<(), LogError> {
        let Some((with, stored, covered)) = run.close() else {
            return Ok(());
        };
        let removed = covered
            .iter()
            .skip(1)
            .map(|base| place(topic, shard, *base))
            .collect();
        let put = vec![(place(topic, shard, with.base), with.extent, stored)];
        let mut order = lock(&self.order);
        order.check()?;
        // a reader that has looked into the index meanwhile finds no batch and looks again
        let mut index = self.index_mut();
        let change = Change {
            put,
            removed,
            ..Change::default()
        };
        order.note(self.storage.apply(change, Durability::Process))?;
        if let Some(partition) = index.partition_mut(topic, shard) {
            partition.replace(with);
        }
        Ok(())
    }
}

/// Batches in a row that become one.
#[derive(Default)]
struct Run {
    bases: Vec<Offset>,
    end: Offset,
    time: Option<TimeMs>,
    batch: Batch,
    dead: u64,
}

impl Run {
    fn take<'a>(&mut self, stored: &Stored, dead: u64, records: impl Iterator<Item = Record<'a>>) {
        self.bases.push(stored.base);
        self.end = stored.end();
        self.dead += dead;
        let base = self.bases.first().copied().unwrap_or_default();
        for record in records {
            let time = *self.time.get_or_insert(record.appended_at);
            self.batch.push_kept(base, time, &record);
        }
    }

    /// The batch that covers them all, and where they began; `None` if it would be the one that is
    /// there.
    fn close(mut self) -> Option<(Stored, Vec<u8>, Vec<Offset>)> {
        let base = *self.bases.first()?;
        if self.bases.len() == 1 && self.dead == 0 {
            return None;
        }
        self.batch.extend_span(self.end.0 - base.0);
        let extent = Extent {
            span: self.batch.span(),
            count: self.batch.count(),
        };
        let stored = self.batch.encode(self.time.unwrap_or_default());
        Some((Stored { base, extent }, stored, self.bases))
    }
}
