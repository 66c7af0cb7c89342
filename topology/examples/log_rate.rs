//! How fast the embedded log is, and what it costs: bytes on disk and memory.
//!
//! `cargo run --release -p sealpost-topology --example log_rate -- DIRECTORY MEGABYTES MODE`,
//! where MODE is `process` or `machine` (what a commit must survive), `cycle` (a compacted topic
//! that is written again and again), or `read` (what an earlier run left in the directory).

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a measurement"
)]

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sealpost_topology::batch::Batch;
use sealpost_topology::log::{Cleanup, Durability, EmbeddedLog, Log, TopicSpec, Write};
use sealpost_topology::types::{Offset, Shard, TimeMs, Topic};

const PARTITIONS: u32 = 8;
const BATCH_BYTES: usize = 512 * 1024;
const RECORD_BYTES: usize = 300;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let directory = arguments.next().unwrap();
    let megabytes: usize = arguments.next().unwrap().parse().unwrap();
    let mode = arguments.next().unwrap();
    let directory = Path::new(&directory);
    let opened = Instant::now();
    let clock = Arc::new(|| TimeMs(0));
    let log = EmbeddedLog::open_directory(directory, PARTITIONS, clock).unwrap();
    println!("opened in {:.0?}", opened.elapsed());
    let spec = |name, cleanup| TopicSpec {
        topic: Topic::new(name),
        cleanup,
    };
    let (kept, table) = (spec("kept", Cleanup::Keep), spec("table", Cleanup::Compact));
    log.create(&[kept.clone(), table.clone()]).unwrap();
    match mode.as_str() {
        "process" => write(&log, &kept.topic, megabytes, Durability::Process, directory),
        "machine" => write(&log, &kept.topic, megabytes, Durability::Machine, directory),
        "cycle" => cycle(&log, &table.topic, megabytes, directory),
        _ => {}
    }
    read(&log, &kept.topic);
    let closing = Instant::now();
    drop(log);
    println!(
        "closed in {:.0?}; {} MB on disk",
        closing.elapsed(),
        on_disk(directory) >> 20
    );
}

/// A record body that LZ4 makes about half as long, as it does with settled statements.
fn fill(record: &mut Vec<u8>, number: u64, state: &mut u64) {
    record.clear();
    record.extend_from_slice(&number.to_le_bytes());
    while record.len() < RECORD_BYTES {
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        record.extend_from_slice(&state.to_le_bytes());
        record.extend_from_slice(b"charges.");
    }
    record.truncate(RECORD_BYTES);
}

fn batch(number: &mut u64, state: &mut u64, keys: u64) -> Batch {
    let (mut batch, mut record) = (Batch::default(), Vec::new());
    while batch.bytes() < BATCH_BYTES - 2 * RECORD_BYTES {
        fill(&mut record, *number, state);
        batch.push(&(*number % keys).to_be_bytes(), Some(&record));
        *number += 1;
    }
    batch
}

/// Writes batches to the shards in turn. Times exclude the making of the records.
fn write(
    log: &EmbeddedLog,
    topic: &Topic,
    megabytes: usize,
    durability: Durability,
    directory: &Path,
) {
    let (mut number, mut state) = (0, 88_172_645_463_325_252);
    let mut took = Vec::new();
    let mut stored = 0;
    let (mut bytes, mut report) = (0, 0);
    let cpu = cpu_time();
    let mut making = Duration::ZERO;
    while bytes < megabytes << 20 {
        let begin = cpu_time();
        let batch = batch(&mut number, &mut state, u64::MAX);
        bytes += batch.bytes();
        if took.len() < 64 {
            stored += batch.encode(TimeMs(0)).len();
        }
        making += cpu_time() - begin;
        let shard = Shard(took.len() as u32 % PARTITIONS);
        let start = Instant::now();
        log.append(
            vec![Write {
                topic: topic.clone(),
                shard,
                batch,
            }],
            durability,
        )
        .unwrap();
        took.push(start.elapsed());
        if bytes >> 20 >= report {
            println!(
                "{report:>6} MB: {} MB on disk, {} MB resident",
                on_disk(directory) >> 20,
                resident()
            );
            report += megabytes / 5;
        }
    }
    let cpu = cpu_time() - cpu - making;
    let total: Duration = took.iter().sum();
    let stored = stored * took.len() / took.len().min(64);
    took.sort_unstable();
    let at = |percent: usize| took[(took.len() - 1) * percent / 100];
    println!(
        "wrote {} batches, {} MB ({} MB compressed) in {total:.2?}: {:.0} MB/s, {:.0} k records/s; \
         p50 {:.1?} p99 {:.1?} max {:.1?}; CPU {:.2?} with the engine's threads",
        took.len(),
        bytes >> 20,
        stored >> 20,
        (bytes >> 20) as f64 / total.as_secs_f64(),
        number as f64 / total.as_secs_f64() / 1e3,
        at(50),
        at(99),
        at(100),
        cpu,
    );
    println!(
        "{:.2} MB on disk per MB compressed; written to disk: {} MB",
        on_disk(directory) as f64 / stored as f64,
        written() >> 20
    );
}

