//! What goes over the line: a message as mail.
//!
//! Invariants:
//! - But for `Date` it is a function of the message and the configuration: `Message-ID` and the
//!   boundary between its parts come from the message key, so that a repeat is the same mail.
//! - It is ASCII: texts are encoded, whatever the server can carry.

use std::time::{Duration, SystemTime};

use lettre::address::Envelope;
use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart, SinglePart};
use lettre::{Address, Message as Mail};
use sealpost_schemas::Timestamp;
use zeroize::Zeroizing;

use crate::provider::Message;

/// Carries the message key as it is, for whoever searches a mail server's records.
const KEY_HEADER: HeaderName = HeaderName::new_from_ascii_str("X-Sealpost-Message-Key");
/// RFC 3834: no machine is to answer this.
const AUTO_HEADER: HeaderName = HeaderName::new_from_ascii_str("Auto-Submitted");

/// Who writes; the same for every message.
pub(super) struct Sender {
    /// `From`, and the envelope's sender.
    pub(super) from: Mailbox,
    /// `Reply-To`.
    pub(super) reply_to: Option<Mailbox>,
    /// What stands behind the `@` of `Message-ID`.
    pub(super) message_id_domain: String,
}

/// A mail with its envelope.
pub(super) struct Letter {
    /// From whom and to whom.
    pub(super) envelope: Envelope,
    /// Head and parts; holds the address, wiped when dropped.
    pub(super) text: Zeroizing<Vec<u8>>,
}

impl Letter {
    /// A message; `None` if its address is none that mail could be sent to.
    pub(super) fn of(
        sender: &Sender,
        message: &Message,
        message_key: &str,
        now: Timestamp,
    ) -> Option<Self> {
        let to: Address = message.to.as_str()?.parse().ok()?;
        let since_1970 = Duration::from_millis(u64::try_from(now.ms()).ok()?);
        let mut mail = Mail::builder()
            .from(sender.from.clone())
            .to(Mailbox::new(None, to))
            .date(SystemTime::UNIX_EPOCH + since_1970)
            .message_id(Some(format!(
                "<{message_key}@{}>",
                sender.message_id_domain
            )))
            .raw_header(HeaderValue::new(KEY_HEADER, message_key.to_owned()))
            .raw_header(HeaderValue::new(AUTO_HEADER, "auto-generated".to_owned()));
        if let Some(reply_to) = &sender.reply_to {
            mail = mail.reply_to(reply_to.clone());
        }
        if let Some(subject) = &message.subject {
            mail = mail.subject(subject.trim_end());
        }
        let plain = SinglePart::plain(message.body.clone());
        let mail = match &message.html {
            Some(html) => mail.multipart(
                MultiPart::alternative()
                    .boundary(format!("sealpost-{message_key}"))
                    .singlepart(plain)
                    .singlepart(SinglePart::html(html.clone())),
            ),
            None => mail.singlepart(plain),
        }
        .ok()?;
        Some(Self {
            envelope: mail.envelope().clone(),
            text: Zeroizing::new(mail.formatted()),
        })
    }
}
