//! A route as it is remembered.

use sealpost_schemas::record::Policy;
use sealpost_schemas::{Channel, Kind, Period, Timestamp, UserId, Version};

use crate::pack::{Packer, Unpacker};
use crate::table::{OperatorError, Table};

const ROUTE: u8 = 1;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct RouteKey {
    pub(super) user: UserId,
    pub(super) period: Period,
    pub(super) kind: Kind,
}

impl RouteKey {
    pub(super) fn bytes(self) -> [u8; 15] {
        let kind = match self.kind {
            Kind::Bill => 0,
            Kind::Correction(number) => number,
        };
        let mut key = [b'u'; 15];
        let parts = self
            .user
            .to_be_bytes()
            .into_iter()
            .chain(self.period.months().to_be_bytes())
            .chain(kind.to_be_bytes());
        for (to, from) in key.iter_mut().skip(1).zip(parts) {
            *to = from;
        }
        key
    }

    /// The key of its records in the topics.
    pub(super) fn log_key(self) -> Vec<u8> {
        format!("{}/{}", self.user, self.period).into_bytes()
    }

    pub(super) fn read(key: &[u8]) -> Option<Self> {
        let (user, rest) = key.strip_prefix(b"u")?.split_first_chunk::<8>()?;
        let (period, kind) = rest.split_first_chunk::<4>()?;
        Some(Self {
            user: UserId::new(u64::from_be_bytes(*user)).ok()?,
            period: Period::from_months(u32::from_be_bytes(*period)).ok()?,
            kind: match u16::from_be_bytes(kind.try_into().ok()?) {
                0 => Kind::Bill,
                number => Kind::Correction(number),
            },
        })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Held(Timestamp),
    Rendered(Channel),
    Sent,
    Failed,
    Unknown(Channel),
    Suppressed,
    /// Would go by this channel, which an operator holds.
    Parked(Channel),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Route {
    /// Offset of its statement.
    pub(super) statement: u64,
    pub(super) version: Version,
    pub(super) state: State,
    /// Channels of this version that are behind it, by bit.
    pub(super) tried: u8,
    pub(super) policy: Policy,
}

impl Route {
    pub(super) fn load(table: &dyn Table, key: RouteKey) -> Result<Option<Self>, OperatorError> {
        let unreadable = || {
            OperatorError::Stop(
                "a route cannot be read: a newer version wrote it, or it is damaged; run that version, or restore the state of render"
                    .to_owned(),
            )
        };
        table
            .get(&key.bytes())
            .map(|bytes| Self::unpack(bytes).ok_or_else(unreadable))
            .transpose()
    }

    pub(super) fn unpack(bytes: &[u8]) -> Option<Self> {
        let mut value = Unpacker::open(bytes, ROUTE)?;
        let statement = value.number()?;
        let version = Version(u16::try_from(value.number()?).ok()?);
        let state = match value.number()? {
            0 => State::Held(Timestamp(value.signed()?)),
            1 => State::Rendered(channel(&mut value)?),
            2 => State::Sent,
            3 => State::Failed,
            4 => State::Unknown(channel(&mut value)?),
            5 => State::Suppressed,
            6 => State::Parked(channel(&mut value)?),
            _ => return None,
        };
        let tried = u8::try_from(value.number()?).ok()?;
        Some(Self {
            statement,
            version,
            state,
            tried,
            policy: policy(&mut value)?,
        })
    }

    /// Whether a round is for it, if it still has an address that may be used.
    pub(super) fn awaits(&self, version: Version) -> bool {
        matches!(self.state, State::Failed | State::Suppressed) && self.version < version
    }

    pub(super) fn store(&self, table: &mut dyn Table, key: RouteKey, packer: &mut Packer) {
        packer
            .begin(ROUTE)
            .number(self.statement)
            .number(u64::from(self.version.0));
        match self.state {
            State::Held(until) => packer.number(0).signed(until.0),
            State::Rendered(channel) => packer.number(1).number(channel.index() as u64),
            State::Sent => packer.number(2),
            State::Failed => packer.number(3),
            State::Unknown(channel) => packer.number(4).number(channel.index() as u64),
            State::Suppressed => packer.number(5),
            State::Parked(channel) => packer.number(6).number(channel.index() as u64),
        };
        packer.number(u64::from(self.tried));
        put_policy(packer, &self.policy);
        table.put(&key.bytes(), packer.bytes());
    }
}

pub(super) fn channel(value: &mut Unpacker<'_>) -> Option<Channel> {
    Channel::ALL
        .get(usize::try_from(value.number()?).ok()?)
        .copied()
}

pub(super) fn policy(value: &mut Unpacker<'_>) -> Option<Policy> {
    let channels = (0..value.number()?)
        .map(|_| channel(value))
        .collect::<Option<_>>()?;
    Some(Policy {
        channels,
        attempts_per_channel: u16::try_from(value.number()?).ok()?,
    })
}

pub(super) fn put_policy(packer: &mut Packer, policy: &Policy) {
    packer.number(policy.channels.len() as u64);
    for channel in &policy.channels {
        packer.number(channel.index() as u64);
    }
    packer.number(u64::from(policy.attempts_per_channel));
}
