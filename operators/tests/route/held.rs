//! What is held: before a close's time, until a hold is lifted.

use super::*;
use sealpost_schemas::record::{Hold, Release, Returned};

impl Bench {
    fn hold(&mut self, channel: Option<Channel>) {
        let period = jan();
        self.command("hold", Action::Hold(Hold { period, channel }));
    }

    fn release(&mut self, channel: Option<Channel>) {
        let period = jan();
        self.command("release", Action::Release(Release { period, channel }));
        self.advance();
    }

    fn give_back(&mut self, id: u64, version: u16, channel: Channel) {
        let returned = Returned {
            user_id: user(id),
            period: jan(),
            kind: Kind::Bill,
            version: Version(version),
            channel,
        };
        self.act(|router, scope| router.on_returned(&returned, scope))
            .unwrap();
    }
}

#[test]
fn what_was_sent_ends_a_route_that_was_told_twice_that_its_dispatch_came_back() {
    for (holds, suppressed) in [(true, false), (false, true)] {
        let mut bench = Bench::new(&[Email]);
        bench.bill(1);
        bench.hold(None);
        bench.give_back(1, 0, Email);
        bench.release(None);
        assert_eq!(bench.sent(), [(1, 0, Email), (1, 0, Email)]);
        // send began again before it, and gave the first one back once more
        if holds {
            bench.hold(None);
        }
        if suppressed {
            bench.suppress(1, &[Email, Sms, Kakao]);
        }
        bench.give_back(1, 0, Email);
        bench.deliver(1, 0, Email, Outcome::Unknown);
        bench.retry(1);
        bench.deliver(1, 0, Email, Outcome::Sent);
        bench.release(None);
        bench.retry(2);
        bench.advance();
        bench.restart();
        bench.advance();
        assert_eq!(bench.sent(), [(1, 0, Email), (1, 0, Email)]);
    }
}

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

#[test]
fn a_held_channel_parks_its_routes_and_releases_them_in_the_order_in_which_they_came() {
    let mut bench = Bench::new(&[Email, Sms]);
    bench.hold(Some(Email));
    for id in [5, 2, 9, 1] {
        bench.bill(id);
    }
    let by_sms = bench.statement(7, &[Sms]);
    bench.begin(&by_sms).unwrap();
    bench.advance();
    assert_eq!(bench.sent(), [(7, 0, Sms)], "no other channel instead");
    assert_eq!(
        bench.standings(),
        [5, 2, 9, 1].map(|id| (id, 0, Standing::Held))
    );
    assert_eq!(bench.notices[0].held_until, None);
    assert_eq!(bench.notices[0].reason.as_deref(), Some("hold"));
    bench.restart();
    bench.advance();
    bench.release(Some(Sms));
    assert_eq!(bench.sent().len(), 1);
    // portions are of two: what a crash leaves of a release goes after it
    bench.command(
        "release",
        Action::Release(Release {
            period: jan(),
            channel: None,
        }),
    );
    bench
        .act(|router, scope| router.advance_due(scope))
        .unwrap();
    bench.restart();
    bench.advance();
    let sent: Vec<_> = bench.sent()[1..].iter().map(|(id, ..)| *id).collect();
    assert_eq!(sent, [5, 2, 9, 1]);
    assert_eq!(bench.router.next_timer(), None);
}

#[test]
fn what_comes_back_is_parked_and_goes_again_with_the_same_key() {
    let mut bench = Bench::new(&[Email, Sms]);
    bench.bill(1);
    bench.hold(None);
    bench.give_back(1, 1, Email);
    bench.give_back(1, 0, Sms);
    bench.give_back(2, 0, Email);
    assert_eq!(bench.router.counts.stale, 3);
    bench.give_back(1, 0, Email);
    assert_eq!(bench.standings(), [(1, 0, Standing::Held)]);
    bench.release(None);
    // a second answer of the same changes nothing but that it is said again
    assert_eq!(bench.sent(), [(1, 0, Email), (1, 0, Email)]);
    let [first, second] = &bench.dispatches[..] else {
        panic!("two");
    };
    assert_eq!(first, second);
    // released before it has come back: it goes on at once
    bench.give_back(1, 0, Email);
    assert_eq!(bench.sent().len(), 3);
}

