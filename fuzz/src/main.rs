//! `fuzz`: feeds readers for a time, and keeps what breaks them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Result;
use clap::Parser;
use sealpost_fuzz::begin;
use sealpost_fuzz::hunt::{corpus, hunt};
use sealpost_fuzz::target::{ALL, ring};

/// Feeds everything that reads bytes from outside with bytes that nobody meant.
#[derive(Debug, Parser)]
#[command(name = "fuzz")]
struct Arguments {
    /// Readers; all when absent
    targets: Vec<String>,
    /// Seconds for each
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Out of which inputs are drawn; printed, and drawn from the time when absent
    #[arg(long)]
    seed: Option<u64>,
    /// The kept inputs
    #[arg(long, default_value = "fuzz/corpus")]
    corpus: PathBuf,
    /// Where inputs go that break a reader
    #[arg(long, default_value = "fuzz/crashes")]
    crashes: PathBuf,
    /// Begin the corpus anew, and do nothing else
    #[arg(long)]
    begin: bool,
    /// Keep inputs that showed something new in the corpus
    #[arg(long)]
    keep: bool,
}

#[allow(clippy::print_stdout, reason = "this is a command")]
fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    // what breaks a reader is told with its input; what a reader catches itself is no news
    std::panic::set_hook(Box::new(|_| {}));
    #[allow(
        clippy::disallowed_methods,
        reason = "what is drawn from it is printed"
    )]
    let now = std::time::SystemTime::now();
    let seed = arguments.seed.unwrap_or_else(|| {
        now.duration_since(std::time::UNIX_EPOCH)
            .map_or(0, |since| since.as_micros() as u64)
    });
    let mut code = ExitCode::SUCCESS;
    for target in ALL {
        let name = target.name;
        if !arguments.targets.is_empty() && !arguments.targets.iter().any(|one| one == name) {
            continue;
        }
        if arguments.begin {
            for input in begin::inputs(name, ring()) {
                keep(&arguments.corpus.join(name), &input)?;
            }
            continue;
        }
        let began = Instant::now();
        let limit = Duration::from_secs(arguments.seconds);
        let kept = corpus(&arguments.corpus, target)?;
        let caught = hunt(target, kept, seed, |_| began.elapsed() < limit);
        println!(
            "{name}: {} inputs, {} shapes, seed {seed}",
            caught.inputs, caught.shapes
        );
        if arguments.keep {
            for input in &caught.bred {
                keep(&arguments.corpus.join(name), input)?;
            }
        }
        if let Some((input, why)) = caught.crash {
            let path = keep(&arguments.crashes.join(name), &input)?;
            println!("{name}: {why}: {}", path.display());
            code = ExitCode::FAILURE;
        }
    }
    Ok(code)
}

/// Writes an input to a file that is named by what is in it.
fn keep(folder: &Path, input: &[u8]) -> Result<PathBuf> {
    fs::create_dir_all(folder)?;
    let digest = blake3::hash(input).to_hex();
    let path = folder.join(digest.get(..16).unwrap_or(&digest));
    fs::write(&path, input)?;
    Ok(path)
}
