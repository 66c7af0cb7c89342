//! Brokers do as they are told.

use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use sealpost_testkit::{Brokers, Cluster, Error, Node, OrNotRun as _, unique};

use crate::support::{
    QUESTION, client, create_topic, deliver, eventually, keys, metadata, producer,
};

/// One broker behind a proxy for the tests of this file, one test at a time.
fn one_broker(test: &str) -> Option<MutexGuard<'static, Cluster>> {
    static CLUSTER: OnceLock<Result<Mutex<Cluster>, Error>> = OnceLock::new();
    let cluster = CLUSTER.get_or_init(|| Cluster::start_proxied(Brokers::One).map(Mutex::new));
    let cluster = cluster.as_ref().map_err(Clone::clone).or_not_run(test)?;
    Some(cluster.lock().unwrap_or_else(PoisonError::into_inner))
}

const ONE: Node = Node(1);

#[test]
fn a_broker_that_was_down_serves_again_what_it_held() {
    let Some(cluster) = one_broker("down and up") else {
        return;
    };
    let (config, topic) = (client(cluster.bootstrap()), unique("down"));
    create_topic(&config, &topic, 1).unwrap();
    deliver(&producer(&config), &topic, "before").unwrap();

    cluster.down(ONE).unwrap();
    assert!(metadata(&config, None, Duration::from_secs(1)).is_err());
    assert!(cluster.down(ONE).is_err(), "it is down already");
    cluster.up(ONE).unwrap();

    assert_eq!(keys(&config, &topic), ["before"]);
}

#[test]
fn a_paused_broker_is_silent_and_a_resumed_one_answers() {
    let Some(cluster) = one_broker("pause and resume") else {
        return;
    };
    let config = client(cluster.bootstrap());
    cluster.pause(ONE).unwrap();
    assert!(metadata(&config, None, Duration::from_secs(1)).is_err());
    cluster.resume(ONE).unwrap();
    metadata(&config, None, QUESTION).unwrap();
}

#[test]
fn a_client_is_cut_off_while_the_broker_is_up() {
    let Some(cluster) = one_broker("cut off") else {
        return;
    };
    let direct = client(cluster.bootstrap());
    let proxied = client(&cluster.proxied_bootstrap());
    let proxy = cluster.proxy(ONE).unwrap();
    let seen = metadata(&proxied, None, QUESTION).unwrap();
    assert_eq!(seen.brokers()[0].port(), i32::from(proxy.address().port()));

    proxy.cut();
    assert!(metadata(&proxied, None, Duration::from_secs(1)).is_err());
    metadata(&direct, None, QUESTION).unwrap();
    proxy.heal();
    metadata(&proxied, None, QUESTION).unwrap();
}

#[test]
fn a_record_whose_acknowledgement_is_held_back_is_there_all_the_same() {
    let Some(cluster) = one_broker("replies held back") else {
        return;
    };
    let (direct, topic) = (client(cluster.bootstrap()), unique("replies"));
    create_topic(&direct, &topic, 1).unwrap();
    let mut proxied = client(&cluster.proxied_bootstrap());
    let producer = producer(proxied.set("message.timeout.ms", "2000"));
    deliver(&producer, &topic, "known").unwrap();

    let proxy = cluster.proxy(ONE).unwrap();
    proxy.stall_replies();
    let outcome = deliver(&producer, &topic, "in doubt");
    proxy.heal();

    assert!(outcome.is_err(), "its producer was not told");
    let keys = keys(&direct, &topic);
    assert_eq!(keys[..2], ["known", "in doubt"]);
}

#[test]
fn three_brokers_outlive_the_kill_of_a_leader_and_take_it_back() {
    let Some(cluster) = Cluster::start(Brokers::Three).or_not_run("a leader is killed") else {
        return;
    };
    let (config, topic) = (client(cluster.bootstrap()), unique("failover"));
    create_topic(&config, &topic, 1).unwrap();
    let producer = producer(config.clone().set("acks", "all"));
    deliver(&producer, &topic, "first").unwrap();
    let partition = |look: &dyn Fn(&rdkafka::metadata::MetadataPartition) -> bool| {
        metadata(&config, Some(&topic), QUESTION)
            .is_ok_and(|metadata| look(&metadata.topics()[0].partitions()[0]))
    };
    let before = metadata(&config, Some(&topic), QUESTION).unwrap();
    let leader = Node(before.topics()[0].partitions()[0].leader());

    cluster.kill(leader).unwrap();
    deliver(&producer, &topic, "second").unwrap();
    assert!(partition(&|it| it.leader() != leader.0));
    cluster.up(leader).unwrap();

    eventually("all three are in sync", || {
        partition(&|it| it.isr().len() == 3)
    });
    assert_eq!(keys(&config, &topic), ["first", "second"]);
}
