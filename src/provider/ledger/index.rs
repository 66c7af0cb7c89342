//! Which keys a provider took: the answer to a question by key.
//!
//! Invariants:
//! - Read from the files and from nothing else, so that it knows what other processes wrote, and
//!   what a killed one wrote last.
//! - Built at the first question and carried on from there: every byte is read once.
//! - Memory: 32 bytes for each accepted key and the set's own overhead, up to about 75 bytes; a
//!   process that is never asked holds nothing.

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};

use sealpost_schemas::MessageKey;

use super::{Event, Section, files, scan};

/// See the module.
pub struct Index {
    folder: PathBuf,
    section: Section,
    read_bytes: HashMap<PathBuf, u64>,
    accepted: HashSet<MessageKey>,
}

impl Index {
    pub(super) fn new(folder: &Path, section: Section) -> Self {
        Self {
            folder: folder.to_owned(),
            section,
            read_bytes: HashMap::new(),
            accepted: HashSet::new(),
        }
    }

    /// Reads what was written since the last time.
    ///
    /// # Errors
    /// When a file cannot be read: then it cannot be said that a key was not taken.
    pub fn refresh(&mut self) -> io::Result<()> {
        for (section, _, path) in files(&self.folder)? {
            if section != self.section {
                continue;
            }
            let from = self.read_bytes.get(&path).copied().unwrap_or(0);
            let accepted = &mut self.accepted;
            let read = scan(&path, from, &mut |line| {
                if let Some(line) = line
                    && line.event == Event::Accepted
                    && let Ok(key) = line.message_key.parse()
                {
                    accepted.insert(key);
                }
            })?;
            self.read_bytes.insert(path, read);
        }
        Ok(())
    }

    /// Whether a key was accepted, as of the last [`Index::refresh`].
    #[must_use]
    pub fn accepted(&self, key: MessageKey) -> bool {
        self.accepted.contains(&key)
    }
}
