//! Addresses that nothing is sent to, and messages that a channel cannot take: the route moves on.

use sealpost_operators::render::{LIMITS_NAME, Limits, TemplateSet};
use sealpost_operators::route::carry::owner;
use sealpost_schemas::catalog::Catalog;
use sealpost_schemas::record::{
    Action, AddressToken, Outcome, Standing, Suppress, SuppressionReason, Unsuppress, Windows,
};
use sealpost_schemas::{Channel, Version};

use super::common::{at, close_of, policy};
use super::{Bench, jan, send_day, token};
use Channel::{Email, Kakao, Sms};

impl Bench {
    pub(super) fn suppress(&mut self, id: u64, channels: &[Channel]) {
        let suppress = Suppress {
            reason: SuppressionReason::Bounced,
            addresses: addresses(id, channels),
        };
        self.command("suppress", Action::Suppress(suppress));
    }

    fn unsuppress(&mut self, id: u64, channels: &[Channel]) {
        let addresses = addresses(id, channels);
        self.command("unsuppress", Action::Unsuppress(Unsuppress { addresses }));
    }

    fn reasons(&self) -> Vec<&str> {
        self.notices
            .iter()
            .map(|notice| notice.reason.as_deref().unwrap())
            .collect()
    }
}

fn addresses(id: u64, channels: &[Channel]) -> Vec<AddressToken> {
    let address = |channel: &Channel| AddressToken {
        channel: *channel,
        token: token(id, *channel),
    };
    channels.iter().map(address).collect()
}

#[test]
fn a_suppressed_channel_moves_the_route_on_and_touches_no_other_address() {
    let mut bench = Bench::new(&[Email, Sms, Kakao]);
    bench.suppress(1, &[Email, Sms]);
    bench.bill(1);
    bench.bill(2);
    assert_eq!(bench.sent(), [(1, 0, Kakao), (2, 0, Email)]);
}

#[test]
fn an_address_is_suppressed_on_its_channel_alone() {
    let mut bench = Bench::new(&[Email, Sms]);
    let mut suppress = addresses(1, &[Email]);
    suppress[0].channel = Sms;
    let reason = SuppressionReason::Blocked;
    let addresses = suppress;
    bench.command("s", Action::Suppress(Suppress { reason, addresses }));
    bench.bill(1);
    assert_eq!(bench.sent(), [(1, 0, Email)]);
}

#[test]
fn a_route_of_which_every_address_is_suppressed_ends_suppressed() {
    let mut bench = Bench::new(&[Email, Sms]);
    bench.suppress(1, &[Email, Sms]);
    bench.bill(1);
    // nobody reaches this one by e-mail
    let statement = bench.statement(2, &[Sms]);
    bench.suppress(2, &[Sms]);
    bench.begin(&statement).unwrap();
    assert_eq!(bench.sent(), []);
    assert_eq!(
        bench.standings(),
        [1, 2].map(|id| (id, 0, Standing::Suppressed))
    );
    assert_eq!(bench.reasons(), ["suppressed", "suppressed"]);
    assert_eq!(bench.router.counts.suppressed, 2);
}

#[test]
fn what_failed_before_the_rest_is_suppressed_is_failed() {
    let mut bench = Bench::new(&[Email, Sms]);
    bench.bill(1);
    bench.suppress(1, &[Email, Sms]);
    bench.deliver(1, 0, Email, Outcome::Failed);
    assert_eq!(bench.standings(), [(1, 0, Standing::Failed)]);
    assert_eq!(bench.reasons(), ["refused"]);
}

#[test]
fn nobody_without_an_address_is_suppressed() {
    let mut bench = Bench::new(&[Email]);
    bench.suppress(1, &[Email, Sms, Kakao]);
    let statement = bench.statement(1, &[]);
    bench.begin(&statement).unwrap();
    assert_eq!(bench.reasons(), ["no-destination"]);
}

#[test]
fn a_held_message_is_looked_at_again_when_it_goes() {
    let mut bench = Bench::new(&[Email, Sms]);
    for id in 1..=3 {
        bench.bill_in(id, send_day(10));
    }
    bench.suppress(1, &[Email]);
    bench.suppress(2, &[Email, Sms]);
    bench.restart();
    bench.now = at("2026-02-10T00:00:00+09:00");
    bench.advance();
    assert_eq!(bench.sent(), [(1, 0, Sms), (3, 0, Email)]);
    assert_eq!(bench.standings()[3..], [(2, 0, Standing::Suppressed)]);
}

#[test]
fn what_failed_and_was_held_for_a_channel_that_is_suppressed_meanwhile_is_failed() {
    let mut bench = Bench::new(&[Email, Sms]);
    let quiet = Windows {
        quiet_from: Some(22),
        quiet_to: Some(7),
        send_day: None,
    };
    bench.bill_in(1, quiet);
    bench.now = at("2026-02-03T23:00:00+09:00");
    bench.deliver(1, 0, Email, Outcome::Failed);
    bench.suppress(1, &[Sms]);
    bench.now = at("2026-02-04T07:00:00+09:00");
    bench.advance();
    assert_eq!(bench.standings()[1..], [(1, 0, Standing::Failed)]);
    assert_eq!(bench.reasons()[1..], ["suppressed"]);
}

