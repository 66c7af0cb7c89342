//! Gate, one promise after the other; `gate_model` looks at all of them at once.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests"
)]

mod common;
#[path = "gate/held.rs"]
mod held;

use common::{MapTable, command, period, user};
use sealpost_operators::gate::{
    Answer, CallId, ChannelRule, ChannelRules, Completion, Doubt, Effect, Gate, Line, Output,
    Permit, RECEIPT, RECEIPT_OF_FALLBACK, Scope, Word,
};
use sealpost_operators::table::Table as _;
use sealpost_schemas::record::{
    Action, Delivery, Dispatch, Hold, Outcome, Rank, Release, Resolution, Resolve, RouteNotice,
    SendState, Standing, State,
};
use sealpost_schemas::{Channel, Digest, Kind, Sealed, Timestamp, Version, codec};

const ACCEPTED: Answer = Answer::Accepted {
    provider_message_id: None,
};
const BUSY: Answer = Answer::NotAccepted {
    reason: "busy",
    retry_after_ms: None,
};

fn rule(doubt: Doubt) -> ChannelRule {
    ChannelRule {
        start_within_ms: 400,
        grace_ms: 1_000,
        doubt,
        backoff_ms: 100,
    }
}

fn id(number: u64) -> CallId {
    let (kind, version, channel) = (Kind::Bill, Version(0), Channel::Email);
    CallId {
        user_id: user(number),
        period: period("2026-01"),
        kind,
        version,
        channel,
    }
}

fn dispatch(id: CallId) -> Dispatch {
    Dispatch {
        user_id: id.user_id,
        period: id.period,
        kind: id.kind,
        version: id.version,
        channel: id.channel,
        message_key: id.message_key(),
        attempts_max: 2,
        destination: Sealed::from_bytes(*b"address"),
        subject: None,
        body: String::new(),
        html: None,
        body_digest: Digest::of(b"body"),
    }
}

struct Bench {
    rules: ChannelRules,
    gate: Gate,
    table: MapTable,
    holds: MapTable,
    now: Timestamp,
    outcomes: Vec<Outcome>,
    calls: usize,
    questions: usize,
    returned: usize,
    /// Users whose dispatches went back to their routes.
    given_back: Vec<u64>,
    next: u64,
    /// Whom each call and each question went to.
    called: Vec<Rank>,
    asked: Vec<Rank>,
    /// For which line permits were asked for.
    lines: Vec<Line>,
}

impl Bench {
    fn new(doubt: Doubt) -> Self {
        Self::by(rule(doubt).into())
    }

    /// With a second provider that can promise something else.
    fn with_fallback(doubt: Doubt, fallback: Doubt) -> Self {
        Self::by(ChannelRules::from(rule(doubt)).with_fallback(Some(rule(fallback))))
    }

    fn by(rules: ChannelRules) -> Self {
        Self {
            rules,
            gate: Gate::new([rules; Channel::ALL.len()], 10),
            table: MapTable::default(),
            holds: MapTable::default(),
            now: Timestamp::from_ms(5_000),
            outcomes: Vec::new(),
            calls: 0,
            questions: 0,
            returned: 0,
            given_back: Vec::new(),
            next: 0,
            called: Vec::new(),
            asked: Vec::new(),
            lines: Vec::new(),
        }
    }

    /// A process that begins anew on the state as it stands.
    fn restart(&mut self) -> &mut Self {
        self.gate = Gate::new([self.rules; Channel::ALL.len()], 10);
        self.gate.restored(&self.holds).unwrap();
        self
    }

