//! Frames on a socket: a length of 4 bytes, little-endian, then that many bytes.
//!
//! # Invariants
//! - Every wait has an end, but the one for the first byte of a next request.
//! - A frame is received as a whole or not at all: whoever failed to send all of one knows that
//!   it was not acted upon.
//! - Memory grows with the bytes that came, not with the length that was claimed.

use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// The largest frame: an append of [`super::client::APPEND_BYTES_MAX`] and what goes around it.
pub(super) const FRAME_BYTES_MAX: usize = 160 * 1024 * 1024;

/// The largest frame before both sides know each other.
pub(super) const GREETING_BYTES_MAX: usize = 256;

const LENGTH_BYTES: usize = 4;
const CHUNK_BYTES: usize = 256 * 1024;

/// How long the first byte of a frame may take.
#[derive(Debug, Clone, Copy)]
pub(super) enum FirstByte {
    /// Until it comes, or the connection ends.
    Whenever,
    /// As the rest of the frame.
    InTime,
}

/// A point in time by which something must have happened.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deadline(Instant);

impl Deadline {
    /// From now on this long.
    pub(super) fn after(duration: Duration) -> Self {
        let now = Instant::now();
        Self(now.checked_add(duration).unwrap_or(now))
    }

    /// What is left, if anything is.
    pub(super) fn left(self) -> Option<Duration> {
        let left = self.0.saturating_duration_since(Instant::now());
        (!left.is_zero()).then_some(left)
    }

    fn left_or_late(self) -> io::Result<Duration> {
        self.left().ok_or_else(|| io::ErrorKind::TimedOut.into())
    }
}

/// A frame that is being put together.
#[derive(Debug)]
pub(super) struct Frame(Vec<u8>);

impl Frame {
    /// An empty one.
    pub(super) fn new() -> Self {
        // room for the length, so that a frame goes out in one piece
        Self(vec![0; LENGTH_BYTES])
    }

    /// Appends bytes.
    pub(super) fn put(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// Appends bytes behind their number.
    pub(super) fn put_bytes(&mut self, bytes: &[u8]) {
        self.put(&(bytes.len() as u64).to_le_bytes());
        self.put(bytes);
    }

    /// What is in it.
    #[cfg(test)]
    pub(super) fn payload(&self) -> &[u8] {
        self.0.get(LENGTH_BYTES..).unwrap_or_default()
    }

    /// Sends it.
    ///
    /// # Errors
    /// When not all of it could be handed to the other side in time: it is then not acted upon.
    pub(super) fn send(mut self, mut stream: &UnixStream, deadline: Deadline) -> io::Result<()> {
        let length = self.0.len() - LENGTH_BYTES;
        if length > FRAME_BYTES_MAX {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        if let Some(place) = self.0.first_chunk_mut::<LENGTH_BYTES>() {
            *place = (length as u32).to_le_bytes();
        }
        let mut rest = self.0.as_slice();
        while !rest.is_empty() {
            stream.set_write_timeout(Some(deadline.left_or_late()?))?;
            match stream.write(rest) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(sent) => rest = rest.get(sent..).unwrap_or_default(),
                Err(error) if goes_on(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// Receives a frame of at most `bytes_max`; `None` when the connection ended before one began.
///
/// # Errors
/// When it is too large, is not there in time (`TimedOut`), or breaks off.
pub(super) fn receive(
    stream: &UnixStream,
    first_byte: FirstByte,
    patience: Duration,
    bytes_max: usize,
) -> io::Result<Option<Vec<u8>>> {
    let mut length = [0; LENGTH_BYTES];
    let (first, others) = length.split_at_mut(1);
    let deadline = match first_byte {
        FirstByte::InTime => Some(Deadline::after(patience)),
        FirstByte::Whenever => None,
    };
    if read_some(stream, first, deadline)? == 0 {
        return Ok(None);
    }
    let deadline = deadline.unwrap_or_else(|| Deadline::after(patience));
    read_all(stream, others, deadline)?;
    let length = u32::from_le_bytes(length) as usize;
    if length > bytes_max {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    let mut payload = Vec::new();
    while payload.len() < length {
        let filled = payload.len();
        payload.resize(length.min(filled + CHUNK_BYTES.max(filled)), 0);
        read_all(
            stream,
            payload.get_mut(filled..).unwrap_or_default(),
            deadline,
        )?;
    }
    Ok(Some(payload))
}

fn read_all(stream: &UnixStream, mut bytes: &mut [u8], deadline: Deadline) -> io::Result<()> {
    while !bytes.is_empty() {
        let read = read_some(stream, bytes, Some(deadline))?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        bytes = bytes.get_mut(read..).unwrap_or_default();
    }
    Ok(())
}

fn read_some(
    mut stream: &UnixStream,
    bytes: &mut [u8],
    deadline: Option<Deadline>,
) -> io::Result<usize> {
    loop {
        stream.set_read_timeout(deadline.map(Deadline::left_or_late).transpose()?)?;
        match stream.read(bytes) {
            Err(error) if goes_on(&error) => {}
            other => return other,
        }
    }
}

/// Whether only a signal or the end of one wait came between: the deadline decides.
fn goes_on(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock
    )
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::indexing_slicing,
        clippy::panic,
        reason = "tests"
    )]
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(30);

    fn received(stream: &UnixStream, bytes_max: usize) -> io::Result<Option<Vec<u8>>> {
        receive(stream, FirstByte::InTime, PATIENCE, bytes_max)
    }

    #[test]
    fn a_frame_of_megabytes_arrives_as_it_was_sent() {
        let (here, there) = UnixStream::pair().unwrap();
        let payload: Vec<u8> = (0..5_000_000_u32)
            .map(|number| (number % 251) as u8)
            .collect();
        let mut frame = Frame::new();
        frame.put(&payload);
        let sender = std::thread::spawn(move || frame.send(&here, Deadline::after(PATIENCE)));
        assert_eq!(received(&there, FRAME_BYTES_MAX).unwrap().unwrap(), payload);
        sender.join().unwrap().unwrap();
    }

    #[test]
    fn a_connection_that_ends_between_frames_is_no_error() {
        let (here, there) = UnixStream::pair().unwrap();
        drop(here);
        assert_eq!(received(&there, FRAME_BYTES_MAX).unwrap(), None);
    }

    #[test]
    fn a_frame_that_breaks_off_is_refused() {
        let (mut here, there) = UnixStream::pair().unwrap();
        here.write_all(&[9, 0, 0, 0, 1, 2]).unwrap();
        drop(here);
        let error = received(&there, FRAME_BYTES_MAX).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn a_claimed_length_beyond_the_limit_is_refused_before_it_is_read() {
        let (mut here, there) = UnixStream::pair().unwrap();
        here.write_all(b"GET / HTTP/1.1\r\n").unwrap();
        let error = received(&there, GREETING_BYTES_MAX).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
    }

    #[test]
    fn a_frame_that_does_not_go_on_is_given_up_in_time() {
        let (mut here, there) = UnixStream::pair().unwrap();
        here.write_all(&[9, 0]).unwrap();
        let patience = Duration::from_millis(20);
        let error = receive(&there, FirstByte::Whenever, patience, FRAME_BYTES_MAX).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[test]
    fn a_frame_that_nobody_takes_is_given_up_in_time() {
        let (here, _there) = UnixStream::pair().unwrap();
        let mut frame = Frame::new();
        frame.put(&vec![0; 8 * 1024 * 1024]);
        let error = frame
            .send(&here, Deadline::after(Duration::from_millis(20)))
            .unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
