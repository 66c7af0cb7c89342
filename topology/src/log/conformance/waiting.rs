//! Waiting in a poll, and what ends it.

use std::time::{Duration, Instant};

use super::support::{Deadline, Seat, TURN, append, numbers, one_topic, sole_member};
use super::{Check, Harness, Outcome};
use crate::types::{Offset, Shard};

pub(super) const CHECKS: &[Check] = &[
    Check {
        name: "a poll ends when its time is over",
        partitions: 1,
        run: time_over,
    },
    Check {
        name: "a wake ends the poll that waits",
        partitions: 1,
        run: woken,
    },
    Check {
        name: "a wake before the poll ends it at once",
        partitions: 1,
        run: woken_before,
    },
    Check {
        name: "an append ends the poll that waits",
        partitions: 1,
        run: appended,
    },
    Check {
        name: "a change of ownership ends the poll that waits",
        partitions: 2,
        run: wanted,
    },
];

/// Polls until a poll has waited for its whole time.
fn calm(harness: &dyn Harness, seat: &mut Seat) {
    let deadline = Deadline::of(harness);
    loop {
        let start = Instant::now();
        let changes = seat.turn(TURN, |_, _| ());
        if changes.is_empty() && start.elapsed() >= TURN {
            return;
        }
        deadline.check("coming to rest");
    }
}

/// Half the deadline: whatever ends before it did not wait for the time to pass.
fn promptly(harness: &dyn Harness) -> Duration {
    harness.deadline() / 2
}

fn time_over(harness: &mut dyn Harness) -> Outcome {
    let (_, topic) = one_topic(harness);
    let mut seat = sole_member(harness, &harness.group("group"), &[topic]);
    calm(harness, &mut seat);
    let start = Instant::now();
    assert_eq!(seat.member.poll(Duration::ZERO).unwrap(), []);
    assert_eq!(seat.member.poll(TURN).unwrap(), []);
    assert!(start.elapsed() < promptly(harness));
    Outcome::Held
}

fn woken(harness: &mut dyn Harness) -> Outcome {
    let (_, topic) = one_topic(harness);
    let mut seat = sole_member(harness, &harness.group("group"), &[topic]);
    calm(harness, &mut seat);
    let waker = seat.member.waker();
    let start = Instant::now();
    let patience = harness.deadline();
    std::thread::scope(|scope| {
        let poll = scope.spawn(|| seat.member.poll(patience));
        while !poll.is_finished() {
            waker.wake();
            std::thread::yield_now();
        }
        assert_eq!(poll.join().unwrap().unwrap(), []);
    });
    assert!(start.elapsed() < promptly(harness));
    Outcome::Held
}

fn woken_before(harness: &mut dyn Harness) -> Outcome {
    let (_, topic) = one_topic(harness);
    let mut seat = sole_member(harness, &harness.group("group"), &[topic]);
    calm(harness, &mut seat);
    seat.member.waker().wake();
    let start = Instant::now();
    assert_eq!(seat.member.poll(harness.deadline()).unwrap(), []);
    assert!(start.elapsed() < promptly(harness));
    Outcome::Held
}

fn appended(harness: &mut dyn Harness) -> Outcome {
    let (log, topic) = one_topic(harness);
    let mut seat = sole_member(
        harness,
        &harness.group("group"),
        std::slice::from_ref(&topic),
    );
    calm(harness, &mut seat);
    let start = Instant::now();
    std::thread::scope(|scope| {
        scope.spawn(|| append(log.as_ref(), vec![numbers(&topic, Shard(0), [1])]));
        while seat
            .member
            .fetch(&topic, Shard(0), Offset(0))
            .unwrap()
            .is_none()
        {
            assert_eq!(seat.member.poll(harness.deadline()).unwrap(), []);
        }
    });
    assert!(start.elapsed() < promptly(harness));
    Outcome::Held
}

fn wanted(harness: &mut dyn Harness) -> Outcome {
    let (log, topic) = one_topic(harness);
    let group = harness.group("group");
    let mut old = sole_member(harness, &group, std::slice::from_ref(&topic));
    calm(harness, &mut old);
    let start = Instant::now();
    let patience = harness.deadline();
    std::thread::scope(|scope| {
        let joining = scope.spawn(|| {
            let mut new = Seat::join(log.as_ref(), &group, std::slice::from_ref(&topic));
            while new.owned.is_empty() {
                new.turn(patience, |_, _| ());
            }
        });
        while old.owned.len() > 1 {
            old.turn(patience, |_, _| ());
        }
        // it must be told of what the other leaves behind, too
        while old.owned.len() < 2 {
            old.turn(patience, |_, _| ());
        }
        joining.join().unwrap();
    });
    assert!(start.elapsed() < promptly(harness));
    Outcome::Held
}
