#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests"
)]

use std::sync::Condvar;
use std::sync::atomic::{AtomicI64, Ordering};

use sealpost_operators::gate::Doubt;
use sealpost_schemas::sealed::{KeyPurpose, Purpose};
use sealpost_schemas::{Kind, Period, Sealed, UserId, Version};
use tokio::runtime::Runtime;

use super::*;
use crate::provider::{Ailment, ChannelProviders};

const SHARD: Shard = Shard(3);

/// An inbox that shows what arrived.
#[derive(Default)]
struct Mailbox {
    arrived: Mutex<Vec<(Shard, Completion)>>,
    bell: Condvar,
}

impl Post for Mailbox {
    fn post(&self, completions: Vec<(Shard, Completion)>) {
        self.arrived.lock().unwrap().extend(completions);
        self.bell.notify_all();
    }
}

impl Mailbox {
    fn take(&self) -> Vec<Completion> {
        std::mem::take(&mut *self.arrived.lock().unwrap())
            .into_iter()
            .map(|(_, completion)| completion)
            .collect()
    }

    fn wait(&self) -> Vec<(Shard, Completion)> {
        let arrived = self.arrived.lock().unwrap();
        std::mem::take(
            &mut *self
                .bell
                .wait_while(arrived, |arrived| arrived.is_empty())
                .unwrap(),
        )
    }
}

const PERMIT: Permit = Permit::Any(Rank::Primary);
/// Of an intent, where it matters only that it comes back.
const DEADLINE: Timestamp = Timestamp(7);

/// Calls that went out together, and the way back.
type Batch = (Vec<Message>, Arc<Reply<Answer>>);

/// A provider that leaves the answering to the test.
#[derive(Default)]
struct Puppet {
    calls: Mutex<Vec<Batch>>,
    condition: Mutex<Option<Condition>>,
}

impl Provider for Puppet {
    fn name(&self) -> &'static str {
        "puppet"
    }

    fn doubt(&self) -> Doubt {
        Doubt::Ask
    }

    fn condition(&self) -> Condition {
        self.condition.lock().unwrap().unwrap_or(Condition::Well)
    }

    fn call(&self, messages: Vec<Message>, reply: Arc<Reply<Answer>>) {
        self.calls.lock().unwrap().push((messages, reply));
    }

    fn ask(&self, ids: Vec<CallId>, reply: Arc<Reply<Word>>) {
        reply.answer(ids.into_iter().map(|id| (id, Word::NotTaken)).collect());
    }
}

/// Everything around a sender.
struct Scene {
    sender: Sender,
    puppet: Arc<Puppet>,
    /// The second provider, where there is one.
    second: Arc<Puppet>,
    mailbox: Arc<Mailbox>,
    ring: KeyRing,
    now_us: Arc<AtomicI64>,
    receipts: Arc<Mutex<Vec<(Shard, CallId, Answer)>>>,
    _runtime: Runtime,
}

fn ring(seed: &str) -> KeyRing {
    let mut calls = 0_u32;
    KeyRing::generate(&mut |bytes| {
        calls += 1;
        blake3::Hasher::new()
            .update(format!("{seed}{calls}").as_bytes())
            .finalize_xof()
            .fill(bytes);
    })
}

fn scene(in_flight_max: usize, rate_per_second: Option<u32>) -> Scene {
    scene_with(in_flight_max, rate_per_second, None)
}

/// One in which every channel has a second provider.
fn scene_of_two(in_flight_max: usize) -> Scene {
    scene_with(in_flight_max, None, Some(Arc::default()))
}

