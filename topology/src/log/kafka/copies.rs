//! Local copies in use: brought up to the end of their topic by whoever takes a partition over, and
//! kept there by the same.
//!
//! # Who follows
//! Members of one process share its copies, and a partition may go from one to another while the
//! first still has a committed step to take over. So a copy is followed by the thread that restored
//! it last, and by no other: what was committed before that is in it.

mod mirror;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::thread::ThreadId;
use std::time::{Duration, Instant};

use self::mirror::Mirror;
use super::client::KafkaSettings;
use super::topics::DELETE_RETENTION_MS_BY_DEFAULT;
use super::{KafkaLog, lock};
use crate::batch::RecordBatch;
use crate::log::local::Prepared;
use crate::log::{LogError, SeeRow, Step, Write};
use crate::types::{Offset, Shard, TimeMs, Topic};

/// How often the marks of followed partitions are moved on.
const MARKS: Duration = Duration::from_secs(5);

/// Partitions that were restored here, by the thread of the member that alone writes them since.
type Followed = BTreeMap<(Topic, Shard), ThreadId>;

/// See the module.
pub(super) struct Copies {
    mirror: Mirror,
    followed: Mutex<Followed>,
}

impl Copies {
    /// The copies of a cluster's topics, if they are wanted.
    pub(super) fn open(
        settings: &KafkaSettings,
        cluster: impl FnOnce() -> Option<String>,
    ) -> Result<Option<Self>, LogError> {
        let Some(directory) = &settings.mirror_dir else {
            return Ok(None);
        };
        let cluster = cluster().unwrap_or_default();
        let mirror = Mirror::open(directory, settings.partitions, &cluster, &settings.clock)?;
        Ok(Some(Self {
            mirror,
            followed: Mutex::default(),
        }))
    }

    /// Makes those smaller that have grown.
    pub(super) fn compact(&self) -> Result<(), LogError> {
        self.mirror.compact()
    }

    /// Shows what a partition comes to; from now on this thread follows it.
    pub(super) fn restore(
        &self,
        log: &KafkaLog,
        topic: &Topic,
        shard: Shard,
        see: &mut SeeRow<'_>,
    ) -> Result<(), LogError> {
        let partition = (topic.clone(), shard);
        lock(&self.followed).remove(&partition);
        self.catch_up(log, topic, shard)?;
        self.mirror.for_each(topic, shard, log.now(), see)?;
        lock(&self.followed).insert(partition, std::thread::current().id());
        Ok(())
    }

    /// The batch of a table in which an offset lies.
    pub(super) fn at_hand(
        &self,
        log: &KafkaLog,
        topic: &Topic,
        shard: Shard,
        offset: Offset,
    ) -> Result<Option<RecordBatch>, LogError> {
        if let Some(batch) = self.mirror.batch(topic, shard, offset)? {
            return Ok(Some(batch));
        }
        // a copy that begins only now, or was left behind while the shard was elsewhere
        let mark = self.mirror.mark(topic, shard);
        if mark.is_none_or(|mark| mark <= offset) {
            self.catch_up(log, topic, shard)?;
            return self.mirror.batch(topic, shard, offset);
        }
        Ok(None)
    }

    /// From where on a copy is to be read, by how its topic stands now.
    fn judge(&self, log: &KafkaLog, topic: &Topic, shard: Shard) -> Result<Offset, LogError> {
        let known = log.known().get(topic).copied().unwrap_or_default();
        let age_ms_max = known
            .delete_retention_ms
            .unwrap_or(DELETE_RETENTION_MS_BY_DEFAULT);
        let end = log.end(topic, shard)?;
        self.mirror.judge(topic, shard, end, age_ms_max, log.now())
    }

    /// Brings the copy of a partition up to its end.
    fn catch_up(&self, log: &KafkaLog, topic: &Topic, shard: Shard) -> Result<(), LogError> {
        let from = self.judge(log, topic, shard)?;
        log.read_through(topic, shard, from, &mut |at, batch| {
            self.mirror.apply(topic, shard, at, batch, log.now())
        })
    }

