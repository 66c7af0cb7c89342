//! What must be so before a generation is carried over: nobody works on it, and what settle and
//! render had to do is done.

use std::collections::BTreeMap;

use anyhow::{Result, bail};
use sealpost_operators::carry::Owner;
use sealpost_operators::{route, settle};
use sealpost_topology::log::{LogError, Progress};
use sealpost_topology::types::{Offset, Topic};

use super::side::Side;
use crate::usage_error::UsageError;

/// What every shard holds alike.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Common {
    pub(super) accounts: BTreeMap<Vec<u8>, Vec<u8>>,
    pub(super) routes: BTreeMap<Vec<u8>, Vec<u8>>,
}

fn refuse<T>(line: String) -> Result<T> {
    Err(UsageError(line).into())
}

/// That no stage runs.
///
/// # Errors
/// When one does, or the log failed.
pub fn nobody_works(side: &Side) -> Result<()> {
    for stage in [
        &side.pipeline.settle,
        &side.pipeline.render,
        &side.pipeline.send,
    ] {
        let mut progress = Vec::new();
        for input in &stage.inputs {
            for shard in side.shards() {
                // as it stands: a group without members takes it, and nothing changes
                progress.push(Progress {
                    topic: input.topic.clone(),
                    shard,
                    offset: side.committed(&stage.group, &input.topic, shard)?,
                });
            }
        }
        match side.log.set_committed(&stage.group, &progress) {
            Ok(()) => {}
            Err(LogError::GroupInUse(_)) => {
                return refuse(format!(
                    "the {} stage is running: stop every `sealpost run` on {}* first (one that was killed counts until its session ends, up to a minute)",
                    stage.name, side.prefix
                ));
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// That settle and render have read everything.
///
/// # Errors
/// When they have not, or the log failed.
pub fn everything_read(side: &Side) -> Result<()> {
    for stage in [&side.pipeline.settle, &side.pipeline.render] {
        for input in &stage.inputs {
            let unread = side.unread(&stage.group, &input.topic)?;
            if unread > 0 {
                return refuse(format!(
                    "the {} stage has not read {unread} records of {}: run `sealpost run --stages settle,render --drain` first, while nobody writes",
                    stage.name, input.topic
                ));
            }
        }
    }
    Ok(())
}

/// What every shard holds alike, and that no close and no retry is half-way.
///
/// # Errors
/// When something is half-way, the partitions do not agree, or the log failed.
pub fn common(side: &Side) -> Result<Common> {
    let topics = side.topics();
    Ok(Common {
        accounts: common_of(side, &topics.settle_accounts, &|key, _| {
            settle::carry::owner(key)
        })?,
        routes: common_of(side, &topics.render_routes, &route::carry::owner)?,
    })
}

pub(super) type Rows = BTreeMap<Vec<u8>, Vec<u8>>;

fn common_of(
    side: &Side,
    topic: &Topic,
    owner: &dyn Fn(&[u8], &[u8]) -> Option<Owner>,
) -> Result<Rows> {
    let mut first: Option<Rows> = None;
    for shard in side.shards() {
        let mut rows = Rows::new();
        side.each(topic, shard, Offset(0), &mut |_, key, value| {
            match value {
                None => {
                    rows.remove(key);
                }
                Some(value) => match owner(key, value) {
                    Some(Owner::User(_) | Owner::ThisShard) => {}
                    Some(Owner::EveryShard | Owner::Unfinished) => {
                        rows.insert(key.to_vec(), value.to_vec());
                    }
                    None => bail!(
                        "{topic} partition {shard} holds an entry that this version does not know: repartition with the version that wrote it"
                    ),
                },
            }
            Ok(())
        })?;
        if rows
            .iter()
            .any(|(key, value)| owner(key, value) == Some(Owner::Unfinished))
        {
            return refuse(
                "a close or a retry is half-way: run `sealpost run --stages settle,render --drain` first".to_owned(),
            );
        }
        match &first {
            None => first = Some(rows),
            Some(first) if *first == rows => {}
            Some(_) => {
                return refuse(format!(
                    "the partitions of {topic} do not agree on what was commanded: run `sealpost run --stages settle,render --drain`; if that does not help, say `sealpost policy set` again and drain once more"
                ));
            }
        }
    }
    Ok(first.unwrap_or_default())
}
