//! `POST /receipts/CHANNEL`, `/receipts/CHANNEL.fallback`: what a provider says later of a message. It settles what is unknown,
//! through the topic `receipts`, which the gate reads; it never sends anything.
//!
//! | the call of the key | `sent`, `delivered` | `failed` |
//! |---|---|---|
//! | unknown | written | written |
//! | open | written | 503: its own answer, or the question by key, comes first |
//! | failed | kept as failed, and told in the log | nothing |
//! | sent, or none of ours | nothing | nothing |

mod index;
mod settings;
mod signature;
mod verdict;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{MethodRouter, post};
use sealpost_operators::gate::CallId;
use sealpost_schemas::MessageKey;
use sealpost_schemas::record::{Outcome, Rank};
use sealpost_topology::batch::Batch;
use sealpost_topology::log::{Durability, Write};
use serde::Deserialize;
use tokio::sync::Semaphore;

use crate::deployment::{Deployment, now};
use crate::http::api::{blocking, body, no_such_path, parse};
use crate::http::problem::{Problem, answer};
use crate::metrics::Metrics;
use crate::provider::Section;
use crate::stages::user_period_key;
pub use index::{Call, Index, Standing};
pub use settings::ReceiptsConfig;
use signature::Seal;
pub use verdict::{Status, Verdict, judge, record};

/// The shortest secret, in bytes.
const SECRET_BYTES_MIN: usize = 16;
/// The longest id of a provider, in bytes.
const ID_BYTES_MAX: usize = 128;
/// Receipts that are worked on at once.
const AT_ONCE_MAX: usize = 16;
/// When a receipt about a call that is not decided yet is worth sending again.
const UNDECIDED_AFTER_S: u32 = 30;

/// See the module. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Desk(Arc<Inner>);

struct Inner {
    deployment: Deployment,
    seals: BTreeMap<Section, Seal>,
    index: Mutex<Index>,
    turns: Arc<Semaphore>,
    metrics: Arc<Metrics>,
}

/// What the body says.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Receipt {
    message_key: String,
    status: Status,
    /// What the provider calls the message.
    id: Option<String>,
}

impl Desk {
    /// A desk for the channels that have a secret.
    ///
    /// # Errors
    /// When a secret's variable is not set, or it is too short.
    pub(crate) fn of(deployment: &Deployment, metrics: Arc<Metrics>) -> Result<Self> {
        let mut seals = BTreeMap::new();
        let channels = deployment.config.channels.iter();
        let sections = channels.flat_map(|(channel, settings)| {
            let primary = (Section::from(*channel), settings.receipts.as_ref());
            let fallback = settings.fallback.as_ref().map(|fallback| {
                let section = Section {
                    rank: Rank::Fallback,
                    ..primary.0
                };
                (section, fallback.receipts.as_ref())
            });
            std::iter::once(primary).chain(fallback)
        });
        for (section, receipts) in sections {
            let Some(receipts) = receipts else {
                continue;
            };
            let key = format!("channels.{section}.receipts.secret");
            #[allow(clippy::disallowed_methods, reason = "`${NAME}` in a setting")]
            let secret = receipts
                .secret
                .resolved(|name| std::env::var(name).ok())
                .with_context(|| key.clone())?;
            if secret.len() < SECRET_BYTES_MIN {
                bail!("{key} must be at least {SECRET_BYTES_MIN} bytes");
            }
            seals.insert(section, Seal::new(secret, receipts.tolerance_s));
        }
        Ok(Self(Arc::new(Inner {
            index: Mutex::new(Index::new(deployment.clone())),
            deployment: deployment.clone(),
            seals,
            turns: Arc::new(Semaphore::new(AT_ONCE_MAX)),
            metrics,
        })))
    }

    /// What takes receipts.
    pub(crate) fn route(self) -> MethodRouter {
        post(receive).with_state(self)
    }
}

