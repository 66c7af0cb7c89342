//! What goes over the line: a message as JSON.
//!
//! Invariant: the text, which holds the one plaintext address there is, is written into one
//! buffer of the right size, shared by the tries of its call, and wiped when the last of them
//! has ended.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use hyper::body::{Body, Buf, Frame, SizeHint};
use serde::Serialize;
use zeroize::Zeroizing;

use crate::provider::Message;

#[derive(Serialize)]
struct Fields<'a> {
    message_key: &'a str,
    channel: &'static str,
    to: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<&'a str>,
    body: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    html: Option<&'a str>,
}

/// A request's body, possibly empty; cheap to clone.
#[derive(Clone)]
pub(super) struct Letter {
    text: Option<Arc<Zeroizing<Vec<u8>>>>,
}

impl Letter {
    /// No body at all.
    pub(super) const fn empty() -> Self {
        Self { text: None }
    }

    /// A message; `None` if its address is no text.
    pub(super) fn of(message: &Message, message_key: &str) -> Option<Self> {
        let fields = Fields {
            message_key,
            channel: message.id.channel.name(),
            to: message.to.as_str()?,
            subject: message.subject.as_deref(),
            body: &message.body,
            html: message.html.as_deref(),
        };
        let texts = [
            Some(fields.message_key),
            Some(fields.channel),
            Some(fields.to),
            fields.subject,
            Some(fields.body),
            fields.html,
        ];
        // 128 for names, quotes and commas; growing would leave a copy behind
        let bytes_max = texts
            .into_iter()
            .flatten()
            .map(escaped_bytes)
            .sum::<usize>()
            + 128;
        let mut text = Zeroizing::new(Vec::with_capacity(bytes_max));
        serde_json::to_writer(&mut *text, &fields).ok()?;
        debug_assert!(text.len() <= bytes_max, "the buffer has grown");
        Some(Self {
            text: Some(Arc::new(text)),
        })
    }

    fn bytes(&self) -> &[u8] {
        self.text.as_ref().map_or(&[], |text| text.as_slice())
    }
}

/// Bytes of a text in JSON, without its quotes.
fn escaped_bytes(text: &str) -> usize {
    let bytes = |byte: u8| match byte {
        b'"' | b'\\' => 2,
        // at most \u00XX
        0..=0x1f => 6,
        _ => 1,
    };
    text.bytes().map(bytes).sum()
}

/// What is left to write of a letter.
pub(super) struct Rest {
    letter: Letter,
    at: usize,
}

impl Buf for Rest {
    fn remaining(&self) -> usize {
        self.letter.bytes().len() - self.at
    }

    fn chunk(&self) -> &[u8] {
        self.letter.bytes().get(self.at..).unwrap_or_default()
    }

    fn advance(&mut self, count: usize) {
        self.at = (self.at + count).min(self.letter.bytes().len());
    }
}

impl Body for Letter {
    type Data = Rest;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Rest>, Infallible>>> {
        let text = self.text.take();
        Poll::Ready(text.map(|text| {
            let letter = Self { text: Some(text) };
            Ok(Frame::data(Rest { letter, at: 0 }))
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.text.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.bytes().len() as u64)
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

    use sealpost_operators::gate::CallId;
    use sealpost_schemas::sealed::Plaintext;
    use sealpost_schemas::{Channel, Kind, Period, UserId, Version};

    use super::*;

    fn message(body: &str) -> Message {
        let id = CallId {
            user_id: UserId::new(7).unwrap(),
            period: Period::new(2026, 1).unwrap(),
            kind: Kind::Bill,
            version: Version(0),
            channel: Channel::Sms,
        };
        Message {
            id,
            message_key: id.message_key(),
            to: Plaintext::new(b"+821012345678".to_vec()),
            subject: None,
            body: body.to_owned(),
            html: None,
        }
    }

    #[test]
    fn a_message_is_written_as_documented() {
        let mut message = message("청구 \"금액\"");
        let text = |message: &Message| {
            String::from_utf8(Letter::of(message, "abc").unwrap().bytes().to_vec()).unwrap()
        };
        assert_eq!(
            text(&message),
            r#"{"message_key":"abc","channel":"sms","to":"+821012345678","body":"청구 \"금액\""}"#
        );
        message.subject = Some("s".to_owned());
        message.html = Some("<p>".to_owned());
        assert_eq!(
            text(&message),
            r#"{"message_key":"abc","channel":"sms","to":"+821012345678","subject":"s","body":"청구 \"금액\"","html":"<p>"}"#
        );
    }

    #[test]
    fn the_buffer_never_grows_and_leaves_no_copy_behind() {
        let every: String = (0..=0x2ff_u32).filter_map(char::from_u32).collect();
        for text in [
            every.as_str(),
            "",
            &"\u{1}".repeat(5_000),
            &"\"".repeat(5_000),
        ] {
            let letter = Letter::of(&message(text), "abc").unwrap();
            // an allocation that has grown would have been doubled
            assert!(letter.bytes().len() <= escaped_bytes(text) + 128 + 16 + 6);
        }
    }

    #[test]
    fn an_address_that_is_no_text_is_no_letter() {
        let mut message = message("b");
        message.to = Plaintext::new(vec![0xff]);
        assert!(Letter::of(&message, "abc").is_none());
    }

    #[test]
    fn it_is_read_in_pieces_to_its_end() {
        let letter = Letter::of(&message("b"), "abc").unwrap();
        let whole = letter.bytes().to_vec();
        let mut rest = Rest { letter, at: 0 };
        let mut read = Vec::new();
        while rest.has_remaining() {
            let piece = rest.chunk().len().min(7);
            read.extend_from_slice(&rest.chunk()[..piece]);
            rest.advance(piece);
        }
        assert_eq!(read, whole);
    }
}
