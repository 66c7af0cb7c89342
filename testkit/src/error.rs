//! What can go wrong, and what a test does about it.

use crate::setting;

/// Why there is no cluster, or why it did not do as told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// This machine lacks something; the text says what, and how to get it.
    #[error("{0}")]
    Missing(String),
    /// It was there and failed; the text says what.
    #[error("{0}")]
    Failed(String),
}

/// What a test does with what it needs and may not have.
pub trait OrNotRun<T> {
    /// The value. None if the machine lacks something: then it was said on stderr that `test` did
    /// not run, and the test is to return.
    ///
    /// # Panics
    /// With any other error; and with a missing thing if `SEALPOST_REQUIRE_KAFKA=1`.
    fn or_not_run(self, test: &str) -> Option<T>;
}

impl<T> OrNotRun<T> for Result<T, Error> {
    #[allow(clippy::panic, reason = "it fails the test that calls it")]
    fn or_not_run(self, test: &str) -> Option<T> {
        match self {
            Ok(value) => Some(value),
            Err(Error::Missing(why)) => {
                not_run(test, &why);
                None
            }
            Err(error) => panic!("{test}: {error}"),
        }
    }
}

/// Says on stderr that a test did not run, past the test harness, which would swallow it.
///
/// # Panics
/// If `SEALPOST_REQUIRE_KAFKA=1`: then nothing may be left out.
#[allow(clippy::panic, reason = "it fails the test that calls it")]
pub fn not_run(test: &str, why: &str) {
    use std::io::Write as _;
    let message = format!("NOT RUN: {test}: {why}");
    if setting("SEALPOST_REQUIRE_KAFKA").as_deref() == Some("1") {
        panic!("{message}");
    }
    // where there is no stderr, nobody listens
    let _ = writeln!(std::io::stderr(), "{message}");
}
