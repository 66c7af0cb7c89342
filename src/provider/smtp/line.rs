//! One connection to a mail server, and the conversation about one message.
//!
//! # How it is known whether the final dot was sent
//! The steps of a conversation are taken one by one, and not by lettre's `send`, whose error does
//! not say how far it came. The message itself is handed over as an iterator: lettre writes what
//! it is given, asks for more, and writes the dot when there is no more. So [`Progress`] is set
//! when the end is asked for, before the dot is written: whoever finds it unset, after an error or
//! a time-out, knows that the server never had a whole message.
//!
//! # Invariants
//! - lettre's own logging (its feature `tracing`, which shows the conversation) is not built in.
//! - A connection whose conversation did not end cleanly is dropped.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use lettre::transport::smtp::authentication::{Credentials, DEFAULT_MECHANISMS};
use lettre::transport::smtp::client::AsyncSmtpConnection;
use lettre::transport::smtp::commands::{Data, Mail, Rcpt, Rset};
use lettre::transport::smtp::extension::{ClientId, Extension, MailParameter};
use lettre::transport::smtp::{Error, response::Response};
use sealpost_operators::gate::Answer;

use super::letter::Letter;
use super::meaning::{self, Step};
use super::tls::Parameters;

/// How to reach the server.
pub(super) struct Server {
    /// Name or address.
    pub(super) host: String,
    /// Port.
    pub(super) port: u16,
    /// How the line is encrypted.
    pub(super) encryption: Encryption,
    /// Who signs in.
    pub(super) credentials: Option<Credentials>,
    /// How this program calls itself.
    pub(super) hello: ClientId,
}

/// How a line is encrypted.
pub(super) enum Encryption {
    /// Not at all.
    None,
    /// By `STARTTLS`.
    StartTls(Parameters),
    /// From the first byte.
    Wrapper(Parameters),
}

/// How far a conversation came, seen from outside of it, also when it was given up.
#[derive(Default)]
pub(super) struct Progress {
    dot: AtomicBool,
}

impl Progress {
    /// Whether the server may have a whole message.
    pub(super) fn may_be_taken(&self) -> bool {
        self.dot.load(Ordering::SeqCst)
    }
}

/// Why a connection could not be opened: no message was spoken of.
pub(super) enum Unopened {
    /// The server said something, or what it offers is not what is needed.
    Answered(Answer),
    /// It was not reached, or said nothing.
    NotReached(&'static str),
}

/// How a conversation ended.
pub(super) enum End {
    /// The server said something, and goes on listening.
    Answered(Answer),
    /// The server said something, and the line is of no more use.
    AnsweredLast(Answer),
    /// The line broke.
    Broken(&'static str),
}

/// See the module.
pub(super) struct Line {
    connection: AsyncSmtpConnection,
}

impl Line {
    /// Connects, shakes hands and signs in.
    pub(super) async fn open(server: &Server, patience: Duration) -> Result<Self, Unopened> {
        let wrapper = match &server.encryption {
            Encryption::Wrapper(parameters) => Some(parameters.clone()),
            Encryption::None | Encryption::StartTls(_) => None,
        };
        let address = (server.host.as_str(), server.port);
        let mut connection = AsyncSmtpConnection::connect_tokio1(
            address,
            Some(patience),
            &server.hello,
            wrapper,
            None,
        )
        .await
        .map_err(|error| unopened(Step::Greeting, &error))?;
        if let Encryption::StartTls(parameters) = &server.encryption {
            if !connection.can_starttls() {
                return Err(Unopened::Answered(Answer::Misconfigured(
                    "smtp-starttls-missing",
                )));
            }
            connection
                .starttls(parameters.clone(), &server.hello)
                .await
                .map_err(|error| unopened(Step::Encrypting, &error))?;
        }
        if let Some(credentials) = &server.credentials {
            let info = connection.server_info();
            if info.get_auth_mechanism(DEFAULT_MECHANISMS).is_none() {
                return Err(Unopened::Answered(Answer::Misconfigured(
                    "smtp-auth-missing",
                )));
            }
            connection
                .auth(DEFAULT_MECHANISMS, credentials)
                .await
                .map_err(|error| unopened(Step::SigningIn, &error))?;
        }
        Ok(Self { connection })
    }

