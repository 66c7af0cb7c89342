//! CSV as RFC 4180 has it: commas, `"` around what needs it and doubled within, lines that end in
//! LF or CRLF.
//!
//! Written out here, and not left to a general reader, for one reason: in a file of millions of
//! rows one quote that is never closed must cost one row, and bounded memory. So whatever cannot
//! be taken apart is given up at the end of its *first line*, and reading goes on with the next
//! line.

use std::io::{self, Read};
use std::ops::Range;

use zeroize::Zeroizing;

use super::cell::{Cell, Rule};
use super::column::{COLUMNS, Column};
use super::header::Header;
use super::ndjson::TOO_LONG;
use super::row::{Cells, Fault, JsonText};
use super::window::{LINE_BYTES_KEPT, LINE_BYTES_MAX, Line, Window};

const OPEN_QUOTE: Rule = "must close its quotes";
const AFTER_QUOTE: Rule = "must not go on behind a closing quote";
const WRONG_WIDTH: Rule = "must have as many fields as the header";

/// The records of a file.
pub(super) struct Records<R> {
    window: Window<R>,
    record: Record,
}

/// The fields of one record, without their quotes.
struct Record {
    text: Zeroizing<Vec<u8>>,
    fields: Vec<Range<usize>>,
    /// Lines that it goes over, less one.
    line_breaks: usize,
}

/// What comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// Nothing more.
    End,
    /// A record with as many fields as the header.
    Record,
    /// A record with more or fewer.
    Uneven,
    /// A line that cannot be taken apart; it is the only field.
    Bad(Rule),
}

/// How many fields are expected.
#[derive(Clone, Copy)]
pub(super) enum Width {
    /// Any number: for the header.
    Any,
    /// As many as the header has.
    Of(usize),
}

enum Scan {
    /// So many bytes are a record.
    Complete(usize),
    /// The window ends within it.
    Cut,
    /// It breaks a rule.
    Broken(Rule),
}

impl<R: Read> Records<R> {
    pub(super) fn new(input: R) -> io::Result<Self> {
        let record = Record {
            text: Zeroizing::new(Vec::new()),
            fields: Vec::new(),
            line_breaks: 0,
        };
        Ok(Self {
            window: Window::new(input)?,
            record,
        })
    }

    /// Moves to the next record that is not a blank line.
    pub(super) fn next(&mut self, width: Width) -> io::Result<Next> {
        loop {
            if self.window.rest().is_empty() && !self.window.ended() {
                self.window.more()?;
            }
            if self.window.rest().is_empty() {
                return Ok(Next::End);
            }
            match self.record.scan(self.window.rest(), self.window.ended()) {
                Scan::Complete(bytes) if bytes > LINE_BYTES_MAX => return self.give_up(TOO_LONG),
                Scan::Complete(bytes) => {
                    let fits = match width {
                        Width::Any => true,
                        Width::Of(fields) => self.record.fields.len() == fields,
                    };
                    if !fits && self.record.line_breaks > 0 {
                        // more likely a stray quote that ate its neighbours
                        return self.give_up(OPEN_QUOTE);
                    }
                    self.window.skip(bytes);
                    if self.record.is_blank() && bytes <= 2 {
                        continue;
                    }
                    return Ok(if fits { Next::Record } else { Next::Uneven });
                }
                Scan::Cut if self.window.rest().len() <= LINE_BYTES_MAX => {
                    self.window.more()?;
                }
                Scan::Cut => return self.give_up(OPEN_QUOTE),
                Scan::Broken(rule) => return self.give_up(rule),
            }
        }
    }

    /// Takes the first line as the only field, and moves past it.
    fn give_up(&mut self, rule: Rule) -> io::Result<Next> {
        let line = self.window.line()?;
        let (bytes, rule) = match line {
            Line::End => return Ok(Next::End),
            Line::Whole(bytes) => (bytes, rule),
            Line::TooLong => (LINE_BYTES_KEPT, TOO_LONG),
        };
        self.record.set_line(
            self.window
                .rest()
                .get(..bytes)
                .unwrap_or_default()
                .trim_ascii(),
        );
        match line {
            Line::TooLong => self.window.skip_line()?,
            _ => self.window.skip(bytes),
        }
        Ok(Next::Bad(rule))
    }

    /// The fields of the record, as bytes.
    pub(super) fn fields(&self) -> impl Iterator<Item = &[u8]> {
        self.record
            .fields
            .iter()
            .filter_map(|range| self.record.text.get(range.clone()))
    }
}

impl Record {
    fn is_blank(&self) -> bool {
        self.fields.len() == 1 && self.text.is_empty()
    }

