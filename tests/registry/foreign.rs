//! Records of other producers: by schemas of their own, by ids that nobody knows.

use sealpost_schemas::codec::{RecordType, schema_json_of};
use serde_json::{Value, json};

use crate::apicurio::Registry;
use crate::stub::{Mood, Stub};
use crate::{billed, config, dead_letters, log, peopled, without_registry};

/// A producer's own idea of usage: other order, other numbers, one more field, its own namespace.
pub(crate) const VARIANT: &str = r#"{"type": "record", "name": "Usage", "namespace": "com.example", "fields": [
    {"name": "quantity", "type": "int"},
    {"name": "event_id", "type": "string"},
    {"name": "roaming", "type": ["null", "string"], "default": null},
    {"name": "kind", "type": {"type": "enum", "name": "Kind", "symbols": ["content", "data"]}},
    {"name": "user_id", "type": "int"},
    {"name": "occurred_at", "type": {"type": "long", "logicalType": "timestamp-micros"}}]}"#;

/// 500 won of content for user 1 on 2026-01-15, by [`VARIANT`].
pub(crate) fn variant(id: u64) -> Vec<u8> {
    let mut value = vec![0];
    value.extend(u32::try_from(id).unwrap().to_be_bytes());
    value.extend([0xE8, 0x07]); // 500
    value.extend([0x04, b'e', b'1']);
    value.extend([0x02, 0x04, b'j', b'p']); // roaming
    value.push(0x00); // content
    value.push(0x02); // user 1
    value.extend(number(1_768_446_000_000_000));
    value
}

/// A number that is not negative, as Avro writes it.
fn number(value: u64) -> Vec<u8> {
    let mut zigzag = value << 1;
    let mut bytes = Vec::new();
    while zigzag >= 0x80 {
        bytes.push(u8::try_from(zigzag & 0x7F).unwrap() | 0x80);
        zigzag >>= 7;
    }
    bytes.push(u8::try_from(zigzag).unwrap());
    bytes
}

#[test]
fn usage_by_another_producers_schema_is_settled() {
    let Some(registry) = Registry::get() else {
        return;
    };
    let site = peopled(&config(&registry.url, "variant.", ""), 2);
    let id = registry.register("other.usage", VARIANT);
    log::append(&site.data(), "variant.usage", "1", &variant(id));
    let books = billed(&site, 2);
    assert_eq!(books["total_won"], 2 * 33_000 + 500);
    assert_eq!(books["dead_letters"], 0);
}

#[test]
fn a_compatible_variant_shares_our_subject_whoever_comes_first() {
    let Some(registry) = Registry::get() else {
        return;
    };
    // the published schema in another order, with one more field
    let ours = schema_json_of(&[RecordType::Usage]);
    let mut schema: Value = serde_json::from_str(&ours).unwrap();
    let fields = schema["fields"].as_array_mut().unwrap();
    fields.reverse();
    fields.insert(0, json!({"name": "cell", "type": "string", "default": ""}));
    let variant = schema.to_string();
    // 500 won of content on 2026-01-15, event `e1`, user 1
    let datum = [
        &[0x00, 0xE8, 0x07, 0x06][..],
        &number(1_768_446_000_000_000),
        &[0x04, b'e', b'1', 0x02],
    ]
    .concat();

    for (prefix, comes_first) in [("first.", &variant), ("second.", &ours)] {
        let topic = format!("{prefix}usage");
        registry.register(&topic, comes_first);
        let site = peopled(&config(&registry.url, prefix, ""), 1);
        let id = registry.register(&topic, &variant);
        let value = [&[0][..], &u32::try_from(id).unwrap().to_be_bytes(), &datum].concat();
        log::append(&site.data(), &topic, "1", &value);
        let books = billed(&site, 1);
        assert_eq!(books["total_won"], 33_000 + 500);
        assert_eq!(books["dead_letters"], 0);
        assert_eq!(registry.versions(&topic), 2);
    }
}

