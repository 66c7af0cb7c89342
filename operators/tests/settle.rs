//! Settle, one rule after the other.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests"
)]

mod common;
#[path = "common/shard.rs"]
mod shard;

use common::{
    at, catalog_with, close_of, command, period, purchase, subscriber, usage, user, withdrawn,
};
use sealpost_operators::pack::Packer;
use sealpost_operators::table::{Source, Table as _};
use sealpost_schemas::catalog::Catalog;
use sealpost_schemas::codec;
use sealpost_schemas::record::{Action, LineKind, Reason, Subscriber, Usage, UsageKind};
use shard::Shard;

/// What a plan of 33,000 won bills.
const PLAN: &str = "PLN-043";
const PRICE: i64 = 33_000;
const MB: i64 = 1_000_000;

fn jan() -> sealpost_schemas::Period {
    period("2026-01")
}

fn feb() -> sealpost_schemas::Period {
    period("2026-02")
}

fn refused_usage(shard: &Shard) -> Vec<(u64, Reason)> {
    shard
        .refused()
        .iter()
        .filter(|(source, ..)| *source == Source::Usage)
        .map(|(_, at, why)| (*at, *why))
        .collect()
}

fn adjustments(shard: &Shard, statement: usize) -> Vec<(String, i64)> {
    let lines = shard.statements()[statement]
        .lines
        .iter()
        .filter(|line| line.kind == LineKind::Adjustment);
    lines
        .map(|line| (line.source_period.unwrap().to_string(), line.amount_won.0))
        .collect()
}

#[test]
fn the_worked_case_comes_to_13_013_won() {
    let open = |day: &str| {
        let date = day.parse().unwrap();
        sealpost_schemas::record::Interval {
            start: Some(sealpost_schemas::record::Day::from_date(date)),
            end: None,
        }
    };
    let row = Subscriber {
        contract: open("2025-06-01"),
        soldier: open("2025-09-01"),
        welfare: Some("WLF-03".to_owned()),
        ..subscriber(1, PLAN)
    };
    let data = usage(1, "e", common::within(jan()), UsageKind::Data, 2_300 * MB);
    let mut shard = Shard::new();
    shard.subscribes(row).uses(data).closes(jan()).run();
    assert_eq!(shard.totals(), [(1, "2026-01".to_owned(), 13_013)]);
}

#[test]
fn the_same_event_twice_counts_once_and_one_with_other_content_is_refused() {
    let mut shard = Shard::new();
    shard
        .subscribes(subscriber(1, PLAN))
        .uses(purchase(1, "e", "2026-01", 100));
    shard
        .uses(purchase(1, "e", "2026-01", 100))
        .uses(purchase(1, "e", "2026-01", 900));
    shard.closes(jan()).run();
    assert_eq!(shard.totals(), [(1, "2026-01".to_owned(), PRICE + 100)]);
    assert_eq!(refused_usage(&shard), [(2, Reason::ConflictingEvent)]);
    assert_eq!(shard.settle.counts.duplicates, 1);
}

#[test]
fn an_event_id_counts_once_across_periods() {
    let mut shard = Shard::new();
    shard
        .subscribes(subscriber(1, PLAN))
        .uses(purchase(1, "e", "2026-01", 100));
    shard
        .closes(jan())
        .uses(purchase(1, "e", "2026-02", 100))
        .closes(feb())
        .run();
    assert_eq!(shard.totals()[1], (1, "2026-02".to_owned(), PRICE));
    assert_eq!(refused_usage(&shard), [(1, Reason::ConflictingEvent)]);
}

#[test]
fn the_same_event_id_of_another_user_is_another_event() {
    let mut shard = Shard::new();
    shard
        .subscribes(subscriber(1, PLAN))
        .subscribes(subscriber(2, PLAN));
    shard
        .uses(purchase(1, "e", "2026-01", 100))
        .uses(purchase(2, "e", "2026-01", 200))
        .closes(jan())
        .run();
    assert_eq!(
        shard.totals().iter().map(|(.., won)| *won).sum::<i64>(),
        2 * PRICE + 300
    );
}

#[test]
fn many_events_of_one_user_are_each_counted_once_however_often_they_come() {
    let mut shard = Shard::new();
    shard.subscribes(subscriber(1, PLAN));
    for event in (0..300).chain(0..300) {
        shard.uses(purchase(1, &format!("event-{event}"), "2026-01", 1));
    }
    shard.closes(jan()).run();
    assert_eq!(shard.totals(), [(1, "2026-01".to_owned(), PRICE + 300)]);
    assert_eq!(shard.settle.counts.duplicates, 300);
}

