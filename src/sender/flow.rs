//! How many calls may be under way on one channel, and how fast they begin. Pure but for the
//! clock that it is given: no thread, no timer, no provider.
//!
//! # How it works
//! A shard asks for permits and stands in line. A permit takes a **slot**, one of `max_in_flight`,
//! which stays taken while the permit travels to its shard, while its call waits to begin, and
//! until the call has ended. The rate is kept where calls begin, and not where permits are given
//! out: between the two lies a commit, and permits that were held up by a slow one would
//! otherwise turn into a burst of calls. So that no intent is written long before its call, at
//! most half a second's worth of permits, and a quarter of the time that an intent leaves, are
//! ahead of the calls that have begun.
//!
//! # Invariants
//! - Slots taken never exceed `max_in_flight`, and each is freed once.
//! - No more than `rate_per_second` calls begin in any second. The limiter is a GCRA (governor)
//!   with a burst of a fiftieth of the rate, at least 1, and an interval long enough that burst
//!   and interval together stay within the rate; so a steady stream runs at about 98 % of it.
//! - Every permit asked for is granted in the end, the shards taking turns, as long as somebody
//!   is there to receive it and the provider is well.
//! - A permit that its shard never used (its step was aborted, its worker is gone) comes back
//!   after a lease. A call that comes after that needs a free slot again, or is not begun.

use std::collections::{HashMap, VecDeque};
use std::num::NonZeroU32;
use std::sync::{Arc, Weak};
use std::time::Duration;

use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use sealpost_operators::gate::{Completion, Line};
use sealpost_topology::types::Shard;

/// After this long an unused permit comes back. Far longer than a commit takes, and longer than
/// an intent's call may be started after it.
const LEASE_MIN: Duration = Duration::from_secs(10);
/// A burst is this part of a second's calls.
const BURSTS_PER_SECOND: u32 = 50;
/// Permits ahead of the calls that have begun are worth at most this time …
const AHEAD_MAX: Duration = Duration::from_millis(500);
/// … and at most this part of the time in which an intent's call must begin.
const AHEADS_PER_START: u32 = 4;

/// Where completions go.
pub(crate) trait Post: Send + Sync {
    /// Hands them in.
    fn post(&self, completions: Vec<(Shard, Completion)>);
}

/// Tells the time since some fixed moment; never runs backwards.
#[derive(Clone)]
pub(crate) struct Monotonic(Arc<dyn Fn() -> Duration + Send + Sync>);

impl Monotonic {
    pub(crate) fn new(read: impl Fn() -> Duration + Send + Sync + 'static) -> Self {
        Self(Arc::new(read))
    }

    /// The time since this was made.
    pub(crate) fn system() -> Self {
        let began = std::time::Instant::now();
        Self::new(move || began.elapsed())
    }

    pub(crate) fn read(&self) -> Duration {
        (self.0)()
    }
}

impl Clock for Monotonic {
    type Instant = Nanos;
    fn now(&self) -> Nanos {
        self.read().into()
    }
}

/// A channel's limits.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Slots.
    pub(crate) in_flight_max: usize,
    /// Most calls that begin in a second; no limit when absent.
    pub(crate) rate_per_second: Option<NonZeroU32>,
    /// How long an intent's call may wait to begin.
    pub(crate) start_within: Duration,
}

/// How many permits may be given out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Allowance {
    /// As many as there is room for.
    All,
    /// One, while nothing else is under way: it is tried whether the provider is back.
    One,
    /// None.
    Nothing,
}

struct Pace {
    limiter: RateLimiter<NotKeyed, InMemoryState, Monotonic, NoOpMiddleware<Nanos>>,
    ahead_max: usize,
}

impl Pace {
    fn new(rate: NonZeroU32, start_within: Duration, clock: Monotonic) -> Self {
        let burst = NonZeroU32::new(rate.get() / BURSTS_PER_SECOND).unwrap_or(NonZeroU32::MIN);
        let ahead_for = AHEAD_MAX.min(start_within / AHEADS_PER_START);
        let ahead = u128::from(rate.get()) * ahead_for.as_millis() / 1_000;
        // in any second at most burst − 1 + ceil(second / interval) cells pass
        let others = u64::from(rate.get() - burst.get() + 1);
        let interval = Duration::from_nanos(1_000_000_000 / others + 1);
        // never zero, because it is rounded up
        let quota = Quota::with_period(interval)
            .unwrap_or(Quota::per_second(rate))
            .allow_burst(burst);
        Self {
            limiter: RateLimiter::direct_with_clock(quota, clock),
            ahead_max: usize::try_from(ahead).unwrap_or(usize::MAX).max(1),
        }
    }

    /// Whether a call may begin now; if not, when.
    fn take(&self) -> Result<(), Duration> {
        self.limiter
            .check()
            .map_err(|not_until| not_until.wait_time_from(self.limiter.clock().now()))
    }
}

