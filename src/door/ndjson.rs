//! NDJSON: one object a line.

use std::collections::BTreeSet;
use std::fmt;
use std::io::{self, Read};

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use zeroize::Zeroizing;

use super::cell::{Cell, Rule};
use super::column::{COLUMNS, Column};
use super::header::Header;
use super::row::{Cells, Fault, JsonText};
use super::window::{LINE_BYTES_KEPT, Line, Window};

const NOT_AN_OBJECT: Rule = "must be one JSON object";
pub(super) const TOO_LONG: Rule = "must have at most 1048576 bytes";

/// How much of a file tells its columns: an object may leave out what is null, so one line is
/// not enough.
const SAMPLE_LINES: usize = 1_000;
const SAMPLE_BYTES: usize = 1 << 20;
/// The most names in a sample.
const SAMPLE_NAMES: usize = 1_000;

/// One row.
pub(super) struct JsonRow<'a> {
    line: &'a str,
    cells: [Cell<'a>; COLUMNS],
    /// Names that are no columns; kept only where they are asked for.
    ignored: u32,
}

impl<'a> JsonRow<'a> {
    /// Takes a line apart.
    pub(super) fn parse(line: &'a str, header: &Header) -> Result<Self, Fault> {
        let mut row = Self {
            line,
            cells: [const { Cell::Missing }; COLUMNS],
            ignored: 0,
        };
        let mut json = serde_json::Deserializer::from_str(line);
        RowSeed {
            row: &mut row,
            header,
        }
        .deserialize(&mut json)
        .and_then(|()| json.end())
        .map_err(|_| Fault::row(NOT_AN_OBJECT))?;
        Ok(row)
    }

    /// How many names were ignored.
    pub(super) const fn ignored(&self) -> u32 {
        self.ignored
    }
}

impl Cells for JsonRow<'_> {
    fn cell(&self, column: Column) -> Cell<'_> {
        match self.cells.get(column as usize) {
            Some(Cell::Text(text)) => Cell::Text(text),
            Some(Cell::Owned(text)) => Cell::Text(text),
            Some(Cell::Integer(number)) => Cell::Integer(*number),
            Some(Cell::Real(number)) => Cell::Real(*number),
            Some(Cell::Unusable(rule)) => Cell::Unusable(rule),
            _ => Cell::Missing,
        }
    }

    fn to_json(&self) -> Zeroizing<String> {
        Zeroizing::new(self.line.to_owned())
    }
}

/// The lines of a file.
pub(super) struct Lines<R>(Window<R>);

/// What stands in a line.
pub(super) enum Next<'a> {
    /// Nothing more.
    End,
    /// Text.
    Line(&'a str),
    /// Something that cannot be taken apart: why, and as JSON.
    Bad(Fault, Zeroizing<String>),
}

impl<R: Read> Lines<R> {
    pub(super) fn new(input: R) -> io::Result<Self> {
        Window::new(input).map(Self)
    }

    /// Hands the next line that is not blank to `take`.
    pub(super) fn next<T>(&mut self, take: impl FnOnce(Next<'_>) -> T) -> io::Result<T> {
        let window = &mut self.0;
        loop {
            match window.line()? {
                Line::End => return Ok(take(Next::End)),
                Line::TooLong => {
                    let kept = window.rest().get(..LINE_BYTES_KEPT).unwrap_or_default();
                    let taken = take(Next::Bad(Fault::row(TOO_LONG), JsonText::of_line(kept)));
                    window.skip_line()?;
                    return Ok(taken);
                }
                Line::Whole(bytes) => {
                    let line = window.rest().get(..bytes).unwrap_or_default().trim_ascii();
                    if line.is_empty() {
                        window.skip(bytes);
                        continue;
                    }
                    let taken = take(match std::str::from_utf8(line) {
                        Ok(line) => Next::Line(line),
                        Err(_) => Next::Bad(Fault::row("must be UTF-8"), JsonText::of_line(line)),
                    });
                    window.skip(bytes);
                    return Ok(taken);
                }
            }
        }
    }
}

/// The names in the first lines of a file; none if no line is an object.
pub(super) fn sample_names(input: impl Read) -> io::Result<BTreeSet<String>> {
    let mut lines = Lines::new(input)?;
    let mut names = BTreeSet::new();
    let mut sampled_bytes = 0;
    for sampled in 0..SAMPLE_LINES {
        let end = lines.next(|next| match next {
            Next::End => true,
            Next::Bad(..) => false,
            // the beginning of an array over many lines: what stands in it is no line of its own
            Next::Line(line) if sampled == 0 && line.starts_with('[') && !is_json(line) => true,
            Next::Line(line) => {
                sampled_bytes += line.len();
                names_of(line, &mut names);
                sampled_bytes > SAMPLE_BYTES || names.len() > SAMPLE_NAMES
            }
        })?;
        if end {
            break;
        }
    }
    Ok(names)
}

/// Whether a line is JSON of any kind.
pub(super) fn is_json(line: &str) -> bool {
    serde_json::from_str::<IgnoredAny>(line).is_ok()
}

/// Adds the names of an object; of anything else nothing.
pub(super) fn names_of(line: &str, names: &mut BTreeSet<String>) {
    struct Names;
    impl<'de> Visitor<'de> for Names {
        type Value = Vec<String>;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }
        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut names = Vec::new();
            while let Some((name, IgnoredAny)) = map.next_entry()? {
                names.push(name);
            }
            Ok(names)
        }
    }
    let mut json = serde_json::Deserializer::from_str(line);
    if let Ok(found) = json.deserialize_map(Names)
        && json.end().is_ok()
    {
        names.extend(found);
    }
}