#[test]
fn a_replay_of_everything_against_the_kept_state_bills_nothing_again() {
    let mut shard = Shard::new();
    shard
        .subscribes(subscriber(1, PLAN))
        .subscribes(subscriber(2, "PLN-001"))
        .uses(purchase(1, "a", "2026-01", 5));
    shard
        .closes(jan())
        .uses(purchase(2, "b", "2026-01", 7))
        .uses(purchase(2, "c", "2026-02", 9))
        .closes(feb())
        .run();
    let (table, statements) = (shard.table().clone(), shard.statements().to_vec());
    shard.replay();
    shard.run();
    assert_eq!(shard.statements(), statements);
    assert_eq!(shard.table(), &table);
    assert_eq!(
        (shard.settle.counts.events, shard.settle.counts.duplicates),
        (0, 3)
    );
}

#[test]
fn usage_waits_for_its_subscriber_until_the_cut() {
    let mut shard = Shard::new();
    shard.uses(purchase(1, "e", "2026-01", 100)).run();
    shard.subscribes(subscriber(1, PLAN)).closes(jan()).run();
    assert_eq!(shard.totals(), [(1, "2026-01".to_owned(), PRICE + 100)]);
    assert_eq!(shard.refused(), []);
}

#[test]
fn usage_of_someone_unknown_at_the_cut_is_refused_and_can_be_requeued() {
    let mut shard = Shard::new();
    shard
        .uses(purchase(1, "e", "2026-01", 100))
        .closes(jan())
        .run();
    assert_eq!(refused_usage(&shard), [(0, Reason::UnknownSubscriber)]);
    shard.subscribes(subscriber(1, PLAN)).run();
    shard
        .uses(purchase(1, "e", "2026-01", 100))
        .closes(jan())
        .run();
    assert_eq!(shard.totals(), [(1, "2026-01".to_owned(), PRICE + 100)]);
}

#[test]
fn usage_of_a_settled_period_is_refused_at_once_while_its_user_is_unknown() {
    let mut shard = Shard::new();
    shard
        .closes(jan())
        .run()
        .uses(purchase(1, "e", "2026-01", 100))
        .run();
    assert_eq!(refused_usage(&shard), [(0, Reason::UnknownSubscriber)]);
}

#[test]
fn usage_of_someone_withdrawn_at_the_cut_is_refused_and_nobody_bills_them() {
    let mut shard = Shard::new();
    shard
        .subscribes(subscriber(1, PLAN))
        .uses(purchase(1, "e", "2026-01", 100))
        .subscribes(withdrawn(1));
    shard.closes(jan()).run();
    assert_eq!(shard.statements(), []);
    assert_eq!(refused_usage(&shard), [(0, Reason::Withdrawn)]);
}

#[test]
fn someone_who_comes_back_is_billed_again() {
    let mut shard = Shard::new();
    shard
        .subscribes(withdrawn(1))
        .closes(jan())
        .subscribes(subscriber(1, PLAN))
        .closes(feb())
        .run();
    assert_eq!(shard.totals(), [(1, "2026-02".to_owned(), PRICE)]);
}

#[test]
fn a_later_row_replaces_an_earlier_one_and_one_behind_the_cut_does_not() {
    let mut shard = Shard::with_portion(1);
    shard
        .subscribes(subscriber(1, "PLN-001"))
        .subscribes(subscriber(1, PLAN))
        .closes(jan());
    shard.subscribes(subscriber(1, "PLN-002")).run();
    assert_eq!(shard.totals(), [(1, "2026-01".to_owned(), PRICE)]);
}

#[test]
fn late_usage_is_one_line_for_each_source_period_on_the_next_statement_and_billed_once() {
    let mut shard = Shard::new();
    shard
        .subscribes(subscriber(1, PLAN))
        .closes(jan())
        .closes(feb())
        .run();
    shard
        .uses(purchase(1, "a", "2026-01", 100))
        .uses(purchase(1, "b", "2026-01", 20));
    shard
        .uses(purchase(1, "c", "2026-02", 3))
        .closes(period("2026-03"))
        .run();
    assert_eq!(
        adjustments(&shard, 2),
        [("2026-01".to_owned(), 120), ("2026-02".to_owned(), 3)]
    );
    shard
        .uses(purchase(1, "d", "2026-01", 7))
        .closes(period("2026-04"))
        .run();
    assert_eq!(adjustments(&shard, 3), [("2026-01".to_owned(), 7)]);
    shard.closes(period("2026-05")).run();
    assert_eq!(adjustments(&shard, 4), []);
}

