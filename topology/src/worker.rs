//! A worker: one thread's seat in a stage's group, the tasks of the shards it owns, and the loop
//! that commits their doings as one step.
//!
//! # A step
//! Changes of ownership, a portion of the stores that are still to be read back, answers from the
//! outside world, a portion of work of every task; then one commit of all outputs, state changes and
//! input offsets; then, and only then, the effects.
//! [`CommitError::Aborted`] puts every task back to the last commit; [`CommitError::Fenced`]
//! drops them all and joins the group again. So does an error of a worker that has lost shards
//! meanwhile: what it went by was no longer so.
//!
//! # Shards that come
//! Their stores are read back shard by shard, and each is worked on from then on; an answer for one
//! that has not had its turn waits for it. What is taken away again before is given away unread.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::durations::Durations;
use crate::graph::StageSpec;
use crate::log::{CommitError, Durability, Log, LogError, Member, Ownership, Step, Waker};
use crate::processor::{ProcessError, Processor};
use crate::task::Task;
use crate::types::{Shard, TimeMs};

/// Longest wait without looking at the shards again.
const IDLE_MS_MAX: u64 = 200;

/// Entries after which no more stores are read back in one step.
const RESTORED_PER_STEP: usize = 20_000;

/// Reads the time of a step.
pub type Clock = Arc<dyn Fn() -> TimeMs + Send + Sync>;

/// Makes the processor of a shard.
pub type Factory<P> = Arc<dyn Fn(Shard) -> P + Send + Sync>;

/// Where answers from the outside world arrive for one worker.
pub struct Inbox<C> {
    arrived: Mutex<Vec<(Shard, C)>>,
    asleep: AtomicBool,
    waker: Mutex<Option<Waker>>,
}

impl<C> Default for Inbox<C> {
    fn default() -> Self {
        Self {
            arrived: Mutex::new(Vec::new()),
            asleep: AtomicBool::new(false),
            waker: Mutex::new(None),
        }
    }
}

impl<C> Inbox<C> {
    /// Hands in an answer.
    pub fn push(&self, shard: Shard, completion: C) {
        self.arrived
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push((shard, completion));
        self.wake();
    }

    /// Hands in several.
    pub fn extend(&self, completions: impl IntoIterator<Item = (Shard, C)>) {
        self.arrived
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend(completions);
        self.wake();
    }

    /// Ends the worker's wait, whichever seat it has now.
    fn wake_now(&self) {
        if let Some(waker) = &*self.waker.lock().unwrap_or_else(PoisonError::into_inner) {
            waker.wake();
        }
    }

    fn wake(&self) {
        if self.asleep.swap(false, Ordering::SeqCst)
            && let Some(waker) = &*self.waker.lock().unwrap_or_else(PoisonError::into_inner)
        {
            waker.wake();
        }
    }

