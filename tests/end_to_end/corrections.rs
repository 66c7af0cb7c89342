//! `correct`: a follow-up to exactly those who received a version of their bill.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use serde_json::{Value, json};

use crate::client::post;
use crate::plain::subscribers;
use crate::site::{Site, free_port};
use crate::table::rows;
use crate::world::World;

const PERIOD: &str = "2026-01";
const WORDS: &str = "정정 안내";
const CONFIG: &str = "[windows]\nignore = true\n[policy]\nchannels = [\"email\", \"sms\"]\n\
                      [channels.email]\nfailure_rate = 0.4\n[channels.sms]\nfailure_rate = 0.4\n";

/// A site whose period is closed.
fn closed(config: &str, users: u64) -> Site {
    let site = Site::new(config);
    site.file("people.csv", subscribers(users));
    site.ok(["ingest", "people.csv"]);
    site.ok(["close", PERIOD]);
    site
}

/// A folder of templates that say something else than the bill.
fn write_templates(site: &Site, name: &str, words: &str) {
    site.ok(["template", "export", name]);
    for file in ["sms.ko.txt", "sms.en.txt", "email.ko.subject"] {
        fs::write(site.path(name).join(file), format!("{words}\n")).unwrap();
    }
}

fn correct(site: &Site, version: &str, templates: &str) -> Value {
    site.json([
        "correct",
        PERIOD,
        "--version",
        version,
        "--templates",
        templates,
    ])
}

/// Who took what: users by kind.
fn taken(site: &Site) -> BTreeMap<String, BTreeSet<u64>> {
    let mut taken: BTreeMap<String, BTreeSet<u64>> = BTreeMap::new();
    for entry in World::read(&site.data()).of("accepted") {
        taken
            .entry(entry.kind.clone())
            .or_default()
            .insert(entry.user);
    }
    taken
}

/// The users whose state of a kind is this, by version.
fn in_state(site: &Site, kind: &str, status: &str) -> BTreeMap<i32, BTreeSet<u64>> {
    site.ok(["export", PERIOD, "--kind", kind, "--out", "of-kind.parquet"]);
    let mut users: BTreeMap<i32, BTreeSet<u64>> = BTreeMap::new();
    for row in rows(&site.path("of-kind.parquet")) {
        if row.status == status {
            let of_version = users.entry(row.version).or_default();
            of_version.insert(row.user_id.unsigned_abs());
        }
    }
    users
}

#[test]
fn a_correction_goes_to_those_who_received_the_version_and_what_fails_of_it_is_retried() {
    let site = closed(CONFIG, 400);
    site.drain();
    site.ok(["retry", PERIOD]);
    site.drain();
    let received = in_state(&site, "bill", "sent");
    let first = &received[&0];
    assert!(first.len() > 200 && received[&1].len() > 10);

    write_templates(&site, "words", WORDS);
    let said = correct(&site, "0", "words");
    assert_eq!(
        (&said["kind"], &said["due"]),
        (&json!("correction-1"), &json!(first.len()))
    );
    // nobody runs: it is on its way all the same, and no round begins meanwhile
    let books = site.books(PERIOD);
    assert_eq!(books["corrections"][0]["pending"], first.len(), "{books}");
    site.run(["retry", PERIOD]).expect(1);
    site.drain();

    let books = site.books(PERIOD);
    let of_first = &books["corrections"][0];
    assert_eq!(
        (&books["balanced"], &of_first["due"]),
        (&json!(true), &json!(first.len()))
    );
    let failed = of_first["failed"].as_u64().unwrap();
    assert!(failed > 10, "{books}");
    assert_eq!(
        of_first["sent"].as_u64().unwrap() + failed,
        first.len() as u64
    );
    let got = taken(&site);
    assert!(got["correction-1"].is_subset(first));
    assert_eq!(
        got["correction-1"].len() as u64,
        of_first["sent"].as_u64().unwrap()
    );
    assert_eq!(got["bill"].len() as u64, books["sent"].as_u64().unwrap());

    // the next round takes up what failed of either, and nothing else
    let bills_failed = books["failed"].as_u64().unwrap();
    let round = site.json(["retry", PERIOD]);
    assert_eq!(round["failed"], bills_failed + failed);
    site.drain();
    let world = World::read(&site.data());
    world.assert_nobody_twice();
    let after = site.books(PERIOD);
    assert_eq!(after["balanced"], true, "{after}");
    let of_kind = in_state(&site, "correction-1", "sent");
    assert!(!of_kind[&2].is_empty(), "sent in the round: {of_kind:?}");
    let again: BTreeSet<u64> = of_kind.values().flatten().copied().collect();
    assert_eq!(again, taken(&site)["correction-1"]);

    // a table of something else than the bill has other keys
    let keys = |kind: &str| -> BTreeSet<Option<String>> {
        site.ok(["export", PERIOD, "--kind", kind, "--out", "keys.parquet"]);
        let rows = rows(&site.path("keys.parquet"));
        rows.into_iter().map(|row| row.message_key).collect()
    };
    assert!(keys("bill").is_disjoint(&keys("correction-1")));
    let none = site
        .run([
            "export",
            PERIOD,
            "--kind",
            "correction-9",
            "--out",
            "x.parquet",
        ])
        .expect(2);
    assert!(
        none.error_line().contains("has no correction-9"),
        "{}",
        none.stderr
    );
}

