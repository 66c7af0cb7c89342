//! One seed, two logs, one result.

use crate::site::Site;
use crate::table::timeless;
use crate::world::World;
use crate::{CHANNELS, PERIOD, broker, on_kafka};

const USERS: u64 = 3_000;

#[test]
fn both_logs_settle_render_and_send_the_same() {
    let Some(kafka) = broker("both logs give the same") else {
        return;
    };
    let embedded = Site::new(CHANNELS);
    embedded.seed(USERS, &[]);
    let inputs = embedded.path("inputs");
    let on_kafka = Site::with_keys_of(&embedded, &on_kafka(kafka.bootstrap(), 6, CHANNELS));
    for site in [&embedded, &on_kafka] {
        site.ok(["ingest", inputs.to_str().unwrap()]);
        site.ok(["close", PERIOD]);
        site.drain();
        // the second round of what failed is the same on both, too
        site.ok(["retry", PERIOD]);
        site.drain();
        // and so is a follow-up
        site.ok(["template", "export", "words"]);
        let correct = ["correct", PERIOD, "--version", "0", "--templates", "words"];
        site.ok(correct);
        site.drain();
        site.ok(["export", PERIOD, "--out", "result.parquet"]);
        let kind = "correction-1";
        site.ok([
            "export",
            PERIOD,
            "--kind",
            kind,
            "--out",
            "follow-up.parquet",
        ]);
        World::read(&site.data()).assert_nobody_twice();
    }
    let [one, other] = [&embedded, &on_kafka].map(|site| site.books(PERIOD));
    assert_eq!(one, other);
    assert_eq!(one["statements"], USERS);
    // statements, digests of bodies, destinations, message keys, totals: row by row
    for table in ["result.parquet", "follow-up.parquet"] {
        let [one, other] = [&embedded, &on_kafka].map(|site| {
            let mut rows = timeless(&site.path(table));
            rows.sort_by_key(|row| (row.user_id, row.version));
            rows
        });
        assert_eq!(one.len(), other.len(), "{table}");
        for (one, other) in one.iter().zip(&other) {
            assert_eq!(one, other, "{table}");
        }
    }
    let [one, other] = [&embedded, &on_kafka].map(|site| World::read(&site.data()));
    assert_eq!(one.users_accepted(), other.users_accepted());
}