    /// Hands a message over.
    pub(super) async fn deliver(&mut self, letter: &Letter, progress: &Progress) -> End {
        let envelope = &letter.envelope;
        let mut parameters = Vec::new();
        let is_ascii = |address: &lettre::Address| AsRef::<str>::as_ref(address).is_ascii();
        if !envelope
            .from()
            .into_iter()
            .chain(envelope.to())
            .all(is_ascii)
        {
            let info = self.connection.server_info();
            if !info.supports_feature(Extension::SmtpUtfEight) {
                return End::Answered(Answer::Refused("smtp-utf8-missing"));
            }
            parameters.push(MailParameter::SmtpUtfEight);
        }
        let mail = Mail::new(envelope.from().cloned(), parameters);
        let said = self.connection.command(mail).await;
        if let Some(end) = self.ended(Step::Sender, said).await {
            return end;
        }
        for to in envelope.to() {
            let said = self.connection.command(Rcpt::new(to.clone(), vec![])).await;
            if let Some(end) = self.ended(Step::Recipient, said).await {
                return end;
            }
        }
        let said = self.connection.command(Data).await;
        if said.as_ref().is_ok_and(|reply| !reply.has_code(354)) {
            return End::Broken("answer-unreadable");
        }
        if let Some(end) = self.ended(Step::Data, said).await {
            return end;
        }
        let text = std::iter::once(letter.text.as_slice()).chain(std::iter::from_fn(|| {
            progress.dot.store(true, Ordering::SeqCst);
            None
        }));
        match self.connection.message_iter(text).await {
            Ok(reply) if is_done(&reply) => End::Answered(Answer::Accepted {
                provider_message_id: reply.first_line().and_then(meaning::id),
            }),
            Ok(_) => End::Broken("answer-unreadable"),
            Err(error) => match code(&error) {
                Some(code) => last_if_closing(code, meaning::of_negative(Step::Message, code)),
                None => End::Broken(broken(&error)),
            },
        }
    }

    /// What a reply before the message ends, if it does. The server is told to forget the
    /// conversation; if it does not, the line is of no more use.
    async fn ended(&mut self, step: Step, said: Result<Response, Error>) -> Option<End> {
        let error = said.err()?;
        let Some(code) = code(&error) else {
            return Some(End::Broken(broken(&error)));
        };
        let end = last_if_closing(code, meaning::of_negative(step, code));
        let End::Answered(answer) = end else {
            return Some(end);
        };
        Some(match self.connection.command(Rset).await {
            Ok(_) => End::Answered(answer),
            Err(_) => End::AnsweredLast(answer),
        })
    }
}

/// 421: the server is closing the line.
const fn last_if_closing(code: u16, answer: Answer) -> End {
    if code == 421 {
        End::AnsweredLast(answer)
    } else {
        End::Answered(answer)
    }
}

fn is_done(reply: &Response) -> bool {
    (200..300).contains(&u16::from(reply.code()))
}

fn code(error: &Error) -> Option<u16> {
    error.status().map(u16::from)
}

/// What it means that a line could not be opened.
fn unopened(step: Step, error: &Error) -> Unopened {
    if let Some(code) = code(error) {
        return Unopened::Answered(meaning::of_negative(step, code));
    }
    match broken(error) {
        reason @ "tls-failed" => Unopened::Answered(Answer::Misconfigured(reason)),
        reason => Unopened::NotReached(reason),
    }
}

/// The word for a line that broke. The error's own text is not used: it may repeat what was said.
fn broken(error: &Error) -> &'static str {
    use std::io::ErrorKind;
    let mut source = std::error::Error::source(error);
    while let Some(inner) = source {
        if let Some(error) = inner.downcast_ref::<std::io::Error>() {
            return match error.kind() {
                // what TLS refuses comes as this, whatever breaks off as something else
                ErrorKind::InvalidData => "tls-failed",
                ErrorKind::ConnectionRefused => "connection-refused",
                ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => "unreachable",
                ErrorKind::TimedOut => "connect-timeout",
                _ => "connection-lost",
            };
        }
        source = inner.source();
    }
    if error.is_response() {
        "connection-closed"
    } else {
        "connection-failed"
    }
}
