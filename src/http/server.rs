//! Connections, and what bounds them.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

/// Connections at once; further ones wait to be taken.
const CONNECTIONS_MAX: usize = 256;
/// How long the head of a request may take, the wait for it on a kept connection included.
const HEAD_TIME_MAX: Duration = Duration::from_secs(30);
/// The largest head, in bytes.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// Pause after a connection could not be taken (too many open files, for one).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves for as long as the runtime lives.
pub(super) async fn serve(listener: TcpListener, router: Router) {
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(place) = Arc::clone(&room).acquire_owned().await else {
            return;
        };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(_) => {
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let service = TowerToHyperService::new(router.clone());
        tokio::spawn(async move {
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD_TIME_MAX)
                .max_buf_size(HEAD_BYTES_MAX)
                .serve_connection(TokioIo::new(stream), service);
            // how a connection ends is its client's business
            let _ = connection.await;
            drop(place);
        });
    }
}
