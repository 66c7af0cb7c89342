//! Two providers for one channel: while the first is not well the second is called, and what is in
//! doubt with one goes to no other. What was sent is asked of the providers, not of the program.

use std::collections::{BTreeSet, HashMap};

use sealpost_providerkit::check::{OfKey, Totals, by_key, twice};
use sealpost_providerkit::ledger::{Event, Line};
use sealpost_schemas::{Channel, Kind, MessageKey, Period, UserId, Version};

use crate::kit::Kit;
use crate::site::{Site, free_port, http_get};
use crate::table::{Row, rows};
use crate::tell;

const PERIOD: &str = "2026-01";

/// A channel with two providers, and a dearer one after it.
fn config(primary: &str, fallback: &str, sms: &Kit, more: &str, http: u16) -> String {
    let sms = sms.url("/send");
    format!(
        "[windows]\nignore = true\n[http]\nlisten = \"127.0.0.1:{http}\"\n\
         [policy]\nchannels = [\"email\", \"sms\"]\n\
         [channels.email]\nprovider = \"http\"\nbackoff_ms = 10\n{more}\
         [channels.email.http]\n{primary}\n\
         [channels.email.fallback]\nprovider = \"http\"\nbackoff_ms = 10\n{more}\
         [channels.email.fallback.http]\n{fallback}\n\
         [channels.sms]\nprovider = \"http\"\n[channels.sms.http]\nurl = \"{sms}\"\n"
    )
}

fn at(url: &str) -> String {
    format!("url = \"{url}\"\ntimeout_ms = 500")
}

/// The key of a user's first round by mail.
fn key(user: i64) -> String {
    let user = UserId::new(user.unsigned_abs()).unwrap();
    let period: Period = PERIOD.parse().unwrap();
    MessageKey::new(period, user, Kind::Bill, Version(0), Channel::Email).to_string()
}

/// What a run left, by the ledgers of both providers.
struct Left {
    rows: Vec<Row>,
    primary: Vec<Line>,
    fallback: Vec<Line>,
}

impl Left {
    fn of(site: &Site, primary: Vec<Line>, fallback: Vec<Line>) -> Self {
        site.ok(["export", PERIOD, "--out", "result.parquet"]);
        let rows = rows(&site.path("result.parquet"));
        tell(&format!(
            "fallback: {}; primary: {}; fallback: {}",
            site.books(PERIOD),
            Totals::of(&primary),
            Totals::of(&fallback)
        ));
        Self {
            rows,
            primary,
            fallback,
        }
    }

    fn count(&self, status: &str) -> usize {
        self.rows.iter().filter(|row| row.status == status).count()
    }

    /// Everybody has an end that is true, and nobody has two bills.
    fn check(&self) {
        let both: Vec<Line> = [self.primary.as_slice(), &self.fallback].concat();
        let twice = twice(&both, str::to_owned);
        assert!(twice.is_empty(), "{twice:?}");
        let taken: HashMap<&str, usize> = by_key(&both)
            .into_iter()
            .map(|(key, of_key)| (key, of_key.accepted))
            .collect();
        for row in &self.rows {
            let key = key(row.user_id);
            let taken = taken.get(key.as_str()).copied().unwrap_or(0);
            match row.status.as_str() {
                "sent" => assert_eq!(taken, 1, "{row:?}"),
                "unknown" => {}
                other => panic!("{other} is no end here: {row:?}"),
            }
        }
    }
}

#[test]
fn while_the_first_provider_is_not_reached_everything_goes_by_the_second_and_once() {
    let (fallback, sms, http) = (Kit::start(&[]), Kit::start(&[]), free_port());
    let nobody = at(&format!("http://127.0.0.1:{}/send", free_port()));
    let more = "breaker_failures = 3\nbreaker_pause_ms = 50\n";
    let text = config(&nobody, &at(&fallback.url("/send")), &sms, more, http);
    let site = Site::new(&text);
    site.prepare(300);
    let mut run = site.spawn(["run"]);
    let sent = "sealpost_call_answers_total{channel=\"email\",provider=\"fallback\",answer=\"accepted\"} 300";
    site.wait_until("everything to be sent by the second provider", || {
        assert!(!run.has_ended(), "it has ended: {}", run.said());
        http_get(http, "/metrics").is_some_and(|answer| answer.contains(sent))
    });
    let open = "sealpost_channel_circuit_open{channel=\"email\",provider=\"primary\"} 1";
    assert!(http_get(http, "/metrics").unwrap().contains(open));
    // the channel works: somebody has to be told, and nobody has to be woken
    site.wait_until("it to be ready all the same", || {
        http_get(http, "/readyz").is_some_and(|answer| answer.starts_with("HTTP/1.1 200"))
    });
    run.terminate();
    run.ended().expect(0);
    let left = Left::of(&site, Vec::new(), fallback.lines());
    left.check();
    assert_eq!((left.count("sent"), sms.bytes()), (300, 0));
}

