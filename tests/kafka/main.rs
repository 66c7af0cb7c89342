//! The pipeline on real Apache Kafka: the same results as on the embedded log, replays that send
//! nothing, other people's clients, and errors that say what to do.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::disallowed_methods,
    dead_code,
    reason = "tests, which share helpers with the end-to-end ones and do not need them all"
)]

mod chaos;
mod errors;
mod interop;
#[path = "../providers/kit.rs"]
mod kit;
mod replay;
mod same;
#[path = "../end_to_end/site.rs"]
mod site;
#[path = "../end_to_end/table.rs"]
mod table;
#[path = "../end_to_end/world.rs"]
mod world;

use std::path::Path;

use sealpost_testkit::{OrNotRun as _, Shared, shared, unique};

/// The month of every test.
const PERIOD: &str = "2026-01";
/// Channels that fail now and then, and answer at once.
const CHANNELS: &str = "[windows]\nignore = true\n\
    [channels.email]\nfailure_rate = 0.03\n[channels.sms]\nfailure_rate = 0.2\n[channels.kakao]\nfailure_rate = 0.5\n";

/// The broker that tests share; `None` where there is none, which is told.
fn broker(test: &str) -> Option<&'static Shared> {
    shared().or_not_run(test)
}

/// A configuration on Kafka, under a prefix of its own.
fn on_kafka(bootstrap: &str, partitions: u32, more: &str) -> String {
    format!(
        "[log]\nbackend = \"kafka\"\npartitions = {partitions}\ntopic_prefix = \"{}.\"\n\
         [log.kafka]\nbootstrap_servers = \"{bootstrap}\"\n{more}",
        unique("t")
    )
}

/// What the configuration of a site says of its topics' prefix.
fn prefix(site: &site::Site) -> String {
    let text = std::fs::read_to_string(site.path("sealpost.toml")).unwrap();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("topic_prefix = \""))
        .unwrap();
    line.trim_end_matches('"').to_owned()
}

/// Says something past the test harness, which would swallow it.
fn tell(line: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// The files of a folder, by name, that a path holds.
fn holds_anything(path: &Path) -> bool {
    std::fs::read_dir(path).is_ok_and(|mut files| files.next().is_some())
}
