//! The addresses that nothing is sent to, as the commands on `control` say: what render works by,
//! whether or not it runs; and the writing of such commands. Addresses are tokens: nobody here can tell whose they are.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use anyhow::Result;
use sealpost_schemas::record::{
    Action, AddressToken, Apply, Command, Policy, State, Statement, Suppress, SuppressionReason,
    Unsuppress,
};
use sealpost_schemas::{Period, Timestamp};
use sealpost_topology::types::Shard;

use crate::books::send_states;
use crate::deployment::{Deployment, readable};

/// Why an address is suppressed, and since when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suppressed {
    /// Why.
    pub reason: SuppressionReason,
    /// When the command was given.
    pub since: Timestamp,
    /// The command.
    pub command_id: String,
}

/// Every suppressed address.
pub type Suppressions = BTreeMap<AddressToken, Suppressed>;

/// Reads them.
///
/// # Errors
/// When the log failed.
pub fn read(deployment: &Deployment) -> Result<Suppressions> {
    let mut found = Suppressions::new();
    let mut decoder = deployment.values.decoder::<Command>();
    let control = &deployment.topics().control;
    deployment.scan(control, Shard(0), |_, _, value| {
        let Some(command) = readable(decoder.decode(value))? else {
            return Ok(());
        };
        match command.action {
            Action::Suppress(suppress) => found.extend(suppress.addresses.into_iter().map(|it| {
                let suppressed = Suppressed {
                    reason: suppress.reason,
                    since: command.issued_at,
                    command_id: command.command_id.clone(),
                };
                (it, suppressed)
            })),
            Action::Unsuppress(unsuppress) => {
                for address in &unsuppress.addresses {
                    found.remove(address);
                }
            }
            _ => {}
        }
        Ok(())
    })?;
    Ok(found)
}

/// What became of a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changed {
    /// Addresses that stand otherwise from now on.
    pub changed: usize,
    /// Addresses that stood so already.
    pub left: usize,
    /// The commands, each of a bounded number of addresses; none if nothing changes.
    pub command_ids: Vec<String>,
}

/// Suppresses addresses. Those that are for this very reason already are left out, so that a list
/// may be taken in every night.
///
/// # Errors
/// When the log failed.
pub fn add(
    deployment: &Deployment,
    addresses: &BTreeSet<AddressToken>,
    reason: SuppressionReason,
) -> Result<Changed> {
    let there = read(deployment)?;
    let is_new = |address: &AddressToken| {
        there
            .get(address)
            .is_none_or(|suppressed| suppressed.reason != reason)
    };
    change(deployment, addresses, &is_new, &|addresses| {
        Action::Suppress(Suppress { reason, addresses })
    })
}

/// Lets addresses be used again. Those that are not suppressed are left out.
///
/// # Errors
/// When the log failed.
pub fn remove(deployment: &Deployment, addresses: &BTreeSet<AddressToken>) -> Result<Changed> {
    let there = read(deployment)?;
    let is_there = |address: &AddressToken| there.contains_key(address);
    change(deployment, addresses, &is_there, &|addresses| {
        Action::Unsuppress(Unsuppress { addresses })
    })
}

/// Writes as many commands as it takes for the addresses that a change is for.
fn change(
    deployment: &Deployment,
    addresses: &BTreeSet<AddressToken>,
    is_for: &dyn Fn(&AddressToken) -> bool,
    action: &dyn Fn(Vec<AddressToken>) -> Action,
) -> Result<Changed> {
    let chosen: Vec<_> = addresses
        .iter()
        .copied()
        .filter(|address| is_for(address))
        .collect();
    let command_ids = chosen
        .chunks(Suppress::ADDRESSES_MAX)
        .map(|addresses| deployment.command(&|_, _| action(addresses.to_vec())))
        .collect::<Result<_>>()?;
    Ok(Changed {
        changed: chosen.len(),
        left: addresses.len() - chosen.len(),
        command_ids,
    })
}

/// How many users of a period have a message that ended suppressed and have an address by now that may be used: the
/// next round takes them.
///
/// # Errors
/// When the log failed.
pub fn released(deployment: &Deployment, period: Period) -> Result<u64> {
    let suppressed = read(deployment)?;
    let policy = policy_of_next_round(deployment)?;
    let is_open = |statement: &Statement| {
        let mut destinations = policy
            .channels
            .iter()
            .filter_map(|channel| statement.contacts.destination(*channel));
        destinations.any(|destination| {
            !suppressed.contains_key(&AddressToken {
                channel: destination.channel,
                token: destination.token,
            })
        })
    };
    let mut open = 0;
    let mut decoder = deployment.values.decoder::<Statement>();
    for shard in deployment.shards() {
        let mut waiting: HashSet<Vec<u8>> = send_states(deployment, shard, period)?
            .into_iter()
            .filter(|(_, state)| {
                let mut kinds = state.kinds.iter();
                kinds.any(|kind| kind.state == State::Suppressed)
            })
            .map(|(key, _)| key)
            .collect();
        deployment.scan(&deployment.topics().statements, shard, |_, key, value| {
            if waiting.contains(key) && is_open(&decoder.decode(value)?) {
                waiting.remove(key);
                open += 1;
            }
            Ok(())
        })?;
    }
    Ok(open)
}

/// The order that the next round goes by: one that was set for what failed, or the configured one.
fn policy_of_next_round(deployment: &Deployment) -> Result<Policy> {
    let set = deployment
        .commands()?
        .into_iter()
        .rev()
        .find_map(|command| match command.action {
            Action::PolicySet(set) if set.apply != Apply::New => Some(set.policy),
            _ => None,
        });
    Ok(set.unwrap_or_else(|| deployment.config.policy()))
}
