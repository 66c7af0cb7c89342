//! The log in memory: for tests and the simulator, with faults on demand.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::log::local::ClockMs;
pub use crate::log::local::Faults;
use crate::log::storage::{Change, Contents, Extent, Place, Storage};
use crate::log::{Cleanup, Durability, LocalLog, LogError};
use crate::types::{Group, Offset, Shard, Topic};

/// A log that is gone with its last handle.
pub type MemoryLog = LocalLog<MemoryStorage>;

/// Batches in a map.
#[derive(Default)]
pub struct MemoryStorage {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    topics: Vec<(Topic, Cleanup)>,
    batches: HashMap<Place, (Extent, Vec<u8>)>,
    committed: HashMap<(Group, Topic, Shard), Offset>,
    compacted: HashMap<(Topic, Shard), Offset>,
}

impl MemoryLog {
    /// An empty log.
    ///
    /// # Errors
    /// [`LogError::Mismatch`] for a log without partitions.
    pub fn in_memory(partitions: u32, clock: ClockMs, faults: Faults) -> Result<Self, LogError> {
        Self::open(MemoryStorage::default(), partitions, clock, faults)
    }
}

impl Storage for MemoryStorage {
    fn contents(&self) -> Result<Contents, LogError> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(Contents {
            topics: state.topics.clone(),
            batches: state
                .batches
                .iter()
                .map(|(place, (extent, _))| (place.clone(), *extent))
                .collect(),
            committed: state
                .committed
                .iter()
                .map(|((group, topic, shard), offset)| {
                    (group.clone(), topic.clone(), *shard, *offset)
                })
                .collect(),
            compacted: state
                .compacted
                .iter()
                .map(|((topic, shard), to)| (topic.clone(), *shard, *to))
                .collect(),
        })
    }

    fn apply(&self, change: Change, _durability: Durability) -> Result<(), LogError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.topics.extend(change.topics);
        for place in change.removed {
            state.batches.remove(&place);
        }
        for (place, extent, stored) in change.put {
            state.batches.insert(place, (extent, stored));
        }
        for (group, topic, shard, offset) in change.committed {
            state.committed.insert((group, topic, shard), offset);
        }
        for (topic, shard, to) in change.compacted {
            state.compacted.insert((topic, shard), to);
        }
        Ok(())
    }

    fn get(&self, place: &Place) -> Result<Option<Vec<u8>>, LogError> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(state.batches.get(place).map(|(_, stored)| stored.clone()))
    }
}
