//! Stored state on its way to other shards: whose an entry is, and what in it points into topics.
//!
//! An operator's state is kept by user, so that it can be dealt out anew when the number of shards
//! changes. What every shard holds alike goes to every new one. Offsets inside the state belong to
//! the topics that it was made from, and are set again to where the same records lie in the new ones.

use sealpost_schemas::UserId;

/// Whose an entry of a store is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// One user's: it goes where the user goes.
    User(UserId),
    /// Every shard has the same.
    EveryShard,
    /// It is about a place in this shard's topics, and of no use with others: it is left behind.
    ThisShard,
    /// Work that is half done on this shard: it must end where it began.
    Unfinished,
}

/// An entry cannot be carried over. Never carries personal data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CarryError {
    /// It cannot be read.
    #[error("an entry cannot be read: a newer version wrote it, or it is damaged")]
    Unreadable,
    /// The record that it points to is not there.
    #[error("an entry points to a record that is gone")]
    Gone,
}
