//! `dead-letters`: what was refused, why, from where; and back on its way.

use std::fmt::Write as _;

use anyhow::Result;
use clap::Subcommand;
use sealpost_schemas::key_ring::KeyRing;
use sealpost_schemas::record::{DeadLetter, Requeued, Subscriber, Usage};
use sealpost_schemas::sealed::{KeyPurpose, Purpose};
use sealpost_topology::batch::Batch;
use sealpost_topology::log::Write;
use sealpost_topology::types::{Offset, Shard};

use super::Scene;
use super::ingest::requeue_row;
use crate::books::dead_letters;
use crate::deployment::{Deployment, key_ring, readable};
use crate::door::Door;
use crate::host::Role;
use crate::stages::user_key;
use crate::usage_error::usage;

/// `dead-letters …`
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// What was refused, why, from where
    List,
    /// Put what was refused back on its way: once its cause is mended, it goes through
    Requeue {
        /// Only this reason, for example unknown-subscriber
        #[arg(long)]
        reason: Option<String>,
    },
}

pub(super) fn execute(scene: &Scene, command: &Command) -> Result<()> {
    let deployment = Deployment::open(scene.config.clone(), &scene.data_dir, Role::Command)?;
    let letters = dead_letters(&deployment)?;
    match command {
        Command::List => list(scene, &letters),
        Command::Requeue { reason } => {
            let ring = key_ring(&scene.config)?;
            ring.require(&[KeyPurpose::DeadLetter]).map_err(usage)?;
            let chosen = letters.iter().filter(|letter| {
                reason
                    .as_ref()
                    .is_none_or(|reason| reason == letter.reason.name())
            });
            let (mut requeued, mut left) = (0_u64, 0_u64);
            for letter in chosen {
                if requeue(&deployment, &ring, letter)? {
                    requeued += 1;
                } else {
                    left += 1;
                }
            }
            let json = serde_json::json!({ "requeued": requeued, "still_refused": left });
            scene.answer(
                &json,
                &format!("{requeued} put back on their way, {left} still refused as they are"),
            )
        }
    }
}

fn list(scene: &Scene, letters: &[DeadLetter]) -> Result<()> {
    let mut text = String::new();
    let mut json = Vec::with_capacity(letters.len());
    for letter in letters {
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
    scene.answer(&serde_json::Value::from(json), &text)
}

/// Opens the original and appends it where it belongs, and the mark that it was. Returns whether
/// it could be.
fn requeue(deployment: &Deployment, ring: &KeyRing, letter: &DeadLetter) -> Result<bool> {
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
        let mark = mark(deployment, letter)?;
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
        deployment.append(vec![mark(deployment, letter)?])?;
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
    deployment.append(vec![back, mark(deployment, letter)?])?;
    Ok(true)
}

fn mark(deployment: &Deployment, letter: &DeadLetter) -> Result<Write> {
    let mark = Requeued {
        stage: letter.stage.clone(),
        source: letter.source.clone(),
        partition: letter.partition,
        position: letter.position,
        command_id: "requeue".to_owned(),
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
