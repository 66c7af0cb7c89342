//! The documented REST protocol of Confluent's Schema Registry, as far as it is needed.
//!
//! Every question is one that may be asked twice: looking up, and registering what may be
//! registered already. So whatever may pass (no connection, a reset, 429, 5xx) is asked again, with
//! growing pauses, until the configured time is over. Redirects are not followed and no proxy is
//! used: credentials go to the configured address and nowhere else.

use std::thread;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use sealpost_schemas::codec::SchemaId;
use serde::Deserialize;
use ureq::http::{HeaderValue, StatusCode, header};
use ureq::{Agent, Body};
use zeroize::Zeroizing;

use super::error::RegistryError;
use super::settings::SchemaRegistryConfig;

/// The protocol's own media type, and what else an answer may be in.
const ACCEPT: &str = "application/vnd.schemaregistry.v1+json, application/json";
const CONTENT_TYPE: &str = "application/vnd.schemaregistry.v1+json";
/// The longest that one attempt may take, so that a hung connection leaves time for another.
const ATTEMPT_MAX: Duration = Duration::from_secs(5);
const PAUSE_FIRST: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// The largest answer that is read: a schema of ours is 7 KB.
const ANSWER_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// How much of what a registry says goes into an error.
const SAID_CHARACTERS_MAX: usize = 400;
/// The protocol's codes of what is not there: subject, version, schema.
const NOT_FOUND_CODES: std::ops::RangeInclusive<u32> = 40_401..=40_499;

/// See the module.
pub(super) struct Client {
    agent: Agent,
    url: String,
    authorization: Option<HeaderValue>,
    patience: Duration,
}

/// A question.
enum Question<'a> {
    Get(String),
    Post(String, &'a serde_json::Value),
}

/// An answer that does not end the matter by itself.
struct Answer {
    status: StatusCode,
    body: Vec<u8>,
}

/// How one attempt ended.
enum Attempt {
    Answered(Answer),
    /// It may work another time: why it did not.
    Failed(String),
}

/// The body of an error.
#[derive(Default, Deserialize)]
struct Refusal {
    #[serde(default)]
    error_code: u32,
    #[serde(default)]
    message: String,
}

/// A schema by its id.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Registered {
    /// Its text.
    pub(super) schema: String,
    /// Missing means Avro.
    #[serde(default)]
    pub(super) schema_type: Option<String>,
}

#[derive(Deserialize)]
struct Identified {
    id: u32,
}

#[derive(Deserialize)]
struct Compatibility {
    is_compatible: bool,
    #[serde(default)]
    messages: Vec<String>,
    /// Some registries say it in this field.
    #[serde(default)]
    reason: String,
}

impl Client {
    pub(super) fn new(config: &SchemaRegistryConfig) -> Result<Self, RegistryError> {
        let builder = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(None)
            .accept(ACCEPT)
            .user_agent(concat!("sealpost/", env!("CARGO_PKG_VERSION")));
        #[cfg(feature = "tls")]
        let builder = builder.tls_config(
            ureq::tls::TlsConfig::builder()
                .provider(ureq::tls::TlsProvider::NativeTls)
                .root_certs(ureq::tls::RootCerts::PlatformVerifier)
                .build(),
        );
        let url = config.url.trim_end_matches('/').to_owned();
        let authorization = match authorization(config) {
            None => None,
            Some(value) => Some(value.map_err(|_| RegistryError::Unusable {
                url: url.clone(),
                problem: "username and password make no header".to_owned(),
            })?),
        };
        Ok(Self {
            agent: builder.build().new_agent(),
            url,
            authorization,
            patience: Duration::from_millis(config.timeout_ms),
        })
    }

    /// The id of a schema under a subject; `None` if the subject does not have it.
    pub(super) fn look_up(
        &self,
        subject: &str,
        schema: &str,
    ) -> Result<Option<SchemaId>, RegistryError> {
        let what = || format!("look up the schema of {subject}");
        let body = serde_json::json!({ "schema": schema });
        let subject = escaped(subject);
        // some registries compare texts unless they are told to compare what they mean
        for query in ["", "?normalize=true"] {
            let path = format!("/subjects/{subject}{query}");
            let answer = self.ask(&Question::Post(path, &body), what)?;
            if answer.status.is_success() {
                return self.identified(&answer).map(Some);
            }
            if !answer.is_not_found() {
                return Err(self.refusal(&answer, what()));
            }
        }
        Ok(None)
    }

