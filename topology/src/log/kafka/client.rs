//! Clients of the brokers: what each kind is configured with, what librdkafka told about its
//! connection, and how its errors read to us.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::producer::ProducerContext;
use rdkafka::types::RDKafkaErrorCode;

use crate::log::{ClockMs, LogError};

/// What a deployment on Kafka is made with.
#[derive(Clone)]
pub struct KafkaSettings {
    /// Where the brokers are: `host:port`, several separated by commas.
    pub bootstrap_servers: String,
    /// Partitions of every topic.
    pub partitions: u32,
    /// Replicas of the topics that are created; `-1`: the broker's default.
    pub replication_factor: i32,
    /// Whether topics that are missing are created.
    pub creation: TopicCreation,
    /// What the ids of transactions outside any group begin with.
    pub prefix: String,
    /// What transactional ids are made of: the same for every life of one process, and never
    /// that of two at once.
    pub identity: String,
    /// Whether the identity also keeps the seats in the groups while the process restarts.
    pub membership: Membership,
    /// What groups are formed with.
    pub protocol: GroupProtocol,
    /// Properties of librdkafka, over the ones set here.
    pub properties: BTreeMap<String, String>,
    /// How long brokers that do not answer are waited for.
    pub patience: Duration,
    /// Where the local copies of compacted topics are; none when absent. One process at a time.
    pub mirror_dir: Option<std::path::PathBuf>,
    /// Tells the time: how old local copies are.
    pub clock: ClockMs,
}

/// How long a transaction may be open before the brokers abort it.
pub(super) const TRANSACTION: Duration = Duration::from_secs(10);

/// Whether topics that are missing are created.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TopicCreation {
    /// They are.
    Create,
    /// They are an error.
    Expect,
}

/// Whether seats outlive a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Membership {
    /// A process that ends gives its shards away.
    Dynamic,
    /// A process that ends keeps its shards until its session runs out.
    Static,
}

/// Which of a group's offsets are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Standing {
    /// Once every transaction that has handed some over is over.
    Over,
    /// What is committed at this moment.
    SoFar,
}

/// How a group agrees on who owns what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GroupProtocol {
    /// The brokers decide (KIP-848): only what moves stops. Kafka 4.0 and later.
    Consumer,
    /// The members decide; everybody stops while they do.
    Classic,
}

/// Properties that are not a user's to set: what they do is what the promises rest on.
const RESERVED: &[&str] = &[
    "acks",
    "auto.offset.reset",
    "bootstrap.servers",
    "delivery.report.only.error",
    "enable.auto.commit",
    "enable.auto.offset.store",
    "enable.idempotence",
    "enable.partition.eof",
    "group.id",
    "group.instance.id",
    "group.protocol",
    "group.remote.assignor",
    "isolation.level",
    "partition.assignment.strategy",
    "partitioner",
    "request.required.acks",
    "transactional.id",
];

impl KafkaSettings {
    /// Refuses properties that are set by the log itself.
    pub(super) fn check(&self) -> Result<(), LogError> {
        for name in self.properties.keys() {
            if RESERVED.contains(&name.as_str()) {
                return Err(LogError::Mismatch(format!(
                    "log.kafka.properties: {name} is set by sealpost itself: leave it out"
                )));
            }
        }
        Ok(())
    }

