//! `dead-letters`: what was refused, why, from where; and back on its way.

use std::fmt::Write as _;

use anyhow::Result;
use clap::Subcommand;
use sealpost_schemas::key_ring::KeyRing;
use sealpost_schemas::record::{Action, DeadLetter, Reason, Requeue, Requeued, Subscriber, Usage};
use sealpost_schemas::sealed::{KeyPurpose, Purpose};
use sealpost_topology::batch::Batch;
use sealpost_topology::log::Write;
use sealpost_topology::types::{Offset, Shard};

use super::ingest::requeue_row;
use super::{Answer, Scene};
use crate::books::dead_letters;
use crate::deployment::{Deployment, key_ring, readable};
use crate::door::Door;
use crate::stages::user_key;
use crate::usage_error::{UsageError, usage};

/// `dead-letters …`
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// What was refused, why, from where
    List,
    /// Put what was refused back on its way: once its cause is mended, it goes through
    Requeue(Chosen),
}

/// `dead-letters requeue …`
#[derive(Debug, Default, clap::Args, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Chosen {
    /// Only this reason, for example unknown-subscriber
    #[arg(long)]
    reason: Option<String>,
}

pub(super) fn execute(scene: &Scene, command: &Command) -> Result<()> {
    scene.command(|deployment| match command {
        Command::List => list(deployment),
        Command::Requeue(chosen) => requeue_all(deployment, chosen),
    })
}

/// Puts back what was chosen.
pub(super) fn requeue_all(deployment: &Deployment, chosen: &Chosen) -> Result<Answer> {
    let ring = key_ring(&deployment.config)?;
    ring.require(&[KeyPurpose::DeadLetter]).map_err(usage)?;
    let reason = chosen.reason.clone();
    if let Some(reason) = &reason
        && !Reason::ALL.iter().any(|known| known.name() == reason)
    {
        let known: Vec<_> = Reason::ALL.iter().map(|reason| reason.name()).collect();
        return Err(UsageError(format!("no such reason: name one of {}", known.join(", "))).into());
    }
    let letters = dead_letters(deployment)?;
    let id = deployment.command(&|_, _| {
        Action::Requeue(Requeue {
            reason: reason.clone(),
        })
    })?;
    let (mut requeued, mut left) = (0_u64, 0_u64);
    for letter in letters.iter().filter(|letter| {
        reason
            .as_ref()
            .is_none_or(|reason| reason == letter.reason.name())
    }) {
        if requeue(deployment, &ring, letter, &id)? {
            requeued += 1;
        } else {
            left += 1;
        }
    }
    Ok(Answer {
        json: serde_json::json!({ "requeued": requeued, "still_refused": left, "command_id": id }),
        text: format!("{requeued} put back on their way, {left} still refused as they are"),
    })
}

/// What was refused and not put back.
pub(super) fn list(deployment: &Deployment) -> Result<Answer> {
    let letters = dead_letters(deployment)?;
    let mut text = String::new();
    let mut json = Vec::with_capacity(letters.len());
    for letter in &letters {
        let reason = letter.reason.name();
        let _ = writeln!(
            text,
            "{reason:<20} {} {} {}@{} user {}: {}",
            letter.stage,
            letter.source,
            letter.partition,
            letter.position,
            letter.user_id,
            letter.detail
        );
        json.push(serde_json::json!({
            "reason": reason, "stage": letter.stage, "source": letter.source, "partition": letter.partition,
            "position": letter.position, "user_id": letter.user_id, "detail": letter.detail,
        }));
    }
    if letters.is_empty() {
        text.push_str("no dead letters");
    }
    let json = serde_json::Value::from(json);
    Ok(Answer { json, text })
}

/// Opens the original and appends it where it belongs, and the mark that it was. Returns whether
/// it could be.
fn requeue(
    deployment: &Deployment,
    ring: &KeyRing,
    letter: &DeadLetter,
    command_id: &str,
) -> Result<bool> {
    let topics = deployment.topics();
    let shard = Shard(letter.partition.cast_unsigned());
    let from_row = letter.raw_form == "row";
    let opened = match &letter.raw {
        Some(raw) => Some(ring.open(Purpose::DeadLetterRaw, letter.user_id, raw)?),
        None => None,
    };
    if from_row {
        let Some(text) = opened.as_ref().and_then(|opened| opened.as_str()) else {
            return Ok(false);
        };
        let zone = jiff::tz::TimeZone::get(&deployment.config.time_zone)?;
        let row = Door::new(ring, zone).read_again(text, letter.position.unsigned_abs())?;
        if requeue_row(deployment, ring, row)?.is_some() {
            return Ok(false);
        }
        let mark = mark(deployment, letter, command_id)?;
        deployment.append(vec![mark])?;
        return Ok(true);
    }
    let topic = [&topics.usage, &topics.subscribers]
        .into_iter()
        .find(|topic| topic.name() == letter.raw_form);
    let Some(topic) = topic else { return Ok(false) };
    let mut subscribers = deployment.values.decoder::<Subscriber>();
    if topic == &topics.subscribers
        && subscribers.reads(opened.as_ref().map_or(&[], |o| o.as_bytes()))
    {
        // the row stands on the log already, and a newer one may follow it: the next close of
        // the period settles the user by whichever is newest
        deployment.append(vec![mark(deployment, letter, command_id)?])?;
        return Ok(true);
    }
    let value = match opened {
        Some(opened) => opened.as_bytes().to_vec(),
        // this process's stage had no key: the original is still in its topic
        None => {
            let at = Offset(letter.position.unsigned_abs());
            let batch = deployment.log.read(topic, shard, at)?;
            let found = batch.and_then(|batch| {
                batch
                    .iter()
                    .find(|record| record.offset == at)
                    .and_then(|record| record.value.map(<[u8]>::to_vec))
            });
            let Some(value) = found else { return Ok(false) };
            value
        }
    };
    // what cannot be decoded would only come back
    let user = if topic == &topics.usage {
        let usage: Option<Usage> = readable(deployment.values.decoder().decode(&value))?;
        usage.map(|usage| usage.user_id)
    } else {
        readable(subscribers.decode(&value))?.map(|subscriber| subscriber.user_id)
    };
    let Some(user) = user else { return Ok(false) };
    let mut batch = Batch::default();
    batch.push(user_key(user).as_bytes(), Some(&value));
    let back = Write {
        topic: topic.clone(),
        shard: deployment.shard_of(user),
        batch,
    };
    deployment.append(vec![back, mark(deployment, letter, command_id)?])?;
    Ok(true)
}

fn mark(deployment: &Deployment, letter: &DeadLetter, command_id: &str) -> Result<Write> {
    let mark = Requeued {
        stage: letter.stage.clone(),
        source: letter.source.clone(),
        partition: letter.partition,
        position: letter.position,
        command_id: command_id.to_owned(),
    };
    let mut value = Vec::new();
    deployment
        .values
        .requeued_encoder()
        .encode(&mark, &mut value)?;
    let mut batch = Batch::default();
    batch.push(user_key(letter.user_id).as_bytes(), Some(&value));
    let topic = deployment.topics().dead_letters.clone();
    Ok(Write {
        topic,
        shard: deployment.shard_of(letter.user_id),
        batch,
    })
}
