//! What gate is asked and told, what it asks for and emits, and the rules that it goes by.

use sealpost_schemas::record::{Delivery, Dispatch, Rank, Returned};
use sealpost_schemas::{Channel, Kind, MessageKey, Period, Timestamp, UserId, Version};

use crate::table::Table;

/// The reason on a receipt that is the answer to one call, which came to a process that no longer
/// owned its shard.
pub const LATE_ANSWER: &str = "late-answer";

/// The reason on a receipt that a channel's provider sent by itself.
pub const RECEIPT: &str = "receipt";

/// The reason on one that its second provider sent.
pub const RECEIPT_OF_FALLBACK: &str = "receipt-of-fallback";

/// What a channel's provider can promise, and the times that a call takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChannelRule {
    /// After this long an intent's call is not started.
    pub start_within_ms: i64,
    /// After this long past the deadline a call that was started has ended.
    pub grace_ms: i64,
    /// What can be done about a call in doubt.
    pub doubt: Doubt,
    /// First wait before a call that was not accepted is repeated; it doubles each time.
    pub backoff_ms: i64,
}

/// The rules of a channel's providers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChannelRules {
    primary: ChannelRule,
    pub(super) fallback: Option<ChannelRule>,
}

impl From<ChannelRule> for ChannelRules {
    fn from(primary: ChannelRule) -> Self {
        Self {
            primary,
            fallback: None,
        }
    }
}

impl ChannelRules {
    /// With a second provider.
    #[must_use]
    pub const fn with_fallback(self, fallback: Option<ChannelRule>) -> Self {
        Self { fallback, ..self }
    }

    /// The rule of one of them. Of one that is there no more, nothing can be learned.
    pub(super) const fn of(&self, rank: Rank) -> ChannelRule {
        match (rank, self.fallback) {
            (Rank::Primary, _) => self.primary,
            (Rank::Fallback, Some(rule)) => rule,
            (Rank::Fallback, None) => ChannelRule {
                doubt: Doubt::Nothing,
                ..self.primary
            },
        }
    }
}

/// Whose permit a message stands in line for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Line {
    /// That of whichever provider is well.
    Any,
    /// That of this one: an earlier call of it is in doubt there.
    Only(Rank),
}

impl Line {
    /// How many there are.
    pub(super) const COUNT: usize = 3;

    pub(super) const fn index(self) -> usize {
        match self {
            Self::Any => 0,
            Self::Only(Rank::Primary) => 1,
            Self::Only(Rank::Fallback) => 2,
        }
    }

    pub(super) const ALL: [Self; Self::COUNT] = [
        Self::Any,
        Self::Only(Rank::Primary),
        Self::Only(Rank::Fallback),
    ];
}

/// A permit to call a provider, for one of those who stand in a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Permit {
    /// This one, for a message that any may be called for.
    Any(Rank),
    /// This one, for a message that is in doubt there.
    Only(Rank),
}

impl Permit {
    /// For whom it is.
    #[must_use]
    pub const fn line(self) -> Line {
        match self {
            Self::Any(_) => Line::Any,
            Self::Only(rank) => Line::Only(rank),
        }
    }

    /// Which provider may be called.
    #[must_use]
    pub const fn rank(self) -> Rank {
        match self {
            Self::Any(rank) | Self::Only(rank) => rank,
        }
    }
}

/// What can be done about a call in doubt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doubt {
    /// The provider collapses repeats of one key for this long after the first intent.
    Repeat {
        /// The window.
        window_ms: i64,
    },
    /// The provider can be asked by key.
    Ask,
    /// Neither: it is unknown.
    Nothing,
}

/// What is asked of the outside world once the step is committed.
#[derive(Debug)]
pub enum Effect {
    /// Permits for so many calls, as rate and room allow.
    AskPermits(Channel, Line, usize),
    /// Permits of this provider that were not used.
    ReturnPermits(Channel, Rank, usize),
    /// One call of this provider, unless the deadline has passed.
    Call(Box<Dispatch>, Timestamp, Rank),
    /// This provider's word on the call with this deadline.
    Ask(CallId, Timestamp, Rank),
}

/// Which call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId {
    /// For whom.
    pub user_id: UserId,
    /// Of which period.
    pub period: Period,
    /// The bill or a follow-up.
    pub kind: Kind,
    /// The round.
    pub version: Version,
    /// How it travels.
    pub channel: Channel,
}

impl CallId {
    /// The call of a dispatch.
    #[must_use]
    pub const fn of(dispatch: &Dispatch) -> Self {
        Self {
            user_id: dispatch.user_id,
            period: dispatch.period,
            kind: dispatch.kind,
            version: dispatch.version,
            channel: dispatch.channel,
        }
    }

    /// Its message key.
    #[must_use]
    pub fn message_key(&self) -> MessageKey {
        MessageKey::new(
            self.period,
            self.user_id,
            self.kind,
            self.version,
            self.channel,
        )
    }
}

/// What the outside world says.
#[derive(Debug, Clone)]
pub enum Completion {
    /// Permits for so many calls.
    Permits(Channel, Permit, usize),
    /// How the call with this deadline went: the deadline tells the calls of a key apart.
    Answered(CallId, Timestamp, Answer),
    /// What the provider says of the call with this deadline.
    Asked(CallId, Timestamp, Word),
}

/// How a call went. The words for why are of a fixed list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Taken.
    Accepted {
        /// What the provider calls it.
        provider_message_id: Option<String>,
    },
    /// Refused for good: this channel failed.
    Refused(&'static str),
    /// Not taken; the same key may be tried again.
    NotAccepted {
        /// Why.
        reason: &'static str,
        /// Not before this long.
        retry_after_ms: Option<i64>,
    },
    /// No answer, or none that can be read: it may or may not have been taken.
    NoAnswer(&'static str),
    /// No call was started: its deadline had passed, or the provider is down.
    NotStarted,
    /// The channel is set up wrongly: nothing was taken, and nothing may move on because of it.
    Misconfigured(&'static str),
}

/// What a provider says of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Word {
    /// It has it.
    Taken {
        /// What the provider calls it.
        provider_message_id: Option<String>,
    },
    /// It does not have it.
    NotTaken,
    /// It cannot say now.
    Unclear,
}

/// What gate emits.
#[derive(Debug)]
pub enum Output {
    /// An outcome, for the route.
    Delivery(Box<Delivery>),
    /// A dispatch that is not begun, for the route.
    Returned(Returned),
}

/// What happened, for metrics.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Intents written.
    pub intents: u64,
    /// Calls that ended with the message taken.
    pub sent: u64,
    /// Calls that ended with the channel failed.
    pub failed: u64,
    /// Calls that ended unknown.
    pub unknown: u64,
    /// Dispatches whose outcome was there already and was emitted again.
    pub repeated: u64,
    /// Dispatches dropped because the gate was shut or their round was over.
    pub dropped: u64,
    /// Calls that came into doubt.
    pub doubts: u64,
    /// Dispatches that went back to their routes, since their channel is held.
    pub returned: u64,
}

/// What gate works with while it handles one thing.
pub struct Scope<'a> {
    /// The send state.
    pub table: &'a mut dyn Table,
    /// What is held.
    pub holds: &'a mut dyn Table,
    /// What is emitted.
    pub out: &'a mut Vec<Output>,
    /// What is asked for.
    pub effects: &'a mut Vec<Effect>,
    /// Time of this step.
    pub now: Timestamp,
}
