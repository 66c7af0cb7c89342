//! What a `run` serves over HTTP: metrics, health, the operator's commands, and a page.

mod access;
pub(crate) mod api;
mod health;
mod page;
pub(crate) mod problem;
mod server;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::{Context as _, Result};
use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;

use crate::config::HttpConfig;
use crate::deployment::Deployment;
use crate::metrics::Metrics;
use crate::receipts::Desk;
use crate::usage_error::usage;
use access::Access;
use api::{Api, method_not_allowed, no_such_path};
use health::Health;
pub use health::Readiness;

/// A running server.
#[derive(Debug)]
pub struct Server {
    health: Arc<Health>,
    address: SocketAddr,
}

impl Server {
    /// Tells `/readyz`.
    pub fn set(&self, readiness: Readiness) {
        self.health.set(readiness);
    }

    /// The run is over: not ready any more, whatever comes.
    pub fn end(&self) {
        self.health.end();
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }
}

/// What is served.
pub(crate) struct Served<'a> {
    /// Where, and to whom.
    pub(crate) config: &'a HttpConfig,
    /// What commands are given to.
    pub(crate) deployment: &'a Deployment,
    /// What is counted.
    pub(crate) metrics: Arc<Metrics>,
    /// Set when the process is told to stop.
    pub(crate) stopping: Arc<AtomicBool>,
    /// The operator's commands.
    pub(crate) commands: Router<Api>,
}

/// Serves for as long as the runtime lives.
///
/// # Errors
/// When the address cannot be listened on, or the tokens cannot be used.
pub(crate) fn serve(served: Served<'_>, runtime: &tokio::runtime::Runtime) -> Result<Server> {
    let Served {
        config,
        deployment,
        metrics,
        stopping,
        commands,
    } = served;
    let access = Access::of(config).map_err(usage)?;
    let receipts = Desk::of(deployment, Arc::clone(&metrics)).map_err(usage)?;
    let listener = runtime
        .block_on(tokio::net::TcpListener::bind(config.listen))
        .with_context(|| format!("http.listen: cannot listen on {}", config.listen))?;
    let address = listener.local_addr()?;
    let health = Arc::new(Health::new(stopping));
    let (live, ready) = (Arc::clone(&health), Arc::clone(&health));
    let api = Api::new(deployment.clone(), access);
    let router = Router::new()
        .route("/metrics", get(async move || exposition(&metrics)))
        .route("/healthz", get(async move || live.healthz()))
        .route("/readyz", get(async move || ready.readyz()))
        .route("/receipts/{channel}", receipts.route())
        .merge(page::routes())
        .nest("/api/v1", api.router(commands))
        .layer(axum::extract::DefaultBodyLimit::max(api::BODY_BYTES_MAX))
        .fallback(async || no_such_path())
        .method_not_allowed_fallback(async || method_not_allowed());
    runtime.spawn(server::serve(listener, router));
    Ok(Server { health, address })
}

fn exposition(metrics: &Metrics) -> Response {
    match metrics.text() {
        Ok(text) => ([(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response(),
        Err(_) => (
            StatusCode::INTERNAL_SERVER_ERROR,
            "a metric cannot be written\n",
        )
            .into_response(),
    }
}
