//! Records to bytes and back: Avro, by the schemas in `avro/*.avsc`.
//!
//! Two framings share one datum encoding ([`Framing`]). [`encode`] and [`decode`] use Avro's
//! single-object encoding: private state, and topics without a schema registry. An [`Encoder`]
//! writes the framing that it was made with; a [`Decoder`] reads both.
//!
//! Invariants:
//! - Equal records give equal bytes.
//! - What was written with any schema that was ever released is read: a released schema that
//!   changes moves to `avro/older` and stays listed in [`RecordType::older_schemas`]; a field
//!   that is added has a default in the schema and in the type.
//! - Decoding checks the encoding, to the last byte, and nothing else: whether a quantity makes
//!   sense is the reader's matter.
//! - No error carries content. The reader's own messages are left out: they may quote it.
//! - Schemas are parsed once in a process. Encoding allocates nothing but the room in the output
//!   that it appends to; decoding only what the record owns.

mod decoder;
mod error;
mod framing;
mod registered;
mod writer_schema;

use std::io::Read as _;
use std::marker::PhantomData;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_avro_fast::Schema;
use serde_avro_fast::de::read::SliceRead;
use serde_avro_fast::de::{DeserializerConfig, DeserializerState};
use serde_avro_fast::ser::{SerializerConfig, SerializerState};

pub use decoder::{Decoder, NoSchema, WriterSchemas, schema_json_of};
pub use error::{CodecError, WriterSchemaProblem};
use framing::Header;
pub use framing::{Framing, Place, SchemaId};
use registered::{Parsed, parsed};
pub use registered::{RecordType, all_schemas};
pub use writer_schema::WriterSchema;

/// `C3 01` and the fingerprint.
pub(crate) const HEADER_BYTES: usize = 10;
/// How single-object encoding begins.
pub(crate) const MARKER: [u8; 2] = [0xC3, 0x01];

/// A type that has a schema in `avro/`.
pub trait Record: Serialize + DeserializeOwned + 'static {
    /// Which one it is.
    const TYPE: RecordType;
    /// Its name: that of the schema's file.
    const NAME: &'static str = Self::TYPE.name();
}

/// Encodes records of one type, one after the other.
pub struct Encoder<R> {
    /// `None` if the schema cannot be read.
    current: Option<(Header, SerializerConfig<'static>)>,
    record: PhantomData<fn(&R)>,
}

impl<R: Record> Encoder<R> {
    /// An encoder by the current schema, in single-object encoding.
    #[must_use]
    pub fn new() -> Self {
        Self::framed(Framing::SingleObject)
    }

    /// An encoder by the current schema, in a framing.
    #[must_use]
    pub fn framed(framing: Framing) -> Self {
        let current = parsed(R::TYPE).map(|schemas| {
            let Parsed { schema, header } = &schemas.current;
            let header = match framing {
                Framing::SingleObject => Header::single_object(*header),
                Framing::Registered { id, place } => Header::registered(id, place),
            };
            (header, SerializerConfig::new(schema))
        });
        Self {
            current,
            record: PhantomData,
        }
    }

    /// Appends a record in this encoder's framing.
    ///
    /// # Errors
    /// [`CodecError::Unencodable`], and then `out` is as it was.
    pub fn encode(&mut self, record: &R, out: &mut Vec<u8>) -> Result<(), CodecError> {
        let length_before = out.len();
        if let Some((header, _)) = &self.current {
            out.extend_from_slice(header.as_bytes());
        }
        self.encode_datum(record, out)
            .inspect_err(|_| out.truncate(length_before))
    }

