//! The provider: outside of everything, with a ledger that survives whatever happens to the
//! pipeline. It is asked at the end what was sent; the pipeline is not.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sealpost::provider::{Ailment, Condition, Message, Provider, Reply};
use sealpost_operators::gate::{Answer, CallId, Doubt, Word};
use sealpost_schemas::record::{Dispatch, Rank};
use sealpost_schemas::{Channel, Digest, Kind, Period, Timestamp, UserId};

use crate::canary::Canary;
use crate::draw::Draw;
use crate::marks::Mark;
use crate::plan::Fault;
use crate::scene::{Event, Scene};
use crate::upstream::personal_in;
use crate::vitals::{Effect, Vitals};
use crate::webhook::Webhook;

/// A call has ended for its caller after this long, as a rule.
pub const CALL_MS_MAX: i64 = 2_000;
/// A call is off the line this long after it began, whatever its caller believes: a little less
/// than the grace that the gate gives it.
const LINE_MS_MAX: i64 = 2_500;

/// An answer that was given may be this late: whoever hears it has much else to do.
const ANSWER_MS_MAX: i64 = 20_000;

/// The bill or follow-up that a call is of.
pub type Bill = (UserId, Period, Kind);

/// A message that was taken.
#[derive(Debug, Clone)]
pub struct Taken {
    /// Which call took it.
    pub id: CallId,
    /// Of which provider.
    pub rank: Rank,
    /// When.
    pub at: Timestamp,
    /// To where.
    pub to: Vec<u8>,
}

/// A call on the line.
struct Line {
    id: CallId,
    rank: Rank,
    vitals: Arc<Vitals>,
    reply: Arc<Reply<Answer>>,
    to: Vec<u8>,
    /// The provider still has to decide.
    undecided: bool,
    takes: bool,
    answer: Option<Answer>,
}

struct Question {
    id: CallId,
    rank: Rank,
    vitals: Arc<Vitals>,
    reply: Arc<Reply<Word>>,
}

#[derive(Default)]
struct Book {
    number: u64,
    lines: BTreeMap<u64, Line>,
    questions: BTreeMap<u64, Question>,
    ledger: Vec<Taken>,
    bodies: BTreeMap<CallId, Digest>,
    /// Calls that their provider has not said a clear no to.
    in_doubt: Vec<(CallId, Rank)>,
    called: Vec<(CallId, Rank)>,
    /// Keys that the first provider has said its last word on: it takes them no more.
    closed: BTreeSet<CallId>,
    away_until: BTreeMap<(Channel, Rank), Timestamp>,
    parked_until: BTreeMap<(Channel, Rank), Timestamp>,
}

/// See the module.
pub struct Desk {
    scene: Arc<Scene>,
    /// What it says later of messages.
    pub webhook: Webhook,
    draw: Mutex<Draw>,
    book: Mutex<Book>,
}

const fn bill(id: &CallId) -> Bill {
    (id.user_id, id.period, id.kind)
}

impl Desk {
    /// A provider that knows nobody yet.
    #[must_use]
    pub fn new(scene: Arc<Scene>) -> Self {
        let draw = Mutex::new(Draw::of(scene.plan.seed, "provider"));
        Self {
            webhook: Webhook::new(Arc::clone(&scene)),
            scene,
            draw,
            book: Mutex::default(),
        }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn draw(&self) -> MutexGuard<'_, Draw> {
        self.draw.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was taken.
    #[must_use]
    pub fn ledger(&self) -> Vec<Taken> {
        self.book().ledger.clone()
    }

    /// Whether a bill was taken.
    #[must_use]
    pub fn has(&self, of: Bill) -> bool {
        self.book().ledger.iter().any(|taken| bill(&taken.id) == of)
    }

    /// Whether a call about a bill is on the line.
    #[must_use]
    pub fn is_on_the_line(&self, of: Bill) -> bool {
        self.book().lines.values().any(|line| bill(&line.id) == of)
    }

    /// Whether nothing is on the line and nobody waits for a word.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        let book = self.book();
        book.lines.is_empty() && book.questions.is_empty()
    }

