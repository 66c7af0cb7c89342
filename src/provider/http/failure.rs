//! How an exchange fails.

use super::wire::Written;

/// Why there is no answer, in a word of a fixed list, and whether anything of the request left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Failure {
    /// Whether anything has left.
    pub(super) written: Written,
    /// Why.
    pub(super) reason: &'static str,
}

impl Failure {
    /// Nothing of the request has left, nor will.
    pub(super) const fn before(reason: &'static str) -> Self {
        Self {
            written: Written::Nothing,
            reason,
        }
    }
}

/// The word for an error of the operating system while connecting.
pub(super) fn connecting(error: &std::io::Error) -> &'static str {
    use std::io::ErrorKind;
    match error.kind() {
        ErrorKind::ConnectionRefused => "connection-refused",
        ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => "unreachable",
        ErrorKind::TimedOut => "connect-timeout",
        _ => "connect-failed",
    }
}

/// The word for an error of the exchange. Its text is not used: it may repeat what was said.
pub(super) fn exchanging(error: &hyper::Error) -> &'static str {
    if error.is_parse() {
        "answer-unreadable"
    } else if error.is_incomplete_message() {
        "connection-closed"
    } else {
        "connection-lost"
    }
}
