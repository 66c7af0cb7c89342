//! What a reply of a mail server means for the message. Pure.
//!
//! | step | 4xx | 5xx |
//! |---|---|---|
//! | greeting, `EHLO`, `STARTTLS`, `AUTH`, `MAIL` | not accepted | set up wrongly |
//! | `RCPT`, `DATA` | not accepted | refused; 530, 534, 535, 538: set up wrongly |
//! | after the final dot | not accepted | refused; 530, 534, 535, 538: set up wrongly |
//!
//! Replies often repeat the address: nothing of their text is used but an id after `queued as`.

use sealpost_operators::gate::Answer;

/// An id that a server gives to a message is not kept beyond this many bytes.
const ID_BYTES_MAX: usize = 64;

/// Which step of a conversation a reply is to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// The greeting and the first `EHLO`.
    Greeting,
    /// `STARTTLS`, and what follows from it.
    Encrypting,
    /// `AUTH`.
    SigningIn,
    /// `MAIL FROM`.
    Sender,
    /// `RCPT TO`.
    Recipient,
    /// `DATA`, before the message.
    Data,
    /// The message, after its final dot.
    Message,
}

/// What a negative reply, of 400 or more, means.
pub(super) fn of_negative(step: Step, code: u16) -> Answer {
    if code < 500 {
        return Answer::NotAccepted {
            reason: reason(step, code),
            retry_after_ms: None,
        };
    }
    match (step, code) {
        (Step::Recipient | Step::Data | Step::Message, code)
            if !matches!(code, 530 | 534 | 535 | 538) =>
        {
            Answer::Refused(reason(step, code))
        }
        _ => Answer::Misconfigured(reason(step, code)),
    }
}

/// The id in the reply to a message, such as `2.0.0 Ok: queued as 4fXyz`.
pub(super) fn id(text: &str) -> Option<String> {
    let (_, after) = text.split_once("queued as ")?;
    let id = after.split_whitespace().next()?;
    let is_of_id = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    (id.len() <= ID_BYTES_MAX && id.chars().all(is_of_id)).then(|| id.to_owned())
}

/// The word for a reply: of a fixed list, since it is a reason and a label.
const fn reason(step: Step, code: u16) -> &'static str {
    if code < 500 {
        return match step {
            Step::Greeting => "smtp-greeting-4xx",
            Step::Encrypting => "smtp-starttls-4xx",
            Step::SigningIn => "smtp-auth-4xx",
            Step::Sender => "smtp-sender-4xx",
            Step::Recipient => "smtp-recipient-4xx",
            Step::Data => "smtp-data-4xx",
            Step::Message => "smtp-message-4xx",
        };
    }
    match (step, code) {
        (_, 530) => "smtp-530",
        (_, 534) => "smtp-534",
        (_, 535) => "smtp-535",
        (_, 538) => "smtp-538",
        (Step::Greeting, _) => "smtp-greeting-5xx",
        (Step::Encrypting, _) => "smtp-starttls-5xx",
        (Step::SigningIn, _) => "smtp-auth-5xx",
        (Step::Sender, _) => "smtp-sender-refused",
        (Step::Recipient, 550) => "smtp-recipient-550",
        (Step::Recipient, 552) => "smtp-recipient-552",
        (Step::Recipient, _) => "smtp-recipient-5xx",
        (Step::Data, _) => "smtp-data-5xx",
        (Step::Message, _) => "smtp-message-5xx",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEPS: [Step; 7] = [
        Step::Greeting,
        Step::Encrypting,
        Step::SigningIn,
        Step::Sender,
        Step::Recipient,
        Step::Data,
        Step::Message,
    ];

    #[test]
    fn a_passing_failure_is_never_more_than_not_accepted() {
        for step in STEPS {
            for code in 400..500 {
                let answer = of_negative(step, code);
                assert!(matches!(answer, Answer::NotAccepted { .. }), "{step:?}");
            }
        }
    }

    #[test]
    fn only_what_is_said_of_recipient_or_message_refuses_it() {
        for step in STEPS {
            for code in 500..600 {
                let answer = of_negative(step, code);
                let of_message = matches!(step, Step::Recipient | Step::Data | Step::Message);
                let signs_in = matches!(code, 530 | 534 | 535 | 538);
                assert_eq!(
                    matches!(answer, Answer::Refused(_)),
                    of_message && !signs_in,
                    "{step:?} {code}"
                );
                assert_eq!(
                    matches!(answer, Answer::Misconfigured(_)),
                    !of_message || signs_in,
                    "{step:?} {code}"
                );
            }
        }
    }

    #[test]
    fn an_id_is_kept_and_an_address_is_not() {
        assert_eq!(
            id("2.0.0 Ok: queued as 4fXyz-1"),
            Some("4fXyz-1".to_owned())
        );
        for none in [
            "",
            "OK",
            "queued as ",
            "queued as me@mail.example",
            "2.1.5 <me@mail.example> ok",
        ] {
            assert_eq!(id(none), None, "{none}");
        }
    }
}