#[test]
fn late_usage_is_settled_by_what_was_frozen_whatever_plan_and_catalogue_are_now() {
    let dearer = catalog_with(
        "overage_won_per_mb = \"0.2750\"",
        "overage_won_per_mb = \"9\"",
    );
    let data = |event, mb| usage(1, event, common::within(jan()), UsageKind::Data, mb * MB);
    let mut shard = Shard::new();
    shard
        .subscribes(subscriber(1, PLAN))
        .uses(data("a", 1_500))
        .closes(jan());
    shard
        .subscribes(subscriber(1, "PLN-001"))
        .uses(data("b", 800))
        .closes_by(feb(), &dearer)
        .run();
    // 800 MB beyond what is included, at 0.275 won
    assert_eq!(adjustments(&shard, 1), [("2026-01".to_owned(), 220)]);
}

#[test]
fn usage_is_taken_for_13_months_and_then_too_late() {
    let mut shard = Shard::new();
    shard
        .subscribes(subscriber(1, PLAN))
        .closes(period("2024-12"))
        .closes(jan())
        .run();
    shard
        .uses(purchase(1, "a", "2024-12", 100))
        .uses(purchase(1, "b", "2024-11", 100))
        .run();
    assert_eq!(refused_usage(&shard), [(1, Reason::TooLate)]);
    shard.closes(feb()).run();
    assert_eq!(adjustments(&shard, 2), [("2024-12".to_owned(), 100)]);
    shard.uses(purchase(1, "c", "2024-12", 100)).run();
    assert_eq!(refused_usage(&shard)[1..], [(2, Reason::TooLate)]);
}

#[test]
fn what_is_no_longer_needed_is_forgotten_also_when_months_were_skipped() {
    let mut shard = Shard::new();
    shard
        .subscribes(subscriber(1, PLAN))
        .uses(purchase(1, "a", "2024-01", 1))
        .closes(period("2024-01"))
        .run();
    let entries = shard
        .table()
        .0
        .keys()
        .filter(|key| matches!(key[0], b'e' | b'f'))
        .count();
    assert_eq!(entries, 2);
    shard.closes(jan()).run();
    let kept: Vec<_> = shard
        .table()
        .0
        .keys()
        .filter(|key| matches!(key[0], b'e' | b'f'))
        .cloned()
        .collect();
    assert_eq!(
        kept.len(),
        1,
        "only what the newest bill was made of: {kept:?}"
    );
}

#[test]
fn a_period_whose_bills_are_forgotten_is_not_billed_again() {
    let mut shard = Shard::new();
    shard
        .subscribes(subscriber(1, PLAN))
        .closes(period("2024-01"))
        .closes(jan())
        .closes(period("2024-01"))
        .run();
    assert_eq!(
        shard.totals(),
        [
            (1, "2024-01".to_owned(), PRICE),
            (1, "2026-01".to_owned(), PRICE)
        ]
    );
}

#[test]
fn a_total_beyond_64_bits_is_refused_and_the_rest_counts() {
    let mut shard = Shard::new();
    let most = Usage::QUANTITY_MAX;
    let fits = i64::MAX / most;
    shard.subscribes(subscriber(1, "PLN-001"));
    for event in 0..=fits {
        shard.uses(usage(
            1,
            &event.to_string(),
            common::within(jan()),
            UsageKind::Data,
            most,
        ));
    }
    shard.closes(jan()).run();
    assert_eq!(
        refused_usage(&shard),
        [(fits.cast_unsigned(), Reason::Overflow)]
    );
    assert_eq!(shard.statements()[0].usage.data_bytes, fits * most);
}

#[test]
fn what_is_out_of_range_is_malformed() {
    let mut shard = Shard::new();
    shard
        .uses(purchase(1, "", "2026-01", 1))
        .uses(purchase(1, &"x".repeat(65), "2026-01", 1));
    shard.uses(purchase(1, "a", "2026-01", -1)).uses(purchase(
        1,
        "b",
        "2026-01",
        Usage::QUANTITY_MAX + 1,
    ));
    shard
        .uses(usage(1, "c", at("1969-12-01T00:00:00Z"), UsageKind::Sms, 1))
        .run();
    assert_eq!(
        refused_usage(&shard),
        [0, 1, 2, 3, 4].map(|offset| (offset, Reason::Malformed))
    );
}

#[test]
fn a_close_said_three_times_settles_once_and_later_only_who_has_no_statement() {
    let mut shard = Shard::new();
    shard
        .subscribes(subscriber(1, PLAN))
        .closes(jan())
        .closes(jan())
        .closes(jan())
        .run();
    assert_eq!(shard.totals(), [(1, "2026-01".to_owned(), PRICE)]);
    shard.subscribes(subscriber(2, PLAN)).closes(jan()).run();
    assert_eq!(shard.totals()[1..], [(2, "2026-01".to_owned(), PRICE)]);
}

