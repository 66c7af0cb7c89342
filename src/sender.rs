//! The sender's shell: what the gate decides, done to the outside world.
//!
//! # Invariants
//! - A call begins only through a permit, and only before its intent's deadline: the clock is
//!   looked at again for each message right before its batch goes to the provider.
//! - A destination is opened at the last moment, by the send key and for its own purpose, and its
//!   plaintext goes to the provider and nowhere else.
//! - Every call ends in one answer, to the shard that asked or, if nobody owns that here any more,
//!   to the callback for receipts; its slot is free from then on (`sender/flow.rs`).
//! - No lock is held while a provider, an inbox or the callback is called.

mod flow;
mod opening;
mod stats;

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use sealpost_operators::gate::{Answer, CallId, Completion, Effect, Word};
use sealpost_schemas::key_ring::KeyRing;
use sealpost_schemas::record::Dispatch;
use sealpost_schemas::{Channel, Timestamp};
use sealpost_topology::processor::Processor;
use sealpost_topology::types::Shard;
use sealpost_topology::worker::{Inbox, Performer};
use tokio::runtime::Handle;

use crate::config::{ChannelConfig, Config};
use crate::provider::{Ailment, Condition, Message, Providers, Reply, WallClock};

use flow::{Allowance, Flow, Limits, Monotonic, Post};
use opening::Opening;
pub use stats::{ANSWER_KINDS, ChannelSnapshot, LATENCY_MS_BUCKETS, SenderStats, WORD_KINDS};

/// Most messages that are opened and handed over together: bounds how long an address is open
/// before its call begins, and how far the look at the clock lies back.
const CALL_BATCH: usize = 256;

/// Takes an outcome of a shard that is not owned here any more, with the deadline of its call.
/// Called from any thread.
pub type Receipts = Box<dyn Fn(Shard, CallId, Timestamp, Answer) + Send + Sync>;

/// How the call with this deadline went.
type Ended = (CallId, Timestamp, Answer);

/// Comes back later, on any thread.
pub type Later = Box<dyn Fn(Duration, Box<dyn FnOnce() + Send>) + Send + Sync>;

/// What a sender goes by, the time of day aside: the simulator brings its own.
pub struct Timekeeping {
    monotonic: Monotonic,
    later: Later,
}

impl Timekeeping {
    /// `elapsed` tells the time since some fixed moment and never runs backwards; `later` calls
    /// back when so much of it has passed.
    pub fn new(elapsed: impl Fn() -> Duration + Send + Sync + 'static, later: Later) -> Self {
        Self {
            monotonic: Monotonic::new(elapsed),
            later,
        }
    }

    /// The system's clock, and timers on a runtime.
    fn system(runtime: Handle) -> Self {
        Self {
            monotonic: Monotonic::system(),
            later: Box::new(move |wait, act| {
                runtime.spawn(async move {
                    tokio::time::sleep(wait).await;
                    act();
                });
            }),
        }
    }
}

/// See the module. One for the whole process; cheap to clone.
#[derive(Clone)]
pub struct Sender {
    office: Arc<Office>,
}

/// A call with its permit, on its way to the provider.
struct Outgoing {
    shard: Shard,
    post: Weak<dyn Post>,
    dispatch: Box<Dispatch>,
    deadline: Timestamp,
}

/// A channel's queue and its timer.
struct Lane {
    flow: Flow<Outgoing>,
    /// When the next tick is due that has a timer already.
    ticks_at: Option<Duration>,
}

struct Office {
    lanes: [Mutex<Lane>; Channel::ALL.len()],
    providers: Providers,
    opening: Opening,
    stats: SenderStats,
    clock: WallClock,
    monotonic: Monotonic,
    later: Later,
    receipts: Receipts,
}

impl Post for Inbox<Completion> {
    fn post(&self, completions: Vec<(Shard, Completion)>) {
        self.extend(completions);
    }
}

