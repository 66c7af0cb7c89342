//! Route: which channel is next, in which round, not before when.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests"
)]

mod common;
#[path = "route/corrections.rs"]
mod corrections;
#[path = "route/held.rs"]
mod held;
#[path = "route/suppression.rs"]
mod suppression;

use std::sync::Arc;

use common::{MapHistory, MapTable, at, close_of, command, period, policy, user};
use jiff::tz::TimeZone;
use sealpost_operators::render::TemplateSet;
use sealpost_operators::route::{Output, Router, Scope, TemplateCache};
use sealpost_operators::table::{OperatorError, Source};
use sealpost_operators::windows::WindowRule;
use sealpost_schemas::catalog::Catalog;
use sealpost_schemas::key_ring::KeyRing;
use sealpost_schemas::record::{
    Action, Apply, Contacts, Delivery, Destination, Dispatch, Line, LineKind, Locale, Outcome,
    PolicySet, Retry, RouteNotice, Standing, Statement, UsageTotals, Windows,
};
use sealpost_schemas::sealed::Purpose;
use sealpost_schemas::{Channel, Digest, Kind, Period, Sealed, Timestamp, Version, Won, codec};

use Channel::{Email, Kakao, Sms};

const NOW: &str = "2026-02-03T10:00:00+09:00";

fn jan() -> Period {
    period("2026-01")
}

fn ring(first: u8) -> KeyRing {
    let mut next = first;
    KeyRing::generate(&mut |bytes| {
        for byte in bytes {
            next = next.wrapping_mul(31).wrapping_add(7);
            *byte = next;
        }
    })
}

/// By what an address of somebody is matched.
fn token(id: u64, channel: Channel) -> Digest {
    Digest::of(format!("{id} {channel}").as_bytes())
}

struct Bench {
    keys: Arc<KeyRing>,
    router: Router,
    table: MapTable,
    history: MapHistory,
    statements: u64,
    now: Timestamp,
    template_digest: Digest,
    dispatches: Vec<Dispatch>,
    notices: Vec<RouteNotice>,
}

impl Bench {
    /// A bench where the period is closed with the built-in templates and these channels.
    fn new(channels: &[Channel]) -> Self {
        let mut bench = Self::unclosed(ring(1));
        let mut close = close_of(jan(), 0, 0, Catalog::built_in().text());
        close.templates = TemplateSet::built_in_sources();
        close.template_digest = TemplateSet::digest_of(&close.templates);
        close.policy = policy(channels);
        bench.command("close", Action::Close(close));
        bench
    }

    fn unclosed(keys: KeyRing) -> Self {
        let keys = Arc::new(keys);
        Self {
            router: Self::router(&keys),
            keys,
            table: MapTable::default(),
            history: MapHistory::default(),
            statements: 0,
            now: at(NOW),
            template_digest: TemplateSet::digest_of(&TemplateSet::built_in_sources()),
            dispatches: Vec::new(),
            notices: Vec::new(),
        }
    }

    fn router(keys: &Arc<KeyRing>) -> Router {
        let windows = WindowRule::Keep(TimeZone::get("Asia/Seoul").unwrap(), None);
        Router::new(
            Arc::clone(keys),
            windows,
            TemplateCache::default(),
            policy(&[Kakao]),
        )
        .with_portion(2)
    }

    fn restart(&mut self) {
        self.router = Self::router(&self.keys);
        self.router.restored(&self.table).unwrap();
    }

