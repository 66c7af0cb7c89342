//! A provider over HTTP: `POST` with the message key as `Idempotency-Key`, and, where it has an
//! address for that, `GET` by key.
//!
//! # How it works
//! A call is a task that ends at its time-out, waiting for a connection included. It makes at most
//! one exchange (`pool`, `line`); what the answer means is said in `meaning`. If there is no
//! answer, what counts is whether anything of the request had left (`wire`): if nothing had, it
//! was not accepted; else the message is in doubt.
//!
//! # Invariants
//! - A request of which anything may have left is never sent again from here: what comes next is
//!   decided by the gate, which knows what the provider can promise.
//! - Address, headers, recipients and texts are in no error, log line or metric; reasons are words
//!   of a fixed list.
//! - While the channel is set up wrongly it is parked (`provider/parking.rs`), and while its provider is down its circuit
//!   is open (`provider/circuit.rs`); nothing moves on because of it.

mod endpoint;
mod failure;
mod letter;
mod line;
mod meaning;
mod pool;
pub mod secret;
pub mod settings;
mod tls;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use hyper::header::{
    ACCEPT, CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER, USER_AGENT,
};
use hyper::{Method, Request, Uri};
use sealpost_operators::gate::{Answer, CallId, Doubt, Word};
use sealpost_schemas::sealed::Plaintext;
use tokio::runtime::Handle;
use tokio::time::Instant;

use self::endpoint::{Endpoint, Scheme};
use self::letter::Letter;
use self::meaning::Reading;
use self::pool::Pool;
use self::secret::Secret;
use self::settings::ProviderHttpConfig;
use self::tls::Tls;
use self::wire::Written;
use super::section::Section;
use super::standing::Standing;
use super::{Condition, Message, Provider, Reply, WallClock};
use crate::config::ChannelConfig;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// See the module.
pub struct Http {
    desk: Arc<Desk>,
    doubt: Doubt,
    runtime: Handle,
}

/// What the calls of a channel share.
struct Desk {
    send: Pool,
    status: Option<Pool>,
    headers: HeaderMap,
    reading: Reading,
    timeout: Duration,
    clock: WallClock,
    standing: Standing,
}

impl Http {
    /// A provider as a channel is configured. Nothing is connected to yet. `variable` looks up
    /// what secrets are filled in with.
    ///
    /// # Errors
    /// When `[channels.NAME.http]` is missing, an address or a header cannot be used, or TLS is
    /// asked of a build without it. The message names the key and never shows what it holds.
    pub fn new(
        section: impl Into<Section>,
        settings: &ChannelConfig,
        runtime: Handle,
        clock: WallClock,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Self> {
        let section = section.into();
        let Some(http) = &settings.http else {
            bail!(
                "channels.{section}.provider = \"http\" needs [channels.{section}.http] with its url"
            );
        };
        http.check(section)?;
        let pool = |name: &str, url: &Secret| -> Result<Pool> {
            let key = || format!("channels.{section}.http.{name}");
            let url = url.resolved(&variable).with_context(key)?;
            let endpoint =
                Endpoint::parse(&url).map_err(|error| anyhow::anyhow!("{} {error}", key()))?;
            let tls = match endpoint.scheme {
                Scheme::Plain => None,
                Scheme::Tls => {
                    Some(Tls::new(&endpoint.host, http.ca_file.as_deref()).with_context(key)?)
                }
            };
            let connections_max = http.connections.unwrap_or(settings.max_in_flight);
            let keep_alive = Duration::from_millis(http.keep_alive_ms);
            Ok(Pool::new(endpoint, tls, connections_max, keep_alive))
        };
        let send = pool("url", &http.url)?;
        let status = http
            .status_url
            .as_ref()
            .map(|url| pool("status_url", url))
            .transpose()?;
        let doubt = if settings.dedupes {
            Doubt::Repeat {
                window_ms: settings.dedupe_window,
            }
        } else if status.is_some() {
            Doubt::Ask
        } else {
            Doubt::Nothing
        };
        let desk = Desk {
            send,
            status,
            headers: headers(section, http, &variable)?,
            reading: Reading {
                not_accepted: http.not_accepted.clone(),
                retry_after_ms_max: http.retry_after_ms_max,
            },
            timeout: Duration::from_millis(http.timeout_ms),
            clock,
            standing: Standing::new(format!("channels.{section}"), "http", settings),
        };
        Ok(Self {
            desk: Arc::new(desk),
            doubt,
            runtime,
        })
    }
}

/// The configured headers, marked so that nothing below shows them either.
fn headers(
    section: Section,
    http: &ProviderHttpConfig,
    variable: &impl Fn(&str) -> Option<String>,
) -> Result<HeaderMap> {
    let mut headers = HeaderMap::new();
    headers.insert(ACCEPT, JSON);
    headers.insert(
        USER_AGENT,
        HeaderValue::from_static(concat!("sealpost/", env!("CARGO_PKG_VERSION"))),
    );
    for (name, value) in &http.headers {
        let key = || format!("channels.{section}.http.headers.{name}");
        let text = value.resolved(variable).with_context(key)?;
        let mut value = HeaderValue::from_str(&text)
            .map_err(|_| anyhow::anyhow!("{} holds what no header can hold", key()))?;
        value.set_sensitive(true);
        let name = HeaderName::from_bytes(name.as_bytes())
            .map_err(|_| anyhow::anyhow!("{} is no name of a header", key()))?;
        headers.insert(name, value);
    }
    Ok(headers)
}

impl Desk {
    fn request(
        &self,
        method: &Method,
        pool: &Pool,
        target: &Uri,
        letter: Letter,
    ) -> Request<Letter> {
        let mut request = Request::new(letter);
        *request.method_mut() = method.clone();
        *request.uri_mut() = target.clone();
        *request.headers_mut() = self.headers.clone();
        if let Ok(host) = HeaderValue::from_str(&pool.endpoint().authority) {
            request.headers_mut().insert(HOST, host);
        }
        request
    }

