//! Usage at a set rate, and how long it takes until it is counted for good.
//!
//! # What is measured
//! Events are due at fixed times, whether or not the ones before were quick: an event's time runs
//! from when it was due to when settle's group has committed past it, with the totals that hold
//! it. So nothing that waits in a queue before the log is left out.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use sealpost_schemas::record::Usage;
use sealpost_seeds::Population;
use sealpost_topology::batch::Batch;
use sealpost_topology::log::Write;
use sealpost_topology::types::{Offset, Shard};

use crate::deployment::Deployment;
use crate::stages::user_key;

/// Events that are due together.
const TICK: Duration = Duration::from_millis(5);
/// How often it is asked how far settling is.
const LOOK: Duration = Duration::from_micros(500);
/// Bytes that are appended at once at full speed.
const APPEND_BYTES: usize = 4 * 1024 * 1024;
/// How long settling may stand still.
const PATIENCE: Duration = Duration::from_secs(120);

/// Latencies of the events that were looked at, in milliseconds.
#[derive(Debug, serde::Serialize)]
pub(super) struct Summary {
    events_per_second: u64,
    samples: usize,
    p50_ms: f64,
    p90_ms: f64,
    p99_ms: f64,
    max_ms: f64,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "p50 {:.1} ms, p90 {:.1} ms, p99 {:.1} ms, most {:.1} ms, at {} events a second",
            self.p50_ms, self.p90_ms, self.p99_ms, self.max_ms, self.events_per_second
        )
    }
}

/// The events of a population, again and again, each with an id of its own.
pub(super) struct Stream<'a> {
    deployment: &'a Deployment,
    population: &'a Population,
    /// Set once settling has ended.
    over: &'a AtomicBool,
    events: Box<dyn Iterator<Item = Usage> + 'a>,
    round: u64,
}

/// A batch whose end was due at some time.
struct Due {
    shard: Shard,
    last: Offset,
    at: Instant,
}

impl<'a> Stream<'a> {
    pub(super) fn new(
        deployment: &'a Deployment,
        population: &'a Population,
        over: &'a AtomicBool,
    ) -> Self {
        Self {
            deployment,
            population,
            over,
            events: Box::new(std::iter::empty()),
            round: 0,
        }
    }

    fn next(&mut self) -> Usage {
        loop {
            if let Some(mut event) = self.events.next() {
                event.event_id.push_str(&format!("-{}", self.round));
                return event;
            }
            self.round += 1;
            let population = self.population;
            let indices = 0..population.users();
            self.events = Box::new(indices.flat_map(|index| population.usage(index)));
        }
    }

    /// Some events by shard, up to `count` of them or as many bytes as one append takes.
    fn batches(&mut self, count: u64) -> Result<(u64, Vec<Write>)> {
        let mut encoder = self.deployment.values.usage_encoder();
        let mut batches: Vec<_> = self.deployment.shards().map(|_| Batch::default()).collect();
        let (mut made, mut bytes, mut value) = (0, 0, Vec::new());
        while made < count && bytes < APPEND_BYTES {
            let event = self.next();
            value.clear();
            encoder.encode(&event, &mut value)?;
            let shard = self.deployment.shard_of(event.user_id);
            if let Some(batch) = batches.get_mut(shard.0 as usize) {
                batch.push(user_key(event.user_id).as_bytes(), Some(&value));
            }
            made += 1;
            bytes += value.len();
        }
        let writes = self.deployment.shards().zip(batches);
        let writes = writes.filter(|(_, batch)| batch.bytes() > 0);
        let writes = writes.map(|(shard, batch)| Write {
            topic: self.deployment.topics().usage.clone(),
            shard,
            batch,
        });
        Ok((made, writes.collect()))
    }

    /// Appends events as fast as the log takes them.
    pub(super) fn send(&mut self, count: u64) -> Result<u64> {
        let mut sent = 0;
        while sent < count {
            let (made, writes) = self.batches(count - sent)?;
            self.deployment.append(writes)?;
            sent += made;
        }
        Ok(sent)
    }

    /// Waits until everything that was appended is counted.
    pub(super) fn wait(&self) -> Result<()> {
        let usage = &self.deployment.topics().usage;
        for shard in self.deployment.shards() {
            let end = self.deployment.log.bounds(usage, shard)?.end;
            // on Kafka a transaction's end takes an offset, which nobody reads
            let last = Offset(end.0.saturating_sub(1));
            let until = Instant::now() + PATIENCE;
            while self.counted(shard)? < last {
                self.alive(until)?;
                std::thread::sleep(LOOK);
            }
        }
        Ok(())
    }

    fn counted(&self, shard: Shard) -> Result<Offset> {
        let settle = &self.deployment.pipeline.settle.group;
        let usage = &self.deployment.topics().usage;
        let committed = self.deployment.log.committed_so_far(settle, usage, shard)?;
        Ok(committed.unwrap_or_default())
    }

