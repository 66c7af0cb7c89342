//! The log: partitioned topics, groups with committed offsets, and one atomic commit for
//! everything that a step does.
//!
//! Three implementations keep this contract, and one suite ([`conformance`]) holds them to it:
//! [`MemoryLog`] (tests, the simulator), [`EmbeddedLog`] (one directory, no server), and Kafka.
//!
//! # What every implementation promises
//! 1. **Atomic.** The writes and offsets of one [`Member::commit`], and the writes of one
//!    [`Log::append`], become visible together or not at all, across topics and shards.
//! 2. **Ordered.** Within a partition offsets grow and records are read in that order. Nothing
//!    that was read as committed is ever taken back.
//! 3. **Complete.** [`Member::fetch`] answering `None` means: at some moment since this member was
//!    last handed a record, or last polled, or last told the same of this partition, the position
//!    was the end of the partition.
//! 4. **Cuts.** [`Log::append_cut`] hands the ends of its cut topics to the builder such that
//!    whoever fetched `None` from the written partition after fetching a record at or beyond the
//!    cut has seen the write. In other words: take data in hand first, then read the command
//!    topic to its end, and no record behind a cut is processed before the command.
//! 5. **Fenced.** A member commits only for shards that it owns; one that has lost a shard, or
//!    was replaced while it slept, gets [`CommitError::Fenced`], and nothing of its step stays.
//! 6. **A shard is a whole.** Partition *p* of all of a group's topics has one owner.
//! 7. **Compaction keeps** the last record of each key, at its offset.
//!
//! The order in which a shard is taken over: what the group has committed, then what the stores'
//! changelogs come to. What the last owner was still committing is in both or in neither.
//!
//! # What is not promised
//! Offsets without gaps; that a commit whose answer was lost did not happen ([`LogError::InDoubt`]);
//! durability beyond what [`Durability`] says.

pub mod conformance;
mod coordinator;
mod embedded;
mod kafka;
mod local;
mod memory;
mod storage;

use std::time::Duration;

pub use embedded::EmbeddedLog;
pub use kafka::{
    Admission, GroupProtocol, KafkaLog, KafkaSettings, Membership, TopicCreation, TopicState,
};
pub use local::{ClockMs, LocalLog};
pub use memory::{Faults, MemoryLog};

use crate::batch::{Batch, RecordBatch};
use crate::types::{Group, Offset, Shard, TimeMs, Topic};

/// What happens to the old records of a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cleanup {
    /// Kept until they are cut on purpose.
    Keep,
    /// Only the last record of each key is kept.
    Compact,
}

/// A topic as it must be. Every topic of a log has the same number of partitions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicSpec {
    /// Its name.
    pub topic: Topic,
    /// What happens to old records.
    pub cleanup: Cleanup,
}

/// Records for one partition.
#[derive(Debug)]
pub struct Write {
    /// The topic.
    pub topic: Topic,
    /// The partition.
    pub shard: Shard,
    /// The records, in order.
    pub batch: Batch,
}

/// How far a partition reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// The first offset that may still be there.
    pub start: Offset,
    /// The offset that the next record will have.
    pub end: Offset,
}

/// What a commit must survive.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Durability {
    /// The death of the process.
    #[default]
    Process,
    /// The death of the machine: on disk (or replicated) before the commit returns.
    Machine,
}

/// How far a group has come in one partition: everything before the offset is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// The topic.
    pub topic: Topic,
    /// The partition.
    pub shard: Shard,
    /// The next offset to process.
    pub offset: Offset,
}

/// Everything that one step does, committed as one unit.
#[derive(Debug, Default)]
pub struct Step {
    /// Outputs and state changes.
    pub writes: Vec<Write>,
    /// Inputs that are done.
    pub progress: Vec<Progress>,
    /// What the commit must survive.
    pub durability: Durability,
}

impl Step {
    /// Whether there is nothing to commit.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.writes.is_empty() && self.progress.is_empty()
    }
}

/// Why the log could not do it.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The topic was never created.
    #[error("topic {0} does not exist: it is created when the pipeline starts")]
    UnknownTopic(Topic),
    /// The partition lies outside the log's partitions.
    #[error("partition {shard} of {topic} does not exist: the log has {partitions}")]
    UnknownShard {
        /// The topic.
        topic: Topic,
        /// The partition asked for.
        shard: Shard,
        /// How many there are.
        partitions: u32,
    },
    /// The log on disk was made with other settings.
    #[error("{0}")]
    Mismatch(String),
    /// Somebody else has the log open.
    #[error("the log at {path} is in use by another process")]
    InUse {
        /// The directory.
        path: String,
    },
    /// The group has members: offsets can only be set when it has none.
    #[error("group {0} has running members: stop them first")]
    GroupInUse(Group),
    /// The stored bytes are damaged.
    #[error(
        "{topic} partition {shard} at offset {offset}: {damage}; restore the directory from a copy, or replay the inputs into a new one"
    )]
    Damaged {
        /// The topic.
        topic: Topic,
        /// The partition.
        shard: Shard,
        /// Where the damaged batch begins.
        offset: Offset,
        /// What is wrong.
        damage: String,
    },
    /// The brokers do not answer: it may work later.
    #[error("{0}")]
    Unreachable(String),
    /// The brokers refuse it: it will not work until somebody changes something.
    #[error("{0}")]
    Refused(String),
    /// The engine below failed; the log refuses everything from here on.
    #[error("the log's storage failed: {0}")]
    Storage(String),
    /// The answer was lost: it may or may not have happened.
    #[error("the log did not answer: the write may or may not have happened")]
    InDoubt,
}

