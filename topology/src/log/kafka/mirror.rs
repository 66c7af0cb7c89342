//! Local copies of compacted topics: a restart reads what changed since, not everything, and a
//! row is looked up without asking a broker.
//!
//! # Layout
//! An LSM engine (fjall) in the directory. For each topic a keyspace of its name holds
//! (offset 8, value) under (partition 4, record key); `marks` holds (offset 8, time in ms 8) under
//! (topic's name, 0, partition 4), and `cluster` → the cluster's id. All numbers big-endian.
//!
//! # Invariants
//! - A copy reflects every committed record before its mark. It may hold later ones already: to
//!   read on from the mark puts every key at its last record all the same.
//! - The mark moves in one batch with the rows that it is the mark of, or after them.
//! - A copy is a cache: one that is of another cluster, ahead of its topic, or so old that a
//!   deletion may have been compacted away since, is thrown away.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Mutex;

use fjall::{Database, Keyspace, KeyspaceCreateOptions};

use super::lock;
use super::topics::DELETE_RETENTION_MS;
use crate::batch::{Batch, RecordBatch};
use crate::log::{LogError, SeeRow};
use crate::types::{Offset, Shard, TimeMs, Topic};

const CACHE_BYTES: u64 = 64 * 1024 * 1024;
const MEMTABLE_BYTES: u64 = 32 * 1024 * 1024;
const JOURNAL_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// See the module.
pub(super) struct Mirror {
    directory: String,
    database: Database,
    marks: Keyspace,
    tables: Mutex<HashMap<Topic, Keyspace>>,
    /// The marks, as they stand on disk.
    at: Mutex<HashMap<(Topic, Shard), Offset>>,
}

impl Mirror {
    /// Opens the copies in a directory; those of another cluster are thrown away.
    pub(super) fn open(directory: &Path, cluster: &str) -> Result<Self, LogError> {
        let name = directory.display().to_string();
        let mirror = Self::open_any(directory, &name)?;
        let of = mirror.marks.get("cluster").map_err(|e| failed(&name, &e))?;
        match of {
            Some(of) if &*of == cluster.as_bytes() => return Ok(mirror),
            None => {}
            Some(_) => {
                tracing::warn!(
                    directory = name,
                    "local copies are of another cluster: made anew"
                );
                drop(mirror);
                std::fs::remove_dir_all(directory).map_err(|e| failed(&name, &e.into()))?;
                return Self::open(directory, cluster);
            }
        }
        mirror
            .marks
            .insert("cluster", cluster.as_bytes())
            .map_err(|e| failed(&name, &e))?;
        Ok(mirror)
    }

    fn open_any(directory: &Path, name: &str) -> Result<Self, LogError> {
        let database = Database::builder(directory)
            .cache_size(CACHE_BYTES)
            .max_journaling_size(JOURNAL_BYTES_MAX)
            .worker_threads(1)
            .open()
            .map_err(|error| match error {
                fjall::Error::Locked => LogError::InUse {
                    path: name.to_owned(),
                },
                error => failed(name, &error),
            })?;
        let marks = keyspace(&database, "marks").map_err(|e| failed(name, &e))?;
        Ok(Self {
            directory: name.to_owned(),
            database,
            marks,
            tables: Mutex::default(),
            at: Mutex::default(),
        })
    }

    /// Up to where a copy reflects its partition, if it is fit to be read on from there.
    pub(super) fn mark(
        &self,
        topic: &Topic,
        shard: Shard,
        end: Offset,
        now: TimeMs,
    ) -> Result<Offset, LogError> {
        let partition = (topic.clone(), shard);
        if let Some(at) = lock(&self.at).get(&partition) {
            return Ok(*at);
        }
        let stored = self
            .marks
            .get(mark_key(topic, shard))
            .map_err(|e| self.failed(&e))?;
        let (at, time) = stored
            .as_deref()
            .and_then(|stored| {
                let (at, rest) = stored.split_first_chunk::<8>()?;
                let time = rest.first_chunk::<8>()?;
                Some((Offset(u64::from_be_bytes(*at)), i64::from_be_bytes(*time)))
            })
            .unwrap_or_default();
        let age_ms = now.0.saturating_sub(time);
        let fit = at <= end && u64::try_from(age_ms).unwrap_or(0) < DELETE_RETENTION_MS;
        let at = if fit || at == Offset(0) {
            at
        } else {
            tracing::warn!(%topic, %shard, "a local copy is too old or ahead of its topic: made anew");
            self.discard(topic, shard)?;
            Offset(0)
        };
        lock(&self.at).insert(partition, at);
        Ok(at)
    }

