//! Local copies of compacted topics: a restart reads what changed since, not everything, and a
//! row is looked up without asking a broker.
//!
//! # Layout
//! An embedded log in the directory, with a topic of its own for each that is copied. Of a table,
//! batches stand there as they were read, at their own offsets. Of a changelog that this process
//! writes, the changes are appended as they are committed, at offsets that mean nothing. For each
//! partition two notes say up to which offset of the topic it reflects everything (the mark), and
//! since when.
//!
//! # Invariants
//! - A copy reflects every committed record before its mark. It may hold later ones already: to
//!   read on from the mark puts every key at its last record all the same.
//! - The mark moves in one change with the batches that it is the mark of, or after them.
//! - A copy is a cache: one that is of another cluster, ahead of its topic, or so old that a
//!   deletion may have been compacted away since, is thrown away. So are all of them if they
//!   cannot be read.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Mutex;

use super::lock;
use crate::batch::RecordBatch;
use crate::log::local::{ClockMs, Note, Prepared};
use crate::log::{Cleanup, EmbeddedLog, Log as _, LogError, SeeRow, TopicSpec};
use crate::types::{Group, Offset, Shard, TimeMs, Topic};

/// Records of a partition from which on it is worth while to compact.
const DIRTY_MIN: u64 = 500_000;

/// See the module.
pub(super) struct Mirror {
    directory: String,
    log: EmbeddedLog,
    /// Partitions whose mark was found fit to be read on from.
    fit: Mutex<BTreeSet<(Topic, Shard)>>,
}

impl Mirror {
    /// Opens the copies in a directory; those of another cluster are thrown away.
    pub(super) fn open(
        directory: &Path,
        partitions: u32,
        cluster: &str,
        clock: &ClockMs,
    ) -> Result<Self, LogError> {
        let name = directory.display().to_string();
        let open = || EmbeddedLog::open_directory(directory, partitions, ClockMs::clone(clock));
        let anew = |why: &str| {
            tracing::warn!(directory = name, "local copies are made anew: {why}");
            std::fs::remove_dir_all(directory)
                .map_err(|error| failed(&name, &error))
                .and_then(|()| open())
        };
        let of = |log: &EmbeddedLog| {
            let any = Topic::new(CLUSTER);
            log.note(&Group::new(cluster), &any, Shard(0)).is_some()
        };
        let log = match open() {
            Ok(log) if of(&log) || log.is_untouched() => log,
            Ok(log) => {
                drop(log);
                anew("they are of another cluster")?
            }
            Err(error @ LogError::InUse { .. }) => return Err(error),
            // whatever it is: a directory that cannot be written either says so now
            Err(error) => anew(&error.to_string())?,
        };
        let this = (
            Group::new(cluster),
            Topic::new(CLUSTER),
            Shard(0),
            Offset(0),
        );
        log.take_over(Vec::new(), vec![this])
            .map_err(|e| failed(&name, &e))?;
        Ok(Self {
            directory: name,
            log,
            fit: Mutex::default(),
        })
    }

    /// Up to where a copy reflects its partition, if it was found fit to be read on from there.
    pub(super) fn mark(&self, topic: &Topic, shard: Shard) -> Option<Offset> {
        lock(&self.fit)
            .contains(&(topic.clone(), shard))
            .then(|| self.noted(MARK, topic, shard))
    }

    /// Up to where a copy reflects its partition, by where that ends and by how long a deletion can
    /// be seen there; one that is not fit to be read on from is emptied. Whoever takes a partition
    /// over asks: it may have been elsewhere for long since it was asked last.
    pub(super) fn judge(
        &self,
        topic: &Topic,
        shard: Shard,
        end: Offset,
        age_ms_max: u64,
        now: TimeMs,
    ) -> Result<Offset, LogError> {
        let at = self.noted(MARK, topic, shard);
        let partition = (topic.clone(), shard);
        let spec = TopicSpec {
            topic: topic.clone(),
            cleanup: Cleanup::Compact,
        };
        self.log.create(&[spec]).map_err(|e| self.failed(&e))?;
        let since = i64::try_from(self.noted(SINCE, topic, shard).0).unwrap_or_default();
        let age_ms = now.0.saturating_sub(since);
        let fit = at <= end && u64::try_from(age_ms).unwrap_or(0) < age_ms_max;
        let at = if fit || at == Offset(0) {
            at
        } else {
            tracing::warn!(%topic, %shard, "a local copy is too old or ahead of its topic: made anew");
            self.clear(topic, shard, now)?;
            Offset(0)
        };
        lock(&self.fit).insert(partition);
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
        let at = self.noted(MARK, topic, shard);
        let is_fit = lock(&self.fit).contains(&(topic.clone(), shard));
        if !is_fit || from > at || read.next_offset() <= at {
            return Ok(());
        }
        // a table stands at its own offsets, or its rows could not be looked up
        let prepared = if read.base() == at {
            Prepared::read(topic, shard, read)
        } else {
            Prepared::read(topic, shard, &read.since(at))
        };
        let notes = notes(topic, shard, read.next_offset(), now);
        self.log
            .take_over(vec![prepared], notes.into())
            .map_err(|e| self.failed(&e))
    }

