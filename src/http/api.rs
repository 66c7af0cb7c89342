//! What a request to the API goes through: who makes it, what it holds, and the command that it
//! means, off the threads that serve.
//!
//! # Invariants
//! - Nothing is read of a body, and nothing is asked of the log, before it is known who asks.
//! - Everything is bounded: a body's size, the time it takes to arrive, commands at once, the
//!   time that one is waited for. A command that takes longer still goes on.
//! - A refusal repeats nothing that the request held but the name of a field.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, FromRequest as _, RawPathParams, Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{MethodRouter, get, post};
use serde::de::DeserializeOwned;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::access::Access;
use super::problem::{Problem, answer};
use crate::deployment::Deployment;

/// The largest body, in bytes.
pub(crate) const BODY_BYTES_MAX: usize = 64 * 1024;
/// How long a body may take to arrive.
const BODY_TIME_MAX: Duration = Duration::from_secs(10);
/// Commands and questions at once: each may read the log of a whole period.
const AT_ONCE_MAX: usize = 4;
/// How long a request waits for its turn.
const TURN_TIME_MAX: Duration = Duration::from_secs(10);
/// How long a command is waited for.
const COMMAND_TIME_MAX: Duration = Duration::from_secs(120);

/// What the API works with. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Api {
    deployment: Deployment,
    access: Arc<Access>,
    turns: Arc<Semaphore>,
}

/// Who makes a request: the name of a token.
#[derive(Clone)]
struct Caller(String);

impl Api {
    pub(crate) fn new(deployment: Deployment, access: Access) -> Self {
        Self {
            deployment,
            access: Arc::new(access),
            turns: Arc::new(Semaphore::new(AT_ONCE_MAX)),
        }
    }

    /// The API with its commands, to be nested.
    pub(crate) fn router(self, commands: Router<Self>) -> Router {
        commands
            .fallback(async || no_such_path())
            .method_not_allowed_fallback(async || method_not_allowed())
            .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
            .layer(from_fn_with_state(self.clone(), admit))
            .with_state(self)
    }

    /// Does something that blocks, when its turn has come, in the caller's name.
    async fn perform<T: Send + 'static>(
        &self,
        caller: &str,
        work: impl FnOnce(&Deployment) -> Result<T> + Send + 'static,
    ) -> Result<T, Problem> {
        let deployment = self.deployment.on_behalf_of(caller);
        blocking(&self.turns, move || {
            work(&deployment).map_err(|error| Problem::of_command(&error))
        })
        .await
    }
}

/// Does something that blocks, off the threads that serve, when its turn has come.
pub(crate) async fn blocking<T: Send + 'static>(
    turns: &Arc<Semaphore>,
    work: impl FnOnce() -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    let turn = timeout(TURN_TIME_MAX, Arc::clone(turns).acquire_owned()).await;
    let Ok(Ok(turn)) = turn else {
        return Err(Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "too much is being asked at once",
            "try again",
        )
        .after_s(1));
    };
    // kept until it is done, also when nobody waits for it any more
    let working = tokio::task::spawn_blocking(move || {
        let done = work();
        drop(turn);
        done
    });
    match timeout(COMMAND_TIME_MAX, working).await {
        Ok(Ok(done)) => done,
        Ok(Err(_)) => Err(Problem::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "it ended in the middle, which is a bug",
            "look at this process's log, and at `audit` for whether a command was written",
        )),
        Err(_) => Err(Problem::new(
            StatusCode::GATEWAY_TIMEOUT,
            format!(
                "it takes longer than {} s and goes on",
                COMMAND_TIME_MAX.as_secs()
            ),
            "look at `audit` for whether a command was written before giving it again",
        )),
    }
}

/// Nobody goes further who may not.
async fn admit(State(api): State<Api>, mut request: Request, next: Next) -> Response {
    match api.access.who(request.headers()) {
        Ok(caller) => {
            let caller = Caller(caller.to_owned());
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Err(problem) => problem.into_response(),
    }
}

pub(crate) fn no_such_path() -> Problem {
    Problem::new(
        StatusCode::NOT_FOUND,
        "there is nothing at this path",
        "docs/http.md lists what there is",
    )
}

pub(crate) fn method_not_allowed() -> Problem {
    Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "this path does not take this method",
        "the header Allow says which it takes",
    )
}

/// A question.
pub(crate) fn ask<A>(question: A) -> MethodRouter<Api>
where
    A: Fn(&Deployment) -> Result<serde_json::Value> + Clone + Send + Sync + 'static,
{
    ask_about(move |_: &Named, deployment| question(deployment))
}

/// A question about what the path names.
pub(crate) fn ask_about<A>(question: A) -> MethodRouter<Api>
where
    A: Fn(&Named, &Deployment) -> Result<serde_json::Value> + Clone + Send + Sync + 'static,
{
    get(
        async move |State(api): State<Api>, named: RawPathParams, request: Request| {
            let named = Named::of(&named);
            let asked = match caller(&request) {
                Ok(caller) => {
                    let asked = move |on: &Deployment| question(&named, on);
                    api.perform(&caller, asked).await
                }
                Err(problem) => Err(problem),
            };
            respond(asked)
        },
    )
}

