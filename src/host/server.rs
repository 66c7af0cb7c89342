//! Serving a log to other processes: a thread for each connection.
//!
//! # Invariants
//! - At most [`CONNECTIONS_MAX`] at once; the next is told so and ends.
//! - A request is acted upon when all of it has arrived, and answered before the next is read.
//! - While a client makes what it appends at a cut, the log of this process takes no other
//!   write: that is bounded by [`CUT_TIME_MAX`], after which nothing is written for it.
//! - A stop takes no new request but answers those that have arrived: a client that could not
//!   send all of its request may send it elsewhere. When [`Server`] is dropped, no thread holds
//!   the log any more, unless one hangs in the log itself.

use std::collections::HashMap;
use std::io;
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use sealpost_topology::log::Log;

use super::holder::Holder;
use super::message::{Admission, Terms, Welcome};
use super::session::Session;
use super::socket;
use super::wire::Deadline;

/// How many clients are served at once.
pub(super) const CONNECTIONS_MAX: usize = 32;

/// How long a client may take to build what it appends at a cut.
pub(super) const CUT_TIME_MAX: Duration = Duration::from_secs(3);

/// How long a client may take to receive a frame, or to send the rest of one that it began.
pub(super) const FRAME_TIME_MAX: Duration = Duration::from_secs(30);

/// How long a stop waits for requests that have arrived to be answered.
const STOP_TIME_MAX: Duration = Duration::from_secs(10);

/// How long to wait when a connection cannot be taken (out of descriptors, say).
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves until it is dropped.
pub(super) struct Server {
    data_dir: PathBuf,
    seats: Arc<Seats>,
    /// A second handle on the listener: shutting it down ends the wait for the next connection.
    listener: UnixStream,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Listens in a data directory. The caller holds its lock.
    ///
    /// # Errors
    /// When the socket or the thread cannot be made.
    pub(super) fn start(data_dir: PathBuf, log: Arc<dyn Log>, holder: Holder) -> io::Result<Self> {
        let listener = socket::listen(&data_dir)?;
        let handle = UnixStream::from(OwnedFd::from(listener.try_clone()?));
        let seats = Arc::new(Seats::default());
        let thread = std::thread::Builder::new()
            .name("host-accept".to_owned())
            .spawn({
                let seats = Arc::clone(&seats);
                move || accept(&listener, &seats, &log, &holder)
            })?;
        Ok(Self {
            data_dir,
            seats,
            listener: handle,
            thread: Some(thread),
        })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        socket::remove(&self.data_dir);
        self.seats.close();
        let woken = self.listener.shutdown(Shutdown::Both).is_ok();
        if let Some(thread) = self.thread.take()
            && woken
        {
            // it panics nowhere, and if it did, it would be gone as well
            let _ = thread.join();
        }
        self.seats.empty();
    }
}

fn accept(listener: &UnixListener, seats: &Arc<Seats>, log: &Arc<dyn Log>, holder: &Holder) {
    while !seats.closed() {
        let Ok((stream, _)) = listener.accept() else {
            seats.pause();
            continue;
        };
        let seat = seats.take(&stream);
        let admission = if seat.is_some() {
            Admission::Admitted
        } else {
            Admission::Full
        };
        let terms = Terms {
            partitions: log.partitions(),
            admission,
        };
        let welcome = Welcome::encode(holder, terms);
        let Some(seat) = seat else {
            // it fits into the socket's buffer: this does not wait
            let _ = welcome.send(&stream, Deadline::after(ACCEPT_PAUSE));
            continue;
        };
        let (log, holder) = (Arc::clone(log), holder.clone());
        // if there is no thread for it, the connection ends here, and its client tries again
        let _ = std::thread::Builder::new()
            .name("host-client".to_owned())
            .spawn(move || {
                // dropped last: whoever waits for the seat may count on the log being let go
                let _seat = seat;
                Session {
                    stream,
                    log,
                    holder,
                }
                .run(welcome);
            });
    }
}

/// The connections that are served.
#[derive(Default)]
struct Seats {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    closed: bool,
    taken: u64,
    streams: HashMap<u64, UnixStream>,
}

impl Seats {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn closed(&self) -> bool {
        self.lock().closed
    }

    fn take(self: &Arc<Self>, stream: &UnixStream) -> Option<Seat> {
        let mut state = self.lock();
        if state.closed || state.streams.len() >= CONNECTIONS_MAX {
            return None;
        }
        let handle = stream.try_clone().ok()?;
        state.taken += 1;
        let number = state.taken;
        state.streams.insert(number, handle);
        Some(Seat {
            seats: Arc::clone(self),
            number,
        })
    }

    /// Takes no more requests.
    fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        for stream in state.streams.values() {
            // what has arrived can still be read; what has not is refused where it is sent
            let _ = stream.shutdown(Shutdown::Read);
        }
        self.changed.notify_all();
    }

    /// Waits until every connection has ended, and ends those that do not.
    fn empty(&self) {
        let state = self.wait_until_empty(self.lock());
        for stream in state.streams.values() {
            let _ = stream.shutdown(Shutdown::Both);
        }
        drop(self.wait_until_empty(state));
    }

    fn wait_until_empty<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        let taken = |state: &mut State| !state.streams.is_empty();
        let waited = self.changed.wait_timeout_while(state, STOP_TIME_MAX, taken);
        waited.unwrap_or_else(PoisonError::into_inner).0
    }

    /// Waits a little, but not past the close.
    fn pause(&self) {
        let open = |state: &mut State| !state.closed;
        drop(
            self.changed
                .wait_timeout_while(self.lock(), ACCEPT_PAUSE, open),
        );
    }
}

/// One connection's place.
struct Seat {
    seats: Arc<Seats>,
    number: u64,
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.seats.lock().streams.remove(&self.number);
        self.seats.changed.notify_all();
    }
}