    fn set_line(&mut self, line: &[u8]) {
        self.clear();
        self.take(line);
        self.fields.push(0..self.text.len());
    }

    fn clear(&mut self) {
        self.text.clear();
        self.fields.clear();
        self.line_breaks = 0;
    }

    /// Appends to the text; grows by hand, because growing would leave a copy that is not wiped.
    fn take(&mut self, bytes: &[u8]) {
        let wanted = self.text.len() + bytes.len();
        if self.text.capacity() < wanted {
            let mut larger = Zeroizing::new(Vec::with_capacity(2 * wanted));
            larger.extend_from_slice(&self.text);
            self.text = larger;
        }
        self.text.extend_from_slice(bytes);
    }

    fn scan(&mut self, bytes: &[u8], ended: bool) -> Scan {
        self.clear();
        let mut at = 0;
        loop {
            let start = self.text.len();
            let rest = bytes.get(at..).unwrap_or_default();
            if let Some(quoted) = rest.strip_prefix(b"\"") {
                match self.scan_quoted(quoted, ended) {
                    Scan::Complete(inside) => at += 1 + inside,
                    other => return other,
                }
            } else {
                let end = rest.iter().position(|byte| matches!(byte, b',' | b'\n'));
                let Some(end) = end.or(ended.then_some(rest.len())) else {
                    return Scan::Cut;
                };
                let mut field = rest.get(..end).unwrap_or_default();
                if rest.get(end) != Some(&b',') {
                    field = field.strip_suffix(b"\r").unwrap_or(field);
                }
                self.take(field);
                at += end;
            }
            self.fields.push(start..self.text.len());
            match bytes.get(at..).unwrap_or_default() {
                [b',', ..] => at += 1,
                [b'\n', ..] => return Scan::Complete(at + 1),
                [b'\r', b'\n', ..] => return Scan::Complete(at + 2),
                [] | [b'\r'] if !ended => return Scan::Cut,
                [] | [b'\r'] => return Scan::Complete(bytes.len()),
                _ => return Scan::Broken(AFTER_QUOTE),
            }
        }
    }

    /// Takes what is within quotes; `bytes` begins behind the opening one. Complete: so many
    /// bytes, the closing quote included.
    fn scan_quoted(&mut self, bytes: &[u8], ended: bool) -> Scan {
        let mut at = 0;
        loop {
            let rest = bytes.get(at..).unwrap_or_default();
            let Some(end) = rest.iter().position(|byte| *byte == b'"') else {
                return if ended {
                    Scan::Broken(OPEN_QUOTE)
                } else {
                    Scan::Cut
                };
            };
            let text = rest.get(..end).unwrap_or_default();
            self.line_breaks += text.iter().filter(|byte| **byte == b'\n').count();
            self.take(text);
            at += end + 1;
            match bytes.get(at) {
                Some(b'"') => {
                    self.take(b"\"");
                    at += 1;
                }
                None if !ended => return Scan::Cut,
                _ => return Scan::Complete(at),
            }
        }
    }
}

/// Where the columns are in a record.
pub(super) struct Places {
    names: Vec<String>,
    places: [Option<usize>; COLUMNS],
}

impl Places {
    pub(super) fn new(names: Vec<String>, header: &Header) -> Self {
        let mut places = [None; COLUMNS];
        for (place, name) in names.iter().enumerate() {
            if let Some(to) = header
                .column(name)
                .and_then(|column| places.get_mut(column as usize))
            {
                *to = Some(place);
            }
        }
        Self { names, places }
    }

    pub(super) const fn width(&self) -> Width {
        Width::Of(self.names.len())
    }
}

/// One row.
pub(super) struct CsvRow<'a, R> {
    pub(super) records: &'a Records<R>,
    pub(super) places: &'a Places,
}

impl<R: Read> Cells for CsvRow<'_, R> {
    fn cell(&self, column: Column) -> Cell<'_> {
        let place = self.places.places.get(column as usize).copied().flatten();
        let record = &self.records.record;
        let field = place
            .and_then(|place| record.fields.get(place))
            .and_then(|range| record.text.get(range.clone()));
        match field.map(std::str::from_utf8) {
            None => Cell::Missing,
            Some(Ok(text)) => Cell::Text(text),
            Some(Err(_)) => Cell::Unusable("must be UTF-8"),
        }
    }

    fn to_json(&self) -> Zeroizing<String> {
        let names_bytes: usize = self.places.names.iter().map(|name| name.len() + 8).sum();
        let mut json = JsonText::object(self.records.record.text.len() + names_bytes);
        let mut names = self.places.names.iter();
        for (place, field) in self.records.fields().enumerate() {
            match names.next() {
                Some(name) => json.raw_field(name.as_bytes(), field),
                None => json.raw_field(format!("field {}", place + 1).as_bytes(), field),
            }
        }
        json.finish()
    }
}

