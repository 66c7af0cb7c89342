//! `sometimes` marks: states that a campaign must come across, or it explores less than it says.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

macro_rules! marks {
    ($($(#[$doc:meta])* $mark:ident = $name:literal,)*) => {
        /// A state worth reaching.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Mark { $($(#[$doc])* $mark,)* }

        impl Mark {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$mark,)*];

            /// What a report calls it.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$mark => $name,)* }
            }
        }
    };
}

marks! {
    /// A process died, and its last commit stands although nobody learned of it.
    DiedAfterCommit = "died after a commit",
    /// A process died before its last commit.
    DiedBeforeCommit = "died before a commit",
    /// A process died between two calls of one step.
    DiedBetweenCalls = "died between two calls",
    /// A process stood still between its commit and what it asks of the world.
    StoodStillBeforeCalls = "stood still between commit and calls",
    /// A step was aborted.
    Aborted = "a step was aborted",
    /// A worker that had been shut out tried to commit.
    Fenced = "a commit was fenced",
    /// A shard's owner stood still while its shards went elsewhere.
    Evicted = "shards were lost",
    /// A process came or went in good order.
    Moved = "shards moved in good order",
    /// A call was answered to somebody who no longer owned its shard.
    Receipt = "a late answer became a receipt",
    /// The provider decided on a call whose process had lost its shards meanwhile.
    ZombieCall = "a zombie was on the line",
    /// An answer came for a call of a process that is dead.
    DeadLine = "a call outlived its process",
    /// The provider took a message and the caller never heard of it.
    TakenUnheard = "taken, and the answer was lost",
    /// A call that was not taken was answered by silence.
    SilentLoss = "not taken, and no answer",
    /// The provider was asked, and had it.
    AskedTaken = "asked by key: taken",
    /// The provider was asked, and did not have it.
    AskedNotTaken = "asked by key: not taken",
    /// The provider collapsed a repeat.
    Deduplicated = "the provider collapsed a repeat",
    /// A provider was away.
    Outage = "a provider was away",
    /// A channel was set up wrongly.
    Parked = "a channel was parked",
    /// A second provider took a message.
    SecondProvider = "sent by the second provider",
    /// A key was called at the other provider, after a clear no of the first.
    Crossed = "a key went from one provider to the other",
    /// A message ended unknown.
    Unknown = "a message was unknown",
    /// An operator settled one.
    Resolved = "an operator resolved it",
    /// A receipt said that an unknown one had been taken.
    ReceiptSent = "a receipt settled it as sent",
    /// A receipt said that an unknown one had not been taken.
    ReceiptFailed = "a receipt settled it as failed",
    /// A receipt said that a message was taken before its call was decided on.
    ReceiptOfOpen = "a receipt settled a call that was open",
    /// A receipt said that it was not, and was put off.
    ReceiptEarly = "a receipt came too early",
    /// A receipt came for what was settled.
    ReceiptAgain = "a receipt had nothing to settle",
    /// A second round began.
    Retried = "a next round began",
    /// A message went out on a channel that was not the first.
    NextChannel = "sent on a later channel",
    /// A message went out in a later version.
    LaterVersion = "sent in a later version",
    /// A bill waited for its window.
    Held = "held for a window",
    /// An operator released what was held.
    OnHold = "held by an operator",
    /// A route ended without an address that may be used.
    Suppressed = "a bill ended suppressed",
    /// It began again once it had one.
    Unsuppressed = "what had ended suppressed went in a next round",
    /// A message went out although another address of the bill was suppressed.
    PassedOver = "a suppressed address was passed over",
    /// An address was suppressed while a message to it was on its way.
    NotRecalled = "suppressed too late for a message on its way",
    /// A follow-up began for somebody who received the first version.
    Corrected = "a follow-up to the first version",
    /// One began for somebody who received a later one.
    LaterCorrected = "a follow-up to a later version",
    /// A route came to its end.
    Exhausted = "a route was exhausted",
    /// Usage came after its period was settled.
    Late = "late usage became an adjustment",
    /// The same event twice.
    Duplicate = "an event came twice",
    /// One event id with two contents.
    Conflict = "an event came with other content",
    /// A row that cannot be read.
    BadInput = "a record could not be read",
    /// Usage of somebody nobody knows.
    UnknownSubscriber = "usage of an unknown subscriber was refused",
    /// A subscriber left before the close.
    Withdrawn = "somebody had withdrawn",
    /// A period was closed again.
    ClosedAgain = "a period was closed again",
    /// The policy was changed.
    PolicySet = "the policy was changed",
    /// Stages read everything again.
    Replayed = "a stage was replayed",
    /// The deployment was carried over to another number of partitions.
    Repartitioned = "moved to another number of partitions",
    /// Messages were on their way meanwhile.
    CarriedUnfinished = "moved with unfinished messages",
    /// It died half-way.
    MoveInterrupted = "a move died half-way",
    /// There was always something left to read.
    MovePutOff = "a move was put off",
    /// A key was rotated.
    Rotated = "a key was rotated",
    /// The log was compacted.
    Compacted = "the log was compacted",
    /// The clocks jumped.
    ClockJump = "the clocks jumped",
}

/// How often each was reached.
#[derive(Debug, Default)]
pub struct Marks(Mutex<BTreeMap<Mark, u64>>);

impl Marks {
    /// It was reached.
    pub fn reach(&self, mark: Mark) {
        *self.lock().entry(mark).or_default() += 1;
    }

    /// How often each was.
    #[must_use]
    pub fn counts(&self) -> BTreeMap<Mark, u64> {
        self.lock().clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<Mark, u64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
