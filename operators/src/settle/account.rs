//! What settle remembers of a user.
//!
//! # Keys
//! `a USER` the account; `e USER CHUNK` a chunk of event ids; `f USER PERIOD` what a settled
//! period's bill was made of. USER is 8 bytes, CHUNK and PERIOD 4, big-endian.
//!
//! # Event ids
//! A seen event is 20 bytes: 8 of the BLAKE3 of its id, 4 of a hash of its content, its period
//! (2) and its offset in `usage` (6), so that the original can be found again. Entries are
//! appended to chunks of at most [`CHUNK_ENTRIES`], so that one event rewrites a bounded amount
//! however many a user has.

use sealpost_schemas::record::{Usage, UsageTotals};
use sealpost_schemas::{Digest, Period, UserId, Won};

use crate::pack::{Packer, Unpacker};
use crate::table::{OperatorError, Table};

const ACCOUNT: u8 = 1;
const FROZEN: u8 = 1;

/// Entries in one chunk of event ids.
pub(super) const CHUNK_ENTRIES: usize = 64;
const ENTRY_BYTES: usize = 20;

/// Where the subscriber's row is, and whether it bills.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ProfileAt {
    pub(super) offset: u64,
    pub(super) active: bool,
}

/// See the module.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Account {
    pub(super) profile: Option<ProfileAt>,
    /// The chunks that there are: from the first to before the last.
    pub(super) chunks: (u32, u32),
    /// Credit for the next statement, at least 0.
    pub(super) credit: Won,
    /// Totals of periods that are not settled, sorted.
    pub(super) open: Vec<(Period, UsageTotals)>,
    /// Settled periods with late usage that no statement has yet, sorted.
    pub(super) late: Vec<Period>,
}

/// The frozen inputs of a settled period, and what was billed for it so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Frozen {
    pub(super) catalog: Digest,
    pub(super) plan: String,
    pub(super) options: Vec<String>,
    pub(super) welfare: Option<String>,
    pub(super) contract: bool,
    pub(super) soldier: bool,
    pub(super) usage: UsageTotals,
    pub(super) billed: Won,
}

/// One seen event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) id: u64,
    pub(super) content: u32,
    pub(super) period: Period,
    pub(super) offset: u64,
}

impl Seen {
    pub(super) fn new(usage: &Usage, period: Period, offset: u64) -> Self {
        let id = blake3::hash(usage.event_id.as_bytes());
        let id = id
            .as_bytes()
            .first_chunk()
            .map_or(0, |bytes| u64::from_be_bytes(*bytes));
        // FNV-1a, folded: it only tells contents of one event id apart
        let mut content = 0xcbf2_9ce4_8422_2325_u64;
        let parts = [usage.occurred_at.0, usage.kind as i64, usage.quantity];
        for byte in parts.iter().flat_map(|part| part.to_le_bytes()) {
            content = (content ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        Self {
            id,
            content: (content ^ (content >> 32)) as u32,
            period,
            offset,
        }
    }

    pub(super) fn put(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.id.to_be_bytes());
        out.extend_from_slice(&self.content.to_be_bytes());
        // periods end at month 96,359: beyond 16 bits only after the year 7431
        out.extend_from_slice(&(self.period.months() as u16).to_be_bytes());
        out.extend(self.offset.to_be_bytes().into_iter().skip(2));
    }

    fn read(entry: &[u8; ENTRY_BYTES]) -> Option<Self> {
        let (id, rest) = entry.split_first_chunk::<8>()?;
        let (content, rest) = rest.split_first_chunk::<4>()?;
        let (period, offset) = rest.split_first_chunk::<2>()?;
        let offset = offset
            .iter()
            .fold(0_u64, |offset, byte| (offset << 8) | u64::from(*byte));
        Some(Self {
            id: u64::from_be_bytes(*id),
            content: u32::from_be_bytes(*content),
            period: Period::from_months(u32::from(u16::from_be_bytes(*period))).ok()?,
            offset,
        })
    }

    /// The entries of a chunk.
    pub(super) fn read_all(chunk: &[u8]) -> impl DoubleEndedIterator<Item = Self> + '_ {
        chunk
            .as_chunks::<ENTRY_BYTES>()
            .0
            .iter()
            .filter_map(Self::read)
    }
}

