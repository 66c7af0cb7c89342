//! Settled once, whatever is said twice; what comes late is put right on the next bill.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::plain::{PLAN, PLAN_WON, SUBSCRIBERS, USAGE, event, subscriber, subscribers};
use crate::records::Records;
use crate::site::Site;
use crate::world::World;

const CONFIG: &str = "[windows]\nignore = true\n";

/// Every record of `statements` but for its offset, in the order of keys.
fn statements(site: &Site) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut statements = BTreeMap::new();
    Records::open(&site.data()).each("statements", |_, _, key, value| {
        let before = statements.insert(key.to_vec(), value.unwrap().to_vec());
        if let Some(before) = before {
            assert_eq!(
                before,
                value.unwrap(),
                "a statement was written again, and differs"
            );
        }
    });
    statements
}

/// A user's lines as (kind, amount), and their total.
fn bill(site: &Site, period: &str, user: u64) -> (Vec<(String, i64)>, i64) {
    let shown = site.json(["status", period, "--user", &user.to_string()]);
    let lines = shown["statement"]["lines"]
        .as_array()
        .unwrap_or_else(|| panic!("no statement: {shown}"));
    let lines: Vec<_> = lines
        .iter()
        .map(|line| {
            (
                line["kind"].as_str().unwrap().to_owned(),
                line["amount_won"].as_i64().unwrap(),
            )
        })
        .collect();
    let total = shown["total_won"].as_i64().unwrap();
    assert_eq!(
        lines.iter().map(|(_, amount)| amount).sum::<i64>(),
        total,
        "the lines sum to the total"
    );
    (lines, total)
}

fn lines<const N: usize>(lines: [(&str, i64); N]) -> Vec<(String, i64)> {
    lines
        .into_iter()
        .map(|(kind, amount)| (kind.to_owned(), amount))
        .collect()
}

#[test]
fn files_taken_in_twice_and_a_period_closed_three_times_give_the_same_statements() {
    let once = Site::new(CONFIG);
    once.prepare(1_000);
    once.drain();

    let often = Site::with_keys_of(&once, CONFIG);
    let inputs = once.path("inputs");
    let inputs = inputs.to_str().unwrap();
    often.ok(["ingest", inputs]);
    often.ok(["ingest", inputs]);
    often.ok(["close", "2026-01"]);
    often.ok(["close", "2026-01"]);
    often.drain();
    often.ok(["close", "2026-01"]);
    often.drain();

    let (once_settled, often_settled) = (statements(&once), statements(&often));
    assert_eq!(once_settled.len(), 1_000);
    assert_eq!(once_settled, often_settled);
    let world = World::read(&often.data());
    world.assert_nobody_twice();
    assert_eq!(world.count("accepted"), 1_000);
    assert_eq!(
        often.books("2026-01")["total_won"],
        once.books("2026-01")["total_won"]
    );
}

#[test]
fn the_worked_case_comes_to_what_the_contract_says() {
    let site = Site::new(CONFIG);
    site.file(
        "people.csv",
        "user_id,name,email,phone,plan,contract_start,contract_end,welfare,soldier_start,soldier_end\n\
         1,홍길동,a@example.com,010-0000-0001,PLN-043,2025-06-01,,WLF-03,2026-01-31,2027-01-01\n",
    );
    let mut usage = USAGE.to_owned();
    for nth in 0..23 {
        usage.push_str(&event(&format!("e{nth}"), 1, "data", 100_000_000));
    }
    site.file("usage.csv", usage);
    site.ok(["ingest", "people.csv", "usage.csv"]);
    site.ok(["close", "2026-01"]);
    site.drain();
    let (found, total) = bill(&site, "2026-01", 1);
    assert_eq!(total, 13_013);
    let expected = [
        ("plan", 33_000),
        ("data_overage", 220),
        ("contract_discount", -8_250),
        ("soldier_discount", -4_950),
        ("welfare_discount", -7_007),
    ];
    assert_eq!(found, lines(expected));
}

