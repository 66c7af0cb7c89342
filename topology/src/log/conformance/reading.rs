//! Reading: from any place, and to the end.

use std::sync::atomic::{AtomicU64, Ordering};

use super::support::{
    Deadline, append, drain, numbers, one_topic, read_all, read_from, sole_member,
};
use super::{Check, Harness, Outcome};
use crate::types::{Offset, Shard};

pub(super) const CHECKS: &[Check] = &[
    Check {
        name: "a read from any offset gives what lies at or after it",
        partitions: 1,
        run: any_offset,
    },
    Check {
        name: "reading again gives the same records",
        partitions: 1,
        run: again,
    },
    Check {
        name: "a fetch gives what a read gives",
        partitions: 2,
        run: fetch_is_read,
    },
    Check {
        name: "a fetch that ends has seen every append that had returned",
        partitions: 1,
        run: complete_fetch,
    },
    Check {
        name: "a read that ends has seen every append that had returned",
        partitions: 1,
        run: complete_read,
    },
];

fn any_offset(harness: &mut dyn Harness) -> Outcome {
    let (log, topic) = one_topic(harness);
    for size in [1, 7, 2, 30] {
        append(log.as_ref(), vec![numbers(&topic, Shard(0), 0..size)]);
    }
    let all = read_all(log.as_ref(), &topic, Shard(0));
    let end = log.bounds(&topic, Shard(0)).unwrap().end;
    for from in 0..=end.0 {
        let expected: Vec<_> = all
            .iter()
            .filter(|seen| seen.offset >= Offset(from))
            .cloned()
            .collect();
        assert_eq!(
            read_from(log.as_ref(), &topic, Shard(0), Offset(from)),
            expected
        );
    }
    Outcome::Held
}

fn again(harness: &mut dyn Harness) -> Outcome {
    let (log, topic) = one_topic(harness);
    append(log.as_ref(), vec![numbers(&topic, Shard(0), 0..20)]);
    let first = read_all(log.as_ref(), &topic, Shard(0));
    append(log.as_ref(), vec![numbers(&topic, Shard(0), 20..40)]);
    let second = read_all(log.as_ref(), &topic, Shard(0));
    assert_eq!(second[..20], first);
    assert_eq!(second.len(), 40);
    Outcome::Held
}

fn fetch_is_read(harness: &mut dyn Harness) -> Outcome {
    let (log, topic) = one_topic(harness);
    for round in 0..5 {
        let both =
            [Shard(0), Shard(1)].map(|shard| numbers(&topic, shard, round * 10..round * 10 + 10));
        append(log.as_ref(), Vec::from(both));
    }
    let mut seat = sole_member(
        harness,
        &harness.group("group"),
        std::slice::from_ref(&topic),
    );
    for shard in [Shard(0), Shard(1)] {
        let all = read_all(log.as_ref(), &topic, shard);
        assert_eq!(all.len(), 50);
        assert_eq!(seat.fetch_from(&topic, shard, Offset(0)), all);
        let middle = all[25].offset;
        assert_eq!(seat.fetch_from(&topic, shard, middle), all[25..]);
    }
    Outcome::Held
}

const APPENDS: u64 = 300;

/// Reads to the end again and again while another thread appends.
fn complete(harness: &dyn Harness, mut to_the_end: impl FnMut(Offset) -> (u64, Offset)) -> Outcome {
    let (log, topic) = one_topic(harness);
    let deadline = Deadline::of(harness);
    let returned = AtomicU64::new(0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0..APPENDS {
                append(log.as_ref(), vec![numbers(&topic, Shard(0), [number])]);
                returned.store(number + 1, Ordering::SeqCst);
            }
        });
        let (mut seen, mut at) = (0, Offset(0));
        while seen < APPENDS {
            let appended = returned.load(Ordering::SeqCst);
            let (more, end) = to_the_end(at);
            (seen, at) = (seen + more, end);
            assert!(
                seen >= appended,
                "the end was told after {seen} of {appended} records"
            );
            deadline.check("reading what another thread appends");
        }
    });
    Outcome::Held
}

fn complete_fetch(harness: &mut dyn Harness) -> Outcome {
    let (_, topic) = one_topic(harness);
    let mut seat = sole_member(
        harness,
        &harness.group("group"),
        std::slice::from_ref(&topic),
    );
    complete(harness, |from| {
        let (seen, end) = drain(from, |at| seat.member.fetch(&topic, Shard(0), at));
        (seen.len() as u64, end)
    })
}

fn complete_read(harness: &mut dyn Harness) -> Outcome {
    let (log, topic) = one_topic(harness);
    complete(harness, |from| {
        let (seen, end) = drain(from, |at| log.read(&topic, Shard(0), at));
        (seen.len() as u64, end)
    })
}
