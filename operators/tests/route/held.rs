//! What is held: before a close's time, until a hold is lifted.

use super::*;

fn close_not_before(bench: &mut Bench, not_before: Option<&str>) {
    let mut close = close_of(jan(), 0, 0, Catalog::built_in().text());
    close.templates = TemplateSet::built_in_sources();
    close.template_digest = TemplateSet::digest_of(&close.templates);
    close.policy = policy(&[Email, Sms]);
    close.not_before = not_before.map(at);
    bench.command("close-again", Action::Close(close));
}

#[test]
fn nothing_of_a_period_goes_before_the_time_that_its_close_names_also_after_a_restart() {
    let mut bench = Bench::new(&[Email, Sms]);
    close_not_before(&mut bench, Some("2026-02-11T09:00:00+09:00"));
    // a send day that comes before it, one that comes after it, and quiet hours around it
    bench.bill_in(1, send_day(10));
    bench.bill_in(2, send_day(12));
    bench.bill_in(
        3,
        Windows {
            quiet_from: Some(8),
            quiet_to: Some(11),
            send_day: None,
        },
    );
    bench.bill(4);
    bench.restart();
    assert_eq!(bench.sent(), []);
    let held: Vec<_> = bench
        .notices
        .iter()
        .map(|notice| notice.held_until.unwrap())
        .collect();
    assert_eq!(
        held,
        [
            "2026-02-11T09:00:00+09:00",
            "2026-02-12T00:00:00+09:00",
            "2026-02-11T11:00:00+09:00",
            "2026-02-11T09:00:00+09:00",
        ]
        .map(at)
    );
    assert_eq!(bench.notices[3].reason.as_deref(), Some("not-before"));
    bench.now = at("2026-02-11T08:59:59+09:00");
    bench.advance();
    assert_eq!(bench.sent(), []);
    bench.now = at("2026-02-11T12:00:00+09:00");
    bench.advance();
    assert_eq!(bench.sent(), [1, 4, 3].map(|id| (id, 0, Email)));
}

#[test]
fn a_later_close_moves_the_time_both_ways_and_one_that_names_none_leaves_it() {
    let mut bench = Bench::new(&[Email, Sms]);
    close_not_before(&mut bench, Some("2026-02-11T09:00:00+09:00"));
    bench.bill(1);
    close_not_before(&mut bench, None);
    bench.advance();
    assert_eq!(bench.sent(), []);
    close_not_before(&mut bench, Some("2026-02-20T09:00:00+09:00"));
    bench.restart();
    bench.advance();
    let until = |bench: &Bench| bench.notices.last().unwrap().held_until.unwrap();
    assert_eq!(until(&bench), at("2026-02-20T09:00:00+09:00"));
    bench.now = at("2026-02-11T10:00:00+09:00");
    bench.advance();
    assert_eq!(bench.sent(), []);
    close_not_before(&mut bench, Some("2026-02-11T10:00:00+09:00"));
    bench.restart();
    bench.advance();
    assert_eq!(bench.sent(), [(1, 0, Email)]);
}

#[test]
fn a_time_is_kept_to_where_windows_are_ignored_and_is_of_its_own_period_alone() {
    let mut bench = Bench::new(&[Email]);
    bench.router = Router::new(
        Arc::clone(&bench.keys),
        WindowRule::Ignore,
        TemplateCache::default(),
        policy(&[Kakao]),
    );
    bench.router.restored(&bench.table).unwrap();
    close_not_before(&mut bench, Some("2026-02-11T09:00:00+09:00"));
    bench.bill_in(1, send_day(20));
    let other = Statement {
        period: period("2025-12"),
        ..bench.statement(2, &[Email])
    };
    bench.begin(&other).unwrap();
    assert_eq!(bench.sent(), [(2, 0, Email)]);
    bench.now = at("2026-02-11T09:00:00+09:00");
    bench.advance();
    assert_eq!(bench.sent(), [(2, 0, Email), (1, 0, Email)]);
}

#[test]
fn a_failure_before_the_time_waits_with_the_next_channel() {
    let mut bench = Bench::new(&[Email, Sms]);
    bench.bill(1);
    close_not_before(&mut bench, Some("2026-02-11T09:00:00+09:00"));
    bench.deliver(1, 0, Email, Outcome::Failed);
    assert_eq!(bench.standings(), [(1, 0, Standing::Held)]);
    bench.now = at("2026-02-11T09:00:00+09:00");
    bench.advance();
    assert_eq!(bench.sent(), [(1, 0, Email), (1, 0, Sms)]);
}
