//! How far the log reached when it was last known to be on disk.
//!
//! A journal that ends in the middle is what a crash leaves: the engine drops the torn end and goes
//! on. A journal that somebody cut short looks the same, and what it held would be forgotten in
//! silence, messages that went out among it. So the sum of all partitions' ends is kept in a file of
//! its own. It is written only after a change that is on disk, so it never says too much.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use crate::log::storage::{Extent, Place};
use crate::types::{Shard, Topic};

const NAME: &str = "reached";

/// See the module.
pub(super) struct Reached {
    file: File,
    /// As the file had it when it was opened.
    known: u64,
    ends: HashMap<(Topic, Shard), u64>,
    sum: u64,
}

impl Reached {
    pub(super) fn open(directory: &Path) -> io::Result<Self> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(directory.join(NAME))?;
        let mut bytes = [0; 16];
        // a new file, and one whose number does not agree with its check, say nothing; one that
        // cannot be read might
        let known = match file.read_exact_at(&mut bytes, 0) {
            Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => return Err(error),
            Err(_) => None,
            Ok(()) => bytes.split_first_chunk::<8>().and_then(|(number, check)| {
                let number = u64::from_be_bytes(*number);
                (check == (!number).to_be_bytes()).then_some(number)
            }),
        }
        .unwrap_or(0);
        Ok(Self {
            file,
            known,
            ends: HashMap::new(),
            sum: 0,
        })
    }

    /// A batch that is there, or comes.
    pub(super) fn see(&mut self, place: &Place, extent: Extent) {
        let end = self
            .ends
            .entry((place.topic.clone(), place.shard))
            .or_default();
        let reaches = place.base.0 + extent.span;
        if reaches > *end {
            self.sum += reaches - *end;
            *end = reaches;
        }
    }

    /// How much of what was on disk is not there any more.
    pub(super) fn missing(&self) -> Option<u64> {
        self.known
            .checked_sub(self.sum)
            .filter(|missing| *missing > 0)
    }

    /// Everything that was seen is on disk.
    pub(super) fn write(&self) -> io::Result<()> {
        let mut bytes = [0; 16];
        let parts = [self.sum.to_be_bytes(), (!self.sum).to_be_bytes()];
        for (to, from) in bytes.iter_mut().zip(parts.iter().flatten()) {
            *to = *from;
        }
        self.file.write_all_at(&bytes, 0)
    }
}
