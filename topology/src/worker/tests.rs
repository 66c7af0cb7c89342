#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests"
)]

use super::*;
use crate::batch::{Batch, Record};
use crate::graph::{InputSpec, Role};
use crate::log::{Cleanup, Faults, MemoryLog, TopicSpec, Write};
use crate::processor::{Context, InputId, Work};
use crate::store::StoreSpec;
use crate::types::{Group, Topic};

/// Fails at every record, after it was shut out of its group or not.
struct Failing {
    log: MemoryLog,
    group: Group,
    shut_out: Arc<AtomicBool>,
}

impl Processor for Failing {
    type Effect = ();
    type Completion = ();

    fn process(
        &mut self,
        _: InputId,
        _: Record<'_>,
        _: &mut Context<'_, ()>,
    ) -> Result<(), ProcessError> {
        if self.shut_out.swap(false, Ordering::SeqCst) {
            self.log.evict_first_member(&self.group);
        }
        Err(ProcessError::Stop("what it went by is gone".to_owned()))
    }
}

/// Always has something to do by itself, and counts it.
struct Ticking(Arc<AtomicU64>);

impl Processor for Ticking {
    type Effect = ();
    type Completion = ();

    fn process(
        &mut self,
        _: InputId,
        _: Record<'_>,
        _: &mut Context<'_, ()>,
    ) -> Result<(), ProcessError> {
        Ok(())
    }

    fn punctuate(&mut self, _: &mut Context<'_, ()>) -> Result<Work, ProcessError> {
        self.0.fetch_add(1, Ordering::SeqCst);
        Ok(Work::Done)
    }

    fn next_timer(&self) -> Option<TimeMs> {
        Some(TimeMs(0))
    }
}

/// A log of one shard with one record in it.
fn log() -> (MemoryLog, Topic) {
    log_of(&[1])
}

/// A log of as many shards, with as many records in each.
fn log_of(records: &[u32]) -> (MemoryLog, Topic) {
    let shards = u32::try_from(records.len()).unwrap();
    let log = MemoryLog::in_memory(shards, Arc::new(|| TimeMs(0)), Faults::default()).unwrap();
    let topic = Topic::new("in");
    let cleanup = Cleanup::Keep;
    let made = TopicSpec {
        topic: topic.clone(),
        cleanup,
    };
    log.create(&[made]).unwrap();
    for (shard, records) in (0..shards).map(Shard).zip(records) {
        let mut batch = Batch::default();
        (0..*records).for_each(|_| batch.push(b"key", Some(b"value")));
        let write = Write {
            topic: topic.clone(),
            shard,
            batch,
        };
        log.append(vec![write], Durability::Process).unwrap();
    }
    (log, topic)
}

/// A worker of all shards that are to be had.
fn worker<P: Processor>(log: MemoryLog, input: Topic, factory: Factory<P>) -> Worker<P>
where
    NoEffects: Performer<P>,
{
    worker_with(log, input, Vec::new(), factory)
}

fn worker_with<P: Processor>(
    log: MemoryLog,
    input: Topic,
    stores: Vec<StoreSpec>,
    factory: Factory<P>,
) -> Worker<P>
where
    NoEffects: Performer<P>,
{
    let spec = StageSpec {
        name: "stage",
        group: Group::new("group"),
        inputs: vec![InputSpec {
            topic: input,
            role: Role::Data,
        }],
        outputs: Vec::new(),
        stores,
        effect_durability: Durability::Process,
        note: "",
    };
    let clock: Clock = Arc::new(|| TimeMs(0));
    let grace = Duration::ZERO;
    Worker::join(
        Arc::new(log),
        Arc::new(spec),
        factory,
        Arc::new(NoEffects),
        clock,
        grace,
    )
    .unwrap()
}

/// One that fails, and whether it is shut out while it works.
fn failing(shut_out: &Arc<AtomicBool>) -> Worker<Failing> {
    let (log, input) = log();
    let (shared, shut_out) = (log.clone(), Arc::clone(shut_out));
    let factory: Factory<Failing> = Arc::new(move |_| Failing {
        log: shared.clone(),
        group: Group::new("group"),
        shut_out: Arc::clone(&shut_out),
    });
    worker(log, input, factory)
}

