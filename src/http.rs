//! Metrics and health over HTTP.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context as _, Result};
use axum::Router;
use axum::http::{StatusCode, header};
use axum::routing::get;

use crate::metrics::Metrics;

/// Whether the process does its work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ready {
    /// Stores are being read back, a channel is set up wrongly, or it is stopping.
    No,
    /// Every shard is being worked on.
    Yes,
}

/// A running server.
#[derive(Debug)]
pub struct Server {
    ready: Arc<AtomicBool>,
    address: SocketAddr,
}

impl Server {
    /// Tells `/readyz`.
    pub fn set_ready(&self, ready: Ready) {
        self.ready.store(ready == Ready::Yes, Ordering::SeqCst);
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }
}

/// Serves `/metrics`, `/healthz` and `/readyz` for as long as the runtime lives.
///
/// # Errors
/// When the address cannot be listened on.
pub fn serve(
    listen: SocketAddr,
    runtime: &tokio::runtime::Runtime,
    metrics: Arc<Metrics>,
) -> Result<Server> {
    let ready = Arc::new(AtomicBool::new(false));
    let listener = runtime
        .block_on(tokio::net::TcpListener::bind(listen))
        .with_context(|| format!("http.listen: cannot listen on {listen}"))?;
    let address = listener.local_addr()?;
    let is_ready = Arc::clone(&ready);
    let router = Router::new()
        .route(
            "/metrics",
            get(async move || match metrics.text() {
                Ok(text) => (
                    StatusCode::OK,
                    [(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)],
                    text,
                ),
                Err(_) => (
                    StatusCode::INTERNAL_SERVER_ERROR,
                    [(header::CONTENT_TYPE, "text/plain")],
                    "a metric cannot be written\n".to_owned(),
                ),
            }),
        )
        .route("/healthz", get(async || "ok\n"))
        .route(
            "/readyz",
            get(async move || {
                if is_ready.load(Ordering::SeqCst) {
                    (StatusCode::OK, "ready\n")
                } else {
                    (
                        StatusCode::SERVICE_UNAVAILABLE,
                        "not ready: stores are being read back, a channel is parked (the log says why), or it is stopping\n",
                    )
                }
            }),
        );
    runtime.spawn(async move { axum::serve(listener, router).await });
    Ok(Server { ready, address })
}
