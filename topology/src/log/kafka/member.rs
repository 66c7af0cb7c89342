//! A seat in a group: which shards are owned, reading them, and committing steps.
//!
//! # Two clients
//! One is the group's member: it keeps the session and is told what is assigned, and everything
//! assigned to it is paused. The other reads each owned partition from a place of our own, each
//! into its own queue. So a rebalance that takes its time stops nobody's reading, an aborted step
//! reads again by saying from where, and what nobody asks for stays where it is.
//!
//! # Invariants
//! - A shard is owned when the partitions of all topics are assigned, and until it was released
//!   or the group says that it is lost. Nothing is committed for any other.
//! - Every change that the group tells is answered: assignments at once, revocations when the last
//!   of their shards was released, losses at once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::TopicPartitionList;
use rdkafka::types::{RDKafkaErrorCode, RDKafkaRespErr};

use super::client::{
    Consequence, Standing, Watch, consequence, consumer, let_go, refused_settings, told_code,
};
use super::copies::Follower;
use super::cursor::{Cursor, Taken};
use super::ffi::{self, Bell};
use super::transactor::{Failure, Guarantee, Offsets, Transactor, list, native};
use super::{KafkaLog, NOTHING_YET, Standstill, TURN, lock, non_empty};
use crate::batch::RecordBatch;
use crate::log::{CommitError, LogError, Member, Ownership, Progress, Step, Waker};
use crate::types::{Group, Offset, Shard, Topic};

/// How often one step is tried in a new generation, before its worker starts from the last commit.
const GENERATIONS_MAX: u32 = 100;

type Partitions = BTreeSet<(Topic, Shard)>;

/// What the group told.
#[derive(Debug)]
enum Told {
    Assigned(Partitions),
    Revoked(Partitions),
    Lost(Partitions),
}

/// Hears the group on behalf of the member's thread.
#[derive(Default)]
struct Ear {
    watch: Watch,
    told: Mutex<Vec<Told>>,
    /// Set when the member leaves: nobody is there any more to take up what is told, and a client
    /// that says farewell waits for every answer, for good if it has to.
    leaving: AtomicBool,
}

impl ClientContext for Ear {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.watch.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.watch.error(error, reason);
    }
}

impl ConsumerContext for Ear {
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        kind: RDKafkaRespErr,
        partitions: &mut TopicPartitionList,
    ) {
        if self.leaving.load(Ordering::SeqCst) {
            // what it is given is taken, to be given back at once: a farewell that fails is over
            let _ = match kind {
                RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => {
                    consumer.incremental_or_whole(partitions)
                }
                _ => consumer.unassign_these(partitions),
            };
            return;
        }
        let partitions = partitions
            .elements()
            .iter()
            .filter_map(|element| {
                let shard = Shard(u32::try_from(element.partition()).ok()?);
                Some((Topic::new(element.topic()), shard))
            })
            .collect();
        lock(&self.told).push(match kind {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => Told::Assigned(partitions),
            _ if consumer.assignment_lost() => Told::Lost(partitions),
            _ => Told::Revoked(partitions),
        });
    }
}

/// Ends a wait, or makes a look at the group worth while.
#[derive(Default)]
struct Wake {
    rung: Mutex<Rung>,
    changed: Condvar,
}

#[derive(Default, Clone, Copy)]
struct Rung {
    /// Records came, or somebody woke us.
    awake: bool,
    /// The group has something to tell.
    told: bool,
}

impl Wake {
    fn ring(&self, set: impl FnOnce(&mut Rung)) {
        set(&mut lock(&self.rung));
        self.changed.notify_all();
    }

    /// What was rung since the last time; waits up to `wait` for something.
    fn take(&self, wait: Duration) -> Rung {
        let rung = lock(&self.rung);
        let (mut rung, _) = self
            .changed
            .wait_timeout_while(rung, wait, |rung| !rung.awake && !rung.told)
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        std::mem::take(&mut *rung)
    }
}

/// Revoked, and not answered yet.
struct Revocation {
    partitions: Partitions,
    waits_for: BTreeSet<Shard>,
}

