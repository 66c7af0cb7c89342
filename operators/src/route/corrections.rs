//! The follow-ups that were commanded, as they are remembered: each is for everyone who received
//! one version of a period's bills.
//!
//! # Invariants
//! - Whoever received that version has a route of the follow-up's kind, once the portions that
//!   begin them are through; nobody else has. A bill that comes to be `sent` later, since it was in
//!   doubt or still on its way, begins its follow-ups then, so that no timing matters.
//! - The first command of a kind stands; another one of the same kind is the same, or is nothing.

use std::collections::BTreeMap;

use sealpost_schemas::record::{Correct, Policy};
use sealpost_schemas::{Digest, Kind, Period, Version};

use super::retry::Running;
use super::state::{Route, RouteKey, State, policy, put_policy};
use super::{Router, Scope};
use crate::pack::{Packer, Unpacker};
use crate::table::{OperatorError, Table};

const CORRECTION: u8 = 1;

/// What an entry's key begins with; period and number follow.
pub(super) const PREFIX: u8 = b'c';
pub(super) const KEY_BYTES: usize = 7;

/// A follow-up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Correction {
    /// The round whose receivers it is for.
    pub(super) version: Version,
    /// What it says.
    pub(super) templates: Digest,
    /// The order of channels that its routes begin with.
    pub(super) policy: Policy,
}

/// Every follow-up, and the routes that one still has to begin.
#[derive(Debug, Default)]
pub(super) struct Corrections {
    known: BTreeMap<(Period, Kind), Correction>,
    /// The next one last.
    waiting: Vec<RouteKey>,
    open: BTreeMap<(Period, Kind), usize>,
}

impl Corrections {
    /// Takes in a stored entry. Returns the follow-up if its routes have not all begun.
    pub(super) fn restore(&mut self, key: &[u8], value: &[u8]) -> Option<(Period, Kind)> {
        let id = read_key(key)?;
        let (correction, running) = unpack(value)?;
        self.known.insert(id, correction);
        (running == Running::Yes).then_some(id)
    }

    pub(super) fn get(&self, period: Period, kind: Kind) -> Option<&Correction> {
        self.known.get(&(period, kind))
    }

    /// The kinds that follow a version of a period's bills, in their order.
    pub(super) fn after(&self, period: Period, version: Version) -> Vec<Kind> {
        self.of(period)
            .filter(|(_, correction)| correction.version == version)
            .map(|(kind, _)| kind)
            .collect()
    }

    fn of(&self, period: Period) -> impl Iterator<Item = (Kind, &Correction)> {
        self.known
            .range((period, Kind::Bill)..=(period, Kind::Correction(u16::MAX)))
            .map(|((_, kind), correction)| (*kind, correction))
    }

    /// Takes in a command. Returns whether it is a new one, which is to be written down.
    pub(super) fn add(&mut self, correct: &Correct, templates: Digest, policy: Policy) -> bool {
        let id = (correct.period, correct.kind);
        if correct.kind == Kind::Bill || self.known.contains_key(&id) {
            return false;
        }
        let correction = Correction {
            version: correct.version,
            templates,
            policy,
        };
        self.known.insert(id, correction);
        true
    }

    /// What is to begin, the first first. Whether there is anything.
    pub(super) fn plan(&mut self, period: Period, kind: Kind, routes: Vec<RouteKey>) -> Running {
        if routes.is_empty() {
            return Running::No;
        }
        self.open.insert((period, kind), routes.len());
        // taken from the back
        self.waiting.splice(0..0, routes.into_iter().rev());
        Running::Yes
    }

    /// The next route that is to begin.
    pub(super) fn pop(&mut self) -> Option<RouteKey> {
        self.waiting.pop()
    }

    /// One that was popped has begun, or has nothing to begin.
    pub(super) fn done(&mut self, period: Period, kind: Kind, table: &mut dyn Table) {
        if let Some(open) = self.open.get_mut(&(period, kind)) {
            *open -= 1;
            if *open == 0 {
                self.open.remove(&(period, kind));
                self.store(period, kind, Running::No, table);
            }
        }
    }

    /// Routes that have still to begin.
    pub(super) fn unfinished(&self) -> usize {
        self.waiting.len()
    }

