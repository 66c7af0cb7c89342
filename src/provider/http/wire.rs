//! A connection that knows for certain whether anything of a request has left.
//!
//! # Invariants
//! - A request is written only between [`Mark::arm`] and its end, by the connection's own task.
//! - [`Mark::revoke`] and the first write exclude each other: once it has said
//!   [`Written::Nothing`], nothing of the request will ever be written, by whatever thread.
//! - The first write is refused once the exchange's deadline has passed: a process that was frozen
//!   and wakes up sends nothing that somebody else may have decided on meanwhile.
//! - A failed write that may have taken something counts as one that has. Only where the stream
//!   hands bytes straight to the operating system does a failed first write mean that none left.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

/// Between two requests.
const REST: u8 = 0;
/// A request may be written, and nothing of it has been.
const ARMED: u8 = 1;
/// The first write is under way.
const WRITING: u8 = 2;
/// Something was written, or may have been.
const BEGUN: u8 = 3;
/// The right to write was taken back in time.
const REVOKED: u8 = 4;
/// The first write failed without taking anything; there is no second one.
const UNWRITTEN: u8 = 5;

/// Whether anything of a request has left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Written {
    /// Nothing has, and nothing will.
    Nothing,
    /// Something has, or may have.
    Perhaps,
}

/// What a stream's failed write means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FailedWrite {
    /// Nothing of it was taken: the stream keeps no buffer of its own.
    TookNothing,
    /// Some of it may have been.
    MayHaveTaken,
}

/// How far a connection's request has come. Shared by the connection and whoever waits for it.
#[derive(Debug)]
pub(super) struct Mark {
    stage: AtomicU8,
    made_at: Instant,
    /// Until when a first write may begin, in nanoseconds after `made_at`.
    deadline_ns: AtomicU64,
}

impl Mark {
    /// The mark of a new connection.
    pub(super) fn new() -> Self {
        Self {
            stage: AtomicU8::new(REST),
            made_at: Instant::now(),
            deadline_ns: AtomicU64::new(0),
        }
    }

    /// The next request may be written, if that begins by then. Only to be called while none is
    /// under way.
    pub(super) fn arm(&self, deadline: Instant) {
        let deadline = deadline.saturating_duration_since(self.made_at);
        let deadline_ns = u64::try_from(deadline.as_nanos()).unwrap_or(u64::MAX);
        self.deadline_ns.store(deadline_ns, Ordering::SeqCst);
        self.stage.store(ARMED, Ordering::SeqCst);
    }

    /// Takes the right to the first write, if there is one and it is not too late.
    fn begin(&self) -> Result<(), u8> {
        self.swap(ARMED, WRITING)?;
        let deadline_ns = u128::from(self.deadline_ns.load(Ordering::SeqCst));
        if self.made_at.elapsed().as_nanos() > deadline_ns {
            self.stage.store(REVOKED, Ordering::SeqCst);
            return Err(REVOKED);
        }
        Ok(())
    }

    /// The request has ended, answer and all.
    pub(super) fn rest(&self) {
        self.stage.store(REST, Ordering::SeqCst);
    }

    /// Takes the right to write back, and says whether that was in time.
    pub(super) fn revoke(&self) -> Written {
        match self.swap(ARMED, REVOKED) {
            Ok(_) | Err(REST | REVOKED | UNWRITTEN) => Written::Nothing,
            Err(_) => Written::Perhaps,
        }
    }

    fn swap(&self, from: u8, to: u8) -> Result<u8, u8> {
        self.stage
            .compare_exchange(from, to, Ordering::SeqCst, Ordering::SeqCst)
    }
}

/// A stream under a mark.
pub(super) struct Wire<S> {
    stream: S,
    failed_write: FailedWrite,
    mark: Arc<Mark>,
}

impl<S> Wire<S> {
    pub(super) const fn new(stream: S, failed_write: FailedWrite, mark: Arc<Mark>) -> Self {
        Self {
            stream,
            failed_write,
            mark,
        }
    }
}