#[test]
fn a_failure_while_the_next_channel_is_held_waits_for_it_and_a_new_order_passes_it_by() {
    let mut bench = Bench::new(&[Email, Sms, Kakao]);
    bench.bill(1);
    bench.bill(2);
    bench.hold(Some(Sms));
    bench.deliver(1, 0, Email, Outcome::Failed);
    assert_eq!(bench.standings(), [(1, 0, Standing::Held)]);
    bench.set(&[Email, Kakao], Apply::Unsent);
    bench.restart();
    bench.advance();
    assert_eq!(bench.sent()[2..], [(1, 0, Kakao)]);
    // what is not parked is not touched
    bench.deliver(2, 0, Email, Outcome::Failed);
    assert_eq!(bench.sent()[3..], [(2, 0, Kakao)]);
}

#[test]
fn windows_are_kept_when_a_hold_is_lifted_and_a_window_that_ends_in_a_hold_parks() {
    let mut bench = Bench::new(&[Email]);
    bench.bill_in(1, send_day(10));
    bench.hold(None);
    bench.bill_in(2, send_day(12));
    bench.release(None);
    let until = |bench: &Bench| bench.notices.last().unwrap().held_until;
    assert_eq!(until(&bench), Some(at("2026-02-12T00:00:00+09:00")));
    bench.hold(None);
    bench.now = at("2026-02-10T00:00:00+09:00");
    bench.advance();
    assert_eq!((bench.sent().len(), until(&bench)), (0, None));
    bench.release(None);
    assert_eq!(bench.sent(), [(1, 0, Email)]);
}

#[test]
fn a_hold_is_of_its_period_alone_and_said_twice_it_is_one() {
    let mut bench = Bench::new(&[Email]);
    bench.hold(None);
    bench.hold(None);
    let other = Statement {
        period: period("2025-12"),
        ..bench.statement(2, &[Email])
    };
    bench.begin(&other).unwrap();
    bench.bill(1);
    assert_eq!(bench.sent(), [(2, 0, Email)]);
    bench.release(None);
    bench.release(None);
    assert_eq!(bench.sent(), [(2, 0, Email), (1, 0, Email)]);
}

#[test]
fn a_retry_is_held_too() {
    let mut bench = Bench::new(&[Email]);
    bench.bill(1);
    bench.deliver(1, 0, Email, Outcome::Failed);
    bench.hold(Some(Sms));
    bench.retry(1);
    bench.advance();
    assert_eq!(bench.standings()[1..], [(1, 1, Standing::Held)]);
    bench.release(Some(Sms));
    assert_eq!(bench.sent(), [(1, 0, Email), (1, 1, Sms)]);
}

/// A bill that came back once, went again, and whose return a replay reads once more.
fn read_again(change: impl FnOnce(&mut Bench)) -> Bench {
    let mut bench = Bench::new(&[Email, Sms]);
    bench.bill(1);
    bench.hold(None);
    bench.give_back(1, 0, Email);
    bench.release(None);
    assert_eq!(bench.sent(), [(1, 0, Email), (1, 0, Email)]);
    change(&mut bench);
    bench.give_back(1, 0, Email);
    bench
}

#[test]
fn a_return_that_is_read_once_more_does_not_lose_sight_of_what_was_begun_since() {
    let mut bench = read_again(|bench| bench.set(&[Sms, Kakao], Apply::Unsent));
    // send drops this, since the call of the other is open
    assert_eq!(bench.sent()[2..], [(1, 0, Sms)]);
    bench.deliver(1, 0, Email, Outcome::Failed);
    assert_eq!(bench.sent()[3..], [(1, 0, Sms)]);
    bench.deliver(1, 0, Sms, Outcome::Failed);
    assert_eq!(bench.sent()[4..], [(1, 0, Kakao)]);
}

#[test]
fn what_was_begun_since_is_in_doubt_however_the_route_stood() {
    let mut bench = read_again(|bench| bench.hold(None));
    assert_eq!(bench.standings().last(), Some(&(1, 0, Standing::Held)));
    bench.deliver(1, 0, Email, Outcome::Unknown);
    bench.release(None);
    assert_eq!(bench.sent().len(), 2, "nothing goes while it is in doubt");
    bench.deliver(1, 0, Email, Outcome::Sent);
    bench.retry(1);
    bench.advance();
    assert_eq!(bench.sent().len(), 2);
}
