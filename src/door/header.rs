//! Which columns a file has, and so what kind of rows: settled before the first row is read.

use super::column::{COLUMNS, Column};

/// What the rows of an input are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InputKind {
    /// Subscribers.
    Subscribers,
    /// Usage events.
    Usage,
    /// Addresses that are to be used no more, or again.
    Suppressions,
}

impl InputKind {
    /// The word for it; of what is ingested, it is also the name of the topic.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Subscribers => "subscribers",
            Self::Usage => "usage",
            Self::Suppressions => "addresses to suppress",
        }
    }
}

impl std::fmt::Display for InputKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// Why a header is not one. Shows no name out of the file: a file without a header has a person
/// in its first line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum HeaderError {
    /// The columns are those of neither kind.
    Neither,
    /// Required columns are missing: of which kind, and which.
    Missing(InputKind, Vec<&'static str>),
    /// A column is there twice.
    Twice(&'static str),
}

/// The columns of a file that are read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Header {
    kind: InputKind,
    read: [bool; COLUMNS],
}

/// What is required in the place of one plaintext column.
struct Instead {
    plain: Column,
    sealed: &'static [Column],
    missing: &'static str,
}

const INSTEAD: [Instead; 3] = [
    Instead {
        plain: Column::Name,
        sealed: &[Column::NameSealed],
        missing: "name (or name_sealed)",
    },
    Instead {
        plain: Column::Email,
        sealed: &[
            Column::EmailSealed,
            Column::MaskedEmailSealed,
            Column::EmailDigest,
        ],
        missing: "email (or email_sealed, email_masked_sealed and email_token)",
    },
    Instead {
        plain: Column::Phone,
        sealed: &[
            Column::SmsSealed,
            Column::KakaoSealed,
            Column::MaskedPhoneSealed,
            Column::SmsDigest,
            Column::KakaoDigest,
        ],
        missing: "phone (or sms_sealed, kakao_sealed, phone_masked_sealed, sms_token and kakao_token)",
    },
];

const SUBSCRIBER_OPTIONAL: [Column; 11] = [
    Column::Options,
    Column::ContractStart,
    Column::ContractEnd,
    Column::Welfare,
    Column::SoldierStart,
    Column::SoldierEnd,
    Column::QuietFrom,
    Column::QuietTo,
    Column::SendDay,
    Column::Status,
    Column::Locale,
];

const USAGE: [Column; 5] = [
    Column::UserId,
    Column::EventId,
    Column::OccurredAt,
    Column::Kind,
    Column::Quantity,
];

impl Header {
    /// Reads the names of a file's columns. A plaintext column goes before its sealed ones; those
    /// are then ignored like unknown columns.
    pub(super) fn new(names: &[&str]) -> Result<Self, HeaderError> {
        let has = |column: Column| names.contains(&column.name());
        let count = |columns: &[Column]| columns.iter().filter(|column| has(**column)).count();
        let usage = count(&[Column::EventId, Column::OccurredAt, Column::Quantity]);
        let subscribers = count(&[
            Column::Name,
            Column::Email,
            Column::Phone,
            Column::Plan,
            Column::NameSealed,
            Column::EmailSealed,
            Column::SmsSealed,
        ]);
        let suppressions = count(&[Column::Channel, Column::Address, Column::Digest]);
        let kind = match usage.cmp(&subscribers) {
            _ if usage + subscribers == 0 && suppressions > 0 => InputKind::Suppressions,
            std::cmp::Ordering::Greater => InputKind::Usage,
            std::cmp::Ordering::Less => InputKind::Subscribers,
            std::cmp::Ordering::Equal => return Err(HeaderError::Neither),
        };
        let mut header = Self {
            kind,
            read: [false; COLUMNS],
        };
        let mut missing = Vec::new();
        match kind {
            InputKind::Usage => {
                for column in USAGE {
                    header.require(column, &has, &mut missing);
                }
            }
            InputKind::Subscribers => {
                header.require(Column::UserId, &has, &mut missing);
                header.require(Column::Plan, &has, &mut missing);
                for Instead {
                    plain,
                    sealed,
                    missing: what,
                } in &INSTEAD
                {
                    if has(*plain) {
                        header.set(*plain);
                    } else if sealed.iter().all(|column| has(*column)) {
                        sealed.iter().for_each(|column| header.set(*column));
                    } else {
                        missing.push(*what);
                    }
                }
                header.push(&has, &mut missing);
                for column in SUBSCRIBER_OPTIONAL
                    .into_iter()
                    .filter(|column| has(*column))
                {
                    header.set(column);
                }
            }
            InputKind::Suppressions => header.address(&has, &mut missing),
        }
        if !missing.is_empty() {
            return Err(HeaderError::Missing(kind, missing));
        }
        let twice = Column::ALL.into_iter().find(|column| {
            header.reads(*column) && names.iter().filter(|name| **name == column.name()).count() > 1
        });
        match twice {
            Some(column) => Err(HeaderError::Twice(column.name())),
            None => Ok(header),
        }
    }

    /// `push_token` is the token by which a sealed push address is matched if that is there, and
    /// the push address itself if not: both names are taken.
    fn push(&mut self, has: &dyn Fn(Column) -> bool, missing: &mut Vec<&'static str>) {
        if has(Column::PushSealed) {
            self.set(Column::PushSealed);
            self.require(Column::PushDigest, has, missing);
        } else if has(Column::PushToken) {
            self.set(Column::PushToken);
        }
    }

