//! Route: which channel is next for a (period, user, kind), in which version, not before when;
//! and the rendering of the message for that channel alone.
//!
//! # Life of a route
//! ```text
//! statement ─► Held ◄─┐ window, hold    ┌── retry (next version) ──┐
//!                │    │                 ▼                          │
//!                └──► Rendered(channel) ─► next channel … ─► Failed ┘
//!                          │ sent  │ in doubt
//!                          ▼       ▼
//!                        Sent    Unknown ─► Sent | Failed (never another channel)
//! ```
//! A channel whose address is suppressed, or that cannot take the message (it is too long for it),
//! is passed over. A route of which every address is suppressed is `Suppressed`; a retry takes it
//! up when one of them no longer is. A route whose next channel is held stays with that channel,
//! parked, until it is released; what send had not begun comes back for the same. A correction is a
//! route of its own kind, which begins once the bill that it follows is `Sent`.
//!
//! # Invariants
//! - Only the channel at hand is rendered. Destinations stay sealed; names and masked contacts
//!   are opened, and a template sees masked forms alone.
//! - A delivery moves a route only if it is of the route's version and of a channel that is not
//!   behind it: a stale one is counted and dropped. But what was sent is so, whatever the route was
//!   about to do.
//! - A statement that already has a route is dropped: a replay begins nothing.

pub mod carry;
mod corrections;
mod not_before;
mod policies;
mod retry;
mod state;
mod suppression;
mod templates;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use sealpost_schemas::key_ring::{KeyRing, SealError};
use sealpost_schemas::record::{
    Action, Apply, Command, Contacts, Delivery, Dispatch, Outcome, Policy, Returned, RouteNotice,
    Standing, Statement,
};
use sealpost_schemas::sealed::{Plaintext, Purpose};
use sealpost_schemas::{
    Channel, Digest, Kind, MessageKey, Period, Sealed, Timestamp, UserId, Version, codec,
};

use crate::holds::Holds;
use crate::pack::Packer;
use crate::render::Profile;
use crate::table::{History, OperatorError, Source, Table};
use crate::windows::WindowRule;
use corrections::Corrections;
use not_before::NotBefore;
use policies::{POLICIES_KEY, Policies, pack_policies, unpack_policies};
use retry::{Running, pack_retry, retry_key, unpack_retry};
use state::{Route, RouteKey, State};
use suppression::Next;
pub use templates::TemplateCache;
use templates::{pack_sources, unpack_sources};

/// Routes that one portion of a release, a retry or a correction moves.
const PORTION_ROUTES: usize = 500;

/// When a released route is due: before everything that waits for a time.
const RELEASED: Timestamp = Timestamp(i64::MIN);

/// Profiles that did not open, with none opened before, after which the key ring is taken for the
/// wrong one rather than the profiles for damaged.
const MISFITS_MAX: u32 = 3;

/// What route emits.
#[derive(Debug)]
pub enum Output {
    /// A message on its way.
    Dispatch(Box<Dispatch>),
    /// A route without one.
    Notice(RouteNotice),
}

/// What happened, for metrics.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Messages rendered.
    pub rendered: u64,
    /// Statements dropped because their route is there: replays.
    pub replayed: u64,
    /// Deliveries dropped because the route has moved on.
    pub stale: u64,
    /// Routes held for a window, or by an operator.
    pub held: u64,
    /// Routes that ended without a channel left.
    pub exhausted: u64,
    /// Statements that could not be rendered.
    pub unrenderable: u64,
    /// Channels passed over because they cannot take the message.
    pub unfit: u64,
    /// Routes that ended because every address is suppressed.
    pub suppressed: u64,
}

/// What route works with while it handles one thing.
pub struct Scope<'a> {
    /// Its state.
    pub table: &'a mut dyn Table,
    /// Earlier statements.
    pub history: &'a mut dyn History,
    /// What is emitted.
    pub out: &'a mut Vec<Output>,
    /// Time of this step.
    pub now: Timestamp,
}