fn scene_with(
    in_flight_max: usize,
    rate_per_second: Option<u32>,
    second: Option<Arc<Puppet>>,
) -> Scene {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_time()
        .build()
        .unwrap();
    let puppet = Arc::new(Puppet::default());
    let now_us = Arc::new(AtomicI64::new(1_000_000));
    let receipts = Arc::new(Mutex::new(Vec::new()));
    let limits = Limits {
        in_flight_max,
        rate_per_second: rate_per_second.and_then(NonZeroU32::new),
        start_within: Duration::from_secs(2),
    };
    let (clock, heard) = (Arc::clone(&now_us), Arc::clone(&receipts));
    let sender = Sender::with_limits(
        [[limits; Rank::ALL.len()]; Channel::ALL.len()],
        Channel::ALL.map(|_| {
            let second = second.clone().map(|second| second as Arc<dyn Provider>);
            ChannelProviders::from(Arc::clone(&puppet) as Arc<dyn Provider>).with_fallback(second)
        }),
        Arc::new(ring("right").restricted_to(&[KeyPurpose::Destination])),
        Arc::new(move || Timestamp(clock.load(Ordering::SeqCst))),
        Timekeeping::system(runtime.handle().clone()),
        Box::new(move |shard, id, _, answer| heard.lock().unwrap().push((shard, id, answer))),
    );
    Scene {
        sender,
        puppet,
        second: second.unwrap_or_default(),
        mailbox: Arc::default(),
        ring: ring("right"),
        now_us,
        receipts,
        _runtime: runtime,
    }
}

fn id(user: u64) -> CallId {
    CallId {
        user_id: UserId::new(user).unwrap(),
        period: Period::new(2026, 1).unwrap(),
        kind: Kind::Bill,
        version: Version(0),
        channel: Channel::Email,
    }
}

fn address(user: u64) -> String {
    format!("user{user}@example.com")
}

fn dispatch_to(user: u64, destination: Sealed) -> Box<Dispatch> {
    let CallId {
        user_id,
        period,
        kind,
        version,
        channel,
    } = id(user);
    Box::new(Dispatch {
        user_id,
        period,
        kind,
        version,
        channel,
        message_key: id(user).message_key(),
        attempts_max: 3,
        destination,
        subject: None,
        body: "the bill".to_owned(),
        html: None,
        body_digest: Dispatch::digest_of(None, "the bill", None),
    })
}

fn sealed_by(ring: &KeyRing, user: u64) -> Sealed {
    ring.seal(
        Purpose::DestinationEmail,
        id(user).user_id,
        address(user).as_bytes(),
    )
    .unwrap()
}

impl Scene {
    fn post(&self) -> Weak<dyn Post> {
        let post: Arc<dyn Post> = Arc::clone(&self.mailbox) as _;
        Arc::downgrade(&post)
    }

    fn serve(&self, effects: Vec<Effect>) {
        self.sender.serve(SHARD, effects, &self.post());
    }

    fn ask_permits(&self, permits: usize) {
        self.serve(vec![Effect::AskPermits(Channel::Email, Line::Any, permits)]);
    }

    /// Permits granted so far.
    fn granted(&self) -> usize {
        let permits = |completion: &Completion| match completion {
            Completion::Permits(Channel::Email, PERMIT, permits) => *permits,
            other => panic!("{other:?}"),
        };
        self.mailbox.take().iter().map(permits).sum()
    }

    fn dispatch(&self, user: u64) -> Effect {
        Effect::Call(
            dispatch_to(user, sealed_by(&self.ring, user)),
            Timestamp(2_000_000),
            Rank::Primary,
        )
    }

    /// Asks for permits and calls with them.
    fn call(&self, effects: Vec<Effect>) {
        self.ask_permits(effects.len());
        assert_eq!(self.granted(), effects.len());
        self.serve(effects);
    }

    fn answers(&self) -> Vec<(CallId, Answer)> {
        let answer = |completion| match completion {
            Completion::Answered(id, _, answer) => (id, answer),
            other => panic!("{other:?}"),
        };
        self.mailbox.take().into_iter().map(answer).collect()
    }

    fn called(&self) -> Vec<Batch> {
        std::mem::take(&mut self.puppet.calls.lock().unwrap())
    }

