//! A mail server: each message is a mail of its own, with a `Message-ID` made from the message
//! key.
//!
//! # How it works
//! A call is a task that ends at its time-out, waiting for a connection included. It holds one
//! conversation (`line`) on a connection of the pool; what the replies mean is said in `meaning`.
//! If the line breaks, or the time is up, what counts is whether the final dot may have been sent:
//! if not, the message was not accepted; else it is in doubt, and stays so, since a mail server
//! neither collapses repeats nor can be asked.
//!
//! # Invariants
//! - A mail of which the final dot may have left is never sent again from here.
//! - Recipients, texts, credentials and the server's own words are in no error, log line or
//!   metric; reasons are words of a fixed list.
//! - While the channel is set up wrongly it is parked (`provider/parking.rs`), and while its server is down its circuit
//!   is open (`provider/circuit.rs`).

mod letter;
mod line;
mod meaning;
pub mod settings;
mod tls;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use lettre::message::Mailbox;
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::extension::ClientId;
use sealpost_operators::gate::{Answer, CallId, Doubt, Word};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

use self::letter::{Letter, Sender};
use self::line::{Encryption, End, Line, Progress, Server, Unopened};
use self::settings::{ProviderSmtpConfig, SmtpTls};
use super::section::Section;
use super::standing::Standing;
use super::{Condition, Message, Provider, Reply, WallClock};
use crate::config::ChannelConfig;

/// See the module.
pub struct Smtp {
    desk: Arc<Desk>,
    runtime: Handle,
}

/// What the calls of a channel share.
struct Desk {
    server: Server,
    sender: Sender,
    timeout: Duration,
    keep_alive: Duration,
    /// One permit for each connection that there may be.
    room: Semaphore,
    resting: Mutex<Vec<Rested>>,
    clock: WallClock,
    standing: Standing,
}

/// A connection that rests between two messages.
struct Rested {
    line: Line,
    since: Instant,
}

/// What came of a conversation.
enum Said {
    /// An answer; also that there is none, if the message may have been taken.
    Answer(Answer),
    /// Nothing, before the message may have been taken.
    Nothing(&'static str),
}

fn broken(reason: &'static str, progress: &Progress) -> Said {
    if progress.may_be_taken() {
        Said::Answer(Answer::NoAnswer(reason))
    } else {
        Said::Nothing(reason)
    }
}

/// Where a conversation takes place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    /// On a connection that was just made.
    Fresh,
    /// On one that had rested, and may have been closed meanwhile.
    Rested,
}

impl Smtp {
    /// A provider as a channel is configured. Nothing is connected to yet. `variable` looks up
    /// what secrets are filled in with.
    ///
    /// # Errors
    /// When `[channels.NAME.smtp]` is missing or cannot be used, or TLS is asked of a build
    /// without it. The message names the key and never shows what a secret holds.
    pub fn new(
        section: impl Into<Section>,
        settings: &ChannelConfig,
        runtime: Handle,
        clock: WallClock,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Self> {
        let section = section.into();
        let Some(smtp) = &settings.smtp else {
            bail!(
                "channels.{section}.provider = \"smtp\" needs [channels.{section}.smtp] with its host and from"
            );
        };
        smtp.check(section)?;
        let key = |name: &str| format!("channels.{section}.smtp.{name}");
        let tls = || {
            tls::parameters(&smtp.host, smtp.ca_file.as_deref())
                .with_context(|| format!("channels.{section}.smtp"))
        };
        let encryption = match smtp.tls {
            SmtpTls::None => Encryption::None,
            SmtpTls::StartTls => Encryption::StartTls(tls()?),
            SmtpTls::Wrapper => Encryption::Wrapper(tls()?),
        };
        let credentials = match (&smtp.username, &smtp.password) {
            (Some(username), Some(password)) => Some(Credentials::new(
                username
                    .resolved(&variable)
                    .with_context(|| key("username"))?
                    .to_string(),
                password
                    .resolved(&variable)
                    .with_context(|| key("password"))?
                    .to_string(),
            )),
            _ => None,
        };
        let sender = sender(smtp).with_context(|| key("from"))?;
        let desk = Desk {
            server: Server {
                host: smtp.host.clone(),
                port: smtp.port(),
                encryption,
                credentials,
                hello: ClientId::Domain(sender.message_id_domain.clone()),
            },
            sender,
            timeout: Duration::from_millis(smtp.timeout_ms),
            keep_alive: Duration::from_millis(smtp.keep_alive_ms),
            room: Semaphore::new(smtp.connections.min(settings.max_in_flight)),
            resting: Mutex::default(),
            clock,
            standing: Standing::new(format!("channels.{section}"), "smtp", settings),
        };
        Ok(Self {
            desk: Arc::new(desk),
            runtime,
        })
    }
}

fn sender(smtp: &ProviderSmtpConfig) -> Result<Sender> {
    let from: Mailbox = smtp.from.parse()?;
    let message_id_domain = smtp
        .message_id_domain
        .clone()
        .unwrap_or_else(|| from.email.domain().to_owned());
    Ok(Sender {
        from,
        reply_to: smtp.reply_to.as_deref().map(str::parse).transpose()?,
        message_id_domain,
    })
}

impl Desk {
    /// One call, from its letter to what came of it.
    async fn call(&self, letter: Letter, deadline: Instant) -> Answer {
        let pass = match self.standing.pass() {
            Ok(pass) => pass,
            Err(answer) => return answer,
        };
        let progress = Progress::default();
        let said = match timeout_at(deadline, self.converse(&letter, &progress, deadline)).await {
            Ok(said) => said,
            Err(_) => broken("timeout", &progress),
        };
        match said {
            Said::Answer(answer) => self.standing.learn(answer, pass),
            Said::Nothing(reason) => self.standing.not_reached(reason, pass),
        }
    }

