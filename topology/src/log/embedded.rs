//! The embedded log: one directory, no server, for one machine.
//!
//! # Layout
//! An LSM engine (fjall) in the directory, with three keyspaces. All numbers are big-endian.
//! - `batches` holds each stored batch under (topic number 2, partition 4, base offset 8), values
//!   apart from keys so that compaction of the tree does not rewrite them.
//! - `spans` holds (offset span 8, record count 4) under the same key.
//! - `meta` holds `format` → 1, `partitions` → 4 bytes, `topic/NAME` → (number 2, cleanup 1),
//!   `committed/`, length of the group's name 2, group, topic, partition 4 → offset 8, and
//!   `compacted/`, topic, partition 4 → offset 8.
//!
//! Beside the engine's files, `reached` holds how far the log reached when it was last known to be
//! on disk (`embedded/reached.rs`).
//!
//! # Invariants
//! Every change is one atomic batch of the engine: after a crash all of it is there or nothing.
//! With [`Durability::Process`] it is in the operating system's hands when the call returns, with
//! [`Durability::Machine`] it is on disk. A failed write poisons the engine, and the log with it.
//! A log that is shorter than what was on disk is not opened: the engine takes a journal that was
//! cut short for one that a crash cut. Nor is one of which a journal cannot be read.

mod reached;

use std::collections::HashMap;
use std::fs;
use std::io::{self, BufReader};
use std::path::Path;
use std::sync::{Mutex, PoisonError, RwLock};

use fjall::{Database, Keyspace, KeyspaceCreateOptions, KvSeparationOptions, PersistMode};

use self::reached::Reached;
use crate::log::local::{ClockMs, Faults, at_least_one};
use crate::log::storage::{Change, Contents, Extent, Place, Storage};
use crate::log::{Cleanup, Durability, LocalLog, LogError};
use crate::types::{Group, Offset, Shard, Topic};

/// A log in a directory.
pub type EmbeddedLog = LocalLog<FjallStorage>;

/// Batches in an LSM engine.
pub struct FjallStorage {
    directory: String,
    database: Database,
    batches: Keyspace,
    spans: Keyspace,
    meta: Keyspace,
    topics: RwLock<HashMap<Topic, u16>>,
    reached: Mutex<Reached>,
}

const FORMAT: [u8; 1] = [1];
/// Memory for blocks that were read; batches are read once, in order, so it stays small.
const CACHE_BYTES: u64 = 16 * 1024 * 1024;
const MEMTABLE_BYTES: u64 = 8 * 1024 * 1024;
const JOURNAL_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// What the engine's version file holds once it is written: `FJL` and a number.
const VERSION_BYTES: u64 = 4;
/// How much of a journal is read at once to see whether it can be.
const JOURNAL_PART_BYTES: usize = 256 * 1024;

impl EmbeddedLog {
    /// Opens the log in `directory`, making it if it is not there. `partitions` must be what the
    /// log was made with.
    ///
    /// # Errors
    /// [`LogError::InUse`] when it is open elsewhere, [`LogError::Mismatch`] for another number
    /// of partitions, [`LogError::Storage`] when it cannot be read or written.
    pub fn open_directory(
        directory: &Path,
        partitions: u32,
        clock: ClockMs,
    ) -> Result<Self, LogError> {
        let storage = FjallStorage::open(directory, partitions)?;
        Self::open(storage, partitions, clock, Faults::default())
    }
}

