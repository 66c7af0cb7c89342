//! Addresses that nothing is sent to: never called, the next channel used, the books right.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use serde_json::Value;

use crate::plain::subscribers;
use crate::site::{Ended, Site, free_port};
use crate::table::rows;
use crate::world::World;

const CONFIG: &str =
    "[windows]\nignore = true\n[policy]\nchannels = [\"email\", \"sms\", \"kakao\"]\n";

/// A deployment with so many people, not closed yet.
fn ingested(config: &str, users: u64) -> Site {
    let site = Site::new(config);
    site.file("people.csv", subscribers(users));
    site.ok(["ingest", "people.csv"]);
    site
}

/// Addresses as somebody else would write them.
fn email(user: u64) -> String {
    format!("email,  person{user}@EXAMPLE.com \n")
}

fn phone(channel: &str, user: u64) -> String {
    format!("{channel},+82 (0)10 0000 {user:04}\n")
}

/// What a command says that is told addresses on its stdin.
#[track_caller]
fn told(site: &Site, arguments: &[&str], input: &str) -> Ended {
    site.told(&mut site.command(arguments), input)
}

/// Who was called by which channel, according to the provider.
fn called(site: &Site) -> BTreeMap<u64, BTreeSet<String>> {
    let mut called: BTreeMap<u64, BTreeSet<String>> = BTreeMap::new();
    for call in World::read(&site.data()).of("call") {
        called
            .entry(call.user)
            .or_default()
            .insert(call.channel.clone());
    }
    called
}

/// E-mail of the first ten, text messages of the first five, KakaoTalk of the first three.
fn list() -> String {
    let mut list = "channel,address\n".to_owned();
    list.extend((1..=10).map(email));
    list.extend((1..=5).map(|user| phone("sms", user)));
    list.extend((1..=3).map(|user| phone("kakao", user)));
    list
}

fn expected_channel(user: u64) -> Option<&'static str> {
    match user {
        1..=3 => None,
        4..=5 => Some("kakao"),
        6..=10 => Some("sms"),
        _ => Some("email"),
    }
}

fn assert_each_by_its_channel(site: &Site, users: u64) {
    let called = called(site);
    for user in 1..=users {
        let by = called.get(&user).cloned().unwrap_or_default();
        let expected: BTreeSet<String> = expected_channel(user)
            .map(str::to_owned)
            .into_iter()
            .collect();
        assert_eq!(by, expected, "user {user}");
    }
}

#[test]
fn suppressed_addresses_are_never_called_the_next_channel_is_and_the_books_say_so() {
    let site = ingested(CONFIG, 40);
    site.file("bounced.csv", list());
    let done = site.json(["suppress", "import", "bounced.csv", "--reason", "bounced"]);
    assert_eq!(
        (&done["suppressed"], &done["refused"]),
        (&18.into(), &0.into())
    );
    site.ok(["close", "2026-01"]);
    site.drain();
    assert_each_by_its_channel(&site, 40);
    let books = site.books("2026-01");
    assert_eq!(
        (&books["suppressed"], &books["sent"], &books["failed"]),
        (&3.into(), &37.into(), &0.into())
    );
    assert_eq!(books["balanced"], true);
    assert!(
        site.ok(["status", "2026-01"])
            .stdout
            .contains("· suppressed")
    );
    let one = site.json(["status", "2026-01", "--user", "2"]);
    assert_eq!(
        (&one["kinds"][0]["state"], &one["kinds"][0]["reason"]),
        (&"suppressed".into(), &"suppressed".into())
    );
    site.ok(["export", "2026-01", "--out", "result.parquet"]);
    let suppressed: BTreeSet<i64> = rows(&site.path("result.parquet"))
        .into_iter()
        .filter(|row| row.status == "suppressed")
        .inspect(|row| assert!(row.channel.is_none() && row.message_key.is_none()))
        .map(|row| row.user_id)
        .collect();
    assert_eq!(suppressed, BTreeSet::from([1, 2, 3]));

    // nothing that is read again changes anything
    site.ok(["replay"]);
    site.drain();
    assert_each_by_its_channel(&site, 40);
    assert_eq!(site.books("2026-01")["suppressed"], 3);
    World::read(&site.data()).assert_nobody_twice();
}

