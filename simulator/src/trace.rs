//! What happened, line by line: a digest always, and the lines themselves where they are asked for.

use std::fmt;
use std::sync::{Mutex, PoisonError};

/// Whether lines are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Show {
    /// Only the digest is kept.
    Nothing,
    /// Every line goes to standard error.
    Lines,
}

/// See the module.
pub struct Trace {
    digest: Mutex<blake3::Hasher>,
    show: Show,
}

impl Trace {
    /// An empty trace.
    #[must_use]
    pub fn new(show: Show) -> Self {
        Self {
            digest: Mutex::new(blake3::Hasher::new()),
            show,
        }
    }

    /// One line, at a time of the simulated clock.
    pub fn line(&self, now_us: i64, line: fmt::Arguments<'_>) {
        let line = format!("{now_us} {line}\n");
        self.bytes(line.as_bytes());
        if self.show == Show::Lines {
            #[allow(clippy::print_stderr, reason = "this is what was asked for")]
            {
                eprint!("{line}");
            }
        }
    }

    /// Bytes that are part of what must be the same again, and are never shown.
    pub fn bytes(&self, bytes: &[u8]) {
        self.digest
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .update(bytes);
    }

    /// The digest of everything so far, in hexadecimal.
    #[must_use]
    pub fn digest(&self) -> String {
        let digest = self.digest.lock().unwrap_or_else(PoisonError::into_inner);
        digest.finalize().to_hex().to_string()
    }
}
