//! What is wrong is said in one line, with the way out, and the right exit code.

use std::time::Duration;

#[cfg(feature = "tls")]
use sealpost_testkit::User;
use sealpost_testkit::{Brokers, Cluster, OrNotRun as _};

use crate::site::{PATIENCE, Site};
use crate::{CHANNELS, PERIOD, broker, on_kafka, prefix};

#[test]
fn brokers_that_are_not_there_are_named() {
    let site = Site::new(&on_kafka("127.0.0.1:1", 2, CHANNELS));
    let ended = site.run(["status", PERIOD]).expect(1);
    let line = ended.error_line();
    assert!(line.contains("127.0.0.1:1"), "{line}");
    assert!(line.contains("log.kafka.bootstrap_servers"), "{line}");
}

#[test]
fn a_configuration_without_brokers_and_properties_of_ours_are_refused() {
    let site = Site::without_keys(&on_kafka("", 2, CHANNELS));
    let ended = site.run(["status", PERIOD]).expect(2);
    assert!(ended.error_line().contains("log.kafka.bootstrap_servers"));
    let reserved = "[log.kafka.properties]\n\"isolation.level\" = \"read_uncommitted\"\n";
    let site = Site::without_keys(&on_kafka("127.0.0.1:1", 2, reserved));
    let ended = site.run(["status", PERIOD]).expect(2);
    assert!(ended.error_line().contains("isolation.level"));
    let unknown = "[log.kafka.properties]\n\"no.such.thing\" = \"1\"\n";
    let site = Site::without_keys(&on_kafka("127.0.0.1:1", 2, unknown));
    let ended = site.run(["status", PERIOD]).expect(2);
    assert!(ended.error_line().contains("no.such.thing"));
}

#[test]
fn a_password_in_a_wrong_form_is_not_repeated() {
    let site = Site::new(&on_kafka("127.0.0.1:1", 2, CHANNELS));
    let mut command = site.command(["status", PERIOD]);
    command.env(
        "SEALPOST__LOG__KAFKA__PROPERTIES",
        "sasl.password=hush-hush-4711",
    );
    let ended = site.start(&mut command).ended().expect(2);
    assert!(!ended.stderr.contains("hush-hush"), "{}", ended.stderr);
}

#[test]
fn topics_that_do_not_fit_are_told_by_the_setting() {
    let Some(kafka) = broker("topics that do not fit") else {
        return;
    };
    let config = on_kafka(kafka.bootstrap(), 3, CHANNELS);
    let site = Site::new(&config);
    let missing = site.run(["topics", "check"]).expect(2);
    assert!(
        missing.error_line().contains("topics create"),
        "{}",
        missing.stderr
    );
    site.ok(["topics", "create"]);
    site.ok(["topics", "check"]);
    let described = site.json(["topics", "describe"]);
    let topics = described["topics"].as_array().unwrap();
    assert_eq!(topics.len(), 12);
    assert!(topics.iter().all(|topic| topic["partitions"] == 3));
    let other = Site::with_keys_of(&site, &config.replace("partitions = 3", "partitions = 5"));
    for command in [&["topics", "check"][..], &["status", PERIOD], &["run"]] {
        let ended = other.run(command).expect(2);
        let line = ended.error_line();
        assert!(line.contains("3 partitions"), "{line}");
        assert!(line.contains("log.partitions"), "{line}");
    }
    // a topic that somebody made with another cleanup, or with an end to its records
    for (name, setting, told) in [
        ("subscribers", "cleanup.policy=delete", "cleanup.policy"),
        ("usage", "retention.ms=3600000", "retention.ms"),
    ] {
        let topic = format!("{}{name}", prefix(&site));
        alter(kafka.bootstrap(), &topic, setting);
        let ended = site.run(["topics", "check"]).expect(2);
        let line = ended.error_line();
        assert!(line.contains(&topic) && line.contains(told), "{line}");
        alter(
            kafka.bootstrap(),
            &topic,
            if name == "usage" {
                "retention.ms=-1"
            } else {
                "cleanup.policy=compact"
            },
        );
    }
    site.ok(["topics", "check"]);
}

/// Changes a setting of a topic with Kafka's own tool.
fn alter(bootstrap: &str, topic: &str, setting: &str) {
    let done = sealpost_testkit::java("kafka.admin.ConfigCommand")
        .map(|mut command| {
            command
                .args([
                    "--bootstrap-server",
                    bootstrap,
                    "--alter",
                    "--entity-type",
                    "topics",
                ])
                .args(["--entity-name", topic, "--add-config", setting])
                .output()
                .unwrap()
        })
        .unwrap();
    assert!(done.status.success(), "{done:?}");
}