#[test]
fn what_is_suppressed_waits_for_its_removal_and_then_goes_with_the_next_round() {
    let site = ingested(CONFIG, 12);
    site.file("blocked.csv", list());
    site.ok(["suppress", "import", "blocked.csv", "--reason", "blocked"]);
    site.ok(["close", "2026-01"]);
    site.drain();
    let refused = site.ok(["retry", "2026-01"]);
    assert!(
        refused.stdout.contains("nothing to retry"),
        "{}",
        refused.stdout
    );
    assert!(
        refused.stdout.contains("suppress remove"),
        "{}",
        refused.stdout
    );

    let input = "010-0000-0001\n\n010-0000-0002\n";
    let ended = told(
        &site,
        &["suppress", "remove", "--channel", "sms", "--address-stdin"],
        input,
    )
    .expect(0);
    assert!(
        ended.stdout.starts_with("2 addresses may be used again"),
        "{}",
        ended.stdout
    );
    let round = site.json(["retry", "2026-01"]);
    assert_eq!(
        (&round["version"], &round["failed"], &round["released"]),
        (&1.into(), &0.into(), &2.into())
    );
    site.drain();
    let books = site.books("2026-01");
    assert_eq!(
        (&books["suppressed"], &books["sent"]),
        (&1.into(), &11.into()),
        "{books}"
    );
    let called = called(&site);
    for user in [1, 2] {
        assert_eq!(called[&user], BTreeSet::from(["sms".to_owned()]));
    }
    assert!(!called.contains_key(&3));
    World::read(&site.data()).assert_nobody_twice();
}

#[test]
fn what_failed_by_one_channel_does_not_go_by_a_suppressed_one() {
    let config = format!("{CONFIG}[channels.email]\nfailure_rate = 1.0\n");
    let site = ingested(&config, 6);
    let mut both = "channel,address\n".to_owned();
    for user in 1..=3 {
        both += &phone("sms", user);
        both += &phone("kakao", user);
    }
    site.file("opted-out.csv", both);
    site.ok([
        "suppress",
        "import",
        "opted-out.csv",
        "--reason",
        "opted-out",
    ]);
    site.ok(["close", "2026-01"]);
    site.drain();
    let books = site.books("2026-01");
    assert_eq!(
        (&books["failed"], &books["suppressed"], &books["sent"]),
        (&3.into(), &0.into(), &3.into()),
        "{books}"
    );
    for (user, by) in called(&site) {
        assert_eq!(by.contains("sms"), user > 3, "user {user}");
    }
}