    fn base(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &self.bootstrap_servers)
            .set("client.id", format!("sealpost-{}", self.identity))
            .set("allow.auto.create.topics", "false")
            .set("topic.metadata.refresh.interval.ms", "60000")
            .set("reconnect.backoff.ms", "50")
            .set("reconnect.backoff.max.ms", "2000")
            .set("log.connection.close", "false");
        config
    }

    fn with_properties(&self, mut config: ClientConfig) -> ClientConfig {
        for (name, value) in &self.properties {
            config.set(name, value);
        }
        config
    }

    /// Asks for metadata, and for ends that count what is not committed yet.
    pub(super) fn meta(&self) -> ClientConfig {
        let mut config = self.base();
        config.set("isolation.level", "read_uncommitted");
        self.with_properties(config)
    }

    /// Reads partitions from places of its own.
    pub(super) fn reader(&self) -> ClientConfig {
        let mut config = self.base();
        config
            .set("isolation.level", "read_committed")
            .set("enable.auto.commit", "false")
            .set("auto.offset.reset", "earliest")
            // an end is told: markers and what was aborted take offsets, too
            .set("enable.partition.eof", "true")
            .set("fetch.queue.backoff.ms", "2")
            .set("fetch.wait.max.ms", "100")
            .set("fetch.error.backoff.ms", "50")
            // both for each partition, since each has a queue of its own: there may be thousands
            .set("fetch.message.max.bytes", "262144")
            .set("queued.max.messages.kbytes", "1024")
            .set("queued.min.messages", "4000");
        self.with_properties(config)
    }

    /// Asks what a group has committed, without being a member.
    pub(super) fn offsets(&self, group: &str, standing: Standing) -> ClientConfig {
        let isolation = match standing {
            Standing::Over => "read_committed",
            Standing::SoFar => "read_uncommitted",
        };
        let mut config = self.base();
        config
            .set("group.id", group)
            .set("isolation.level", isolation)
            .set("enable.auto.commit", "false");
        self.with_properties(config)
    }

    /// Becomes a member of a group, and reads nothing.
    pub(super) fn member(&self, group: &str, slot: u32) -> ClientConfig {
        let mut config = self.offsets(group, Standing::Over);
        config
            .set("enable.auto.offset.store", "false")
            // longer than any step or restore; the session, kept in the background, is short
            .set("max.poll.interval.ms", "900000");
        match self.protocol {
            GroupProtocol::Consumer => {
                config
                    .set("group.protocol", "consumer")
                    .set("group.remote.assignor", "range");
            }
            GroupProtocol::Classic => {
                config
                    .set("group.protocol", "classic")
                    .set("partition.assignment.strategy", "range")
                    .set("session.timeout.ms", "10000")
                    // a member learns of another one by its next heartbeat: a start waits for that
                    .set("heartbeat.interval.ms", "500");
            }
        }
        if self.membership == Membership::Static {
            config.set("group.instance.id", format!("{}-{slot}", self.identity));
        }
        config
    }

    /// Writes in transactions.
    pub(super) fn producer(&self, transactional_id: &str) -> ClientConfig {
        let mut config = self.untransacted_producer();
        config.set("transactional.id", transactional_id).set(
            "transaction.timeout.ms",
            TRANSACTION.as_millis().to_string(),
        );
        self.with_properties(config)
    }

    /// Writes without transactions.
    pub(super) fn untransacted_producer(&self) -> ClientConfig {
        let mut config = self.base();
        config
            .set("enable.idempotence", "true")
            .set("delivery.report.only.error", "true")
            .set("partitioner", "murmur2_random")
            .set("compression.type", "lz4")
            .set("linger.ms", "5")
            .set("batch.num.messages", "20000")
            .set("batch.size", "1000000")
            .set("queue.buffering.max.messages", "1000000")
            .set("queue.buffering.max.kbytes", "262144");
        self.with_properties(config)
    }
}

/// Notes what a client's connection went through; its errors read better for it.
#[derive(Debug, Default)]
pub(super) struct Watch {
    last: Mutex<Option<(RDKafkaErrorCode, String)>>,
}

impl Watch {
    /// The last thing that a client told of its connection.
    pub(super) fn last(&self) -> Option<(RDKafkaErrorCode, String)> {
        self.last
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn note(&self, error: &KafkaError, reason: &str) {
        let code = error.rdkafka_error_code();
        tracing::debug!(?code, reason, "kafka client");
        if let Some(code) = code {
            let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
            // that all brokers are down says less than why
            let worse = code == RDKafkaErrorCode::AllBrokersDown && last.is_some();
            if !worse {
                *last = Some((code, reason.to_owned()));
            }
        }
    }
}

impl ClientContext for Watch {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        // connections come and go: what matters is told by the call that it fails
        if matches!(
            level,
            RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical
        ) {
            tracing::error!(facility, message, "librdkafka");
        } else {
            tracing::debug!(facility, message, "librdkafka");
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.note(&error, reason);
    }
}

impl ConsumerContext for Watch {}

impl ProducerContext for Watch {
    type DeliveryOpaque = ();

