//! Addresses that nothing is sent to are nobody's anywhere: every new partition knows them.

use std::fmt::Write as _;

use crate::deployment::Deployment;
use crate::world::World;

#[test]
fn suppressed_addresses_are_suppressed_in_every_new_partition() {
    let Some(mut kafka) = Deployment::new("suppressed", 2) else {
        return;
    };
    let mut people = "user_id,name,email,phone,plan\n".to_owned();
    let mut list = "channel,address\n".to_owned();
    for user in 1..=24 {
        let (email, phone) = (
            format!("p{user}@example.com"),
            format!("010-0000-{user:04}"),
        );
        let _ = writeln!(people, "{user},홍길동,{email},{phone},PLN-043");
        let _ = writeln!(list, "email,{email}");
        if user <= 8 {
            let _ = writeln!(list, "sms,{phone}");
        }
    }
    kafka.site.file("people.csv", people);
    kafka.site.file("list.csv", list);
    kafka.site.ok(["ingest", "people.csv"]);
    let import = ["suppress", "import", "list.csv", "--reason", "bounced"];
    kafka.site.ok(import);
    kafka.drain_settle_and_render();
    let listed = kafka.site.json(["suppress", "list"]);
    kafka.repartition(5);
    assert_eq!(kafka.site.json(["suppress", "list"]), listed);

    kafka.site.ok(["close", "2026-01"]);
    kafka.site.drain();
    let books = kafka.site.books("2026-01");
    assert_eq!(books["suppressed"], 8, "{books}");
    let world = World::read(&kafka.site.data());
    assert!(world.count("call") >= 16);
    assert!(
        world
            .of("call")
            .all(|call| call.channel == "sms" && call.user > 8)
    );
}
