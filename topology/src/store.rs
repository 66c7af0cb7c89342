//! A store: what a stage remembers of one shard, by key, in memory.
//!
//! # Invariants
//! A store is a cache of its changelog, a compacted topic: a write goes to the step's overlay,
//! travels to the changelog in the step's commit, and joins the base only once the commit
//! stands. Dropping the overlay undoes the step. Restoring reads the changelog back.

use hashbrown::HashMap;

use crate::batch::Batch;
use crate::types::Topic;

/// A store as a stage declares it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreSpec {
    /// What the stage calls it.
    pub name: &'static str,
    /// The compacted topic that it is a cache of.
    pub changelog: Topic,
}

/// A short key, held in place.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Key {
    length: u8,
    bytes: [u8; Store::KEY_BYTES_MAX],
}

impl Key {
    fn new(key: &[u8]) -> Self {
        assert!(
            key.len() <= Store::KEY_BYTES_MAX,
            "store keys have at most {} bytes",
            Store::KEY_BYTES_MAX
        );
        let mut bytes = [0; Store::KEY_BYTES_MAX];
        for (to, from) in bytes.iter_mut().zip(key) {
            *to = *from;
        }
        Self {
            length: key.len() as u8,
            bytes,
        }
    }

    fn as_bytes(&self) -> &[u8] {
        self.bytes
            .get(..usize::from(self.length))
            .unwrap_or_default()
    }
}

impl std::hash::Hash for Key {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        state.write(self.as_bytes());
    }
}

/// See the module.
#[derive(Default)]
pub struct Store {
    base: HashMap<Key, Box<[u8]>>,
    overlay: HashMap<Key, Option<Box<[u8]>>>,
    /// Keys of the overlay in the order of their first write: the changelog's order depends on
    /// what happened, never on a hash.
    written: Vec<Key>,
}

impl Store {
    /// The longest key, in bytes.
    pub const KEY_BYTES_MAX: usize = 31;

    /// The value of a key, this step's writes included.
    #[must_use]
    pub fn get(&self, key: &[u8]) -> Option<&[u8]> {
        let key = Key::new(key);
        if !self.overlay.is_empty()
            && let Some(written) = self.overlay.get(&key)
        {
            return written.as_deref();
        }
        self.base.get(&key).map(|value| &**value)
    }

    /// Sets a value.
    pub fn put(&mut self, key: &[u8], value: &[u8]) {
        self.write(Key::new(key), Some(value.into()));
    }

    /// Removes a key.
    pub fn delete(&mut self, key: &[u8]) {
        self.write(Key::new(key), None);
    }

    /// Shows every entry, this step's writes included, in no particular order.
    pub fn for_each(&self, mut see: impl FnMut(&[u8], &[u8])) {
        for (key, value) in &self.base {
            if !self.overlay.contains_key(key) {
                see(key.as_bytes(), value);
            }
        }
        for (key, value) in &self.overlay {
            if let Some(value) = value {
                see(key.as_bytes(), value);
            }
        }
    }

    /// How many entries are committed.
    #[must_use]
    pub fn len(&self) -> usize {
        self.base.len()
    }

    /// Whether nothing is committed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.base.is_empty()
    }

    /// What this step changed, for the changelog.
    pub(crate) fn changes(&self) -> Batch {
        let mut batch = Batch::default();
        for key in &self.written {
            batch.push(
                key.as_bytes(),
                self.overlay.get(key).and_then(Option::as_deref),
            );
        }
        batch
    }

    /// The step stands.
    pub(crate) fn commit(&mut self) {
        self.written.clear();
        for (key, value) in self.overlay.drain() {
            match value {
                Some(value) => self.base.insert(key, value),
                None => self.base.remove(&key),
            };
        }
    }

    /// The step did not happen.
    pub(crate) fn abort(&mut self) {
        self.written.clear();
        self.overlay.clear();
    }

    /// A record of the changelog, read back.
    pub(crate) fn restore(&mut self, key: &[u8], value: Option<&[u8]>) {
        match value {
            Some(value) => self.base.insert(Key::new(key), value.into()),
            None => self.base.remove(&Key::new(key)),
        };
    }

    fn write(&mut self, key: Key, value: Option<Box<[u8]>>) {
        if self.overlay.insert(key, value).is_none() {
            self.written.push(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(store: &Store) -> Vec<(Vec<u8>, Vec<u8>)> {
        let mut all = Vec::new();
        store.for_each(|key, value| all.push((key.to_vec(), value.to_vec())));
        all.sort();
        all
    }

    #[test]
    fn an_aborted_step_leaves_no_trace_and_a_committed_one_is_its_changelog() {
        let mut store = Store::default();
        store.put(b"a", b"1");
        store.put(b"b", b"2");
        store.commit();
        store.put(b"a", b"3");
        store.delete(b"b");
        store.put(b"c", b"4");
        assert_eq!(store.get(b"a"), Some(&b"3"[..]));
        assert_eq!(store.get(b"b"), None);
        store.abort();
        assert_eq!(
            entries(&store),
            [
                (b"a".to_vec(), b"1".to_vec()),
                (b"b".to_vec(), b"2".to_vec())
            ]
        );
        store.delete(b"b");
        store.put(b"a", b"5");
        let changes = store.changes();
        store.commit();
        let mut restored = Store::default();
        restored.restore(b"a", Some(b"1"));
        restored.restore(b"b", Some(b"2"));
        for record in changes.iter() {
            restored.restore(record.key, record.value);
        }
        assert_eq!(entries(&restored), entries(&store));
    }
}