    /// Whether a channel has a second provider.
    #[must_use]
    pub fn has_second(&self, channel: Channel) -> bool {
        let fallbacks = &self.scene.plan.fallbacks;
        fallbacks.get(channel.index()).is_some_and(Option::is_some)
    }

    /// Providers of a channel are away, or set up wrongly, for a while.
    pub fn trouble(&self, channel: Channel, fault: Fault, until: Timestamp) {
        let ranks = if self.has_second(channel) {
            match self.draw().below(4) {
                0 => &Rank::ALL[..],
                1 => &[Rank::Fallback],
                _ => &[Rank::Primary],
            }
        } else {
            &[Rank::Primary]
        };
        let mut book = self.book();
        let of = if fault == Fault::Outage {
            self.scene.reach(Mark::Outage);
            &mut book.away_until
        } else {
            &mut book.parked_until
        };
        for rank in ranks {
            of.insert((channel, *rank), until);
        }
    }

    fn doubt(&self, channel: Channel, rank: Rank) -> Doubt {
        let plan = &self.scene.plan;
        let promise = match rank {
            Rank::Primary => plan.doubts.get(channel.index()).copied(),
            Rank::Fallback => plan.fallbacks.get(channel.index()).copied().flatten(),
        };
        promise.unwrap_or(Doubt::Nothing)
    }

    /// Where there are two, one that is away or set up wrongly is known to be, and tried now and
    /// then.
    fn condition(&self, channel: Channel, rank: Rank) -> Condition {
        let scene = &self.scene;
        let now = scene.now();
        let book = self.book();
        let until = |of: &BTreeMap<(Channel, Rank), Timestamp>, fault| {
            let is_so = of.get(&(channel, rank)).is_some_and(|at| *at > now);
            is_so && scene.has(fault)
        };
        let ailment = if until(&book.parked_until, Fault::Misconfigured) {
            Ailment::Misconfigured
        } else if until(&book.away_until, Fault::Outage) {
            Ailment::Down
        } else {
            return Condition::Well;
        };
        if !self.has_second(channel) {
            return Condition::Well;
        }
        let into_second = now.ms().rem_euclid(1_000).unsigned_abs();
        let try_in = if into_second < 300 {
            0
        } else {
            1_000 - into_second
        };
        Condition::Ailing(ailment, Duration::from_millis(try_in))
    }

    /// Whether, and what, this call will be answered.
    fn fate(&self, id: CallId, rank: Rank, book: &Book) -> (bool, Answer) {
        let (scene, channel) = (&self.scene, id.channel);
        if rank == Rank::Primary && book.closed.contains(&id) {
            return (false, Answer::Refused("rejected"));
        }
        let mut draw = self.draw();
        let until = |of: &BTreeMap<(Channel, Rank), Timestamp>| {
            of.get(&(channel, rank)).is_some_and(|at| *at > scene.now())
        };
        let busy = |draw: &mut Draw| Answer::NotAccepted {
            reason: "busy",
            retry_after_ms: draw.one_in(2).then(|| draw.within(100, 3_000)),
        };
        if scene.has(Fault::Misconfigured) && until(&book.parked_until) {
            scene.reach(Mark::Parked);
            return (false, Answer::Misconfigured("unauthorized"));
        }
        if scene.has(Fault::Outage) && until(&book.away_until) {
            return match draw.below(3) {
                0 => (false, Answer::NoAnswer("reset")),
                1 => (true, Answer::NoAnswer("timeout")),
                _ => (false, busy(&mut draw)),
            };
        }
        if scene.has(Fault::Timeout) && draw.one_in(4) {
            return (draw.one_in(2), Answer::NoAnswer("timeout"));
        }
        if scene.has(Fault::Busy) && draw.one_in(5) {
            return (false, busy(&mut draw));
        }
        if scene.has(Fault::Refuse) && draw.one_in(3) {
            return (false, Answer::Refused("rejected"));
        }
        let accepted = Answer::Accepted {
            provider_message_id: None,
        };
        (true, accepted)
    }

