//! Topics on the brokers: made as they must be, and refused when they are not.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use futures_executor::block_on;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::consumer::Consumer as _;
use rdkafka::types::RDKafkaErrorCode;

use super::client::{TopicCreation, Watch, patiently, refused_settings, told, told_code};
use super::transactor::{list, native};
use super::{KafkaLog, Known};
use crate::log::{Cleanup, LogError, TopicSpec};
use crate::types::{Offset, Shard, Topic};

/// One answer of the brokers.
const CALL: Duration = Duration::from_secs(10);

/// How long compaction leaves records alone: a stage that is behind still finds each row as it
/// was, and a close reads the rows that its cut names.
const COMPACTION_LAG_MS_MIN: &str = "86400000";
/// How long a deletion can be seen, where this makes the topic: local copies that were not brought
/// up to date for longer are made anew.
const DELETE_RETENTION_MS: u64 = 7 * 24 * 60 * 60 * 1000;
/// The same, where it is not known how the topic was made: as brokers have it by default.
pub(super) const DELETE_RETENTION_MS_BY_DEFAULT: u64 = 24 * 60 * 60 * 1000;

/// How a topic stands on the brokers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicState {
    /// Its name.
    pub topic: Topic,
    /// Its partitions.
    pub partitions: usize,
    /// Replicas of its first partition.
    pub replicas: usize,
    /// Its settings, as far as they matter and may be read.
    pub settings: BTreeMap<String, String>,
}

/// Settings that the pipeline rests on.
const SETTINGS: &[&str] = &[
    "cleanup.policy",
    "retention.ms",
    "retention.bytes",
    "min.insync.replicas",
    "min.compaction.lag.ms",
    "delete.retention.ms",
    "max.message.bytes",
    "compression.type",
];

impl KafkaLog {
    /// How topics stand; those that are not there are left out.
    ///
    /// # Errors
    /// When the brokers do not answer or do not permit it.
    pub fn describe(&self, topics: &[Topic]) -> Result<Vec<TopicState>, LogError> {
        let mut states = Vec::new();
        for topic in topics {
            if let Some((partitions, replicas)) = self.shape(topic)? {
                states.push(TopicState {
                    topic: topic.clone(),
                    partitions,
                    replicas,
                    settings: BTreeMap::new(),
                });
            }
        }
        let names: Vec<_> = states
            .iter()
            .map(|state| ResourceSpecifier::Topic(state.topic.name()))
            .collect();
        if names.is_empty() {
            return Ok(states);
        }
        let admin = self.admin()?;
        let meta = self.meta();
        let what = "describe the topics";
        let described = patiently(self.settings(), meta.context(), what, || {
            let options = AdminOptions::new().request_timeout(Some(CALL));
            block_on(admin.describe_configs(&names, &options))
        })?;
        for (state, described) in states.iter_mut().zip(described) {
            match described {
                Ok(resource) => {
                    state.settings = resource
                        .entries
                        .iter()
                        .filter(|entry| SETTINGS.contains(&entry.name.as_str()))
                        .filter_map(|entry| Some((entry.name.clone(), entry.value.clone()?)))
                        .collect();
                }
                Err(code) => tracing::warn!(
                    topic = state.topic.name(),
                    %code,
                    "the settings of a topic cannot be read, so they are not checked"
                ),
            }
        }
        Ok(states)
    }

    /// Deletes topics: those of a generation that was let go.
    ///
    /// # Errors
    /// When the brokers refuse or do not answer.
    pub fn delete(&self, topics: &[Topic]) -> Result<(), LogError> {
        let names: Vec<_> = topics.iter().map(Topic::name).collect();
        let admin = self.admin()?;
        let answers = block_on(
            admin.delete_topics(&names, &AdminOptions::new().operation_timeout(Some(CALL))),
        )
        .map_err(|error| self.told("delete topics", &error))?;
        for answer in answers {
            match answer {
                Ok(_) | Err((_, RDKafkaErrorCode::UnknownTopicOrPartition)) => {}
                Err((topic, code)) => {
                    return Err(self.told_code(&format!("delete topic {topic}"), code));
                }
            }
        }
        let mut known = self.known();
        for topic in topics {
            known.remove(topic);
        }
        Ok(())
    }