    /// Registers a schema under a subject.
    pub(super) fn register(&self, subject: &str, schema: &str) -> Result<SchemaId, RegistryError> {
        let what = || format!("register the schema of {subject}");
        let body = serde_json::json!({ "schema": schema });
        let path = format!("/subjects/{}/versions", escaped(subject));
        let answer = self.ask(&Question::Post(path, &body), what)?;
        if answer.status.is_success() {
            return self.identified(&answer);
        }
        if answer.status == StatusCode::CONFLICT {
            return Err(RegistryError::Incompatible {
                subject: subject.to_owned(),
                said: answer.said(),
            });
        }
        Err(self.refusal(&answer, what()))
    }

    /// The schema with an id; `None` if there is none.
    pub(super) fn schema(&self, id: SchemaId) -> Result<Option<Registered>, RegistryError> {
        let what = || format!("read the schema {id}");
        let answer = self.ask(&Question::Get(format!("/schemas/ids/{id}")), what)?;
        if answer.status.is_success() {
            return answer
                .read()
                .map(Some)
                .ok_or_else(|| self.stranger(&answer));
        }
        if answer.is_not_found() {
            return Ok(None);
        }
        Err(self.refusal(&answer, what()))
    }

    /// What speaks against a schema as the next one of a subject, as the registry puts it; `None`
    /// if nothing does.
    pub(super) fn objection(
        &self,
        subject: &str,
        schema: &str,
    ) -> Result<Option<String>, RegistryError> {
        let what = || format!("compare the schema of {subject}");
        let body = serde_json::json!({ "schema": schema });
        let path = format!(
            "/compatibility/subjects/{}/versions/latest?verbose=true",
            escaped(subject)
        );
        let answer = self.ask(&Question::Post(path, &body), what)?;
        if answer.is_not_found() {
            // no earlier schema, nothing to be compatible with
            return Ok(None);
        }
        if !answer.status.is_success() {
            return Err(self.refusal(&answer, what()));
        }
        let found: Compatibility = answer.read().ok_or_else(|| self.stranger(&answer))?;
        if found.is_compatible {
            return Ok(None);
        }
        let said = std::iter::once(found.reason.as_str())
            .chain(found.messages.iter().map(String::as_str))
            .filter(|message| !message.is_empty());
        Ok(Some(one_line(&said.collect::<Vec<_>>().join("; "))))
    }