    /// Takes over changes that were committed, and the marks that are certain by now.
    pub(super) fn follow<'a>(
        &self,
        changes: Vec<Prepared>,
        marks: impl Iterator<Item = &'a ((Topic, Shard), Offset)>,
        now: TimeMs,
    ) -> Result<(), LogError> {
        let marks = marks.flat_map(|((topic, shard), at)| notes(topic, *shard, *at, now));
        self.log
            .take_over(changes, marks.collect())
            .map_err(|e| self.failed(&e))
    }

    /// Shows what a partition comes to. A copy that cannot be read is emptied before the error is
    /// told: the next start reads the topic.
    pub(super) fn for_each(
        &self,
        topic: &Topic,
        shard: Shard,
        now: TimeMs,
        see: &mut SeeRow<'_>,
    ) -> Result<(), LogError> {
        let shown = self.log.restore(topic, shard, see);
        shown.map_err(|error| match self.clear(topic, shard, now) {
            Ok(()) => LogError::Storage(format!(
                "the local copy of {topic} partition {shard} in {} could not be read and was thrown away ({error}): start again, and it is made anew from the topic",
                self.directory
            )),
            Err(_) => self.failed(&error),
        })
    }

    /// The batch that covers an offset, of a copy at the topic's own offsets. One that cannot be
    /// read is none: the topic has it.
    pub(super) fn batch(
        &self,
        topic: &Topic,
        shard: Shard,
        offset: Offset,
    ) -> Result<Option<RecordBatch>, LogError> {
        let at = self.noted(MARK, topic, shard);
        if at <= offset {
            return Ok(None);
        }
        let is_at_its_offsets = self
            .log
            .bounds(topic, shard)
            .is_ok_and(|bounds| bounds.end == at);
        if !is_at_its_offsets {
            return Ok(None);
        }
        self.log.read(topic, shard, offset).or_else(|error| {
            tracing::warn!(%topic, %shard, %error, "a local copy cannot be read: its topic is");
            Ok(None)
        })
    }

    /// Empties a copy.
    fn clear(&self, topic: &Topic, shard: Shard, now: TimeMs) -> Result<(), LogError> {
        let notes = notes(topic, shard, Offset(0), now);
        self.log
            .clear(topic, shard, notes.into())
            .map_err(|e| self.failed(&e))
    }

    /// Makes copies smaller that have grown.
    pub(super) fn compact(&self) -> Result<(), LogError> {
        self.log
            .compact(DIRTY_MIN)
            .map(drop)
            .map_err(|e| self.failed(&e))
    }

    fn noted(&self, what: &str, topic: &Topic, shard: Shard) -> Offset {
        self.log
            .note(&Group::new(what), &of(topic), shard)
            .unwrap_or_default()
    }

    fn failed(&self, error: &dyn std::fmt::Display) -> LogError {
        failed(&self.directory, error)
    }
}

const CLUSTER: &str = "a cluster";
const MARK: &str = "mark";
const SINCE: &str = "since";

/// A partition's notes.
fn notes(topic: &Topic, shard: Shard, at: Offset, now: TimeMs) -> [Note; 2] {
    let since = Offset(u64::try_from(now.0).unwrap_or_default());
    [(MARK, at), (SINCE, since)].map(|(what, value)| (Group::new(what), of(topic), shard, value))
}

/// What a topic's notes stand under: no topic, so that nothing waits for them.
fn of(topic: &Topic) -> Topic {
    Topic::new(&format!("copy of {topic}"))
}