/// The operator, for one shard.
pub struct Router {
    keys: Arc<KeyRing>,
    windows: WindowRule,
    templates: TemplateCache,
    configured: Policy,
    policies: Policies,
    not_before: NotBefore,
    holds: Holds,
    timers: BTreeSet<(Timestamp, u64, RouteKey)>,
    /// Routes that a retry still has to move, with the version it moves them to.
    retries: Vec<(RouteKey, Version, Policy)>,
    retrying: BTreeMap<Period, usize>,
    corrections: Corrections,
    misfits: u32,
    portion_routes: usize,
    packer: Packer,
    statements: codec::Decoder<Statement>,
    /// What happened since the start.
    pub counts: Counts,
}

impl Router {
    /// An operator with the profile keys, the rule for windows and the configured policy.
    #[must_use]
    pub fn new(
        keys: Arc<KeyRing>,
        windows: WindowRule,
        templates: TemplateCache,
        configured: Policy,
    ) -> Self {
        Self {
            keys,
            windows,
            templates,
            configured,
            policies: Policies::default(),
            not_before: NotBefore::default(),
            holds: Holds::default(),
            timers: BTreeSet::new(),
            retries: Vec::new(),
            retrying: BTreeMap::new(),
            corrections: Corrections::default(),
            misfits: 0,
            portion_routes: PORTION_ROUTES,
            packer: Packer::default(),
            statements: codec::Decoder::new(),
            counts: Counts::default(),
        }
    }

    /// With a decoder for what it looks up of `statements`.
    #[must_use]
    pub fn with_decoder(mut self, statements: codec::Decoder<Statement>) -> Self {
        self.statements = statements;
        self
    }

    /// With portions of so many routes, at least 1: a small one keeps steps short, and lets a test
    /// look between them.
    #[must_use]
    pub const fn with_portion(mut self, routes: usize) -> Self {
        self.portion_routes = if routes == 0 { 1 } else { routes };
        self
    }

    /// Takes up where the state stands.
    ///
    /// # Errors
    /// [`OperatorError::Stop`] if stored templates cannot be used.
    pub fn restored(&mut self, table: &dyn Table) -> Result<(), OperatorError> {
        let mut sources: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
        let mut retries = Vec::new();
        let mut beginning = Vec::new();
        self.holds = Holds::restored(table)?;
        let (not_before, holds) = (&mut self.not_before, &self.holds);
        let corrections = &mut self.corrections;
        table.for_each(&mut |key, value| match key.first() {
            Some(b'u') => {
                if let (Some(key), Some(route)) = (RouteKey::read(key), Route::unpack(value)) {
                    match route.state {
                        State::Held(until) => {
                            self.timers.insert((until, route.statement, key));
                        }
                        State::Parked(channel) if !holds.cover(key.period, channel) => {
                            self.timers.insert((RELEASED, route.statement, key));
                        }
                        _ => {}
                    }
                }
            }
            Some(b't') => {
                sources.insert(key.to_vec(), value.to_vec());
            }
            Some(&not_before::PREFIX) => not_before.restore(key, value),
            Some(&corrections::PREFIX) => beginning.extend(corrections.restore(key, value)),
            Some(b'r') => retries.push((key.to_vec(), value.to_vec())),
            _ => {}
        });
        self.policies = table
            .get(POLICIES_KEY)
            .and_then(unpack_policies)
            .unwrap_or_default();
        for stored in sources.into_values() {
            if let Some(sources) = unpack_sources(&stored) {
                self.templates.load(&sources)?;
            }
        }
        for (key, value) in retries {
            let months = key
                .get(1..)
                .and_then(|months| months.try_into().ok())
                .map(u32::from_be_bytes);
            let period = months.and_then(|months| Period::from_months(months).ok());
            if let (Some(period), Some((version, policy, true))) = (period, unpack_retry(&value)) {
                self.plan_retry(table, period, version, &policy);
            }
        }
        for (period, kind) in beginning {
            self.plan_correction(period, kind, table);
        }
        Ok(())
    }

