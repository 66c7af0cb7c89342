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
//! - Of two providers, permits for messages that are clear are those of the first while it is well,
//!   else those of the second if that is. Who is in doubt gets permits of the provider it is in
//!   doubt with, and of no other. While a provider ails, one permit at a time tries it.

mod flow;
mod opening;
mod stats;

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use sealpost_operators::gate::{Answer, CallId, Completion, Effect, Line, Permit, Word};
use sealpost_schemas::key_ring::KeyRing;
use sealpost_schemas::record::{Dispatch, Rank};
use sealpost_schemas::{Channel, Timestamp};
use sealpost_topology::processor::Processor;
use sealpost_topology::types::Shard;
use sealpost_topology::worker::{Inbox, Performer};
use tokio::runtime::Handle;

use crate::config::{ChannelConfig, Config};
use crate::provider::{Ailment, Condition, Message, Provider, Providers, Reply, WallClock};

use flow::{Allowance, Asker, Flow, Grant, Limits, Monotonic, Post};
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
    rank: Rank,
    shard: Shard,
    post: Weak<dyn Post>,
    dispatch: Box<Dispatch>,
    deadline: Timestamp,
}

/// A channel's queues, one for each provider, and their timer.
struct Lane {
    flows: [Flow<Outgoing>; Rank::ALL.len()],
    /// Where those stand in line who may go to any provider.
    chosen: Rank,
    /// When the next tick is due that has a timer already.
    ticks_at: Option<Duration>,
}

