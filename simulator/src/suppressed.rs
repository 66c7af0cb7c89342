//! Which addresses nothing may be sent to, by what the operator has said so far; and what render
//! makes of it, looked at in the moment of its commit.
//!
//! Render reads every command that there is before it moves a route on, so a message that it writes
//! never goes to an address that was suppressed when its step began, and a route that it ends as
//! suppressed has no address left in some order of channels that was in force.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use sealpost::topics::Topics;
use sealpost_operators::gate::CallId;
use sealpost_schemas::record::{
    Action, AddressToken, Apply, Dispatch, Policy, RouteNotice, Standing, Statement,
};
use sealpost_schemas::{Channel, Period, UserId, Version, codec};
use sealpost_topology::log::Write;

use crate::marks::Mark;
use crate::provider::show;
use crate::scene::Scene;

/// What of a step is looked at once it stands.
pub enum Seen {
    /// A bill, with the addresses of its cut.
    Bill(UserId, Period, Vec<AddressToken>),
    /// A message.
    Goes(CallId),
    /// A route that ended.
    Ended(UserId, Period, Version),
}

#[derive(Default)]
struct Book {
    now: BTreeSet<AddressToken>,
    ever: BTreeSet<AddressToken>,
    bills: BTreeMap<(UserId, Period), Vec<AddressToken>>,
    /// Orders of channels that were in force at some time; the last is that of the next round.
    policies: Vec<Policy>,
    next_round: Option<Policy>,
    ended: BTreeSet<(UserId, Period)>,
}

/// See the module.
#[derive(Default)]
pub struct Suppressed(Mutex<Book>);

impl Suppressed {
    fn book(&self) -> MutexGuard<'_, Book> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The order of channels that is configured.
    pub fn configured(&self, policy: Policy) {
        self.book().policies.push(policy);
    }

    /// A command is on the log.
    pub fn said(&self, action: &Action) {
        let mut book = self.book();
        match action {
            Action::Suppress(suppress) => {
                book.now.extend(&suppress.addresses);
                book.ever.extend(&suppress.addresses);
            }
            Action::Unsuppress(unsuppress) => {
                for address in &unsuppress.addresses {
                    book.now.remove(address);
                }
            }
            Action::PolicySet(set) => {
                book.policies.push(set.policy.clone());
                if set.apply != Apply::New {
                    book.next_round = Some(set.policy.clone());
                }
            }
            _ => {}
        }
    }

    /// The addresses that are suppressed.
    #[must_use]
    pub fn now(&self) -> BTreeSet<AddressToken> {
        self.book().now.clone()
    }

    /// Whether a bill's address on a channel is suppressed.
    #[must_use]
    pub fn is_now(&self, id: &CallId) -> bool {
        let book = self.book();
        book.address(id)
            .is_some_and(|address| book.now.contains(address))
    }

    /// Whether a bill may end suppressed: one of its addresses was at some time.
    #[must_use]
    pub fn may_end(&self, user: UserId, period: Period) -> bool {
        let book = self.book();
        let Some(addresses) = book.bills.get(&(user, period)) else {
            return false;
        };
        addresses.iter().any(|address| book.ever.contains(address))
    }

    /// Whether the next round finds an address of a bill that may be used.
    #[must_use]
    pub fn is_open(&self, user: UserId, period: Period) -> bool {
        let book = self.book();
        let (Some(addresses), Some(policy)) = (
            book.bills.get(&(user, period)),
            book.next_round.as_ref().or(book.policies.first()),
        ) else {
            return false;
        };
        addresses.iter().any(|address| {
            policy.channels.contains(&address.channel) && !book.now.contains(address)
        })
    }

    /// What a step writes, as far as it is looked at.
    #[must_use]
    pub fn look(topics: &Topics, writes: &[Write]) -> Vec<Seen> {
        let mut seen = Vec::new();
        for write in writes {
            for value in write.batch.iter().filter_map(|record| record.value) {
                if write.topic == topics.statements {
                    seen.extend(codec::decode::<Statement>(value).ok().map(|bill| {
                        let destinations = bill.contacts.destinations.iter();
                        let addresses = destinations.map(|destination| AddressToken {
                            channel: destination.channel,
                            token: destination.token,
                        });
                        Seen::Bill(bill.user_id, bill.period, addresses.collect())
                    }));
                } else if write.topic != topics.dispatches {
                } else if let Ok(dispatch) = codec::decode::<Dispatch>(value) {
                    seen.push(Seen::Goes(CallId::of(&dispatch)));
                } else if let Ok(notice) = codec::decode::<RouteNotice>(value)
                    && notice.standing == Standing::Suppressed
                {
                    seen.push(Seen::Ended(notice.user_id, notice.period, notice.version));
                }
            }
        }
        seen
    }

    /// The step stands.
    pub fn stands(&self, seen: Vec<Seen>, scene: &Scene) {
        let mut book = self.book();
        for seen in seen {
            match seen {
                Seen::Bill(user, period, addresses) => {
                    book.bills.insert((user, period), addresses);
                }
                Seen::Goes(id) => book.goes(&id, scene),
                Seen::Ended(user, period, version) => {
                    scene.reach(Mark::Suppressed);
                    book.ended.insert((user, period));
                    if !book.may_end_now(user, period) {
                        scene.violate(format_args!(
                            "{user}/{period}/v{version} ended as suppressed, and has an address in every order of channels"
                        ));
                    }
                }
            }
        }
    }
}

impl Book {
    fn address(&self, id: &CallId) -> Option<&AddressToken> {
        let addresses = self.bills.get(&(id.user_id, id.period))?;
        addresses
            .iter()
            .find(|address| address.channel == id.channel)
    }

    fn goes(&mut self, id: &CallId, scene: &Scene) {
        let bill = (id.user_id, id.period);
        if self
            .address(id)
            .is_some_and(|address| self.now.contains(address))
        {
            scene.violate(format_args!(
                "{} was rendered for an address that is suppressed",
                show(id)
            ));
        }
        if self.ended.remove(&bill) {
            scene.reach(Mark::Unsuppressed);
        }
        let addresses = self.bills.get(&bill).map_or(&[][..], Vec::as_slice);
        if addresses.iter().any(|address| self.now.contains(address)) {
            scene.reach(Mark::PassedOver);
        }
    }

    fn may_end_now(&self, user: UserId, period: Period) -> bool {
        let Some(addresses) = self.bills.get(&(user, period)) else {
            return false;
        };
        let is_shut = |channels: &[Channel]| {
            let mut reached = addresses
                .iter()
                .filter(|address| channels.contains(&address.channel))
                .peekable();
            reached.peek().is_some() && reached.all(|address| self.now.contains(address))
        };
        self.policies.iter().any(|policy| is_shut(&policy.channels))
    }
}