    /// One command.
    ///
    /// # Errors
    /// [`OperatorError`].
    pub fn on_command(
        &mut self,
        command: &Command,
        scope: &mut Scope<'_>,
    ) -> Result<(), OperatorError> {
        match &command.action {
            Action::Close(close) => {
                self.keep_templates(&close.templates, scope.table)?;
                self.policies.closed = Some(close.policy.clone());
                scope
                    .table
                    .put(POLICIES_KEY, &pack_policies(&self.policies));
                if let Some(at) = close.not_before
                    && self.not_before.set(close.period, at, scope.table)
                {
                    self.look_again(close.period, scope);
                }
                Ok(())
            }
            Action::PolicySet(set) => {
                self.policies.new = Some(set.policy.clone());
                if set.apply != Apply::New {
                    self.policies.failed = Some(set.policy.clone());
                }
                scope
                    .table
                    .put(POLICIES_KEY, &pack_policies(&self.policies));
                if set.apply == Apply::Unsent {
                    self.apply_to_unsent(&set.policy, scope)?;
                }
                Ok(())
            }
            Action::Retry(retry) => {
                let key = retry_key(retry.period);
                let begun = scope
                    .table
                    .get(&key)
                    .and_then(unpack_retry)
                    .is_some_and(|(version, ..)| version >= retry.version);
                if begun {
                    return Ok(());
                }
                let policy = self
                    .policies
                    .failed
                    .clone()
                    .unwrap_or_else(|| retry.policy.clone());
                let planned = self.plan_retry(scope.table, retry.period, retry.version, &policy);
                // what fails after a retry that found nothing is for the next one
                let running = if planned == 0 {
                    Running::No
                } else {
                    Running::Yes
                };
                scope
                    .table
                    .put(&key, &pack_retry(retry.version, &policy, running));
                Ok(())
            }
            Action::Suppress(suppress) => {
                suppression::add(suppress, command.issued_at, scope.table, &mut self.packer);
                Ok(())
            }
            Action::Unsuppress(unsuppress) => {
                suppression::remove(unsuppress, scope.table);
                Ok(())
            }
            Action::Hold(hold) => {
                // each route is parked when it would go; what is with send comes back
                self.holds.hold(hold, scope.table);
                Ok(())
            }
            Action::Release(release) => {
                self.holds.release(release, scope.table);
                self.let_go(release.period, scope.table);
                Ok(())
            }
            Action::Correct(correct) => self.correct(correct, scope),
            Action::Resolve(_) | Action::Requeue(_) | Action::Replay(_) => Ok(()),
        }
    }

    /// Templates that came with a command stay for as long as there is state.
    fn keep_templates(
        &mut self,
        sources: &BTreeMap<String, String>,
        table: &mut dyn Table,
    ) -> Result<Digest, OperatorError> {
        let digest = self.templates.load(sources)?;
        let mut key = [b't'; 25];
        for (to, from) in key.iter_mut().skip(1).zip(digest.0) {
            *to = from;
        }
        if table.get(&key).is_none() {
            table.put(&key, &pack_sources(sources));
        }
        Ok(digest)
    }

    /// A statement: its route begins.
    ///
    /// # Errors
    /// [`OperatorError`].
    pub fn on_statement(
        &mut self,
        offset: u64,
        statement: &Statement,
        scope: &mut Scope<'_>,
    ) -> Result<(), OperatorError> {
        let key = RouteKey {
            user: statement.user_id,
            period: statement.period,
            kind: Kind::Bill,
        };
        if let Some(mut route) = Route::load(scope.table, key)? {
            self.counts.replayed += 1;
            // the same statement, written again, here or in another generation of topics:
            // compaction keeps the last one, and only that
            if route.statement != offset {
                self.repoint(key, &mut route, offset, scope.table);
                let kinds = self.corrections.after(key.period, route.version);
                for key in kinds.into_iter().map(|kind| RouteKey { kind, ..key }) {
                    if let Some(mut route) = Route::load(scope.table, key)? {
                        self.repoint(key, &mut route, offset, scope.table);
                    }
                }
            }
            return Ok(());
        }
        let Policies { new, closed, .. } = &self.policies;
        let policy = new
            .as_ref()
            .or(closed.as_ref())
            .unwrap_or(&self.configured)
            .clone();
        let mut route = Route {
            statement: offset,
            version: Version(0),
            state: State::Failed,
            tried: 0,
            policy,
        };
        self.advance(key, &mut route, statement, None, scope)
    }

