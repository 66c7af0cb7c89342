//! A great many held messages that are released at once: they go at the channel's rate, those that came first before
//! the others, and the program needs no more memory for their number than their state does.
//!
//! `SEALPOST_RELEASE_USERS` makes it longer; what it took is told.

use std::collections::HashMap;

use sealpost_providerkit::check::twice;
use sealpost_providerkit::ledger::Event;
use sealpost_schemas::{Channel, Kind, MessageKey, UserId, Version};

use crate::kit::Kit;
use crate::site::Site;
use crate::table::rows;
use crate::tell;

/// Calls a second.
const RATE: usize = 2_000;
/// At once, so that as many may arrive late and with others.
const IN_FLIGHT: usize = 200;
/// What one portion of a release moves, before the next command is looked at: twice, for send takes portions too.
const PORTIONS: usize = 2 * 500;
/// What a user's state may take when it goes from held to sent: see docs/capacity.md.
const STATE_BYTES: u64 = 1_024;
/// Whatever there are.
const SOME_BYTES: u64 = 96 * 1024 * 1024;

/// Of a process, in bytes; 0 when it has ended.
fn resident(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kib.unwrap_or_default() * 1024
}

#[test]
fn what_is_released_at_once_keeps_to_the_rate_and_the_order_and_memory_stays() {
    let users: u64 =
        std::env::var("SEALPOST_RELEASE_USERS").map_or(4_000, |users| users.parse().unwrap());
    let kit = Kit::start(&[]);
    // one shard, where one came before another or did not
    let site = Site::new(&format!(
        "[log]\npartitions = 1\n[windows]\nignore = true\n[policy]\nchannels = [\"email\"]\n\
         [channels.email]\nprovider = \"http\"\nrate_per_second = {RATE}\nmax_in_flight = {IN_FLIGHT}\n\
         [channels.email.http]\nurl = \"{}\"\n",
        kit.url("/send"),
    ));
    let periods = ["2026-01", "2026-02"];
    site.prepare(users / 2);
    site.ok(["close", "2026-02"]);
    for period in periods {
        site.ok(["hold", period]);
    }
    site.drain();
    assert_eq!(kit.bytes(), 0, "it is held");
    for period in periods {
        assert_eq!(site.books(period)["held"], users / 2);
    }
    // the later one first: what counts is who came first
    for period in periods.iter().rev() {
        site.ok(["release", period]);
    }

    let mut run = site.spawn(["run", "--drain"]);
    site.wait_until("the first to go", || kit.bytes() > 0);
    let at_first = resident(run.id());
    let mut most = at_first;
    while !run.has_ended() {
        most = most.max(resident(run.id()));
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    run.ended().expect(0);

    let lines = kit.lines();
    assert!(twice(&lines, str::to_owned).is_empty());
    for period in periods {
        assert_eq!(site.books(period)["sent"], users / 2);
    }
    let calls: Vec<_> = lines
        .iter()
        .filter(|line| line.event == Event::Call)
        .collect();
    assert_eq!(calls.len() as u64, users);

    let window = |from: usize| {
        let until = calls[from].at_ms + 1_000;
        calls[from..]
            .iter()
            .take_while(|call| call.at_ms < until)
            .count()
    };
    let busiest = (0..calls.len()).map(window).max().unwrap_or_default();
    assert!(
        busiest <= RATE + RATE / 10 + IN_FLIGHT,
        "{busiest} in one second"
    );

    let mut later = HashMap::new();
    site.ok(["export", periods[0], "--out", "result.parquet"]);
    for row in rows(&site.path("result.parquet")) {
        let of = |period: &str| {
            let user = UserId::new(row.user_id.unsigned_abs()).unwrap();
            MessageKey::new(
                period.parse().unwrap(),
                user,
                Kind::Bill,
                Version(0),
                Channel::Email,
            )
            .to_string()
        };
        later.insert(of(periods[0]), false);
        later.insert(of(periods[1]), true);
    }
    let later: Vec<bool> = calls.iter().map(|call| later[&call.key]).collect();
    let last_of_first = later.iter().rposition(|later| !later).unwrap_or_default();
    let early = later[..last_of_first]
        .iter()
        .filter(|later| **later)
        .count();
    assert!(
        early <= PORTIONS + IN_FLIGHT,
        "{early} went before who came before them"
    );

    let seconds = (calls[calls.len() - 1].at_ms - calls[0].at_ms) as f64 / 1_000.0;
    tell(&format!(
        "released: {users} in {seconds:.1} s, {busiest} in the busiest second of {RATE}, {early} out of order; \
         {} MiB when the first went, {} at most",
        at_first >> 20,
        most >> 20
    ));
    assert!(
        most <= at_first + SOME_BYTES + users * STATE_BYTES,
        "from {at_first} bytes to {most}"
    );
}