#[test]
fn a_command_that_comes_again_is_the_same_command() {
    let mut shard = Shard::new();
    shard.subscribes(subscriber(1, PLAN)).closes(jan()).run();
    let again = shard.commands[0].clone();
    shard.subscribes(subscriber(2, PLAN)).run();
    shard.try_command(again).unwrap();
    assert_eq!(shard.settle.unfinished(), 0);
    shard.run();
    assert_eq!(shard.statements().len(), 1);
}

#[test]
fn two_closes_in_a_row_each_keep_to_their_own_cut() {
    let mut shard = Shard::with_portion(1);
    for id in 1..=4 {
        shard.subscribes(subscriber(id, PLAN));
    }
    shard
        .closes(jan())
        .uses(purchase(1, "a", "2026-02", 10))
        .closes(feb());
    shard.uses(purchase(4, "b", "2026-02", 1_000)).run();
    assert_eq!(
        shard.totals().iter().map(|(.., won)| *won).sum::<i64>(),
        8 * PRICE + 10
    );
}

#[test]
fn while_one_close_works_the_inputs_stop_at_the_cut_of_the_next() {
    let mut shard = Shard::with_portion(1);
    shard
        .subscribes(subscriber(1, PLAN))
        .subscribes(subscriber(2, PLAN))
        .closes(jan())
        .closes(feb());
    shard.uses(purchase(2, "b", "2026-02", 1_000));
    shard.read_commands(2);
    assert!(shard.read_subscriber() && shard.read_subscriber());
    assert!(shard.advance(), "one of two users is settled");
    assert_eq!(shard.settle.limit(Source::Usage), Some(0));
    assert!(!shard.read_usage());
}

#[test]
fn what_the_catalogue_does_not_have_is_refused_until_it_is_mended() {
    let cases: [(Subscriber, Reason, &str); 3] = [
        (
            subscriber(1, "PLN-900"),
            Reason::UnknownPlan,
            "[[plan]]\ncode = \"PLN-900\"\nname = \"New\"\nmonthly_price_won = 5\ndata = \"unlimited\"\nsoldier_discount = false\n",
        ),
        (
            Subscriber {
                options: vec!["OPT-9".to_owned()],
                ..subscriber(1, PLAN)
            },
            Reason::UnknownOption,
            "[[option]]\ncode = \"OPT-9\"\nname = \"New\"\nmonthly_price_won = 5\n",
        ),
        (
            Subscriber {
                welfare: Some("WLF-9".to_owned()),
                ..subscriber(1, PLAN)
            },
            Reason::UnknownWelfare,
            "[[welfare]]\ncode = \"WLF-9\"\nname = \"New\"\nrate = \"0.1\"\n",
        ),
    ];
    for (row, reason, mended) in cases {
        let mut shard = Shard::new();
        shard
            .subscribes(row)
            .uses(purchase(1, "a", "2026-01", 7))
            .closes(jan())
            .run();
        assert_eq!(shard.refused(), [(Source::Subscribers, 0, reason)]);
        assert_eq!(shard.statements(), []);
        let catalog = format!("{}\n{mended}", Catalog::built_in().text());
        shard.closes_by(jan(), &catalog).run();
        assert_eq!(shard.statements()[0].usage.content_won, 7, "{reason:?}");
    }
}

#[test]
fn a_statement_that_fails_leaves_late_usage_for_the_one_that_succeeds() {
    let mut shard = Shard::new();
    shard
        .subscribes(subscriber(1, PLAN))
        .closes(jan())
        .uses(purchase(1, "a", "2026-01", 50));
    shard
        .subscribes(subscriber(1, "PLN-900"))
        .closes(feb())
        .subscribes(subscriber(1, PLAN))
        .closes(feb())
        .run();
    assert_eq!(adjustments(&shard, 1), [("2026-01".to_owned(), 50)]);
}

#[test]
fn months_are_those_of_the_configured_zone() {
    let mut shard = Shard::new();
    shard.subscribes(subscriber(1, PLAN));
    shard.uses(usage(
        1,
        "a",
        at("2026-01-31T14:59:59.999999Z"),
        UsageKind::Content,
        1,
    ));
    shard.uses(usage(
        1,
        "b",
        at("2026-01-31T15:00:00Z"),
        UsageKind::Content,
        20,
    ));
    shard.uses(usage(
        1,
        "c",
        at("2026-02-28T14:59:59Z"),
        UsageKind::Content,
        300,
    ));
    shard.closes(jan()).closes(feb()).run();
    let used: Vec<_> = shard
        .statements()
        .iter()
        .map(|statement| statement.usage.content_won)
        .collect();
    assert_eq!(used, [1, 320]);
}

