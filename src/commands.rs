//! The commands, one module for each family, and the command line that names them.

mod api;
mod audit;
mod bench;
mod close;
mod correct;
mod dead_letters;
mod demo;
mod export;
mod hold;
mod ingest;
mod keys;
mod policy;
mod repartition;
mod replay;
mod resolve;
mod retry;
mod run;
mod seed;
mod status;
mod suppress;
mod template;
mod topics;

use std::io::Write as _;
use std::path::PathBuf;

use anyhow::Result;
use clap::{Parser, Subcommand, ValueEnum};
use sealpost_schemas::{Kind, Period, UserId};

use crate::config::Config;
use crate::deployment::Deployment;
use crate::host::Role;
use crate::pipeline::Pipeline;
use crate::topics::Topics;
use crate::usage_error::usage;

/// From usage records to a sent bill, once.
#[derive(Debug, Parser)]
#[command(name = "sealpost", version, about, propagate_version = true)]
pub struct Cli {
    /// The configuration file [default: sealpost.toml, if it is there]
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where the embedded log and the simulated provider's ledger are
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        default_value = "sealpost-data"
    )]
    data_dir: PathBuf,
    /// Answer as JSON
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// The whole job on the embedded log with the simulated provider: seed, ingest, close, run, summary
    Demo(demo::Arguments),
    /// Measure this machine: the whole job on the configured log, with the simulated provider
    Bench(bench::Arguments),
    /// The key ring
    #[command(subcommand)]
    Keys(keys::Command),
    /// Write a synthetic population and its usage as Parquet, personal columns sealed
    Seed(seed::Arguments),
    /// Take in subscribers or usage from Parquet, CSV or NDJSON
    Ingest(ingest::Arguments),
    /// Close a period: every active subscriber without a statement is settled, once
    Close(close::Arguments),
    /// Run the stages until stopped
    Run(run::Arguments),
    /// The channel order
    #[command(subcommand)]
    Policy(policy::Command),
    /// Begin the next round: only what failed is rendered and sent again
    Retry {
        /// The month, YYYY-MM
        period: Period,
    },
    /// Send a follow-up to exactly those who received a version of a period's bills
    Correct(correct::Arguments),
    /// Begin nothing more of a period, or of one of its channels; calls on the line end
    Hold(hold::Arguments),
    /// Let what is held go on
    Release(hold::Arguments),
    /// Say what became of a message in doubt; this never sends
    Resolve(resolve::Arguments),
    /// Where a period, or one user of it, stands
    Status {
        /// The month, YYYY-MM [default: every closed one]
        period: Option<Period>,
        /// One user of the period
        #[arg(long, requires = "period")]
        user: Option<UserId>,
    },
    /// Write the result table as Parquet
    Export {
        /// The month, YYYY-MM
        period: Period,
        /// Which messages: bill, or correction-N
        #[arg(long, default_value_t)]
        kind: Kind,
        /// The file to write
        #[arg(long, value_name = "FILE.parquet")]
        out: PathBuf,
    },
    /// Addresses that nothing is sent to
    #[command(subcommand)]
    Suppress(suppress::Command),
    /// The message templates
    #[command(subcommand)]
    Template(template::Command),
    /// What was refused
    #[command(subcommand)]
    DeadLetters(dead_letters::Command),
    /// The trail of commands
    #[command(subcommand)]
    Audit(audit::Command),
    /// Set the offsets of stages back to the begin, so that they read everything again
    Replay(replay::Arguments),
    /// Carry a deployment on Kafka over to more or fewer partitions
    Repartition(repartition::Arguments),
    /// The topics on Kafka
    #[command(subcommand)]
    Topics(topics::Command),
    /// Print the graph of stages, topics and stores
    Topology {
        /// As a Mermaid flowchart
        #[arg(long)]
        mermaid: bool,
    },
}

