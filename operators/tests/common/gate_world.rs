//! The world around one shard of gate: a provider with a ledger, the routes, the process with its
//! crashes. Time passes only as it is told.

use std::collections::{BTreeMap, BTreeSet};

use sealpost_operators::gate::{
    Answer, CallId, ChannelRule, ChannelRules, Completion, Doubt, Effect, Gate, LATE_ANSWER, Line,
    Output, Permit, Scope, Word,
};
use sealpost_operators::table::Table as _;
use sealpost_schemas::record::{
    Action, Delivery, Dispatch, Hold, Outcome, Rank, Release, Resolution, Resolve, Returned,
    RouteNotice, SendState, Standing, State,
};
use sealpost_schemas::{Channel, Digest, Kind, Period, Sealed, Timestamp, Version, codec};

use crate::common::{MapTable, command, period, user};

const USERS: u64 = 3;
const START_WITHIN_MS: i64 = 400;
const GRACE_MS: i64 = 1_000;
const ROUTE: [Channel; 3] = [Channel::Email, Channel::Sms, Channel::Kakao];

/// How the protocol is broken, to see that it is found out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sabotage {
    None,
    CallsBeforeCommit,
    StartsAfterDeadline,
    ForgetsState,
    CommitsWhatIsUnfinished,
    ProviderDoesNotDedupe,
    CallsEitherProvider,
    AsksEitherProvider,
}

/// What runs came across.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Seen {
    pub(crate) sent: usize,
    pub(crate) failed: usize,
    pub(crate) unknown: usize,
    pub(crate) crashes: usize,
    pub(crate) repeated: u64,
    pub(crate) late_answers: usize,
    pub(crate) given_back: usize,
    /// Messages that the second provider took.
    pub(crate) by_fallback: usize,
    /// Calls of a key that the other provider had been called with before.
    pub(crate) crossed: usize,
}

impl Seen {
    pub(crate) fn add(&mut self, other: Self) {
        self.sent += other.sent;
        self.failed += other.failed;
        self.unknown += other.unknown;
        self.crashes += other.crashes;
        self.repeated += other.repeated;
        self.late_answers += other.late_answers;
        self.given_back += other.given_back;
        self.by_fallback += other.by_fallback;
        self.crossed += other.crossed;
    }
}

#[derive(Clone)]
enum Entry {
    Dispatch(Box<Dispatch>),
    Notice(RouteNotice),
}

/// What the route of a user waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Route {
    Rendered(usize),
    Parked(usize),
    Unknown(usize),
    Sent,
    Failed,
}

/// A call from its effect to its answer.
struct OnTheLine {
    id: CallId,
    rank: Rank,
    deadline: Timestamp,
    start_at: Timestamp,
    started: Option<Started>,
    /// The process that waits for the answer.
    process: usize,
}

struct Started {
    take_at: Option<Timestamp>,
    answer_at: Timestamp,
    answer: Answer,
}

pub(crate) struct World {
    random: u64,
    /// What each provider can promise; the second is there only if it can promise something.
    doubts: [Option<Doubt>; 2],
    sabotage: Sabotage,
    /// Whether anything still goes wrong.
    stormy: bool,
    /// Whether an operator holds and releases.
    holding: bool,
    now: Timestamp,
    process: usize,
    gate: Gate,
    table: MapTable,
    committed_table: MapTable,
    holds: MapTable,
    committed_holds: MapTable,
    control: Vec<Action>,
    control_position: usize,
    control_committed: usize,
    log: Vec<Entry>,
    position: usize,
    committed: usize,
    receipts: Vec<Delivery>,
    receipts_position: usize,
    receipts_committed: usize,
    out: Vec<Output>,
    effects: Vec<Effect>,
    completions: Vec<Completion>,
    permits: BTreeMap<(Channel, Line), usize>,
    lines: Vec<OnTheLine>,
    questions: Vec<(Timestamp, CallId, Timestamp, Rank)>,
    /// Who was sent what, when and by whom: the providers' own books.
    ledger: Vec<(CallId, Timestamp, Rank)>,
    /// Calls that began and that their provider has not said a clear no to.
    in_doubt: Vec<(CallId, Rank)>,
    begun: Vec<(CallId, Rank)>,
    called: Vec<CallId>,
    /// Whatever has had an intent.
    intents: BTreeSet<CallId>,
    committed_intents: BTreeSet<CallId>,
    routes: BTreeMap<u64, (Version, Route)>,
    seen: Seen,
    wrong: Option<String>,
}

