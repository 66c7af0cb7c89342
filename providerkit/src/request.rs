//! Requests, read by hand from the wire, so that they can be cut short at will.

use std::io;

use tokio::net::TcpStream;

/// Most of a head.
const HEAD_BYTES_MAX: usize = 64 * 1024;
/// Most of a body.
const BODY_BYTES_MAX: usize = 4 * 1024 * 1024;

/// The head of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) method: String,
    pub(crate) target: String,
    headers: Vec<(String, String)>,
    /// Bytes of the body that follow.
    pub(crate) body_bytes: usize,
}

impl Head {
    /// A header, by its name in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }
}

/// A connection, and what was read of it ahead.
pub(crate) struct Incoming {
    pub(crate) stream: TcpStream,
    ahead: Vec<u8>,
}

fn wrong(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

impl Incoming {
    pub(crate) const fn new(stream: TcpStream) -> Self {
        Self {
            stream,
            ahead: Vec::new(),
        }
    }

    /// Reads what there is, and waits if there is nothing; 0 at the end.
    async fn read_more(&mut self) -> io::Result<usize> {
        let mut piece = [0_u8; 8 * 1024];
        loop {
            self.stream.readable().await?;
            match self.stream.try_read(&mut piece) {
                Ok(bytes) => {
                    self.ahead
                        .extend_from_slice(piece.get(..bytes).unwrap_or_default());
                    return Ok(bytes);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// The next head; `None` at the end of the connection.
    pub(crate) async fn head(&mut self) -> io::Result<Option<Head>> {
        loop {
            if let Some(end) = self.ahead.windows(4).position(|four| four == b"\r\n\r\n") {
                let rest = self.ahead.split_off(end + 4);
                let head = std::mem::replace(&mut self.ahead, rest);
                return parse(&head).map(Some);
            }
            if self.ahead.len() > HEAD_BYTES_MAX {
                return Err(wrong("the head is too long"));
            }
            if self.read_more().await? == 0 {
                return if self.ahead.is_empty() {
                    Ok(None)
                } else {
                    Err(io::ErrorKind::UnexpectedEof.into())
                };
            }
        }
    }

    /// The body of a head.
    pub(crate) async fn body(&mut self, head: &Head) -> io::Result<Vec<u8>> {
        while self.ahead.len() < head.body_bytes {
            if self.read_more().await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        let rest = self.ahead.split_off(head.body_bytes);
        Ok(std::mem::replace(&mut self.ahead, rest))
    }
}

fn parse(text: &[u8]) -> io::Result<Head> {
    let text = std::str::from_utf8(text).map_err(|_| wrong("the head is no text"))?;
    let mut lines = text.split("\r\n");
    let mut first = lines.next().unwrap_or_default().split(' ');
    let (Some(method), Some(target), Some("HTTP/1.1")) = (first.next(), first.next(), first.next())
    else {
        return Err(wrong("the request line is none of HTTP/1.1"));
    };
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.trim().to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let mut head = Head {
        method: method.to_owned(),
        target: target.to_owned(),
        headers,
        body_bytes: 0,
    };
    if head.header("transfer-encoding").is_some() {
        return Err(wrong("the body must come with its length"));
    }
    head.body_bytes = match head.header("content-length") {
        None => 0,
        Some(bytes) => bytes
            .parse()
            .map_err(|_| wrong("the length is no number"))?,
    };
    if head.body_bytes > BODY_BYTES_MAX {
        return Err(wrong("the body is too long"));
    }
    Ok(head)
}

/// Writes all of it.
pub(crate) async fn write_all(stream: &TcpStream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        stream.writable().await?;
        match stream.try_write(bytes) {
            Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
