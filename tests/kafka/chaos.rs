//! Workers that come, go, die and freeze, on three brokers that go down in turn, against a provider
//! over HTTP that loses answers: nobody has two bills, everyone ends in one state, every statement
//! is there once.
//!
//! `SEALPOST_CHAOS_USERS`, `SEALPOST_CHAOS_ACTIONS` and `SEALPOST_CHAOS_SEED` make it longer, or
//! draw the same again; what was drawn is told.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::process::Command;
use std::time::Duration;

use sealpost_providerkit::check::{Totals, twice};
use sealpost_schemas::{Channel, Kind, MessageKey, UserId, Version};
use sealpost_testkit::{Brokers, Cluster, OrNotRun as _};

use crate::kit::Kit;
use crate::site::{Running, Site};
use crate::table::{Row, rows};
use crate::{PERIOD, on_kafka};

/// Workers at once, at most.
const WORKERS_MAX: usize = 3;
/// Longer than the brokers keep a session: who sleeps so long has lost its shards.
const FREEZE: Duration = Duration::from_secs(8);

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut drawn = self.0;
        drawn = (drawn ^ (drawn >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        drawn = (drawn ^ (drawn >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (drawn ^ (drawn >> 31)) % bound.max(1)
    }
}

fn channels(kit: &Kit, pace: u64) -> String {
    let mut text = "[windows]\nignore = true\n".to_owned();
    for channel in ["email", "sms", "kakao"] {
        write!(
            text,
            "[channels.{channel}]\nprovider = \"http\"\nmax_in_flight = 100\nrate_per_second = {pace}\n\
             start_within_ms = 1000\nprovider_grace_ms = 2000\nbackoff_ms = 50\n\
             [channels.{channel}.http]\nurl = \"{}\"\nstatus_url = \"{}\"\ntimeout_ms = 400\n",
            kit.url("/send"),
            kit.url("/status/{key}"),
        )
        .unwrap();
    }
    text
}

fn signal(run: &Running, name: &str) {
    let sent = Command::new("kill")
        .args([name, &run.id().to_string()])
        .status()
        .unwrap();
    assert!(sent.success());
}

/// A worker: a `run` with a data directory of its own.
struct Worker {
    site: Site,
    run: Option<Running>,
}

#[test]
fn workers_and_brokers_that_die_freeze_and_come_back_send_everything_once() {
    let Some(cluster) = Cluster::start(Brokers::Three).or_not_run("chaos on three brokers") else {
        return;
    };
    let users = setting("SEALPOST_CHAOS_USERS", 3_000);
    let actions = setting("SEALPOST_CHAOS_ACTIONS", 10);
    let seed = setting("SEALPOST_CHAOS_SEED", 7);
    let mut dice = Dice(seed);
    let kit = Kit::start(&[
        "--faults",
        "swallow=0.02,reset-after-request=0.02,too-many=0.02,error=0.02,refuse=0.03",
        "--seed",
        &seed.to_string(),
    ]);
    // as long as the actions take, about three seconds each
    let pace = (users / (actions * 3)).max(20);
    let config = on_kafka(cluster.bootstrap(), 6, "")
        .replace("[log.kafka]", "[log.kafka]\nreplication_factor = 3");
    let config = format!("{config}{}", channels(&kit, pace));
    let first = Site::new(&config);
    first.prepare(users);
    let mut workers: Vec<Worker> = (0..WORKERS_MAX)
        .map(|_| Worker {
            site: Site::with_keys_of(&first, &config),
            run: None,
        })
        .collect();
    let mut done: BTreeMap<&str, u64> = BTreeMap::new();
    let nodes = cluster.nodes();
    for action in 0..actions {
        // somebody works at any time
        if workers.iter().all(|worker| worker.run.is_none()) {
            let run = workers[0].site.spawn(["run"]);
            workers[0].run = Some(run);
            // a program that has not begun cannot hear that it is to stop
            std::thread::sleep(Duration::from_secs(1));
        }
        let place = usize::try_from(dice.below(WORKERS_MAX as u64)).unwrap();
        let worker = &mut workers[place];
        let what = match (worker.run.take(), dice.below(4)) {
            (None, _) => {
                worker.run = Some(worker.site.spawn(["run"]));
                "start"
            }
            (Some(run), 0) => {
                run.kill();
                "kill"
            }
            (Some(run), 1) => {
                run.terminate();
                run.ended().expect(0);
                "terminate"
            }
            (Some(run), 2) => {
                signal(&run, "-STOP");
                std::thread::sleep(FREEZE);
                signal(&run, "-CONT");
                worker.run = Some(run);
                "freeze"
            }
            (Some(run), _) => {
                // its coordinators and leaders move to the others
                let node = nodes[usize::try_from(action).unwrap() % nodes.len()];
                if dice.below(2) == 0 {
                    cluster.kill(node).unwrap();
                } else {
                    cluster.down(node).unwrap();
                }
                std::thread::sleep(Duration::from_secs(2));
                cluster.up(node).unwrap();
                worker.run = Some(run);
                "broker"
            }
        };
        *done.entry(what).or_default() += 1;
        std::thread::sleep(Duration::from_millis(500 + dice.below(2_500)));
        for worker in &mut workers {
            if let Some(run) = &mut worker.run {
                assert!(!run.has_ended(), "a worker ended by itself: {}", run.said());
            }
        }
    }
    for worker in &mut workers {
        if let Some(run) = worker.run.take() {
            run.terminate();
            run.ended().expect(0);
        }
    }
    // when all is calm, it comes to its end
    workers[0].site.ok(["run", "--drain"]);

    let books = first.books(PERIOD);
    first.ok(["export", PERIOD, "--out", "result.parquet"]);
    let rows = rows(&first.path("result.parquet"));
    let lines = kit.lines();
    crate::tell(&format!(
        "chaos, seed {seed}: {done:?}; {books}; {}",
        Totals::of(&lines)
    ));
    assert_eq!(books["statements"], users, "{books}");
    for nothing in [
        "pending",
        "held",
        "sending",
        "unknown",
        "suppressed",
        "dead_letters",
    ] {
        assert_eq!(books[nothing], 0, "{books}");
    }
    assert_eq!(rows.len() as u64, users, "a row for each user");
    check_ledger(&rows, &lines);

    // what settling comes to does not depend on any of it
    let calm = Site::with_keys_of(&first, "[windows]\nignore = true\n");
    calm.ok(["ingest", first.path("inputs").to_str().unwrap()]);
    calm.ok(["close", PERIOD]);
    calm.ok(["run", "--drain", "--stages", "settle"]);
    assert_eq!(calm.books(PERIOD)["total_won"], books["total_won"]);
}

/// By what the provider says, and not by what the program says.
fn check_ledger(rows: &[Row], lines: &[sealpost_providerkit::ledger::Line]) {
    let mut owners = BTreeMap::new();
    for row in rows {
        let user_id = UserId::new(row.user_id.unsigned_abs()).unwrap();
        for channel in Channel::ALL {
            let period = PERIOD.parse().unwrap();
            let key = MessageKey::new(period, user_id, Kind::Bill, Version(0), channel);
            owners.insert(key.to_string(), row.user_id);
        }
    }
    let more_than_once = twice(lines, |key| owners[key]);
    assert!(
        more_than_once.is_empty(),
        "{} have it more than once: {:?}",
        more_than_once.len(),
        more_than_once.first_key_value()
    );
    let mut taken: BTreeMap<i64, usize> = BTreeMap::new();
    for (key, of_key) in sealpost_providerkit::check::by_key(lines) {
        *taken.entry(owners[key]).or_default() += of_key.accepted;
    }
    for row in rows {
        let taken = taken.get(&row.user_id).copied().unwrap_or(0);
        match row.status.as_str() {
            "sent" => assert_eq!(taken, 1, "{row:?}"),
            "failed" => assert_eq!(taken, 0, "{row:?}"),
            other => panic!("{other} is no end: {row:?}"),
        }
    }
}
