//! Bytes to records, in whichever framing they come.
//!
//! Invariants:
//! - Single-object encoding and a registry's framing are both read, whatever this process writes:
//!   a deployment can be moved from one to the other with records of both on its topics.
//! - A schema is asked for once; afterwards decoding takes no lock and allocates only what the
//!   record owns.
//! - A record is refused only for what will not change: an error for which
//!   [`CodecError::is_retryable`] holds says nothing about the record.

use std::marker::PhantomData;
use std::sync::Arc;

use super::framing::split_registered;
use super::registered::parsed;
use super::{CodecError, Record, RecordType, SchemaId, WriterSchema, decode, decode_datum, is};

/// Most schemas that one decoder keeps; a topic has a handful.
const KNOWN_MAX: usize = 64;

/// Where schemas that records were written with are had from: a registry.
pub trait WriterSchemas: Send + Sync {
    /// The text of the schema with this id. May wait; what it waits for is bounded.
    ///
    /// # Errors
    /// [`NoSchema`].
    fn writer_schema(&self, id: SchemaId) -> Result<Arc<str>, NoSchema>;
}

/// Why there is no schema, by consequence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoSchema {
    /// There is none with this id.
    Unknown,
    /// There is one, and it is of another kind than Avro.
    NotAvro,
    /// Nobody can tell now: what is wrong, in one line, without any credentials.
    Silent(String),
}

/// Decodes records of one type, one after the other.
pub struct Decoder<R> {
    source: Option<Arc<dyn WriterSchemas>>,
    /// What is known of ids already asked for, the one seen last first.
    known: Vec<(SchemaId, Result<WriterSchema, CodecError>)>,
    record: PhantomData<fn() -> R>,
}

impl<R: Record> Decoder<R> {
    /// A decoder that asks no registry.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            source: None,
            known: Vec::new(),
            record: PhantomData,
        }
    }

    /// A decoder that asks for schemas it does not know.
    #[must_use]
    pub const fn asking(source: Arc<dyn WriterSchemas>) -> Self {
        Self {
            source: Some(source),
            known: Vec::new(),
            record: PhantomData,
        }
    }

    /// Reads a record by the schema that it was written with.
    ///
    /// # Errors
    /// [`CodecError`] when the bytes are of another framing, record or schema, are damaged, or go
    /// on after the record; or, with [`CodecError::is_retryable`], when its schema cannot be had.
    pub fn decode(&mut self, bytes: &[u8]) -> Result<R, CodecError> {
        match split_registered(bytes) {
            Some((id, datum)) => match self.schema(id) {
                Ok(schema) => decode_datum(schema, datum),
                Err(CodecError::NoRegistry { .. }) if !fits::<R>(datum) => {
                    // zeroes and other noise: that a registry is missing would only mislead
                    Err(CodecError::NotSingleObject {
                        record: R::TYPE,
                        length_bytes: bytes.len(),
                    })
                }
                Err(error) => Err(error),
            },
            None => decode(bytes),
        }
    }

    /// Whether bytes are a record of this type, by what stands before the datum: for topics with
    /// more than one. Also false when that cannot be told now; decoding then says why.
    pub fn reads(&mut self, bytes: &[u8]) -> bool {
        match split_registered(bytes) {
            Some((id, datum)) => self.schema(id).is_ok_and(|schema| schema.begins(datum)),
            None => is::<R>(bytes),
        }
    }

    /// Whether bytes with a schema id read to their end as a record of the current schema. Then
    /// they are a record, whatever is known of the id: who reads them with the wrong registry, or
    /// with none, should stop rather than refuse them.
    #[must_use]
    pub fn is_surely_a_record(&self, bytes: &[u8]) -> bool {
        split_registered(bytes).is_some_and(|(_, datum)| fits::<R>(datum))
    }

    /// The schema of an id, as it is read by this record's type.
    fn schema(&mut self, id: SchemaId) -> Result<&WriterSchema, CodecError> {
        match self.known.iter().position(|(known, _)| *known == id) {
            Some(0) => {}
            Some(place) => self.known.swap(0, place),
            None => self.ask(id)?,
        }
        match self.known.first() {
            Some((_, Ok(schema))) => Ok(schema),
            Some((_, Err(error))) => Err(error.clone()),
            None => Err(CodecError::UnknownId {
                record: R::TYPE,
                id,
            }),
        }
    }

    /// Puts what can be had of an id first among what is known.
    #[cold]
    fn ask(&mut self, id: SchemaId) -> Result<(), CodecError> {
        let record = R::TYPE;
        let source = self
            .source
            .as_ref()
            .ok_or(CodecError::NoRegistry { record, id })?;
        let schema = match source.writer_schema(id) {
            Ok(json) => WriterSchema::parse::<R>(&json),
            Err(NoSchema::NotAvro) => Err(CodecError::WriterSchema {
                record,
                problem: super::WriterSchemaProblem::Unreadable,
            }),
            // whoever is asked remembers this, and for how long
            Err(NoSchema::Unknown) => return Err(CodecError::UnknownId { record, id }),
            Err(NoSchema::Silent(problem)) => {
                return Err(CodecError::RegistrySilent {
                    record,
                    id,
                    problem,
                });
            }
        };
        self.known.truncate(KNOWN_MAX - 1);
        self.known.insert(0, (id, schema));
        Ok(())
    }
}

impl<R: Record> Default for Decoder<R> {
    fn default() -> Self {
        Self::new()
    }
}

/// Whether a datum reads as the current schema, as it is or behind its place in a union.
#[cold]
fn fits<R: Record>(datum: &[u8]) -> bool {
    parsed(R::TYPE).is_some_and(|schemas| {
        let reads = |datum| super::read::<R>(&schemas.current.schema, datum).is_ok();
        reads(datum) || datum.split_first().is_some_and(|(_, datum)| reads(datum))
    })
}

/// The text of a topic's schema: that of its records' type, or the union of several.
#[must_use]
pub fn schema_json_of(records: &[RecordType]) -> String {
    match records {
        [record] => record.schema_json().to_owned(),
        _ => {
            let all: Vec<_> = records.iter().map(|record| record.schema_json()).collect();
            format!("[{}]", all.join(","))
        }
    }
}
