//! Entries by key, packed: what a store holds for months, in little more memory than its bytes.
//!
//! # Layout
//! Entries lie one after the other in segments, in the order in which they came: lengths of key
//! and value, then both, up to a whole number of units. A table finds them by key: a part of the
//! key's hash, and the unit at which the entry begins. What is overwritten by something of another
//! length, or removed, leaves a hole, into which the next entry of just that length goes.
//!
//! # Invariants
//! - A place in the table is the begin of an entry; bytes without a place are a hole. Either way
//!   they tell their length, so that a segment can be gone through.
//! - Holes take at most a quarter of what entries take, and a segment: beyond that the segment
//!   with the most holes is moved to the end of the others, entry by entry.
//! - An entry too large to share a segment has one of its own.

use hashbrown::{DefaultHashBuilder, HashTable};
use std::hash::BuildHasher as _;

/// Room in a segment that entries share.
const SEGMENT_BYTES: usize = if cfg!(test) { 512 } else { 256 * 1024 };
/// Larger entries do not share.
const SHARED_BYTES_MAX: usize = SEGMENT_BYTES / 8;
const UNIT_BYTES: usize = 4;
const UNITS: u32 = (SEGMENT_BYTES / UNIT_BYTES) as u32;
/// All places that 32 bits can tell apart: 16 GiB.
const SEGMENTS_MAX: usize = (1 << 32) / UNITS as usize;
const LENGTHS_BYTES: usize = 5;
/// Holes of entries up to this length are used again.
const HOLE_BYTES_MAX: usize = 1024;
/// Holes of one length that are remembered.
const HOLES_MAX: usize = 4096;

#[derive(Clone, Copy, PartialEq, Eq)]
struct Place {
    /// So that growing the table, and most looks at another key, need not go to the entry.
    hash: u32,
    unit: u32,
}

impl Place {
    const fn new(hash: u64, segment: u32, at: usize) -> Self {
        Self {
            hash: hash as u32,
            unit: segment * UNITS + (at / UNIT_BYTES) as u32,
        }
    }

    const fn segment(self) -> usize {
        (self.unit / UNITS) as usize
    }

    const fn at(self) -> usize {
        (self.unit % UNITS) as usize * UNIT_BYTES
    }

    /// What the table goes by.
    const fn spread(hash: u32) -> u64 {
        (hash as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }
}

#[derive(Default)]
struct Segment {
    bytes: Vec<u8>,
    /// Of those, bytes of entries that have a place.
    live: usize,
    /// Counts how often it was emptied: what was remembered of it before is no longer so.
    generation: u32,
}

/// Where an entry of some length was.
struct Hole {
    unit: u32,
    generation: u32,
}

/// See the module.
#[derive(Default)]
pub(super) struct Entries {
    table: HashTable<Place>,
    hasher: DefaultHashBuilder,
    segments: Vec<Segment>,
    /// Segments that are empty.
    free: Vec<u32>,
    /// By their length in units.
    holes: Vec<Vec<Hole>>,
    /// Where the next entry goes, if it fits.
    open: Option<u32>,
    live: usize,
    held: usize,
}

/// An entry in its segment: where it ends, and where key and value meet.
struct Entry<'a> {
    key: &'a [u8],
    value: &'a [u8],
}

impl Entry<'_> {
    const fn length(&self) -> usize {
        length(self.key, self.value)
    }
}

/// What an entry takes.
const fn length(key: &[u8], value: &[u8]) -> usize {
    (LENGTHS_BYTES + key.len() + value.len()).next_multiple_of(UNIT_BYTES)
}

/// The entry that begins there.
fn entry(segments: &[Segment], place: Place) -> Option<Entry<'_>> {
    entry_in(segments.get(place.segment())?, place.at())
}

fn entry_in(segment: &Segment, at: usize) -> Option<Entry<'_>> {
    let bytes = segment.bytes.get(at..)?;
    let (key_length, rest) = bytes.split_first()?;
    let (value_length, rest) = rest.split_first_chunk::<4>()?;
    let (key, rest) = rest.split_at_checked(usize::from(*key_length))?;
    let value = rest.get(..u32::from_le_bytes(*value_length) as usize)?;
    Some(Entry { key, value })
}

impl Segment {
    /// Takes out what is in it.
    fn empty(&mut self) -> Self {
        let generation = self.generation.wrapping_add(1);
        let empty = Self {
            generation,
            ..Self::default()
        };
        std::mem::replace(self, empty)
    }
}

impl Entries {
    pub(super) fn len(&self) -> usize {
        self.table.len()
    }

    pub(super) fn get(&self, key: &[u8]) -> Option<&[u8]> {
        let place = self.find(self.hasher.hash_one(key), key)?;
        entry(&self.segments, place).map(|entry| entry.value)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.table.iter().filter_map(|place| {
            let Entry { key, value } = entry(&self.segments, *place)?;
            Some((key, value))
        })
    }

