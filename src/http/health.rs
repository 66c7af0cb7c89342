//! `/healthz` and `/readyz`.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use sealpost_schemas::Channel;

/// Whether the process does its work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Readiness {
    /// It has no seat in a group yet, or stores are being read back.
    Restoring,
    /// A channel is set up wrongly.
    Parked(Channel),
    /// No provider of a channel is well.
    Down(Channel),
    /// A stage has ended although nobody told it to.
    Broken,
    /// Every shard that it has is being worked on.
    Ready,
}

/// What is known of it.
#[derive(Debug)]
pub(crate) struct Health {
    readiness: Mutex<Readiness>,
    /// Set by the signal itself: nothing has to notice it first.
    stopping: Arc<AtomicBool>,
    ended: AtomicBool,
}

impl Health {
    pub(crate) fn new(stopping: Arc<AtomicBool>) -> Self {
        Self {
            readiness: Mutex::new(Readiness::Restoring),
            stopping,
            ended: AtomicBool::new(false),
        }
    }

    pub(crate) fn set(&self, readiness: Readiness) {
        *self
            .readiness
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = readiness;
    }

    /// The run is over, whoever ended it.
    pub(crate) fn end(&self) {
        self.ended.store(true, Ordering::SeqCst);
    }

    fn readiness(&self) -> Readiness {
        *self
            .readiness
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it should be left alone: it is not when a stage has ended by itself.
    pub(crate) fn healthz(&self) -> Response {
        match self.readiness() {
            Readiness::Broken => no("not healthy: a stage has ended, the log says why"),
            _ => text(StatusCode::OK, "ok"),
        }
    }

    /// Whether it does its work.
    pub(crate) fn readyz(&self) -> Response {
        if self.ended.load(Ordering::SeqCst) || self.stopping.load(Ordering::SeqCst) {
            return no("not ready: it is stopping");
        }
        match self.readiness() {
            Readiness::Ready => text(StatusCode::OK, "ready"),
            Readiness::Restoring => no("not ready: stores are being read back"),
            Readiness::Broken => no("not ready: a stage has ended, the log says why"),
            Readiness::Down(channel) => no(&format!(
                "not ready: no provider of {channel} is well, and one that is down is tried again by itself; the log says why"
            )),
            Readiness::Parked(channel) => no(&format!(
                "not ready: {channel} is parked, because its provider says that it is set up wrongly; the log says which status it was"
            )),
        }
    }
}

fn no(why: &str) -> Response {
    text(StatusCode::SERVICE_UNAVAILABLE, why)
}

fn text(status: StatusCode, line: &str) -> Response {
    (
        status,
        [
            (header::CONTENT_TYPE, "text/plain; charset=utf-8"),
            (header::CACHE_CONTROL, "no-store"),
        ],
        format!("{line}\n"),
    )
        .into_response()
}
