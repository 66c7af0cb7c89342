//! Who has a data directory's log open.

use std::fmt;

/// What a process opens a data directory for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Running stages: there is one such process, and it has the log open itself.
    Run,
    /// Anything else: it opens the log if nobody has it, and asks whoever has it otherwise.
    Command,
}

impl Role {
    const fn name(self) -> &'static str {
        match self {
            Self::Run => "run",
            Self::Command => "command",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Run => "`sealpost run`",
            Self::Command => "a sealpost command",
        })
    }
}

/// The process that has the log open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// Its process id.
    pub pid: u32,
    /// What it opened the directory for.
    pub role: Role,
    /// Its version of sealpost.
    pub version: String,
}

impl Holder {
    /// This process.
    pub(super) fn this_process(role: Role) -> Self {
        let version = env!("CARGO_PKG_VERSION").to_owned();
        Self {
            pid: std::process::id(),
            role,
            version,
        }
    }

    /// `PID ROLE VERSION`: what [`Holder::from_line`] reads.
    pub(super) fn line(&self) -> String {
        format!("{} {} {}", self.pid, self.role.name(), self.version)
    }

    /// The holder that a line names, if it names one.
    pub(super) fn from_line(line: &str) -> Option<Self> {
        let mut words = line.split_whitespace();
        let pid = words.next()?.parse().ok()?;
        let name = words.next()?;
        let role = [Role::Run, Role::Command]
            .into_iter()
            .find(|role| role.name() == name)?;
        Some(Self {
            pid,
            role,
            version: words.next()?.to_owned(),
        })
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (pid {})", self.role, self.pid)
    }
}