/// A command, with what its body says.
pub(crate) fn command<B, C>(command: C) -> MethodRouter<Api>
where
    B: DeserializeOwned + Send + 'static,
    C: Fn(&Deployment, &B) -> Result<serde_json::Value> + Clone + Send + Sync + 'static,
{
    post(async move |State(api): State<Api>, request: Request| {
        let done = async {
            let caller = caller(&request)?;
            let body: B = parse(&body(request).await?)?;
            api.perform(&caller, move |deployment| command(deployment, &body))
                .await
        };
        respond(done.await)
    })
}

/// What a path names, as text.
pub(crate) struct Named(Vec<(String, String)>);

impl Named {
    fn of(params: &RawPathParams) -> Self {
        let params = params.iter();
        Self(
            params
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
        )
    }

    /// One of them.
    ///
    /// # Errors
    /// The caller's, when it is of the wrong form.
    pub(crate) fn parse<T: std::str::FromStr>(&self, name: &str) -> Result<T> {
        let text = self.0.iter().find(|(known, _)| known == name);
        text.and_then(|(_, text)| text.parse().ok()).ok_or_else(|| {
            crate::usage_error::UsageError(format!(
                "the path names no {name}: a period is YYYY-MM, a user a number"
            ))
            .into()
        })
    }
}

/// Who asks; and a question takes nothing after a `?`.
fn caller(request: &Request) -> Result<String, Problem> {
    if request.uri().query().is_some() {
        return Err(Problem::new(
            StatusCode::BAD_REQUEST,
            "there are unknown parameters after the `?`",
            "leave them out; periods and users are part of the path",
        ));
    }
    let caller = request.extensions().get::<Caller>();
    caller.map(|caller| caller.0.clone()).ok_or_else(|| {
        Problem::new(
            StatusCode::UNAUTHORIZED,
            "it is not known who asks",
            "send a token",
        )
    })
}

/// A body that says that it is JSON.
pub(crate) async fn body(request: Request) -> Result<Bytes, Problem> {
    debug_assert_ne!(request.method(), Method::GET);
    if !is_json(request.headers()) {
        return Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "the body does not say that it is JSON",
            "send the header `Content-Type: application/json`",
        ));
    }
    let length = request
        .headers()
        .get(header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if length.is_some_and(|length| length > BODY_BYTES_MAX as u64) {
        return Err(too_large());
    }
    match timeout(BODY_TIME_MAX, Bytes::from_request(request, &())).await {
        Ok(Ok(body)) => Ok(body),
        Ok(Err(rejection)) if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE => {
            Err(too_large())
        }
        Ok(Err(_)) => Err(Problem::new(
            StatusCode::BAD_REQUEST,
            "the body broke off",
            "send it again",
        )),
        Err(_) => Err(Problem::new(
            StatusCode::REQUEST_TIMEOUT,
            format!(
                "the body took longer than {} s to arrive",
                BODY_TIME_MAX.as_secs()
            ),
            "send it again",
        )),
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    headers
        .get(header::CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok())
        .and_then(|kind| kind.split(';').next())
        .is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
}

fn too_large() -> Problem {
    Problem::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        "the body is too large",
        format!("send at most {BODY_BYTES_MAX} bytes"),
    )
}

/// Reads a body.
pub(crate) fn parse<B: DeserializeOwned>(body: &[u8]) -> Result<B, Problem> {
    serde_json::from_slice(body).map_err(|error| {
        Problem::new(
            StatusCode::BAD_REQUEST,
            why_not(&error),
            "docs/http.md says what the body holds",
        )
    })
}

/// The reader's own words where they name a field; else only the place, since they would repeat
/// what stands there.
fn why_not(error: &serde_json::Error) -> String {
    let words = error.to_string();
    let named = ["unknown field `", "missing field `", "duplicate field `"];
    let field = named.into_iter().find_map(|begin| {
        let name = words.strip_prefix(begin)?.split('`').next()?;
        let is_plain = name.len() <= 64
            && name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-');
        Some(if is_plain {
            format!("{begin}{name}`")
        } else {
            format!("{}of no plain name", begin.trim_end_matches('`'))
        })
    });
    field.unwrap_or_else(|| {
        format!(
            "the body is not what is asked for, at line {}, column {}",
            error.line(),
            error.column()
        )
    })
}

fn respond(done: Result<serde_json::Value, Problem>) -> Response {
    match done {
        Ok(json) => answer(StatusCode::OK, &json),
        Err(problem) => problem.into_response(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Body {
        #[allow(dead_code, reason = "read, not used")]
        period: sealpost_schemas::Period,
    }

    fn refusal(body: &str) -> String {
        let error = serde_json::from_str::<Body>(body).unwrap_err();
        why_not(&error)
    }

    #[test]
    fn a_refusal_names_the_field_and_repeats_no_value() {
        assert_eq!(refusal(r#"{"perod": "a"}"#), "unknown field `perod`");
        assert_eq!(refusal("{}"), "missing field `period`");
        assert_eq!(
            refusal(r#"{"kim@example.com": 1}"#),
            "unknown field of no plain name"
        );
        for body in [
            r#"{"period": "kim@example.com"}"#,
            r#""kim@example.com""#,
            "{",
        ] {
            let refusal = refusal(body);
            assert!(refusal.starts_with("the body is not"), "{refusal}");
            assert!(!refusal.contains("kim"), "{refusal}");
        }
    }
}