    fn is(&self, condition: Condition) {
        *self.puppet.condition.lock().unwrap() = Some(condition);
    }

    fn slots_taken(&self) -> usize {
        self.sender
            .snapshot(Channel::Email, Rank::Primary)
            .slots_taken
    }
}

#[test]
fn where_there_is_room_permits_are_granted_at_once() {
    let scene = scene(100, None);
    scene.ask_permits(60);
    assert_eq!(scene.granted(), 60);
    scene.ask_permits(60);
    assert_eq!(scene.granted(), 40);
    let snapshot = scene.sender.snapshot(Channel::Email, Rank::Primary);
    assert_eq!((snapshot.slots_taken, snapshot.permits_waiting), (100, 20));
}

#[test]
fn channels_do_not_share_slots() {
    let scene = scene(1, None);
    scene.serve(
        Channel::ALL
            .map(|channel| Effect::AskPermits(channel, Line::Any, 1))
            .into(),
    );
    assert_eq!(scene.mailbox.take().len(), Channel::ALL.len());
}

#[test]
fn a_call_carries_its_opened_destination_and_its_key() {
    let scene = scene(10, None);
    scene.call(vec![scene.dispatch(7)]);
    let (messages, reply) = scene.called().pop().unwrap();
    assert_eq!(messages[0].to.as_str(), Some(address(7).as_str()));
    assert_eq!(
        (messages[0].id, messages[0].message_key),
        (id(7), id(7).message_key())
    );
    assert_eq!(messages[0].body, "the bill");
    reply.answer(vec![(id(7), Answer::Refused("no"))]);
    assert_eq!(scene.answers(), vec![(id(7), Answer::Refused("no"))]);
}

#[test]
fn a_slot_is_free_again_however_the_call_ended() {
    let accepted = Answer::Accepted {
        provider_message_id: None,
    };
    let not_accepted = Answer::NotAccepted {
        reason: "busy",
        retry_after_ms: None,
    };
    let misconfigured = Answer::Misconfigured("401");
    for answer in [
        accepted,
        Answer::Refused("no"),
        not_accepted,
        Answer::NoAnswer("reset"),
        misconfigured,
    ] {
        let scene = scene(1, None);
        scene.call(vec![scene.dispatch(1)]);
        scene.ask_permits(1);
        assert_eq!((scene.slots_taken(), scene.granted()), (1, 0));
        let (_, reply) = scene.called().pop().unwrap();
        reply.answer(vec![(id(1), answer.clone())]);
        let arrived = scene.mailbox.take();
        assert!(matches!(&arrived[0], Completion::Answered(_, _, given) if *given == answer));
        assert!(matches!(
            arrived[1],
            Completion::Permits(Channel::Email, PERMIT, 1)
        ));
    }
}

#[test]
fn a_call_that_its_provider_forgets_ends_in_doubt_and_frees_its_slot() {
    let scene = scene(1, None);
    scene.call(vec![scene.dispatch(1)]);
    drop(scene.called());
    assert_eq!(
        scene.answers(),
        vec![(id(1), Answer::NoAnswer("call-abandoned"))]
    );
    assert_eq!(scene.slots_taken(), 0);
}

#[test]
fn past_its_deadline_a_call_is_not_started() {
    let scene = scene(1, None);
    scene.now_us.store(2_000_001, Ordering::SeqCst);
    scene.call(vec![scene.dispatch(1)]);
    assert_eq!(scene.answers(), vec![(id(1), Answer::NotStarted)]);
    assert!(scene.called().is_empty());
    assert_eq!(scene.slots_taken(), 0);
}

#[test]
fn at_its_deadline_a_call_is_still_started() {
    let scene = scene(1, None);
    scene.now_us.store(2_000_000, Ordering::SeqCst);
    scene.call(vec![scene.dispatch(1)]);
    assert_eq!(scene.called().len(), 1);
}

