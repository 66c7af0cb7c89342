//! The door: where usage and subscribers come in, and plaintext becomes ciphertext.
//!
//! Invariants:
//! - A file that cannot be read as a whole is refused before a row of any is read ([`inspect`]).
//! - Every row that is not blank comes out once: as a record, or refused with its reason. A bad
//!   row never stops the good ones.
//! - No personal value leaves but sealed, in [`Row`]; the one exception is [`Refused::raw_json`],
//!   which is wiped and shown nowhere, and for its user to seal.
//! - No error, warning or `Debug` shows what stands in a row: columns and rules are fixed texts.
//! - Memory is bounded by a batch, or a line of 1 MiB, whatever the file.

mod cell;
mod column;
mod columnar;
pub(crate) mod contacts;
mod csv;
mod header;
mod input;
mod ndjson;
mod row;
mod subscriber;
mod suppression;
mod usage;
mod window;

use std::collections::BTreeSet;
use std::fs::File;

use anyhow::Context as _;
use jiff::tz::TimeZone;
use sealpost_schemas::UserId;
use sealpost_schemas::key_ring::{KeyRing, SealError};
use sealpost_schemas::sealed::KeyPurpose;
use zeroize::Zeroizing;

use self::columnar::Footer;
use self::contacts::KEYS_NEEDED;
use self::csv::CsvRow;
use self::header::Header;
pub use self::header::InputKind;
pub use self::input::{DoorError, Format, Input, inspect};
use self::ndjson::{JsonRow, Lines};
use self::row::{Cells, Fault};
pub use self::row::{Refused, Row};
use self::subscriber::Trouble;

/// Reads inputs. Plaintext is sealed with the key ring; a time without an offset is one in the
/// time zone.
#[derive(Clone)]
pub struct Door<'a> {
    key_ring: &'a KeyRing,
    time_zone: TimeZone,
}

/// What a file had in it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReadSummary {
    /// Rows, blank lines aside.
    pub rows: u64,
    /// Rows that were records.
    pub accepted: u64,
    /// Rows that were refused.
    pub refused: u64,
    /// What showed only on the way: NDJSON with names that its first lines did not have.
    pub warning: Option<String>,
}

/// Takes the rows of one file.
struct Reading<'r, 'a> {
    door: &'r Door<'a>,
    header: &'r Header,
    summary: ReadSummary,
    sink: &'r mut dyn FnMut(u64, Row) -> anyhow::Result<()>,
}

impl<'a> Door<'a> {
    /// A door with these keys, in this zone.
    #[must_use]
    pub const fn new(key_ring: &'a KeyRing, time_zone: TimeZone) -> Self {
        Self {
            key_ring,
            time_zone,
        }
    }

    /// Checks that every key is there that reading these inputs needs: `destination`, `profile`
    /// and `match` where there is plaintext (`match` alone for addresses to suppress), else none.
    ///
    /// # Errors
    /// [`DoorError::Keys`] with the first input that lacks one.
    pub fn check_keys(&self, inputs: &[Input]) -> Result<(), DoorError> {
        for input in inputs.iter().filter(|input| input.has_plaintext()) {
            let needed: &[KeyPurpose] = match input.kind() {
                InputKind::Suppressions => &[KeyPurpose::Match],
                InputKind::Subscribers | InputKind::Usage => &KEYS_NEEDED,
            };
            self.key_ring
                .require(needed)
                .map_err(|source| DoorError::Keys {
                    path: input.path().to_path_buf(),
                    source,
                })?;
        }
        Ok(())
    }

    /// Reads a file, and hands each row with its number (from 1) to `sink`.
    ///
    /// # Errors
    /// [`DoorError`] when the file is damaged, was changed since it was looked at, cannot be read
    /// further, or a key is missing; whatever `sink` returns. Rows may have been handed over by
    /// then: they stand, and reading again hands over the same.
    pub fn read(
        &self,
        input: &Input,
        sink: &mut dyn FnMut(u64, Row) -> anyhow::Result<()>,
    ) -> anyhow::Result<ReadSummary> {
        self.check_keys(std::slice::from_ref(input))?;
        let header = input.header();
        let mut reading = Reading {
            door: self,
            header,
            summary: ReadSummary::default(),
            sink,
        };
        match input.format() {
            Format::Parquet => reading.parquet(input)?,
            Format::Csv => reading.csv(input)?,
            Format::Ndjson => reading.ndjson(input)?,
        }
        Ok(reading.summary)
    }

    /// Reads one row again from the JSON that [`Refused::raw_json`] had of it, by the rules of
    /// today. What its columns are not told by is refused.
    ///
    /// # Errors
    /// [`DoorError::Keys`] or a [`SealError`] when the row cannot be sealed for lack of a key.
    pub fn read_again(&self, raw_json: &str, row: u64) -> anyhow::Result<Row> {
        let mut names = BTreeSet::new();
        ndjson::names_of(raw_json, &mut names);
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let refused = |fault| {
            let raw_json = Zeroizing::new(raw_json.to_owned());
            Row::Refused(refuse(fault, UserId::UNREADABLE, row, raw_json))
        };
        // what is suppressed is no row of an ingest
        let header = Header::new(&names)
            .ok()
            .filter(|header| header.kind() != InputKind::Suppressions);
        let Some(header) = header else {
            return Ok(refused(Fault::row("must have all required columns")));
        };
        match JsonRow::parse(raw_json, &header) {
            Ok(cells) => Ok(self.row(&cells, &header, row)?),
            Err(fault) => Ok(refused(fault)),
        }
    }

