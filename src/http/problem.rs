//! What is answered to a request that is not done: one shape, whatever went wrong.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::usage_error::{Refused, UsageError};

/// `{"error": …, "what_to_do": …}` and a status. Says nothing that a request held but names of
/// fields.
#[derive(Debug)]
pub(crate) struct Problem {
    status: StatusCode,
    error: String,
    what_to_do: String,
    retry_after_s: Option<u32>,
}

impl Problem {
    pub(crate) fn new(
        status: StatusCode,
        error: impl Into<String>,
        what_to_do: impl Into<String>,
    ) -> Self {
        Self {
            status,
            error: error.into(),
            what_to_do: what_to_do.into(),
            retry_after_s: None,
        }
    }

    /// The request may be repeated after so long.
    pub(crate) const fn after_s(mut self, seconds: u32) -> Self {
        self.retry_after_s = Some(seconds);
        self
    }

    /// What a command failed of. Its one line says what to do after the last colon.
    pub(crate) fn of_command(error: &anyhow::Error) -> Self {
        let line = format!("{error:#}");
        let status = if error.downcast_ref::<UsageError>().is_some() {
            StatusCode::BAD_REQUEST
        } else if error.downcast_ref::<Refused>().is_some() {
            StatusCode::CONFLICT
        } else {
            tracing::error!("a command over HTTP failed: {line}");
            let what_to_do =
                "look at this process's log, and at `audit` for whether the command was written";
            return Self::new(StatusCode::INTERNAL_SERVER_ERROR, line, what_to_do);
        };
        match line.rsplit_once(": ") {
            Some((why, way_out)) => Self::new(status, why, way_out),
            None => Self::new(status, line, "see docs/http.md"),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = json!({ "error": self.error, "what_to_do": self.what_to_do });
        let mut response = answer(self.status, &body);
        if self.status == StatusCode::UNAUTHORIZED {
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(seconds) = self.retry_after_s {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

/// An answer as JSON, which nobody on the way keeps.
pub(crate) fn answer(status: StatusCode, json: &serde_json::Value) -> Response {
    (
        status,
        [
            (header::CONTENT_TYPE, "application/json"),
            (header::CACHE_CONTROL, "no-store"),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        ],
        format!("{json}\n"),
    )
        .into_response()
}
