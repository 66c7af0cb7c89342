//! Gate: the decision to send, and the promise not to send twice.
//!
//! # The protocol, for one (period, user, kind)
//! ```text
//! dispatch ─► permit ─► intent written (`sending`) ─► call ─► outcome written ─► delivery
//!                             │ crash, move, no answer
//!                             ▼
//!                         in doubt: same key again │ asked by key │ `unknown`
//! ```
//!
//! # Invariants
//! - While any call is open, unknown or sent, no other call is made: the gate is per (period,
//!   user, kind), not per message.
//! - A call is asked for only by a step that writes its intent, so it starts only when that is
//!   committed, and never after the intent's deadline.
//! - An input record counts as finished only when its outcome is written; everything before the
//!   first unfinished one is done.
//! - Where a channel of a period is held, nothing begins: what has no intent goes back to its
//!   route. What has one is carried to its end, for its call may be out already.
//! - A call in doubt is settled as its provider allows, never moved to another channel or to the
//!   channel's other provider, and never made again blindly. A repeat that was not accepted, or refused, says nothing of the
//!   call in doubt before it.
//!
//! # What the state says of a call without an outcome
//! `sending`: it may be on the line. Any other state: it is known to be off the line and not taken,
//! and waits for its repeat. A reason on it: an earlier call of its key is in doubt.
//!
//! # Two providers
//! A channel may have a second provider. Which one is called is said by the permit at hand, and
//! written into the intent. What is clear may be called by a permit of either; what is in doubt
//! stands in line for permits of the provider that its intent names, whatever its health. Only a
//! word of that provider that it did not accept the call, or that no call began, makes it clear.
//!
//! # What is asked of the world
//! A call has ended when its deadline and the channel's grace have passed. Its answer may come later
//! all the same, and so may that to a question: what is not about the last intent of its key is of
//! use only if it says that the message was taken.

use std::collections::{BTreeSet, HashMap, VecDeque};

use sealpost_schemas::record::{
    Action, Call, Command, Delivery, Dispatch, KindState, Outcome, Rank, Resolution, Returned,
    RouteNotice, SendState, Standing, State,
};
use sealpost_schemas::{Channel, Kind, MessageKey, Period, Timestamp, UserId, Version, codec};

use crate::holds::Holds;
use crate::table::{OperatorError, Table};

/// Dispatches that one portion of timers moves.
const PORTION: usize = 1_000;

/// The reason on a receipt that is the answer to one call, which came to a process that no longer
/// owned its shard.
pub const LATE_ANSWER: &str = "late-answer";

/// What a channel's provider can promise, and the times that a call takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChannelRule {
    /// After this long an intent's call is not started.
    pub start_within_ms: i64,
    /// After this long past the deadline a call that was started has ended.
    pub grace_ms: i64,
    /// What can be done about a call in doubt.
    pub doubt: Doubt,
    /// First wait before a call that was not accepted is repeated; it doubles each time.
    pub backoff_ms: i64,
}

/// The rules of a channel's providers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChannelRules {
    primary: ChannelRule,
    fallback: Option<ChannelRule>,
}

impl From<ChannelRule> for ChannelRules {
    fn from(primary: ChannelRule) -> Self {
        Self {
            primary,
            fallback: None,
        }
    }
}

impl ChannelRules {
    /// With a second provider.
    #[must_use]
    pub const fn with_fallback(self, fallback: Option<ChannelRule>) -> Self {
        Self { fallback, ..self }
    }

    /// The rule of one of them. Of one that is there no more, nothing can be learned.
    const fn of(&self, rank: Rank) -> ChannelRule {
        match (rank, self.fallback) {
            (Rank::Primary, _) => self.primary,
            (Rank::Fallback, Some(rule)) => rule,
            (Rank::Fallback, None) => ChannelRule {
                doubt: Doubt::Nothing,
                ..self.primary
            },
        }
    }
}

/// Whose permit a message stands in line for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Line {
    /// That of whichever provider is well.
    Any,
    /// That of this one: an earlier call of it is in doubt there.
    Only(Rank),
}

impl Line {
    /// How many there are.
    const COUNT: usize = 3;

    const fn index(self) -> usize {
        match self {
            Self::Any => 0,
            Self::Only(Rank::Primary) => 1,
            Self::Only(Rank::Fallback) => 2,
        }
    }

    const ALL: [Self; Self::COUNT] = [
        Self::Any,
        Self::Only(Rank::Primary),
        Self::Only(Rank::Fallback),
    ];
}

/// A permit to call a provider, for one of those who stand in a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Permit {
    /// This one, for a message that any may be called for.
    Any(Rank),
    /// This one, for a message that is in doubt there.
    Only(Rank),
}

impl Permit {
    /// For whom it is.
    #[must_use]
    pub const fn line(self) -> Line {
        match self {
            Self::Any(_) => Line::Any,
            Self::Only(rank) => Line::Only(rank),
        }
    }

    /// Which provider may be called.
    #[must_use]
    pub const fn rank(self) -> Rank {
        match self {
            Self::Any(rank) | Self::Only(rank) => rank,
        }
    }
}

/// What can be done about a call in doubt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doubt {
    /// The provider collapses repeats of one key for this long after the first intent.
    Repeat {
        /// The window.
        window_ms: i64,
    },
    /// The provider can be asked by key.
    Ask,
    /// Neither: it is unknown.
    Nothing,
}

/// What is asked of the outside world once the step is committed.
#[derive(Debug)]
pub enum Effect {
    /// Permits for so many calls, as rate and room allow.
    AskPermits(Channel, Line, usize),
    /// Permits of this provider that were not used.
    ReturnPermits(Channel, Rank, usize),
    /// One call of this provider, unless the deadline has passed.
    Call(Box<Dispatch>, Timestamp, Rank),
    /// This provider's word on the call with this deadline.
    Ask(CallId, Timestamp, Rank),
}