fn jan() -> Period {
    period("2026-01")
}

fn dispatch(id: u64, version: Version, channel: Channel) -> Dispatch {
    let call = CallId {
        user_id: user(id),
        period: jan(),
        kind: Kind::Bill,
        version,
        channel,
    };
    Dispatch {
        user_id: call.user_id,
        period: call.period,
        kind: call.kind,
        version,
        channel,
        message_key: call.message_key(),
        attempts_max: 2,
        destination: Sealed::from_bytes(*b"address"),
        subject: None,
        body: String::new(),
        html: None,
        body_digest: Digest::of(b"body"),
    }
}

impl World {
    pub(crate) fn new(seed: u64, doubt: Doubt, sabotage: Sabotage) -> Self {
        Self::with(seed, [Some(doubt), None], sabotage)
    }

    /// One in which every channel has two providers.
    pub(crate) fn of_two(seed: u64, doubts: [Doubt; 2], sabotage: Sabotage) -> Self {
        Self::with(seed, doubts.map(Some), sabotage)
    }

    fn with(seed: u64, doubts: [Option<Doubt>; 2], sabotage: Sabotage) -> Self {
        let mut world = Self {
            random: seed,
            doubts,
            sabotage,
            stormy: true,
            holding: false,
            now: Timestamp::from_ms(1_000_000),
            process: 0,
            gate: Self::gate(doubts),
            table: MapTable::default(),
            committed_table: MapTable::default(),
            holds: MapTable::default(),
            committed_holds: MapTable::default(),
            control: Vec::new(),
            control_position: 0,
            control_committed: 0,
            log: Vec::new(),
            position: 0,
            committed: 0,
            receipts: Vec::new(),
            receipts_position: 0,
            receipts_committed: 0,
            out: Vec::new(),
            effects: Vec::new(),
            completions: Vec::new(),
            permits: BTreeMap::new(),
            lines: Vec::new(),
            questions: Vec::new(),
            ledger: Vec::new(),
            in_doubt: Vec::new(),
            begun: Vec::new(),
            called: Vec::new(),
            intents: BTreeSet::new(),
            committed_intents: BTreeSet::new(),
            routes: BTreeMap::new(),
            seen: Seen::default(),
            wrong: None,
        };
        for id in 0..USERS {
            if world.one_in(3) {
                let held_until = Some(world.now.plus_ms(50));
                world.notice(id, Version(0), Standing::Held, held_until);
            }
            world.route_to(id, Version(0), 0);
        }
        world
    }

    /// With an operator who holds a channel, or all of them, and releases again.
    pub(crate) fn with_holds(mut self) -> Self {
        self.holding = true;
        self
    }

    fn gate(doubts: [Option<Doubt>; 2]) -> Gate {
        let [primary, fallback] = doubts.map(|doubt| {
            Some(ChannelRule {
                start_within_ms: START_WITHIN_MS,
                grace_ms: GRACE_MS,
                doubt: doubt?,
                backoff_ms: 100,
            })
        });
        let rules = ChannelRules::from(primary.unwrap()).with_fallback(fallback);
        Gate::new([rules; Channel::ALL.len()], 2)
    }

    fn doubt(&self, rank: Rank) -> Doubt {
        self.doubts[rank.index()].unwrap()
    }