pub(super) fn account_key(user: UserId) -> [u8; 9] {
    let mut key = [b'a'; 9];
    for (to, from) in key.iter_mut().skip(1).zip(user.to_be_bytes()) {
        *to = from;
    }
    key
}

fn numbered_key(prefix: u8, user: UserId, number: u32) -> [u8; 13] {
    let mut key = [prefix; 13];
    for (to, from) in key
        .iter_mut()
        .skip(1)
        .zip(user.to_be_bytes().into_iter().chain(number.to_be_bytes()))
    {
        *to = from;
    }
    key
}

pub(super) fn chunk_key(user: UserId, chunk: u32) -> [u8; 13] {
    numbered_key(b'e', user, chunk)
}

pub(super) fn frozen_key(user: UserId, period: Period) -> [u8; 13] {
    numbered_key(b'f', user, period.months())
}

/// The user of an account key; `None` for any other key.
pub(super) fn account_user(key: &[u8]) -> Option<UserId> {
    let rest = key.strip_prefix(b"a")?;
    UserId::new(u64::from_be_bytes(rest.try_into().ok()?)).ok()
}

fn put_totals(packer: &mut Packer, totals: &UsageTotals) {
    packer
        .signed(totals.data_bytes)
        .signed(totals.voice_seconds)
        .signed(totals.sms_messages)
        .signed(totals.content_won);
}

fn totals(value: &mut Unpacker<'_>) -> Option<UsageTotals> {
    Some(UsageTotals {
        data_bytes: value.signed()?,
        voice_seconds: value.signed()?,
        sms_messages: value.signed()?,
        content_won: value.signed()?,
    })
}

fn period(value: &mut Unpacker<'_>) -> Option<Period> {
    Period::from_months(u32::try_from(value.number()?).ok()?).ok()
}

fn unreadable() -> OperatorError {
    OperatorError::Stop(
        "what settle remembers of a user cannot be read: a newer version wrote it, or it is damaged; run that version, or restore the state"
            .to_owned(),
    )
}

impl Account {
    /// # Errors
    /// [`OperatorError::Stop`] if it is there and cannot be read: taken for a new one, it would
    /// bill again what it has billed.
    pub(super) fn load(table: &dyn Table, user: UserId) -> Result<Option<Self>, OperatorError> {
        table
            .get(&account_key(user))
            .map(|bytes| Self::unpack(bytes).ok_or_else(unreadable))
            .transpose()
    }

    pub(super) fn store(&self, table: &mut dyn Table, user: UserId, packer: &mut Packer) {
        packer.begin(ACCOUNT);
        match self.profile {
            None => packer.number(0),
            Some(profile) => packer
                .number(1 + u64::from(profile.active))
                .number(profile.offset),
        };
        packer
            .number(u64::from(self.chunks.0))
            .number(u64::from(self.chunks.1))
            .signed(self.credit.0);
        packer.number(self.open.len() as u64);
        for (period, totals) in &self.open {
            packer.number(u64::from(period.months()));
            put_totals(packer, totals);
        }
        packer.number(self.late.len() as u64);
        for period in &self.late {
            packer.number(u64::from(period.months()));
        }
        table.put(&account_key(user), packer.bytes());
    }

    pub(super) fn unpack(bytes: &[u8]) -> Option<Self> {
        let mut value = Unpacker::open(bytes, ACCOUNT)?;
        let profile = match value.number()? {
            0 => None,
            state => Some(ProfileAt {
                offset: value.number()?,
                active: state == 2,
            }),
        };
        let chunks = (
            u32::try_from(value.number()?).ok()?,
            u32::try_from(value.number()?).ok()?,
        );
        let credit = Won(value.signed()?);
        let open = (0..value.number()?)
            .map(|_| Some((period(&mut value)?, totals(&mut value)?)))
            .collect::<Option<_>>()?;
        let late = (0..value.number()?)
            .map(|_| period(&mut value))
            .collect::<Option<_>>()?;
        Some(Self {
            profile,
            chunks,
            credit,
            open,
            late,
        })
    }

