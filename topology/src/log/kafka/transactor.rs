//! A transactional producer, and what its errors come to.
//!
//! # A transaction
//! Begin, write, wait until everything is acknowledged, hand the offsets to the group's
//! coordinator (which refuses whoever is no member any more), commit. A transaction without
//! offsets of its own still hands some over: without them nothing would fence its writer.
//!
//! # When it fails
//! Before the commit was asked for, nothing has happened: the transaction is aborted, and where
//! the producer is beyond use another one takes its place, whose start ends what the old one left
//! open. Once the commit was asked for, only its answer tells: whoever does not get it must read
//! back what is committed.
//!
//! # Without transactions
//! A build with the feature `at-least-once` shows what all this costs, and is good for nothing
//! else: a member's steps are written and acknowledged, then its offsets are committed, and what
//! is cut off in between is done twice.

use std::collections::BTreeMap;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use rdkafka::consumer::ConsumerGroupMetadata;
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::producer::{BaseProducer, Producer as _, PurgeConfig};
use rdkafka::topic_partition_list::TopicPartitionList;
use rdkafka::types::RDKafkaErrorCode;

use super::client::{
    Consequence, KafkaSettings, TRANSACTION, Watch, consequence, let_go, patiently,
    refused_settings, told_code,
};
use super::ffi::{self, Outlet};
use crate::log::{LogError, Write};
use crate::types::{Offset, Shard, Topic};

/// One call to the brokers; more of them are made while the patience lasts.
const CALL: Duration = Duration::from_secs(5);
/// Most records handed to librdkafka in one call.
const RECORDS_PER_CALL: usize = 1_000;
/// How long the end of a transaction is tried for: by then the brokers have aborted it themselves.
const ENDING: Duration = TRANSACTION;

/// How a transaction failed.
#[derive(Debug)]
pub(super) enum Failure {
    /// Nothing happened.
    Aborted,
    /// Nothing happened: the group has moved on to another generation, this member with it.
    OldGeneration,
    /// Nothing happened: the group does not know this member any more.
    NoMember,
    /// It may or may not have happened.
    InDoubt,
    /// It did not happen, and will not.
    Log(LogError),
}

/// Offsets on their way to a group.
pub(super) struct Offsets {
    pub(super) group: ConsumerGroupMetadata,
    pub(super) list: TopicPartitionList,
}

/// See the module.
pub(super) struct Transactor {
    settings: Arc<KafkaSettings>,
    transactional_id: String,
    producer: Arc<BaseProducer<Watch>>,
    /// Topics that the producer has written to.
    outlets: BTreeMap<Topic, Outlet<Watch>>,
    open: bool,
    guarantee: Guarantee,
}

/// What a step is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Guarantee {
    /// A transaction.
    ExactlyOnce,
    /// Records and offsets, one after the other.
    AtLeastOnce,
}

impl Guarantee {
    /// What the steps of this build's members are worth.
    pub(super) const OF_STEPS: Self = if cfg!(feature = "at-least-once") {
        Self::AtLeastOnce
    } else {
        Self::ExactlyOnce
    };
}

impl Transactor {
    /// A producer that has ended whatever the last one of this id left open.
    pub(super) fn new(
        settings: &Arc<KafkaSettings>,
        transactional_id: &str,
        guarantee: Guarantee,
    ) -> Result<Self, LogError> {
        let producer = start(settings, transactional_id, guarantee)?;
        Ok(Self {
            guarantee,
            settings: Arc::clone(settings),
            transactional_id: transactional_id.to_owned(),
            producer,
            outlets: BTreeMap::new(),
            open: false,
        })
    }

    /// Opens a transaction.
    pub(super) fn begin(&mut self) -> Result<(), Failure> {
        debug_assert!(!self.open, "one transaction at a time");
        if self.guarantee == Guarantee::AtLeastOnce {
            return Ok(());
        }
        let begun = self.producer.begin_transaction();
        match begun {
            Ok(()) => {
                self.open = true;
                Ok(())
            }
            Err(error) => Err(self.failed(&error)),
        }
    }

    /// Writes records; they wait in memory.
    pub(super) fn write(&mut self, write: &Write) -> Result<(), Failure> {
        let records = write.batch.iter();
        self.send(
            &write.topic,
            write.shard,
            records.map(|record| (record.key, record.value)),
        )
    }

