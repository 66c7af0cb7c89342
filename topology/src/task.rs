//! A task: one stage's work on one shard, from restored stores to the parts of a step.
//!
//! # Life
//! `restore` (stores read back from their changelogs, positions from the group's committed
//! offsets) → any number of `run` and `collect` → `committed`, or `aborted`, which puts everything
//! back to the last commit and makes the processor anew.

use std::collections::VecDeque;
use std::time::Duration;

use crate::batch::{Batch, RecordBatch, RecordPlace};
use crate::graph::{Role, StageSpec};
use crate::log::{Log, LogError, Member, Progress, Write};
use crate::processor::{Context, Demand, InputId, Lookup, ProcessError, Processor, Work};
use crate::store::{Store, StoreSpec};
use crate::types::{Offset, Shard, TimeMs};

/// Bytes of one input that a task takes in one step: enough to make compression and commits
/// cheap, little enough to keep a step short.
const STEP_BYTES_PER_INPUT: usize = 1024 * 1024;

/// Bytes of outputs after which a task takes no more data in a step: what is made of a record can
/// be many times its size, and all of a step is in memory until it is committed.
const STEP_BYTES_OUT: usize = 960 * 1024;

/// Batches that lookups keep at hand.
const LOOKUP_BATCHES: usize = 2;

struct Input {
    position: Offset,
    committed: Offset,
    /// Fetched and not yet processed to its end.
    in_hand: Option<RecordBatch>,
    at_end: bool,
}

/// What a portion of work came to.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ran {
    pub(crate) records: u64,
    pub(crate) more: bool,
}

pub(crate) struct Task<P: Processor> {
    pub(crate) shard: Shard,
    pub(crate) processor: P,
    stores: Vec<Store>,
    inputs: Vec<Input>,
    outputs: Vec<Batch>,
    effects: Vec<P::Effect>,
    looked_up: LookupCache,
    /// Since when it is revoked or stopping: nothing more is taken.
    closing: Option<TimeMs>,
}

impl<P: Processor> Task<P> {
    pub(crate) fn restore(
        log: &dyn Log,
        member: &mut dyn Member,
        spec: &StageSpec,
        shard: Shard,
        processor: P,
        now: TimeMs,
    ) -> Result<Self, ProcessError> {
        let mut task = Self {
            shard,
            processor,
            stores: Vec::with_capacity(spec.stores.len()),
            inputs: Vec::new(),
            outputs: spec.outputs.iter().map(|_| Batch::default()).collect(),
            effects: Vec::new(),
            looked_up: LookupCache::default(),
            closing: None,
        };
        // in this order: see the log's contract
        task.rewind(log, spec)?;
        // what waits is on its way while the stores are read back
        for (input, at) in spec.inputs.iter().zip(&task.inputs) {
            member.prefetch(&input.topic, shard, at.position)?;
        }
        for StoreSpec { changelog, .. } in &spec.stores {
            let mut store = Store::default();
            log.restore(changelog, shard, &mut |key, value| {
                store.restore(key, value)
            })?;
            task.stores.push(store);
        }
        task.start(log, spec, now)?;
        Ok(task)
    }

    /// Reads positions from what the group has committed.
    fn rewind(&mut self, log: &dyn Log, spec: &StageSpec) -> Result<(), LogError> {
        self.inputs = spec
            .inputs
            .iter()
            .map(|input| {
                let committed = log
                    .committed(&spec.group, &input.topic, self.shard)?
                    .unwrap_or_default();
                Ok(Input {
                    position: committed,
                    committed,
                    in_hand: None,
                    at_end: false,
                })
            })
            .collect::<Result<_, LogError>>()?;
        Ok(())
    }

    fn start(&mut self, log: &dyn Log, spec: &StageSpec, now: TimeMs) -> Result<(), ProcessError> {
        for (place, input) in self.inputs.iter().enumerate() {
            self.processor.positioned(InputId(place), input.position);
        }
        self.with_context(log, spec, now, |processor, context| {
            processor.restored(context)
        })
    }