/// Who stands in line: a shard, for those of its messages that wait for the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Asker {
    pub(crate) shard: Shard,
    pub(crate) line: Line,
}

impl From<Shard> for Asker {
    fn from(shard: Shard) -> Self {
        let line = Line::Any;
        Self { shard, line }
    }
}

/// A shard that stands in line.
struct Asked {
    post: Weak<dyn Post>,
    permits: usize,
}

/// Permits on their way to a shard, or with it.
struct Lease {
    until: Duration,
    permits: usize,
}

/// Permits for a shard.
pub(crate) struct Grant {
    pub(crate) shard: Shard,
    pub(crate) line: Line,
    pub(crate) post: Arc<dyn Post>,
    pub(crate) permits: usize,
}

/// See the module. `T` is a call that waits to begin.
pub(crate) struct Flow<T> {
    limits: Limits,
    clock: Monotonic,
    pace: Option<Pace>,
    /// Slots taken.
    taken: usize,
    /// Of those, permits that are granted and not used.
    unused: usize,
    leases: HashMap<Shard, VecDeque<Lease>>,
    asked: HashMap<Asker, Asked>,
    turns: VecDeque<Asker>,
    queue: VecDeque<T>,
    allowance: Allowance,
    /// When the next of the queue may begin.
    begins_at: Option<Duration>,
}

impl<T> Flow<T> {
    pub(crate) fn new(limits: Limits, clock: Monotonic) -> Self {
        Self {
            limits,
            pace: limits
                .rate_per_second
                .map(|rate| Pace::new(rate, limits.start_within, clock.clone())),
            clock,
            taken: 0,
            unused: 0,
            leases: HashMap::new(),
            asked: HashMap::new(),
            turns: VecDeque::new(),
            queue: VecDeque::new(),
            allowance: Allowance::All,
            begins_at: None,
        }
    }

    /// From now on so many permits may be given out.
    pub(crate) const fn allow(&mut self, allowance: Allowance) {
        self.allowance = allowance;
    }

    /// Whether it is time to try a provider that ails, and nobody is about to.
    pub(crate) fn may_be_tried(&mut self) -> bool {
        if self.allowance != Allowance::One || !self.asked.is_empty() {
            return false;
        }
        // nobody stands in line here who would have the last try's permit taken back
        self.reclaim();
        self.taken == 0
    }

    /// Whether somebody stands in line.
    pub(crate) fn is_wanted(&self) -> bool {
        !self.asked.is_empty()
    }

    /// Slots taken.
    pub(crate) const fn taken(&self) -> usize {
        self.taken
    }

    /// Permits asked for and not granted yet.
    pub(crate) fn waiting(&self) -> usize {
        self.asked.values().map(|asked| asked.permits).sum()
    }

    /// A shard stands in line for more permits. What it asked for through another worker, which
    /// has lost it since, is void.
    pub(crate) fn ask(&mut self, asker: impl Into<Asker>, post: &Weak<dyn Post>, permits: usize) {
        if permits == 0 {
            return;
        }
        let asker = asker.into();
        match self.asked.get_mut(&asker) {
            Some(asked) if asked.post.ptr_eq(post) => {
                asked.permits = asked.permits.saturating_add(permits)
            }
            Some(asked) => {
                *asked = Asked {
                    post: Weak::clone(post),
                    permits,
                }
            }
            None => {
                self.asked.insert(
                    asker,
                    Asked {
                        post: Weak::clone(post),
                        permits,
                    },
                );
                self.turns.push_back(asker);
            }
        }
    }

    /// Takes everybody out of line who may go to any provider, in the order in which they stand.
    pub(crate) fn withdraw(&mut self) -> Vec<(Asker, Weak<dyn Post>, usize)> {
        let (any, only) = std::mem::take(&mut self.turns)
            .into_iter()
            .partition(|asker: &Asker| asker.line == Line::Any);
        self.turns = only;
        let any: VecDeque<Asker> = any;
        let taken = any.into_iter().filter_map(|asker| {
            let Asked { post, permits } = self.asked.remove(&asker)?;
            Some((asker, post, permits))
        });
        taken.collect()
    }

    /// Takes one permit's worth of the first out of line who may go to any provider.
    pub(crate) fn lend(&mut self) -> Option<(Asker, Weak<dyn Post>)> {
        let place = self
            .turns
            .iter()
            .position(|asker| asker.line == Line::Any)?;
        let asker = *self.turns.get(place)?;
        let asked = self.asked.get_mut(&asker)?;
        let post = Weak::clone(&asked.post);
        asked.permits -= 1;
        if asked.permits == 0 {
            self.asked.remove(&asker);
            self.turns.remove(place);
        }
        Some((asker, post))
    }

    /// Permits come back unused.
    pub(crate) fn give_back(&mut self, shard: Shard, permits: usize) {
        let known = self.unlease(shard, permits);
        self.taken -= known;
    }

