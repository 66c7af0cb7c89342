//! The copying itself: from one generation into the empty topics of another, one old partition
//! after the other.
//!
//! # Order
//! What is pointed to comes before what points: rows of subscribers and usage before settle's
//! accounts, statements before render's routes. Where the copies lie is known from reading them
//! back.

use std::collections::{BTreeMap, HashMap, HashSet};

use anyhow::{Result, bail};
use sealpost_operators::carry::{CarryError, Owner};
use sealpost_operators::{holds, route, settle};
use sealpost_schemas::UserId;
use sealpost_schemas::codec::{Encoder, Record};
use sealpost_schemas::record::{Action, Close, Command, DeadLetter};
use sealpost_topology::log::Progress;
use sealpost_topology::types::{Group, Offset, Shard, Topic};

use super::checks::{Common, Rows};
use super::copier::Copier;
use super::inventory::is_subscriber;
use super::side::{Side, any, digest};
use crate::deployment::readable;

/// What was carried over besides state.
#[derive(Debug, Default, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Carried {
    /// Messages on their way that are not finished.
    pub dispatches: u64,
    /// Outcomes that came late and are not read yet.
    pub receipts: u64,
    /// Usage that may still be refused when its period closes.
    pub usage: u64,
    /// Records of `dead-letters`.
    pub dead_letters: u64,
    /// Dead letters whose original is only in the old topics.
    pub originals_left: u64,
    /// Commands.
    pub commands: u64,
}

pub(super) struct Carrier<'a> {
    old: &'a Side,
    new: &'a Side,
    /// Where each new partition ends.
    ends: BTreeMap<Topic, Vec<Offset>>,
    carried: Carried,
}

impl<'a> Carrier<'a> {
    pub(super) fn new(old: &'a Side, new: &'a Side) -> Self {
        Self {
            old,
            new,
            ends: BTreeMap::new(),
            carried: Carried::default(),
        }
    }

    /// Copies everything; `done` is called after each partition. Returns where the groups of the
    /// new generation begin, and what was carried.
    pub(super) fn carry(
        mut self,
        common: &Common,
        done: &dyn Fn(),
    ) -> Result<(Vec<(Group, Vec<Progress>)>, Carried)> {
        let (from, to) = (self.old.topics().clone(), self.new.topics().clone());
        for shard in self.old.shards() {
            self.settles(shard)?;
            self.renders(shard)?;
            self.state_topic(&from.send_state, &to.send_state, shard)?;
            let (send, render) = (
                &self.old.pipeline.send.group,
                &self.old.pipeline.render.group,
            );
            self.carried.dispatches += self.rest(send, &from.dispatches, &to.dispatches, shard)?;
            self.carried.receipts += self.rest(send, &from.receipts, &to.receipts, shard)?;
            self.rest(render, &from.deliveries, &to.deliveries, shard)?;
            self.dead_letters(shard)?;
            done();
        }
        // render has read every command, send may not have: what is held is taken from render
        let holds = |key: &[u8]| holds::is_entry(key);
        let any = |_: &[u8]| true;
        let parts: [(&Topic, &Rows, &dyn Fn(&[u8]) -> bool); 3] = [
            (&to.settle_accounts, &common.accounts, &any),
            (&to.render_routes, &common.routes, &any),
            (&to.send_holds, &common.routes, &holds),
        ];
        for (topic, rows, carries) in parts {
            let mut copier = self.copier(topic);
            for (key, value) in rows.iter().filter(|(key, _)| carries(key)) {
                copier.put_everywhere(key, value)?;
            }
            self.finish(copier, topic, &mut |_, _, _| {})?;
        }
        let unread = self.control()?;
        Ok((self.begins(&unread), self.carried))
    }