#[test]
fn returned_and_orphaned_permits_go_to_whoever_waits() {
    let scene = scene(4, None);
    scene.ask_permits(10);
    assert_eq!(scene.granted(), 4);
    scene.serve(vec![Effect::ReturnPermits(
        Channel::Email,
        Rank::Primary,
        3,
    )]);
    assert_eq!(scene.granted(), 3);
    scene
        .sender
        .orphan(SHARD, Completion::Permits(Channel::Email, PERMIT, 2));
    assert_eq!(scene.granted(), 2);
    assert_eq!(scene.slots_taken(), 4);
}

#[test]
fn a_call_without_a_permit_is_not_started_when_every_slot_is_taken() {
    let scene = scene(1, None);
    scene.sender.serve(
        Shard(9),
        vec![Effect::AskPermits(Channel::Email, Line::Any, 1)],
        &scene.post(),
    );
    assert_eq!(scene.granted(), 1);
    scene.serve(vec![scene.dispatch(1)]);
    assert_eq!(scene.answers(), vec![(id(1), Answer::NotStarted)]);
    assert!(scene.called().is_empty());
    assert_eq!(scene.slots_taken(), 1);
}

#[test]
fn every_call_is_made_once_and_every_permit_granted_under_a_rate() {
    let scene = scene(7, Some(2_000));
    let users = 300;
    let mut next = 0;
    let mut answered = Vec::new();
    scene.sender.serve(
        SHARD,
        vec![Effect::AskPermits(Channel::Email, Line::Any, users)],
        &scene.post(),
    );
    while answered.len() < users {
        for (_, completion) in scene.mailbox.wait() {
            match completion {
                Completion::Permits(_, _, permits) => {
                    let calls = (next..next + permits as u64)
                        .map(|user| scene.dispatch(user))
                        .collect();
                    next += permits as u64;
                    scene.serve(calls);
                }
                Completion::Answered(id, ..) => answered.push(id.user_id.get()),
                Completion::Asked(..) => panic!("nothing was asked"),
            }
            assert!(scene.slots_taken() <= 7);
        }
        // some calls begin later, on the timer's thread
        while answered.len() + scene.mailbox.arrived.lock().unwrap().len() < users {
            for (messages, reply) in scene.called() {
                let accepted = Answer::Accepted {
                    provider_message_id: None,
                };
                reply.answer(
                    messages
                        .iter()
                        .map(|message| (message.id, accepted.clone()))
                        .collect(),
                );
            }
            if !scene.mailbox.arrived.lock().unwrap().is_empty() {
                break;
            }
            std::thread::yield_now();
        }
    }
    answered.sort_unstable();
    assert_eq!(answered, (0..users as u64).collect::<Vec<_>>());
    assert_eq!(scene.slots_taken(), 0);
    assert_eq!(
        scene.sender.snapshot(Channel::Email, Rank::Primary).answers[0],
        users as u64
    );
}

#[test]
fn one_destination_that_does_not_open_fails_its_own_message_only() {
    let scene = scene(10, None);
    let broken = Effect::Call(
        dispatch_to(1, Sealed::from_bytes([1; 40])),
        Timestamp(2_000_000),
        Rank::Primary,
    );
    scene.call(vec![broken, scene.dispatch(2)]);
    assert_eq!(
        scene.answers(),
        vec![(id(1), Answer::Refused("destination-unreadable"))]
    );
    assert_eq!(scene.called()[0].0[0].id, id(2));
    assert_eq!((scene.sender.fatal(), scene.slots_taken()), (None, 0));
}