impl<S: AsyncWrite + Unpin> Wire<S> {
    fn write(
        &mut self,
        write: impl FnOnce(Pin<&mut S>) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        match self.mark.begin() {
            Ok(()) => {
                let done = write(Pin::new(&mut self.stream));
                let nothing_left = self.failed_write == FailedWrite::TookNothing;
                let now = match &done {
                    Poll::Pending if nothing_left => ARMED,
                    Poll::Ready(Err(_) | Ok(0)) if nothing_left => UNWRITTEN,
                    _ => BEGUN,
                };
                self.mark.stage.store(now, Ordering::SeqCst);
                done
            }
            Err(BEGUN) => write(Pin::new(&mut self.stream)),
            Err(_) => Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into())),
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Wire<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().write(|stream| stream.poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.get_mut()
            .write(|stream| stream.poll_write_vectored(cx, pieces))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Wire<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_read(cx, into)
    }
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::indexing_slicing,
        clippy::panic,
        reason = "tests"
    )]

    use std::collections::VecDeque;

    use super::*;

    /// Does with each write what it was told.
    struct Scripted {
        script: VecDeque<Poll<io::Result<usize>>>,
        writes: usize,
    }

    impl AsyncWrite for Scripted {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            _: &[u8],
        ) -> Poll<io::Result<usize>> {
            self.writes += 1;
            self.script.pop_front().unwrap()
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    struct Scene {
        wire: Wire<Scripted>,
        mark: Arc<Mark>,
    }

    fn scene(failed_write: FailedWrite, script: Vec<Poll<io::Result<usize>>>) -> Scene {
        let mark = Arc::new(Mark::new());
        let stream = Scripted {
            script: script.into(),
            writes: 0,
        };
        let wire = Wire::new(stream, failed_write, Arc::clone(&mark));
        Scene { wire, mark }
    }

    impl Scene {
        fn write(&mut self) -> Poll<io::Result<usize>> {
            let mut cx = Context::from_waker(std::task::Waker::noop());
            Pin::new(&mut self.wire).poll_write(&mut cx, b"request")
        }

        fn is_refused(&mut self) -> bool {
            let before = self.wire.stream.writes;
            matches!(self.write(), Poll::Ready(Err(_))) && self.wire.stream.writes == before
        }
    }

    fn soon() -> Instant {
        Instant::now() + std::time::Duration::from_secs(3_600)
    }

    fn reset() -> Poll<io::Result<usize>> {
        Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()))
    }

    #[test]
    fn nothing_is_written_unless_a_request_is_under_way() {
        let mut scene = scene(FailedWrite::TookNothing, vec![]);
        assert!(scene.is_refused());
    }

    #[test]
    fn what_was_revoked_in_time_is_never_written() {
        let mut scene = scene(FailedWrite::TookNothing, vec![]);
        scene.mark.arm(soon());
        assert_eq!(scene.mark.revoke(), Written::Nothing);
        assert!(scene.is_refused());
    }

    #[test]
    fn a_process_that_wakes_up_too_late_writes_nothing() {
        let mut scene = scene(FailedWrite::TookNothing, vec![]);
        scene.mark.arm(scene.mark.made_at);
        assert!(scene.is_refused());
        assert_eq!(scene.mark.revoke(), Written::Nothing);
    }

    #[test]
    fn what_has_begun_in_time_is_written_to_its_end() {
        let script = vec![Poll::Ready(Ok(3)), Poll::Ready(Ok(4))];
        let mut scene = scene(FailedWrite::TookNothing, script);
        scene.mark.arm(soon());
        assert!(scene.write().is_ready());
        scene.mark.deadline_ns.store(0, Ordering::SeqCst);
        assert!(scene.write().is_ready());
        assert_eq!(scene.wire.stream.writes, 2);
    }

    #[test]
    fn one_byte_is_enough_to_be_in_doubt() {
        let mut scene = scene(FailedWrite::TookNothing, vec![Poll::Ready(Ok(1)), reset()]);
        scene.mark.arm(soon());
        assert!(scene.write().is_ready());
        assert_eq!(scene.mark.revoke(), Written::Perhaps);
        assert!(scene.write().is_ready());
        assert_eq!(scene.mark.revoke(), Written::Perhaps);
    }

    #[test]
    fn a_first_write_that_fails_straight_at_the_socket_took_nothing_and_is_the_last() {
        let mut scene = scene(FailedWrite::TookNothing, vec![reset()]);
        scene.mark.arm(soon());
        assert!(scene.write().is_ready());
        assert!(scene.is_refused());
        assert_eq!(scene.mark.revoke(), Written::Nothing);
    }

    #[test]
    fn a_first_write_that_fails_behind_a_buffer_may_have_taken_something() {
        for first in [reset(), Poll::Pending] {
            let mut scene = scene(FailedWrite::MayHaveTaken, vec![first]);
            scene.mark.arm(soon());
            let _ = scene.write();
            assert_eq!(scene.mark.revoke(), Written::Perhaps);
        }
    }

    #[test]
    fn a_write_that_waits_for_room_can_still_be_revoked() {
        let mut scene = scene(FailedWrite::TookNothing, vec![Poll::Pending]);
        scene.mark.arm(soon());
        assert!(scene.write().is_pending());
        assert_eq!(scene.mark.revoke(), Written::Nothing);
        assert!(scene.is_refused());
    }

    #[test]
    fn each_request_is_marked_anew() {
        let mut scene = scene(FailedWrite::TookNothing, vec![Poll::Ready(Ok(7))]);
        scene.mark.arm(soon());
        assert!(scene.write().is_ready());
        scene.mark.rest();
        assert!(scene.is_refused());
        scene.mark.arm(soon());
        assert_eq!(scene.mark.revoke(), Written::Nothing);
    }
}
