//! `bench`: how fast this machine does the job, on the log that is configured, with the simulated
//! provider. Every workload checks its own result: a figure of a run that went wrong is none.

mod latency;
mod resources;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use clap::ValueEnum;
use sealpost_schemas::Period;
use sealpost_schemas::key_ring::KeyRing;
use sealpost_seeds::{Population, Settings};
use serde_json::json;

use self::latency::Stream;
use self::resources::{Phase, Resources, machine};
use super::run::{Until, run, stage_keys, stop_by_signal};
use super::{Scene, Stage, close, ingest, keys, replay, seed};
use crate::books::Books;
use crate::config::{Backend, Config};
use crate::deployment::{Deployment, catalog};
use crate::door::inspect;
use crate::host::Role;
use crate::kafka;
use crate::pipeline::Pipeline;
use crate::provider::ledger::Ledger;
use crate::seed::{SeedSummary, offer};
use crate::topics::Topics;
use crate::usage_error::{UsageError, usage};

const ALL: [Stage; 3] = [Stage::Settle, Stage::Render, Stage::Send];

/// `bench …`
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// What to do; each on a log of its own
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Workload::Burst, Workload::Stream])]
    workload: Vec<Workload>,
    /// How many subscribers, with ten usage events each on average
    #[arg(long, default_value_t = 100_000)]
    users: u64,
    /// The month to bill, YYYY-MM
    #[arg(long, default_value = "2026-01")]
    period: Period,
    /// The same seed gives the same population
    #[arg(long, default_value_t = 42)]
    seed: u64,
    /// stream: events a second [default: half of what was settled a second at full speed just before]
    #[arg(long)]
    rate: Option<u64>,
    /// stream: for how long
    #[arg(long, default_value_t = 30)]
    seconds: u64,
}

/// A kind of load.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Workload {
    /// The end of a month: ingest, close, all stages until everybody has a bill; then a start with
    /// everything done, and a replay of the month
    Burst,
    /// As burst, one call in ten refused, so that its bill goes by the next channel
    Storm,
    /// Usage as it comes, at a set rate: how long until an event is counted for good
    Stream,
}

impl Workload {
    const fn name(self) -> &'static str {
        match self {
            Self::Burst => "burst",
            Self::Storm => "storm",
            Self::Stream => "stream",
        }
    }

    const fn failure_rate(self) -> f64 {
        match self {
            Self::Storm => 0.1,
            Self::Burst | Self::Stream => 0.01,
        }
    }
}

pub(super) fn execute(scene: &Scene, arguments: &Arguments) -> Result<()> {
    if arguments.users < 2 || arguments.seconds == 0 {
        return Err(
            UsageError("--users must be at least 2, --seconds at least 1".to_owned()).into(),
        );
    }
    let folder = scene.data_dir.join("bench");
    let mut results = Vec::new();
    let mut text = String::new();
    for workload in &arguments.workload {
        let bench = Bench::prepare(scene, arguments, *workload, &folder)?;
        let measured = match workload {
            Workload::Burst | Workload::Storm => bench.burst(arguments),
            Workload::Stream => bench.stream(arguments),
        };
        // whatever became of it, nothing of it stays
        let cleared = bench.clear();
        let Measured { phases, latency } = measured?;
        cleared?;
        for phase in &phases {
            text.push_str(&format!("{:8} {phase}\n", workload.name()));
        }
        if let Some(latency) = &latency {
            text.push_str(&format!(
                "{:8} from event to counted: {latency}\n",
                workload.name()
            ));
        }
        let phases: Vec<_> = phases.iter().map(Phase::json).collect();
        results.push(json!({
            "workload": workload.name(),
            "phases": phases,
            "latency": latency,
        }));
    }
    let backend = match scene.config.log.backend {
        Backend::Embedded => "embedded",
        Backend::Kafka => "kafka",
    };
    let json = json!({
        "machine": machine(),
        "version": env!("CARGO_PKG_VERSION"),
        "log": backend,
        "partitions": scene.config.log.partitions,
        "workers": scene.config.workers(),
        "users": arguments.users,
        "results": results,
    });
    scene.answer(&json, &text)
}

struct Measured {
    phases: Vec<Phase>,
    latency: Option<latency::Summary>,
}

/// A deployment of one workload, and what goes into it.
struct Bench {
    folder: PathBuf,
    config: Config,
    ring: KeyRing,
    population: Population,
    seeded: SeedSummary,
}

impl Bench {
    fn prepare(
        scene: &Scene,
        arguments: &Arguments,
        workload: Workload,
        folder: &Path,
    ) -> Result<Self> {
        let folder = folder.join(workload.name());
        if folder.exists() {
            bail!(
                "{} is there: another `bench` runs, or one was ended half-way; remove it first",
                folder.display()
            );
        }
        std::fs::create_dir_all(&folder)
            .with_context(|| format!("cannot make {}", folder.display()))?;
        let mut config = Config {
            log: scene.config.log.clone(),
            run: scene.config.run.clone(),
            schema_registry: scene.config.schema_registry.clone(),
            ..Config::default()
        };
        // a name of its own, so that no bench meets what another left, and none a deployment
        config.log.topic_prefix = format!(
            "{}bench-{}-{}.",
            scene.config.log.topic_prefix,
            workload.name(),
            std::process::id()
        );
        config.windows.ignore = true;
        config.keys.file = folder.join("keys.json");
        config.simulate(workload.failure_rate(), 20_000);
        let ring = keys::generate(&config.keys.file)?;
        let settings = Settings::new(offer(&catalog(&config)?));
        let population =
            seed::population(arguments.seed, arguments.users, arguments.period, settings)?;
        let seeded = seed::seed(&population, &ring, &folder.join("inputs"))?;
        Ok(Self {
            folder,
            config,
            ring,
            population,
            seeded,
        })
    }