/// See the module.
pub(super) struct KafkaMember {
    log: KafkaLog,
    group: Group,
    slot: u32,
    topics: Vec<Topic>,
    cursors: BTreeMap<(Topic, Shard), Cursor>,
    reader: Arc<super::Consumer>,
    seat: Option<BaseConsumer<Ear>>,
    transactor: Transactor,
    wake: Arc<Wake>,
    assigned: Partitions,
    owned: BTreeSet<Shard>,
    revocations: Vec<Revocation>,
    /// Ends that were asked for since the last record that was handed out, each good for one
    /// answer.
    ends: BTreeMap<(Topic, Shard), Offset>,
    follower: Follower,
}

impl KafkaMember {
    pub(super) fn join(log: KafkaLog, group: &Group, topics: &[Topic]) -> Result<Self, LogError> {
        let slot = {
            let mut slots = lock(&log.0.slots);
            let taken = slots.entry(group.clone()).or_default();
            let free = (0..).find(|slot| !taken.contains(slot)).unwrap_or_default();
            taken.insert(free);
            free
        };
        let joined = Self::take_seat(&log, group, slot, topics);
        if joined.is_err() {
            free_slot(&log, group, slot);
        }
        joined
    }

    fn take_seat(
        log: &KafkaLog,
        group: &Group,
        slot: u32,
        topics: &[Topic],
    ) -> Result<Self, LogError> {
        let settings = log.settings();
        let reader = consumer(&settings.reader())?;
        let wake = Arc::new(Wake::default());
        // the group takes its time, too; whatever it assigns is taken up once both are there
        let seat = subscribe(log, group, slot, topics, &wake)?;
        let transactor = Transactor::new(
            settings,
            &log.transactional_id(group, slot),
            Guarantee::OF_STEPS,
        )
        .inspect_err(|_| {
            answer_all(&seat, Vec::new());
            leave(&seat);
        })?;
        Ok(Self {
            log: log.clone(),
            group: group.clone(),
            slot,
            topics: topics.to_vec(),
            cursors: BTreeMap::new(),
            reader,
            seat: Some(seat),
            transactor,
            wake,
            assigned: Partitions::new(),
            owned: BTreeSet::new(),
            revocations: Vec::new(),
            ends: BTreeMap::new(),
            follower: Follower::of(log, topics),
        })
    }

