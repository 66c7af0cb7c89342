//! The rooms keep apart: what a crate may depend on, and what pure code may name.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

/// Every package that a package is built from, dev-dependencies aside.
fn built_from(package: &str) -> BTreeSet<String> {
    let out = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    let metadata: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap();
    let names: BTreeMap<&str, &str> = metadata["packages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|package| {
            (
                package["id"].as_str().unwrap(),
                package["name"].as_str().unwrap(),
            )
        })
        .collect();
    let edges: BTreeMap<&str, Vec<&str>> = metadata["resolve"]["nodes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|node| {
            let normal = node["deps"].as_array().unwrap().iter().filter(|dep| {
                dep["dep_kinds"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .any(|kind| kind["kind"].is_null())
            });
            (
                node["id"].as_str().unwrap(),
                normal.map(|dep| dep["pkg"].as_str().unwrap()).collect(),
            )
        })
        .collect();
    let mut waiting: Vec<&str> = names
        .iter()
        .filter(|(_, name)| **name == package)
        .map(|(id, _)| *id)
        .collect();
    assert_eq!(waiting.len(), 1, "{package} is one package");
    let mut seen = BTreeSet::new();
    while let Some(id) = waiting.pop() {
        if seen.insert(id) {
            waiting.extend(&edges[id]);
        }
    }
    seen.iter().map(|id| names[id].to_owned()).collect()
}

fn check(package: &str, forbidden: &[&str]) {
    let built_from = built_from(package);
    for name in forbidden {
        assert!(
            !built_from.contains(*name),
            "{package} must not be built from {name}"
        );
    }
}

#[test]
fn schemas_know_no_runtime_no_engine_and_no_operator() {
    check(
        "sealpost-schemas",
        &[
            "tokio",
            "rdkafka",
            "fjall",
            "sealpost-topology",
            "sealpost-operators",
        ],
    );
}

#[test]
fn operators_know_no_runtime_no_engine_and_no_log() {
    check(
        "sealpost-operators",
        &[
            "tokio",
            "rdkafka",
            "fjall",
            "reqwest",
            "hyper",
            "sealpost-topology",
        ],
    );
}

#[test]
fn the_runtime_knows_no_record_and_no_operator() {
    check(
        "sealpost-topology",
        &["sealpost-schemas", "sealpost-operators", "aes-siv"],
    );
}

/// Lines of a crate's sources that name one of `words`, comments aside.
fn lines_naming(folder: &str, words: &[&str]) -> Vec<String> {
    fn visit(folder: &Path, see: &mut dyn FnMut(&Path)) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                visit(&path, see);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                see(&path);
            }
        }
    }
    let mut found = Vec::new();
    visit(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join(folder),
        &mut |path| {
            for (number, line) in std::fs::read_to_string(path).unwrap().lines().enumerate() {
                let code = line.split("//").next().unwrap_or_default();
                if words.iter().any(|word| code.contains(word)) {
                    found.push(format!(
                        "{}:{}: {}",
                        path.display(),
                        number + 1,
                        line.trim()
                    ));
                }
            }
        },
    );
    found
}

#[test]
fn pure_code_reads_no_clock_no_chance_no_environment_and_no_file() {
    let words = [
        "SystemTime",
        "Instant::now",
        "Timestamp::now",
        "Zoned::now",
        "std::env",
        "std::fs",
        "std::net",
        "std::thread",
        "getrandom",
        "rand::",
    ];
    for folder in ["operators/src", "schemas/src"] {
        let found = lines_naming(folder, &words);
        assert!(found.is_empty(), "{found:#?}");
    }
}

#[test]
fn this_check_finds_what_is_there() {
    // the shell does read the clock: if this finds nothing, the checks above find nothing either
    assert!(!lines_naming("src", &["Timestamp::now"]).is_empty());
    assert!(built_from("sealpost-topology").contains("fjall"));
}