impl Limits {
    fn of(settings: &ChannelConfig) -> Self {
        Self {
            in_flight_max: settings.max_in_flight,
            rate_per_second: settings.rate_per_second.and_then(NonZeroU32::new),
            start_within: Duration::from_millis(settings.start_within_ms.unsigned_abs()),
        }
    }
}

impl Sender {
    /// A sender with each channel's limits out of the configuration.
    ///
    /// `ring` needs the `destination` keys and should hold no others. `receipts` is given the
    /// answers that decide something ([`Answer::Accepted`], [`Answer::Refused`]) and whose shard
    /// is not owned here any more; what decides nothing is left to the shard's new owner, who
    /// settles the doubt.
    #[must_use]
    pub fn new(
        config: &Config,
        providers: Providers,
        ring: Arc<KeyRing>,
        clock: WallClock,
        runtime: Handle,
        receipts: Receipts,
    ) -> Self {
        let time = Timekeeping::system(runtime);
        Self::timed(config, providers, ring, clock, time, receipts)
    }

    /// As [`Sender::new`], by another clock.
    #[must_use]
    pub fn timed(
        config: &Config,
        providers: Providers,
        ring: Arc<KeyRing>,
        clock: WallClock,
        time: Timekeeping,
        receipts: Receipts,
    ) -> Self {
        let limits = Channel::ALL.map(|channel| Limits::of(&config.channel(channel)));
        Self::with_limits(limits, providers, ring, clock, time, receipts)
    }

    fn with_limits(
        limits: [Limits; Channel::ALL.len()],
        providers: Providers,
        ring: Arc<KeyRing>,
        clock: WallClock,
        time: Timekeeping,
        receipts: Receipts,
    ) -> Self {
        let Timekeeping { monotonic, later } = time;
        let lane = |limits| {
            Mutex::new(Lane {
                flow: Flow::new(limits, monotonic.clone()),
                ticks_at: None,
            })
        };
        let office = Office {
            lanes: limits.map(lane),
            providers,
            opening: Opening::new(ring),
            stats: SenderStats::default(),
            clock,
            monotonic: monotonic.clone(),
            later,
            receipts,
        };
        Self {
            office: Arc::new(office),
        }
    }

    /// Why this process must stop, if it must: a key ring that opens nothing. To be polled.
    #[must_use]
    pub fn fatal(&self) -> Option<String> {
        self.office.opening.fatal()
    }

    /// A channel that is set up wrongly and therefore parked, and the reason; the first if there
    /// are several.
    #[must_use]
    pub fn parked(&self) -> Option<(Channel, &'static str)> {
        Channel::ALL
            .into_iter()
            .zip(&self.office.providers)
            .find_map(|(channel, provider)| Some((channel, provider.parked()?)))
    }

    /// A channel whose provider is down, which nothing is sent on therefore; the first if there
    /// are several.
    #[must_use]
    pub fn down(&self) -> Option<Channel> {
        Channel::ALL
            .into_iter()
            .find(|channel| self.is_circuit_open(*channel))
    }

    /// Whether the circuit of a channel's provider is open.
    #[must_use]
    pub fn is_circuit_open(&self, channel: Channel) -> bool {
        let provider = self.office.providers.get(channel.index());
        provider.is_some_and(|provider| {
            matches!(
                provider.condition(),
                Condition::Ailing(Ailment::Down, _)
            )
        })
    }

    /// Whether a channel is set up wrongly and therefore parked.
    #[must_use]
    pub fn is_parked(&self, channel: Channel) -> bool {
        let provider = self.office.providers.get(channel.index());
        provider.is_some_and(|provider| provider.parked().is_some())
    }

    /// A channel's counts and levels, for metrics.
    #[must_use]
    pub fn snapshot(&self, channel: Channel) -> ChannelSnapshot {
        let lane = self.office.lane(channel);
        let (slots_taken, permits_waiting) = (lane.flow.taken(), lane.flow.waiting());
        drop(lane);
        ChannelSnapshot {
            slots_taken,
            permits_waiting,
            ..self.office.stats.snapshot(channel)
        }
    }