#[test]
fn a_key_ring_that_opens_nothing_stops_the_process_and_moves_nothing_on() {
    let scene = scene(10, None);
    let wrong = ring("another");
    let stranger = |user| {
        Effect::Call(
            dispatch_to(user, sealed_by(&wrong, user)),
            Timestamp(2_000_000),
            Rank::Primary,
        )
    };
    scene.call((1..=3).map(stranger).collect());
    let parked = Answer::Misconfigured("wrong key ring");
    assert_eq!(
        scene.answers(),
        [1, 2, 3].map(|user| (id(user), parked.clone()))
    );
    assert!(scene.called().is_empty());
    let fatal = scene.sender.fatal().unwrap();
    assert!(
        fatal.contains("destination/email") && fatal.contains("keys.file"),
        "{fatal}"
    );
    assert!(!fatal.contains('\n') && !fatal.contains('@'));
    scene.call(vec![stranger(4)]);
    assert_eq!(scene.answers(), vec![(id(4), parked)]);
    assert_eq!(scene.slots_taken(), 0);
}

#[test]
fn strangers_add_up_over_batches_and_one_user_counts_once() {
    let scene = scene(10, None);
    let wrong = ring("another");
    let call = |user| {
        scene.call(vec![Effect::Call(
            dispatch_to(user, sealed_by(&wrong, user)),
            Timestamp(2_000_000),
            Rank::Primary,
        )]);
        scene.answers().pop().unwrap().1
    };
    let refused = Answer::Refused("destination-unreadable");
    assert_eq!(
        [call(1), call(1), call(1), call(2)],
        [const { Answer::Refused("destination-unreadable") }; 4]
    );
    assert_ne!(call(3), refused);
}

#[test]
fn once_something_opened_the_ring_is_not_blamed() {
    let scene = scene(10, None);
    scene.call(vec![scene.dispatch(1)]);
    let wrong = ring("another");
    let stranger = |user| {
        Effect::Call(
            dispatch_to(user, sealed_by(&wrong, user)),
            Timestamp(2_000_000),
            Rank::Primary,
        )
    };
    scene.call((2..=6).map(stranger).collect());
    assert!(
        scene
            .answers()
            .iter()
            .all(|(_, answer)| *answer == Answer::Refused("destination-unreadable"))
    );
    assert_eq!(scene.sender.fatal(), None);
}

#[test]
fn damaged_values_say_nothing_about_the_ring() {
    let scene = scene(10, None);
    let damaged = |user| {
        Effect::Call(
            dispatch_to(user, Sealed::from_bytes([9; 40])),
            Timestamp(2_000_000),
            Rank::Primary,
        )
    };
    scene.call((1..=5).map(damaged).collect());
    assert_eq!(scene.answers().len(), 5);
    assert_eq!(scene.sender.fatal(), None);
}

#[test]
fn an_answer_after_its_worker_ended_becomes_a_receipt_if_it_decides_something() {
    let mut scene = scene(10, None);
    scene.call((1..=3).map(|user| scene.dispatch(user)).collect());
    scene.mailbox = Arc::default();
    let (_, reply) = scene.called().pop().unwrap();
    let accepted = Answer::Accepted {
        provider_message_id: Some("a".to_owned()),
    };
    reply.answer(vec![
        (id(1), accepted.clone()),
        (id(2), Answer::NoAnswer("reset")),
        (id(3), Answer::Refused("no")),
    ]);
    let expected = vec![
        (SHARD, id(1), accepted),
        (SHARD, id(3), Answer::Refused("no")),
    ];
    assert_eq!(*scene.receipts.lock().unwrap(), expected);
    assert_eq!(scene.slots_taken(), 0);
}

#[test]
fn an_orphaned_answer_or_word_becomes_a_receipt_if_it_decides_something() {
    let scene = scene(10, None);
    let accepted = Answer::Accepted {
        provider_message_id: None,
    };
    scene.sender.orphan(
        SHARD,
        Completion::Answered(id(1), DEADLINE, accepted.clone()),
    );
    scene.sender.orphan(
        SHARD,
        Completion::Answered(id(2), DEADLINE, Answer::NotStarted),
    );
    scene.sender.orphan(
        SHARD,
        Completion::Asked(
            id(3),
            DEADLINE,
            Word::Taken {
                provider_message_id: None,
            },
        ),
    );
    scene
        .sender
        .orphan(SHARD, Completion::Asked(id(4), DEADLINE, Word::NotTaken));
    let expected = vec![(SHARD, id(1), accepted.clone()), (SHARD, id(3), accepted)];
    assert_eq!(*scene.receipts.lock().unwrap(), expected);
}