    /// The statement of a route lies somewhere else now.
    fn repoint(&mut self, key: RouteKey, route: &mut Route, to: u64, table: &mut dyn Table) {
        if let State::Held(until) = route.state {
            self.timers.remove(&(until, route.statement, key));
            self.timers.insert((until, to, key));
        }
        route.statement = to;
        route.store(table, key, &mut self.packer);
    }

    /// An outcome came back.
    ///
    /// # Errors
    /// [`OperatorError`].
    pub fn on_delivery(
        &mut self,
        delivery: &Delivery,
        scope: &mut Scope<'_>,
    ) -> Result<(), OperatorError> {
        let key = RouteKey {
            user: delivery.user_id,
            period: delivery.period,
            kind: delivery.kind,
        };
        let Some(mut route) = Route::load(scope.table, key)? else {
            self.counts.stale += 1;
            return Ok(());
        };
        if route.state == State::Sent {
            self.counts.stale += 1;
            return Ok(());
        }
        if delivery.outcome == Outcome::Sent {
            route.version = delivery.version;
            route.state = State::Sent;
            route.store(scope.table, key, &mut self.packer);
            return self.follow_up(key, &route, scope);
        }
        let channel = delivery.channel;
        let bit = 1 << channel.index();
        let (is_awaited, in_doubt) = match route.state {
            State::Unknown(of) => (of == channel, true),
            // a message whose return was read once more is begun all the same, whatever the route
            // has decided since: send has dropped that
            _ => (route.tried & bit == 0, false),
        };
        if !is_awaited || route.version != delivery.version {
            self.counts.stale += 1;
            return Ok(());
        }
        if delivery.outcome == Outcome::Unknown {
            route.state = State::Unknown(channel);
        } else {
            route.tried |= bit;
            // what was in doubt never moves on to another channel by itself
            if !in_doubt {
                let statement = self.statement(key, &route, scope)?;
                return self.advance(key, &mut route, &statement, delivery.reason.clone(), scope);
            }
            route.state = State::Failed;
        }
        route.store(scope.table, key, &mut self.packer);
        Ok(())
    }

    /// A dispatch came back that was not begun: its route decides anew.
    ///
    /// # Errors
    /// [`OperatorError`].
    pub fn on_returned(
        &mut self,
        returned: &Returned,
        scope: &mut Scope<'_>,
    ) -> Result<(), OperatorError> {
        let key = RouteKey {
            user: returned.user_id,
            period: returned.period,
            kind: returned.kind,
        };
        match Route::load(scope.table, key)? {
            Some(mut route)
                if route.state == State::Rendered(returned.channel)
                    && route.version == returned.version =>
            {
                let statement = self.statement(key, &route, scope)?;
                self.advance(key, &mut route, &statement, None, scope)
            }
            _ => {
                self.counts.stale += 1;
                Ok(())
            }
        }
    }

