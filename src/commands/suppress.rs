//! `suppress`: addresses that nothing is sent to. An address becomes its token here and is never
//! on the command line, where every user of the machine could read it.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::Read as _;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::{Subcommand, ValueEnum};
use sealpost_schemas::key_ring::KeyRing;
use sealpost_schemas::record::{AddressToken, SuppressionReason};
use sealpost_schemas::sealed::KeyPurpose;
use sealpost_schemas::{Channel, Digest};
use serde::Deserialize;
use zeroize::Zeroizing;

use super::{Answer, Scene};
use crate::config::Config;
use crate::deployment::{Deployment, key_ring};
use crate::door::{Door, Input, InputKind, Row, contacts, inspect, unreadable};
use crate::suppressions::{self, Suppressions};
use crate::usage_error::{UsageError, usage};

/// Bytes of addresses that are read from stdin: more than that comes as a file.
const STDIN_BYTES_MAX: u64 = 1024 * 1024;

/// Bad rows that are told one by one.
const REFUSED_SHOWN: u64 = 10;

/// `suppress …`
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Suppress the addresses of files
    Import {
        /// Parquet, CSV or NDJSON files, or folders of them, with the columns channel and address
        /// (or token)
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
        /// Why
        #[arg(long, value_enum)]
        reason: Word,
    },
    /// Suppress single addresses
    Add {
        /// The channel; a phone number has one token for sms and another for kakao
        #[arg(long)]
        channel: Channel,
        /// Read addresses from stdin, one a line
        #[arg(long, required_unless_present = "token")]
        address_stdin: bool,
        /// A token, as `suppress list` shows it
        #[arg(long, conflicts_with = "address_stdin")]
        token: Option<String>,
        /// Why
        #[arg(long, value_enum, default_value_t = Word::Blocked)]
        reason: Word,
    },
    /// The tokens of suppressed addresses, and why and since when they are
    List {
        /// Only this channel
        #[arg(long)]
        channel: Option<Channel>,
        /// Only this reason
        #[arg(long, value_enum)]
        reason: Option<Word>,
    },
    /// Use addresses again: those of files, or single ones
    Remove {
        /// Files as `suppress import` takes them
        #[arg(
            value_name = "FILE",
            required_unless_present = "channel",
            conflicts_with = "channel"
        )]
        files: Vec<PathBuf>,
        /// The channel of single addresses
        #[arg(long, requires = "which")]
        channel: Option<Channel>,
        /// Read addresses from stdin, one a line
        #[arg(long, group = "which", requires = "channel")]
        address_stdin: bool,
        /// A token, as `suppress list` shows it
        #[arg(long, group = "which", requires = "channel")]
        token: Option<String>,
    },
}

/// Why an address is suppressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Word {
    /// What was sent there came back
    Bounced,
    /// Its owner wants nothing there
    OptedOut,
    /// The operator wants nothing sent there
    Blocked,
}

impl Word {
    const fn reason(self) -> SuppressionReason {
        match self {
            Self::Bounced => SuppressionReason::Bounced,
            Self::OptedOut => SuppressionReason::OptedOut,
            Self::Blocked => SuppressionReason::Blocked,
        }
    }
}

/// What a request over HTTP names: addresses of a channel, as they are or by their tokens.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Named {
    channel: Channel,
    #[serde(default)]
    addresses: Vec<Address>,
    #[serde(default)]
    tokens: Vec<String>,
    /// Of what is suppressed.
    reason: Option<Word>,
}

/// An address in the clear, for as long as its token is made.
struct Address(Zeroizing<String>);

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from).map(Zeroizing::new).map(Self)
    }
}

/// What a list of addresses came to.
#[derive(Debug, Default)]
struct Addresses {
    tokens: BTreeSet<AddressToken>,
    /// Bad rows.
    refused: u64,
}