#[test]
fn a_question_is_answered_to_the_shard_that_asked() {
    let scene = scene(10, None);
    scene.serve(vec![
        Effect::Ask(id(1), DEADLINE, Rank::Primary),
        Effect::Ask(id(2), DEADLINE, Rank::Primary),
    ]);
    let arrived = scene.mailbox.wait();
    assert_eq!(arrived.len(), 2);
    assert!(arrived.iter().all(|(shard, completion)| {
        *shard == SHARD && matches!(completion, Completion::Asked(_, DEADLINE, Word::NotTaken))
    }));
    assert_eq!(
        scene.sender.snapshot(Channel::Email, Rank::Primary).words,
        [0, 2, 0]
    );
}

#[test]
fn calls_are_handed_over_in_batches_and_counted() {
    let scene = scene(1_000, None);
    scene.call((0..600).map(|user| scene.dispatch(user)).collect());
    let called = scene.called();
    assert_eq!(
        called
            .iter()
            .map(|(messages, _)| messages.len())
            .collect::<Vec<_>>(),
        vec![256, 256, 88]
    );
    drop(called);
    let snapshot = scene.sender.snapshot(Channel::Email, Rank::Primary);
    assert_eq!((snapshot.started, snapshot.answers[3]), (600, 600));
    assert_eq!(snapshot.latency.iter().sum::<u64>(), 600);
}

#[test]
fn while_a_provider_is_down_nothing_is_granted_but_one_permit_to_try_it() {
    let scene = scene(10, None);
    scene.is(Condition::Ailing(Ailment::Down, Duration::from_secs(3_600)));
    scene.ask_permits(5);
    assert_eq!(scene.granted(), 0);
    assert!(scene.sender.is_circuit_open(Channel::Email, Rank::Primary));
    scene.is(Condition::Ailing(Ailment::Down, Duration::ZERO));
    scene.ask_permits(1);
    assert_eq!(scene.granted(), 1);
    scene.ask_permits(1);
    assert_eq!(scene.granted(), 0, "one at a time");
    scene.serve(vec![scene.dispatch(1)]);
    let (_, reply) = scene.called().pop().unwrap();
    scene.is(Condition::Well);
    reply.answer(vec![(id(1), Answer::Refused("no"))]);
    let arrived = scene.mailbox.take();
    assert!(matches!(arrived[0], Completion::Answered(..)));
    assert!(matches!(
        arrived[1],
        Completion::Permits(Channel::Email, PERMIT, 6)
    ));
}

#[test]
fn a_provider_that_is_down_is_tried_when_its_pause_is_over() {
    let scene = scene(10, None);
    scene.is(Condition::Ailing(Ailment::Down, Duration::from_millis(1)));
    scene.ask_permits(5);
    scene.is(Condition::Ailing(Ailment::Down, Duration::ZERO));
    // the timer's thread comes back by itself
    let arrived = scene.mailbox.wait();
    assert!(matches!(
        arrived[..],
        [(SHARD, Completion::Permits(Channel::Email, PERMIT, 1))]
    ));
}

const DOWN: Condition = Condition::Ailing(Ailment::Down, Duration::from_secs(3_600));
const TO_BE_TRIED: Condition = Condition::Ailing(Ailment::Down, Duration::ZERO);
const SECOND: Permit = Permit::Any(Rank::Fallback);

impl Scene {
    fn second_is(&self, condition: Condition) {
        *self.second.condition.lock().unwrap() = Some(condition);
    }

