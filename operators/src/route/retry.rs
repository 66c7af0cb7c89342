//! The rounds that were begun, as they are remembered.

use sealpost_schemas::record::Policy;
use sealpost_schemas::{Period, Version};

use super::state::{policy, put_policy};
use crate::pack::{Packer, Unpacker};

const RETRY: u8 = 1;

pub(super) fn retry_key(period: Period) -> [u8; 5] {
    let mut key = [b'r'; 5];
    for (to, from) in key.iter_mut().skip(1).zip(period.months().to_be_bytes()) {
        *to = from;
    }
    key
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Running {
    No,
    Yes,
}

pub(super) fn pack_retry(version: Version, policy: &Policy, running: Running) -> Vec<u8> {
    let mut packer = Packer::default();
    packer
        .begin(RETRY)
        .number(u64::from(version.0))
        .number(u64::from(running == Running::Yes));
    put_policy(&mut packer, policy);
    packer.bytes().to_vec()
}

/// Version, policy, and whether it still runs.
pub(super) fn unpack_retry(bytes: &[u8]) -> Option<(Version, Policy, bool)> {
    let mut value = Unpacker::open(bytes, RETRY)?;
    let version = Version(u16::try_from(value.number()?).ok()?);
    let running = value.number()? == 1;
    Some((version, policy(&mut value)?, running))
}