/// Which call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId {
    /// For whom.
    pub user_id: UserId,
    /// Of which period.
    pub period: Period,
    /// The bill or a follow-up.
    pub kind: Kind,
    /// The round.
    pub version: Version,
    /// How it travels.
    pub channel: Channel,
}

impl CallId {
    /// The call of a dispatch.
    #[must_use]
    pub const fn of(dispatch: &Dispatch) -> Self {
        Self {
            user_id: dispatch.user_id,
            period: dispatch.period,
            kind: dispatch.kind,
            version: dispatch.version,
            channel: dispatch.channel,
        }
    }

    /// Its message key.
    #[must_use]
    pub fn message_key(&self) -> MessageKey {
        MessageKey::new(
            self.period,
            self.user_id,
            self.kind,
            self.version,
            self.channel,
        )
    }
}

/// What the outside world says.
#[derive(Debug, Clone)]
pub enum Completion {
    /// Permits for so many calls.
    Permits(Channel, Permit, usize),
    /// How the call with this deadline went: the deadline tells the calls of a key apart.
    Answered(CallId, Timestamp, Answer),
    /// What the provider says of the call with this deadline.
    Asked(CallId, Timestamp, Word),
}

/// How a call went. The words for why are of a fixed list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Taken.
    Accepted {
        /// What the provider calls it.
        provider_message_id: Option<String>,
    },
    /// Refused for good: this channel failed.
    Refused(&'static str),
    /// Not taken; the same key may be tried again.
    NotAccepted {
        /// Why.
        reason: &'static str,
        /// Not before this long.
        retry_after_ms: Option<i64>,
    },
    /// No answer, or none that can be read: it may or may not have been taken.
    NoAnswer(&'static str),
    /// No call was started: its deadline had passed, or the provider is down.
    NotStarted,
    /// The channel is set up wrongly: nothing was taken, and nothing may move on because of it.
    Misconfigured(&'static str),
}

/// What a provider says of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Word {
    /// It has it.
    Taken {
        /// What the provider calls it.
        provider_message_id: Option<String>,
    },
    /// It does not have it.
    NotTaken,
    /// It cannot say now.
    Unclear,
}

/// What gate emits.
#[derive(Debug)]
pub enum Output {
    /// An outcome, for the route.
    Delivery(Box<Delivery>),
    /// A dispatch that is not begun, for the route.
    Returned(Returned),
}

/// What happened, for metrics.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Intents written.
    pub intents: u64,
    /// Calls that ended with the message taken.
    pub sent: u64,
    /// Calls that ended with the channel failed.
    pub failed: u64,
    /// Calls that ended unknown.
    pub unknown: u64,
    /// Dispatches whose outcome was there already and was emitted again.
    pub repeated: u64,
    /// Dispatches dropped because the gate was shut or their round was over.
    pub dropped: u64,
    /// Calls that came into doubt.
    pub doubts: u64,
    /// Dispatches that went back to their routes, since their channel is held.
    pub returned: u64,
}

/// What gate works with while it handles one thing.
pub struct Scope<'a> {
    /// The send state.
    pub table: &'a mut dyn Table,
    /// What is held.
    pub holds: &'a mut dyn Table,
    /// What is emitted.
    pub out: &'a mut Vec<Output>,
    /// What is asked for.
    pub effects: &'a mut Vec<Effect>,
    /// Time of this step.
    pub now: Timestamp,
}

/// Where a dispatch stands that is not finished.
#[derive(Debug)]
enum Stage {
    /// In line for a permit.
    Waiting,
    /// Its call may be on the line; the answer comes to this process.
    Calling,
    /// Waits until then: for a repeat, or for a doubt to be settled.
    Resting(Timestamp, Then),
    /// The provider is being asked.
    Asking,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Then {
    /// In line for a permit, again.
    Repeat,
    /// The doubt is settled as the provider allows.
    Settle,
}

struct Tracked {
    offset: u64,
    dispatch: Box<Dispatch>,
    stage: Stage,
    certainty: Certainty,
    /// Which provider its last intent names.
    rank: Rank,
}

impl Tracked {
    const fn line(&self) -> Line {
        match self.certainty {
            Certainty::Clear => Line::Any,
            Certainty::Denied | Certainty::Doubt => Line::Only(self.rank),
        }
    }
}

/// Whether a call of a dispatch may have been taken although nobody has said so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Certainty {
    /// None was.
    Clear,
    /// One may have been, and its provider says that it has no such key: the same one is called
    /// again, and no other before it says that it does not accept it.
    Denied,
    /// One may have been.
    Doubt,
}

/// The operator, for one shard.
pub struct Gate {
    rules: [ChannelRules; Channel::ALL.len()],
    window: usize,
    tracked: HashMap<CallId, Tracked>,
    unfinished: BTreeSet<u64>,
    waiting: [[VecDeque<CallId>; Line::COUNT]; Channel::ALL.len()],
    asked: [[usize; Line::COUNT]; Channel::ALL.len()],
    timers: BTreeSet<(Timestamp, u64, CallId)>,
    calling: usize,
    holds: Holds,
    encoder: codec::Encoder<SendState>,
    decoder: codec::Decoder<SendState>,
    scratch: Vec<u8>,
    /// What happened since the start.
    pub counts: Counts,
}

fn state_key(user: UserId, period: Period) -> String {
    format!("{user}/{period}")
}

impl Gate {
    /// An operator that has at most `window` dispatches unfinished.
    #[must_use]
    pub fn new(rules: [impl Into<ChannelRules>; Channel::ALL.len()], window: usize) -> Self {
        Self {
            rules: rules.map(Into::into),
            window: window.max(1),
            tracked: HashMap::new(),
            unfinished: BTreeSet::new(),
            waiting: Default::default(),
            asked: Default::default(),
            timers: BTreeSet::new(),
            calling: 0,
            holds: Holds::default(),
            encoder: codec::Encoder::new(),
            decoder: codec::Decoder::new(),
            scratch: Vec::new(),
            counts: Counts::default(),
        }
    }

