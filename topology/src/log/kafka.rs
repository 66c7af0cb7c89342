//! The log on Apache Kafka.
//!
//! # How the promises are kept
//! - **Atomic, fenced**: a step is one transaction; the group's coordinator takes its offsets only
//!   from a member of the present generation (`kafka/transactor.rs`).
//! - **Ordered, complete**: reading is of committed records only, and an end is one only when the
//!   place read has reached the partition's high watermark, asked for after what it is compared
//!   with (`kafka/cursor.rs`, [`KafkaLog::end`]). Waiting for the watermark waits for whoever has a
//!   transaction open there.
//! - **Cuts**: the writer of a cut first puts a fence record into every partition of its
//!   transaction, then asks for the ends, then writes and commits. Whoever had a record at or
//!   beyond the cut in hand and then asks for the command topic's watermark finds it at or beyond
//!   the fence, and waits for what follows.
//! - **A shard is a whole**: the group's assignor is `range`, which keeps partition *p* of topics
//!   with equal partition counts together (`kafka/member.rs`).
//! - **Compaction** is the brokers'.
//!
//! # Threads
//! Every call blocks. Members are used by one thread each; the log by any.

mod client;
mod copies;
mod cursor;
mod ffi;
mod member;
mod topics;
mod transactor;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::consumer::{CommitMode, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;

use self::client::{Consumer, Standing, consumer, let_go, patiently};
pub use self::client::{GroupProtocol, KafkaSettings, Membership, TopicCreation};
use self::copies::Copies;
use self::cursor::{Cursor, FENCE_KEY, Taken};
use self::member::KafkaMember;
pub use self::topics::TopicState;
use self::transactor::{Failure, Guarantee, Transactor, by_partition, list, native};
use super::{
    Bounds, Cleanup, CutBuilder, Durability, Log, LogError, Member, Progress, SeeRow, TopicSpec,
    Write,
};
use crate::batch::RecordBatch;
use crate::types::{Group, Offset, Shard, TimeMs, Topic};

/// One answer of the brokers.
const CALL: Duration = Duration::from_secs(10);
/// Longest wait for a record before the end is looked at again.
const TURN: Duration = Duration::from_millis(20);
/// Places that are kept for whoever reads on.
const CURSORS_MAX: usize = 64;
/// How often a long read-back says how far it is.
const PROGRESS: Duration = Duration::from_secs(2);
/// What marks an offset that was handed to the coordinator only to be fenced by it.
const NOTHING_YET: &str = "nothing committed yet";

/// Failed questions after which they are asked by a new client: some two seconds. One that was away
/// while leaders or coordinators moved may hold on to where they were, whatever it is told.
const RENEW_AFTER: u32 = 8;
/// How long a reader may stand still before the end, before another one takes its place.
const STALE: Duration = Duration::from_secs(10);

/// See the module. Cheap to clone: all clones are one log.
#[derive(Clone)]
pub struct KafkaLog(Arc<Inner>);

type Cursors = BTreeMap<(Topic, Shard), Arc<Mutex<Cursor>>>;

struct Inner {
    settings: Arc<KafkaSettings>,
    /// Asks for metadata and ends.
    meta: Mutex<Arc<Consumer>>,
    /// Reads outside any group.
    reader: Mutex<Arc<Consumer>>,
    cursors: Mutex<Cursors>,
    /// Asks what groups have committed.
    offsets: Mutex<BTreeMap<(Group, Standing), Arc<Consumer>>>,
    /// Topics that are there.
    known: Mutex<BTreeMap<Topic, Known>>,
    /// Writes outside any group.
    writer: Mutex<Option<Transactor>>,
    /// Copies of compacted topics on local disk.
    copies: Option<Copies>,
    /// Seats that members of this process have, by group.
    slots: Mutex<BTreeMap<Group, BTreeSet<u32>>>,
    /// Says whether there may still be work on these topics.
    admission: OnceLock<Admission>,
}

/// What this process knows of a topic.
#[derive(Debug, Clone, Copy, Default)]
struct Known {
    /// If it was told.
    cleanup: Option<Cleanup>,
    /// How long a deletion can be seen, if the brokers say so.
    delete_retention_ms: Option<u64>,
}

/// What [`Log::admit`] asks.
pub type Admission = Box<dyn Fn(&KafkaLog) -> Result<(), LogError> + Send + Sync>;

impl KafkaLog {
    /// Reaches the brokers.
    ///
    /// # Errors
    /// [`LogError::Unreachable`] when nobody answers, [`LogError::Refused`] when the credentials
    /// are wrong, [`LogError::Mismatch`] when a setting is.
    pub fn open(settings: KafkaSettings) -> Result<Self, LogError> {
        settings.check()?;
        ffi::keep_few_heaps();
        let settings = Arc::new(settings);
        let meta = consumer(&settings.meta())?;
        let reader = consumer(&settings.reader())?;
        let connected = patiently(&settings, meta.context(), "connect", || {
            let answer = meta.fetch_metadata(Some("__consumer_offsets"), Duration::from_secs(3));
            // errors of the connection are served by a poll
            let _ = meta.poll(Duration::ZERO);
            answer
        });
        connected?;
        let copies = Copies::open(&settings, || meta.client().fetch_cluster_id(CALL))?;
        Ok(Self(Arc::new(Inner {
            settings,
            meta: Mutex::new(meta),
            reader: Mutex::new(reader),
            cursors: Mutex::default(),
            offsets: Mutex::default(),
            known: Mutex::default(),
            writer: Mutex::default(),
            copies,
            slots: Mutex::default(),
            admission: OnceLock::new(),
        })))
    }

