//! The command line, as a function: a test can be the process just as well.

use std::ffi::OsString;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use clap::Parser as _;

use crate::check::{Totals, addresses_twice, owners, twice};
use crate::fault::Faults;
use crate::ledger::{self, Ledger};
use crate::server::{Connections, serve};
use crate::service::{Behaviour, Repeats, Service};

/// A provider over HTTP for tests, and what its ledger says.
#[derive(Debug, clap::Parser)]
#[command(name = "sealpost-providerkit")]
enum Command {
    /// Serves `POST` anywhere and `GET …/status/KEY`, until it is killed.
    Serve(Serve),
    /// Counts what a ledger says, and fails if anybody was sent something twice.
    Check(Check),
}

#[derive(Debug, clap::Args)]
struct Serve {
    /// Where to listen; port 0 takes a free one, which is printed
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// The ledger, one JSON object a line; goes on with one that is there
    #[arg(long)]
    ledger: PathBuf,
    /// What faults are drawn from
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Shares of faults, such as `swallow=0.1,late=0.05`
    #[arg(long, default_value = "")]
    faults: Faults,
    /// Share of questions by key that are answered with 500
    #[arg(long, default_value_t = 0.0)]
    status_faults: f64,
    /// Take each key once
    #[arg(long)]
    dedupes: bool,
    /// How long delayed and late calls take
    #[arg(long, default_value_t = 1_000)]
    delay_ms: u64,
    /// How long every call takes
    #[arg(long, default_value_t = 0)]
    latency_ms: u64,
    /// What a 429 says
    #[arg(long, default_value_t = 1)]
    retry_after_seconds: u64,
    /// Close connections that rest this long
    #[arg(long)]
    idle_close_ms: Option<u64>,
}

#[derive(Debug, clap::Args)]
struct Check {
    /// The ledger
    ledger: PathBuf,
    /// Whose keys are whose: lines of `KEY USER PERIOD`; without it, each key stands for itself
    #[arg(long)]
    keys: Option<PathBuf>,
}

/// Runs a command; the first argument is the program's name.
#[must_use]
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let command = match Command::try_parse_from(arguments) {
        Ok(command) => command,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    let done = match command {
        Command::Serve(arguments) => arguments.run(),
        Command::Check(arguments) => arguments.run(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn say(line: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    Ok(out.flush()?)
}

impl Serve {
    fn run(self) -> Result<()> {
        if !(0.0..=1.0).contains(&self.status_faults) {
            bail!("--status-faults must be from 0 to 1");
        }
        let ledger = Ledger::open(&self.ledger)
            .with_context(|| format!("--ledger: {} cannot be opened", self.ledger.display()))?;
        let behaviour = Behaviour {
            seed: self.seed,
            faults: self.faults,
            status_faults: self.status_faults,
            repeats: if self.dedupes {
                Repeats::Collapsed
            } else {
                Repeats::Taken
            },
            delay: Duration::from_millis(self.delay_ms),
            retry_after_seconds: self.retry_after_seconds,
            latency: Duration::from_millis(self.latency_ms),
        };
        let connections = Connections {
            idle_close: self.idle_close_ms.map(Duration::from_millis),
        };
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()?;
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::bind(self.listen)
                .await
                .with_context(|| format!("--listen: cannot listen on {}", self.listen))?;
            say(&format!("listening on {}", listener.local_addr()?))?;
            serve(
                listener,
                Arc::new(Service::new(behaviour, ledger)),
                connections,
            )
            .await;
            Ok(())
        })
    }
}

impl Check {
    fn run(self) -> Result<()> {
        let lines = ledger::read(&self.ledger)
            .with_context(|| format!("{} cannot be read", self.ledger.display()))?;
        let owners = match &self.keys {
            None => std::collections::HashMap::new(),
            Some(keys) => {
                let text = std::fs::read_to_string(keys)
                    .with_context(|| format!("--keys: {} cannot be read", keys.display()))?;
                owners(&text)
                    .map_err(|line| anyhow::anyhow!("--keys: line {line} is not KEY USER PERIOD"))?
            }
        };
        say(&Totals::of(&lines).to_string())?;
        say(&format!(
            "{} addresses were sent more than one message on a channel",
            addresses_twice(&lines)
        ))?;
        let twice = twice(&lines, |key| {
            owners.get(key).cloned().unwrap_or_else(|| key.to_owned())
        });
        if let Some((who, keys)) = twice.first_key_value() {
            bail!(
                "{} were sent something more than once; the first is {who}, {} times",
                twice.len(),
                keys.len()
            );
        }
        Ok(())
    }
}
