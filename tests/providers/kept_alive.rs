//! Connections that are used again: fewer of them, and no request that goes out twice.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

use sealpost::provider::http::secret::Secret;
use sealpost_operators::gate::Answer;

use crate::desk::{BODY, Desk, HTML, SUBJECT, id, settings};
use crate::raw::{Line, Raw};

const ACCEPTED: Answer = Answer::Accepted {
    provider_message_id: None,
};

fn answer_all(line: &mut Line) {
    while line.request().is_some() {
        line.answer(200);
    }
}

#[test]
fn calls_one_after_the_other_share_a_connection() {
    let raw = Raw::start(answer_all);
    let desk = Desk::at(raw.url("/send"));
    for user in 0..20 {
        assert_eq!(desk.call(user), ACCEPTED);
    }
    assert_eq!(raw.seen.open_max.load(Ordering::SeqCst), 1);
}

#[test]
fn there_are_never_more_connections_than_configured() {
    let raw = Raw::start(answer_all);
    let mut http = settings(raw.url("/send"));
    http.connections = Some(3);
    let desk = Desk::new(http);
    for round in 0..5 {
        let answers = desk.calls(round * 100..round * 100 + 100);
        assert!(answers.iter().all(|it| *it == ACCEPTED), "{answers:?}");
    }
    assert!(raw.seen.open_max.load(Ordering::SeqCst) <= 3);
}

#[test]
fn without_keep_alive_every_call_has_a_connection_of_its_own() {
    let raw = Raw::start(answer_all);
    let mut http = settings(raw.url("/send"));
    http.keep_alive_ms = 0;
    let desk = Desk::new(http);
    for user in 0..5 {
        assert_eq!(desk.call(user), ACCEPTED);
    }
    raw.wait_until_ended(5);
}

/// The server hangs up after each answer, which it does not say beforehand: the next call races
/// with that. Whoever wins, no request comes twice, and none that came is said not to have been
/// accepted.
#[test]
fn a_connection_that_is_hung_up_while_it_rests_costs_no_second_request() {
    let raw = Raw::start(|line| {
        line.request();
        line.answer(200);
        line.close();
    });
    let desk = Desk::at(raw.url("/send"));
    let mut in_doubt = 0;
    for user in 0..400 {
        match desk.call(user) {
            ACCEPTED => {}
            Answer::NoAnswer(_) => in_doubt += 1,
            other => panic!("{other:?}"),
        }
    }
    let keys = raw.keys();
    let distinct: BTreeSet<_> = keys.iter().collect();
    assert_eq!(keys.len(), distinct.len(), "a request came twice");
    assert!(in_doubt < 400, "no connection was ever found hung up");
}

#[test]
fn a_second_request_on_a_connection_that_breaks_is_in_doubt_and_not_made_again() {
    let raw = Raw::start(|line| {
        line.request();
        line.answer(200);
        // read, and not answered
        line.request();
    });
    let desk = Desk::at(raw.url("/send"));
    assert_eq!(desk.call(0), ACCEPTED);
    let answer = desk.call(1);
    assert!(matches!(answer, Answer::NoAnswer(_)), "{answer:?}");
    let expected: Vec<_> = (0..2)
        .map(|user| id(user).message_key().to_string())
        .collect();
    assert_eq!(raw.keys(), expected);
}

#[test]
fn a_connection_that_says_it_closes_is_not_used_again() {
    let raw = Raw::start(|line| {
        line.request();
        line.write("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        // had another request come, it would stay without an answer
        line.close();
    });
    let desk = Desk::at(raw.url("/send"));
    for user in 0..5 {
        assert_eq!(desk.call(user), ACCEPTED);
    }
}

#[test]
fn what_comes_after_an_answer_is_not_taken_for_the_next_one() {
    let raw = Raw::start(|line| {
        let nth = line.nth;
        if line.request().is_some() && nth == 0 {
            line.write(
                "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
            );
            line.close();
        } else {
            line.answer(422);
            line.close();
        }
    });
    let desk = Desk::at(raw.url("/send"));
    assert_eq!(desk.call(0), ACCEPTED);
    assert_eq!(desk.call(1), Answer::Refused("http-422"));
}

#[test]
fn a_request_is_as_documented_and_carries_the_configured_headers() {
    let raw = Raw::start(answer_all);
    let mut http = settings(raw.url("/send?tenant=7"));
    http.headers
        .insert("Authorization".to_owned(), Secret::new("Bearer hush"));
    assert_eq!(Desk::new(http).call(7), ACCEPTED);
    let request = raw.seen.requests.lock().unwrap().remove(0);
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    let head = head.to_ascii_lowercase();
    let key = id(7).message_key().to_string();
    for line in [
        "post /send?tenant=7 http/1.1".to_owned(),
        format!("idempotency-key: {key}"),
        "content-type: application/json".to_owned(),
        "authorization: bearer hush".to_owned(),
        raw.url("").replace("http://", "host: "),
    ] {
        assert!(head.lines().any(|it| it == line), "{line} is not in {head}");
    }
    let expected = serde_json::json!({
        "message_key": key, "channel": "email", "to": "user7@example.com",
        "subject": SUBJECT, "body": BODY, "html": HTML,
    });
    assert_eq!(
        serde_json::from_str::<serde_json::Value>(body).unwrap(),
        expected
    );
}
