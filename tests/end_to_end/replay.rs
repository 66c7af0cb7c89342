//! Stages read everything again, and not one message is sent again.

use serde_json::Value;

use crate::site::{Site, free_port};
use crate::table::{Row, rows};
use crate::world::World;

const USERS: u64 = 1_500;
const CONFIG: &str = "[windows]\nignore = true\n[channels.email]\nfailure_rate = 0.05\n\
                      [channels.sms]\nfailure_rate = 0.3\n[channels.kakao]\nfailure_rate = 0.5\n";

/// Everything that the outside can see of a period.
#[derive(Debug, PartialEq)]
struct Seen {
    world: World,
    books: Value,
    rows: Vec<Row>,
}

impl Seen {
    fn of(site: &Site) -> Self {
        site.ok(["export", "2026-01", "--out", "result.parquet"]);
        let mut world = World::read(&site.data());
        world.entries.sort();
        Self {
            world,
            books: site.books("2026-01"),
            rows: rows(&site.path("result.parquet")),
        }
    }
}

fn settled() -> (Site, Seen) {
    let site = Site::new(CONFIG);
    site.prepare(USERS);
    site.drain();
    let seen = Seen::of(&site);
    assert!(
        seen.books["failed"].as_u64().unwrap() > 0,
        "some run out of channels: {}",
        seen.books
    );
    (site, seen)
}

/// Replays stages; returns what was dropped of each.
fn replayed(site: &Site, seen: &Seen, stages: &str) -> [u64; 3] {
    site.ok(["replay", "--stages", stages]);
    let done = site.drain();
    assert_eq!(&Seen::of(site), seen, "after a replay of {stages}");
    assert_eq!(done["sent"], 0, "{done}");
    ["settle", "render", "send"].map(|stage| done["dropped"][stage].as_u64().unwrap())
}

#[test]
fn a_replay_of_any_stage_sends_nothing_and_changes_nothing() {
    let (site, seen) = settled();
    let usage = USERS * 10;

    let [settle, ..] = replayed(&site, &seen, "settle");
    assert_eq!(settle, usage, "every event had been counted");

    let [_, render, _] = replayed(&site, &seen, "render");
    assert!(
        render >= USERS,
        "every statement had a route: {render} dropped"
    );

    let [.., send] = replayed(&site, &seen, "send");
    let calls = seen.world.count("call") as u64;
    assert!(
        send >= calls,
        "every message had an outcome: {send} of {calls} dropped"
    );

    let [settle, render, send] = replayed(&site, &seen, "settle,render,send");
    assert_eq!(settle, usage);
    assert!(
        render >= USERS && send >= calls,
        "{render} and {send} dropped"
    );

    // and once more, now that it all stands there twice
    let [settle, render, send] = replayed(&site, &seen, "settle,render,send");
    assert!(settle >= usage && render >= USERS && send >= calls);
}

#[test]
fn what_every_stage_has_handled_is_cut_and_what_is_not_stays() {
    let site = Site::new(&CONFIG.replace("[windows]", "[log]\nkeep_handled = \"0s\"\n[windows]"));
    site.prepare(USERS);
    // rendered and not yet sent: nobody has committed past the messages
    site.ok(["run", "--drain", "--stages", "settle,render"]);
    site.drain();
    let seen = Seen::of(&site);
    assert_eq!(
        seen.books["sent"].as_u64().unwrap() + seen.books["failed"].as_u64().unwrap(),
        USERS
    );
    let [settle, render, send] = replayed(&site, &seen, "settle,render,send");
    assert_eq!(settle, USERS * 10, "usage is never cut");
    // statements stay, and of what goes between the stages a last batch of each partition; that
    // it all stays for weeks by default is in the test above
    assert!(render < USERS * 5 / 4, "cut: {render} are left");
    assert!(send < USERS / 4, "cut: {send} are left");
}

#[test]
fn a_replay_while_a_run_is_up_is_refused() {
    let port = free_port();
    let site = Site::new(&format!("{CONFIG}[http]\nlisten = \"127.0.0.1:{port}\"\n"));
    site.prepare(20);
    site.drain();
    let before = World::read(&site.data());
    let mut run = site.spawn(["run"]);
    site.wait_until_ready(&mut run, port);
    let refused = site.run(["replay", "--stages", "send"]).expect(1);
    let line = refused.error_line();
    assert!(
        line.contains("sealpost.send") && line.contains("stop"),
        "{line}"
    );
    run.terminate();
    run.ended().expect(0);
    assert_eq!(World::read(&site.data()), before);
}
