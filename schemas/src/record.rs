//! The records on the topics, one type for each `avro/*.avsc` file.
//!
//! A record's Avro schema is the promise; the Rust type follows it field by field. A field that
//! comes later has a default in the schema and `#[serde(default)]` here, so that old bytes are
//! read by new code.

use std::collections::BTreeMap;

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use crate::{Channel, Digest, Kind, MessageKey, Period, Sealed, Timestamp, UserId, Version, Won};

/// What was used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UsageKind {
    /// Bytes.
    Data,
    /// Seconds.
    Voice,
    /// Messages.
    Sms,
    /// Purchases, in won.
    Content,
}

impl UsageKind {
    /// All of them, in the order of their ordinals.
    pub const ALL: [Self; 4] = [Self::Data, Self::Voice, Self::Sms, Self::Content];

    /// The name as inputs write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Data => "data",
            Self::Voice => "voice",
            Self::Sms => "sms",
            Self::Content => "content",
        }
    }
}

/// One usage event. Topic `usage`, key: the user id in decimal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Who used it.
    pub user_id: UserId,
    /// Unique for its user; up to 64 bytes.
    pub event_id: String,
    /// When.
    pub occurred_at: Timestamp,
    /// What.
    pub kind: UsageKind,
    /// How much of it: bytes, seconds, messages or won; 0 to 10^15.
    pub quantity: i64,
}

impl Usage {
    /// The longest event id, in bytes.
    pub const EVENT_ID_BYTES_MAX: usize = 64;
    /// The largest quantity.
    pub const QUANTITY_MAX: i64 = 1_000_000_000_000_000;
}

/// Whether a subscriber is billed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SubscriberStatus {
    /// Billed at every close.
    #[default]
    Active,
    /// Gone: not billed.
    Withdrawn,
}

/// The language of a message.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Locale {
    /// Korean.
    #[default]
    Ko,
    /// English.
    En,
}

/// Days since 1970-01-01, Avro's `date`; both ends of an interval are included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Day(pub i32);

impl Day {
    /// The day of a calendar date.
    #[must_use]
    pub fn from_date(date: Date) -> Self {
        let epoch = jiff::civil::date(1970, 1, 1);
        // jiff's dates span ±10^4 years: it fits
        Self(date.since(epoch).map_or(0, |span| span.get_days()))
    }

    /// The first and the last day of a period.
    #[must_use]
    pub fn of_period(period: Period) -> (Self, Self) {
        let first = jiff::civil::date(period.year(), period.month(), 1);
        (
            Self::from_date(first),
            Self::from_date(first.last_of_month()),
        )
    }
}

/// From a day to a day, both included; a missing end is open.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interval {
    /// The first day.
    pub start: Option<Day>,
    /// The last day.
    pub end: Option<Day>,
}

impl Interval {
    /// Whether there is an interval at all (one end given is enough) and it shares a day with
    /// the period.
    #[must_use]
    pub fn overlaps(&self, period: Period) -> bool {
        let (first, last) = Day::of_period(period);
        (self.start.is_some() || self.end.is_some())
            && self.start.is_none_or(|start| start <= last)
            && self.end.is_none_or(|end| end >= first)
    }
}

/// Where one channel reaches a subscriber: sealed, with the token by which addresses are matched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Destination {
    /// The channel.
    pub channel: Channel,
    /// The canonical address, sealed under `destination/CHANNEL`.
    pub address: Sealed,
    /// Keyed BLAKE3 of (channel, canonical address) under the purpose `match`.
    pub token: Digest,
}

/// Everything personal about a subscriber, as ciphertext.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contacts {
    /// The whole name, under `profile/name`.
    pub name: Option<Sealed>,
    /// The masked e-mail address, under `profile/email`.
    pub masked_email: Option<Sealed>,
    /// The masked phone number, under `profile/phone`.
    pub masked_phone: Option<Sealed>,
    /// At most one for each channel, in the order of the channels.
    pub destinations: Vec<Destination>,
}

impl Contacts {
    /// The destination of a channel, if the subscriber can be reached by it.
    #[must_use]
    pub fn destination(&self, channel: Channel) -> Option<&Destination> {
        self.destinations
            .iter()
            .find(|destination| destination.channel == channel)
    }
}