    /// A call begins.
    fn begin(
        &self,
        vitals: &Arc<Vitals>,
        rank: Rank,
        message: Message,
        reply: &Arc<Reply<Answer>>,
    ) {
        let scene = &self.scene;
        let id = message.id;
        let process = vitals.number;
        scene.say(format_args!(
            "p{process} calls {} about {}",
            rank.name(),
            show(&id)
        ));
        let parts = [message.subject.as_deref(), Some(message.body.as_str())];
        let parts = parts.into_iter().chain([message.html.as_deref()]).flatten();
        for part in parts {
            if let Some(what) = personal_in(part.as_bytes()) {
                scene.violate(format_args!(
                    "privacy: {what} is in what was rendered for {}",
                    show(&id)
                ));
            }
        }
        if scene.suppressed.is_now(&id) {
            scene.reach(Mark::NotRecalled);
        }
        let digest = Dispatch::digest_of(
            message.subject.as_deref(),
            &message.body,
            message.html.as_deref(),
        );
        let mut book = self.book();
        if *book.bodies.entry(id).or_insert(digest) != digest {
            scene.violate(format_args!(
                "two calls of {} carry different messages",
                show(&id)
            ));
        }
        if id.message_key() != message.message_key {
            scene.violate(format_args!("a call of {} has another key", show(&id)));
        }
        let is_of_other =
            |(other, of): &(CallId, Rank)| (*other, *of) != (id, rank) && *other == id;
        if book.in_doubt.iter().any(is_of_other) {
            scene.violate(format_args!(
                "{} is in doubt with one provider, and the other was called",
                show(&id)
            ));
        } else if book.called.iter().any(is_of_other) {
            scene.reach(Mark::Crossed);
        }
        book.in_doubt.push((id, rank));
        book.called.push((id, rank));
        let collapses = matches!(self.doubt(id.channel, rank), Doubt::Repeat { .. });
        let may_repeat = |other: &CallId, of: Rank| collapses && (*other, of) == (id, rank);
        if book.lines.values().any(|line| {
            bill(&line.id) == bill(&id) && line.undecided && !may_repeat(&line.id, line.rank)
        }) {
            scene.violate(format_args!(
                "a call of {} began while another was on the line",
                show(&id)
            ));
        }
        if book
            .ledger
            .iter()
            .any(|taken| bill(&taken.id) == bill(&id) && !may_repeat(&taken.id, taken.rank))
        {
            scene.violate(format_args!(
                "a call of {} began although it was taken",
                show(&id)
            ));
        }
        let (takes, mut answer) = self.fate(id, rank, &book);
        let mut draw = self.draw();
        let decided_ms = draw.within(1, CALL_MS_MAX / 2);
        let (decided_ms, answered_ms) = match answer {
            // the caller has given up; the provider may not know that
            Answer::NoAnswer(_) => {
                scene.reach(if takes {
                    Mark::TakenUnheard
                } else {
                    Mark::SilentLoss
                });
                (draw.within(1, LINE_MS_MAX), CALL_MS_MAX)
            }
            _ if scene.has(Fault::SlowAnswer) && draw.one_in(4) => {
                let decided_ms = draw.within(1, LINE_MS_MAX);
                (decided_ms, draw.within(decided_ms, ANSWER_MS_MAX))
            }
            _ => (decided_ms, draw.within(decided_ms, CALL_MS_MAX)),
        };
        drop(draw);
        if scene.is_sabotaged(Canary::RepeatsBlindly) && matches!(answer, Answer::NoAnswer(_)) {
            answer = Answer::NotAccepted {
                reason: "timeout",
                retry_after_ms: None,
            };
        }
        if let Answer::Accepted {
            provider_message_id,
        } = &mut answer
        {
            let metadata = if scene.is_sabotaged(Canary::LeaksAddress) {
                String::from_utf8_lossy(message.to.as_bytes()).into_owned()
            } else {
                format!("sim-{:016x}", message.message_key.draw())
            };
            *provider_message_id = Some(metadata);
        }
        book.number += 1;
        let number = book.number;
        book.lines.insert(
            number,
            Line {
                id,
                rank,
                vitals: Arc::clone(vitals),
                reply: Arc::clone(reply),
                to: message.to.as_bytes().to_vec(),
                undecided: true,
                takes,
                answer: Some(answer),
            },
        );
        drop(book);
        scene.schedule(scene.now().plus_ms(decided_ms), Event::Take(number));
        scene.schedule(scene.now().plus_ms(answered_ms), Event::Answer(number));
    }

