//! What a log on one machine keeps its batches in. Public within this private module: it bounds a public type.

use crate::log::{Cleanup, Durability, LogError};
use crate::types::{Group, Offset, Shard, Topic};

/// The place of a stored batch.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    pub topic: Topic,
    pub shard: Shard,
    pub base: Offset,
}

/// How much a stored batch holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Extent {
    /// Offsets from its base to the next batch, gaps included.
    pub span: u64,
    /// Records.
    pub count: u32,
}

/// What is there when a log is opened.
#[derive(Debug, Default)]
pub struct Contents {
    /// Topics by name.
    pub topics: Vec<(Topic, Cleanup)>,
    /// Every batch, in any order.
    pub batches: Vec<(Place, Extent)>,
    /// Committed offsets.
    pub committed: Vec<(Group, Topic, Shard, Offset)>,
    /// How far partitions are compacted.
    pub compacted: Vec<(Topic, Shard, Offset)>,
}

/// One atomic change.
#[derive(Debug, Default)]
pub struct Change {
    pub topics: Vec<(Topic, Cleanup)>,
    /// Batches that come, with their stored bytes. One that is there at the same place goes.
    pub put: Vec<(Place, Extent, Vec<u8>)>,
    /// Batches that go; none of them is also in `put`.
    pub removed: Vec<Place>,
    pub committed: Vec<(Group, Topic, Shard, Offset)>,
    pub compacted: Vec<(Topic, Shard, Offset)>,
}

/// Atomic, ordered by call, and nothing more: offsets, groups and visibility are [`super::LocalLog`]'s.
pub trait Storage: Send + Sync + 'static {
    /// Everything but the batches' bytes.
    fn contents(&self) -> Result<Contents, LogError>;
    /// All of the change or nothing of it, also across a crash.
    fn apply(&self, change: Change, durability: Durability) -> Result<(), LogError>;
    /// The stored bytes of a batch.
    fn get(&self, place: &Place) -> Result<Option<Vec<u8>>, LogError>;
}