/// When a subscriber may be reached.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Windows {
    /// First quiet hour, 0–23, local.
    pub quiet_from: Option<u8>,
    /// First hour that is no longer quiet, 0–23; before `quiet_from` means across midnight.
    pub quiet_to: Option<u8>,
    /// Day of the month after the period, 1–31.
    pub send_day: Option<u8>,
}

/// A subscriber as of now. Topic `subscribers` (compacted), key: the user id in decimal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subscriber {
    /// Who.
    pub user_id: UserId,
    /// Whether billed.
    #[serde(default)]
    pub status: SubscriberStatus,
    /// Code of the plan in the catalogue.
    pub plan: String,
    /// Codes of subscribed options, sorted, each once.
    #[serde(default)]
    pub options: Vec<String>,
    /// The contract.
    pub contract: Interval,
    /// Code of the welfare class.
    pub welfare: Option<String>,
    /// The military service.
    pub soldier: Interval,
    /// When to reach them.
    pub windows: Windows,
    /// In which language.
    #[serde(default)]
    pub locale: Locale,
    /// Where, as ciphertext.
    pub contacts: Contacts,
}

/// What a statement's line is for; the letters are those of the tariff rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LineKind {
    /// P: the plan's monthly price.
    Plan,
    /// M: data beyond what is included.
    DataOverage,
    /// A: one subscribed option.
    Option,
    /// C: content purchases.
    Content,
    /// D1: contract discount.
    ContractDiscount,
    /// D2: soldier discount.
    SoldierDiscount,
    /// D3: welfare discount.
    WelfareDiscount,
    /// An earlier period settled again with late usage, minus what was billed for it.
    Adjustment,
    /// Credit from the statement before.
    BroughtForward,
    /// Brings a negative total to 0; the rest goes to the next statement.
    CarriedForward,
}

/// One line of a statement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// What for.
    pub kind: LineKind,
    /// Code in the catalogue (plan, option, welfare class), if there is one.
    pub code: Option<String>,
    /// Name in the catalogue, if there is one.
    pub name: Option<String>,
    /// The period that an adjustment is about.
    pub source_period: Option<Period>,
    /// Negative for discounts and credits.
    pub amount_won: Won,
}

/// What a user used in a period.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsageTotals {
    /// Bytes of data.
    pub data_bytes: i64,
    /// Seconds of voice.
    pub voice_seconds: i64,
    /// Text messages.
    pub sms_messages: i64,
    /// Won of content.
    pub content_won: i64,
}

impl UsageTotals {
    /// The totals with one more quantity; `None` beyond 64 bits.
    #[must_use]
    pub fn plus(mut self, kind: UsageKind, quantity: i64) -> Option<Self> {
        let total = match kind {
            UsageKind::Data => &mut self.data_bytes,
            UsageKind::Voice => &mut self.voice_seconds,
            UsageKind::Sms => &mut self.sms_messages,
            UsageKind::Content => &mut self.content_won,
        };
        *total = total.checked_add(quantity)?;
        Some(self)
    }
}

/// The settled bill of one user for one period, and everything that its messages are made of.
/// Topic `statements` (compacted), key `user/period`. Holds no time and nothing of the process
/// that made it: settled again, it is the same bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statement {
    /// Whose.
    pub user_id: UserId,
    /// For which month.
    pub period: Period,
    /// The plan's code.
    pub plan: String,
    /// The plan's name in the catalogue.
    pub plan_name: String,
    /// The lines, in the order of the rules; they sum to the total.
    pub lines: Vec<Line>,
    /// What is to be paid, at least 0.
    pub total_won: Won,
    /// What was used.
    pub usage: UsageTotals,
    /// Which catalogue it was settled by.
    pub catalog_digest: Digest,
    /// Which templates render it.
    pub template_digest: Digest,
    /// In which language.
    pub locale: Locale,
    /// When it may be sent.
    pub windows: Windows,
    /// Name, masked contacts and destinations as they were at the cut.
    pub contacts: Contacts,
}

