//! Records in batches: the unit that is compressed, stored and read.
//!
//! # Layout
//! A batch's body is its records one after another, each
//! `varint(offset delta) zigzag(time delta) varint(key length) key varint(value length + 1) value`,
//! where a value length of 0 marks a tombstone, and the deltas count from the batch's base offset
//! and its time. Stored, a body is LZ4 behind a header of 25 bytes: format `1`, record count (4,
//! little-endian), offsets spanned (8), the batch's time in ms (8), body length (4).
//!
//! # Invariants
//! Offset deltas grow strictly and stay below the span. A fresh batch has the offset deltas
//! 0, 1, 2 … and no time delta; only compaction, which puts records of several appends into one
//! batch and keeps the offset and time of each, makes others.
//! A stored batch is read as a whole or refused. The bytes' integrity is the storage's business:
//! what is checked here is that reading can neither panic nor claim memory without bound.

mod body;

use std::cell::RefCell;

use self::body::Body;

use crate::types::{Offset, TimeMs};

const FORMAT: u8 = 1;
const HEADER_BYTES: usize = 25;
/// No LZ4 block grows by more than this when it is decompressed: a larger length is damage.
const EXPANSION_MAX: usize = 255;

/// A stored batch cannot be read: the bytes are damaged or of a format from the future.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("damaged record batch: {0}")]
pub struct DamagedBatch(pub &'static str);

/// One record, borrowed from its batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    /// Its place.
    pub offset: Offset,
    /// When it was appended.
    pub appended_at: TimeMs,
    /// Its key.
    pub key: &'a [u8],
    /// Its value; `None` is a tombstone.
    pub value: Option<&'a [u8]>,
}

/// Records on their way to one partition, in order, not yet placed.
#[derive(Debug, Default, Clone)]
pub struct Batch {
    body: Body,
    count: u32,
    span: u64,
}

impl Batch {
    /// Appends a record.
    pub fn push(&mut self, key: &[u8], value: Option<&[u8]>) {
        self.push_at(self.span, 0, key, value);
    }

    /// Appends a record whose value is written by `write`.
    pub fn push_with(
        &mut self,
        key: &[u8],
        scratch: &mut Vec<u8>,
        write: impl FnOnce(&mut Vec<u8>),
    ) {
        scratch.clear();
        write(scratch);
        self.push(key, Some(scratch));
    }

    /// Takes over a record of the batch that will be placed at `base` with the time `time`, or of
    /// a later one, with its own offset and time: for compaction.
    pub(crate) fn push_kept(&mut self, base: Offset, time: TimeMs, record: &Record<'_>) {
        let offset_delta = record.offset.0.saturating_sub(base.0);
        let time_delta = record.appended_at.0.wrapping_sub(time.0);
        self.push_at(offset_delta, time_delta, record.key, record.value);
    }

    fn push_at(&mut self, offset_delta: u64, time_delta: i64, key: &[u8], value: Option<&[u8]>) {
        debug_assert!(offset_delta >= self.span, "deltas grow");
        let body = self.body.filling();
        put_varint(body, offset_delta);
        put_varint(body, zigzag(time_delta));
        put_varint(body, key.len() as u64);
        body.extend_from_slice(key);
        match value {
            None => put_varint(body, 0),
            Some(value) => {
                put_varint(body, value.len() as u64 + 1);
                body.extend_from_slice(value);
            }
        }
        self.count += 1;
        self.span = offset_delta + 1;
    }

    /// Makes the batch span offsets after its last record, so that nothing reads as missing.
    pub(crate) fn extend_span(&mut self, span: u64) {
        self.span = self.span.max(span);
    }

    /// How many records.
    #[must_use]
    pub const fn count(&self) -> u32 {
        self.count
    }

    /// How many offsets, gaps included.
    #[must_use]
    pub const fn span(&self) -> u64 {
        self.span
    }

