//! The whole pipeline against a provider with whom everything goes wrong, killed several times:
//! nobody has two bills, everyone ends in one state, and what is unknown cannot be known.
//!
//! `SEALPOST_STORM_USERS`, `SEALPOST_STORM_KILLS` and `SEALPOST_STORM_SEED` make it longer, or
//! the same again.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, Instant};

use sealpost_providerkit::check::{Totals, by_key, twice};
use sealpost_providerkit::ledger::Line;
use sealpost_schemas::record::State;
use sealpost_schemas::{Channel, Kind, MessageKey, UserId, Version};

use crate::kit::Kit;
use crate::records::Records;
use crate::site::{PATIENCE, Site};
use crate::table::{Row, rows};
use crate::tell;

const PERIOD: &str = "2026-01";
/// Everything that can go wrong with a call, each for one in twenty; about one in five goes well.
const FAULTS: &str = "swallow=0.05,reset-in-request=0.05,reset-after-request=0.05,reset-in-answer=0.05,\
                      delay=0.05,late=0.05,too-many=0.05,unavailable=0.05,conflict=0.05,error=0.05,burst=0.05,\
                      refuse=0.05,garbage=0.05,drip-body=0.05,drip-head=0.05,endless=0.05";
const SECRET: &str = "hush-7f3a";

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

/// What the provider promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Promise {
    Nothing,
    CanBeAsked,
    Dedupes,
}

fn config(kit: &Kit, promise: Promise) -> String {
    let mut text =
        "[windows]\nignore = true\n[policy]\nchannels = [\"email\", \"sms\", \"kakao\"]\n"
            .to_owned();
    for channel in ["email", "sms", "kakao"] {
        let url = kit.url(&format!("/send?token={SECRET}"));
        let dedupes = promise == Promise::Dedupes;
        // a late call is taken 0.9 s after it came: within the grace, beyond the time-out
        text.push_str(&format!(
            "[channels.{channel}]\nprovider = \"http\"\nmax_in_flight = 200\nstart_within_ms = 500\n\
             provider_grace_ms = 3000\nbackoff_ms = 10\ndedupes = {dedupes}\n\
             [channels.{channel}.http]\nurl = \"{url}\"\ntimeout_ms = 400\n\
             headers = {{ Authorization = \"Bearer ${{STORM_TOKEN}}\" }}\n"
        ));
        if promise == Promise::CanBeAsked {
            let url = kit.url("/status/{key}");
            text.push_str(&format!("status_url = \"{url}\"\n"));
        }
    }
    text
}

/// Whose each key is.
fn owners(users: &[i64]) -> HashMap<String, i64> {
    let mut owners = HashMap::new();
    for user in users {
        let user_id = UserId::new(user.unsigned_abs()).unwrap();
        for channel in Channel::ALL {
            let period = PERIOD.parse().unwrap();
            let key = MessageKey::new(period, user_id, Kind::Bill, Version(0), channel);
            owners.insert(key.to_string(), *user);
        }
    }
    owners
}

struct Weathered {
    site: Site,
    lines: Vec<Line>,
    rows: Vec<Row>,
    open_at_kills: BTreeSet<i64>,
}

/// Sends a period through the storm, with kills at even steps of the ledger.
fn weather(promise: Promise) -> Weathered {
    let users = setting("SEALPOST_STORM_USERS", 3_000);
    let kills = setting("SEALPOST_STORM_KILLS", 5);
    let seed = setting("SEALPOST_STORM_SEED", 1).to_string();
    let mut arguments = vec!["--faults", FAULTS, "--delay-ms", "900", "--seed", &seed];
    match promise {
        Promise::Nothing => {}
        Promise::CanBeAsked => arguments.extend(["--status-faults", "0.1"]),
        Promise::Dedupes => arguments.push("--dedupes"),
    }
    let kit = Kit::start(&arguments);
    let site = Site::new(&config(&kit, promise));
    site.prepare(users);
    let mut open_at_kills = BTreeSet::new();
    let start = || {
        let mut command = site.command(["run", "--drain"]);
        command
            .env("STORM_TOKEN", SECRET)
            .env("SEALPOST_LOG", "trace");
        site.start(&mut command)
    };
    // about 170 bytes a line, and a call has two lines more often than one
    let step = users * 250 / (kills + 2);
    for kill in 1..=kills {
        let mut running = start();
        let until = Instant::now() + PATIENCE;
        while kit.bytes() < kill * step {
            assert!(
                !running.has_ended(),
                "it ended early: {}",
                tail(&running.said())
            );
            assert!(Instant::now() < until, "the ledger does not grow");
            std::thread::sleep(Duration::from_millis(1));
        }
        running.kill();
        let open = Records::open(&site.data()).users_at(State::Sending);
        open_at_kills.extend(open.into_iter().map(|user| user.get().cast_signed()));
    }
    let ended = start().ended();
    assert_eq!(ended.code(), 0, "{}", tail(&ended.stderr));
    site.ok(["export", PERIOD, "--out", "result.parquet"]);
    let rows = rows(&site.path("result.parquet"));
    assert_eq!(rows.len() as u64, users, "one row for each user");
    let lines = kit.lines();
    tell(&format!(
        "storm, {promise:?}: {}; {} open at {kills} kills; {}",
        site.books(PERIOD),
        open_at_kills.len(),
        Totals::of(&lines)
    ));
    Weathered {
        site,
        lines,
        rows,
        open_at_kills,
    }
}