    /// With another codec for `send-state`, which is a topic as well as this operator's memory.
    #[must_use]
    pub fn with_codec(
        mut self,
        encoder: codec::Encoder<SendState>,
        decoder: codec::Decoder<SendState>,
    ) -> Self {
        self.encoder = encoder;
        self.decoder = decoder;
        self
    }

    /// Takes up where the state stands: what is held.
    ///
    /// # Errors
    /// [`OperatorError::Stop`] if that cannot be read: what was stopped might go.
    pub fn restored(&mut self, holds: &dyn Table) -> Result<(), OperatorError> {
        self.holds = Holds::restored(holds)?;
        Ok(())
    }

    /// Whether there is room for another dispatch.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.tracked.len() < self.window
    }

    /// The first dispatch that is not finished.
    #[must_use]
    pub fn low_watermark(&self) -> Option<u64> {
        self.unfinished.first().copied()
    }

    /// Dispatches that are not finished.
    #[must_use]
    pub fn unfinished(&self) -> usize {
        self.tracked.len()
    }

    /// Calls and questions whose answer comes to this process.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.calling
    }

    /// When the next dispatch is due.
    #[must_use]
    pub fn next_timer(&self) -> Option<Timestamp> {
        self.timers.first().map(|(at, ..)| *at)
    }

    /// A message on its way.
    ///
    /// # Errors
    /// [`OperatorError::Stop`] if the send state cannot be read: without it nothing may be sent.
    pub fn on_dispatch(
        &mut self,
        offset: u64,
        dispatch: Dispatch,
        scope: &mut Scope<'_>,
    ) -> Result<(), OperatorError> {
        let id = CallId::of(&dispatch);
        if self.tracked.contains_key(&id) {
            self.counts.dropped += 1;
            return Ok(());
        }
        let mut state = load(&mut self.decoder, scope.table, id.user_id, id.period)?;
        let kind = kind_state(&mut state, id.kind, scope.now);
        let call = kind
            .calls
            .iter()
            .find(|call| (call.version, call.channel) == (id.version, id.channel));
        match call {
            Some(Call {
                outcome: Some(outcome),
                ..
            }) if *outcome != Outcome::Unknown || kind.state == State::Unknown => {
                // the route may have lost what it was told: say it again, call nobody
                self.counts.repeated += 1;
                let delivery = delivery(id, call, *outcome, scope.now);
                scope.out.push(Output::Delivery(Box::new(delivery)));
                return Ok(());
            }
            Some(Call {
                outcome: None,
                provider,
                ..
            }) if kind.state != State::Sending => {
                // it was not taken, and waited for its repeat
                self.track(offset, dispatch, id, Stage::Waiting, *provider);
                return Ok(());
            }
            Some(Call {
                outcome: None,
                deadline_at,
                provider,
                ..
            }) => {
                // an intent of an earlier incarnation, whose call may be on the line
                let rule = self.rule(id.channel, *provider);
                let settled_at = deadline_at.plus_ms(rule.grace_ms);
                let stage = Stage::Resting(settled_at, Then::Settle);
                self.counts.doubts += 1;
                self.track(offset, dispatch, id, stage, *provider);
                return Ok(());
            }
            Some(_) => {
                self.counts.dropped += 1;
                return Ok(());
            }
            None => {}
        }
        let shut = matches!(kind.state, State::Sending | State::Sent | State::Unknown)
            || kind.calls.iter().any(|call| call.outcome.is_none());
        if shut || id.version < kind.version {
            self.counts.dropped += 1;
            return Ok(());
        }
        if self.holds.cover(id.period, id.channel) {
            self.give_back(id, scope);
            return Ok(());
        }
        self.track(offset, dispatch, id, Stage::Waiting, Rank::default());
        Ok(())
    }

    /// What the route says of a message that is not on its way.
    ///
    /// # Errors
    /// [`OperatorError::Stop`].
    pub fn on_notice(
        &mut self,
        notice: &RouteNotice,
        scope: &mut Scope<'_>,
    ) -> Result<(), OperatorError> {
        let mut state = load(
            &mut self.decoder,
            scope.table,
            notice.user_id,
            notice.period,
        )?;
        let kind = kind_state(&mut state, notice.kind, scope.now);
        let shut = matches!(kind.state, State::Sending | State::Sent | State::Unknown)
            || kind.calls.iter().any(|call| call.outcome.is_none());
        let standing = match notice.standing {
            Standing::Held => State::Held,
            Standing::Failed => State::Failed,
            Standing::Suppressed => State::Suppressed,
        };
        let told = (kind.state, kind.version, kind.held_until)
            == (standing, notice.version, notice.held_until);
        // a route does not come back within a round: a replay does
        let ended = matches!(kind.state, State::Failed | State::Suppressed)
            && kind.version == notice.version;
        if shut || notice.version < kind.version || told || ended {
            self.counts.dropped += u64::from(!told);
            return Ok(());
        }
        kind.state = standing;
        kind.version = notice.version;
        kind.held_until = notice.held_until;
        kind.reason.clone_from(&notice.reason);
        kind.updated_at = scope.now;
        self.store(&state, scope.table)
    }

    /// An outcome that came to another process, or from outside.
    ///
    /// # Errors
    /// [`OperatorError::Stop`].
    pub fn on_receipt(
        &mut self,
        receipt: &Delivery,
        scope: &mut Scope<'_>,
    ) -> Result<(), OperatorError> {
        let id = CallId {
            user_id: receipt.user_id,
            period: receipt.period,
            kind: receipt.kind,
            version: receipt.version,
            channel: receipt.channel,
        };
        // only the last call of a key speaks for the key, unless one says that it was taken; and
        // how one call ended does not settle a doubt about another
        let late_answer = receipt.reason.as_deref() == Some(LATE_ANSWER);
        if receipt.outcome != Outcome::Sent
            && (self.called_since(id, receipt.updated_at, scope)?
                || late_answer && doubted(&mut self.decoder, id, scope)?
                || !late_answer && self.is_with_fallback(id, scope)?)
        {
            self.counts.dropped += 1;
            return Ok(());
        }
        let reason = receipt.reason.as_deref().unwrap_or("receipt");
        self.conclude(
            id,
            receipt.outcome,
            reason,
            receipt.provider_message_id.clone(),
            Conclude::Receipt,
            scope,
        )
    }

    /// Whether a call is on the line of this process, or an intent was written after this time.
    fn called_since(
        &mut self,
        id: CallId,
        at: Timestamp,
        scope: &mut Scope<'_>,
    ) -> Result<bool, OperatorError> {
        if self
            .tracked
            .get(&id)
            .is_some_and(|tracked| matches!(tracked.stage, Stage::Calling))
        {
            return Ok(true);
        }
        let mut state = load(&mut self.decoder, scope.table, id.user_id, id.period)?;
        let kind = kind_state(&mut state, id.kind, scope.now);
        let call = kind
            .calls
            .iter()
            .find(|call| (call.version, call.channel) == (id.version, id.channel));
        Ok(call.is_some_and(|call| {
            let start_within_ms = self.rule(id.channel, call.provider).start_within_ms;
            at < call.deadline_at.plus_ms(-start_within_ms)
        }))
    }

    /// Whether the last intent of a key names the second provider. Receipts are those of the
    /// first: that it did not take a message says nothing of the other.
    fn is_with_fallback(
        &mut self,
        id: CallId,
        scope: &mut Scope<'_>,
    ) -> Result<bool, OperatorError> {
        let mut state = load(&mut self.decoder, scope.table, id.user_id, id.period)?;
        let kind = kind_state(&mut state, id.kind, scope.now);
        Ok(kind
            .calls
            .iter()
            .find(|call| (call.version, call.channel) == (id.version, id.channel))
            .is_some_and(|call| call.provider == Rank::Fallback))
    }

    /// One command.
    ///
    /// # Errors
    /// [`OperatorError::Stop`].
    pub fn on_command(
        &mut self,
        command: &Command,
        scope: &mut Scope<'_>,
    ) -> Result<(), OperatorError> {
        let resolve = match &command.action {
            Action::Hold(hold) => {
                self.holds.hold(hold, scope.holds);
                return self.give_back_held(scope);
            }
            Action::Release(release) => {
                self.holds.release(release, scope.holds);
                return Ok(());
            }
            Action::Resolve(resolve) => resolve,
            _ => return Ok(()),
        };
        let mut state = load(
            &mut self.decoder,
            scope.table,
            resolve.user_id,
            resolve.period,
        )?;
        let kind = kind_state(&mut state, resolve.kind, scope.now);
        let unknown = kind
            .calls
            .iter()
            .find(|call| call.outcome == Some(Outcome::Unknown));
        let Some(call) = unknown.filter(|_| kind.state == State::Unknown) else {
            return Ok(());
        };
        let id = CallId {
            user_id: resolve.user_id,
            period: resolve.period,
            kind: resolve.kind,
            version: call.version,
            channel: call.channel,
        };
        let outcome = match resolve.resolution {
            Resolution::Sent => Outcome::Sent,
            Resolution::Failed => Outcome::Failed,
        };
        self.conclude(id, outcome, "resolved", None, Conclude::Operator, scope)
    }

    /// Gives back whatever stands in line for its first call and is held.
    fn give_back_held(&mut self, scope: &mut Scope<'_>) -> Result<(), OperatorError> {
        let held = self.tracked.iter().filter(|(id, tracked)| {
            matches!(tracked.stage, Stage::Waiting) && self.holds.cover(id.period, id.channel)
        });
        let mut held: Vec<_> = held.map(|(id, tracked)| (tracked.offset, *id)).collect();
        // in the order in which they came, never in that of a hash
        held.sort_unstable();
        for (_, id) in held {
            let mut state = load(&mut self.decoder, scope.table, id.user_id, id.period)?;
            let kind = kind_state(&mut state, id.kind, scope.now);
            let begun = kind
                .calls
                .iter()
                .any(|call| (call.version, call.channel) == (id.version, id.channel));
            if !begun {
                self.give_back(id, scope);
            }
        }
        Ok(())
    }

    fn give_back(&mut self, id: CallId, scope: &mut Scope<'_>) {
        self.counts.returned += 1;
        scope.out.push(Output::Returned(Returned {
            user_id: id.user_id,
            period: id.period,
            kind: id.kind,
            version: id.version,
            channel: id.channel,
        }));
        self.finish(id);
    }

    /// The outside world said something.
    ///
    /// # Errors
    /// [`OperatorError::Stop`].
    pub fn on_completion(
        &mut self,
        completion: Completion,
        scope: &mut Scope<'_>,
    ) -> Result<(), OperatorError> {
        match completion {
            Completion::Permits(channel, permit, count) => {
                self.on_permits(channel, permit, count, scope)
            }
            Completion::Answered(id, deadline_at, answer) => {
                self.on_answer(id, deadline_at, answer, scope)
            }
            Completion::Asked(id, deadline_at, word) => self.on_word(id, deadline_at, word, scope),
        }
    }

    /// What is due by itself: repeats, doubts, and the line for permits. Returns whether there
    /// is more.
    ///
    /// # Errors
    /// [`OperatorError::Stop`].
    pub fn advance(&mut self, scope: &mut Scope<'_>) -> Result<bool, OperatorError> {
        let mut left = PORTION;
        while left > 0
            && let Some(timer) = self
                .timers
                .first()
                .copied()
                .filter(|(at, ..)| *at <= scope.now)
        {
            self.timers.remove(&timer);
            left -= 1;
            let id = timer.2;
            let Some(Tracked {
                stage: Stage::Resting(at, then),
                ..
            }) = self.tracked.get(&id)
            else {
                continue;
            };
            if *at != timer.0 {
                continue;
            }
            match then {
                Then::Repeat => self.line_up(id),
                Then::Settle => self.settle_doubt(id, scope)?,
            }
        }
        for channel in Channel::ALL {
            let (Some(waiting), Some(asked)) = (
                self.waiting.get(channel.index()),
                self.asked.get_mut(channel.index()),
            ) else {
                continue;
            };
            for ((line, waiting), asked) in Line::ALL.into_iter().zip(waiting).zip(asked) {
                if waiting.len() > *asked {
                    let more = waiting.len() - *asked;
                    scope.effects.push(Effect::AskPermits(channel, line, more));
                    *asked = waiting.len();
                }
            }
        }
        Ok(self.timers.first().is_some_and(|(at, ..)| *at <= scope.now))
    }

    fn rule(&self, channel: Channel, rank: Rank) -> ChannelRule {
        #[allow(
            clippy::indexing_slicing,
            reason = "a channel's index is below their number"
        )]
        self.rules[channel.index()].of(rank)
    }

    fn has_fallback(&self, channel: Channel) -> bool {
        let rules = self.rules.get(channel.index());
        rules.is_some_and(|rules| rules.fallback.is_some())
    }

    /// The rule of the provider that the last intent of a dispatch names.
    fn rule_of(&self, id: CallId) -> ChannelRule {
        let tracked = self.tracked.get(&id);
        self.rule(
            id.channel,
            tracked.map_or_else(Rank::default, |tracked| tracked.rank),
        )
    }

    fn track(&mut self, offset: u64, dispatch: Dispatch, id: CallId, stage: Stage, rank: Rank) {
        if let Stage::Resting(at, _) = stage {
            self.timers.insert((at, offset, id));
        }
        let waits = matches!(stage, Stage::Waiting);
        let certainty = if waits {
            Certainty::Clear
        } else {
            Certainty::Doubt
        };
        self.unfinished.insert(offset);
        self.tracked.insert(
            id,
            Tracked {
                offset,
                dispatch: Box::new(dispatch),
                stage,
                certainty,
                rank,
            },
        );
        if waits {
            self.line_up(id);
        }
    }

    fn line_up(&mut self, id: CallId) {
        let Some(tracked) = self.tracked.get_mut(&id) else {
            return;
        };
        tracked.stage = Stage::Waiting;
        let line = tracked.line().index();
        if let Some(waiting) = self
            .waiting
            .get_mut(id.channel.index())
            .and_then(|lines| lines.get_mut(line))
        {
            waiting.push_back(id);
        }
    }

    fn rest(&mut self, id: CallId, until: Timestamp, then: Then) {
        if let Some(tracked) = self.tracked.get_mut(&id) {
            tracked.stage = Stage::Resting(until, then);
            self.timers.insert((until, tracked.offset, id));
        }
    }

    /// The call or question is no longer on the line; its dispatch rests until it is decided on.
    fn answered(&mut self, id: CallId) {
        if let Some(tracked) = self.tracked.get_mut(&id)
            && matches!(tracked.stage, Stage::Calling | Stage::Asking)
        {
            self.calling -= 1;
            tracked.stage = Stage::Waiting;
        }
    }

    fn finish(&mut self, id: CallId) {
        if let Some(tracked) = self.tracked.remove(&id) {
            self.unfinished.remove(&tracked.offset);
            match tracked.stage {
                Stage::Resting(at, _) => {
                    self.timers.remove(&(at, tracked.offset, id));
                }
                // the answer may still come; nobody waits for it any more
                Stage::Calling | Stage::Asking => self.calling -= 1,
                Stage::Waiting => {}
            }
        }
    }

    fn on_permits(
        &mut self,
        channel: Channel,
        permit: Permit,
        count: usize,
        scope: &mut Scope<'_>,
    ) -> Result<(), OperatorError> {
        let (mut left, line, rank) = (count, permit.line(), permit.rank());
        let asked = self.asked.get_mut(channel.index());
        if let Some(asked) = asked.and_then(|lines| lines.get_mut(line.index())) {
            *asked = asked.saturating_sub(count);
        }
        let rule = self.rule(channel, rank);
        while left > 0
            && let Some(id) = self
                .waiting
                .get_mut(channel.index())
                .and_then(|lines| lines.get_mut(line.index()))
                .and_then(VecDeque::pop_front)
        {
            let Some(tracked) = self.tracked.get_mut(&id).filter(|tracked| {
                matches!(tracked.stage, Stage::Waiting) && tracked.line() == line
            }) else {
                continue;
            };
            let mut state = load(&mut self.decoder, scope.table, id.user_id, id.period)?;
            let kind = kind_state(&mut state, id.kind, scope.now);
            let deadline_at = scope.now.plus_ms(rule.start_within_ms);
            // the gate may have shut while this one stood in line
            let open_elsewhere = kind.calls.iter().any(|call| {
                call.outcome.is_none() && (call.version, call.channel) != (id.version, id.channel)
            });
            let mine = kind
                .calls
                .iter()
                .position(|call| (call.version, call.channel) == (id.version, id.channel));
            let over = mine
                .and_then(|place| kind.calls.get(place))
                .is_some_and(|call| call.outcome.is_some());
            if open_elsewhere
                || over
                || matches!(kind.state, State::Sent | State::Unknown)
                || id.version < kind.version
            {
                self.counts.dropped += 1;
                self.finish(id);
                continue;
            }
            let doubt = tracked.certainty == Certainty::Doubt;
            if mine
                .and_then(|place| kind.calls.get(place))
                .is_some_and(|call| tracked.certainty != Certainty::Clear && call.provider != rank)
            {
                return Err(OperatorError::Stop(
                    "a message in doubt was about to go to another provider: this is a bug"
                        .to_owned(),
                ));
            }
            match mine.and_then(|place| kind.calls.get_mut(place)) {
                Some(call)
                    if doubt
                        && let Doubt::Repeat { window_ms } = rule.doubt
                        && deadline_at.plus_ms(rule.grace_ms)
                            > call.first_intent_at.plus_ms(window_ms) =>
                {
                    // it stood in line too long for the provider to know the key again
                    self.conclude(
                        id,
                        Outcome::Unknown,
                        "in-doubt",
                        None,
                        Conclude::Counted,
                        scope,
                    )?;
                    continue;
                }
                Some(call) => {
                    if doubt {
                        call.reason.get_or_insert_with(|| "in-doubt".to_owned());
                    } else {
                        call.reason = None;
                    }
                    call.deadline_at = deadline_at;
                    call.updated_at = scope.now;
                    call.provider = rank;
                }
                None => kind.calls.push(Call {
                    version: id.version,
                    channel: id.channel,
                    first_intent_at: scope.now,
                    deadline_at,
                    outcome: None,
                    reason: None,
                    attempts: 0,
                    provider_message_id: None,
                    body_digest: tracked.dispatch.body_digest,
                    updated_at: scope.now,
                    provider: rank,
                }),
            }
            kind.state = State::Sending;
            kind.version = id.version;
            kind.held_until = None;
            kind.reason = None;
            kind.updated_at = scope.now;
            tracked.stage = Stage::Calling;
            tracked.rank = rank;
            let message = tracked.dispatch.clone();
            self.store(&state, scope.table)?;
            self.calling += 1;
            self.counts.intents += 1;
            left -= 1;
            scope.effects.push(Effect::Call(message, deadline_at, rank));
        }
        if left > 0 {
            scope
                .effects
                .push(Effect::ReturnPermits(channel, rank, left));
        }
        Ok(())
    }

    fn on_answer(
        &mut self,
        id: CallId,
        deadline_at: Timestamp,
        answer: Answer,
        scope: &mut Scope<'_>,
    ) -> Result<(), OperatorError> {
        if let Answer::Accepted {
            provider_message_id,
        } = answer
        {
            return self.conclude(
                id,
                Outcome::Sent,
                "",
                provider_message_id,
                Conclude::Call,
                scope,
            );
        }
        if self.tracked.get(&id).is_some_and(|tracked| {
            matches!(
                tracked.stage,
                Stage::Waiting | Stage::Asking | Stage::Resting(_, Then::Repeat)
            )
        }) || !self.is_last_call(id, deadline_at, scope)?
        {
            // the call that it is of was decided on
            self.counts.dropped += 1;
            return Ok(());
        }
        self.answered(id);
        match answer {
            // taken care of above
            Answer::Accepted { .. } => Ok(()),
            // a repeat that is refused says nothing of the call in doubt before it either
            Answer::Refused(_) if doubted(&mut self.decoder, id, scope)? => self.conclude(
                id,
                Outcome::Unknown,
                "in-doubt",
                None,
                Conclude::Call,
                scope,
            ),
            Answer::Refused(reason) => {
                self.conclude(id, Outcome::Failed, reason, None, Conclude::Call, scope)
            }
            Answer::NotAccepted {
                reason,
                retry_after_ms,
            } => {
                let Some((attempts, certainty)) = self.not_taken(id, Attempt::Made, scope)? else {
                    return Ok(());
                };
                // not tracked: it is still to be read again, and waits for its repeat until then
                let Some(tracked) = self.tracked.get(&id) else {
                    return Ok(());
                };
                if attempts >= tracked.dispatch.attempts_max && certainty == Certainty::Clear {
                    // its attempts are counted already
                    return self.conclude(
                        id,
                        Outcome::Failed,
                        reason,
                        None,
                        Conclude::Counted,
                        scope,
                    );
                }
                let backoff = backoff_ms(&self.rule_of(id), attempts, id.message_key());
                let wait = retry_after_ms.map_or(backoff, |at_least| at_least.max(backoff));
                self.rest_for_repeat(id, scope.now.plus_ms(wait), certainty);
                Ok(())
            }
            Answer::NoAnswer(reason) => self.no_answer(id, reason, scope),
            Answer::NotStarted => {
                if let Some((_, certainty)) = self.not_taken(id, Attempt::Spared, scope)? {
                    self.rest_for_repeat(id, scope.now, certainty);
                }
                Ok(())
            }
            Answer::Misconfigured(_) => {
                // parked: tried again later with the same key, without using up attempts; another
                // provider need not wait as long, or this message would be the next to try again
                if let Some((_, certainty)) = self.not_taken(id, Attempt::Spared, scope)? {
                    let wait = if self.has_fallback(id.channel) {
                        1_000
                    } else {
                        let backoff_ms = self.rule_of(id).backoff_ms;
                        backoff_ms.max(1_000).saturating_mul(10)
                    };
                    self.rest_for_repeat(id, scope.now.plus_ms(wait), certainty);
                }
                Ok(())
            }
        }
    }

    fn no_answer(
        &mut self,
        id: CallId,
        reason: &str,
        scope: &mut Scope<'_>,
    ) -> Result<(), OperatorError> {
        let mut state = load(&mut self.decoder, scope.table, id.user_id, id.period)?;
        let kind = kind_state(&mut state, id.kind, scope.now);
        let Some(call) = open_call(kind, id) else {
            self.finish(id);
            return Ok(());
        };
        call.attempts = call.attempts.saturating_add(1);
        call.reason = Some(reason.to_owned());
        call.updated_at = scope.now;
        let (attempts, deadline_at) = (call.attempts, call.deadline_at);
        let rule = self.rule(id.channel, call.provider);
        self.store(&state, scope.table)?;
        self.counts.doubts += 1;
        let settled_at = match rule.doubt {
            Doubt::Repeat { .. } => {
                scope
                    .now
                    .plus_ms(backoff_ms(&rule, attempts, id.message_key()))
            }
            Doubt::Ask => deadline_at.plus_ms(rule.grace_ms).max(scope.now),
            Doubt::Nothing => scope.now,
        };
        if let Some(tracked) = self.tracked.get_mut(&id) {
            tracked.certainty = Certainty::Doubt;
        }
        self.rest(id, settled_at, Then::Settle);
        Ok(())
    }

    /// Writes down that the call at hand is off the line and was not taken. Returns the attempts
    /// so far, and whether an earlier call of the key is in doubt; `None` if none is open.
    fn not_taken(
        &mut self,
        id: CallId,
        attempt: Attempt,
        scope: &mut Scope<'_>,
    ) -> Result<Option<(u16, Certainty)>, OperatorError> {
        let mut state = load(&mut self.decoder, scope.table, id.user_id, id.period)?;
        let kind = kind_state(&mut state, id.kind, scope.now);
        let Some(call) = open_call(kind, id) else {
            self.finish(id);
            return Ok(None);
        };
        call.attempts = call
            .attempts
            .saturating_add(u16::from(attempt == Attempt::Made));
        call.updated_at = scope.now;
        let attempts = call.attempts;
        let certainty = if call.reason.is_some() {
            Certainty::Doubt
        } else {
            Certainty::Clear
        };
        if certainty == Certainty::Clear {
            kind.state = State::Pending;
            kind.updated_at = scope.now;
        }
        if let Some(tracked) = self.tracked.get_mut(&id) {
            tracked.certainty = certainty;
        }
        self.store(&state, scope.table)?;
        Ok(Some((attempts, certainty)))
    }

    /// Rests until the same key may be called again; if that rests on the provider knowing it
    /// again, this is decided anew then.
    fn rest_for_repeat(&mut self, id: CallId, until: Timestamp, certainty: Certainty) {
        let then = if certainty == Certainty::Doubt {
            Then::Settle
        } else {
            Then::Repeat
        };
        self.rest(id, until, then);
    }

    /// Whether no intent of a call's key was written since its own. An answer can come later than
    /// it should (a step that takes long to commit), and must not be taken for that of a repeat
    /// that is on the line.
    fn is_last_call(
        &mut self,
        id: CallId,
        deadline_at: Timestamp,
        scope: &mut Scope<'_>,
    ) -> Result<bool, OperatorError> {
        let mut state = load(&mut self.decoder, scope.table, id.user_id, id.period)?;
        let kind = kind_state(&mut state, id.kind, scope.now);
        Ok(open_call(kind, id).is_some_and(|call| call.deadline_at == deadline_at))
    }

    fn on_word(
        &mut self,
        id: CallId,
        deadline_at: Timestamp,
        word: Word,
        scope: &mut Scope<'_>,
    ) -> Result<(), OperatorError> {
        if let Word::Taken {
            provider_message_id,
        } = word
        {
            return self.conclude(
                id,
                Outcome::Sent,
                "found-by-key",
                provider_message_id,
                Conclude::Counted,
                scope,
            );
        }
        if !self
            .tracked
            .get(&id)
            .is_some_and(|tracked| matches!(tracked.stage, Stage::Asking))
            || !self.is_last_call(id, deadline_at, scope)?
        {
            // asked by an earlier incarnation: a call may have been made since
            return Ok(());
        }
        self.answered(id);
        match word {
            // taken care of above
            Word::Taken { .. } => {}
            // the deadline has passed and so has the grace: nobody is on the line, nothing was
            // taken, and the same key may be called again
            Word::NotTaken => {
                if let Some(tracked) = self.tracked.get_mut(&id) {
                    tracked.certainty = Certainty::Denied;
                }
                self.line_up(id);
            }
            Word::Unclear => {
                let wait = self.rule_of(id).backoff_ms.max(1_000);
                self.rest(id, scope.now.plus_ms(wait), Then::Settle);
            }
        }
        Ok(())
    }

    fn settle_doubt(&mut self, id: CallId, scope: &mut Scope<'_>) -> Result<(), OperatorError> {
        let mut state = load(&mut self.decoder, scope.table, id.user_id, id.period)?;
        let kind = kind_state(&mut state, id.kind, scope.now);
        let Some(call) = open_call(kind, id) else {
            self.finish(id);
            return Ok(());
        };
        let rank = call.provider;
        match self.rule(id.channel, rank).doubt {
            Doubt::Repeat { window_ms } if scope.now < call.first_intent_at.plus_ms(window_ms) => {
                self.line_up(id);
                Ok(())
            }
            Doubt::Ask => {
                let deadline_at = call.deadline_at;
                if let Some(tracked) = self.tracked.get_mut(&id) {
                    tracked.stage = Stage::Asking;
                    self.calling += 1;
                    scope.effects.push(Effect::Ask(id, deadline_at, rank));
                }
                Ok(())
            }
            Doubt::Repeat { .. } | Doubt::Nothing => self.conclude(
                id,
                Outcome::Unknown,
                "in-doubt",
                None,
                Conclude::Counted,
                scope,
            ),
        }
    }

    /// Writes an outcome, tells the route, and finishes the dispatch.
    fn conclude(
        &mut self,
        id: CallId,
        outcome: Outcome,
        reason: &str,
        provider_message_id: Option<String>,
        how: Conclude,
        scope: &mut Scope<'_>,
    ) -> Result<(), OperatorError> {
        let mut state = load(&mut self.decoder, scope.table, id.user_id, id.period)?;
        let kind = kind_state(&mut state, id.kind, scope.now);
        let call = kind
            .calls
            .iter_mut()
            .find(|call| (call.version, call.channel) == (id.version, id.channel));
        // nobody has called: whatever this is about, the dispatch is still to be sent
        let Some(call) = call else { return Ok(()) };
        let open = matches!(call.outcome, None | Some(Outcome::Unknown));
        if !open || call.outcome == Some(outcome) {
            // settled already: by a receipt, by an operator, or by an earlier incarnation
            self.finish(id);
            return Ok(());
        }
        call.outcome = Some(outcome);
        call.reason = (!reason.is_empty()).then(|| reason.to_owned());
        if how == Conclude::Call {
            call.attempts = call.attempts.saturating_add(1);
        } else if outcome == Outcome::Sent {
            // whoever crashed before counting it has made it
            call.attempts = call.attempts.max(1);
        }
        if provider_message_id.is_some() {
            call.provider_message_id = provider_message_id;
        }
        call.updated_at = scope.now;
        let delivery = delivery(id, Some(&*call), outcome, scope.now);
        kind.state = match outcome {
            Outcome::Sent => State::Sent,
            Outcome::Unknown => State::Unknown,
            // an operator's word ends the route; a receipt of what was unknown does, too
            Outcome::Failed if how == Conclude::Operator || kind.state == State::Unknown => {
                State::Failed
            }
            Outcome::Failed => State::Pending,
        };
        kind.reason = (!reason.is_empty()).then(|| reason.to_owned());
        kind.updated_at = scope.now;
        match outcome {
            Outcome::Sent => self.counts.sent += 1,
            Outcome::Failed => self.counts.failed += 1,
            Outcome::Unknown => self.counts.unknown += 1,
        }
        self.store(&state, scope.table)?;
        scope.out.push(Output::Delivery(Box::new(delivery)));
        self.finish(id);
        Ok(())
    }

    fn store(&mut self, state: &SendState, table: &mut dyn Table) -> Result<(), OperatorError> {
        self.scratch.clear();
        self.encoder
            .encode(state, &mut self.scratch)
            .map_err(|error| OperatorError::Stop(error.to_string()))?;
        table.put(
            state_key(state.user_id, state.period).as_bytes(),
            &self.scratch,
        );
        Ok(())
    }
}