    /// Either, if there are two.
    fn any_rank(&mut self) -> Rank {
        if self.doubts[1].is_some() && self.one_in(2) {
            Rank::Fallback
        } else {
            Rank::Primary
        }
    }

    fn draw(&mut self, below: u64) -> u64 {
        // SplitMix64: every seed gives a run of its own
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % below
    }

    fn one_in(&mut self, times: u64) -> bool {
        self.draw(times) == 0
    }

    fn ms(&mut self, below: i64) -> i64 {
        self.draw(below.unsigned_abs()).cast_signed()
    }

    fn violate(&mut self, what: String) {
        self.wrong.get_or_insert(what);
    }

    /// Lives through so many moments in which anything may happen, then through calm weather
    /// until nothing is left to do. Says what went wrong.
    pub(crate) fn live(mut self, moments: usize) -> Result<Seen, String> {
        for _ in 0..moments {
            self.moment();
        }
        self.stormy = false;
        self.restart(Death::Whole);
        if self.holding {
            self.releases(None);
        }
        for _ in 0..2_000 {
            if self.calm() {
                break;
            }
        }
        self.check_end();
        self.wrong.map_or(Ok(self.seen), Err)
    }

    fn moment(&mut self) {
        if self.holding && self.one_in(12) {
            let channel = [None, Some(ROUTE[0]), Some(ROUTE[1])][self.draw(3) as usize];
            if self.one_in(2) {
                let period = jan();
                self.control.push(Action::Hold(Hold { period, channel }));
            } else {
                self.releases(channel);
            }
            return;
        }
        match self.draw(40) {
            0..=6 => self.read(),
            7..=12 => self.complete(),
            13..=14 => self.read_receipt(),
            15..=19 => self.advance(),
            20..=25 => self.commit(),
            26..=29 => self.grant(),
            30..=33 => {
                let ms = self.ms(900);
                self.pass(ms);
            }
            34 => {
                let ms = self.ms(6_000);
                self.pass(ms);
            }
            35 => self.restart(Death::Whole),
            36 => self.restart(Death::Step),
            37 => {
                // the same dispatch once more, at an offset of its own
                let place = self.draw(self.log.len() as u64) as usize;
                if let Entry::Dispatch(_) = self.log[place] {
                    self.log.push(self.log[place].clone());
                }
            }
            38 => {
                if self.one_in(4) {
                    self.committed = 0;
                    self.restart(Death::Whole);
                }
            }
            _ => {
                let id = self.draw(USERS);
                self.operate(id);
            }
        }
    }

    /// One round of calm weather; whether nothing is left to do.
    fn calm(&mut self) -> bool {
        while self.position < self.log.len() && self.gate.has_room() {
            self.read();
        }
        while self.receipts_position < self.receipts.len() {
            self.read_receipt();
        }
        self.grant();
        while !self.completions.is_empty() {
            self.complete();
        }
        self.advance();
        self.commit();
        let done = self.position == self.log.len()
            && self.gate.unfinished() == 0
            && self.lines.is_empty()
            && self.questions.is_empty()
            && self.receipts_position == self.receipts.len();
        self.pass(250);
        done
    }

