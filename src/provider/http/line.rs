//! One connection, and one exchange on it.
//!
//! Invariants:
//! - A request is handed to the connection once. Nothing here or below repeats one: this is the
//!   protocol's plain connection, without a client's pool, redirects or retries.
//! - A connection whose exchange did not end cleanly is torn down at once, also when whoever
//!   waits for it goes away.
//! - What is read of an answer's body is bounded by [`BODY_BYTES_MAX`] and by the deadline.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use hyper::body::{Body as _, Incoming};
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper::header::{CONNECTION, HeaderMap};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout, timeout_at};

use super::failure::{self, Failure};
use super::letter::Letter;
use super::wire::{FailedWrite, Mark, Wire};

/// Most of an answer's body that is read: an id fits many times over.
const BODY_BYTES_MAX: usize = 64 * 1024;
/// Most of an answer's head.
const HEAD_BYTES_MAX: usize = 64 * 1024;
/// A connection that rested is ready at once, or not to be waited for.
const READY_WITHIN: Duration = Duration::from_millis(100);

/// An answer: its head, and what could be read of its body.
pub(super) struct Answered {
    /// HTTP status.
    pub(super) status: u16,
    /// The head's fields.
    pub(super) headers: HeaderMap,
    /// The body, as far as it came within bounds and time.
    pub(super) body: Vec<u8>,
    /// Whether the connection can carry another exchange.
    pub(super) line: After,
}

/// What becomes of a connection after its exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum After {
    /// It rests.
    Rests,
    /// It is of no more use.
    Over,
}

/// See the module. Torn down when dropped.
pub(super) struct Line {
    requests: SendRequest<Letter>,
    mark: Arc<Mark>,
    task: AbortHandle,
}

impl Drop for Line {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Line {
    /// A line over a stream that is connected.
    pub(super) async fn over<S>(stream: S, failed_write: FailedWrite) -> Result<Self, Failure>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let mark = Arc::new(Mark::new());
        let wire = Wire::new(stream, failed_write, Arc::clone(&mark));
        let (requests, connection) = Builder::new()
            .max_buf_size(HEAD_BYTES_MAX)
            .handshake(TokioIo::new(wire))
            .await
            .map_err(|_| Failure::before("connect-failed"))?;
        // how it ended is told to whoever waits for an answer
        let task = tokio::spawn(async move { drop(connection.await) }).abort_handle();
        Ok(Self {
            requests,
            mark,
            task,
        })
    }

    /// Whether the other side has hung up, as far as is known.
    pub(super) fn is_over(&self) -> bool {
        self.requests.is_closed()
    }

    /// Sends a request and awaits its answer.
    pub(super) async fn exchange(
        &mut self,
        request: Request<Letter>,
        deadline: Instant,
    ) -> Result<Answered, Failure> {
        match timeout(READY_WITHIN, self.requests.ready()).await {
            Ok(Ok(())) => {}
            _ => return Err(Failure::before("connection-closed")),
        }
        self.mark.arm(deadline);
        let response = match timeout_at(deadline, self.requests.send_request(request)).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => return Err(self.failed(failure::exchanging(&error))),
            Err(_) => return Err(self.failed("timeout")),
        };
        let hangs_up = response.headers().get_all(CONNECTION).iter().any(|value| {
            value
                .to_str()
                .is_ok_and(|value| value.to_ascii_lowercase().contains("close"))
        });
        let status = response.status().as_u16();
        let (head, body) = Response::into_parts(response);
        let (body, end) = read(body, deadline).await;
        let line = if end == BodyEnd::Whole && !hangs_up && !self.is_over() {
            self.mark.rest();
            After::Rests
        } else {
            After::Over
        };
        Ok(Answered {
            status,
            headers: head.headers,
            body,
            line,
        })
    }

    fn failed(&self, reason: &'static str) -> Failure {
        Failure {
            written: self.mark.revoke(),
            reason,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum BodyEnd {
    Whole,
    CutShort,
}

/// Reads a body as far as it goes; that it goes wrong changes nothing of what the head said.
async fn read(body: Incoming, deadline: Instant) -> (Vec<u8>, BodyEnd) {
    let mut text = Vec::new();
    let mut body = pin!(body);
    loop {
        let next = std::future::poll_fn(|cx| Pin::new(&mut body).as_mut().poll_frame(cx));
        match timeout_at(deadline, next).await {
            Ok(None) => return (text, BodyEnd::Whole),
            Ok(Some(Ok(frame))) => {
                if let Ok(data) = frame.into_data() {
                    if text.len() + data.len() > BODY_BYTES_MAX {
                        return (text, BodyEnd::CutShort);
                    }
                    text.extend_from_slice(&data);
                }
            }
            Ok(Some(Err(_))) | Err(_) => return (text, BodyEnd::CutShort),
        }
    }
}