    /// Does what a step asked for, with answers to `post`.
    fn serve(&self, shard: Shard, effects: Vec<Effect>, post: &Weak<dyn Post>) {
        let office = &self.office;
        let mut jobs: [Jobs; Channel::ALL.len()] = Default::default();
        for effect in effects {
            let channel = match &effect {
                Effect::AskPermits(channel, _) | Effect::ReturnPermits(channel, _) => *channel,
                Effect::Call(dispatch, _) => dispatch.channel,
                Effect::Ask(id, _) => id.channel,
            };
            let Some(jobs) = jobs.get_mut(channel.index()) else {
                continue;
            };
            jobs.any = true;
            match effect {
                Effect::AskPermits(_, permits) => jobs.asked += permits,
                Effect::ReturnPermits(_, permits) => jobs.returned += permits,
                Effect::Call(dispatch, deadline) => jobs.calls.push((dispatch, deadline)),
                Effect::Ask(id, deadline) => jobs.questions.push((id, deadline)),
            }
        }
        for (channel, jobs) in Channel::ALL
            .into_iter()
            .zip(jobs)
            .filter(|(_, jobs)| jobs.any)
        {
            let mut unplaced = Vec::new();
            let due = {
                let mut lane = office.lane(channel);
                for (dispatch, deadline) in jobs.calls {
                    let call = Outgoing {
                        shard,
                        post: Weak::clone(post),
                        dispatch,
                        deadline,
                    };
                    if let Err(call) = lane.flow.admit(shard, call) {
                        let id = CallId::of(&call.dispatch);
                        unplaced.push((id, call.deadline, Answer::NotStarted));
                    }
                }
                // after the calls, which use their own permits first
                lane.flow.give_back(shard, jobs.returned);
                lane.flow.ask(shard, post, jobs.asked);
                lane.flow.due()
            };
            if !unplaced.is_empty() {
                office
                    .stats
                    .answered(channel, unplaced.iter().map(|(.., answer)| answer), None);
                office.deliver(shard, post, unplaced);
            }
            office.begin(channel, due);
            office.grant(channel);
            if !jobs.questions.is_empty() {
                office.ask(channel, shard, post, jobs.questions);
            }
        }
    }

    fn orphan(&self, shard: Shard, completion: Completion) {
        match completion {
            Completion::Permits(channel, permits) => {
                self.office.lane(channel).flow.give_back(shard, permits);
                self.office.grant(channel);
            }
            Completion::Answered(id, deadline, answer) => {
                self.office.receipt(shard, id, deadline, answer);
            }
            Completion::Asked(
                id,
                deadline,
                Word::Taken {
                    provider_message_id,
                },
            ) => {
                self.office.receipt(
                    shard,
                    id,
                    deadline,
                    Answer::Accepted {
                        provider_message_id,
                    },
                );
            }
            Completion::Asked(..) => {}
        }
    }
}

impl<P: Processor<Effect = Effect, Completion = Completion>> Performer<P> for Sender {
    fn perform(&self, shard: Shard, effects: Vec<Effect>, inbox: &Arc<Inbox<Completion>>) {
        let post: Arc<dyn Post> = Arc::clone(inbox) as _;
        self.serve(shard, effects, &Arc::downgrade(&post));
    }

    fn orphaned(&self, shard: Shard, completion: Completion) {
        self.orphan(shard, completion);
    }
}

/// What one step asks of one channel.
#[derive(Default)]
struct Jobs {
    any: bool,
    asked: usize,
    returned: usize,
    calls: Vec<(Box<Dispatch>, Timestamp)>,
    questions: Vec<(CallId, Timestamp)>,
}