impl FjallStorage {
    fn open(directory: &Path, partitions: u32) -> Result<Self, LogError> {
        at_least_one(partitions)?;
        let name = directory.display().to_string();
        let failed = |error: &fjall::Error| storage_failed(&name, error);
        remove_unfinished(directory).map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock => LogError::InUse { path: name.clone() },
            _ => failed(&error.into()),
        })?;
        read_journals(directory)?;
        let database = Database::builder(directory)
            .cache_size(CACHE_BYTES)
            .max_journaling_size(JOURNAL_BYTES_MAX)
            .worker_threads(1)
            .open()
            .map_err(|error| match error {
                fjall::Error::Locked => LogError::InUse { path: name.clone() },
                error => failed(&error),
            })?;
        let keyspace = |name: &str, values_apart: Option<KvSeparationOptions>| {
            let options = KeyspaceCreateOptions::default()
                .max_memtable_size(MEMTABLE_BYTES)
                .with_kv_separation(values_apart);
            database
                .keyspace(name, || options)
                .map_err(|error| failed(&error))
        };
        let storage = Self {
            batches: keyspace(
                "batches",
                Some(KvSeparationOptions::default().age_cutoff(1.0)),
            )?,
            spans: keyspace("spans", None)?,
            meta: keyspace("meta", None)?,
            topics: RwLock::default(),
            reached: Mutex::new(Reached::open(directory).map_err(|error| failed(&error.into()))?),
            directory: name,
            database,
        };
        storage.check_made_for(partitions)?;
        Ok(storage)
    }

    /// Writes what the log is made with, or compares it.
    fn check_made_for(&self, partitions: u32) -> Result<(), LogError> {
        let (format, made_for) = (
            self.value(&self.meta, b"format")?,
            self.value(&self.meta, b"partitions")?,
        );
        let directory = &self.directory;
        match (format.as_deref(), made_for.as_deref()) {
            (None, None) => {
                let mut batch = self.database.batch().durability(Some(PersistMode::SyncAll));
                batch.insert(&self.meta, "format", FORMAT);
                batch.insert(&self.meta, "partitions", partitions.to_be_bytes());
                batch
                    .commit()
                    .map_err(|error| storage_failed(directory, &error))
            }
            (Some(format), _) if format != FORMAT => Err(LogError::Mismatch(format!(
                "the log in {directory} was written by a later version: run that version"
            ))),
            (_, Some(there)) if there == partitions.to_be_bytes() => Ok(()),
            (_, there) => {
                let there = there
                    .and_then(<[u8]>::first_chunk)
                    .copied()
                    .map_or(0, u32::from_be_bytes);
                Err(LogError::Mismatch(format!(
                    "the log in {directory} has {there} partitions, but {partitions} are configured: set log.partitions = {there}"
                )))
            }
        }
    }

    fn value(&self, keyspace: &Keyspace, key: &[u8]) -> Result<Option<Vec<u8>>, LogError> {
        let value = keyspace
            .get(key)
            .map_err(|error| storage_failed(&self.directory, &error))?;
        Ok(value.map(|value| value.to_vec()))
    }

    fn key(&self, place: &Place) -> Result<[u8; 14], LogError> {
        let topics = self.topics.read().unwrap_or_else(PoisonError::into_inner);
        let number = topics
            .get(&place.topic)
            .ok_or_else(|| LogError::UnknownTopic(place.topic.clone()))?;
        let mut key = [0; 14];
        let parts = [
            &number.to_be_bytes()[..],
            &place.shard.0.to_be_bytes(),
            &place.base.0.to_be_bytes(),
        ];
        for (to, from) in key.iter_mut().zip(parts.into_iter().flatten()) {
            *to = *from;
        }
        Ok(key)
    }

    fn damaged(&self, what: &str) -> LogError {
        LogError::Storage(format!(
            "{}: its table of {what} is damaged",
            self.directory
        ))
    }
}

/// Removes what a process left behind that was killed while it made the log. The engine writes
/// its version last, in two parts, and does not get past a first journal that is there without it.
/// Its first keyspace comes after the version: a directory that has one was finished, whatever
/// became of its version since, and nothing of it is touched.
fn remove_unfinished(directory: &Path) -> io::Result<()> {
    let (version, journal) = (directory.join("version"), directory.join("0.jnl"));
    let unfinished = || -> io::Result<bool> {
        let finished = fs::metadata(&version).is_ok_and(|it| it.len() >= VERSION_BYTES);
        let has_keyspace = || -> io::Result<bool> {
            Ok(fs::read_dir(directory.join("keyspaces"))?.next().is_some())
        };
        Ok(!finished && journal.try_exists()? && !has_keyspace()?)
    };
    if !unfinished()? {
        return Ok(());
    }
    // whoever is making it at this moment holds the lock, and may be done once it is free
    let lock = fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(directory.join("lock"))?;
    lock.try_lock()?;
    if unfinished()? {
        if version.try_exists()? {
            fs::remove_file(version)?;
        }
        fs::remove_file(journal)?;
    }
    Ok(())
}

/// Reads every journal once before the engine does: at some places it takes one that cannot be read
/// for one that a crash cut short, cuts it there, and what stood behind is gone for good.
fn read_journals(directory: &Path) -> Result<(), LogError> {
    let failed = |path: &Path, error: io::Error| {
        Err(storage_failed(&path.display().to_string(), &error.into()))
    };
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        // the engine says so as well, and better
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => return Ok(()),
        Err(error) => return failed(directory, error),
    };
    for entry in entries {
        let path = match entry {
            Ok(entry) => entry.path(),
            Err(error) => return failed(directory, error),
        };
        if path.extension().is_none_or(|extension| extension != "jnl") {
            continue;
        }
        let read = fs::File::open(&path).and_then(|journal| {
            let mut journal = BufReader::with_capacity(JOURNAL_PART_BYTES, journal);
            io::copy(&mut journal, &mut io::sink())
        });
        // one that is gone since was somebody else's, who has the log open: that is told later
        if let Err(error) = read
            && error.kind() != io::ErrorKind::NotFound
        {
            return failed(&path, error);
        }
    }
    Ok(())
}

