//! Other implementations agree: Python's `cryptography` on sealed values, `fastavro` on records.
//!
//! `SEALPOST_PYTHON` names the interpreter (default `python3`). Without it, or without a module,
//! a test says `NOT RUN` and passes, unless `CI=true` or `SEALPOST_REQUIRE_PYTHON=1`.

use std::io::Write as _;
use std::process::{Command, Stdio};

use sealpost_schemas::codec::{
    Record, RecordType, WriterSchema, all_schemas, decode, decode_datum, encode, schema_json,
};
use sealpost_schemas::key_ring::KeyRing;
use sealpost_schemas::record::*;
use sealpost_schemas::sealed::Purpose;
use sealpost_schemas::{Sealed, UserId};
use serde_json::{Value, json};

use crate::{hex, noise, samples, unhex};

#[allow(
    clippy::disallowed_methods,
    reason = "which Python there is, only the environment knows"
)]
fn setting(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Runs a script of `tests/interop` on lines of JSON, or tells why it did not run.
fn python(script: &str, module: &str, lines: &[Value]) -> Option<Vec<Value>> {
    let interpreter = setting("SEALPOST_PYTHON").unwrap_or_else(|| "python3".to_owned());
    let has_module = Command::new(&interpreter)
        .args(["-c", &format!("import {module}")])
        .output();
    if !has_module.is_ok_and(|output| output.status.success()) {
        let required = setting("CI").as_deref() == Some("true")
            || setting("SEALPOST_REQUIRE_PYTHON").as_deref() == Some("1");
        let message =
            format!("NOT RUN: {script} ({interpreter} with the module {module} is not there)");
        assert!(!required, "{message}");
        // not the print macros: the harness would swallow it
        let _ = writeln!(std::io::stderr(), "{message}");
        return None;
    }
    let path = format!("{}/../tests/interop/{script}", env!("CARGO_MANIFEST_DIR"));
    let mut child = Command::new(&interpreter)
        .arg(path)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    // the script answers only after its input has ended, so neither waits for the other
    for line in lines {
        writeln!(input, "{line}").unwrap();
    }
    drop(input);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{script} failed");
    let text = String::from_utf8(output.stdout).unwrap();
    let answers: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(answers.len(), lines.len());
    Some(answers)
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name]
        .as_str()
        .unwrap_or_else(|| panic!("{name} in {value}"))
}

/// Plaintexts of every length around a block, and some of each other sort.
fn plaintexts() -> Vec<Vec<u8>> {
    let mut texts: Vec<Vec<u8>> = (0..70).map(|length| noise("short", length)).collect();
    texts.extend((0..60).map(|n| {
        noise(
            &format!("some {n}"),
            usize::from(noise(&n.to_string(), 1)[0]),
        )
    }));
    texts.push("홍길동".as_bytes().to_vec());
    texts.push(
        "서울특별시 종로구 세종대로 1, 남궁민수 010-1234-5678"
            .as_bytes()
            .to_vec(),
    );
    texts.push(noise("long", 10_240));
    texts
}

#[test]
fn python_opens_what_we_seal_and_seals_what_we_open() {
    let ring = {
        let mut calls = 0;
        let mut fill = |bytes: &mut [u8]| {
            calls += 1;
            bytes.copy_from_slice(&noise(&format!("key {calls}"), bytes.len()));
        };
        let mut ring = KeyRing::generate(&mut fill);
        for purpose in Purpose::ALL {
            ring.rotate(purpose.key_purpose(), &mut fill);
        }
        ring
    };
    let mut lines = vec![serde_json::from_str(&ring.to_json()).unwrap()];
    let mut cases = Vec::new();
    for (nth, plaintext) in plaintexts().into_iter().enumerate() {
        let purpose = Purpose::ALL[nth % Purpose::ALL.len()];
        let draw: [u8; 8] = noise(&format!("user {nth}"), 8).try_into().unwrap();
        let user = UserId::new(u64::from_be_bytes(draw) >> 1).unwrap();
        let sealed = ring.seal(purpose, user, &plaintext).unwrap();
        lines.push(json!({
            "purpose": purpose.name(),
            "user": user.get(),
            "plaintext": hex(&plaintext),
            "sealed": hex(sealed.as_bytes()),
        }));
        cases.push((purpose, user, plaintext, sealed));
    }
    let Some(answers) = python("siv_interop.py", "cryptography", &lines) else {
        return;
    };
    for (answer, (purpose, user, plaintext, sealed)) in answers[1..].iter().zip(&cases) {
        let theirs = unhex(text(answer, "sealed"));
        assert_eq!(text(answer, "opened"), hex(plaintext));
        assert_eq!(theirs, sealed.as_bytes());
        let opened = ring
            .open(*purpose, *user, &Sealed::from_bytes(theirs))
            .unwrap();
        assert_eq!(opened.as_bytes(), &plaintext[..]);
    }
}

/// A line for the script, and the check of its answer.
struct Case {
    line: Value,
    check: Box<dyn Fn(&Value)>,
}

fn case<R: Record + PartialEq + std::fmt::Debug>(sample: R) -> Case {
    let bytes = encode(&sample).unwrap();
    let schema: Value = serde_json::from_str(schema_json::<R>()).unwrap();
    let line = json!({"schema": schema, "bytes": hex(&bytes)});
    let check = Box::new(move |answer: &Value| {
        // read there and written there again, it is the same bytes
        assert_eq!(text(answer, "bytes"), hex(&bytes), "{}", R::NAME);
        assert_eq!(decode::<R>(&unhex(text(answer, "bytes"))).unwrap(), sample);
        // written by a schema without the fields that have defaults, it reads as with the defaults
        let writer = WriterSchema::parse::<R>(&answer["reduced_schema"].to_string()).unwrap();
        let reduced = decode_datum::<R>(&writer, &unhex(text(answer, "reduced_datum"))).unwrap();
        let defaulted = decode::<R>(&unhex(text(answer, "defaulted_bytes"))).unwrap();
        assert_eq!(reduced, defaulted, "{}", R::NAME);
    });
    Case { line, check }
}

#[test]
fn fastavro_reads_and_writes_the_same_bytes_and_agrees_on_defaults() {
    let cases = [
        case(samples::usage()),
        case(samples::subscriber()),
        case(samples::statement()),
        case(samples::dispatch()),
        case(samples::route_notice()),
        case(samples::delivery()),
        case(samples::returned()),
        case(samples::send_state()),
        case(samples::command()),
        case(samples::dead_letter()),
        case(samples::requeued()),
    ];
    assert_eq!(cases.len(), all_schemas().count());
    let lines: Vec<Value> = cases.iter().map(|case| case.line.clone()).collect();
    let Some(answers) = python("avro_interop.py", "fastavro", &lines) else {
        return;
    };
    for (case, answer) in cases.iter().zip(&answers) {
        (case.check)(answer);
    }
}

#[test]
fn fastavro_writes_a_subscriber_of_the_older_schema_that_we_keep_as_a_fixture() {
    let older = RecordType::Subscriber.older_schemas()[0];
    let line = json!({
        "schema": serde_json::from_str::<Value>(schema_json::<Subscriber>()).unwrap(),
        "bytes": hex(&encode(&samples::subscriber()).unwrap()),
        "write_as": serde_json::from_str::<Value>(older).unwrap(),
    });
    let Some(answers) = python("avro_interop.py", "fastavro", &[line]) else {
        return;
    };
    let fixture = unhex(include_str!("../fixtures/older/subscriber-1.hex"));
    assert_eq!(text(&answers[0], "written_bytes"), hex(&fixture));
}