fn failed(directory: &str, error: &dyn std::fmt::Display) -> LogError {
    LogError::Storage(format!(
        "the local copies in {directory} cannot be used ({error}): mend the disk, or remove the directory: it is made anew from the topics"
    ))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::batch::Batch;
    use std::sync::Arc;

    const SHARD: Shard = Shard(1);
    const NOW: TimeMs = TimeMs(1_000_000_000);
    const AGE_MS_MAX: u64 = 5_000;

    fn open(directory: &Path, cluster: &str) -> Mirror {
        let clock: ClockMs = Arc::new(|| NOW);
        Mirror::open(directory, 2, cluster, &clock).unwrap()
    }

    fn table() -> Topic {
        Topic::new("table")
    }

    /// Records at these offsets, in a batch up to `next`.
    fn read(base: u64, records: &[(u64, &str, Option<&str>)], next: u64) -> RecordBatch {
        let mut batch = Batch::default();
        for (offset, key, value) in records {
            let record = crate::batch::Record {
                offset: Offset(*offset),
                appended_at: NOW,
                key: key.as_bytes(),
                value: value.map(str::as_bytes),
            };
            batch.push_kept(Offset(base), NOW, &record);
        }
        batch.extend_span(next - base);
        RecordBatch::placed(batch, Offset(base), NOW)
    }

    fn mark(mirror: &Mirror, topic: &Topic, end: u64) -> u64 {
        let at = mirror.judge(topic, SHARD, Offset(end), AGE_MS_MAX, NOW);
        at.unwrap().0
    }

    fn contents(mirror: &Mirror, topic: &Topic) -> Vec<(String, String)> {
        let mut rows = std::collections::BTreeMap::new();
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        mirror
            .for_each(topic, SHARD, NOW, &mut |key, value| {
                match value {
                    Some(value) => rows.insert(text(key), text(value)),
                    None => rows.remove(&text(key)),
                };
            })
            .unwrap();
        rows.into_iter().collect()
    }

    fn value_at(mirror: &Mirror, topic: &Topic, offset: u64) -> Option<String> {
        let batch = mirror.batch(topic, SHARD, Offset(offset)).unwrap()?;
        let record = batch.iter().find(|record| record.offset == Offset(offset));
        record.map(|record| String::from_utf8(record.value.unwrap().to_vec()).unwrap())
    }

    #[test]
    fn a_table_stands_at_its_own_offsets_whatever_lies_between_them() {
        let directory = tempfile::tempdir().unwrap();
        let topic = table();
        let first = read(0, &[(2, "a", Some("1")), (5, "b", Some("2"))], 9);
        // what was read twice, in batches that are cut elsewhere, is taken over once
        let again = read(4, &[(5, "b", Some("2")), (11, "a", Some("3"))], 12);
        {
            let mirror = open(directory.path(), "one");
            assert_eq!(mark(&mirror, &topic, 12), 0);
            for batch in [&first, &again] {
                mirror
                    .apply(&topic, SHARD, batch.base(), batch, NOW)
                    .unwrap();
            }
            // something before it is missing
            let far = read(20, &[(20, "c", Some("9"))], 21);
            mirror.apply(&topic, SHARD, Offset(20), &far, NOW).unwrap();
        }
        let mirror = open(directory.path(), "one");
        assert_eq!(mark(&mirror, &topic, 12), 12);
        let values = [2, 5, 11, 3, 12].map(|offset| value_at(&mirror, &topic, offset));
        let expected = [Some("1"), Some("2"), Some("3"), None, None];
        assert_eq!(values, expected.map(|value| value.map(str::to_owned)));
        let rows = [("a", "3"), ("b", "2")].map(|(key, value)| (key.to_owned(), value.to_owned()));
        assert_eq!(contents(&mirror, &topic), rows);
    }

    #[test]
    fn changes_of_our_own_are_there_whether_or_not_the_mark_has_moved() {
        let directory = tempfile::tempdir().unwrap();
        let topic = table();
        {
            let mirror = open(directory.path(), "one");
            mark(&mirror, &topic, 0);
            for (key, value, at) in [
                ("a", Some("1"), Some(7)),
                ("b", Some("2"), None),
                ("a", None, None),
            ] {
                let mut changes = Batch::default();
                changes.push(key.as_bytes(), value.map(str::as_bytes));
                let marks: Vec<_> = at
                    .map(|at| ((topic.clone(), SHARD), Offset(at)))
                    .into_iter()
                    .collect();
                let changes = vec![Prepared::fresh(&topic, SHARD, &changes, NOW)];
                mirror.follow(changes, marks.iter(), NOW).unwrap();
            }
        }
        let mirror = open(directory.path(), "one");
        assert_eq!(mark(&mirror, &topic, 30), 7);
        // what is read from the mark on may be there already
        let since = read(
            7,
            &[(8, "b", Some("2")), (10, "a", None), (12, "c", Some("3"))],
            14,
        );
        mirror.apply(&topic, SHARD, Offset(7), &since, NOW).unwrap();
        assert_eq!(mark(&mirror, &topic, 30), 14);
        let rows = [("b", "2"), ("c", "3")].map(|(key, value)| (key.to_owned(), value.to_owned()));
        assert_eq!(contents(&mirror, &topic), rows);
        // nothing is looked up where offsets are not the topic's
        assert_eq!(
            mirror
                .batch(&topic, SHARD, Offset(1))
                .unwrap()
                .map(|batch| batch.count()),
            None
        );
    }

    #[test]
    fn a_copy_that_is_ahead_too_old_of_another_cluster_or_unreadable_is_made_anew() {
        let directory = tempfile::tempdir().unwrap();
        let topic = table();
        let fill = |mirror: &Mirror| {
            let batch = read(0, &[(2, "a", Some("1"))], 9);
            assert_eq!(mark(mirror, &topic, 100), 0);
            mirror.apply(&topic, SHARD, Offset(0), &batch, NOW).unwrap();
        };
        fill(&open(directory.path(), "one"));
        let mirror = open(directory.path(), "one");
        assert_eq!(mark(&mirror, &topic, 8), 0, "ahead of its topic");
        assert_eq!(contents(&mirror, &topic), []);
        fill(&mirror);
        // also in a process that has judged it before: the partition may have been elsewhere since
        let judged_after = |age_ms: u64| {
            let later = TimeMs(NOW.0 + i64::try_from(age_ms).unwrap());
            let at = mirror.judge(&topic, SHARD, Offset(100), AGE_MS_MAX, later);
            (at.unwrap().0, contents(&mirror, &topic).len())
        };
        assert_eq!(judged_after(AGE_MS_MAX - 1), (9, 1));
        assert_eq!(judged_after(AGE_MS_MAX), (0, 0), "too old");
        fill(&mirror);
        drop(mirror);
        fill(&open(directory.path(), "another"));
        for entry in std::fs::read_dir(directory.path()).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "jnl") {
                std::fs::write(&path, b"neither a journal nor anything else").unwrap();
            }
        }
        fill(&open(directory.path(), "another"));
    }

    #[test]
    fn a_copy_of_which_a_part_cannot_be_read_is_thrown_away() {
        let directory = tempfile::tempdir().unwrap();
        let topic = table();
        let mirror = open(directory.path(), "one");
        mark(&mirror, &topic, 0);
        let marks = [((topic.clone(), SHARD), Offset(4))];
        let changes = vec![Prepared::damaged(&topic, SHARD, 4)];
        mirror.follow(changes, marks.iter(), NOW).unwrap();
        assert_eq!(mark(&mirror, &topic, 9), 4);
        let looked_up = mirror.batch(&topic, SHARD, Offset(1)).unwrap();
        assert!(looked_up.is_none(), "the topic is asked instead");
        let shown = mirror.for_each(&topic, SHARD, NOW, &mut |_, _| {});
        let error = shown.unwrap_err().to_string();
        assert!(error.contains("start again"), "{error}");
        assert_eq!(mark(&mirror, &topic, 9), 0);
        assert_eq!(contents(&mirror, &topic), []);
    }

    #[test]
    fn compaction_keeps_what_the_copies_come_to() {
        let directory = tempfile::tempdir().unwrap();
        let topic = table();
        let mirror = open(directory.path(), "one");
        mark(&mirror, &topic, 0);
        for round in 0..50 {
            let mut changes = Batch::default();
            for user in 0..200 {
                changes.push(
                    format!("{user}").as_bytes(),
                    Some(format!("{round}").as_bytes()),
                );
            }
            let changes = vec![Prepared::fresh(&topic, SHARD, &changes, NOW)];
            mirror.follow(changes, [].iter(), NOW).unwrap();
        }
        let before = contents(&mirror, &topic);
        assert_eq!(mirror.log.compact(0).unwrap(), 49 * 200);
        assert_eq!(contents(&mirror, &topic), before);
    }
}
