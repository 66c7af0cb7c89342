//! Other people's clients: what they write is settled, what is written here they read.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::process::Stdio;

use sealpost_schemas::codec;
use sealpost_schemas::record::{Usage, UsageKind};
use sealpost_schemas::{Timestamp, UserId};
use sealpost_testkit::{OrNotRun as _, java, kcat, python};
use sealpost_topology::partitioner::shard_of;

use crate::site::Site;
use crate::{CHANNELS, PERIOD, broker, on_kafka, prefix};

const PARTITIONS: u32 = 5;
const USERS: u64 = 200;

/// `key partition` for each record that kcat finds in a topic.
fn places(bootstrap: &str, topic: &str) -> Option<Vec<(String, u32)>> {
    let mut command = kcat().or_not_run("kcat reads the topics")?;
    let read = command
        .args([
            "-b", bootstrap, "-C", "-t", topic, "-e", "-q", "-f", "%k %p\n",
        ])
        .args(["-X", "isolation.level=read_committed"])
        .output()
        .unwrap();
    assert!(read.status.success(), "{read:?}");
    let text = String::from_utf8(read.stdout).unwrap();
    Some(
        text.lines()
            .map(|line| {
                let (key, place) = line.rsplit_once(' ').unwrap();
                (key.to_owned(), place.parse().unwrap())
            })
            .collect(),
    )
}

#[test]
fn users_are_where_murmur2_says_in_every_topic_and_kcat_finds_them() {
    let Some(kafka) = broker("kcat finds users by murmur2") else {
        return;
    };
    let site = Site::new(&on_kafka(kafka.bootstrap(), PARTITIONS, CHANNELS));
    site.prepare(USERS);
    site.drain();
    for name in [
        "usage",
        "subscribers",
        "statements",
        "send-state",
        "dispatches",
        "deliveries",
    ] {
        let topic = format!("{}{name}", prefix(&site));
        let Some(found) = places(kafka.bootstrap(), &topic) else {
            return;
        };
        assert!(found.len() as u64 >= USERS, "{topic}: {}", found.len());
        for (key, place) in found {
            let user = key.split('/').next().unwrap();
            assert_eq!(
                shard_of(user.as_bytes(), PARTITIONS).0,
                place,
                "{topic}: {key}"
            );
        }
    }
    // one copy of each command in every partition
    let Some(commands) = places(kafka.bootstrap(), &format!("{}control", prefix(&site))) else {
        return;
    };
    let mut by_key: BTreeMap<String, usize> = BTreeMap::new();
    for (key, _) in commands
        .into_iter()
        .filter(|(key, _)| !key.starts_with('\0'))
    {
        *by_key.entry(key).or_default() += 1;
    }
    assert!(
        by_key.values().all(|count| *count == PARTITIONS as usize),
        "{by_key:?}"
    );
}

#[test]
fn usage_of_a_java_producer_is_settled_and_python_reads_the_statements() {
    let Some(kafka) = broker("a Java producer and a Python reader") else {
        return;
    };
    let site = Site::new(&on_kafka(kafka.bootstrap(), PARTITIONS, CHANNELS));
    let mut people = "user_id,name,email,phone,plan\n".to_owned();
    for user in 0..USERS {
        writeln!(
            people,
            "{user},홍길동,user{user}@example.com,010-0000-{user:04},PLN-043"
        )
        .unwrap();
    }
    site.file("people.csv", people);
    site.ok(["ingest", "people.csv"]);
    // each user buys content for 1,000 won and their number
    let mut lines = String::new();
    for user in 0..USERS {
        let usage = Usage {
            event_id: format!("java-{user}"),
            user_id: UserId::new(user).unwrap(),
            occurred_at: Timestamp(1_768_000_000_000_000),
            kind: UsageKind::Content,
            quantity: i64::try_from(1_000 + user).unwrap(),
        };
        let value = codec::encode(&usage).unwrap();
        let hex: String = value.iter().fold(String::new(), |mut hex, byte| {
            write!(hex, "{byte:02x}").unwrap();
            hex
        });
        writeln!(lines, "{user} {hex}").unwrap();
    }
    let Some(mut command) = java("UsageProducer.java").or_not_run("a Java producer") else {
        return;
    };
    let mut child = command
        .args([kafka.bootstrap(), &format!("{}usage", prefix(&site))])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(lines.as_bytes())
        .unwrap();
    assert!(child.wait().unwrap().success());

    site.ok(["close", PERIOD]);
    site.drain();
    let books = site.books(PERIOD);
    assert_eq!(books["dead_letters"], 0, "{books}");
    assert_eq!(books["statements"], USERS);

    let Some(mut command) =
        python("kafka_reader.py", &["kafka", "fastavro"]).or_not_run("a Python reader")
    else {
        return;
    };
    let schemas = concat!(env!("CARGO_MANIFEST_DIR"), "/schemas/avro");
    let read = command
        .args(["--schemas", schemas, kafka.bootstrap()])
        .arg(format!("{}statements", prefix(&site)))
        .output()
        .unwrap();
    assert!(
        read.status.success(),
        "{}",
        String::from_utf8_lossy(&read.stderr)
    );
    let text = String::from_utf8(read.stdout).unwrap();
    let mut content = 0;
    let mut users = 0;
    for line in text.lines().filter(|line| line.starts_with('{')) {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        let statement = &line["record"];
        let user = statement["user_id"].as_i64().unwrap();
        users += 1;
        let bought = statement["lines"]
            .as_array()
            .unwrap()
            .iter()
            .find(|line| line["kind"] == "content")
            .and_then(|line| line["amount_won"].as_i64());
        assert_eq!(bought, Some(1_000 + user), "{statement}");
        content += bought.unwrap_or_default();
    }
    assert_eq!(users, USERS);
    let expected: u64 = (0..USERS).map(|user| 1_000 + user).sum();
    assert_eq!(content, i64::try_from(expected).unwrap());
}
