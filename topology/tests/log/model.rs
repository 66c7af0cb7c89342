//! Any sequence of what can happen to a log, against a list of records.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use sealpost_topology::batch::Batch;
use sealpost_topology::log::{
    Bounds, Cleanup, CommitError, Durability, EmbeddedLog, Faults, Log, LogError, Member,
    MemoryLog, Ownership, Progress, Step, TopicSpec, Write,
};
use sealpost_topology::types::{Group, Offset, Shard, TimeMs, Topic};
use tempfile::TempDir;

use crate::support::Clock;

const TOPICS: [(&str, Cleanup); 3] = [
    ("events", Cleanup::Keep),
    ("table", Cleanup::Compact),
    ("output", Cleanup::Keep),
];
const SHARDS: u32 = 2;

/// A partition: which of the topics, and which shard.
type Place = (usize, u32);

#[derive(Debug, Clone)]
struct Content {
    key: u8,
    /// What it is filled with, and how long it is.
    value: Option<(u8, usize)>,
}

#[derive(Debug, Clone)]
struct Writes(Vec<(Place, Vec<Content>)>);

#[derive(Debug, Clone)]
enum Action {
    Append(Writes),
    AppendCut(Writes),
    Commit(Writes, Vec<(Place, u64)>),
    Abort(Writes, Vec<(Place, u64)>),
    /// A member is taken out and commits nevertheless.
    CommitEvicted(Writes, Vec<(Place, u64)>),
    /// The group's members leave, and its offsets are set.
    Replay(Vec<(Place, u64)>),
    Compact,
    Trim(Place, u64),
    Advance(i64),
    Reopen,
}

fn place() -> impl Strategy<Value = Place> {
    (0..TOPICS.len(), 0..SHARDS)
}

fn content() -> impl Strategy<Value = Content> {
    let length = prop_oneof![20 => 0_usize..30, 1 => Just(200_000)];
    (
        0_u8..6,
        proptest::option::weighted(0.8, (any::<u8>(), length)),
    )
        .prop_map(|(key, value)| Content { key, value })
}

fn writes() -> impl Strategy<Value = Writes> {
    let contents = proptest::collection::vec(content(), 0..8);
    proptest::collection::vec((place(), contents), 0..5).prop_map(Writes)
}

fn progress() -> impl Strategy<Value = Vec<(Place, u64)>> {
    proptest::collection::vec((place(), 0_u64..100), 0..3)
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        6 => writes().prop_map(Action::Append),
        2 => writes().prop_map(Action::AppendCut),
        6 => (writes(), progress()).prop_map(|(writes, at)| Action::Commit(writes, at)),
        2 => (writes(), progress()).prop_map(|(writes, at)| Action::Abort(writes, at)),
        1 => (writes(), progress()).prop_map(|(writes, at)| Action::CommitEvicted(writes, at)),
        1 => progress().prop_map(Action::Replay),
        4 => Just(Action::Compact),
        1 => (place(), 0_u64..60).prop_map(|(place, below)| Action::Trim(place, below)),
        2 => (0_i64..20).prop_map(Action::Advance),
        2 => Just(Action::Reopen),
    ]
}

#[derive(Debug, Clone, PartialEq)]
struct Record {
    offset: u64,
    appended_at: TimeMs,
    key: Vec<u8>,
    value: Option<Vec<u8>>,
}

/// What the log must say.
#[derive(Default)]
struct Model {
    records: BTreeMap<Place, Vec<Record>>,
    ends: BTreeMap<Place, u64>,
    committed: BTreeMap<Place, u64>,
}

impl Model {
    fn append(&mut self, writes: &Writes, now: TimeMs) {
        for (place, contents) in &writes.0 {
            let end = self.ends.entry(*place).or_default();
            for content in contents {
                self.records.entry(*place).or_default().push(Record {
                    offset: *end,
                    appended_at: now,
                    key: vec![content.key],
                    value: content.value.map(|(fill, length)| vec![fill; length]),
                });
                *end += 1;
            }
        }
    }
}

/// A log that can be closed and opened again, if it is kept on disk.
trait Subject {
    fn log(&self) -> &dyn Log;
    fn reopen(&mut self);
    fn compact(&self) -> Result<u64, LogError>;
    fn trim(&self, topic: &Topic, shard: Shard, below: Offset) -> Result<(), LogError>;
    fn faults(&self) -> &Faults;
    fn evict(&self, group: &Group);
}

struct InMemory(MemoryLog);

impl Subject for InMemory {
    fn log(&self) -> &dyn Log {
        &self.0
    }
    fn reopen(&mut self) {}
    fn compact(&self) -> Result<u64, LogError> {
        self.0.compact(0)
    }
    fn trim(&self, topic: &Topic, shard: Shard, below: Offset) -> Result<(), LogError> {
        self.0.trim(topic, shard, below)
    }
    fn faults(&self) -> &Faults {
        self.0.faults()
    }
    fn evict(&self, group: &Group) {
        self.0.evict_first_member(group);
    }
}