pub(super) fn execute(scene: &Scene, command: &Command) -> Result<()> {
    match command {
        Command::Import { files, reason } => {
            let read = of_files(scene, files)?;
            scene.command(|deployment| suppress(deployment, &read, reason.reason()))
        }
        Command::Add {
            channel,
            token,
            reason,
            ..
        } => {
            let read = of_words(scene, *channel, token.as_deref())?;
            scene.command(|deployment| suppress(deployment, &read, reason.reason()))
        }
        Command::List { channel, reason } => {
            scene.command(|deployment| list(deployment, *channel, *reason))
        }
        Command::Remove {
            files,
            channel,
            token,
            ..
        } => {
            let read = match channel {
                Some(channel) => of_words(scene, *channel, token.as_deref())?,
                None => of_files(scene, files)?,
            };
            scene.command(|deployment| unsuppress(deployment, &read))
        }
    }
}

/// Over HTTP: suppresses what a request names.
pub(super) fn add(deployment: &Deployment, named: &Named) -> Result<Answer> {
    let read = of_request(&deployment.config, named)?;
    let reason = named.reason.unwrap_or(Word::Blocked);
    suppress(deployment, &read, reason.reason())
}

/// Over HTTP: uses again what a request names.
pub(super) fn remove(deployment: &Deployment, named: &Named) -> Result<Answer> {
    if named.reason.is_some() {
        let why = "a reason is of what is suppressed: leave it out";
        return Err(UsageError(why.to_owned()).into());
    }
    unsuppress(deployment, &of_request(&deployment.config, named)?)
}

/// Over HTTP: every suppressed address.
pub(super) fn list_all(deployment: &Deployment) -> Result<Answer> {
    list(deployment, None, None)
}

/// All of them are good, or none is taken; a refusal tells a place, and not what stands there.
fn of_request(config: &Config, named: &Named) -> Result<Addresses> {
    let Named {
        channel,
        addresses,
        tokens,
        ..
    } = named;
    let channel = *channel;
    if addresses.is_empty() && tokens.is_empty() {
        return Err(UsageError("there is neither an address nor a token".to_owned()).into());
    }
    let mut read = Addresses::default();
    for (index, token) in tokens.iter().enumerate() {
        let token = token.parse().map_err(|_| {
            let number = index + 1;
            UsageError(format!("token {number} must be 64 hexadecimal digits"))
        })?;
        read.tokens.insert(AddressToken { channel, token });
    }
    if addresses.is_empty() {
        return Ok(read);
    }
    let ring = matching_keys(config)?;
    for (index, Address(address)) in addresses.iter().enumerate() {
        let token = contacts::token(&ring, channel, address)
            .map_err(|error| UsageError(format!("address {}: {error}", index + 1)))?;
        read.tokens.insert(AddressToken { channel, token });
    }
    Ok(read)
}

/// The addresses that are named by a token, or on stdin.
fn of_words(scene: &Scene, channel: Channel, token: Option<&str>) -> Result<Addresses> {
    let tokens = match token {
        Some(token) => {
            let token: Digest = token
                .parse()
                .map_err(|_| UsageError("--token must be 64 hexadecimal digits".to_owned()))?;
            BTreeSet::from([AddressToken { channel, token }])
        }
        None => of_stdin(&matching_keys(&scene.config)?, channel)?,
    };
    Ok(Addresses { tokens, refused: 0 })
}

fn matching_keys(config: &Config) -> Result<KeyRing> {
    let ring = key_ring(config)?;
    ring.require(&[KeyPurpose::Match]).map_err(usage)?;
    Ok(ring)
}

/// The tokens of the addresses on stdin; all of them are good, or none is taken.
fn of_stdin(ring: &KeyRing, channel: Channel) -> Result<BTreeSet<AddressToken>> {
    let mut text = Zeroizing::new(String::new());
    std::io::stdin()
        .lock()
        .take(STDIN_BYTES_MAX + 1)
        .read_to_string(&mut text)
        .context("stdin cannot be read as UTF-8 text")?;
    if text.len() as u64 > STDIN_BYTES_MAX {
        return Err(UsageError(
            "stdin holds more than a megabyte: put it into a file for `suppress import`".to_owned(),
        )
        .into());
    }
    let mut tokens = BTreeSet::new();
    for (index, line) in text.lines().enumerate() {
        let address = line.trim();
        if address.is_empty() {
            continue;
        }
        let token = contacts::token(ring, channel, address)
            .map_err(|error| UsageError(format!("line {} of stdin: {error}", index + 1)))?;
        tokens.insert(AddressToken { channel, token });
    }
    if tokens.is_empty() {
        return Err(UsageError("there is no address on stdin: one a line".to_owned()).into());
    }
    Ok(tokens)
}

