//! The provider on the wire: one task for each connection, HTTP/1.1 by hand.
//!
//! A message is taken whether or not its caller is still there: once the request has been read,
//! its task goes on to the end.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};

use crate::fault::Fault;
use crate::request::{Head, Incoming, write_all};
use crate::service::{Called, Service};

/// Between two drops of a slow answer.
const DROP_EVERY: Duration = Duration::from_millis(50);
/// Drops of a slow answer.
const DROPS: usize = 2_000;

/// How connections are kept.
#[derive(Debug, Clone, Copy, Default)]
pub struct Connections {
    /// After this long without a request a connection is closed; never when absent.
    pub idle_close: Option<Duration>,
}

/// Serves for as long as it is awaited.
pub async fn serve(listener: TcpListener, service: Arc<Service>, connections: Connections) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let service = Arc::clone(&service);
                tokio::spawn(async move {
                    // whatever becomes of a connection is the caller's business
                    let _ = connection(stream, &service, connections).await;
                });
            }
            // out of descriptors, most likely: others have to end first
            Err(_) => sleep(DROP_EVERY).await,
        }
    }
}

/// Whether a connection goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Request,
    Close,
}

async fn connection(
    stream: TcpStream,
    service: &Arc<Service>,
    connections: Connections,
) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut incoming = Incoming::new(stream);
    loop {
        let head = match connections.idle_close {
            None => incoming.head().await?,
            Some(idle) => match timeout(idle, incoming.head()).await {
                Ok(head) => head?,
                Err(_) => return Ok(()),
            },
        };
        let Some(head) = head else { return Ok(()) };
        let next = match head.method.as_str() {
            "POST" => call(&mut incoming, &head, service).await?,
            "GET" => question(&mut incoming, &head, service).await?,
            _ => {
                answer(&incoming.stream, 405, "", "").await?;
                Next::Close
            }
        };
        if next == Next::Close || head.header("connection") == Some("close") {
            return Ok(());
        }
    }
}

async fn question(incoming: &mut Incoming, head: &Head, service: &Service) -> io::Result<Next> {
    let key = head.target.rsplit('/').next().unwrap_or_default();
    let status = service.asked(key)?;
    let body = match status {
        200 => id(key),
        _ => "{}".to_owned(),
    };
    answer(&incoming.stream, status, "", &body).await?;
    Ok(Next::Request)
}