#[test]
fn nothing_is_done_by_itself_once_commands_are_no_longer_read() {
    let ticks = Arc::new(AtomicU64::new(0));
    let (log, input) = log();
    let counted = Arc::clone(&ticks);
    let factory: Factory<Ticking> = Arc::new(move |_| Ticking(Arc::clone(&counted)));
    let mut worker = worker(log, input, factory);
    worker.step(Duration::ZERO).unwrap();
    assert_eq!(ticks.load(Ordering::SeqCst), 1);
    worker.stop();
    worker.step(Duration::ZERO).unwrap();
    assert_eq!(ticks.load(Ordering::SeqCst), 1, "it is on its way out");
}

#[test]
fn the_error_of_a_worker_that_was_shut_out_is_not_its_end() {
    let shut_out = Arc::new(AtomicBool::new(true));
    let mut worker = failing(&shut_out);
    assert!(worker.step(Duration::ZERO).unwrap());
    assert!(worker.shards().is_empty(), "it holds nothing any more");
    // the shard is its own again, and the error is, too
    let stopped = worker.step(Duration::ZERO);
    assert!(matches!(stopped, Err(WorkerError::Stopped { .. })));
}

#[test]
fn the_error_of_a_worker_that_has_its_shards_is_told() {
    let mut worker = failing(&Arc::default());
    let stopped = worker.step(Duration::ZERO);
    assert!(matches!(stopped, Err(WorkerError::Stopped { .. })));
}

/// One that counts what it was made for.
fn counting(
    log: MemoryLog,
    input: Topic,
    stores: Vec<StoreSpec>,
) -> (Worker<Ticking>, Arc<Mutex<Vec<Shard>>>) {
    let made: Arc<Mutex<Vec<Shard>>> = Arc::default();
    let seen = Arc::clone(&made);
    let factory: Factory<Ticking> = Arc::new(move |shard| {
        seen.lock().unwrap().push(shard);
        Ticking(Arc::default())
    });
    (worker_with(log, input, stores, factory), made)
}

/// Makes the stores of all shards big enough for a turn of their own.
fn fill(log: &MemoryLog) -> StoreSpec {
    let changelog = Topic::new("changelog");
    let cleanup = Cleanup::Compact;
    let made = TopicSpec {
        topic: changelog.clone(),
        cleanup,
    };
    log.create(&[made]).unwrap();
    for shard in (0..log.partitions()).map(Shard) {
        let mut batch = Batch::default();
        for key in 0..RESTORED_PER_STEP {
            batch.push(&key.to_be_bytes(), Some(b"value"));
        }
        let write = Write {
            topic: changelog.clone(),
            shard,
            batch,
        };
        log.append(vec![write], Durability::Process).unwrap();
    }
    StoreSpec {
        name: "store",
        changelog,
    }
}

#[test]
fn shards_are_read_back_one_after_the_other_and_worked_on_meanwhile() {
    let (log, input) = log_of(&[5, 0, 1]);
    let store = fill(&log);
    let (mut worker, _) = counting(log, input, vec![store]);
    let status = worker.status();
    let mut seen = Vec::new();
    while status.restoring.load(Ordering::SeqCst) || seen.is_empty() {
        let more = worker.step(Duration::ZERO).unwrap();
        let is_restoring = status.restoring.load(Ordering::SeqCst);
        assert!(more || !is_restoring, "it is not to wait");
        assert!(!is_restoring || !status.idle.load(Ordering::SeqCst));
        let shards: Vec<_> = worker.shards().iter().map(|shard| shard.0).collect();
        assert_eq!(status.shards.load(Ordering::SeqCst), shards.len() as u64);
        if seen.last() != Some(&shards) {
            seen.push(shards);
        }
        if seen.len() == 1 {
            let worked_on = status.records.load(Ordering::SeqCst);
            assert_eq!(worked_on, 5, "what waits does not wait for the others");
        }
    }
    let one_by_one = [vec![0], vec![0, 1], vec![0, 1, 2]];
    assert_eq!(seen, one_by_one);
    assert_eq!(status.records.load(Ordering::SeqCst), 6);
}

