//! The log on one machine: offsets, groups and visibility over any [`Storage`].
//!
//! # Invariants
//! - One lock orders all changes. A change is applied to the storage first and shown in the index
//!   after that, under the lock, so that whatever is visible is stored.
//! - After a failed change the log refuses every other: what the storage holds is then not known.
//! - Lock order: `compacting`, `order`, `index`; `changes` is locked alone.

mod compaction;
mod copy;
mod faults;
mod index;
mod member;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{
    Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
};

use self::index::{Index, Stored};
use self::member::LocalMember;
use crate::batch::{Batch, RecordBatch};
use crate::log::coordinator::{Coordinator, MemberId};
use crate::log::storage::{Change, Extent, Place, Storage};
use crate::log::{
    Bounds, Cleanup, CutBuilder, Durability, Log, LogError, Member, Progress, TopicSpec, Write,
};
use crate::types::{Group, Offset, Shard, TimeMs, Topic};

pub(crate) use self::copy::Note;
pub use self::faults::Faults;

/// Reads the time of an append.
pub type ClockMs = Arc<dyn Fn() -> TimeMs + Send + Sync>;

/// Body size at which a write is split: what one read brings into memory, but for one record
/// that is larger by itself.
const BATCH_BYTES_MAX: usize = 512 * 1024;

/// A log on one machine.
pub struct LocalLog<S> {
    shared: Arc<Shared<S>>,
}

impl<S> Clone for LocalLog<S> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
        }
    }
}

impl<S> std::fmt::Debug for LocalLog<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "LocalLog({} partitions)", self.shared.partitions)
    }
}

struct Shared<S> {
    storage: S,
    partitions: u32,
    clock: ClockMs,
    faults: Faults,
    /// Held by the one that compacts or trims.
    compacting: Mutex<()>,
    /// Orders changes.
    order: Mutex<Order>,
    index: RwLock<Index>,
    /// Counts what a waiting member may want to know of.
    changes: Mutex<u64>,
    changed: Condvar,
}

#[derive(Default)]
struct Order {
    groups: HashMap<Group, Coordinator>,
    members: u64,
    failed: Option<String>,
}

impl Order {
    /// Refuses everything after a failure.
    fn check(&self) -> Result<(), LogError> {
        self.failed
            .as_ref()
            .map_or(Ok(()), |failure| Err(LogError::Storage(failure.clone())))
    }

    /// Remembers the first failure.
    fn note<T>(&mut self, result: Result<T, LogError>) -> Result<T, LogError> {
        if let Err(failure) = &result {
            let failure = match failure {
                LogError::Storage(failure) => failure.clone(),
                other => other.to_string(),
            };
            self.failed.get_or_insert(failure);
        }
        result
    }
}