impl Statement {
    /// The deterministic identity of the invoice, from which it can be made again: BLAKE3 of the
    /// text `sealpost/invoice/PERIOD/USER`.
    #[must_use]
    pub fn invoice_key(period: Period, user: UserId) -> Digest {
        Digest::of(format!("sealpost/invoice/{period}/{user}").as_bytes())
    }
}

/// One rendered, masked message for one channel, on its way to the sender. Topic `dispatches`,
/// key `user/period`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dispatch {
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
    /// Its identity.
    pub message_key: MessageKey,
    /// Calls that may be made when the provider did not accept.
    pub attempts_max: u16,
    /// The address, still sealed.
    pub destination: Sealed,
    /// Subject, where the channel has one.
    pub subject: Option<String>,
    /// The text.
    pub body: String,
    /// The HTML part, where the channel has one.
    pub html: Option<String>,
    /// BLAKE3 of the rendered message without its address, see [`Dispatch::digest_of`].
    pub body_digest: Digest,
}

impl Dispatch {
    /// The digest of a rendered message: each part that is there, preceded by its length in
    /// 8 bytes little-endian; a part that is missing counts as length 2^64−1 and no bytes.
    #[must_use]
    pub fn digest_of(subject: Option<&str>, body: &str, html: Option<&str>) -> Digest {
        let mut hasher = blake3::Hasher::new();
        for part in [subject, Some(body), html] {
            let length = part.map_or(u64::MAX, |part| part.len() as u64);
            hasher.update(&length.to_le_bytes());
            hasher.update(part.unwrap_or_default().as_bytes());
        }
        Digest(*hasher.finalize().as_bytes())
    }
}

/// What the route says of a message that is not on its way. Topic `dispatches`, key `user/period`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteNotice {
    /// For whom.
    pub user_id: UserId,
    /// Of which period.
    pub period: Period,
    /// The bill or a follow-up.
    pub kind: Kind,
    /// The round.
    pub version: Version,
    /// Where the route stands.
    pub standing: Standing,
    /// Until when it is held.
    pub held_until: Option<Timestamp>,
    /// Why, as a word of a fixed list.
    pub reason: Option<String>,
}

/// Where a route stands that has no message on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Standing {
    /// Waiting for a window.
    Held,
    /// Exhausted, or it cannot be rendered.
    Failed,
    /// Every channel of the route is suppressed.
    Suppressed,
}

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// The provider has taken it.
    Sent,
    /// The provider has refused it, or could not be reached: this channel failed.
    Failed,
    /// The provider may or may not have taken it.
    Unknown,
}

/// The outcome of a dispatch. Topics `deliveries` (from the sender to the route) and `receipts`
/// (outcomes that came after their shard had moved, or from outside), key `user/period`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// For whom.
    pub user_id: UserId,
    /// Of which period.
    pub period: Period,
    /// The bill or a follow-up.
    pub kind: Kind,
    /// The round.
    pub version: Version,
    /// How it travelled.
    pub channel: Channel,
    /// Which message.
    pub message_key: MessageKey,
    /// How it ended.
    pub outcome: Outcome,
    /// Why, as a word of a fixed list.
    pub reason: Option<String>,
    /// Calls made.
    pub attempts: u16,
    /// What the provider calls it.
    pub provider_message_id: Option<String>,
    /// When it ended.
    pub updated_at: Timestamp,
}

/// A dispatch that was not begun, since its channel is held: its route has it again, and no call
/// was made. Topic `deliveries`, key `user/period`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Returned {
    /// For whom.
    pub user_id: UserId,
    /// Of which period.
    pub period: Period,
    /// The bill or a follow-up.
    pub kind: Kind,
    /// The round.
    pub version: Version,
    /// How it would have travelled.
    pub channel: Channel,
}

/// Where the sends of one (period, user, kind) stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// On its way, no intent written yet (or the last channel failed and the next is coming).
    Pending,
    /// Waiting for a window.
    Held,
    /// Intent written, outcome not known yet.
    Sending,
    /// Taken by a provider.
    Sent,
    /// Route exhausted, or it cannot be rendered.
    Failed,
    /// The provider may or may not have taken it.
    Unknown,
    /// Every channel is suppressed.
    Suppressed,
}

