//! Killed half-way, it goes on.

use crate::deployment::{Deployment, MOMENTS, users_or};
use crate::world::World;

#[test]
fn a_move_that_is_killed_at_any_moment_can_be_resumed() {
    let Some(kafka) = Deployment::new("killed", 3) else {
        return;
    };
    let users = users_or(400);
    let mut kafka = kafka.for_users(users, 3);
    kafka.site.prepare(users);
    kafka.drain_settle_and_render();
    kafka.send_some(usize::try_from(users).unwrap() / 4);
    kafka.drain_settle_and_render();
    let before = kafka.site.books("2026-01");
    let prefix = kafka.prefix.clone();
    let begin = ["repartition", "--partitions", "5"];
    let resume = ["repartition", "--resume"];
    let (mut begun, mut killed) = (false, 0);
    for moment in MOMENTS {
        let mut move_ = if begun {
            kafka.site.spawn(resume)
        } else {
            kafka.site.spawn(begin)
        };
        // many users take longer to move
        let slower = u32::try_from(users / 10_000).unwrap().max(1);
        if move_.ends_within(moment * slower) {
            move_.ended().expect(0);
            begun = true;
            break;
        }
        move_.kill();
        killed += 1;
        // either nothing has happened yet, or every command says how to go on
        let status = kafka.site.run(["status", "2026-01"]);
        begun = status.code() != 0;
        if begun {
            let line = status.expect(2).error_line().to_owned();
            assert!(
                line.contains("--resume") || line.contains("log.partitions = 5"),
                "{line}"
            );
        }
    }
    assert!(killed > 0);
    kafka.site.ok(if begun { &resume[..] } else { &begin[..] });

    kafka.configure(&format!("{prefix}g1."), 5);
    assert_eq!(kafka.site.books("2026-01"), before);
    kafka.site.drain();
    let world = World::read(&kafka.site.data());
    world.assert_nobody_twice();
    let books = kafka.site.books("2026-01");
    assert_eq!(
        books["sent"].as_u64().unwrap() + books["failed"].as_u64().unwrap(),
        users,
        "{books}"
    );
    assert_eq!(
        world.users_accepted().len() as u64,
        books["sent"].as_u64().unwrap()
    );
}

#[test]
fn a_move_that_was_interrupted_can_be_taken_back() {
    let Some(kafka) = Deployment::new("taken-back", 2) else {
        return;
    };
    kafka.site.prepare(50);
    kafka.drain_settle_and_render();
    let before = kafka.site.books("2026-01");
    let refusal = kafka.site.run(["repartition", "--abandon"]).expect(2);
    assert!(refusal.error_line().contains("nothing to take back"));
    // killed as soon as the old topics are marked
    let mut move_ = kafka.site.spawn(["repartition", "--partitions", "3"]);
    kafka.site.wait_until("the move to have begun", || {
        move_.has_ended() || kafka.site.run(["status", "2026-01"]).code() == 2
    });
    let ended = move_.has_ended();
    move_.kill();
    if ended {
        return;
    }
    let taken_back = kafka.site.run(["repartition", "--abandon"]);
    if taken_back.code() == 2 {
        // it was faster than the kill
        assert!(
            taken_back.error_line().contains("complete")
                || taken_back.error_line().contains("nothing to take back")
        );
        return;
    }
    taken_back.expect(0);
    assert_eq!(kafka.site.books("2026-01"), before);
    kafka.site.drain();
    World::read(&kafka.site.data()).assert_nobody_twice();
}