/// # Errors
/// [`LogError::Mismatch`] for a log without partitions.
pub(super) fn at_least_one(partitions: u32) -> Result<(), LogError> {
    if partitions == 0 {
        let problem = "a log needs at least one partition: set log.partitions";
        return Err(LogError::Mismatch(problem.to_owned()));
    }
    Ok(())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // a panic while holding it leaves only counters and maps behind, which stay usable
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<S: Storage> LocalLog<S> {
    pub(crate) fn open(
        storage: S,
        partitions: u32,
        clock: ClockMs,
        faults: Faults,
    ) -> Result<Self, LogError> {
        at_least_one(partitions)?;
        let index = Index::build(storage.contents()?, partitions)?;
        let shared = Shared {
            storage,
            partitions,
            clock,
            faults,
            compacting: Mutex::default(),
            order: Mutex::default(),
            index: RwLock::new(index),
            // beyond what a new member has seen
            changes: Mutex::new(1),
            changed: Condvar::new(),
        };
        Ok(Self {
            shared: Arc::new(shared),
        })
    }

    /// What goes wrong on demand: for tests.
    #[doc(hidden)]
    #[must_use]
    pub fn faults(&self) -> &Faults {
        &self.shared.faults
    }

    /// Takes the shards of a group's first member away as if it had been silent for too long:
    /// what the session time-out of a broker does.
    #[doc(hidden)]
    pub fn evict_first_member(&self, group: &Group) {
        self.evict_member(group, 0);
    }

    /// The same for the group's member at a place in the order of their joining.
    #[doc(hidden)]
    pub fn evict_member(&self, group: &Group, place: usize) {
        let mut order = lock(&self.shared.order);
        if let Some(coordinator) = order.groups.get_mut(group)
            && let Some(member) = coordinator.member_at(place)
        {
            coordinator.evict(member);
        }
        drop(order);
        self.shared.signal();
    }
}

impl<S: Storage> Shared<S> {
    fn index(&self) -> RwLockReadGuard<'_, Index> {
        self.index.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn index_mut(&self) -> RwLockWriteGuard<'_, Index> {
        self.index.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn signal(&self) {
        *lock(&self.changes) += 1;
        self.changed.notify_all();
    }

    fn read(
        &self,
        topic: &Topic,
        shard: Shard,
        from: Offset,
    ) -> Result<Option<RecordBatch>, LogError> {
        let mut from = from;
        loop {
            let Some(stored) = self.index().partition(topic, shard)?.seek(from) else {
                return Ok(None);
            };
            let batch = match self.load(topic, shard, stored.base) {
                Ok(batch) => batch,
                Err(damage) => {
                    // since the look at the index, the batch may have been compacted or trimmed
                    if self.index().partition(topic, shard)?.seek(from) == Some(stored) {
                        return Err(damage);
                    }
                    continue;
                }
            };
            if batch.iter().any(|record| record.offset >= from) {
                return Ok(Some(batch));
            }
            from = batch.next_offset();
        }
    }

    fn load(&self, topic: &Topic, shard: Shard, base: Offset) -> Result<RecordBatch, LogError> {
        let place = Place {
            topic: topic.clone(),
            shard,
            base,
        };
        let damaged = |damage: String| LogError::Damaged {
            topic: topic.clone(),
            shard,
            offset: base,
            damage,
        };
        let stored = self
            .storage
            .get(&place)?
            .ok_or_else(|| damaged("the batch is missing".to_owned()))?;
        RecordBatch::decode(base, &stored).map_err(|damage| damaged(damage.to_string()))
    }

    /// Compresses outside the lock: what one thread does does not wait for another.
    fn prepare(&self, writes: Vec<Write>) -> Result<Vec<Prepared>, LogError> {
        let now = (self.clock)();
        let mut prepared = Vec::with_capacity(writes.len());
        for Write {
            topic,
            shard,
            batch,
        } in writes
        {
            self.index().partition(&topic, shard)?;
            let parts = split(batch).into_iter();
            prepared.extend(parts.map(|part| Prepared::fresh(&topic, shard, &part, now)));
        }
        Ok(prepared)
    }

    fn check_progress(
        &self,
        group: &Group,
        progress: impl IntoIterator<Item = Progress>,
    ) -> Result<Vec<(Group, Topic, Shard, Offset)>, LogError> {
        let index = self.index();
        progress
            .into_iter()
            .map(
                |Progress {
                     topic,
                     shard,
                     offset,
                 }| {
                    index.partition(&topic, shard)?;
                    Ok((group.clone(), topic, shard, offset))
                },
            )
            .collect()
    }

    /// Places and applies prepared writes. The caller holds the order.
    fn apply(
        &self,
        order: &mut Order,
        prepared: Vec<Prepared>,
        committed: Vec<(Group, Topic, Shard, Offset)>,
        durability: Durability,
    ) -> Result<(), LogError> {
        order.check()?;
        if prepared.is_empty() && committed.is_empty() {
            return Ok(());
        }
        let mut ends: HashMap<(Topic, Shard), Offset> = HashMap::new();
        let mut change = Change {
            committed,
            ..Change::default()
        };
        for Prepared {
            topic,
            shard,
            extent,
            stored,
        } in prepared
        {
            let end = match ends.entry((topic.clone(), shard)) {
                Entry::Occupied(entry) => entry.into_mut(),
                Entry::Vacant(entry) => {
                    let end = self.index().partition(&topic, shard)?.end();
                    entry.insert(end)
                }
            };
            change.put.push((
                Place {
                    topic,
                    shard,
                    base: *end,
                },
                extent,
                stored,
            ));
            *end = Offset(end.0 + extent.span);
        }
        let placed: Vec<_> = change
            .put
            .iter()
            .map(|(place, extent, _)| (place.clone(), *extent))
            .collect();
        let committed = change.committed.clone();
        order.note(self.storage.apply(change, durability))?;
        let mut index = self.index_mut();
        for (Place { topic, shard, base }, extent) in placed {
            if let Some(partition) = index.partition_mut(&topic, shard) {
                partition.push(Stored { base, extent });
            }
        }
        for (group, topic, shard, offset) in committed {
            index.committed.insert((group, topic, shard), offset);
        }
        Ok(())
    }
}

/// A batch on its way to its place.
pub(crate) struct Prepared {
    topic: Topic,
    shard: Shard,
    extent: Extent,
    stored: Vec<u8>,
}

/// Cuts a large batch into readable ones; an empty one into none.
fn split(batch: Batch) -> Vec<Batch> {
    if batch.is_empty() {
        return Vec::new();
    }
    if batch.bytes() <= BATCH_BYTES_MAX {
        return vec![batch];
    }
    let mut parts = Vec::new();
    let mut part = Batch::default();
    for record in batch.iter() {
        let bytes = record.key.len() + record.value.map_or(0, <[u8]>::len);
        if !part.is_empty() && part.bytes() + bytes > BATCH_BYTES_MAX {
            parts.push(std::mem::take(&mut part));
        }
        part.push(record.key, record.value);
    }
    parts.push(part);
    parts
}

impl<S: Storage> Log for LocalLog<S> {
    fn partitions(&self) -> u32 {
        self.shared.partitions
    }

    fn create(&self, topics: &[TopicSpec]) -> Result<(), LogError> {
        let shared = &self.shared;
        let mut order = lock(&shared.order);
        order.check()?;
        let mut missing: Vec<(Topic, Cleanup)> = Vec::new();
        for TopicSpec { topic, cleanup } in topics {
            let index = shared.index();
            let there = index.topics.get(topic).map(|(cleanup, _)| cleanup);
            let named = missing.iter().find(|(named, _)| named == topic);
            match there.or(named.map(|(_, cleanup)| cleanup)) {
                Some(there) if there == cleanup => {}
                Some(there) => {
                    return Err(LogError::Mismatch(format!(
                        "topic {topic} is there with cleanup {there:?}, but must have {cleanup:?}"
                    )));
                }
                None => missing.push((topic.clone(), *cleanup)),
            }
        }
        if missing.is_empty() {
            return Ok(());
        }
        let change = Change {
            topics: missing.clone(),
            ..Change::default()
        };
        order.note(shared.storage.apply(change, Durability::Machine))?;
        let mut index = shared.index_mut();
        for (topic, cleanup) in missing {
            index.create(topic, cleanup, shared.partitions);
        }
        Ok(())
    }

    fn append(&self, writes: Vec<Write>, durability: Durability) -> Result<(), LogError> {
        let prepared = self.shared.prepare(writes)?;
        self.shared.apply(
            &mut lock(&self.shared.order),
            prepared,
            Vec::new(),
            durability,
        )?;
        self.shared.signal();
        Ok(())
    }

    fn append_cut(&self, cut: &[Topic], build: &mut CutBuilder<'_>) -> Result<(), LogError> {
        let shared = &self.shared;
        for topic in cut {
            shared.index().partition(topic, Shard(0))?;
        }
        // the ends are read and the write applied under one lock: nothing comes between
        let mut order = lock(&shared.order);
        let end = |topic: &Topic, shard: Shard| {
            shared
                .index()
                .partition(topic, shard)
                .map(|there| there.end())
                .unwrap_or_default()
        };
        let prepared = shared.prepare(build(&end))?;
        shared.apply(&mut order, prepared, Vec::new(), Durability::Machine)?;
        drop(order);
        shared.signal();
        Ok(())
    }

    fn bounds(&self, topic: &Topic, shard: Shard) -> Result<Bounds, LogError> {
        let index = self.shared.index();
        let partition = index.partition(topic, shard)?;
        Ok(Bounds {
            start: partition.start(),
            end: partition.end(),
        })
    }

    fn read(
        &self,
        topic: &Topic,
        shard: Shard,
        from: Offset,
    ) -> Result<Option<RecordBatch>, LogError> {
        self.shared.read(topic, shard, from)
    }

    fn committed(
        &self,
        group: &Group,
        topic: &Topic,
        shard: Shard,
    ) -> Result<Option<Offset>, LogError> {
        let index = self.shared.index();
        index.partition(topic, shard)?;
        Ok(index
            .committed
            .get(&(group.clone(), topic.clone(), shard))
            .copied())
    }

    fn set_committed(&self, group: &Group, progress: &[Progress]) -> Result<(), LogError> {
        let committed = self
            .shared
            .check_progress(group, progress.iter().cloned())?;
        let mut order = lock(&self.shared.order);
        if order
            .groups
            .get(group)
            .is_some_and(Coordinator::has_members)
        {
            return Err(LogError::GroupInUse(group.clone()));
        }
        self.shared
            .apply(&mut order, Vec::new(), committed, Durability::Machine)
    }

    fn trim(&self, topic: &Topic, shard: Shard, below: Offset) -> Result<(), LogError> {
        self.trim(topic, shard, below)
    }

    fn join(&self, group: &Group, topics: &[Topic]) -> Result<Box<dyn Member>, LogError> {
        for topic in topics {
            self.shared.index().partition(topic, Shard(0))?;
        }
        let mut order = lock(&self.shared.order);
        order.members += 1;
        let id = MemberId(order.members);
        order
            .groups
            .entry(group.clone())
            .or_insert_with(|| Coordinator::new(self.shared.partitions))
            .join(id);
        drop(order);
        self.shared.signal();
        Ok(Box::new(LocalMember::new(
            Arc::clone(&self.shared),
            group.clone(),
            id,
        )))
    }
}
