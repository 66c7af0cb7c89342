//! `keys`: makes the key ring, adds keys to it.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use clap::{Subcommand, ValueEnum};
use sealpost_schemas::key_ring::KeyRing;
use sealpost_schemas::sealed::KeyPurpose;

use super::Scene;
use crate::deployment::{fill_random, key_ring};
use crate::usage_error::UsageError;

/// `keys …`
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Make a key ring with one key for each purpose; an existing file is never overwritten
    Generate,
    /// Add a new primary key for a purpose; old ones still open
    Rotate {
        /// What the key is for
        #[arg(long)]
        purpose: Purpose,
    },
}

/// A key's purpose.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum Purpose {
    /// Opens destinations
    Destination,
    /// Opens names and masked contacts
    Profile,
    /// Makes the tokens by which addresses are matched
    Match,
    /// Seals and opens what was refused
    DeadLetter,
}

pub(super) fn execute(scene: &Scene, command: &Command) -> Result<()> {
    let file = &scene.config.keys.file;
    match command {
        Command::Generate => {
            generate(file)?;
            let json = serde_json::json!({ "file": file });
            scene.answer(
                &json,
                &format!(
                    "made the key ring {}: keep it safe, nothing opens without it",
                    file.display()
                ),
            )
        }
        Command::Rotate { purpose } => {
            let mut ring = key_ring(&scene.config)?;
            let purpose = match purpose {
                Purpose::Destination => KeyPurpose::Destination,
                Purpose::Profile => KeyPurpose::Profile,
                Purpose::Match => KeyPurpose::Match,
                Purpose::DeadLetter => KeyPurpose::DeadLetter,
            };
            with_random(|fill| ring.rotate(purpose, fill))?;
            // written beside it and moved over it: a crash leaves the old ring or the new one
            let new = file.with_extension("json.new");
            let _ = std::fs::remove_file(&new);
            write_new(&new, &ring)?;
            std::fs::rename(&new, file)
                .with_context(|| format!("cannot replace {}", file.display()))?;
            let json = serde_json::json!({ "file": file, "purpose": purpose.name() });
            let hint = if purpose == KeyPurpose::Match {
                ": tokens made before match nothing any more, so ingest the subscribers and import the suppressed addresses again before the next close"
            } else {
                ""
            };
            scene.answer(
                &json,
                &format!(
                    "{} has a new primary key for {}{hint}",
                    file.display(),
                    purpose.name()
                ),
            )
        }
    }
}

/// Makes a key ring file.
pub(super) fn generate(file: &Path) -> Result<KeyRing> {
    let ring = with_random(KeyRing::generate)?;
    write_new(file, &ring)?;
    Ok(ring)
}

fn with_random<T>(make: impl FnOnce(&mut dyn FnMut(&mut [u8])) -> T) -> Result<T> {
    let mut failure = None;
    let made = make(&mut |bytes| failure = fill_random(bytes).err().or(failure.take()));
    failure.map_or(Ok(made), Err)
}

fn write_new(file: &Path, ring: &KeyRing) -> Result<()> {
    let mut options = std::fs::OpenOptions::new();
    let mut out = options.write(true).create_new(true).mode(0o600).open(file).map_err(|error| {
        let hint = if error.kind() == std::io::ErrorKind::AlreadyExists {
            ": it is there already, and what was sealed with it opens with nothing else; name another file in keys.file"
        } else {
            ""
        };
        UsageError(format!("cannot make the key ring {}: {error}{hint}", file.display()))
    })?;
    out.write_all(ring.to_json().as_bytes())?;
    out.sync_all()?;
    Ok(())
}