    /// Serves the group and gathers what it tells.
    fn hear(&mut self) -> Result<Vec<Ownership>, LogError> {
        let Some(seat) = &self.seat else {
            return Ok(Vec::new());
        };
        let mut broken = None;
        // messages do not come here; what comes are events, and errors
        while let Some(event) = seat.poll(Duration::ZERO) {
            if let Err(error) = event {
                let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail);
                let fatal = matches!(error, KafkaError::MessageConsumptionFatal(_));
                if fatal || consequence(code) == Consequence::Refused {
                    broken = Some(code);
                }
            }
        }
        let told = std::mem::take(&mut *lock(&seat.context().told));
        let lost = !self.revocations.is_empty() && seat.assignment_lost();
        let mut changes = Vec::new();
        for told in told {
            match told {
                Told::Assigned(partitions) => self.assigned(partitions, &mut changes)?,
                Told::Revoked(partitions) => self.revoked(partitions, &mut changes)?,
                Told::Lost(partitions) => self.lost(partitions, &mut changes)?,
            }
        }
        if lost {
            // what is waited for is gone already
            for Revocation { partitions, .. } in std::mem::take(&mut self.revocations) {
                self.lost(partitions, &mut changes)?;
            }
        }
        if let Some(code) = broken {
            self.broken(code, &mut changes)?;
        }
        Ok(changes)
    }

    fn assigned(
        &mut self,
        partitions: Partitions,
        changes: &mut Vec<Ownership>,
    ) -> Result<(), LogError> {
        let answer = native_list(&partitions);
        self.answer("take partitions over", |seat| {
            // it is read by the other client
            let _ = seat.pause(&answer);
            seat.incremental_or_whole(&answer)?;
            let _ = seat.pause(&answer);
            Ok(())
        })?;
        let shards: BTreeSet<_> = partitions.iter().map(|(_, shard)| *shard).collect();
        self.assigned.extend(partitions);
        for shard in shards {
            let whole = self
                .topics
                .iter()
                .all(|topic| self.assigned.contains(&(topic.clone(), shard)));
            if whole && self.owned.insert(shard) {
                // what this thread followed in an earlier seat is to be read back first
                self.forget(shard);
                changes.push(Ownership::Assigned(shard));
            }
        }
        Ok(())
    }

    fn revoked(
        &mut self,
        partitions: Partitions,
        changes: &mut Vec<Ownership>,
    ) -> Result<(), LogError> {
        let waits_for: BTreeSet<_> = partitions
            .iter()
            .map(|(_, shard)| *shard)
            .filter(|shard| self.owned.contains(shard))
            .collect();
        changes.extend(waits_for.iter().copied().map(Ownership::Revoked));
        self.revocations.push(Revocation {
            partitions,
            waits_for,
        });
        self.answer_revocations()
    }

    fn lost(
        &mut self,
        partitions: Partitions,
        changes: &mut Vec<Ownership>,
    ) -> Result<(), LogError> {
        for (_, shard) in &partitions {
            if self.owned.remove(shard) {
                self.forget(*shard);
                changes.push(Ownership::Lost(*shard));
            }
        }
        self.unassign(&partitions)
    }

    /// The group's client is beyond use: everything is lost, and another one joins.
    fn broken(
        &mut self,
        code: RDKafkaErrorCode,
        changes: &mut Vec<Ownership>,
    ) -> Result<(), LogError> {
        let watch = self.seat.as_ref().map(|seat| Arc::clone(seat.context()));
        if consequence(code) == Consequence::Refused
            && let Some(ear) = &watch
        {
            let what = format!("join group {}", self.group);
            return Err(told_code(self.log.settings(), &ear.watch, &what, code));
        }
        tracing::warn!(group = self.group.name(), %code, "the seat is lost: joining again");
        for shard in std::mem::take(&mut self.owned) {
            self.forget(shard);
            changes.push(Ownership::Lost(shard));
        }
        self.assigned.clear();
        if let Some(seat) = self.seat.take() {
            answer_all(&seat, std::mem::take(&mut self.revocations));
        }
        // a former life of this seat may have to run out first
        std::thread::sleep(Duration::from_millis(500));
        let seat = subscribe(&self.log, &self.group, self.slot, &self.topics, &self.wake)?;
        self.seat = Some(seat);
        Ok(())
    }

    /// Answers revocations that wait for no shard any more.
    fn answer_revocations(&mut self) -> Result<(), LogError> {
        let (answered, open): (Vec<_>, Vec<_>) = std::mem::take(&mut self.revocations)
            .into_iter()
            .partition(|revocation| revocation.waits_for.is_empty());
        self.revocations = open;
        for Revocation { partitions, .. } in answered {
            self.unassign(&partitions)?;
        }
        Ok(())
    }

    fn unassign(&mut self, partitions: &Partitions) -> Result<(), LogError> {
        for partition in partitions {
            self.assigned.remove(partition);
        }
        let list = native_list(partitions);
        self.answer("give partitions away", |seat| seat.unassign_these(&list))
    }

    fn answer(
        &self,
        what: &str,
        act: impl FnOnce(&BaseConsumer<Ear>) -> Result<(), KafkaError>,
    ) -> Result<(), LogError> {
        match &self.seat {
            None => Ok(()),
            Some(seat) => act(seat).map_err(|error| self.log.told(what, &error)),
        }
    }

    /// Stops reading a shard.
    fn forget(&mut self, shard: Shard) {
        self.cursors.retain(|(_, of), _| *of != shard);
        self.ends.retain(|(_, of), _| *of != shard);
        if let Some(copies) = &self.log.0.copies {
            copies.forget(shard);
        }
    }

    fn cursor(
        &mut self,
        topic: &Topic,
        shard: Shard,
        from: Offset,
    ) -> Result<&mut Cursor, LogError> {
        let partition = (topic.clone(), shard);
        if !self.owned.contains(&shard) || !self.topics.contains(topic) {
            return Err(LogError::Storage(format!(
                "{topic} partition {shard} is not this member's: this is a bug"
            )));
        }
        if !self.cursors.contains_key(&partition) {
            let wake = Arc::clone(&self.wake);
            let bell: Bell = Arc::new(move || wake.ring(|rung| rung.awake = true));
            let cursor = Cursor::new(&self.reader, topic, shard, Some(bell))
                .map_err(|code| self.read_failed(topic, code))?;
            self.cursors.insert(partition.clone(), cursor);
        }
        let sought = self
            .cursors
            .get_mut(&partition)
            .map_or(Ok(()), |cursor| cursor.seek(from));
        sought.map_err(|code| self.read_failed(topic, code))?;
        self.cursors
            .get_mut(&partition)
            .ok_or(LogError::UnknownTopic(topic.clone()))
    }

    fn read_failed(&self, topic: &Topic, code: RDKafkaErrorCode) -> LogError {
        let what = format!("read {topic}");
        told_code(self.log.settings(), self.reader.context(), &what, code)
    }

    /// The end of a partition, asked since the last record was handed out.
    fn end(&mut self, topic: &Topic, shard: Shard) -> Result<Offset, LogError> {
        let partition = (topic.clone(), shard);
        if let Some(end) = self.ends.remove(&partition) {
            return Ok(end);
        }
        // one question for all shards: the next ones are about to ask the same
        let asked: Vec<_> = self.owned.iter().map(|shard| (topic, *shard)).collect();
        self.ends.append(&mut self.log.ends(&asked)?);
        Ok(self.ends.remove(&partition).unwrap_or_default())
    }

    /// Offsets for the coordinator: the step's, or one that changes nothing.
    fn offsets(&self, step: &Step) -> Result<TopicPartitionList, LogError> {
        if !step.progress.is_empty() {
            return Ok(list(
                step.progress
                    .iter()
                    .map(|done| (&done.topic, done.shard, native(done.offset))),
            ));
        }
        let (Some(topic), Some(shard)) = (self.topics.first(), self.owned.first()) else {
            return Ok(TopicPartitionList::new());
        };
        let committed = self
            .log
            .committed_offsets(&self.group, &[(topic, *shard)], Standing::Over)?
            .get(&(topic.clone(), *shard))
            .copied();
        let offsets = list([(topic, *shard, native(committed.unwrap_or_default()))]);
        if committed.is_none()
            && let Ok(partition) = i32::try_from(shard.0)
            && let Some(mut element) = offsets.find_partition(topic.name(), partition)
        {
            element.set_metadata(NOTHING_YET);
        }
        Ok(offsets)
    }

    fn transact(&mut self, step: &Step) -> Result<(), Failure> {
        let offsets = self.offsets(step).map_err(Failure::Log)?;
        self.transactor.begin()?;
        for write in &step.writes {
            self.transactor.write(write)?;
        }
        self.transactor.flush()?;
        let Some(seat) = &self.seat else {
            return Err(Failure::NoMember);
        };
        let Some(group) = seat.group_metadata() else {
            return Err(Failure::NoMember);
        };
        // in this order: a generation that was taken before the loss is refused by the brokers,
        // one that was taken after it is told by this
        if seat.assignment_lost() {
            return Err(Failure::NoMember);
        }
        // all that was committed there before is by then in the copies: whoever wrote it was an
        // owner before this one, and this one still is, if its offsets are taken
        let marks = self
            .follower
            .due_marks(&self.log, &self.owned, step)
            .map_err(Failure::Log)?;
        if Guarantee::OF_STEPS == Guarantee::AtLeastOnce
            && let Some(seat) = &self.seat
        {
            seat.commit(&offsets, CommitMode::Sync)
                .map_err(|_| Failure::Aborted)?;
        }
        self.transactor.commit(Some(Offsets {
            group,
            list: offsets,
        }))?;
        match &self.log.0.copies {
            None => Ok(()),
            Some(copies) => copies.follow(step, &marks, self.log.now()),
        }
        .map_err(Failure::Log)
    }
}