    fn with_context<T>(
        &mut self,
        log: &dyn Log,
        spec: &StageSpec,
        now: TimeMs,
        act: impl FnOnce(&mut P, &mut Context<'_, P::Effect>) -> T,
    ) -> T {
        let mut lookup = LogLookup {
            log,
            spec,
            shard: self.shard,
            cache: &mut self.looked_up,
        };
        let mut context = Context {
            shard: self.shard,
            now,
            stores: &mut self.stores,
            outputs: &mut self.outputs,
            effects: &mut self.effects,
            lookup: &mut lookup,
        };
        act(&mut self.processor, &mut context)
    }

    pub(crate) fn complete(
        &mut self,
        log: &dyn Log,
        spec: &StageSpec,
        now: TimeMs,
        completion: P::Completion,
    ) -> Result<(), ProcessError> {
        self.with_context(log, spec, now, |processor, context| {
            processor.complete(completion, context)
        })
    }

    /// Takes nothing more; what is in flight may still end.
    pub(crate) fn close(&mut self, now: TimeMs) {
        if self.closing.is_none() {
            self.closing = Some(now);
            self.processor.closing();
        }
    }

    /// Whether it can be given away: nothing is in flight, or was waited for long enough.
    pub(crate) fn is_closed(&self, now: TimeMs, grace: Duration) -> bool {
        self.closing.is_some_and(|since| {
            let waited_ms = u128::try_from(now.0.saturating_sub(since.0)).unwrap_or(0);
            self.processor.in_flight() == 0 || waited_ms >= grace.as_millis()
        })
    }

    /// First of a portion of work: data is taken in hand.
    pub(crate) fn take_data(
        &mut self,
        member: &mut dyn Member,
        spec: &StageSpec,
    ) -> Result<(), LogError> {
        if self.closing.is_none() {
            for place in inputs(spec, Role::Data) {
                self.fetch(member, spec, place)?;
            }
        }
        Ok(())
    }

    /// Second: every command that there is, before any of the data in hand (promise 4 of the
    /// log). Returns how many.
    pub(crate) fn obey(
        &mut self,
        log: &dyn Log,
        member: &mut dyn Member,
        spec: &StageSpec,
        now: TimeMs,
    ) -> Result<u64, ProcessError> {
        let mut commands = 0;
        if self.closing.is_none() {
            for place in inputs(spec, Role::Command) {
                while self.fetch(member, spec, place)? {
                    commands += self.work_off(log, spec, now, place)?.0;
                }
            }
        }
        Ok(commands)
    }

    /// Third: the data in hand, and what is due by itself.
    pub(crate) fn work(
        &mut self,
        log: &dyn Log,
        member: &mut dyn Member,
        spec: &StageSpec,
        now: TimeMs,
    ) -> Result<Ran, ProcessError> {
        let mut ran = Ran::default();
        // what is due by itself goes by the commands, too, and they are no longer read
        if self.closing.is_none() {
            for place in inputs(spec, Role::Data) {
                let mut bytes = 0;
                loop {
                    let (records, taken) = self.work_off(log, spec, now, place)?;
                    ran.records += records;
                    bytes += taken;
                    let emptied = self
                        .inputs
                        .get(place.0)
                        .is_some_and(|input| input.in_hand.is_none());
                    // a later batch of this step would need the commands read again
                    if !emptied
                        || records == 0
                        || bytes >= STEP_BYTES_PER_INPUT
                        || has_commands(spec)
                    {
                        break;
                    }
                    if !self.fetch(member, spec, place)? {
                        break;
                    }
                }
            }
            let work = self.with_context(log, spec, now, |processor, context| {
                processor.punctuate(context)
            })?;
            ran.more = ran.records > 0 || work == Work::More;
        }
        Ok(ran)
    }

    /// Has a batch in hand if there is one and it is wanted.
    fn fetch(
        &mut self,
        member: &mut dyn Member,
        spec: &StageSpec,
        id: InputId,
    ) -> Result<bool, LogError> {
        let (Some(input), Some(topic)) = (self.inputs.get_mut(id.0), spec.inputs.get(id.0)) else {
            return Ok(false);
        };
        if input.in_hand.is_some() {
            return Ok(true);
        }
        let wanted = match self.processor.demand(id) {
            Demand::Any => true,
            Demand::Before(limit) => input.position < limit,
            Demand::Nothing => false,
        };
        if !wanted {
            return Ok(false);
        }
        input.in_hand = match topic.role {
            Role::Command => match member.fetch(&topic.topic, self.shard, input.position)? {
                // at the end of what there is: the place moves past what is no record
                None => member.try_fetch(&topic.topic, self.shard, input.position)?,
                batch => batch,
            },
            // that there is nothing more of it is for nobody to rest on
            Role::Data => member.try_fetch(&topic.topic, self.shard, input.position)?,
        };
        input.at_end = input.in_hand.is_none();
        Ok(input.in_hand.is_some())
    }

    /// Processes the batch in hand as far as it is wanted. Returns records and bytes.
    fn work_off(
        &mut self,
        log: &dyn Log,
        spec: &StageSpec,
        now: TimeMs,
        id: InputId,
    ) -> Result<(u64, usize), ProcessError> {
        let Some(input) = self.inputs.get_mut(id.0) else {
            return Ok((0, 0));
        };
        let Some(batch) = input.in_hand.take() else {
            return Ok((0, 0));
        };
        let from = input.position;
        let mut position = from;
        // commands are obeyed to the last one
        let may_wait = spec
            .inputs
            .get(id.0)
            .is_some_and(|input| input.role == Role::Data);
        let mut done = 0;
        let mut complete = true;
        for record in batch.iter().skip_while(|record| record.offset < from) {
            let wanted = match self.processor.demand(id) {
                Demand::Any => true,
                Demand::Before(limit) => record.offset < limit,
                Demand::Nothing => false,
            };
            if !wanted {
                complete = false;
                // nothing lies before it: a cut there is reached, markers or not
                position = record.offset.max(position);
                self.processor.positioned(id, position);
                break;
            }
            self.with_context(log, spec, now, |processor, context| {
                processor.process(id, record, context)
            })?;
            position = record.offset.next();
            self.processor.positioned(id, position);
            done += 1;
            if may_wait && self.outputs.iter().map(Batch::bytes).sum::<usize>() >= STEP_BYTES_OUT {
                // the rest stays in hand
                complete = position >= batch.next_offset();
                break;
            }
        }
        if complete {
            position = batch.next_offset().max(position);
            self.processor.positioned(id, position);
        }
        let bytes = batch.bytes();
        if let Some(input) = self.inputs.get_mut(id.0) {
            input.position = position;
            input.in_hand = (!complete).then_some(batch);
        }
        Ok((done, bytes))
    }

    /// When something is due by itself.
    pub(crate) fn next_timer(&self) -> Option<TimeMs> {
        match self.closing {
            Some(_) => None,
            None => self.processor.next_timer(),
        }
    }

    /// Moves this task's part of the step into `writes` and `progress`, its effects into `effects`.
    pub(crate) fn collect(
        &mut self,
        spec: &StageSpec,
        writes: &mut Vec<Write>,
        progress: &mut Vec<Progress>,
        effects: &mut Vec<(Shard, Vec<P::Effect>)>,
    ) {
        for (topic, batch) in spec.outputs.iter().zip(&mut self.outputs) {
            if !batch.is_empty() {
                let batch = std::mem::take(batch);
                writes.push(Write {
                    topic: topic.clone(),
                    shard: self.shard,
                    batch,
                });
            }
        }
        for (store_spec, store) in spec.stores.iter().zip(&self.stores) {
            let batch = store.changes();
            if !batch.is_empty() {
                writes.push(Write {
                    topic: store_spec.changelog.clone(),
                    shard: self.shard,
                    batch,
                });
            }
        }
        for (place, (input_spec, input)) in spec.inputs.iter().zip(&self.inputs).enumerate() {
            let offset = self.finished(InputId(place), input.position);
            if offset != input.committed {
                progress.push(Progress {
                    topic: input_spec.topic.clone(),
                    shard: self.shard,
                    offset,
                });
            }
        }
        if !self.effects.is_empty() {
            effects.push((self.shard, std::mem::take(&mut self.effects)));
        }
    }

    fn finished(&self, id: InputId, position: Offset) -> Offset {
        self.processor
            .low_watermark(id)
            .map_or(position, |low| low.min(position))
    }

    /// The step stands.
    pub(crate) fn committed(&mut self) {
        self.stores.iter_mut().for_each(Store::commit);
        for place in 0..self.inputs.len() {
            let offset = self
                .inputs
                .get(place)
                .map(|input| self.finished(InputId(place), input.position));
            if let (Some(offset), Some(input)) = (offset, self.inputs.get_mut(place)) {
                input.committed = offset;
            }
        }
    }

    /// The step did not happen: back to the last commit, with a new processor.
    pub(crate) fn aborted(
        &mut self,
        log: &dyn Log,
        spec: &StageSpec,
        processor: P,
        now: TimeMs,
    ) -> Result<(), ProcessError> {
        self.stores.iter_mut().for_each(Store::abort);
        self.outputs
            .iter_mut()
            .for_each(|batch| *batch = Batch::default());
        self.effects.clear();
        self.processor = processor;
        if self.closing.is_some() {
            self.processor.closing();
        }
        self.rewind(log, spec)?;
        self.start(log, spec, now)
    }

    /// Whether every input was read to its end and everything read is finished.
    pub(crate) fn at_rest(&self) -> bool {
        self.processor.unfinished() == 0
            && self.inputs.iter().enumerate().all(|(place, input)| {
                input.at_end
                    && input.in_hand.is_none()
                    && self.finished(InputId(place), input.position) == input.position
            })
    }

    pub(crate) fn entries(&self) -> usize {
        self.stores.iter().map(Store::len).sum()
    }

    pub(crate) fn store(&self, place: usize) -> Option<&Store> {
        self.stores.get(place)
    }
}

fn inputs(spec: &StageSpec, role: Role) -> impl Iterator<Item = InputId> {
    spec.inputs
        .iter()
        .enumerate()
        .filter(move |(_, input)| input.role == role)
        .map(|(place, _)| InputId(place))
}

fn has_commands(spec: &StageSpec) -> bool {
    spec.inputs.iter().any(|input| input.role == Role::Command)
}

/// The batches that lookups came across last, newest at the back.
#[derive(Default)]
struct LookupCache(VecDeque<(InputId, IndexedBatch)>);

/// A batch with the place of each of its records, so that looking one up does not read the rest.
struct IndexedBatch {
    batch: RecordBatch,
    places: Vec<RecordPlace>,
}

impl IndexedBatch {
    fn new(batch: RecordBatch) -> Self {
        let places = batch.places();
        Self { batch, places }
    }