    /// The permits granted since the last time.
    fn permits(&self) -> Vec<(Permit, usize)> {
        let permits = |completion| match completion {
            Completion::Permits(Channel::Email, permit, permits) => (permit, permits),
            other => panic!("{other:?}"),
        };
        self.mailbox.take().into_iter().map(permits).collect()
    }
}

#[test]
fn while_the_first_provider_is_well_permits_are_its_own_and_else_the_seconds() {
    let scene = scene_of_two(10);
    scene.ask_permits(3);
    assert_eq!(scene.permits(), [(PERMIT, 3)]);
    scene.is(DOWN);
    scene.ask_permits(4);
    assert_eq!(scene.permits(), [(SECOND, 4)]);
    assert_eq!(scene.sender.down(), None);
    scene.is(Condition::Well);
    scene.ask_permits(2);
    assert_eq!(scene.permits(), [(PERMIT, 2)]);
    scene.is(DOWN);
    scene.second_is(DOWN);
    scene.ask_permits(2);
    assert_eq!(scene.permits(), []);
    assert_eq!(scene.sender.down(), Some(Channel::Email));
}

#[test]
fn who_waits_for_the_first_provider_gets_permits_of_the_second_once_the_first_is_down() {
    let scene = scene_of_two(2);
    scene.ask_permits(5);
    assert_eq!(scene.permits(), [(PERMIT, 2)]);
    scene.is(DOWN);
    scene.ask_permits(1);
    // the one more that asked, and one of the three that waited
    assert_eq!(scene.permits(), [(SECOND, 2)]);
    let waiting = |rank| scene.sender.snapshot(Channel::Email, rank).permits_waiting;
    assert_eq!((waiting(Rank::Primary), waiting(Rank::Fallback)), (0, 2));
}

#[test]
fn who_is_in_doubt_waits_for_its_own_provider_however_that_is() {
    let scene = scene_of_two(10);
    scene.is(DOWN);
    let only = |rank| Effect::AskPermits(Channel::Email, Line::Only(rank), 2);
    scene.serve(vec![only(Rank::Primary), only(Rank::Fallback)]);
    assert_eq!(scene.permits(), [(Permit::Only(Rank::Fallback), 2)]);
    scene.is(Condition::Well);
    scene.ask_permits(1);
    assert_eq!(
        scene.permits(),
        [(Permit::Only(Rank::Primary), 2), (PERMIT, 1)]
    );
}

#[test]
fn one_message_at_a_time_tries_the_first_provider_while_the_second_stands_in() {
    let scene = scene_of_two(10);
    scene.is(TO_BE_TRIED);
    scene.ask_permits(4);
    assert_eq!(scene.permits(), [(PERMIT, 1), (SECOND, 3)]);
    scene.ask_permits(2);
    assert_eq!(scene.permits(), [(SECOND, 2)]);
}

#[test]
fn calls_and_questions_go_to_the_provider_that_their_intent_names() {
    let scene = scene_of_two(10);
    let call = |user, rank| {
        let dispatch = dispatch_to(user, sealed_by(&scene.ring, user));
        Effect::Call(dispatch, Timestamp(2_000_000), rank)
    };
    scene.serve(vec![call(1, Rank::Fallback), call(2, Rank::Primary)]);
    let users = |puppet: &Puppet| -> Vec<u64> {
        let calls = puppet.calls.lock().unwrap();
        let messages = calls.iter().flat_map(|(messages, _)| messages);
        messages.map(|message| message.id.user_id.get()).collect()
    };
    assert_eq!(
        (users(&scene.puppet), users(&scene.second)),
        (vec![2], vec![1])
    );
    scene.serve(vec![Effect::Ask(id(1), DEADLINE, Rank::Fallback)]);
    let words = |rank| scene.sender.snapshot(Channel::Email, rank).words[1];
    assert_eq!((words(Rank::Primary), words(Rank::Fallback)), (0, 1));
}
