//! The ledger of a simulated provider: what it was asked to send and what it took, kept on disk
//! beside the pipeline's state and never read by it, so that tests and people can ask the world
//! what was sent, and not the program.
//!
//! # Format
//! `DATA_DIR/provider-ledger/CHANNEL-NNNNNN.ndjson`, one file for each channel and process that
//! sent on it, numbered from 1; `CHANNEL.fallback-NNNNNN.ndjson` is that of the channel's second
//! provider, which knows nothing of the first one's. A line is one event, oldest first:
//! `{"event":"call","message_key":"<64 hex digits>","channel":"email","user_id":7,"period":"2026-01","kind":"bill","at_ms":1769878800000}`
//! where `event` is `call`, then `accepted` or `refused`. No address, name or text of a message.
//!
//! # Invariants
//! - Append-only, and a file has one writer in its life: the process that created it. So a line
//!   that a kill tore is the last of its file, and no one's next line is glued to it.
//! - An event is with the operating system before its answer is given: no buffer of this process
//!   holds what was answered. It survives `kill -9`, not a power cut.
//! - Nothing is collapsed: two calls with one key are two calls and, if taken, two acceptances.
//! - A write that failed half-way is closed off by a line end before the next one.

mod index;
mod summary;

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use sealpost_operators::gate::CallId;
use sealpost_schemas::{Channel, Kind, MessageKey, Period, Timestamp, UserId};
use serde::{Deserialize, Serialize};

use super::section::Section;

pub use index::Index;
pub use summary::{ChannelSummary, Summary};

/// The folder in the data directory.
const FOLDER: &str = "provider-ledger";
/// What a file's name ends with.
const EXTENSION: &str = "ndjson";
/// About how long a line is.
const LINE_BYTES: usize = 200;

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Event {
    /// The provider was called.
    Call,
    /// It took the message.
    Accepted,
    /// It refused the message.
    Refused,
}

impl Event {
    const fn name(self) -> &'static str {
        match self {
            Self::Call => "call",
            Self::Accepted => "accepted",
            Self::Refused => "refused",
        }
    }
}

/// Lines on their way into a ledger, all of one moment.
pub struct Lines {
    text: Vec<u8>,
    /// Period and kind of the last event, and how they are written.
    middle: Option<((Period, Kind), String)>,
    tail: String,
}

impl Lines {
    /// Room for `count` events that happen at `at`.
    #[must_use]
    pub fn new(count: usize, at: Timestamp) -> Self {
        Self {
            text: Vec::with_capacity(count.saturating_mul(LINE_BYTES)),
            middle: None,
            tail: format!("\",\"at_ms\":{}}}\n", at.ms()),
        }
    }

    /// Adds an event.
    pub fn push(&mut self, event: Event, id: &CallId, message_key: MessageKey) {
        let CallId {
            user_id,
            period,
            kind,
            channel,
            ..
        } = id;
        // nearly always the same for a whole batch
        if self
            .middle
            .as_ref()
            .is_none_or(|(of, _)| *of != (*period, *kind))
        {
            let middle = format!(",\"period\":\"{period}\",\"kind\":\"{kind}");
            self.middle = Some(((*period, *kind), middle));
        }
        let middle = self.middle.as_ref().map_or("", |(_, middle)| middle);
        let text = &mut self.text;
        text.extend_from_slice(b"{\"event\":\"");
        text.extend_from_slice(event.name().as_bytes());
        text.extend_from_slice(b"\",\"message_key\":\"");
        text.extend_from_slice(
            blake3::Hash::from_bytes(message_key.0.0)
                .to_hex()
                .as_bytes(),
        );
        text.extend_from_slice(b"\",\"channel\":\"");
        text.extend_from_slice(channel.name().as_bytes());
        // writing into a vector cannot fail
        let _ = write!(text, "\",\"user_id\":{user_id}");
        text.extend_from_slice(middle.as_bytes());
        text.extend_from_slice(self.tail.as_bytes());
    }
}

/// One provider's ledger: the file that this process writes, and those of others to read.
pub struct Ledger {
    folder: PathBuf,
    section: Section,
    writer: Mutex<Option<Writer>>,
}

