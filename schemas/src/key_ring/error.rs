//! Why a key ring is refused, and why a value is not sealed or opened.
//!
//! Invariant: no error shows a key's bytes or a plaintext.

use super::KeyId;
use crate::sealed::{KeyPurpose, Purpose};

/// Why a key ring cannot be used. Names keys by their id, never by their bytes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyRingError {
    /// Not JSON, or not of the form that a key ring has. The reader's own message is left out:
    /// it may quote what it read.
    #[error(
        "key ring, line {line}, column {column}: expected {{\"keys\": [{{\"id\", \"purpose\", \"key\", \"primary\"}}, …]}} and nothing else; `sealpost keys generate` writes one"
    )]
    Malformed {
        /// Line in the file, from 1.
        line: usize,
        /// Column in the line, from 1.
        column: usize,
    },
    /// Two keys with one id.
    #[error("key ring: two keys have the id {id}; give each key an id of its own")]
    DuplicateId {
        /// The id.
        id: KeyId,
    },
    /// A purpose that does not exist.
    #[error(
        "key ring: key {id} has an unknown purpose; use destination, profile, match or dead-letter"
    )]
    UnknownPurpose {
        /// Whose.
        id: KeyId,
    },
    /// The key's text is not base64.
    #[error("key ring: key {id} is not base64; write 64 random bytes in standard base64")]
    NotBase64 {
        /// Whose.
        id: KeyId,
    },
    /// The key is not 64 bytes long.
    #[error(
        "key ring: key {id} has {length_bytes} bytes; write 64 random bytes in standard base64"
    )]
    KeyLength {
        /// Whose.
        id: KeyId,
        /// How long it is.
        length_bytes: usize,
    },
    /// A purpose has keys, but none to seal with.
    #[error("key ring: no key for `{}` is primary; set \"primary\": true on one of them", purpose.name())]
    NoPrimary {
        /// Which.
        purpose: KeyPurpose,
    },
    /// A purpose has two keys to seal with.
    #[error(
        "key ring: keys {first} and {second} are both primary for `{}`; leave \"primary\": true on one of them",
        purpose.name()
    )]
    TwoPrimaries {
        /// Which.
        purpose: KeyPurpose,
        /// One of them.
        first: KeyId,
        /// The other.
        second: KeyId,
    },
    /// This process needs a key that it was not given.
    #[error(
        "key ring: no key for `{}`, which the stages of this process need; add one (`sealpost keys rotate --purpose {}`) or run other stages",
        purpose.name(),
        purpose.name()
    )]
    Missing {
        /// Which.
        purpose: KeyPurpose,
    },
}

/// Why a value was not sealed or opened. Never carries the value.
///
/// A wrong user, another key behind the same id and altered bytes look alike by construction of
/// the cipher, and are one error ([`SealError::NotAuthentic`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// This ring has no key for the purpose.
    #[error("this process has no key for `{}`; add it to the key ring, or run other stages here", purpose.name())]
    NoKey {
        /// Which.
        purpose: KeyPurpose,
    },
    /// Too short for a sealed value.
    #[error("not a sealed value: {length_bytes} bytes, and the shortest has 21")]
    Truncated {
        /// How long it is.
        length_bytes: usize,
    },
    /// `0x02`: sealed under a subscriber's own key.
    #[error(
        "sealed under a subscriber's own key (format 0x02), which is reserved and cannot be opened by this version"
    )]
    Reserved,
    /// Neither of the two formats.
    #[error("not a sealed value: format {format:#04x} is unknown")]
    UnknownFormat {
        /// The first byte.
        format: u8,
    },
    /// The ring has no key of this id.
    #[error("sealed under key {id}, which is not in the key ring for `{}`; put that key back, keys stay in the ring after a rotation", purpose.name())]
    UnknownKey {
        /// The id in the value.
        id: KeyId,
        /// What it was to be opened for.
        purpose: Purpose,
    },
    /// The key of this id is for something else.
    #[error("sealed under key {id}, a `{}` key; it does not open for `{}`", key.name(), purpose.name())]
    OtherKeyPurpose {
        /// The id in the value.
        id: KeyId,
        /// What that key is for.
        key: KeyPurpose,
        /// What it was to be opened for.
        purpose: Purpose,
    },
    /// Authentic, but sealed for something else.
    #[error("sealed for `{}`; it does not open for `{}`", sealed_for.name(), purpose.name())]
    OtherPurpose {
        /// What it was sealed for.
        sealed_for: Purpose,
        /// What it was to be opened for.
        purpose: Purpose,
    },
    /// The tag does not match.
    #[error("does not open for `{}` with key {id}: it was altered, or belongs to another user, or the key ring has another key under that id", purpose.name())]
    NotAuthentic {
        /// The id in the value.
        id: KeyId,
        /// What it was to be opened for.
        purpose: Purpose,
    },
    /// The cipher refused its input, which this format never gives it.
    #[error("the cipher refused to seal for `{}`", purpose.name())]
    Refused {
        /// What it was to be sealed for.
        purpose: Purpose,
    },
}
