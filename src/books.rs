//! The books of a period: where every statement stands, from the log alone.
//!
//! # Invariant
//! `statements = pending + held + sending + sent + failed + unknown + suppressed`. Each state is
//! counted from `send-state`, statements from `statements`; a send state without a statement
//! means that the books do not balance. A correction has an account of its own: it is due to whoever
//! received the version that it follows, and to nobody else.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use anyhow::Result;
use jiff::tz::TimeZone;
use sealpost_schemas::record::{
    Action, Command, Correct, DeadLetter, KindState, Outcome, Requeued, SendState, State,
    Statement, Subscriber, SubscriberStatus,
};
use sealpost_schemas::{Channel, Kind, Period, Timestamp, UserId, Version, Won};
use sealpost_topology::types::Shard;

use crate::deployment::{Deployment, readable};

/// Calls of a channel by outcome.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct ChannelBooks {
    /// Taken by the provider.
    pub sent: u64,
    /// The channel failed.
    pub failed: u64,
    /// Not known.
    pub unknown: u64,
    /// Open.
    pub sending: u64,
}

/// See the module.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Books {
    /// The month.
    pub period: Period,
    /// The newest round.
    pub version: Version,
    /// Active subscribers.
    pub subscribers: u64,
    /// Statements settled.
    pub statements: u64,
    /// What they sum to.
    pub total_won: i64,
    /// On their way.
    pub pending: u64,
    /// Waiting for a window.
    pub held: u64,
    /// Channels that an operator holds.
    pub holds: Vec<Channel>,
    /// When the next held one goes.
    pub held_until: Option<String>,
    /// How many of the held ones, follow-ups among them, go in which hour, in the configured zone.
    pub held_by_hour: BTreeMap<String, u64>,
    /// Intent written, outcome not known yet.
    pub sending: u64,
    /// Taken by a provider.
    pub sent: u64,
    /// Route exhausted, or it cannot be rendered.
    pub failed: u64,
    /// The provider may or may not have taken it.
    pub unknown: u64,
    /// Every channel suppressed.
    pub suppressed: u64,
    /// Records refused and not requeued, of all periods.
    pub dead_letters: u64,
    /// Calls by channel.
    pub by_channel: BTreeMap<String, ChannelBooks>,
    /// The follow-ups, first to last.
    pub corrections: Vec<CorrectionBooks>,
    /// Whether the sum of the states is the number of statements, and for corrections of those
    /// that they are due to.
    pub balanced: bool,
}

/// Where a follow-up stands. Each sum is of messages, as in [`Books`].
#[derive(Debug, Clone, serde::Serialize)]
pub struct CorrectionBooks {
    /// `correction-N`
    pub kind: Kind,
    /// The version that it follows.
    pub version: Version,
    /// Who received that version so far.
    pub due: u64,
    /// On their way.
    pub pending: u64,
    /// Waiting for a window.
    pub held: u64,
    /// Intent written, outcome not known yet.
    pub sending: u64,
    /// Taken by a provider.
    pub sent: u64,
    /// Route exhausted, or it cannot be rendered.
    pub failed: u64,
    /// The provider may or may not have taken it.
    pub unknown: u64,
    /// Every channel suppressed.
    pub suppressed: u64,
    /// Calls by channel.
    pub by_channel: BTreeMap<String, ChannelBooks>,
}

/// What is counted of one kind.
#[derive(Default)]
struct Tally {
    states: BTreeMap<State, u64>,
    by_channel: [ChannelBooks; Channel::ALL.len()],
}

impl Tally {
    fn add(&mut self, kind: &KindState) {
        *self.states.entry(kind.state).or_default() += 1;
        for call in &kind.calls {
            let Some(books) = self.by_channel.get_mut(call.channel.index()) else {
                continue;
            };
            match call.outcome {
                Some(Outcome::Sent) => books.sent += 1,
                Some(Outcome::Failed) => books.failed += 1,
                Some(Outcome::Unknown) => books.unknown += 1,
                None => books.sending += 1,
            }
        }
    }

    /// What is to be has no state yet: it is pending.
    fn expect(&mut self, all: u64) -> bool {
        let known = self.total();
        *self.states.entry(State::Pending).or_default() += all.saturating_sub(known);
        known <= all
    }

    fn total(&self) -> u64 {
        self.states.values().sum()
    }

    fn count(&self, state: State) -> u64 {
        self.states.get(&state).copied().unwrap_or_default()
    }

    fn by_channel(&self) -> BTreeMap<String, ChannelBooks> {
        Channel::ALL
            .into_iter()
            .zip(self.by_channel)
            .filter(|(_, books)| *books != ChannelBooks::default())
            .map(|(channel, books)| (channel.to_string(), books))
            .collect()
    }
}

/// A follow-up while it is counted.
struct Following {
    correct: Correct,
    due: u64,
    tally: Tally,
}