    /// Appends a record without any header.
    ///
    /// # Errors
    /// [`CodecError::Unencodable`], and then `out` is as it was.
    pub fn encode_datum(&mut self, record: &R, out: &mut Vec<u8>) -> Result<(), CodecError> {
        let (_, config) = self
            .current
            .as_mut()
            .ok_or(CodecError::BrokenSchema { record: R::TYPE })?;
        let length_before = out.len();
        let mut state = SerializerState::from_writer(&mut *out, config);
        record.serialize(state.serializer()).map_err(|_| {
            out.truncate(length_before);
            CodecError::Unencodable { record: R::TYPE }
        })
    }
}

impl<R: Record> Default for Encoder<R> {
    fn default() -> Self {
        Self::new()
    }
}

/// A record in single-object encoding. For many, an [`Encoder`] spares the allocations.
///
/// # Errors
/// [`CodecError::Unencodable`].
pub fn encode<R: Record>(record: &R) -> Result<Vec<u8>, CodecError> {
    let mut out = Vec::new();
    Encoder::new().encode(record, &mut out)?;
    Ok(out)
}

/// Reads a record in single-object encoding, by the schema that it was written with: the current
/// one or a listed older one.
///
/// # Errors
/// [`CodecError`] when the bytes are of another encoding, record or schema, are damaged, or go on
/// after the record.
pub fn decode<R: Record>(bytes: &[u8]) -> Result<R, CodecError> {
    let schemas = parsed(R::TYPE).ok_or(CodecError::BrokenSchema { record: R::TYPE })?;
    bytes
        .split_first_chunk::<HEADER_BYTES>()
        .and_then(|(header, datum)| Some((schemas.written_with(header)?, datum)))
        .ok_or_else(|| unknown(R::TYPE, bytes))
        .and_then(|(schema, datum)| read(schema, datum))
}

/// Reads a record without any header, written with a schema from outside.
///
/// # Errors
/// [`CodecError`] when the schema is of another record, or the bytes are damaged or go on after
/// the record.
pub fn decode_datum<R: Record>(writer: &WriterSchema, datum: &[u8]) -> Result<R, CodecError> {
    if writer.record_type() != R::TYPE {
        let problem = WriterSchemaProblem::OtherName;
        return Err(CodecError::WriterSchema {
            record: R::TYPE,
            problem,
        });
    }
    if !writer.begins(datum) {
        return Err(CodecError::OtherBranch { record: R::TYPE });
    }
    read(writer.schema(), datum)
}

/// Whether bytes in single-object encoding are a record of this type, by their fingerprint: for
/// topics with more than one.
#[must_use]
pub fn is<R: Record>(bytes: &[u8]) -> bool {
    bytes.first_chunk::<HEADER_BYTES>().is_some_and(|header| {
        parsed(R::TYPE).is_some_and(|schemas| schemas.written_with(header).is_some())
    })
}

/// The current schema, as JSON: the text of its `.avsc` file.
#[must_use]
pub const fn schema_json<R: Record>() -> &'static str {
    R::TYPE.schema_json()
}

fn read<R: Record>(schema: &Schema, datum: &[u8]) -> Result<R, CodecError> {
    let mut config = DeserializerConfig::new(schema);
    // no element of ours is empty, so a longer sequence is a lie: do not begin to count it out
    config.max_seq_size = datum.len();
    let mut state = DeserializerState::with_config(SliceRead::new(datum), config);
    let record = R::deserialize(state.deserializer());
    let mut rest = state.into_reader();
    match record {
        Ok(record) => match rest.read(&mut [0]) {
            Ok(0) => Ok(record),
            _ => Err(CodecError::Trailing {
                record: R::TYPE,
                excess_bytes: left(rest) + 1,
            }),
        },
        Err(_) => Err(CodecError::Malformed {
            record: R::TYPE,
            position_bytes: datum.len().saturating_sub(left(rest)),
            length_bytes: datum.len(),
        }),
    }
}

/// How much a reader has not read.
fn left(rest: SliceRead<'_>) -> usize {
    rest.bytes().count()
}

/// Why a header is not one of the record's; off the hot path.
#[cold]
fn unknown(record: RecordType, bytes: &[u8]) -> CodecError {
    let fingerprint = bytes
        .strip_prefix(&MARKER)
        .and_then(<[u8]>::first_chunk::<8>);
    match (fingerprint, RecordType::of(bytes)) {
        (None, _) => CodecError::NotSingleObject {
            record,
            length_bytes: bytes.len(),
        },
        (Some(_), Some(found)) => CodecError::OtherRecord { record, found },
        (Some(fingerprint), None) => CodecError::UnknownSchema {
            record,
            fingerprint: u64::from_le_bytes(*fingerprint),
        },
    }
}
