//! Why records are not encoded or decoded.

use super::{RecordType, SchemaId};

/// Why a record was not encoded or decoded. Says which record, never what is in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// In neither framing: shorter than a header, or begins otherwise.
    #[error(
        "{record}: neither in Avro single-object encoding nor framed with a schema id ({length_bytes} bytes); was it written by another program?"
    )]
    NotSingleObject {
        /// What it was to be.
        record: RecordType,
        /// How long it is.
        length_bytes: usize,
    },
    /// Another record of this crate.
    #[error("{record}: the bytes are a {found}; was it read from the wrong topic?")]
    OtherRecord {
        /// What it was to be.
        record: RecordType,
        /// What it is.
        found: RecordType,
    },
    /// Written with a schema that is not listed here.
    #[error(
        "{record}: written with the schema {fingerprint:016x}, which this version does not know; was it written by a newer one?"
    )]
    UnknownSchema {
        /// What it was to be.
        record: RecordType,
        /// CRC-64-AVRO of the writer's schema.
        fingerprint: u64,
    },
    /// The datum does not follow its schema, or a value does not fit its type.
    #[error(
        "{record}: cannot be decoded, at byte {position_bytes} of {length_bytes}; it is damaged, or a value is out of its type's range"
    )]
    Malformed {
        /// What it was to be.
        record: RecordType,
        /// How far into the datum reading came.
        position_bytes: usize,
        /// How long the datum is.
        length_bytes: usize,
    },
    /// The datum is followed by something.
    #[error("{record}: {excess_bytes} bytes too many after the record; it is damaged")]
    Trailing {
        /// What it is.
        record: RecordType,
        /// How many.
        excess_bytes: usize,
    },
    /// The record does not fit its schema.
    #[error("{record}: cannot be encoded with its schema; this is a defect, please report it")]
    Unencodable {
        /// What it is.
        record: RecordType,
    },
    /// A schema of this crate cannot be read.
    #[error("{record}: its own schema cannot be read; this is a defect, please report it")]
    BrokenSchema {
        /// Whose.
        record: RecordType,
    },
    /// A schema from outside cannot be used to read this record.
    #[error("{record}: the writer's schema cannot be used: {problem}")]
    WriterSchema {
        /// What was to be read with it.
        record: RecordType,
        /// What is wrong with it.
        problem: WriterSchemaProblem,
    },
    /// Written with a union of types, and it is not of this one.
    #[error(
        "{record}: the bytes are of another type of their schema's union; was it read from the wrong topic?"
    )]
    OtherBranch {
        /// What it was to be.
        record: RecordType,
    },
    /// Framed with a schema id, but this process asks no registry.
    #[error(
        "{record}: framed with the schema id {id}, but no schema registry is configured; set schema_registry.url"
    )]
    NoRegistry {
        /// What it was to be.
        record: RecordType,
        /// The id that it gives.
        id: SchemaId,
    },
    /// Framed with a schema id that the registry does not know.
    #[error(
        "{record}: framed with the schema id {id}, which the schema registry does not know; was it written with another registry?"
    )]
    UnknownId {
        /// What it was to be.
        record: RecordType,
        /// The id that it gives.
        id: SchemaId,
    },
    /// The schema could not be had: the record may be as good as any other.
    #[error("{record}: the schema with the id {id} could not be had: {problem}")]
    RegistrySilent {
        /// What it was to be.
        record: RecordType,
        /// The id that it gives.
        id: SchemaId,
        /// What the registry said, or why it said nothing; one line.
        problem: String,
    },
}

impl CodecError {
    /// Whether the same bytes may be readable later: then they must not be refused.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        matches!(self, Self::RegistrySilent { .. })
    }
}

/// What is wrong with a schema from outside.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WriterSchemaProblem {
    /// Not an Avro schema.
    #[error("it is not an Avro schema, or refers to others")]
    Unreadable,
    /// It is not a record of this name.
    #[error("it does not describe a record of that name")]
    OtherName,
    /// A field means something else: milliseconds for microseconds would be off a thousandfold.
    #[error("its field `{field}` has another logical type; use the published schema")]
    OtherMeaning {
        /// The field of the published schema, with a dot for each level that it lies deeper.
        field: String,
    },
}
