//! What stands before a datum.
//!
//! # Format
//! Without a registry, Avro's single-object encoding: `C3 01`, the CRC-64-AVRO fingerprint of the
//! writer's schema as 8 bytes little-endian. With one, the framing of Confluent's clients: `00`,
//! the schema's id as 4 bytes big-endian. Where a topic has records of several types, its
//! registered schema is a union of them, and the datum begins with the place of the record's type
//! in that union, as one byte: Avro writes it as a zigzag varint, and places are below 64.

use std::fmt;

/// How the framing of a registry begins.
pub(super) const REGISTERED_MARKER: u8 = 0x00;
/// `00` and the schema's id.
pub(super) const REGISTERED_HEADER_BYTES: usize = 5;
/// Most types of records on one topic: their places fit a byte.
const PLACES_MAX: u8 = 64;

/// What a registry calls a schema: 0 to 2^31 − 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SchemaId(u32);

impl SchemaId {
    /// An id; `None` above 2^31 − 1, which no registry gives.
    #[must_use]
    pub const fn new(id: u32) -> Option<Self> {
        if id <= i32::MAX.cast_unsigned() {
            Some(Self(id))
        } else {
            None
        }
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl fmt::Display for SchemaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Where a record's type stands in the union of a topic's types: 0 to 63.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place(u8);

impl Place {
    /// A place; `None` beyond 63.
    #[must_use]
    pub fn new(place: usize) -> Option<Self> {
        u8::try_from(place)
            .ok()
            .filter(|place| *place < PLACES_MAX)
            .map(Self)
    }

    /// As the datum of a union begins.
    pub(super) const fn discriminant(self) -> u8 {
        self.0 << 1
    }
}

/// What an encoder writes before each datum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Framing {
    /// Avro's single-object encoding.
    #[default]
    SingleObject,
    /// The id of a registered schema.
    Registered {
        /// The registry's id of the topic's schema.
        id: SchemaId,
        /// Where the record's type stands in it, if it is a union.
        place: Option<Place>,
    },
}

/// What stands before each datum of an encoder, ready to be copied.
#[derive(Debug, Clone, Copy)]
pub(super) struct Header {
    bytes: [u8; super::HEADER_BYTES],
    length_bytes: u8,
}

impl Header {
    pub(super) const fn single_object(bytes: [u8; super::HEADER_BYTES]) -> Self {
        Self {
            bytes,
            length_bytes: bytes.len() as u8,
        }
    }

    pub(super) fn registered(id: SchemaId, place: Option<Place>) -> Self {
        let parts = std::iter::once(REGISTERED_MARKER)
            .chain(id.get().to_be_bytes())
            .chain(place.map(Place::discriminant));
        let mut header = Self {
            bytes: [0; super::HEADER_BYTES],
            length_bytes: 0,
        };
        for (to, from) in header.bytes.iter_mut().zip(parts) {
            *to = from;
            header.length_bytes += 1;
        }
        header
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        self.bytes
            .get(..usize::from(self.length_bytes))
            .unwrap_or_default()
    }
}

/// The id and the datum of bytes in the framing of a registry; `None` if they begin otherwise.
pub(super) fn split_registered(bytes: &[u8]) -> Option<(SchemaId, &[u8])> {
    let (header, datum) = bytes.split_first_chunk::<REGISTERED_HEADER_BYTES>()?;
    let [REGISTERED_MARKER, id @ ..] = header else {
        return None;
    };
    Some((SchemaId::new(u32::from_be_bytes(*id))?, datum))
}
