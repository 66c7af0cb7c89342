//! The log as one process reaches it: the same log, with the process's death, its standing still
//! and the sabotage of canaries in between.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sealpost::topics::Topics;
use sealpost_topology::batch::RecordBatch;
use sealpost_topology::log::{
    Bounds, CommitError, CutBuilder, Durability, Log, LogError, Member, MemoryLog, Ownership,
    Progress, SeeRow, Step, TopicSpec, Waker, Write,
};
use sealpost_topology::types::{Group, Offset, Shard, Topic};

use crate::canary::Canary;
use crate::marks::Mark;
use crate::plan::Fault;
use crate::scene::Scene;
use crate::suppressed::Suppressed;
use crate::vitals::{Effect, Vitals};

/// The number of whoever is no process of the pipeline: a command.
pub const NOBODY: usize = usize::MAX;

/// Who sits in which group, in the order of their joining: by process and seat.
#[derive(Debug, Default)]
pub struct Seats(Mutex<SeatsTaken>);

/// The seats of each group, and how many were ever taken.
type SeatsTaken = (BTreeMap<Group, Vec<(usize, u64)>>, u64);

impl Seats {
    fn lock(&self) -> MutexGuard<'_, SeatsTaken> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, group: &Group, process: usize) -> u64 {
        let mut seats = self.lock();
        seats.1 += 1;
        let seat = seats.1;
        seats
            .0
            .entry(group.clone())
            .or_default()
            .push((process, seat));
        seat
    }

    fn leave(&self, group: &Group, seat: u64) {
        if let Some(seats) = self.lock().0.get_mut(group) {
            seats.retain(|(_, taken)| *taken != seat);
        }
    }

    fn has(&self, group: &Group, seat: u64) -> bool {
        self.lock()
            .0
            .get(group)
            .is_some_and(|seats| seats.iter().any(|(_, taken)| *taken == seat))
    }

    /// Has the group take the shards of every seat of a process.
    pub fn evict(&self, log: &MemoryLog, process: usize) {
        let mut seats = self.lock();
        for (group, taken) in &mut seats.0 {
            while let Some(place) = taken.iter().position(|(of, _)| *of == process) {
                log.evict_member(group, place);
                taken.remove(place);
            }
        }
    }
}

/// See the module.
pub struct Wire {
    log: MemoryLog,
    topics: Arc<Topics>,
    scene: Arc<Scene>,
    vitals: Arc<Vitals>,
    seats: Arc<Seats>,
}

impl Wire {
    /// The log as a process reaches it.
    #[must_use]
    pub fn new(
        log: MemoryLog,
        topics: Arc<Topics>,
        scene: Arc<Scene>,
        vitals: Arc<Vitals>,
        seats: Arc<Seats>,
    ) -> Self {
        Self {
            log,
            topics,
            scene,
            vitals,
            seats,
        }
    }
}

fn died() -> LogError {
    LogError::Storage("the process died".to_owned())
}

impl Log for Wire {
    fn partitions(&self) -> u32 {
        self.log.partitions()
    }

    fn create(&self, topics: &[TopicSpec]) -> Result<(), LogError> {
        self.log.create(topics)
    }

    fn append(&self, writes: Vec<Write>, durability: Durability) -> Result<(), LogError> {
        match self.vitals.effect() {
            Effect::Not => Err(died()),
            Effect::Happens => self.log.append(writes, durability),
            Effect::Last => {
                self.log.append(writes, durability)?;
                Err(LogError::InDoubt)
            }
        }
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
        if *topic == self.topics.dispatches
            && self.vitals.number == NOBODY
            && self.scene.is_sabotaged(Canary::MoveForgetsUnfinished)
        {
            return Ok(Some(self.log.bounds(topic, shard)?.end));
        }
        self.log.committed(group, topic, shard)
    }

    fn set_committed(&self, group: &Group, progress: &[Progress]) -> Result<(), LogError> {
        match self.vitals.effect() {
            Effect::Not => Err(died()),
            Effect::Happens => self.log.set_committed(group, progress),
            Effect::Last => {
                self.log.set_committed(group, progress)?;
                Err(LogError::InDoubt)
            }
        }
    }

    fn restore(&self, topic: &Topic, shard: Shard, see: &mut SeeRow<'_>) -> Result<(), LogError> {
        if *topic == self.topics.send_state && self.scene.is_sabotaged(Canary::ForgetsSendState) {
            return Ok(());
        }
        let forgets =
            |canary| *topic == self.topics.settle_accounts && self.scene.is_sabotaged(canary);
        for (canary, entries) in [
            (Canary::ForgetsSuppressions, b's'),
            (Canary::ForgetsCorrections, b'c'),
        ] {
            if *topic == self.topics.render_routes && self.scene.is_sabotaged(canary) {
                return self.log.restore(topic, shard, &mut |key, value| {
                    if key.first() != Some(&entries) {
                        see(key, value);
                    }
                });
            }
        }
        let forgets_events = forgets(Canary::ForgetsEvents);
        let forgets_refusals = forgets(Canary::ReplaysRefused);
        self.log.restore(topic, shard, &mut |key, value| {
            let forgotten = match key.first() {
                Some(b'e') => forgets_events,
                Some(b'm') => forgets_refusals,
                _ => false,
            };
            if !forgotten {
                see(key, value);
            }
        })
    }

    fn at_hand(
        &self,
        topic: &Topic,
        shard: Shard,
        offset: Offset,
    ) -> Result<Option<RecordBatch>, LogError> {
        self.log.at_hand(topic, shard, offset)
    }