/// Why a step was not committed, by consequence.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// Nothing happened: drop what is uncommitted, read again from the committed offsets, go on.
    #[error("the step was aborted")]
    Aborted,
    /// The shards belong to somebody else now: drop them and join again.
    #[error("this member was fenced: its shards have another owner")]
    Fenced,
    /// The log cannot go on: stop the process.
    #[error(transparent)]
    Log(#[from] LogError),
}

/// A change of what a member owns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ownership {
    /// The shard is this member's; read from its committed offsets.
    Assigned(Shard),
    /// The shard is wanted elsewhere: commit what is done, then [`Member::release`] it.
    Revoked(Shard),
    /// The shard is already gone: drop what is uncommitted.
    Lost(Shard),
}

/// Makes the writes of a cut; it is handed what answers the end of a cut topic's partition. It may
/// be called more than once: what it made last is written, to the partitions that it named first.
pub type CutBuilder<'a> = dyn FnMut(&dyn Fn(&Topic, Shard) -> Offset) -> Vec<Write> + 'a;

/// Is shown a key and its value; none where the key was deleted.
pub type SeeRow<'a> = dyn FnMut(&[u8], Option<&[u8]>) + 'a;

/// Partitioned, append-only, shared by all threads of a process.
pub trait Log: Send + Sync {
    /// Number of partitions of every topic.
    fn partitions(&self) -> u32;

    /// Whether there may still be work on this log. A worker asks whenever shards come to it, so
    /// that one that stood still for long does not go on with what has moved elsewhere.
    ///
    /// # Errors
    /// [`LogError::Refused`] with what to do instead.
    fn admit(&self) -> Result<(), LogError> {
        Ok(())
    }

    /// Creates the topics that are missing and checks those that are there.
    ///
    /// # Errors
    /// [`LogError::Mismatch`] when one is there with another cleanup.
    fn create(&self, topics: &[TopicSpec]) -> Result<(), LogError>;

    /// Appends from outside any group, as one unit.
    ///
    /// # Errors
    /// [`LogError`]; nothing was appended, unless [`LogError::InDoubt`].
    fn append(&self, writes: Vec<Write>, durability: Durability) -> Result<(), LogError>;

    /// Appends what `build` makes of the ends of `cut` topics: `build` is asked for the ends by
    /// (topic, shard). Promise 4 above.
    ///
    /// # Errors
    /// As [`Log::append`].
    fn append_cut(&self, cut: &[Topic], build: &mut CutBuilder<'_>) -> Result<(), LogError>;

    /// How far a partition reaches.
    ///
    /// # Errors
    /// [`LogError`] when there is no such partition.
    fn bounds(&self, topic: &Topic, shard: Shard) -> Result<Bounds, LogError>;

    /// Reads outside any group: the batch with the first record at or after `from` (it may begin
    /// earlier), or `None` at the end.
    ///
    /// # Errors
    /// [`LogError`], [`LogError::Damaged`] among them.
    fn read(
        &self,
        topic: &Topic,
        shard: Shard,
        from: Offset,
    ) -> Result<Option<RecordBatch>, LogError>;

    /// What a group has committed.
    ///
    /// # Errors
    /// [`LogError`] when there is no such partition.
    fn committed(
        &self,
        group: &Group,
        topic: &Topic,
        shard: Shard,
    ) -> Result<Option<Offset>, LogError>;

    /// As [`Log::committed`], without waiting for a step that is being committed: for whoever
    /// watches, and decides nothing by it.
    ///
    /// # Errors
    /// [`LogError`] when there is no such partition.
    fn committed_so_far(
        &self,
        group: &Group,
        topic: &Topic,
        shard: Shard,
    ) -> Result<Option<Offset>, LogError> {
        self.committed(group, topic, shard)
    }

    /// How many offsets of each partition lie between what a group has committed so far and the end:
    /// for whoever watches, and decides nothing by it.
    ///
    /// # Errors
    /// [`LogError`] when there is no such partition.
    fn lag(&self, group: &Group, partitions: &[(&Topic, Shard)]) -> Result<Vec<u64>, LogError> {
        let lag = |&(topic, shard): &(&Topic, Shard)| {
            let end = self.bounds(topic, shard)?.end;
            let committed = self.committed_so_far(group, topic, shard)?;
            Ok(end.0.saturating_sub(committed.unwrap_or_default().0))
        };
        partitions.iter().map(lag).collect()
    }

    /// Sets what a group has committed: the tool of a replay.
    ///
    /// # Errors
    /// [`LogError::GroupInUse`] while it has members.
    fn set_committed(&self, group: &Group, progress: &[Progress]) -> Result<(), LogError>;

    /// Shows what a compacted partition comes to: each key that has a value at its end, with that
    /// value as the last that is shown of it. Everything that was ever committed there, by
    /// whomever, is in it: what is still being committed is waited for.
    ///
    /// # Errors
    /// [`LogError`].
    fn restore(&self, topic: &Topic, shard: Shard, see: &mut SeeRow<'_>) -> Result<(), LogError> {
        let mut at = Offset(0);
        while let Some(batch) = self.read(topic, shard, at)? {
            for record in batch.iter() {
                see(record.key, record.value);
            }
            at = batch.next_offset();
        }
        Ok(())
    }

    /// The batch of a compacted partition in which an offset lies, where the log has it nearer than
    /// [`Log::read`] would have to go. Neither `None` nor a record that is missing says anything.
    ///
    /// # Errors
    /// [`LogError`].
    fn at_hand(
        &self,
        topic: &Topic,
        shard: Shard,
        offset: Offset,
    ) -> Result<Option<RecordBatch>, LogError> {
        let _ = (topic, shard, offset);
        Ok(None)
    }

    /// Where the first record lies that was appended at or after a time; the end if none was.
    ///
    /// # Errors
    /// [`LogError`].
    fn first_since(&self, topic: &Topic, shard: Shard, time: TimeMs) -> Result<Offset, LogError> {
        let mut at = self.bounds(topic, shard)?.start;
        while let Some(batch) = self.read(topic, shard, at)? {
            let since = |record: &crate::batch::Record<'_>| {
                record.offset >= at && record.appended_at >= time
            };
            if let Some(record) = batch.iter().find(since) {
                return Ok(record.offset);
            }
            at = batch.next_offset();
        }
        Ok(at)
    }

