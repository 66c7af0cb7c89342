//! What a stage does with its records: the seam between the runtime and the pure operators.
//!
//! A processor sees one shard. It is called by one thread, between commits, with records, time
//! and completions as arguments; whatever it does goes into the [`Context`]. It keeps transient
//! state if it likes, but after an aborted step it is thrown away and made anew from its stores.

use crate::batch::{Batch, Record};
use crate::store::Store;
use crate::types::{Offset, Shard, TimeMs};

/// Place of an input in [`crate::graph::StageSpec::inputs`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InputId(pub usize);

/// Place of an output in [`crate::graph::StageSpec::outputs`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OutputId(pub usize);

/// Place of a store in [`crate::graph::StageSpec::stores`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StoreId(pub usize);

/// How much of an input a processor will take now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Demand {
    /// Whatever there is.
    Any,
    /// Records before this offset.
    Before(Offset),
    /// None for now.
    Nothing,
}

/// Whether a processor has more to do without being given anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// Call again after the commit.
    More,
    /// Nothing until a record, a completion or a timer comes.
    Done,
}

/// Reads single records of earlier input by offset.
pub trait Lookup {
    /// The value of the record at `offset` of an input of this stage, whose key is `key`; `None`
    /// if it is gone.
    ///
    /// # Errors
    /// [`crate::log::LogError`].
    fn value(
        &mut self,
        input: InputId,
        key: &[u8],
        offset: Offset,
    ) -> Result<Option<Vec<u8>>, crate::log::LogError>;
}

/// Where a processor's doings go.
pub struct Context<'a, E> {
    /// The shard at hand.
    pub shard: Shard,
    /// Time of this step.
    pub now: TimeMs,
    pub(crate) stores: &'a mut [Store],
    pub(crate) outputs: &'a mut [Batch],
    pub(crate) effects: &'a mut Vec<E>,
    pub(crate) lookup: &'a mut dyn Lookup,
}

impl<E> Context<'_, E> {
    /// A store of the stage.
    ///
    /// # Panics
    /// If the stage declared no such store.
    #[allow(clippy::indexing_slicing, reason = "ids are declared with the stage")]
    pub fn store(&mut self, store: StoreId) -> &mut Store {
        &mut self.stores[store.0]
    }

    /// The records on their way to one of the stage's output topics.
    ///
    /// # Panics
    /// If the stage declared no such output.
    #[allow(clippy::indexing_slicing, reason = "ids are declared with the stage")]
    pub fn output(&mut self, output: OutputId) -> &mut Batch {
        &mut self.outputs[output.0]
    }

    /// All of it at once, for whoever needs several parts at the same time.
    pub fn parts(&mut self) -> Parts<'_, E> {
        Parts {
            stores: self.stores,
            outputs: self.outputs,
            effects: self.effects,
            lookup: self.lookup,
        }
    }

    /// Asks something of the outside world, once this step is committed.
    pub fn effect(&mut self, effect: E) {
        self.effects.push(effect);
    }

    /// The value of an earlier record of an input.
    ///
    /// # Errors
    /// [`crate::log::LogError`].
    pub fn lookup(
        &mut self,
        input: InputId,
        key: &[u8],
        offset: Offset,
    ) -> Result<Option<Vec<u8>>, crate::log::LogError> {
        self.lookup.value(input, key, offset)
    }
}

/// The parts of a [`Context`], borrowed apart.
pub struct Parts<'a, E> {
    /// The stage's stores, as declared.
    pub stores: &'a mut [Store],
    /// The stage's outputs, as declared.
    pub outputs: &'a mut [Batch],
    /// What is asked of the outside world.
    pub effects: &'a mut Vec<E>,
    /// Earlier records.
    pub lookup: &'a mut dyn Lookup,
}

/// The work of one stage on one shard.
pub trait Processor: Send {
    /// What is asked of the outside world after a commit.
    type Effect: Send + 'static;
    /// What the outside world answers.
    type Completion: Send + 'static;

    /// The stores have been read back: rebuild what is kept beside them.
    ///
    /// # Errors
    /// [`ProcessError`].
    fn restored(&mut self, context: &mut Context<'_, Self::Effect>) -> Result<(), ProcessError> {
        let _ = context;
        Ok(())
    }

    /// One record of an input.
    ///
    /// # Errors
    /// [`ProcessError`]: the step is aborted. A bad record is no error: refuse it and go on.
    fn process(
        &mut self,
        input: InputId,
        record: Record<'_>,
        context: &mut Context<'_, Self::Effect>,
    ) -> Result<(), ProcessError>;

    /// An answer of the outside world. It may belong to a call that an earlier incarnation made.
    ///
    /// # Errors
    /// [`ProcessError`].
    fn complete(
        &mut self,
        completion: Self::Completion,
        context: &mut Context<'_, Self::Effect>,
    ) -> Result<(), ProcessError> {
        let _ = (completion, context);
        Ok(())
    }

    /// Work that is due by itself, in a bounded portion: timers, long commands.
    ///
    /// # Errors
    /// [`ProcessError`].
    fn punctuate(&mut self, context: &mut Context<'_, Self::Effect>) -> Result<Work, ProcessError> {
        let _ = context;
        Ok(Work::Done)
    }

    /// The shard is about to be given away, or the process to stop: ask nothing more of the outside
    /// world. What is in flight may still end; from now on no input is read, and nothing is done
    /// that is due by itself.
    fn closing(&mut self) {}

    /// How much of an input is wanted now.
    fn demand(&self, input: InputId) -> Demand {
        let _ = input;
        Demand::Any
    }

    /// How far an input stands: where the runtime will read on. Told after every record.
    fn positioned(&mut self, input: InputId, next: Offset) {
        let _ = (input, next);
    }

    /// The first record of an input that is not finished; the committed offset stays there.
    fn low_watermark(&self, input: InputId) -> Option<Offset> {
        let _ = input;
        None
    }

    /// When [`Processor::punctuate`] has something to do next.
    fn next_timer(&self) -> Option<TimeMs> {
        None
    }

    /// Work that will end without new input: calls in flight, answers waited for. A pipeline
    /// with such work is not drained.
    fn unfinished(&self) -> usize {
        0
    }

    /// Calls that the outside world will still answer to this process.
    fn in_flight(&self) -> usize {
        0
    }
}

/// Why a processor cannot go on, by consequence.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// The log failed below it.
    #[error(transparent)]
    Log(#[from] crate::log::LogError),
    /// The stage cannot do its work at all: stop the process and say why. Never carries
    /// personal data.
    #[error("{0}")]
    Stop(String),
}