struct OnDisk {
    log: Option<EmbeddedLog>,
    clock: Clock,
    directory: TempDir,
}

impl OnDisk {
    fn get(&self) -> &EmbeddedLog {
        self.log.as_ref().unwrap()
    }
}

impl Subject for OnDisk {
    fn log(&self) -> &dyn Log {
        self.get()
    }
    fn reopen(&mut self) {
        self.log = None;
        let directory = self.directory.path();
        let log = EmbeddedLog::open_directory(directory, SHARDS, self.clock.reader());
        self.log = Some(log.unwrap());
    }
    fn compact(&self) -> Result<u64, LogError> {
        self.get().compact(0)
    }
    fn trim(&self, topic: &Topic, shard: Shard, below: Offset) -> Result<(), LogError> {
        self.get().trim(topic, shard, below)
    }
    fn faults(&self) -> &Faults {
        self.get().faults()
    }
    fn evict(&self, group: &Group) {
        self.get().evict_first_member(group);
    }
}

struct Run<'a> {
    subject: &'a mut dyn Subject,
    clock: Clock,
    member: Option<Box<dyn Member>>,
    model: Model,
    topics: Vec<Topic>,
    group: Group,
}

impl Run<'_> {
    fn writes(&self, writes: &Writes) -> Vec<Write> {
        let write = |((topic, shard), contents): &(Place, Vec<Content>)| {
            let mut batch = Batch::default();
            for Content { key, value } in contents {
                let value = value.map(|(fill, length)| vec![fill; length]);
                batch.push(&[*key], value.as_deref());
            }
            Write {
                topic: self.topics[*topic].clone(),
                shard: Shard(*shard),
                batch,
            }
        };
        writes.0.iter().map(write).collect()
    }

    fn step(&self, writes: &Writes, progress: &[(Place, u64)]) -> Step {
        let progress = self.progress(progress);
        Step {
            writes: self.writes(writes),
            progress,
            durability: Durability::Process,
        }
    }

    fn progress(&self, progress: &[(Place, u64)]) -> Vec<Progress> {
        let at = |((topic, shard), offset): &(Place, u64)| Progress {
            topic: self.topics[*topic].clone(),
            shard: Shard(*shard),
            offset: Offset(*offset),
        };
        progress.iter().map(at).collect()
    }

    fn now(&self) -> TimeMs {
        (self.clock.reader())()
    }

    /// A member that owns every shard.
    fn member(&mut self) -> &mut Box<dyn Member> {
        if self.member.is_none() {
            let mut member = self.subject.log().join(&self.group, &self.topics).unwrap();
            let assigned: Vec<_> = (0..SHARDS)
                .map(|shard| Ownership::Assigned(Shard(shard)))
                .collect();
            assert_eq!(member.poll(Duration::ZERO).unwrap(), assigned);
            self.member = Some(member);
        }
        self.member.as_mut().unwrap()
    }

    fn act(&mut self, action: &Action) {
        match action {
            Action::Append(writes) => {
                let written = self.writes(writes);
                self.subject
                    .log()
                    .append(written, Durability::Process)
                    .unwrap();
                self.model.append(writes, self.now());
            }
            Action::AppendCut(writes) => {
                let mut written = Some(self.writes(writes));
                let build = &mut |end: &dyn Fn(&Topic, Shard) -> Offset| {
                    for (topic, shard) in places() {
                        let expected = self.model.ends.get(&(topic, shard)).copied();
                        let told = end(&self.topics[topic], Shard(shard));
                        assert_eq!(told, Offset(expected.unwrap_or_default()));
                    }
                    written.take().unwrap()
                };
                self.subject.log().append_cut(&self.topics, build).unwrap();
                self.model.append(writes, self.now());
            }
            Action::Commit(writes, progress) => {
                let step = self.step(writes, progress);
                self.member().commit(step).unwrap();
                self.model.append(writes, self.now());
                self.model.committed.extend(progress.iter().copied());
            }
            Action::Abort(writes, progress) => {
                let step = self.step(writes, progress);
                self.member();
                self.subject.faults().abort_commits(1);
                let answer = self.member().commit(step);
                assert!(matches!(answer, Err(CommitError::Aborted)), "{answer:?}");
            }
            Action::CommitEvicted(writes, progress) => {
                let step = self.step(writes, progress);
                let owns_something = !step.writes.is_empty() || !step.progress.is_empty();
                self.member();
                self.subject.evict(&self.group);
                let answer = self.member().commit(step);
                let fenced = matches!(answer, Err(CommitError::Fenced));
                assert_eq!(fenced, owns_something, "{answer:?}");
                self.member = None;
            }
            Action::Replay(progress) => {
                self.member = None;
                let at = self.progress(progress);
                self.subject.log().set_committed(&self.group, &at).unwrap();
                self.model.committed.extend(progress.iter().copied());
            }
            Action::Compact => self.compact(),
            Action::Trim((topic, shard), below) => {
                let (name, below) = (self.topics[*topic].clone(), *below);
                self.subject
                    .trim(&name, Shard(*shard), Offset(below))
                    .unwrap();
                let left = self.read((*topic, *shard), 0);
                let records = self.model.records.entry((*topic, *shard)).or_default();
                let gone = records.len() - left.len();
                assert_eq!(left, records[gone..], "trimming takes the first records");
                assert!(records[..gone].iter().all(|record| record.offset < below));
                *records = left;
            }
            Action::Advance(hours) => self.clock.advance_ms(hours * 60 * 60 * 1_000),
            Action::Reopen => {
                self.member = None;
                self.subject.reopen();
            }
        }
    }

    /// Lets the log compact, holds what it left against the rules, and takes it over.
    fn compact(&mut self) {
        self.subject.compact().unwrap();
        let day_ago = TimeMs(self.now().0 - 24 * 60 * 60 * 1_000);
        for place in places() {
            let left = self.read(place, 0);
            let before = self.model.records.entry(place).or_default();
            if TOPICS[place.0].1 == Cleanup::Keep {
                assert_eq!(left, *before);
                continue;
            }
            let unread = self.model.committed.get(&place).copied();
            for (at, record) in before.iter().enumerate() {
                let is_read = unread.is_none_or(|unread| record.offset < unread);
                assert!(
                    is_read || left.contains(record),
                    "{record:?} went before it was read"
                );
                let is_last = before[at + 1..].iter().all(|later| later.key != record.key);
                let must_stay =
                    is_last && (record.value.is_some() || record.appended_at >= day_ago);
                assert!(left.contains(record) || !must_stay, "{record:?} is gone");
                let came_back = |left: &Record| left.key == record.key;
                assert!(
                    !is_last || left.contains(record) || !left.iter().any(came_back),
                    "what {record:?} deleted came back"
                );
            }
            assert!(
                left.iter().all(|record| before.contains(record)),
                "a record came from nowhere"
            );
            *before = left;
        }
    }

    fn read(&self, (topic, shard): Place, from: u64) -> Vec<Record> {
        let mut records = Vec::new();
        let mut at = Offset(from);
        let topic = &self.topics[topic];
        while let Some(batch) = self.subject.log().read(topic, Shard(shard), at).unwrap() {
            let new = batch.iter().filter(|record| record.offset >= at);
            records.extend(new.map(|record| Record {
                offset: record.offset.0,
                appended_at: record.appended_at,
                key: record.key.to_vec(),
                value: record.value.map(<[u8]>::to_vec),
            }));
            at = batch.next_offset();
        }
        records
    }

    fn check(&self, from: u64) {
        for place in places() {
            let (topic, shard) = (&self.topics[place.0], Shard(place.1));
            let expected = self
                .model
                .records
                .get(&place)
                .map_or(&[][..], Vec::as_slice);
            assert!(self.read(place, 0) == expected, "{topic} {shard}");
            let skipped = expected.partition_point(|record| record.offset < from);
            assert!(
                self.read(place, from) == expected[skipped..],
                "{topic} {shard} from {from}"
            );
            let Bounds { start, end } = self.subject.log().bounds(topic, shard).unwrap();
            assert_eq!(
                end.0,
                self.model.ends.get(&place).copied().unwrap_or_default()
            );
            assert!(expected.first().is_none_or(|first| start.0 <= first.offset));
            let committed = self
                .subject
                .log()
                .committed(&self.group, topic, shard)
                .unwrap();
            let expected = self.model.committed.get(&place).copied();
            assert_eq!(committed.map(|offset| offset.0), expected);
        }
    }
}