#[test]
fn the_same_words_are_one_correction_and_a_replay_sends_none_of_it_again() {
    let site = closed("[windows]\nignore = true\n", 60);
    site.drain();
    write_templates(&site, "words", WORDS);
    let first = correct(&site, "0", "words");
    let again = correct(&site, "0", "words");
    assert_eq!(first["command_id"], again["command_id"]);
    site.drain();
    correct(&site, "0", "words");
    site.drain();
    site.ok(["replay"]);
    site.drain();
    let world = World::read(&site.data());
    world.assert_nobody_twice();
    assert_eq!(world.count("accepted"), 120);

    write_templates(&site, "more", "다시 알려 드립니다");
    assert_eq!(correct(&site, "0", "more")["kind"], "correction-2");
    site.drain();
    let world = World::read(&site.data());
    world.assert_nobody_twice();
    assert_eq!(world.count("accepted"), 180);
    let text = site.ok(["status", PERIOD]).stdout;
    assert!(
        text.contains("correction-2 to 60 who received version 0: 60 sent"),
        "{text}"
    );
    let user = site.ok(["status", PERIOD, "--user", "1"]).stdout;
    assert!(
        user.contains("correction-1 is sent") && user.contains("bill is sent"),
        "{user}"
    );
    let trail = site.ok(["audit", "list"]).stdout;
    assert!(
        trail.contains(" correct period=2026-01 kind=\"correction-1\"")
            || trail.contains(" correct "),
        "{trail}"
    );
}

#[test]
fn a_run_that_is_killed_in_a_correction_goes_on_with_it_and_nobody_has_it_twice() {
    let config = "[windows]\nignore = true\n[policy]\nchannels = [\"email\"]\n\
                  [channels.email]\nrate_per_second = 2000\nlatency_ms = 20\n\
                  start_within_ms = 300\nprovider_grace_ms = 300\n";
    let users = 3_000;
    let site = closed(config, users);
    site.drain();
    write_templates(&site, "words", WORDS);
    correct(&site, "0", "words");
    let corrected = || {
        let world = World::read(&site.data());
        world
            .of("accepted")
            .filter(|entry| entry.kind == "correction-1")
            .count()
    };
    for share in [1, 2] {
        let run = site.spawn(["run"]);
        site.wait_until("a part of the correction to be sent", || {
            corrected() as u64 > users * share / 4
        });
        run.kill();
    }
    assert!((corrected() as u64) < users, "it was over before the kill");
    site.drain();
    let world = World::read(&site.data());
    world.assert_nobody_twice();
    let books = site.books(PERIOD);
    assert_eq!(books["corrections"][0]["sent"], users, "{books}");
    assert_eq!(corrected() as u64, users);
}

#[test]
fn a_correction_is_given_over_http_and_what_is_wrong_with_one_is_said() {
    let port = free_port();
    let site = closed(
        &format!("[windows]\nignore = true\n[http]\nlisten = \"127.0.0.1:{port}\"\n"),
        30,
    );
    write_templates(&site, "words", WORDS);
    let early = site
        .run([
            "correct",
            "2026-02",
            "--version",
            "0",
            "--templates",
            "words",
        ])
        .expect(1);
    assert!(
        early.error_line().contains("close it first"),
        "{}",
        early.stderr
    );
    let mut run = site.spawn(["run"]);
    site.wait_until_ready(&mut run, port);
    site.wait_until("the bills to be sent", || site.books(PERIOD)["sent"] == 30);

    let mut templates = BTreeMap::new();
    for file in fs::read_dir(site.path("words")).unwrap() {
        let path = file.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if name != "README.md" {
            templates.insert(name, fs::read_to_string(&path).unwrap());
        }
    }
    let body = |version: u16, templates: &BTreeMap<String, String>| json!({ "period": PERIOD, "version": version, "templates": templates });
    let send = |body: &Value| post("/api/v1/correct", body).send(port);
    send(&body(3, &templates)).refused(400, "version 3 of 2026-01 has not begun");
    let mut broken = templates.clone();
    broken.insert("sms.ko.txt".to_owned(), "하나\n{{ address }}\n".to_owned());
    send(&body(0, &broken)).refused(400, "sms.ko.txt:2");
    broken.remove("sms.ko.txt");
    send(&body(0, &broken)).refused(400, "sms.ko.txt");
    broken.insert("_limits".to_owned(), "sms = 1".to_owned());
    send(&body(0, &broken)).refused(400, "_limits");
    send(&json!({ "period": PERIOD, "version": 0 })).refused(400, "missing field `templates`");

    let said = send(&body(0, &templates)).ok();
    assert_eq!(
        (&said["kind"], &said["due"]),
        (&json!("correction-1"), &json!(30))
    );
    // the folder and the body are the same words
    let again = correct(&site, "0", "words");
    assert_eq!(again["command_id"], said["command_id"]);
    site.wait_until("the correction to be sent", || {
        site.books(PERIOD)["corrections"][0]["sent"] == 30
    });
    run.terminate();
    run.ended().expect(0);
    assert_eq!(taken(&site)["correction-1"].len(), 30);
}