    /// Takes over what was read from `from` on, as far as it is not reflected yet; nothing if
    /// something before it is missing.
    pub(super) fn apply(
        &self,
        topic: &Topic,
        shard: Shard,
        from: Offset,
        read: &RecordBatch,
        now: TimeMs,
    ) -> Result<(), LogError> {
        let partition = (topic.clone(), shard);
        let at = lock(&self.at).get(&partition).copied();
        let Some(at) = at.filter(|at| from <= *at && *at < read.next_offset()) else {
            return Ok(());
        };
        let table = self.table(topic)?;
        let mut batch = self.database.batch();
        for record in read.iter().filter(|record| record.offset >= at) {
            let key = row_key(shard, record.key);
            match record.value {
                Some(value) => {
                    let row = [&record.offset.0.to_be_bytes(), value].concat();
                    batch.insert(&table, key, row);
                }
                None => batch.remove(&table, key),
            }
        }
        let next = read.next_offset();
        batch.insert(&self.marks, mark_key(topic, shard), mark_value(next, now));
        batch.commit().map_err(|e| self.failed(&e))?;
        lock(&self.at).insert(partition, next);
        Ok(())
    }

    /// Takes over changes that were committed, and the marks that are certain by now.
    pub(super) fn follow(
        &self,
        changes: &[(&Topic, Shard, &Batch)],
        marks: &[((Topic, Shard), Offset)],
        now: TimeMs,
    ) -> Result<(), LogError> {
        let mut batch = self.database.batch();
        for (topic, shard, changed) in changes {
            let table = self.table(topic)?;
            for record in changed.iter() {
                let key = row_key(*shard, record.key);
                match record.value {
                    // the offset of a change of our own is nobody's to look up
                    Some(value) => {
                        let row = [&u64::MAX.to_be_bytes(), value].concat();
                        batch.insert(&table, key, row);
                    }
                    None => batch.remove(&table, key),
                }
            }
        }
        for ((topic, shard), at) in marks {
            batch.insert(&self.marks, mark_key(topic, *shard), mark_value(*at, now));
        }
        batch.commit().map_err(|e| self.failed(&e))?;
        lock(&self.at).extend(marks.iter().cloned());
        Ok(())
    }

    /// Shows every row of a partition, in the order of keys.
    pub(super) fn for_each(
        &self,
        topic: &Topic,
        shard: Shard,
        see: &mut SeeRow<'_>,
    ) -> Result<(), LogError> {
        let table = self.table(topic)?;
        for row in table.prefix(shard.0.to_be_bytes()) {
            let (key, value) = row.into_inner().map_err(|e| self.failed(&e))?;
            if let (Some(key), Some(value)) = (key.get(4..), value.get(8..)) {
                see(key, Some(value));
            }
        }
        Ok(())
    }

    /// The value of a key, if the copy has the record at this offset.
    pub(super) fn row(
        &self,
        topic: &Topic,
        shard: Shard,
        key: &[u8],
        offset: Offset,
    ) -> Result<Option<Vec<u8>>, LogError> {
        let row = self
            .table(topic)?
            .get(row_key(shard, key))
            .map_err(|e| self.failed(&e))?;
        Ok(row.as_deref().and_then(|row| {
            let (at, value) = row.split_first_chunk::<8>()?;
            (u64::from_be_bytes(*at) == offset.0).then(|| value.to_vec())
        }))
    }

    fn discard(&self, topic: &Topic, shard: Shard) -> Result<(), LogError> {
        let table = self.table(topic)?;
        let mut batch = self.database.batch();
        for row in table.prefix(shard.0.to_be_bytes()) {
            let (key, _) = row.into_inner().map_err(|e| self.failed(&e))?;
            batch.remove(&table, key);
        }
        batch.remove(&self.marks, mark_key(topic, shard));
        batch.commit().map_err(|e| self.failed(&e))
    }

    fn table(&self, topic: &Topic) -> Result<Keyspace, LogError> {
        let mut tables = lock(&self.tables);
        if let Some(table) = tables.get(topic) {
            return Ok(table.clone());
        }
        let table = keyspace(&self.database, topic.name()).map_err(|e| self.failed(&e))?;
        tables.insert(topic.clone(), table.clone());
        Ok(table)
    }

    fn failed(&self, error: &fjall::Error) -> LogError {
        failed(&self.directory, error)
    }
}

fn keyspace(database: &Database, name: &str) -> Result<Keyspace, fjall::Error> {
    database.keyspace(name, || {
        KeyspaceCreateOptions::default().max_memtable_size(MEMTABLE_BYTES)
    })
}

fn failed(directory: &str, error: &fjall::Error) -> LogError {
    LogError::Storage(format!(
        "the local copies in {directory} cannot be used ({error}): mend the disk, or remove the directory: it is made anew from the topics"
    ))
}

fn row_key(shard: Shard, key: &[u8]) -> Vec<u8> {
    [&shard.0.to_be_bytes(), key].concat()
}

fn mark_key(topic: &Topic, shard: Shard) -> Vec<u8> {
    [topic.name().as_bytes(), &[0], &shard.0.to_be_bytes()].concat()
}

fn mark_value(at: Offset, now: TimeMs) -> [u8; 16] {
    let mut value = [0; 16];
    let (first, second) = value.split_at_mut(8);
    first.copy_from_slice(&at.0.to_be_bytes());
    second.copy_from_slice(&now.0.to_be_bytes());
    value
}