impl Member for KafkaMember {
    fn poll(&mut self, timeout: Duration) -> Result<Vec<Ownership>, LogError> {
        let until = Instant::now() + timeout;
        self.ends.clear();
        let mut awake = self.wake.take(Duration::ZERO).awake;
        loop {
            let changes = self.hear()?;
            if !changes.is_empty() || awake {
                return Ok(changes);
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(Vec::new());
            }
            // the session is kept in the background; librdkafka still wants to be asked
            awake = self.wake.take(left.min(Duration::from_secs(1))).awake;
        }
    }

    fn fetch(
        &mut self,
        topic: &Topic,
        shard: Shard,
        from: Offset,
    ) -> Result<Option<RecordBatch>, LogError> {
        let until = Instant::now() + self.log.settings().patience.max(Duration::from_secs(60));
        let mut end = None;
        let mut standstill = Standstill::at(from);
        loop {
            let wait = if end.is_none() { Duration::ZERO } else { TURN };
            let cursor = self.cursor(topic, shard, from)?;
            let taken = cursor.take(wait);
            let next = cursor.next();
            if standstill.is_too_long(next) {
                // all that it reads is read anew, each from where it is asked for next
                let another = consumer(&self.log.settings().reader())?;
                let still = std::mem::replace(&mut self.reader, another);
                let_go((std::mem::take(&mut self.cursors), still));
            }
            match taken {
                Ok(Taken::Batch(batch)) => {
                    self.ends.clear();
                    return Ok(Some(batch));
                }
                Ok(Taken::Moved | Taken::Nothing) => {}
                Err(code) => return Err(self.read_failed(topic, code)),
            }
            let end = match end {
                Some(end) => end,
                None => *end.insert(self.end(topic, shard)?),
            };
            if next >= end {
                return Ok(None);
            }
            if Instant::now() >= until {
                return Err(LogError::Unreachable(format!(
                    "{topic} partition {shard} cannot be read on from offset {next}: its end is {end}"
                )));
            }
        }
    }