#[test]
fn what_is_on_its_way_is_not_recalled() {
    let mut bench = Bench::new(&[Email, Sms]);
    bench.bill(1);
    bench.suppress(1, &[Email, Sms]);
    bench.deliver(1, 0, Email, Outcome::Sent);
    assert_eq!(
        (bench.sent(), bench.standings()),
        (vec![(1, 0, Email)], vec![])
    );
}

#[test]
fn a_retry_takes_up_what_is_no_longer_suppressed_and_leaves_the_rest() {
    let mut bench = Bench::new(&[Email, Sms]);
    for id in 1..=4 {
        bench.suppress(id, &[Email, Sms]);
        bench.bill(id);
    }
    bench.unsuppress(1, &[Sms]);
    // the next round goes by text message alone
    bench.unsuppress(2, &[Email]);
    bench.retry(1);
    bench.advance();
    assert_eq!(bench.sent(), [(1, 1, Sms)]);
    assert_eq!(bench.notices.len(), 4, "the rest stands as it stood");
    bench.restart();
    assert_eq!(bench.router.unfinished(), 0);
    bench.unsuppress(3, &[Sms]);
    bench.retry(2);
    bench.advance();
    assert_eq!(bench.sent()[1..], [(3, 2, Sms)]);
}

#[test]
fn suppressions_outlive_a_restart_and_commands_that_are_read_again() {
    let mut bench = Bench::new(&[Email, Sms]);
    let say = |bench: &mut Bench| {
        bench.suppress(1, &[Email, Sms]);
        bench.suppress(2, &[Email]);
        bench.unsuppress(1, &[Email]);
        bench.suppress(3, &[Email]);
        bench.unsuppress(3, &[Email]);
    };
    say(&mut bench);
    let once = bench.table.clone();
    bench.restart();
    say(&mut bench);
    assert_eq!(bench.table, once);
    for id in 1..=3 {
        bench.bill(id);
    }
    assert_eq!(bench.sent(), [(1, 0, Email), (2, 0, Sms), (3, 0, Email)]);
    let entries = once.0.iter().filter(|(key, _)| key[0] == b's');
    assert_eq!(entries.count(), 2);
    assert!(
        once.0
            .iter()
            .all(|(key, value)| owner(key, value).is_some())
    );
}

/// A bench whose templates say more than some channel takes.
fn talkative(channels: &[Channel], limits: Limits) -> Bench {
    let mut bench = Bench::unclosed(super::ring(1));
    let mut close = close_of(jan(), 0, 0, Catalog::built_in().text());
    close.templates = TemplateSet::built_in_sources();
    close
        .templates
        .insert(LIMITS_NAME.to_owned(), limits.source().unwrap());
    close.template_digest = TemplateSet::digest_of(&close.templates);
    close.policy = policy(channels);
    bench.template_digest = close.template_digest;
    bench.command("close", Action::Close(close));
    bench
}

/// What the text message of a sample bill takes, and a bill whose plan is so dear that its own
/// takes more.
fn tight() -> Limits {
    let set = TemplateSet::built_in();
    let sizes = [
        sealpost_schemas::record::Locale::Ko,
        sealpost_schemas::record::Locale::En,
    ]
    .map(|locale| Limits::size(Sms, &set.render_sample(Sms, locale).unwrap().body));
    Limits::default().with(Sms, sizes.into_iter().max().unwrap())
}

fn dear(bench: &Bench, id: u64) -> sealpost_schemas::record::Statement {
    let mut statement = bench.statement(id, &[Email, Sms, Kakao]);
    statement.total_won.0 = i64::MAX;
    statement
}

#[test]
fn a_message_that_is_too_long_for_a_channel_goes_by_the_next() {
    let mut bench = talkative(&[Sms, Kakao], tight());
    let statement = dear(&bench, 1);
    bench.begin(&statement).unwrap();
    assert_eq!(bench.sent(), [(1, 0, Kakao)]);
    assert_eq!(bench.router.counts.unfit, 1);
    bench.deliver(1, 0, Kakao, Outcome::Failed);
    assert_eq!(bench.sent().len(), 1, "it does not come back to it");
    assert_eq!(bench.reasons(), ["refused"]);
}

#[test]
fn a_message_that_is_too_long_for_every_channel_fails_and_says_so() {
    let mut bench = talkative(&[Sms], tight());
    let statement = dear(&bench, 1);
    bench.begin(&statement).unwrap();
    assert_eq!(bench.standings(), [(1, 0, Standing::Failed)]);
    assert_eq!(bench.reasons(), ["too-long"]);
    assert_eq!(Version(0), bench.notices[0].version);
}
