//! A seat in a group of a log on one machine.

use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use crate::batch::RecordBatch;
use crate::log::coordinator::MemberId;
use crate::log::storage::Storage;
use crate::log::{CommitError, LogError, Member, Ownership, Step, Waker};
use crate::types::{Group, Offset, Shard, Topic};

use super::{Shared, lock};

pub(super) struct LocalMember<S: Storage> {
    shared: Arc<Shared<S>>,
    group: Group,
    id: MemberId,
    /// Changes of the log that were there when this member last looked.
    seen: u64,
}

impl<S: Storage> LocalMember<S> {
    pub(super) fn new(shared: Arc<Shared<S>>, group: Group, id: MemberId) -> Self {
        // sees the log as changed: its first poll does not wait
        Self {
            shared,
            group,
            id,
            seen: 0,
        }
    }

    fn ownership_changes(&self) -> Vec<Ownership> {
        let mut order = lock(&self.shared.order);
        order
            .groups
            .get_mut(&self.group)
            .map_or_else(Vec::new, |group| group.changes(self.id))
    }
}

impl<S: Storage> Member for LocalMember<S> {
    fn poll(&mut self, timeout: Duration) -> Result<Vec<Ownership>, LogError> {
        // `None`: further away than the clock reaches
        let until = Instant::now().checked_add(timeout);
        loop {
            let ownership = self.ownership_changes();
            let changes = lock(&self.shared.changes);
            if !ownership.is_empty() || *changes != self.seen {
                self.seen = *changes;
                return Ok(ownership);
            }
            let left = until.map_or(timeout, |until| {
                until.saturating_duration_since(Instant::now())
            });
            if left.is_zero() {
                return Ok(ownership);
            }
            let woken = self.shared.changed.wait_timeout(changes, left);
            drop(woken.unwrap_or_else(PoisonError::into_inner));
        }
    }

    fn fetch(
        &mut self,
        topic: &Topic,
        shard: Shard,
        from: Offset,
    ) -> Result<Option<RecordBatch>, LogError> {
        self.shared.read(topic, shard, from)
    }

    fn commit(&mut self, step: Step) -> Result<(), CommitError> {
        let Step {
            writes,
            progress,
            durability,
        } = step;
        let shards: Vec<_> = writes
            .iter()
            .map(|write| write.shard)
            .chain(progress.iter().map(|at| at.shard))
            .collect();
        let prepared = self.shared.prepare(writes)?;
        let committed = self.shared.check_progress(&self.group, progress)?;
        let mut order = lock(&self.shared.order);
        let group = order.groups.get(&self.group);
        if !shards
            .iter()
            .all(|shard| group.is_some_and(|group| group.owns(self.id, *shard)))
        {
            return Err(CommitError::Fenced);
        }
        if self.shared.faults.aborts_commit() {
            return Err(CommitError::Aborted);
        }
        self.shared
            .apply(&mut order, prepared, committed, durability)?;
        drop(order);
        self.shared.signal();
        Ok(())
    }

    fn release(&mut self, shard: Shard) {
        if let Some(group) = lock(&self.shared.order).groups.get_mut(&self.group) {
            group.release(self.id, shard);
        }
        self.shared.signal();
    }

    fn waker(&self) -> Waker {
        // a waker that outlives the log must not keep its directory locked
        let shared = Arc::downgrade(&self.shared);
        Waker::new(move || {
            if let Some(shared) = shared.upgrade() {
                shared.signal();
            }
        })
    }
}

impl<S: Storage> Drop for LocalMember<S> {
    fn drop(&mut self) {
        if let Some(group) = lock(&self.shared.order).groups.get_mut(&self.group) {
            group.leave(self.id);
        }
        self.shared.signal();
    }
}
