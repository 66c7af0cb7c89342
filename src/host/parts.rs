//! Reading a message part by part. Nothing that comes in can panic, or claim memory that it does
//! not fill.

use sealpost_topology::types::{Group, Offset, Shard, Topic};

/// The bytes are no message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the message cannot be read")]
pub(super) struct Malformed;

/// What is left of a message.
#[derive(Debug)]
pub(super) struct Parts<'a>(&'a [u8]);

impl<'a> Parts<'a> {
    /// All of it.
    pub(super) const fn of(payload: &'a [u8]) -> Self {
        Self(payload)
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(Malformed)?;
        self.0 = rest;
        Ok(*taken)
    }

    pub(super) fn byte(&mut self) -> Result<u8, Malformed> {
        self.take().map(|[byte]| byte)
    }

    pub(super) fn u32(&mut self) -> Result<u32, Malformed> {
        self.take().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64, Malformed> {
        self.take().map(u64::from_le_bytes)
    }

    pub(super) fn bytes(&mut self) -> Result<&'a [u8], Malformed> {
        let length = usize::try_from(self.u64()?).map_err(|_| Malformed)?;
        let (taken, rest) = self.0.split_at_checked(length).ok_or(Malformed)?;
        self.0 = rest;
        Ok(taken)
    }

    pub(super) fn text(&mut self) -> Result<&'a str, Malformed> {
        std::str::from_utf8(self.bytes()?).map_err(|_| Malformed)
    }

    pub(super) fn topic(&mut self) -> Result<Topic, Malformed> {
        self.text().map(Topic::new)
    }

    pub(super) fn group(&mut self) -> Result<Group, Malformed> {
        self.text().map(Group::new)
    }

    pub(super) fn shard(&mut self) -> Result<Shard, Malformed> {
        self.u32().map(Shard)
    }

    pub(super) fn offset(&mut self) -> Result<Offset, Malformed> {
        self.u64().map(Offset)
    }

    /// A list behind its count.
    pub(super) fn list<T>(
        &mut self,
        mut item: impl FnMut(&mut Self) -> Result<T, Malformed>,
    ) -> Result<Vec<T>, Malformed> {
        let count = self.u32()?;
        let mut items = Vec::new();
        for _ in 0..count {
            // each item takes at least a byte, so a false count ends with the bytes
            items.push(item(self)?);
        }
        Ok(items)
    }

    /// There must be nothing left.
    pub(super) const fn end(&self) -> Result<(), Malformed> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(Malformed)
        }
    }
}