    fn try_fetch(
        &mut self,
        topic: &Topic,
        shard: Shard,
        from: Offset,
    ) -> Result<Option<RecordBatch>, LogError> {
        let cursor = self.cursor(topic, shard, from)?;
        match cursor.take(Duration::ZERO) {
            Ok(Taken::Batch(batch)) => {
                self.ends.clear();
                self.follower.copy(&self.log, topic, shard, from, &batch)?;
                Ok(Some(batch))
            }
            Ok(Taken::Moved | Taken::Nothing) if cursor.next() > from => {
                let gap = cursor.gap(from);
                // the copy's mark moves along, or the next batch would not join on to it
                self.follower.copy(&self.log, topic, shard, from, &gap)?;
                Ok(Some(gap))
            }
            Ok(Taken::Moved | Taken::Nothing) => Ok(None),
            Err(code) => Err(self.read_failed(topic, code)),
        }
    }

    fn prefetch(&mut self, topic: &Topic, shard: Shard, from: Offset) -> Result<(), LogError> {
        self.cursor(topic, shard, from).map(drop)
    }

    fn commit(&mut self, step: Step) -> Result<(), CommitError> {
        let Step {
            writes,
            progress,
            durability,
        } = step;
        let step = Step {
            writes: non_empty(writes),
            progress,
            durability,
        };
        for write in &step.writes {
            self.log.check_partition(&write.topic, write.shard)?;
        }
        for Progress { topic, shard, .. } in &step.progress {
            self.log.check_partition(topic, *shard)?;
        }
        if step.is_empty() {
            return Ok(());
        }
        let shards = step.writes.iter().map(|write| write.shard);
        let mut shards = shards.chain(step.progress.iter().map(|done| done.shard));
        if !shards.all(|shard| self.owned.contains(&shard)) {
            return Err(CommitError::Fenced);
        }
        let mut again = 0;
        loop {
            let Err(failure) = self.transact(&step) else {
                return Ok(());
            };
            self.transactor.abort()?;
            // the shards are still ours, only their number has changed: the same step once more
            if matches!(failure, Failure::OldGeneration) && again < GENERATIONS_MAX {
                again += 1;
                std::thread::sleep(TURN);
                continue;
            }
            return Err(match failure {
                Failure::Aborted | Failure::OldGeneration => CommitError::Aborted,
                // what it did stands on the log: whoever joins again reads it back
                Failure::NoMember | Failure::InDoubt => CommitError::Fenced,
                Failure::Log(error) => CommitError::Log(error),
            });
        }
    }

