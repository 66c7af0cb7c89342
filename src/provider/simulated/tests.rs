#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests"
)]

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, channel};

use sealpost_schemas::sealed::Plaintext;
use sealpost_schemas::{Channel, Kind, Period, Timestamp, UserId, Version};
use tokio::runtime::Runtime;

use super::*;

const ADDRESS: &str = "kim.minji@example.com";
const BODY: &str = "Kim Minji owes 13,013 won";
/// Tells the child process of a test where its ledger is.
const CHILD: &str = "SEALPOST_TEST_LEDGER_OF_CHILD";

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_time()
        .build()
        .unwrap()
}

fn period() -> Period {
    Period::new(2026, 1).unwrap()
}

fn id(user: u64) -> CallId {
    CallId {
        user_id: UserId::new(user).unwrap(),
        period: period(),
        kind: Kind::Bill,
        version: Version(0),
        channel: Channel::Email,
    }
}

fn message(user: u64) -> Message {
    Message {
        id: id(user),
        message_key: id(user).message_key(),
        to: Plaintext::new(ADDRESS.into()),
        subject: Some("bill".to_owned()),
        body: BODY.to_owned(),
        html: None,
    }
}

fn temper(latency_ms: u64, failure_rate: f64) -> Temper {
    Temper {
        latency: Duration::from_millis(latency_ms),
        failure_rate,
        doubt: Doubt::Ask,
    }
}

fn provider(data_dir: &Path, temper: Temper, runtime: &Runtime) -> Simulated {
    let clock: WallClock = Arc::new(|| Timestamp::from_ms(1_769_878_800_000));
    Simulated::new(
        Ledger::new(data_dir, Channel::Email),
        temper,
        runtime.handle().clone(),
        clock,
    )
}

/// Calls for these users; the answers come batch by batch.
fn call(provider: &Simulated, users: std::ops::Range<u64>) -> Receiver<Vec<(CallId, Answer)>> {
    let (hear, heard) = channel();
    let reply = Reply::new(
        users.clone().map(id).collect(),
        Answer::NoAnswer("lost"),
        move |answers| {
            // a test that is over no longer listens
            let _ = hear.send(answers);
        },
    );
    provider.call(users.map(message).collect(), Arc::new(reply));
    heard
}

fn ask(provider: &Simulated, users: std::ops::Range<u64>) -> Vec<Word> {
    let (hear, heard) = channel();
    let reply = Reply::new(
        users.clone().map(id).collect(),
        Word::Unclear,
        move |words| hear.send(words).unwrap(),
    );
    provider.ask(users.map(id).collect(), Arc::new(reply));
    heard
        .recv()
        .unwrap()
        .into_iter()
        .map(|(_, word)| word)
        .collect()
}

fn ledger_text(data_dir: &Path) -> String {
    std::fs::read_to_string(data_dir.join("provider-ledger").join("email-000001.ndjson")).unwrap()
}

#[test]
fn without_latency_a_call_is_answered_before_it_returns() {
    let (runtime, folder) = (runtime(), tempfile::tempdir().unwrap());
    let answers = call(&provider(folder.path(), temper(0, 0.0), &runtime), 0..100)
        .try_recv()
        .unwrap();
    assert_eq!(answers.len(), 100);
    assert!(answers.iter().all(|(_, answer)| matches!(
        answer,
        Answer::Accepted {
            provider_message_id: Some(_)
        }
    )));
    assert_eq!(
        Ledger::summary(folder.path(), period())
            .unwrap()
            .total
            .accepted,
        100
    );
}

#[test]
fn a_replay_draws_the_same_and_refuses_its_share() {
    let runtime = runtime();
    let run = || {
        let folder = tempfile::tempdir().unwrap();
        call(
            &provider(folder.path(), temper(0, 0.25), &runtime),
            0..10_000,
        )
        .recv()
        .unwrap()
    };
    let answers = run();
    assert_eq!(answers, run());
    let refused = answers
        .iter()
        .filter(|(_, answer)| *answer == Answer::Refused("simulated"))
        .count();
    assert!((2_300..2_700).contains(&refused), "{refused}");
}

#[test]
fn with_latency_it_draws_the_same_as_without() {
    let (runtime, folder) = (runtime(), tempfile::tempdir().unwrap());
    let by_id = |mut answers: Vec<(CallId, Answer)>| {
        answers.sort_by_key(|(id, _)| *id);
        answers
    };
    let quick = by_id(
        call(&provider(folder.path(), temper(0, 0.5), &runtime), 0..200)
            .recv()
            .unwrap(),
    );
    let slow = by_id(
        call(&provider(folder.path(), temper(20, 0.5), &runtime), 0..200)
            .recv()
            .unwrap(),
    );
    assert_eq!(quick, slow);
}

#[test]
fn a_key_that_is_called_twice_is_taken_twice() {
    let (runtime, folder) = (runtime(), tempfile::tempdir().unwrap());
    let provider = provider(folder.path(), temper(0, 0.0), &runtime);
    let first = call(&provider, 7..8).recv().unwrap();
    assert_eq!(call(&provider, 7..8).recv().unwrap(), first);
    let total = Ledger::summary(folder.path(), period()).unwrap().total;
    assert_eq!(
        (
            total.calls,
            total.accepted,
            total.users_accepted_more_than_once
        ),
        (2, 2, 1)
    );
}

#[test]
fn a_call_is_written_down_before_it_counts_as_begun() {
    let (runtime, folder) = (runtime(), tempfile::tempdir().unwrap());
    let answers = call(
        &provider(folder.path(), temper(3_600_000, 0.0), &runtime),
        0..5,
    );
    let total = Ledger::summary(folder.path(), period()).unwrap().total;
    assert_eq!((total.calls, total.accepted), (5, 0));
    assert!(answers.try_recv().is_err());
}

