//! Everything read again from the start, with what was sent remembered: nobody is called again.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::process::Stdio;

use sealpost_testkit::{OrNotRun as _, java};

use crate::site::Site;
use crate::table::timeless;
use crate::world::World;
use crate::{CHANNELS, PERIOD, broker, holds_anything, on_kafka, prefix};

const USERS: u64 = 2_000;

#[test]
fn a_replay_of_every_topic_sends_nothing_with_local_disks_and_without() {
    let Some(kafka) = broker("a replay sends nothing") else {
        return;
    };
    let site = Site::new(&on_kafka(kafka.bootstrap(), 4, CHANNELS));
    site.prepare(USERS);
    site.drain();
    let (books, world) = (site.books(PERIOD), World::read(&site.data()));
    world.assert_nobody_twice();
    assert_eq!(books["statements"], USERS);
    site.ok(["export", PERIOD, "--out", "before.parquet"]);
    assert!(holds_anything(&site.data().join("copies")));

    let replayed = |what: &str| {
        site.ok(["replay"]);
        let done = site.drain();
        assert_eq!(
            World::read(&site.data()).entries.len(),
            world.entries.len(),
            "{what}"
        );
        assert_eq!(site.books(PERIOD), books, "{what}");
        let dropped = done["dropped"].as_object().unwrap();
        assert!(
            dropped.values().all(|count| count.as_u64().unwrap() > 0),
            "{what}: every stage has read again: {done}"
        );
    };
    replayed("with the local copies");
    fs::remove_dir_all(site.data().join("copies")).unwrap();
    replayed("without local copies");
    // on another machine: nothing of the data directory is there but the provider's own ledger
    for name in ["copies", "identity", "lock"] {
        let path = site.data().join(name);
        if path.is_dir() {
            fs::remove_dir_all(path).unwrap();
        } else {
            fs::remove_file(path).unwrap();
        }
    }
    replayed("on another machine");
    site.ok(["export", PERIOD, "--out", "after.parquet"]);
    assert_eq!(
        timeless(&site.path("before.parquet")),
        timeless(&site.path("after.parquet"))
    );
}

#[test]
fn a_worker_that_was_killed_goes_on_from_its_local_copies_and_they_are_right() {
    let Some(kafka) = broker("local copies after kill -9") else {
        return;
    };
    let pace = "rate_per_second = 600\nfailure_rate = 0.05\n";
    let more = format!("[windows]\nignore = true\n[channels.email]\n{pace}[channels.sms]\n{pace}");
    let site = Site::new(&on_kafka(kafka.bootstrap(), 4, &more));
    site.prepare(USERS);
    for kill in 1..=3_u64 {
        let run = site.spawn(["run"]);
        site.wait_until("some of it to be sent", || {
            World::read(&site.data()).count("accepted") as u64 >= USERS * kill / 5
        });
        run.kill();
    }
    site.drain();
    let with_copies = site.books(PERIOD);
    site.ok(["export", PERIOD, "--out", "with.parquet"]);
    let world = World::read(&site.data());
    world.assert_nobody_twice();
    // from the topics alone, everything is what the copies said
    fs::remove_dir_all(site.data().join("copies")).unwrap();
    site.ok(["replay"]);
    site.drain();
    assert_eq!(site.books(PERIOD), with_copies);
    site.ok(["export", PERIOD, "--out", "without.parquet"]);
    assert_eq!(
        timeless(&site.path("with.parquet")),
        timeless(&site.path("without.parquet"))
    );
    assert_eq!(World::read(&site.data()).entries.len(), world.entries.len());
    let ends = ["sent", "failed", "unknown"].map(|state| with_copies[state].as_u64().unwrap());
    assert_eq!(ends.iter().sum::<u64>(), USERS, "{with_copies}");
}

/// A step that was aborted leaves offsets behind, which the send stage passes by: that is no send
/// state that was lost.
#[test]
fn what_aborted_steps_left_is_not_taken_for_lost_send_state() {
    let Some(kafka) = broker("aborted dispatches") else {
        return;
    };
    let site = Site::new(&on_kafka(kafka.bootstrap(), 4, CHANNELS));
    site.ok(["topics", "create"]);
    let Some(mut command) = java("UsageProducer.java").or_not_run("a Java producer") else {
        return;
    };
    let mut child = command
        .args([
            "--abort",
            kafka.bootstrap(),
            &format!("{}dispatches", prefix(&site)),
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let lines = (0..100).fold(String::new(), |mut lines, user| {
        writeln!(lines, "{user} 00").unwrap();
        lines
    });
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(lines.as_bytes()).unwrap();
    drop(stdin);
    assert!(child.wait().unwrap().success());

    // its offsets are committed with what comes behind them, and without
    site.drain();
    site.drain();
    site.prepare(100);
    site.drain();
    assert_eq!(site.books(PERIOD)["statements"], 100);
    World::read(&site.data()).assert_nobody_twice();
}
