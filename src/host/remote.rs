//! The log of a data directory in a command that does not have it open itself.
//!
//! # Invariants
//! - When the process that has the log open ends, the command goes on: it takes the log over, or
//!   finds whoever did. A short command that happened to be first does not break a long one.
//! - A write is made again only if the first attempt surely did nothing; otherwise the answer is
//!   [`LogError::InDoubt`].

use std::sync::{Arc, Mutex, PoisonError};

use sealpost_topology::batch::RecordBatch;
use sealpost_topology::log::{
    Bounds, CutBuilder, Durability, Log, LogError, Member, Progress, TopicSpec, Write,
};
use sealpost_topology::types::{Group, Offset, Shard, Topic};

use super::Place;
use super::client::{Client, Trouble};
use super::holder::Holder;
use super::hosted::HostedLog;
use super::message::Request;
use super::reach::reach;

/// How often one call may find its host gone before it gives up.
const TURNS_MAX: u32 = 8;

/// How the log is reached at the moment.
pub(super) enum Via {
    /// Through the process that has it open.
    Client(Client),
    /// This process has it open.
    Hosted(HostedLog),
}

/// See the module.
pub(super) struct RemoteLog {
    place: Place,
    partitions: u32,
    via: Mutex<Arc<Via>>,
}

impl RemoteLog {
    pub(super) fn new(place: Place, client: Client) -> Self {
        let partitions = client.partitions();
        Self {
            place,
            partitions,
            via: Mutex::new(Arc::new(Via::Client(client))),
        }
    }

    /// How the log is reached now.
    pub(super) fn via(&self) -> Arc<Via> {
        Arc::clone(&self.via.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Who has the log open, asked now.
    pub(super) fn ping(&self) -> Result<Holder, LogError> {
        self.call(|via| match via {
            Via::Hosted(log) => Ok(log.holder().clone()),
            Via::Client(client) => client.ping(),
        })
    }

    /// Does it by one way or another, until it is done or fails for good.
    fn call<T>(&self, mut attempt: impl FnMut(&Via) -> Result<T, Trouble>) -> Result<T, LogError> {
        for _ in 0..TURNS_MAX {
            let via = self.via();
            match attempt(&via) {
                Ok(answer) => return Ok(answer),
                Err(Trouble::Log(error)) => return Err(error),
                Err(Trouble::Gone) => self.turn_from(&via)?,
            }
        }
        Err(LogError::Mismatch(format!(
            "the processes that have {} open end one after another: nothing was done, try again",
            self.place.data_dir.display()
        )))
    }

    /// Finds another way than the one that is gone, unless another thread has.
    fn turn_from(&self, gone: &Arc<Via>) -> Result<(), LogError> {
        let mut via = self.via.lock().unwrap_or_else(PoisonError::into_inner);
        if Arc::ptr_eq(&via, gone) {
            let found = reach(&self.place);
            *via = Arc::new(found.map_err(|error| LogError::Mismatch(format!("{error:#}")))?);
        }
        Ok(())
    }
}

impl Log for RemoteLog {
    fn partitions(&self) -> u32 {
        self.partitions
    }

    fn create(&self, topics: &[TopicSpec]) -> Result<(), LogError> {
        let request = Request::Create(topics.to_vec());
        self.call(|via| match via {
            Via::Hosted(log) => Ok(log.create(topics)?),
            Via::Client(client) => client.do_again(&request),
        })
    }

    fn append(&self, writes: Vec<Write>, durability: Durability) -> Result<(), LogError> {
        let mut request = Request::Append(durability, writes);
        self.call(|via| match via {
            // the last attempt, whatever comes of it
            Via::Hosted(log) => Ok(log.append(request.take_writes(), durability)?),
            Via::Client(client) => client.do_once(&request),
        })
    }

    fn append_cut(&self, cut: &[Topic], build: &mut CutBuilder<'_>) -> Result<(), LogError> {
        self.call(|via| match via {
            Via::Hosted(log) => Ok(log.append_cut(cut, build)?),
            Via::Client(client) => client.append_cut(cut, build),
        })
    }

    fn bounds(&self, topic: &Topic, shard: Shard) -> Result<Bounds, LogError> {
        let request = Request::Bounds(topic.clone(), shard);
        self.call(|via| match via {
            Via::Hosted(log) => Ok(log.bounds(topic, shard)?),
            Via::Client(client) => client.bounds(&request),
        })
    }

    fn read(
        &self,
        topic: &Topic,
        shard: Shard,
        from: Offset,
    ) -> Result<Option<RecordBatch>, LogError> {
        let request = Request::Read(topic.clone(), shard, from);
        self.call(|via| match via {
            Via::Hosted(log) => Ok(log.read(topic, shard, from)?),
            Via::Client(client) => client.batch(&request),
        })
    }

    fn committed(
        &self,
        group: &Group,
        topic: &Topic,
        shard: Shard,
    ) -> Result<Option<Offset>, LogError> {
        let request = Request::Committed(group.clone(), topic.clone(), shard);
        self.call(|via| match via {
            Via::Hosted(log) => Ok(log.committed(group, topic, shard)?),
            Via::Client(client) => client.committed(&request),
        })
    }

    fn set_committed(&self, group: &Group, progress: &[Progress]) -> Result<(), LogError> {
        let request = Request::SetCommitted(group.clone(), progress.to_vec());
        self.call(|via| match via {
            Via::Hosted(log) => Ok(log.set_committed(group, progress)?),
            Via::Client(client) => client.do_once(&request),
        })
    }

    fn join(&self, group: &Group, topics: &[Topic]) -> Result<Box<dyn Member>, LogError> {
        match self.via().as_ref() {
            Via::Hosted(log) => log.join(group, topics),
            Via::Client(client) => Err(LogError::Mismatch(format!(
                "only the process that has {} open runs stages, and that is {}: stop it first",
                self.place.data_dir.display(),
                client.holder()
            ))),
        }
    }
}