    /// What is due by itself, in a bounded portion. Returns whether there is more.
    ///
    /// # Errors
    /// [`OperatorError`].
    pub fn advance_due(&mut self, scope: &mut Scope<'_>) -> Result<bool, OperatorError> {
        let mut left = self.portion_routes;
        while left > 0
            && let Some(timer) = self
                .timers
                .first()
                .copied()
                .filter(|(until, ..)| *until <= scope.now)
        {
            self.timers.remove(&timer);
            left -= 1;
            let (until, _, key) = timer;
            if let Some(mut route) = Route::load(scope.table, key)?
                && match route.state {
                    State::Held(held_until) => held_until == until,
                    State::Parked(channel) => !self.holds.cover(key.period, channel),
                    _ => false,
                }
            {
                let statement = self.statement(key, &route, scope)?;
                self.advance(key, &mut route, &statement, None, scope)?;
            }
        }
        while left > 0
            && let Some((key, version, policy)) = self.retries.pop()
        {
            left -= 1;
            if let Some(mut route) = Route::load(scope.table, key)?
                && route.awaits(version)
            {
                let statement = self.statement(key, &route, scope)?;
                if route.state != State::Suppressed
                    || suppression::is_open(&policy, &statement, scope.table)
                {
                    route.version = version;
                    route.tried = 0;
                    route.policy = policy.clone();
                    self.advance(key, &mut route, &statement, None, scope)?;
                }
            }
            if let Some(open) = self.retrying.get_mut(&key.period) {
                *open -= 1;
                if *open == 0 {
                    self.retrying.remove(&key.period);
                    scope.table.put(
                        &retry_key(key.period),
                        &pack_retry(version, &policy, Running::No),
                    );
                }
            }
        }
        while left > 0
            && let Some(key) = self.corrections.pop()
        {
            left -= 1;
            self.begin_correction(key, scope)?;
            self.corrections.done(key.period, key.kind, scope.table);
        }
        Ok(!self.retries.is_empty()
            || self.corrections.unfinished() > 0
            || self
                .timers
                .first()
                .is_some_and(|(until, ..)| *until <= scope.now))
    }

    /// When the next held route is due.
    #[must_use]
    pub fn next_timer(&self) -> Option<Timestamp> {
        self.timers.first().map(|(until, ..)| *until)
    }

    /// Routes that a retry or a correction still has to move.
    #[must_use]
    pub fn unfinished(&self) -> usize {
        self.retries.len() + self.corrections.unfinished()
    }

    /// Returns how many routes it will look at.
    fn plan_retry(
        &mut self,
        table: &dyn Table,
        period: Period,
        version: Version,
        policy: &Policy,
    ) -> usize {
        let mut found = Vec::new();
        table.for_each(&mut |key, value| {
            if let (Some(key), Some(route)) = (RouteKey::read(key), Route::unpack(value))
                && key.period == period
                && route.awaits(version)
            {
                found.push((route.statement, key));
            }
        });
        found.sort_unstable();
        let planned = found.len();
        if planned > 0 {
            self.retrying.insert(period, planned);
        }
        // the portion is taken from the back: the first come first
        self.retries.extend(
            found
                .into_iter()
                .rev()
                .map(|(_, key)| (key, version, policy.clone())),
        );
        planned
    }

    fn apply_to_unsent(
        &mut self,
        policy: &Policy,
        scope: &mut Scope<'_>,
    ) -> Result<(), OperatorError> {
        let mut live = Vec::new();
        scope.table.for_each(&mut |key, value| {
            if let (Some(key), Some(route)) = (RouteKey::read(key), Route::unpack(value))
                && matches!(
                    route.state,
                    State::Held(_) | State::Rendered(_) | State::Parked(_)
                )
            {
                live.push((key, route));
            }
        });
        // the order of the changelog depends on what happened, never on a hash
        live.sort_unstable_by_key(|(key, _)| *key);
        for (key, mut route) in live {
            route.policy = policy.clone();
            if let State::Parked(_) = route.state {
                // another channel may be the next one now, which is not held
                route.state = State::Held(scope.now);
                self.timers.insert((scope.now, route.statement, key));
            }
            route.store(scope.table, key, &mut self.packer);
        }
        Ok(())
    }

    /// What was parked of a period, and may go, is due: in the order in which it came.
    fn let_go(&mut self, period: Period, table: &dyn Table) {
        let (holds, timers) = (&self.holds, &mut self.timers);
        table.for_each(&mut |key, value| {
            if let (Some(key), Some(route)) = (RouteKey::read(key), Route::unpack(value))
                && key.period == period
                && let State::Parked(channel) = route.state
                && !holds.cover(period, channel)
            {
                timers.insert((RELEASED, route.statement, key));
            }
        });
    }

