//! From 4 to 12 partitions and back, in the middle of a send.

use crate::deployment::{CHANNELS, Deployment, users_or};
use crate::site::Site;
use crate::world::World;

/// Usage of a user that nobody knows: it waits, and is refused when its period closes.
const STRANGER: &str = "{\"event_id\":\"stray\",\"user_id\":888888888,\"occurred_at\":\"2026-02-03T00:00:00Z\",\"kind\":\"content\",\"quantity\":900}\n";

fn late_usage(user: u64) -> String {
    format!(
        "{{\"event_id\":\"late\",\"user_id\":{user},\"occurred_at\":\"2026-01-20T00:00:00Z\",\"kind\":\"content\",\"quantity\":7700}}\n"
    )
}

fn users() -> u64 {
    users_or(2_000)
}

fn next_period(site: &Site, user: u64) {
    site.file("late.ndjson", late_usage(user));
    site.ok(["ingest", "late.ndjson"]);
    site.seed(users(), &[]);
    let out = site.path("february");
    let count = users().to_string();
    site.ok([
        "seed",
        "--users",
        &count,
        "--period",
        "2026-02",
        "--out",
        out.to_str().unwrap(),
    ]);
    site.ok(["ingest", "february/usage.parquet"]);
    site.ok(["close", "2026-02"]);
    site.drain();
}

fn correct(site: &Site) {
    site.ok(["template", "export", "words"]);
    site.ok([
        "correct",
        "2026-01",
        "--version",
        "0",
        "--templates",
        "words",
    ]);
}

#[test]
fn a_deployment_goes_from_4_to_12_partitions_and_back_in_the_middle_of_a_send() {
    let Some(kafka) = Deployment::new("moves", 4) else {
        return;
    };
    let mut kafka = kafka.for_users(users(), 4);
    let count = usize::try_from(users()).unwrap();
    kafka.site.prepare(users());
    kafka.site.file("stranger.ndjson", STRANGER);
    kafka.site.ok(["ingest", "stranger.ndjson"]);
    kafka.drain_settle_and_render();
    kafka.send_some(count / 4);
    // a follow-up to those who have it by now, and to the others when they get it
    correct(&kafka.site);
    kafka.drain_settle_and_render();
    let before = kafka.site.books("2026-01");
    assert!(
        before["pending"].as_u64().unwrap() > 0,
        "the send is half done: {before}"
    );

    let answer = kafka.repartition(12);
    assert!(
        answer["carried"]["dispatches"].as_u64().unwrap() > 0,
        "{answer}"
    );
    assert_eq!(
        answer["carried"]["usage"], 1,
        "the stranger's alone: {answer}"
    );
    assert_eq!(kafka.site.books("2026-01"), before);

    kafka.send_some(count / 4);
    kafka.drain_settle_and_render();
    let before = kafka.site.books("2026-01");
    kafka.repartition(4);
    assert_eq!(kafka.site.books("2026-01"), before);
    kafka.site.drain();
    kafka.site.ok(["retry", "2026-01"]);
    kafka.site.drain();
    let user = *World::read(&kafka.site.data())
        .users_accepted()
        .first()
        .unwrap();
    next_period(&kafka.site, user);

    // the same without any move, on the other log
    let embedded = Site::with_keys_of(&kafka.site, CHANNELS);
    embedded.prepare(users());
    embedded.file("stranger.ndjson", STRANGER);
    embedded.ok(["ingest", "stranger.ndjson"]);
    embedded.drain();
    correct(&embedded);
    embedded.drain();
    embedded.ok(["retry", "2026-01"]);
    embedded.drain();
    next_period(&embedded, user);

    for period in ["2026-01", "2026-02"] {
        let (moved, stayed) = (kafka.site.books(period), embedded.books(period));
        for figure in [
            "subscribers",
            "statements",
            "total_won",
            "sent",
            "failed",
            "version",
            "dead_letters",
            "corrections",
        ] {
            assert_eq!(
                moved[figure], stayed[figure],
                "{figure} of {period}: {moved} {stayed}"
            );
        }
        assert_eq!(moved["statements"], users());
        assert_eq!(moved["unknown"], 0);
    }
    let (moved, stayed) = (
        World::read(&kafka.site.data()),
        World::read(&embedded.data()),
    );
    moved.assert_nobody_twice();
    assert_eq!(moved.users_accepted(), stayed.users_accepted());
    assert_eq!(moved.acceptances(), stayed.acceptances());

    let export = kafka
        .site
        .json(["export", "2026-01", "--out", "result.parquet"]);
    assert_eq!(
        export["rows"],
        embedded.json(["export", "2026-01", "--out", "result.parquet"])["rows"]
    );
    // the original came along
    let letters = kafka.site.json(["dead-letters", "list"]);
    assert_eq!(letters[0]["reason"], "unknown-subscriber", "{letters}");
    let requeued = kafka.site.ok(["dead-letters", "requeue"]).stdout;
    assert!(requeued.starts_with("1 put back"), "{requeued}");
}