    fn delivery(&self, _: &rdkafka::producer::DeliveryResult<'_>, (): ()) {}
}

/// A consumer that is watched.
pub(super) type Consumer = BaseConsumer<Watch>;

/// Makes a client.
pub(super) fn consumer(config: &ClientConfig) -> Result<Arc<Consumer>, LogError> {
    config
        .create_with_context(Watch::default())
        .map(Arc::new)
        .map_err(|error| refused_settings(&error))
}

/// Ends a client without waiting for it: its end may wait for brokers that are away, and for answers
/// that never come.
pub(super) fn let_go<C: Send + 'static>(client: C) {
    std::thread::spawn(move || drop(client));
}

/// A client that librdkafka will not make: its settings are wrong.
pub(super) fn refused_settings(error: &KafkaError) -> LogError {
    LogError::Mismatch(match error {
        KafkaError::ClientConfig(_, what, name, _) => {
            format!("log.kafka.properties: {name}: {what}")
        }
        KafkaError::ClientCreation(why) => format!(
            "log.kafka: the client cannot be made: {why}{}",
            if why.contains("OpenSSL") || why.contains("sasl") || why.contains("ssl") {
                " (this needs a build with `--features tls`)"
            } else {
                ""
            }
        ),
        other => format!("log.kafka: {other}"),
    })
}

/// The code of an error, those of administration included, which the wrapper leaves out.
fn code_of(error: &KafkaError) -> RDKafkaErrorCode {
    match error {
        KafkaError::AdminOp(code) => *code,
        error => error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail),
    }
}

/// What an error comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Consequence {
    /// It may work in a moment.
    Retry,
    /// It will not work until somebody changes something.
    Refused,
    /// Anything else.
    Failed,
}

/// By code.
pub(super) const fn consequence(code: RDKafkaErrorCode) -> Consequence {
    use RDKafkaErrorCode as Code;
    match code {
        Code::BrokerTransportFailure
        | Code::AllBrokersDown
        | Code::Resolve
        | Code::OperationTimedOut
        | Code::TimedOutQueue
        | Code::RequestTimedOut
        | Code::WaitingForCoordinator
        | Code::WaitCache
        | Code::Retry
        | Code::LeaderNotAvailable
        | Code::NotLeaderForPartition
        | Code::BrokerNotAvailable
        | Code::ReplicaNotAvailable
        | Code::NetworkException
        | Code::CoordinatorLoadInProgress
        | Code::CoordinatorNotAvailable
        | Code::NotCoordinator
        | Code::NotController
        | Code::UnstableOffsetCommit
        | Code::ConcurrentTransactions
        | Code::NotEnoughReplicas
        | Code::NotEnoughReplicasAfterAppend
        | Code::FencedLeaderEpoch
        | Code::UnknownLeaderEpoch
        | Code::OffsetNotAvailable
        | Code::ThrottlingQuotaExceeded
        | Code::KafkaStorageError
        | Code::EligibleLeadersNotAvailable
        | Code::UnknownBroker
        | Code::RebalanceInProgress
        | Code::InProgress
        | Code::PreviousInProgress
        | Code::Outdated
        | Code::DestroyBroker
        // of topics that were there: a broker that comes up does not know them at once
        | Code::UnknownPartition
        | Code::UnknownTopic
        | Code::UnknownTopicOrPartition => Consequence::Retry,
        Code::Authentication
        | Code::SaslAuthenticationFailed
        | Code::SSL
        | Code::UnsupportedSASLMechanism
        | Code::IllegalSASLState
        | Code::SecurityDisabled
        | Code::TopicAuthorizationFailed
        | Code::GroupAuthorizationFailed
        | Code::ClusterAuthorizationFailed
        | Code::TransactionalIdAuthorizationFailed
        | Code::UnsupportedVersion
        | Code::InvalidReplicationFactor
        | Code::InvalidConfig
        | Code::PolicyViolation
        | Code::InvalidTransactionTimeout
        | Code::UnsupportedAssignor
        | Code::InvalidTopic => Consequence::Refused,
        _ => Consequence::Failed,
    }
}