    fn row(&self, cells: &impl Cells, header: &Header, row: u64) -> Result<Row, SealError> {
        let read = match header.kind() {
            InputKind::Usage => usage::read(cells, &self.time_zone)
                .map(Row::Usage)
                .map_err(Trouble::Row),
            InputKind::Subscribers => {
                subscriber::read(cells, header, self.key_ring).map(Row::Subscriber)
            }
            InputKind::Suppressions => {
                suppression::read(cells, header, self.key_ring).map(Row::Suppression)
            }
        };
        match read {
            Ok(record) => Ok(record),
            Err(Trouble::Keys(error)) => Err(error),
            Err(Trouble::Row(fault)) => {
                let user = row::user_id(cells).unwrap_or(UserId::UNREADABLE);
                Ok(Row::Refused(refuse(fault, user, row, cells.to_json())))
            }
        }
    }
}

/// A damaged file is the caller's to mend, a failing log is not.
pub(crate) fn unreadable(error: anyhow::Error) -> anyhow::Error {
    if error.downcast_ref::<DoorError>().is_some() {
        crate::usage_error::UsageError(format!("{error:#}")).into()
    } else {
        error
    }
}

fn refuse(fault: Fault, user_id: UserId, row: u64, raw_json: Zeroizing<String>) -> Refused {
    Refused {
        reason: fault.reason,
        detail: fault.detail(),
        user_id,
        row,
        raw_json,
    }
}

impl Reading<'_, '_> {
    fn take(&mut self, cells: &impl Cells) -> anyhow::Result<()> {
        let number = self.summary.rows + 1;
        let row = self
            .door
            .row(cells, self.header, number)
            .with_context(|| format!("row {number} cannot be sealed"))?;
        self.hand_over(row)
    }

    fn take_bad(&mut self, fault: Fault, raw_json: Zeroizing<String>) -> anyhow::Result<()> {
        let number = self.summary.rows + 1;
        self.hand_over(Row::Refused(refuse(
            fault,
            UserId::UNREADABLE,
            number,
            raw_json,
        )))
    }

    fn hand_over(&mut self, row: Row) -> anyhow::Result<()> {
        self.summary.rows += 1;
        match row {
            Row::Refused(_) => self.summary.refused += 1,
            _ => self.summary.accepted += 1,
        }
        (self.sink)(self.summary.rows, row)
    }

    fn parquet(&mut self, input: &Input) -> anyhow::Result<()> {
        let path = || input.path().to_path_buf();
        let damaged = |after_rows| DoorError::Damaged {
            path: path(),
            after_rows,
        };
        let file = File::open(input.path()).map_err(|source| DoorError::Io {
            path: path(),
            source,
        })?;
        let footer = Footer::read(file).map_err(|_| damaged(0))?;
        if Header::new(&footer.names()).as_ref() != Ok(self.header)
            || footer.check(self.header).is_err()
        {
            return Err(DoorError::Changed { path: path() }.into());
        }
        let rows = footer.rows();
        let mut batches = footer.batches(self.header).map_err(|_| damaged(0))?;
        while let Some(batch) = batches.next(self.header) {
            let batch = batch.map_err(|_| damaged(self.summary.rows))?;
            for row in batch.rows() {
                self.take(&row)?;
            }
        }
        // a footer that tells of more than there was
        if self.summary.rows == rows {
            Ok(())
        } else {
            Err(damaged(self.summary.rows).into())
        }
    }

    fn csv(&mut self, input: &Input) -> anyhow::Result<()> {
        let (mut records, places) = input::csv_records(input)?;
        let width = places.width();
        loop {
            let next = records.next(width).map_err(|source| DoorError::Io {
                path: input.path().to_path_buf(),
                source,
            })?;
            match next {
                csv::Next::End => return Ok(()),
                csv::Next::Record => self.take(&CsvRow {
                    records: &records,
                    places: &places,
                })?,
                csv::Next::Uneven => {
                    let row = CsvRow {
                        records: &records,
                        places: &places,
                    };
                    self.take_bad(csv::uneven(), row.to_json())?;
                }
                csv::Next::Bad(rule) => {
                    self.take_bad(Fault::row(rule), csv::line_json(&records))?
                }
            }
        }
    }

    fn ndjson(&mut self, input: &Input) -> anyhow::Result<()> {
        let failed = |source| DoorError::Io {
            path: input.path().to_path_buf(),
            source,
        };
        let file = File::open(input.path()).map_err(failed)?;
        let mut lines = Lines::new(file).map_err(failed)?;
        let mut ignored = 0_u64;
        loop {
            let more = lines.next(|next| match next {
                ndjson::Next::End => Ok(false),
                ndjson::Next::Bad(fault, raw) => self.take_bad(fault, raw).map(|()| true),
                ndjson::Next::Line(line) => match JsonRow::parse(line, self.header) {
                    Ok(row) => {
                        ignored += u64::from(row.ignored());
                        self.take(&row).map(|()| true)
                    }
                    Err(fault) => {
                        // is it JSON at all? If so it stays as it is, else it becomes a text
                        let raw = if ndjson::is_json(line) {
                            Zeroizing::new(line.to_owned())
                        } else {
                            row::JsonText::of_line(line.as_bytes())
                        };
                        self.take_bad(fault, raw).map(|()| true)
                    }
                },
            });
            if !more.map_err(failed)?? {
                break;
            }
        }
        if ignored > 0 && input.warnings().is_empty() {
            let path = input.path().display();
            self.summary.warning = Some(format!(
                "{path}: ignored {ignored} values under names that are no columns"
            ));
        }
        Ok(())
    }
}
