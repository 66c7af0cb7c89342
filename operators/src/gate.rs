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

mod calls;
mod terms;

use std::collections::{BTreeSet, HashMap, VecDeque};

use sealpost_schemas::record::{
    Action, Call, Command, Delivery, Dispatch, KindState, Outcome, Rank, Resolution, Returned,
    RouteNotice, SendState, Standing, State,
};
use sealpost_schemas::{Channel, Kind, Period, Timestamp, UserId, Version, codec};

use self::calls::{Conclude, delivery, doubted};
pub use self::terms::{
    Answer, CallId, ChannelRule, ChannelRules, Completion, Counts, Doubt, Effect, LATE_ANSWER,
    Line, Output, Permit, RECEIPT, RECEIPT_OF_FALLBACK, Scope, Word,
};
use crate::holds::Holds;
use crate::table::{OperatorError, Table};

/// Dispatches that one portion of timers moves.
const PORTION: usize = 1_000;

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
                || !late_answer && self.is_with_other(id, receipt, scope)?)
        {
            self.counts.dropped += 1;
            return Ok(());
        }
        let reason = receipt.reason.as_deref().unwrap_or(RECEIPT);
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

    /// Whether the last intent of a key names another provider than the one that a receipt is of:
    /// that one did not take a message says nothing of the other.
    fn is_with_other(
        &mut self,
        id: CallId,
        receipt: &Delivery,
        scope: &mut Scope<'_>,
    ) -> Result<bool, OperatorError> {
        let speaks = match receipt.reason.as_deref() {
            Some(RECEIPT_OF_FALLBACK) => Rank::Fallback,
            _ => Rank::Primary,
        };
        let mut state = load(&mut self.decoder, scope.table, id.user_id, id.period)?;
        let kind = kind_state(&mut state, id.kind, scope.now);
        Ok(kind
            .calls
            .iter()
            .find(|call| (call.version, call.channel) == (id.version, id.channel))
            .is_some_and(|call| call.provider != speaks))
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
