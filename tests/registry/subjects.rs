//! Schemas under their subjects in a real registry: registered, evolved, refused.

use std::fs;

use sealpost_schemas::codec::{RecordType, schema_json_of};
use serde_json::{Value, json};

use crate::apicurio::Registry;
use crate::site::Site;
use crate::{billed, config, log, peopled, plain, without_registry};

/// The contract's topics.
const TOPICS: [&str; 9] = [
    "usage",
    "subscribers",
    "control",
    "statements",
    "dispatches",
    "deliveries",
    "receipts",
    "send-state",
    "dead-letters",
];

fn usage_schema() -> String {
    schema_json_of(&[RecordType::Usage])
}

#[test]
fn every_value_on_a_topic_carries_an_id_that_the_registry_knows() {
    let Some(registry) = Registry::get() else {
        return;
    };
    let site = Site::new(&config(&registry.url, "whole.", ""));
    site.file("people.csv", plain::subscribers(30));
    let usage: String = (1..=30)
        .map(|user| plain::event("e", user, "data", 2_300_000_000_u64))
        .collect();
    // one row is refused, so that there is a dead letter as well
    let bad = plain::event("bad", 1, "smoke", 1);
    site.file("usage.csv", format!("{}{usage}{bad}", plain::USAGE));
    site.ok(["ingest", "people.csv", "usage.csv"]);
    assert_eq!(billed(&site, 30)["total_won"], 30 * (33_000 + 220));

    for topic in TOPICS {
        let topic = format!("whole.{topic}");
        assert_eq!(registry.versions(&topic), 1, "{topic}");
        let values = log::values(&site.data(), &topic);
        assert_eq!(values.is_empty(), topic == "whole.receipts", "{topic}");
        for value in values {
            assert_eq!(value[0], 0, "{topic}");
            let id = u32::from_be_bytes(value[1..5].try_into().unwrap());
            let (status, _) = registry.ask("GET", &format!("/schemas/ids/{id}"), None);
            assert_eq!(status, 200, "{topic}: {id}");
        }
    }
    // what is no topic of the contract is nobody's business
    for private in ["settle-accounts", "render-routes", "send-holds"] {
        assert_eq!(registry.versions(&format!("whole.{private}")), 0);
    }
}

#[test]
fn a_replay_reads_its_own_framed_state_and_sends_nothing() {
    let Some(registry) = Registry::get() else {
        return;
    };
    let site = peopled(&config(&registry.url, "replayed.", ""), 20);
    let books = billed(&site, 20);
    site.ok(["replay"]);
    let done = site.drain();
    assert_eq!(done["sent"], 0, "{done}");
    assert_eq!(site.books("2026-01"), books);
}

#[test]
fn a_second_start_registers_nothing() {
    let Some(registry) = Registry::get() else {
        return;
    };
    let site = peopled(&config(&registry.url, "again.", ""), 1);
    site.ok(["ingest", "people.csv"]);
    // nor does one that may not
    site.file(
        "sealpost.toml",
        config(&registry.url, "again.", "auto_register = false\n"),
    );
    site.ok(["ingest", "people.csv"]);
    assert_eq!(registry.versions("again.usage"), 1);
}

#[test]
fn processes_that_start_together_agree() {
    let Some(registry) = Registry::get() else {
        return;
    };
    let sites: Vec<_> = (0..8)
        .map(|_| {
            let site = Site::new(&config(&registry.url, "together.", ""));
            site.file("people.csv", plain::subscribers(1));
            site
        })
        .collect();
    let running: Vec<_> = sites
        .iter()
        .map(|site| site.spawn(["ingest", "people.csv"]))
        .collect();
    for running in running {
        running.ended().expect(0);
    }
    // some registries give one schema two versions in a race, though never two ids
    for topic in TOPICS {
        let topic = format!("together.{topic}");
        let versions = registry.versions(&topic);
        let id = |version: usize| {
            let path = format!("/subjects/{topic}-value/versions/{version}");
            registry.ask("GET", &path, None).1["id"].as_u64().unwrap()
        };
        assert!(versions > 0 && (2..=versions).all(|version| id(version) == id(1)));
    }
    let first = |site: &Site| log::values(&site.data(), "together.subscribers")[0][..5].to_vec();
    assert!(sites.iter().all(|site| first(site) == first(&sites[0])));
}

#[test]
fn an_incompatible_schema_in_the_registry_is_refused_before_anything_is_written() {
    let Some(registry) = Registry::get() else {
        return;
    };
    let theirs = usage_schema().replace("\"name\": \"user_id\", \"type\": \"long\"", {
        "\"name\": \"user_id\", \"type\": \"string\""
    });
    registry.register("taken.usage", &theirs);
    let site = Site::new(&config(&registry.url, "taken.", ""));
    site.file("people.csv", plain::subscribers(1));
    let refused = site.run(["ingest", "people.csv"]).expect(2);
    let line = refused.error_line();
    for part in ["taken.usage-value", "incompatible", "docs/schemas.md"] {
        assert!(line.contains(part), "{line}");
    }
    assert!(!site.data().join("log").exists(), "something was written");
    assert_eq!(registry.versions("taken.usage"), 1);
}