    /// The totals of an open period, made if they are not there.
    pub(super) fn open_period(&mut self, period: Period) -> &mut UsageTotals {
        let place = match self.open.binary_search_by_key(&period, |(open, _)| *open) {
            Ok(place) => place,
            Err(place) => {
                self.open.insert(place, (period, UsageTotals::default()));
                place
            }
        };
        #[allow(
            clippy::indexing_slicing,
            reason = "the place was found or made just above"
        )]
        &mut self.open[place].1
    }

    /// Takes the totals of an open period out.
    pub(super) fn take_open(&mut self, period: Period) -> UsageTotals {
        match self.open.binary_search_by_key(&period, |(open, _)| *open) {
            Ok(place) => self.open.remove(place).1,
            Err(_) => UsageTotals::default(),
        }
    }

    pub(super) fn mark_late(&mut self, period: Period) {
        if let Err(place) = self.late.binary_search(&period) {
            self.late.insert(place, period);
        }
    }

    /// The event with this id, if it was seen.
    pub(super) fn find_seen(&self, table: &dyn Table, user: UserId, id: u64) -> Option<Seen> {
        (self.chunks.0..self.chunks.1).rev().find_map(|chunk| {
            let chunk = table.get(&chunk_key(user, chunk))?;
            // a user may have thousands: only the one that is found is taken apart
            let entries = chunk.as_chunks::<ENTRY_BYTES>().0;
            let entry = entries.iter().rev().find(|entry| {
                let stored = entry.first_chunk().copied().map(u64::from_be_bytes);
                stored == Some(id)
            })?;
            Seen::read(entry)
        })
    }

    /// Remembers an event.
    pub(super) fn remember(
        &mut self,
        table: &mut dyn Table,
        user: UserId,
        seen: Seen,
        scratch: &mut Vec<u8>,
    ) {
        scratch.clear();
        if let Some(last) = self
            .chunks
            .1
            .checked_sub(1)
            .filter(|last| *last >= self.chunks.0)
            && let Some(chunk) = table.get(&chunk_key(user, last))
            && chunk.len() < CHUNK_ENTRIES * ENTRY_BYTES
        {
            scratch.extend_from_slice(chunk);
        } else {
            self.chunks.1 += 1;
        }
        seen.put(scratch);
        table.put(&chunk_key(user, self.chunks.1 - 1), scratch);
    }

    /// Every seen event, oldest first.
    pub(super) fn all_seen(&self, table: &dyn Table, user: UserId) -> Vec<Seen> {
        (self.chunks.0..self.chunks.1)
            .filter_map(|chunk| table.get(&chunk_key(user, chunk)))
            .flat_map(Seen::read_all)
            .collect()
    }

    /// Forgets the events for which `keep` is false.
    pub(super) fn retain_seen(
        &mut self,
        table: &mut dyn Table,
        user: UserId,
        keep: impl Fn(&Seen) -> bool,
    ) {
        for chunk in self.chunks.0..self.chunks.1 {
            let Some(bytes) = table.get(&chunk_key(user, chunk)) else {
                continue;
            };
            if Seen::read_all(bytes).all(|seen| keep(&seen)) {
                continue;
            }
            let mut left = Vec::with_capacity(bytes.len());
            Seen::read_all(bytes)
                .filter(|seen| keep(seen))
                .for_each(|seen| seen.put(&mut left));
            if left.is_empty() {
                table.delete(&chunk_key(user, chunk));
            } else {
                table.put(&chunk_key(user, chunk), &left);
            }
        }
        while self.chunks.0 < self.chunks.1 && table.get(&chunk_key(user, self.chunks.0)).is_none()
        {
            self.chunks.0 += 1;
        }
    }
}