    /// What [`Log::admit`] asks from now on; the first one that is given stays.
    pub fn admit_by(&self, admission: Admission) {
        let _ = self.0.admission.set(admission);
    }

    /// The transactional id of a member's seat.
    #[must_use]
    pub fn transactional_id(&self, group: &Group, slot: u32) -> String {
        format!("{group}-{}-{slot}", self.settings().identity)
    }

    fn now(&self) -> TimeMs {
        (self.settings().clock)()
    }

    /// Shows every record from an offset to the end, and says how far it has come.
    fn read_through(
        &self,
        topic: &Topic,
        shard: Shard,
        from: Offset,
        see: &mut dyn FnMut(Offset, &RecordBatch) -> Result<(), LogError>,
    ) -> Result<(), LogError> {
        let mut at = from;
        let (mut end, mut told) = (None, Instant::now());
        while let Some(batch) = self.read(topic, shard, at)? {
            see(at, &batch)?;
            at = batch.next_offset();
            if told.elapsed() >= PROGRESS {
                told = Instant::now();
                let end = match end {
                    Some(end) => end,
                    None => *end.insert(self.end(topic, shard)?),
                };
                let (done, all) = (at.0.saturating_sub(from.0), end.0.saturating_sub(from.0));
                tracing::info!(
                    topic = topic.name(),
                    shard = shard.0,
                    offset = at.0,
                    end = end.0,
                    percent = done.saturating_mul(100) / all.max(1),
                    "reading back"
                );
            }
        }
        Ok(())
    }

    /// Makes the local copies smaller that have grown.
    ///
    /// # Errors
    /// When they cannot be read or written.
    pub fn compact_copies(&self) -> Result<(), LogError> {
        self.0.copies.as_ref().map_or(Ok(()), Copies::compact)
    }

    /// Takes the transactions of an id away from whoever has it: its next commit is aborted.
    ///
    /// # Errors
    /// When the brokers do not answer.
    pub fn fence(&self, transactional_id: &str) -> Result<(), LogError> {
        Transactor::new(self.settings(), transactional_id, Guarantee::ExactlyOnce).map(drop)
    }

    fn settings(&self) -> &Arc<KafkaSettings> {
        &self.0.settings
    }

