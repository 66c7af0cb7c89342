//! Settle: usage and subscribers in, statements out.
//!
//! # Invariants
//! - Opens nothing: sealed values pass through.
//! - A close carries a cut. Usage and subscribers before the cut are in, what lies at or after
//!   it is not, whatever the timing: [`Settle::limit`] stops the inputs at the cut until all
//!   have reached it, and while the close then works its way through the users in bounded
//!   portions, a user is settled before anything later of that user is taken in.
//! - A (user, period) is settled once. Usage that comes later goes to the frozen totals of its
//!   period and becomes an adjustment on the user's next statement.
//! - A record of usage that may have been refused, or forgotten, is taken in once: read again by a
//!   replay, it is passed over.
//! - An event id counts once for its user, and is kept for [`MONTHS_KEPT`] months.

mod account;
mod billing;
pub mod carry;
mod intake;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use jiff::tz::TimeZone;
use sealpost_schemas::catalog::Catalog;
use sealpost_schemas::record::{Action, Close, Command, Reason, Statement, Subscriber};
use sealpost_schemas::{Digest, Period, UserId, codec};

use crate::pack::Packer;
use crate::table::{History, OperatorError, Source, Table};

/// Usage older than this, seen from the newest closed period, is too late.
pub const MONTHS_KEPT: u32 = 13;

/// Users that one portion of a close settles.
const PORTION_USERS: usize = 1_000;

/// What settle emits.
#[derive(Debug)]
pub enum Output {
    /// A settled bill.
    Statement(Box<Statement>),
    /// Something was refused.
    Refused {
        /// Whose.
        user_id: UserId,
        /// The input it stands in.
        source: Source,
        /// Its offset there.
        offset: u64,
        /// Why.
        reason: Reason,
        /// Which rule, never a value.
        detail: &'static str,
        /// The record as it stands there.
        raw: Vec<u8>,
    },
}

/// What happened, for metrics.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Events that were counted.
    pub events: u64,
    /// Events that had been counted before.
    pub duplicates: u64,
    /// Events of settled periods.
    pub late: u64,
    /// Statements made.
    pub statements: u64,
    /// Records refused.
    pub refused: u64,
}

/// What settle works with while it handles one thing.
pub struct Scope<'a> {
    /// Its state.
    pub table: &'a mut dyn Table,
    /// Earlier input.
    pub history: &'a mut dyn History,
    /// What is emitted.
    pub out: &'a mut Vec<Output>,
}

/// A close that waits for its cut or works its way through the users.
struct PendingClose {
    /// Its place in the queue as it is stored.
    number: u64,
    id: String,
    close: Close,
    catalog: Catalog,
    /// Users still to settle, last one first; `None` until the cut is reached.
    work: Option<Vec<UserId>>,
    /// Users that were refused already: touched again, they are not refused again.
    refused: BTreeSet<UserId>,
}

/// The operator, for one shard.
pub struct Settle {
    time_zone: TimeZone,
    time_zone_name: String,
    month: Option<(i64, i64, Period)>,
    usage_next: u64,
    subscribers_next: u64,
    /// Usage before this offset is in the state, and no event id need tell: some were refused or
    /// have been forgotten since. An input's position can lie before it: then it is a replay.
    usage_done: u64,
    closes: VecDeque<PendingClose>,
    closed: BTreeSet<Period>,
    done: BTreeSet<String>,
    catalogs: HashMap<Digest, Catalog>,
    portion_users: usize,
    packer: Packer,
    scratch: Vec<u8>,
    subscribers: codec::Decoder<Subscriber>,
    /// What happened since the start.
    pub counts: Counts,
}

fn close_key(number: u64) -> [u8; 9] {
    let mut key = [b'q'; 9];
    for (to, from) in key.iter_mut().skip(1).zip(number.to_be_bytes()) {
        *to = from;
    }
    key
}

fn short_key(prefix: u8, digest: &Digest) -> [u8; 25] {
    let mut key = [prefix; 25];
    for (to, from) in key.iter_mut().skip(1).zip(digest.0) {
        *to = from;
    }
    key
}

/// Where [`Settle::usage_done`] is kept.
const DONE_KEY: &[u8] = b"m";

