//! What render remembers, on its way to other shards. A route points to its statement.

use sealpost_schemas::{Period, UserId};

use super::retry::{Running, unpack_retry};
use super::state::{Route, RouteKey};
use super::{corrections, not_before, suppression};
use crate::carry::{CarryError, Owner};
use crate::holds;
use crate::pack::Packer;
use crate::table::Table;

/// Whose an entry is; `None` if no version known here has written it.
#[must_use]
pub fn owner(key: &[u8], value: &[u8]) -> Option<Owner> {
    match (*key.first()?, key.len()) {
        (b'u', 15) => RouteKey::read(key).map(|key| Owner::User(key.user)),
        (b'P', 1) | (b't', 25) => Some(Owner::EveryShard),
        (suppression::PREFIX, suppression::KEY_BYTES) => {
            suppression::is_known(value).then_some(Owner::EveryShard)
        }
        (not_before::PREFIX, not_before::KEY_BYTES) => {
            not_before::is_known(value).then_some(Owner::EveryShard)
        }
        (holds::PREFIX, holds::KEY_BYTES) => holds::is_known(value).then_some(Owner::EveryShard),
        (b'r', 5) => unpack_retry(value).map(|(_, _, running)| {
            if running {
                Owner::Unfinished
            } else {
                Owner::EveryShard
            }
        }),
        (corrections::PREFIX, corrections::KEY_BYTES) => {
            corrections::running(value).map(|running| match running {
                Running::Yes => Owner::Unfinished,
                Running::No => Owner::EveryShard,
            })
        }
        _ => None,
    }
}

/// An entry with its pointer set again: `statement` tells where the statement of a user's period
/// lies now.
///
/// # Errors
/// [`CarryError`].
pub fn repointed(
    key: &[u8],
    value: &[u8],
    statement: &dyn Fn(UserId, Period) -> Option<u64>,
) -> Result<Vec<u8>, CarryError> {
    if key.first() != Some(&b'u') {
        return Ok(value.to_vec());
    }
    let route_key = RouteKey::read(key).ok_or(CarryError::Unreadable)?;
    let mut route = Route::unpack(value).ok_or(CarryError::Unreadable)?;
    route.statement = statement(route_key.user, route_key.period).ok_or(CarryError::Gone)?;
    let mut packer = Packer::default();
    route.store(&mut Nowhere, route_key, &mut packer);
    Ok(packer.bytes().to_vec())
}

/// Takes what a route writes: only its bytes are wanted, which stay in the packer.
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
    use super::super::policies::POLICIES_KEY;
    use super::super::retry::{pack_retry, retry_key};
    use super::super::state::State;
    use super::*;
    use crate::table::testing::MapTable;
    use sealpost_schemas::record::{AddressToken, Hold, Policy, Suppress, SuppressionReason};
    use sealpost_schemas::{Channel, Digest, Kind, Timestamp, Version};

    #[test]
    fn a_retry_that_runs_is_unfinished_and_one_that_ran_is_every_shards() {
        let policy = Policy {
            channels: vec![Channel::Email],
            attempts_per_channel: 3,
        };
        let key = retry_key(Period::new(2026, 1).unwrap());
        let entry = |running| pack_retry(Version(1), &policy, running);
        assert_eq!(owner(&key, &entry(Running::Yes)), Some(Owner::Unfinished));
        assert_eq!(owner(&key, &entry(Running::No)), Some(Owner::EveryShard));
        assert_eq!(owner(POLICIES_KEY, b""), Some(Owner::EveryShard));
        assert_eq!(owner(b"", b""), None);
    }

    #[test]
    fn a_suppressed_address_is_every_shards() {
        let suppress = Suppress {
            reason: SuppressionReason::Blocked,
            addresses: vec![AddressToken {
                channel: Channel::Push,
                token: Digest::of(b"token"),
            }],
        };
        let mut table = MapTable::default();
        suppression::add(&suppress, Timestamp(9), &mut table, &mut Packer::default());
        let (key, value) = table.0.first_key_value().unwrap();
        assert_eq!(owner(key, value), Some(Owner::EveryShard));
        assert_eq!(repointed(key, value, &|_, _| None).as_ref(), Ok(value));
        assert_eq!(owner(key, &[99]), None);
    }

    #[test]
    fn a_time_before_which_nothing_goes_is_every_shards() {
        let mut table = MapTable::default();
        let period = Period::new(2026, 1).unwrap();
        let mut set = not_before::NotBefore::default();
        assert!(set.set(period, Timestamp(77), &mut table));
        let (key, value) = table.0.first_key_value().unwrap();
        assert_eq!(owner(key, value), Some(Owner::EveryShard));
        assert_eq!(repointed(key, value, &|_, _| None).as_ref(), Ok(value));
        assert_eq!(owner(key, &[99]), None);
    }

    #[test]
    fn what_is_held_is_every_shards() {
        let mut table = MapTable::default();
        let hold = Hold {
            period: Period::new(2026, 1).unwrap(),
            channel: None,
        };
        holds::Holds::default().hold(&hold, &mut table);
        let (key, value) = table.0.first_key_value().unwrap();
        assert_eq!(owner(key, value), Some(Owner::EveryShard));
        assert_eq!(repointed(key, value, &|_, _| None).as_ref(), Ok(value));
        assert_eq!(owner(key, &[99]), None);
    }

    #[test]
    fn only_the_pointer_of_a_route_changes() {
        let key = RouteKey {
            user: UserId::new(7).unwrap(),
            period: Period::new(2026, 1).unwrap(),
            kind: Kind::Bill,
        };
        let policy = Policy {
            channels: vec![Channel::Sms],
            attempts_per_channel: 2,
        };
        let mut route = Route {
            statement: 5,
            version: Version(1),
            state: State::Rendered(Channel::Sms),
            tried: 2,
            policy,
        };
        let mut table = MapTable::default();
        route.store(&mut table, key, &mut Packer::default());
        let bytes = key.bytes();
        assert_eq!(owner(&bytes, b""), Some(Owner::User(key.user)));
        let moved = repointed(&bytes, table.get(&bytes).unwrap(), &|_, _| Some(900)).unwrap();
        route.statement = 900;
        assert_eq!(Route::unpack(&moved), Some(route));
        let gone = repointed(&bytes, table.get(&bytes).unwrap(), &|_, _| None);
        assert_eq!(gone, Err(CarryError::Gone));
    }
}
