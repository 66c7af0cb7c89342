//! The identities that everything is keyed by.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Why a text or a number is not the identity that it was taken for. Never carries the input:
/// what stands in a malformed field may be personal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// A user id is 0 to 2^63−1.
    #[error("user id must be a whole number from 0 to 9223372036854775807")]
    User,
    /// A period is a billing month.
    #[error("period must be written YYYY-MM, from 1970-01 to 9999-12")]
    Period,
    /// A channel is one of the four.
    #[error("channel must be one of email, sms, kakao, push")]
    Channel,
    /// A kind is `bill` or `correction-N`.
    #[error("kind must be `bill` or `correction-N` with N from 1 to 65535")]
    Kind,
    /// A digest is 64 hexadecimal digits.
    #[error("digest must be 64 hexadecimal digits")]
    Digest,
}

/// A subscriber's number, 0 to 2^63−1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "i64", into = "i64")]
pub struct UserId(u64);

impl UserId {
    /// The user that stands in where none could be read.
    pub const UNREADABLE: Self = Self(0);

    /// Takes a number of at most 2^63−1.
    ///
    /// # Errors
    /// [`IdError::User`] beyond that.
    pub const fn new(id: u64) -> Result<Self, IdError> {
        if id <= i64::MAX as u64 {
            Ok(Self(id))
        } else {
            Err(IdError::User)
        }
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// 8 bytes, big-endian: the form that keys and associated data use.
    #[must_use]
    pub const fn to_be_bytes(self) -> [u8; 8] {
        self.0.to_be_bytes()
    }
}

impl TryFrom<i64> for UserId {
    type Error = IdError;
    fn try_from(id: i64) -> Result<Self, IdError> {
        u64::try_from(id).map(Self).map_err(|_| IdError::User)
    }
}

impl From<UserId> for i64 {
    fn from(user: UserId) -> Self {
        user.0.cast_signed()
    }
}

impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for UserId {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        text.parse::<u64>()
            .map_err(|_| IdError::User)
            .and_then(Self::new)
    }
}

/// A billing month. Held as months since 1970-01, written `YYYY-MM`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Period(u32);

impl Period {
    const MONTHS_MAX: u32 = (9999 - 1970) * 12 + 11;

    /// The month `month` (1 to 12) of `year`.
    ///
    /// # Errors
    /// [`IdError::Period`] outside 1970-01 to 9999-12.
    pub fn new(year: i16, month: i8) -> Result<Self, IdError> {
        let year = u32::try_from(i32::from(year) - 1970).map_err(|_| IdError::Period)?;
        if !(1..=12).contains(&month) {
            return Err(IdError::Period);
        }
        Self::from_months(year * 12 + u32::from(month.unsigned_abs()) - 1)
    }

    /// The month that lies `months` after 1970-01.
    ///
    /// # Errors
    /// [`IdError::Period`] after 9999-12.
    pub const fn from_months(months: u32) -> Result<Self, IdError> {
        if months <= Self::MONTHS_MAX {
            Ok(Self(months))
        } else {
            Err(IdError::Period)
        }
    }

    /// Months since 1970-01.
    #[must_use]
    pub const fn months(self) -> u32 {
        self.0
    }

    /// The calendar year.
    #[must_use]
    pub fn year(self) -> i16 {
        // at most 9999 by construction
        (self.0 / 12 + 1970) as i16
    }

    /// The calendar month, 1 to 12.
    #[must_use]
    pub const fn month(self) -> i8 {
        (self.0 % 12 + 1) as i8
    }

    /// The month after; the last one stays itself.
    #[must_use]
    pub fn next(self) -> Self {
        Self((self.0 + 1).min(Self::MONTHS_MAX))
    }

    /// How many months lie from `self` to `later`; 0 when `later` is not later.
    #[must_use]
    pub const fn months_until(self, later: Self) -> u32 {
        later.0.saturating_sub(self.0)
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}", self.year(), self.month())
    }
}

impl FromStr for Period {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        let (year, month) = text.split_once('-').ok_or(IdError::Period)?;
        let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if year.len() != 4 || month.len() != 2 || !digits(year) || !digits(month) {
            return Err(IdError::Period);
        }
        let year = year.parse().map_err(|_| IdError::Period)?;
        Self::new(year, month.parse().map_err(|_| IdError::Period)?)
    }
}

/// Serializes a type through its `Display` and `FromStr`, as the text that people write.
macro_rules! serde_as_text {
    ($type:ty, $expecting:literal) => {
        impl Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Visitor;
                impl serde::de::Visitor<'_> for Visitor {
                    type Value = $type;
                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str($expecting)
                    }
                    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<$type, E> {
                        text.parse().map_err(E::custom)
                    }
                }
                deserializer.deserialize_str(Visitor)
            }
        }
    };
}
serde_as_text!(Period, "a period, YYYY-MM");
serde_as_text!(Kind, "`bill` or `correction-N`");

/// The round of a period's sends: 0 first, then one more with every retry.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Version(pub u16);

impl Version {
    /// The round after this one; the last one stays itself.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How a message travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Channel {
    /// Electronic mail.
    Email,
    /// Text message.
    Sms,
    /// KakaoTalk notice, addressed by the phone number.
    Kakao,
    /// Push notification to an installed application.
    Push,
}

