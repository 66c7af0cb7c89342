//! The whole job in one command.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::site::Site;
use crate::table::rows;
use crate::world::World;
use crate::{python, table};

const USERS: u64 = 2_000;

fn demo(site: &Site) -> Value {
    site.json(["demo", "--users", &USERS.to_string()])
}

#[test]
fn the_demo_bills_and_sends_to_every_user_once() {
    let site = Site::without_keys("");
    let summary = demo(&site);

    let books = &summary["books"];
    assert_eq!(books["balanced"], true, "{books}");
    for count in ["subscribers", "statements", "sent"] {
        assert_eq!(books[count], USERS, "{count} in {books}");
    }
    for count in [
        "pending",
        "held",
        "sending",
        "failed",
        "unknown",
        "suppressed",
        "dead_letters",
    ] {
        assert_eq!(books[count], 0, "{count} in {books}");
    }

    // what the world says, not the program
    let world = World::read(&site.data().join("demo"));
    world.assert_nobody_twice();
    assert_eq!(world.users_accepted().len() as u64, USERS);
    assert_eq!(world.count("accepted") as u64, USERS);
    assert_eq!(
        world.count("call"),
        world.count("accepted") + world.count("refused")
    );
    let refused: BTreeSet<_> = world
        .of("refused")
        .filter(|entry| entry.channel == "email")
        .map(|entry| entry.user)
        .collect();
    let by_other: BTreeSet<_> = world
        .of("accepted")
        .filter(|entry| entry.channel != "email")
        .map(|entry| entry.user)
        .collect();
    assert_eq!(refused, by_other, "who moved on is who was refused");
    assert_eq!(summary["moved_on"], refused.len());
    // 20 expected, deviation 4.4: five deviations either side
    assert!(
        (1..=42).contains(&refused.len()),
        "{} moved on",
        refused.len()
    );
}

#[test]
fn the_result_table_of_the_demo_says_what_the_world_says() {
    let site = Site::without_keys("");
    let summary = demo(&site);
    let path = site.root().join(summary["result_table"].as_str().unwrap());
    let rows = rows(&path);
    assert_eq!(rows.len() as u64, USERS);
    assert_eq!(summary["rows"], USERS);

    let world = World::read(&site.data().join("demo"));
    let accepted: BTreeMap<u64, _> = world
        .of("accepted")
        .map(|entry| (entry.user, entry))
        .collect();
    for row in &rows {
        let taken = accepted[&row.user_id.unsigned_abs()];
        assert_eq!(
            (row.period.as_str(), row.version, row.status.as_str()),
            ("2026-01", 0, "sent")
        );
        assert_eq!(row.channel.as_deref(), Some(taken.channel.as_str()));
        assert_eq!(row.message_key.as_deref(), Some(taken.key.as_str()));
        assert_eq!(
            row.destination.as_ref().unwrap()[0],
            1,
            "sealed bytes begin with their format"
        );
        assert!(
            row.provider_message_id.is_some()
                && row.updated_at.is_some()
                && row.body_digest.is_some()
        );
        let calls = world
            .of("call")
            .filter(|call| call.user == row.user_id.unsigned_abs());
        assert_eq!(row.attempts.unsigned_abs() as usize, calls.count());
        let key = blake3::hash(
            format!(
                "sealpost/message/2026-01/{}/bill/0/{}",
                row.user_id, taken.channel
            )
            .as_bytes(),
        );
        assert_eq!(row.message_key.as_deref(), Some(key.to_hex().as_str()));
    }
    assert_eq!(
        rows.iter().map(|row| row.total_won).sum::<i64>(),
        summary["books"]["total_won"]
    );

    if let Some(there) = python::read("result_table.py", "pyarrow", &path) {
        assert_eq!(there["rows"], USERS);
        assert_eq!(there["users"], USERS);
        assert_eq!(there["total_won"], summary["books"]["total_won"]);
        assert_eq!(there["status"], json!({ "sent": USERS }));
        let mut channels = BTreeMap::new();
        for row in &rows {
            *channels.entry(row.channel.clone().unwrap()).or_insert(0) += 1;
        }
        assert_eq!(there["channel"], json!(channels));
        let bytes: usize = rows
            .iter()
            .map(|row| row.destination.as_ref().unwrap().len())
            .sum();
        assert_eq!(there["destination_bytes"], bytes);
        let types = [
            ("user_id", "int64"),
            ("version", "int32"),
            ("destination", "binary"),
            ("total_won", "int64"),
        ];
        for (column, expected) in types {
            assert_eq!(there["columns"][column], expected, "{column}");
        }
        assert_eq!(there["columns"]["updated_at"], "timestamp[us, tz=UTC]");
    }
}

#[test]
fn the_demo_can_be_had_again_in_the_same_folder() {
    let site = Site::without_keys("");
    let (first, second) = (demo(&site), demo(&site));
    for part in ["ingested", "rows", "moved_on"] {
        assert_eq!(first[part], second[part], "{part}");
    }
    assert_eq!(first["books"]["total_won"], second["books"]["total_won"]);
    assert_eq!(
        World::read(&site.data().join("demo")).count("accepted") as u64,
        USERS
    );
    let path = site.root().join(second["result_table"].as_str().unwrap());
    assert_eq!(table::rows(&path).len() as u64, USERS);
}

#[test]
fn the_demo_tells_people_a_summary() {
    let site = Site::without_keys("");
    let ended = site.ok(["demo", "--users", "50"]);
    for told in [
        "the books balance",
        "50 messages taken for 50 users, 0 of them more than once",
        "the result table: 50 rows in",
    ] {
        assert!(
            ended.stdout.contains(told),
            "{told:?} is not in {}",
            ended.stdout
        );
    }
    assert_eq!(ended.stderr, "", "no bar where nobody looks");
}

#[test]
fn the_demo_clears_no_folder_that_it_did_not_make() {
    let site = Site::without_keys("");
    std::fs::create_dir_all(site.data().join("demo")).unwrap();
    let kept = site.data().join("demo/kept");
    std::fs::write(&kept, "mine").unwrap();
    let ended = site.run(["demo", "--users", "10"]).expect(1);
    assert!(
        ended
            .error_line()
            .contains("was not made by `demo`: name another --data-dir")
    );
    assert_eq!(std::fs::read_to_string(&kept).unwrap(), "mine");
}
