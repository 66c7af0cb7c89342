//! The shell around each pure operator: decoding what it is given, encoding what it emits,
//! sealing what it refuses, counting what it did.

mod levels;
pub mod render;
pub mod send;
pub mod settle;

use std::sync::Arc;

use sealpost_operators::table::{HistoryError, OperatorError, Table};
use sealpost_schemas::codec::{self, CodecError, Decoder, Encoder};
use sealpost_schemas::key_ring::KeyRing;
use sealpost_schemas::record::{DeadLetter, Reason};
use sealpost_schemas::sealed::{KeyPurpose, Purpose};
use sealpost_schemas::{Period, Timestamp, UserId};
use sealpost_topology::batch::{Batch, Record};
use sealpost_topology::processor::ProcessError;
use sealpost_topology::store::Store;
use sealpost_topology::types::{Shard, TimeMs, Topic};

use crate::registry::ValueCodec;

/// A store as an operator sees it.
struct StoreTable<'a>(&'a mut Store);

impl Table for StoreTable<'_> {
    fn get(&self, key: &[u8]) -> Option<&[u8]> {
        self.0.get(key)
    }
    fn put(&mut self, key: &[u8], value: &[u8]) {
        self.0.put(key, value);
    }
    fn delete(&mut self, key: &[u8]) {
        self.0.delete(key);
    }
    fn for_each(&self, see: &mut dyn FnMut(&[u8], &[u8])) {
        self.0.for_each(see);
    }
}

fn process_error(error: OperatorError) -> ProcessError {
    match error {
        OperatorError::History(HistoryError(error)) => match error.downcast() {
            Ok(error) => ProcessError::Log(*error),
            Err(error) => ProcessError::Stop(error.to_string()),
        },
        OperatorError::Stop(reason) => ProcessError::Stop(reason),
    }
}

const fn timestamp(now: TimeMs) -> Timestamp {
    Timestamp::from_ms(now.0)
}

/// The key of records of a user's period.
#[must_use]
pub fn user_period_key(user: UserId, period: Period) -> String {
    format!("{user}/{period}")
}

/// The key of records of a user.
#[must_use]
pub fn user_key(user: UserId) -> String {
    user.to_string()
}

/// Writes what a stage refuses to `dead-letters`.
pub struct DeadLetterWriter {
    stage: &'static str,
    keys: Arc<KeyRing>,
    encoder: Encoder<DeadLetter>,
    scratch: Vec<u8>,
}

/// What is refused, and why.
pub struct RefusedRecord<'a> {
    /// Whose, 0 if unreadable.
    pub user_id: UserId,
    /// Where it stands.
    pub topic: &'a Topic,
    /// In which shard.
    pub shard: Shard,
    /// At which offset.
    pub offset: u64,
    /// Why.
    pub reason: Reason,
    /// Which rule, never a value.
    pub detail: &'a str,
    /// The record.
    pub raw: &'a [u8],
}

impl DeadLetterWriter {
    /// A writer for a stage. Without a key for dead letters the original stays where it is.
    #[must_use]
    pub fn new(stage: &'static str, keys: Arc<KeyRing>, values: &ValueCodec) -> Self {
        Self {
            stage,
            keys,
            encoder: values.dead_letter_encoder(),
            scratch: Vec::new(),
        }
    }

    /// Refuses one record.
    ///
    /// # Errors
    /// [`ProcessError::Stop`] if it cannot be sealed or encoded.
    pub fn write(
        &mut self,
        refused: &RefusedRecord<'_>,
        out: &mut Batch,
    ) -> Result<(), ProcessError> {
        let raw = if self.keys.has(KeyPurpose::DeadLetter) {
            let sealed = self
                .keys
                .seal(Purpose::DeadLetterRaw, refused.user_id, refused.raw);
            Some(sealed.map_err(|error| ProcessError::Stop(error.to_string()))?)
        } else {
            None
        };
        let letter = DeadLetter {
            user_id: refused.user_id,
            stage: self.stage.to_owned(),
            source: refused.topic.name().to_owned(),
            partition: refused.shard.0.cast_signed(),
            position: refused.offset.cast_signed(),
            reason: refused.reason,
            detail: refused.detail.to_owned(),
            raw,
            raw_form: refused.topic.name().to_owned(),
        };
        self.scratch.clear();
        self.encoder
            .encode(&letter, &mut self.scratch)
            .map_err(|error| ProcessError::Stop(error.to_string()))?;
        out.push(user_key(refused.user_id).as_bytes(), Some(&self.scratch));
        Ok(())
    }

    /// Refuses a record that cannot be read.
    fn malformed(
        &mut self,
        topic: &Topic,
        shard: Shard,
        record: &Record<'_>,
        why: &CodecError,
        out: &mut Batch,
    ) -> Result<(), ProcessError> {
        // the key is the user id if the producer kept to the contract
        let user = std::str::from_utf8(record.key)
            .ok()
            .and_then(|key| key.split('/').next())
            .and_then(|user| user.parse().ok())
            .unwrap_or(UserId::UNREADABLE);
        self.write(
            &RefusedRecord {
                user_id: user,
                topic,
                shard,
                offset: record.offset.0,
                reason: Reason::Malformed,
                detail: &why.to_string(),
                raw: record.value.unwrap_or_default(),
            },
            out,
        )
    }
}

/// Who writes a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Writer {
    /// Anybody.
    Outside,
    /// The stages and commands of this program.
    Pipeline,
}

/// Reads a record. The inner error is one that it is refused for; the outer one stops the stage,
/// and nothing of the step stays.
///
/// A registry that does not answer says nothing about a record. Nor does one that does not know
/// the schema of what this program itself has written, or a process that has none configured:
/// then the process is set up wrongly, and refusing would lose good records.
fn read<R: codec::Record>(
    decoder: &mut Decoder<R>,
    value: &[u8],
    writer: Writer,
) -> Result<Result<R, CodecError>, ProcessError> {
    let read = decoder.decode(value);
    let is_set_up_wrongly = |error: &CodecError| {
        writer == Writer::Pipeline
            && matches!(
                error,
                CodecError::NoRegistry { .. }
                    | CodecError::UnknownId { .. }
                    | CodecError::WriterSchema { .. }
            )
            && decoder.is_surely_a_record(value)
    };
    match read {
        Err(error) if error.is_retryable() || is_set_up_wrongly(&error) => {
            Err(ProcessError::Stop(error.to_string()))
        }
        read => Ok(read),
    }
}

/// Encodes a record onto a topic.
fn emit<R: codec::Record>(
    encoder: &mut Encoder<R>,
    record: &R,
    key: &str,
    scratch: &mut Vec<u8>,
    out: &mut Batch,
) -> Result<(), ProcessError> {
    scratch.clear();
    encoder
        .encode(record, scratch)
        .map_err(|error| ProcessError::Stop(error.to_string()))?;
    out.push(key.as_bytes(), Some(scratch));
    Ok(())
}
