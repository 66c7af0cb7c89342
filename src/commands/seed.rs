//! `seed`: a synthetic population as Parquet.

use std::path::PathBuf;

use anyhow::Result;
use sealpost_schemas::Period;
use sealpost_seeds::{Population, Seed, Settings};

use super::Scene;
use crate::deployment::{catalog, key_ring};
use crate::progress::bar;
use crate::seed::{SeedSummary, offer, write};
use crate::usage_error::usage;

/// `seed …`
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// How many subscribers
    #[arg(long)]
    users: u64,
    /// The month of the usage, YYYY-MM
    #[arg(long)]
    period: Period,
    /// Where `subscribers.parquet` and `usage.parquet` go
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// The same seed gives the same population
    #[arg(long, default_value_t = 42)]
    seed: u64,
    /// Usage events of a user on average
    #[arg(long, default_value_t = 10)]
    events: u16,
    /// Give every n-th user personal data with a token that can be hunted for
    #[arg(long, value_name = "N")]
    tripwire_every: Option<u64>,
}

/// The population of a seed.
pub(super) fn population(
    seed: u64,
    users: u64,
    period: Period,
    settings: Settings,
) -> Result<Population> {
    Population::new(Seed(seed), users, period, settings).map_err(usage)
}

pub(super) fn execute(scene: &Scene, arguments: &Arguments) -> Result<()> {
    let ring = key_ring(&scene.config)?;
    let mut settings = Settings::new(offer(&catalog(&scene.config)?));
    settings.events_per_user = arguments.events;
    if let Some(every) = arguments.tripwire_every {
        settings.tripwires = (0..arguments.users)
            .step_by(usize::try_from(every.max(1))?)
            .collect();
    }
    let population = population(arguments.seed, arguments.users, arguments.period, settings)?;
    let summary = seed(&population, &ring, &arguments.out)?;
    let json = serde_json::json!({
        "users": summary.users, "events": summary.events,
        "subscribers": summary.subscribers, "usage": summary.usage,
        "tripwires": population.tripwire_tokens(),
    });
    let text = format!(
        "{} subscribers in {}\n{} usage events in {}",
        summary.users,
        summary.subscribers.display(),
        summary.events,
        summary.usage.display()
    );
    scene.answer(&json, &text)
}

/// Writes a population with a progress bar.
pub(super) fn seed(
    population: &Population,
    ring: &sealpost_schemas::key_ring::KeyRing,
    out: &std::path::Path,
) -> Result<SeedSummary> {
    let bar = bar("seed", population.users());
    let summary = write(population, ring, out, &|users| bar.set_position(users))?;
    bar.finish_and_clear();
    Ok(summary)
}