/// Whether a call was made that used up an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Attempt {
    Made,
    Spared,
}

/// Where a conclusion comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Conclude {
    /// The answer to one more call.
    Call,
    /// A decision about calls that are counted already.
    Counted,
    /// A receipt.
    Receipt,
    /// An operator's word.
    Operator,
}

fn load(
    decoder: &mut codec::Decoder<SendState>,
    table: &dyn Table,
    user: UserId,
    period: Period,
) -> Result<SendState, OperatorError> {
    match table.get(state_key(user, period).as_bytes()) {
        None => Ok(SendState {
            user_id: user,
            period,
            kinds: Vec::new(),
        }),
        Some(bytes) => decoder.decode(bytes).map_err(|error| {
            OperatorError::Stop(format!(
                "a send state cannot be read, so nothing may be sent: {error}"
            ))
        }),
    }
}

#[allow(
    clippy::indexing_slicing,
    reason = "the place was found or made just above"
)]
fn kind_state(state: &mut SendState, kind: Kind, now: Timestamp) -> &mut KindState {
    let place = state
        .kinds
        .iter()
        .position(|known| known.kind == kind)
        .unwrap_or_else(|| {
            state.kinds.push(KindState {
                kind,
                state: State::Pending,
                version: Version(0),
                held_until: None,
                reason: None,
                updated_at: now,
                calls: Vec::new(),
            });
            state.kinds.len() - 1
        });
    &mut state.kinds[place]
}