    /// What is held of a period is looked at anew, for its time may have changed.
    fn look_again(&mut self, period: Period, scope: &mut Scope<'_>) {
        let mut held = Vec::new();
        scope.table.for_each(&mut |key, value| {
            if let (Some(key), Some(route)) = (RouteKey::read(key), Route::unpack(value))
                && key.period == period
                && matches!(route.state, State::Held(_))
            {
                held.push((key, route));
            }
        });
        // the order of the changelog depends on what happened, never on a hash
        held.sort_unstable_by_key(|(key, _)| *key);
        for (key, mut route) in held {
            if let State::Held(until) = route.state {
                self.timers.remove(&(until, route.statement, key));
            }
            self.timers.insert((scope.now, route.statement, key));
            route.state = State::Held(scope.now);
            route.store(scope.table, key, &mut self.packer);
        }
    }

    fn statement(
        &mut self,
        key: RouteKey,
        route: &Route,
        scope: &mut Scope<'_>,
    ) -> Result<Statement, OperatorError> {
        let gone = || {
            OperatorError::Stop(format!(
                "the statement at offset {} of `statements` is gone although its route is not at its end: the topic must be compacted, never cut",
                route.statement
            ))
        };
        let value = scope
            .history
            .value(Source::Statements, &key.log_key(), route.statement)?
            .ok_or_else(gone)?;
        let statement = self
            .statements
            .decode(&value)
            .map_err(|error| OperatorError::Stop(error.to_string()))?;
        if (statement.user_id, statement.period) == (key.user, key.period) {
            Ok(statement)
        } else {
            Err(gone())
        }
    }

    /// The next thing that happens to a route: held, rendered for the next channel that can take
    /// it, or ended.
    fn advance(
        &mut self,
        key: RouteKey,
        route: &mut Route,
        statement: &Statement,
        mut reason: Option<String>,
        scope: &mut Scope<'_>,
    ) -> Result<(), OperatorError> {
        let not_before = self.not_before.of(key.period).unwrap_or(scope.now);
        let earliest =
            self.windows
                .earliest(&statement.windows, key.period, not_before.max(scope.now));
        let why_held = if not_before > scope.now {
            "not-before"
        } else {
            "window"
        };
        let (state, reason) = loop {
            match suppression::next(route, statement, scope.table) {
                Next::Exhausted(why) => {
                    self.counts.exhausted += 1;
                    let reason = reason.unwrap_or_else(|| why.to_owned());
                    break (State::Failed, reason);
                }
                Next::Suppressed => {
                    self.counts.suppressed += 1;
                    break (State::Suppressed, "suppressed".to_owned());
                }
                Next::Channel(channel, _) if self.holds.cover(key.period, channel) => {
                    self.counts.held += 1;
                    break (State::Parked(channel), "hold".to_owned());
                }
                Next::Channel(..) if earliest > scope.now => {
                    self.counts.held += 1;
                    break (State::Held(earliest), why_held.to_owned());
                }
                Next::Channel(channel, destination) => {
                    match self.dispatch(key, route, statement, channel, &destination.address)? {
                        Ok(dispatch) => {
                            route.state = State::Rendered(channel);
                            route.store(scope.table, key, &mut self.packer);
                            scope.out.push(Output::Dispatch(Box::new(dispatch)));
                            return Ok(());
                        }
                        Err(Unrenderable::Here(why)) => {
                            self.counts.unfit += 1;
                            route.tried |= 1 << channel.index();
                            reason = Some(why.to_owned());
                        }
                        Err(Unrenderable::Anywhere(why)) => {
                            self.counts.unrenderable += 1;
                            break (State::Failed, why.to_owned());
                        }
                    }
                }
            }
        };
        let (standing, held_until) = match state {
            State::Held(until) => {
                self.timers.insert((until, route.statement, key));
                (Standing::Held, Some(until))
            }
            State::Parked(_) => (Standing::Held, None),
            State::Suppressed => (Standing::Suppressed, None),
            _ => (Standing::Failed, None),
        };
        route.state = state;
        route.store(scope.table, key, &mut self.packer);
        scope.out.push(Output::Notice(RouteNotice {
            user_id: key.user,
            period: key.period,
            kind: key.kind,
            version: route.version,
            standing,
            held_until,
            reason: Some(reason),
        }));
        Ok(())
    }