/// An error in our words: what was tried, and what to do.
pub(super) fn told(
    settings: &KafkaSettings,
    watch: &Watch,
    what: &str,
    error: &KafkaError,
) -> LogError {
    told_code(settings, watch, what, code_of(error))
}

/// As [`told`], of a bare code.
pub(super) fn told_code(
    settings: &KafkaSettings,
    watch: &Watch,
    what: &str,
    code: RDKafkaErrorCode,
) -> LogError {
    use RDKafkaErrorCode as Code;
    let brokers = &settings.bootstrap_servers;
    // a time-out whose reason the connection knows
    let (code, reason) = match (consequence(code), watch.last()) {
        (Consequence::Retry, Some((known, reason)))
            if consequence(known) == Consequence::Refused =>
        {
            (known, reason)
        }
        (Consequence::Retry, Some((_, reason))) => (code, reason),
        _ => (code, String::new()),
    };
    let reason = brief(&reason);
    match (code, consequence(code)) {
        (
            Code::Authentication
            | Code::SaslAuthenticationFailed
            | Code::UnsupportedSASLMechanism
            | Code::IllegalSASLState,
            _,
        ) => LogError::Refused(format!(
            "Kafka at {brokers} refuses the credentials ({reason}): check sasl.username, sasl.password and sasl.mechanism in log.kafka.properties"
        )),
        (Code::SSL, _) => LogError::Refused(format!(
            "no TLS connection to Kafka at {brokers} ({reason}): check security.protocol and the ssl.* settings in log.kafka.properties"
        )),
        (
            Code::TopicAuthorizationFailed
            | Code::GroupAuthorizationFailed
            | Code::ClusterAuthorizationFailed
            | Code::TransactionalIdAuthorizationFailed,
            _,
        ) => LogError::Refused(format!(
            "{what}: Kafka at {brokers} does not permit it ({}): give this user the rights that docs/kafka-deployment.md lists",
            right(code)
        )),
        (_, Consequence::Retry) => LogError::Unreachable(format!(
            "{what}: Kafka at {brokers} does not answer ({}): check log.kafka.bootstrap_servers and that the brokers are up",
            if reason.is_empty() {
                code.to_string()
            } else {
                reason
            }
        )),
        (_, Consequence::Refused) => {
            LogError::Refused(format!("{what}: Kafka at {brokers} refuses it: {code}"))
        }
        (_, Consequence::Failed) => LogError::Storage(format!("{what}: {code}")),
    }
}

fn right(code: RDKafkaErrorCode) -> &'static str {
    match code {
        RDKafkaErrorCode::TopicAuthorizationFailed => "topic",
        RDKafkaErrorCode::GroupAuthorizationFailed => "consumer group",
        RDKafkaErrorCode::TransactionalIdAuthorizationFailed => "transactional id",
        _ => "cluster",
    }
}

/// librdkafka's reason without its thread names and times.
fn brief(reason: &str) -> String {
    let reason = reason.split(": ").skip(1).collect::<Vec<_>>().join(": ");
    let reason = reason.split(" (after ").next().unwrap_or_default();
    reason.trim().to_owned()
}

/// Does it again while brokers do not answer, as long as the patience lasts.
pub(super) fn patiently<T>(
    settings: &KafkaSettings,
    watch: &Watch,
    what: &str,
    mut act: impl FnMut() -> Result<T, KafkaError>,
) -> Result<T, LogError> {
    let until = Instant::now() + settings.patience;
    let mut pause = Duration::from_millis(20);
    let mut told_once = false;
    loop {
        match act() {
            Ok(done) => return Ok(done),
            Err(error) => {
                let code = code_of(&error);
                let log_error = told(settings, watch, what, &error);
                let again = consequence(code) == Consequence::Retry
                    && matches!(log_error, LogError::Unreachable(_));
                if !again || Instant::now() >= until {
                    return Err(log_error);
                }
                if !std::mem::replace(&mut told_once, true) {
                    tracing::warn!(
                        "{log_error}; trying again for {} s",
                        settings.patience.as_secs()
                    );
                }
                std::thread::sleep(pause);
                pause = (pause * 2).min(Duration::from_secs(1));
            }
        }
    }
}