#[test]
fn a_provider_that_is_torn_down_leaves_doubts_and_nobody_waiting() {
    let (runtime, folder) = (runtime(), tempfile::tempdir().unwrap());
    let answers = call(
        &provider(folder.path(), temper(3_600_000, 0.0), &runtime),
        0..5,
    );
    runtime.shutdown_background();
    let answers = answers.recv().unwrap();
    assert!(
        answers.len() == 5
            && answers
                .iter()
                .all(|(_, answer)| *answer == Answer::NoAnswer("lost"))
    );
}

#[test]
fn twenty_thousand_calls_are_on_the_line_at_once() {
    let (runtime, folder) = (runtime(), tempfile::tempdir().unwrap());
    let provider = provider(folder.path(), temper(50, 0.01), &runtime);
    let lines: Vec<_> = (0..200)
        .map(|batch| call(&provider, batch * 100..(batch + 1) * 100))
        .collect();
    assert_eq!(
        lines
            .iter()
            .map(|answers| answers.recv().unwrap().len())
            .sum::<usize>(),
        20_000
    );
    let total = Ledger::summary(folder.path(), period()).unwrap().total;
    assert_eq!(
        (total.calls, total.accepted + total.refused),
        (20_000, 20_000)
    );
}

#[test]
fn asked_by_key_it_says_what_it_took() {
    let (runtime, folder) = (runtime(), tempfile::tempdir().unwrap());
    let provider = provider(folder.path(), temper(0, 0.0), &runtime);
    assert_eq!(ask(&provider, 0..1), vec![Word::NotTaken]);
    call(&provider, 0..1).recv().unwrap();
    let taken = Word::Taken {
        provider_message_id: Some(message_id(id(0).message_key())),
    };
    assert_eq!(ask(&provider, 0..2), vec![taken, Word::NotTaken]);
}

#[test]
fn a_ledger_that_cannot_be_read_says_neither_yes_nor_no() {
    let (runtime, folder) = (runtime(), tempfile::tempdir().unwrap());
    std::fs::write(folder.path().join("provider-ledger"), "not a folder").unwrap();
    let provider = provider(folder.path(), temper(0, 0.0), &runtime);
    assert_eq!(ask(&provider, 0..1), vec![Word::Unclear]);
}

#[test]
fn nothing_counts_as_taken_that_could_not_be_written_down() {
    let (runtime, folder) = (runtime(), tempfile::tempdir().unwrap());
    std::fs::write(folder.path().join("provider-ledger"), "not a folder").unwrap();
    let at_once = call(&provider(folder.path(), temper(0, 0.0), &runtime), 0..1)
        .recv()
        .unwrap();
    assert_eq!(
        at_once,
        vec![(id(0), Answer::NoAnswer("ledger-unwritable"))]
    );
    let later = call(&provider(folder.path(), temper(5, 0.0), &runtime), 0..1)
        .recv()
        .unwrap();
    assert_eq!(
        later,
        vec![(
            id(0),
            Answer::NotAccepted {
                reason: "ledger-unwritable",
                retry_after_ms: None
            }
        )]
    );
}

#[test]
fn the_ledger_shows_nobody() {
    let (runtime, folder) = (runtime(), tempfile::tempdir().unwrap());
    call(&provider(folder.path(), temper(0, 0.5), &runtime), 0..50)
        .recv()
        .unwrap();
    let text = ledger_text(folder.path());
    assert_eq!(text.lines().count(), 100);
    assert!(!text.contains("kim") && !text.contains("example.com") && !text.contains("won"));
}

/// The child of the test below: calls one message after the other and says each answer aloud.
/// As a test of its own it does nothing.
#[test]
#[allow(
    clippy::disallowed_methods,
    reason = "tells the child of a test from a test"
)]
fn child_that_is_killed_while_it_sends() {
    let Ok(data_dir) = std::env::var(CHILD) else {
        return;
    };
    let runtime = runtime();
    let provider = provider(Path::new(&data_dir), temper(0, 0.1), &runtime);
    let mut out = std::io::stdout();
    for user in 0..u64::MAX {
        for (id, answer) in call(&provider, user..user + 1).recv().unwrap() {
            let word = if matches!(answer, Answer::Accepted { .. }) {
                "accepted"
            } else {
                "refused"
            };
            writeln!(out, "\nanswer {} {word}", id.user_id).unwrap();
            out.flush().unwrap();
        }
    }
}

#[test]
fn what_a_killed_process_answered_is_in_its_ledger_and_another_process_finds_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "provider::simulated::tests::child_that_is_killed_while_it_sends",
            "--nocapture",
        ])
        .env(CHILD, folder.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut answered = Vec::new();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    for line in lines.map_while(Result::ok) {
        if let Some((user, word)) = line
            .strip_prefix("answer ")
            .and_then(|rest| rest.split_once(' '))
        {
            answered.push((user.parse::<u64>().unwrap(), word == "accepted"));
        }
        if answered.len() == 500 {
            // SIGKILL; what it still says until then is read as well
            child.kill().unwrap();
        }
    }
    assert!(!child.wait().unwrap().success());
    assert!(answered.len() >= 500, "{}", answered.len());

    let runtime = runtime();
    let heir = provider(folder.path(), temper(0, 0.0), &runtime);
    for (user, accepted) in &answered[..answered.len() - 1] {
        let taken = matches!(ask(&heir, *user..user + 1)[0], Word::Taken { .. });
        assert_eq!(taken, *accepted, "user {user}");
    }
    // and its ledger goes on in a file of its own
    call(&heir, 9_000_000..9_000_001).recv().unwrap();
    assert!(matches!(
        ask(&heir, 9_000_000..9_000_001)[0],
        Word::Taken { .. }
    ));
}