async fn receive(
    State(desk): State<Desk>,
    Path(section): Path<String>,
    request: Request,
) -> Response {
    let Ok(section) = section.parse::<Section>() else {
        return no_such_path().into_response();
    };
    let (label, metrics) = (section.channel.name(), Arc::clone(&desk.0.metrics));
    match take(desk, section, request).await {
        Ok(result) => {
            metrics.receipt(label, result);
            answer(StatusCode::OK, &serde_json::json!({ "result": result }))
        }
        Err(problem) => {
            metrics.receipt(label, "refused");
            problem.into_response()
        }
    }
}

/// One receipt. Returns a word for what was done with it.
async fn take(desk: Desk, section: Section, request: Request) -> Result<&'static str, Problem> {
    let Some(seal) = desk.0.seals.get(&section) else {
        return Err(Problem::new(
            StatusCode::NOT_FOUND,
            format!("no receipts are taken for {section}"),
            format!("set channels.{section}.receipts.secret"),
        ));
    };
    let headers = request.headers().clone();
    let body = body(request).await?;
    let taking = seal.check(&headers, &body, now().ms().div_euclid(1_000))?;
    let receipt: Receipt = parse(&body)?;
    let bad = |why: &str, what_to_do: &str| Problem::new(StatusCode::BAD_REQUEST, why, what_to_do);
    let key: MessageKey = receipt.message_key.parse().map_err(|_| {
        bad(
            "message_key is no message key",
            "send it as it came with the message",
        )
    })?;
    // an address has an @, or begins with +
    let is_plain = |id: &String| {
        (1..=ID_BYTES_MAX).contains(&id.len())
            && id
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"._:-".contains(&byte))
    };
    if !receipt.id.as_ref().is_none_or(is_plain) {
        return Err(bad(
            "id is no plain id",
            "send at most 128 letters, digits and . _ : -, or leave it out",
        ));
    }
    let asked_at = Instant::now();
    let (turns, inner) = (Arc::clone(&desk.0.turns), Arc::clone(&desk.0));
    let result = blocking(&turns, move || {
        inner.settle(section, key, receipt.status, receipt.id, asked_at)
    })
    .await?;
    taking.keep();
    Ok(result)
}

impl Inner {
    fn settle(
        &self,
        section: Section,
        key: MessageKey,
        status: Status,
        provider_message_id: Option<String>,
        asked_at: Instant,
    ) -> Result<&'static str, Problem> {
        let failed = |error: anyhow::Error| {
            tracing::error!("a receipt could not be taken: {error:#}");
            Problem::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "the receipt could not be written down",
                "send it again later",
            )
            .after_s(UNDECIDED_AFTER_S)
        };
        let mut index = self.index.lock().unwrap_or_else(PoisonError::into_inner);
        let found = index.find(key, asked_at).map_err(failed)?;
        drop(index);
        match judge(found, section, status) {
            Verdict::Settles(id, outcome) => {
                self.write(id, section.rank, outcome, provider_message_id)
                    .map_err(failed)?;
                Ok("settles")
            }
            Verdict::NothingToSettle => Ok("nothing-to-settle"),
            Verdict::Contradicts => {
                tracing::warn!(
                    "a receipt says that the message {key} was sent, which had failed on {section}"
                );
                Ok("contradicts")
            }
            Verdict::Undecided => Err(Problem::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "the call of this message is not decided yet",
                "send it again later",
            )
            .after_s(UNDECIDED_AFTER_S)),
        }
    }

    /// Writes it where the gate reads it.
    fn write(
        &self,
        id: CallId,
        rank: Rank,
        outcome: Outcome,
        provider_message_id: Option<String>,
    ) -> Result<()> {
        let receipt = record(id, rank, outcome, provider_message_id, now());
        let mut value = Vec::new();
        let mut encoder = self.deployment.values.receipt_encoder();
        encoder.encode(&receipt, &mut value)?;
        let mut batch = Batch::default();
        let key = user_period_key(id.user_id, id.period);
        batch.push(key.as_bytes(), Some(&value));
        let write = Write {
            topic: self.deployment.topics().receipts.clone(),
            shard: self.deployment.shard_of(id.user_id),
            batch,
        };
        // the provider is told that it need not come again
        Ok(self
            .deployment
            .log
            .append(vec![write], Durability::Machine)?)
    }
}