#[test]
fn a_list_shows_tokens_and_no_addresses_and_tokens_are_taken_where_addresses_are() {
    let site = ingested(CONFIG, 3);
    told(
        &site,
        &[
            "suppress",
            "add",
            "--channel",
            "email",
            "--address-stdin",
            "--reason",
            "opted-out",
        ],
        "person1@example.com\n",
    )
    .expect(0);
    told(
        &site,
        &["suppress", "add", "--channel", "kakao", "--address-stdin"],
        "01000000002",
    )
    .expect(0);
    let listed = site.json(["suppress", "list"]);
    let listed = listed.as_array().unwrap();
    let what: Vec<_> = listed
        .iter()
        .map(|one| {
            (
                one["channel"].as_str().unwrap(),
                one["reason"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(what, [("email", "opted-out"), ("kakao", "blocked")]);
    let token = listed[0]["token"].as_str().unwrap();
    assert_eq!(token.len(), 64);
    let shown = site
        .ok(["suppress", "list", "--reason", "opted-out"])
        .stdout;
    assert!(
        shown.contains(token) && shown.lines().count() == 1,
        "{shown}"
    );
    assert!(!shown.contains("person1"), "{shown}");

    site.ok(["suppress", "remove", "--channel", "email", "--token", token]);
    assert_eq!(
        site.json(["suppress", "list", "--channel", "email"]),
        Value::Array(Vec::new())
    );
    let line = format!("{{\"channel\": \"email\", \"token\": \"{token}\"}}\n");
    site.file("tokens.ndjson", &line);
    // the same again is nothing new
    for (suppressed, already) in [(1, 0), (0, 1)] {
        let done = site.json(["suppress", "import", "tokens.ndjson", "--reason", "bounced"]);
        assert_eq!(
            (&done["suppressed"], &done["already"]),
            (&suppressed.into(), &already.into())
        );
    }
    site.ok(["close", "2026-01"]);
    site.drain();
    assert_eq!(called(&site)[&1], BTreeSet::from(["sms".to_owned()]));
    let done = site.json(["suppress", "remove", "tokens.ndjson"]);
    assert_eq!(done["removed"], 1);
}

#[test]
fn a_long_list_is_several_commands() {
    let site = ingested(CONFIG, 20);
    let mut list = "channel,address\n".to_owned();
    list.extend((1..=2_500).map(email));
    site.file("list.csv", list);
    let done = site.json(["suppress", "import", "list.csv", "--reason", "bounced"]);
    assert_eq!(done["suppressed"], 2_500);
    assert_eq!(done["command_ids"].as_array().unwrap().len(), 3);
    site.ok(["close", "2026-01"]);
    site.drain();
    let world = World::read(&site.data());
    assert_eq!(world.count("accepted"), 20);
    assert!(world.of("call").all(|call| call.channel == "sms"));
    assert_eq!(
        site.json(["suppress", "list"]).as_array().unwrap().len(),
        2_500
    );
}

#[test]
fn bad_rows_are_told_by_number_and_never_shown_and_the_good_ones_go() {
    let site = Site::new(CONFIG);
    let mut list = "address,channel\nfine@example.com,email\n".to_owned();
    list += "wiretap-bad1,email\n010-1,sms\nok@example.com,fax\n";
    let _ = writeln!(list, "010-1234-5678,kakao");
    site.file("list.csv", list);
    let ended = site.ok(["suppress", "import", "list.csv", "--reason", "bounced"]);
    assert!(
        ended.stdout.starts_with("2 addresses are suppressed"),
        "{}",
        ended.stdout
    );
    for told in [
        "row 2 is refused: address: has no canonical form",
        "row 3 is refused: address: has no canonical form",
        "row 4 is refused: channel: must be one of email, sms, kakao, push",
    ] {
        assert!(
            ended.stderr.contains(told),
            "{told} is not in {}",
            ended.stderr
        );
    }
    assert!(!ended.stderr.contains("wiretap"), "{}", ended.stderr);
    let bad = told(
        &site,
        &["suppress", "add", "--channel", "email", "--address-stdin"],
        "fine@example.com\nwiretap-bad1\n",
    )
    .expect(2);
    assert!(
        bad.error_line().contains("line 2 of stdin"),
        "{}",
        bad.stderr
    );
    assert!(!bad.stderr.contains("wiretap"), "{}", bad.stderr);
}

#[test]
fn what_is_no_list_is_refused_before_anything_is_written() {
    let site = Site::new(CONFIG);
    site.file("people.csv", subscribers(1));
    site.file("addresses.csv", "address\na@example.com\n");
    site.file("list.csv", "channel,address\nemail,a@example.com\n");
    let line = |arguments: &[&str]| site.run(arguments).expect(2).error_line().to_owned();
    let refused = line(&["suppress", "import", "people.csv", "--reason", "bounced"]);
    assert!(refused.contains("holds subscribers"), "{refused}");
    let refused = line(&["suppress", "import", "addresses.csv", "--reason", "bounced"]);
    assert!(refused.contains("without channel"), "{refused}");
    let refused = line(&["ingest", "list.csv"]);
    assert!(refused.contains("suppress import"), "{refused}");
    let refused = line(&["suppress", "remove", "--channel", "sms", "--token", "12"]);
    assert!(refused.contains("64 hexadecimal digits"), "{refused}");
    told(
        &site,
        &["suppress", "add", "--channel", "sms", "--address-stdin"],
        " \n",
    )
    .expect(2);
    for wrong in [
        &["suppress", "remove"][..],
        &["suppress", "remove", "--channel", "sms"],
        &["suppress", "remove", "--address-stdin"],
        &["suppress", "remove", "list.csv", "--channel", "sms"],
        &["suppress", "add", "--channel", "sms"],
    ] {
        site.run(wrong).expect(2);
    }
    // an address is never taken from the command line
    site.run(["suppress", "add", "--channel", "email", "a@example.com"])
        .expect(2);
    assert!(!site.data().exists());
}

#[test]
fn what_is_said_while_a_run_is_up_is_in_force_for_what_is_closed_after_it_and_outlives_a_kill() {
    let port = free_port();
    let site = ingested(
        &format!("{CONFIG}[http]\nlisten = \"127.0.0.1:{port}\"\n"),
        12,
    );
    site.file("list.csv", list());
    let mut run = site.spawn(["run"]);
    site.wait_until_ready(&mut run, port);
    site.ok(["suppress", "import", "list.csv", "--reason", "bounced"]);
    site.ok(["close", "2026-01"]);
    site.wait_until("the first period to be sent", || {
        site.books("2026-01")["sent"] == 9
    });
    assert_each_by_its_channel(&site, 12);
    run.kill();
    site.ok(["close", "2026-02"]);
    site.drain();
    let books = site.books("2026-02");
    assert_eq!(
        (&books["sent"], &books["suppressed"]),
        (&9.into(), &3.into()),
        "{books}"
    );
    assert_each_by_its_channel(&site, 12);
}
