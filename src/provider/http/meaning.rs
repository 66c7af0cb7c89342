//! What an answer over HTTP means for the message. Pure.
//!
//! | status | means |
//! |---|---|
//! | 2xx | sent |
//! | those of `not_accepted` (429, 503) | not taken; the same key again, not before `Retry-After` |
//! | 409 | the provider has this key already: sent |
//! | 401, 403, 404, 405, 407; 301, 307, 308 | the channel is set up wrongly |
//! | any other 4xx but 408 | refused: this channel failed |
//! | 408, any other 5xx or 3xx, anything else | no answer: in doubt |
//!
//! A 303 is what some servers say to a request that they did carry out, and a 302 may be: both
//! leave the message in doubt.

use jiff::fmt::rfc2822::DateTimeParser;
use sealpost_operators::gate::{Answer, Word};
use sealpost_schemas::Timestamp;

/// A provider's id of a message is not kept beyond this many bytes.
const ID_BYTES_MAX: usize = 256;

/// What is needed to read answers.
#[derive(Debug, Clone)]
pub(super) struct Reading {
    /// Statuses that mean: not taken.
    pub(super) not_accepted: Vec<u16>,
    /// The longest `Retry-After` that is waited for, in milliseconds.
    pub(super) retry_after_ms_max: i64,
}

impl Reading {
    /// What a call's answer means.
    ///
    /// `retry_after` is the header of that name, `body` what could be read of the body within
    /// time and bounds.
    pub(super) fn of_call(
        &self,
        status: u16,
        retry_after: Option<&str>,
        body: &[u8],
        now: Timestamp,
    ) -> Answer {
        match status {
            200..=299 => Answer::Accepted {
                provider_message_id: id(body),
            },
            _ if self.not_accepted.contains(&status) => {
                let retry_after_ms = retry_after.and_then(|text| wait_ms(text, now));
                if retry_after_ms.is_some_and(|wait| wait > self.retry_after_ms_max) {
                    return Answer::Refused("retry-after-too-long");
                }
                Answer::NotAccepted {
                    reason: reason(status),
                    retry_after_ms,
                }
            }
            409 => Answer::Accepted {
                provider_message_id: id(body),
            },
            301 | 307 | 308 | 401 | 403 | 404 | 405 | 407 => Answer::Misconfigured(reason(status)),
            408 => Answer::NoAnswer(reason(status)),
            400..=499 => Answer::Refused(reason(status)),
            _ => Answer::NoAnswer(reason(status)),
        }
    }
}

/// What the answer to a question by key means.
pub(super) fn of_question(status: u16, body: &[u8]) -> Word {
    match status {
        200 => Word::Taken {
            provider_message_id: id(body),
        },
        404 => Word::NotTaken,
        _ => Word::Unclear,
    }
}

/// `{"id": …}`, if that can be read: text or a number, short and printable.
fn id(body: &[u8]) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Fields {
        id: serde_json::Value,
    }
    let fields: Fields = serde_json::from_slice(body).ok()?;
    let id = match fields.id {
        serde_json::Value::String(id) => id,
        serde_json::Value::Number(id) => id.to_string(),
        _ => return None,
    };
    let fits = !id.is_empty() && id.len() <= ID_BYTES_MAX && !id.chars().any(char::is_control);
    fits.then_some(id)
}

/// `Retry-After` in milliseconds from now: seconds, or a date.
fn wait_ms(text: &str, now: Timestamp) -> Option<i64> {
    static PARSER: DateTimeParser = DateTimeParser::new();
    let text = text.trim();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        // more seconds than there are is as good as never
        let seconds = text.parse().unwrap_or(i64::MAX);
        return Some(seconds.saturating_mul(1_000));
    }
    let at = PARSER.parse_timestamp(text).ok()?;
    Some(at.as_millisecond().saturating_sub(now.ms()).max(0))
}

