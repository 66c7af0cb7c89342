//! One client's connection, on the side of the host.

use std::io;
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use sealpost_topology::log::{Log, LogError, Write};
use sealpost_topology::types::{Offset, Shard, Topic};

use super::holder::Holder;
use super::message::{Request, Response, is_greeting};
use super::server::{CUT_TIME_MAX, FRAME_TIME_MAX};
use super::wire::{Deadline, FRAME_BYTES_MAX, FirstByte, Frame, GREETING_BYTES_MAX, receive};

/// A connection that was admitted.
pub(super) struct Session {
    pub(super) stream: UnixStream,
    pub(super) log: Arc<dyn Log>,
    pub(super) holder: Holder,
}

/// What became of the second half of an append at a cut.
enum Cut {
    /// The builder was not asked: the log refused before.
    NotAsked,
    /// The writes came.
    Built,
    /// They did not come in time: nothing is written.
    Late,
    /// The client is gone, or sent something else: nothing is written.
    Broken(io::Error),
}

impl Session {
    /// Serves until either side ends. An error ends the connection, and only that: the client
    /// sees it end.
    pub(super) fn run(self, welcome: Frame) {
        // nothing is to be told to anybody: a client that breaks off knows it
        let _ = self.serve(welcome);
    }

    fn serve(&self, welcome: Frame) -> io::Result<()> {
        let greeting = receive(
            &self.stream,
            FirstByte::InTime,
            FRAME_TIME_MAX,
            GREETING_BYTES_MAX,
        )?;
        if !greeting.is_some_and(|payload| is_greeting(&payload)) {
            return Ok(());
        }
        self.send(welcome)?;
        while let Some(payload) = receive(
            &self.stream,
            FirstByte::Whenever,
            FRAME_TIME_MAX,
            FRAME_BYTES_MAX,
        )? {
            let Ok(request) = Request::decode(&payload) else {
                return self.refuse("the request cannot be read: use the same version of sealpost");
            };
            drop(payload);
            if let Request::AppendCut(cut) = request {
                self.append_cut(&cut)?;
            } else {
                self.send(self.answer(request).encode())?;
            }
        }
        Ok(())
    }

    fn answer(&self, request: Request) -> Response {
        let log = &self.log;
        let done = |result: Result<(), LogError>| result.map(|()| Response::Done);
        let answer = match request {
            Request::Ping => Ok(Response::Pong(self.holder.clone())),
            Request::Create(topics) => done(log.create(&topics)),
            Request::Append(durability, writes) => done(log.append(writes, durability)),
            Request::AppendCut(_) | Request::CutWrites(_) => Ok(Response::Refused(
                "no cut is open: nothing was written".to_owned(),
            )),
            Request::Bounds(topic, shard) => log.bounds(&topic, shard).map(Response::Bounds),
            Request::Read(topic, shard, from) => log.read(&topic, shard, from).map(Response::Batch),
            Request::Committed(group, topic, shard) => log
                .committed(&group, &topic, shard)
                .map(Response::Committed),
            Request::SetCommitted(group, progress) => done(log.set_committed(&group, &progress)),
        };
        answer.unwrap_or_else(Response::Failed)
    }

    /// Both halves of an append at a cut. The ends are told from within the log's own
    /// `append_cut`, and the answer is waited for there: between the ends and the write nothing
    /// can come.
    fn append_cut(&self, cut: &[Topic]) -> io::Result<()> {
        let mut outcome = Cut::NotAsked;
        let appended = self
            .log
            .append_cut(cut, &mut |end| match self.build(cut, end) {
                Ok(writes) => {
                    outcome = Cut::Built;
                    writes
                }
                Err(error) => {
                    outcome = match error.kind() {
                        io::ErrorKind::TimedOut => Cut::Late,
                        _ => Cut::Broken(error),
                    };
                    Vec::new()
                }
            });
        match (outcome, appended) {
            (Cut::Late, _) => self.refuse(&format!(
                "the command was not written: it took longer than {} s while the log waited for it; try again",
                CUT_TIME_MAX.as_secs()
            )),
            (Cut::Broken(error), _) => Err(error),
            (Cut::NotAsked | Cut::Built, Ok(())) => self.send(Response::Done.encode()),
            (Cut::NotAsked | Cut::Built, Err(error)) => {
                self.send(Response::Failed(error).encode())
            }
        }
    }

    fn build(
        &self,
        cut: &[Topic],
        end: &dyn Fn(&Topic, Shard) -> Offset,
    ) -> io::Result<Vec<Write>> {
        let deadline = Deadline::after(CUT_TIME_MAX);
        let shards = 0..self.log.partitions();
        let ends = cut
            .iter()
            .flat_map(|topic| shards.clone().map(move |shard| (topic, shard)));
        let ends = ends
            .map(|(topic, shard)| end(topic, Shard(shard)))
            .collect();
        Response::CutEnds(ends)
            .encode()
            .send(&self.stream, deadline)?;
        let left = deadline.left().ok_or(io::ErrorKind::TimedOut)?;
        let payload = receive(&self.stream, FirstByte::InTime, left, FRAME_BYTES_MAX)?
            .ok_or(io::ErrorKind::UnexpectedEof)?;
        match Request::decode(&payload) {
            Ok(Request::CutWrites(writes)) => Ok(writes),
            _ => Err(io::ErrorKind::InvalidData.into()),
        }
    }

    /// Says why, and ends the connection.
    fn refuse(&self, why: &str) -> io::Result<()> {
        self.send(Response::Refused(why.to_owned()).encode())?;
        Err(io::ErrorKind::InvalidData.into())
    }

    fn send(&self, frame: Frame) -> io::Result<()> {
        frame.send(&self.stream, Deadline::after(FRAME_TIME_MAX))
    }
}