impl State {
    /// All of them, in the order of their ordinals.
    pub const ALL: [Self; 7] = [
        Self::Pending,
        Self::Held,
        Self::Sending,
        Self::Sent,
        Self::Failed,
        Self::Unknown,
        Self::Suppressed,
    ];

    /// The name as `status` writes it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Held => "held",
            Self::Sending => "sending",
            Self::Sent => "sent",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
            Self::Suppressed => "suppressed",
        }
    }
}

/// Which of a channel's providers.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Rank {
    /// The one that is called while it is well.
    #[default]
    Primary,
    /// The one that is called while the first is not.
    Fallback,
}

impl Rank {
    /// Both, the first one first.
    pub const ALL: [Self; 2] = [Self::Primary, Self::Fallback];

    /// What it is called on the outside.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Primary => "primary",
            Self::Fallback => "fallback",
        }
    }

    /// Place in arrays of both.
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }
}

/// One call of a provider: open while `outcome` is missing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    /// The round.
    pub version: Version,
    /// How it travels. With the round, the period, the user and the kind this is the message key.
    pub channel: Channel,
    /// When the first intent was written: a provider's window of de-duplication starts here.
    pub first_intent_at: Timestamp,
    /// After this time the process that wrote the last intent does not start the call.
    pub deadline_at: Timestamp,
    /// How it ended; missing while it is not known.
    pub outcome: Option<Outcome>,
    /// Why, as a word of a fixed list.
    pub reason: Option<String>,
    /// Calls made, as far as is known.
    pub attempts: u16,
    /// What the provider calls it.
    pub provider_message_id: Option<String>,
    /// Digest of the message that was, or is to be, sent.
    pub body_digest: Digest,
    /// When this last changed.
    pub updated_at: Timestamp,
    /// Which provider the last intent names: what is in doubt there goes to no other.
    #[serde(default)]
    pub provider: Rank,
}

/// The sends of one kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KindState {
    /// The bill or a follow-up.
    pub kind: Kind,
    /// Where it stands.
    pub state: State,
    /// The round it stands in.
    pub version: Version,
    /// Until when it is held.
    pub held_until: Option<Timestamp>,
    /// Why it stands there, as a word of a fixed list.
    pub reason: Option<String>,
    /// When this last changed.
    pub updated_at: Timestamp,
    /// Every call, oldest first; a (version, channel) occurs once.
    pub calls: Vec<Call>,
}

/// The promise not to send twice. Topic `send-state` (compacted), key `user/period`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SendState {
    /// Whose.
    pub user_id: UserId,
    /// Of which period.
    pub period: Period,
    /// Each kind that there is, once.
    pub kinds: Vec<KindState>,
}

/// What the bytes of a [`SendState`] say of where its messages stand, read without the rest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SendStanding {
    /// Each kind that there is, once.
    pub kinds: Vec<KindStanding>,
}

/// Of a [`KindState`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KindStanding {
    /// Where it stands.
    pub state: State,
}

/// The channel order and what it allows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// Each channel at most once, first to last.
    pub channels: Vec<Channel>,
    /// Calls on one channel while the provider does not accept.
    pub attempts_per_channel: u16,
}

/// What a new policy applies to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Apply {
    /// Routes that begin later.
    #[default]
    New,
    /// Also the next rounds of what failed.
    Failed,
    /// Also everything that has not been sent and has no call open.
    Unsent,
}

/// A command of the operator. Topic `control`: one copy for every partition, in one transaction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command {
    /// Its own identity: replayed, it is the same command.
    pub command_id: String,
    /// When it was given.
    pub issued_at: Timestamp,
    /// What is to be done.
    pub action: Action,
    /// Who gave it: `user@host` of a command line, or the name of a token; missing in commands
    /// from before this was written down.
    #[serde(default)]
    pub by: Option<String>,
}