    fn meta(&self) -> Arc<Consumer> {
        Arc::clone(&self.0.meta.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts another client in the place of one whose picture of the leaders does not mend.
    fn renew_meta(&self, stale: &Arc<Consumer>) -> Arc<Consumer> {
        let mut meta = self.0.meta.lock().unwrap_or_else(PoisonError::into_inner);
        if Arc::ptr_eq(&meta, stale)
            && let Ok(renewed) = consumer(&self.settings().meta())
        {
            *meta = renewed;
        }
        Arc::clone(&meta)
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<Topic, Known>> {
        lock(&self.0.known)
    }

    fn is_compacted(&self, topic: &Topic) -> bool {
        let known = self.known().get(topic).copied().unwrap_or_default();
        known.cleanup == Some(Cleanup::Compact)
    }

    /// That a topic is there, with the partitions that it must have.
    fn check_topic(&self, topic: &Topic) -> Result<(), LogError> {
        if self.known().contains_key(topic) {
            return Ok(());
        }
        let wanted = self.settings().partitions;
        match self.shape(topic)? {
            None => Err(LogError::UnknownTopic(topic.clone())),
            Some((found, _)) if found != wanted as usize => Err(LogError::Mismatch(format!(
                "topic {topic} has {found} partitions, and log.partitions is {wanted}"
            ))),
            Some(_) => {
                self.known().insert(topic.clone(), Known::default());
                Ok(())
            }
        }
    }

    fn check_partition(&self, topic: &Topic, shard: Shard) -> Result<(), LogError> {
        self.check_topic(topic)?;
        let partitions = self.settings().partitions;
        if shard.0 >= partitions {
            return Err(LogError::UnknownShard {
                topic: topic.clone(),
                shard,
                partitions,
            });
        }
        Ok(())
    }

    /// Where the next record of each partition would come: what is not committed yet, markers
    /// and all.
    fn ends(
        &self,
        partitions: &[(&Topic, Shard)],
    ) -> Result<BTreeMap<(Topic, Shard), Offset>, LogError> {
        self.offsets_at(partitions, rdkafka::Offset::End)
    }

    fn offsets_at(
        &self,
        partitions: &[(&Topic, Shard)],
        place: rdkafka::Offset,
    ) -> Result<BTreeMap<(Topic, Shard), Offset>, LogError> {
        if partitions.is_empty() {
            return Ok(BTreeMap::new());
        }
        let mut meta = self.meta();
        let watch = Arc::clone(meta.context());
        let mut failures = 0;
        let answer = patiently(self.settings(), &watch, "ask for the ends", || {
            let asked = list(
                partitions
                    .iter()
                    .map(|(topic, shard)| (*topic, *shard, place)),
            );
            let answered = meta.offsets_for_times(asked, CALL).and_then(|answer| {
                for element in answer.elements() {
                    element.error()?;
                    // a place without an answer stays as it was asked: it is none, and not 0; of a
                    // time, that nothing came since is an answer
                    let of_a_time = matches!(place, rdkafka::Offset::Offset(_));
                    let is_end = of_a_time && element.offset() == rdkafka::Offset::End;
                    if !is_end && !matches!(element.offset(), rdkafka::Offset::Offset(_)) {
                        return Err(KafkaError::OffsetFetch(
                            RDKafkaErrorCode::OffsetNotAvailable,
                        ));
                    }
                }
                Ok(answer)
            });
            if answered.is_err() {
                failures += 1;
                if failures % RENEW_AFTER == 0 {
                    let renewed = self.renew_meta(&meta);
                    let_go(std::mem::replace(&mut meta, renewed));
                }
                // it asks whom it last knew as leader until somebody looks who is now
                let topics: BTreeSet<_> = partitions.iter().map(|(topic, _)| *topic).collect();
                for topic in topics {
                    let _ = meta.fetch_metadata(Some(topic.name()), CALL);
                }
            }
            answered
        })?;
        Ok(by_partition(&answer)
            .into_iter()
            .map(|(partition, offset)| {
                let beyond_all = offset == rdkafka::Offset::End;
                let offset = if beyond_all {
                    Offset(u64::MAX)
                } else {
                    from_native(offset)
                };
                (partition, offset)
            })
            .collect())
    }

    /// Where the next record of a partition would come.
    fn end(&self, topic: &Topic, shard: Shard) -> Result<Offset, LogError> {
        let ends = self.ends(&[(topic, shard)])?;
        Ok(ends
            .get(&(topic.clone(), shard))
            .copied()
            .unwrap_or_default())
    }

    fn cursor(&self, topic: &Topic, shard: Shard) -> Result<Arc<Mutex<Cursor>>, LogError> {
        let mut cursors = lock(&self.0.cursors);
        let place = (topic.clone(), shard);
        if let Some(cursor) = cursors.get(&place) {
            return Ok(Arc::clone(cursor));
        }
        if cursors.len() >= CURSORS_MAX {
            // whoever is in use now is kept by its user
            cursors.retain(|_, cursor| Arc::strong_count(cursor) > 1);
        }
        let reader = Arc::clone(&lock(&self.0.reader));
        let cursor = Cursor::new(&reader, topic, shard, None)
            .map_err(|code| self.told_code(&format!("read {topic}"), code))?;
        let cursor = Arc::new(Mutex::new(cursor));
        cursors.insert(place, Arc::clone(&cursor));
        Ok(cursor)
    }

    /// Another reader for a cursor that stands still.
    fn renew_reader(&self, still: &Cursor) -> Result<Arc<Consumer>, LogError> {
        let mut reader = lock(&self.0.reader);
        if still.is_read_by(&reader) {
            *reader = consumer(&self.settings().reader())?;
        }
        Ok(Arc::clone(&reader))
    }

    fn offsets_client(&self, group: &Group, standing: Standing) -> Result<Arc<Consumer>, LogError> {
        let mut clients = lock(&self.0.offsets);
        let of = (group.clone(), standing);
        if let Some(client) = clients.get(&of) {
            return Ok(Arc::clone(client));
        }
        let client = consumer(&self.settings().offsets(group.name(), standing))?;
        clients.insert(of, Arc::clone(&client));
        Ok(client)
    }

    /// Puts another client in the place of one that asks a coordinator that is none any more.
    fn renew_offsets_client(
        &self,
        group: &Group,
        standing: Standing,
        stale: &Arc<Consumer>,
    ) -> Result<Arc<Consumer>, LogError> {
        {
            let mut clients = lock(&self.0.offsets);
            let of = (group.clone(), standing);
            if clients
                .get(&of)
                .is_some_and(|client| Arc::ptr_eq(client, stale))
            {
                clients.remove(&of);
            }
        }
        self.offsets_client(group, standing)
    }

    /// What a group has committed in each partition.
    fn committed_offsets(
        &self,
        group: &Group,
        partitions: &[(&Topic, Shard)],
        standing: Standing,
    ) -> Result<BTreeMap<(Topic, Shard), Offset>, LogError> {
        let mut client = self.offsets_client(group, standing)?;
        let watch = Arc::clone(client.context());
        let mut failures = 0;
        let what = format!("ask what group {group} has committed");
        let answer = patiently(self.settings(), &watch, &what, || {
            let _ = client.poll(Duration::ZERO);
            let asked = list(
                partitions
                    .iter()
                    .map(|(topic, shard)| (*topic, *shard, rdkafka::Offset::Invalid)),
            );
            let answered = client.committed_offsets(asked, CALL).and_then(|answer| {
                for element in answer.elements() {
                    element.error()?;
                }
                Ok(answer)
            });
            if answered.is_err() {
                failures += 1;
                if failures % RENEW_AFTER == 0
                    && let Ok(renewed) = self.renew_offsets_client(group, standing, &client)
                {
                    let_go(std::mem::replace(&mut client, renewed));
                }
            }
            answered
        })?;
        Ok(answer
            .elements()
            .iter()
            .filter(|element| element.metadata() != NOTHING_YET)
            .filter_map(|element| match element.offset() {
                rdkafka::Offset::Offset(offset) => {
                    let shard = Shard(u32::try_from(element.partition()).ok()?);
                    let offset = Offset(u64::try_from(offset).ok()?);
                    Some(((Topic::new(element.topic()), shard), offset))
                }
                _ => None,
            })
            .collect())
    }

    /// Does one transaction outside any group.
    fn write_once(
        &self,
        act: &mut dyn FnMut(&mut Transactor) -> Result<(), Failure>,
    ) -> Result<(), LogError> {
        let mut writer = lock(&self.0.writer);
        if writer.is_none() {
            // several commands may write at once: each has an id of its own
            let KafkaSettings {
                prefix, identity, ..
            } = self.settings().as_ref();
            let id = format!("{prefix}command-{identity}");
            let guarantee = Guarantee::ExactlyOnce;
            *writer = Some(Transactor::new(self.settings(), &id, guarantee)?);
        }
        let Some(transactor) = writer.as_mut() else {
            return Err(LogError::InDoubt);
        };
        let until = Instant::now() + self.settings().patience;
        loop {
            let done = transactor
                .begin()
                .and_then(|()| act(transactor))
                .and_then(|()| transactor.commit(None));
            let failure = match done {
                Ok(()) => return Ok(()),
                Err(failure) => failure,
            };
            if let Err(error) = transactor.abort() {
                *writer = None;
                return Err(error);
            }
            match failure {
                // nothing happened: once more
                Failure::Aborted | Failure::OldGeneration | Failure::NoMember
                    if Instant::now() < until =>
                {
                    std::thread::sleep(Duration::from_millis(50));
                }
                Failure::Aborted | Failure::OldGeneration | Failure::NoMember => {
                    return Err(LogError::Unreachable(
                        "the write was aborted again and again: nothing was written".to_owned(),
                    ));
                }
                Failure::InDoubt => return Err(LogError::InDoubt),
                Failure::Log(error) => return Err(error),
            }
        }
    }
}

impl Log for KafkaLog {
    fn partitions(&self) -> u32 {
        self.settings().partitions
    }

    fn admit(&self) -> Result<(), LogError> {
        match self.0.admission.get() {
            Some(admission) => admission(self),
            None => Ok(()),
        }
    }

    fn create(&self, topics: &[TopicSpec]) -> Result<(), LogError> {
        self.create_or_check(topics)
    }

    fn append(&self, writes: Vec<Write>, _: Durability) -> Result<(), LogError> {
        let writes = non_empty(writes);
        for write in &writes {
            self.check_partition(&write.topic, write.shard)?;
        }
        if writes.is_empty() {
            return Ok(());
        }
        self.write_once(&mut |transactor| {
            writes.iter().try_for_each(|write| transactor.write(write))
        })
    }

    fn append_cut(&self, cut: &[Topic], build: &mut CutBuilder<'_>) -> Result<(), LogError> {
        for topic in cut {
            self.check_topic(topic)?;
        }
        let shards: Vec<_> = (0..self.partitions()).map(Shard).collect();
        let partitions: Vec<_> = cut
            .iter()
            .flat_map(|topic| shards.iter().map(move |shard| (topic, *shard)))
            .collect();
        // where it goes is known only from what is built, and what is built from the ends: a
        // first build, from ends that come too early, tells the partitions that need a fence
        let ends = self.ends(&partitions)?;
        let sketch = non_empty(build(&end_of(&ends)));
        for write in &sketch {
            self.check_partition(&write.topic, write.shard)?;
        }
        if sketch.is_empty() {
            return Ok(());
        }
        self.write_once(&mut |transactor| {
            for write in &sketch {
                let fence = std::iter::once((FENCE_KEY, None));
                transactor.send(&write.topic, write.shard, fence)?;
            }
            transactor.flush()?;
            let ends = self.ends(&partitions).map_err(Failure::Log)?;
            let writes = non_empty(build(&end_of(&ends)));
            writes.iter().try_for_each(|write| transactor.write(write))
        })
    }

    fn bounds(&self, topic: &Topic, shard: Shard) -> Result<Bounds, LogError> {
        self.check_partition(topic, shard)?;
        let partition = [(topic, shard)];
        let of = |place| -> Result<Offset, LogError> {
            let found = self.offsets_at(&partition, place)?;
            Ok(found
                .get(&(topic.clone(), shard))
                .copied()
                .unwrap_or_default())
        };
        Ok(Bounds {
            start: of(rdkafka::Offset::Beginning)?,
            end: of(rdkafka::Offset::End)?,
        })
    }

    fn read(
        &self,
        topic: &Topic,
        shard: Shard,
        from: Offset,
    ) -> Result<Option<RecordBatch>, LogError> {
        self.check_partition(topic, shard)?;
        let cursor = self.cursor(topic, shard)?;
        let mut cursor = lock(&cursor);
        let failed = |code| self.told_code(&format!("read {topic}"), code);
        cursor.seek(from).map_err(failed)?;
        let mut end = None;
        let until = Instant::now() + self.settings().patience.max(Duration::from_secs(60));
        let mut standstill = Standstill::at(cursor.next());
        loop {
            let wait = if end.is_none() { Duration::ZERO } else { TURN };
            if let Taken::Batch(batch) = cursor.take(wait).map_err(failed)? {
                return Ok(Some(batch));
            }
            let next = cursor.next();
            if standstill.is_too_long(next) {
                let reader = self.renew_reader(&cursor)?;
                let another = Cursor::new(&reader, topic, shard, None).map_err(failed)?;
                let_go(std::mem::replace(&mut *cursor, another));
                cursor.seek(next).map_err(failed)?;
            }
            let end = match end {
                Some(end) => end,
                None => *end.insert(self.end(topic, shard)?),
            };
            if cursor.next() >= end || from >= end {
                return Ok(None);
            }
            if Instant::now() >= until {
                return Err(LogError::Unreachable(format!(
                    "{topic} partition {shard} cannot be read on from offset {}: its end is {end}",
                    cursor.next()
                )));
            }
        }
    }

    fn committed(
        &self,
        group: &Group,
        topic: &Topic,
        shard: Shard,
    ) -> Result<Option<Offset>, LogError> {
        self.check_partition(topic, shard)?;
        let committed = self.committed_offsets(group, &[(topic, shard)], Standing::Over)?;
        Ok(committed.get(&(topic.clone(), shard)).copied())
    }

    fn committed_so_far(
        &self,
        group: &Group,
        topic: &Topic,
        shard: Shard,
    ) -> Result<Option<Offset>, LogError> {
        self.check_partition(topic, shard)?;
        let committed = self.committed_offsets(group, &[(topic, shard)], Standing::SoFar)?;
        Ok(committed.get(&(topic.clone(), shard)).copied())
    }

    fn lag(&self, group: &Group, partitions: &[(&Topic, Shard)]) -> Result<Vec<u64>, LogError> {
        for (topic, shard) in partitions {
            self.check_partition(topic, *shard)?;
        }
        let ends = self.ends(partitions)?;
        let committed = self.committed_offsets(group, partitions, Standing::SoFar)?;
        let lag = |&(topic, shard): &(&Topic, Shard)| {
            let partition = (topic.clone(), shard);
            let of = |offsets: &BTreeMap<(Topic, Shard), Offset>| {
                offsets.get(&partition).copied().unwrap_or_default()
            };
            of(&ends).0.saturating_sub(of(&committed).0)
        };
        Ok(partitions.iter().map(lag).collect())
    }

    fn set_committed(&self, group: &Group, progress: &[Progress]) -> Result<(), LogError> {
        for Progress { topic, shard, .. } in progress {
            self.check_partition(topic, *shard)?;
        }
        if progress.is_empty() {
            return Ok(());
        }
        let client = self.offsets_client(group, Standing::Over)?;
        let what = format!("set what group {group} has committed");
        let offsets = list(
            progress
                .iter()
                .map(|done| (&done.topic, done.shard, native(done.offset))),
        );
        let mut in_use = false;
        let done = patiently(self.settings(), client.context(), &what, || {
            match client.commit(&offsets, CommitMode::Sync) {
                // what a coordinator says to a stranger while the group has members
                Err(error)
                    if matches!(
                        error.rdkafka_error_code(),
                        Some(
                            RDKafkaErrorCode::UnknownMemberId
                                | RDKafkaErrorCode::IllegalGeneration
                                | RDKafkaErrorCode::StaleMemberEpoch
                                | RDKafkaErrorCode::RebalanceInProgress
                        )
                    ) =>
                {
                    in_use = true;
                    Ok(())
                }
                other => other,
            }
        });
        if in_use {
            return Err(LogError::GroupInUse(group.clone()));
        }
        done
    }

    fn restore(&self, topic: &Topic, shard: Shard, see: &mut SeeRow<'_>) -> Result<(), LogError> {
        self.check_partition(topic, shard)?;
        if let Some(copies) = &self.0.copies {
            return copies.restore(self, topic, shard, see);
        }
        self.read_through(topic, shard, Offset(0), &mut |_, batch| {
            batch
                .iter()
                .for_each(|record| see(record.key, record.value));
            Ok(())
        })
    }

    fn at_hand(
        &self,
        topic: &Topic,
        shard: Shard,
        offset: Offset,
    ) -> Result<Option<RecordBatch>, LogError> {
        // what is not compacted is not copied: it is all of what ever came
        match &self.0.copies {
            Some(copies) if self.is_compacted(topic) => copies.at_hand(self, topic, shard, offset),
            _ => Ok(None),
        }
    }

    fn first_since(&self, topic: &Topic, shard: Shard, time: TimeMs) -> Result<Offset, LogError> {
        self.check_partition(topic, shard)?;
        let found = self.offsets_at(&[(topic, shard)], rdkafka::Offset::Offset(time.0.max(0)))?;
        match found.get(&(topic.clone(), shard)) {
            Some(offset) if *offset < Offset(u64::MAX) => Ok(*offset),
            _ => self.end(topic, shard),
        }
    }

    fn trim(&self, topic: &Topic, shard: Shard, below: Offset) -> Result<(), LogError> {
        self.check_partition(topic, shard)?;
        // the brokers refuse an offset beyond the end
        let below = below.min(self.end(topic, shard)?);
        self.delete_below(topic, shard, below)
    }

    fn join(&self, group: &Group, topics: &[Topic]) -> Result<Box<dyn Member>, LogError> {
        for topic in topics {
            self.check_topic(topic)?;
        }
        Ok(Box::new(KafkaMember::join(self.clone(), group, topics)?))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How long a place has not moved while it is read on from.
struct Standstill {
    at: Offset,
    since: Instant,
}

impl Standstill {
    fn at(place: Offset) -> Self {
        Self {
            at: place,
            since: Instant::now(),
        }
    }

    /// Whether it is time for another reader; counts anew from then on.
    fn is_too_long(&mut self, next: Offset) -> bool {
        let is_too_long = next <= self.at && self.since.elapsed() >= STALE;
        if is_too_long || next > self.at {
            *self = Self::at(next);
        }
        is_too_long
    }
}

fn non_empty(writes: Vec<Write>) -> Vec<Write> {
    writes
        .into_iter()
        .filter(|write| !write.batch.is_empty())
        .collect()
}

fn from_native(offset: rdkafka::Offset) -> Offset {
    match offset {
        rdkafka::Offset::Offset(offset) => Offset(u64::try_from(offset).unwrap_or(0)),
        _ => Offset(0),
    }
}

fn end_of(ends: &BTreeMap<(Topic, Shard), Offset>) -> impl Fn(&Topic, Shard) -> Offset {
    |topic, shard| {
        ends.get(&(topic.clone(), shard))
            .copied()
            .unwrap_or_default()
    }
}