    /// Partitions and replicas of a topic; `None` if it is not there.
    pub(super) fn shape(&self, topic: &Topic) -> Result<Option<(usize, usize)>, LogError> {
        let what = format!("look up topic {topic}");
        let meta = self.meta();
        let metadata = patiently(self.settings(), meta.context(), &what, || {
            meta.fetch_metadata(Some(topic.name()), CALL)
        })?;
        let Some(found) = metadata
            .topics()
            .iter()
            .find(|found| found.name() == topic.name())
        else {
            return Ok(None);
        };
        match found.error().map(RDKafkaErrorCode::from) {
            None | Some(RDKafkaErrorCode::NoError | RDKafkaErrorCode::LeaderNotAvailable) => {}
            Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => {
                return Ok(None);
            }
            Some(code) => return Err(self.told_code(&what, code)),
        }
        let replicas = found
            .partitions()
            .first()
            .map_or(0, |first| first.replicas().len());
        Ok(Some((found.partitions().len(), replicas)))
    }

    pub(super) fn create_or_check(&self, specs: &[TopicSpec]) -> Result<(), LogError> {
        let mut wanted: Vec<&TopicSpec> = Vec::new();
        for spec in specs {
            if !wanted.contains(&spec) {
                wanted.push(spec);
            }
        }
        let topics: Vec<_> = wanted.iter().map(|spec| spec.topic.clone()).collect();
        // everything that is there is checked before anything is made
        let there = self.describe(&topics)?;
        for spec in &wanted {
            if let Some(state) = there.iter().find(|state| state.topic == spec.topic) {
                self.check(spec, state)?;
            }
        }
        let missing: Vec<_> = wanted
            .iter()
            .filter(|spec| !there.iter().any(|state| state.topic == spec.topic))
            .copied()
            .collect();
        if !missing.is_empty() {
            self.make(&missing)?;
        }
        self.known().extend(wanted.iter().map(|spec| {
            let state = there.iter().find(|state| state.topic == spec.topic);
            let delete_retention_ms = match state {
                None => Some(DELETE_RETENTION_MS),
                Some(state) => state
                    .settings
                    .get("delete.retention.ms")
                    .and_then(|value| value.parse().ok()),
            };
            let known = Known {
                cleanup: Some(spec.cleanup),
                delete_retention_ms,
            };
            (spec.topic.clone(), known)
        }));
        Ok(())
    }

    /// Whether a topic is as it must be.
    fn check(&self, spec: &TopicSpec, state: &TopicState) -> Result<(), LogError> {
        let topic = &spec.topic;
        let wanted = self.settings().partitions;
        if state.partitions != wanted as usize {
            return Err(LogError::Mismatch(format!(
                "topic {topic} has {} partitions, and log.partitions is {wanted}: set log.partitions to what the topics have, or carry the deployment over with `sealpost repartition --partitions {wanted}`",
                state.partitions
            )));
        }
        let setting = |name: &str| state.settings.get(name).map(String::as_str);
        let policy = setting("cleanup.policy");
        let fits = match (spec.cleanup, policy) {
            (_, None) => true,
            (Cleanup::Compact, Some(policy)) => policy == "compact",
            (Cleanup::Keep, Some(policy)) => policy == "delete",
        };
        if !fits {
            return Err(LogError::Mismatch(format!(
                "topic {topic} has cleanup.policy={}, and must have cleanup.policy={}: alter the topic, or let sealpost create it",
                policy.unwrap_or_default(),
                if spec.cleanup == Cleanup::Compact {
                    "compact"
                } else {
                    "delete"
                }
            )));
        }
        if spec.cleanup == Cleanup::Keep {
            for name in ["retention.ms", "retention.bytes"] {
                if let Some(value) = setting(name)
                    && value != "-1"
                {
                    return Err(LogError::Mismatch(format!(
                        "topic {topic} has {name}={value}, and must have {name}=-1: what is still needed must not be deleted by age or size"
                    )));
                }
            }
        }
        if let Some(in_sync) =
            setting("min.insync.replicas").and_then(|value| value.parse::<u32>().ok())
            && state.replicas >= 3
            && in_sync < 2
        {
            tracing::warn!(
                "topic {topic} has {} replicas and min.insync.replicas={in_sync}: with less than 2 the loss of one broker can lose what was committed",
                state.replicas
            );
        }
        Ok(())
    }