    /// Asks until there is an answer that asking again would not change.
    fn ask(
        &self,
        question: &Question<'_>,
        what: impl Fn() -> String,
    ) -> Result<Answer, RegistryError> {
        let began = Instant::now();
        let mut pause = PAUSE_FIRST;
        loop {
            let left = self.patience.saturating_sub(began.elapsed());
            let problem = match self.attempt(question, left.min(ATTEMPT_MAX))? {
                Attempt::Answered(answer) => return self.settled(answer, what),
                Attempt::Failed(problem) => problem,
            };
            let waited = began.elapsed();
            if waited + pause >= self.patience {
                return Err(RegistryError::Silent {
                    url: self.url.clone(),
                    waited_ms: waited.as_millis(),
                    problem,
                });
            }
            tracing::warn!("the schema registry did not answer, asking again: {problem}");
            thread::sleep(pause);
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    fn attempt(
        &self,
        question: &Question<'_>,
        patience: Duration,
    ) -> Result<Attempt, RegistryError> {
        // a time-out of nothing would be none at all
        let patience = Some(patience.max(Duration::from_millis(1)));
        let sent = match question {
            Question::Get(path) => {
                let mut request = self.agent.get(self.address(path));
                if let Some(authorization) = &self.authorization {
                    request = request.header(header::AUTHORIZATION, authorization);
                }
                request.config().timeout_global(patience).build().call()
            }
            Question::Post(path, body) => {
                let mut request = self
                    .agent
                    .post(self.address(path))
                    .header(header::CONTENT_TYPE, CONTENT_TYPE);
                if let Some(authorization) = &self.authorization {
                    request = request.header(header::AUTHORIZATION, authorization);
                }
                request
                    .config()
                    .timeout_global(patience)
                    .build()
                    .send(body.to_string())
            }
        };
        let read = sent.and_then(|response| {
            let status = response.status();
            let body: Body = response.into_body();
            let body = body
                .into_with_config()
                .limit(ANSWER_BYTES_MAX)
                .read_to_vec()?;
            Ok(Answer { status, body })
        });
        match read {
            Ok(answer) if is_passing(answer.status) => Ok(Attempt::Failed(format!(
                "status {}: {}",
                answer.status.as_u16(),
                answer.said()
            ))),
            Ok(answer) => Ok(Attempt::Answered(answer)),
            Err(
                error @ (ureq::Error::Io(_)
                | ureq::Error::Timeout(_)
                | ureq::Error::HostNotFound
                | ureq::Error::ConnectionFailed
                | ureq::Error::Protocol(_)),
            ) => Ok(Attempt::Failed(one_line(&error.to_string()))),
            Err(error) => Err(RegistryError::Unusable {
                url: self.url.clone(),
                problem: one_line(&error.to_string()),
            }),
        }
    }

    /// Sorts out the answers that mean the same whatever was asked.
    fn settled(&self, answer: Answer, what: impl Fn() -> String) -> Result<Answer, RegistryError> {
        let status = answer.status;
        if matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
            return Err(RegistryError::Credentials {
                url: self.url.clone(),
                what: what(),
                status: status.as_u16(),
            });
        }
        if status.is_redirection() || status.is_informational() {
            return Err(self.stranger(&answer));
        }
        Ok(answer)
    }

    fn address(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }

    fn identified(&self, answer: &Answer) -> Result<SchemaId, RegistryError> {
        answer
            .read::<Identified>()
            .and_then(|identified| SchemaId::new(identified.id))
            .ok_or_else(|| self.stranger(answer))
    }

    fn refusal(&self, answer: &Answer, what: String) -> RegistryError {
        // a path that the protocol does not have: whoever answers speaks another one
        let is_spoken = answer.read::<Refusal>().is_some_and(|refusal| {
            refusal.error_code != 0 || answer.status != StatusCode::NOT_FOUND
        });
        if is_spoken {
            RegistryError::Refused {
                what: format!("to {what}"),
                status: answer.status.as_u16(),
                said: answer.said(),
            }
        } else {
            self.stranger(answer)
        }
    }

    fn stranger(&self, answer: &Answer) -> RegistryError {
        RegistryError::NotARegistry {
            url: self.url.clone(),
            status: answer.status.as_u16(),
        }
    }
}

impl Answer {
    fn read<T: serde::de::DeserializeOwned>(&self) -> Option<T> {
        serde_json::from_slice(&self.body).ok()
    }

    /// Whether the registry itself says that there is no such thing. A 404 of somebody else, such
    /// as a proxy on the way, says nothing about it.
    fn is_not_found(&self) -> bool {
        self.status == StatusCode::NOT_FOUND
            && self
                .read::<Refusal>()
                .is_some_and(|refusal| NOT_FOUND_CODES.contains(&refusal.error_code))
    }

    fn said(&self) -> String {
        let message = self.read::<Refusal>().unwrap_or_default().message;
        if message.is_empty() {
            "it does not say why".to_owned()
        } else {
            one_line(&message)
        }
    }
}

/// Whether a status may be another one next time.
fn is_passing(status: StatusCode) -> bool {
    status.is_server_error()
        || matches!(
            status,
            StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT
        )
}

fn authorization(
    config: &SchemaRegistryConfig,
) -> Option<Result<HeaderValue, ureq::http::header::InvalidHeaderValue>> {
    let username = config.username.as_ref()?;
    let password = config.password.as_ref();
    let pair = Zeroizing::new(format!(
        "{username}:{}",
        password.map_or("", |password| password.reveal())
    ));
    let value = Zeroizing::new(format!("Basic {}", BASE64.encode(pair.as_bytes())));
    Some(HeaderValue::from_str(&value).map(|mut value| {
        value.set_sensitive(true);
        value
    }))
}

/// A subject as a part of a path.
fn escaped(subject: &str) -> String {
    let mut path = String::with_capacity(subject.len());
    for byte in subject.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            path.push(char::from(byte));
        } else {
            path.push_str(&format!("%{byte:02X}"));
        }
    }
    path
}

/// Text of somebody else, in one line and cut.
fn one_line(text: &str) -> String {
    let words: Vec<_> = text.split(char::is_whitespace).collect();
    let line: String = words
        .join(" ")
        .chars()
        .filter(|c| !c.is_control())
        .collect();
    match line.char_indices().nth(SAID_CHARACTERS_MAX) {
        Some((end, _)) => format!("{}…", line.get(..end).unwrap_or_default()),
        None => line,
    }
}