fn tail(text: &str) -> &str {
    let from = text.len().saturating_sub(2_000);
    text.get(from..).unwrap_or(text)
}

impl Weathered {
    /// By what the provider says, and not by what the program says.
    fn check(&self) {
        let users: Vec<i64> = self.rows.iter().map(|row| row.user_id).collect();
        let owners = owners(&users);
        let more_than_once = twice(&self.lines, |key| owners[key]);
        assert!(
            more_than_once.is_empty(),
            "{} have it more than once: {:?}",
            more_than_once.len(),
            more_than_once.first_key_value()
        );
        let mut taken: BTreeMap<i64, usize> = BTreeMap::new();
        let mut ambiguous = BTreeSet::new();
        for (key, of_key) in by_key(&self.lines) {
            *taken.entry(owners[key]).or_default() += of_key.accepted;
            if of_key.is_ambiguous() {
                ambiguous.insert(owners[key]);
            }
        }
        for row in &self.rows {
            let taken = taken.get(&row.user_id).copied().unwrap_or(0);
            match row.status.as_str() {
                "sent" => assert_eq!(taken, 1, "{row:?}"),
                "failed" => assert_eq!(taken, 0, "{row:?}"),
                "unknown" => assert!(
                    ambiguous.contains(&row.user_id) || self.open_at_kills.contains(&row.user_id),
                    "{row:?} could be known"
                ),
                other => panic!("{other} is no end: {row:?}"),
            }
        }
        let books = self.site.books(PERIOD);
        for nothing in ["pending", "held", "sending", "suppressed", "dead_letters"] {
            assert_eq!(books[nothing], 0, "{books}");
        }
        self.assert_nothing_is_told();
    }

    fn count(&self, status: &str) -> usize {
        self.rows.iter().filter(|row| row.status == status).count()
    }

    /// No secret, and no address, in anything that the programs said.
    fn assert_nothing_is_told(&self) {
        let mut said = 0;
        for file in std::fs::read_dir(self.site.path("said")).unwrap() {
            let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
            said += text.len();
            for word in [SECRET, "@", "+8210", "/send"] {
                let line = text.lines().find(|line| line.contains(word));
                assert_eq!(line, None, "{word} was told");
            }
        }
        assert!(said > 0, "they said nothing at all: this shows nothing");
    }
}

#[test]
fn a_provider_that_can_be_asked_leaves_nothing_unknown() {
    let weathered = weather(Promise::CanBeAsked);
    weathered.check();
    assert_eq!(weathered.count("unknown"), 0);
}

#[test]
fn a_provider_that_promises_nothing_leaves_unknown_what_cannot_be_known() {
    let weathered = weather(Promise::Nothing);
    weathered.check();
    assert!(weathered.count("unknown") > 0);
    let mut calls: HashMap<&str, usize> = HashMap::new();
    let lines = &weathered.lines;
    for (key, of_key) in by_key(lines) {
        // a key is called again only after clear words that it was not taken
        let before = of_key.answers.len().saturating_sub(1);
        let clear = |answer: &String| answer.ends_with(" 429") || answer.ends_with(" 503");
        assert!(of_key.answers[..before].iter().all(clear), "{of_key:?}");
        calls.insert(key, of_key.answers.len());
    }
    assert!(calls.values().any(|calls| *calls > 1));
}

#[test]
fn a_provider_that_collapses_repeats_is_called_again_and_has_everything_once() {
    let weathered = weather(Promise::Dedupes);
    weathered.check();
    assert!(Totals::of(&weathered.lines).collapsed > 0);
}
