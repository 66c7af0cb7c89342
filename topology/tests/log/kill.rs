//! What `kill -9` leaves: whole steps, and all that were acknowledged.
//!
//! The process that is killed is this test's own binary, which finds in its environment that it
//! is the child.

use std::io::{BufRead, BufReader, Write as _};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use sealpost_topology::batch::Batch;
use sealpost_topology::log::{
    Cleanup, Durability, EmbeddedLog, Log, Ownership, Progress, Step, Write,
};
use sealpost_topology::types::{Group, Offset, Shard, Topic};

use crate::support::{create, open, read_all, records};

const DIRECTORY: &str = "SEALPOST_TEST_LOG_DIRECTORY";
const SHARDS: u32 = 3;
const KEYS: u64 = 50;
const TRIMMED_STEPS_KEPT: u64 = 200;

fn spawn(test: &str, directory: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(DIRECTORY, directory)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

struct Topics {
    input: Topic,
    kept: Topic,
    trimmed: Topic,
    table: Topic,
}

impl Topics {
    fn create(log: &dyn Log) -> Self {
        Self {
            input: create(log, Cleanup::Keep, "input"),
            kept: create(log, Cleanup::Keep, "kept"),
            trimmed: create(log, Cleanup::Keep, "trimmed"),
            table: create(log, Cleanup::Compact, "table"),
        }
    }
}

/// A value that cannot be compressed and is the same every time.
fn value(number: u64) -> Vec<u8> {
    let mut value = number.to_be_bytes().to_vec();
    let mut state = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let length = (number * 7_919 % 12_000) as usize;
    while value.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        value.extend_from_slice(&state.to_be_bytes());
    }
    value
}

fn write(topic: &Topic, shard: Shard, key: u64, number: u64) -> Write {
    let mut batch = Batch::default();
    batch.push(&key.to_be_bytes(), Some(&value(number)));
    Write {
        topic: topic.clone(),
        shard,
        batch,
    }
}

/// How many steps are committed, the same in every shard.
fn steps_done(log: &EmbeddedLog, topics: &Topics) -> u64 {
    let done: Vec<_> = (0..SHARDS)
        .map(|shard| {
            log.committed(&Group::new("group"), &topics.input, Shard(shard))
                .unwrap()
        })
        .map(|offset| offset.unwrap_or_default().0)
        .collect();
    assert!(
        done.iter().all(|other| *other == done[0]),
        "half a step is committed: {done:?}"
    );
    done[0]
}

fn commit_until_killed(directory: &Path) {
    let log = open(directory, SHARDS).unwrap();
    let topics = Topics::create(&log);
    let mut number = steps_done(&log, &topics);
    let upkeep = log.clone();
    std::thread::spawn(move || {
        loop {
            upkeep.compact(20).unwrap();
            std::thread::yield_now();
        }
    });
    let mut member = log
        .join(&Group::new("group"), std::slice::from_ref(&topics.input))
        .unwrap();
    let mut owned = 0;
    while owned < SHARDS as usize {
        let changes = member.poll(Duration::from_secs(60)).unwrap();
        owned += changes
            .iter()
            .filter(|change| matches!(change, Ownership::Assigned(_)))
            .count();
    }
    let mut stdout = std::io::stdout().lock();
    loop {
        number += 1;
        let mut step = Step::default();
        for shard in (0..SHARDS).map(Shard) {
            step.writes.push(write(&topics.kept, shard, number, number));
            step.writes
                .push(write(&topics.trimmed, shard, number, number));
            step.writes
                .push(write(&topics.table, shard, number % KEYS, number));
            let topic = topics.input.clone();
            step.progress.push(Progress {
                topic,
                shard,
                offset: Offset(number),
            });
        }
        if number.is_multiple_of(7) {
            step.durability = Durability::Machine;
        }
        member.commit(step).unwrap();
        writeln!(stdout, "committed {number}").unwrap();
        if number.is_multiple_of(90) {
            let below = Offset(number.saturating_sub(TRIMMED_STEPS_KEPT));
            for shard in (0..SHARDS).map(Shard) {
                log.trim(&topics.trimmed, shard, below).unwrap();
            }
        }
    }
}

/// The steps whose records are in a partition, each record whole.
fn numbers(log: &EmbeddedLog, topic: &Topic, shard: Shard) -> Vec<u64> {
    let numbers = read_all(log, topic, shard)
        .into_iter()
        .map(|(_, _, stored)| {
            let stored = stored.unwrap();
            let number = u64::from_be_bytes(*stored.first_chunk().unwrap());
            assert!(
                stored == value(number),
                "the record of step {number} in {topic} is damaged"
            );
            number
        });
    numbers.collect()
}

