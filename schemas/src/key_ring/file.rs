//! The key ring file: `{"keys": [{"id", "purpose", "key", "primary"}, …]}`.
//!
//! Invariants:
//! - Key text is decoded straight into wiped memory; no error of the JSON reader passes through,
//!   because it may quote what it read.
//! - What is written here reads back the same.

use std::fmt;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::Deserialize;
use zeroize::Zeroizing;

use super::{KEY_BYTES, Key, KeyId, KeyRingError, blank_key};
use crate::sealed::KeyPurpose;

/// Standard alphabet; padded when written, read with or without.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);
/// 64 bytes in padded base64.
const KEY_TEXT_BYTES: usize = KEY_BYTES.div_ceil(3) * 4;
/// Room for one entry without reallocation, which would leave a copy of key text behind.
const ENTRY_TEXT_BYTES_MAX: usize = KEY_TEXT_BYTES + 96;

/// Whether a key seals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// Seals, and opens what it sealed.
    Primary,
    /// Was primary once.
    OpensOnly,
}

/// A key as read.
pub(super) struct Entry {
    pub(super) key: Key,
    pub(super) role: Role,
}

/// A key to be written.
pub(super) struct EntryRef<'ring> {
    pub(super) key: &'ring Key,
    pub(super) role: Role,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RingText {
    keys: Vec<EntryText>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EntryText {
    id: u32,
    purpose: PurposeText,
    key: KeyText,
    #[serde(default)]
    primary: bool,
}

/// `None`: a text, but of no purpose; reported with the key's id, which may come later in the text.
struct PurposeText(Option<KeyPurpose>);

/// `None`: a text, but not base64.
struct KeyText(Option<Zeroizing<Vec<u8>>>);

impl From<&str> for PurposeText {
    fn from(text: &str) -> Self {
        Self(
            KeyPurpose::ALL
                .into_iter()
                .find(|purpose| purpose.name() == text),
        )
    }
}

impl From<&str> for KeyText {
    fn from(text: &str) -> Self {
        let mut bytes = Zeroizing::new(vec![0; base64::decoded_len_estimate(text.len())]);
        let length = BASE64.decode_slice(text, &mut bytes).ok();
        Self(length.map(|length| {
            bytes.truncate(length);
            bytes
        }))
    }
}

/// Reads a JSON string by `From<&str>`, without a copy of it.
macro_rules! deserialize_from_str {
    ($type:ty, $expecting:literal) => {
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Visitor;
                impl serde::de::Visitor<'_> for Visitor {
                    type Value = $type;
                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str($expecting)
                    }
                    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<$type, E> {
                        Ok(text.into())
                    }
                }
                deserializer.deserialize_str(Visitor)
            }
        }
    };
}
deserialize_from_str!(PurposeText, "a purpose");
deserialize_from_str!(KeyText, "a key in base64");

/// The keys of a file, each checked by itself; that they fit together is the ring's matter.
pub(super) fn read(text: &str) -> Result<Vec<Entry>, KeyRingError> {
    let ring: RingText = serde_json::from_str(text).map_err(|error| KeyRingError::Malformed {
        line: error.line(),
        column: error.column(),
    })?;
    ring.keys.into_iter().map(check).collect()
}

fn check(entry: EntryText) -> Result<Entry, KeyRingError> {
    let id = KeyId(entry.id);
    let purpose = entry.purpose.0.ok_or(KeyRingError::UnknownPurpose { id })?;
    let text = entry.key.0.ok_or(KeyRingError::NotBase64 { id })?;
    let mut bytes = blank_key();
    if text.len() != KEY_BYTES {
        return Err(KeyRingError::KeyLength {
            id,
            length_bytes: text.len(),
        });
    }
    bytes.copy_from_slice(&text);
    let role = if entry.primary {
        Role::Primary
    } else {
        Role::OpensOnly
    };
    Ok(Entry {
        key: Key { id, purpose, bytes },
        role,
    })
}

/// The text of a file: one line for each key.
pub(super) fn write<'ring>(entries: impl Iterator<Item = EntryRef<'ring>>) -> Zeroizing<String> {
    use fmt::Write as _;
    let entries: Vec<_> = entries.collect();
    let mut text = Zeroizing::new(String::with_capacity(
        16 + entries.len() * ENTRY_TEXT_BYTES_MAX,
    ));
    text.push_str("{\"keys\": [");
    for (nth, EntryRef { key, role }) in entries.iter().enumerate() {
        text.push_str(if nth == 0 { "\n" } else { ",\n" });
        let (id, purpose) = (key.id, key.purpose.name());
        // writing to a string cannot fail
        let _ = write!(
            text,
            "  {{\"id\": {id}, \"purpose\": \"{purpose}\", \"key\": \""
        );
        let mut key_text = Zeroizing::new([0; KEY_TEXT_BYTES]);
        let length = BASE64
            .encode_slice(&key.bytes[..], &mut key_text[..])
            .unwrap_or(0);
        text.push_str(
            key_text
                .get(..length)
                .and_then(|text| str::from_utf8(text).ok())
                .unwrap_or(""),
        );
        let _ = write!(text, "\", \"primary\": {}}}", *role == Role::Primary);
    }
    text.push_str("\n]}\n");
    text
}
