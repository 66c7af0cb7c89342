//! One process has a data directory's log open; the others reach it through a socket.
//!
//! # Invariants
//! - Whoever holds the lock of the directory has the log open and serves it, a short command no
//!   less than a `run`: so a `status` works while a long `ingest` does.
//! - Two `run`s on one directory are refused. A `run` waits for a command; a command waits for
//!   nobody that answers.
//! - Only the user who owns the directory gets in: it is made with mode 0700, the lock and the
//!   socket with 0600.
//! - Every wait has a limit, and ends in one line that says who is waited for.
//!
//! # In the directory
//! `lock` (`host/lock.rs`), `log` (the embedded log), `socket` (`host/socket.rs`; `host/message.rs` says what is
//! spoken there).

mod client;
mod failure;
mod holder;
mod hosted;
mod lock;
mod message;
mod parts;
mod reach;
mod remote;
mod server;
mod session;
mod socket;
mod wire;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sealpost_topology::log::{ClockMs, EmbeddedLog, Log};

pub use self::holder::{Holder, Role};
use self::hosted::HostedLog;
use self::remote::{RemoteLog, Via};

/// Records written to a compacted partition before it is worth compacting again.
const COMPACT_AFTER: u64 = 100_000;

/// Opens the log of a data directory, here or through the process that has it open.
#[derive(Debug, Clone, Copy)]
pub struct Host;

/// Which log, and what it is opened with.
#[derive(Clone)]
struct Place {
    data_dir: PathBuf,
    partitions: u32,
    clock: ClockMs,
}

impl Host {
    /// Opens the log of `data_dir`, making both if they are not there. `partitions` must be what
    /// the log was made with.
    ///
    /// A [`Role::Run`] has the log open itself; it waits up to ten minutes for a command that has
    /// it, saying so on stderr. A [`Role::Command`] has it open if nobody else does, and otherwise
    /// asks whoever does; it gives up after ten seconds without an answer.
    ///
    /// # Errors
    /// One line that names the directory: when it cannot be used, when another `run` has it (for
    /// a [`Role::Run`]), when whoever has it does not answer or does not finish. The log's own
    /// errors ([`sealpost_topology::log::LogError`]) come as they are.
    pub fn open(
        data_dir: &Path,
        role: Role,
        partitions: u32,
        clock: ClockMs,
    ) -> anyhow::Result<Opened> {
        let place = Place {
            data_dir: data_dir.to_owned(),
            partitions,
            clock,
        };
        let hosted = |log| Opened(Access::Hosted(Arc::new(log)));
        Ok(match role {
            Role::Run => hosted(reach::take(&place)?),
            Role::Command => match reach::reach(&place)? {
                Via::Hosted(log) => hosted(log),
                Via::Client(client) => {
                    Opened(Access::Remote(Arc::new(RemoteLog::new(place, client))))
                }
            },
        })
    }
}

/// A log that is open. It is let go when this and every log taken from it are dropped.
#[derive(Clone)]
pub struct Opened(Access);

#[derive(Clone)]
enum Access {
    Hosted(Arc<HostedLog>),
    Remote(Arc<RemoteLog>),
}

impl Opened {
    /// The log.
    #[must_use]
    pub fn log(&self) -> Arc<dyn Log> {
        match &self.0 {
            Access::Hosted(log) => Arc::clone(log) as Arc<dyn Log>,
            Access::Remote(log) => Arc::clone(log) as Arc<dyn Log>,
        }
    }

    /// Whether another process has the log open. If that one ends, this may become `false`.
    #[must_use]
    pub fn is_remote(&self) -> bool {
        match &self.0 {
            Access::Hosted(_) => false,
            Access::Remote(log) => matches!(log.via().as_ref(), Via::Client(_)),
        }
    }

    /// Who has the log open, asked now.
    ///
    /// # Errors
    /// When it does not answer, and nobody takes its place.
    pub fn holder(&self) -> anyhow::Result<Holder> {
        Ok(match &self.0 {
            Access::Hosted(log) => log.holder().clone(),
            Access::Remote(log) => log.ping()?,
        })
    }

    /// Compacts what has grown, if this process has the log open.
    ///
    /// # Errors
    /// When the log failed.
    pub fn compact(&self) -> anyhow::Result<()> {
        if let Some(log) = self.embedded() {
            log.compact(COMPACT_AFTER)?;
        }
        Ok(())
    }

    /// The log itself, for its upkeep, if this process has it open. Not to be kept: as long as it
    /// is, no other process can open the log.
    #[must_use]
    pub fn embedded(&self) -> Option<EmbeddedLog> {
        match &self.0 {
            Access::Hosted(log) => Some(log.embedded().clone()),
            Access::Remote(log) => match log.via().as_ref() {
                Via::Hosted(log) => Some(log.embedded().clone()),
                Via::Client(_) => None,
            },
        }
    }
}

impl fmt::Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_remote() {
            "Opened(remote)"
        } else {
            "Opened(here)"
        })
    }
}