fn open_call(kind: &mut KindState, id: CallId) -> Option<&mut Call> {
    kind.calls.iter_mut().find(|call| {
        (call.version, call.channel) == (id.version, id.channel) && call.outcome.is_none()
    })
}

/// Whether a call of the key is unknown, or an earlier one than that which is open is in doubt.
fn doubted(
    decoder: &mut codec::Decoder<SendState>,
    id: CallId,
    scope: &mut Scope<'_>,
) -> Result<bool, OperatorError> {
    let mut state = load(decoder, scope.table, id.user_id, id.period)?;
    let kind = kind_state(&mut state, id.kind, scope.now);
    Ok(kind
        .calls
        .iter()
        .find(|call| (call.version, call.channel) == (id.version, id.channel))
        .is_some_and(|call| match call.outcome {
            None => call.reason.is_some(),
            Some(outcome) => outcome == Outcome::Unknown,
        }))
}

fn delivery(id: CallId, call: Option<&Call>, outcome: Outcome, now: Timestamp) -> Delivery {
    Delivery {
        user_id: id.user_id,
        period: id.period,
        kind: id.kind,
        version: id.version,
        channel: id.channel,
        message_key: id.message_key(),
        outcome,
        reason: call.and_then(|call| call.reason.clone()),
        attempts: call.map_or(0, |call| call.attempts),
        provider_message_id: call.and_then(|call| call.provider_message_id.clone()),
        updated_at: call.map_or(now, |call| call.updated_at),
    }
}

/// Doubles with every attempt up to a minute, with a jitter of ±25 % drawn from the key.
fn backoff_ms(rule: &ChannelRule, attempts: u16, key: MessageKey) -> i64 {
    let doubled = rule
        .backoff_ms
        .saturating_mul(1 << attempts.saturating_sub(1).min(10))
        .min(60_000);
    let jitter = i64::try_from(key.draw() % 512).unwrap_or(0) - 256;
    doubled + doubled * jitter / 1024
}
