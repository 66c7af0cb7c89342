//! `simulator`: many seeds, or one again.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Result;
use clap::Parser;
use sealpost_simulator::campaign::{Failure, Report, campaign, shrink, twice};
use sealpost_simulator::canary::Canary;
use sealpost_simulator::marks::Mark;
use sealpost_simulator::plan::{Fault, Plan};
use sealpost_simulator::trace::Show;
use sealpost_simulator::world::run;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Runs the whole pipeline from seeds, breaks it, and checks what it promises.
#[derive(Debug, Parser)]
#[command(name = "simulator")]
struct Arguments {
    /// How many seeds
    #[arg(long, default_value_t = 1_000)]
    seeds: u64,
    /// The first seed; drawn from the time when absent
    #[arg(long)]
    from: Option<u64>,
    /// Stop after so many seconds
    #[arg(long)]
    seconds: Option<u64>,
    /// One seed, whole
    #[arg(long)]
    seed: Option<u64>,
    /// Show what happens, line by line (with --seed)
    #[arg(long)]
    trace: bool,
    /// Switch a known bug on: one of the canaries
    #[arg(long)]
    canary: Option<Canary>,
    /// See after how many seeds each known bug is caught
    #[arg(long)]
    canaries: bool,
    /// Faults to leave out (with --seed)
    #[arg(long, value_delimiter = ',')]
    without: Vec<Fault>,
    /// Faults to add (with --seed)
    #[arg(long, value_delimiter = ',')]
    with: Vec<Fault>,
    /// Subscribers (with --seed), and so on: instead of what the seed draws
    #[arg(long)]
    users: Option<u64>,
    #[arg(long)]
    moments: Option<u32>,
    #[arg(long)]
    partitions: Option<u32>,
    #[arg(long)]
    processes: Option<usize>,
    #[arg(long)]
    workers: Option<usize>,
    #[arg(long)]
    periods: Option<u32>,
}

impl Arguments {
    fn plan(&self, seed: u64) -> Plan {
        let mut plan = Plan::of(seed);
        plan.faults.extend(&self.with);
        plan.faults.retain(|fault| !self.without.contains(fault));
        plan.users = self.users.unwrap_or(plan.users).max(1);
        plan.moments = self.moments.unwrap_or(plan.moments);
        plan.partitions = self.partitions.unwrap_or(plan.partitions).max(1);
        plan.processes = self.processes.unwrap_or(plan.processes).max(1);
        plan.workers = self.workers.unwrap_or(plan.workers).max(1);
        plan.periods = self.periods.unwrap_or(plan.periods).clamp(1, 9);
        plan
    }
}

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    if let Some(seed) = arguments.seed {
        return one(&arguments, seed);
    }
    let from = arguments.from.unwrap_or_else(fresh);
    if arguments.canaries {
        return canaries(from, arguments.seeds);
    }
    many(&arguments, from)
}

/// A seed of this moment.
fn fresh() -> u64 {
    #[allow(
        clippy::disallowed_methods,
        reason = "what is drawn from it is printed"
    )]
    let now = std::time::SystemTime::now();
    now.duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |since| since.as_micros() as u64)
}

#[allow(clippy::print_stdout, reason = "this is a command")]
fn one(arguments: &Arguments, seed: u64) -> Result<ExitCode> {
    let plan = arguments.plan(seed);
    let show = if arguments.trace {
        Show::Lines
    } else {
        Show::Nothing
    };
    println!("{plan}");
    let ended = run(plan, arguments.canary, show)?;
    println!("trace {}", ended.digest);
    Ok(match ended.violation {
        None => {
            println!("nothing is wrong");
            ExitCode::SUCCESS
        }
        Some(violation) => {
            println!("VIOLATION: {violation}");
            ExitCode::FAILURE
        }
    })
}

#[allow(clippy::print_stdout, reason = "this is a command")]
fn many(arguments: &Arguments, from: u64) -> Result<ExitCode> {
    let [once, again] = twice(&Plan::of(from))?;
    if once.digest != again.digest {
        println!("seed {from} is not the same twice: nothing below means anything");
        return Ok(ExitCode::FAILURE);
    }
    let began = Instant::now();
    let limit = arguments.seconds.map(Duration::from_secs);
    let seeds = (0..arguments.seeds).map(|seed| from.wrapping_add(seed));
    let report = campaign(seeds, arguments.canary, |_| {
        limit.is_none_or(|limit| began.elapsed() < limit)
    })?;
    let took = began.elapsed();
    println!(
        "{} seeds from {from} in {:.1} s: {:.1} a second on one core",
        report.seeds,
        took.as_secs_f64(),
        report.seeds as f64 / took.as_secs_f64().max(0.001)
    );
    print_marks(&report);
    match report.failure {
        None => Ok(ExitCode::SUCCESS),
        Some(failure) => {
            explain(&failure, arguments.canary, "");
            let small = shrink(failure, arguments.canary)?;
            explain(&small, arguments.canary, "made small: ");
            Ok(ExitCode::FAILURE)
        }
    }
}

#[allow(clippy::print_stdout, reason = "this is a command")]
fn print_marks(report: &Report) {
    for mark in Mark::ALL {
        let runs = report.marks.get(mark).copied().unwrap_or_default();
        println!("  {:>6} runs: {}", runs, mark.name());
    }
}

#[allow(clippy::print_stdout, reason = "this is a command")]
fn explain(failure: &Failure, canary: Option<Canary>, how: &str) {
    let Failure { plan, violation } = failure;
    let canary = canary.map_or_else(String::new, |canary| format!(" --canary {}", canary.name()));
    println!("\n{how}VIOLATION: {violation}");
    println!("seed {}: {plan}", plan.seed);
    println!(
        "again: cargo run --release -p sealpost-simulator -- {}{canary} --trace",
        plan.arguments()
    );
}

#[allow(clippy::print_stdout, reason = "this is a command")]
fn canaries(from: u64, seeds_max: u64) -> Result<ExitCode> {
    let mut code = ExitCode::SUCCESS;
    for canary in Canary::ALL {
        let seeds = (0..seeds_max).map(|seed| from.wrapping_add(seed));
        let report = campaign(seeds, Some(*canary), |_| true)?;
        match report.failure {
            Some(failure) => println!(
                "{:>22}: caught after {} seeds: {}",
                canary.name(),
                report.seeds,
                failure.violation
            ),
            None => {
                println!("{:>22}: NOT CAUGHT in {seeds_max} seeds", canary.name());
                code = ExitCode::FAILURE;
            }
        }
    }
    Ok(code)
}