#[test]
fn without_auto_register_a_missing_schema_is_named_and_one_put_there_by_hand_will_do() {
    let Some(registry) = Registry::get() else {
        return;
    };
    let site = Site::new(&config(&registry.url, "byhand.", "auto_register = false\n"));
    site.file("people.csv", plain::subscribers(3));
    let refused = site.run(["ingest", "people.csv"]).expect(2);
    let line = refused.error_line();
    assert!(
        line.contains("byhand.") && line.contains("auto_register"),
        "{line}"
    );

    // as the documentation says: the files of the repository, two of them as a union
    let file = |name: &str| {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/schemas/avro");
        fs::read_to_string(format!("{folder}/{name}.avsc")).unwrap()
    };
    let union = |names: [&str; 2]| format!("[{},{}]", file(names[0]), file(names[1]));
    for (topic, schema) in [
        ("usage", file("usage")),
        ("subscribers", file("subscriber")),
        ("control", file("command")),
        ("statements", file("statement")),
        ("dispatches", union(["dispatch", "route_notice"])),
        ("deliveries", union(["delivery", "returned"])),
        ("receipts", file("delivery")),
        ("send-state", file("send_state")),
        ("dead-letters", union(["dead_letter", "requeued"])),
    ] {
        // laid out otherwise, as `jq` does it
        let schema: Value = serde_json::from_str(&schema).unwrap();
        registry.register(&format!("byhand.{topic}"), &schema.to_string());
    }
    site.ok(["ingest", "people.csv"]);
    billed(&site, 3);
}

#[test]
fn a_missing_schema_that_would_be_incompatible_says_so() {
    let Some(registry) = Registry::get() else {
        return;
    };
    let theirs = usage_schema().replace("\"timestamp-micros\"", "\"timestamp-millis\"");
    let theirs = theirs.replace("\"quantity\",\n      \"type\": \"long\"", {
        "\"quantity\",\n      \"type\": \"string\""
    });
    registry.register("apart.usage", &theirs);
    for (topic, records) in [
        (
            "dispatches",
            &[RecordType::Dispatch, RecordType::RouteNotice],
        ),
        ("deliveries", &[RecordType::Delivery, RecordType::Returned]),
        (
            "dead-letters",
            &[RecordType::DeadLetter, RecordType::Requeued],
        ),
    ] {
        registry.register(&format!("apart.{topic}"), &schema_json_of(records));
    }
    let site = Site::new(&config(&registry.url, "apart.", "auto_register = false\n"));
    let refused = site.run(["status"]).expect(2);
    let line = refused.error_line();
    assert!(
        line.contains("apart.usage-value") && line.contains("would be incompatible"),
        "{line}"
    );
}

#[test]
fn every_released_schema_leads_to_the_current_one_under_backward_transitive() {
    let Some(registry) = Registry::get() else {
        return;
    };
    for record in RecordType::ALL {
        let topic = format!("released.{record}");
        for schema in record.older_schemas() {
            registry.register(&topic, schema);
        }
        registry.register(&topic, record.schema_json());
        assert_eq!(registry.versions(&topic), record.older_schemas().len() + 1);
    }
}

#[test]
fn a_topic_of_one_type_that_gets_a_second_one_keeps_its_subject() {
    let Some(registry) = Registry::get() else {
        return;
    };
    let both = schema_json_of(&[RecordType::Delivery, RecordType::Returned]);
    registry.register("grown.deliveries", RecordType::Delivery.schema_json());
    registry.register("grown.deliveries", &both);
    assert_eq!(registry.versions("grown.deliveries"), 2);
}

#[test]
fn the_rule_would_refuse_a_field_without_a_default() {
    // or the test above would hold nothing
    let Some(registry) = Registry::get() else {
        return;
    };
    for record in [RecordType::Usage, RecordType::Subscriber] {
        let mut schema: Value = serde_json::from_str(record.schema_json()).unwrap();
        let field = json!({"name": "cell", "type": "string"});
        schema["fields"].as_array_mut().unwrap().push(field);
        let topic = format!("careless.{record}");
        registry.register(&topic, record.schema_json());
        let body = json!({ "schema": schema.to_string() });
        let path = format!("/subjects/{topic}-value/versions");
        let (status, said) = registry.ask("POST", &path, Some(&body));
        assert_eq!(status, 409, "{said}");
    }
}

#[test]
fn a_deployment_moves_to_a_registry_with_records_of_both_framings_on_its_topics() {
    let Some(registry) = Registry::get() else {
        return;
    };
    let site = peopled(&without_registry("moved."), 10);
    site.file(
        "usage.csv",
        format!("{}{}", plain::USAGE, plain::event("1", 1, "content", 500)),
    );
    site.ok(["ingest", "usage.csv"]);

    site.file("sealpost.toml", config(&registry.url, "moved.", ""));
    site.file(
        "usage.csv",
        format!("{}{}", plain::USAGE, plain::event("2", 1, "content", 70)),
    );
    site.ok(["ingest", "usage.csv"]);
    let framing = |value: &Vec<u8>| value[0];
    let mut framings: Vec<_> = log::values(&site.data(), "moved.usage")
        .iter()
        .map(framing)
        .collect();
    framings.sort_unstable();
    assert_eq!(framings, [0x00, 0xC3]);
    let books = billed(&site, 10);
    assert_eq!(books["total_won"], 10 * 33_000 + 570);
    assert_eq!(books["dead_letters"], 0);
}