fn closed_key(period: Period) -> [u8; 5] {
    let mut key = [b'p'; 5];
    for (to, from) in key.iter_mut().skip(1).zip(period.months().to_be_bytes()) {
        *to = from;
    }
    key
}

impl Settle {
    /// An operator that files events into the months of a time zone, an IANA name.
    ///
    /// # Errors
    /// [`OperatorError::Stop`] if there is no such zone.
    pub fn new(time_zone: &str) -> Result<Self, OperatorError> {
        Ok(Self {
            time_zone: TimeZone::get(time_zone).map_err(|_| {
                OperatorError::Stop(format!(
                    "there is no time zone {time_zone}: use an IANA name such as Asia/Seoul"
                ))
            })?,
            time_zone_name: time_zone.to_owned(),
            month: None,
            usage_next: 0,
            subscribers_next: 0,
            usage_done: 0,
            closes: VecDeque::new(),
            closed: BTreeSet::new(),
            done: BTreeSet::new(),
            catalogs: HashMap::new(),
            portion_users: PORTION_USERS,
            packer: Packer::default(),
            scratch: Vec::new(),
            subscribers: codec::Decoder::new(),
            counts: Counts::default(),
        })
    }

    /// With a decoder for what it looks up of `subscribers`.
    #[must_use]
    pub fn with_decoder(mut self, subscribers: codec::Decoder<Subscriber>) -> Self {
        self.subscribers = subscribers;
        self
    }

    /// With portions of so many users, at least 1: a small one keeps steps short, and lets a test
    /// look between them.
    #[must_use]
    pub const fn with_portion(mut self, users: usize) -> Self {
        self.portion_users = if users == 0 { 1 } else { users };
        self
    }

    /// Takes up where the state stands.
    ///
    /// # Errors
    /// [`OperatorError::Stop`] if the state cannot be read.
    pub fn restored(&mut self, table: &dyn Table) -> Result<(), OperatorError> {
        let mut commands = BTreeMap::new();
        let mut texts = Vec::new();
        table.for_each(&mut |key, value| match key.split_first() {
            Some((b'q', number)) => {
                let number = number
                    .try_into()
                    .map(u64::from_be_bytes)
                    .unwrap_or_default();
                commands.insert(number, value.to_vec());
            }
            Some((b'p', months)) => {
                let months = months
                    .try_into()
                    .map(u32::from_be_bytes)
                    .unwrap_or(u32::MAX);
                self.closed.extend(Period::from_months(months));
            }
            Some((b'd', _)) => {
                self.done
                    .insert(String::from_utf8_lossy(value).into_owned());
            }
            Some((b'g', _)) => texts.push(value.to_vec()),
            Some((b'm', [])) => {
                self.usage_done = value.try_into().map(u64::from_be_bytes).unwrap_or_default();
            }
            _ => {}
        });
        for text in texts {
            self.catalog(&String::from_utf8_lossy(&text))?;
        }
        for (number, command) in commands {
            let command: Command =
                codec::decode(&command).map_err(|error| OperatorError::Stop(error.to_string()))?;
            if let Action::Close(close) = command.action {
                self.enqueue(number, command.command_id, close)?;
            }
        }
        Ok(())
    }

    /// Tells how far an input stands.
    pub fn positioned(&mut self, source: Source, next: u64) {
        match source {
            Source::Usage => self.usage_next = next,
            Source::Subscribers => self.subscribers_next = next,
            Source::Statements => {}
        }
    }

    /// Up to which offset an input may be taken in now.
    #[must_use]
    pub fn limit(&self, source: Source) -> Option<u64> {
        // while one close works, what comes in must not pass the cut of the one after it
        let waiting = self.closes.iter().find(|close| close.work.is_none())?;
        match source {
            Source::Usage => Some(waiting.close.usage_end.cast_unsigned()),
            Source::Subscribers => Some(waiting.close.subscribers_end.cast_unsigned()),
            Source::Statements => None,
        }
    }

