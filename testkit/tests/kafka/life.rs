//! From nothing, and back to nothing.

use std::path::Path;
use std::process::Command;

use sealpost_testkit::{Availability, Brokers, Cluster, OrNotRun as _, availability, unique};

use crate::support::{QUESTION, client, eventually, metadata};

/// Processes whose command line names a directory: brokers and watchdogs.
fn processes_of(directory: &Path) -> usize {
    let name = directory.to_str().unwrap();
    std::fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| std::fs::read(entry.ok()?.path().join("cmdline")).ok())
        .filter(|line| String::from_utf8_lossy(line).contains(name))
        .count()
}

#[test]
fn one_broker_serves_and_leaves_no_process_and_no_directory() {
    let Some(cluster) = Cluster::start(Brokers::One).or_not_run("one broker's life") else {
        return;
    };
    let directory = cluster.directory().to_owned();
    let metadata = metadata(&client(cluster.bootstrap()), None, QUESTION).unwrap();
    assert_eq!(metadata.brokers().len(), 1);
    assert!(processes_of(&directory) > 0);

    drop(cluster);
    assert!(!directory.exists());
    eventually("no process is left", || processes_of(&directory) == 0);
}

#[test]
fn a_cluster_ends_with_its_owner_even_if_that_is_killed() {
    let test = "a cluster's owner is killed";
    if let Availability::NamedOnly { why, .. } | Availability::None { why } = availability() {
        sealpost_testkit::not_run(test, why);
        return;
    }
    let directory = std::env::temp_dir().join(unique("sealpost-kafka"));
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/kafka.sh");
    let owner = Command::new("bash")
        .args(["-c", r#""$0" start 1 "$1" --owner $$ && kill -9 $$"#])
        .arg(script)
        .arg(&directory)
        .output()
        .unwrap();
    assert!(
        String::from_utf8_lossy(&owner.stdout).starts_with("127.0.0.1:"),
        "{owner:?}"
    );
    eventually("no process and no directory is left", || {
        !directory.exists() && processes_of(&directory) == 0
    });
}

#[test]
fn a_start_that_fails_leaves_nothing_and_says_why() {
    let test = "a start that fails";
    if let Availability::NamedOnly { why, .. } | Availability::None { why } = availability() {
        sealpost_testkit::not_run(test, why);
        return;
    }
    let directory = std::env::temp_dir().join(unique("sealpost-kafka"));
    let started = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/kafka.sh"))
        .arg("start")
        .arg("1")
        .arg(&directory)
        // too little for a broker to live on
        .env("SEALPOST_KAFKA_HEAP_MIB", "8")
        .output()
        .unwrap();
    assert_eq!(started.status.code(), Some(1));
    let said = String::from_utf8(started.stderr).unwrap();
    assert!(said.starts_with("kafka.sh: broker 1 died"), "{said}");
    assert!(!directory.exists());
    assert_eq!(processes_of(&directory), 0);
}