    /// Writes records to one partition.
    pub(super) fn send<'a>(
        &mut self,
        topic: &Topic,
        shard: Shard,
        records: impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)>,
    ) -> Result<(), Failure> {
        let mut records = records.peekable();
        let mut part: Vec<_> = Vec::new();
        while records.peek().is_some() {
            part.clear();
            part.extend(records.by_ref().take(RECORDS_PER_CALL));
            let mut left = part.as_slice();
            while !left.is_empty() {
                let (written, stopped_by) = match self.outlet(topic) {
                    Ok(outlet) => outlet.write(shard, left.iter().copied()),
                    Err(code) => (0, Some(code)),
                };
                left = left.get(written..).unwrap_or_default();
                match stopped_by {
                    None => {}
                    Some(RDKafkaErrorCode::QueueFull) => {
                        // room comes as messages are acknowledged
                        self.producer.poll(Duration::ZERO);
                        std::thread::sleep(Duration::from_micros(250));
                    }
                    Some(code) => return Err(self.failed(&KafkaError::MessageProduction(code))),
                }
            }
        }
        Ok(())
    }

    fn outlet(&mut self, topic: &Topic) -> Result<&Outlet<Watch>, RDKafkaErrorCode> {
        if !self.outlets.contains_key(topic) {
            let outlet = Outlet::new(&self.producer, topic)?;
            self.outlets.insert(topic.clone(), outlet);
        }
        self.outlets
            .get(topic)
            .ok_or(RDKafkaErrorCode::UnknownTopic)
    }

    /// Waits until everything written is acknowledged.
    pub(super) fn flush(&mut self) -> Result<(), Failure> {
        let until = Instant::now() + self.settings.patience;
        loop {
            match ffi::flush(&self.producer, Duration::from_secs(1)) {
                Ok(()) => return Ok(()),
                Err(RDKafkaErrorCode::OperationTimedOut) if Instant::now() < until => {
                    // errors of deliveries are served here
                    self.producer.poll(Duration::ZERO);
                    if self.fatal().is_some() {
                        return Err(self.failed(&KafkaError::Flush(RDKafkaErrorCode::Fatal)));
                    }
                }
                Err(code) => return Err(self.failed(&KafkaError::Flush(code))),
            }
        }
    }

    /// Commits, with the offsets if there are any.
    pub(super) fn commit(&mut self, offsets: Option<Offsets>) -> Result<(), Failure> {
        self.flush()?;
        if self.guarantee == Guarantee::AtLeastOnce {
            return Ok(());
        }
        if let Some(offsets) = offsets {
            self.hand_over(offsets)?;
        }
        let until = Instant::now() + ENDING;
        loop {
            match self.producer.commit_transaction(CALL) {
                Ok(()) => {
                    self.open = false;
                    return Ok(());
                }
                // asked again, it is the same commit
                Err(error) if is_retriable(&error) && Instant::now() < until => {}
                // librdkafka says so only when the coordinator did not commit
                Err(error) if requires_abort(&error) => return Err(self.failed(&error)),
                Err(error) => {
                    tracing::warn!(%error, "a commit was not answered: reading back what is committed");
                    self.open = false;
                    self.replace().map_err(Failure::Log)?;
                    return Err(Failure::InDoubt);
                }
            }
        }
    }

    /// Hands offsets to the group's coordinator. A coordinator that goes away meanwhile can leave
    /// librdkafka without an answer, which it then waits for without end, whatever time-out it was
    /// given: so another thread waits, and is left behind with its producer if it comes to that.
    fn hand_over(&mut self, offsets: Offsets) -> Result<(), Failure> {
        let (tell, told) = mpsc::channel();
        let producer = Arc::clone(&self.producer);
        std::thread::spawn(move || {
            let Offsets { group, list } = offsets;
            let until = Instant::now() + ENDING;
            let taken = loop {
                match producer.send_offsets_to_transaction(&list, &group, CALL) {
                    Err(error) if is_retriable(&error) && Instant::now() < until => {}
                    taken => break taken,
                }
            };
            // whoever asked may have left
            let _ = tell.send(taken);
        });
        match told.recv_timeout(ENDING + CALL) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(self.failed(&error)),
            Err(_) => {
                tracing::warn!(
                    transactional_id = self.transactional_id,
                    "the group's coordinator does not answer for a step: it is done again"
                );
                self.open = false;
                self.replace().map_err(Failure::Log)?;
                Err(Failure::Aborted)
            }
        }
    }

    /// Ends the transaction without effect.
    pub(super) fn abort(&mut self) -> Result<(), LogError> {
        if !std::mem::take(&mut self.open) {
            return Ok(());
        }
        if self.fatal().is_some() || !self.aborted_in_time() {
            self.replace()?;
        }
        Ok(())
    }

    fn aborted_in_time(&self) -> bool {
        if self.producer.in_flight_count() > 0 {
            self.producer
                .purge(PurgeConfig::default().queue().inflight());
        }
        // an abort waits for messages that are queued, and serves none of them itself
        let done = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            let done = &done;
            let producer = &self.producer;
            if producer.in_flight_count() > 0 {
                scope.spawn(move || {
                    while !done.load(std::sync::atomic::Ordering::SeqCst) {
                        producer.poll(Duration::ZERO);
                        std::thread::sleep(Duration::from_millis(1));
                    }
                });
            }
            let until = Instant::now() + CALL;
            let aborted = loop {
                match producer.abort_transaction(CALL) {
                    Ok(()) => break true,
                    Err(error) if is_retriable(&error) && Instant::now() < until => {}
                    Err(_) => break false,
                }
            };
            done.store(true, std::sync::atomic::Ordering::SeqCst);
            aborted
        })
    }

    /// Makes nothing of the transaction, and tells what the error means.
    fn failed(&mut self, error: &KafkaError) -> Failure {
        let code = self
            .fatal()
            .unwrap_or_else(|| error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail));
        tracing::debug!(
            transactional_id = self.transactional_id,
            %error,
            "a transaction is aborted"
        );
        if let Err(error) = self.abort() {
            return Failure::Log(error);
        }
        match code {
            RDKafkaErrorCode::IllegalGeneration | RDKafkaErrorCode::StaleMemberEpoch => {
                Failure::OldGeneration
            }
            RDKafkaErrorCode::UnknownMemberId
            | RDKafkaErrorCode::FencedInstanceId
            | RDKafkaErrorCode::FencedMemberEpoch => Failure::NoMember,
            RDKafkaErrorCode::MessageSizeTooLarge | RDKafkaErrorCode::MessageBatchTooLarge => {
                Failure::Log(LogError::Refused(format!(
                    "a record is too large for Kafka ({code}): raise max.message.bytes of the topic, and message.max.bytes in log.kafka.properties"
                )))
            }
            code if consequence(code) == Consequence::Refused => {
                let watch = self.producer.client().context();
                Failure::Log(told_code(&self.settings, watch, "write", code))
            }
            _ => Failure::Aborted,
        }
    }

    /// The error after which the producer is beyond use.
    fn fatal(&self) -> Option<RDKafkaErrorCode> {
        self.producer.client().fatal_error().map(|(code, _)| code)
    }

    /// Another producer of the same id; its start ends what this one left open.
    fn replace(&mut self) -> Result<(), LogError> {
        tracing::warn!(
            transactional_id = self.transactional_id,
            "another producer takes over"
        );
        let next = start(&self.settings, &self.transactional_id, self.guarantee)?;
        let outlets = std::mem::take(&mut self.outlets);
        let_go((outlets, std::mem::replace(&mut self.producer, next)));
        Ok(())
    }
}