impl Storage for FjallStorage {
    fn contents(&self) -> Result<Contents, LogError> {
        let mut contents = Contents::default();
        let mut names: HashMap<u16, Topic> = HashMap::new();
        for entry in self.meta.iter() {
            let (key, value) = entry
                .into_inner()
                .map_err(|error| storage_failed(&self.directory, &error))?;
            if let Some(name) = key.strip_prefix(TOPIC) {
                let (number, topic, cleanup) =
                    read_topic(name, &value).ok_or_else(|| self.damaged("topics"))?;
                names.insert(number, topic.clone());
                contents.topics.push((topic, cleanup));
            } else if let Some(rest) = key.strip_prefix(COMMITTED) {
                let committed =
                    read_committed(rest, &value).ok_or_else(|| self.damaged("offsets"))?;
                contents.committed.push(committed);
            } else if let Some(rest) = key.strip_prefix(COMPACTED) {
                let compacted =
                    read_place(rest, &value).ok_or_else(|| self.damaged("compactions"))?;
                contents.compacted.push(compacted);
            }
        }
        for entry in self.spans.iter() {
            let (key, value) = entry
                .into_inner()
                .map_err(|error| storage_failed(&self.directory, &error))?;
            let batch = read_extent(&key, &value, &names).ok_or_else(|| self.damaged("batches"))?;
            contents.batches.push(batch);
        }
        let mut reached = self.reached.lock().unwrap_or_else(PoisonError::into_inner);
        for (place, extent) in &contents.batches {
            reached.see(place, *extent);
        }
        if let Some(missing) = reached.missing() {
            return Err(LogError::Storage(format!(
                "{}: {missing} records that were on disk are missing, a file was cut short or put back from an older copy; restore the whole directory from one copy (whoever was sent to since would be sent to again otherwise)",
                self.directory
            )));
        }
        drop(reached);
        let mut topics = self.topics.write().unwrap_or_else(PoisonError::into_inner);
        *topics = names
            .into_iter()
            .map(|(number, topic)| (topic, number))
            .collect();
        Ok(contents)
    }

    fn apply(&self, change: Change, durability: Durability) -> Result<(), LogError> {
        let mut batch = self.database.batch().durability(Some(match durability {
            Durability::Process => PersistMode::Buffer,
            Durability::Machine => PersistMode::SyncData,
        }));
        let created = self
            .topics
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .len();
        let mut numbers = Vec::with_capacity(change.topics.len());
        for (number, (topic, cleanup)) in (created..).zip(change.topics) {
            let number = u16::try_from(number)
                .map_err(|_| LogError::Storage(format!("{}: too many topics", self.directory)))?;
            batch.insert(&self.meta, topic_key(&topic), topic_value(number, cleanup));
            numbers.push((topic, number));
        }
        for place in &change.removed {
            let key = self.key(place)?;
            batch.remove(&self.batches, key);
            batch.remove(&self.spans, key);
        }
        let mut reached = self.reached.lock().unwrap_or_else(PoisonError::into_inner);
        for (place, extent, stored) in change.put {
            reached.see(&place, extent);
            let key = self.key(&place)?;
            batch.insert(&self.batches, key, stored);
            batch.insert(&self.spans, key, extent_value(extent));
        }
        for (group, topic, shard, offset) in change.committed {
            let key = committed_key(&group, &topic, shard);
            batch.insert(&self.meta, key, offset.0.to_be_bytes());
        }
        for (topic, shard, to) in change.compacted {
            let key = compacted_key(&topic, shard);
            batch.insert(&self.meta, key, to.0.to_be_bytes());
        }
        batch
            .commit()
            .map_err(|error| storage_failed(&self.directory, &error))?;
        if durability == Durability::Machine {
            reached
                .write()
                .map_err(|error| storage_failed(&self.directory, &error.into()))?;
        }
        drop(reached);
        self.topics
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .extend(numbers);
        Ok(())
    }

    fn get(&self, place: &Place) -> Result<Option<Vec<u8>>, LogError> {
        self.value(&self.batches, &self.key(place)?)
    }
}