    /// An address in the clear goes before its token.
    fn address(&mut self, has: &dyn Fn(Column) -> bool, missing: &mut Vec<&'static str>) {
        self.require(Column::Channel, has, missing);
        if has(Column::Address) {
            self.set(Column::Address);
        } else if has(Column::Digest) {
            self.set(Column::Digest);
        } else {
            missing.push("address (or token)");
        }
    }

    fn require(
        &mut self,
        column: Column,
        has: &dyn Fn(Column) -> bool,
        missing: &mut Vec<&'static str>,
    ) {
        if has(column) {
            self.set(column);
        } else {
            missing.push(column.name());
        }
    }

    fn set(&mut self, column: Column) {
        if let Some(read) = self.read.get_mut(column as usize) {
            *read = true;
        }
    }

    /// What the rows are.
    pub(super) const fn kind(&self) -> InputKind {
        self.kind
    }

    /// Whether a column is read.
    pub(super) fn reads(&self, column: Column) -> bool {
        self.read.get(column as usize).copied().unwrap_or(false)
    }

    /// The column that a name stands for; `None` if it is ignored.
    pub(super) fn column(&self, name: &str) -> Option<Column> {
        Column::ALL
            .into_iter()
            .find(|column| column.name() == name && self.reads(*column))
    }

    /// Whether there are personal values in the clear, so that reading needs keys.
    pub(super) fn has_plaintext(&self) -> bool {
        [
            Column::Name,
            Column::Email,
            Column::Phone,
            Column::PushToken,
            Column::Address,
        ]
        .into_iter()
        .any(|column| self.reads(column))
    }
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::indexing_slicing,
        clippy::panic,
        reason = "tests"
    )]
    use super::*;

    #[test]
    fn the_columns_tell_the_kind() {
        let usage = Header::new(&["kind", "event_id", "user_id", "occurred_at", "quantity"]);
        assert_eq!(usage.unwrap().kind(), InputKind::Usage);
        let subscribers = Header::new(&["user_id", "name", "email", "phone", "plan", "kind"]);
        assert_eq!(subscribers.unwrap().kind(), InputKind::Subscribers);
        assert_eq!(
            Header::new(&["user_id", "colour"]),
            Err(HeaderError::Neither)
        );
    }

    #[test]
    fn addresses_to_suppress_have_a_channel_and_an_address_or_a_token() {
        let header = Header::new(&["address", "channel", "token", "why"]).unwrap();
        assert_eq!(header.kind(), InputKind::Suppressions);
        assert_eq!(header.column("address"), Some(Column::Address));
        assert_eq!(header.column("token"), None);
        let header = Header::new(&["channel", "token"]).unwrap();
        assert!(header.reads(Column::Digest) && !header.has_plaintext());
        let missing = |names: &[&str]| match Header::new(names) {
            Err(HeaderError::Missing(InputKind::Suppressions, columns)) => columns,
            other => panic!("{other:?}"),
        };
        assert_eq!(missing(&["address"]), ["channel"]);
        assert_eq!(missing(&["channel"]), ["address (or token)"]);
        // a column of that name more does not make it something else
        let usage = [
            "kind",
            "event_id",
            "user_id",
            "occurred_at",
            "quantity",
            "channel",
        ];
        assert_eq!(Header::new(&usage).unwrap().kind(), InputKind::Usage);
    }

    #[test]
    fn every_missing_required_column_is_named() {
        let missing = Header::new(&["event_id", "occurred_at", "kind"]);
        let expected = HeaderError::Missing(InputKind::Usage, vec!["user_id", "quantity"]);
        assert_eq!(missing, Err(expected));
        let missing = Header::new(&["name", "phone", "email_sealed", "user_id"]);
        let Err(HeaderError::Missing(InputKind::Subscribers, columns)) = missing else {
            panic!("not refused");
        };
        assert_eq!(columns[0], "plan");
        assert!(columns[1].starts_with("email (or"), "{columns:?}");
        assert_eq!(columns.len(), 2);
    }

    #[test]
    fn a_plaintext_column_goes_before_its_sealed_ones() {
        let header =
            Header::new(&["user_id", "plan", "name", "name_sealed", "email", "phone"]).unwrap();
        assert_eq!(header.column("name"), Some(Column::Name));
        assert_eq!(header.column("name_sealed"), None);
        assert!(header.has_plaintext());
    }

    #[test]
    fn a_push_token_is_an_address_unless_a_sealed_one_is_there() {
        let base = ["user_id", "plan", "name", "email", "phone", "push_token"];
        let header = Header::new(&base).unwrap();
        assert_eq!(header.column("push_token"), Some(Column::PushToken));
        let sealed = [&base[..], &["push_sealed"]].concat();
        let header = Header::new(&sealed).unwrap();
        assert_eq!(header.column("push_token"), Some(Column::PushDigest));
    }

    #[test]
    fn a_column_that_is_read_must_not_be_there_twice() {
        let names = [
            "user_id",
            "event_id",
            "occurred_at",
            "kind",
            "quantity",
            "x",
            "x",
        ];
        assert!(Header::new(&names).is_ok());
        let names = [&names[..], &["kind"]].concat();
        assert_eq!(Header::new(&names), Err(HeaderError::Twice("kind")));
    }
}