impl Drop for Transactor {
    fn drop(&mut self) {
        let _ = self.abort();
    }
}

fn start(
    settings: &KafkaSettings,
    transactional_id: &str,
    guarantee: Guarantee,
) -> Result<Arc<BaseProducer<Watch>>, LogError> {
    let config = match guarantee {
        Guarantee::ExactlyOnce => settings.producer(transactional_id),
        Guarantee::AtLeastOnce => settings.untransacted_producer(),
    };
    let producer: BaseProducer<Watch> = config
        .create_with_context(Watch::default())
        .map_err(|error| refused_settings(&error))?;
    if guarantee == Guarantee::AtLeastOnce {
        return Ok(Arc::new(producer));
    }
    // one that asks for its coordinator before it has reached any broker waits half a second
    let _ = producer
        .client()
        .fetch_metadata(Some("__transaction_state"), CALL);
    let watch = Arc::clone(producer.client().context());
    patiently(settings, &watch, "start a transactional producer", || {
        producer.init_transactions(CALL).or_else(retriable)
    })?;
    Ok(Arc::new(producer))
}

/// A retriable error of a transaction reads as one whatever its code.
fn retriable(error: KafkaError) -> KafkaResult<()> {
    Err(if is_retriable(&error) {
        KafkaError::Flush(RDKafkaErrorCode::Retry)
    } else {
        error
    })
}

fn is_retriable(error: &KafkaError) -> bool {
    match error {
        KafkaError::Transaction(error) => error.is_retriable(),
        KafkaError::Flush(RDKafkaErrorCode::OperationTimedOut) => true,
        _ => false,
    }
}

fn requires_abort(error: &KafkaError) -> bool {
    matches!(error, KafkaError::Transaction(error) if error.txn_requires_abort())
}

/// A list of partitions, each with an offset.
pub(super) fn list<'a>(
    offsets: impl IntoIterator<Item = (&'a Topic, Shard, rdkafka::Offset)>,
) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    for (topic, shard, offset) in offsets {
        let partition = i32::try_from(shard.0).unwrap_or(i32::MAX);
        // refused only for an offset that is none
        let _ = list.add_partition_offset(topic.name(), partition, offset);
    }
    list
}

/// An offset as librdkafka has it.
pub(super) fn native(offset: Offset) -> rdkafka::Offset {
    rdkafka::Offset::Offset(i64::try_from(offset.0).unwrap_or(i64::MAX))
}

/// What the lists of the brokers say of each partition.
pub(super) fn by_partition(list: &TopicPartitionList) -> BTreeMap<(Topic, Shard), rdkafka::Offset> {
    list.elements()
        .iter()
        .map(|element| {
            let shard = Shard(u32::try_from(element.partition()).unwrap_or(u32::MAX));
            ((Topic::new(element.topic()), shard), element.offset())
        })
        .collect()
}
