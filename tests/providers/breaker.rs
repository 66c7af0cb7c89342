//! A provider that is down: nothing is lost, nothing moves on to another channel, no attempt is used
//! up, and once it is back everything goes.

use std::collections::BTreeMap;

use sealpost_operators::gate::Answer;
use sealpost_providerkit::check::{Totals, twice};

use crate::desk::{Desk, settings};
use crate::kit::Kit;
use crate::raw::Raw;
use crate::site::{Site, free_port, http_get};
use crate::table::rows;

const USERS: u64 = 300;

fn config(email: u16, sms: &Kit, http: u16) -> String {
    let sms = sms.url("/send");
    format!(
        "[windows]\nignore = true\n[http]\nlisten = \"127.0.0.1:{http}\"\n\
         [policy]\nchannels = [\"email\", \"sms\"]\n\
         [channels.email]\nprovider = \"http\"\nbackoff_ms = 10\n\
         breaker_failures = 5\nbreaker_pause_ms = 50\n\
         [channels.email.http]\nurl = \"http://127.0.0.1:{email}/send\"\n\
         [channels.sms]\nprovider = \"http\"\n[channels.sms.http]\nurl = \"{sms}\"\n"
    )
}

#[test]
fn while_a_provider_is_down_nothing_moves_on_and_once_it_is_back_everything_goes() {
    let (email, http, sms) = (free_port(), free_port(), Kit::start(&[]));
    let site = Site::new(&config(email, &sms, http));
    site.prepare(USERS);

    let mut run = site.spawn(["run", "--drain"]);
    site.wait_until("the circuit to be open, and to be told", || {
        assert!(!run.has_ended(), "it has ended: {}", run.said());
        let open = "sealpost_channel_circuit_open{channel=\"email\",provider=\"primary\"} 1";
        run.said().contains("its circuit is open")
            && http_get(http, "/readyz").is_some_and(|answer| answer.starts_with("HTTP/1.1 503"))
            && http_get(http, "/metrics").is_some_and(|answer| answer.contains(open))
    });
    let books = site.books("2026-01");
    for nothing in ["sent", "failed", "unknown"] {
        assert_eq!(books[nothing], 0, "{books}");
    }

    let back = Kit::start(&["--listen", &format!("127.0.0.1:{email}")]);
    run.ended().expect(0);
    let books = site.books("2026-01");
    assert_eq!(books["sent"], USERS, "{books}");
    assert_eq!(sms.bytes(), 0, "something moved on to another channel");
    let lines = back.lines();
    assert_eq!(Totals::of(&lines).accepted, USERS);
    assert!(twice(&lines, str::to_owned).is_empty());
    site.ok(["export", "2026-01", "--out", "result.parquet"]);
    let mut attempts: BTreeMap<i32, usize> = BTreeMap::new();
    for row in rows(&site.path("result.parquet")) {
        *attempts.entry(row.attempts).or_default() += 1;
    }
    // what it cost to notice: the calls before the circuit opened
    let more: usize = attempts.range(2..).map(|(_, users)| users).sum();
    assert!(more <= 5, "{attempts:?}");
}

#[test]
fn a_circuit_opens_after_so_many_failures_and_holds_calls_back() {
    let desk = Desk::with_breaker(settings(format!("http://127.0.0.1:{}/", free_port())), 3);
    let refused = Answer::NotAccepted {
        reason: "connection-refused",
        retry_after_ms: None,
    };
    assert_eq!([desk.call(0), desk.call(1)], [refused.clone(), refused]);
    assert!(!desk.is_down());
    // the one that opens it is held back, too
    assert_eq!(
        [desk.call(2), desk.call(3)],
        [const { Answer::NotStarted }; 2]
    );
    assert!(desk.is_down());
}

#[test]
fn silence_opens_a_circuit_and_leaves_what_was_called_in_doubt() {
    let raw = Raw::start(|line| drop(line.request()));
    let desk = Desk::with_breaker(settings(raw.url("/send")), 3);
    for user in 0..3 {
        let answer = desk.call(user);
        assert!(matches!(answer, Answer::NoAnswer(_)), "{answer:?}");
    }
    assert_eq!(desk.call(3), Answer::NotStarted);
    assert_eq!(raw.keys().len(), 3);
}

#[test]
fn a_provider_that_says_not_now_is_not_down() {
    let kit = Kit::with_faults("unavailable=1");
    let desk = Desk::with_breaker(settings(kit.url("/send")), 2);
    for answer in desk.calls(0..20) {
        assert!(matches!(answer, Answer::NotAccepted { .. }), "{answer:?}");
    }
    assert!(!desk.is_down());
}