    /// One call, from its letter to what its answer means.
    async fn call(&self, letter: Letter, message_key: &str, deadline: Instant) -> Answer {
        let (Some(target), Ok(key)) = (
            self.send.endpoint().target(message_key),
            HeaderValue::from_str(message_key),
        ) else {
            // both were tried when the channel was set up
            return Answer::Misconfigured("bad-address");
        };
        let pass = match self.standing.pass() {
            Ok(pass) => pass,
            Err(answer) => return answer,
        };
        let request = || {
            let mut request = self.request(&Method::POST, &self.send, &target, letter.clone());
            request.headers_mut().insert(CONTENT_TYPE, JSON);
            request.headers_mut().insert(IDEMPOTENCY_KEY, key.clone());
            request
        };
        match self.send.exchange(request, deadline).await {
            Ok(answered) => {
                let retry_after = answered
                    .headers
                    .get(RETRY_AFTER)
                    .and_then(|value| value.to_str().ok());
                let answer = self.reading.of_call(
                    answered.status,
                    retry_after,
                    &answered.body,
                    (self.clock)(),
                );
                self.standing.learn(answer, pass)
            }
            Err(failure) if failure.written == Written::Nothing => {
                self.standing.not_reached(failure.reason, pass)
            }
            Err(failure) => self.standing.learn(Answer::NoAnswer(failure.reason), pass),
        }
    }

    /// One question.
    async fn ask(&self, message_key: &str, deadline: Instant) -> Word {
        let Some(pool) = &self.status else {
            return Word::Unclear;
        };
        let Some(target) = pool.endpoint().target(message_key) else {
            return Word::Unclear;
        };
        let request = || self.request(&Method::GET, pool, &target, Letter::empty());
        match pool.exchange(request, deadline).await {
            Ok(answered) => meaning::of_question(answered.status, &answered.body),
            Err(_) => Word::Unclear,
        }
    }
}

impl Provider for Http {
    fn name(&self) -> &'static str {
        "http"
    }

    fn doubt(&self) -> Doubt {
        self.doubt
    }

    fn parked(&self) -> Option<&'static str> {
        self.desk.standing.parked()
    }

    fn condition(&self) -> Condition {
        self.desk.standing.condition()
    }

    fn call(&self, messages: Vec<Message>, reply: Arc<Reply<Answer>>) {
        let deadline = Instant::now() + self.desk.timeout;
        for message in messages {
            let message_key = message.message_key.to_string();
            let (id, letter) = (message.id, Letter::of(&message, &message_key));
            let Some(letter) = letter else {
                reply.answer(vec![(id, Answer::Refused("destination-unreadable"))]);
                continue;
            };
            // kept until the answer is there, and wiped then: see `without_address`
            let to = message.to;
            let (desk, reply) = (Arc::clone(&self.desk), Arc::clone(&reply));
            self.runtime.spawn(async move {
                let answer = desk.call(letter, &message_key, deadline).await;
                reply.answer(vec![(id, without_address(answer, &to))]);
            });
        }
    }

    fn ask(&self, ids: Vec<CallId>, reply: Arc<Reply<Word>>) {
        let deadline = Instant::now() + self.desk.timeout;
        for id in ids {
            let (desk, reply) = (Arc::clone(&self.desk), Arc::clone(&reply));
            self.runtime.spawn(async move {
                let word = desk.ask(&id.message_key().to_string(), deadline).await;
                reply.answer(vec![(id, word)]);
            });
        }
    }
}

/// A provider that calls a message by its recipient is not taken at its word: the id goes into
/// the result table in the clear.
fn without_address(answer: Answer, to: &Plaintext) -> Answer {
    match answer {
        Answer::Accepted {
            provider_message_id: Some(id),
        } if to.as_str().is_some_and(|to| id.contains(to)) => Answer::Accepted {
            provider_message_id: None,
        },
        answer => answer,
    }
}

/// What an answer means, and what one to a question by key would: for fuzzing, which no server
/// is in the way of.
#[doc(hidden)]
#[must_use]
pub fn meaning_of(status: u16, retry_after: Option<&str>, body: &[u8]) -> (Answer, Word) {
    let reading = meaning::Reading {
        not_accepted: vec![429, 503],
        retry_after_ms_max: 60_000,
    };
    let call = reading.of_call(status, retry_after, body, sealpost_schemas::Timestamp(0));
    (call, meaning::of_question(status, body))
}
