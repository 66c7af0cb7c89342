//! Lists of addresses that nothing is to be sent to, as an operator takes them in and lets them go
//! at any moment: bounces of single addresses, people who want nothing at all, strangers.

use std::collections::{BTreeMap, BTreeSet};

use sealpost_schemas::key_ring::KeyRing;
use sealpost_schemas::record::{Action, AddressToken, Suppress, SuppressionReason, Unsuppress};
use sealpost_schemas::{Channel, Digest, UserId};

use crate::draw::Draw;
use crate::upstream::Row;

/// See the module.
pub struct Lists {
    draw: Draw,
    /// The addresses that somebody has, or had.
    known: BTreeMap<UserId, Vec<AddressToken>>,
}

impl Lists {
    /// The lists of a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            draw: Draw::of(seed, "lists"),
            known: BTreeMap::new(),
        }
    }

    /// Somebody has these addresses.
    pub fn know(&mut self, ring: &KeyRing, row: &Row) {
        let known = self.known.entry(row.user).or_default();
        for channel in Channel::ALL {
            let token = row
                .plain
                .address(channel)
                .and_then(|address| ring.token(channel, address).ok());
            let address = token.map(|token| AddressToken { channel, token });
            known.extend(address.filter(|address| !known.contains(address)));
        }
    }

    /// Whether something is said now.
    pub fn speaks(&mut self) -> bool {
        self.draw.one_in(40)
    }

    /// How long it takes from a decision to its command.
    pub fn wait_ms(&mut self) -> Option<i64> {
        self.draw.one_in(2).then(|| self.draw.within(0, 5_000))
    }

    /// Whether, once the weather is calm, everything is used again.
    pub fn ends_released(&mut self) -> bool {
        self.draw.one_in(2)
    }

    /// A command, given what is suppressed.
    pub fn act(&mut self, suppressed: &BTreeSet<AddressToken>) -> Action {
        let all: Vec<_> = suppressed.iter().copied().collect();
        let what = self.draw.below(10);
        if what < 5 && !all.is_empty() {
            let addresses = match what {
                0 | 1 => all,
                _ => vec![*self.draw.pick(&all)],
            };
            return Self::released(addresses);
        }
        let users: Vec<_> = self.known.keys().copied().collect();
        let mut addresses = Vec::new();
        if !users.is_empty() {
            let known = self.known.get(self.draw.pick(&users)).cloned();
            let known = known.unwrap_or_default();
            if what < 8 {
                addresses = known;
            } else if !known.is_empty() {
                addresses.push(*self.draw.pick(&known));
            }
        }
        if addresses.is_empty() {
            let mut token = Digest([0; 32]);
            self.draw.fill(&mut token.0);
            let channel = *self.draw.pick(&Channel::ALL);
            addresses.push(AddressToken { channel, token });
        }
        Action::Suppress(Suppress {
            reason: *self.draw.pick(&SuppressionReason::ALL),
            addresses,
        })
    }

    /// Addresses are used again.
    #[must_use]
    pub const fn released(addresses: Vec<AddressToken>) -> Action {
        Action::Unsuppress(Unsuppress { addresses })
    }
}
