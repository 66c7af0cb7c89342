//! Generations of topics: a topic prefix each, and a register beside the topics that says where
//! they came from and where they went.
//!
//! # Invariants
//! - The register is the topic `PREFIXgeneration`, of one partition, compacted, with at most two
//!   rows: where the generation was made from, and where it moved to. A first generation has none.
//! - A generation that is still being made, or has moved, is used by no command but `repartition`.
//! - The register outlives the generation's topics: a configuration that was left behind never
//!   makes them anew.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use sealpost_topology::batch::Batch;
use sealpost_topology::log::{Cleanup, Durability, KafkaLog, Log as _, TopicSpec, Write};
use sealpost_topology::types::{Shard, Topic};
use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::kafka;
use crate::usage_error::UsageError;

const MADE_FROM: &str = "made-from";
const MOVED_TO: &str = "moved-to";

/// Whether a move is through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Move {
    /// It was begun.
    Begun,
    /// It is checked, and stands.
    Done,
}

/// The other generation of a move.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// Its topic prefix.
    pub prefix: String,
    /// Its partitions.
    pub partitions: u32,
    /// How far the move is.
    pub state: Move,
}

/// What a register says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Marks {
    /// Where the generation was made from.
    pub made_from: Option<Mark>,
    /// Where it moved to.
    pub moved_to: Option<Mark>,
}

impl Marks {
    /// That the generation may be used.
    ///
    /// # Errors
    /// [`UsageError`] that says what to configure or to do.
    pub fn check(&self, prefix: &str) -> Result<()> {
        if let Some(Mark {
            prefix: to,
            partitions,
            state,
        }) = &self.moved_to
        {
            let line = match state {
                Move::Done => format!(
                    "the topics {prefix}* have moved: set log.topic_prefix = \"{to}\" and log.partitions = {partitions}"
                ),
                Move::Begun => format!(
                    "the topics {prefix}* are being carried over to {to}*: wait for `sealpost repartition`; if it was interrupted, go on with `sealpost repartition --resume`, or take it back with `sealpost repartition --abandon`"
                ),
            };
            return Err(UsageError(line).into());
        }
        if let Some(Mark {
            prefix: from,
            partitions,
            state: Move::Begun,
        }) = &self.made_from
        {
            return Err(UsageError(format!(
                "the topics {prefix}* are not complete: set log.topic_prefix = \"{from}\" and log.partitions = {partitions} again, and go on with `sealpost repartition --resume`"
            ))
            .into());
        }
        Ok(())
    }
}

/// The register's topic.
#[must_use]
pub fn register_topic(prefix: &str) -> Topic {
    Topic::new(&format!("{prefix}generation"))
}

/// That the generation that is configured may be used, as far as `log` shows; before any of its
/// topics are made.
///
/// # Errors
/// [`UsageError`] that says what to configure, or when the log failed.
pub fn check(config: &Config, log: &KafkaLog) -> Result<()> {
    let prefix = &config.log.topic_prefix;
    if log
        .describe(&[register_topic(prefix)])
        .map_err(kafka::blame)?
        .is_empty()
    {
        return Ok(());
    }
    Register::open(config, prefix)?.read()?.check(prefix)
}

/// See the module.
pub struct Register {
    log: KafkaLog,
    topic: Topic,
}

impl Register {
    /// Reaches the register of a generation, which need not be there.
    ///
    /// # Errors
    /// When the brokers do not answer.
    pub fn open(config: &Config, prefix: &str) -> Result<Self> {
        let mut config = config.clone();
        config.log.partitions = 1;
        config.log.topic_prefix = format!("{prefix}generation.");
        Ok(Self {
            log: kafka::open_alone(&config)?,
            topic: register_topic(prefix),
        })
    }

