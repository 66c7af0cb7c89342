//! Python beside us, on the same registry. `SEALPOST_PYTHON` names the interpreter (default
//! `python3`); without the module a test says `NOT RUN` and passes, unless fastavro is required
//! (`CI=true` or `SEALPOST_REQUIRE_PYTHON=1`).

use std::io::Write as _;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::apicurio::Registry;
use crate::{billed, config, log, peopled, tell};

/// What a client in Python is made of.
#[derive(Clone, Copy)]
struct Client {
    name: &'static str,
    module: &'static str,
    is_required: bool,
}

const FASTAVRO: Client = Client {
    name: "fastavro",
    module: "fastavro",
    is_required: true,
};
/// Confluent's own serializers; their package is large, so it is not among what tests install.
const CONFLUENT: Client = Client {
    name: "confluent",
    module: "confluent_kafka.schema_registry.avro",
    is_required: false,
};

fn python(registry: &Registry, client: Client, mut lines: Vec<Value>) -> Option<Vec<Value>> {
    let interpreter = std::env::var("SEALPOST_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let has_module = Command::new(&interpreter)
        .args(["-c", &format!("import {}", client.module)])
        .output();
    if !has_module.is_ok_and(|output| output.status.success()) {
        let is = |name: &str, wanted: &str| std::env::var(name).is_ok_and(|value| value == wanted);
        let message = format!(
            "NOT RUN: registry_interop.py ({interpreter} with the module {} is not there)",
            client.module
        );
        let required = is("CI", "true") || is("SEALPOST_REQUIRE_PYTHON", "1");
        assert!(!(client.is_required && required), "{message}");
        tell(&message);
        return None;
    }
    lines.insert(0, json!({"url": registry.url, "client": client.name}));
    let mut child = Command::new(&interpreter)
        .arg(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/interop/registry_interop.py"
        ))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap();
    // it answers only after its input has ended, so neither waits for the other
    let mut input = child.stdin.take().unwrap();
    for line in &lines {
        writeln!(input, "{line}").unwrap();
    }
    drop(input);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "registry_interop.py failed");
    let text = String::from_utf8(output.stdout).unwrap();
    Some(
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect(),
    )
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
        .collect()
}

/// What each topic may hold.
const TYPES: [(&str, &[&str]); 8] = [
    ("usage", &["sealpost.v1.Usage"]),
    ("subscribers", &["sealpost.v1.Subscriber"]),
    ("control", &["sealpost.v1.Command"]),
    ("statements", &["sealpost.v1.Statement"]),
    (
        "dispatches",
        &["sealpost.v1.Dispatch", "sealpost.v1.RouteNotice"],
    ),
    ("deliveries", &["sealpost.v1.Delivery"]),
    ("send-state", &["sealpost.v1.SendState"]),
    (
        "dead-letters",
        &["sealpost.v1.DeadLetter", "sealpost.v1.Requeued"],
    ),
];

fn reads_what_we_write(client: Client) {
    let Some(registry) = Registry::get() else {
        return;
    };
    let prefix = format!("read-by-{}.", client.name);
    let site = peopled(&config(&registry.url, &prefix, ""), 6);
    // a dead letter, a mark that it was requeued, and an event
    site.file(
        "usage.csv",
        "event_id,user_id,occurred_at,kind,quantity\n\
         1,77,2026-01-15T12:00:00Z,data,1\n2,1,2026-01-15T12:00:00Z,sms,3\n",
    );
    site.ok(["ingest", "usage.csv"]);
    billed(&site, 6);
    site.ok(["dead-letters", "requeue"]);

    let mut lines = Vec::new();
    for (topic, _) in TYPES {
        let topic = format!("{prefix}{topic}");
        let values = log::values(&site.data(), &topic);
        assert!(!values.is_empty(), "{topic}");
        lines.extend(
            values
                .iter()
                .map(|value| json!({"topic": topic, "bytes": hex(value)})),
        );
    }
    let Some(answers) = python(registry, client, lines.clone()) else {
        return;
    };
    assert_eq!(answers.len(), lines.len());
    for (line, answer) in lines.iter().zip(&answers) {
        assert_eq!(answer["bytes"], line["bytes"], "read and written again");
        if let Some(name) = answer["type"].as_str() {
            let topic = line["topic"].as_str().unwrap().strip_prefix(&prefix);
            let (_, types) = TYPES
                .iter()
                .find(|(known, _)| Some(*known) == topic)
                .unwrap();
            assert!(types.contains(&name), "{topic:?}: {name}");
        }
    }
    // both types of a union were met
    for name in ["DeadLetter", "Requeued", "Dispatch"] {
        let wanted = format!("sealpost.v1.{name}");
        assert!(
            answers.iter().any(|answer| answer["type"] == wanted),
            "{name}"
        );
    }
}

fn writes_what_we_read(client: Client) {
    let Some(registry) = Registry::get() else {
        return;
    };
    let prefix = format!("written-by-{}.", client.name);
    let topic = format!("{prefix}usage");
    let site = peopled(&config(&registry.url, &prefix, ""), 2);
    // the published schema in another order, and with one more field
    let mut schema: Value =
        serde_json::from_str(sealpost_schemas::codec::RecordType::Usage.schema_json()).unwrap();
    let fields = schema["fields"].as_array_mut().unwrap();
    fields.rotate_left(2);
    fields.push(json!({"name": "roaming", "type": ["null", "string"], "default": null}));
    let record = |event: &str, quantity: u64| {
        json!({
            "user_id": 1, "event_id": event, "occurred_at": 1_768_446_000_000_000_u64,
            "kind": "content", "quantity": quantity, "roaming": "jp",
        })
    };
    let lines = [("e1", 500), ("e2", 70)]
        .map(|(event, quantity)| {
            json!({"topic": topic, "schema": schema, "record": record(event, quantity)})
        })
        .to_vec();
    let Some(answers) = python(registry, client, lines) else {
        return;
    };
    for answer in &answers {
        let value = unhex(answer["bytes"].as_str().unwrap());
        log::append(&site.data(), &topic, "1", &value);
    }
    let books = billed(&site, 2);
    assert_eq!(books["total_won"], 2 * 33_000 + 570);
    assert_eq!(books["dead_letters"], 0);
    assert_eq!(registry.versions(&topic), 2);
}

#[test]
fn fastavro_reads_every_value_that_we_write() {
    reads_what_we_write(FASTAVRO);
}

#[test]
fn we_settle_usage_that_fastavro_writes_by_a_schema_of_its_own() {
    writes_what_we_read(FASTAVRO);
}

#[test]
fn confluents_deserializer_reads_every_value_that_we_write() {
    reads_what_we_write(CONFLUENT);
}

#[test]
fn we_settle_usage_that_confluents_serializer_writes_by_a_schema_of_its_own() {
    writes_what_we_read(CONFLUENT);
}
