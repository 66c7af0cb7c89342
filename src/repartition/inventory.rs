//! What a generation holds, in figures that do not depend on partitions, offsets or order: taken of
//! both sides, they must be the same before the old one is let go.

use std::collections::BTreeMap;

use anyhow::Result;
use sealpost_operators::{route, settle};
use sealpost_schemas::record::{SendState, Statement, Subscriber};
use sealpost_topology::types::Topic;

use super::side::{Side, any, digest};
use crate::deployment::readable;

/// How much of something there is, and a digest of it.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sum {
    pub(super) rows: u64,
    digest: u128,
}

impl Sum {
    fn add(&mut self, key: &[u8], value: &[u8]) {
        self.rows += 1;
        self.digest = self.digest.wrapping_add(digest(&[key, value]));
    }
}

/// See the module.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Inventory {
    pub(super) subscribers: Sum,
    pub(super) statements: Sum,
    pub(super) total_won: i128,
    pub(super) send_states: Sum,
    /// By the name of the state.
    pub(super) states: BTreeMap<String, u64>,
    /// Entries of users: what all shards hold alike is compared on its own.
    pub(super) accounts: Sum,
    pub(super) routes: Sum,
}

/// Tells rows that settle can read: of a user's, the last such is the one that it works with.
pub(super) fn is_subscriber(side: &Side) -> impl FnMut(Option<&[u8]>) -> Result<bool> + use<> {
    let mut decoder = side.values.decoder::<Subscriber>();
    move |value| match value {
        Some(value) => Ok(readable(decoder.decode(value))?.is_some()),
        None => Ok(false),
    }
}

impl Inventory {
    /// Takes it; `done` is called after each partition.
    pub(super) fn of(side: &Side, done: &dyn Fn()) -> Result<Self> {
        let mut found = Self::default();
        let topics = side.topics();
        let mut statements = side.values.decoder::<Statement>();
        let mut states = side.values.decoder::<SendState>();
        for shard in side.shards() {
            let each = |topic: &Topic,
                        counts: &mut dyn FnMut(Option<&[u8]>) -> Result<bool>,
                        see: &mut dyn FnMut(&[u8], &[u8]) -> Result<()>| {
                let last = side.last(topic, shard, counts)?;
                side.each_live(topic, shard, &last, see)
            };
            each(
                &topics.subscribers,
                &mut is_subscriber(side),
                &mut |key, value| {
                    found.subscribers.add(key, value);
                    Ok(())
                },
            )?;
            each(&topics.statements, &mut any, &mut |key, value| {
                found.statements.add(key, value);
                found.total_won += i128::from(statements.decode(value)?.total_won.0);
                Ok(())
            })?;
            each(&topics.send_state, &mut any, &mut |key, value| {
                found.send_states.add(key, value);
                for kind in states.decode(value)?.kinds {
                    *found.states.entry(format!("{:?}", kind.state)).or_default() += 1;
                }
                Ok(())
            })?;
            // pointers into topics differ by nature: all of them to 0
            each(&topics.settle_accounts, &mut any, &mut |key, value| {
                if is_users(settle::carry::owner(key)) {
                    let value = settle::carry::repointed(key, value, &|_| Some(0), &|_| Some(0))?;
                    found.accounts.add(key, &value);
                }
                Ok(())
            })?;
            each(&topics.render_routes, &mut any, &mut |key, value| {
                if is_users(route::carry::owner(key, value)) {
                    let value = route::carry::repointed(key, value, &|_, _| Some(0))?;
                    found.routes.add(key, &value);
                }
                Ok(())
            })?;
            done();
        }
        Ok(found)
    }
}

fn is_users(owner: Option<sealpost_operators::carry::Owner>) -> bool {
    matches!(owner, Some(sealpost_operators::carry::Owner::User(_)))
}