    /// Whether there is no record.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Bytes of the body, uncompressed.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.body.len()
    }

    /// The records, as if the batch began at offset 0 at time 0.
    pub fn iter(&self) -> impl Iterator<Item = Record<'_>> {
        Records {
            body: &self.body,
            base: 0,
            time: 0,
        }
    }

    /// The stored form.
    #[must_use]
    pub fn encode(&self, appended_at: TimeMs) -> Vec<u8> {
        stored_form(&self.body, self.count, self.span, appended_at)
    }
}

thread_local! {
    /// Where batches are compressed: the worst case takes more than the body, the usual one a
    /// small part of it.
    static COMPRESSED: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

fn stored_form(body: &[u8], count: u32, span: u64, time: TimeMs) -> Vec<u8> {
    COMPRESSED.with_borrow_mut(|compressed| {
        let most = lz4_flex::block::get_maximum_output_size(body.len());
        if compressed.len() < most {
            compressed.resize(most, 0);
        }
        // the buffer has the size that the worst case needs
        let length = lz4_flex::block::compress_into(body, compressed).unwrap_or(0);
        let mut stored = Vec::with_capacity(HEADER_BYTES + length);
        stored.push(FORMAT);
        stored.extend_from_slice(&count.to_le_bytes());
        stored.extend_from_slice(&span.to_le_bytes());
        stored.extend_from_slice(&time.0.to_le_bytes());
        // a batch is split long before 4 GiB
        stored.extend_from_slice(&(body.len() as u32).to_le_bytes());
        stored.extend_from_slice(compressed.get(..length).unwrap_or_default());
        stored
    })
}

/// Where a record lies in the body of its batch.
pub(crate) struct RecordPlace {
    pub(crate) offset: Offset,
    pub(crate) key: std::ops::Range<usize>,
    pub(crate) value: std::ops::Range<usize>,
}

/// Records read from one partition.
#[derive(Debug, Clone)]
pub struct RecordBatch {
    body: Body,
    base: Offset,
    count: u32,
    span: u64,
    time: TimeMs,
}

impl RecordBatch {
    /// Reads a stored batch that begins at `base`.
    ///
    /// # Errors
    /// [`DamagedBatch`] if any record cannot be read: a batch is whole or refused.
    pub fn decode(base: Offset, stored: &[u8]) -> Result<Self, DamagedBatch> {
        let (header, compressed) = stored
            .split_first_chunk::<HEADER_BYTES>()
            .ok_or(DamagedBatch("shorter than its header"))?;
        let mut header = &header[..];
        if take::<1>(&mut header)? != [FORMAT] {
            return Err(DamagedBatch("unknown format"));
        }
        let count = u32::from_le_bytes(take(&mut header)?);
        let span = u64::from_le_bytes(take(&mut header)?);
        let time = TimeMs(i64::from_le_bytes(take(&mut header)?));
        let length = u32::from_le_bytes(take(&mut header)?) as usize;
        if length > compressed.len().saturating_mul(EXPANSION_MAX) {
            return Err(DamagedBatch(
                "claims to be longer than its bytes can make it",
            ));
        }
        let mut body = Body::of(length);
        let filled = lz4_flex::block::decompress_into(compressed, &mut body);
        if !filled.is_ok_and(|filled| filled == length) {
            return Err(DamagedBatch("does not decompress"));
        }
        let batch = Self {
            body,
            base,
            count,
            span,
            time,
        };
        batch.check()?;
        Ok(batch)
    }

    /// The invariants of the module, over every record.
    fn check(&self) -> Result<(), DamagedBatch> {
        let mut records = Records {
            body: &self.body,
            base: self.base.0,
            time: self.time.0,
        };
        let end = self
            .base
            .0
            .checked_add(self.span)
            .ok_or(DamagedBatch("spans beyond 64 bits"))?;
        let mut counted = 0_u32;
        let mut at = self.base.0;
        while !records.body.is_empty() {
            let record = records
                .next()
                .ok_or(DamagedBatch("holds a record that is cut off"))?;
            if record.offset.0 < at || record.offset.0 >= end {
                return Err(DamagedBatch("holds a record out of place"));
            }
            at = record.offset.0 + 1;
            counted = counted.wrapping_add(1);
        }
        if counted != self.count {
            return Err(DamagedBatch("does not hold the records it counts"));
        }
        Ok(())
    }

    /// Takes a batch as if it had been appended at `base` and read back.
    #[must_use]
    pub fn placed(batch: Batch, base: Offset, time: TimeMs) -> Self {
        Self {
            body: batch.body,
            base,
            count: batch.count,
            span: batch.span,
            time,
        }
    }

    /// The records in order.
    pub fn iter(&self) -> impl Iterator<Item = Record<'_>> {
        Records {
            body: &self.body,
            base: self.base.0,
            time: self.time.0,
        }
    }

    /// The records from an offset on, in a batch that begins there.
    pub(crate) fn since(&self, offset: Offset) -> Self {
        let mut batch = Batch::default();
        for record in self.iter().filter(|record| record.offset >= offset) {
            batch.push_kept(offset, self.time, &record);
        }
        batch.extend_span(self.next_offset().0.saturating_sub(offset.0));
        Self::placed(batch, offset, self.time)
    }

    /// The stored form: decoded at the same base, it is this batch again.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        stored_form(&self.body, self.count, self.span, self.time)
    }

    /// Where in the body key and value of each record lie, tombstones left out.
    pub(crate) fn places(&self) -> Vec<RecordPlace> {
        let begin = self.body.as_ptr() as usize;
        let range = |bytes: &[u8]| {
            let from = bytes.as_ptr() as usize - begin;
            from..from + bytes.len()
        };
        self.iter()
            .filter_map(|record| {
                Some(RecordPlace {
                    offset: record.offset,
                    key: range(record.key),
                    value: range(record.value?),
                })
            })
            .collect()
    }

    /// Bytes of the body.
    pub(crate) fn bytes_at(&self, range: std::ops::Range<usize>) -> Option<&[u8]> {
        self.body.get(range)
    }

    /// Offset of the batch's begin.
    #[must_use]
    pub const fn base(&self) -> Offset {
        self.base
    }

    /// Where to read on.
    #[must_use]
    pub const fn next_offset(&self) -> Offset {
        Offset(self.base.0 + self.span)
    }

    /// How many records.
    #[must_use]
    pub const fn count(&self) -> u32 {
        self.count
    }

    /// Bytes of the body, uncompressed.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.body.len()
    }
}

