//! What a step has written so far, by key, in the order of the first writes. Its memory is used
//! again by the next step.

use hashbrown::{DefaultHashBuilder, HashTable};
use std::hash::BuildHasher as _;
use std::ops::Range;

/// Memory that is kept between steps however little they use of it.
const KEPT_BYTES: usize = 64 * 1024;

#[derive(Clone)]
struct Written {
    key: Range<usize>,
    /// `None` is a deletion.
    value: Option<Range<usize>>,
    /// How long a value may be that goes where this one is.
    room: usize,
}

/// See the module.
#[derive(Default)]
pub(super) struct Overlay {
    /// Places in `written`.
    table: HashTable<usize>,
    hasher: DefaultHashBuilder,
    written: Vec<Written>,
    /// Keys and values.
    bytes: Vec<u8>,
}

impl Overlay {
    /// What was written of a key: nothing, or a value or its deletion.
    pub(super) fn get(&self, key: &[u8]) -> Option<Option<&[u8]>> {
        if self.written.is_empty() {
            return None;
        }
        let place = self.find(self.hasher.hash_one(key), key)?;
        let written = self.written.get(place)?;
        Some(self.value(written))
    }

    pub(super) fn write(&mut self, key: &[u8], value: Option<&[u8]>) {
        assert!(
            key.len() <= super::Store::KEY_BYTES_MAX,
            "store keys have at most {} bytes",
            super::Store::KEY_BYTES_MAX
        );
        let hash = self.hasher.hash_one(key);
        match self.find(hash, key) {
            Some(place) => self.rewrite(place, value),
            None => {
                let key = self.append(key);
                let value = value.map(|value| self.append(value));
                let Self {
                    table,
                    hasher,
                    written,
                    bytes,
                } = self;
                written.push(Written {
                    key,
                    room: value.as_ref().map_or(0, ExactSizeIterator::len),
                    value,
                });
                table.insert_unique(hash, written.len() - 1, |place| {
                    let key = written.get(*place).map(|written| written.key.clone());
                    hasher.hash_one(key.and_then(|key| bytes.get(key)).unwrap_or_default())
                });
            }
        }
    }

    /// Keys and what was written of them, in the order of the first writes.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
        self.written.iter().map(|written| {
            let key = self.bytes.get(written.key.clone()).unwrap_or_default();
            (key, self.value(written))
        })
    }

    pub(super) fn clear(&mut self) {
        let used = self.bytes.len();
        self.table.clear();
        self.written.clear();
        self.bytes.clear();
        // one large step does not keep its memory through many small ones
        if self.bytes.capacity() > KEPT_BYTES.max(used.saturating_mul(8)) {
            *self = Self::default();
        }
    }

    fn value(&self, written: &Written) -> Option<&[u8]> {
        self.bytes.get(written.value.clone()?)
    }

    fn find(&self, hash: u64, key: &[u8]) -> Option<usize> {
        let is_it = |place: &usize| {
            self.written
                .get(*place)
                .and_then(|written| self.bytes.get(written.key.clone()))
                .is_some_and(|there| there == key)
        };
        self.table.find(hash, is_it).copied()
    }

    fn append(&mut self, bytes: &[u8]) -> Range<usize> {
        let begin = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        begin..self.bytes.len()
    }

    /// Another value for a key that was written before: in the same place if it fits there, else
    /// in one with room to grow, for it may go on like this.
    fn rewrite(&mut self, place: usize, value: Option<&[u8]>) {
        let Some(written) = self.written.get(place).cloned() else {
            return;
        };
        let (range, room) = match value {
            None => (None, 0),
            Some(value) => {
                let there = written
                    .value
                    .filter(|_| value.len() <= written.room)
                    .map(|there| there.start..there.start + value.len());
                match there {
                    Some(there) => {
                        if let Some(old) = self.bytes.get_mut(there.clone()) {
                            old.copy_from_slice(value);
                        }
                        (Some(there), written.room)
                    }
                    None => {
                        let range = self.append(value);
                        let room = value.len() * 2;
                        self.bytes.resize(range.start + room, 0);
                        (Some(range), room)
                    }
                }
            }
        };
        if let Some(written) = self.written.get_mut(place) {
            written.value = range;
            written.room = room;
        }
    }
}