const TOPIC: &[u8] = b"topic/";
const COMMITTED: &[u8] = b"committed/";
const COMPACTED: &[u8] = b"compacted/";

fn topic_key(topic: &Topic) -> Vec<u8> {
    [TOPIC, topic.name().as_bytes()].concat()
}

fn topic_value(number: u16, cleanup: Cleanup) -> Vec<u8> {
    let cleanup = match cleanup {
        Cleanup::Keep => 0,
        Cleanup::Compact => 1,
    };
    [&number.to_be_bytes()[..], &[cleanup]].concat()
}

fn read_topic(name: &[u8], value: &[u8]) -> Option<(u16, Topic, Cleanup)> {
    let (number, cleanup) = value.split_first_chunk::<2>()?;
    let cleanup = match cleanup {
        [0] => Cleanup::Keep,
        [1] => Cleanup::Compact,
        _ => return None,
    };
    Some((
        u16::from_be_bytes(*number),
        Topic::new(std::str::from_utf8(name).ok()?),
        cleanup,
    ))
}

fn committed_key(group: &Group, topic: &Topic, shard: Shard) -> Vec<u8> {
    // names are as short as Kafka's
    let length = (group.name().len() as u16).to_be_bytes();
    let (group, topic) = (group.name().as_bytes(), topic.name().as_bytes());
    [COMMITTED, &length, group, topic, &shard.0.to_be_bytes()].concat()
}

fn read_committed(rest: &[u8], value: &[u8]) -> Option<(Group, Topic, Shard, Offset)> {
    let (length, rest) = rest.split_first_chunk::<2>()?;
    let (group, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
    let group = Group::new(std::str::from_utf8(group).ok()?);
    let (topic, shard, offset) = read_place(rest, value)?;
    Some((group, topic, shard, offset))
}

fn compacted_key(topic: &Topic, shard: Shard) -> Vec<u8> {
    [COMPACTED, topic.name().as_bytes(), &shard.0.to_be_bytes()].concat()
}

/// What a key ends with, and the offset under it.
fn read_place(rest: &[u8], value: &[u8]) -> Option<(Topic, Shard, Offset)> {
    let (topic, shard) = rest.split_last_chunk::<4>()?;
    Some((
        Topic::new(std::str::from_utf8(topic).ok()?),
        Shard(u32::from_be_bytes(*shard)),
        Offset(u64::from_be_bytes(*value.first_chunk()?)),
    ))
}

fn extent_value(extent: Extent) -> Vec<u8> {
    [&extent.span.to_be_bytes()[..], &extent.count.to_be_bytes()].concat()
}

fn read_extent(key: &[u8], value: &[u8], names: &HashMap<u16, Topic>) -> Option<(Place, Extent)> {
    let (number, rest) = key.split_first_chunk::<2>()?;
    let (shard, base) = rest.split_first_chunk::<4>()?;
    let (span, count) = value.split_first_chunk::<8>()?;
    let place = Place {
        topic: names.get(&u16::from_be_bytes(*number))?.clone(),
        shard: Shard(u32::from_be_bytes(*shard)),
        base: Offset(u64::from_be_bytes(*base.first_chunk()?)),
    };
    let extent = Extent {
        span: u64::from_be_bytes(*span),
        count: u32::from_be_bytes(*count.first_chunk()?),
    };
    Some((place, extent))
}

fn storage_failed(directory: &str, error: &fjall::Error) -> LogError {
    LogError::Storage(match error {
        fjall::Error::Io(error) | fjall::Error::Storage(fjall::LsmError::Io(error)) => {
            format!("{directory}: {error}{}", way_out(error))
        }
        fjall::Error::Poisoned => {
            format!(
                "{directory}: an earlier write or its upkeep failed, as was told before; start again once the cause is gone"
            )
        }
        error @ fjall::Error::InvalidVersion(_) => format!("{directory}: {error}"),
        error => format!("{directory}: {error}{DAMAGED}"),
    })
}

/// Where it is neither the system nor the disk that said no, what is stored is not what was.
const DAMAGED: &str = "; what is stored there is damaged: restore the whole directory from a copy";

/// `EIO`: it has no kind.
const INPUT_OUTPUT_ERROR: i32 = 5;

fn way_out(error: &io::Error) -> &'static str {
    if error.raw_os_error() == Some(INPUT_OUTPUT_ERROR) {
        return "; see to the disk, then start again, or restore the whole directory from a copy";
    }
    match error.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            "; make it writable, or choose another directory"
        }
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "; make room, then start again"
        }
        io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData => DAMAGED,
        _ => "",
    }
}
