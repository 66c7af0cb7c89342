//! A deployment is carried over to a new generation of topics with another number of partitions:
//! the copying and its checks, whatever the log. Who may begin it, and how far it is, is said by
//! the registers of [`crate::generation`].
//!
//! # Invariants
//! - The old generation is read only.
//! - The topics are made and filled, both sides are compared, and only then do the new groups get
//!   their offsets. Whatever is killed in between is begun again from the old generation, which has
//!   not changed, into topics that are empty again.
//! - Of two at once one fails: what was written is read back and must be all that there is.

#![allow(
    clippy::type_complexity,
    reason = "callbacks over records, each shape used in one place"
)]

mod carry;
mod checks;
mod copier;
mod inventory;
mod side;

use anyhow::{Result, bail};
use sealpost_topology::log::Progress;
use sealpost_topology::types::Topic;

pub use self::carry::Carried;
use self::carry::Carrier;
pub use self::checks::{Common, common, everything_read, nobody_works};
use self::copier::Copier;
use self::inventory::Inventory;
pub use self::side::Side;

/// Fills the new generation, whose topics are not there, from the old one; `done` is called after
/// each partition, [`steps`] times.
///
/// # Errors
/// When a log failed, or the two sides differ: then the new one must not be used.
pub fn fill(old: &Side, new: &Side, common: &Common, done: &dyn Fn()) -> Result<Carried> {
    new.log
        .create(&new.pipeline.topic_specs())
        .map_err(crate::kafka::blame)?;
    let (begins, carried) = Carrier::new(old, new).carry(common, done)?;
    compare(&Inventory::of(old, done)?, &Inventory::of(new, done)?)?;
    if checks::common(new)? != *common {
        bail!(
            "what all partitions hold alike differs between the generations: this is a bug; `sealpost repartition --abandon` takes it back"
        );
    }
    // nothing but the inputs from outside may have grown meanwhile
    checks::nobody_works(old)?;
    let control = &old.topics().control;
    if old.unread(&old.pipeline.settle.group, control)? > 0 {
        bail!(
            "a command was written to {control} meanwhile: `sealpost repartition --abandon`, let a run take it up, then begin again"
        );
    }
    for (group, progress) in &begins {
        new.log.set_committed(group, progress)?;
    }
    Ok(carried)
}

/// How often [`fill`] says that another partition is done.
#[must_use]
pub fn steps(old: &Side, new: &Side) -> u64 {
    u64::from(2 * old.partitions() + new.partitions())
}

/// That both sides hold the same.
fn compare(old: &Inventory, new: &Inventory) -> Result<()> {
    let differs = [
        ("subscribers", old.subscribers != new.subscribers),
        ("statements", old.statements != new.statements),
        ("the statements' total", old.total_won != new.total_won),
        ("send states", old.send_states != new.send_states),
        ("send states by state", old.states != new.states),
        ("accounts", old.accounts != new.accounts),
        ("routes", old.routes != new.routes),
    ];
    match differs.into_iter().find(|(_, differs)| *differs) {
        None => Ok(()),
        Some(("subscribers", _)) => bail!(
            "the subscribers of the two generations differ: stop the producers of the old topics, then `sealpost repartition --resume`"
        ),
        Some((what, _)) => bail!(
            "{what} of the two generations differ, and the new one is not used: `sealpost repartition --resume` makes it anew, `--abandon` takes it back"
        ),
    }
}

fn inputs(side: &Side) -> [&Topic; 2] {
    [&side.topics().subscribers, &side.topics().usage]
}

/// Records that came to the input topics after settle had read them for the last time.
///
/// # Errors
/// When the log failed.
pub fn unread_inputs(side: &Side) -> Result<u64> {
    inputs(side)
        .into_iter()
        .map(|topic| side.unread(&side.pipeline.settle.group, topic))
        .sum()
}

/// Carries over what came to the old input topics since. Returns how many records.
///
/// Killed between copy and mark, it copies again: an event counts once for its user, and a row
/// replaces itself.
///
/// # Errors
/// When a log failed.
pub fn stragglers(old: &Side, new: &Side) -> Result<u64> {
    let mut count: u64 = 0;
    let group = &old.pipeline.settle.group;
    for (from, to) in inputs(old).into_iter().zip(inputs(new)) {
        for shard in old.shards() {
            let begin = old.committed(group, from, shard)?;
            let mut copier = Copier::new(new, to, &[]);
            let mut end = begin;
            old.each(from, shard, begin, &mut |offset, key, value| {
                count += 1;
                end = offset.next();
                copier.put(0, key, value)
            })?;
            copier.close()?;
            if end > begin {
                let progress = Progress {
                    topic: from.clone(),
                    shard,
                    offset: end,
                };
                old.log.set_committed(group, &[progress])?;
            }
        }
    }
    Ok(count)
}