    async fn converse(&self, letter: &Letter, progress: &Progress, deadline: Instant) -> Said {
        // never closed: it belongs to this desk
        let Ok(_permit) = self.room.acquire().await else {
            return Said::Answer(Answer::NotStarted);
        };
        loop {
            let (origin, mut line) = match self.rested() {
                Some(line) => (Origin::Rested, line),
                None => {
                    let patience = deadline.saturating_duration_since(Instant::now());
                    match Line::open(&self.server, patience).await {
                        Ok(line) => (Origin::Fresh, line),
                        Err(Unopened::Answered(answer)) => return Said::Answer(answer),
                        Err(Unopened::NotReached(reason)) => return Said::Nothing(reason),
                    }
                }
            };
            match line.deliver(letter, progress).await {
                End::Answered(answer) => {
                    self.rest(line);
                    return Said::Answer(answer);
                }
                // a server that closes what rested too long says so now, or not at all
                End::Broken(_) | End::AnsweredLast(Answer::NotAccepted { .. })
                    if origin == Origin::Rested && !progress.may_be_taken() => {}
                End::AnsweredLast(answer) => return Said::Answer(answer),
                End::Broken(reason) => return broken(reason, progress),
            }
        }
    }

    /// The connection that has rested least; those that rested too long are dropped.
    fn rested(&self) -> Option<Line> {
        let mut resting = self.resting.lock().unwrap_or_else(PoisonError::into_inner);
        resting.retain(|rested| rested.since.elapsed() < self.keep_alive);
        resting.pop().map(|rested| rested.line)
    }

    fn rest(&self, line: Line) {
        let mut resting = self.resting.lock().unwrap_or_else(PoisonError::into_inner);
        resting.push(Rested {
            line,
            since: Instant::now(),
        });
    }
}

impl Provider for Smtp {
    fn name(&self) -> &'static str {
        "smtp"
    }

    fn doubt(&self) -> Doubt {
        Doubt::Nothing
    }

    fn parked(&self) -> Option<&'static str> {
        self.desk.standing.parked()
    }

    fn condition(&self) -> Condition {
        self.desk.standing.condition()
    }

    fn call(&self, messages: Vec<Message>, reply: Arc<Reply<Answer>>) {
        let deadline = Instant::now() + self.desk.timeout;
        let now = (self.desk.clock)();
        for message in messages {
            let (id, message_key) = (message.id, message.message_key.to_string());
            let letter = Letter::of(&self.desk.sender, &message, &message_key, now);
            let Some(letter) = letter else {
                reply.answer(vec![(id, Answer::Refused("destination-unreadable"))]);
                continue;
            };
            let (desk, reply) = (Arc::clone(&self.desk), Arc::clone(&reply));
            self.runtime.spawn(async move {
                let answer = desk.call(letter, deadline).await;
                reply.answer(vec![(id, answer)]);
            });
        }
    }

    /// Never asked: see [`Smtp::doubt`].
    fn ask(&self, ids: Vec<CallId>, reply: Arc<Reply<Word>>) {
        reply.answer(ids.into_iter().map(|id| (id, Word::Unclear)).collect());
    }
}