fn check(directory: &Path, acknowledged: u64) {
    let log = open(directory, SHARDS).unwrap();
    let topics = Topics::create(&log);
    let done = steps_done(&log, &topics);
    assert!(
        done == acknowledged || done == acknowledged + 1,
        "{acknowledged} steps were acknowledged, {done} are there"
    );
    for shard in (0..SHARDS).map(Shard) {
        assert_eq!(
            numbers(&log, &topics.kept, shard),
            (1..=done).collect::<Vec<_>>()
        );
        let trimmed = numbers(&log, &topics.trimmed, shard);
        let first = trimmed.first().copied().unwrap_or(1);
        assert_eq!(trimmed, (first..=done).collect::<Vec<_>>());
        assert!(first <= done.saturating_sub(TRIMMED_STEPS_KEPT) + 1);
        let table = numbers(&log, &topics.table, shard);
        for key in 0..KEYS.min(done) {
            let last = (1..=done)
                .rev()
                .find(|number| number % KEYS == (key + 1) % KEYS)
                .unwrap();
            let there = table
                .iter()
                .rev()
                .find(|number| *number % KEYS == (key + 1) % KEYS);
            assert_eq!(
                there,
                Some(&last),
                "the last record of key {}",
                (key + 1) % KEYS
            );
        }
    }
}

#[test]
fn a_kill_leaves_whole_steps_and_all_that_were_acknowledged() {
    if let Some(directory) = std::env::var_os(DIRECTORY) {
        return commit_until_killed(Path::new(&directory));
    }
    let directory = tempfile::tempdir().unwrap();
    let mut acknowledged = 0;
    for steps in [1, 400, 3, 170, 90, 611, 1, 350, 41, 260] {
        let test = "kill::a_kill_leaves_whole_steps_and_all_that_were_acknowledged";
        let mut child = spawn(test, directory.path());
        let last = acknowledged + steps;
        for line in BufReader::new(child.stdout.take().unwrap()).lines() {
            // the test harness may begin the line
            let line = line.unwrap();
            let Some((_, number)) = line.split_once("committed ") else {
                continue;
            };
            acknowledged = number.parse().unwrap();
            if acknowledged == last {
                child.kill().unwrap();
            }
        }
        let status = child.wait().unwrap();
        assert_eq!(
            status.signal(),
            Some(9),
            "the child ended by itself: {status}"
        );
        assert!(acknowledged >= last);
        check(directory.path(), acknowledged);
        // a step may have been committed and not acknowledged any more
        let log = open(directory.path(), SHARDS).unwrap();
        acknowledged = steps_done(&log, &Topics::create(&log));
    }
}

/// Files and directories below a directory.
fn entries(directory: &Path) -> usize {
    let Ok(entries) = std::fs::read_dir(directory) else {
        return 0;
    };
    entries
        .flatten()
        .map(|entry| 1 + entries_below(&entry))
        .sum()
}

fn entries_below(entry: &std::fs::DirEntry) -> usize {
    match entry.file_type() {
        Ok(kind) if kind.is_dir() => entries(&entry.path()),
        _ => 0,
    }
}

#[test]
fn a_kill_while_the_log_is_made_leaves_a_directory_that_opens() {
    if let Some(directory) = std::env::var_os(DIRECTORY) {
        let log = open(Path::new(&directory), SHARDS).unwrap();
        create(&log, Cleanup::Keep, "topic");
        return;
    }
    for stage in 1..20 {
        let parent = tempfile::tempdir().unwrap();
        let directory = parent.path().join("log");
        let test = "kill::a_kill_while_the_log_is_made_leaves_a_directory_that_opens";
        let mut child = spawn(test, &directory);
        while entries(parent.path()) < stage && child.try_wait().unwrap().is_none() {
            std::hint::spin_loop();
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let log = open(&directory, SHARDS)
            .unwrap_or_else(|error| panic!("killed at {stage} entries: {error}"));
        let topic = create(&log, Cleanup::Keep, "topic");
        let written = vec![records(&topic, Shard(1), &[("key", Some("value"))])];
        log.append(written, Durability::Process).unwrap();
        assert_eq!(read_all(&log, &topic, Shard(1)).len(), 1);
    }
}

#[test]
fn a_log_whose_version_was_cut_is_refused_and_keeps_what_it_holds() {
    let parent = tempfile::tempdir().unwrap();
    let directory = parent.path().join("log");
    {
        let log = open(&directory, SHARDS).unwrap();
        let topic = create(&log, Cleanup::Keep, "topic");
        let written = vec![records(&topic, Shard(1), &[("key", Some("value"))])];
        log.append(written, Durability::Process).unwrap();
    }
    // a journal that has never been followed by another looks as it does in one that was not finished
    let version = directory.join("version");
    let whole = std::fs::read(&version).unwrap();
    for length in 0..whole.len() {
        std::fs::write(&version, &whole[..length]).unwrap();
        assert!(open(&directory, SHARDS).is_err(), "{length} bytes");
    }
    std::fs::write(&version, whole).unwrap();
    let log = open(&directory, SHARDS).unwrap();
    let topic = create(&log, Cleanup::Keep, "topic");
    assert_eq!(read_all(&log, &topic, Shard(1)).len(), 1);
}