#[test]
fn a_close_for_another_time_zone_stops_and_says_what_to_do() {
    let mut shard = Shard::new();
    let mut close = close_of(jan(), 0, 0, Catalog::built_in().text());
    close.time_zone = "UTC".to_owned();
    let error = shard
        .try_command(command("c", Action::Close(close)))
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("UTC") && error.contains("Asia/Seoul") && error.contains("set time_zone"),
        "{error}"
    );
}

#[test]
fn a_close_whose_catalogue_is_not_that_of_its_digest_stops() {
    let mut shard = Shard::new();
    let mut close = close_of(jan(), 0, 0, Catalog::built_in().text());
    close.catalog_digest = sealpost_schemas::Digest::of(b"another");
    assert!(
        shard
            .try_command(command("c", Action::Close(close)))
            .is_err()
    );
}

#[test]
fn credit_is_brought_forward_and_what_is_left_of_it_carried_on() {
    let mut shard = Shard::new();
    shard.subscribes(subscriber(1, PLAN)).run();
    // credit of 40,000 won as an earlier statement would leave it: settle's own form of an account
    let mut packer = Packer::default();
    packer
        .begin(1)
        .number(2)
        .number(0)
        .number(0)
        .number(0)
        .signed(40_000)
        .number(0)
        .number(0);
    let key = [&b"a"[..], &user(1).to_be_bytes()].concat();
    shard.table().put(&key, packer.bytes());
    shard.closes(jan()).closes(feb()).run();
    let lines = |statement: usize| -> Vec<_> {
        shard.statements()[statement]
            .lines
            .iter()
            .map(|line| (line.kind, line.amount_won.0))
            .collect()
    };
    let (plan, brought, carried) = (
        LineKind::Plan,
        LineKind::BroughtForward,
        LineKind::CarriedForward,
    );
    assert_eq!(
        lines(0),
        [(plan, PRICE), (brought, -40_000), (carried, 7_000)]
    );
    assert_eq!(lines(1), [(plan, PRICE), (brought, -7_000)]);
}

#[test]
fn an_account_that_cannot_be_read_stops_and_is_not_taken_for_a_new_one() {
    let mut shard = Shard::new();
    shard.subscribes(subscriber(1, PLAN)).run();
    let key = [&b"a"[..], &user(1).to_be_bytes()].concat();
    shard.table().put(&key, b"\xff");
    shard.subscribes(subscriber(1, PLAN));
    let stopped =
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| shard.read_subscriber()));
    assert!(stopped.is_err());
}

#[test]
fn the_same_inputs_make_the_same_bytes() {
    let bytes = || {
        let mut shard = Shard::new();
        for id in 1..20 {
            shard
                .subscribes(subscriber(id, PLAN))
                .uses(purchase(id, "a", "2026-01", 7));
        }
        shard.closes(jan()).run();
        shard
            .statements()
            .iter()
            .flat_map(|statement| codec::encode(statement).unwrap())
            .collect::<Vec<_>>()
    };
    assert_eq!(bytes(), bytes());
}

#[test]
fn what_was_refused_stays_refused_when_it_is_read_again() {
    let mut shard = Shard::new();
    shard.uses(purchase(1, "a", "2026-01", 9_251));
    shard.closes(jan()).run();
    let refused = [(Source::Usage, 0, Reason::UnknownSubscriber)];
    assert_eq!(shard.refused(), refused);
    shard.subscribes(subscriber(1, PLAN)).closes(jan());
    shard.replay();
    shard.run();
    assert_eq!(shard.totals(), [(1, "2026-01".to_owned(), PRICE)]);
    // settled by now: read again, it would be late
    shard.replay();
    shard.closes(period("2026-02")).run();
    assert_eq!(
        shard.totals().last(),
        Some(&(1, "2026-02".to_owned(), PRICE))
    );
    assert_eq!(shard.refused(), refused);
}

#[test]
fn what_was_refused_counts_when_it_is_written_again() {
    let mut shard = Shard::new();
    shard.uses(purchase(1, "a", "2026-01", 9_251));
    shard.closes(jan()).run();
    shard
        .subscribes(subscriber(1, PLAN))
        .run()
        .uses(purchase(1, "a", "2026-01", 9_251))
        .closes(jan())
        .run();
    assert_eq!(shard.totals(), [(1, "2026-01".to_owned(), PRICE + 9_251)]);
}