struct Records<'a> {
    body: &'a [u8],
    base: u64,
    time: i64,
}

impl<'a> Iterator for Records<'a> {
    type Item = Record<'a>;

    fn next(&mut self) -> Option<Record<'a>> {
        let offset_delta = get_varint(&mut self.body)?;
        let time_delta = unzigzag(get_varint(&mut self.body)?);
        let key_length = usize::try_from(get_varint(&mut self.body)?).ok()?;
        let (key, rest) = self.body.split_at_checked(key_length)?;
        self.body = rest;
        let value = match get_varint(&mut self.body)? {
            0 => None,
            length => {
                let (value, rest) = self
                    .body
                    .split_at_checked(usize::try_from(length - 1).ok()?)?;
                self.body = rest;
                Some(value)
            }
        };
        let offset = Offset(self.base.checked_add(offset_delta)?);
        let appended_at = TimeMs(self.time.wrapping_add(time_delta));
        Some(Record {
            offset,
            appended_at,
            key,
            value,
        })
    }
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Result<[u8; N], DamagedBatch> {
    let (head, rest) = bytes
        .split_first_chunk::<N>()
        .ok_or(DamagedBatch("shorter than its header"))?;
    *bytes = rest;
    Ok(*head)
}

/// Small numbers of either sign as small numbers without one.
const fn zigzag(number: i64) -> u64 {
    ((number << 1) ^ (number >> 63)) as u64
}

const fn unzigzag(number: u64) -> i64 {
    (number >> 1) as i64 ^ -((number & 1) as i64)
}

