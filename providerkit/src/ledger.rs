//! The provider's book: one line for each call and one for each acceptance, in the order in which
//! they happened.
//!
//! Invariants:
//! - A line is with the operating system before its call is answered, whatever happens then.
//! - An address is there as a digest only.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// What a line is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Event {
    /// Somebody called.
    Call,
    /// The message was taken: its recipient has it.
    Accepted,
    /// The message had been taken before under the same key, and was not taken again.
    Collapsed,
    /// Somebody asked by key.
    Asked,
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// What it is about.
    pub event: Event,
    /// The message key.
    pub key: String,
    /// The channel; empty if the request did not get that far.
    pub channel: String,
    /// The first 16 hex digits of the BLAKE3 of the address; empty likewise.
    pub address: String,
    /// Milliseconds since 1970.
    pub at_ms: u64,
    /// What was answered: a status, `none`, or what went wrong and the status (`garbage 200`).
    /// Empty for acceptances.
    pub answer: String,
}

impl Line {
    /// A line of now.
    #[must_use]
    pub fn now(event: Event, key: &str, channel: &str, address: &str, answer: &str) -> Self {
        #[allow(
            clippy::disallowed_methods,
            reason = "the ledger is dated by its own clock"
        )]
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        Self {
            event,
            key: key.to_owned(),
            channel: channel.to_owned(),
            address: address.to_owned(),
            at_ms: now.map_or(0, |now| u64::try_from(now.as_millis()).unwrap_or(u64::MAX)),
            answer: answer.to_owned(),
        }
    }
}

/// Writes lines.
#[derive(Debug)]
pub struct Ledger {
    file: Mutex<File>,
}

impl Ledger {
    /// Goes on with a file, or begins it.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        Ok(Self {
            file: Mutex::new(file),
        })
    }

    /// Writes a line.
    ///
    /// # Errors
    /// When it cannot be written: then nothing may be answered.
    pub fn write(&self, line: &Line) -> io::Result<()> {
        let mut text = serde_json::to_vec(line)?;
        text.push(b'\n');
        self.file
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .write_all(&text)
    }
}

/// Reads every whole line of a ledger.
///
/// # Errors
/// When it cannot be read, or a line is no event.
pub fn read(path: &Path) -> io::Result<Vec<Line>> {
    let mut lines = Vec::new();
    let mut reader = BufReader::new(File::open(path)?);
    let mut text = Vec::new();
    loop {
        text.clear();
        reader.read_until(b'\n', &mut text)?;
        if text.pop() != Some(b'\n') {
            return Ok(lines);
        }
        lines.push(serde_json::from_slice(&text)?);
    }
}

/// The digest of an address.
#[must_use]
pub fn digest(address: &str) -> String {
    let mut digest = blake3::hash(address.as_bytes()).to_hex().to_string();
    digest.truncate(16);
    digest
}
