//! A store: what a stage remembers of one shard, by key, in memory.
//!
//! # Invariants
//! A store is a cache of its changelog, a compacted topic: a write goes to the step's overlay,
//! travels to the changelog in the step's commit, and joins the base only once the commit
//! stands. Dropping the overlay undoes the step. Restoring reads the changelog back.

mod entries;
mod overlay;

use self::entries::Entries;
use self::overlay::Overlay;
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

/// See the module.
#[derive(Default)]
pub struct Store {
    base: Entries,
    overlay: Overlay,
}

impl Store {
    /// The longest key, in bytes.
    pub const KEY_BYTES_MAX: usize = 255;

    /// The value of a key, this step's writes included.
    #[must_use]
    pub fn get(&self, key: &[u8]) -> Option<&[u8]> {
        match self.overlay.get(key) {
            Some(written) => written,
            None => self.base.get(key),
        }
    }

    /// Sets a value.
    pub fn put(&mut self, key: &[u8], value: &[u8]) {
        self.overlay.write(key, Some(value));
    }

    /// Removes a key.
    pub fn delete(&mut self, key: &[u8]) {
        self.overlay.write(key, None);
    }

    /// Shows every entry, this step's writes included, in no particular order.
    pub fn for_each(&self, mut see: impl FnMut(&[u8], &[u8])) {
        for (key, value) in self.base.iter() {
            if self.overlay.get(key).is_none() {
                see(key, value);
            }
        }
        for (key, value) in self.overlay.iter() {
            if let Some(value) = value {
                see(key, value);
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
        self.len() == 0
    }

    /// What this step changed, for the changelog, in the order of the first writes: it depends on
    /// what happened, never on a hash.
    pub(crate) fn changes(&self) -> Batch {
        let mut batch = Batch::default();
        for (key, value) in self.overlay.iter() {
            batch.push(key, value);
        }
        batch
    }

    /// The step stands.
    pub(crate) fn commit(&mut self) {
        for (key, value) in self.overlay.iter() {
            self.base.set(key, value);
        }
        self.overlay.clear();
    }

    /// The step did not happen.
    pub(crate) fn abort(&mut self) {
        self.overlay.clear();
    }

    /// A record of the changelog, read back.
    pub(crate) fn restore(&mut self, key: &[u8], value: Option<&[u8]>) {
        self.base.set(key, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    type Map = BTreeMap<Vec<u8>, Vec<u8>>;

    fn entries(store: &Store) -> Map {
        let mut all = Map::new();
        let mut count = 0;
        store.for_each(|key, value| {
            all.insert(key.to_vec(), value.to_vec());
            count += 1;
        });
        assert_eq!(all.len(), count, "every key is shown once");
        all
    }

    /// What is written in a step, and whether the step stands.
    type SomeStep = (Vec<(u8, Option<Vec<u8>>)>, bool);

    fn some_steps() -> impl Strategy<Value = Vec<SomeStep>> {
        let value = proptest::option::weighted(0.7, proptest::collection::vec(any::<u8>(), 0..90));
        let writes = proptest::collection::vec((0_u8..12, value), 0..30);
        proptest::collection::vec((writes, any::<bool>()), 0..12)
    }

    proptest! {
        #[test]
        fn an_aborted_step_leaves_no_trace_and_a_committed_one_is_its_changelog(steps in some_steps()) {
            let (mut store, mut restored) = (Store::default(), Store::default());
            let mut map = Map::new();
            for (writes, stands) in steps {
                let before = map.clone();
                for (key, value) in writes {
                    let key = vec![key; 3];
                    match value {
                        Some(value) => {
                            store.put(&key, &value);
                            map.insert(key.clone(), value);
                        }
                        None => {
                            store.delete(&key);
                            map.remove(&key);
                        }
                    }
                    prop_assert_eq!(store.get(&key), map.get(&key).map(Vec::as_slice));
                }
                prop_assert_eq!(entries(&store), map.clone());
                if stands {
                    for record in store.changes().iter() {
                        restored.restore(record.key, record.value);
                    }
                    store.commit();
                } else {
                    store.abort();
                    map = before;
                }
                prop_assert_eq!(entries(&store), map.clone());
                prop_assert_eq!(entries(&restored), map.clone());
                prop_assert_eq!(store.len(), map.len());
            }
        }
    }

    #[test]
    fn changes_come_in_the_order_of_the_first_writes() {
        let mut store = Store::default();
        for (key, value) in [
            ("b", "1"),
            ("a", "2"),
            ("c", "3"),
            ("b", "longer than before"),
            ("a", ""),
        ] {
            store.put(key.as_bytes(), value.as_bytes());
        }
        store.delete(b"c");
        let changes = store.changes();
        let changes: Vec<_> = changes
            .iter()
            .map(|record| (record.key, record.value))
            .collect();
        let expected: [(&[u8], Option<&[u8]>); 3] = [
            (b"b", Some(b"longer than before")),
            (b"a", Some(b"")),
            (b"c", None),
        ];
        assert_eq!(changes, expected);
    }
}