    /// Renders for one channel; the inner error says why it cannot be.
    fn dispatch(
        &mut self,
        key: RouteKey,
        route: &Route,
        statement: &Statement,
        channel: Channel,
        destination: &Sealed,
    ) -> Result<Result<Dispatch, Unrenderable>, OperatorError> {
        let digest = self
            .corrections
            .get(key.period, key.kind)
            .map_or(statement.template_digest, |correction| correction.templates);
        let Some(templates) = self.templates.get(&digest) else {
            return Err(OperatorError::Stop(format!(
                "the templates {digest} of a statement were never seen: read `control` from its begin"
            )));
        };
        let contacts = &statement.contacts;
        let opened = self.open_profile(key.user, contacts);
        let [name, email, phone] = match opened {
            Ok(opened) => opened,
            Err(error) => return Ok(Err(Unrenderable::Anywhere(self.misfit(&error)?))),
        };
        // borrowed from the opened values, which are wiped when they go
        let (Some(name), Some(masked_email), Some(masked_phone)) =
            (text(&name), text(&email), text(&phone))
        else {
            return Ok(Err(Unrenderable::Anywhere("profile-unreadable")));
        };
        let profile = Profile {
            name,
            masked_email,
            masked_phone,
        };
        let rendered = match templates.render(statement, &profile, channel) {
            Ok(rendered) => rendered,
            Err(error) => return Ok(Err(Unrenderable::Here(error.reason()))),
        };
        self.counts.rendered += 1;
        Ok(Ok(Dispatch {
            user_id: key.user,
            period: key.period,
            kind: key.kind,
            version: route.version,
            channel,
            message_key: MessageKey::new(key.period, key.user, key.kind, route.version, channel),
            attempts_max: route.policy.attempts_per_channel,
            destination: destination.clone(),
            body_digest: Dispatch::digest_of(
                rendered.subject.as_deref(),
                &rendered.body,
                rendered.html.as_deref(),
            ),
            subject: rendered.subject,
            body: rendered.body,
            html: rendered.html,
        }))
    }

    /// Opens name, masked e-mail and masked phone, as far as they are there.
    fn open_profile(
        &self,
        user: UserId,
        contacts: &Contacts,
    ) -> Result<[Option<Plaintext>; 3], SealError> {
        let open = |purpose, sealed: &Option<Sealed>| {
            sealed
                .as_ref()
                .map(|sealed| self.keys.open(purpose, user, sealed))
                .transpose()
        };
        Ok([
            open(Purpose::ProfileName, &contacts.name)?,
            open(Purpose::ProfileEmail, &contacts.masked_email)?,
            open(Purpose::ProfilePhone, &contacts.masked_phone)?,
        ])
    }

    /// A profile that does not open is its own misfortune, unless one after the other does not and
    /// none has: then it is the key ring's.
    fn misfit(&mut self, error: &SealError) -> Result<&'static str, OperatorError> {
        self.misfits += 1;
        let purposes = [
            Purpose::ProfileName,
            Purpose::ProfileEmail,
            Purpose::ProfilePhone,
        ];
        if self.misfits >= MISFITS_MAX
            && purposes
                .into_iter()
                .all(|purpose| self.keys.opened(purpose) == 0)
        {
            return Err(OperatorError::Stop(format!(
                "{error}; no profile has opened so far: use the key ring that the data was sealed with"
            )));
        }
        Ok("profile-unreadable")
    }
}

/// Why a message cannot be rendered, as a word of a fixed list.
enum Unrenderable {
    /// For this channel: another may take it.
    Here(&'static str),
    /// For no channel.
    Anywhere(&'static str),
}

fn text(value: &Option<Plaintext>) -> Option<&str> {
    value.as_ref().map_or(Some(""), Plaintext::as_str)
}
