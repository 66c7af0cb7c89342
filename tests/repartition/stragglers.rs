//! What producers write to the old topics after the move is found, and carried over.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use sealpost_schemas::record::{Usage, UsageKind};
use sealpost_schemas::{Timestamp, UserId, codec};
use sealpost_topology::batch::Batch;
use sealpost_topology::log::{
    Durability, GroupProtocol, KafkaLog, KafkaSettings, Log as _, Membership, TopicCreation, Write,
};
use sealpost_topology::partitioner::shard_of;
use sealpost_topology::types::{TimeMs, Topic};

use crate::deployment::Deployment;

/// A producer that nobody told of the move.
fn produce(kafka: &Deployment, prefix: &str, partitions: u32, user: u64) {
    let log = KafkaLog::open(KafkaSettings {
        bootstrap_servers: kafka.bootstrap.clone(),
        partitions,
        replication_factor: 1,
        creation: TopicCreation::Expect,
        prefix: prefix.to_owned(),
        identity: "producer".to_owned(),
        membership: Membership::Dynamic,
        protocol: GroupProtocol::Consumer,
        properties: BTreeMap::new(),
        patience: Duration::from_secs(30),
        mirror_dir: None,
        clock: Arc::new(|| TimeMs(0)),
    })
    .unwrap();
    let usage = Usage {
        user_id: UserId::new(user).unwrap(),
        event_id: "straggler".to_owned(),
        occurred_at: Timestamp(1_769_000_000_000_000),
        kind: UsageKind::Content,
        quantity: 4_400,
    };
    let key = user.to_string();
    let mut batch = Batch::default();
    batch.push(key.as_bytes(), Some(&codec::encode(&usage).unwrap()));
    let write = Write {
        topic: Topic::new(&format!("{prefix}usage")),
        shard: shard_of(key.as_bytes(), partitions),
        batch,
    };
    log.append(vec![write], Durability::Machine).unwrap();
}

#[test]
fn usage_that_comes_to_the_old_topic_keeps_it_from_being_deleted_until_it_is_carried_over() {
    let Some(mut kafka) = Deployment::new("stragglers", 2) else {
        return;
    };
    kafka.site.seed(30, &[]);
    kafka.site.ok(["ingest", "inputs"]);
    kafka.drain_settle_and_render();
    let old = kafka.prefix.clone();
    kafka.repartition(3);
    produce(&kafka, &old, 2, 888_888_888);
    let refusal = kafka.site.run(["repartition", "--finish"]).expect(2);
    assert!(
        refusal.error_line().contains("1 records came"),
        "{}",
        refusal.stderr
    );
    assert_eq!(
        kafka.site.json(["repartition", "--resume"])["carried_over"],
        1
    );
    assert_eq!(
        kafka.site.json(["repartition", "--resume"])["carried_over"],
        0
    );
    assert_eq!(kafka.site.json(["repartition", "--finish"])["deleted"], 12);
    kafka.site.ok(["close", "2026-01"]);
    kafka.site.drain();
    // it has arrived: nobody knows its user
    let letters = kafka.site.json(["dead-letters", "list"]);
    assert_eq!(letters.as_array().unwrap().len(), 1, "{letters}");
    assert_eq!(letters[0]["user_id"], 888_888_888);
}
