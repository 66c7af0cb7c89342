//! A call from its permit to its end: the intent, the answer or none, the doubt and how it is
//! settled.

use std::collections::VecDeque;

use sealpost_schemas::record::{Call, Delivery, KindState, Outcome, SendState, State};
use sealpost_schemas::{Channel, MessageKey, Timestamp, codec};

use super::{
    Answer, CallId, Certainty, ChannelRule, Doubt, Effect, Gate, Output, Permit, Scope, Stage,
    Then, Word, kind_state, load,
};
use crate::table::OperatorError;

impl Gate {
    pub(super) fn on_permits(
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

    pub(super) fn on_answer(
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

    pub(super) fn on_word(
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

    pub(super) fn settle_doubt(
        &mut self,
        id: CallId,
        scope: &mut Scope<'_>,
    ) -> Result<(), OperatorError> {
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
    pub(super) fn conclude(
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
}

/// Whether a call was made that used up an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Attempt {
    Made,
    Spared,
}

/// Where a conclusion comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Conclude {
    /// The answer to one more call.
    Call,
    /// A decision about calls that are counted already.
    Counted,
    /// A receipt.
    Receipt,
    /// An operator's word.
    Operator,
}

fn open_call(kind: &mut KindState, id: CallId) -> Option<&mut Call> {
    kind.calls.iter_mut().find(|call| {
        (call.version, call.channel) == (id.version, id.channel) && call.outcome.is_none()
    })
}

/// Whether a call of the key is unknown, or an earlier one than that which is open is in doubt.
pub(super) fn doubted(
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

pub(super) fn delivery(
    id: CallId,
    call: Option<&Call>,
    outcome: Outcome,
    now: Timestamp,
) -> Delivery {
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
