//! What settle remembers, on its way to other shards.
//!
//! # Pointers
//! An account points to its subscriber's row; a seen event to its record in `usage`, which is looked
//! up only while the event's period has no bill of its user yet: then the original may still have to
//! go to the dead letters.

use sealpost_schemas::{Period, UserId};

use super::account::{Account, Seen, account_user};
use crate::carry::{CarryError, Owner};
use crate::pack::Packer;
use crate::table::Table;

/// The offset of an event whose record was not carried over: 48 bits, beyond any end.
const NOWHERE: u64 = (1 << 48) - 1;

/// Whose an entry is; `None` if no version known here has written it.
#[must_use]
pub fn owner(key: &[u8]) -> Option<Owner> {
    match (key.first()?, key.len()) {
        (b'a', 9) => account_user(key).map(Owner::User),
        (b'e' | b'f', 13) => numbered(key).map(|(user, _)| Owner::User(user)),
        (b'q', 9) => Some(Owner::Unfinished),
        (b'm', 1) => Some(Owner::ThisShard),
        (b'p', 5) | (b'd' | b'g', 25) => Some(Owner::EveryShard),
        _ => None,
    }
}

/// Of whom and of when an entry holds what a bill was made of; `None` if it is another entry.
#[must_use]
pub fn billed(key: &[u8]) -> Option<(UserId, Period)> {
    let (user, months) = key
        .first()
        .filter(|first| **first == b'f')
        .and_then(|_| numbered(key))?;
    Some((user, Period::from_months(months).ok()?))
}

/// The events that an entry remembers: user, period, and offset in `usage`.
pub fn events(key: &[u8], value: &[u8]) -> impl Iterator<Item = (UserId, Period, u64)> {
    let user = match key.first() {
        Some(b'e') => numbered(key).map(|(user, _)| user),
        _ => None,
    };
    user.into_iter().flat_map(move |user| {
        Seen::read_all(value).map(move |seen| (user, seen.period, seen.offset))
    })
}

/// An entry with its pointers set again: `subscriber` tells where the row of a user lies now,
/// `usage` where the event does that lay at an offset, if it was carried over.
///
/// # Errors
/// [`CarryError`].
pub fn repointed(
    key: &[u8],
    value: &[u8],
    subscriber: &dyn Fn(UserId) -> Option<u64>,
    usage: &dyn Fn(u64) -> Option<u64>,
) -> Result<Vec<u8>, CarryError> {
    match key.first() {
        Some(b'a') => {
            let user = account_user(key).ok_or(CarryError::Unreadable)?;
            let mut account = Account::unpack(value).ok_or(CarryError::Unreadable)?;
            if let Some(profile) = &mut account.profile {
                profile.offset = subscriber(user).ok_or(CarryError::Gone)?;
            }
            let mut packer = Packer::default();
            account.store(&mut Nowhere, user, &mut packer);
            Ok(packer.bytes().to_vec())
        }
        Some(b'e') => {
            let mut entries = Vec::with_capacity(value.len());
            for seen in Seen::read_all(value) {
                let offset = usage(seen.offset).unwrap_or(NOWHERE);
                Seen { offset, ..seen }.put(&mut entries);
            }
            if entries.len() == value.len() {
                Ok(entries)
            } else {
                Err(CarryError::Unreadable)
            }
        }
        _ => Ok(value.to_vec()),
    }
}

fn numbered(key: &[u8]) -> Option<(UserId, u32)> {
    let (user, number) = key.get(1..)?.split_first_chunk::<8>()?;
    let user = UserId::new(u64::from_be_bytes(*user)).ok()?;
    Some((user, u32::from_be_bytes(number.try_into().ok()?)))
}

/// Takes what an account writes: only its bytes are wanted, which stay in the packer.
struct Nowhere;

impl Table for Nowhere {
    fn get(&self, _: &[u8]) -> Option<&[u8]> {
        None
    }
    fn put(&mut self, _: &[u8], _: &[u8]) {}
    fn delete(&mut self, _: &[u8]) {}
    fn for_each(&self, _: &mut dyn FnMut(&[u8], &[u8])) {}
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::super::account::{ProfileAt, account_key, chunk_key, frozen_key};
    use super::super::{DONE_KEY, close_key, closed_key, short_key};
    use super::*;
    use crate::table::testing::MapTable;
    use sealpost_schemas::{Digest, Won};

    fn user() -> UserId {
        UserId::new(7).unwrap()
    }

    #[test]
    fn every_key_that_settle_writes_has_an_owner() {
        let digest = Digest::of(b"x");
        let period = Period::new(2026, 1).unwrap();
        for key in [
            account_key(user()).to_vec(),
            chunk_key(user(), 3).to_vec(),
            frozen_key(user(), period).to_vec(),
        ] {
            assert_eq!(owner(&key), Some(Owner::User(user())));
        }
        for key in [
            closed_key(period).to_vec(),
            short_key(b'd', &digest).to_vec(),
            short_key(b'g', &digest).to_vec(),
        ] {
            assert_eq!(owner(&key), Some(Owner::EveryShard));
        }
        assert_eq!(owner(&close_key(1)), Some(Owner::Unfinished));
        assert_eq!(owner(DONE_KEY), Some(Owner::ThisShard));
        assert_eq!(owner(b"z"), None);
        assert_eq!(billed(&frozen_key(user(), period)), Some((user(), period)));
    }

    #[test]
    fn only_the_pointers_of_an_account_change() {
        let account = Account {
            profile: Some(ProfileAt {
                offset: 5,
                active: true,
            }),
            chunks: (1, 3),
            credit: Won(42),
            open: Vec::new(),
            late: vec![Period::new(2026, 1).unwrap()],
        };
        let mut table = MapTable::default();
        account.store(&mut table, user(), &mut Packer::default());
        let key = account_key(user());
        let moved = repointed(&key, table.get(&key).unwrap(), &|_| Some(9), &|_| None).unwrap();
        let mut expected = account;
        expected.profile = Some(ProfileAt {
            offset: 9,
            active: true,
        });
        assert_eq!(Account::unpack(&moved), Some(expected));
        let gone = repointed(&key, table.get(&key).unwrap(), &|_| None, &|_| None);
        assert_eq!(gone, Err(CarryError::Gone));
    }

    #[test]
    fn events_point_to_where_their_records_lie_now_or_nowhere() {
        let mut chunk = Vec::new();
        let seen = Seen {
            id: 1,
            content: 2,
            period: Period::new(2026, 1).unwrap(),
            offset: 30,
        };
        seen.put(&mut chunk);
        Seen { offset: 31, ..seen }.put(&mut chunk);
        let key = chunk_key(user(), 0);
        let moved = repointed(&key, &chunk, &|_| None, &|offset| {
            (offset == 30).then_some(4)
        })
        .unwrap();
        let offsets: Vec<_> = events(&key, &moved).map(|(_, _, offset)| offset).collect();
        assert_eq!(offsets, [4, NOWHERE]);
    }
}