/// The line that could not be taken apart, as JSON.
pub(super) fn line_json<R: Read>(records: &Records<R>) -> Zeroizing<String> {
    JsonText::of_line(records.fields().next().unwrap_or_default())
}

/// What is wrong with an uneven record.
pub(super) const fn uneven() -> Fault {
    Fault::row(WRONG_WIDTH)
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

    /// The records after the header, and what became of each.
    fn read(text: &str) -> Vec<(Next, Vec<String>)> {
        let mut records = Records::new(text.as_bytes()).unwrap();
        assert_eq!(records.next(Width::Any).unwrap(), Next::Record);
        let width = Width::Of(records.fields().count());
        let mut all = Vec::new();
        loop {
            let next = records.next(width).unwrap();
            if next == Next::End {
                return all;
            }
            let fields = records
                .fields()
                .map(|field| String::from_utf8_lossy(field).into_owned());
            all.push((next, fields.collect()));
        }
    }

    fn good(fields: [&str; 2]) -> (Next, Vec<String>) {
        (Next::Record, fields.map(str::to_owned).to_vec())
    }

    #[test]
    fn quotes_may_hold_commas_quotes_and_line_breaks() {
        let all = read("a,b\n\"1,5\",\"he said \"\"hi\"\"\"\r\n\"x\ny\",\n,\"\"\n\n1,2");
        let expected = [
            good(["1,5", "he said \"hi\""]),
            good(["x\ny", ""]),
            good(["", ""]),
            good(["1", "2"]),
        ];
        assert_eq!(all, expected);
    }

    #[test]
    fn a_quote_inside_a_plain_field_is_itself() {
        assert_eq!(
            read("a,b\n5\" disk,x\"\"y\n"),
            [good(["5\" disk", "x\"\"y"])]
        );
    }

    #[test]
    fn a_quote_that_is_not_closed_costs_one_row() {
        let all = read("a,b\n1,\"open\n2,fine\n3,fine\n");
        let bad = |line: &str, rule| (Next::Bad(rule), vec![line.to_owned()]);
        assert_eq!(
            all,
            [
                bad("1,\"open", OPEN_QUOTE),
                good(["2", "fine"]),
                good(["3", "fine"])
            ]
        );
        // closed by the next quote that happens to come, several rows later
        let all = read("a,b\n1,\"open\n2,fine\n3,\"x\"\n4,\"\"\n");
        let expected = [
            bad("1,\"open", AFTER_QUOTE),
            good(["2", "fine"]),
            good(["3", "x"]),
            good(["4", ""]),
        ];
        assert_eq!(all, expected);
        let all = read("a,b\n1,\"open\n2,fine\n3,fine\"\n4,\"\"\n");
        assert_eq!(
            all[0].0,
            Next::Record,
            "that is a valid record over three lines"
        );
        let all = read("a,b\n1,\"open\n2,fine\n3,\",\"\n4,x\n");
        assert_eq!(
            all[0],
            bad("1,\"open", OPEN_QUOTE),
            "three fields over three lines"
        );
        assert_eq!(
            all[1..],
            [good(["2", "fine"]), good(["3", ","]), good(["4", "x"])]
        );
    }

    #[test]
    fn a_line_with_the_wrong_number_of_fields_is_told_apart() {
        let all = read("a,b\n1\n1,2,3\n1,2\n");
        let nexts: Vec<Next> = all.iter().map(|(next, _)| *next).collect();
        assert_eq!(nexts, [Next::Uneven, Next::Uneven, Next::Record]);
    }

    #[test]
    fn a_record_that_is_too_long_is_skipped() {
        let long = "x".repeat(LINE_BYTES_MAX + 1);
        let all = read(&format!("a,b\n{long},2\n1,2\n"));
        assert_eq!(all[0].0, Next::Bad(TOO_LONG));
        assert_eq!(all[0].1[0].len(), LINE_BYTES_KEPT);
        assert_eq!(all[1], good(["1", "2"]));
        let lines = "y\n".repeat(LINE_BYTES_MAX);
        let all = read(&format!("a,b\n1,\"{lines}"));
        assert_eq!(all[0].0, Next::Bad(OPEN_QUOTE));
        assert_eq!(
            all.len(),
            1 + LINE_BYTES_MAX - 1,
            "the lines after it stand alone"
        );
    }
}
