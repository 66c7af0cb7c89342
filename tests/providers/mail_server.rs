//! A mail server of other people's making (`aiosmtpd`), as a process of its own.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use sealpost::config::ProviderSmtpConfig;
use serde_json::Value;
use tempfile::TempDir;

use crate::python::interpreter;

/// See the module. Ends with whoever started it.
pub(crate) struct MailServer {
    child: Child,
    folder: TempDir,
    pub(crate) port: u16,
}

impl MailServer {
    /// Starts one with arguments of `smtp_server.py`, and waits until it listens; `None` where
    /// there is no Python for it.
    pub(crate) fn start(arguments: &[&str]) -> Option<Self> {
        let interpreter = interpreter("smtp_server.py", "aiosmtpd")?;
        let folder = tempfile::tempdir().unwrap();
        let mut child = Command::new(interpreter)
            .arg(concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/tests/interop/smtp_server.py"
            ))
            .arg("--mailbox")
            .arg(folder.path().join("mailbox.ndjson"))
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let (_, port) = line
            .trim()
            .split_once("listening on 127.0.0.1:")
            .expect("it listens");
        Some(Self {
            port: port.parse().unwrap(),
            child,
            folder,
        })
    }

    /// One with whom one thing always goes wrong.
    pub(crate) fn with_fault(fault: &str) -> Option<Self> {
        Self::start(&["--fault", fault])
    }

    /// How it is reached, with all the time there is.
    pub(crate) fn settings(&self) -> ProviderSmtpConfig {
        let from = "요금 안내 <bills@mail.example>";
        ProviderSmtpConfig::at("127.0.0.1", self.port, from)
    }

    /// What it has taken.
    pub(crate) fn mails(&self) -> Vec<Value> {
        std::fs::read_to_string(self.folder.path().join("mailbox.ndjson"))
            .unwrap_or_default()
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }
}

impl Drop for MailServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