    fn alive(&self, until: Instant) -> Result<()> {
        if self.over.load(Ordering::SeqCst) {
            bail!("settling ended before it was done");
        }
        if Instant::now() >= until {
            bail!(
                "settling has stood still for {} seconds",
                PATIENCE.as_secs()
            );
        }
        Ok(())
    }

    /// Appends events at a rate, and watches when those of one shard in each tick are counted.
    pub(super) fn at_rate(&mut self, rate: u64, length: Duration) -> Result<Summary> {
        let due: Mutex<VecDeque<Due>> = Mutex::default();
        let all_sent = AtomicBool::new(false);
        let watched = Watched {
            deployment: self.deployment,
            over: self.over,
            due: &due,
            all_sent: &all_sent,
        };
        std::thread::scope(|scope| {
            let watch = scope.spawn(|| watched.watch());
            let sent = self.pour(rate, length, &due);
            all_sent.store(true, Ordering::SeqCst);
            let watched = watch.join();
            sent?;
            let mut latencies =
                watched.map_err(|_| anyhow::anyhow!("watching ended in a panic"))??;
            latencies.sort_unstable();
            let at = |share: f64| {
                let place = (latencies.len() as f64 * share) as usize;
                latencies
                    .get(place.min(latencies.len().saturating_sub(1)))
                    .map_or(0.0, |latency| latency.as_secs_f64() * 1_000.0)
            };
            Ok(Summary {
                events_per_second: rate,
                samples: latencies.len(),
                p50_ms: at(0.5),
                p90_ms: at(0.9),
                p99_ms: at(0.99),
                max_ms: at(1.0),
            })
        })
    }

    fn pour(&mut self, rate: u64, length: Duration, due: &Mutex<VecDeque<Due>>) -> Result<()> {
        let began = Instant::now();
        let usage = self.deployment.topics().usage.clone();
        let (mut sent, mut tick) = (0_u64, 0_u32);
        while TICK * tick < length {
            let first = tick + 1;
            std::thread::sleep((began + TICK * first).saturating_duration_since(Instant::now()));
            // an append that took longer than a tick leaves several that are due together
            let passed = began.elapsed().as_micros() / TICK.as_micros();
            let last_tick = length.as_micros() / TICK.as_micros();
            tick = first.max(u32::try_from(passed.min(last_tick))?);
            let wanted = u128::from(rate) * (TICK * tick).as_micros() / 1_000_000;
            let (made, writes) = self.batches(u64::try_from(wanted)?.saturating_sub(sent))?;
            sent += made;
            if writes.is_empty() {
                continue;
            }
            let shards: Vec<_> = writes.iter().map(|write| write.shard).collect();
            self.deployment.append(writes)?;
            // one shard, and another one the next time; each tick from when it was due
            if let Some(shard) = shards.get(tick as usize % shards.len()).copied() {
                let end = self.deployment.log.bounds(&usage, shard)?.end;
                let last = Offset(end.0.saturating_sub(1));
                lock(due).extend((first..=tick).map(|tick| Due {
                    shard,
                    last,
                    at: began + TICK * tick,
                }));
            }
        }
        Ok(())
    }
}

struct Watched<'a> {
    deployment: &'a Deployment,
    over: &'a AtomicBool,
    due: &'a Mutex<VecDeque<Due>>,
    all_sent: &'a AtomicBool,
}

impl Watched<'_> {
    fn watch(&self) -> Result<Vec<Duration>> {
        let settle = &self.deployment.pipeline.settle.group;
        let usage = &self.deployment.topics().usage;
        let mut latencies = Vec::new();
        let mut moved = Instant::now();
        loop {
            let sent = self.all_sent.load(Ordering::SeqCst);
            // the oldest of each shard, so that a slow one hides no other
            let next: Vec<(Shard, Offset)> = {
                let due = lock(self.due);
                let mut next: Vec<(Shard, Offset)> = Vec::new();
                for one in &*due {
                    if next.iter().all(|(shard, _)| *shard != one.shard) {
                        next.push((one.shard, one.last));
                    }
                }
                next
            };
            if next.is_empty() && sent {
                return Ok(latencies);
            }
            for (shard, _) in next {
                let log = &self.deployment.log;
                let counted = log
                    .committed_so_far(settle, usage, shard)?
                    .unwrap_or_default();
                let now = Instant::now();
                lock(self.due).retain(|one| {
                    let done = one.shard == shard && one.last <= counted;
                    if done {
                        latencies.push(now.saturating_duration_since(one.at));
                        moved = now;
                    }
                    !done
                });
            }
            if self.over.load(Ordering::SeqCst) || moved.elapsed() >= PATIENCE {
                bail!("settling stands still, or has ended");
            }
            std::thread::sleep(LOOK);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}