    fn find(&self, hash: u64, key: &[u8]) -> Option<Place> {
        let hash = hash as u32;
        let is_it = |place: &Place| {
            place.hash == hash
                && entry(&self.segments, *place).is_some_and(|entry| entry.key == key)
        };
        self.table.find(Place::spread(hash), is_it).copied()
    }

    /// Sets a value, or removes it.
    ///
    /// # Panics
    /// If the key is too long, or there is no room for more.
    pub(super) fn set(&mut self, key: &[u8], value: Option<&[u8]>) {
        match value {
            Some(value) => self.insert(key, value),
            None => self.remove(key),
        }
        self.tidy();
    }

    fn insert(&mut self, key: &[u8], value: &[u8]) {
        let hash = self.hasher.hash_one(key);
        if let Some(place) = self.find(hash, key) {
            if !self.overwrite(place, key, value) {
                self.leave(place);
                let next = self.append(hash, key, value);
                self.move_place(place, next);
            }
        } else {
            let place = self.append(hash, key, value);
            let spread = |place: &Place| Place::spread(place.hash);
            self.table.insert_unique(spread(&place), place, spread);
        }
    }

    fn remove(&mut self, key: &[u8]) {
        let hash = self.hasher.hash_one(key);
        if let Some(place) = self.find(hash, key) {
            let spread = Place::spread(place.hash);
            if let Ok(found) = self.table.find_entry(spread, |other| *other == place) {
                found.remove();
            }
            self.leave(place);
        }
    }

    /// Puts an entry in the place of one that takes as much.
    fn overwrite(&mut self, place: Place, key: &[u8], value: &[u8]) -> bool {
        let takes = entry(&self.segments, place).map(|there| there.length());
        takes == Some(length(key, value)) && self.write(place, key, value)
    }

    /// Writes an entry where there is one, or was one, that takes as much.
    fn write(&mut self, place: Place, key: &[u8], value: &[u8]) -> bool {
        let length = length(key, value);
        let segment = self.segments.get_mut(place.segment());
        let Some(room) =
            segment.and_then(|segment| segment.bytes.get_mut(place.at()..place.at() + length))
        else {
            return false;
        };
        let value_length = (value.len() as u32).to_le_bytes();
        let parts = [&[key.len() as u8][..], &value_length, key, value];
        let mut room = room;
        for part in parts {
            let Some((to, rest)) = room.split_at_mut_checked(part.len()) else {
                return false;
            };
            to.copy_from_slice(part);
            room = rest;
        }
        true
    }

    /// Makes a hole of an entry.
    fn leave(&mut self, place: Place) {
        let length = entry(&self.segments, place).map_or(0, |entry| entry.length());
        if let Some(segment) = self.segments.get_mut(place.segment()) {
            segment.live -= length;
            self.live -= length;
            let number = place.segment() as u32;
            if segment.live == 0 && self.open != Some(number) {
                self.release(number);
                return;
            }
            if length > HOLE_BYTES_MAX {
                return;
            }
            let units = length / UNIT_BYTES;
            if self.holes.len() <= units {
                self.holes.resize_with(units + 1, Vec::new);
            }
            if let Some(holes) = self.holes.get_mut(units)
                && holes.len() < HOLES_MAX
            {
                holes.push(Hole {
                    unit: place.unit,
                    generation: segment.generation,
                });
            }
        }
    }

    /// A hole of just this length that is still one.
    fn hole(&mut self, hash: u64, length: usize) -> Option<Place> {
        let holes = self.holes.get_mut(length / UNIT_BYTES)?;
        loop {
            let hole = holes.pop()?;
            let place = Place {
                hash: hash as u32,
                unit: hole.unit,
            };
            let segment = self.segments.get(place.segment());
            if segment.is_some_and(|segment| segment.generation == hole.generation) {
                return Some(place);
            }
        }
    }

    /// Gives an empty segment's memory back.
    fn release(&mut self, number: u32) {
        if let Some(segment) = self.segments.get_mut(number as usize) {
            self.held -= segment.empty().bytes.len();
            self.free.push(number);
        }
    }