    fn act(&mut self, act: impl FnOnce(&mut Gate, &mut Scope<'_>)) -> &mut Self {
        let (mut out, mut effects) = (Vec::new(), Vec::new());
        act(
            &mut self.gate,
            &mut Scope {
                table: &mut self.table,
                holds: &mut self.holds,
                out: &mut out,
                effects: &mut effects,
                now: self.now,
            },
        );
        for output in out {
            match output {
                Output::Delivery(delivery) => self.outcomes.push(delivery.outcome),
                Output::Returned(returned) => self.given_back.push(returned.user_id.get()),
            }
        }
        for effect in effects {
            match effect {
                Effect::Call(_, deadline, rank) => {
                    assert_eq!(deadline, self.now.plus_ms(400));
                    self.calls += 1;
                    self.called.push(rank);
                }
                Effect::Ask(.., rank) => {
                    self.questions += 1;
                    self.asked.push(rank);
                }
                Effect::ReturnPermits(.., count) => self.returned += count,
                Effect::AskPermits(_, line, _) => self.lines.push(line),
            }
        }
        self
    }

    fn reads(&mut self, id: CallId) -> &mut Self {
        let offset = self.next;
        self.next += 1;
        self.act(|gate, scope| gate.on_dispatch(offset, dispatch(id), scope).unwrap())
    }

    fn hears(&mut self, completion: Completion) -> &mut Self {
        self.act(|gate, scope| gate.on_completion(completion, scope).unwrap())
    }

    fn permits(&mut self, count: usize) -> &mut Self {
        // who is in doubt stands in a line apart
        let before = self.returned;
        self.permit(Permit::Any(Rank::Primary), count);
        let left = std::mem::replace(&mut self.returned, before) - before;
        if left > 0 {
            self.permit(Permit::Only(Rank::Primary), left);
        }
        self
    }

    fn permit(&mut self, permit: Permit, count: usize) -> &mut Self {
        self.hears(Completion::Permits(Channel::Email, permit, count))
    }

    fn answers(&mut self, id: CallId, answer: Answer) -> &mut Self {
        let deadline_at = self.deadline_at(id);
        self.hears(Completion::Answered(id, deadline_at, answer))
    }

    /// The provider answers the question about the last call of a key.
    fn is_told_by_key(&mut self, id: CallId, word: Word) -> &mut Self {
        let deadline_at = self.deadline_at(id);
        self.hears(Completion::Asked(id, deadline_at, word))
    }

    /// The deadline of the last intent of a key.
    fn deadline_at(&self, id: CallId) -> Timestamp {
        let state = self
            .table
            .get(format!("{}/{}", id.user_id, id.period).as_bytes());
        let state: Option<SendState> = state.map(|bytes| codec::decode(bytes).unwrap());
        state
            .iter()
            .flat_map(|state| &state.kinds)
            .flat_map(|kind| &kind.calls)
            .find(|call| (call.version, call.channel) == (id.version, id.channel))
            .map_or(self.now, |call| call.deadline_at)
    }

    fn passes(&mut self, ms: i64) -> &mut Self {
        self.now = self.now.plus_ms(ms);
        self.act(|gate, scope| {
            gate.advance(scope).unwrap();
        })
    }

    fn receives(&mut self, id: CallId, outcome: Outcome) -> &mut Self {
        self.receives_for(id, outcome, RECEIPT)
    }

    fn receives_for(&mut self, id: CallId, outcome: Outcome, reason: &str) -> &mut Self {
        let receipt = Delivery {
            user_id: id.user_id,
            period: id.period,
            kind: id.kind,
            version: id.version,
            channel: id.channel,
            message_key: id.message_key(),
            outcome,
            reason: Some(reason.to_owned()),
            attempts: 1,
            provider_message_id: None,
            updated_at: self.now,
        };
        self.act(|gate, scope| gate.on_receipt(&receipt, scope).unwrap())
    }

    fn is_told(&mut self, id: CallId, standing: Standing) -> &mut Self {
        let (user_id, period, kind, version) = (id.user_id, id.period, id.kind, id.version);
        let notice = RouteNotice {
            user_id,
            period,
            kind,
            version,
            standing,
            held_until: None,
            reason: None,
        };
        self.act(|gate, scope| gate.on_notice(&notice, scope).unwrap())
    }

    fn resolves(&mut self, id: CallId, resolution: Resolution) -> &mut Self {
        let resolve = Resolve {
            period: id.period,
            user_id: id.user_id,
            kind: id.kind,
            resolution,
        };
        let command = command("resolve", Action::Resolve(resolve));
        self.act(|gate, scope| gate.on_command(&command, scope).unwrap())
    }

    fn state(&self, id: CallId) -> State {
        let bytes = self
            .table
            .get(format!("{}/{}", id.user_id, id.period).as_bytes())
            .unwrap();
        codec::decode::<SendState>(bytes).unwrap().kinds[0].state
    }
}

#[test]
fn a_call_is_asked_for_with_a_permit_and_its_intent_in_the_same_step() {
    let mut bench = Bench::new(Doubt::Nothing);
    bench.reads(id(1)).passes(0);
    assert_eq!((bench.calls, bench.gate.low_watermark()), (0, Some(0)));
    bench.permits(1);
    assert_eq!((bench.calls, bench.state(id(1))), (1, State::Sending));
    bench.answers(id(1), ACCEPTED);
    assert_eq!(
        (bench.state(id(1)), bench.gate.low_watermark()),
        (State::Sent, None)
    );
    assert_eq!(bench.outcomes, [Outcome::Sent]);
    assert_eq!(
        (
            bench.gate.counts.intents,
            bench.gate.counts.sent,
            bench.gate.in_flight()
        ),
        (1, 1, 0)
    );
}

#[test]
fn the_watermark_stays_at_the_slowest_and_permits_that_are_not_used_go_back() {
    let mut bench = Bench::new(Doubt::Nothing);
    bench.reads(id(1)).reads(id(2)).reads(id(3)).permits(5);
    assert_eq!((bench.calls, bench.returned), (3, 2));
    bench.answers(id(2), ACCEPTED).answers(id(3), ACCEPTED);
    assert_eq!(
        (bench.gate.low_watermark(), bench.gate.unfinished()),
        (Some(0), 1)
    );
}

#[test]
fn a_replay_emits_outcomes_again_and_calls_nobody() {
    let mut bench = Bench::new(Doubt::Nothing);
    bench
        .reads(id(1))
        .reads(id(2))
        .permits(2)
        .answers(id(1), ACCEPTED)
        .answers(id(2), Answer::Refused("no"));
    bench
        .restart()
        .reads(id(1))
        .reads(id(2))
        .permits(9)
        .passes(9_999);
    assert_eq!(
        bench.outcomes,
        [
            Outcome::Sent,
            Outcome::Failed,
            Outcome::Sent,
            Outcome::Failed
        ]
    );
    assert_eq!((bench.calls, bench.gate.counts.repeated), (2, 2));
}

#[test]
fn another_channel_is_not_called_while_one_is_open_unknown_or_sent() {
    let other = CallId {
        channel: Channel::Sms,
        ..id(1)
    };
    for answer in [
        None,
        Some(Answer::NoAnswer("timeout")),
        Some(ACCEPTED),
        Some(BUSY),
    ] {
        let mut bench = Bench::new(Doubt::Nothing);
        bench.reads(id(1)).permits(1);
        if let Some(answer) = answer {
            bench.answers(id(1), answer).passes(0);
        }
        bench.reads(other).hears(Completion::Permits(
            Channel::Sms,
            Permit::Any(Rank::Primary),
            1,
        ));
        assert_eq!((bench.calls, bench.gate.counts.dropped), (1, 1));
    }
}

#[test]
fn what_was_not_accepted_is_repeated_within_its_budget() {
    let mut bench = Bench::new(Doubt::Nothing);
    bench
        .reads(id(1))
        .permits(1)
        .answers(id(1), BUSY)
        .passes(0)
        .permits(1);
    assert_eq!(bench.calls, 1, "it rests first");
    bench.passes(200).permits(1).answers(id(1), BUSY);
    assert_eq!(
        (bench.calls, &bench.outcomes[..]),
        (2, &[Outcome::Failed][..])
    );
}

#[test]
fn a_crash_while_nothing_is_on_the_line_brings_no_doubt() {
    let mut bench = Bench::new(Doubt::Nothing);
    bench.reads(id(1)).permits(1).answers(id(1), BUSY);
    bench
        .restart()
        .reads(id(1))
        .permits(1)
        .answers(id(1), ACCEPTED);
    assert_eq!((bench.calls, bench.state(id(1))), (2, State::Sent));
}

#[test]
fn a_crash_with_a_call_on_the_line_waits_for_deadline_and_grace_and_is_then_unknown() {
    let mut bench = Bench::new(Doubt::Nothing);
    bench
        .reads(id(1))
        .permits(1)
        .restart()
        .reads(id(1))
        .passes(1_399)
        .permits(1);
    assert_eq!((bench.outcomes.len(), bench.calls), (0, 1));
    bench.passes(1);
    assert_eq!(
        (bench.state(id(1)), &bench.outcomes[..]),
        (State::Unknown, &[Outcome::Unknown][..])
    );
    bench.restart().reads(id(1)).permits(1);
    assert_eq!(bench.calls, 1);
}

#[test]
fn a_repeat_that_is_not_accepted_does_not_settle_the_doubt_before_it() {
    let mut bench = Bench::new(Doubt::Repeat { window_ms: 60_000 });
    bench
        .reads(id(1))
        .permits(1)
        .answers(id(1), Answer::NoAnswer("timeout"));
    for _ in 0..5 {
        bench.passes(3_000).permits(1).answers(id(1), BUSY);
    }
    assert_eq!(
        (bench.calls, bench.outcomes.len(), bench.state(id(1))),
        (6, 0, State::Sending)
    );
    bench.passes(60_000).permits(1);
    assert_eq!((bench.calls, bench.state(id(1))), (6, State::Unknown));
}

#[test]
fn a_repeat_that_is_refused_does_not_settle_the_doubt_before_it() {
    let mut bench = Bench::new(Doubt::Repeat { window_ms: 60_000 });
    bench
        .reads(id(1))
        .permits(1)
        .answers(id(1), Answer::NoAnswer("timeout"))
        .passes(1_000)
        .permits(1)
        .answers(id(1), Answer::Refused("http-422"));
    assert_eq!((bench.calls, bench.state(id(1))), (2, State::Unknown));
    assert_eq!(bench.outcomes, [Outcome::Unknown]);
}

#[test]
fn a_first_call_that_is_refused_after_others_were_not_accepted_has_failed() {
    let mut bench = Bench::new(Doubt::Repeat { window_ms: 60_000 });
    bench
        .reads(id(1))
        .permits(1)
        .answers(id(1), BUSY)
        .passes(1_000)
        .permits(1)
        .answers(id(1), Answer::Refused("http-422"));
    assert_eq!(bench.outcomes, [Outcome::Failed]);
}

#[test]
fn a_repeat_that_stood_in_line_beyond_the_window_is_not_made() {
    let mut bench = Bench::new(Doubt::Repeat { window_ms: 5_000 });
    bench
        .reads(id(1))
        .permits(1)
        .answers(id(1), Answer::NoAnswer("timeout"))
        .passes(500);
    bench.now = bench.now.plus_ms(4_000);
    bench.permits(1);
    assert_eq!(
        (bench.calls, bench.returned, bench.state(id(1))),
        (1, 1, State::Unknown)
    );
}

#[test]
fn a_question_that_was_answered_before_does_not_start_a_second_call() {
    let mut bench = Bench::new(Doubt::Ask);
    bench
        .reads(id(1))
        .permits(1)
        .restart()
        .reads(id(1))
        .passes(1_400);
    // the step was undone, its question was not
    bench
        .restart()
        .reads(id(1))
        .passes(0)
        .is_told_by_key(id(1), Word::NotTaken)
        .permits(1);
    assert_eq!((bench.questions, bench.calls), (2, 2));
    bench
        .is_told_by_key(id(1), Word::NotTaken)
        .passes(0)
        .permits(1);
    assert_eq!(bench.calls, 2);
}

#[test]
fn a_receipt_of_nothing_that_was_called_leaves_the_dispatch_in_line() {
    let mut bench = Bench::new(Doubt::Nothing);
    bench
        .reads(id(1))
        .receives(id(1), Outcome::Failed)
        .permits(1);
    assert_eq!(bench.calls, 1);
}

#[test]
fn a_receipt_of_an_earlier_call_does_not_speak_for_the_one_after_it() {
    let mut bench = Bench::new(Doubt::Ask);
    bench.reads(id(1)).permits(1);
    let first = bench.now;
    bench
        .restart()
        .reads(id(1))
        .passes(1_400)
        .is_told_by_key(id(1), Word::NotTaken)
        .permits(1);
    bench.answers(id(1), Answer::NoAnswer("timeout"));
    let second = std::mem::replace(&mut bench.now, first);
    bench.receives(id(1), Outcome::Failed);
    assert_eq!(bench.state(id(1)), State::Sending);
    bench.now = second;
    bench.receives(id(1), Outcome::Failed);
    assert_eq!(bench.outcomes, [Outcome::Failed]);
}

#[test]
fn a_receipt_settles_what_is_unknown_and_an_operator_does_once() {
    let unknown = || {
        let mut bench = Bench::new(Doubt::Nothing);
        bench
            .reads(id(1))
            .permits(1)
            .answers(id(1), Answer::NoAnswer("timeout"))
            .passes(0);
        bench
    };
    let mut bench = unknown();
    bench
        .receives(id(1), Outcome::Sent)
        .resolves(id(1), Resolution::Failed);
    assert_eq!(
        (bench.state(id(1)), &bench.outcomes[1..]),
        (State::Sent, &[Outcome::Sent][..])
    );
    let mut bench = unknown();
    bench
        .resolves(id(1), Resolution::Failed)
        .resolves(id(1), Resolution::Sent);
    assert_eq!((bench.state(id(1)), bench.calls), (State::Failed, 1));
}

#[test]
fn a_notice_from_before_the_end_of_a_round_does_not_open_it_again() {
    let mut bench = Bench::new(Doubt::Nothing);
    bench.is_told(id(1), Standing::Held);
    assert_eq!(bench.state(id(1)), State::Held);
    bench
        .reads(id(1))
        .permits(1)
        .answers(id(1), Answer::NoAnswer("timeout"))
        .passes(0);
    bench
        .resolves(id(1), Resolution::Failed)
        .restart()
        .is_told(id(1), Standing::Held);
    assert_eq!(bench.state(id(1)), State::Failed);
}

#[test]
fn a_notice_from_before_a_message_was_suppressed_does_not_hold_it_again() {
    let mut bench = Bench::new(Doubt::Nothing);
    bench.is_told(id(1), Standing::Held);
    bench.is_told(id(1), Standing::Suppressed).restart();
    bench.is_told(id(1), Standing::Held);
    assert_eq!(bench.state(id(1)), State::Suppressed);
    // the next round may
    let next = CallId {
        version: Version(1),
        ..id(1)
    };
    bench.is_told(next, Standing::Held);
    assert_eq!(bench.state(id(1)), State::Held);
}

#[test]
fn a_misconfigured_channel_is_parked_and_uses_up_nothing() {
    let mut bench = Bench::new(Doubt::Nothing);
    bench.reads(id(1)).permits(1);
    for _ in 0..5 {
        bench
            .answers(id(1), Answer::Misconfigured("unauthorized"))
            .passes(9_999)
            .permits(1)
            .passes(1)
            .permits(1);
    }
    assert_eq!((bench.calls, bench.outcomes.len()), (6, 0));
}

#[test]
fn a_send_state_that_cannot_be_read_stops_and_calls_nobody() {
    let mut bench = Bench::new(Doubt::Nothing);
    bench.table.put(b"1/2026-01", b"\xff");
    let now = bench.now;
    let (mut out, mut effects) = (Vec::new(), Vec::new());
    let mut scope = Scope {
        table: &mut bench.table,
        holds: &mut bench.holds,
        out: &mut out,
        effects: &mut effects,
        now,
    };
    let error = bench
        .gate
        .on_dispatch(0, dispatch(id(1)), &mut scope)
        .unwrap_err()
        .to_string();
    assert!(error.contains("nothing may be sent"), "{error}");
}

const PRIMARY: Permit = Permit::Any(Rank::Primary);
const FALLBACK: Permit = Permit::Any(Rank::Fallback);

#[test]
fn what_the_first_provider_did_not_accept_may_go_to_the_second() {
    for answer in [BUSY, Answer::NotStarted, Answer::Misconfigured("http-401")] {
        let mut bench = Bench::with_fallback(Doubt::Nothing, Doubt::Nothing);
        bench.reads(id(1)).permit(PRIMARY, 1).answers(id(1), answer);
        bench.passes(1_000).permit(FALLBACK, 1);
        assert_eq!(bench.called, [Rank::Primary, Rank::Fallback]);
        bench.answers(id(1), ACCEPTED);
        assert_eq!(bench.outcomes, [Outcome::Sent]);
    }
}

#[test]
fn what_is_in_doubt_with_one_provider_takes_no_permit_of_the_other() {
    let window = Doubt::Repeat { window_ms: 60_000 };
    for (rank, permit, other) in [
        (Rank::Primary, PRIMARY, Rank::Fallback),
        (Rank::Fallback, FALLBACK, Rank::Primary),
    ] {
        for restarts in [0, 1] {
            let mut bench = Bench::with_fallback(window, window);
            bench.reads(id(1)).permit(permit, 1);
            if restarts == 0 {
                bench.answers(id(1), Answer::NoAnswer("timeout"));
            } else {
                bench.restart().reads(id(1));
            }
            bench.passes(5_000);
            assert_eq!(bench.lines.last(), Some(&Line::Only(rank)));
            bench
                .permit(Permit::Any(other), 1)
                .permit(Permit::Only(other), 1)
                .permit(permit, 1);
            assert_eq!((&bench.called[..], bench.returned), (&[rank][..], 3));
            bench.permit(Permit::Only(rank), 1);
            assert_eq!(bench.called, [rank, rank]);
        }
    }
}

#[test]
fn a_repeat_that_is_not_accepted_leaves_the_doubt_where_it_was() {
    let window = Doubt::Repeat { window_ms: 60_000 };
    let mut bench = Bench::with_fallback(window, window);
    bench.reads(id(1)).permit(PRIMARY, 1);
    bench.answers(id(1), Answer::NoAnswer("timeout"));
    bench.passes(1_000).permit(Permit::Only(Rank::Primary), 1);
    bench.answers(id(1), BUSY).passes(5_000).permit(FALLBACK, 1);
    assert_eq!(bench.called, [Rank::Primary, Rank::Primary]);
}

#[test]
fn a_doubt_is_settled_as_its_own_provider_allows() {
    let mut bench = Bench::with_fallback(Doubt::Ask, Doubt::Nothing);
    bench.reads(id(1)).permit(FALLBACK, 1);
    bench.answers(id(1), Answer::NoAnswer("timeout")).passes(0);
    assert_eq!(
        (&bench.outcomes[..], bench.questions),
        (&[Outcome::Unknown][..], 0)
    );
    let mut bench = Bench::with_fallback(Doubt::Nothing, Doubt::Ask);
    bench.reads(id(1)).permit(FALLBACK, 1).restart();
    bench.reads(id(1)).passes(1_400);
    assert_eq!(bench.asked, [Rank::Fallback]);
}

#[test]
fn a_key_that_its_provider_does_not_have_goes_to_that_one_before_any_other() {
    let mut bench = Bench::with_fallback(Doubt::Ask, Doubt::Ask);
    bench.reads(id(1)).permit(PRIMARY, 1);
    bench
        .answers(id(1), Answer::NoAnswer("timeout"))
        .passes(1_400);
    bench.is_told_by_key(id(1), Word::NotTaken).passes(0);
    assert_eq!(bench.lines.last(), Some(&Line::Only(Rank::Primary)));
    bench
        .permit(FALLBACK, 1)
        .permit(Permit::Only(Rank::Primary), 1);
    assert_eq!(bench.called, [Rank::Primary, Rank::Primary]);
    // that call never began: now any may be called
    bench.answers(id(1), Answer::NotStarted).passes(0);
    assert_eq!(bench.lines.last(), Some(&Line::Any));
}

#[test]
fn a_doubt_with_a_second_provider_that_is_there_no_more_is_unknown() {
    let mut bench = Bench::with_fallback(Doubt::Ask, Doubt::Ask);
    bench.reads(id(1)).permit(FALLBACK, 1);
    bench.rules = rule(Doubt::Ask).into();
    bench.restart().reads(id(1)).passes(1_400);
    assert_eq!(
        (&bench.outcomes[..], bench.questions),
        (&[Outcome::Unknown][..], 0)
    );
}

#[test]
fn a_receipt_that_says_failed_says_nothing_of_what_the_other_provider_was_given() {
    for (permit, of, state) in [
        (PRIMARY, RECEIPT, State::Failed),
        (FALLBACK, RECEIPT, State::Unknown),
        (PRIMARY, RECEIPT_OF_FALLBACK, State::Unknown),
        (FALLBACK, RECEIPT_OF_FALLBACK, State::Failed),
    ] {
        let mut bench = Bench::with_fallback(Doubt::Nothing, Doubt::Nothing);
        bench.reads(id(1)).permit(permit, 1);
        bench.answers(id(1), Answer::NoAnswer("timeout")).passes(0);
        bench.receives_for(id(1), Outcome::Failed, of);
        assert_eq!(bench.state(id(1)), state, "{of}");
        // that it was taken is so, whoever says it
        if state == State::Unknown {
            bench.receives_for(id(1), Outcome::Sent, of);
            assert_eq!(bench.state(id(1)), State::Sent, "{of}");
        }
    }
}