/// The word for a status: of a fixed list, since it is a reason and a label.
const fn reason(status: u16) -> &'static str {
    match status {
        300..=399 => "http-redirect",
        400 => "http-400",
        401 => "http-401",
        402 => "http-402",
        403 => "http-403",
        404 => "http-404",
        405 => "http-405",
        406 => "http-406",
        407 => "http-407",
        408 => "http-408",
        409 => "http-409",
        410 => "http-410",
        413 => "http-413",
        415 => "http-415",
        422 => "http-422",
        423 => "http-423",
        424 => "http-424",
        425 => "http-425",
        429 => "http-429",
        451 => "http-451",
        500 => "http-500",
        501 => "http-501",
        502 => "http-502",
        503 => "http-503",
        504 => "http-504",
        _ => match status / 100 {
            4 => "http-4xx",
            5 => "http-5xx",
            _ => "http-other",
        },
    }
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::indexing_slicing,
        clippy::panic,
        reason = "tests"
    )]

    use super::*;

    const NOW: Timestamp = Timestamp::from_ms(1_769_878_800_000);

    fn reading() -> Reading {
        Reading {
            not_accepted: vec![429, 503],
            retry_after_ms_max: 60_000,
        }
    }

    fn call(status: u16) -> Answer {
        reading().of_call(status, None, b"", NOW)
    }

    fn kind(answer: &Answer) -> &'static str {
        match answer {
            Answer::Accepted { .. } => "sent",
            Answer::Refused(_) => "refused",
            Answer::NotAccepted { .. } => "not accepted",
            Answer::NoAnswer(_) => "no answer",
            Answer::NotStarted => "not started",
            Answer::Misconfigured(_) => "misconfigured",
        }
    }

    #[test]
    fn every_status_means_what_is_documented() {
        for status in 100..=999 {
            let expected = match status {
                200..=299 | 409 => "sent",
                429 | 503 => "not accepted",
                301 | 307 | 308 | 401 | 403 | 404 | 405 | 407 => "misconfigured",
                408 => "no answer",
                400..=499 => "refused",
                _ => "no answer",
            };
            assert_eq!(kind(&call(status)), expected, "{status}");
        }
    }

    #[test]
    fn what_means_not_accepted_can_be_set_and_replaces_what_it_was() {
        let reading = Reading {
            not_accepted: vec![409, 500, 404],
            ..reading()
        };
        let kind = |status| kind(&reading.of_call(status, None, b"", NOW));
        for status in [409, 500, 404] {
            assert_eq!(kind(status), "not accepted");
        }
        assert_eq!((kind(429), kind(503)), ("refused", "no answer"));
    }

    #[test]
    fn an_id_is_kept_if_it_can_be_read() {
        let id = |body: &str| match reading().of_call(200, None, body.as_bytes(), NOW) {
            Answer::Accepted {
                provider_message_id,
            } => provider_message_id,
            other => panic!("{other:?}"),
        };
        assert_eq!(id(r#"{"id": "m-1", "more": []}"#), Some("m-1".to_owned()));
        assert_eq!(id(r#"{"id": 17}"#), Some("17".to_owned()));
        let long = format!(r#"{{"id": "{}"}}"#, "x".repeat(257));
        for none in [
            "",
            "{",
            "<html>",
            "[]",
            r#"{"id": null}"#,
            r#"{"id": ""}"#,
            r#"{"id": "a\nb"}"#,
            &long,
        ] {
            assert_eq!(id(none), None, "{none}");
        }
    }

    #[test]
    fn retry_after_is_kept_to_in_seconds_and_as_a_date() {
        let wait = |text: &str| match reading().of_call(429, Some(text), b"", NOW) {
            Answer::NotAccepted { retry_after_ms, .. } => retry_after_ms,
            other => panic!("{other:?}"),
        };
        assert_eq!(wait("2"), Some(2_000));
        assert_eq!(wait(" 60 "), Some(60_000));
        // NOW is 2026-01-31 17:00:00 UTC
        assert_eq!(wait("Sat, 31 Jan 2026 17:00:05 GMT"), Some(5_000));
        assert_eq!(wait("Sat, 31 Jan 2026 16:00:00 GMT"), Some(0));
        for none in ["", "soon", "-1", "1.5"] {
            assert_eq!(wait(none), None, "{none}");
        }
    }

    #[test]
    fn a_wait_beyond_the_budget_is_a_refusal() {
        for text in [
            "61",
            "99999999999999999999999",
            "Sun, 01 Feb 2026 17:00:00 GMT",
        ] {
            assert_eq!(
                reading().of_call(503, Some(text), b"", NOW),
                Answer::Refused("retry-after-too-long"),
                "{text}"
            );
        }
    }

    #[test]
    fn a_question_is_answered_by_200_and_404_alone() {
        assert_eq!(
            of_question(200, br#"{"id":"m"}"#),
            Word::Taken {
                provider_message_id: Some("m".to_owned())
            }
        );
        assert_eq!(of_question(404, b""), Word::NotTaken);
        for status in [201, 204, 301, 400, 401, 410, 429, 500, 503] {
            assert_eq!(of_question(status, b""), Word::Unclear, "{status}");
        }
    }
}
