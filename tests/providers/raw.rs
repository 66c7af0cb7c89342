//! A server of bare sockets, which does with each connection what a test wants, and remembers
//! which requests came.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(60);

/// What the server has seen.
#[derive(Default)]
pub(crate) struct Seen {
    /// The key of every request, in the order in which their heads were read.
    pub(crate) keys: Mutex<Vec<String>>,
    /// Every request as it came, head and body.
    pub(crate) requests: Mutex<Vec<String>>,
    /// Connections that are open now, and the most there were.
    pub(crate) open: AtomicUsize,
    pub(crate) open_max: AtomicUsize,
    /// Connections that have ended.
    pub(crate) ended: AtomicUsize,
}

/// One connection of the server.
pub(crate) struct Line {
    pub(crate) stream: TcpStream,
    /// Which connection this is, from 0.
    pub(crate) nth: usize,
    seen: Arc<Seen>,
}

impl Line {
    /// Reads a whole request; `None` if the connection ends before.
    pub(crate) fn request(&mut self) -> Option<String> {
        let mut text = Vec::new();
        let mut byte = [0];
        let mut wanted = usize::MAX;
        while text.len() < wanted {
            if self.stream.read(&mut byte).ok()? == 0 {
                return None;
            }
            text.push(byte[0]);
            if wanted == usize::MAX && text.ends_with(b"\r\n\r\n") {
                let head = String::from_utf8_lossy(&text).to_ascii_lowercase();
                let value = |name: &str| {
                    head.lines()
                        .find_map(|line| line.strip_prefix(name))
                        .map(|value| value.trim().to_owned())
                };
                let key = value("idempotency-key:").unwrap_or_default();
                self.seen.keys.lock().unwrap().push(key);
                let length: usize = value("content-length:").map_or(0, |it| it.parse().unwrap());
                wanted = text.len() + length;
            }
        }
        let text = String::from_utf8(text).unwrap();
        self.seen.requests.lock().unwrap().push(text.clone());
        Some(text)
    }

    /// Reads so many bytes.
    pub(crate) fn read(&mut self, bytes: usize) {
        self.stream.read_exact(&mut vec![0; bytes]).unwrap();
    }

    /// Writes text as it is.
    pub(crate) fn write(&mut self, text: &str) {
        let _ = self.stream.write_all(text.as_bytes());
    }

    /// Answers with a status and no body.
    pub(crate) fn answer(&mut self, status: u16) {
        self.write(&format!("HTTP/1.1 {status} -\r\nContent-Length: 0\r\n\r\n"));
    }

    /// Closes the way out, and remembers whatever still comes in.
    pub(crate) fn close(&mut self) {
        let _ = self.stream.shutdown(std::net::Shutdown::Write);
        while self.request().is_some() {}
    }
}

/// See the module.
pub(crate) struct Raw {
    pub(crate) seen: Arc<Seen>,
    port: u16,
}

impl Raw {
    /// Does this with every connection, each on a thread of its own; then it is closed.
    pub(crate) fn start(serve: impl Fn(&mut Line) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen = Arc::new(Seen::default());
        let (serve, sees) = (Arc::new(serve), Arc::clone(&seen));
        std::thread::spawn(move || {
            for (nth, stream) in listener.incoming().enumerate() {
                let (serve, seen) = (Arc::clone(&serve), Arc::clone(&sees));
                let stream = stream.unwrap();
                stream.set_nodelay(true).unwrap();
                let open = seen.open.fetch_add(1, Ordering::SeqCst) + 1;
                seen.open_max.fetch_max(open, Ordering::SeqCst);
                std::thread::spawn(move || {
                    let mut line = Line { stream, nth, seen };
                    serve(&mut line);
                    let Line { stream, seen, .. } = line;
                    drop(stream);
                    seen.open.fetch_sub(1, Ordering::SeqCst);
                    seen.ended.fetch_add(1, Ordering::SeqCst);
                });
            }
        });
        Self { seen, port }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    pub(crate) fn keys(&self) -> Vec<String> {
        self.seen.keys.lock().unwrap().clone()
    }

    /// Waits until so many connections have ended.
    pub(crate) fn wait_until_ended(&self, connections: usize) {
        let until = Instant::now() + PATIENCE;
        while self.seen.ended.load(Ordering::SeqCst) < connections {
            assert!(Instant::now() < until, "a connection stays open");
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}
