//! What an embedded log holds, topic by topic, as NDJSON: batches, records, their bytes as stored
//! and as they are read, and of a compacted topic the keys that have a value and what those come to.
//!
//! `cargo run --release -p sealpost-topology --example log_contents -- DIRECTORY PARTITIONS`, while
//! nobody else has the directory open.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a measurement"
)]

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;

use fjall::{Database, KeyspaceCreateOptions, KvSeparationOptions};
use sealpost_topology::log::{EmbeddedLog, Log};
use sealpost_topology::types::{Offset, Shard, TimeMs, Topic};

/// A topic as the engine has it.
#[derive(Default)]
struct Stored {
    name: String,
    is_compacted: bool,
    batches: u64,
    bytes: u64,
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let directory = arguments.next().unwrap();
    let partitions: u32 = arguments.next().unwrap().parse().unwrap();
    let directory = Path::new(&directory);
    let stored = stored(directory);
    let log = EmbeddedLog::open_directory(directory, partitions, Arc::new(|| TimeMs(0))).unwrap();
    for topic in stored.values() {
        let (mut records, mut bytes) = (0_u64, 0_u64);
        let mut live: HashMap<(Shard, Vec<u8>), u64> = HashMap::new();
        for shard in (0..partitions).map(Shard) {
            let name = Topic::new(&topic.name);
            let mut at = Offset(0);
            while let Some(batch) = log.read(&name, shard, at).unwrap() {
                for record in batch.iter().filter(|record| record.offset >= at) {
                    let value = record.value.map(|value| value.len() as u64);
                    records += 1;
                    bytes += record.key.len() as u64 + value.unwrap_or(0);
                    if topic.is_compacted {
                        let key = (shard, record.key.to_vec());
                        match value {
                            Some(value) => live.insert(key, value),
                            None => live.remove(&key),
                        };
                    }
                }
                at = batch.next_offset();
            }
        }
        let live_bytes: u64 = live
            .iter()
            .map(|((_, key), value)| key.len() as u64 + value)
            .sum();
        println!(
            "{{\"topic\":\"{}\",\"batches\":{},\"stored_bytes\":{},\"records\":{records},\"bytes\":{bytes},\"keys\":{},\"bytes_of_keys\":{live_bytes}}}",
            topic.name,
            topic.batches,
            topic.bytes,
            live.len()
        );
    }
}

/// See the layout of the embedded log.
fn stored(directory: &Path) -> BTreeMap<u16, Stored> {
    let database = Database::builder(directory).open().unwrap();
    let apart =
        KeyspaceCreateOptions::default().with_kv_separation(Some(KvSeparationOptions::default()));
    let batches = database.keyspace("batches", || apart).unwrap();
    let meta = database
        .keyspace("meta", KeyspaceCreateOptions::default)
        .unwrap();
    let mut topics = BTreeMap::<u16, Stored>::new();
    for entry in meta.prefix("topic/") {
        let (key, value) = entry.into_inner().unwrap();
        let topic = topics
            .entry(u16::from_be_bytes([value[0], value[1]]))
            .or_default();
        topic.name = String::from_utf8(key["topic/".len()..].to_vec()).unwrap();
        topic.is_compacted = value[2] == 1;
    }
    for entry in batches.iter() {
        let (key, value) = entry.into_inner().unwrap();
        let topic = topics
            .entry(u16::from_be_bytes([key[0], key[1]]))
            .or_default();
        topic.batches += 1;
        topic.bytes += value.len() as u64;
    }
    topics
}