/// Writes the same keys again and again, and compacts.
fn cycle(log: &EmbeddedLog, topic: &Topic, megabytes: usize, directory: &Path) {
    let (mut number, mut state) = (0, 88_172_645_463_325_252);
    let (mut bytes, mut rounds, mut compacting) = (0, 0, Duration::ZERO);
    let live = 64 << 20;
    while bytes < megabytes << 20 {
        let batch = batch(&mut number, &mut state, (live / RECORD_BYTES) as u64);
        bytes += batch.bytes();
        log.append(
            vec![Write {
                topic: topic.clone(),
                shard: Shard(0),
                batch,
            }],
            Durability::Process,
        )
        .unwrap();
        if bytes / live > rounds {
            rounds = bytes / live;
            let start = Instant::now();
            let gone = log.compact(0).unwrap();
            compacting += start.elapsed();
            println!(
                "{:>6} MB: {gone} records went, {} MB on disk, {} MB resident",
                bytes >> 20,
                on_disk(directory) >> 20,
                resident()
            );
        }
    }
    println!(
        "compacted for {compacting:.2?}; written to disk: {} MB",
        written() >> 20
    );
}

fn read(log: &EmbeddedLog, topic: &Topic) {
    let start = Instant::now();
    let cpu = cpu_time();
    let (mut records, mut bytes) = (0_u64, 0);
    for shard in (0..PARTITIONS).map(Shard) {
        let mut at = Offset(0);
        while let Some(batch) = log.read(topic, shard, at).unwrap() {
            records += batch.iter().count() as u64;
            bytes += batch.bytes();
            at = batch.next_offset();
        }
    }
    let took = start.elapsed();
    println!(
        "read {records} records, {} MB in {took:.2?}: {:.0} MB/s, {:.0} k records/s; CPU {:.2?}; {} MB resident",
        bytes >> 20,
        (bytes >> 20) as f64 / took.as_secs_f64(),
        records as f64 / took.as_secs_f64() / 1e3,
        cpu_time() - cpu,
        resident()
    );
}

fn on_disk(directory: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let Ok(entries) = std::fs::read_dir(directory) else {
        return 0;
    };
    let size = |entry: std::fs::DirEntry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => on_disk(&entry.path()),
        Ok(metadata) => metadata.blocks() * 512,
        Err(_) => 0,
    };
    entries.flatten().map(size).sum()
}

/// Bytes that the process has written to files.
fn written() -> u64 {
    number_in("/proc/self/io", "write_bytes:")
}

/// MB of memory.
fn resident() -> u64 {
    number_in("/proc/self/status", "VmRSS:") >> 10
}

fn number_in(file: &str, field: &str) -> u64 {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(field));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok())
        .unwrap_or(0)
}

/// Time on a processor of all threads.
fn cpu_time() -> Duration {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = text.rsplit(')').next().unwrap_or_default();
    let ticks: u64 = after_name
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|ticks| ticks.parse::<u64>().ok())
        .sum();
    // the kernel's ticks are 10 ms wherever this runs
    Duration::from_millis(ticks * 10)
}