    /// Lets go of what lies below an offset, or of a part of it: whole batches, say, and never the
    /// end. Whether somebody still needs it is for the caller to know. A log that keeps everything
    /// does nothing.
    ///
    /// # Errors
    /// [`LogError`].
    fn trim(&self, topic: &Topic, shard: Shard, below: Offset) -> Result<(), LogError> {
        let _ = (topic, shard, below);
        Ok(())
    }

    /// Becomes a member of a group that reads `topics`.
    ///
    /// # Errors
    /// [`LogError`].
    fn join(&self, group: &Group, topics: &[Topic]) -> Result<Box<dyn Member>, LogError>;
}

/// One worker's seat in a group. Dropping it leaves the group.
pub trait Member: Send {
    /// Waits until something may have changed (records, ownership, [`Waker::wake`]) or the time
    /// is over, and tells the changes of ownership.
    ///
    /// # Errors
    /// [`LogError`].
    fn poll(&mut self, timeout: Duration) -> Result<Vec<Ownership>, LogError>;

    /// The batch with the first record at or after `from` in an owned shard, or `None` at the
    /// end (promise 3).
    ///
    /// # Errors
    /// [`LogError`].
    fn fetch(
        &mut self,
        topic: &Topic,
        shard: Shard,
        from: Offset,
    ) -> Result<Option<RecordBatch>, LogError>;

    /// As [`Member::fetch`], without a promise: what is at hand, or `None`, which says nothing of
    /// the end. The batch may hold no record, where the place of reading moves past what is none.
    ///
    /// # Errors
    /// [`LogError`].
    fn try_fetch(
        &mut self,
        topic: &Topic,
        shard: Shard,
        from: Offset,
    ) -> Result<Option<RecordBatch>, LogError> {
        self.fetch(topic, shard, from)
    }

    /// Begins to read an owned shard from `from`, so that it is at hand when it is fetched.
    ///
    /// # Errors
    /// [`LogError`].
    fn prefetch(&mut self, topic: &Topic, shard: Shard, from: Offset) -> Result<(), LogError> {
        let _ = (topic, shard, from);
        Ok(())
    }

    /// Commits a step (promise 1).
    ///
    /// # Errors
    /// [`CommitError`], which says what to do.
    fn commit(&mut self, step: Step) -> Result<(), CommitError>;

    /// Whether the group has taken this member in, whatever it was assigned.
    fn has_joined(&self) -> bool {
        true
    }

    /// Gives a revoked shard away.
    fn release(&mut self, shard: Shard);

    /// Lets another thread end this member's [`Member::poll`].
    fn waker(&self) -> Waker;
}

/// Ends a member's wait from another thread.
#[derive(Clone)]
pub struct Waker(std::sync::Arc<dyn Fn() + Send + Sync>);

impl Waker {
    /// A waker that does `wake`.
    pub fn new(wake: impl Fn() + Send + Sync + 'static) -> Self {
        Self(std::sync::Arc::new(wake))
    }

    /// Ends the wait.
    pub fn wake(&self) {
        (self.0)();
    }
}

impl std::fmt::Debug for Waker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Waker")
    }
}