#[test]
fn a_run_that_waits_for_brokers_can_be_stopped() {
    let nobody = crate::site::free_port();
    let site = Site::new(&on_kafka(
        &format!("127.0.0.1:{nobody}"),
        2,
        &format!("patience = \"10m\"\n{CHANNELS}[run]\ngrace_ms = 500\nleave_ms = 500\n"),
    ));
    let mut run = site.spawn(["run"]);
    // it says so when it begins to wait
    std::thread::sleep(Duration::from_secs(3));
    assert!(!run.has_ended(), "{}", run.said());
    run.terminate();
    let ended = run.ended().expect(1);
    assert!(ended.stderr.contains("told to stop"), "{}", ended.stderr);
}

#[test]
fn two_runs_on_one_data_directory_are_refused() {
    let Some(kafka) = broker("two runs on one directory") else {
        return;
    };
    let port = crate::site::free_port();
    let http = format!("{CHANNELS}[http]\nlisten = \"127.0.0.1:{port}\"\n");
    let site = Site::new(&on_kafka(kafka.bootstrap(), 2, &http));
    let mut run = site.spawn(["run"]);
    site.wait_until_ready(&mut run, port);
    let ended = site.run(["run"]).expect(2);
    assert!(
        ended.error_line().contains("--data-dir"),
        "{}",
        ended.stderr
    );
    // a command needs no seat
    site.books(PERIOD);
    run.terminate();
    run.ended().expect(0);
}

#[test]
fn a_broker_that_is_away_for_a_while_costs_nothing_but_time() {
    let Some(cluster) = Cluster::start(Brokers::One).or_not_run("a broker that is away") else {
        return;
    };
    const USERS: u64 = 2_000;
    let pace = CHANNELS.replace(
        "[channels.email]\n",
        "[channels.email]\nrate_per_second = 400\n",
    );
    let site = Site::new(&on_kafka(cluster.bootstrap(), 3, &pace));
    site.prepare(USERS);
    let run = site.spawn(["run", "--drain"]);
    let world = || crate::world::World::read(&site.data());
    site.wait_until("some of it to be sent", || world().count("accepted") >= 300);
    let node = cluster.nodes()[0];
    cluster.down(node).unwrap();
    // a command does not wait for long
    let ended = site.run(["status", PERIOD]).expect(1);
    assert!(
        ended.error_line().contains("does not answer"),
        "{}",
        ended.stderr
    );
    std::thread::sleep(Duration::from_secs(20));
    cluster.up(node).unwrap();
    run.ended().expect(0);
    let books = site.books(PERIOD);
    let ends = ["sent", "failed", "unknown"].map(|state| books[state].as_u64().unwrap());
    assert_eq!(ends.iter().sum::<u64>(), USERS, "{books}");
    assert_eq!(books["dead_letters"], 0);
    world().assert_nobody_twice();
    assert!(PATIENCE > Duration::from_secs(60));
}

#[cfg(feature = "tls")]
#[test]
fn a_secured_broker_is_used_with_the_right_password_and_refuses_others() {
    let Some(cluster) = Cluster::start_secured().or_not_run("a secured broker") else {
        return;
    };
    let properties = |user| {
        let mut text = "[log.kafka.properties]\n".to_owned();
        let properties = cluster.client_properties(user).unwrap();
        for (name, value) in properties
            .iter()
            .filter(|(name, _)| name != "bootstrap.servers")
        {
            text.push_str(&format!("\"{name}\" = \"{value}\"\n"));
        }
        text
    };
    let with = |properties: &str| {
        let config = on_kafka(cluster.bootstrap(), 2, properties);
        Site::new(&format!("{config}{CHANNELS}"))
    };
    let site = with(&properties(User::Admin));
    site.prepare(300);
    site.drain();
    assert_eq!(site.books(PERIOD)["statements"], 300);

    let password = cluster
        .client_properties(User::Admin)
        .unwrap()
        .into_iter()
        .find_map(|(name, value)| (name == "sasl.password").then_some(value))
        .unwrap();
    let wrong = properties(User::Admin).replace(&password, "not-the-password");
    let ended = with(&wrong).run(["status", PERIOD]).expect(2);
    let line = ended.error_line();
    assert!(line.contains("sasl.password"), "{line}");
    assert!(!line.contains("not-the-password"), "{line}");

    let ended = with(&properties(User::Stranger))
        .run(["topics", "create"])
        .expect(2);
    let line = ended.error_line();
    assert!(line.contains("permit"), "{line}");

    // a client that knows nothing of TLS
    let ended = with("").run(["status", PERIOD]);
    assert_ne!(ended.code(), 0);
    assert!(
        ended.error_line().contains(cluster.bootstrap()),
        "{}",
        ended.stderr
    );
}