#[test]
fn late_usage_becomes_one_adjustment_on_the_next_bill_and_never_a_second_one() {
    let site = Site::new(CONFIG);
    site.file("people.csv", subscribers(3));
    site.file(
        "usage.csv",
        format!("{USAGE}{}", event("in-time", 1, "data", 1_400_000_000_i64)),
    );
    site.ok(["ingest", "people.csv", "usage.csv"]);
    site.ok(["close", "2026-01"]);
    site.drain();
    let january = bill(&site, "2026-01", 1);
    assert_eq!(january, (lines([("plan", PLAN_WON)]), PLAN_WON));

    // 1,400 MB were within the 1,500; 300 MB more bring 200 MB beyond: 55 won; a purchase: 500
    let late = format!(
        "{USAGE}{}{}",
        event("late-data", 1, "data", 300_000_000),
        event("late-content", 1, "content", 500)
    );
    site.file("late.csv", late);
    site.ok(["ingest", "late.csv"]);
    site.ok(["ingest", "late.csv"]);
    site.ok(["close", "2026-01"]);
    site.drain();
    assert_eq!(
        bill(&site, "2026-01", 1),
        january,
        "the bill of January stands"
    );
    assert_eq!(
        World::read(&site.data()).count("accepted"),
        3,
        "and is not sent again"
    );

    site.ok(["close", "2026-02"]);
    site.drain();
    assert_eq!(
        bill(&site, "2026-02", 1),
        (
            lines([("plan", PLAN_WON), ("adjustment", 555)]),
            PLAN_WON + 555
        )
    );
    assert_eq!(
        bill(&site, "2026-02", 2),
        (lines([("plan", PLAN_WON)]), PLAN_WON)
    );
    let shown = site.json(["status", "2026-02", "--user", "1"]);
    let adjustment = shown["statement"]["lines"]
        .as_array()
        .unwrap()
        .iter()
        .find(|line| line["kind"] == "adjustment")
        .unwrap();
    assert_eq!(adjustment["source_period"], "2026-01");

    // billed once, it does not come again; what is later still adds to it
    site.file(
        "later.csv",
        format!("{USAGE}{}", event("later", 1, "data", 100_000_000)),
    );
    site.ok(["ingest", "later.csv"]);
    site.ok(["close", "2026-03"]);
    site.drain();
    // 1,800 MB: 82.5, so 82 won; 55 of it were billed
    assert_eq!(
        bill(&site, "2026-03", 1),
        (
            lines([("plan", PLAN_WON), ("adjustment", 27)]),
            PLAN_WON + 27
        )
    );
    site.ok(["close", "2026-04"]);
    site.drain();
    assert_eq!(
        bill(&site, "2026-04", 1),
        (lines([("plan", PLAN_WON)]), PLAN_WON)
    );
    World::read(&site.data()).assert_nobody_twice();
}

#[test]
fn the_same_event_with_other_content_is_a_dead_letter_and_the_first_stands() {
    let site = Site::new(CONFIG);
    site.file("people.csv", subscribers(2));
    let rows = [
        event("e", 1, "content", 500),
        event("e", 1, "content", 500),
        event("e", 1, "content", 900),
        event("e", 2, "content", 900),
    ];
    site.file("usage.csv", format!("{USAGE}{}", rows.concat()));
    site.ok(["ingest", "people.csv", "usage.csv"]);
    site.ok(["close", "2026-01"]);
    site.drain();
    assert_eq!(bill(&site, "2026-01", 1).1, PLAN_WON + 500);
    assert_eq!(
        bill(&site, "2026-01", 2).1,
        PLAN_WON + 900,
        "an event id is its user's own"
    );
    let letters = site.json(["dead-letters", "list"]);
    assert_eq!(letters.as_array().unwrap().len(), 1);
    assert_eq!(letters[0]["reason"], "conflicting-event");
}

