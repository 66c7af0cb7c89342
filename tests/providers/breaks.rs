//! A line that breaks at every stage: before the first byte of the request nothing was accepted,
//! after it everything is in doubt, after the answer's head all is clear.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use sealpost_operators::gate::Answer;

use crate::desk::{Desk, id, impatient};
use crate::raw::Raw;
use crate::site::free_port;

fn not_accepted(reason: &'static str) -> Answer {
    Answer::NotAccepted {
        reason,
        retry_after_ms: None,
    }
}

#[test]
fn nobody_who_listens_is_not_accepted() {
    let desk = Desk::at(format!("http://127.0.0.1:{}/send", free_port()));
    assert_eq!(desk.call(1), not_accepted("connection-refused"));
}

#[test]
fn a_name_without_an_address_is_not_accepted() {
    // too long for a label: no name server is asked
    let desk = Desk::at(format!("http://{}.localhost/send", "a".repeat(70)));
    assert_eq!(desk.call(1), not_accepted("no-address"));
}

#[test]
fn a_connection_that_never_comes_about_is_not_accepted() {
    // connects queue up behind a listener that accepts none, until it answers no more
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address: SocketAddr = listener.local_addr().unwrap();
    let mut queued = Vec::new();
    while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(200)) {
        queued.push(stream);
        assert!(queued.len() < 20_000, "the queue never fills");
    }
    let desk = Desk::new(impatient(format!("http://{address}/send")));
    assert_eq!(desk.call(1), not_accepted("connect-timeout"));
}

#[test]
fn a_request_that_waits_for_a_free_connection_until_its_time_is_up_is_not_accepted() {
    let raw = Raw::start(|line| {
        line.request();
        // until the caller hangs up
        line.request();
    });
    let mut http = impatient(raw.url("/send"));
    http.connections = Some(1);
    let answers = Desk::new(http).calls(0..3);
    let doubts = answers
        .iter()
        .filter(|it| **it == Answer::NoAnswer("timeout"))
        .count();
    assert_eq!(doubts, 1, "{answers:?}");
    assert_eq!(raw.keys().len(), 1, "only one had a connection");
    // whoever gets the connection in the last moment has no time left to use it
    let waited = |it: &&Answer| matches!(it, Answer::NotAccepted { .. });
    assert_eq!(answers.iter().filter(waited).count(), 2, "{answers:?}");
}

#[test]
fn a_reset_after_any_number_of_bytes_of_the_request_is_in_doubt() {
    for bytes in [1, 10, 60, 150, 250] {
        // closed with something unread, a connection is reset
        let raw = Raw::start(move |line| line.read(bytes));
        let answer = Desk::at(raw.url("/send")).call(1);
        assert!(
            matches!(answer, Answer::NoAnswer(_)),
            "after {bytes} bytes: {answer:?}"
        );
    }
}

#[test]
fn a_close_after_the_whole_request_is_in_doubt_and_the_request_came_once() {
    let raw = Raw::start(|line| drop(line.request()));
    let desk = Desk::at(raw.url("/send"));
    let answers = desk.calls(0..50);
    assert!(
        answers.iter().all(|it| matches!(it, Answer::NoAnswer(_))),
        "{answers:?}"
    );
    let mut keys = raw.keys();
    keys.sort();
    let mut expected: Vec<_> = (0..50)
        .map(|user| id(user).message_key().to_string())
        .collect();
    expected.sort();
    assert_eq!(keys, expected);
}

#[test]
fn an_answer_that_breaks_off_in_its_head_is_in_doubt() {
    for part in [
        "H",
        "HTTP/1.1 2",
        "HTTP/1.1 200 OK\r\n",
        "HTTP/1.1 200 OK\r\nA: b\r\n",
    ] {
        let raw = Raw::start(move |line| {
            line.request();
            line.write(part);
        });
        let answer = Desk::at(raw.url("/send")).call(1);
        assert!(
            matches!(answer, Answer::NoAnswer(_)),
            "{part:?}: {answer:?}"
        );
    }
}

#[test]
fn an_answer_that_is_none_is_in_doubt() {
    for text in [
        "SSH-2.0-OpenSSH\r\n",
        "HTTP/9.9 200 OK\r\n\r\n",
        "\0\0\0\0\0\0\0\0\r\n\r\n",
    ] {
        let raw = Raw::start(move |line| {
            line.request();
            line.write(text);
        });
        let answer = Desk::at(raw.url("/send")).call(1);
        assert!(
            matches!(answer, Answer::NoAnswer(_)),
            "{text:?}: {answer:?}"
        );
    }
}

#[test]
fn a_head_without_an_end_is_in_doubt() {
    let raw = Raw::start(|line| {
        line.request();
        line.write("HTTP/1.1 200 OK\r\n");
        for _ in 0..200 {
            line.write(&format!("X-More: {}\r\n", "x".repeat(1_000)));
        }
    });
    let answer = Desk::at(raw.url("/send")).call(1);
    assert!(matches!(answer, Answer::NoAnswer(_)), "{answer:?}");
}

#[test]
fn an_answer_that_breaks_off_in_its_body_is_what_its_head_says() {
    for (status, sent) in [(200, true), (422, false)] {
        let raw = Raw::start(move |line| {
            line.request();
            line.write(&format!(
                "HTTP/1.1 {status} -\r\nContent-Length: 100\r\n\r\n{{\"id\""
            ));
        });
        let answer = Desk::at(raw.url("/send")).call(1);
        let expected = if sent {
            Answer::Accepted {
                provider_message_id: None,
            }
        } else {
            Answer::Refused("http-422")
        };
        assert_eq!(answer, expected);
    }
}

#[test]
fn silence_is_in_doubt_when_its_time_is_up_and_the_line_is_hung_up() {
    let raw = Raw::start(|line| {
        line.request();
        // ends when the caller hangs up
        line.request();
    });
    assert_eq!(
        Desk::new(impatient(raw.url("/send"))).call(1),
        Answer::NoAnswer("timeout")
    );
    raw.wait_until_ended(1);
}

#[test]
fn an_interim_answer_is_none() {
    let raw = Raw::start(|line| {
        line.request();
        line.write("HTTP/1.1 103 Early Hints\r\n\r\n");
        line.answer(422);
        line.close();
    });
    assert_eq!(
        Desk::at(raw.url("/send")).call(1),
        Answer::Refused("http-422")
    );
}

#[test]
fn redirects_are_not_followed() {
    for status in [301, 302, 303, 307, 308] {
        let raw = Raw::start(move |line| {
            line.request();
            line.write(&format!(
                "HTTP/1.1 {status} -\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n"
            ));
            line.close();
        });
        let answer = Desk::at(raw.url("/send")).call(1);
        let expected = match status {
            302 | 303 => Answer::NoAnswer("http-redirect"),
            _ => Answer::Misconfigured("http-redirect"),
        };
        assert_eq!(answer, expected, "{status}");
        assert_eq!(raw.keys().len(), 1);
    }
}

#[test]
fn an_id_that_holds_the_address_is_not_kept() {
    let raw = Raw::start(|line| {
        line.request();
        let body = format!("{{\"id\":\"m-{}\"}}", crate::desk::address(1));
        line.write(&format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        ));
        line.close();
    });
    let expected = Answer::Accepted {
        provider_message_id: None,
    };
    assert_eq!(Desk::at(raw.url("/send")).call(1), expected);
}