impl Frozen {
    /// # Errors
    /// [`OperatorError::Stop`] if it is there and cannot be read.
    pub(super) fn load(
        table: &dyn Table,
        user: UserId,
        period: Period,
    ) -> Result<Option<Self>, OperatorError> {
        table
            .get(&frozen_key(user, period))
            .map(|bytes| Self::unpack(bytes).ok_or_else(unreadable))
            .transpose()
    }

    fn unpack(bytes: &[u8]) -> Option<Self> {
        let mut value = Unpacker::open(bytes, FROZEN)?;
        let catalog = Digest(value.raw(32)?.try_into().ok()?);
        let plan = value.text()?.to_owned();
        let options = (0..value.number()?)
            .map(|_| value.text().map(str::to_owned))
            .collect::<Option<_>>()?;
        let flags = value.number()?;
        let welfare = if flags & 4 == 0 {
            None
        } else {
            Some(value.text()?.to_owned())
        };
        Some(Self {
            catalog,
            plan,
            options,
            welfare,
            contract: flags & 1 != 0,
            soldier: flags & 2 != 0,
            usage: totals(&mut value)?,
            billed: Won(value.signed()?),
        })
    }

    pub(super) fn store(
        &self,
        table: &mut dyn Table,
        user: UserId,
        period: Period,
        packer: &mut Packer,
    ) {
        packer
            .begin(FROZEN)
            .raw(&self.catalog.0)
            .text(&self.plan)
            .number(self.options.len() as u64);
        for option in &self.options {
            packer.text(option);
        }
        packer.number(
            u64::from(self.contract)
                | u64::from(self.soldier) << 1
                | u64::from(self.welfare.is_some()) << 2,
        );
        if let Some(welfare) = &self.welfare {
            packer.text(welfare);
        }
        put_totals(packer, &self.usage);
        packer.signed(self.billed.0);
        table.put(&frozen_key(user, period), packer.bytes());
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::table::testing::MapTable;
    use proptest::prelude::*;
    use sealpost_schemas::Timestamp;
    use sealpost_schemas::record::UsageKind;

    fn user() -> UserId {
        UserId::new(7).unwrap()
    }

    fn usage(number: u64) -> Usage {
        Usage {
            user_id: user(),
            event_id: format!("event-{number}"),
            occurred_at: Timestamp(5),
            kind: UsageKind::Data,
            quantity: 3,
        }
    }

    proptest! {
        #[test]
        fn every_remembered_event_is_found_until_it_is_forgotten(count in 0_u64..300, forgotten in 0_u64..300) {
            let mut table = MapTable::default();
            let mut account = Account::default();
            let period = Period::new(2026, 1).unwrap();
            for number in 0..count {
                account.remember(&mut table, user(), Seen::new(&usage(number), period, number), &mut Vec::new());
            }
            account.retain_seen(&mut table, user(), |seen| seen.offset >= forgotten);
            for number in 0..count {
                let seen = Seen::new(&usage(number), period, number);
                let found = account.find_seen(&table, user(), seen.id);
                prop_assert_eq!(found, (number >= forgotten).then_some(seen));
            }
        }

        #[test]
        fn an_account_reads_as_it_was_written(offset: u64, active: bool, credit: i64, months in proptest::collection::btree_set(0_u32..9000, 0..5), data: i64) {
            let periods: Vec<_> = months.iter().map(|m| Period::from_months(*m).unwrap()).collect();
            let account = Account {
                profile: Some(ProfileAt { offset, active }),
                chunks: (1, 3),
                credit: Won(credit),
                open: periods.iter().map(|p| (*p, UsageTotals { data_bytes: data, ..UsageTotals::default() })).collect(),
                late: periods,
            };
            let mut table = MapTable::default();
            account.store(&mut table, user(), &mut Packer::default());
            prop_assert_eq!(Account::load(&table, user()).unwrap(), Some(account));
        }
    }
}