fn places() -> impl Iterator<Item = Place> {
    (0..TOPICS.len()).flat_map(|topic| (0..SHARDS).map(move |shard| (topic, shard)))
}

fn holds(subject: &mut dyn Subject, clock: Clock, actions: &[(Action, u64)]) {
    let topics: Vec<_> = TOPICS.iter().map(|(name, _)| Topic::new(name)).collect();
    let specs: Vec<_> = topics
        .iter()
        .zip(TOPICS)
        .map(|(topic, (_, cleanup))| TopicSpec {
            topic: topic.clone(),
            cleanup,
        })
        .collect();
    subject.log().create(&specs).unwrap();
    let (model, group) = (Model::default(), Group::new("group"));
    let mut run = Run {
        subject,
        clock,
        member: None,
        model,
        topics,
        group,
    };
    for (action, from) in actions {
        run.act(action);
        run.check(*from);
    }
}

fn actions() -> impl Strategy<Value = Vec<(Action, u64)>> {
    proptest::collection::vec((action(), 0_u64..60), 1..40)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn the_log_in_memory_is_a_list_of_records(actions in actions()) {
        let clock = Clock::default();
        let log = MemoryLog::in_memory(SHARDS, clock.reader(), Faults::default()).unwrap();
        holds(&mut InMemory(log), clock, &actions);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn the_embedded_log_is_a_list_of_records(actions in actions()) {
        let (clock, directory) = (Clock::default(), tempfile::tempdir().unwrap());
        let mut subject = OnDisk { log: None, clock: clock.clone(), directory };
        subject.reopen();
        holds(&mut subject, clock, &actions);
    }
}
