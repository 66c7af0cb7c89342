//! A TCP proxy on loopback whose connections can be stalled and cut.
//!
//! Invariants:
//! - What is read of a connection before it is cut and not yet passed on is never passed on.
//! - A stall loses nothing: what waited goes on when it is healed, in order.
//! - Each connection holds at most one buffer a direction; beyond it the sender is slowed down.

use std::collections::HashMap;
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

const BUFFER_BYTES: usize = 64 * 1024;

/// What the proxy does with what it is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Link {
    Open,
    Stalled,
    RepliesStalled,
    Cut,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Direction {
    Requests,
    Replies,
}

/// A proxy before one server; it ends, with all its connections, when it is dropped.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    inner: Arc<Inner>,
    acceptor: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Inner {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    link: Link,
    ended: bool,
    target: Option<SocketAddr>,
    /// The ones that live, by number.
    connections: HashMap<u64, Connection>,
    connections_ever: u64,
}

#[derive(Debug)]
struct Connection {
    /// The client's and the server's.
    sides: [Arc<TcpStream>; 2],
    /// How many of its two directions have more to say.
    ways_open: u8,
}

impl Proxy {
    /// A proxy on a free port. Until [`forward_to`](Self::forward_to) it closes what connects.
    ///
    /// # Errors
    /// Those of binding a port and of starting a thread.
    pub fn bind() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let inner = Arc::new(Inner {
            state: Mutex::new(State {
                link: Link::Open,
                ended: false,
                target: None,
                connections: HashMap::new(),
                connections_ever: 0,
            }),
            changed: Condvar::new(),
        });
        let accepting = Arc::clone(&inner);
        let acceptor = std::thread::Builder::new()
            .name("proxy".to_owned())
            .spawn(move || accept(&listener, &accepting))?;
        Ok(Self {
            address,
            inner,
            acceptor: Some(acceptor),
        })
    }

    /// Says where connections go from now on.
    pub fn forward_to(&self, target: SocketAddr) {
        self.inner.lock().target = Some(target);
    }

    /// Where clients connect.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Closes all connections, what they hold is lost; and new ones as soon as they are made.
    pub fn cut(&self) {
        self.set(Link::Cut);
    }

    /// Holds everything back in both directions: connections stay, also new ones, and are silent.
    pub fn stall(&self) {
        self.set(Link::Stalled);
    }

    /// Holds back what the server says, while requests still reach it: done, and nobody knows.
    pub fn stall_replies(&self) {
        self.set(Link::RepliesStalled);
    }

    /// Lets everything pass, beginning with what was held back.
    pub fn heal(&self) {
        self.set(Link::Open);
    }

    fn set(&self, link: Link) {
        let mut state = self.inner.lock();
        state.link = link;
        if link == Link::Cut {
            state.close_all();
        }
        drop(state);
        self.inner.changed.notify_all();
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let mut state = self.inner.lock();
        state.ended = true;
        state.close_all();
        drop(state);
        self.inner.changed.notify_all();
        // the acceptor sees the end when it is woken; threads of connections end by their own
        let woken = TcpStream::connect(self.address);
        if let (Ok(_), Some(acceptor)) = (woken, self.acceptor.take()) {
            let _ = acceptor.join();
        }
    }
}

impl State {
    fn close_all(&mut self) {
        for connection in self.connections.drain().map(|(_, connection)| connection) {
            connection.close();
        }
    }

    fn passes(&self, direction: Direction) -> bool {
        match self.link {
            Link::Open => true,
            Link::Stalled | Link::Cut => false,
            Link::RepliesStalled => direction == Direction::Requests,
        }
    }
}

impl Connection {
    fn close(self) {
        for side in self.sides {
            // may be closed already
            let _ = side.shutdown(Shutdown::Both);
        }
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the direction is open; false if the connection was cut meanwhile.
    fn wait_to_pass(&self, number: u64, direction: Direction) -> bool {
        let mut state = self.lock();
        while state.connections.contains_key(&number) {
            if state.passes(direction) {
                return true;
            }
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        false
    }

    /// Counts a connection among those that live; none if it may not live.
    fn admit(&self, sides: [Arc<TcpStream>; 2]) -> Option<u64> {
        let mut state = self.lock();
        if state.link == Link::Cut || state.ended {
            return None;
        }
        state.connections_ever += 1;
        let number = state.connections_ever;
        let connection = Connection {
            sides,
            ways_open: 2,
        };
        state.connections.insert(number, connection);
        Some(number)
    }

    /// Forgets a connection of which both directions are done, or one is broken.
    fn leave(&self, number: u64, outcome: &io::Result<()>) {
        let mut state = self.lock();
        let Some(connection) = state.connections.get_mut(&number) else {
            return;
        };
        connection.ways_open = connection.ways_open.saturating_sub(1);
        if (connection.ways_open == 0 || outcome.is_err())
            && let Some(connection) = state.connections.remove(&number)
        {
            connection.close();
            drop(state);
            self.changed.notify_all();
        }
    }
}

fn accept(listener: &TcpListener, inner: &Arc<Inner>) {
    for client in listener.incoming() {
        let (ended, target) = {
            let state = inner.lock();
            (
                state.ended,
                state.target.filter(|_| state.link != Link::Cut),
            )
        };
        if ended {
            return;
        }
        // a client that cannot be served is dropped, which closes it
        let (Ok(client), Some(target)) = (client, target) else {
            continue;
        };
        if let Ok(server) = TcpStream::connect(target) {
            // the client sees a closed connection, as it would see any other failure
            let _ = carry(client, server, inner);
        }
    }
}

/// Starts the two threads of a connection.
fn carry(client: TcpStream, server: TcpStream, inner: &Arc<Inner>) -> io::Result<()> {
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (client, server) = (Arc::new(client), Arc::new(server));
    let Some(number) = inner.admit([Arc::clone(&client), Arc::clone(&server)]) else {
        return Ok(());
    };
    let ways = [
        (
            Direction::Requests,
            Arc::clone(&client),
            Arc::clone(&server),
        ),
        (Direction::Replies, server, client),
    ];
    for (direction, from, to) in ways {
        let inner = Arc::clone(inner);
        std::thread::Builder::new()
            .name("proxy-connection".to_owned())
            .spawn(move || {
                let outcome = pass(&from, &to, number, direction, &inner);
                inner.leave(number, &outcome);
            })?;
    }
    Ok(())
}

/// Passes on what comes, until one side has no more to say or the connection is cut.
fn pass(
    mut from: &TcpStream,
    mut to: &TcpStream,
    number: u64,
    direction: Direction,
    inner: &Inner,
) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let length_bytes = from.read(&mut buffer)?;
        if !inner.wait_to_pass(number, direction) {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        if length_bytes == 0 {
            return to.shutdown(Shutdown::Write);
        }
        let read = buffer.get(..length_bytes).unwrap_or_default();
        to.write_all(read)?;
    }
}