/// What a command asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Action {
    /// Settle every active subscriber of a period that has no statement yet.
    #[serde(alias = "sealpost.v1.Close")]
    Close(Close),
    /// Set the channel order.
    #[serde(alias = "sealpost.v1.PolicySet")]
    PolicySet(PolicySet),
    /// Begin the next round of what failed.
    #[serde(alias = "sealpost.v1.Retry")]
    Retry(Retry),
    /// An operator's word on a message in doubt.
    #[serde(alias = "sealpost.v1.Resolve")]
    Resolve(Resolve),
    /// Send nothing to some addresses any more.
    #[serde(alias = "sealpost.v1.Suppress")]
    Suppress(Suppress),
    /// Use some addresses again.
    #[serde(alias = "sealpost.v1.Unsuppress")]
    Unsuppress(Unsuppress),
    /// Dead letters are put back on their way; no stage has anything to do.
    #[serde(alias = "sealpost.v1.Requeue")]
    Requeue(Requeue),
    /// Stages were set back to the begin of their inputs; no stage has anything to do.
    #[serde(alias = "sealpost.v1.Replay")]
    Replay(Replay),
    /// Nothing more of a period begins, on a channel or on all of them.
    #[serde(alias = "sealpost.v1.Hold")]
    Hold(Hold),
    /// What was held goes on, on a channel or on all of them.
    #[serde(alias = "sealpost.v1.Release")]
    Release(Release),
    /// Send a follow-up to everyone who received a version of a period's bills, or comes to receive it.
    #[serde(alias = "sealpost.v1.Correct")]
    Correct(Correct),
}

/// See [`Action::Close`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Close {
    /// Which month.
    pub period: Period,
    /// End of `usage` in this copy's partition when the command was written: what lies at or
    /// after it is late.
    pub usage_end: i64,
    /// End of `subscribers` in this copy's partition, likewise.
    pub subscribers_end: i64,
    /// Digest of `catalog`.
    pub catalog_digest: Digest,
    /// The catalogue's text.
    pub catalog: String,
    /// Digest of `templates`.
    pub template_digest: Digest,
    /// The templates' text by name.
    pub templates: BTreeMap<String, String>,
    /// The configured policy; one that was set by command goes before it.
    pub policy: Policy,
    /// The configured time zone, an IANA name: which month an event is in.
    pub time_zone: String,
    /// No message of the period goes before it; when missing, what an earlier close said stands.
    #[serde(default)]
    pub not_before: Option<Timestamp>,
}

/// See [`Action::Correct`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Correct {
    /// Which month.
    pub period: Period,
    /// `correction-N`, with N one more than that of the period's last.
    pub kind: Kind,
    /// The round whose receivers it is for.
    pub version: Version,
    /// Digest of `templates`.
    pub template_digest: Digest,
    /// The templates' text by name: what the follow-up says.
    pub templates: BTreeMap<String, String>,
    /// The configured policy; one that was set by command goes before it.
    pub policy: Policy,
}

/// See [`Action::PolicySet`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicySet {
    /// The new order.
    pub policy: Policy,
    /// What it applies to.
    pub apply: Apply,
}

/// See [`Action::Retry`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retry {
    /// Which month.
    pub period: Period,
    /// The round that begins: the one after the round that ended.
    pub version: Version,
    /// The configured policy; one that was set by command goes before it.
    pub policy: Policy,
}

/// What an operator found out about a message in doubt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Resolution {
    /// The provider has it.
    Sent,
    /// The provider does not have it.
    Failed,
}

/// See [`Action::Resolve`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resolve {
    /// Which month.
    pub period: Period,
    /// Whose.
    pub user_id: UserId,
    /// The bill or a follow-up.
    pub kind: Kind,
    /// What is the case.
    pub resolution: Resolution,
}

/// Why an address is not to be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SuppressionReason {
    /// What was sent there came back.
    Bounced,
    /// Its owner wants nothing there.
    OptedOut,
    /// The operator wants nothing sent there.
    Blocked,
}

impl SuppressionReason {
    /// All of them, in the order of their ordinals.
    pub const ALL: [Self; 3] = [Self::Bounced, Self::OptedOut, Self::Blocked];

    /// The word that commands take and show.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bounced => "bounced",
            Self::OptedOut => "opted-out",
            Self::Blocked => "blocked",
        }
    }
}

/// An address, without what it is: it is matched, never opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AddressToken {
    /// The channel.
    pub channel: Channel,
    /// Keyed BLAKE3 of (channel, canonical address) under the purpose `match`.
    pub token: Digest,
}

