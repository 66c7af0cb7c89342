//! One conversation after another with the process that has the log open.
//!
//! # Invariants
//! - [`Trouble::Gone`] is said only when nothing was done: the request did not arrive as a whole,
//!   or changes nothing. Such a request may be made again, here or elsewhere.
//! - Every call ends within [`ANSWER_TIME_MAX`], and what was started for it.
//! - A connection on which something went wrong is not used again.

use std::io;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use sealpost_topology::batch::{Batch, RecordBatch};
use sealpost_topology::log::{Bounds, LogError, Write};
use sealpost_topology::types::{Offset, Shard, Topic};

use super::holder::Holder;
use super::message::{Admission, Request, Response, Terms, VERSION, Welcome, greeting};
use super::socket;
use super::wire::{Deadline, FRAME_BYTES_MAX, FirstByte, GREETING_BYTES_MAX, receive};

/// The most that one append may bring, uncompressed.
pub(super) const APPEND_BYTES_MAX: usize = 128 * 1024 * 1024;

/// How long the host may take to answer a request.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(30);

/// How long the host may take to take a request in.
const SEND_TIME_MAX: Duration = Duration::from_secs(30);

/// How many connections are kept for the next call.
const SPARE_CONNECTIONS_MAX: usize = 4;

/// Why a call has no answer.
#[derive(Debug)]
pub(super) enum Trouble {
    /// Whoever had the log open is gone, and nothing was done.
    Gone,
    /// The log's own answer, or that there is none and never will be.
    Log(LogError),
}

impl From<LogError> for Trouble {
    fn from(error: LogError) -> Self {
        Self::Log(error)
    }
}

/// Why there is no connection.
#[derive(Debug)]
pub(super) enum NoConnection {
    /// Nobody answers yet, or no longer: try again.
    Absent(io::Error),
    /// Too many others are served: try again.
    Full(Holder),
    /// It never will be one; the text says why.
    Never(String),
}

/// What asking again may lead to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Effect {
    /// The same as asking once.
    Repeatable,
    /// A second effect.
    Once,
}

/// Asks for the ends, and makes what is written there.
type Build<'a> = sealpost_topology::log::CutBuilder<'a>;

/// Connections to one host.
pub(super) struct Client {
    data_dir: PathBuf,
    holder: Holder,
    partitions: u32,
    spare: Mutex<Vec<UnixStream>>,
}

impl Client {
    /// Connects to whoever has the log of a directory open.
    ///
    /// # Errors
    /// See [`NoConnection`].
    pub(super) fn connect(data_dir: &Path, patience: Duration) -> Result<Self, NoConnection> {
        let (stream, holder, terms) = greet(data_dir, patience)?;
        Ok(Self {
            data_dir: data_dir.to_owned(),
            holder,
            partitions: terms.partitions,
            spare: Mutex::new(vec![stream]),
        })
    }

    /// Who the host is, asked as far as that is possible.
    pub(super) fn ask_holder(data_dir: &Path, patience: Duration) -> Option<Holder> {
        match greet(data_dir, patience) {
            Ok((_, holder, _)) | Err(NoConnection::Full(holder)) => Some(holder),
            Err(_) => None,
        }
    }

    /// Who the host is.
    pub(super) const fn holder(&self) -> &Holder {
        &self.holder
    }

    /// Partitions of every topic.
    pub(super) const fn partitions(&self) -> u32 {
        self.partitions
    }

    /// Who the host is, asked now.
    pub(super) fn ping(&self) -> Result<Holder, Trouble> {
        match self.ask(&Request::Ping, Effect::Repeatable)? {
            Response::Pong(holder) => Ok(holder),
            other => Err(unexpected(other, Effect::Repeatable)),
        }
    }

    /// Makes a request that can be made twice: `Done` is its answer.
    pub(super) fn do_again(&self, request: &Request) -> Result<(), Trouble> {
        self.done(request, Effect::Repeatable)
    }