    fn has_joined(&self) -> bool {
        self.revocations.is_empty() && self.seat.as_ref().is_some_and(ffi::has_joined)
    }

    fn release(&mut self, shard: Shard) {
        self.owned.remove(&shard);
        self.forget(shard);
        for revocation in &mut self.revocations {
            revocation.waits_for.remove(&shard);
        }
        if let Err(error) = self.answer_revocations() {
            tracing::warn!(%error, "a shard could not be given away: the group will take it");
        }
    }

    fn waker(&self) -> Waker {
        let wake = Arc::clone(&self.wake);
        Waker::new(move || wake.ring(|rung| rung.awake = true))
    }
}

impl Drop for KafkaMember {
    fn drop(&mut self) {
        self.cursors.clear();
        let _ = self.transactor.abort();
        if let Some(seat) = self.seat.take() {
            answer_all(&seat, std::mem::take(&mut self.revocations));
            leave(&seat);
        }
        free_slot(&self.log, &self.group, self.slot);
    }
}

/// Answers whatever the group still waits for, and from now on as it is told: a client that ends
/// while an answer is due waits for it for good.
fn answer_all(seat: &BaseConsumer<Ear>, revocations: Vec<Revocation>) {
    seat.context().leaving.store(true, Ordering::SeqCst);
    let told = std::mem::take(&mut *lock(&seat.context().told));
    let revoked = revocations
        .into_iter()
        .map(|revocation| Told::Revoked(revocation.partitions));
    for told in revoked.chain(told) {
        let _ = match told {
            Told::Assigned(partitions) => seat.incremental_or_whole(&native_list(&partitions)),
            Told::Revoked(partitions) | Told::Lost(partitions) => {
                seat.unassign_these(&native_list(&partitions))
            }
        };
    }
}

/// Asks to be a member of a group.
fn subscribe(
    log: &KafkaLog,
    group: &Group,
    slot: u32,
    topics: &[Topic],
    wake: &Arc<Wake>,
) -> Result<BaseConsumer<Ear>, LogError> {
    let mut seat: BaseConsumer<Ear> = log
        .settings()
        .member(group.name(), slot)
        .create_with_context(Ear::default())
        .map_err(|error| refused_settings(&error))?;
    let wake = Arc::clone(wake);
    seat.set_nonempty_callback(move || wake.ring(|rung| rung.told = true));
    let names: Vec<_> = topics.iter().map(Topic::name).collect();
    seat.subscribe(&names)
        .map_err(|error| log.told("subscribe", &error))?;
    Ok(seat)
}

/// Leaves the group.
fn leave(seat: &BaseConsumer<Ear>) {
    seat.unsubscribe();
    let until = Instant::now() + Duration::from_secs(5);
    while Instant::now() < until {
        let _ = seat.poll(Duration::from_millis(5));
        if seat.assignment().is_ok_and(|left| left.count() == 0) {
            break;
        }
    }
}

fn free_slot(log: &KafkaLog, group: &Group, slot: u32) {
    if let Some(taken) = lock(&log.0.slots).get_mut(group) {
        taken.remove(&slot);
    }
}

fn native_list(partitions: &Partitions) -> TopicPartitionList {
    list(
        partitions
            .iter()
            .map(|(topic, shard)| (topic, *shard, rdkafka::Offset::End)),
    )
}

/// Answers to the group, in the way of its protocol.
trait Answers {
    fn incremental_or_whole(&self, list: &TopicPartitionList) -> Result<(), KafkaError>;
    fn unassign_these(&self, list: &TopicPartitionList) -> Result<(), KafkaError>;
}

impl Answers for BaseConsumer<Ear> {
    fn incremental_or_whole(&self, list: &TopicPartitionList) -> Result<(), KafkaError> {
        match self.rebalance_protocol() {
            rdkafka::consumer::RebalanceProtocol::Eager => self.assign(list),
            _ => self.incremental_assign(list),
        }
    }

    fn unassign_these(&self, list: &TopicPartitionList) -> Result<(), KafkaError> {
        match self.rebalance_protocol() {
            rdkafka::consumer::RebalanceProtocol::Eager => self.unassign(),
            _ => self.incremental_unassign(list),
        }
    }
}
