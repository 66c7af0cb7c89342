//! Connections to one address: a bounded number, used again while they rest.
//!
//! Invariants:
//! - Never more connections than permits, resting ones included.
//! - The newest resting connection is used first, so that what is not needed grows old; one that
//!   has rested too long, or of which the other side has hung up, is not used again.
//! - Another connection is tried only for a request of which nothing has left, and only because
//!   the first had been resting. What may have left is never sent again from here.
//! - Everything about an exchange, waiting for a connection included, ends at its deadline.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hyper::Request;
use hyper::header::HeaderMap;
use tokio::net::{TcpStream, lookup_host};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

use super::endpoint::Endpoint;
use super::failure::{self, Failure};
use super::letter::Letter;
use super::line::{After, Answered, Line};
use super::tls::Tls;
use super::wire::{FailedWrite, Written};

/// How long before the end that the other side names a connection is no longer used.
const HANG_UP_MARGIN: Duration = Duration::from_secs(1);

struct Resting {
    line: Line,
    until: Instant,
}

/// See the module.
pub(super) struct Pool {
    endpoint: Endpoint,
    tls: Option<Tls>,
    keep_alive: Duration,
    permits: Semaphore,
    resting: Mutex<VecDeque<Resting>>,
}

impl Pool {
    /// Connects to nothing yet.
    pub(super) fn new(
        endpoint: Endpoint,
        tls: Option<Tls>,
        connections_max: usize,
        keep_alive: Duration,
    ) -> Self {
        Self {
            endpoint,
            tls,
            keep_alive,
            permits: Semaphore::new(connections_max.clamp(1, Semaphore::MAX_PERMITS)),
            resting: Mutex::new(VecDeque::new()),
        }
    }

    pub(super) const fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Makes one exchange. `request` is called once for each connection that is tried.
    pub(super) async fn exchange(
        &self,
        request: impl Fn() -> Request<Letter>,
        deadline: Instant,
    ) -> Result<Answered, Failure> {
        let Ok(Ok(_permit)) = timeout_at(deadline, self.permits.acquire()).await else {
            return Err(Failure::before("no-connection-free"));
        };
        while let Some(mut line) = self.take() {
            match line.exchange(request(), deadline).await {
                // it had been hung up while it rested
                Err(Failure {
                    written: Written::Nothing,
                    ..
                }) if Instant::now() < deadline => {}
                Ok(answered) => return Ok(self.put_back(line, answered)),
                Err(failure) => return Err(failure),
            }
        }
        let Ok(line) = timeout_at(deadline, self.connect()).await else {
            return Err(Failure::before("connect-timeout"));
        };
        let mut line = line?;
        let answered = line.exchange(request(), deadline).await?;
        Ok(self.put_back(line, answered))
    }

    fn take(&self) -> Option<Line> {
        let mut resting = self.resting();
        let now = Instant::now();
        while resting
            .front()
            .is_some_and(|oldest| oldest.until <= now || oldest.line.is_over())
        {
            resting.pop_front();
        }
        while let Some(newest) = resting.pop_back() {
            if newest.until > now && !newest.line.is_over() {
                return Some(newest.line);
            }
        }
        None
    }

    fn put_back(&self, line: Line, answered: Answered) -> Answered {
        if answered.line == After::Rests {
            let rests = kept_alive(&answered.headers)
                .map_or(self.keep_alive, |kept| kept.min(self.keep_alive));
            if !rests.is_zero() {
                self.resting().push_back(Resting {
                    line,
                    until: Instant::now() + rests,
                });
            }
        }
        answered
    }

    async fn connect(&self) -> Result<Line, Failure> {
        let endpoint = &self.endpoint;
        let addresses: Vec<_> = lookup_host((endpoint.host.as_str(), endpoint.port))
            .await
            .map_err(|_| Failure::before("no-address"))?
            .collect();
        let mut last = Failure::before("no-address");
        for address in addresses {
            match TcpStream::connect(address).await {
                Ok(stream) => return self.over(stream).await,
                Err(error) => last = Failure::before(failure::connecting(&error)),
            }
        }
        Err(last)
    }

    async fn over(&self, stream: TcpStream) -> Result<Line, Failure> {
        // a request is one write: nothing to wait for
        let _ = stream.set_nodelay(true);
        match &self.tls {
            None => Line::over(stream, FailedWrite::TookNothing).await,
            Some(tls) => Line::over(tls.wrap(stream).await?, FailedWrite::MayHaveTaken).await,
        }
    }

    fn resting(&self) -> MutexGuard<'_, VecDeque<Resting>> {
        self.resting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long the other side says that it leaves the connection open (`Keep-Alive: timeout=5`),
/// less a margin.
fn kept_alive(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get("keep-alive")?.to_str().ok()?;
    let seconds = text
        .split(',')
        .find_map(|part| part.trim().strip_prefix("timeout="))?
        .trim()
        .parse()
        .ok()?;
    Some(Duration::from_secs(seconds).saturating_sub(HANG_UP_MARGIN))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

    use super::*;

    #[test]
    fn a_connection_rests_no_longer_than_the_other_side_says() {
        let kept = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("keep-alive", text.parse().unwrap());
            kept_alive(&headers)
        };
        assert_eq!(kept("timeout=5, max=100"), Some(Duration::from_secs(4)));
        assert_eq!(kept("max=100, timeout=1"), Some(Duration::ZERO));
        assert_eq!(kept("max=100"), None);
        assert_eq!(kept("timeout=long"), None);
        assert_eq!(kept_alive(&HeaderMap::new()), None);
    }
}
