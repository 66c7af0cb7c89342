//! Known bugs, switched on one at a time: a simulator that does not find them finds nothing.
//!
//! They are made at the seams (log, processor, provider, clock), so that no code of the pipeline
//! knows of them.

use std::sync::Arc;

use sealpost_topology::batch::Record;
use sealpost_topology::processor::{Context, Demand, InputId, ProcessError, Processor, Work};
use sealpost_topology::types::{Offset, Shard, TimeMs};

use crate::plan::{Fault, Plan};

macro_rules! canaries {
    ($($(#[$doc:meta])* $canary:ident = $name:literal,)*) => {
        /// A known bug.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Canary { $($(#[$doc])* $canary,)* }

        impl Canary {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$canary,)*];

            /// What the command line calls it.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$canary => $name,)* }
            }
        }
    };
}

canaries! {
    /// The provider is called before the intent is committed.
    IntentAfterSend = "intent-after-send",
    /// The offset of a dispatch is committed before its outcome.
    OffsetBeforeOutcome = "offset-before-outcome",
    /// The key that the provider knows a message by has the time in it.
    TimeInKey = "time-in-key",
    /// After an aborted step the stores keep what the step wrote.
    StoreKeptOnAbort = "store-kept-on-abort",
    /// A fenced step is written all the same.
    FencedCommitStands = "fenced-commit-stands",
    /// A call is begun after its deadline.
    StartsLate = "starts-late",
    /// The send state is not read back.
    ForgetsSendState = "forgets-send-state",
    /// Event ids are not read back.
    ForgetsEvents = "forgets-events",
    /// Suppressed addresses are not read back.
    ForgetsSuppressions = "forgets-suppressions",
    /// Follow-ups are not read back.
    ForgetsCorrections = "forgets-corrections",
    /// What was refused is taken in when a replay reads it again: a bug that this found.
    ReplaysRefused = "replays-refused",
    /// Settle takes in what lies behind a close's cut.
    IgnoresCut = "ignores-cut",
    /// A lost answer is taken for a refusal to accept.
    RepeatsBlindly = "repeats-blindly",
    /// An address is written where everybody can read it.
    LeaksAddress = "leaks-address",
    /// A commit's answer is "done" although it was aborted.
    AbortTakenForDone = "abort-taken-for-done",
    /// Calls go to either of a channel's providers, whatever their intent names.
    EitherProvider = "either-provider",
    /// A receipt is answered before it is written, and then is not.
    ReceiptNotWritten = "receipt-not-written",
    /// Whoever takes receipts does not read on: calls that came later are none of ours.
    ReceiptByOldIndex = "receipt-by-old-index",
    /// A move to another number of partitions leaves unfinished messages behind.
    MoveForgetsUnfinished = "move-forgets-unfinished",
    /// An answer of a provider goes missing inside the process.
    LosesAnswer = "loses-answer",
}

impl std::str::FromStr for Canary {
    type Err = String;
    fn from_str(name: &str) -> Result<Self, String> {
        Self::ALL
            .iter()
            .copied()
            .find(|canary| canary.name() == name)
            .ok_or_else(|| format!("there is no canary {name}: see --help"))
    }
}

impl Canary {
    /// What must go wrong, and how long a run must be, for it to show at all: without, hardly one
    /// run in thousands comes across it.
    pub fn provoke(self, plan: &mut Plan) {
        let faults: &[Fault] = match self {
            Self::ReplaysRefused => &[Fault::Replay, Fault::CloseAgain],
            Self::StartsLate => &[Fault::Freeze, Fault::Evict],
            _ => return,
        };
        plan.faults.extend(faults);
        plan.faults.remove(&Fault::Repartition);
        plan.moments = plan.moments.max(600);
    }
}

/// Performs effects before their step is committed.
pub type Early<E> = Arc<dyn Fn(Shard, &mut Vec<E>) + Send + Sync>;

/// A processor with the bugs that lie in how it is run.
pub struct Sabotaged<P: Processor> {
    inner: P,
    canary: Option<Canary>,
    early: Option<Early<P::Effect>>,
}

impl<P: Processor> Sabotaged<P> {
    /// A processor, with what performs its effects too early if that is the bug.
    pub fn new(inner: P, canary: Option<Canary>, early: Option<Early<P::Effect>>) -> Self {
        let early = early.filter(|_| canary == Some(Canary::IntentAfterSend));
        Self {
            inner,
            canary,
            early,
        }
    }
}

impl<P: Processor> Processor for Sabotaged<P> {
    type Effect = P::Effect;
    type Completion = P::Completion;

    fn restored(&mut self, context: &mut Context<'_, Self::Effect>) -> Result<(), ProcessError> {
        self.inner.restored(context)
    }

    fn process(
        &mut self,
        input: InputId,
        record: Record<'_>,
        context: &mut Context<'_, Self::Effect>,
    ) -> Result<(), ProcessError> {
        self.inner.process(input, record, context)
    }

    fn complete(
        &mut self,
        completion: Self::Completion,
        context: &mut Context<'_, Self::Effect>,
    ) -> Result<(), ProcessError> {
        self.inner.complete(completion, context)
    }

    fn punctuate(&mut self, context: &mut Context<'_, Self::Effect>) -> Result<Work, ProcessError> {
        let work = self.inner.punctuate(context)?;
        if let Some(early) = &self.early {
            let shard = context.shard;
            early(shard, context.parts().effects);
        }
        Ok(work)
    }

    fn closing(&mut self) {
        self.inner.closing();
    }

    fn demand(&self, input: InputId) -> Demand {
        match self.inner.demand(input) {
            Demand::Before(_) if self.canary == Some(Canary::IgnoresCut) => Demand::Any,
            demand => demand,
        }
    }

    fn positioned(&mut self, input: InputId, next: Offset) {
        self.inner.positioned(input, next);
    }

    fn low_watermark(&self, input: InputId) -> Option<Offset> {
        self.inner
            .low_watermark(input)
            .filter(|_| self.canary != Some(Canary::OffsetBeforeOutcome))
    }

    fn next_timer(&self) -> Option<TimeMs> {
        self.inner.next_timer()
    }

    fn unfinished(&self) -> usize {
        self.inner.unfinished()
    }

    fn in_flight(&self) -> usize {
        self.inner.in_flight()
    }
}