/// One call: drawn, read, written down, taken or not, answered or not.
async fn call(incoming: &mut Incoming, head: &Head, service: &Arc<Service>) -> io::Result<Next> {
    let key = head
        .header("idempotency-key")
        .unwrap_or_default()
        .to_owned();
    let (fault, nth) = service.draw(&key);
    if fault == Some(Fault::ResetInRequest) {
        let unread = Called {
            key,
            ..Called::default()
        };
        service.called(&unread, "reset-in-request none")?;
        incoming.stream.set_zero_linger()?;
        return Err(io::ErrorKind::ConnectionReset.into());
    }
    let body = incoming.body(head).await?;
    let Some(called) = Called::read(&key, &body) else {
        answer(&incoming.stream, 400, "", r#"{"error":"unreadable"}"#).await?;
        return Ok(Next::Request);
    };
    let behaviour = &service.behaviour;
    let stream = &incoming.stream;
    if !behaviour.latency.is_zero() {
        sleep(behaviour.latency).await;
    }
    let of = |statuses: &[u16]| {
        let place = service.variant(&key, nth, statuses.len() as u64);
        let place = usize::try_from(place).unwrap_or_default();
        statuses.get(place).copied().unwrap_or(500)
    };
    let Some(fault) = fault else {
        service.called(&called, "200")?;
        service.accept(&called)?;
        answer(stream, 200, "", &id(&key)).await?;
        return Ok(Next::Request);
    };
    let plan = |status: &str| format!("{fault} {status}");
    match fault {
        Fault::ResetInRequest => {}
        Fault::Swallow => {
            service.called(&called, &plan("none"))?;
            service.accept(&called)?;
            return Ok(Next::Close);
        }
        Fault::ResetAfterRequest => {
            service.called(&called, &plan("none"))?;
            stream.set_zero_linger()?;
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        Fault::ResetInAnswer => {
            service.called(&called, &plan("none"))?;
            service.accept(&called)?;
            write_all(stream, b"HTTP/1.1 200 OK\r\nContent-").await?;
            stream.set_zero_linger()?;
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        Fault::Delay => {
            service.called(&called, &plan("200"))?;
            service.accept(&called)?;
            sleep(behaviour.delay).await;
            answer(stream, 200, "", &id(&key)).await?;
        }
        Fault::Late => {
            service.called(&called, &plan("200"))?;
            sleep(behaviour.delay).await;
            service.accept(&called)?;
            answer(stream, 200, "", &id(&key)).await?;
        }
        Fault::TooMany => {
            service.called(&called, &plan("429"))?;
            let header = format!("Retry-After: {}\r\n", behaviour.retry_after_seconds);
            answer(stream, 429, &header, "{}").await?;
        }
        Fault::Unavailable => {
            service.called(&called, &plan("503"))?;
            answer(stream, 503, "", "{}").await?;
        }
        Fault::Conflict => {
            service.called(&called, &plan("409"))?;
            service.accept(&called)?;
            answer(stream, 409, "", &id(&key)).await?;
        }
        Fault::Error | Fault::Burst => {
            let status = of(&[500, 502, 504]);
            service.called(&called, &plan(&status.to_string()))?;
            if service.variant(&key, nth, 6) < 3 {
                service.accept(&called)?;
            }
            answer(stream, status, "", "<html>oops").await?;
        }
        Fault::Refuse => {
            let status = of(&[400, 402, 410, 422]);
            service.called(&called, &plan(&status.to_string()))?;
            answer(stream, status, "", r#"{"error":"no"}"#).await?;
        }
        Fault::Misconfigured => {
            let status = of(&[401, 403, 404]);
            service.called(&called, &plan(&status.to_string()))?;
            answer(stream, status, "", r#"{"error":"who are you"}"#).await?;
        }
        Fault::Garbage => {
            service.called(&called, &plan("200"))?;
            service.accept(&called)?;
            answer(
                stream,
                200,
                "",
                "\u{0}{\"id\":}<<garbage>>\r\n\r\nHTTP/1.1 500",
            )
            .await?;
        }
        Fault::DripBody => {
            service.called(&called, &plan("200"))?;
            service.accept(&called)?;
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {DROPS}\r\n\r\n");
            write_all(stream, head.as_bytes()).await?;
            drip(stream, b" ").await?;
        }
        Fault::DripHead => {
            service.called(&called, &plan("none"))?;
            service.accept(&called)?;
            write_all(stream, b"HTTP/1.1 200 OK\r\nX-Slow: ").await?;
            drip(stream, b"x").await?;
            return Ok(Next::Close);
        }
        Fault::Endless => {
            service.called(&called, &plan("200"))?;
            service.accept(&called)?;
            let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
            write_all(stream, head).await?;
            let chunk = format!("1000\r\n{}\r\n", "x".repeat(0x1000));
            loop {
                write_all(stream, chunk.as_bytes()).await?;
            }
        }
    }
    Ok(Next::Request)
}

async fn drip(stream: &TcpStream, drop: &[u8]) -> io::Result<()> {
    for _ in 0..DROPS {
        write_all(stream, drop).await?;
        sleep(DROP_EVERY).await;
    }
    Ok(())
}

fn id(key: &str) -> String {
    format!("{{\"id\":\"kit-{}\"}}", key.get(..16).unwrap_or(key))
}

async fn answer(stream: &TcpStream, status: u16, headers: &str, body: &str) -> io::Result<()> {
    let length = body.len();
    let text = format!(
        "HTTP/1.1 {status} -\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n{headers}\r\n{body}"
    );
    write_all(stream, text.as_bytes()).await
}
