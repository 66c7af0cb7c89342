//! Rounds, policies, windows and stops: what an operator does with a period.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::plain::subscribers;
use crate::site::{Site, free_port};
use crate::table::rows;
use crate::world::World;

/// Nothing is ever taken, so that everyone fails.
const REFUSING: &str = "[windows]\nignore = true\n[policy]\nchannels = [\"email\", \"sms\"]\n\
                        [channels.email]\nfailure_rate = 1.0\n[channels.sms]\nfailure_rate = 1.0\n";

fn closed(config: &str, users: u64) -> Site {
    let site = Site::new(config);
    site.file("people.csv", subscribers(users));
    site.ok(["ingest", "people.csv"]);
    site.ok(["close", "2026-01"]);
    site
}

#[test]
fn a_retry_is_refused_before_there_is_anything_and_while_a_round_runs() {
    let site = Site::new(REFUSING);
    let refused = site.run(["retry", "2026-01"]).expect(1);
    assert!(refused.error_line().contains("close it first"));

    let site = closed(REFUSING, 20);
    site.ok(["run", "--drain", "--stages", "settle"]);
    let refused = site.run(["retry", "2026-01"]).expect(1);
    assert!(
        refused.error_line().contains("wait until `status 2026-01`"),
        "{}",
        refused.stderr
    );
    site.drain();
    assert_eq!(site.books("2026-01")["failed"], 20);
}

#[test]
fn a_retry_said_twice_is_one_round_and_sends_only_what_failed() {
    let port = free_port();
    let slow = "[windows]\nignore = true\n[policy]\nchannels = [\"email\"]\n[channels.email]\nfailure_rate = 0.5\n";
    let site = closed(
        &format!("{slow}[http]\nlisten = \"127.0.0.1:{port}\"\n"),
        200,
    );
    site.drain();
    let before = World::read(&site.data());
    let failed: BTreeSet<u64> = before.of("refused").map(|entry| entry.user).collect();
    assert!(failed.len() > 50);

    let first = site.json(["retry", "2026-01"]);
    assert_eq!(
        (&first["version"], &first["failed"]),
        (&1.into(), &failed.len().into())
    );
    // nobody runs: the round has begun all the same, and a second one must not
    let second = site.run(["retry", "2026-01"]);
    assert!(
        second.code() == 1 || second.stdout.contains("version 1"),
        "{}{}",
        second.stdout,
        second.stderr
    );
    site.drain();
    let books = site.books("2026-01");
    assert_eq!(books["version"], 1, "{books}");

    let after = World::read(&site.data());
    after.assert_nobody_twice();
    let known: BTreeSet<_> = before.of("call").map(|call| &call.key).collect();
    let called: Vec<u64> = after
        .of("call")
        .filter(|call| !known.contains(&call.key))
        .map(|call| call.user)
        .collect();
    assert_eq!(called.len(), failed.len());
    assert_eq!(called.into_iter().collect::<BTreeSet<_>>(), failed);
}

#[test]
fn the_table_has_a_row_for_each_version_and_the_channels_add_up() {
    let config = "[windows]\nignore = true\n[policy]\nchannels = [\"email\", \"sms\"]\n\
                  [channels.email]\nfailure_rate = 0.5\n[channels.sms]\nfailure_rate = 0.5\n";
    let site = closed(config, 400);
    site.drain();
    site.ok(["retry", "2026-01"]);
    site.drain();
    site.ok(["export", "2026-01", "--out", "result.parquet"]);
    let rows = rows(&site.path("result.parquet"));
    let mut by_user: BTreeMap<i64, Vec<_>> = BTreeMap::new();
    for row in &rows {
        by_user.entry(row.user_id).or_default().push(row);
    }
    assert_eq!(by_user.len(), 400);
    for rows in by_user.values() {
        match rows[..] {
            [only] => assert_eq!((only.version, only.status.as_str()), (0, "sent")),
            [first, second] => {
                assert_eq!((first.version, first.status.as_str()), (0, "failed"));
                assert_eq!(
                    first.channel.as_deref(),
                    Some("sms"),
                    "the last one that was tried"
                );
                assert_eq!(second.version, 1);
                assert!(["sent", "failed"].contains(&second.status.as_str()));
                assert_ne!(first.message_key, second.message_key);
                assert_eq!(
                    (first.invoice_key.as_str(), first.total_won),
                    (second.invoice_key.as_str(), second.total_won)
                );
            }
            _ => panic!("{} rows of one user", rows.len()),
        }
    }
    assert!(rows.len() > 430, "some have a second round");

    let books = site.books("2026-01");
    let world = World::read(&site.data());
    for channel in ["email", "sms"] {
        for (outcome, event) in [("sent", "accepted"), ("failed", "refused")] {
            let there = world
                .of(event)
                .filter(|entry| entry.channel == channel)
                .count();
            assert_eq!(
                books["by_channel"][channel][outcome], there,
                "{channel} {outcome}"
            );
        }
    }
    let sent: u64 = ["email", "sms"]
        .iter()
        .map(|channel| books["by_channel"][channel]["sent"].as_u64().unwrap())
        .sum();
    assert_eq!(books["sent"], sent);
}

