//! What is held stays held in every new partition, with render and with send.

use crate::deployment::Deployment;
use crate::plain;
use crate::world::World;

#[test]
fn what_is_held_and_put_off_is_so_in_every_new_partition() {
    let Some(mut kafka) = Deployment::new("held", 2) else {
        return;
    };
    let users = 24;
    kafka.site.file("people.csv", plain::subscribers(users));
    kafka.site.ok(["ingest", "people.csv"]);
    kafka.site.ok(["close", "2026-01"]);
    kafka.drain_settle_and_render();
    // render knows it, send has not heard of it: its dispatches are carried over
    kafka.site.ok(["hold", "2026-01"]);
    let later = ["close", "2026-02", "--not-before", "2199-01-01"];
    kafka.site.ok(later);
    kafka.drain_settle_and_render();
    kafka.repartition(5);
    kafka.site.drain();
    for period in ["2026-01", "2026-02"] {
        let books = kafka.site.books(period);
        assert_eq!(books["held"], users, "{books}");
    }
    assert_eq!(World::read(&kafka.site.data()).count("call"), 0);
    kafka.site.ok(["release", "2026-01"]);
    kafka.site.drain();
    // some fail on both channels, as the provider is configured
    let books = kafka.site.books("2026-01");
    let count = |state: &str| books[state].as_u64().unwrap();
    assert_eq!(count("sent") + count("failed"), users, "{books}");
    assert!(count("sent") > 0, "{books}");
    assert_eq!(kafka.site.books("2026-02")["held"], users);
    World::read(&kafka.site.data()).assert_nobody_twice();
}
