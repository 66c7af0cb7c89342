//! One generation of topics, and how its partitions are read.
//!
//! Only one partition is held at a time, and of it only where the last record of each key lies: 24
//! bytes a key. The records themselves are streamed, as often as they are needed.

use std::collections::HashMap;
use std::sync::Arc;

use anyhow::Result;
use sealpost_topology::log::Log;
use sealpost_topology::partitioner::shard_of;
use sealpost_topology::types::{Offset, Shard, Topic};

use crate::config::Config;
use crate::deployment::registry_error;
use crate::kafka;
use crate::pipeline::Pipeline;
use crate::registry::ValueCodec;
use crate::topics::Topics;

/// See the module.
pub struct Side {
    /// What the names of its topics begin with.
    pub prefix: String,
    pub(super) log: Arc<dyn Log>,
    /// The graph over its topics.
    pub pipeline: Pipeline,
    /// How values of the contract's topics are encoded and decoded.
    pub(super) values: ValueCodec,
}

/// Where the last record of each key lies, by a digest of the key.
pub(super) struct Last(HashMap<u128, Offset>);

impl Side {
    /// A generation on a log that somebody else keeps open.
    #[must_use]
    pub fn over(log: Arc<dyn Log>, prefix: &str) -> Self {
        Self {
            prefix: prefix.to_owned(),
            log,
            values: ValueCodec::single_object(),
            pipeline: Pipeline::new(Topics::new(prefix)),
        }
    }

    /// Reaches a generation on Kafka, whose topics need not be there.
    ///
    /// # Errors
    /// When the brokers or the registry do not answer, or refuse.
    pub fn open(config: &Config, prefix: &str, partitions: u32) -> Result<Self> {
        let mut config = config.clone();
        config.log.topic_prefix = prefix.to_owned();
        config.log.partitions = partitions;
        // partitions are read one after the other, to their ends: a fetch that waits for records at
        // one end keeps the next partition waiting
        config
            .log
            .kafka
            .properties
            .entry("fetch.wait.max.ms".to_owned())
            .or_insert_with(|| "5".to_owned());
        let topics = Topics::new(prefix);
        Ok(Self {
            prefix: prefix.to_owned(),
            log: Arc::new(kafka::open_alone(&config)?),
            values: ValueCodec::open(config.schema_registry.as_ref(), &topics)
                .map_err(registry_error)?,
            pipeline: Pipeline::new(topics),
        })
    }

    /// Its topics.
    #[must_use]
    pub const fn topics(&self) -> &Topics {
        &self.pipeline.topics
    }

    /// Every topic but the register.
    #[must_use]
    pub fn all_topics(&self) -> Vec<Topic> {
        let specs = self.pipeline.topic_specs();
        specs.into_iter().map(|spec| spec.topic).collect()
    }

    /// How many partitions each of them has.
    #[must_use]
    pub fn partitions(&self) -> u32 {
        self.log.partitions()
    }

    pub(super) fn shards(&self) -> impl Iterator<Item = Shard> + use<> {
        (0..self.partitions()).map(Shard)
    }

    /// The shard of a record with a key that is a user's id, or begins with it.
    pub(super) fn shard_of_key(&self, key: &[u8]) -> Shard {
        let user = key.split(|byte| *byte == b'/').next().unwrap_or_default();
        shard_of(user, self.partitions())
    }

    /// Shows every record at or after an offset, tombstones included, in order.
    pub(super) fn each(
        &self,
        topic: &Topic,
        shard: Shard,
        from: Offset,
        see: &mut dyn FnMut(Offset, &[u8], Option<&[u8]>) -> Result<()>,
    ) -> Result<()> {
        let mut at = from;
        while let Some(batch) = self.log.read(topic, shard, at)? {
            for record in batch.iter().filter(|record| record.offset >= at) {
                see(record.offset, record.key, record.value)?;
            }
            at = batch.next_offset();
        }
        Ok(())
    }

    /// Finds the last record of each key, of those that `counts` accepts.
    pub(super) fn last(
        &self,
        topic: &Topic,
        shard: Shard,
        counts: &mut dyn FnMut(Option<&[u8]>) -> Result<bool>,
    ) -> Result<Last> {
        let mut last = HashMap::new();
        self.each(topic, shard, Offset(0), &mut |offset, key, value| {
            if counts(value)? {
                last.insert(digest(&[key]), offset);
            }
            Ok(())
        })?;
        Ok(Last(last))
    }

    /// Shows what a compacted partition comes to: each key that has a value, once.
    pub(super) fn each_live(
        &self,
        topic: &Topic,
        shard: Shard,
        last: &Last,
        see: &mut dyn FnMut(&[u8], &[u8]) -> Result<()>,
    ) -> Result<()> {
        self.each(
            topic,
            shard,
            Offset(0),
            &mut |offset, key, value| match value {
                Some(value) if last.0.get(&digest(&[key])) == Some(&offset) => see(key, value),
                _ => Ok(()),
            },
        )
    }

    /// What a group has committed in a partition.
    pub(super) fn committed(
        &self,
        group: &sealpost_topology::types::Group,
        topic: &Topic,
        shard: Shard,
    ) -> Result<Offset> {
        Ok(self.log.committed(group, topic, shard)?.unwrap_or_default())
    }

    /// How many records a group has not read in all partitions of a topic.
    pub(super) fn unread(
        &self,
        group: &sealpost_topology::types::Group,
        topic: &Topic,
    ) -> Result<u64> {
        let mut count = 0;
        for shard in self.shards() {
            let from = self.committed(group, topic, shard)?;
            self.each(topic, shard, from, &mut |_, _, _| {
                count += 1;
                Ok(())
            })?;
        }
        Ok(count)
    }
}

/// Every record takes part: a tombstone ends its key.
pub(super) const fn any(_: Option<&[u8]>) -> Result<bool> {
    Ok(true)
}

/// 128 bits that stand for a row of byte strings.
pub(super) fn digest(parts: &[&[u8]]) -> u128 {
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    hasher
        .finalize()
        .as_bytes()
        .first_chunk()
        .map_or(0, |bytes| u128::from_le_bytes(*bytes))
}
