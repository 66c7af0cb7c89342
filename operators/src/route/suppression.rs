//! Addresses that nothing is sent to, known by their tokens alone; and the choice of a route's next
//! channel, which passes them over.
//!
//! # Invariants
//! - Nothing is opened: the token of a destination was made at the door, and is looked up.
//! - Every shard holds every suppressed address, since any user may have it.
//! - Commands set what is so, in their order, and all there are come before any route moves on:
//!   read again from the begin, they lead to the same.

use sealpost_schemas::record::{
    AddressToken, Destination, Policy, Statement, Suppress, SuppressionReason, Unsuppress,
};
use sealpost_schemas::{Channel, Timestamp};

use super::state::Route;
use crate::pack::{Packer, Unpacker};
use crate::table::Table;

const SUPPRESSED: u8 = 1;

/// What an entry's key begins with; the channel and the first 24 bytes of the token follow: keys
/// are short, and 192 bits of a keyed hash tell addresses apart.
pub(super) const PREFIX: u8 = b's';
pub(super) const KEY_BYTES: usize = 26;

fn key(address: &AddressToken) -> [u8; KEY_BYTES] {
    let mut key = [PREFIX; KEY_BYTES];
    // a channel's index is below their number
    let parts = [address.channel.index() as u8]
        .into_iter()
        .chain(address.token.0);
    for (to, from) in key.iter_mut().skip(1).zip(parts) {
        *to = from;
    }
    key
}

pub(super) fn add(
    suppress: &Suppress,
    since: Timestamp,
    table: &mut dyn Table,
    packer: &mut Packer,
) {
    let reason = SuppressionReason::ALL
        .iter()
        .position(|reason| *reason == suppress.reason)
        .unwrap_or_default();
    packer
        .begin(SUPPRESSED)
        .number(reason as u64)
        .signed(since.0);
    for address in &suppress.addresses {
        table.put(&key(address), packer.bytes());
    }
}

pub(super) fn remove(unsuppress: &Unsuppress, table: &mut dyn Table) {
    for address in &unsuppress.addresses {
        table.delete(&key(address));
    }
}

/// Whether a stored value is one of these; another version may write others.
pub(super) fn is_known(value: &[u8]) -> bool {
    Unpacker::open(value, SUPPRESSED).is_some()
}

fn is_suppressed(table: &dyn Table, destination: &Destination) -> bool {
    let address = AddressToken {
        channel: destination.channel,
        token: destination.token,
    };
    table.get(&key(&address)).is_some()
}

/// Where a route goes from here.
pub(super) enum Next<'a> {
    /// To this channel.
    Channel(Channel, &'a Destination),
    /// Nowhere: nothing was tried in this round, since every address is suppressed.
    Suppressed,
    /// Nowhere: what was tried has failed, or there is no address at all. The word is for when
    /// nothing is known of what failed.
    Exhausted(&'static str),
}

/// The first channel of the route's order that has an address, is not behind it, and may be used.
pub(super) fn next<'a>(route: &Route, statement: &'a Statement, table: &dyn Table) -> Next<'a> {
    let mut end = Next::Exhausted("no-destination");
    for channel in &route.policy.channels {
        let Some(destination) = statement.contacts.destination(*channel) else {
            continue;
        };
        if route.tried & (1 << channel.index()) != 0 {
            continue;
        }
        if !is_suppressed(table, destination) {
            return Next::Channel(*channel, destination);
        }
        end = if route.tried == 0 {
            Next::Suppressed
        } else {
            Next::Exhausted("suppressed")
        };
    }
    end
}

/// Whether any channel of an order has an address that may be used.
pub(super) fn is_open(policy: &Policy, statement: &Statement, table: &dyn Table) -> bool {
    let mut destinations = policy
        .channels
        .iter()
        .filter_map(|channel| statement.contacts.destination(*channel));
    destinations.any(|destination| !is_suppressed(table, destination))
}