/// How each of a channel's providers is; `None` where there is none.
type Conditions = [Option<Condition>; Rank::ALL.len()];

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
        let limits = Channel::ALL.map(|channel| {
            let primary = config.channel(channel);
            let fallback = primary.fallback.as_deref().unwrap_or(&primary);
            [Limits::of(&primary), Limits::of(fallback)]
        });
        Self::with_limits(limits, providers, ring, clock, time, receipts)
    }

    fn with_limits(
        limits: [[Limits; Rank::ALL.len()]; Channel::ALL.len()],
        providers: Providers,
        ring: Arc<KeyRing>,
        clock: WallClock,
        time: Timekeeping,
        receipts: Receipts,
    ) -> Self {
        let Timekeeping { monotonic, later } = time;
        let lane = |limits: [Limits; Rank::ALL.len()]| {
            Mutex::new(Lane {
                flows: limits.map(|limits| Flow::new(limits, monotonic.clone())),
                chosen: Rank::Primary,
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

    /// A channel with a provider that is parked because it is set up wrongly; the first if there
    /// are several.
    #[must_use]
    pub fn parked(&self) -> Option<Channel> {
        Channel::ALL.into_iter().find(|channel| {
            let mut ranks = Rank::ALL.into_iter();
            ranks.any(|rank| self.is_parked(*channel, rank))
        })
    }

    /// A channel that nothing is sent on now, since none of its providers is well; the first if
    /// there are several.
    #[must_use]
    pub fn down(&self) -> Option<Channel> {
        Channel::ALL.into_iter().find(|channel| {
            let conditions = self.office.conditions(*channel);
            !conditions.contains(&Some(Condition::Well))
        })
    }

    /// Whether a channel has this provider.
    #[must_use]
    pub fn has(&self, channel: Channel, rank: Rank) -> bool {
        self.office.provider(channel, rank).is_some()
    }

    /// Whether the circuit of a channel's provider is open.
    #[must_use]
    pub fn is_circuit_open(&self, channel: Channel, rank: Rank) -> bool {
        let provider = self.office.provider(channel, rank);
        provider.is_some_and(|provider| {
            matches!(provider.condition(), Condition::Ailing(Ailment::Down, _))
        })
    }

    /// Whether a channel's provider is set up wrongly and therefore parked.
    #[must_use]
    pub fn is_parked(&self, channel: Channel, rank: Rank) -> bool {
        let provider = self.office.provider(channel, rank);
        provider.is_some_and(|provider| provider.parked().is_some())
    }

    /// Counts and levels of a channel's provider, for metrics.
    #[must_use]
    pub fn snapshot(&self, channel: Channel, rank: Rank) -> ChannelSnapshot {
        let mut lane = self.office.lane(channel);
        let flow = lane.flow(rank);
        let (slots_taken, permits_waiting) = (flow.taken(), flow.waiting());
        drop(lane);
        ChannelSnapshot {
            slots_taken,
            permits_waiting,
            ..self.office.stats.snapshot(channel, rank)
        }
    }

    /// Does what a step asked for, with answers to `post`.
    fn serve(&self, shard: Shard, effects: Vec<Effect>, post: &Weak<dyn Post>) {
        let office = &self.office;
        let mut jobs: [Jobs; Channel::ALL.len()] = Default::default();
        for effect in effects {
            let channel = match &effect {
                Effect::AskPermits(channel, ..) | Effect::ReturnPermits(channel, ..) => *channel,
                Effect::Call(dispatch, ..) => dispatch.channel,
                Effect::Ask(id, ..) => id.channel,
            };
            let Some(jobs) = jobs.get_mut(channel.index()) else {
                continue;
            };
            jobs.any = true;
            match effect {
                Effect::AskPermits(_, line, permits) => jobs.asked.push((line, permits)),
                Effect::ReturnPermits(_, rank, permits) => jobs.returned.push((rank, permits)),
                Effect::Call(dispatch, deadline, rank) => {
                    jobs.calls.push((dispatch, deadline, rank));
                }
                Effect::Ask(id, deadline, rank) => jobs.questions.push((id, deadline, rank)),
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
                for (dispatch, deadline, rank) in jobs.calls {
                    let call = Outgoing {
                        rank,
                        shard,
                        post: Weak::clone(post),
                        dispatch,
                        deadline,
                    };
                    if let Err(call) = lane.flow(rank).admit(shard, call) {
                        let id = CallId::of(&call.dispatch);
                        unplaced.push((rank, (id, call.deadline, Answer::NotStarted)));
                    }
                }
                // after the calls, which use their own permits first
                for (rank, permits) in jobs.returned {
                    lane.flow(rank).give_back(shard, permits);
                }
                for (line, permits) in jobs.asked {
                    lane.ask(Asker { shard, line }, post, permits);
                }
                lane.due()
            };
            for (rank, unplaced) in unplaced {
                let unplaced = vec![unplaced];
                let answers = unplaced.iter().map(|(.., answer)| answer);
                office.stats.answered(channel, rank, answers, None);
                office.deliver(shard, post, unplaced);
            }
            office.begin(channel, due);
            office.grant(channel);
            for rank in Rank::ALL {
                let questions: Vec<_> = jobs
                    .questions
                    .iter()
                    .filter(|(.., of)| *of == rank)
                    .map(|(id, deadline, _)| (*id, *deadline))
                    .collect();
                if !questions.is_empty() {
                    office.ask(channel, rank, shard, post, questions);
                }
            }
        }
    }

    fn orphan(&self, shard: Shard, completion: Completion) {
        match completion {
            Completion::Permits(channel, permit, permits) => {
                let mut lane = self.office.lane(channel);
                lane.flow(permit.rank()).give_back(shard, permits);
                drop(lane);
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
    asked: Vec<(Line, usize)>,
    returned: Vec<(Rank, usize)>,
    calls: Vec<(Box<Dispatch>, Timestamp, Rank)>,
    questions: Vec<(CallId, Timestamp, Rank)>,
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

    fn provider(&self, channel: Channel, rank: Rank) -> Option<&Arc<dyn Provider>> {
        self.providers.get(channel.index())?.get(rank)
    }

    fn conditions(&self, channel: Channel) -> Conditions {
        Rank::ALL.map(|rank| Some(self.provider(channel, rank)?.condition()))
    }

    /// Opens and hands over calls whose turn it is.
    fn begin(self: &Arc<Self>, channel: Channel, mut calls: Vec<Outgoing>) {
        // each shard's answers go back together
        calls.sort_by_key(|call| (call.rank, call.shard));
        let mut calls = calls.into_iter().peekable();
        while let Some(first) = calls.next() {
            let (rank, shard, post) = (first.rank, first.shard, Weak::clone(&first.post));
            let mut batch = vec![first];
            while batch.len() < CALL_BATCH
                && let Some(call) = calls.next_if(|call| {
                    (call.rank, call.shard) == (rank, shard) && call.post.ptr_eq(&post)
                })
            {
                batch.push(call);
            }
            self.begin_batch(channel, rank, shard, post, batch);
        }
    }

    fn begin_batch(
        self: &Arc<Self>,
        channel: Channel,
        rank: Rank,
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
            self.finish(channel, rank, shard, &post, not_begun, None);
        }
        let Some(provider) = self
            .provider(channel, rank)
            .filter(|_| !messages.is_empty())
        else {
            return;
        };
        self.stats.started(channel, rank, messages.len());
        let began = self.monotonic.read();
        let office = Arc::clone(self);
        let ids = messages.iter().map(|message| message.id).collect();
        let reply = Reply::new(ids, Answer::NoAnswer("call-abandoned"), move |answers| {
            let took = office.monotonic.read().saturating_sub(began);
            office.finish(
                channel,
                rank,
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
        rank: Rank,
        shard: Shard,
        post: &Weak<dyn Post>,
        answers: Vec<Ended>,
        took: Option<Duration>,
    ) {
        self.stats.answered(
            channel,
            rank,
            answers.iter().map(|(.., answer)| answer),
            took,
        );
        let ended = answers.len();
        self.deliver(shard, post, answers);
        self.lane(channel).flow(rank).ended(ended);
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
        rank: Rank,
        shard: Shard,
        post: &Weak<dyn Post>,
        questions: Vec<(CallId, Timestamp)>,
    ) {
        let Some(provider) = self.provider(channel, rank) else {
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
                    .asked(channel, rank, words.iter().map(|(_, word)| word));
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
        let conditions = self.conditions(channel);
        let (grants, timer) = {
            let mut lane = self.lane(channel);
            let grants = lane.grants(conditions);
            (grants, lane.timer(self.monotonic.read(), conditions))
        };
        for (rank, grant) in grants {
            let permit = match grant.line {
                Line::Any => Permit::Any(rank),
                Line::Only(rank) => Permit::Only(rank),
            };
            grant.post.post(vec![(
                grant.shard,
                Completion::Permits(channel, permit, grant.permits),
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
            lane.due()
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
    #[allow(
        clippy::indexing_slicing,
        reason = "a rank's index is below their number"
    )]
    const fn flow(&mut self, rank: Rank) -> &mut Flow<Outgoing> {
        &mut self.flows[rank.index()]
    }

    fn ask(&mut self, asker: Asker, post: &Weak<dyn Post>, permits: usize) {
        let rank = match asker.line {
            Line::Any => self.chosen,
            Line::Only(rank) => rank,
        };
        self.flow(rank).ask(asker, post, permits);
    }

    fn due(&mut self) -> Vec<Outgoing> {
        self.flows.iter_mut().flat_map(Flow::due).collect()
    }

    /// Gives out what there is room for, each with whose permits they are.
    fn grants(&mut self, conditions: Conditions) -> Vec<(Rank, Grant)> {
        let [primary, fallback] = conditions;
        let is_well = |condition| condition == Some(Condition::Well);
        let (chosen, other) = if is_well(fallback) && !is_well(primary) {
            (Rank::Fallback, Rank::Primary)
        } else {
            (Rank::Primary, Rank::Fallback)
        };
        self.chosen = chosen;
        for (asker, post, permits) in self.flow(other).withdraw() {
            self.flow(chosen).ask(asker, &post, permits);
        }
        for (flow, condition) in self.flows.iter_mut().zip(conditions) {
            flow.allow(match condition {
                Some(Condition::Well) => Allowance::All,
                Some(Condition::Ailing(_, Duration::ZERO)) => Allowance::One,
                Some(Condition::Ailing(..)) | None => Allowance::Nothing,
            });
        }
        // one of those who may go anywhere tries the provider that is not chosen, if it ails
        if self.flow(other).may_be_tried()
            && let Some((asker, post)) = self.flow(chosen).lend()
        {
            self.flow(other).ask(asker, &post, 1);
        }
        let mut grants = Vec::new();
        for rank in [other, chosen] {
            grants.extend(self.flow(rank).grants().into_iter().map(|it| (rank, it)));
        }
        grants
    }

    /// When the next tick is due, and how long that is from now, if it has no timer yet.
    fn timer(&mut self, now: Duration, conditions: Conditions) -> Option<(Duration, Duration)> {
        let is_wanted = self.flows.iter().any(Flow::is_wanted);
        let tries = conditions
            .into_iter()
            .filter_map(|condition| match condition {
                Some(Condition::Ailing(_, try_in)) if is_wanted && !try_in.is_zero() => {
                    Some(try_in)
                }
                _ => None,
            });
        let wait = self
            .flows
            .iter()
            .filter_map(Flow::wait)
            .chain(tries)
            .min()?;
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
