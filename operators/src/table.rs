//! What an operator remembers, as bytes by key. The runtime makes it durable and undoes it.

/// State of one shard.
pub trait Table {
    /// The value of a key.
    fn get(&self, key: &[u8]) -> Option<&[u8]>;
    /// Sets a value.
    fn put(&mut self, key: &[u8], value: &[u8]);
    /// Removes a key.
    fn delete(&mut self, key: &[u8]);
    /// Shows every entry, in no particular order.
    fn for_each(&self, see: &mut dyn FnMut(&[u8], &[u8]));
}

/// An earlier record could not be read: the log below is at fault.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct HistoryError(#[from] pub Box<dyn std::error::Error + Send + Sync>);

/// Earlier input records by offset: what is rarely needed is looked up, not kept in memory.
pub trait History {
    /// The value of the record at an offset of an input, whose record key is `key`. `None` if it is
    /// gone.
    ///
    /// # Errors
    /// [`HistoryError`].
    fn value(
        &mut self,
        source: Source,
        key: &[u8],
        offset: u64,
    ) -> Result<Option<Vec<u8>>, HistoryError>;
}

/// Which input an offset belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    /// Topic `usage`.
    Usage,
    /// Topic `subscribers`.
    Subscribers,
    /// Topic `statements`.
    Statements,
}

/// Why an operator cannot go on at all.
#[derive(Debug, thiserror::Error)]
pub enum OperatorError {
    /// The log below it failed.
    #[error(transparent)]
    History(#[from] HistoryError),
    /// What it finds cannot be: says what, and what to do. Never carries personal data.
    #[error("{0}")]
    Stop(String),
}

#[cfg(test)]
pub(crate) mod testing {
    use std::collections::BTreeMap;

    use super::*;

    /// A table for tests.
    #[derive(Default, Clone, Debug, PartialEq, Eq)]
    pub(crate) struct MapTable(pub(crate) BTreeMap<Vec<u8>, Vec<u8>>);

    impl Table for MapTable {
        fn get(&self, key: &[u8]) -> Option<&[u8]> {
            self.0.get(key).map(Vec::as_slice)
        }
        fn put(&mut self, key: &[u8], value: &[u8]) {
            self.0.insert(key.to_vec(), value.to_vec());
        }
        fn delete(&mut self, key: &[u8]) {
            self.0.remove(key);
        }
        fn for_each(&self, see: &mut dyn FnMut(&[u8], &[u8])) {
            self.0.iter().for_each(|(key, value)| see(key, value));
        }
    }
}
