//! A row of any file, and what becomes of it.

use std::fmt::{self, Write as _};

use sealpost_schemas::record::{AddressToken, Reason, Subscriber, Usage};
use sealpost_schemas::{Timestamp, UserId};
use zeroize::Zeroizing;

use super::cell::{Cell, Rule, date_of};
use super::column::Column;

/// A row that was read.
#[derive(Debug)]
pub enum Row {
    /// A subscriber, sealed.
    Subscriber(Subscriber),
    /// A usage event.
    Usage(Usage),
    /// An address that is to be used no more, or again.
    Suppression(AddressToken),
    /// A bad row.
    Refused(Refused),
}

/// A bad row: what a dead letter is made of. `Debug` does not show the row.
pub struct Refused {
    /// Why.
    pub reason: Reason,
    /// Which column and which rule, never a value.
    pub detail: String,
    /// Whose, as far as it could be read; else [`UserId::UNREADABLE`].
    pub user_id: UserId,
    /// The number of the row in the file, from 1; a header and blank lines are not counted.
    pub row: u64,
    /// The row as JSON: an object by column, or the line as a text if it could not be taken
    /// apart (of a line that is too long, its beginning). Personal, and in the clear.
    pub raw_json: Zeroizing<String>,
}

impl fmt::Debug for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Refused")
            .field("reason", &self.reason)
            .field("detail", &self.detail)
            .field("user_id", &self.user_id)
            .field("row", &self.row)
            .finish_non_exhaustive()
    }
}

/// What is wrong with a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) reason: Reason,
    /// `None` when it is about the whole row.
    pub(super) column: Option<Column>,
    pub(super) rule: Rule,
}

impl Fault {
    /// A value that cannot be read.
    pub(super) const fn malformed(column: Column, rule: Rule) -> Self {
        Self {
            reason: Reason::Malformed,
            column: Some(column),
            rule,
        }
    }

    /// A row that cannot be taken apart.
    pub(super) const fn row(rule: Rule) -> Self {
        Self {
            reason: Reason::Malformed,
            column: None,
            rule,
        }
    }

    /// `column: rule`.
    pub(super) fn detail(&self) -> String {
        match self.column {
            Some(column) => format!("{}: {}", column.name(), self.rule),
            None => format!("row: {}", self.rule),
        }
    }
}

/// A row that was taken apart.
pub(super) trait Cells {
    /// The value in a column.
    fn cell(&self, column: Column) -> Cell<'_>;

    /// The whole row as JSON.
    fn to_json(&self) -> Zeroizing<String>;
}

const REQUIRED: Rule = "is required";

/// Reads one value; the fault names its column.
pub(super) fn optional<T>(
    column: Column,
    value: Result<Option<T>, Rule>,
) -> Result<Option<T>, Fault> {
    value.map_err(|rule| Fault::malformed(column, rule))
}

/// Reads one value that must be there.
pub(super) fn required<T>(column: Column, value: Result<Option<T>, Rule>) -> Result<T, Fault> {
    optional(column, value)?.ok_or(Fault::malformed(column, REQUIRED))
}

/// Reads whose row it is.
pub(super) fn user_id(cells: &impl Cells) -> Result<UserId, Fault> {
    let number = required(Column::UserId, cells.cell(Column::UserId).integer())?;
    UserId::try_from(number)
        .map_err(|_| Fault::malformed(Column::UserId, "must be from 0 to 9223372036854775807"))
}

/// JSON as it is put together: in one buffer that is wiped, sized so that it need not grow in the
/// ordinary case (growing leaves a copy behind).
pub(super) struct JsonText {
    text: Zeroizing<String>,
    first: bool,
}

impl JsonText {
    /// An object, given the bytes of its names and values.
    pub(super) fn object(content_bytes: usize) -> Self {
        let mut text = Zeroizing::new(String::with_capacity(2 * content_bytes + 64));
        text.push('{');
        Self { text, first: true }
    }

    /// A text alone.
    pub(super) fn of_line(line: &[u8]) -> Zeroizing<String> {
        let mut json = Self {
            text: Zeroizing::new(String::with_capacity(2 * line.len() + 64)),
            first: true,
        };
        json.lossy(line);
        json.text
    }