    fn copier(&self, topic: &Topic) -> Copier<'a> {
        let from = self.ends.get(topic).map(Vec::as_slice).unwrap_or_default();
        Copier::new(self.new, topic, from)
    }

    fn finish(
        &mut self,
        copier: Copier<'_>,
        topic: &Topic,
        see: &mut dyn FnMut(u64, &[u8], Offset),
    ) -> Result<()> {
        let ends = copier.finish(see)?;
        self.ends.insert(topic.clone(), ends);
        Ok(())
    }

    /// That a user's state lies where the user's records go: two states of one user cannot be
    /// made one.
    fn placed(&self, topic: &Topic, shard: Shard, key: &[u8]) -> Result<()> {
        if self.old.shard_of_key(key) == shard {
            return Ok(());
        }
        bail!(
            "{topic} partition {shard} holds a user that murmur2 puts elsewhere: some producer does not use Java's default partitioner; mend it, and ingest what it wrote again"
        )
    }

    /// The live rows of a compacted topic.
    fn state_topic(&mut self, from: &Topic, to: &Topic, shard: Shard) -> Result<()> {
        let last = self.old.last(from, shard, &mut any)?;
        let mut copier = self.copier(to);
        self.old.each_live(from, shard, &last, &mut |key, value| {
            self.placed(from, shard, key)?;
            copier.put(0, key, Some(value))
        })?;
        self.finish(copier, to, &mut |_, _, _| {})
    }

    /// Subscribers, the usage that is still referred to, and what settle remembers.
    fn settles(&mut self, shard: Shard) -> Result<()> {
        let old = self.old;
        let (from, to) = (old.topics().clone(), self.new.topics().clone());
        let mut rows: HashMap<u64, u64> = HashMap::new();
        let last = old.last(&from.subscribers, shard, &mut is_subscriber(old))?;
        let mut copier = self.copier(&to.subscribers);
        old.each_live(&from.subscribers, shard, &last, &mut |key, value| {
            self.placed(&from.subscribers, shard, key)?;
            copier.put(0, key, Some(value))
        })?;
        self.finish(copier, &to.subscribers, &mut |_, key, offset| {
            rows.extend(user_of(key).map(|user| (user.get(), offset.0)));
        })?;

        let accounts = &from.settle_accounts;
        let last = old.last(accounts, shard, &mut any)?;
        let mut billed = HashSet::new();
        old.each_live(accounts, shard, &last, &mut |key, _| {
            billed.extend(settle::carry::billed(key));
            Ok(())
        })?;
        let mut needed = HashMap::new();
        old.each_live(accounts, shard, &last, &mut |key, value| {
            for (user, period, offset) in settle::carry::events(key, value) {
                if !billed.contains(&(user, period)) {
                    needed.insert(offset, None);
                }
            }
            Ok(())
        })?;
        drop(billed);
        self.usage(shard, &mut needed)?;

        let mut copier = self.copier(&to.settle_accounts);
        old.each_live(accounts, shard, &last, &mut |key, value| {
            let Some(Owner::User(user)) = settle::carry::owner(key) else {
                return Ok(());
            };
            self.placed(accounts, shard, user.to_string().as_bytes())?;
            let row = |user: UserId| rows.get(&user.get()).copied();
            let event = |offset: u64| needed.get(&offset).copied().flatten();
            let value = settle::carry::repointed(key, value, &row, &event)
                .map_err(|error| explain(error, accounts, shard, "ingest the rows of all subscribers again, with status withdrawn for those who left"))?;
            let target = self.new.shard_of_key(user.to_string().as_bytes());
            copier.put_at(target, 0, key, Some(&value))
        })?;
        self.finish(copier, &to.settle_accounts, &mut |_, _, _| {})
    }

    /// Usage at the offsets that are needed; notes where it lies now.
    fn usage(&mut self, shard: Shard, needed: &mut HashMap<u64, Option<u64>>) -> Result<()> {
        let Some(first) = needed.keys().min().copied() else {
            return Ok(());
        };
        let (from, to) = (
            self.old.topics().usage.clone(),
            self.new.topics().usage.clone(),
        );
        let mut copier = self.copier(&to);
        self.old
            .each(&from, shard, Offset(first), &mut |offset, key, value| {
                if needed.contains_key(&offset.0) {
                    copier.put(offset.0, key, value)?;
                }
                Ok(())
            })?;
        let mut found = 0;
        self.finish(copier, &to, &mut |was, _, offset| {
            found += 1;
            needed.insert(was, Some(offset.0));
        })?;
        self.carried.usage += found;
        Ok(())
    }

    /// Statements, and what render remembers.
    fn renders(&mut self, shard: Shard) -> Result<()> {
        let old = self.old;
        let (from, to) = (old.topics().clone(), self.new.topics().clone());
        let mut places: HashMap<u128, u64> = HashMap::new();
        let last = old.last(&from.statements, shard, &mut any)?;
        let mut copier = self.copier(&to.statements);
        old.each_live(&from.statements, shard, &last, &mut |key, value| {
            self.placed(&from.statements, shard, key)?;
            copier.put(0, key, Some(value))
        })?;
        self.finish(copier, &to.statements, &mut |_, key, offset| {
            places.insert(digest(&[key]), offset.0);
        })?;

        let routes = &from.render_routes;
        let last = old.last(routes, shard, &mut any)?;
        let mut copier = self.copier(&to.render_routes);
        old.each_live(routes, shard, &last, &mut |key, value| {
            let Some(Owner::User(user)) = route::carry::owner(key, value) else {
                return Ok(());
            };
            self.placed(routes, shard, user.to_string().as_bytes())?;
            let value = route::carry::repointed(key, value, &|user, period| {
                let key = crate::stages::user_period_key(user, period);
                places.get(&digest(&[key.as_bytes()])).copied()
            })
            .map_err(|error| {
                explain(
                    error,
                    routes,
                    shard,
                    "restore the statements that were deleted",
                )
            })?;
            let target = self.new.shard_of_key(user.to_string().as_bytes());
            copier.put_at(target, 0, key, Some(&value))
        })?;
        self.finish(copier, &to.render_routes, &mut |_, _, _| {})
    }

    /// What a group has not finished of a topic, in order. Returns how many records.
    fn rest(&mut self, group: &Group, from: &Topic, to: &Topic, shard: Shard) -> Result<u64> {
        let begin = self.old.committed(group, from, shard)?;
        let (mut copier, mut count) = (self.copier(to), 0);
        self.old.each(from, shard, begin, &mut |_, key, value| {
            count += 1;
            copier.put(0, key, value)
        })?;
        self.finish(copier, to, &mut |_, _, _| {})?;
        Ok(count)
    }

    /// All of `dead-letters`; what stood in an input topic goes back into the new one.
    fn dead_letters(&mut self, shard: Shard) -> Result<()> {
        let (from, to) = (self.old.topics().clone(), self.new.topics().clone());
        let mut copier = self.copier(&to.dead_letters);
        let carried = &mut self.carried;
        let mut decoder = self.old.values.decoder::<DeadLetter>();
        let mut encoder = self.new.values.dead_letter_encoder();
        self.old.each(
            &from.dead_letters,
            shard,
            Offset(0),
            &mut |_, key, value| {
                carried.dead_letters += 1;
                let letter = match value {
                    Some(value) => readable(decoder.decode(value))?,
                    None => None,
                };
                let Some(mut letter) = letter else {
                    return copier.put(0, key, value);
                };
                let inputs = [
                    (&from.usage, &to.usage),
                    (&from.subscribers, &to.subscribers),
                    (&from.statements, &to.statements),
                    (&from.dispatches, &to.dispatches),
                    (&from.deliveries, &to.deliveries),
                    (&from.receipts, &to.receipts),
                    (&from.control, &to.control),
                ];
                if letter.raw.is_none() && letter.raw_form != "row" {
                    // there is nothing to read it back from in the new topics: it stays as it is
                    carried.originals_left += 1;
                } else if let Some((_, now)) = inputs
                    .into_iter()
                    .find(|(was, _)| was.name() == letter.raw_form)
                {
                    now.name().clone_into(&mut letter.raw_form);
                }
                copier.put(0, key, Some(&encoded(&mut encoder, &letter)?))
            },
        )?;
        self.finish(copier, &to.dead_letters, &mut |_, _, _| {})
    }

    /// Every command to every partition. An operator's words that send has not read come last:
    /// returns where they begin.
    fn control(&mut self) -> Result<Vec<Offset>> {
        let (from, to) = (
            self.old.topics().control.clone(),
            self.new.topics().control.clone(),
        );
        let send = &self.old.pipeline.send.group;
        let mut decoder = self.old.values.decoder::<Command>();
        let mut unread = HashSet::new();
        let mut first: Option<HashSet<Vec<u8>>> = None;
        for shard in self.old.shards() {
            let begin = self.old.committed(send, &from, shard)?;
            let mut keys = HashSet::new();
            self.old
                .each(&from, shard, Offset(0), &mut |offset, key, value| {
                    keys.insert(key.to_vec());
                    let word = match value {
                        Some(value) => readable(decoder.decode(value))?,
                        None => None,
                    };
                    if let Some(Command {
                        action: Action::Resolve(resolve),
                        ..
                    }) = word
                        && offset >= begin
                        && self
                            .old
                            .shard_of_key(resolve.user_id.to_string().as_bytes())
                            == shard
                    {
                        unread.insert(key.to_vec());
                    }
                    Ok(())
                })?;
            if first.get_or_insert_with(|| keys.clone()) != &keys {
                bail!(
                    "the partitions of {from} do not hold the same commands: write to it with sealpost's commands only, and once none runs, `sealpost repartition --resume`"
                );
            }
        }
        let mut encoder = self.new.values.command_encoder();
        let mut begins = Vec::new();
        for words in [Words::Read, Words::Unread] {
            let mut copier = self.copier(&to);
            self.old
                .each(&from, Shard(0), Offset(0), &mut |_, key, value| {
                    if unread.contains(key) == (words == Words::Unread)
                        && let Some(value) = value
                    {
                        self.carried.commands += 1;
                        let command = readable(decoder.decode(value))?;
                        let value = match command.and_then(without_cut) {
                            Some(command) => encoded(&mut encoder, &command)?,
                            None => value.to_vec(),
                        };
                        copier.put_everywhere(key, &value)?;
                    }
                    Ok(())
                })?;
            self.finish(copier, &to, &mut |_, _, _| {})?;
            if words == Words::Read {
                begins = self.ends.get(&to).cloned().unwrap_or_default();
            }
        }
        Ok(begins)
    }

    /// Where the groups begin: behind what was done before, before what was not.
    fn begins(&self, send_control: &[Offset]) -> Vec<(Group, Vec<Progress>)> {
        let to = &self.new.pipeline;
        let topics = &to.topics;
        [&to.settle, &to.render, &to.send]
            .into_iter()
            .map(|stage| {
                let mut progress = Vec::new();
                for input in &stage.inputs {
                    let open = [&topics.dispatches, &topics.deliveries, &topics.receipts]
                        .contains(&&input.topic);
                    let ends = self
                        .ends
                        .get(&input.topic)
                        .map(Vec::as_slice)
                        .unwrap_or_default();
                    let ends = if stage.group == to.send.group && input.topic == topics.control {
                        send_control
                    } else {
                        ends
                    };
                    for shard in self.new.shards() {
                        let end = ends.get(shard.0 as usize).copied().unwrap_or_default();
                        progress.push(Progress {
                            topic: input.topic.clone(),
                            shard,
                            offset: if open { Offset(0) } else { end },
                        });
                    }
                }
                (stage.group.clone(), progress)
            })
            .collect()
    }
}

/// Which of an operator's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Words {
    Read,
    Unread,
}

fn encoded<R: Record>(encoder: &mut Encoder<R>, record: &R) -> Result<Vec<u8>> {
    let mut value = Vec::new();
    encoder.encode(record, &mut value)?;
    Ok(value)
}

fn user_of(key: &[u8]) -> Option<UserId> {
    std::str::from_utf8(key).ok()?.parse().ok()
}

/// A close without its cut: its offsets are of the old topics, and it is done. One that was read
/// again in the new generation would otherwise wait for ends that never come.
/// `None`: another command, which goes as it is.
fn without_cut(command: Command) -> Option<Command> {
    match command.action {
        Action::Close(close) => Some(Command {
            action: Action::Close(Close {
                usage_end: 0,
                subscribers_end: 0,
                ..close
            }),
            ..command
        }),
        _ => None,
    }
}

fn explain(error: CarryError, topic: &Topic, shard: Shard, way_out: &str) -> anyhow::Error {
    match error {
        CarryError::Gone => anyhow::anyhow!("{topic} partition {shard}: {error}; {way_out}"),
        CarryError::Unreadable => anyhow::anyhow!(
            "{topic} partition {shard}: {error}; repartition with the version that wrote it"
        ),
    }
}