    fn act(&mut self, act: impl FnOnce(&mut Gate, &mut Scope<'_>)) {
        let before = self.gate.counts.repeated;
        let asked = self.effects.len();
        let (table, out, effects) = (&mut self.table, &mut self.out, &mut self.effects);
        let holds = &mut self.holds;
        act(
            &mut self.gate,
            &mut Scope {
                table,
                holds,
                out,
                effects,
                now: self.now,
            },
        );
        for effect in &self.effects[asked..] {
            if let Effect::Call(dispatch, ..) = effect {
                let id = CallId::of(dispatch);
                let read = &self.control[..self.control_position];
                if is_held(read, id.channel) && !self.intents.contains(&id) {
                    self.wrong
                        .get_or_insert(format!("{id:?} began although it is held"));
                }
                self.intents.insert(id);
            }
        }
        self.seen.repeated += self.gate.counts.repeated - before;
        if self.sabotage == Sabotage::CallsBeforeCommit {
            self.perform();
        }
    }

    fn read(&mut self) {
        self.read_control();
        if !self.gate.has_room() {
            return;
        }
        let Some(entry) = self.log.get(self.position).cloned() else {
            return;
        };
        let offset = self.position as u64;
        self.act(|gate, scope| match entry {
            Entry::Dispatch(dispatch) => gate.on_dispatch(offset, *dispatch, scope).unwrap(),
            Entry::Notice(notice) => gate.on_notice(&notice, scope).unwrap(),
        });
        self.position += 1;
    }

    /// A worker reads commands to their end before it processes data.
    fn read_control(&mut self) {
        while let Some(action) = self.control.get(self.control_position).cloned() {
            self.control_position += 1;
            let command = command("steer", action);
            self.act(|gate, scope| gate.on_command(&command, scope).unwrap());
        }
    }

    fn read_receipt(&mut self) {
        let Some(receipt) = self.receipts.get(self.receipts_position).cloned() else {
            return;
        };
        self.act(|gate, scope| gate.on_receipt(&receipt, scope).unwrap());
        self.receipts_position += 1;
    }

    fn complete(&mut self) {
        if !self.completions.is_empty() {
            let completion = self.completions.remove(0);
            self.act(|gate, scope| gate.on_completion(completion, scope).unwrap());
        }
    }

    fn advance(&mut self) {
        // a worker hands in what came before it looks at what is due
        while !self.completions.is_empty() {
            self.complete();
        }
        self.act(|gate, scope| {
            gate.advance(scope).unwrap();
        });
    }

    fn grant(&mut self) {
        for (channel, line) in self.permits.keys().copied().collect::<Vec<_>>() {
            let asked = self.permits[&(channel, line)];
            if asked > 0 {
                let granted = if self.stormy {
                    1 + self.draw(asked as u64) as usize
                } else {
                    asked
                };
                let permit = match line {
                    Line::Any => Permit::Any(self.any_rank()),
                    Line::Only(rank) => Permit::Only(rank),
                };
                *self.permits.entry((channel, line)).or_default() -= granted;
                self.completions
                    .push(Completion::Permits(channel, permit, granted));
            }
        }
    }

    fn commit(&mut self) {
        self.committed_table = self.table.clone();
        let low = self
            .gate
            .low_watermark()
            .map_or(self.position, |low| self.position.min(low as usize));
        self.committed = if self.sabotage == Sabotage::CommitsWhatIsUnfinished {
            self.position
        } else {
            low
        };
        self.receipts_committed = self.receipts_position;
        self.committed_holds = self.holds.clone();
        self.committed_intents = self.intents.clone();
        self.control_committed = self.control_position;
        let mut deliveries = Vec::new();
        for output in std::mem::take(&mut self.out) {
            match output {
                Output::Delivery(delivery) => deliveries.push(delivery),
                Output::Returned(returned) => self.given_back(&returned),
            }
        }
        self.check_watermark();
        for delivery in deliveries {
            self.routed(&delivery);
        }
        self.perform();
    }

    fn restart(&mut self, death: Death) {
        self.seen.crashes += 1;
        self.gate = Self::gate(self.doubts);
        self.holds = self.committed_holds.clone();
        self.intents = self.committed_intents.clone();
        self.control_position = self.control_committed;
        self.gate.restored(&self.holds).unwrap();
        self.table = if self.sabotage == Sabotage::ForgetsState {
            MapTable::default()
        } else {
            self.committed_table.clone()
        };
        self.position = self.committed;
        self.receipts_position = self.receipts_committed;
        self.out.clear();
        self.effects.clear();
        if death == Death::Whole {
            self.process += 1;
            self.completions.clear();
            self.questions.clear();
            self.permits.clear();
        }
    }

    fn perform(&mut self) {
        for effect in std::mem::take(&mut self.effects) {
            match effect {
                Effect::AskPermits(channel, line, count) => {
                    *self.permits.entry((channel, line)).or_default() += count;
                }
                Effect::ReturnPermits(..) => {}
                Effect::Call(dispatch, deadline, mut rank) => {
                    let id = CallId::of(&dispatch);
                    self.called.push(id);
                    if self.sabotage == Sabotage::CallsEitherProvider {
                        rank = self.any_rank();
                    }
                    let slow = if self.stormy && self.one_in(6) {
                        3 * START_WITHIN_MS
                    } else {
                        START_WITHIN_MS / 2
                    };
                    let start_at = self
                        .now
                        .plus_ms(self.draw(slow.unsigned_abs()).cast_signed());
                    self.lines.push(OnTheLine {
                        id,
                        rank,
                        deadline,
                        start_at,
                        started: None,
                        process: self.process,
                    });
                }
                Effect::Ask(id, deadline, mut rank) => {
                    if self.sabotage == Sabotage::AsksEitherProvider {
                        rank = self.any_rank();
                    }
                    let may_be_taken = |line: &OnTheLine| {
                        line.id == id && (line.started.is_some() || self.now < line.deadline)
                    };
                    if self.lines.iter().any(may_be_taken) {
                        self.violate(format!("asked for {id:?} while its call was on the line"));
                    }
                    let wait = self.ms(GRACE_MS / 2);
                    self.questions
                        .push((self.now.plus_ms(wait), id, deadline, rank));
                }
            }
        }
    }

    /// Lets time pass, and what is due in it happen, in order.
    fn pass(&mut self, ms: i64) {
        let until = self.now.plus_ms(ms);
        loop {
            let due = |line: &OnTheLine| match &line.started {
                None => line.start_at,
                Some(started) => started.take_at.unwrap_or(started.answer_at),
            };
            let line = self
                .lines
                .iter()
                .enumerate()
                .map(|(place, line)| (due(line), place))
                .min();
            let question = self
                .questions
                .iter()
                .enumerate()
                .map(|(place, (at, ..))| (*at, place))
                .min();
            match (line, question) {
                (Some((at, place)), other)
                    if at <= until && other.is_none_or(|(asked, _)| at <= asked) =>
                {
                    self.now = self.now.max(at);
                    self.line_moves(place);
                }
                (_, Some((at, place))) if at <= until => {
                    self.now = self.now.max(at);
                    let (_, id, deadline, rank) = self.questions.swap_remove(place);
                    self.answer_question(id, deadline, rank);
                }
                _ => break,
            }
        }
        self.now = until;
    }

    fn line_moves(&mut self, place: usize) {
        let OnTheLine {
            id,
            rank,
            deadline,
            ref mut started,
            process,
            ..
        } = self.lines[place];
        match started {
            None if self.now >= deadline && self.sabotage != Sabotage::StartsAfterDeadline => {
                self.lines.swap_remove(place);
                if process == self.process {
                    self.completions
                        .push(Completion::Answered(id, deadline, Answer::NotStarted));
                }
            }
            None => self.start(place),
            Some(Started {
                take_at: take @ Some(_),
                ..
            }) => {
                *take = None;
                self.take(id, rank);
            }
            Some(_) => {
                let Some(Started { answer, .. }) = self.lines.swap_remove(place).started else {
                    return;
                };
                if !matches!(answer, Answer::Accepted { .. } | Answer::NoAnswer(_)) {
                    let place = self.in_doubt.iter().position(|it| *it == (id, rank));
                    self.in_doubt.swap_remove(place.unwrap());
                }
                self.answered(id, deadline, answer, process);
            }
        }
    }

    fn start(&mut self, place: usize) {
        let (id, rank) = (self.lines[place].id, self.lines[place].rank);
        if self
            .in_doubt
            .iter()
            .any(|(other, at)| *other == id && *at != rank)
        {
            self.violate(format!(
                "{id:?} is in doubt, and the other provider is called"
            ));
        }
        if self
            .begun
            .iter()
            .any(|(other, at)| *other == id && *at != rank)
        {
            self.seen.crossed += 1;
        }
        self.in_doubt.push((id, rank));
        self.begun.push((id, rank));
        let same = |line: &OnTheLine| line.id.user_id == id.user_id && line.started.is_some();
        if self.lines.iter().any(same) {
            self.violate(format!("a call of {id:?} while another is on the line"));
        }
        let dedupes = matches!(self.doubt(rank), Doubt::Repeat { .. });
        if self.ledger.iter().any(|(taken, _, by)| {
            taken.user_id == id.user_id && (!dedupes || (*taken, *by) != (id, rank))
        }) {
            self.violate(format!("a call of {id:?} although it was taken"));
        }
        let accepted = Answer::Accepted {
            provider_message_id: None,
        };
        let retry_after_ms = self.one_in(2).then_some(300);
        let busy = Answer::NotAccepted {
            reason: "busy",
            retry_after_ms,
        };
        let (takes, answer) = match if self.stormy {
            self.draw(9)
        } else {
            self.draw(2)
        } {
            // also a key that it has: whatever stands before the provider may not know that
            0 => (false, Answer::Refused("refused")),
            1..=3 => (true, accepted),
            4 => (false, busy),
            5 => (false, Answer::NoAnswer("timeout")),
            6 | 7 => (true, Answer::NoAnswer("reset")),
            _ => (false, Answer::Misconfigured("unauthorized")),
        };
        let takes_ms = self.ms(GRACE_MS / 2);
        let answers_ms = takes_ms + self.ms(GRACE_MS / 2 - 1);
        let started = Started {
            take_at: takes.then(|| self.now.plus_ms(takes_ms)),
            answer_at: self.now.plus_ms(answers_ms),
            answer,
        };
        self.lines[place].started = Some(started);
    }

    /// The provider takes a message, or knows that it has it.
    fn take(&mut self, id: CallId, rank: Rank) {
        if let Doubt::Repeat { window_ms } = self.doubt(rank)
            && self.sabotage != Sabotage::ProviderDoesNotDedupe
            && self.ledger.iter().any(|(taken, at, by)| {
                (*taken, *by) == (id, rank) && self.now <= at.plus_ms(window_ms)
            })
        {
            return;
        }
        if self
            .ledger
            .iter()
            .any(|(taken, ..)| taken.user_id == id.user_id)
        {
            self.violate(format!("{id:?} was taken, and something before it"));
        }
        self.seen.by_fallback += usize::from(rank == Rank::Fallback);
        self.ledger.push((id, self.now, rank));
    }

    fn answered(&mut self, id: CallId, deadline: Timestamp, answer: Answer, process: usize) {
        if process == self.process {
            self.completions
                .push(Completion::Answered(id, deadline, answer));
            return;
        }
        self.seen.late_answers += 1;
        // whoever called is gone; the answer may still have come to the topic of receipts
        let outcome = match answer {
            Answer::Accepted { .. } => Outcome::Sent,
            Answer::Refused(_) => Outcome::Failed,
            _ => return,
        };
        if self.one_in(2) {
            self.receipts.push(Delivery {
                user_id: id.user_id,
                period: id.period,
                kind: id.kind,
                version: id.version,
                channel: id.channel,
                message_key: id.message_key(),
                outcome,
                reason: Some(LATE_ANSWER.to_owned()),
                attempts: 1,
                provider_message_id: None,
                updated_at: self.now,
            });
        }
    }

    fn answer_question(&mut self, id: CallId, deadline: Timestamp, rank: Rank) {
        let known = |(taken, _, by): &(CallId, Timestamp, Rank)| (*taken, *by) == (id, rank);
        let word = if self.stormy && self.one_in(4) {
            Word::Unclear
        } else if self.ledger.iter().any(known) {
            Word::Taken {
                provider_message_id: None,
            }
        } else {
            // a question of before says nothing of a call that has begun since
            let on_the_line =
                |line: &OnTheLine| (line.id, line.rank) == (id, rank) && line.started.is_some();
            if !self.lines.iter().any(on_the_line) {
                self.in_doubt.retain(|it| *it != (id, rank));
            }
            Word::NotTaken
        };
        self.completions.push(Completion::Asked(id, deadline, word));
    }

    fn route_to(&mut self, id: u64, version: Version, place: usize) {
        self.routes.insert(id, (version, Route::Rendered(place)));
        self.log.push(Entry::Dispatch(Box::new(dispatch(
            id,
            version,
            ROUTE[place],
        ))));
    }

    fn notice(
        &mut self,
        id: u64,
        version: Version,
        standing: Standing,
        held_until: Option<Timestamp>,
    ) {
        let (user_id, period, kind) = (user(id), jan(), Kind::Bill);
        let notice = RouteNotice {
            user_id,
            period,
            kind,
            version,
            standing,
            held_until,
            reason: None,
        };
        self.log.push(Entry::Notice(notice));
    }

    fn routed(&mut self, delivery: &Delivery) {
        let id = delivery.user_id.get();
        let (version, route) = self.routes[&id];
        let (place, doubt) = match route {
            Route::Rendered(place) => (place, false),
            Route::Unknown(place) => (place, true),
            _ => return,
        };
        if (delivery.version, delivery.channel) != (version, ROUTE[place]) {
            return;
        }
        let next = match delivery.outcome {
            Outcome::Sent => Route::Sent,
            Outcome::Unknown => Route::Unknown(place),
            Outcome::Failed if doubt => Route::Failed,
            Outcome::Failed if place + 1 < ROUTE.len() => {
                return self.route_to(id, version, place + 1);
            }
            Outcome::Failed => {
                self.notice(id, version, Standing::Failed, None);
                Route::Failed
            }
        };
        self.routes.insert(id, (version, next));
    }

    /// A dispatch that was not begun: its route parks, unless it was released meanwhile.
    fn given_back(&mut self, returned: &Returned) {
        let id = returned.user_id.get();
        let (version, Route::Rendered(place)) = self.routes[&id] else {
            return;
        };
        if (returned.version, returned.channel) != (version, ROUTE[place]) {
            return;
        }
        self.seen.given_back += 1;
        if is_held(&self.control, ROUTE[place]) {
            self.routes.insert(id, (version, Route::Parked(place)));
            self.notice(id, version, Standing::Held, None);
        } else {
            self.route_to(id, version, place);
        }
    }

    fn releases(&mut self, channel: Option<Channel>) {
        let period = jan();
        self.control
            .push(Action::Release(Release { period, channel }));
        for id in 0..USERS {
            if let (version, Route::Parked(place)) = self.routes[&id]
                && !is_held(&self.control, ROUTE[place])
            {
                self.route_to(id, version, place);
            }
        }
    }

    /// An operator begins the next round of what failed, or says what became of a message in doubt.
    fn operate(&mut self, id: u64) {
        match self.routes[&id] {
            (version, Route::Failed) => self.route_to(id, version.next(), 0),
            (_, Route::Unknown(_)) => {
                let sent = self
                    .ledger
                    .iter()
                    .any(|(taken, ..)| taken.user_id == user(id));
                let resolution = if sent {
                    Resolution::Sent
                } else {
                    Resolution::Failed
                };
                if self.lines.iter().any(|line| line.id.user_id == user(id)) {
                    return;
                }
                let resolve = Resolve {
                    period: jan(),
                    user_id: user(id),
                    kind: Kind::Bill,
                    resolution,
                };
                let command = command("resolve", Action::Resolve(resolve));
                self.act(|gate, scope| gate.on_command(&command, scope).unwrap());
            }
            _ => {}
        }
    }

    fn state(table: &MapTable, id: u64) -> Option<SendState> {
        table
            .get(format!("{id}/{}", jan()).as_bytes())
            .map(|bytes| codec::decode(bytes).unwrap())
    }

    /// Below what is committed, whatever a route waits for has its outcome.
    fn check_watermark(&mut self) {
        for id in 0..USERS {
            let (version, Route::Rendered(place)) = self.routes[&id] else {
                continue;
            };
            let wanted = |entry: &Entry| match entry {
                Entry::Dispatch(dispatch) => {
                    (dispatch.user_id, dispatch.version, dispatch.channel)
                        == (user(id), version, ROUTE[place])
                }
                Entry::Notice(_) => false,
            };
            // what was given back is there once more, later
            let passed = if self.holding {
                let last = self.log.iter().rposition(wanted);
                last.is_some_and(|last| last < self.committed)
            } else {
                self.log[..self.committed].iter().any(wanted)
            };
            if passed {
                let ended = Self::state(&self.committed_table, id).is_some_and(|state| {
                    state.kinds.iter().flat_map(|kind| &kind.calls).any(|call| {
                        (call.version, call.channel) == (version, ROUTE[place])
                            && call.outcome.is_some()
                    })
                });
                if !ended {
                    self.violate(format!(
                        "the watermark passed user {id} on {}",
                        ROUTE[place]
                    ));
                }
            }
        }
    }

    fn check_end(&mut self) {
        if self.gate.unfinished() > 0 || self.gate.in_flight() > 0 || self.position < self.log.len()
        {
            self.violate(format!("{} are never finished", self.gate.unfinished()));
        }
        for id in 0..USERS {
            let taken = self
                .ledger
                .iter()
                .filter(|(taken, ..)| taken.user_id == user(id))
                .count();
            let called = self.called.iter().any(|call| call.user_id == user(id));
            let state = Self::state(&self.committed_table, id);
            // by whom it is in doubt
            let unknown = state
                .iter()
                .flat_map(|state| &state.kinds)
                .flat_map(|kind| &kind.calls)
                .find(|call| call.outcome == Some(Outcome::Unknown))
                .map(|call| call.provider);
            let state = state.and_then(|state| Some(state.kinds.first()?.state));
            let route = self.routes[&id].1;
            let agrees = match state {
                Some(State::Sent) => taken == 1 && route == Route::Sent,
                Some(State::Failed) => taken == 0 && route == Route::Failed,
                Some(State::Unknown) => {
                    called
                        && unknown.is_some_and(|rank| self.doubt(rank) != Doubt::Ask)
                        && matches!(route, Route::Unknown(_))
                }
                _ => false,
            };
            match state {
                Some(State::Sent) => self.seen.sent += 1,
                Some(State::Failed) => self.seen.failed += 1,
                _ => self.seen.unknown += 1,
            }
            if !agrees {
                self.violate(format!(
                    "user {id} ends {state:?} on {route:?}, and was sent {taken}"
                ));
            }
        }
    }
}

/// Whether a channel is held after these commands.
fn is_held(commands: &[Action], channel: Channel) -> bool {
    let concerns = |named: &Option<Channel>| named.is_none_or(|named| named == channel);
    commands.iter().fold(false, |held, action| match action {
        Action::Hold(hold) if concerns(&hold.channel) => true,
        Action::Release(release) if concerns(&release.channel) => false,
        _ => held,
    })
}

/// What a crash takes with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Death {
    /// The process: whoever waits for answers is gone.
    Whole,
    /// The step: it is undone, and answers come to whoever begins anew.
    Step,
}