impl Following {
    /// What one user's send state says of it. Whether that can be: only who received the version
    /// has one.
    fn count(&mut self, state: &SendState) -> bool {
        let received = state.kinds.iter().any(|kind| {
            (kind.kind, kind.state, kind.version) == (Kind::Bill, State::Sent, self.correct.version)
        });
        self.due += u64::from(received);
        let own = |kind: &&KindState| kind.kind == self.correct.kind;
        let Some(kind) = state.kinds.iter().find(own) else {
            return true;
        };
        self.tally.add(kind);
        received
    }

    fn books(mut self) -> (CorrectionBooks, bool) {
        let balanced = self.tally.expect(self.due);
        let count = |state| self.tally.count(state);
        let books = CorrectionBooks {
            kind: self.correct.kind,
            version: self.correct.version,
            due: self.due,
            pending: count(State::Pending),
            held: count(State::Held),
            sending: count(State::Sending),
            sent: count(State::Sent),
            failed: count(State::Failed),
            unknown: count(State::Unknown),
            suppressed: count(State::Suppressed),
            by_channel: self.tally.by_channel(),
        };
        (books, balanced)
    }
}

impl Books {
    /// Reads the books of a period.
    ///
    /// # Errors
    /// When the log failed.
    pub fn read(deployment: &Deployment, period: Period) -> Result<Self> {
        let topics = deployment.topics();
        let suffix = format!("/{period}");
        let commands = deployment.commands()?;
        let mut bills = Tally::default();
        let mut following: Vec<_> = corrections(&commands, period)
            .map(|(_, correct)| Following {
                correct: correct.clone(),
                due: 0,
                tally: Tally::default(),
            })
            .collect();
        let mut books = Self {
            period,
            version: newest_version(&commands, period),
            subscribers: 0,
            statements: 0,
            total_won: 0,
            pending: 0,
            held: 0,
            holds: holds_after(&commands, period).into_iter().collect(),
            held_until: None,
            held_by_hour: BTreeMap::new(),
            sending: 0,
            sent: 0,
            failed: 0,
            unknown: 0,
            suppressed: 0,
            dead_letters: dead_letters(deployment)?.len() as u64,
            by_channel: BTreeMap::new(),
            corrections: Vec::new(),
            balanced: true,
        };
        let mut next_held: Option<Timestamp> = None;
        let mut held_by_hour = BTreeMap::<i64, u64>::new();
        let zone = TimeZone::get(&deployment.config.time_zone)?;
        let mut decoder = deployment.values.decoder::<Statement>();
        for shard in deployment.shards() {
            books.subscribers += active_subscribers(deployment, shard)?;
            let mut statements = HashSet::new();
            deployment.scan(&topics.statements, shard, |_, key, value| {
                if key.ends_with(suffix.as_bytes()) && statements.insert(key.to_vec()) {
                    let statement = decoder.decode(value)?;
                    books.total_won = Won(books.total_won).add(statement.total_won)?.0;
                }
                Ok(())
            })?;
            books.statements += statements.len() as u64;
            for (key, state) in send_states(deployment, shard, period)? {
                books.balanced &= statements.contains(&key);
                for kind in state.kinds.iter().filter(|kind| kind.kind == Kind::Bill) {
                    bills.add(kind);
                }
                for kind in &state.kinds {
                    // a command without its own account
                    books.balanced &= kind.kind == Kind::Bill
                        || following.iter().any(|it| it.correct.kind == kind.kind);
                    if kind.state == State::Held {
                        next_held = next_held.into_iter().chain(kind.held_until).min();
                        if let Some(until) = kind.held_until {
                            *held_by_hour.entry(hour_of(until, &zone)).or_default() += 1;
                        }
                    }
                }
                for one in &mut following {
                    books.balanced &= one.count(&state);
                }
            }
        }
        books.balanced &= bills.expect(books.statements);
        books.pending = bills.count(State::Pending);
        books.held = bills.count(State::Held);
        books.sending = bills.count(State::Sending);
        books.sent = bills.count(State::Sent);
        books.failed = bills.count(State::Failed);
        books.unknown = bills.count(State::Unknown);
        books.suppressed = bills.count(State::Suppressed);
        for one in following {
            let (one, balanced) = one.books();
            books.corrections.push(one);
            books.balanced &= balanced;
        }
        books.held_until = next_held.map(|at| at.to_string());
        books.held_by_hour = held_by_hour
            .into_iter()
            .map(|(begin, held)| Ok((hour_text(begin, &zone)?, held)))
            .collect::<Result<_>>()?;
        books.by_channel = bills.by_channel();
        Ok(books)
    }
}

