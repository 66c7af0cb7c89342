//! What an operator has stopped: channels of periods. Render and send each keep it, by the same
//! commands: render parks what would be next, send gives back what it has not begun.
//!
//! Commands set what is so, in their order: read again from the begin, they lead to the same.

use std::collections::BTreeMap;

use sealpost_schemas::record::{Hold, Release};
use sealpost_schemas::{Channel, Period};

use crate::pack::{Packer, Unpacker};
use crate::table::{OperatorError, Table};

const HOLD: u8 = 1;

/// What an entry's key begins with; the period follows.
pub(crate) const PREFIX: u8 = b'h';
pub(crate) const KEY_BYTES: usize = 5;

/// The channels of each period that are held, by bit.
#[derive(Debug, Default)]
pub struct Holds(BTreeMap<Period, u8>);

impl Holds {
    /// As a store remembers it.
    ///
    /// # Errors
    /// [`OperatorError::Stop`] if an entry cannot be read: what was stopped might go.
    pub fn restored(table: &dyn Table) -> Result<Self, OperatorError> {
        let (mut holds, mut unreadable) = (Self::default(), false);
        table.for_each(&mut |key, value| {
            if is_entry(key) {
                match (period_of(key), unpack(value)) {
                    (Some(period), Some(channels)) => {
                        holds.0.insert(period, channels);
                    }
                    _ => unreadable = true,
                }
            }
        });
        if unreadable {
            return Err(OperatorError::Stop(
                "what is held cannot be read: a newer version wrote it, or it is damaged; run that version"
                    .to_owned(),
            ));
        }
        Ok(holds)
    }

    /// A channel of a period, or all of them, from now on.
    pub fn hold(&mut self, hold: &Hold, table: &mut dyn Table) {
        let channels = self.0.get(&hold.period).copied().unwrap_or_default();
        self.set(hold.period, channels | bits(hold.channel), table);
    }

    /// A channel of a period, or all of them, no longer.
    pub fn release(&mut self, release: &Release, table: &mut dyn Table) {
        let channels = self.0.get(&release.period).copied().unwrap_or_default();
        self.set(release.period, channels & !bits(release.channel), table);
    }

    fn set(&mut self, period: Period, channels: u8, table: &mut dyn Table) {
        let mut key = [PREFIX; KEY_BYTES];
        for (to, from) in key.iter_mut().skip(1).zip(period.months().to_be_bytes()) {
            *to = from;
        }
        if channels == 0 {
            self.0.remove(&period);
            table.delete(&key);
        } else {
            self.0.insert(period, channels);
            let mut packer = Packer::default();
            packer.begin(HOLD).number(u64::from(channels));
            table.put(&key, packer.bytes());
        }
    }

    /// Whether nothing of a period may begin on a channel.
    #[must_use]
    pub fn cover(&self, period: Period, channel: Channel) -> bool {
        self.0
            .get(&period)
            .is_some_and(|channels| channels & bits(Some(channel)) != 0)
    }
}

/// Whether an entry of a store is one of these.
#[must_use]
pub fn is_entry(key: &[u8]) -> bool {
    key.first() == Some(&PREFIX) && key.len() == KEY_BYTES
}

/// Whether a stored value is one of these; another version may write others.
pub(crate) fn is_known(value: &[u8]) -> bool {
    unpack(value).is_some()
}

fn period_of(key: &[u8]) -> Option<Period> {
    let months = key.get(1..)?.try_into().ok()?;
    Period::from_months(u32::from_be_bytes(months)).ok()
}

fn unpack(value: &[u8]) -> Option<u8> {
    u8::try_from(Unpacker::open(value, HOLD)?.number()?).ok()
}

fn bits(channel: Option<Channel>) -> u8 {
    let all = Channel::ALL.into_iter();
    all.filter(|one| channel.is_none_or(|channel| channel == *one))
        .fold(0, |bits, one| bits | 1 << one.index())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
    use super::*;
    use crate::table::testing::MapTable;

    fn period(month: u8) -> Period {
        Period::new(2026, i8::try_from(month).unwrap()).unwrap()
    }

    fn hold(month: u8, channel: Option<Channel>) -> Hold {
        Hold {
            period: period(month),
            channel,
        }
    }

    fn release(month: u8, channel: Option<Channel>) -> Release {
        Release {
            period: period(month),
            channel,
        }
    }

    /// What was restored covers the same.
    fn covered(table: &MapTable, month: u8) -> Vec<Channel> {
        let holds = Holds::restored(table).unwrap();
        let all = Channel::ALL.into_iter();
        all.filter(|channel| holds.cover(period(month), *channel))
            .collect()
    }

    #[test]
    fn channels_are_held_and_released_one_by_one_or_all_at_once() {
        let (mut holds, mut table) = (Holds::default(), MapTable::default());
        holds.hold(&hold(1, Some(Channel::Email)), &mut table);
        holds.hold(&hold(1, Some(Channel::Email)), &mut table);
        assert_eq!(covered(&table, 1), [Channel::Email]);
        assert_eq!(covered(&table, 2), []);
        holds.hold(&hold(1, None), &mut table);
        assert_eq!(covered(&table, 1), Channel::ALL);
        holds.release(&release(1, Some(Channel::Sms)), &mut table);
        assert!(!holds.cover(period(1), Channel::Sms));
        assert_eq!(
            covered(&table, 1),
            [Channel::Email, Channel::Kakao, Channel::Push]
        );
        holds.release(&release(2, None), &mut table);
        holds.release(&release(1, None), &mut table);
        assert!(table.0.is_empty() && !holds.cover(period(1), Channel::Email));
    }

    #[test]
    fn an_entry_that_cannot_be_read_stops() {
        let (mut holds, mut table) = (Holds::default(), MapTable::default());
        holds.hold(&hold(1, None), &mut table);
        for value in table.0.values_mut() {
            value[0] = 99;
        }
        assert!(Holds::restored(&table).is_err());
    }
}