    fn append(&mut self, hash: u64, key: &[u8], value: &[u8]) -> Place {
        assert!(
            key.len() <= super::Store::KEY_BYTES_MAX,
            "store keys have at most {} bytes",
            super::Store::KEY_BYTES_MAX
        );
        let length = length(key, value);
        if let Some(place) = self.hole(hash, length)
            && self.write(place, key, value)
        {
            if let Some(segment) = self.segments.get_mut(place.segment()) {
                segment.live += length;
            }
            self.live += length;
            return place;
        }
        let number = self.segment_for(length);
        let mut at = 0;
        if let Some(Segment { bytes, live, .. }) = self.segments.get_mut(number as usize) {
            at = bytes.len();
            bytes.push(key.len() as u8);
            // a record is far below 4 GiB
            bytes.extend_from_slice(&(value.len() as u32).to_le_bytes());
            bytes.extend_from_slice(key);
            bytes.extend_from_slice(value);
            bytes.resize(at + length, 0);
            *live += length;
        }
        self.live += length;
        self.held += length;
        Place::new(hash, number, at)
    }

    /// A segment with room for an entry of this length.
    fn segment_for(&mut self, length: usize) -> u32 {
        if length > SHARED_BYTES_MAX {
            return self.new_segment(length);
        }
        if let Some(open) = self.open
            && let Some(segment) = self.segments.get(open as usize)
        {
            if segment.bytes.len() + length <= SEGMENT_BYTES {
                return open;
            }
            if segment.live == 0 {
                self.release(open);
            }
        }
        // a small store stays small
        let room = self.held.max(length).min(SEGMENT_BYTES);
        let open = self.new_segment(room);
        self.open = Some(open);
        open
    }

    fn new_segment(&mut self, room: usize) -> u32 {
        let bytes = Vec::with_capacity(room);
        if let Some(number) = self.free.pop()
            && let Some(free) = self.segments.get_mut(number as usize)
        {
            free.bytes = bytes;
            return number;
        }
        assert!(
            self.segments.len() < SEGMENTS_MAX,
            "the state of one partition takes 16 GiB, or has {SEGMENTS_MAX} entries above {SHARED_BYTES_MAX} bytes: use more partitions"
        );
        self.segments.push(Segment {
            bytes,
            ..Segment::default()
        });
        (self.segments.len() - 1) as u32
    }

    fn move_place(&mut self, from: Place, to: Place) {
        let spread = Place::spread(from.hash);
        if let Some(place) = self.table.find_mut(spread, |place| *place == from) {
            *place = to;
        }
    }

    /// Keeps holes within their bound.
    fn tidy(&mut self) {
        while self.held - self.live > self.live / 4 + SEGMENT_BYTES {
            let with_holes = |(number, segment): (usize, &Segment)| {
                let holes = segment.bytes.len() - segment.live;
                (holes > 0 && self.open != Some(number as u32)).then_some((holes, number as u32))
            };
            let most = self
                .segments
                .iter()
                .enumerate()
                .filter_map(with_holes)
                .max();
            let Some((_, number)) = most else { return };
            self.vacate(number);
        }
    }

    /// Moves a segment's entries to the open one.
    fn vacate(&mut self, number: u32) {
        let Some(segment) = self.segments.get_mut(number as usize) else {
            return;
        };
        // it keeps its number until everything has left
        let moved = segment.empty();
        self.held -= moved.bytes.len();
        self.live -= moved.live;
        let mut at = 0;
        while let Some(Entry { key, value }) = entry_in(&moved, at) {
            let hash = self.hasher.hash_one(key);
            let from = Place::new(hash, number, at);
            let spread = Place::spread(from.hash);
            if self.table.find(spread, |place| *place == from).is_some() {
                let to = self.append(hash, key, value);
                self.move_place(from, to);
            }
            at += length(key, value);
        }
        self.free.push(number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    proptest! {
        #[test]
        fn entries_are_those_of_a_map_and_holes_stay_within_their_bound(
            changes in proptest::collection::vec(
                (0_u8..40, proptest::option::weighted(0.8, 0_usize..200)), 0..600
            )
        ) {
            let mut entries = Entries::default();
            let mut map = HashMap::new();
            for (number, (key, bytes)) in changes.into_iter().enumerate() {
                // keys of several lengths, the empty one among them
                let key = vec![key; usize::from(key % 7)];
                let value = bytes.map(|bytes| vec![number as u8; bytes]);
                entries.set(&key, value.as_deref());
                match value {
                    Some(value) => map.insert(key, value),
                    None => map.remove(&key),
                };
                let live: usize = map.iter().map(|(key, value)| length(key, value)).sum();
                let held: usize = entries.segments.iter().map(|segment| segment.bytes.len()).sum();
                prop_assert_eq!((entries.live, entries.held), (live, held));
                prop_assert!(held <= live + live / 4 + 2 * SEGMENT_BYTES, "{} held for {}", held, live);
            }
            prop_assert_eq!(entries.len(), map.len());
            for (key, value) in entries.iter() {
                prop_assert_eq!(map.get(key).map(Vec::as_slice), Some(value));
            }
            for (key, value) in &map {
                prop_assert_eq!(entries.get(key), Some(&**value));
            }
        }
    }
}