#[test]
fn a_parked_provider_is_stood_in_for_and_readiness_says_so() {
    let (primary, fallback) = (Kit::with_faults("misconfigured=1"), Kit::start(&[]));
    let (sms, http) = (Kit::start(&[]), free_port());
    let (first, second) = (at(&primary.url("/send")), at(&fallback.url("/send")));
    let site = Site::new(&config(&first, &second, &sms, "", http));
    site.prepare(100);
    let mut run = site.spawn(["run"]);
    site.wait_until("everything to be sent", || {
        assert!(!run.has_ended(), "it has ended: {}", run.said());
        Totals::of(&fallback.lines()).accepted == 100
    });
    assert!(
        http_get(http, "/readyz")
            .unwrap()
            .starts_with("HTTP/1.1 503")
    );
    run.terminate();
    run.ended().expect(0);
    let left = Left::of(&site, primary.lines(), fallback.lines());
    left.check();
    assert_eq!((left.count("sent"), sms.bytes()), (100, 0));
}

#[test]
fn when_the_first_provider_swallows_messages_and_dies_what_is_in_doubt_goes_to_no_other() {
    let mut primary = Kit::start(&[
        "--faults",
        "swallow=0.1,reset-in-answer=0.1,reset-after-request=0.1",
        "--latency-ms",
        "20",
    ]);
    let (fallback, sms) = (Kit::start(&[]), Kit::start(&[]));
    let more = "max_in_flight = 20\nbreaker_failures = 8\nbreaker_pause_ms = 50\n";
    let (first, second) = (at(&primary.url("/send")), at(&fallback.url("/send")));
    let site = Site::new(&config(&first, &second, &sms, more, free_port()));
    site.prepare(600);
    let mut run = site.spawn(["run", "--drain"]);
    site.wait_until("a part to be sent by the first provider", || {
        assert!(!run.has_ended(), "it has ended: {}", run.said());
        primary.bytes() > 40_000
    });
    primary.kill();
    run.ended().expect(0);
    let left = Left::of(&site, primary.lines(), fallback.lines());
    left.check();
    assert!(left.count("unknown") > 0, "this shows nothing");
    let (at_primary, at_fallback) = (by_key(&left.primary), by_key(&left.fallback));
    assert!(at_fallback.len() > 100, "this shows nothing");
    let mut could_be_known = 0;
    for row in left.rows.iter().filter(|row| row.status == "unknown") {
        let key = key(row.user_id);
        assert!(!at_fallback.contains_key(key.as_str()), "{row:?}");
        let at_primary = at_primary.get(key.as_str());
        could_be_known += usize::from(!at_primary.is_some_and(OfKey::is_ambiguous));
    }
    // those that were on the line as it was killed, whatever it meant to say
    assert!(could_be_known <= 20, "{could_be_known}");
    for key in at_fallback.keys() {
        assert!(
            !at_primary.get(key).is_some_and(OfKey::is_ambiguous),
            "{key} was in doubt, and went to the second provider"
        );
    }
    assert_eq!(sms.bytes(), 0);
}

#[test]
fn while_both_come_and_go_each_doubt_is_settled_where_it_arose() {
    let faults = [
        "--faults",
        "swallow=0.1,reset-after-request=0.1,unavailable=0.1",
        "--status-faults",
        "0.1",
    ];
    let (primary, fallback, sms) = (Kit::start(&faults), Kit::start(&faults), Kit::start(&[]));
    let asked = |kit: &Kit| {
        let (url, status) = (kit.url("/send"), kit.url("/status/{key}"));
        format!("{}\nstatus_url = \"{status}\"", at(&url))
    };
    // one call without an answer is enough to go to the other
    let more = "max_in_flight = 20\nstart_within_ms = 300\nprovider_grace_ms = 300\n\
                breaker_failures = 1\nbreaker_pause_ms = 20\n";
    let text = config(&asked(&primary), &asked(&fallback), &sms, more, free_port());
    let site = Site::new(&text.replace("[policy]\n", "[policy]\nattempts_per_channel = 20\n"));
    site.prepare(400);
    site.drain();
    let left = Left::of(&site, primary.lines(), fallback.lines());
    left.check();
    assert_eq!((left.count("sent"), sms.bytes()), (400, 0));
    let (at_primary, at_fallback) = (by_key(&left.primary), by_key(&left.fallback));
    assert!(
        at_primary.len() > 50 && at_fallback.len() > 50,
        "this shows nothing"
    );
    // questions go to whom was called
    for lines in [&left.primary, &left.fallback] {
        let of = |event| -> BTreeSet<&str> {
            let lines = lines.iter().filter(|line| line.event == event);
            lines.map(|line| line.key.as_str()).collect()
        };
        let (called, asked) = (of(Event::Call), of(Event::Asked));
        assert!(!asked.is_empty() && asked.is_subset(&called));
    }
}

#[test]
fn what_belongs_to_the_channel_cannot_be_said_of_its_second_provider() {
    for (more, key) in [
        ("size_max = 5", "size_max"),
        (
            "receipts = { secret = \"0123456789abcdef\", tolerance_s = 0 }",
            "receipts.tolerance_s",
        ),
        ("fallback = { provider = \"simulated\" }", "fallback"),
        ("breaker_pause_ms = 0", "breaker_pause_ms"),
        ("max_in_flight = 0", "max_in_flight"),
    ] {
        let site = Site::without_keys(&format!("[channels.email.fallback]\n{more}\n"));
        let ended = site.run(["status"]).expect(2);
        let key = format!("channels.email.fallback.{key} ");
        assert!(ended.error_line().contains(&key), "{}", ended.stderr);
    }
}
