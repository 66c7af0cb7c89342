//! `demo`: the whole job in one command, on the embedded log with the simulated provider.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use sealpost_schemas::{Kind, Period};
use sealpost_seeds::Settings;

use super::run::{Until, run, stage_keys, stop_by_signal};
use super::status::{grouped, text};
use super::{Scene, Stage, close, export, ingest, keys, seed};
use crate::books::Books;
use crate::config::Config;
use crate::deployment::{Deployment, catalog};
use crate::door::inspect;
use crate::host::Role;
use crate::provider::ledger::Ledger;
use crate::seed::offer;
use crate::usage_error::usage;

/// What a folder of the demo is told by: only such a folder is ever cleared.
const MARK: &str = "made-by-sealpost-demo";

/// `demo …`
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// How many subscribers
    #[arg(long, default_value_t = 10_000)]
    users: u64,
    /// The month to bill, YYYY-MM
    #[arg(long, default_value = "2026-01")]
    period: Period,
    /// The same seed gives the same population
    #[arg(long, default_value_t = 42)]
    seed: u64,
}

pub(super) fn execute(scene: &Scene, arguments: &Arguments) -> Result<()> {
    let folder = scene.data_dir.join("demo");
    clear(&folder)?;
    let mut config = Config::default();
    config.log.partitions = scene.config.log.partitions;
    config.run = scene.config.run.clone();
    config.windows.ignore = true;
    config.keys.file = folder.join("keys.json");
    config.simulate(0.01, 2_000);
    let ring = keys::generate(&config.keys.file)?;
    let mut times = Vec::new();
    let mut began = Instant::now();
    let mut lap = |what: &'static str| {
        times.push((what, began.elapsed().as_secs_f64()));
        began = Instant::now();
    };

    let settings = Settings::new(offer(&catalog(&config)?));
    let population = seed::population(arguments.seed, arguments.users, arguments.period, settings)?;
    let inputs = folder.join("inputs");
    let seeded = seed::seed(&population, &ring, &inputs)?;
    lap("seed");

    let deployment = Deployment::open(config.clone(), &folder, Role::Run)?;
    let inputs = inspect(&[seeded.subscribers, seeded.usage]).map_err(usage)?;
    let ingested = ingest::ingest(&deployment, &ring, &inputs)?;
    lap("ingest");

    close::close(&deployment, arguments.period, None)?;
    let stages = [Stage::Settle, Stage::Render, Stage::Send];
    run(
        &deployment,
        stage_keys(&ring, &stages)?,
        &stages,
        Until::Drained,
        stop_by_signal()?,
    )?;
    lap("run");

    let table = folder.join(format!("result-{}.parquet", arguments.period));
    let rows = export::export(&deployment, arguments.period, Kind::Bill, &table)?;
    lap("export");

    let books = Books::read(&deployment, arguments.period)?;
    let world = Ledger::summary(&folder, arguments.period)?;
    let moved_on: u64 = config
        .policy
        .channels
        .first()
        .and_then(|first| books.by_channel.get(first.name()))
        .map_or(0, |books| books.failed);
    let json = serde_json::json!({
        "books": books, "ingested": ingested, "rows": rows, "result_table": table,
        "ledger": { "acceptances": world.total.accepted, "users_accepted": world.total.users_accepted,
            "users_accepted_twice": world.total.users_accepted_more_than_once },
        "moved_on": moved_on,
        "seconds": times.iter().map(|(what, seconds)| ((*what).to_owned(), *seconds)).collect::<std::collections::BTreeMap<_, _>>(),
    });
    let count = |number: u64| grouped(number.cast_signed());
    let mut summary = text(&books);
    let share = 100.0 * moved_on as f64 / books.statements.max(1) as f64;
    summary.push_str(&format!(
        "  {} ({share:.2} %) moved on to a second channel\n",
        count(moved_on)
    ));
    summary.push_str(&format!(
        "the provider's ledger: {} messages taken for {} users, {} of them more than once\n",
        count(world.total.accepted),
        count(world.total.users_accepted),
        count(world.total.users_accepted_more_than_once)
    ));
    let timed: Vec<_> = times
        .iter()
        .map(|(what, seconds)| format!("{what} {seconds:.1} s"))
        .collect();
    summary.push_str(&format!("{}\n", timed.join(", ")));
    summary.push_str(&format!(
        "the result table: {} rows in {}\n",
        count(rows),
        table.display()
    ));
    summary.push_str(&format!(
        "look around: sealpost --data-dir {} status {} --user {}\n",
        folder.display(),
        arguments.period,
        population.user_id(0)
    ));
    scene.answer(&json, &summary)?;
    if !books.balanced
        || world.total.users_accepted_more_than_once > 0
        || world.total.users_accepted != books.sent
    {
        bail!("the books and the provider's ledger do not agree: this is a bug");
    }
    Ok(())
}

/// Makes an empty folder; clears one that an earlier demo left.
fn clear(folder: &Path) -> Result<()> {
    if folder.exists() {
        if !folder.join(MARK).is_file() {
            bail!(
                "{} is there and was not made by `demo`: name another --data-dir",
                folder.display()
            );
        }
        std::fs::remove_dir_all(folder)
            .with_context(|| format!("cannot clear {}", folder.display()))?;
    }
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    std::fs::write(
        folder.join(MARK),
        "`sealpost demo` clears this folder when it starts.\n",
    )
    .with_context(|| format!("cannot write in {}", folder.display()))
}
