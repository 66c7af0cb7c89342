//! Follow-ups to those who received a version of their bill: all of them, nobody else, once.

use std::collections::BTreeMap;

use super::*;
use sealpost_operators::route::carry::owner;
use sealpost_schemas::record::{Correct, Hold};

/// What the follow-ups say, in place of the bill.
const TEXT: &str = "정정 안내";

fn templates(text: &str) -> BTreeMap<String, String> {
    let mut templates = TemplateSet::built_in_sources();
    templates.insert("sms.ko.txt".to_owned(), text.to_owned());
    templates.insert("email.ko.subject".to_owned(), text.to_owned());
    templates
}

impl Bench {
    fn correct(&mut self, number: u16, version: u16) {
        self.correct_with(number, version, TEXT);
    }

    fn correct_with(&mut self, number: u16, version: u16, text: &str) {
        let templates = templates(text);
        let correct = Correct {
            period: jan(),
            kind: Kind::Correction(number),
            version: Version(version),
            template_digest: TemplateSet::digest_of(&templates),
            templates,
            policy: policy(&[Sms, Email]),
        };
        self.command("correct", Action::Correct(correct));
    }

    /// Kind, user, round and channel of every follow-up.
    fn followed(&self) -> Vec<(Kind, u64, u16, Channel)> {
        let follow_ups = self
            .dispatches
            .iter()
            .filter(|sent| sent.kind != Kind::Bill);
        follow_ups
            .map(|sent| (sent.kind, sent.user_id.get(), sent.version.0, sent.channel))
            .collect()
    }
}

const FIRST: Kind = Kind::Correction(1);
const SECOND: Kind = Kind::Correction(2);

#[test]
fn a_correction_goes_to_exactly_those_who_received_the_version() {
    let mut bench = Bench::new(&[Email]);
    for id in 1..=7 {
        bench.bill(id);
    }
    for id in [1, 2, 5, 7] {
        bench.deliver(id, 0, Email, Outcome::Sent);
    }
    bench.deliver(3, 0, Email, Outcome::Failed);
    bench.deliver(4, 0, Email, Outcome::Unknown);
    bench.retry(1);
    bench.advance();
    bench.deliver(3, 1, Sms, Outcome::Sent);
    bench.correct(1, 0);
    bench.advance();
    let to = |id| (FIRST, id, 0, Sms);
    assert_eq!(bench.followed(), [to(1), to(2), to(5), to(7)]);
    assert_eq!(bench.dispatches.last().unwrap().body, TEXT);
    // of another version, with a number of its own
    bench.correct(2, 1);
    bench.advance();
    assert_eq!(bench.followed()[4..], [(SECOND, 3, 0, Sms)]);
}

#[test]
fn who_receives_the_bill_later_is_followed_then() {
    let mut bench = Bench::new(&[Email]);
    for id in 1..=4 {
        bench.bill(id);
    }
    bench.deliver(1, 0, Email, Outcome::Unknown);
    bench.deliver(2, 0, Email, Outcome::Unknown);
    bench.correct(1, 0);
    bench.advance();
    assert_eq!(bench.followed(), []);
    bench.deliver(1, 0, Email, Outcome::Sent);
    bench.deliver(2, 0, Email, Outcome::Failed);
    bench.deliver(3, 0, Email, Outcome::Sent);
    assert_eq!(bench.followed(), [(FIRST, 1, 0, Sms), (FIRST, 3, 0, Sms)]);
    // what it says comes with it
    let follow_up = bench.dispatches.last().unwrap();
    assert_eq!(follow_up.body, TEXT);
    let bill = bench.dispatches.first().unwrap();
    assert_ne!(follow_up.message_key, bill.message_key);
}

#[test]
fn a_correction_is_one_however_often_it_is_said_and_its_first_words_stand() {
    let mut bench = Bench::new(&[Email]);
    bench.bill(1);
    bench.deliver(1, 0, Email, Outcome::Sent);
    bench.correct(1, 0);
    bench.correct_with(1, 0, "other words");
    bench.advance();
    bench.restart();
    bench.correct(1, 0);
    bench.advance();
    bench.deliver(1, 0, Email, Outcome::Sent);
    assert_eq!(bench.followed(), [(FIRST, 1, 0, Sms)]);
    assert_eq!(bench.dispatches.last().unwrap().body, TEXT);
}

#[test]
fn a_restart_in_the_middle_of_a_correction_goes_on_with_it() {
    let mut bench = Bench::new(&[Email]);
    for id in 1..=5 {
        bench.bill(id);
        bench.deliver(id, 0, Email, Outcome::Sent);
    }
    bench.correct(1, 0);
    let unfinished = |bench: &Bench| {
        let mut entries = bench.table.0.iter();
        entries.any(|(key, value)| {
            key.first() == Some(&b'c')
                && owner(key, value) == Some(sealpost_operators::carry::Owner::Unfinished)
        })
    };
    assert!(unfinished(&bench));
    bench
        .act(|router, scope| router.advance_due(scope))
        .unwrap();
    assert_eq!((bench.followed().len(), bench.router.unfinished()), (2, 3));
    bench.restart();
    bench.advance();
    let to = |id| (FIRST, id, 0, Sms);
    assert_eq!(bench.followed(), [to(1), to(2), to(3), to(4), to(5)]);
    assert_eq!(bench.router.unfinished(), 0);
    assert!(!unfinished(&bench));
    // and what it says is still known
    bench.restart();
    bench.deliver_of(FIRST, 1, 0, Sms, Outcome::Failed);
    let again = bench.dispatches.last().unwrap();
    assert_eq!((again.kind, again.channel), (FIRST, Email));
    assert_eq!(again.subject.as_deref(), Some(TEXT));
}

#[test]
fn what_fails_of_a_correction_is_retried_and_no_bill_with_it() {
    let mut bench = Bench::new(&[Email]);
    bench.bill(1);
    bench.deliver(1, 0, Email, Outcome::Sent);
    bench.correct(1, 0);
    bench.advance();
    bench.deliver_of(FIRST, 1, 0, Sms, Outcome::Failed);
    bench.deliver_of(FIRST, 1, 0, Email, Outcome::Failed);
    assert_eq!(bench.standings(), [(1, 0, Standing::Failed)]);
    bench.retry(1);
    bench.advance();
    assert_eq!(bench.followed()[2..], [(FIRST, 1, 1, Sms)]);
    assert_eq!(bench.sent().len(), 4);
    // a follow-up that was received is not what a correction follows
    bench.correct(2, 1);
    bench.deliver_of(FIRST, 1, 1, Sms, Outcome::Sent);
    bench.advance();
    assert_eq!(bench.followed().len(), 3);
}

#[test]
fn a_correction_keeps_to_what_is_held_and_to_the_policy_that_was_set() {
    let mut bench = Bench::new(&[Email]);
    bench.bill(1);
    bench.deliver(1, 0, Email, Outcome::Sent);
    bench.set(&[Kakao], Apply::New);
    bench.command(
        "hold",
        Action::Hold(Hold {
            period: jan(),
            channel: None,
        }),
    );
    bench.correct(1, 0);
    bench.advance();
    assert_eq!(bench.followed(), []);
    assert_eq!(bench.standings(), [(1, 0, Standing::Held)]);
    bench.command(
        "release",
        Action::Release(sealpost_schemas::record::Release {
            period: jan(),
            channel: None,
        }),
    );
    bench.advance();
    assert_eq!(bench.followed(), [(FIRST, 1, 0, Kakao)]);
}
