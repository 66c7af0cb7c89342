//! Other people's clients agree with us: where a key goes, what is committed, what a value says.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use sealpost_schemas::record::{Usage, UsageKind};
use sealpost_schemas::{Timestamp, UserId, codec};
use sealpost_testkit::{OrNotRun as _, java, kcat, python, shared, unique};
use sealpost_topology::partitioner::shard_of;
use serde_json::Value;

use crate::support::{PATIENCE, client, create_topic, run};

fn usage(user: u64) -> Usage {
    Usage {
        user_id: UserId::new(user).unwrap(),
        event_id: format!("event-{user}"),
        occurred_at: Timestamp(1_767_225_600_000_000),
        kind: UsageKind::Data,
        quantity: 1_500_000,
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

/// User ids of every length, the first and the last one among them; the same on every run.
fn users() -> Vec<u64> {
    let mut users: Vec<u64> = (0..1_000).collect();
    let mut state = 0x5ea1_9057_u64;
    users.extend((0..4_000).map(|count| {
        // splitmix64, shifted so that short ids are as likely as long ones
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) >> (1 + count % 60)
    }));
    users.push(i64::MAX as u64);
    users
}

#[test]
fn javas_default_partitioner_puts_a_user_where_we_look_for_it() {
    let test = "Java's partitions";
    let Some(broker) = shared().or_not_run(test) else {
        return;
    };
    let Some(mut java) = java("UsageProducer.java").or_not_run(test) else {
        return;
    };
    let mut topics = BTreeMap::new();
    for partitions in [1, 2, 3, 4, 7, 8, 12, 50] {
        let topic = unique("murmur2");
        create_topic(&client(broker.bootstrap()), &topic, partitions).unwrap();
        topics.insert(topic, u32::try_from(partitions).unwrap());
    }
    java.arg(broker.bootstrap()).args(topics.keys());
    let users = users();
    let lines: Vec<String> = users
        .iter()
        .map(|user| format!("{user} {}\n", hex(&codec::encode(&usage(*user)).unwrap())))
        .collect();

    let said = String::from_utf8(run(java, &lines.concat())).unwrap();

    assert_eq!(said.lines().count(), users.len() * topics.len());
    for line in said.lines() {
        let fields: Vec<&str> = line.split('\t').collect();
        let expected = shard_of(fields[1].as_bytes(), topics[fields[0]]);
        assert_eq!(fields[2], expected.0.to_string(), "{line}");
    }
}

/// A topic of three partitions with usage of `users` committed, with something aborted before
/// and after it.
fn topic_with_an_aborted_transaction(bootstrap: &str, users: &[u64]) -> String {
    let topic = unique("committed");
    let config = client(bootstrap);
    create_topic(&config, &topic, 3).unwrap();
    let producer: BaseProducer = config
        .clone()
        .set("transactional.id", &topic)
        .set("compression.type", "lz4")
        .set("partitioner", "murmur2_random")
        .create()
        .unwrap();
    let send = |user: u64| {
        let (key, value) = (user.to_string(), codec::encode(&usage(user)).unwrap());
        let record = BaseRecord::to(&topic).key(&key).payload(&value);
        producer.send(record).map_err(|(error, _)| error).unwrap();
    };
    let in_a_transaction = |users: &[u64]| {
        producer.begin_transaction().unwrap();
        users.iter().for_each(|user| send(*user));
        // so that what is aborted has reached the broker
        producer.flush(PATIENCE).unwrap();
    };
    producer.init_transactions(PATIENCE).unwrap();
    in_a_transaction(&[990, 991, 992, 993]);
    producer.abort_transaction(PATIENCE).unwrap();
    in_a_transaction(users);
    producer.commit_transaction(PATIENCE).unwrap();
    in_a_transaction(&[994, 995, 996, 997]);
    producer.abort_transaction(PATIENCE).unwrap();
    topic
}

/// (partition, key) → value
type Records = BTreeMap<(u32, String), Vec<u8>>;

fn expected(users: &[u64]) -> Records {
    users
        .iter()
        .map(|user| {
            let key = user.to_string();
            let partition = shard_of(key.as_bytes(), 3).0;
            ((partition, key), codec::encode(&usage(*user)).unwrap())
        })
        .collect()
}

#[test]
fn python_reads_what_was_committed_and_decodes_it_by_our_schemas() {
    let test = "Python reads a topic";
    let Some(broker) = shared().or_not_run(test) else {
        return;
    };
    let modules = ["kafka", "fastavro", "lz4"];
    let Some(mut python) = python("kafka_reader.py", &modules).or_not_run(test) else {
        return;
    };
    let users = [1, 2, 3, 77, 4_711, i64::MAX as u64];
    let topic = topic_with_an_aborted_transaction(broker.bootstrap(), &users);
    let schemas = concat!(env!("CARGO_MANIFEST_DIR"), "/../schemas/avro");
    python.args(["--schemas", schemas, broker.bootstrap(), &topic]);

    let said = String::from_utf8(run(python, "")).unwrap();

    let mut read = Records::new();
    for line in said.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        let partition = u32::try_from(line["partition"].as_u64().unwrap()).unwrap();
        let (key, record) = (line["key"].as_str().unwrap(), &line["record"]);
        assert_eq!(line["schema"], "sealpost.v1.Usage");
        assert_eq!(record["user_id"].to_string(), key);
        assert_eq!(record["event_id"], format!("event-{key}"));
        assert_eq!(record["occurred_at"], "2026-01-01T00:00:00+00:00");
        assert_eq!(record["kind"], "data");
        assert_eq!(record["quantity"], 1_500_000);
        let user = key.parse().unwrap();
        let value = codec::encode(&usage(user)).unwrap();
        assert_eq!(line["value"], hex(&value));
        assert!(read.insert((partition, key.to_owned()), value).is_none());
    }
    assert_eq!(read, expected(&users));
}

#[test]
fn kcat_reads_what_was_committed() {
    let test = "kcat reads a topic";
    let Some(broker) = shared().or_not_run(test) else {
        return;
    };
    let Some(mut kcat) = kcat().or_not_run(test) else {
        return;
    };
    let users = [1, 2, 3, 77, 4_711, i64::MAX as u64];
    let topic = topic_with_an_aborted_transaction(broker.bootstrap(), &users);
    kcat.args(["-q", "-b", broker.bootstrap(), "-C", "-t", &topic, "-e"]);
    // the value may hold anything, so its length goes before it
    kcat.args(["-f", "%p %k %S %s\n"]);

    let said = run(kcat, "");

    let mut read = Records::new();
    let mut rest = said.as_slice();
    while !rest.is_empty() {
        let mut words = rest.splitn(4, |byte| *byte == b' ');
        let mut word = || String::from_utf8(words.next().unwrap().to_vec()).unwrap();
        let (partition, key, length) = (word().parse().unwrap(), word(), word());
        let (value, after) = words
            .next()
            .unwrap()
            .split_at(length.parse::<usize>().unwrap());
        assert!(read.insert((partition, key), value.to_vec()).is_none());
        rest = after.strip_prefix(b"\n").unwrap();
    }
    assert_eq!(read, expected(&users));
}
