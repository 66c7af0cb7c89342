//! The log on Kafka, as a deployment's configuration describes it.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use sealpost_topology::log::{
    GroupProtocol, KafkaLog, KafkaSettings, LogError, Membership, TopicCreation,
};

use crate::config::{Config, GroupProtocolName};
use crate::deployment::{fill_random, now_ms};
use crate::usage_error::{UsageError, usage};

/// How long a command waits for brokers that do not answer: somebody is waiting for the command.
const COMMAND_PATIENCE: Duration = Duration::from_secs(15);

/// A data directory that one `run` has for itself: local copies, and who it is.
#[derive(Debug)]
pub struct Seat {
    identity: String,
    /// Held for its lock, which the kernel gives back when the process dies.
    _lock: File,
}

impl Seat {
    /// Takes the directory, making it if it is not there.
    ///
    /// # Errors
    /// When it cannot be used, or another `run` has it.
    pub fn take(data_dir: &Path) -> Result<Self> {
        let name = data_dir.display();
        let opened = std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(data_dir)
            .and_then(|()| {
                OpenOptions::new()
                    .read(true)
                    .write(true)
                    .create(true)
                    .truncate(false)
                    .mode(0o600)
                    .open(data_dir.join("lock"))
            });
        let lock = opened.with_context(|| {
            format!("the data directory {name} cannot be used; make it a writable directory, or choose another with --data-dir")
        })?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(UsageError(format!(
                    "another `sealpost run` has the data directory {name}: stop it, or give this one a directory of its own with --data-dir"
                ))
                .into());
            }
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("the data directory {name}"));
            }
        }
        let file = data_dir.join("identity");
        let identity = match std::fs::read_to_string(&file) {
            Ok(text) if is_identity(text.trim()) => text.trim().to_owned(),
            _ => {
                let identity = new_identity()?;
                OpenOptions::new()
                    .write(true)
                    .create(true)
                    .truncate(true)
                    .mode(0o600)
                    .open(&file)
                    .and_then(|mut file| writeln!(file, "{identity}"))
                    .with_context(|| format!("the data directory {name}"))?;
                identity
            }
        };
        Ok(Self {
            identity,
            _lock: lock,
        })
    }
}

fn is_identity(text: &str) -> bool {
    text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn new_identity() -> Result<String> {
    let mut bytes = [0; 8];
    fill_random(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Opens the log of a deployment: for a `run`, which has a seat, or for a command.
///
/// # Errors
/// When nobody answers, or a setting, the credentials or the topics do not fit.
pub fn open(config: &Config, data_dir: &Path, seat: Option<&Seat>) -> Result<KafkaLog> {
    let kafka = &config.log.kafka;
    let identity = match (&kafka.instance_id, seat) {
        (Some(id), Some(_)) => id.clone(),
        (None, Some(seat)) => seat.identity.clone(),
        // any number of commands at once
        (_, None) => new_identity()?,
    };
    let patience = match seat {
        Some(_) => Duration::from_millis(u64::try_from(kafka.patience).unwrap_or(0)),
        None => COMMAND_PATIENCE,
    };
    let membership = if kafka.instance_id.is_some() && seat.is_some() {
        Membership::Static
    } else {
        Membership::Dynamic
    };
    let mirror_dir = (kafka.local_copies && seat.is_some()).then(|| data_dir.join("copies"));
    KafkaLog::open(KafkaSettings {
        membership,
        mirror_dir,
        ..settings(config, identity, patience)
    })
    .map_err(blame)
}

/// Opens the log of a deployment for work that only one process does at a time: of two, the later
/// one takes the transactions of the earlier one away, and ends what one left open that was killed.
///
/// # Errors
/// As [`open`].
pub fn open_alone(config: &Config) -> Result<KafkaLog> {
    let patience = 4 * COMMAND_PATIENCE;
    KafkaLog::open(settings(config, "alone".to_owned(), patience)).map_err(blame)
}

fn settings(config: &Config, identity: String, patience: Duration) -> KafkaSettings {
    let kafka = &config.log.kafka;
    KafkaSettings {
        bootstrap_servers: kafka.bootstrap_servers.clone(),
        partitions: config.log.partitions,
        replication_factor: kafka.replication_factor,
        creation: if kafka.create_topics {
            TopicCreation::Create
        } else {
            TopicCreation::Expect
        },
        prefix: config.log.topic_prefix.clone(),
        identity,
        membership: Membership::Dynamic,
        protocol: match kafka.group_protocol {
            GroupProtocolName::Consumer => GroupProtocol::Consumer,
            GroupProtocolName::Classic => GroupProtocol::Classic,
        },
        properties: kafka.properties.clone(),
        patience,
        mirror_dir: None,
        clock: Arc::new(now_ms),
    }
}

/// What is the caller's to mend ends the process with 2: settings, credentials, rights, topics
/// that do not fit.
#[must_use]
pub fn blame(error: LogError) -> anyhow::Error {
    match error {
        LogError::Mismatch(_) | LogError::Refused(_) => usage(error),
        other => other.into(),
    }
}
