//! Runs stages on threads of their own, and tells when nothing is left to do.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{JoinHandle, ScopedJoinHandle};
use std::time::Duration;

use crate::graph::StageSpec;
use crate::log::{Log, LogError, Waker};
use crate::processor::Processor;
use crate::types::{Shard, TimeMs};
use crate::worker::{Clock, Factory, Performer, Worker, WorkerError, WorkerStatus};

/// How long the shards of a group must have stayed where they are before those that are not
/// here are taken to be somebody else's.
const SETTLED_AFTER_MS: i64 = 5_000;

/// The running workers of one stage.
pub struct RunningStage {
    spec: Arc<StageSpec>,
    stop: Arc<AtomicBool>,
    workers: Vec<RunningWorker>,
}

struct RunningWorker {
    status: Arc<WorkerStatus>,
    waker: Waker,
    thread: JoinHandle<Result<(), WorkerError>>,
}

/// Starts `workers` threads for a stage.
///
/// # Errors
/// [`WorkerError`] when a seat cannot be had.
pub fn start<P: Processor + 'static>(
    log: &Arc<dyn Log>,
    spec: &Arc<StageSpec>,
    workers: usize,
    grace: Duration,
    clock: &Clock,
    factory: &Factory<P>,
    performer: &Arc<dyn Performer<P>>,
) -> Result<RunningStage, WorkerError> {
    let stop = Arc::new(AtomicBool::new(false));
    let join = || {
        Worker::join(
            Arc::clone(log),
            Arc::clone(spec),
            Arc::clone(factory),
            Arc::clone(performer),
            Arc::clone(clock),
            grace,
        )
    };
    // all at once: each waits for answers of the log
    let joined: Vec<_> = std::thread::scope(|scope| {
        let joining: Vec<_> = (0..workers).map(|_| scope.spawn(join)).collect();
        joining.into_iter().map(ScopedJoinHandle::join).collect()
    });
    let mut running = Vec::with_capacity(workers);
    for (slot, joined) in joined.into_iter().enumerate() {
        let worker = joined.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        let (status, waker) = (worker.status(), worker.waker());
        let stop = Arc::clone(&stop);
        let thread = std::thread::Builder::new()
            .name(format!("{}-{slot}", spec.name))
            .spawn(move || worker.run(&stop))
            .map_err(|error| LogError::Storage(format!("cannot start a thread: {error}")))?;
        running.push(RunningWorker {
            status,
            waker,
            thread,
        });
    }
    Ok(RunningStage {
        spec: Arc::clone(spec),
        stop,
        workers: running,
    })
}

impl RunningStage {
    /// The stage.
    #[must_use]
    pub fn spec(&self) -> &StageSpec {
        &self.spec
    }

    /// What the workers show of themselves.
    pub fn statuses(&self) -> impl Iterator<Item = &WorkerStatus> {
        self.workers.iter().map(|worker| &*worker.status)
    }

    /// The same, to keep.
    #[must_use]
    pub fn shared_statuses(&self) -> Vec<Arc<WorkerStatus>> {
        let workers = self.workers.iter();
        workers.map(|worker| Arc::clone(&worker.status)).collect()
    }

    /// Whether a worker has ended although nobody told it to.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        !self.stop.load(Ordering::SeqCst)
            && self
                .workers
                .iter()
                .any(|worker| worker.thread.is_finished())
    }

    /// Whether every worker is in its group and works on the shards that it has: false while
    /// stores are read back. Other processes may have the other shards.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.statuses().all(|status| {
            status.joined.load(Ordering::SeqCst) && !status.restoring.load(Ordering::SeqCst)
        })
    }

    /// Whether the shards have come to rest: all are here, or what is here has not changed for a
    /// while and the others are somebody else's.
    #[must_use]
    fn is_settled(&self, partitions: u32, now: TimeMs) -> bool {
        let here: u64 = self
            .statuses()
            .map(|status| status.shards.load(Ordering::SeqCst))
            .sum();
        let moved_at_ms = self
            .statuses()
            .map(|status| status.moved_at_ms.load(Ordering::SeqCst))
            .max()
            .unwrap_or_default();
        self.is_ready()
            && (here == u64::from(partitions)
                || now.0.saturating_sub(moved_at_ms) >= SETTLED_AFTER_MS)
    }

    /// Tells the workers to stop; they finish what is in flight within their grace.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::SeqCst);
        self.workers.iter().for_each(|worker| worker.waker.wake());
    }

    /// Waits for the workers to end.
    ///
    /// # Errors
    /// The first [`WorkerError`].
    pub fn join(self) -> Result<(), WorkerError> {
        let mut result = Ok(());
        for worker in self.workers {
            let ended = worker.thread.join().unwrap_or_else(|_| {
                Err(WorkerError::Stopped {
                    stage: self.spec.name,
                    shard: Shard(0),
                    reason: "a worker panicked: this is a bug".to_owned(),
                })
            });
            result = result.and(ended);
        }
        result
    }
}

/// Whether nothing is left to do now: every record of every input is finished, and every worker
/// is idle. What waits for a later time does not count.
///
/// # Errors
/// [`LogError`].
pub fn is_drained(log: &dyn Log, stages: &[RunningStage], now: TimeMs) -> Result<bool, LogError> {
    // Idle first, ends after: whoever has appended since is seen by the ends, and whatever
    // was idle before and finished at these ends had nothing to make more of.
    for _ in 0..2 {
        for stage in stages {
            if !stage.is_settled(log.partitions(), now)
                || !stage
                    .statuses()
                    .all(|status| status.idle.load(Ordering::SeqCst))
            {
                return Ok(false);
            }
            for input in &stage.spec.inputs {
                for shard in (0..log.partitions()).map(Shard) {
                    let end = log.bounds(&input.topic, shard)?.end;
                    let committed = log.committed(&stage.spec.group, &input.topic, shard)?;
                    if committed.unwrap_or_default() != end {
                        return Ok(false);
                    }
                }
            }
        }
    }
    Ok(true)
}
