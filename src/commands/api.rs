//! The commands as HTTP serves them: the same functions that the command line calls, a line each.

use axum::Router;
use sealpost_schemas::Period;
use serde::Deserialize;

use super::{
    Answer, audit, close, correct, dead_letters, hold, policy, resolve, retry, status, suppress,
};
use crate::deployment::Deployment;
use crate::http::api::{Api, Named, ask, ask_about, command};

/// A command about a period and nothing else.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct OfPeriod {
    period: Period,
}

/// Every path below `/api/v1`.
pub(super) fn routes() -> Router<Api> {
    let json = |answer: Answer| answer.json;
    let of_period = move |act: fn(&Deployment, Period) -> anyhow::Result<Answer>| {
        command(move |on: &Deployment, of: &OfPeriod| act(on, of.period).map(json))
    };
    let of_path = move |named: &Named, on: &Deployment| {
        status::command(on, Some(named.parse("period")?), None).map(json)
    };
    let of_user = move |named: &Named, on: &Deployment| {
        let (period, user) = (named.parse("period")?, named.parse("user")?);
        status::command(on, Some(period), Some(user)).map(json)
    };
    let policy = ask(move |on| policy::show(on).map(json))
        .merge(command(move |on, it| policy::set(on, it).map(json)));
    Router::new()
        .route(
            "/close",
            command(move |on, it| close::command(on, it).map(json)),
        )
        .route("/hold", command(move |on, it| hold::hold(on, it).map(json)))
        .route(
            "/release",
            command(move |on, it| hold::release(on, it).map(json)),
        )
        .route("/retry", of_period(retry::command))
        .route(
            "/correct",
            command(move |on, it| correct::command(on, it).map(json)),
        )
        .route(
            "/resolve",
            command(move |on, it| resolve::command(on, it).map(json)),
        )
        .route("/policy", policy)
        .route(
            "/status",
            ask(move |on| status::command(on, None, None).map(json)),
        )
        .route("/status/{period}", ask_about(of_path))
        .route("/status/{period}/users/{user}", ask_about(of_user))
        .route(
            "/dead-letters",
            ask(move |on| dead_letters::list(on).map(json)),
        )
        .route(
            "/dead-letters/requeue",
            command(move |on, it| dead_letters::requeue_all(on, it).map(json)),
        )
        .route(
            "/suppressions",
            ask(move |on| suppress::list_all(on).map(json)),
        )
        .route(
            "/suppressions/add",
            command(move |on, it| suppress::add(on, it).map(json)),
        )
        .route(
            "/suppressions/remove",
            command(move |on, it| suppress::remove(on, it).map(json)),
        )
        .route("/audit", ask(move |on| audit::list(on).map(json)))
}