impl Office {
    #[allow(
        clippy::indexing_slicing,
        reason = "a channel's index is below their number"
    )]
    fn lane(&self, channel: Channel) -> MutexGuard<'_, Lane> {
        self.lanes[channel.index()]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens and hands over calls whose turn it is.
    fn begin(self: &Arc<Self>, channel: Channel, mut calls: Vec<Outgoing>) {
        // each shard's answers go back together
        calls.sort_by_key(|call| call.shard);
        let mut calls = calls.into_iter().peekable();
        while let Some(first) = calls.next() {
            let (shard, post) = (first.shard, Weak::clone(&first.post));
            let mut batch = vec![first];
            while batch.len() < CALL_BATCH
                && let Some(call) =
                    calls.next_if(|call| call.shard == shard && call.post.ptr_eq(&post))
            {
                batch.push(call);
            }
            self.begin_batch(channel, shard, post, batch);
        }
    }

    fn begin_batch(
        self: &Arc<Self>,
        channel: Channel,
        shard: Shard,
        post: Weak<dyn Post>,
        batch: Vec<Outgoing>,
    ) {
        let mut messages = Vec::with_capacity(batch.len());
        let mut deadlines = HashMap::with_capacity(batch.len());
        let mut not_begun = Vec::new();
        let mut unopened = Vec::new();
        for Outgoing {
            dispatch, deadline, ..
        } in batch
        {
            let id = CallId::of(&dispatch);
            if (self.clock)() > deadline {
                not_begun.push((id, deadline, Answer::NotStarted));
                continue;
            }
            match self
                .opening
                .open(channel, id.user_id, &dispatch.destination)
            {
                Ok(to) => {
                    deadlines.insert(id, deadline);
                    let Dispatch {
                        message_key,
                        subject,
                        body,
                        html,
                        ..
                    } = *dispatch;
                    messages.push(Message {
                        id,
                        message_key,
                        to,
                        subject,
                        body,
                        html,
                    });
                }
                Err(error) => unopened.push((id, deadline, error)),
            }
        }
        if !unopened.is_empty() {
            let failures: Vec<_> = unopened
                .iter()
                .map(|(id, _, error)| (id.user_id, *error))
                .collect();
            let answer = self.opening.judge(channel, &failures);
            not_begun.extend(
                unopened
                    .into_iter()
                    .map(|(id, deadline, _)| (id, deadline, answer.clone())),
            );
        }
        if !not_begun.is_empty() {
            self.finish(channel, shard, &post, not_begun, None);
        }
        let Some(provider) = self
            .providers
            .get(channel.index())
            .filter(|_| !messages.is_empty())
        else {
            return;
        };
        self.stats.started(channel, messages.len());
        let began = self.monotonic.read();
        let office = Arc::clone(self);
        let ids = messages.iter().map(|message| message.id).collect();
        let reply = Reply::new(ids, Answer::NoAnswer("call-abandoned"), move |answers| {
            let took = office.monotonic.read().saturating_sub(began);
            office.finish(
                channel,
                shard,
                &post,
                dated(&deadlines, answers),
                Some(took),
            );
        });
        provider.call(messages, Arc::new(reply));
    }

    /// Calls have ended: tells their shard, and gives their slots to whoever waits.
    fn finish(
        self: &Arc<Self>,
        channel: Channel,
        shard: Shard,
        post: &Weak<dyn Post>,
        answers: Vec<Ended>,
        took: Option<Duration>,
    ) {
        self.stats
            .answered(channel, answers.iter().map(|(.., answer)| answer), took);
        let ended = answers.len();
        self.deliver(shard, post, answers);
        self.lane(channel).flow.ended(ended);
        self.grant(channel);
    }

    fn deliver(&self, shard: Shard, post: &Weak<dyn Post>, answers: Vec<Ended>) {
        match post.upgrade() {
            Some(post) => {
                post.post(
                    answers
                        .into_iter()
                        .map(|(id, deadline, answer)| {
                            (shard, Completion::Answered(id, deadline, answer))
                        })
                        .collect(),
                );
            }
            // its worker has ended: the grace was over
            None => answers
                .into_iter()
                .for_each(|(id, deadline, answer)| self.receipt(shard, id, deadline, answer)),
        }
    }

    fn receipt(&self, shard: Shard, id: CallId, deadline: Timestamp, answer: Answer) {
        if matches!(answer, Answer::Accepted { .. } | Answer::Refused(_)) {
            (self.receipts)(shard, id, deadline, answer);
        }
    }

    fn ask(
        self: &Arc<Self>,
        channel: Channel,
        shard: Shard,
        post: &Weak<dyn Post>,
        questions: Vec<(CallId, Timestamp)>,
    ) {
        let Some(provider) = self.providers.get(channel.index()) else {
            return;
        };
        let (office, post) = (Arc::clone(self), Weak::clone(post));
        let ids: Vec<CallId> = questions.iter().map(|(id, _)| *id).collect();
        let deadlines: HashMap<_, _> = questions.into_iter().collect();
        let reply = Reply::new(
            ids.clone(),
            Word::Unclear,
            move |words: Vec<(CallId, Word)>| {
                office
                    .stats
                    .asked(channel, words.iter().map(|(_, word)| word));
                // a word that nobody hears is asked for again by the shard's new owner
                if let Some(post) = post.upgrade() {
                    post.post(
                        dated(&deadlines, words)
                            .into_iter()
                            .map(|(id, deadline, word)| {
                                (shard, Completion::Asked(id, deadline, word))
                            })
                            .collect(),
                    );
                }
            },
        );
        provider.ask(ids, Arc::new(reply));
    }

    /// Gives out permits, and sees to it that somebody comes back when the next thing is due.
    fn grant(self: &Arc<Self>, channel: Channel) {
        let condition = self
            .providers
            .get(channel.index())
            .map_or(Condition::Well, |provider| provider.condition());
        let (allowance, try_in) = match condition {
            Condition::Well => (Allowance::All, None),
            Condition::Ailing(_, Duration::ZERO) => (Allowance::One, None),
            Condition::Ailing(_, try_in) => (Allowance::Nothing, Some(try_in)),
        };
        let (grants, timer) = {
            let mut lane = self.lane(channel);
            lane.flow.allow(allowance);
            let grants = lane.flow.grants();
            (grants, lane.timer(self.monotonic.read(), try_in))
        };
        for grant in grants {
            grant.post.post(vec![(
                grant.shard,
                Completion::Permits(channel, grant.permits),
            )]);
        }
        if let Some((at, wait)) = timer {
            let office = Arc::downgrade(self);
            (self.later)(
                wait,
                Box::new(move || {
                    if let Some(office) = office.upgrade() {
                        office.tick(channel, at);
                    }
                }),
            );
        }
    }

    /// Something is due by itself: calls that waited for their turn, permits that come back.
    fn tick(self: &Arc<Self>, channel: Channel, at: Duration) {
        let due = {
            let mut lane = self.lane(channel);
            if lane.ticks_at != Some(at) {
                // an earlier tick was wanted meanwhile, and has set whatever comes after it
                return;
            }
            lane.ticks_at = None;
            lane.flow.due()
        };
        self.begin(channel, due);
        self.grant(channel);
    }
}

/// What was said, each with the deadline of the call that it is about. A provider speaks only of
/// what it was given.
fn dated<T>(
    deadlines: &HashMap<CallId, Timestamp>,
    said: Vec<(CallId, T)>,
) -> Vec<(CallId, Timestamp, T)> {
    said.into_iter()
        .filter_map(|(id, said)| Some((id, *deadlines.get(&id)?, said)))
        .collect()
}

impl Lane {
    /// When the next tick is due, and how long that is from now, if it has no timer yet.
    fn timer(&mut self, now: Duration, try_in: Option<Duration>) -> Option<(Duration, Duration)> {
        let try_in = try_in.filter(|_| self.flow.is_wanted());
        let wait = self.flow.wait().into_iter().chain(try_in).min()?;
        let at = now + wait;
        if self.ticks_at.is_some_and(|ticks_at| ticks_at <= at) {
            return None;
        }
        self.ticks_at = Some(at);
        Some((at, wait))
    }
}

#[cfg(test)]
mod tests;
