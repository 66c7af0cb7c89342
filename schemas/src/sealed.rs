//! Sealed values: personal data as deterministic ciphertext.
//!
//! A sealed value is opaque bytes that travel, are stored and are compared for equality; it has
//! no `Display`, and its `Debug` shows a length. Opening one needs the key ring
//! ([`crate::key_ring::KeyRing::open`]) and gives [`Plaintext`], which is wiped when dropped.

use std::fmt;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// What a value was sealed for. Part of the associated data, so that a value sealed for one
/// purpose does not open for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Purpose {
    /// `destination/email`
    DestinationEmail,
    /// `destination/sms`
    DestinationSms,
    /// `destination/kakao`
    DestinationKakao,
    /// `destination/push`
    DestinationPush,
    /// `profile/name`
    ProfileName,
    /// `profile/email`: the masked form
    ProfileEmail,
    /// `profile/phone`: the masked form
    ProfilePhone,
    /// `dead-letter/raw`
    DeadLetterRaw,
}

/// Which key a purpose uses: the part before the `/`. `match` keys the tokens of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyPurpose {
    /// Opens destinations; only sending needs it.
    Destination,
    /// Opens names and masked contacts; only rendering needs it.
    Profile,
    /// Makes the tokens by which addresses are matched; only the door needs it.
    Match,
    /// Seals and opens what was refused.
    DeadLetter,
}

impl KeyPurpose {
    /// All of them, in the order of their ordinals.
    pub const ALL: [Self; 4] = [
        Self::Destination,
        Self::Profile,
        Self::Match,
        Self::DeadLetter,
    ];

    /// The name in the key ring file.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Destination => "destination",
            Self::Profile => "profile",
            Self::Match => "match",
            Self::DeadLetter => "dead-letter",
        }
    }
}

impl Purpose {
    /// All of them, in the order of their ordinals.
    pub const ALL: [Self; 8] = [
        Self::DestinationEmail,
        Self::DestinationSms,
        Self::DestinationKakao,
        Self::DestinationPush,
        Self::ProfileName,
        Self::ProfileEmail,
        Self::ProfilePhone,
        Self::DeadLetterRaw,
    ];

    /// The purpose of a channel's destination.
    #[must_use]
    pub const fn destination(channel: crate::Channel) -> Self {
        match channel {
            crate::Channel::Email => Self::DestinationEmail,
            crate::Channel::Sms => Self::DestinationSms,
            crate::Channel::Kakao => Self::DestinationKakao,
            crate::Channel::Push => Self::DestinationPush,
        }
    }

    /// The text that goes into the associated data.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::DestinationEmail => "destination/email",
            Self::DestinationSms => "destination/sms",
            Self::DestinationKakao => "destination/kakao",
            Self::DestinationPush => "destination/push",
            Self::ProfileName => "profile/name",
            Self::ProfileEmail => "profile/email",
            Self::ProfilePhone => "profile/phone",
            Self::DeadLetterRaw => "dead-letter/raw",
        }
    }

    /// Which key it uses.
    #[must_use]
    pub const fn key_purpose(self) -> KeyPurpose {
        match self {
            Self::DestinationEmail
            | Self::DestinationSms
            | Self::DestinationKakao
            | Self::DestinationPush => KeyPurpose::Destination,
            Self::ProfileName | Self::ProfileEmail | Self::ProfilePhone => KeyPurpose::Profile,
            Self::DeadLetterRaw => KeyPurpose::DeadLetter,
        }
    }
}

/// Ciphertext: `0x01`, the key id as 4 bytes big-endian, then the SIV output.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Sealed(Box<[u8]>);

impl Sealed {
    /// Takes bytes as they are; whether they open shows when they are opened.
    #[must_use]
    pub fn from_bytes(bytes: impl Into<Box<[u8]>>) -> Self {
        Self(bytes.into())
    }

    /// The ciphertext.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sealed({} bytes)", self.0.len())
    }
}

impl Serialize for Sealed {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Sealed {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        serde_bytes::ByteBuf::deserialize(deserializer).map(|bytes| Self(bytes.into_vec().into()))
    }
}

/// An opened value: wiped when dropped, shown nowhere.
pub struct Plaintext(Zeroizing<Vec<u8>>);

impl Plaintext {
    /// Takes over bytes that must be wiped.
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The text, if it is UTF-8.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok()
    }
}

impl fmt::Debug for Plaintext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Plaintext(…)")
    }
}