    /// The provider decides on a call.
    pub fn take(&self, number: u64) {
        let scene = &self.scene;
        // what goes with a line may ask how the provider is: after the book is closed
        let mut ended = None;
        let mut book = self.book();
        let Some(line) = book.lines.get_mut(&number) else {
            return;
        };
        line.undecided = false;
        if line.vitals.is_evicted() {
            scene.reach(Mark::ZombieCall);
        }
        let (id, rank) = (line.id, line.rank);
        let (takes, to) = (line.takes, line.to.clone());
        if line.answer.is_none() {
            ended = book.lines.remove(&number);
        }
        if !takes {
            let is_mine = |line: &Line| (line.id, line.rank) == (id, rank) && line.undecided;
            let is_open = !book.lines.values().any(is_mine)
                && !book.ledger.iter().any(|taken| taken.id == id);
            if rank == Rank::Primary && is_open && self.webhook.refuses(id) {
                book.closed.insert(id);
            }
            return;
        }
        if rank == Rank::Primary {
            self.webhook.taken(id);
        }
        if let Doubt::Repeat { window_ms } = self.doubt(id.channel, rank)
            && !scene.is_sabotaged(Canary::TimeInKey)
            && book.ledger.iter().any(|taken| {
                (taken.id, taken.rank) == (id, rank) && scene.now() <= taken.at.plus_ms(window_ms)
            })
        {
            scene.reach(Mark::Deduplicated);
            return;
        }
        scene.say(format_args!("the provider takes {}", show(&id)));
        if book.ledger.iter().any(|taken| bill(&taken.id) == bill(&id)) {
            scene.violate(format_args!("{} was taken twice", show(&id)));
        }
        if rank == Rank::Fallback {
            scene.reach(Mark::SecondProvider);
        }
        if id.version.0 > 0 {
            scene.reach(Mark::LaterVersion);
        }
        let at = scene.now();
        book.ledger.push(Taken { id, rank, at, to });
        drop(book);
        drop(ended);
    }

    /// The answer to a call arrives.
    pub fn answer(&self, number: u64) {
        let scene = &self.scene;
        let mut book = self.book();
        let Some(line) = book.lines.get_mut(&number) else {
            return;
        };
        let Some(answer) = line.answer.take() else {
            return;
        };
        let (id, rank) = (line.id, line.rank);
        let (reply, vitals) = (Arc::clone(&line.reply), Arc::clone(&line.vitals));
        if !line.undecided {
            book.lines.remove(&number);
        }
        if !matches!(answer, Answer::Accepted { .. } | Answer::NoAnswer(_))
            && let Some(place) = book.in_doubt.iter().position(|it| *it == (id, rank))
        {
            book.in_doubt.swap_remove(place);
        }
        drop(book);
        scene.say(format_args!(
            "p{} hears of {}: {answer:?}",
            vitals.number,
            show(&id)
        ));
        if vitals.is_dead() {
            scene.reach(Mark::DeadLine);
        }
        if scene.is_sabotaged(Canary::LosesAnswer) && self.draw().one_in(3) {
            std::mem::forget(reply);
            return;
        }
        vitals.act(Box::new(move || reply.answer(vec![(id, answer)])));
    }