    /// Ends what this thread follows of a shard.
    pub(super) fn forget(&self, shard: Shard) {
        lock(&self.followed).retain(|(_, of), by| *of != shard || !is_this_thread(by));
    }

    /// Takes a committed step over, as far as it is this thread that follows.
    pub(super) fn follow(&self, step: &Step, marks: &Marks, now: TimeMs) -> Result<(), LogError> {
        let ours: Vec<&Write> = {
            let followed = lock(&self.followed);
            let is_ours = |write: &&Write| is_ours(&followed, &(write.topic.clone(), write.shard));
            step.writes.iter().filter(is_ours).collect()
        };
        if ours.is_empty() && marks.is_empty() {
            return Ok(());
        }
        let prepare = |write: &Write| Prepared::fresh(&write.topic, write.shard, &write.batch, now);
        let changes: Vec<_> = ours.into_iter().map(prepare).collect();
        // whoever restores one of them now waits, or has taken it before
        let followed = lock(&self.followed);
        let changes = changes
            .into_iter()
            .filter(|change| is_ours(&followed, &change.partition()))
            .collect();
        let marks = marks.iter().filter(|(of, _)| is_ours(&followed, of));
        self.mirror.follow(changes, marks, now)
    }
}

fn is_ours(followed: &Followed, partition: &(Topic, Shard)) -> bool {
    followed.get(partition).is_some_and(is_this_thread)
}

fn is_this_thread(by: &ThreadId) -> bool {
    *by == std::thread::current().id()
}

/// Up to where copies reflect their partitions once a step is committed.
pub(super) type Marks = Vec<((Topic, Shard), Offset)>;

/// A member's part in it.
pub(super) struct Follower {
    /// Compacted topics of the group, whose rows are looked up: copied as they are read.
    tables: BTreeSet<Topic>,
    /// Changelogs that the member writes and this process has copies of.
    changelogs: BTreeSet<Topic>,
    marked: Instant,
}

impl Follower {
    /// Of a group that reads these topics.
    pub(super) fn of(log: &KafkaLog, topics: &[Topic]) -> Self {
        let tables = topics.iter().filter(|topic| log.is_compacted(topic));
        Self {
            tables: tables.cloned().collect(),
            changelogs: BTreeSet::new(),
            marked: Instant::now(),
        }
    }

    /// Ends of the followed partitions that the member owns, when it is time to move the marks.
    pub(super) fn due_marks(
        &mut self,
        log: &KafkaLog,
        owned: &BTreeSet<Shard>,
        step: &Step,
    ) -> Result<Marks, LogError> {
        let Some(copies) = &log.0.copies else {
            return Ok(Marks::new());
        };
        {
            let followed = lock(&copies.followed);
            for write in &step.writes {
                if !self.changelogs.contains(&write.topic)
                    && followed.contains_key(&(write.topic.clone(), write.shard))
                {
                    self.changelogs.insert(write.topic.clone());
                }
            }
        }
        if self.marked.elapsed() < MARKS {
            return Ok(Marks::new());
        }
        self.marked = Instant::now();
        let followed: Vec<_> = lock(&copies.followed)
            .iter()
            .filter(|(_, by)| is_this_thread(by))
            .map(|(partition, _)| partition)
            .filter(|(topic, shard)| self.changelogs.contains(topic) && owned.contains(shard))
            .cloned()
            .collect();
        let asked: Vec<_> = followed
            .iter()
            .map(|(topic, shard)| (topic, *shard))
            .collect();
        Ok(log.ends(&asked)?.into_iter().collect())
    }

    /// Copies what the member read of a table.
    pub(super) fn copy(
        &self,
        log: &KafkaLog,
        topic: &Topic,
        shard: Shard,
        from: Offset,
        read: &RecordBatch,
    ) -> Result<(), LogError> {
        match &log.0.copies {
            Some(copies) if self.tables.contains(topic) => {
                // nothing was read of it here yet: it begins where it was left
                if copies.mirror.mark(topic, shard).is_none() {
                    copies.judge(log, topic, shard)?;
                }
                copies.mirror.apply(topic, shard, from, read, log.now())
            }
            _ => Ok(()),
        }
    }
}