/// A stage of the pipeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Stage {
    /// Usage and subscribers to statements
    Settle,
    /// Statements to dispatches
    Render,
    /// Dispatches to the world
    Send,
}

/// What every command is given.
pub struct Scene {
    /// The configuration.
    pub config: Config,
    /// `--data-dir`
    pub data_dir: PathBuf,
    /// `--json`
    pub json: bool,
}

/// What a command answers.
pub(crate) struct Answer {
    /// For programs.
    json: serde_json::Value,
    /// For people.
    text: String,
}

impl Scene {
    /// Opens the deployment for a command, and says what that answers.
    fn command(&self, command: impl FnOnce(&Deployment) -> Result<Answer>) -> Result<()> {
        let deployment = Deployment::open(self.config.clone(), &self.data_dir, Role::Command)?;
        let Answer { json, text } = command(&deployment)?;
        self.answer(&json, &text)
    }

    /// Data goes to stdout: as JSON, or as text for people.
    ///
    /// # Errors
    /// When stdout is closed.
    pub fn answer(&self, json: &serde_json::Value, text: &str) -> Result<()> {
        let mut out = std::io::stdout().lock();
        if self.json {
            serde_json::to_writer(&mut out, json)?;
            writeln!(out)?;
        } else if !text.is_empty() {
            writeln!(out, "{}", text.trim_end())?;
        }
        Ok(())
    }
}

/// Does what the command line says.
///
/// # Errors
/// Whatever went wrong; [`crate::usage_error::UsageError`] if it is the caller's to mend.
pub fn execute(cli: Cli) -> Result<()> {
    let config = Config::load(cli.config.as_deref()).map_err(usage)?;
    let scene = Scene {
        config,
        data_dir: cli.data_dir,
        json: cli.json,
    };
    match cli.command {
        Command::Demo(arguments) => demo::execute(&scene, &arguments),
        Command::Bench(arguments) => bench::execute(&scene, &arguments),
        Command::Keys(command) => keys::execute(&scene, &command),
        Command::Seed(arguments) => seed::execute(&scene, &arguments),
        Command::Ingest(arguments) => ingest::execute(&scene, &arguments),
        Command::Close(arguments) => {
            // before anything is written
            crate::templates::load(&scene.config)?;
            scene.command(|deployment| close::command(deployment, &arguments))
        }
        Command::Run(arguments) => run::execute(&scene, &arguments),
        Command::Policy(command) => policy::execute(&scene, &command),
        Command::Retry { period } => scene.command(|deployment| retry::command(deployment, period)),
        Command::Correct(arguments) => correct::execute(&scene, &arguments),
        Command::Hold(arguments) => scene.command(|deployment| hold::hold(deployment, &arguments)),
        Command::Release(arguments) => {
            scene.command(|deployment| hold::release(deployment, &arguments))
        }
        Command::Resolve(arguments) => {
            scene.command(|deployment| resolve::command(deployment, &arguments))
        }
        Command::Status { period, user } => {
            scene.command(|deployment| status::command(deployment, period, user))
        }
        Command::Export { period, kind, out } => export::execute(&scene, period, kind, &out),
        Command::Suppress(command) => suppress::execute(&scene, &command),
        Command::Template(command) => template::execute(&scene, &command),
        Command::DeadLetters(command) => dead_letters::execute(&scene, &command),
        Command::Audit(command) => audit::execute(&scene, command),
        Command::Replay(arguments) => replay::execute(&scene, &arguments),
        Command::Repartition(arguments) => repartition::execute(&scene, &arguments),
        Command::Topics(command) => topics::execute(&scene, command),
        Command::Topology { mermaid } => {
            let graph = Pipeline::new(Topics::new(&scene.config.log.topic_prefix)).graph();
            let text = if mermaid {
                graph.to_mermaid()
            } else {
                graph.to_text()
            };
            scene.answer(&serde_json::json!({ "mermaid": graph.to_mermaid() }), &text)
        }
    }
}
