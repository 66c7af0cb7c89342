//! The log of a data directory in the process that has it open.

use std::path::Path;
use std::sync::Arc;

use sealpost_topology::batch::RecordBatch;
use sealpost_topology::log::{
    Bounds, CutBuilder, Durability, EmbeddedLog, Log, LogError, Member, Progress, TopicSpec, Write,
};
use sealpost_topology::types::{Group, Offset, Shard, Topic};

use super::Place;
use super::holder::Holder;
use super::lock::LockFile;
use super::server::Server;

/// Gives the lock back when it is dropped, after everything else is done. A [`Member`] or an
/// [`EmbeddedLog`] that is kept for longer keeps the engine's own lock: the next process waits
/// for that.
pub(super) struct HostedLog {
    // the order of these is the order in which they are dropped
    _server: Server,
    log: EmbeddedLog,
    _lock: LockFile,
    holder: Holder,
}

/// Why it did not become one.
pub(super) enum NotHosted {
    /// The engine is still open elsewhere: try again.
    NotYet,
    /// It will not be.
    Never(anyhow::Error),
}

impl HostedLog {
    /// Opens the log of a directory whose lock is held, and serves it.
    pub(super) fn open(place: &Place, holder: Holder, lock: LockFile) -> Result<Self, NotHosted> {
        let log = open_log(place)?;
        let served = Arc::new(log.clone());
        let server = Server::start(place.data_dir.clone(), served, holder.clone());
        let server =
            server.map_err(|error| NotHosted::Never(no_socket(&place.data_dir, &error)))?;
        Ok(Self {
            _server: server,
            log,
            _lock: lock,
            holder,
        })
    }

    /// This process.
    pub(super) const fn holder(&self) -> &Holder {
        &self.holder
    }

    /// The log itself.
    pub(super) const fn embedded(&self) -> &EmbeddedLog {
        &self.log
    }
}

fn open_log(place: &Place) -> Result<EmbeddedLog, NotHosted> {
    let directory = place.data_dir.join("log");
    EmbeddedLog::open_directory(&directory, place.partitions, Arc::clone(&place.clock)).map_err(
        |error| match error {
            LogError::InUse { .. } => NotHosted::NotYet,
            error => NotHosted::Never(error.into()),
        },
    )
}

fn no_socket(data_dir: &Path, error: &std::io::Error) -> anyhow::Error {
    anyhow::anyhow!(
        "no socket can be made in the data directory {}: {error}; choose another with --data-dir",
        data_dir.display()
    )
}

impl Log for HostedLog {
    fn partitions(&self) -> u32 {
        self.log.partitions()
    }

    fn create(&self, topics: &[TopicSpec]) -> Result<(), LogError> {
        self.log.create(topics)
    }

    fn append(&self, writes: Vec<Write>, durability: Durability) -> Result<(), LogError> {
        self.log.append(writes, durability)
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
        self.log.committed(group, topic, shard)
    }

    fn set_committed(&self, group: &Group, progress: &[Progress]) -> Result<(), LogError> {
        self.log.set_committed(group, progress)
    }

    fn trim(&self, topic: &Topic, shard: Shard, below: Offset) -> Result<(), LogError> {
        self.log.trim(topic, shard, below)
    }

    fn join(&self, group: &Group, topics: &[Topic]) -> Result<Box<dyn Member>, LogError> {
        self.log.join(group, topics)
    }
}