    /// Makes a request that must not be made twice: `Done` is its answer.
    pub(super) fn do_once(&self, request: &Request) -> Result<(), Trouble> {
        self.done(request, Effect::Once)
    }

    fn done(&self, request: &Request, effect: Effect) -> Result<(), Trouble> {
        match self.ask(request, effect)? {
            Response::Done => Ok(()),
            other => Err(unexpected(other, effect)),
        }
    }

    pub(super) fn bounds(&self, request: &Request) -> Result<Bounds, Trouble> {
        match self.ask(request, Effect::Repeatable)? {
            Response::Bounds(bounds) => Ok(bounds),
            other => Err(unexpected(other, Effect::Repeatable)),
        }
    }

    pub(super) fn batch(&self, request: &Request) -> Result<Option<RecordBatch>, Trouble> {
        match self.ask(request, Effect::Repeatable)? {
            Response::Batch(batch) => Ok(batch),
            other => Err(unexpected(other, Effect::Repeatable)),
        }
    }

    pub(super) fn committed(&self, request: &Request) -> Result<Option<Offset>, Trouble> {
        match self.ask(request, Effect::Repeatable)? {
            Response::Committed(offset) => Ok(offset),
            other => Err(unexpected(other, Effect::Repeatable)),
        }
    }

    /// Both halves of an append at a cut; see [`super::message`].
    pub(super) fn append_cut(&self, cut: &[Topic], build: &mut Build<'_>) -> Result<(), Trouble> {
        let stream = self.connection()?;
        send(&stream, &Request::AppendCut(cut.to_vec()))?;
        let ends = match answer(&stream, ANSWER_TIME_MAX) {
            Ok(Response::CutEnds(ends)) => ends,
            Ok(other) => return Err(unexpected(other, Effect::Repeatable)),
            Err(error) => return Err(unanswered(&error, Effect::Repeatable)),
        };
        let partitions = self.partitions as usize;
        let end = |topic: &Topic, shard: Shard| {
            let place = cut.iter().position(|known| known == topic);
            let place = place.filter(|_| shard.0 < self.partitions);
            let end = place.and_then(|place| ends.get(place * partitions + shard.0 as usize));
            end.copied().unwrap_or_default()
        };
        let writes = build(&end);
        check_size(&writes)?;
        let sent = send(&stream, &Request::CutWrites(writes));
        match (sent, answer(&stream, ANSWER_TIME_MAX)) {
            (Ok(()), Ok(Response::Done)) => {
                self.keep(stream);
                Ok(())
            }
            // it may have said why before it hung up
            (_, Ok(other)) => Err(unexpected(other, Effect::Once)),
            (Ok(()), Err(error)) => Err(unanswered(&error, Effect::Once)),
            (Err(trouble), Err(_)) => Err(trouble),
        }
    }

    fn ask(&self, request: &Request, effect: Effect) -> Result<Response, Trouble> {
        if let Request::Append(_, writes) = request {
            check_size(writes)?;
        }
        let stream = self.connection()?;
        send(&stream, request)?;
        let response =
            answer(&stream, ANSWER_TIME_MAX).map_err(|error| unanswered(&error, effect))?;
        if !matches!(response, Response::Refused(_)) {
            self.keep(stream);
        }
        Ok(response)
    }

    fn connection(&self) -> Result<UnixStream, Trouble> {
        if let Some(stream) = self
            .spare
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop()
        {
            return Ok(stream);
        }
        match greet(&self.data_dir, ANSWER_TIME_MAX) {
            Ok((stream, holder, _)) if holder == self.holder => Ok(stream),
            // somebody else took over: let that be found out in order
            Ok(_) | Err(NoConnection::Absent(_) | NoConnection::Full(_)) => Err(Trouble::Gone),
            Err(NoConnection::Never(why)) => Err(Trouble::Log(LogError::Mismatch(why))),
        }
    }