    fn join(&self, group: &Group, topics: &[Topic]) -> Result<Box<dyn Member>, LogError> {
        let inner = self.log.join(group, topics)?;
        if *group == self.topics.group("send") {
            self.vitals.set_evicted(false);
        }
        Ok(Box::new(Seat {
            seat: self.seats.take(group, self.vitals.number),
            inner,
            looked_before: false,
            inputs: topics.to_vec(),
            group: group.clone(),
            log: self.log.clone(),
            topics: Arc::clone(&self.topics),
            scene: Arc::clone(&self.scene),
            vitals: Arc::clone(&self.vitals),
            seats: Arc::clone(&self.seats),
        }))
    }
}

/// A member as its process holds it.
struct Seat {
    inner: Box<dyn Member>,
    /// It was shut out after it had looked at what it owns, and goes on as if it had not been.
    looked_before: bool,
    group: Group,
    inputs: Vec<Topic>,
    seat: u64,
    log: MemoryLog,
    topics: Arc<Topics>,
    scene: Arc<Scene>,
    vitals: Arc<Vitals>,
    seats: Arc<Seats>,
}

impl Seat {
    /// Commits; with the bugs of a log, if they are switched on.
    fn commit_now(&mut self, step: Step) -> Result<(), CommitError> {
        let stores = [
            &self.topics.settle_accounts,
            &self.topics.render_routes,
            &self.topics.send_state,
            &self.topics.send_holds,
        ];
        let keep = match self.scene.canary {
            Some(Canary::StoreKeptOnAbort) => step
                .writes
                .iter()
                .filter(|write| stores.contains(&&write.topic))
                .map(copy_write)
                .collect(),
            Some(Canary::FencedCommitStands) => step.writes.iter().map(copy_write).collect(),
            _ => Vec::new(),
        };
        let committed = self.inner.commit(step);
        match (&committed, self.scene.canary) {
            (Err(CommitError::Aborted), Some(Canary::StoreKeptOnAbort)) => {
                // read back from its changelog, the store has what the step wrote
                self.log.append(keep, Durability::Process)?;
                self.seats.leave(&self.group, self.seat);
                Err(CommitError::Fenced)
            }
            (Err(CommitError::Fenced), Some(Canary::FencedCommitStands)) => {
                self.log.append(keep, Durability::Process)?;
                Ok(())
            }
            (Err(CommitError::Aborted), Some(Canary::AbortTakenForDone)) => Ok(()),
            _ => committed,
        }
    }
}

fn copy_write(write: &Write) -> Write {
    Write {
        topic: write.topic.clone(),
        shard: write.shard,
        batch: write.batch.clone(),
    }
}

impl Member for Seat {
    fn poll(&mut self, _: Duration) -> Result<Vec<Ownership>, LogError> {
        let out = !self.seats.has(&self.group, self.seat);
        if out && !self.looked_before && self.scene.looks_too_early() {
            // it looked whose they are, and then stood still
            self.looked_before = true;
            return Ok(Vec::new());
        }
        // time passes only as it is told
        let mut changes = self.inner.poll(Duration::ZERO)?;
        if out {
            self.looked_before = false;
            // a broker's client joins again by itself
            self.inner = self.log.join(&self.group, &self.inputs)?;
            self.seat = self.seats.take(&self.group, self.vitals.number);
            if self.group == self.topics.group("send") {
                self.vitals.set_evicted(false);
            }
            changes.extend(self.inner.poll(Duration::ZERO)?);
        }
        Ok(changes)
    }

    fn fetch(
        &mut self,
        topic: &Topic,
        shard: Shard,
        from: Offset,
    ) -> Result<Option<RecordBatch>, LogError> {
        self.inner.fetch(topic, shard, from)
    }

    fn try_fetch(
        &mut self,
        topic: &Topic,
        shard: Shard,
        from: Offset,
    ) -> Result<Option<RecordBatch>, LogError> {
        if self.scene.reads_slowly() {
            return Ok(None);
        }
        self.inner.try_fetch(topic, shard, from)
    }

    fn commit(&mut self, step: Step) -> Result<(), CommitError> {
        let effect = self.vitals.effect();
        if effect == Effect::Not {
            self.scene.reach(Mark::DiedBeforeCommit);
            return Err(died().into());
        }
        let seen = if self.scene.plan.has(Fault::Suppress) {
            Suppressed::look(&self.topics, &step.writes)
        } else {
            Vec::new()
        };
        let committed = self.commit_now(step);
        if committed.is_ok() {
            self.scene.suppressed.stands(seen, &self.scene);
        }
        match &committed {
            Ok(()) if effect == Effect::Happens => {
                self.vitals.committed();
            }
            Ok(()) => {}
            Err(CommitError::Aborted) => self.scene.reach(Mark::Aborted),
            Err(CommitError::Fenced) => self.scene.reach(Mark::Fenced),
            Err(CommitError::Log(_)) => {}
        }
        let process = self.vitals.number;
        self.scene.say(format_args!(
            "p{process} {} commits: {committed:?}",
            self.group
        ));
        if effect == Effect::Last {
            self.scene.reach(Mark::DiedAfterCommit);
            return Err(LogError::InDoubt.into());
        }
        committed
    }

    fn has_joined(&self) -> bool {
        self.inner.has_joined()
    }

    fn release(&mut self, shard: Shard) {
        self.scene.reach(Mark::Moved);
        self.inner.release(shard);
    }

    fn waker(&self) -> Waker {
        self.inner.waker()
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.seats.leave(&self.group, self.seat);
    }
}
