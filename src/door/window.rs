//! A text file in pieces: bounded memory, whole lines, wiped when done.
//!
//! Invariants:
//! - The window begins where the next row does, and grows only until that row is in it.
//! - It never holds much more than [`LINE_BYTES_MAX`], whatever the file.

use std::io::{self, Read};

use zeroize::Zeroizing;

/// The longest line: beyond it a row is bad.
pub(super) const LINE_BYTES_MAX: usize = 1 << 20;
/// What is kept of a line that is too long.
pub(super) const LINE_BYTES_KEPT: usize = 4096;
/// What is read at once.
const PIECE_BYTES: usize = 1 << 16;

/// See the module.
pub(super) struct Window<R> {
    input: R,
    bytes: Zeroizing<Vec<u8>>,
    start: usize,
    ended: bool,
}

/// The next line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Line {
    /// There is none.
    End,
    /// It is in the window: so many bytes, with its newline if it has one.
    Whole(usize),
    /// It is longer than a line may be; its beginning is in the window.
    TooLong,
}

impl<R: Read> Window<R> {
    /// A window on the beginning of a file, past the byte order mark of UTF-8 if there is one.
    pub(super) fn new(input: R) -> io::Result<Self> {
        let bytes = Zeroizing::new(Vec::with_capacity(2 * PIECE_BYTES));
        let mut window = Self {
            input,
            bytes,
            start: 0,
            ended: false,
        };
        while window.rest().len() < 3 && window.more()? {}
        if window.rest().starts_with(b"\xef\xbb\xbf") {
            window.skip(3);
        }
        Ok(window)
    }

    /// What is in the window.
    pub(super) fn rest(&self) -> &[u8] {
        self.bytes.get(self.start..).unwrap_or_default()
    }

    /// Whether the window reaches to the end of the file.
    pub(super) const fn ended(&self) -> bool {
        self.ended
    }

    /// Moves on by so many bytes.
    pub(super) fn skip(&mut self, bytes: usize) {
        self.start = self.start.saturating_add(bytes).min(self.bytes.len());
    }

    /// Takes in more of the file, as much again as there is; `false` at its end.
    pub(super) fn more(&mut self) -> io::Result<bool> {
        self.bytes.drain(..self.start);
        self.start = 0;
        let before = self.bytes.len();
        let wanted = before.max(PIECE_BYTES);
        if self.bytes.capacity() < before + wanted {
            // by hand, because growing would leave a copy that is not wiped
            let mut larger = Zeroizing::new(Vec::with_capacity(2 * (before + wanted)));
            larger.extend_from_slice(&self.bytes);
            self.bytes = larger;
        }
        let limit = u64::try_from(wanted).unwrap_or(u64::MAX);
        let read = self
            .input
            .by_ref()
            .take(limit)
            .read_to_end(&mut self.bytes)?;
        self.ended = read < wanted;
        Ok(read > 0)
    }

    /// Takes in the whole next line.
    pub(super) fn line(&mut self) -> io::Result<Line> {
        let mut searched = 0;
        loop {
            let rest = self.rest().get(searched..).unwrap_or_default();
            if let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
                let whole = searched + end + 1;
                return Ok(if whole > LINE_BYTES_MAX {
                    Line::TooLong
                } else {
                    Line::Whole(whole)
                });
            }
            searched += rest.len();
            if searched > LINE_BYTES_MAX {
                return Ok(Line::TooLong);
            }
            if self.ended {
                return Ok(if searched == 0 {
                    Line::End
                } else {
                    Line::Whole(searched)
                });
            }
            self.more()?;
        }
    }

    /// Moves on past the end of the line, however far it is.
    pub(super) fn skip_line(&mut self) -> io::Result<()> {
        loop {
            if let Some(end) = self.rest().iter().position(|byte| *byte == b'\n') {
                self.skip(end + 1);
                return Ok(());
            }
            self.skip(self.rest().len());
            if self.ended {
                return Ok(());
            }
            self.more()?;
        }
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
    use super::*;

    fn lines(text: &[u8]) -> Vec<Vec<u8>> {
        let mut window = Window::new(text).unwrap();
        let mut lines = Vec::new();
        loop {
            match window.line().unwrap() {
                Line::End => return lines,
                Line::Whole(bytes) => {
                    lines.push(window.rest()[..bytes].to_vec());
                    window.skip(bytes);
                }
                Line::TooLong => {
                    lines.push(b"too long".to_vec());
                    window.skip_line().unwrap();
                }
            }
        }
    }

    #[test]
    fn lines_come_whole_whether_or_not_the_last_one_ends() {
        assert_eq!(lines(b"a\n\nbc"), [&b"a\n"[..], b"\n", b"bc"]);
        assert_eq!(lines(b"\xef\xbb\xbfa\n"), [b"a\n"]);
        assert!(lines(b"").is_empty());
    }

    #[test]
    fn a_line_across_pieces_stays_whole() {
        let long = [vec![b'x'; 3 * PIECE_BYTES + 5], b"\n".to_vec()].concat();
        let text = [b"a\n".to_vec(), long.clone(), b"b\n".to_vec()].concat();
        assert_eq!(lines(&text), [b"a\n".to_vec(), long, b"b\n".to_vec()]);
    }

    #[test]
    fn a_line_that_is_too_long_is_skipped_in_bounded_memory() {
        let longest = vec![b'x'; LINE_BYTES_MAX - 1];
        let text = [b"a\n", &longest[..], b"\n", &longest[..], b"y\nb"].concat();
        let read = lines(&text);
        assert_eq!(read.len(), 4);
        assert_eq!(read[1].len(), LINE_BYTES_MAX);
        assert_eq!(read[2], b"too long");
        assert_eq!(read[3], b"b");

        let endless = vec![b'x'; 20 * LINE_BYTES_MAX];
        let mut window = Window::new(&endless[..]).unwrap();
        assert_eq!(window.line().unwrap(), Line::TooLong);
        window.skip_line().unwrap();
        assert_eq!(window.line().unwrap(), Line::End);
        assert!(window.bytes.capacity() <= 8 * LINE_BYTES_MAX);
    }
}