    fn holds(&self, offset: Offset) -> bool {
        self.batch.base() <= offset && offset < self.batch.next_offset()
    }

    /// The value at an offset, if its key is this one: any other record is not what was meant.
    fn value(&self, key: &[u8], offset: Offset) -> Option<Vec<u8>> {
        let place = self
            .places
            .binary_search_by_key(&offset, |place| place.offset)
            .ok()?;
        let place = self.places.get(place)?;
        if self.batch.bytes_at(place.key.clone()) != Some(key) {
            return None;
        }
        self.batch.bytes_at(place.value.clone()).map(<[u8]>::to_vec)
    }
}

struct LogLookup<'a> {
    log: &'a dyn Log,
    spec: &'a StageSpec,
    shard: Shard,
    cache: &'a mut LookupCache,
}

impl Lookup for LogLookup<'_> {
    fn value(
        &mut self,
        input: InputId,
        key: &[u8],
        offset: Offset,
    ) -> Result<Option<Vec<u8>>, LogError> {
        let cached = self
            .cache
            .0
            .iter()
            .find(|(of, batch)| *of == input && batch.holds(offset));
        if let Some(value) = cached.and_then(|(_, batch)| batch.value(key, offset)) {
            return Ok(Some(value));
        }
        let Some(topic) = self.spec.inputs.get(input.0) else {
            return Ok(None);
        };
        let near = self.log.at_hand(&topic.topic, self.shard, offset)?;
        let near = near.map(IndexedBatch::new);
        // what is at hand may be compacted further than the log, which has the last word
        let batch = match near.filter(|batch| batch.value(key, offset).is_some()) {
            Some(batch) => batch,
            None => match self.log.read(&topic.topic, self.shard, offset)? {
                Some(batch) => IndexedBatch::new(batch),
                None => return Ok(None),
            },
        };
        let value = batch.value(key, offset);
        if self.cache.0.len() >= LOOKUP_BATCHES {
            self.cache.0.pop_front();
        }
        self.cache.0.push_back((input, batch));
        Ok(value)
    }
}

#[cfg(test)]
mod tests;