    /// One command.
    ///
    /// # Errors
    /// [`OperatorError`].
    pub fn on_command(
        &mut self,
        command: Command,
        scope: &mut Scope<'_>,
    ) -> Result<(), OperatorError> {
        let Action::Close(mut close) = command.action else {
            return Ok(());
        };
        let known = self
            .closes
            .iter()
            .any(|pending| pending.id == command.command_id);
        if known || self.done.contains(&command.command_id) {
            return Ok(());
        }
        if close.time_zone != self.time_zone_name {
            return Err(OperatorError::Stop(format!(
                "{} was closed for the time zone {}, but this process is configured for {}: set time_zone to the same value everywhere",
                close.period, close.time_zone, self.time_zone_name
            )));
        }
        let digest = close.catalog_digest;
        scope
            .table
            .put(&short_key(b'g', &digest), close.catalog.as_bytes());
        // the templates are render's
        close.templates.clear();
        let number = self.closes.back().map_or(0, |last| last.number + 1);
        let stored = Command {
            command_id: command.command_id.clone(),
            issued_at: command.issued_at,
            action: Action::Close(close.clone()),
            by: command.by.clone(),
        };
        let bytes =
            codec::encode(&stored).map_err(|error| OperatorError::Stop(error.to_string()))?;
        scope.table.put(&close_key(number), &bytes);
        self.enqueue(number, command.command_id, close)
    }

    fn enqueue(&mut self, number: u64, id: String, close: Close) -> Result<(), OperatorError> {
        let catalog = self.catalog(&close.catalog)?;
        if catalog.digest() != close.catalog_digest {
            return Err(OperatorError::Stop(format!(
                "the close of {} carries a catalogue that its digest does not belong to: whatever wrote it is at fault",
                close.period
            )));
        }
        self.closes.push_back(PendingClose {
            number,
            id,
            close,
            catalog,
            work: None,
            refused: BTreeSet::new(),
        });
        Ok(())
    }

    fn catalog(&mut self, text: &str) -> Result<Catalog, OperatorError> {
        let digest = Digest::of(text.as_bytes());
        if let Some(catalog) = self.catalogs.get(&digest) {
            return Ok(catalog.clone());
        }
        let catalog = Catalog::from_toml(text).map_err(|error| {
            OperatorError::Stop(format!("the catalogue of a close cannot be read: {error}"))
        })?;
        self.catalogs.insert(digest, catalog.clone());
        Ok(catalog)
    }

    /// A bounded portion of the close at hand. Returns whether there is more.
    ///
    /// # Errors
    /// [`OperatorError`].
    pub fn advance(&mut self, scope: &mut Scope<'_>) -> Result<bool, OperatorError> {
        let Some(pending) = self.closes.front_mut() else {
            return Ok(false);
        };
        let reached = self.usage_next >= pending.close.usage_end.cast_unsigned()
            && self.subscribers_next >= pending.close.subscribers_end.cast_unsigned();
        let Some(mut pending) = reached.then(|| self.closes.pop_front()).flatten() else {
            return Ok(false);
        };
        let mut work = pending.work.take().unwrap_or_else(|| {
            self.closed.insert(pending.close.period);
            scope.table.put(&closed_key(pending.close.period), &[]);
            self.users_to_settle(pending.close.period, scope.table)
        });
        let portion = work.split_off(work.len().saturating_sub(self.portion_users));
        for user in portion.into_iter().rev() {
            self.settle_user(user, &mut pending, scope)?;
        }
        if work.is_empty() {
            scope.table.delete(&close_key(pending.number));
            scope.table.put(
                &short_key(b'd', &Digest::of(pending.id.as_bytes())),
                pending.id.as_bytes(),
            );
            self.done.insert(pending.id);
        } else {
            pending.work = Some(work);
            self.closes.push_front(pending);
        }
        Ok(!self.closes.is_empty())
    }

    /// Whether a close waits or works.
    #[must_use]
    pub fn unfinished(&self) -> usize {
        self.closes.len()
    }

    /// Whether what settled a period is no longer kept: who was settled then and who was not
    /// cannot be told apart any more, so nobody is.
    fn too_old(&self, period: Period) -> bool {
        self.closed
            .last()
            .is_some_and(|newest| period.months_until(*newest) > MONTHS_KEPT)
    }

    /// Event ids that told a record of before `end` from a new one are gone: from now on its place
    /// does.
    fn do_not_read_again(&mut self, end: u64, table: &mut dyn Table) {
        if end > self.usage_done {
            self.usage_done = end;
            table.put(DONE_KEY, &end.to_be_bytes());
        }
    }
}