/// When the hour of the wall clock that a time is in began.
fn hour_of(at: Timestamp, zone: &TimeZone) -> i64 {
    const SECOND: i64 = 1_000_000;
    const HOUR: i64 = 3_600 * SECOND;
    let offset = jiff::Timestamp::from_microsecond(at.0)
        .map_or(0, |at| i64::from(zone.to_offset(at).seconds()) * SECOND);
    (at.0 + offset).div_euclid(HOUR) * HOUR - offset
}

fn hour_text(begin: i64, zone: &TimeZone) -> Result<String> {
    let begin = jiff::Timestamp::from_microsecond(begin)?.to_zoned(zone.clone());
    Ok(begin.strftime("%Y-%m-%dT%H:%M%:z").to_string())
}

/// The newest round that was begun for a period.
fn newest_version(commands: &[Command], period: Period) -> Version {
    let retries = commands.iter().filter_map(|command| match &command.action {
        Action::Retry(retry) if retry.period == period => Some(retry.version),
        _ => None,
    });
    retries.max().unwrap_or_default()
}

/// The follow-ups of a period in their order, each by its first command, which stands.
pub fn corrections(
    commands: &[Command],
    period: Period,
) -> impl Iterator<Item = (&Command, &Correct)> {
    let mut found: BTreeMap<Kind, (&Command, &Correct)> = BTreeMap::new();
    for command in commands {
        if let Action::Correct(correct) = &command.action
            && correct.period == period
        {
            found.entry(correct.kind).or_insert((command, correct));
        }
    }
    found.into_values()
}

/// The channels of a period that are held after these commands.
#[must_use]
pub fn holds_after(commands: &[Command], period: Period) -> BTreeSet<Channel> {
    let mut held = BTreeSet::new();
    let these = |channel: Option<Channel>| {
        let all = Channel::ALL.into_iter();
        all.filter(move |one| channel.is_none_or(|channel| channel == *one))
    };
    for command in commands {
        match &command.action {
            Action::Hold(hold) if hold.period == period => held.extend(these(hold.channel)),
            Action::Release(release) if release.period == period => {
                for channel in these(release.channel) {
                    held.remove(&channel);
                }
            }
            _ => {}
        }
    }
    held
}

/// The send states of a period in one shard, by record key; the last one of each.
///
/// # Errors
/// When the log failed, or a state cannot be read.
pub fn send_states(
    deployment: &Deployment,
    shard: Shard,
    period: Period,
) -> Result<HashMap<Vec<u8>, SendState>> {
    let suffix = format!("/{period}");
    let mut last: HashMap<Vec<u8>, Vec<u8>> = HashMap::new();
    deployment.scan(&deployment.topics().send_state, shard, |_, key, value| {
        if key.ends_with(suffix.as_bytes()) {
            last.insert(key.to_vec(), value.to_vec());
        }
        Ok(())
    })?;
    let mut decoder = deployment.values.decoder();
    last.into_iter()
        .map(|(key, value)| Ok((key, decoder.decode(&value)?)))
        .collect()
}

fn active_subscribers(deployment: &Deployment, shard: Shard) -> Result<u64> {
    let mut active: HashSet<UserId> = HashSet::new();
    let mut decoder = deployment.values.decoder::<Subscriber>();
    deployment.scan(&deployment.topics().subscribers, shard, |_, _, value| {
        if let Some(subscriber) = readable(decoder.decode(value))? {
            match subscriber.status {
                SubscriberStatus::Active => active.insert(subscriber.user_id),
                SubscriberStatus::Withdrawn => active.remove(&subscriber.user_id),
            };
        }
        Ok(())
    })?;
    Ok(active.len() as u64)
}

/// What identifies a dead letter: a replay that refuses again makes no second one.
pub type DeadLetterId = (String, String, i32, i64);

/// The dead letters that were not requeued, each once, in the order in which they came.
///
/// # Errors
/// When the log failed.
pub fn dead_letters(deployment: &Deployment) -> Result<Vec<DeadLetter>> {
    let mut letters: BTreeMap<DeadLetterId, (usize, DeadLetter)> = BTreeMap::new();
    let mut came = 0;
    let mut decoder = deployment.values.decoder::<DeadLetter>();
    let mut marks = deployment.values.decoder::<Requeued>();
    for shard in deployment.shards() {
        deployment.scan(&deployment.topics().dead_letters, shard, |_, _, value| {
            if let Some(letter) = readable(decoder.decode(value))? {
                let id = (
                    letter.stage.clone(),
                    letter.source.clone(),
                    letter.partition,
                    letter.position,
                );
                letters.entry(id).or_insert((came, letter));
                came += 1;
            } else if let Some(mark) = readable(marks.decode(value))? {
                letters.remove(&(mark.stage, mark.source, mark.partition, mark.position));
            }
            Ok(())
        })?;
    }
    let mut letters: Vec<_> = letters.into_values().collect();
    letters.sort_by_key(|(came, _)| *came);
    Ok(letters.into_iter().map(|(_, letter)| letter).collect())
}
