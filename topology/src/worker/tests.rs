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
    let log = MemoryLog::in_memory(1, Arc::new(|| TimeMs(0)), Faults::default()).unwrap();
    let topic = Topic::new("in");
    let cleanup = Cleanup::Keep;
    let made = TopicSpec {
        topic: topic.clone(),
        cleanup,
    };
    log.create(&[made]).unwrap();
    let mut batch = Batch::default();
    batch.push(b"key", Some(b"value"));
    let write = Write {
        topic: topic.clone(),
        shard: Shard(0),
        batch,
    };
    log.append(vec![write], Durability::Process).unwrap();
    (log, topic)
}

/// A worker of one shard with one record before it.
fn worker<P: Processor>(log: MemoryLog, input: Topic, factory: Factory<P>) -> Worker<P>
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
        stores: Vec::new(),
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