#[test]
fn a_policy_set_by_command_is_the_route_of_what_is_closed_after() {
    let site = Site::new("[windows]\nignore = true\n");
    site.file("people.csv", subscribers(30));
    site.ok(["ingest", "people.csv"]);
    let configured = site.json(["policy", "show"]);
    assert_eq!(
        configured["channels"],
        serde_json::json!(["email", "sms", "kakao"])
    );
    site.ok(["policy", "set", "--channels", "kakao,email"]);
    assert_eq!(
        site.json(["policy", "show"])["channels"],
        serde_json::json!(["kakao", "email"])
    );
    site.ok(["close", "2026-01"]);
    site.drain();
    let world = World::read(&site.data());
    assert_eq!(world.count("accepted"), 30);
    assert!(world.of("accepted").all(|entry| entry.channel == "kakao"));
}

#[test]
fn a_policy_for_what_failed_is_the_route_of_the_next_round() {
    let site = closed(REFUSING, 25);
    site.drain();
    site.ok(["policy", "set", "--channels", "kakao", "--apply", "failed"]);
    site.ok(["retry", "2026-01"]);
    site.drain();
    let books = site.books("2026-01");
    assert_eq!(
        (&books["sent"], &books["version"]),
        (&25.into(), &1.into()),
        "{books}"
    );
    let world = World::read(&site.data());
    assert!(world.of("accepted").all(|entry| entry.channel == "kakao"));
}

#[test]
fn nothing_failed_is_nothing_to_retry() {
    let site = closed("[windows]\nignore = true\n", 5);
    site.drain();
    let ended = site.ok(["retry", "2026-01"]);
    assert!(
        ended.stdout.contains("nothing to retry"),
        "{}",
        ended.stdout
    );
    assert_eq!(site.books("2026-01")["version"], 0);
}

#[test]
fn what_waits_for_its_day_is_held_and_does_not_keep_a_drain() {
    let site = Site::new("");
    site.file(
        "people.csv",
        "user_id,name,email,phone,plan,send_day\n1,홍길동,a@example.com,010-0000-0001,PLN-043,15\n\
         2,홍길서,b@example.com,010-0000-0002,PLN-043,\n",
    );
    site.ok(["ingest", "people.csv"]);
    site.ok(["close", "2199-01"]);
    site.drain();
    let books = site.books("2199-01");
    assert_eq!(
        (&books["held"], &books["sent"]),
        (&1.into(), &1.into()),
        "{books}"
    );
    assert!(
        books["held_until"]
            .as_str()
            .unwrap()
            .starts_with("2199-02-14T15:00:00"),
        "{books}"
    );
    assert_eq!(
        World::read(&site.data()).users_accepted(),
        BTreeSet::from([2])
    );
}

#[test]
fn a_stop_with_calls_on_the_line_ends_clean_and_leaves_no_doubt() {
    let config = "[windows]\nignore = true\n[channels.email]\nlatency_ms = 300\nmax_in_flight = 100\ncan_be_asked = false\n";
    let users = 3_000;
    let site = closed(config, users);
    let run = site.spawn(["run", "--json"]);
    site.wait_until("calls to be on the line", || {
        World::read(&site.data()).count("call") > 150
    });
    run.terminate();
    let ended = run.ended().expect(0);
    let done: Value = serde_json::from_str(&ended.stdout).unwrap();
    let world = World::read(&site.data());
    assert_eq!(
        world.count("call"),
        world.count("accepted"),
        "every call was waited for"
    );
    assert!(
        (world.count("call") as u64) < users / 2,
        "{} calls: it was stopped, and began new ones",
        world.count("call")
    );
    assert_eq!(
        done["sent"],
        world.count("accepted"),
        "and every outcome is written down"
    );
    let books = site.books("2026-01");
    assert_eq!(
        (&books["sending"], &books["sent"]),
        (&0.into(), &world.count("accepted").into()),
        "{books}"
    );

    let rest = site.drain();
    assert_eq!(rest["unknown"], 0);
    let books = site.books("2026-01");
    assert_eq!(
        (&books["sent"], &books["unknown"]),
        (&users.into(), &0.into()),
        "{books}"
    );
    World::read(&site.data()).assert_nobody_twice();
}

#[test]
fn status_of_everything_shows_each_closed_period() {
    let site = Site::new("[windows]\nignore = true\n");
    assert_eq!(site.json(["status"]), Value::Array(Vec::new()));
    site.file("people.csv", subscribers(2));
    site.ok(["ingest", "people.csv"]);
    for period in ["2026-02", "2026-01"] {
        site.ok(["close", period]);
    }
    site.drain();
    let all = site.json(["status"]);
    let periods: Vec<_> = all
        .as_array()
        .unwrap()
        .iter()
        .map(|books| books["period"].as_str().unwrap())
        .collect();
    assert_eq!(periods, ["2026-01", "2026-02"]);
    let missing = site.json(["status", "2026-01", "--user", "99"]);
    assert_eq!(missing["statement"], Value::Null);
}

#[test]
fn a_topology_is_shown_without_any_data() {
    let site = Site::without_keys("");
    let text = site.ok(["topology"]).stdout;
    for part in [
        "settle",
        "render",
        "send",
        "sealpost.usage",
        "sealpost.send-state",
    ] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    assert!(
        site.ok(["topology", "--mermaid"])
            .stdout
            .starts_with("flowchart")
    );
    assert!(!site.data().exists());
}