    /// Adds a value under a name; what is missing is left out.
    pub(super) fn field(&mut self, name: &str, cell: &Cell<'_>) {
        if matches!(cell, Cell::Missing | Cell::Unusable(_)) {
            return;
        }
        self.name(name);
        match cell {
            Cell::Missing | Cell::Unusable(_) => {}
            Cell::Text(text) => self.string(text),
            Cell::Owned(text) => self.string(text),
            Cell::Integer(number) => self.write(format_args!("{number}")),
            Cell::Real(number) if number.is_finite() => self.write(format_args!("{number:?}")),
            Cell::Real(_) => self.text.push_str("null"),
            Cell::Instant(micros) => self.write(format_args!("\"{}\"", Timestamp(*micros))),
            Cell::Local(micros) => {
                // without an offset it reads as it was: on the wall
                let text = Timestamp(*micros).to_string();
                self.string(text.trim_end_matches('Z'));
            }
            Cell::Day(day) => match date_of(*day) {
                Some(date) => self.write(format_args!("\"{date}\"")),
                None => self.write(format_args!("{day}")),
            },
            Cell::Bytes(bytes) => {
                self.text.push('"');
                for byte in *bytes {
                    self.write(format_args!("{byte:02x}"));
                }
                self.text.push('"');
            }
        }
    }

    /// Adds text under a name, whether or not it is UTF-8.
    pub(super) fn raw_field(&mut self, name: &[u8], value: &[u8]) {
        if !std::mem::take(&mut self.first) {
            self.text.push(',');
        }
        self.lossy(name);
        self.text.push(':');
        self.lossy(value);
    }

    /// The object.
    pub(super) fn finish(mut self) -> Zeroizing<String> {
        self.text.push('}');
        self.text
    }

    fn name(&mut self, name: &str) {
        if !std::mem::take(&mut self.first) {
            self.text.push(',');
        }
        self.string(name);
        self.text.push(':');
    }

    fn lossy(&mut self, bytes: &[u8]) {
        self.text.push('"');
        for chunk in bytes.utf8_chunks() {
            self.escaped(chunk.valid());
            if !chunk.invalid().is_empty() {
                self.text.push(char::REPLACEMENT_CHARACTER);
            }
        }
        self.text.push('"');
    }

    fn string(&mut self, text: &str) {
        self.text.push('"');
        self.escaped(text);
        self.text.push('"');
    }

    fn escaped(&mut self, text: &str) {
        for letter in text.chars() {
            match letter {
                '"' => self.text.push_str("\\\""),
                '\\' => self.text.push_str("\\\\"),
                '\n' => self.text.push_str("\\n"),
                '\r' => self.text.push_str("\\r"),
                '\t' => self.text.push_str("\\t"),
                '\0'..='\u{1f}' => self.write(format_args!("\\u{:04x}", u32::from(letter))),
                _ => self.text.push(letter),
            }
        }
    }

    fn write(&mut self, what: fmt::Arguments<'_>) {
        // writing to a string does not fail
        let _ = self.text.write_fmt(what);
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
    fn a_row_is_json_that_reads_back() {
        let mut json = JsonText::object(0);
        json.field("text", &Cell::Text("\"홍\\길\n동\u{1}\""));
        json.field("none", &Cell::Missing);
        json.field("number", &Cell::Integer(-7));
        json.field("real", &Cell::Real(22.0));
        json.field("day", &Cell::Day(20_454));
        json.field("instant", &Cell::Instant(1_767_193_200_000_000));
        json.field("local", &Cell::Local(1_767_225_600_000_000));
        json.field("bytes", &Cell::Bytes(&[1, 255]));
        json.raw_field(b"raw", b"a\xff\"");
        let read: serde_json::Value = serde_json::from_str(&json.finish()).unwrap();
        let expected = serde_json::json!({
            "text": "\"홍\\길\n동\u{1}\"",
            "number": -7,
            "real": 22.0,
            "day": "2026-01-01",
            "instant": "2025-12-31T15:00:00Z",
            "local": "2026-01-01T00:00:00",
            "bytes": "01ff",
            "raw": "a\u{fffd}\"",
        });
        assert_eq!(read, expected);
    }

    #[test]
    fn debug_does_not_show_the_row() {
        let refused = Refused {
            reason: Reason::BadEmail,
            detail: "email: has no canonical form".to_owned(),
            user_id: UserId::UNREADABLE,
            row: 3,
            raw_json: JsonText::of_line(b"secret"),
        };
        assert_eq!(*refused.raw_json, "\"secret\"");
        assert!(!format!("{refused:?}").contains("secret"));
    }
}