struct RowSeed<'r, 'a> {
    row: &'r mut JsonRow<'a>,
    header: &'r Header,
}

impl<'a> DeserializeSeed<'a> for RowSeed<'_, 'a> {
    type Value = ();
    fn deserialize<D: Deserializer<'a>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_map(self)
    }
}

impl<'a> Visitor<'a> for RowSeed<'_, 'a> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(column) = map.next_key_seed(ColumnSeed(self.header))? {
            match column.and_then(|column| self.row.cells.get_mut(column as usize)) {
                None => {
                    let IgnoredAny = map.next_value()?;
                    self.row.ignored = self.row.ignored.saturating_add(1);
                }
                Some(cell) => {
                    let value = map.next_value_seed(CellSeed)?;
                    *cell = match cell {
                        Cell::Missing => value,
                        _ => Cell::Unusable("must not be given twice"),
                    };
                }
            }
        }
        Ok(())
    }
}

struct ColumnSeed<'r>(&'r Header);

impl<'de> DeserializeSeed<'de> for ColumnSeed<'_> {
    type Value = Option<Column>;
    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Self::Value, D::Error> {
        json.deserialize_str(self)
    }
}

impl Visitor<'_> for ColumnSeed<'_> {
    type Value = Option<Column>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }
    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok(self.0.column(name))
    }
}

struct CellSeed;

impl<'a> DeserializeSeed<'a> for CellSeed {
    type Value = Cell<'a>;
    fn deserialize<D: Deserializer<'a>>(self, json: D) -> Result<Cell<'a>, D::Error> {
        json.deserialize_any(self)
    }
}

impl<'a> Visitor<'a> for CellSeed {
    type Value = Cell<'a>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }
    fn visit_unit<E>(self) -> Result<Cell<'a>, E> {
        Ok(Cell::Missing)
    }
    fn visit_bool<E>(self, _: bool) -> Result<Cell<'a>, E> {
        Ok(Cell::Unusable("must not be true or false"))
    }
    fn visit_i64<E>(self, number: i64) -> Result<Cell<'a>, E> {
        Ok(Cell::Integer(number))
    }
    fn visit_u64<E>(self, number: u64) -> Result<Cell<'a>, E> {
        Ok(i64::try_from(number).map_or(Cell::Unusable("is too large"), Cell::Integer))
    }
    fn visit_f64<E>(self, number: f64) -> Result<Cell<'a>, E> {
        Ok(Cell::Real(number))
    }
    fn visit_borrowed_str<E>(self, text: &'a str) -> Result<Cell<'a>, E> {
        Ok(Cell::Text(text))
    }
    fn visit_str<E>(self, text: &str) -> Result<Cell<'a>, E> {
        Ok(Cell::Owned(Zeroizing::new(text.to_owned())))
    }
    fn visit_seq<A: SeqAccess<'a>>(self, mut items: A) -> Result<Cell<'a>, A::Error> {
        let mut joined = Zeroizing::new(String::new());
        let mut usable = true;
        while let Some(item) = items.next_element_seed(CellSeed)? {
            match item.text() {
                Ok(Some(text)) => {
                    joined.push_str(text);
                    joined.push(';');
                }
                Ok(None) => {}
                Err(_) => usable = false,
            }
        }
        Ok(if usable {
            Cell::Owned(joined)
        } else {
            Cell::Unusable("must be a list of texts")
        })
    }
    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<Cell<'a>, A::Error> {
        while let Some((IgnoredAny, IgnoredAny)) = map.next_entry()? {}
        Ok(Cell::Unusable("must not be an object"))
    }
}