fn put_varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn get_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f).checked_shl(shift)?;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
    use super::*;
    use proptest::prelude::*;

    fn written(records: &[(Vec<u8>, Option<Vec<u8>>)]) -> Batch {
        let mut batch = Batch::default();
        for (key, value) in records {
            batch.push(key, value.as_deref());
        }
        batch
    }

    fn some_records() -> impl Strategy<Value = Vec<(Vec<u8>, Option<Vec<u8>>)>> {
        let bytes = |length| proptest::collection::vec(any::<u8>(), 0..length);
        proptest::collection::vec((bytes(40), proptest::option::of(bytes(300))), 0..50)
    }

    proptest! {
        #[test]
        fn a_batch_reads_as_it_was_written(records in some_records()) {
            let batch = written(&records);
            let read = RecordBatch::decode(Offset(7), &batch.encode(TimeMs(5))).unwrap();
            let back: Vec<_> = read.iter().map(|r| (r.key.to_vec(), r.value.map(<[u8]>::to_vec))).collect();
            prop_assert_eq!(back, records);
            for (place, record) in read.iter().enumerate() {
                prop_assert_eq!(record.offset, Offset(7 + place as u64));
                prop_assert_eq!(record.appended_at, TimeMs(5));
            }
        }

        #[test]
        fn kept_records_keep_their_offset_and_time(gaps in proptest::collection::vec((0_u64..1 << 40, any::<i64>()), 1..30)) {
            let (base, time) = (Offset(9), TimeMs(1_000));
            let mut batch = Batch::default();
            let mut kept = Vec::new();
            let mut at = base.0;
            for (gap, appended_at) in gaps {
                let record = Record { offset: Offset(at + gap), appended_at: TimeMs(appended_at), key: b"k", value: None };
                batch.push_kept(base, time, &record);
                kept.push(record);
                at = record.offset.0 + 1;
            }
            let read = RecordBatch::decode(base, &batch.encode(time)).unwrap();
            prop_assert_eq!(read.iter().collect::<Vec<_>>(), kept);
            prop_assert_eq!(read.next_offset(), Offset(at));
        }

        #[test]
        fn random_bytes_are_refused_and_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = RecordBatch::decode(Offset(0), &bytes);
        }

        #[test]
        fn a_damaged_batch_never_panics_and_keeps_its_invariants(records in some_records(), place in any::<usize>(), damage in 1_u8..) {
            let mut bytes = written(&records).encode(TimeMs(0));
            let place = place % bytes.len();
            bytes[place] ^= damage;
            if let Ok(read) = RecordBatch::decode(Offset(3), &bytes) {
                let offsets: Vec<_> = read.iter().map(|record| record.offset).collect();
                prop_assert_eq!(offsets.len(), read.count() as usize);
                prop_assert!(offsets.is_sorted());
                prop_assert!(offsets.iter().all(|offset| (Offset(3)..read.next_offset()).contains(offset)));
            }
        }
    }

    #[test]
    fn a_batch_cut_short_is_refused() {
        let bytes = written(&[(b"key".to_vec(), Some(vec![7; 100]))]).encode(TimeMs(0));
        for length in 0..bytes.len() {
            assert!(
                RecordBatch::decode(Offset(0), &bytes[..length]).is_err(),
                "{length} bytes"
            );
        }
    }

    #[test]
    fn a_length_that_the_bytes_cannot_have_claims_no_memory() {
        let mut bytes = written(&[(b"key".to_vec(), Some(vec![7; 100]))]).encode(TimeMs(0));
        bytes[HEADER_BYTES - 4..HEADER_BYTES].copy_from_slice(&u32::MAX.to_le_bytes());
        let refused = RecordBatch::decode(Offset(0), &bytes).unwrap_err();
        assert_eq!(
            refused,
            DamagedBatch("claims to be longer than its bytes can make it")
        );
    }

    #[test]
    fn an_empty_batch_keeps_its_span() {
        let mut batch = Batch::default();
        batch.extend_span(12);
        let read = RecordBatch::decode(Offset(5), &batch.encode(TimeMs(0))).unwrap();
        assert_eq!((read.count(), read.next_offset()), (0, Offset(17)));
    }
}