    /// A question is asked.
    fn ask(&self, vitals: &Arc<Vitals>, rank: Rank, id: CallId, reply: &Arc<Reply<Word>>) {
        let scene = &self.scene;
        scene.say(format_args!("p{} asks for {}", vitals.number, show(&id)));
        let mut book = self.book();
        // one that was shut out and does not know it yet may ask: what it makes of the answer it
        // can write nowhere
        if !vitals.is_evicted()
            && book
                .lines
                .values()
                .any(|line| (line.id, line.rank) == (id, rank) && line.undecided && line.takes)
        {
            scene.violate(format_args!(
                "{} was asked for while its call was on the line",
                show(&id)
            ));
        }
        book.number += 1;
        let number = book.number;
        let question = Question {
            id,
            rank,
            vitals: Arc::clone(vitals),
            reply: Arc::clone(reply),
        };
        book.questions.insert(number, question);
        drop(book);
        let wait = self.draw().within(1, CALL_MS_MAX);
        scene.schedule(scene.now().plus_ms(wait), Event::Word(number));
    }

    /// The answer to a question arrives.
    pub fn word(&self, number: u64) {
        let scene = &self.scene;
        let mut book = self.book();
        let Some(question) = book.questions.remove(&number) else {
            return;
        };
        let (id, of) = (question.id, (question.id, question.rank));
        let Question { vitals, reply, .. } = question;
        let known = book.ledger.iter().any(|taken| (taken.id, taken.rank) == of)
            && !scene.is_sabotaged(Canary::TimeInKey);
        // a question of before says nothing of a call that has begun since
        let undecided = |line: &Line| line.undecided && (line.id, line.rank) == of;
        if !known && !book.lines.values().any(undecided) {
            book.in_doubt.retain(|it| *it != of);
        }
        drop(book);
        let word = if scene.has(Fault::Vague) && self.draw().one_in(3) {
            Word::Unclear
        } else if known {
            scene.reach(Mark::AskedTaken);
            Word::Taken {
                provider_message_id: None,
            }
        } else {
            scene.reach(Mark::AskedNotTaken);
            Word::NotTaken
        };
        scene.say(format_args!(
            "p{} is told of {}: {word:?}",
            vitals.number,
            show(&id)
        ));
        vitals.act(Box::new(move || reply.answer(vec![(id, word)])));
    }
}

/// A call in the trace.
#[must_use]
pub fn show(id: &CallId) -> String {
    format!(
        "{}/{}/{}/v{}/{}",
        id.user_id, id.period, id.kind, id.version, id.channel
    )
}

/// The desk as one process reaches it on one channel.
pub struct Phone {
    desk: Arc<Desk>,
    vitals: Arc<Vitals>,
    channel: Channel,
    rank: Rank,
}

impl Phone {
    /// A process's way to a channel's provider.
    #[must_use]
    pub fn new(desk: Arc<Desk>, vitals: Arc<Vitals>, channel: Channel, rank: Rank) -> Self {
        Self {
            desk,
            vitals,
            channel,
            rank,
        }
    }

    /// Which provider is called.
    fn called(&self) -> Rank {
        let desk = &self.desk;
        if desk.scene.is_sabotaged(Canary::EitherProvider) && desk.has_second(self.channel) {
            return *desk.draw().pick(&Rank::ALL);
        }
        self.rank
    }
}

impl Provider for Phone {
    fn name(&self) -> &'static str {
        "simulated"
    }

    fn doubt(&self) -> Doubt {
        self.desk.doubt(self.channel, self.rank)
    }

    fn condition(&self) -> Condition {
        self.desk.condition(self.channel, self.rank)
    }

    fn call(&self, messages: Vec<Message>, reply: Arc<Reply<Answer>>) {
        for message in messages {
            match self.vitals.effect() {
                Effect::Not => {
                    self.desk.scene.reach(Mark::DiedBetweenCalls);
                    return;
                }
                Effect::Happens | Effect::Last => {
                    self.desk
                        .begin(&self.vitals, self.called(), message, &reply);
                }
            }
        }
    }

    fn ask(&self, ids: Vec<CallId>, reply: Arc<Reply<Word>>) {
        for id in ids {
            if self.vitals.effect() == Effect::Not {
                return;
            }
            self.desk.ask(&self.vitals, self.rank, id, &reply);
        }
    }
}
