//! `ingest`: files in at the door, onto the log.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Result, bail};
use sealpost_schemas::UserId;
use sealpost_schemas::codec::Encoder;
use sealpost_schemas::key_ring::KeyRing;
use sealpost_schemas::record::{DeadLetter, Subscriber, Usage};
use sealpost_schemas::sealed::{KeyPurpose, Purpose};
use sealpost_topology::batch::Batch;
use sealpost_topology::log::Write;
use sealpost_topology::types::{Shard, Topic};

use super::Scene;
use crate::deployment::{Deployment, key_ring};
use crate::door::{Door, Input, InputKind, Refused, Row, inspect, unreadable};
use crate::host::Role;
use crate::progress::bar;
use crate::stages::user_key;
use crate::usage_error::{UsageError, usage};

/// Bytes that are gathered before they are appended: batches of one append compress together.
const APPEND_BYTES: usize = 4 * 1024 * 1024;

/// `ingest …`
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Parquet, CSV or NDJSON files, or folders of them
    #[arg(required = true)]
    paths: Vec<PathBuf>,
}

/// What came in.
#[derive(Debug, Default, Clone, Copy, serde::Serialize)]
pub(super) struct Ingested {
    pub(super) subscribers: u64,
    pub(super) usage_events: u64,
    pub(super) dead_letters: u64,
}

pub(super) fn execute(scene: &Scene, arguments: &Arguments) -> Result<()> {
    // everything is looked at before anything is written
    let inputs = inspect(&arguments.paths).map_err(usage)?;
    if let Some(input) = inputs
        .iter()
        .find(|input| input.kind() == InputKind::Suppressions)
    {
        return Err(UsageError(format!(
            "{}: holds addresses to suppress: take it in with `sealpost suppress import`",
            input.path().display()
        ))
        .into());
    }
    let ring = key_ring(&scene.config)?;
    let deployment = Deployment::open(scene.config.clone(), &scene.data_dir, Role::Command)?;
    let ingested = ingest(&deployment, &ring, &inputs)?;
    let text = format!(
        "{} subscribers, {} usage events; {} refused{}",
        ingested.subscribers,
        ingested.usage_events,
        ingested.dead_letters,
        if ingested.dead_letters > 0 {
            ": see `sealpost dead-letters list`"
        } else {
            ""
        }
    );
    scene.answer(&serde_json::to_value(ingested)?, &text)
}

/// Reads inputs onto the log.
pub(super) fn ingest(
    deployment: &Deployment,
    ring: &KeyRing,
    inputs: &[Input],
) -> Result<Ingested> {
    let zone = jiff::tz::TimeZone::get(&deployment.config.time_zone)?;
    let door = Door::new(ring, zone);
    door.check_keys(inputs).map_err(usage)?;
    ring.require(&[KeyPurpose::DeadLetter]).map_err(usage)?;
    let mut gathered = Gathered::new(deployment, ring);
    let bar = bar("ingest", 0);
    for input in inputs {
        for warning in input.warnings() {
            tracing::warn!("{warning}");
        }
        let name = input.name();
        let summary = door.read(input, &mut |row, record| {
            if row % 8192 == 0 {
                bar.set_position(gathered.ingested.subscribers + gathered.ingested.usage_events);
            }
            match record {
                Row::Subscriber(subscriber) => gathered.subscriber(&subscriber),
                Row::Usage(usage) => gathered.usage(&usage),
                Row::Refused(refused) => gathered.refused(&name, &refused),
                Row::Suppression(_) => bail!("{name} holds addresses to suppress"),
            }
        });
        // what was read before a file turned out to be damaged stands; reading again is harmless
        gathered.flush()?;
        if let Some(warning) = summary.map_err(unreadable)?.warning {
            tracing::warn!("{warning}");
        }
    }
    bar.finish_and_clear();
    Ok(gathered.ingested)
}

/// Records on their way to the log, by topic and shard.
struct Gathered<'a> {
    deployment: &'a Deployment,
    ring: &'a KeyRing,
    batches: BTreeMap<(Topic, Shard), Batch>,
    bytes: usize,
    subscribers: Encoder<Subscriber>,
    usages: Encoder<Usage>,
    letters: Encoder<DeadLetter>,
    scratch: Vec<u8>,
    ingested: Ingested,
}

impl<'a> Gathered<'a> {
    fn new(deployment: &'a Deployment, ring: &'a KeyRing) -> Self {
        Self {
            deployment,
            ring,
            batches: BTreeMap::new(),
            bytes: 0,
            subscribers: deployment.values.subscriber_encoder(),
            usages: deployment.values.usage_encoder(),
            letters: deployment.values.dead_letter_encoder(),
            scratch: Vec::new(),
            ingested: Ingested::default(),
        }
    }

    fn subscriber(&mut self, subscriber: &Subscriber) -> Result<()> {
        self.ingested.subscribers += 1;
        self.scratch.clear();
        self.subscribers.encode(subscriber, &mut self.scratch)?;
        self.push(
            &self.deployment.topics().subscribers.clone(),
            subscriber.user_id,
        )
    }

    fn usage(&mut self, usage: &Usage) -> Result<()> {
        self.ingested.usage_events += 1;
        self.scratch.clear();
        self.usages.encode(usage, &mut self.scratch)?;
        self.push(&self.deployment.topics().usage.clone(), usage.user_id)
    }

    fn refused(&mut self, file: &str, refused: &Refused) -> Result<()> {
        self.ingested.dead_letters += 1;
        let raw = self.ring.seal(
            Purpose::DeadLetterRaw,
            refused.user_id,
            refused.raw_json.as_bytes(),
        )?;
        let letter = DeadLetter {
            user_id: refused.user_id,
            stage: "ingest".to_owned(),
            source: file.to_owned(),
            partition: 0,
            position: i64::try_from(refused.row)?,
            reason: refused.reason,
            detail: refused.detail.clone(),
            raw: Some(raw),
            raw_form: "row".to_owned(),
        };
        self.scratch.clear();
        self.letters.encode(&letter, &mut self.scratch)?;
        self.push(
            &self.deployment.topics().dead_letters.clone(),
            refused.user_id,
        )
    }

    fn push(&mut self, topic: &Topic, user: UserId) -> Result<()> {
        let key = user_key(user);
        let shard = self.deployment.shard_of(user);
        let batch = self.batches.entry((topic.clone(), shard)).or_default();
        let before = batch.bytes();
        batch.push(key.as_bytes(), Some(&self.scratch));
        self.bytes += batch.bytes() - before;
        if self.bytes >= APPEND_BYTES {
            self.flush()
        } else {
            Ok(())
        }
    }

    fn flush(&mut self) -> Result<()> {
        let writes: Vec<_> = std::mem::take(&mut self.batches)
            .into_iter()
            .map(|((topic, shard), batch)| Write {
                topic,
                shard,
                batch,
            })
            .collect();
        self.bytes = 0;
        if writes.is_empty() {
            Ok(())
        } else {
            self.deployment.append(writes)
        }
    }
}

/// Puts one record, as a row of a file was read again, back on its way.
pub(super) fn requeue_row(
    deployment: &Deployment,
    ring: &KeyRing,
    row: Row,
) -> Result<Option<Refused>> {
    let mut gathered = Gathered::new(deployment, ring);
    match row {
        Row::Subscriber(subscriber) => gathered.subscriber(&subscriber)?,
        Row::Usage(usage) => gathered.usage(&usage)?,
        Row::Refused(refused) => return Ok(Some(refused)),
        Row::Suppression(_) => bail!("addresses to suppress are not ingested"),
    }
    gathered.flush()?;
    Ok(None)
}
