//! What the sender counts, for metrics. Nothing is decided by these numbers.
//!
//! Invariant: labels are bounded: a channel, one of two providers, and a kind of answer out of a fixed list.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sealpost_operators::gate::{Answer, Word};
use sealpost_schemas::Channel;
use sealpost_schemas::record::Rank;

/// Upper ends of the latency histogram's buckets, in milliseconds; one more bucket has no end.
pub const LATENCY_MS_BUCKETS: [u64; 14] = [
    1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 30_000,
];

/// The kinds of answer that are counted, in the order of [`ChannelSnapshot::answers`].
pub const ANSWER_KINDS: [&str; 6] = [
    "accepted",
    "refused",
    "not-accepted",
    "no-answer",
    "not-started",
    "misconfigured",
];

/// The kinds of word that are counted, in the order of [`ChannelSnapshot::words`].
pub const WORD_KINDS: [&str; 3] = ["taken", "not-taken", "unclear"];

#[derive(Default)]
struct ChannelStats {
    started: AtomicU64,
    answers: [AtomicU64; ANSWER_KINDS.len()],
    words: [AtomicU64; WORD_KINDS.len()],
    latency: [AtomicU64; LATENCY_MS_BUCKETS.len() + 1],
    latency_us_sum: AtomicU64,
}

/// Counts since the start of the process; cheap to add to from any thread.
#[derive(Default)]
pub struct SenderStats {
    channels: [[ChannelStats; Rank::ALL.len()]; Channel::ALL.len()],
}

/// One channel's counts at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ChannelSnapshot {
    /// Calls that a provider was handed.
    pub started: u64,
    /// How calls ended, by [`ANSWER_KINDS`]; also those that were not started.
    pub answers: [u64; ANSWER_KINDS.len()],
    /// What was said of keys, by [`WORD_KINDS`].
    pub words: [u64; WORD_KINDS.len()],
    /// Calls that ended within each of [`LATENCY_MS_BUCKETS`], not cumulated; the last is the rest.
    pub latency: [u64; LATENCY_MS_BUCKETS.len() + 1],
    /// Sum of all latencies, in microseconds.
    pub latency_us_sum: u64,
    /// Slots taken now: permits on their way, calls waiting to begin, calls on the line.
    pub slots_taken: usize,
    /// Permits asked for and not granted now.
    pub permits_waiting: usize,
}

impl SenderStats {
    fn of(&self, channel: Channel, rank: Rank) -> Option<&ChannelStats> {
        self.channels.get(channel.index())?.get(rank.index())
    }

    pub(crate) fn started(&self, channel: Channel, rank: Rank, calls: usize) {
        if let Some(stats) = self.of(channel, rank) {
            add(&stats.started, calls as u64);
        }
    }

    /// How calls ended; `took` is missing for those that never began.
    pub(crate) fn answered<'a>(
        &self,
        channel: Channel,
        rank: Rank,
        answers: impl Iterator<Item = &'a Answer>,
        took: Option<Duration>,
    ) {
        let Some(stats) = self.of(channel, rank) else {
            return;
        };
        let mut counts = [0_u64; ANSWER_KINDS.len()];
        for answer in answers {
            if let Some(count) = counts.get_mut(kind(answer)) {
                *count += 1;
            }
        }
        add_all(&stats.answers, &counts);
        if let Some(took) = took {
            let calls = counts.iter().sum::<u64>();
            let ms = took.as_millis();
            let bucket = LATENCY_MS_BUCKETS.partition_point(|end| u128::from(*end) < ms);
            if let Some(bucket) = stats.latency.get(bucket) {
                add(bucket, calls);
            }
            let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
            add(&stats.latency_us_sum, us.saturating_mul(calls));
        }
    }

    pub(crate) fn asked<'a>(
        &self,
        channel: Channel,
        rank: Rank,
        words: impl Iterator<Item = &'a Word>,
    ) {
        let Some(stats) = self.of(channel, rank) else {
            return;
        };
        for word in words {
            let kind = match word {
                Word::Taken { .. } => 0,
                Word::NotTaken => 1,
                Word::Unclear => 2,
            };
            if let Some(count) = stats.words.get(kind) {
                add(count, 1);
            }
        }
    }

    /// The counts of a channel's provider. Each number is exact; together they need not be of one instant. The
    /// two that are levels and not counts are left at 0: [`crate::sender::Sender::snapshot`] has them.
    #[must_use]
    pub fn snapshot(&self, channel: Channel, rank: Rank) -> ChannelSnapshot {
        let Some(stats) = self.of(channel, rank) else {
            return ChannelSnapshot::default();
        };
        ChannelSnapshot {
            started: stats.started.load(Ordering::Relaxed),
            answers: stats.answers.each_ref().map(read),
            words: stats.words.each_ref().map(read),
            latency: stats.latency.each_ref().map(read),
            latency_us_sum: read(&stats.latency_us_sum),
            slots_taken: 0,
            permits_waiting: 0,
        }
    }
}

/// Place in [`ANSWER_KINDS`].
const fn kind(answer: &Answer) -> usize {
    match answer {
        Answer::Accepted { .. } => 0,
        Answer::Refused(_) => 1,
        Answer::NotAccepted { .. } => 2,
        Answer::NoAnswer(_) => 3,
        Answer::NotStarted => 4,
        Answer::Misconfigured(_) => 5,
    }
}

fn read(count: &AtomicU64) -> u64 {
    count.load(Ordering::Relaxed)
}

fn add(count: &AtomicU64, more: u64) {
    count.fetch_add(more, Ordering::Relaxed);
}

fn add_all(counts: &[AtomicU64], more: &[u64]) {
    for (count, more) in counts.iter().zip(more) {
        if *more > 0 {
            add(count, *more);
        }
    }
}
