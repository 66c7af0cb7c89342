//! What is the caller's to mend: wrong usage, configuration or input. The process ends with 2.

/// An error of the caller's.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct UsageError(pub String);

/// Marks an error as the caller's, causes included.
pub fn usage(error: impl Into<anyhow::Error>) -> anyhow::Error {
    let error: anyhow::Error = error.into();
    UsageError(format!("{error:#}")).into()
}

/// What stands in the way of a command as things are now; nothing was changed by it.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Refused(pub String);