    fn make(&self, missing: &[&TopicSpec]) -> Result<(), LogError> {
        let settings = self.settings();
        if settings.creation == TopicCreation::Expect {
            let names: Vec<_> = missing.iter().map(|spec| spec.topic.name()).collect();
            return Err(LogError::Mismatch(format!(
                "topics are missing, and log.kafka.create_topics is off: create {} with `sealpost topics create`",
                names.join(", ")
            )));
        }
        let partitions = i32::try_from(settings.partitions).unwrap_or(i32::MAX);
        let delete_retention_ms = DELETE_RETENTION_MS.to_string();
        let new: Vec<_> = missing
            .iter()
            .map(|spec| {
                let replicas = TopicReplication::Fixed(settings.replication_factor);
                let topic = NewTopic::new(spec.topic.name(), partitions, replicas);
                let topic = match spec.cleanup {
                    Cleanup::Keep => topic
                        .set("cleanup.policy", "delete")
                        .set("retention.ms", "-1")
                        .set("retention.bytes", "-1"),
                    Cleanup::Compact => topic
                        .set("cleanup.policy", "compact")
                        .set("min.compaction.lag.ms", COMPACTION_LAG_MS_MIN)
                        .set("delete.retention.ms", &delete_retention_ms),
                };
                if settings.replication_factor >= 3 {
                    topic.set("min.insync.replicas", "2")
                } else {
                    topic
                }
            })
            .collect();
        let admin = self.admin()?;
        let options = AdminOptions::new()
            .request_timeout(Some(CALL))
            .operation_timeout(Some(CALL));
        let answers = block_on(admin.create_topics(&new, &options))
            .map_err(|error| self.told("create topics", &error))?;
        for answer in answers {
            match answer {
                // somebody else was faster; checked below like any other
                Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
                Err((topic, code)) => {
                    return Err(self.told_code(&format!("create topic {topic}"), code));
                }
            }
        }
        // until every broker's word is that they are there
        let until = Instant::now() + settings.patience;
        for spec in missing {
            while self.shape(&spec.topic)?.is_none_or(|(found, _)| found == 0) {
                if Instant::now() >= until {
                    return Err(LogError::Unreachable(format!(
                        "topic {} was created, and is not to be seen",
                        spec.topic
                    )));
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        let topics: Vec<_> = missing.iter().map(|spec| spec.topic.clone()).collect();
        for (spec, state) in missing.iter().zip(self.describe(&topics)?) {
            self.check(spec, &state)?;
        }
        Ok(())
    }

    /// Deletes the records of a partition below an offset.
    pub(super) fn delete_below(
        &self,
        topic: &Topic,
        shard: Shard,
        below: Offset,
    ) -> Result<(), LogError> {
        let admin = self.admin()?;
        let offsets = list([(topic, shard, native(below))]);
        let options = AdminOptions::new()
            .request_timeout(Some(CALL))
            .operation_timeout(Some(CALL));
        let answer = block_on(admin.delete_records(&offsets, &options))
            .and_then(|answer| answer.elements().iter().try_for_each(|one| one.error()));
        answer.map_err(|error| self.told(&format!("delete what is done with of {topic}"), &error))
    }

    fn admin(&self) -> Result<AdminClient<Watch>, LogError> {
        self.settings()
            .meta()
            .create_with_context(Watch::default())
            .map_err(|error| refused_settings(&error))
    }

    pub(super) fn told(&self, what: &str, error: &rdkafka::error::KafkaError) -> LogError {
        told(self.settings(), self.meta().context(), what, error)
    }

    pub(super) fn told_code(&self, what: &str, code: RDKafkaErrorCode) -> LogError {
        told_code(self.settings(), self.meta().context(), what, code)
    }
}