    fn take(&self) -> Vec<(Shard, C)> {
        std::mem::take(&mut *self.arrived.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts back what it is too early for, before all that came since.
    fn put_back(&self, early: Vec<(Shard, C)>) {
        self.arrived
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .splice(0..0, early);
    }

    fn is_empty(&self) -> bool {
        self.arrived
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .is_empty()
    }
}

/// The outside world, as a stage sees it.
pub trait Performer<P: Processor>: Send + Sync {
    /// Does what a committed step asked for; answers go to the inbox.
    fn perform(&self, shard: Shard, effects: Vec<P::Effect>, inbox: &Arc<Inbox<P::Completion>>);

    /// An answer came for a shard that this worker no longer owns.
    fn orphaned(&self, shard: Shard, completion: P::Completion);
}

/// A performer for stages that ask nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoEffects;

impl<P: Processor> Performer<P> for NoEffects {
    fn perform(&self, _: Shard, _: Vec<P::Effect>, _: &Arc<Inbox<P::Completion>>) {}
    fn orphaned(&self, _: Shard, _: P::Completion) {}
}

/// What a worker shows of itself to other threads.
#[derive(Debug, Default)]
pub struct WorkerStatus {
    /// Nothing to do and nothing open when it last looked.
    pub idle: AtomicBool,
    /// Records processed since the start.
    pub records: AtomicU64,
    /// Steps committed since the start.
    pub steps: AtomicU64,
    /// Steps aborted or fenced since the start.
    pub aborted: AtomicU64,
    /// Shards whose stores have been read back and that are being worked on.
    pub shards: AtomicU64,
    /// The group has taken it in.
    pub joined: AtomicBool,
    /// When a shard last came or went, in ms by the worker's clock.
    pub moved_at_ms: AtomicI64,
    /// Stores are being read back.
    pub restoring: AtomicBool,
    /// Entries in its stores.
    pub entries: AtomicU64,
    /// Calls whose answer is awaited.
    pub in_flight: AtomicU64,
    /// How long commits took since the start.
    pub commits: Durations,
}

/// Why a worker ended.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// The log failed.
    #[error(transparent)]
    Log(#[from] LogError),
    /// A processor cannot go on.
    #[error("{stage} stage, shard {shard}: {reason}")]
    Stopped {
        /// The stage.
        stage: &'static str,
        /// The shard.
        shard: Shard,
        /// Why.
        reason: String,
    },
}

/// See the module.
pub struct Worker<P: Processor> {
    log: Arc<dyn Log>,
    /// `None` only while one seat is given up for another.
    member: Option<Box<dyn Member>>,
    /// How long what is in flight is waited for before a shard is given away.
    grace: Duration,
    spec: Arc<StageSpec>,
    factory: Factory<P>,
    performer: Arc<dyn Performer<P>>,
    clock: Clock,
    inbox: Arc<Inbox<P::Completion>>,
    /// Shards that are this worker's, and whose stores are not read back yet.
    unrestored: BTreeSet<Shard>,
    tasks: BTreeMap<Shard, Task<P>>,
    status: Arc<WorkerStatus>,
    stopping: bool,
}

impl<P: Processor> Worker<P> {
    /// Takes a seat in the stage's group.
    ///
    /// # Errors
    /// [`LogError`].
    pub fn join(
        log: Arc<dyn Log>,
        spec: Arc<StageSpec>,
        factory: Factory<P>,
        performer: Arc<dyn Performer<P>>,
        clock: Clock,
        grace: Duration,
    ) -> Result<Self, LogError> {
        let inbox = Arc::new(Inbox::default());
        let began = std::time::Instant::now();
        let member = Self::take_seat(&*log, &spec, &inbox)?;
        tracing::debug!(
            stage = spec.name,
            took_ms = began.elapsed().as_millis(),
            "a seat was taken"
        );
        Ok(Self {
            log,
            member: Some(member),
            grace,
            spec,
            factory,
            performer,
            clock,
            inbox,
            unrestored: BTreeSet::new(),
            tasks: BTreeMap::new(),
            status: Arc::default(),
            stopping: false,
        })
    }

    fn take_seat(
        log: &dyn Log,
        spec: &StageSpec,
        inbox: &Inbox<P::Completion>,
    ) -> Result<Box<dyn Member>, LogError> {
        let topics: Vec<_> = spec
            .inputs
            .iter()
            .map(|input| input.topic.clone())
            .collect();
        let member = log.join(&spec.group, &topics)?;
        *inbox.waker.lock().unwrap_or_else(PoisonError::into_inner) = Some(member.waker());
        Ok(member)
    }

    /// What this worker shows of itself.
    #[must_use]
    pub fn status(&self) -> Arc<WorkerStatus> {
        Arc::clone(&self.status)
    }

    /// Ends this worker's wait from another thread.
    #[must_use]
    pub fn waker(&self) -> Waker {
        let inbox = Arc::clone(&self.inbox);
        Waker::new(move || inbox.wake_now())
    }

    /// Takes nothing more; what is in flight may still end.
    pub fn stop(&mut self) {
        self.stopping = true;
        let now = (self.clock)();
        self.tasks.values_mut().for_each(|task| task.close(now));
    }

    /// Calls whose answer is awaited.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.tasks
            .values()
            .map(|task| task.processor.in_flight())
            .sum()
    }

    /// Shards that are being worked on.
    #[must_use]
    pub fn shards(&self) -> Vec<Shard> {
        self.tasks.keys().copied().collect()
    }

    /// A store of a shard: for tests, which look at state through it.
    #[must_use]
    pub fn store(&self, shard: Shard, place: usize) -> Option<&crate::store::Store> {
        self.tasks.get(&shard).and_then(|task| task.store(place))
    }

    /// One step. Waits up to `wait` when there was nothing to do the last time. Returns whether
    /// there is more to do at once.
    ///
    /// # Errors
    /// [`WorkerError`]: the process should stop.
    pub fn step(&mut self, wait: Duration) -> Result<bool, WorkerError> {
        match self.try_step(wait) {
            Err(WorkerError::Stopped { reason, .. }) if self.has_lost_shards()? => {
                let stage = self.spec.name;
                tracing::warn!(
                    stage,
                    reason,
                    "went by shards that were lost: joining again"
                );
                self.start_over()?;
                Ok(true)
            }
            result => result,
        }
    }

    fn has_lost_shards(&mut self) -> Result<bool, LogError> {
        let changes = match self.member.as_deref_mut() {
            Some(member) => member.poll(Duration::ZERO)?,
            None => Vec::new(),
        };
        Ok(changes
            .iter()
            .any(|change| matches!(change, Ownership::Lost(_))))
    }

    /// Drops everything, and joins the group again.
    fn start_over(&mut self) -> Result<(), LogError> {
        self.status.aborted.fetch_add(1, Ordering::Relaxed);
        self.unrestored.clear();
        self.tasks.clear();
        self.show_shards();
        // the old seat is given up first: the new one may be the same
        self.member = None;
        self.member = Some(Self::take_seat(&*self.log, &self.spec, &self.inbox)?);
        Ok(())
    }

    fn try_step(&mut self, wait: Duration) -> Result<bool, WorkerError> {
        let ownership = self.wait(wait)?;
        // told before anything is done: idle and finished inputs together mean drained
        self.status.idle.store(false, Ordering::SeqCst);
        let comes = |change: &Ownership| matches!(change, Ownership::Assigned(_));
        if ownership.iter().any(comes) {
            self.status.restoring.store(true, Ordering::SeqCst);
            self.log.admit()?;
        }
        if !ownership.is_empty() {
            ownership.into_iter().for_each(|change| self.own(change));
            self.show_shards();
        }
        self.restore()?;
        if !self.status.joined.load(Ordering::SeqCst)
            && self.member.as_deref().is_some_and(Member::has_joined)
        {
            self.status
                .moved_at_ms
                .store((self.clock)().0, Ordering::SeqCst);
            self.status.joined.store(true, Ordering::SeqCst);
        }
        let now = (self.clock)();
        let mut records = 0;
        let mut more = false;
        let mut early = Vec::new();
        for (shard, completion) in self.inbox.take() {
            match self.tasks.get_mut(&shard) {
                Some(task) => {
                    task.complete(&*self.log, &self.spec, now, completion)
                        .map_err(|error| stopped(&self.spec, shard, error))?;
                    more = true;
                }
                None if self.unrestored.contains(&shard) => early.push((shard, completion)),
                None => self.performer.orphaned(shard, completion),
            }
        }
        self.inbox.put_back(early);
        // three passes over the shards, so that the log is asked once whether there are commands
        let Some(member) = self.member.as_deref_mut() else {
            return Err(no_seat().into());
        };
        for task in self.tasks.values_mut() {
            task.take_data(member, &self.spec)?;
        }
        for (shard, task) in &mut self.tasks {
            let commands = task
                .obey(&*self.log, member, &self.spec, now)
                .map_err(|error| stopped(&self.spec, *shard, error))?;
            records += commands;
            more |= commands > 0;
        }
        for (shard, task) in &mut self.tasks {
            let ran = task
                .work(&*self.log, member, &self.spec, now)
                .map_err(|error| stopped(&self.spec, *shard, error))?;
            records += ran.records;
            more |= ran.more;
        }
        more |= self.commit(now)?;
        self.hand_over();
        self.status.records.fetch_add(records, Ordering::Relaxed);
        let sum = |of: fn(&Task<P>) -> usize| self.tasks.values().map(of).sum::<usize>() as u64;
        self.status
            .in_flight
            .store(sum(|task| task.processor.in_flight()), Ordering::Relaxed);
        if !more {
            self.status
                .entries
                .store(sum(Task::entries), Ordering::Relaxed);
        }
        more |= !self.unrestored.is_empty();
        let idle = !more && self.inbox.is_empty() && self.tasks.values().all(Task::at_rest);
        self.status.idle.store(idle, Ordering::SeqCst);
        Ok(more)
    }

    /// The time until the next timer of any task, at most `wait`.
    fn wait(&mut self, wait: Duration) -> Result<Vec<Ownership>, LogError> {
        let now = (self.clock)();
        let timer = self.tasks.values().filter_map(Task::next_timer).min();
        let wait = timer.map_or(wait, |timer| {
            wait.min(Duration::from_millis(
                u64::try_from(timer.0.saturating_sub(now.0)).unwrap_or(0),
            ))
        });
        // asleep is told before the inbox is looked at: whoever pushes after that look wakes us
        self.inbox.asleep.store(true, Ordering::SeqCst);
        let wait = if self.inbox.is_empty() {
            wait
        } else {
            Duration::ZERO
        };
        let ownership = match self.member.as_deref_mut() {
            Some(member) => member.poll(wait),
            None => Err(no_seat()),
        };
        self.inbox.asleep.store(false, Ordering::SeqCst);
        ownership
    }

    fn own(&mut self, change: Ownership) {
        match change {
            Ownership::Assigned(shard) => {
                self.unrestored.insert(shard);
            }
            Ownership::Revoked(shard) => {
                if let Some(task) = self.tasks.get_mut(&shard) {
                    task.close((self.clock)());
                }
                if self.unrestored.remove(&shard)
                    && let Some(member) = self.member.as_deref_mut()
                {
                    member.release(shard);
                }
            }
            Ownership::Lost(shard) => {
                self.unrestored.remove(&shard);
                self.tasks.remove(&shard);
            }
        }
    }

    /// Reads a portion back of the stores of shards that have come.
    fn restore(&mut self) -> Result<(), WorkerError> {
        if self.stopping {
            self.unrestored.clear();
        }
        let mut entries = 0;
        while entries < RESTORED_PER_STEP
            && let Some(shard) = self.unrestored.first().copied()
        {
            entries += self.take_over(shard)?;
        }
        let restoring = !self.unrestored.is_empty();
        self.status.restoring.store(restoring, Ordering::SeqCst);
        Ok(())
    }

    /// Reads the stores of a shard back, and works on it from now on. Returns their entries.
    fn take_over(&mut self, shard: Shard) -> Result<usize, WorkerError> {
        let began = std::time::Instant::now();
        let processor = (self.factory)(shard);
        let now = (self.clock)();
        let Some(member) = self.member.as_deref_mut() else {
            return Err(no_seat().into());
        };
        let task = Task::restore(&*self.log, member, &self.spec, shard, processor, now)
            .map_err(|error| stopped(&self.spec, shard, error))?;
        let entries = task.entries();
        tracing::info!(
            stage = self.spec.name,
            shard = shard.0,
            entries,
            took_ms = began.elapsed().as_millis(),
            "a shard was taken over"
        );
        self.unrestored.remove(&shard);
        self.tasks.insert(shard, task);
        self.show_shards();
        Ok(entries)
    }

    /// Tells how many shards are worked on, and that it has just changed.
    fn show_shards(&self) {
        let status = &self.status;
        status
            .shards
            .store(self.tasks.len() as u64, Ordering::SeqCst);
        status.moved_at_ms.store((self.clock)().0, Ordering::SeqCst);
    }

    /// Commits what the tasks did. Returns whether there was anything.
    fn commit(&mut self, now: TimeMs) -> Result<bool, WorkerError> {
        let mut step = Step::default();
        let mut effects = Vec::new();
        for task in self.tasks.values_mut() {
            task.collect(
                &self.spec,
                &mut step.writes,
                &mut step.progress,
                &mut effects,
            );
        }
        if step.is_empty() {
            // nothing to make durable first: what was asked may be asked at once
            let any = !effects.is_empty();
            self.perform(effects);
            return Ok(any);
        }
        // what the outside world is asked to do rests on what this step wrote down
        if !effects.is_empty() && !step.writes.is_empty() {
            step.durability = self.spec.effect_durability;
        } else {
            step.durability = Durability::Process;
        }
        let began = std::time::Instant::now();
        let committed = match self.member.as_deref_mut() {
            Some(member) => member.commit(step),
            None => Err(no_seat().into()),
        };
        self.status.commits.record(began.elapsed());
        match committed {
            Ok(()) => {
                self.tasks.values_mut().for_each(Task::committed);
                self.status.steps.fetch_add(1, Ordering::Relaxed);
                self.perform(effects);
            }
            Err(CommitError::Aborted) => {
                self.status.aborted.fetch_add(1, Ordering::Relaxed);
                for (shard, task) in &mut self.tasks {
                    task.aborted(&*self.log, &self.spec, (self.factory)(*shard), now)
                        .map_err(|error| stopped(&self.spec, *shard, error))?;
                }
            }
            Err(CommitError::Fenced) => {
                tracing::warn!(stage = self.spec.name, "fenced: joining the group again");
                self.start_over()?;
            }
            Err(CommitError::Log(error)) => return Err(error.into()),
        }
        Ok(true)
    }

    fn perform(&self, effects: Vec<(Shard, Vec<P::Effect>)>) {
        for (shard, effects) in effects {
            self.performer.perform(shard, effects, &self.inbox);
        }
    }

    /// Gives away the shards that were asked for and have nothing in flight, or had it for too
    /// long: an answer that comes later goes to [`Performer::orphaned`].
    fn hand_over(&mut self) {
        if self.stopping {
            return;
        }
        let now = (self.clock)();
        let done: Vec<_> = self
            .tasks
            .values()
            .filter(|task| task.is_closed(now, self.grace))
            .map(|task| task.shard)
            .collect();
        for shard in &done {
            self.tasks.remove(shard);
            if let Some(member) = self.member.as_deref_mut() {
                member.release(*shard);
            }
        }
        if !done.is_empty() {
            self.show_shards();
        }
    }

    /// Steps until told to stop, then until nothing is in flight or the grace is over.
    ///
    /// # Errors
    /// [`WorkerError`].
    pub fn run(mut self, stop: &AtomicBool) -> Result<(), WorkerError> {
        let mut more = true;
        while !stop.load(Ordering::SeqCst) {
            let wait = if more {
                Duration::ZERO
            } else {
                Duration::from_millis(IDLE_MS_MAX)
            };
            more = self.step(wait)?;
        }
        self.stop();
        let until = std::time::Instant::now() + self.grace;
        while self.in_flight() > 0 && std::time::Instant::now() < until {
            self.step(Duration::from_millis(20))?;
        }
        // answers that are there already are written down before the seat is given up
        self.step(Duration::ZERO)?;
        Ok(())
    }
}

fn no_seat() -> LogError {
    LogError::Storage("the worker has no seat in its group: this is a bug".to_owned())
}

fn stopped(spec: &StageSpec, shard: Shard, error: ProcessError) -> WorkerError {
    match error {
        ProcessError::Log(error) => WorkerError::Log(error),
        ProcessError::Stop(reason) => WorkerError::Stopped {
            stage: spec.name,
            shard,
            reason,
        },
    }
}

#[cfg(test)]
mod tests;