#[test]
fn usage_of_an_unknown_user_is_billed_once_the_user_is_known_and_it_is_requeued() {
    let site = Site::new(CONFIG);
    site.file("people.csv", subscribers(1));
    site.file(
        "usage.csv",
        format!("{USAGE}{}", event("early", 2, "content", 700)),
    );
    site.ok(["ingest", "people.csv", "usage.csv"]);
    site.ok(["close", "2026-01"]);
    site.drain();
    let letters = site.json(["dead-letters", "list"]);
    assert_eq!(
        (letters.as_array().unwrap().len(), &letters[0]["reason"]),
        (1, &Value::from("unknown-subscriber"))
    );

    // requeued too soon it comes back
    let requeued = site.json(["dead-letters", "requeue"]);
    assert_eq!(
        (&requeued["requeued"], &requeued["still_refused"]),
        (&Value::from(1), &Value::from(0))
    );
    site.drain();
    assert_eq!(
        site.json(["dead-letters", "list"])[0]["reason"],
        "unknown-subscriber"
    );

    site.file(
        "newcomer.csv",
        format!("{SUBSCRIBERS}{}", subscriber(2, PLAN)),
    );
    site.ok(["ingest", "newcomer.csv"]);
    // by now the user is known, so it is counted
    site.drain();
    assert_eq!(
        site.json(["dead-letters", "requeue", "--reason", "unknown-subscriber"])["requeued"],
        1
    );
    site.ok(["close", "2026-01"]);
    site.drain();
    assert_eq!(
        bill(&site, "2026-01", 2),
        (
            lines([("plan", PLAN_WON), ("content", 700)]),
            PLAN_WON + 700
        )
    );
    assert_eq!(
        site.json(["dead-letters", "list"]),
        Value::Array(Vec::new())
    );
    assert_eq!(site.books("2026-01")["sent"], 2);
    World::read(&site.data()).assert_nobody_twice();
}

#[test]
fn whoever_has_withdrawn_is_not_billed_and_their_usage_is_a_dead_letter() {
    let site = Site::new(CONFIG);
    site.file(
        "people.csv",
        "user_id,name,email,phone,plan,status\n\
         1,홍길동,a@example.com,010-0000-0001,PLN-043,active\n\
         2,홍길서,b@example.com,010-0000-0002,PLN-043,withdrawn\n",
    );
    site.file(
        "usage.csv",
        format!(
            "{USAGE}{}{}",
            event("a", 1, "sms", 1),
            event("b", 2, "content", 900)
        ),
    );
    site.ok(["ingest", "people.csv", "usage.csv"]);
    site.ok(["close", "2026-01"]);
    site.drain();
    let books = site.books("2026-01");
    assert_eq!(
        (&books["subscribers"], &books["statements"], &books["sent"]),
        (&1.into(), &1.into(), &1.into())
    );
    let letters = site.json(["dead-letters", "list"]);
    assert_eq!(
        (letters.as_array().unwrap().len(), &letters[0]["reason"]),
        (1, &Value::from("withdrawn"))
    );
    assert_eq!(letters[0]["user_id"], 2);
}

#[test]
fn usage_of_more_than_13_months_ago_is_a_dead_letter() {
    let site = Site::new(CONFIG);
    site.file("people.csv", subscribers(1));
    site.ok(["ingest", "people.csv"]);
    site.ok(["close", "2026-03"]);
    site.drain();
    let rows = "old,1,2025-01-31T23:59:59+09:00,content,100\nkept,1,2025-02-01T00:00:00+09:00,content,200\n";
    site.file("usage.csv", format!("{USAGE}{rows}"));
    site.ok(["ingest", "usage.csv"]);
    site.drain();
    let letters = site.json(["dead-letters", "list"]);
    assert_eq!(
        (letters.as_array().unwrap().len(), &letters[0]["reason"]),
        (1, &Value::from("too-late"))
    );
}

#[test]
fn a_time_without_an_offset_is_in_the_configured_zone() {
    let site = Site::new(CONFIG);
    site.file("people.csv", subscribers(1));
    let rows = "a,1,2026-01-31T23:59:59,content,100\nb,1,2026-02-01T00:00:00,content,200\nc,1,2026-01-31T15:00:00Z,content,400\n";
    site.file("usage.csv", format!("{USAGE}{rows}"));
    site.ok(["ingest", "people.csv", "usage.csv"]);
    site.ok(["close", "2026-01"]);
    site.ok(["close", "2026-02"]);
    site.drain();
    assert_eq!(bill(&site, "2026-01", 1).1, PLAN_WON + 100);
    assert_eq!(bill(&site, "2026-02", 1).1, PLAN_WON + 600);
}