/// See [`Action::Suppress`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Suppress {
    /// Why not; of an address that is suppressed already, from now on.
    pub reason: SuppressionReason,
    /// Which, at most [`Suppress::ADDRESSES_MAX`].
    pub addresses: Vec<AddressToken>,
}

impl Suppress {
    /// Addresses of one command: every partition has a copy of it, and each is a part of one
    /// step. Longer lists are several commands.
    pub const ADDRESSES_MAX: usize = 1_000;
}

/// See [`Action::Unsuppress`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unsuppress {
    /// Which, at most [`Suppress::ADDRESSES_MAX`].
    pub addresses: Vec<AddressToken>,
}

/// See [`Action::Requeue`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Requeue {
    /// Only those with this reason, as its word; all when missing.
    pub reason: Option<String>,
}

/// See [`Action::Replay`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replay {
    /// The names of the stages.
    pub stages: Vec<String>,
}

/// See [`Action::Hold`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// Which month.
    pub period: Period,
    /// Only by this one; all when missing.
    pub channel: Option<Channel>,
}

/// See [`Action::Release`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    /// Which month.
    pub period: Period,
    /// Only by this one; all when missing.
    pub channel: Option<Channel>,
}

/// Why a record was refused. The word is what `dead-letters list` shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// It cannot be decoded, or a field is missing or out of range.
    Malformed,
    /// The e-mail address has no canonical form.
    BadEmail,
    /// The phone number has no canonical form.
    BadPhone,
    /// The event id was seen with other content; the first one stands.
    ConflictingEvent,
    /// The period closed before the user became known.
    UnknownSubscriber,
    /// The user had withdrawn when the period closed.
    Withdrawn,
    /// Older than 13 months.
    TooLate,
    /// The catalogue has no such plan.
    UnknownPlan,
    /// The catalogue has no such option.
    UnknownOption,
    /// The catalogue has no such welfare class.
    UnknownWelfare,
    /// A total would leave 64 bits.
    Overflow,
}

impl Reason {
    /// All of them, in the order of their ordinals.
    pub const ALL: [Self; 11] = [
        Self::Malformed,
        Self::BadEmail,
        Self::BadPhone,
        Self::ConflictingEvent,
        Self::UnknownSubscriber,
        Self::Withdrawn,
        Self::TooLate,
        Self::UnknownPlan,
        Self::UnknownOption,
        Self::UnknownWelfare,
        Self::Overflow,
    ];

    /// The word for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::BadEmail => "bad-email",
            Self::BadPhone => "bad-phone",
            Self::ConflictingEvent => "conflicting-event",
            Self::UnknownSubscriber => "unknown-subscriber",
            Self::Withdrawn => "withdrawn",
            Self::TooLate => "too-late",
            Self::UnknownPlan => "unknown-plan",
            Self::UnknownOption => "unknown-option",
            Self::UnknownWelfare => "unknown-welfare",
            Self::Overflow => "overflow",
        }
    }
}

/// Something that was refused. Topic `dead-letters`, key: the user id in decimal. Two with the
/// same stage, source and position are the same dead letter (a replay refuses again).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetter {
    /// Whose, 0 if unreadable.
    pub user_id: UserId,
    /// Who refused it: `ingest`, `settle`, `render` or `send`.
    pub stage: String,
    /// Where it came from: a topic, or a file's name without its folder.
    pub source: String,
    /// Partition of the topic; 0 for a file.
    pub partition: i32,
    /// Offset in the partition; row number for a file, from 1.
    pub position: i64,
    /// Why.
    pub reason: Reason,
    /// Which field and which rule, never the value.
    pub detail: String,
    /// The original under `dead-letter/raw`; missing if this process had no key for it, and
    /// then the source still has it.
    pub raw: Option<Sealed>,
    /// What the original is: a record of this topic, in its encoding there, or `row` for a
    /// row of a file as JSON.
    pub raw_form: String,
}

/// The mark that a dead letter was put back on its way. Topic `dead-letters`, same key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Requeued {
    /// Stage of the dead letter.
    pub stage: String,
    /// Source of the dead letter.
    pub source: String,
    /// Its partition.
    pub partition: i32,
    /// Its position.
    pub position: i64,
    /// The command that did it.
    pub command_id: String,
}