/// The tokens of the addresses in files. A bad row is told by its number, and the rest goes on.
fn of_files(scene: &Scene, paths: &[PathBuf]) -> Result<Addresses> {
    let inputs = inspect(paths).map_err(usage)?;
    if let Some(input) = inputs
        .iter()
        .find(|input| input.kind() != InputKind::Suppressions)
    {
        return Err(UsageError(format!(
            "{}: holds {}, not addresses to suppress (columns channel, address or token)",
            input.path().display(),
            input.kind()
        ))
        .into());
    }
    let ring = if inputs.iter().any(Input::has_plaintext) {
        matching_keys(&scene.config)?
    } else {
        KeyRing::from_json("{\"keys\": []}")?
    };
    let door = Door::new(&ring, jiff::tz::TimeZone::UTC);
    let mut read = Addresses::default();
    for input in &inputs {
        for warning in input.warnings() {
            tracing::warn!("{warning}");
        }
        let name = input.name();
        let refused_before = read.refused;
        let summary = door.read(input, &mut |number, row| {
            match row {
                Row::Suppression(address) => {
                    read.tokens.insert(address);
                }
                Row::Refused(refused) => {
                    read.refused += 1;
                    if read.refused - refused_before <= REFUSED_SHOWN {
                        tracing::warn!("{name}: row {number} is refused: {}", refused.detail);
                    }
                }
                Row::Subscriber(_) | Row::Usage(_) => {}
            }
            Ok(())
        });
        if let Some(warning) = summary.map_err(unreadable)?.warning {
            tracing::warn!("{warning}");
        }
        let more = (read.refused - refused_before).saturating_sub(REFUSED_SHOWN);
        if more > 0 {
            tracing::warn!("{name}: {more} more rows are refused");
        }
    }
    Ok(read)
}

fn suppress(
    deployment: &Deployment,
    read: &Addresses,
    reason: SuppressionReason,
) -> Result<Answer> {
    let done = suppressions::add(deployment, &read.tokens, reason)?;
    let json = serde_json::json!({
        "suppressed": done.changed, "already": done.left, "refused": read.refused,
        "reason": reason.name(), "command_ids": done.command_ids,
    });
    let text = format!(
        "{} addresses are suppressed as {}, {} were already, {} rows were refused",
        done.changed,
        reason.name(),
        done.left,
        read.refused
    );
    Ok(Answer { json, text })
}

fn unsuppress(deployment: &Deployment, read: &Addresses) -> Result<Answer> {
    let done = suppressions::remove(deployment, &read.tokens)?;
    let json = serde_json::json!({
        "removed": done.changed, "not_suppressed": done.left, "refused": read.refused,
        "command_ids": done.command_ids,
    });
    let text = format!(
        "{} addresses may be used again, {} were not suppressed, {} rows were refused; `retry` sends what ended suppressed",
        done.changed, done.left, read.refused
    );
    Ok(Answer { json, text })
}

fn list(deployment: &Deployment, channel: Option<Channel>, reason: Option<Word>) -> Result<Answer> {
    let mut found: Suppressions = suppressions::read(deployment)?;
    found.retain(|address, suppressed| {
        channel.is_none_or(|channel| channel == address.channel)
            && reason.is_none_or(|reason| reason.reason() == suppressed.reason)
    });
    let mut text = String::new();
    let mut json = Vec::with_capacity(found.len());
    for (address, suppressed) in &found {
        let (channel, token) = (address.channel.name(), address.token.to_string());
        let (reason, since) = (suppressed.reason.name(), suppressed.since.to_string());
        let _ = writeln!(text, "{channel:<6} {token} {reason:<10} {since}");
        json.push(serde_json::json!({
            "channel": channel, "token": token, "reason": reason, "since": since,
            "command_id": suppressed.command_id,
        }));
    }
    if found.is_empty() {
        text.push_str("no address is suppressed");
    }
    Ok(Answer {
        json: serde_json::Value::from(json),
        text,
    })
}
