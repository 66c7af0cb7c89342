//! Before when nothing of a period goes, as closes said.

use std::collections::BTreeMap;

use sealpost_schemas::{Period, Timestamp};

use crate::pack::{Packer, Unpacker};
use crate::table::Table;

const NOT_BEFORE: u8 = 1;

/// What an entry's key begins with; the period follows.
pub(super) const PREFIX: u8 = b'n';
pub(super) const KEY_BYTES: usize = 5;

/// Every period that has such a time.
#[derive(Debug, Default)]
pub(super) struct NotBefore(BTreeMap<Period, Timestamp>);

impl NotBefore {
    /// Takes in a stored entry.
    pub(super) fn restore(&mut self, key: &[u8], value: &[u8]) {
        let period = key
            .get(1..)
            .and_then(|months| months.try_into().ok())
            .and_then(|months| Period::from_months(u32::from_be_bytes(months)).ok());
        if let (Some(period), Some(at)) = (period, unpack(value)) {
            self.0.insert(period, at);
        }
    }

    /// From when on messages of a period may go, as far as closes say.
    pub(super) fn of(&self, period: Period) -> Option<Timestamp> {
        self.0.get(&period).copied()
    }

    /// Sets it. Returns whether that changes anything.
    pub(super) fn set(&mut self, period: Period, at: Timestamp, table: &mut dyn Table) -> bool {
        if self.0.insert(period, at) == Some(at) {
            return false;
        }
        let mut key = [PREFIX; KEY_BYTES];
        for (to, from) in key.iter_mut().skip(1).zip(period.months().to_be_bytes()) {
            *to = from;
        }
        let mut packer = Packer::default();
        packer.begin(NOT_BEFORE).signed(at.0);
        table.put(&key, packer.bytes());
        true
    }
}

fn unpack(value: &[u8]) -> Option<Timestamp> {
    Some(Timestamp(Unpacker::open(value, NOT_BEFORE)?.signed()?))
}

/// Whether a stored value is one of these; another version may write others.
pub(super) fn is_known(value: &[u8]) -> bool {
    unpack(value).is_some()
}
