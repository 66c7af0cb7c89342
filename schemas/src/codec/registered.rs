//! The schemas that this version knows, parsed once.

use std::fmt;
use std::sync::LazyLock;

use serde_avro_fast::Schema;

use super::{HEADER_BYTES, MARKER, Record};
use crate::record;

/// Each record that has a schema in `avro/`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RecordType {
    /// [`record::Usage`]
    Usage,
    /// [`record::Subscriber`]
    Subscriber,
    /// [`record::Statement`]
    Statement,
    /// [`record::Dispatch`]
    Dispatch,
    /// [`record::RouteNotice`]
    RouteNotice,
    /// [`record::Delivery`]
    Delivery,
    /// [`record::Returned`]
    Returned,
    /// [`record::SendState`]
    SendState,
    /// [`record::Command`]
    Command,
    /// [`record::DeadLetter`]
    DeadLetter,
    /// [`record::Requeued`]
    Requeued,
}

/// The text of a schema file.
macro_rules! avsc {
    ($path:literal) => {
        include_str!(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/avro/",
            $path,
            ".avsc"
        ))
    };
}

impl RecordType {
    /// All of them, in the order of their ordinals.
    pub const ALL: [Self; 11] = [
        Self::Usage,
        Self::Subscriber,
        Self::Statement,
        Self::Dispatch,
        Self::RouteNotice,
        Self::Delivery,
        Self::Returned,
        Self::SendState,
        Self::Command,
        Self::DeadLetter,
        Self::Requeued,
    ];

    /// The name of its schema file, without `.avsc`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Usage => "usage",
            Self::Subscriber => "subscriber",
            Self::Statement => "statement",
            Self::Dispatch => "dispatch",
            Self::RouteNotice => "route_notice",
            Self::Delivery => "delivery",
            Self::Returned => "returned",
            Self::SendState => "send_state",
            Self::Command => "command",
            Self::DeadLetter => "dead_letter",
            Self::Requeued => "requeued",
        }
    }

    /// The record's name in Avro.
    #[must_use]
    pub const fn full_name(self) -> &'static str {
        match self {
            Self::Usage => "sealpost.v1.Usage",
            Self::Subscriber => "sealpost.v1.Subscriber",
            Self::Statement => "sealpost.v1.Statement",
            Self::Dispatch => "sealpost.v1.Dispatch",
            Self::RouteNotice => "sealpost.v1.RouteNotice",
            Self::Delivery => "sealpost.v1.Delivery",
            Self::Returned => "sealpost.v1.Returned",
            Self::SendState => "sealpost.v1.SendState",
            Self::Command => "sealpost.v1.Command",
            Self::DeadLetter => "sealpost.v1.DeadLetter",
            Self::Requeued => "sealpost.v1.Requeued",
        }
    }

    /// The current schema: the text of its file.
    #[must_use]
    pub const fn schema_json(self) -> &'static str {
        match self {
            Self::Usage => avsc!("usage"),
            Self::Subscriber => avsc!("subscriber"),
            Self::Statement => avsc!("statement"),
            Self::Dispatch => avsc!("dispatch"),
            Self::RouteNotice => avsc!("route_notice"),
            Self::Delivery => avsc!("delivery"),
            Self::Returned => avsc!("returned"),
            Self::SendState => avsc!("send_state"),
            Self::Command => avsc!("command"),
            Self::DeadLetter => avsc!("dead_letter"),
            Self::Requeued => avsc!("requeued"),
        }
    }

    /// Schemas that were current once and are still read, oldest first.
    #[must_use]
    pub const fn older_schemas(self) -> &'static [&'static str] {
        match self {
            Self::Subscriber => &[avsc!("older/subscriber-1")],
            Self::Command => &[
                avsc!("older/command-1"),
                avsc!("older/command-2"),
                avsc!("older/command-3"),
            ],
            Self::SendState => &[avsc!("older/send_state-1")],
            _ => &[],
        }
    }

    /// Which record bytes in single-object encoding are, by their fingerprint, current or older;
    /// `None` if they are of no known schema.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Option<Self> {
        let header = bytes.first_chunk::<HEADER_BYTES>()?;
        Self::ALL.into_iter().find(|record| {
            parsed(*record).is_some_and(|schemas| schemas.written_with(header).is_some())
        })
    }
}

impl fmt::Display for RecordType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Every record with its current schema as JSON: what a registry or a page of documentation wants.
pub fn all_schemas() -> impl Iterator<Item = (RecordType, &'static str)> {
    RecordType::ALL
        .into_iter()
        .map(|record| (record, record.schema_json()))
}

macro_rules! records {
    ($($record:ident),*) => {
        $(impl Record for record::$record {
            const TYPE: RecordType = RecordType::$record;
        })*
    };
}
records!(
    Usage,
    Subscriber,
    Statement,
    Dispatch,
    RouteNotice,
    Delivery,
    Returned,
    SendState,
    Command,
    DeadLetter,
    Requeued
);

impl Record for record::SendStanding {
    const TYPE: RecordType = RecordType::SendState;
}

/// A schema, ready for use.
pub(super) struct Parsed {
    pub(super) schema: Schema,
    /// Marker and fingerprint, as single-object encoding begins.
    pub(super) header: [u8; HEADER_BYTES],
}

/// The schemas of one record.
pub(super) struct ParsedSchemas {
    pub(super) current: Parsed,
    older: Vec<Parsed>,
}

impl ParsedSchemas {
    /// The schema that bytes with this header were written with, if it is one of these.
    pub(super) fn written_with(&self, header: &[u8; HEADER_BYTES]) -> Option<&Schema> {
        let mut schemas = std::iter::once(&self.current).chain(&self.older);
        schemas
            .find(|parsed| parsed.header == *header)
            .map(|parsed| &parsed.schema)
    }
}

static PARSED: LazyLock<[Option<ParsedSchemas>; RecordType::ALL.len()]> = LazyLock::new(|| {
    RecordType::ALL.map(|record| {
        Some(ParsedSchemas {
            current: parse(record.schema_json())?,
            older: record
                .older_schemas()
                .iter()
                .map(|json| parse(json))
                .collect::<Option<_>>()?,
        })
    })
});

/// The schemas of a record; `None` if one of its files is broken, which a test rules out.
pub(super) fn parsed(record: RecordType) -> Option<&'static ParsedSchemas> {
    PARSED.get(record as usize)?.as_ref()
}

fn parse(json: &str) -> Option<Parsed> {
    let schema: Schema = json.parse().ok()?;
    let mut header = [0; HEADER_BYTES];
    let bytes = MARKER.iter().chain(schema.rabin_fingerprint());
    header
        .iter_mut()
        .zip(bytes)
        .for_each(|(to, from)| *to = *from);
    Some(Parsed { schema, header })
}