    /// Writes a follow-up down.
    pub(super) fn store(
        &self,
        period: Period,
        kind: Kind,
        running: Running,
        table: &mut dyn Table,
    ) {
        let (Kind::Correction(number), Some(correction)) = (kind, self.get(period, kind)) else {
            return;
        };
        let mut key = [PREFIX; KEY_BYTES];
        let parts = period.months().to_be_bytes().into_iter();
        for (to, from) in key
            .iter_mut()
            .skip(1)
            .zip(parts.chain(number.to_be_bytes()))
        {
            *to = from;
        }
        let mut packer = Packer::default();
        packer
            .begin(CORRECTION)
            .number(u64::from(running == Running::Yes))
            .number(u64::from(correction.version.0))
            .raw(&correction.templates.0);
        put_policy(&mut packer, &correction.policy);
        table.put(&key, packer.bytes());
    }
}

impl Router {
    /// A command.
    pub(super) fn correct(
        &mut self,
        correct: &Correct,
        scope: &mut Scope<'_>,
    ) -> Result<(), OperatorError> {
        let digest = self.keep_templates(&correct.templates, scope.table)?;
        let policy = self
            .policies
            .new
            .as_ref()
            .unwrap_or(&correct.policy)
            .clone();
        if self.corrections.add(correct, digest, policy) {
            let (period, kind) = (correct.period, correct.kind);
            let running = self.plan_correction(period, kind, scope.table);
            self.corrections.store(period, kind, running, scope.table);
        }
        Ok(())
    }

    /// Everyone who has received what a correction is about, in the order of the statements.
    pub(super) fn plan_correction(
        &mut self,
        period: Period,
        kind: Kind,
        table: &dyn Table,
    ) -> Running {
        let Some(version) = self.corrections.get(period, kind).map(|it| it.version) else {
            return Running::No;
        };
        let mut received = Vec::new();
        table.for_each(&mut |key, value| {
            if let (Some(key), Some(route)) = (RouteKey::read(key), Route::unpack(value))
                && (key.period, key.kind) == (period, Kind::Bill)
                && has_received(&route, version)
            {
                received.push((route.statement, RouteKey { kind, ..key }));
            }
        });
        received.sort_unstable();
        let routes = received.into_iter().map(|(_, key)| key).collect();
        self.corrections.plan(period, kind, routes)
    }

    /// A bill was received: whatever follows this version begins.
    pub(super) fn follow_up(
        &mut self,
        key: RouteKey,
        route: &Route,
        scope: &mut Scope<'_>,
    ) -> Result<(), OperatorError> {
        if key.kind != Kind::Bill {
            return Ok(());
        }
        for kind in self.corrections.after(key.period, route.version) {
            self.begin_correction(RouteKey { kind, ..key }, scope)?;
        }
        Ok(())
    }

    /// The route of a correction begins, unless it is there, if its bill was received.
    pub(super) fn begin_correction(
        &mut self,
        key: RouteKey,
        scope: &mut Scope<'_>,
    ) -> Result<(), OperatorError> {
        let Some(correction) = self.corrections.get(key.period, key.kind) else {
            return Ok(());
        };
        let bill = RouteKey {
            kind: Kind::Bill,
            ..key
        };
        let received =
            Route::load(scope.table, bill)?.filter(|route| has_received(route, correction.version));
        let Some(bill) = received.filter(|_| scope.table.get(&key.bytes()).is_none()) else {
            return Ok(());
        };
        let mut route = Route {
            statement: bill.statement,
            version: Version(0),
            state: State::Failed,
            tried: 0,
            policy: correction.policy.clone(),
        };
        let statement = self.statement(key, &route, scope)?;
        self.advance(key, &mut route, &statement, None, scope)
    }
}

/// Whether the bill of a route was received in a version.
fn has_received(bill: &Route, version: Version) -> bool {
    bill.state == State::Sent && bill.version == version
}

fn read_key(key: &[u8]) -> Option<(Period, Kind)> {
    let (months, number) = key.strip_prefix(&[PREFIX])?.split_first_chunk::<4>()?;
    let period = Period::from_months(u32::from_be_bytes(*months)).ok()?;
    let number = u16::from_be_bytes(number.try_into().ok()?);
    (number > 0).then_some((period, Kind::Correction(number)))
}

fn unpack(value: &[u8]) -> Option<(Correction, Running)> {
    let mut value = Unpacker::open(value, CORRECTION)?;
    let running = match value.number()? {
        0 => Running::No,
        _ => Running::Yes,
    };
    let correction = Correction {
        version: Version(u16::try_from(value.number()?).ok()?),
        templates: Digest(value.raw(32)?.try_into().ok()?),
        policy: policy(&mut value)?,
    };
    Some((correction, running))
}

/// Whether a stored value is one of these, and then whether its routes have all begun.
pub(super) fn running(value: &[u8]) -> Option<Running> {
    unpack(value).map(|(_, running)| running)
}
