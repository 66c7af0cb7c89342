//! Which of some records are the last ones of their keys.

use hashbrown::{DefaultHashBuilder, HashTable};
use std::hash::BuildHasher as _;

/// A key, and which record was its last.
struct Last {
    hash: u32,
    length: u32,
    /// Where the key begins among all.
    at: usize,
    record: usize,
}

/// Goes over records twice: [`Latest::note`] for each, then [`Latest::next_is_old`] for each, in the
/// same order.
#[derive(Default)]
pub(super) struct Latest {
    table: HashTable<Last>,
    hasher: DefaultHashBuilder,
    keys: Vec<u8>,
    /// Of each record, whether a later one has its key.
    old: Vec<bool>,
    next: usize,
}

impl Latest {
    /// One more record.
    pub(super) fn note(&mut self, key: &[u8]) {
        let record = self.old.len();
        self.old.push(false);
        let hash = self.hasher.hash_one(key) as u32;
        let keys = &self.keys;
        if let Some(last) = self
            .table
            .find_mut(spread(hash), |last| last.is(hash, key, keys))
        {
            let before = std::mem::replace(&mut last.record, record);
            if let Some(old) = self.old.get_mut(before) {
                *old = true;
            }
            return;
        }
        let last = Last {
            hash,
            length: key.len() as u32,
            at: self.keys.len(),
            record,
        };
        self.keys.extend_from_slice(key);
        self.table
            .insert_unique(spread(hash), last, |last| spread(last.hash));
    }

    /// Whether a record with this key was noted.
    pub(super) fn has(&self, key: &[u8]) -> bool {
        let hash = self.hasher.hash_one(key) as u32;
        self.table
            .find(spread(hash), |last| last.is(hash, key, &self.keys))
            .is_some()
    }

    /// Whether the next of the noted records has a later one with its key.
    pub(super) fn next_is_old(&mut self) -> bool {
        let old = self.old.get(self.next).copied().unwrap_or_default();
        self.next += 1;
        old
    }
}

impl Last {
    fn is(&self, hash: u32, key: &[u8], keys: &[u8]) -> bool {
        let there = || keys.get(self.at..self.at + self.length as usize);
        self.hash == hash && there() == Some(key)
    }
}

/// What the table goes by.
const fn spread(hash: u32) -> u64 {
    (hash as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}