#[test]
fn a_schema_that_cannot_be_resolved_is_a_dead_letter_that_says_why() {
    let Some(registry) = Registry::get() else {
        return;
    };
    let site = peopled(&config(&registry.url, "wrong.", ""), 2);
    let other_name = VARIANT.replace("\"Usage\"", "\"Call\"");
    let other_meaning = VARIANT.replace("timestamp-micros", "timestamp-millis");
    for (topic, schema) in [("call.usage", other_name), ("millis.usage", other_meaning)] {
        let id = registry.register(topic, &schema);
        log::append(&site.data(), "wrong.usage", "1", &variant(id));
    }
    billed(&site, 2);
    let letters = dead_letters(&site);
    assert_eq!(letters.len(), 2, "{letters:?}");
    for part in ["does not describe a record of that name", "`occurred_at`"] {
        assert!(
            letters.iter().any(|letter| letter.contains(part)),
            "{letters:?}"
        );
    }
}

#[test]
fn an_id_that_the_registry_does_not_know_is_a_dead_letter_and_the_rest_goes_on() {
    let Some(registry) = Registry::get() else {
        return;
    };
    let site = peopled(&config(&registry.url, "unknown.", ""), 5);
    log::append(&site.data(), "unknown.usage", "1", &variant(2_000_000_000));
    // 2^31 and more is no id at all; a dispatch of nobody's is noise as well
    log::append(&site.data(), "unknown.usage", "1", &[0, 255, 0, 0, 1, 7]);
    log::append(&site.data(), "unknown.dispatches", "1/2026-01", &[0; 40]);
    billed(&site, 5);
    let letters = dead_letters(&site);
    assert_eq!(letters.len(), 3, "{letters:?}");
    assert!(
        letters
            .iter()
            .any(|letter| letter.contains("2000000000") && letter.contains("does not know")),
        "{letters:?}"
    );
}

#[test]
fn usage_refused_for_want_of_a_registry_goes_through_once_there_is_one() {
    let Some(registry) = Registry::get() else {
        return;
    };
    let site = peopled(&without_registry("late."), 1);
    let id = registry.register("other.usage", VARIANT);
    log::append(&site.data(), "late.usage", "1", &variant(id));
    site.drain();
    let letters = dead_letters(&site);
    assert_eq!(letters.len(), 1, "{letters:?}");

    site.file("sealpost.toml", config(&registry.url, "late.", ""));
    let requeued = site.json(["dead-letters", "requeue"]);
    assert_eq!(requeued["requeued"], 1, "{requeued}");
    assert_eq!(billed(&site, 1)["total_won"], 33_000 + 500);
}

#[test]
fn a_stage_without_the_registry_stops_rather_than_refuse_what_others_wrote() {
    let Some(registry) = Registry::get() else {
        return;
    };
    let site = peopled(&config(&registry.url, "split.", ""), 5);
    site.ok(["close", "2026-01"]);
    site.ok(["run", "--drain", "--stages", "settle,render"]);

    // somebody forgot the section where the send stage runs
    site.file("sealpost.toml", without_registry("split."));
    let stopped = site.run(["run", "--drain", "--stages", "send"]).expect(1);
    let line = stopped.error_line();
    assert!(line.contains("schema_registry.url"), "{line}");

    site.file("sealpost.toml", config(&registry.url, "split.", ""));
    site.drain();
    let books = site.books("2026-01");
    assert_eq!(
        (&books["sent"], &books["dead_letters"]),
        (&5.into(), &0.into())
    );
}

#[test]
fn a_stage_with_another_registry_stops_rather_than_refuse_what_others_wrote() {
    let Some(registry) = Registry::get() else {
        return;
    };
    let site = peopled(&config(&registry.url, "astray.", ""), 5);
    site.ok(["close", "2026-01"]);
    site.ok(["run", "--drain", "--stages", "settle,render"]);

    // one that knows nothing of these ids, then one that has other schemas under them
    let other = Stub::start(Mood::Fine);
    site.file("sealpost.toml", config(&other.url(), "astray.", ""));
    for problem in ["does not know", "does not describe"] {
        let stopped = site.run(["run", "--drain", "--stages", "send"]).expect(1);
        let line = stopped.error_line();
        assert!(line.contains(problem), "{line}");
        (1..1_000).for_each(|id| other.put(id, VARIANT));
    }
    site.file("sealpost.toml", config(&registry.url, "astray.", ""));
    site.drain();
    assert_eq!(site.books("2026-01")["dead_letters"], 0);
    assert_eq!(site.books("2026-01")["sent"], 5);
}
