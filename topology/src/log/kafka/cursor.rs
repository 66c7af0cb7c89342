//! A place in one partition, from which batches are read.
//!
//! # Invariants
//! Everything before `next` was handed out or is no record: a transaction's marker, what was
//! aborted, a fence of a cut, what compaction took. A batch spans all of it, so whoever commits
//! a batch's next offset stands where the partition's readers can stand.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::types::RDKafkaErrorCode;

use super::client::{Consequence, Consumer, consequence};
use super::ffi::{Bell, Item, Partition};
use crate::batch::{Batch, Record, RecordBatch};
use crate::types::{Offset, Shard, TimeMs, Topic};

/// Bytes of keys and values after which a batch is handed out: with the last messages that come
/// along, a megabyte.
const BATCH_BYTES: usize = 768 * 1024;

/// The key of the records that hold a cut's place in its transaction: readers never see them.
pub(super) const FENCE_KEY: &[u8] = b"\0sealpost-fence";

/// What a cursor found.
pub(super) enum Taken {
    /// Records.
    Batch(RecordBatch),
    /// No record, but the place moved: to read on from here is to read on from `next`.
    Moved,
    /// Nothing has arrived.
    Nothing,
}

/// See the module.
pub(super) struct Cursor {
    partition: Partition<super::client::Watch>,
    started: bool,
    /// Where the last batch that was handed out began to be not ours: nothing but gaps lies
    /// from here to `next`.
    handed: Offset,
    next: Offset,
    /// The last end that was told since the start.
    told_end: Option<Offset>,
}

impl Cursor {
    pub(super) fn new(
        client: &Arc<Consumer>,
        topic: &Topic,
        shard: Shard,
        bell: Option<Bell>,
    ) -> Result<Self, RDKafkaErrorCode> {
        Ok(Self {
            partition: Partition::new(client, topic, shard, bell)?,
            started: false,
            handed: Offset(0),
            next: Offset(0),
            told_end: None,
        })
    }

    /// Whether it is this client that reads for it.
    pub(super) fn is_read_by(&self, client: &Arc<Consumer>) -> bool {
        self.partition.is_read_by(client)
    }

    /// Everything before it was handed out, or is no record.
    pub(super) const fn next(&self) -> Offset {
        self.next
    }

    /// Reads from here, if it does not already.
    pub(super) fn seek(&mut self, from: Offset) -> Result<(), RDKafkaErrorCode> {
        if !self.started || from < self.handed || from > self.next {
            self.partition.start(from)?;
            self.started = true;
            self.handed = from;
            self.next = from;
            self.told_end = None;
        }
        Ok(())
    }

    /// What has arrived since; waits up to `wait` for something.
    pub(super) fn take(&mut self, wait: Duration) -> Result<Taken, RDKafkaErrorCode> {
        let base = self.next;
        let (mut next, mut bytes, mut failed) = (base, 0, None);
        let mut time = TimeMs(0);
        let mut batch = Batch::default();
        let mut patience = wait;
        let mut told_end = self.told_end;
        loop {
            let count = self.partition.take(patience, |item| match item {
                Item::Record {
                    offset,
                    appended_at,
                    key,
                    value,
                } => {
                    if offset < next {
                        return;
                    }
                    next = offset.next();
                    if value.is_none() && key == FENCE_KEY {
                        return;
                    }
                    if batch.is_empty() {
                        time = appended_at;
                    }
                    bytes += key.len() + value.map_or(0, <[u8]>::len);
                    batch.push_kept(
                        base,
                        time,
                        &Record {
                            offset,
                            appended_at,
                            key,
                            value,
                        },
                    );
                }
                Item::End(end) => {
                    next = next.max(end);
                    told_end = Some(end);
                }
                // librdkafka goes on by itself
                Item::Failed(code) if consequence(code) == Consequence::Retry => {}
                Item::Failed(code) => failed = Some(code),
            });
            patience = Duration::ZERO;
            if count == 0 || bytes >= BATCH_BYTES || failed.is_some() {
                break;
            }
        }
        if let Some(code) = failed
            && batch.is_empty()
        {
            return Err(code);
        }
        self.told_end = told_end;
        // Markers and what was aborted are passed without being shown. An end that was told moves
        // librdkafka's position one too far: right after it, the position says nothing.
        if let Some(position) = self.partition.position()
            && told_end.map(Offset::next) != Some(position)
        {
            next = next.max(position);
        }
        let moved = next > base;
        self.next = next;
        if batch.is_empty() {
            return Ok(if moved { Taken::Moved } else { Taken::Nothing });
        }
        self.handed = next;
        batch.extend_span(next.0 - base.0);
        Ok(Taken::Batch(RecordBatch::placed(batch, base, time)))
    }

    /// An empty batch over what is no record, from `from` to where the cursor stands.
    pub(super) fn gap(&mut self, from: Offset) -> RecordBatch {
        let mut batch = Batch::default();
        batch.extend_span(self.next.0.saturating_sub(from.0));
        self.handed = self.next;
        RecordBatch::placed(batch, from, TimeMs(0))
    }
}
