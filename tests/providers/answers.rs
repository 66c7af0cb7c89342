//! What each kind of answer comes to, against the provider written apart.

use sealpost_operators::gate::{Answer, Word};
use sealpost_providerkit::check::Totals;
use sealpost_providerkit::ledger::{Event, digest};

use crate::desk::{Desk, address, id, impatient, settings};
use crate::kit::Kit;

/// One call of a provider with whom one thing always goes wrong: what it came to, and how often
/// the message was taken by the end.
fn one_call(fault: &str) -> (Answer, u64) {
    let kit = Kit::with_faults(&format!("{fault}=1"));
    let url = kit.url("/send");
    let http = match fault {
        "delay" | "late" | "drip-head" | "drip-body" => impatient(url),
        _ => settings(url),
    };
    let answer = Desk::new(http).call(7);
    let totals = Totals::of(&kit.lines());
    assert_eq!(totals.calls, 1, "{fault} was called more than once");
    (answer, totals.accepted)
}

fn accepted(id: Option<&str>) -> Answer {
    Answer::Accepted {
        provider_message_id: id.map(str::to_owned),
    }
}

fn kit_id(user: u64) -> String {
    format!("kit-{}", &id(user).message_key().to_string()[..16])
}

#[test]
fn a_call_says_what_it_must_and_keeps_the_id() {
    let kit = Kit::start(&[]);
    assert_eq!(
        Desk::at(kit.url("/send")).call(7),
        accepted(Some(&kit_id(7)))
    );
    let lines = kit.lines();
    let events: Vec<_> = lines.iter().map(|line| line.event).collect();
    assert_eq!(events, [Event::Call, Event::Accepted]);
    for line in lines {
        assert_eq!(line.key, id(7).message_key().to_string());
        assert_eq!(
            (line.channel.as_str(), line.address),
            ("email", digest(&address(7)))
        );
    }
}

#[test]
fn a_key_that_the_provider_has_already_is_sent() {
    assert_eq!(one_call("conflict"), (accepted(Some(&kit_id(7))), 1));
}

#[test]
fn a_body_that_cannot_be_read_is_sent_all_the_same() {
    assert_eq!(one_call("garbage"), (accepted(None), 1));
}

#[test]
fn a_body_that_drips_or_never_ends_is_sent_and_ends_in_time() {
    for fault in ["drip-body", "endless"] {
        assert_eq!(one_call(fault), (accepted(None), 1), "{fault}");
    }
}

#[test]
fn too_many_is_not_accepted_and_says_when_to_come_again() {
    let kit = Kit::start(&["--faults", "too-many=1", "--retry-after-seconds", "17"]);
    let expected = Answer::NotAccepted {
        reason: "http-429",
        retry_after_ms: Some(17_000),
    };
    assert_eq!(Desk::at(kit.url("/send")).call(7), expected);
}

#[test]
fn unavailable_is_not_accepted() {
    let expected = Answer::NotAccepted {
        reason: "http-503",
        retry_after_ms: None,
    };
    assert_eq!(one_call("unavailable"), (expected, 0));
}

#[test]
fn a_refusal_is_the_end_of_the_channel() {
    let (answer, taken) = one_call("refuse");
    assert!(matches!(answer, Answer::Refused(_)), "{answer:?}");
    assert_eq!(taken, 0);
}

#[test]
fn what_gives_no_answer_is_in_doubt_whether_taken_or_not() {
    for (fault, taken) in [
        ("swallow", 1),
        ("reset-in-request", 0),
        ("reset-after-request", 0),
        ("reset-in-answer", 1),
        ("delay", 1),
        ("late", 0),
        ("drip-head", 1),
    ] {
        let (answer, accepted) = one_call(fault);
        assert!(matches!(answer, Answer::NoAnswer(_)), "{fault}: {answer:?}");
        assert_eq!(accepted, taken, "{fault}");
    }
}

#[test]
fn an_error_of_the_server_is_in_doubt() {
    let (answer, _) = one_call("error");
    assert!(matches!(answer, Answer::NoAnswer(_)), "{answer:?}");
}

#[test]
fn statuses_that_mean_not_accepted_are_as_configured() {
    let kit = Kit::with_faults("error=1");
    let mut http = settings(kit.url("/send"));
    http.not_accepted = vec![500, 502, 504];
    for answer in Desk::new(http).calls(0..20) {
        assert!(matches!(answer, Answer::NotAccepted { .. }), "{answer:?}");
    }
}

#[test]
fn a_channel_that_is_set_up_wrongly_is_parked_and_not_called_for_every_message() {
    let kit = Kit::with_faults("misconfigured=1");
    let desk = Desk::at(kit.url("/send"));
    assert_eq!(desk.parked(), None);
    let Answer::Misconfigured(reason) = desk.call(0) else {
        panic!("it is set up wrongly");
    };
    for user in 1..20 {
        assert_eq!(desk.call(user), Answer::Misconfigured(reason));
    }
    assert_eq!(desk.parked(), Some(reason));
    // one went out, and another if this took long enough for the next try
    assert!(Totals::of(&kit.lines()).calls <= 3);
}

#[test]
fn a_question_is_answered_from_what_the_provider_took() {
    let kit = Kit::start(&["--faults", "swallow=1"]);
    let mut http = settings(kit.url("/send"));
    http.status_url = Some(sealpost::provider::http::secret::Secret::new(
        kit.url("/status/{key}"),
    ));
    let desk = Desk::new(http);
    assert_eq!(desk.ask(7), Word::NotTaken);
    assert!(matches!(desk.call(7), Answer::NoAnswer(_)));
    let taken = Word::Taken {
        provider_message_id: Some(kit_id(7)),
    };
    assert_eq!(desk.ask(7), taken);
}

#[test]
fn a_question_without_a_clear_answer_is_unclear() {
    let kit = Kit::start(&["--status-faults", "1"]);
    let status = |url: String| {
        let mut http = settings(kit.url("/send"));
        http.status_url = Some(sealpost::provider::http::secret::Secret::new(url));
        Desk::new(http).ask(7)
    };
    assert_eq!(status(kit.url("/status/{key}")), Word::Unclear);
    let nobody = crate::site::free_port();
    assert_eq!(
        status(format!("http://127.0.0.1:{nobody}/{{key}}")),
        Word::Unclear
    );
}

#[test]
fn many_calls_at_once_each_get_their_own_answer() {
    let kit = Kit::with_faults("refuse=0.3,garbage=0.2");
    let answers = Desk::new(sealpost::config::ProviderHttpConfig {
        connections: Some(16),
        ..settings(kit.url("/send"))
    })
    .calls(0..1_000);
    let lines = kit.lines();
    let keys = sealpost_providerkit::check::by_key(&lines);
    for (user, answer) in (0..).zip(answers) {
        let key = id(user).message_key().to_string();
        let taken = keys[key.as_str()].accepted == 1;
        assert_eq!(
            matches!(answer, Answer::Accepted { .. }),
            taken,
            "{answer:?}"
        );
        assert_eq!(matches!(answer, Answer::Refused(_)), !taken, "{answer:?}");
    }
}
