//! A process that stands still while the deployment moves, and goes on afterwards.

use std::collections::BTreeMap;
use std::process::Command;

use crate::deployment::{Deployment, config};
use crate::site::{Running, Site};
use crate::world::World;

const USERS: u64 = 600;

/// Who is on the line when a process stands still is never heard of by another one.
const CHANNELS: &str = "[windows]\nignore = true\n[run]\nworkers = 1\n[policy]\nchannels = [\"email\"]\n\
    [channels.email]\nlatency_ms = 30\nrate_per_second = 100\nmax_in_flight = 4\ncan_be_asked = false\n\
    start_within_ms = 500\nprovider_grace_ms = 500\n";

fn signal(run: &Running, name: &str) {
    let status = Command::new("kill")
        .args([name, &run.id().to_string()])
        .status();
    assert!(status.unwrap().success());
}

#[test]
fn a_process_that_stood_still_while_the_deployment_moved_does_not_go_on_where_it_was() {
    let Some(kafka) = Deployment::new("frozen", 2) else {
        return;
    };
    let mut kafka = kafka.with(CHANNELS);
    kafka.site.prepare(USERS);
    kafka.drain_settle_and_render();
    let data = kafka.site.data();
    let mut run = kafka.site.spawn(["run"]);
    kafka.site.wait_until("a part of the bills to be sent", || {
        assert!(!run.has_ended(), "it has ended: {}", run.said());
        World::read(&data).count("accepted") as u64 >= USERS / 6
    });
    signal(&run, "-STOP");
    // its session runs out, and then nobody works; what it left unread another one reads
    let text = config(&kafka.bootstrap, &kafka.prefix, 2, CHANNELS);
    let other = Site::with_keys_of(&kafka.site, &text);
    let mut moved = None;
    kafka.site.wait_until("the deployment to be free", || {
        other.ok(["run", "--stages", "settle,render", "--drain"]);
        let answer = kafka
            .site
            .run(["repartition", "--partitions", "3", "--json"]);
        let done = answer.code() == 0;
        let refused = ["is running", "has not read"];
        assert!(
            done || refused.iter().any(|why| answer.error_line().contains(why)),
            "{}",
            answer.stderr
        );
        moved = done.then_some(answer.stdout);
        done
    });
    let moved: serde_json::Value = serde_json::from_str(&moved.unwrap()).unwrap();
    let old = kafka.prefix.clone();
    kafka.configure(moved["topic_prefix"].as_str().unwrap(), 3);

    signal(&run, "-CONT");
    let woken = run.ended();
    assert_ne!(woken.code(), 0, "{}", woken.stderr);
    assert!(
        woken.stderr.contains(&format!("{old}* have moved")),
        "{}",
        woken.stderr
    );
    kafka.site.drain();
    let books = kafka.site.books("2026-01");
    let count = |state: &str| books[state].as_u64().unwrap();
    assert_eq!(count("sent") + count("unknown") + count("failed"), USERS);
    let world = World::read(&data);
    world.assert_nobody_twice();
    let taken: BTreeMap<_, _> = world.acceptances();
    assert!(taken.len() as u64 >= count("sent"), "{books}");
}
