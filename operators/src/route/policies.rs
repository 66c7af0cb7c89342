//! The policies that were set, as they are remembered.

use sealpost_schemas::record::Policy;

use super::state::{policy, put_policy};
use crate::pack::{Packer, Unpacker};

const POLICIES: u8 = 1;

/// The policies in force: that of the last close; one that was set for routes that begin; one
/// that was set for the next rounds of what failed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Policies {
    pub(super) closed: Option<Policy>,
    pub(super) new: Option<Policy>,
    pub(super) failed: Option<Policy>,
}

pub(super) const POLICIES_KEY: &[u8] = b"P";

pub(super) fn pack_policies(policies: &Policies) -> Vec<u8> {
    let mut packer = Packer::default();
    packer.begin(POLICIES);
    for one in [&policies.closed, &policies.new, &policies.failed] {
        packer.number(u64::from(one.is_some()));
        if let Some(one) = one {
            put_policy(&mut packer, one);
        }
    }
    packer.bytes().to_vec()
}

pub(super) fn unpack_policies(bytes: &[u8]) -> Option<Policies> {
    let mut value = Unpacker::open(bytes, POLICIES)?;
    let mut one = || match value.number()? {
        0 => Some(None),
        _ => policy(&mut value).map(Some),
    };
    Some(Policies {
        closed: one()?,
        new: one()?,
        failed: one()?,
    })
}