struct Writer {
    file: File,
    /// A write failed half-way: the file may end within a line.
    torn: bool,
}

impl Ledger {
    /// The ledger of a channel's provider. Nothing is created before the first line.
    #[must_use]
    pub fn new(data_dir: &Path, section: impl Into<Section>) -> Self {
        Self {
            folder: data_dir.join(FOLDER),
            section: section.into(),
            writer: Mutex::new(None),
        }
    }

    /// The channel.
    #[must_use]
    pub const fn channel(&self) -> Channel {
        self.section.channel
    }

    /// Hands lines to the operating system, in one write where it takes them in one.
    ///
    /// # Errors
    /// When the folder, the file or the lines cannot be written. Then some of the lines may be
    /// there, and the last of those may be torn.
    pub fn append(&self, lines: &Lines) -> io::Result<()> {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let writer = match &mut *writer {
            Some(writer) => writer,
            none => none.insert(Writer {
                file: self.create()?,
                torn: false,
            }),
        };
        if writer.torn {
            writer.file.write_all(b"\n")?;
        }
        let written = writer.file.write_all(&lines.text);
        writer.torn = written.is_err();
        written
    }

    /// What the ledgers of a data directory say of a period, all channels and processes.
    ///
    /// # Errors
    /// When a file cannot be read. No ledger at all is an empty summary.
    pub fn summary(data_dir: &Path, period: Period) -> io::Result<Summary> {
        summary::read(&data_dir.join(FOLDER), period)
    }

    /// An index of what this provider accepted, by whichever process; empty until read.
    #[must_use]
    pub fn index(&self) -> Index {
        Index::new(&self.folder, self.section)
    }

    /// A file that no other process has: the next number that is free.
    fn create(&self) -> io::Result<File> {
        std::fs::create_dir_all(&self.folder)?;
        let last = files(&self.folder)?
            .into_iter()
            .filter(|(section, ..)| *section == self.section)
            .map(|(_, number, _)| number)
            .max();
        let mut number = last.unwrap_or(0);
        loop {
            number += 1;
            let path = self
                .folder
                .join(format!("{}-{number:06}.{EXTENSION}", self.section));
            match OpenOptions::new().append(true).create_new(true).open(path) {
                // another process was quicker
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                opened => return opened,
            }
        }
    }
}

/// The ledger files of a folder, by provider and number; none if there is no such folder.
fn files(folder: &Path) -> io::Result<Vec<(Section, u64, PathBuf)>> {
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let parts = path
            .file_name()
            .and_then(|name| name.to_str())
            .and_then(|name| {
                name.strip_suffix(EXTENSION)?
                    .strip_suffix('.')?
                    .split_once('-')
            });
        if let Some((section, number)) = parts
            && let (Ok(section), Ok(number)) = (section.parse(), number.parse())
        {
            files.push((section, number, path));
        }
    }
    files.sort();
    Ok(files)
}

/// A line as it is read back. Lines of before `kind` was written are bills.
#[derive(Deserialize)]
struct Line<'a> {
    event: Event,
    message_key: &'a str,
    channel: Channel,
    user_id: UserId,
    period: &'a str,
    #[serde(default)]
    kind: Option<&'a str>,
}

/// Reads the whole lines of a file from a byte on; `each` gets `None` for one that is no event.
/// Returns the byte after the last whole line: what follows is torn, or still being written.
fn scan(path: &Path, from: u64, each: &mut dyn FnMut(Option<Line<'_>>)) -> io::Result<u64> {
    let mut file = File::open(path)?;
    let mut position = from;
    if file.metadata()?.len() <= from {
        return Ok(position);
    }
    file.seek(SeekFrom::Start(from))?;
    let mut reader = BufReader::with_capacity(1 << 17, file);
    let mut line = Vec::with_capacity(LINE_BYTES);
    loop {
        line.clear();
        let length = reader.read_until(b'\n', &mut line)?;
        let Some((b'\n', text)) = line.split_last() else {
            return Ok(position);
        };
        position += length as u64;
        each(serde_json::from_slice(text).ok());
    }
}

#[cfg(test)]
mod tests;