    /// A shard uses a permit: its call joins the queue. If its permit has come back meanwhile and
    /// no slot is free, the call is handed back.
    pub(crate) fn admit(&mut self, shard: Shard, call: T) -> Result<(), T> {
        if self.unlease(shard, 1) == 0 {
            if self.taken >= self.limits.in_flight_max {
                return Err(call);
            }
            self.taken += 1;
        }
        self.queue.push_back(call);
        Ok(())
    }

    /// The calls that may begin now.
    pub(crate) fn due(&mut self) -> Vec<T> {
        self.begins_at = None;
        let Some(pace) = &self.pace else {
            return self.queue.drain(..).collect();
        };
        let mut due = Vec::new();
        while !self.queue.is_empty() {
            match pace.take() {
                Ok(()) => due.extend(self.queue.pop_front()),
                Err(wait) => {
                    self.begins_at = Some(self.clock.read() + wait);
                    break;
                }
            }
        }
        due
    }

    /// Calls have ended, or turned out not to begin.
    pub(crate) fn ended(&mut self, calls: usize) {
        debug_assert!(
            calls + self.unused + self.queue.len() <= self.taken,
            "a slot was freed twice"
        );
        self.taken = self.taken.saturating_sub(calls);
    }

    /// Gives out what there is room for, the shards taking turns.
    pub(crate) fn grants(&mut self) -> Vec<Grant> {
        if !self.asked.is_empty() {
            self.reclaim();
        }
        let mut grants = Vec::new();
        // each round splits the room evenly; what one does not need is there for the others
        while self.room() > 0 && !self.turns.is_empty() {
            for left_in_round in (1..=self.turns.len()).rev() {
                let share = self.room().div_ceil(left_in_round);
                if share > 0
                    && let Some(asker) = self.turns.pop_front()
                {
                    grants.extend(self.grant(asker, share));
                }
            }
        }
        grants
    }

    /// Gives a shard up to `share` permits, and its place in line back if it wants more.
    fn grant(&mut self, asker: Asker, share: usize) -> Option<Grant> {
        let Asker { shard, line } = asker;
        let asked = self.asked.get_mut(&asker)?;
        let Some(post) = asked.post.upgrade() else {
            // its worker is gone; whoever owns the shard now asks for itself
            self.asked.remove(&asker);
            return None;
        };
        let permits = asked.permits.min(share);
        asked.permits -= permits;
        if asked.permits == 0 {
            self.asked.remove(&asker);
        } else {
            self.turns.push_back(asker);
        }
        self.lease(shard, permits);
        Some(Grant {
            shard,
            line,
            post,
            permits,
        })
    }

    /// After how long something happens by itself: a call may begin, or a permit comes back that
    /// somebody waits for.
    pub(crate) fn wait(&self) -> Option<Duration> {
        let leased = || {
            (!self.asked.is_empty() && self.room() == 0)
                .then(|| {
                    self.leases
                        .values()
                        .filter_map(|leases| leases.front())
                        .map(|lease| lease.until)
                        .min()
                })
                .flatten()
        };
        let at = [self.begins_at, leased()].into_iter().flatten().min()?;
        Some(at.saturating_sub(self.clock.read()))
    }

    fn room(&self) -> usize {
        let slots_max = match self.allowance {
            Allowance::All => self.limits.in_flight_max,
            Allowance::One => 1,
            Allowance::Nothing => 0,
        };
        let slots = slots_max.saturating_sub(self.taken);
        match &self.pace {
            Some(pace) => slots.min(
                pace.ahead_max
                    .saturating_sub(self.unused + self.queue.len()),
            ),
            None => slots,
        }
    }

    fn lease(&mut self, shard: Shard, permits: usize) {
        self.taken += permits;
        self.unused += permits;
        let until = self.clock.read() + LEASE_MIN.max(self.limits.start_within * 2);
        self.leases
            .entry(shard)
            .or_default()
            .push_back(Lease { until, permits });
    }

    /// Takes permits out of a shard's leases and returns how many there were. The newest first:
    /// what was never used stays the oldest, and its lease runs out.
    fn unlease(&mut self, shard: Shard, permits: usize) -> usize {
        let mut left = permits;
        if let Some(leases) = self.leases.get_mut(&shard) {
            while left > 0
                && let Some(lease) = leases.back_mut()
            {
                let some = lease.permits.min(left);
                lease.permits -= some;
                left -= some;
                if lease.permits == 0 {
                    leases.pop_back();
                }
            }
            if leases.is_empty() {
                self.leases.remove(&shard);
            }
        }
        self.unused -= permits - left;
        permits - left
    }

    /// Takes back the permits whose lease is over.
    fn reclaim(&mut self) {
        let now = self.clock.read();
        let mut back = 0;
        for leases in self.leases.values_mut() {
            while let Some(lease) = leases.pop_front_if(|lease| lease.until <= now) {
                back += lease.permits;
            }
        }
        self.leases.retain(|_, leases| !leases.is_empty());
        self.unused -= back;
        self.taken -= back;
    }
}

#[cfg(test)]
mod tests;