    fn act<T>(&mut self, act: impl FnOnce(&mut Router, &mut Scope<'_>) -> T) -> T {
        let mut out = Vec::new();
        let (table, history) = (&mut self.table, &mut self.history);
        let result = act(
            &mut self.router,
            &mut Scope {
                table,
                history,
                out: &mut out,
                now: self.now,
            },
        );
        for output in out {
            match output {
                Output::Dispatch(dispatch) => self.dispatches.push(*dispatch),
                Output::Notice(notice) => self.notices.push(notice),
            }
        }
        result
    }

    fn command(&mut self, id: &str, action: Action) {
        self.act(|router, scope| router.on_command(&command(id, action), scope))
            .unwrap();
    }

    fn contacts(&self, id: u64, channels: &[Channel]) -> Contacts {
        let seal =
            |purpose, text: &str| self.keys.seal(purpose, user(id), text.as_bytes()).unwrap();
        let destinations = channels.iter().map(|channel| Destination {
            channel: *channel,
            address: seal(Purpose::destination(*channel), "where"),
            token: token(id, *channel),
        });
        Contacts {
            name: Some(seal(Purpose::ProfileName, "홍길동")),
            masked_email: Some(seal(Purpose::ProfileEmail, "ab***@example.com")),
            masked_phone: Some(seal(Purpose::ProfilePhone, "010-****-5678")),
            destinations: destinations.collect(),
        }
    }

    fn statement(&self, id: u64, channels: &[Channel]) -> Statement {
        Statement {
            user_id: user(id),
            period: jan(),
            plan: "PLN-043".to_owned(),
            plan_name: "LTE".to_owned(),
            lines: vec![Line {
                kind: LineKind::Plan,
                code: Some("PLN-043".to_owned()),
                name: Some("LTE".to_owned()),
                source_period: None,
                amount_won: Won(33_000),
            }],
            total_won: Won(33_000),
            usage: UsageTotals::default(),
            catalog_digest: Catalog::built_in().digest(),
            template_digest: self.template_digest,
            locale: Locale::Ko,
            windows: Windows::default(),
            contacts: self.contacts(id, channels),
        }
    }

    fn begin(&mut self, statement: &Statement) -> Result<(), OperatorError> {
        let offset = self.statements;
        self.statements += 1;
        self.history.0.insert(
            (Source::Statements, offset),
            codec::encode(statement).unwrap(),
        );
        self.act(|router, scope| router.on_statement(offset, statement, scope))
    }

    /// A route of someone who can be reached by all channels.
    fn bill(&mut self, id: u64) {
        let statement = self.statement(id, &[Email, Sms, Kakao]);
        self.begin(&statement).unwrap();
    }

    fn bill_in(&mut self, id: u64, windows: Windows) {
        let statement = Statement {
            windows,
            ..self.statement(id, &[Email, Sms, Kakao])
        };
        self.begin(&statement).unwrap();
    }

    fn deliver(&mut self, id: u64, version: u16, channel: Channel, outcome: Outcome) {
        self.deliver_of(Kind::Bill, id, version, channel, outcome);
    }

    fn deliver_of(
        &mut self,
        kind: Kind,
        id: u64,
        version: u16,
        channel: Channel,
        outcome: Outcome,
    ) {
        let version = Version(version);
        let delivery = Delivery {
            user_id: user(id),
            period: jan(),
            kind,
            version,
            channel,
            message_key: sealpost_schemas::MessageKey::new(jan(), user(id), kind, version, channel),
            outcome,
            reason: Some("refused".to_owned()),
            attempts: 1,
            provider_message_id: None,
            updated_at: self.now,
        };
        self.act(|router, scope| router.on_delivery(&delivery, scope))
            .unwrap();
    }

    fn retry(&mut self, version: u16) {
        let retry = Retry {
            period: jan(),
            version: Version(version),
            policy: policy(&[Sms]),
        };
        self.command("retry", Action::Retry(retry));
    }

    fn set(&mut self, channels: &[Channel], apply: Apply) {
        self.command(
            "set",
            Action::PolicySet(PolicySet {
                policy: policy(channels),
                apply,
            }),
        );
    }

    fn advance(&mut self) {
        while self.act(|router, scope| router.advance_due(scope)).unwrap() {}
    }

    /// User, round and channel of everything dispatched so far.
    fn sent(&self) -> Vec<(u64, u16, Channel)> {
        self.dispatches
            .iter()
            .map(|sent| (sent.user_id.get(), sent.version.0, sent.channel))
            .collect()
    }

    fn standings(&self) -> Vec<(u64, u16, Standing)> {
        self.notices
            .iter()
            .map(|notice| (notice.user_id.get(), notice.version.0, notice.standing))
            .collect()
    }
}

#[test]
fn a_route_begins_with_the_first_channel_and_a_failure_moves_it_on_until_none_is_left() {
    let mut bench = Bench::new(&[Sms, Email, Kakao]);
    bench.bill(1);
    bench.deliver(1, 0, Sms, Outcome::Failed);
    bench.deliver(1, 0, Email, Outcome::Failed);
    assert_eq!(bench.sent(), [(1, 0, Sms), (1, 0, Email), (1, 0, Kakao)]);
    bench.deliver(1, 0, Kakao, Outcome::Failed);
    assert_eq!(bench.standings(), [(1, 0, Standing::Failed)]);
    assert_eq!(bench.notices[0].reason.as_deref(), Some("refused"));
    assert_eq!(bench.router.counts.exhausted, 1);
}

#[test]
fn a_channel_without_a_destination_is_passed_over() {
    let mut bench = Bench::new(&[Email, Sms, Kakao]);
    let statement = bench.statement(1, &[Kakao]);
    bench.begin(&statement).unwrap();
    let unreachable = bench.statement(2, &[]);
    bench.begin(&unreachable).unwrap();
    assert_eq!(bench.sent(), [(1, 0, Kakao)]);
    assert_eq!(bench.notices[0].reason.as_deref(), Some("no-destination"));
}

#[test]
fn a_delivery_of_another_round_or_route_or_of_what_lies_behind_it_is_dropped() {
    let mut bench = Bench::new(&[Email, Sms]);
    bench.bill(1);
    bench.deliver(1, 1, Email, Outcome::Failed);
    bench.deliver(9, 0, Email, Outcome::Failed);
    bench.deliver(1, 0, Email, Outcome::Failed);
    bench.deliver(1, 0, Email, Outcome::Failed);
    bench.deliver(1, 0, Email, Outcome::Unknown);
    bench.deliver(1, 0, Sms, Outcome::Sent);
    bench.deliver(1, 0, Sms, Outcome::Failed);
    assert_eq!(bench.sent(), [(1, 0, Email), (1, 0, Sms)]);
    assert_eq!(bench.router.counts.stale, 5);
}

#[test]
fn what_was_in_doubt_never_moves_on_by_itself() {
    let mut bench = Bench::new(&[Email, Sms]);
    bench.bill(1);
    bench.deliver(1, 0, Email, Outcome::Unknown);
    bench.deliver(1, 0, Email, Outcome::Failed);
    // nor when a replay reads them again
    bench.deliver(1, 0, Email, Outcome::Unknown);
    bench.deliver(1, 0, Email, Outcome::Failed);
    assert_eq!(bench.sent(), [(1, 0, Email)]);
    bench.retry(1);
    bench.advance();
    assert_eq!(bench.sent()[1..], [(1, 1, Sms)]);
}

#[test]
fn what_is_in_doubt_is_not_retried() {
    let mut bench = Bench::new(&[Email, Sms]);
    bench.bill(1);
    bench.deliver(1, 0, Email, Outcome::Unknown);
    bench.retry(1);
    bench.advance();
    assert_eq!(bench.sent(), [(1, 0, Email)]);
}

#[test]
fn a_statement_that_comes_again_begins_nothing() {
    let mut bench = Bench::new(&[Email]);
    bench.bill(1);
    bench.restart();
    bench.bill(1);
    assert_eq!(bench.sent(), [(1, 0, Email)]);
    assert_eq!(bench.router.counts.replayed, 1);
}

#[test]
fn a_retry_sends_again_only_what_failed_and_once_however_often_it_is_said() {
    let mut bench = Bench::new(&[Email]);
    for id in 1..=3 {
        bench.bill(id);
    }
    bench.deliver(1, 0, Email, Outcome::Failed);
    bench.deliver(2, 0, Email, Outcome::Sent);
    bench.retry(1);
    bench.retry(1);
    bench.advance();
    assert_eq!(bench.sent()[3..], [(1, 1, Sms)]);
    bench.deliver(1, 1, Sms, Outcome::Failed);
    bench.retry(1);
    bench.advance();
    assert_eq!(bench.sent().len(), 4);
    bench.retry(2);
    bench.advance();
    assert_eq!(bench.sent()[4..], [(1, 2, Sms)]);
}

#[test]
fn a_restart_in_the_middle_of_a_retry_takes_up_what_is_left() {
    let mut bench = Bench::new(&[Email]);
    for id in 1..=5 {
        bench.bill(id);
        bench.deliver(id, 0, Email, Outcome::Failed);
    }
    bench.retry(1);
    // a portion of two
    assert!(
        bench
            .act(|router, scope| router.advance_due(scope))
            .unwrap()
    );
    bench.deliver(1, 1, Sms, Outcome::Failed);
    bench.restart();
    assert_eq!(bench.router.unfinished(), 3);
    bench.advance();
    assert_eq!(bench.sent()[5..], [1, 2, 3, 4, 5].map(|id| (id, 1, Sms)));
    bench.restart();
    assert_eq!(bench.router.unfinished(), 0);
}

#[test]
fn what_fails_after_a_retry_that_found_nothing_is_not_swept_up_by_a_restart() {
    let mut bench = Bench::new(&[Email]);
    bench.bill(1);
    bench.retry(1);
    bench.deliver(1, 0, Email, Outcome::Failed);
    bench.restart();
    bench.advance();
    assert_eq!(bench.sent(), [(1, 0, Email)]);
}

#[test]
fn a_policy_set_for_new_routes_is_for_routes_that_begin_later() {
    let mut bench = Bench::new(&[Email, Kakao]);
    bench.bill(1);
    bench.set(&[Sms], Apply::New);
    bench.bill(2);
    bench.deliver(1, 0, Email, Outcome::Failed);
    assert_eq!(bench.sent(), [(1, 0, Email), (2, 0, Sms), (1, 0, Kakao)]);
}

#[test]
fn a_policy_set_for_what_failed_is_that_of_the_next_round() {
    let mut bench = Bench::new(&[Email]);
    bench.bill(1);
    bench.deliver(1, 0, Email, Outcome::Failed);
    bench.set(&[Kakao], Apply::Failed);
    bench.restart();
    bench.retry(1);
    bench.advance();
    assert_eq!(bench.sent()[1..], [(1, 1, Kakao)]);
}

#[test]
fn a_policy_set_for_what_is_unsent_is_where_live_routes_move_on_to() {
    let mut bench = Bench::new(&[Email, Kakao]);
    bench.bill(1);
    bench.set(&[Sms, Email], Apply::Unsent);
    bench.deliver(1, 0, Email, Outcome::Failed);
    assert_eq!(bench.sent(), [(1, 0, Email), (1, 0, Sms)]);
}

#[test]
fn the_policy_of_a_close_outlives_a_restart() {
    let mut bench = Bench::new(&[Sms]);
    bench.restart();
    bench.bill(1);
    assert_eq!(bench.sent(), [(1, 0, Sms)]);
}

fn send_day(day: u8) -> Windows {
    Windows {
        send_day: Some(day),
        ..Windows::default()
    }
}

#[test]
fn a_window_holds_a_route_and_releases_it_in_time_and_order_also_after_a_restart() {
    let mut bench = Bench::new(&[Email]);
    bench.bill_in(1, send_day(12));
    bench.bill_in(2, send_day(10));
    bench.bill_in(3, send_day(10));
    let begins = at("2026-02-10T00:00:00+09:00");
    assert_eq!(
        bench.standings(),
        [1, 2, 3].map(|id| (id, 0, Standing::Held))
    );
    assert_eq!(bench.notices[1].held_until, Some(begins));
    bench.restart();
    assert_eq!(bench.router.next_timer(), Some(begins));
    bench.now = Timestamp(begins.0 - 1);
    bench.advance();
    assert_eq!(bench.sent(), []);
    bench.now = at("2026-03-01T00:00:00+09:00");
    bench.advance();
    assert_eq!(bench.sent(), [2, 3, 1].map(|id| (id, 0, Email)));
    assert_eq!(bench.router.next_timer(), None);
}

#[test]
fn a_failure_in_quiet_hours_waits_with_the_next_channel_for_their_end() {
    let mut bench = Bench::new(&[Email, Sms]);
    bench.bill_in(
        1,
        Windows {
            quiet_from: Some(22),
            quiet_to: Some(7),
            send_day: None,
        },
    );
    bench.now = at("2026-02-03T23:00:00+09:00");
    bench.deliver(1, 0, Email, Outcome::Failed);
    assert_eq!(bench.standings(), [(1, 0, Standing::Held)]);
    bench.now = at("2026-02-04T07:00:00+09:00");
    bench.advance();
    assert_eq!(bench.sent(), [(1, 0, Email), (1, 0, Sms)]);
}

#[test]
fn a_damaged_profile_fails_only_its_own_route() {
    let mut bench = Bench::new(&[Email]);
    let mut statement = bench.statement(1, &[Email]);
    let damaged = || Some(Sealed::from_bytes(vec![1; 40]));
    statement.contacts.name = damaged();
    statement.contacts.masked_email = damaged();
    statement.contacts.masked_phone = damaged();
    bench.begin(&statement).unwrap();
    bench.bill(2);
    assert_eq!(bench.standings(), [(1, 0, Standing::Failed)]);
    assert_eq!(
        bench.notices[0].reason.as_deref(),
        Some("profile-unreadable")
    );
    assert_eq!(bench.sent(), [(2, 0, Email)]);
}

#[test]
fn the_wrong_key_ring_stops_and_says_what_to_do() {
    let mut bench = Bench::new(&[Email]);
    let statements: Vec<_> = (1..=3).map(|id| bench.statement(id, &[Email])).collect();
    bench.keys = Arc::new(ring(99));
    bench.restart();
    let results: Vec<_> = statements
        .iter()
        .map(|statement| bench.begin(statement))
        .collect();
    assert!(results[0].is_ok() && results[1].is_ok());
    let error = results[2].as_ref().unwrap_err().to_string();
    assert!(
        error.contains("use the key ring that the data was sealed with"),
        "{error}"
    );
}

#[test]
fn damaged_profiles_do_not_stop_a_process_whose_key_ring_opens_others() {
    let mut bench = Bench::new(&[Email]);
    bench.bill(1);
    for id in 2..=9 {
        let mut statement = bench.statement(id, &[Email]);
        statement.contacts.name = Some(Sealed::from_bytes(vec![1; 40]));
        bench.begin(&statement).unwrap();
    }
    assert_eq!(bench.router.counts.unrenderable, 8);
}

#[test]
fn templates_that_were_never_seen_stop() {
    let mut bench = Bench::unclosed(ring(1));
    let statement = bench.statement(1, &[Kakao]);
    assert!(bench.begin(&statement).is_err());
}

#[test]
fn a_message_is_the_same_bytes_whenever_it_is_rendered_and_proven_by_its_digest() {
    let render = |now: &str| {
        let mut bench = Bench::new(&[Email]);
        bench.now = at(now);
        bench.bill(1);
        bench.dispatches.remove(0)
    };
    let dispatch = render(NOW);
    assert_eq!(dispatch, render("2027-05-05T05:05:05Z"));
    let digest = Dispatch::digest_of(
        dispatch.subject.as_deref(),
        &dispatch.body,
        dispatch.html.as_deref(),
    );
    assert_eq!(dispatch.body_digest, digest);
    assert!(!dispatch.body.contains("홍길동") && dispatch.body.contains("홍*동"));
}

#[test]
fn a_destination_travels_sealed_as_it_stands_in_the_statement() {
    let mut bench = Bench::new(&[Sms]);
    let statement = bench.statement(1, &[Email, Sms]);
    bench.begin(&statement).unwrap();
    assert_eq!(
        bench.dispatches[0].destination,
        statement.contacts.destination(Sms).unwrap().address
    );
    assert_eq!(bench.keys.opened(Purpose::DestinationSms), 0);
}