    /// What it says.
    ///
    /// # Errors
    /// When the log failed, or a row cannot be read.
    pub fn read(&self) -> Result<Marks> {
        let there = self
            .log
            .describe(std::slice::from_ref(&self.topic))
            .map_err(kafka::blame)?;
        if there.is_empty() {
            return Ok(Marks::default());
        }
        let mut rows: BTreeMap<Vec<u8>, Option<Vec<u8>>> = BTreeMap::new();
        self.log.restore(&self.topic, Shard(0), &mut |key, value| {
            rows.insert(key.to_vec(), value.map(<[u8]>::to_vec));
        })?;
        let row = |key: &str| {
            rows.get(key.as_bytes())
                .and_then(Option::as_deref)
                .map(serde_json::from_slice)
                .transpose()
                .with_context(|| format!("topic {} cannot be read: another program wrote to it, or a newer version did", self.topic))
        };
        Ok(Marks {
            made_from: row(MADE_FROM)?,
            moved_to: row(MOVED_TO)?,
        })
    }

    /// Says where the generation was made from.
    ///
    /// # Errors
    /// When the log failed.
    pub fn made_from(&self, mark: &Mark) -> Result<()> {
        self.write(MADE_FROM, Some(mark))
    }

    /// Says where the generation moved to; `None`: that it did not.
    ///
    /// # Errors
    /// When the log failed.
    pub fn moved_to(&self, mark: Option<&Mark>) -> Result<()> {
        self.write(MOVED_TO, mark)
    }

    fn write(&self, key: &str, mark: Option<&Mark>) -> Result<()> {
        self.log
            .create(&[TopicSpec {
                topic: self.topic.clone(),
                cleanup: Cleanup::Compact,
            }])
            .map_err(kafka::blame)?;
        let value = mark.map(serde_json::to_vec).transpose()?;
        let mut batch = Batch::default();
        batch.push(key.as_bytes(), value.as_deref());
        let write = Write {
            topic: self.topic.clone(),
            shard: Shard(0),
            batch,
        };
        self.log.append(vec![write], Durability::Machine)?;
        Ok(())
    }

    /// Which of these topics are there.
    ///
    /// # Errors
    /// When the brokers do not answer.
    pub fn there(&self, topics: &[Topic]) -> Result<Vec<Topic>> {
        let states = self.log.describe(topics).map_err(kafka::blame)?;
        Ok(states.into_iter().map(|state| state.topic).collect())
    }

    /// Deletes topics, and waits until they are gone.
    ///
    /// # Errors
    /// When the brokers refuse, or they do not go.
    pub fn delete(&self, topics: &[Topic]) -> Result<()> {
        let there = self.there(topics)?;
        if there.is_empty() {
            return Ok(());
        }
        self.log.delete(&there).map_err(kafka::blame)?;
        let until = std::time::Instant::now() + std::time::Duration::from_secs(30);
        loop {
            let left = self.there(&there)?;
            let Some(one) = left.first() else {
                return Ok(());
            };
            anyhow::ensure!(
                std::time::Instant::now() < until,
                "topic {one} was deleted, and is still there: look at the brokers, then do this again"
            );
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn mark(state: Move) -> Option<Mark> {
        Some(Mark {
            prefix: "other.".to_owned(),
            partitions: 12,
            state,
        })
    }

    fn refusal(marks: &Marks) -> String {
        marks.check("mine.").unwrap_err().to_string()
    }

    #[test]
    fn a_generation_that_moved_says_what_to_configure() {
        let marks = Marks {
            made_from: None,
            moved_to: mark(Move::Done),
        };
        let line = refusal(&marks);
        assert!(
            line.contains("log.topic_prefix = \"other.\"") && line.contains("log.partitions = 12"),
            "{line}"
        );
    }

    #[test]
    fn a_generation_that_is_being_carried_over_or_made_is_refused() {
        let moving = Marks {
            made_from: None,
            moved_to: mark(Move::Begun),
        };
        let making = Marks {
            made_from: mark(Move::Begun),
            moved_to: None,
        };
        assert!(refusal(&moving).contains("--resume"));
        assert!(refusal(&making).contains("--resume"));
    }

    #[test]
    fn a_complete_generation_is_used() {
        let marks = Marks {
            made_from: mark(Move::Done),
            moved_to: None,
        };
        marks.check("mine.").unwrap();
        Marks::default().check("mine.").unwrap();
    }
}