    fn keep(&self, stream: UnixStream) {
        let mut spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner);
        if spare.len() < SPARE_CONNECTIONS_MAX {
            spare.push(stream);
        }
    }
}

fn greet(data_dir: &Path, patience: Duration) -> Result<(UnixStream, Holder, Terms), NoConnection> {
    let stream = socket::connect(data_dir).map_err(NoConnection::Absent)?;
    // a host that is full does not wait for this; what it says counts
    let _ = greeting().send(&stream, Deadline::after(patience));
    let payload = receive(&stream, FirstByte::InTime, patience, GREETING_BYTES_MAX)
        .and_then(|payload| payload.ok_or_else(|| io::ErrorKind::UnexpectedEof.into()))
        .map_err(NoConnection::Absent)?;
    let unknown = || {
        format!(
            "what listens on the socket in {} is no sealpost",
            data_dir.display()
        )
    };
    let welcome = Welcome::decode(&payload).map_err(|_| NoConnection::Never(unknown()))?;
    match welcome.terms {
        None => Err(NoConnection::Never(format!(
            "{} has {} open with sealpost {}, which speaks protocol {}, but this is {} with protocol {VERSION}: use the same version, or stop it first",
            welcome.holder,
            data_dir.display(),
            welcome.holder.version,
            welcome.protocol,
            env!("CARGO_PKG_VERSION"),
        ))),
        Some(Terms {
            admission: Admission::Full,
            ..
        }) => Err(NoConnection::Full(welcome.holder)),
        Some(terms) => Ok((stream, welcome.holder, terms)),
    }
}

fn send(stream: &UnixStream, request: &Request) -> Result<(), Trouble> {
    // what did not arrive as a whole is not acted upon
    let sent = request
        .encode()
        .send(stream, Deadline::after(SEND_TIME_MAX));
    sent.map_err(|error| match error.kind() {
        io::ErrorKind::TimedOut => Trouble::Log(LogError::Mismatch(format!(
            "the process that has the log open does not take requests; nothing was done (it was given {} s)",
            SEND_TIME_MAX.as_secs()
        ))),
        _ => Trouble::Gone,
    })
}

fn answer(stream: &UnixStream, patience: Duration) -> io::Result<Response> {
    let payload = receive(stream, FirstByte::InTime, patience, FRAME_BYTES_MAX)?
        .ok_or(io::ErrorKind::UnexpectedEof)?;
    Response::decode(&payload).map_err(|_| io::ErrorKind::InvalidData.into())
}

/// The request arrived, its answer did not.
fn unanswered(error: &io::Error, effect: Effect) -> Trouble {
    match (effect, error.kind()) {
        (Effect::Once, _) => Trouble::Log(LogError::InDoubt),
        (Effect::Repeatable, io::ErrorKind::TimedOut) => Trouble::Log(LogError::Mismatch(format!(
            "the process that has the log open did not answer within {} s",
            ANSWER_TIME_MAX.as_secs()
        ))),
        (Effect::Repeatable, _) => Trouble::Gone,
    }
}

/// An answer that is not the one hoped for.
fn unexpected(response: Response, effect: Effect) -> Trouble {
    Trouble::Log(match (response, effect) {
        (Response::Failed(error), _) => error,
        (Response::Refused(why), _) => LogError::Mismatch(why),
        (_, Effect::Once) => LogError::InDoubt,
        (_, Effect::Repeatable) => LogError::Mismatch(
            "the process that has the log open answered something else: use the same version"
                .to_owned(),
        ),
    })
}

fn check_size(writes: &[Write]) -> Result<(), Trouble> {
    let bytes = writes
        .iter()
        .map(|write| &write.batch)
        .map(Batch::bytes)
        .sum::<usize>();
    if bytes <= APPEND_BYTES_MAX {
        return Ok(());
    }
    Err(Trouble::Log(LogError::Mismatch(format!(
        "{bytes} bytes are too many for one append through another process: at most {APPEND_BYTES_MAX}; write less at once, or stop the process that has the log open"
    ))))
}