impl Channel {
    /// All of them, in the order of their ordinals.
    pub const ALL: [Self; 4] = [Self::Email, Self::Sms, Self::Kakao, Self::Push];

    /// The name as configuration and records write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Email => "email",
            Self::Sms => "sms",
            Self::Kakao => "kakao",
            Self::Push => "push",
        }
    }

    /// A dense index below `Channel::ALL.len()`.
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }
}

impl fmt::Display for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Channel {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        Self::ALL
            .into_iter()
            .find(|channel| channel.name() == text)
            .ok_or(IdError::Channel)
    }
}

/// What a message is: the bill, or its n-th follow-up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// The bill of the period.
    #[default]
    Bill,
    /// A follow-up to those who received an earlier message; counted from 1.
    Correction(u16),
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bill => f.write_str("bill"),
            Self::Correction(number) => write!(f, "correction-{number}"),
        }
    }
}

impl FromStr for Kind {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        if text == "bill" {
            return Ok(Self::Bill);
        }
        text.strip_prefix("correction-")
            .and_then(|number| number.parse().ok())
            .filter(|number| *number > 0)
            .map(Self::Correction)
            .ok_or(IdError::Kind)
    }
}

/// 32 bytes of BLAKE3, written as 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// The digest of `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&blake3::Hash::from_bytes(self.0).to_hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Digest {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        blake3::Hash::from_hex(text)
            .map(|hash| Self(*hash.as_bytes()))
            .map_err(|_| IdError::Digest)
    }
}

impl Serialize for Digest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = <&serde_bytes::Bytes>::deserialize(deserializer)?;
        <[u8; 32]>::try_from(&bytes[..])
            .map(Self)
            .map_err(|_| serde::de::Error::custom(IdError::Digest))
    }
}

/// The deterministic identity of a dispatch: BLAKE3 of (period, user, kind, version, channel),
/// never of time, offset, process or position in the route. Every repeat of one call carries
/// the same key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MessageKey(pub Digest);

impl MessageKey {
    /// The key of one message. What is hashed is the text
    /// `sealpost/message/PERIOD/USER/KIND/VERSION/CHANNEL`.
    #[must_use]
    pub fn new(
        period: Period,
        user: UserId,
        kind: Kind,
        version: Version,
        channel: Channel,
    ) -> Self {
        use std::io::Write as _;
        let mut text = [0_u8; 128];
        let mut rest = &mut text[..];
        // 18 + 8 + 20 + 17 + 6 + 6 characters at most: it always fits
        let _ = write!(
            rest,
            "sealpost/message/{period}/{user}/{kind}/{version}/{channel}"
        );
        let unused = rest.len();
        let used = text.len() - unused;
        Self(Digest::of(text.get(..used).unwrap_or(&text)))
    }

    /// 64 bits of the key, evenly distributed: what deterministic draws are made from.
    #[must_use]
    pub fn draw(self) -> u64 {
        self.0
            .0
            .first_chunk()
            .map_or(0, |bytes| u64::from_le_bytes(*bytes))
    }
}

impl fmt::Display for MessageKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for MessageKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for MessageKey {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        text.parse().map(Self)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_period_reads_and_writes_the_same_text() {
        for text in ["1970-01", "2026-01", "2026-12", "9999-12"] {
            assert_eq!(
                text.parse::<Period>().map(|period| period.to_string()),
                Ok(text.to_owned())
            );
        }
        for text in [
            "2026-13", "2026-00", "2026-1", "26-01", "+026-01", "1969-12", "2026/01", "",
        ] {
            assert_eq!(text.parse::<Period>(), Err(IdError::Period), "{text}");
        }
    }

    #[test]
    fn a_message_key_depends_on_each_part_and_on_nothing_else() {
        let period = Period::new(2026, 1).unwrap();
        let user = UserId::new(7).unwrap();
        let key = MessageKey::new(period, user, Kind::Bill, Version(0), Channel::Email);
        assert_eq!(
            key,
            MessageKey::new(period, user, Kind::Bill, Version(0), Channel::Email)
        );
        assert_eq!(
            key.to_string(),
            blake3::hash(b"sealpost/message/2026-01/7/bill/0/email")
                .to_hex()
                .to_string()
        );
        for other in [
            MessageKey::new(period.next(), user, Kind::Bill, Version(0), Channel::Email),
            MessageKey::new(
                period,
                UserId::new(8).unwrap(),
                Kind::Bill,
                Version(0),
                Channel::Email,
            ),
            MessageKey::new(
                period,
                user,
                Kind::Correction(1),
                Version(0),
                Channel::Email,
            ),
            MessageKey::new(period, user, Kind::Bill, Version(1), Channel::Email),
            MessageKey::new(period, user, Kind::Bill, Version(0), Channel::Sms),
        ] {
            assert_ne!(key, other);
        }
    }

    #[test]
    fn a_user_id_ends_at_the_largest_signed_number() {
        assert!(UserId::new(i64::MAX.unsigned_abs()).is_ok());
        assert_eq!(UserId::new(1 << 63), Err(IdError::User));
        assert_eq!("-1".parse::<UserId>(), Err(IdError::User));
    }
}
