//! What can go wrong between this process and the registry.

/// What an error asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Consequence {
    /// Somebody has to change something: asking again gives the same answer.
    Mend,
    /// It may work another time.
    Retry,
}

/// Why the registry was of no use. One line each; what the registry itself says is cut to a line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RegistryError {
    /// Another schema of the subject forbids this one.
    #[error(
        "the schema registry refuses the schema of {subject} as incompatible with what is there: {said}; see docs/schemas.md, `How a schema changes`"
    )]
    Incompatible {
        /// The subject.
        subject: String,
        /// What the registry says.
        said: String,
    },
    /// The registry will not take the schema, or the question.
    #[error("the schema registry refuses {what} (status {status}): {said}")]
    Refused {
        /// What was asked.
        what: String,
        /// Status of HTTP.
        status: u16,
        /// What the registry says.
        said: String,
    },
    /// It is not there, and must not be put there by this process.
    #[error(
        "the schema of {subject} is not in the schema registry{said}: register it (see docs/schemas.md), or set schema_registry.auto_register = true"
    )]
    NotRegistered {
        /// The subject.
        subject: String,
        /// What the registry says of its compatibility, in brackets, if anything.
        said: String,
    },
    /// Name or password are wrong, or give no right to this.
    #[error(
        "the schema registry at {url} does not let us {what} (status {status}): see schema_registry.username and its password"
    )]
    Credentials {
        /// Where it is.
        url: String,
        /// What was asked.
        what: String,
        /// Status of HTTP.
        status: u16,
    },
    /// Something else answers at this address.
    #[error(
        "{url} does not answer as a schema registry does (status {status}): see schema_registry.url, its path included"
    )]
    NotARegistry {
        /// Where it was looked for.
        url: String,
        /// Status of HTTP.
        status: u16,
    },
    /// The address cannot be used.
    #[error("the schema registry at {url} cannot be asked: {problem}")]
    Unusable {
        /// Where it is.
        url: String,
        /// Why.
        problem: String,
    },
    /// It answers with failures, or not at all.
    #[error(
        "the schema registry at {url} has not answered for {waited_ms} ms: {problem}; is it running?"
    )]
    Silent {
        /// Where it is.
        url: String,
        /// How long it was tried.
        waited_ms: u128,
        /// The last failure.
        problem: String,
    },
}

impl RegistryError {
    /// What it asks for.
    #[must_use]
    pub const fn consequence(&self) -> Consequence {
        match self {
            Self::Silent { .. } => Consequence::Retry,
            Self::Incompatible { .. }
            | Self::Refused { .. }
            | Self::NotRegistered { .. }
            | Self::Credentials { .. }
            | Self::NotARegistry { .. }
            | Self::Unusable { .. } => Consequence::Mend,
        }
    }
}