#[test]
fn shards_with_little_to_read_back_come_at_once() {
    let (log, input) = log_of(&[1, 0, 5, 0]);
    let (mut worker, _) = counting(log, input, Vec::new());
    worker.step(Duration::ZERO).unwrap();
    assert_eq!(worker.shards(), [0, 1, 2, 3].map(Shard));
}

#[test]
fn what_is_taken_away_before_it_was_read_back_is_given_away_unread() {
    let (log, input) = log_of(&[1, 1, 1, 1]);
    let store = fill(&log);
    let (mut first, made_first) = counting(log.clone(), input.clone(), vec![store.clone()]);
    first.step(Duration::ZERO).unwrap();
    let (mut second, made_second) = counting(log, input, vec![store]);
    for _ in 0..16 {
        first.step(Duration::ZERO).unwrap();
        second.step(Duration::ZERO).unwrap();
    }
    let (first, second) = (first.shards(), second.shards());
    assert_eq!((first.len(), second.len()), (2, 2));
    assert_eq!(made_second.lock().unwrap().len(), 2);
    // the one that was read back in its first step may be among those that went
    let made = made_first.lock().unwrap().clone();
    let in_vain: Vec<_> = made.iter().filter(|shard| !first.contains(shard)).collect();
    assert!(in_vain.len() <= 1, "{made:?}, {first:?}");
}

#[test]
fn a_worker_that_stops_reads_no_more_back() {
    let (log, input) = log_of(&[1, 1, 1]);
    let store = fill(&log);
    let (mut worker, made) = counting(log, input, vec![store]);
    worker.step(Duration::ZERO).unwrap();
    worker.stop();
    worker.step(Duration::ZERO).unwrap();
    assert_eq!(made.lock().unwrap().len(), 1);
}

/// Notes for which shards answers came.
struct Noting(Shard, Arc<Mutex<Vec<Shard>>>);

impl Processor for Noting {
    type Effect = ();
    type Completion = ();

    fn process(
        &mut self,
        _: InputId,
        _: Record<'_>,
        _: &mut Context<'_, ()>,
    ) -> Result<(), ProcessError> {
        Ok(())
    }

    fn complete(&mut self, (): (), _: &mut Context<'_, ()>) -> Result<(), ProcessError> {
        self.1.lock().unwrap().push(self.0);
        Ok(())
    }
}

/// Notes which answers found nobody.
struct Orphans(Arc<Mutex<Vec<Shard>>>);

impl Performer<Noting> for Orphans {
    fn perform(&self, _: Shard, _: Vec<()>, _: &Arc<Inbox<()>>) {}

    fn orphaned(&self, shard: Shard, (): ()) {
        self.0.lock().unwrap().push(shard);
    }
}

#[test]
fn an_answer_for_a_shard_that_is_still_to_be_read_back_waits_for_it() {
    let (log, input) = log_of(&[0, 0, 0, 0]);
    let store = fill(&log);
    let answered: Arc<Mutex<Vec<Shard>>> = Arc::default();
    let orphaned: Arc<Mutex<Vec<Shard>>> = Arc::default();
    let noted = Arc::clone(&answered);
    let factory: Factory<Noting> = Arc::new(move |shard| Noting(shard, Arc::clone(&noted)));
    let mut worker = worker_with(log, input, vec![store], factory);
    worker.performer = Arc::new(Orphans(Arc::clone(&orphaned)));
    worker.step(Duration::ZERO).unwrap();
    worker.inbox.push(Shard(2), ());
    worker.step(Duration::ZERO).unwrap();
    assert_eq!(worker.shards(), [0, 1].map(Shard));
    assert!(answered.lock().unwrap().is_empty());
    worker.step(Duration::ZERO).unwrap();
    assert_eq!(*answered.lock().unwrap(), [Shard(2)]);
    // one that will not be read back any more is nobody's
    worker.inbox.push(Shard(3), ());
    worker.stop();
    worker.step(Duration::ZERO).unwrap();
    assert_eq!(*orphaned.lock().unwrap(), [Shard(3)]);
}