    fn open(&self) -> Result<Deployment> {
        Deployment::open(self.config.clone(), &self.folder.join("data"), Role::Run)
    }

    /// Runs all stages until nothing is left to do.
    fn drain(&self, deployment: &Deployment) -> Result<()> {
        let keys = stage_keys(&self.ring, &ALL)?;
        let stop = stop_by_signal()?;
        run(deployment, keys, &ALL, Until::Drained, Arc::clone(&stop))?;
        ensure!(!stop.load(Ordering::SeqCst), "stopped before it was done");
        Ok(())
    }

    fn ingest(&self, deployment: &Deployment, files: &[PathBuf]) -> Result<()> {
        let inputs = inspect(files).map_err(usage)?;
        let ingested = ingest::ingest(deployment, &self.ring, &inputs)?;
        ensure!(ingested.dead_letters == 0, "some of the input was refused");
        Ok(())
    }

    fn burst(&self, arguments: &Arguments) -> Result<Measured> {
        let users = self.seeded.users;
        let mut phases = Vec::new();
        let mut took = Resources::now();
        let mut lap = |name: &'static str, count: u64, unit: &'static str| {
            phases.push(took.lap(name, count, unit));
        };
        let deployment = self.open()?;
        let files = [self.seeded.subscribers.clone(), self.seeded.usage.clone()];
        lap("open", 0, "");
        self.ingest(&deployment, &files)?;
        lap("ingest", self.seeded.events, "events");
        close::close(&deployment, arguments.period, None)?;
        self.drain(&deployment)?;
        lap("settle, render, send", users, "users");
        self.check(&deployment, arguments.period)?;
        drop(deployment);
        lap("look at the books", users, "users");
        // everything is done: to be up again is all there is to do
        let deployment = self.open()?;
        self.drain(&deployment)?;
        lap("start again", users, "users");
        replay::set_back(&deployment, &ALL)?;
        self.drain(&deployment)?;
        lap("replay", users, "users");
        self.check(&deployment, arguments.period)?;
        Ok(Measured {
            phases,
            latency: None,
        })
    }

    fn stream(&self, arguments: &Arguments) -> Result<Measured> {
        let mut phases = Vec::new();
        let deployment = self.open()?;
        self.ingest(&deployment, std::slice::from_ref(&self.seeded.subscribers))?;
        let stop = stop_by_signal()?;
        let settled = AtomicBool::new(false);
        let latency = std::thread::scope(|scope| -> Result<_> {
            let stages = [Stage::Settle];
            let keys = stage_keys(&self.ring, &stages)?;
            let (running, over) = (&deployment, &settled);
            let run_stop = Arc::clone(&stop);
            let settling = scope.spawn(move || {
                let done = run(running, keys, &stages, Until::Stopped, run_stop);
                over.store(true, Ordering::SeqCst);
                done
            });
            let mut stream = Stream::new(&deployment, &self.population, over);
            let mut took = Resources::now();
            let mut measure = || -> Result<_> {
                // the first event waits for whoever starts and joins
                stream.send(1)?;
                stream.wait()?;
                took = Resources::now();
                let events = stream.send(self.seeded.events)?;
                stream.wait()?;
                let full = took.lap("settle at full speed", events, "events");
                let rate = arguments
                    .rate
                    .unwrap_or(full.per_second() as u64 / 2)
                    .max(1);
                phases.push(full);
                let latency = stream.at_rate(rate, Duration::from_secs(arguments.seconds))?;
                let name = "settle at the rate";
                phases.push(took.lap(name, rate * arguments.seconds, "events"));
                Ok(latency)
            };
            let measured = measure();
            stop.store(true, Ordering::SeqCst);
            let done = settling.join();
            let latency = measured?;
            done.map_err(|_| anyhow::anyhow!("settling ended in a panic"))??;
            Ok(latency)
        })?;
        Ok(Measured {
            phases,
            latency: Some(latency),
        })
    }

    /// The books must balance, and agree with what the provider's own ledger says.
    fn check(&self, deployment: &Deployment, period: Period) -> Result<()> {
        let books = Books::read(deployment, period)?;
        let world = Ledger::summary(&self.folder.join("data"), period)?.total;
        ensure!(
            books.balanced
                && books.sent + books.failed == self.seeded.users
                && world.users_accepted == books.sent
                && world.users_accepted_more_than_once == 0,
            "the books and the provider's ledger do not agree: this is a bug"
        );
        Ok(())
    }

    fn clear(&self) -> Result<()> {
        if self.config.log.backend == Backend::Kafka {
            let log = kafka::open(&self.config, &self.folder.join("data"), None)?;
            let specs = Pipeline::new(Topics::new(&self.config.log.topic_prefix)).topic_specs();
            let topics: Vec<_> = specs.into_iter().map(|spec| spec.topic).collect();
            log.delete(&topics).map_err(kafka::blame)?;
        }
        std::fs::remove_dir_all(&self.folder)
            .with_context(|| format!("cannot remove {}", self.folder.display()))
    }
}
