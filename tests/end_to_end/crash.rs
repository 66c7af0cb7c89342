//! `kill -9` at random moments, restarted until drained: nobody has two bills, nobody has none.
//!
//! `SEALPOST_CRASH_USERS`, `SEALPOST_CRASH_KILLS` and `SEALPOST_CRASH_SEED` make it longer, or
//! the same again; what was drawn is told.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use sealpost_schemas::record::State;

use crate::records::Records;
use crate::site::{PATIENCE, Site};
use crate::table::{Row, timeless};
use crate::world::World;
use crate::{setting, tell};

const PERIOD: &str = "2026-01";
/// Kills while the files come in, and again while the period is being closed.
const EARLY_KILLS: u64 = 2;
/// About how long a started run lives before it is killed, if its kills are spread evenly.
const LIFE_MS: u64 = 500;
/// How many messages in doubt an operator has a word on.
const WORDS: usize = 40;

/// Draws when to kill.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut drawn = self.0;
        drawn = (drawn ^ (drawn >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        drawn = (drawn ^ (drawn >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (drawn ^ (drawn >> 31)) % bound.max(1)
    }

    fn time(&mut self, most: Duration) -> Duration {
        Duration::from_micros(self.below(u64::try_from(most.as_micros()).unwrap()))
    }
}

struct Plan {
    users: u64,
    kills: u64,
    seed: u64,
}

impl Plan {
    fn new() -> Self {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap()
            .as_micros();
        Self {
            users: setting("SEALPOST_CRASH_USERS").unwrap_or(20_000),
            kills: setting("SEALPOST_CRASH_KILLS").unwrap_or(12),
            seed: setting("SEALPOST_CRASH_SEED").unwrap_or(u64::try_from(now).unwrap()),
        }
    }

    /// Calls in a second, so that the whole takes as long as the kills need.
    fn pace(&self) -> u64 {
        (self.users * 1_000 / (self.kills * LIFE_MS)).max(1)
    }
}

/// Some messages run out of channels, most calls are open for a while.
fn config(can_be_asked: &str, pace: Option<u64>) -> String {
    let mut text = "[windows]\nignore = true\n".to_owned();
    for (channel, failure_rate) in [("email", 0.05), ("sms", 0.3), ("kakao", 0.5)] {
        text.push_str(&format!(
            "[channels.{channel}]\nlatency_ms = 30\nfailure_rate = {failure_rate}\nstart_within_ms = 400\n\
             provider_grace_ms = 400\nbackoff_ms = 50\ncan_be_asked = {can_be_asked}\n"
        ));
        if let Some(pace) = pace {
            text.push_str(&format!("rate_per_second = {pace}\n"));
        }
    }
    text
}

/// How it goes when nobody disturbs it.
struct Reference {
    site: Site,
    rows: Vec<Row>,
    ingest: Duration,
    close: Duration,
}

impl Reference {
    fn new(users: u64) -> Self {
        let site = Site::new(&config("true", None));
        site.seed(users, &[]);
        let timed = |arguments: &[&str]| {
            let began = Instant::now();
            site.ok(arguments);
            began.elapsed()
        };
        let ingest = timed(&["ingest", "inputs"]);
        let close = timed(&["close", PERIOD]);
        site.drain();
        site.ok(["export", PERIOD, "--out", "result.parquet"]);
        let rows = timeless(&site.path("result.parquet"));
        assert_eq!(rows.len() as u64, users);
        World::read(&site.data()).assert_nobody_twice();
        Self {
            site,
            rows,
            ingest,
            close,
        }
    }
}

/// A deployment that was killed all the way.
struct Killed {
    site: Site,
    rows: Vec<Row>,
    /// Users whose intent was written and whose outcome was not, when a run was killed.
    open_at_kills: BTreeSet<u64>,
    kills: u64,
}

impl Killed {
    fn new(reference: &Reference, plan: &Plan, can_be_asked: &str) -> Self {
        let mut dice = Dice(plan.seed);
        let site = Site::with_keys_of(&reference.site, &config(can_be_asked, Some(plan.pace())));
        let inputs = reference.site.path("inputs");
        let mut kills = 0;
        let ingest = ["ingest", inputs.to_str().unwrap()];
        let close = ["close", PERIOD];
        let early: [(&[&str], Duration); 2] =
            [(&ingest, reference.ingest), (&close, reference.close)];
        for (arguments, most) in early {
            for _ in 0..EARLY_KILLS {
                let mut running = site.spawn(arguments);
                if !running.ends_within(dice.time(most)) {
                    kills += 1;
                }
                running.kill();
            }
            site.ok(arguments);
        }
        let mut open_at_kills = BTreeSet::new();
        let most = Duration::from_millis(LIFE_MS * 3 / 2);
        let mut drained = false;
        while !drained && kills < plan.kills {
            let before = World::bytes(&site.data());
            let mut running = site.spawn(["run", "--drain"]);
            // every other one is killed at its work, the others wherever they have come to, which
            // on a busy machine is often still the reading back
            if kills % 2 == 1 {
                let until = Instant::now() + PATIENCE;
                while World::bytes(&site.data()) == before && !running.has_ended() {
                    assert!(
                        Instant::now() < until,
                        "no call was made: {}",
                        running.said()
                    );
                    std::thread::sleep(Duration::from_millis(1));
                }
            }
            drained = running.ends_within(dice.time(most));
            if drained {
                running.ended().expect(0);
            } else {
                running.kill();
                kills += 1;
                let open = Records::open(&site.data()).users_at(State::Sending);
                open_at_kills.extend(open.into_iter().map(|user| user.get()));
            }
        }
        let undone = World::read(&site.data());
        tell(&format!(
            "crash: seed {}, {} users, {kills} kills, {} messages taken by the last of them, {} calls open at kills",
            plan.seed,
            plan.users,
            undone.count("accepted"),
            open_at_kills.len()
        ));
        if !drained {
            site.drain();
        }
        site.ok(["export", PERIOD, "--out", "result.parquet"]);
        let rows = timeless(&site.path("result.parquet"));
        Self {
            site,
            rows,
            open_at_kills,
            kills,
        }
    }
}

fn count(rows: &[Row]) -> BTreeMap<&str, u64> {
    let mut count = BTreeMap::new();
    for row in rows {
        *count.entry(row.status.as_str()).or_default() += 1;
    }
    count
}

#[test]
fn killed_at_random_moments_everyone_ends_as_if_nobody_had_disturbed_it() {
    let plan = Plan::new();
    let reference = Reference::new(plan.users);
    let killed = Killed::new(&reference, &plan, "true");
    assert!(
        killed.kills >= plan.kills * 3 / 4,
        "only {} kills hit",
        killed.kills
    );

    let world = World::read(&killed.site.data());
    world.assert_nobody_twice();
    let books = killed.site.books(PERIOD);
    tell(&format!("crash, asked: {:?}; {books}", count(&killed.rows)));
    assert_eq!(books["statements"], plan.users);
    assert_eq!(
        books["sent"].as_u64().unwrap() + books["failed"].as_u64().unwrap(),
        plan.users,
        "{books}"
    );
    assert_eq!(books["dead_letters"], 0);

    // by what the world took, not by what the program says
    let taken = world.users_accepted();
    for row in &killed.rows {
        assert_eq!(
            row.status == "sent",
            taken.contains(&row.user_id.unsigned_abs()),
            "{row:?}"
        );
    }
    assert!(
        books["failed"].as_u64().unwrap() > 0,
        "some run out of channels, or this shows less than it should"
    );
    assert!(
        world.open_calls().len() > 1,
        "no call was on the line at any kill"
    );

    assert_eq!(killed.rows.len(), reference.rows.len());
    for (killed, reference) in killed.rows.iter().zip(&reference.rows) {
        assert_eq!(killed, reference);
    }
}

/// A bill is `unknown` if and only if its call was open at a kill: after that kill, with nobody
/// running, the log on disk held its intent (`sending`) and no outcome. In the ledger such a call
/// is one of three: there without a decision (it was on the line), there with a decision that was
/// never recorded (the answer was on its way back), or not there at all (the intent was committed
/// and the call had not begun).
#[test]
fn where_the_provider_cannot_be_asked_only_calls_open_at_a_kill_are_unknown() {
    let plan = Plan::new();
    let reference = Reference::new(plan.users);
    let killed = Killed::new(&reference, &plan, "false");
    assert!(
        killed.kills >= plan.kills * 3 / 4,
        "only {} kills hit",
        killed.kills
    );

    let world = World::read(&killed.site.data());
    world.assert_nobody_twice();
    let books = killed.site.books(PERIOD);
    assert_eq!(books["statements"], plan.users);
    let ended: u64 = ["sent", "failed", "unknown"]
        .iter()
        .map(|state| books[state].as_u64().unwrap())
        .sum();
    assert_eq!(ended, plan.users, "{books}");

    let unknown: BTreeSet<u64> = killed
        .rows
        .iter()
        .filter(|row| row.status == "unknown")
        .map(|row| row.user_id.unsigned_abs())
        .collect();
    assert!(!unknown.is_empty(), "no kill hit an open call");
    assert_eq!(unknown, killed.open_at_kills);

    // the same from the world's side
    let calls: BTreeMap<&str, usize> = world.of("call").fold(BTreeMap::new(), |mut calls, call| {
        *calls.entry(call.key.as_str()).or_default() += 1;
        calls
    });
    assert!(
        calls.values().all(|calls| *calls == 1),
        "a key was called again blindly"
    );
    let open = world.open_calls();
    assert!(
        open.is_subset(&unknown),
        "a call that nobody answered was taken for something else"
    );
    let taken = world.users_accepted();
    let reference: BTreeMap<i64, &Row> = reference
        .rows
        .iter()
        .map(|row| (row.user_id, row))
        .collect();
    let (mut on_the_line, mut unrecorded, mut not_begun) = (0, 0, 0);
    for row in &killed.rows {
        let user = row.user_id.unsigned_abs();
        let undisturbed = reference[&row.user_id];
        if row.status == "unknown" {
            match () {
                () if open.contains(&user) => on_the_line += 1,
                () if calls.contains_key(row.message_key.as_deref().unwrap()) => unrecorded += 1,
                () => not_begun += 1,
            }
            assert_eq!(
                (row.total_won, &row.invoice_key),
                (undisturbed.total_won, &undisturbed.invoice_key)
            );
        } else {
            assert_eq!(row, undisturbed);
            assert_eq!(row.status == "sent", taken.contains(&user), "{row:?}");
        }
    }
    tell(&format!(
        "crash, not asked: {:?}; of the unknown {on_the_line} on the line, {unrecorded} with an answer on its way, {not_begun} not begun",
        count(&killed.rows)
    ));

    resolve_and_retry(&killed.site, &unknown, &world);
}

/// An operator's word settles some of them; the next round sends to those who failed, and to no
/// one else.
fn resolve_and_retry(site: &Site, unknown: &BTreeSet<u64>, before: &World) {
    let words: Vec<u64> = unknown.iter().copied().take(WORDS).collect();
    let (sent, failed) = words.split_at(words.len() / 2);
    for (users, word) in [(sent, "sent"), (failed, "failed")] {
        for user in users {
            site.ok(["resolve", PERIOD, "--user", &user.to_string(), "--as", word]);
        }
    }
    site.drain();
    assert_eq!(
        &World::read(&site.data()).entries.len(),
        &before.entries.len(),
        "a word alone sends nothing"
    );
    site.ok(["export", PERIOD, "--out", "resolved.parquet"]);
    let resolved: BTreeMap<u64, String> = timeless(&site.path("resolved.parquet"))
        .into_iter()
        .map(|row| (row.user_id.unsigned_abs(), row.status))
        .collect();
    for user in unknown {
        let expected = match () {
            () if sent.contains(user) => "sent",
            () if failed.contains(user) => "failed",
            () => "unknown",
        };
        assert_eq!(resolved[user], expected, "user {user}");
    }

    site.ok(["retry", PERIOD]);
    site.drain();
    let after = World::read(&site.data());
    let known: BTreeSet<_> = before.of("call").map(|call| call.key.as_str()).collect();
    let called: BTreeSet<u64> = after
        .of("call")
        .filter(|call| !known.contains(call.key.as_str()))
        .map(|call| call.user)
        .collect();
    let failures: BTreeSet<u64> = resolved
        .iter()
        .filter(|(_, status)| *status == "failed")
        .map(|(user, _)| *user)
        .collect();
    assert_eq!(called, failures, "the next round is for those who failed");
    // whom the operator took to have failed may have had it after all: that was their word
    let twice: BTreeSet<u64> = after
        .acceptances()
        .into_iter()
        .filter(|(_, count)| *count > 1)
        .map(|((user, ..), _)| user)
        .collect();
    assert!(
        twice.is_subset(&failed.iter().copied().collect()),
        "{twice:?}"
    );
    let books = site.books(PERIOD);
    assert_eq!(books["version"], 1);
    assert_eq!(
        books["unknown"].as_u64().unwrap(),
        (unknown.len() - words.len()) as u64,
        "{books}"
    );
}
