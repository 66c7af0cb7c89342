//! The key ring: the one place where personal values are sealed and opened.
//!
//! Invariants:
//! - A sealed value is `0x01`, the key id as 4 bytes big-endian, then the output of AES-256-SIV
//!   (RFC 5297) over three strings of associated data: `sealpost/v1`, the purpose's name, the
//!   user id as 8 bytes big-endian. No nonce: the same plaintext, purpose, user and key give the
//!   same bytes.
//! - Every plaintext comes out of [`KeyRing::open`], which counts it; there is no second way.
//! - Sealing uses the primary key of the purpose; opening finds the key by its id, so that what
//!   was sealed before a rotation still opens.
//! - Key bytes are wiped when the last ring that holds them is dropped. No error, no `Debug` and
//!   no log line shows a key or a plaintext.
//! - A ring never holds keys that a stage was not given: [`KeyRing::restricted_to`].
//!
//! Randomness comes from the caller: nothing here draws any.

mod error;
mod file;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use aes_siv::siv::Aes256Siv;
use aes_siv::{KeyInit as _, Tag};
use zeroize::Zeroizing;

use crate::sealed::{KeyPurpose, Plaintext, Purpose};
use crate::{Channel, Digest, Sealed, UserId};

pub use error::{KeyRingError, SealError};

/// First string of the associated data.
const ASSOCIATED_DATA_CONTEXT: &[u8] = b"sealpost/v1";
/// First byte of a value sealed under a key of the ring.
const FORMAT_RING_KEY: u8 = 0x01;
/// First byte of a value sealed under a subscriber's own key; not in use yet.
const FORMAT_SUBSCRIBER_KEY: u8 = 0x02;
/// Format byte and key id.
const HEADER_BYTES: usize = 5;
/// The synthetic initialisation vector, which is also the tag.
const TAG_BYTES: usize = 16;
/// A key: half of it authenticates, the other half encrypts.
const KEY_BYTES: usize = 64;
/// From which context the token key is derived, see [`KeyRing::token`].
const TOKEN_KEY_CONTEXT: &str = "sealpost/v1 match";

/// The number of a key in its ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(pub u32);

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The bytes of a key, on the heap so that moving the owner leaves no copy behind.
type KeyBytes = Box<Zeroizing<[u8; KEY_BYTES]>>;

fn blank_key() -> KeyBytes {
    Box::new(Zeroizing::new([0; KEY_BYTES]))
}

/// One key. Shared between a ring and those restricted from it.
struct Key {
    id: KeyId,
    purpose: KeyPurpose,
    bytes: KeyBytes,
}

impl Key {
    /// A cipher object. Building one costs two key schedules, some tens of nanoseconds; sharing
    /// one between threads would cost a lock, because the crate's MAC is stateful.
    fn cipher(&self) -> Aes256Siv {
        Aes256Siv::new((&**self.bytes).into())
    }

    /// Decrypts `text` where it stands if `tag` authenticates it; otherwise leaves it as it was.
    fn open_in_place(&self, purpose: Purpose, user: UserId, tag: Tag, text: &mut [u8]) -> bool {
        let user = user.to_be_bytes();
        let headers: [&[u8]; 3] = [ASSOCIATED_DATA_CONTEXT, purpose.name().as_bytes(), &user];
        self.cipher()
            .decrypt_inout_detached(headers, text.into(), &tag)
            .is_ok()
    }
}

/// The keys that a process was given, and how often it used them to open something.
pub struct KeyRing {
    keys: Vec<Arc<Key>>,
    /// Which key seals, by [`KeyPurpose`].
    primaries: [Option<Arc<Key>>; KeyPurpose::ALL.len()],
    /// Keys the tokens; derived once from the primary `match` key.
    token_key: Option<Box<Zeroizing<[u8; 32]>>>,
    /// Successful opens by [`Purpose`].
    opened: [AtomicU64; Purpose::ALL.len()],
}

impl KeyRing {
    /// Reads a key ring file: `{"keys": [{"id": 1, "purpose": "destination", "key": "<base64, 64
    /// bytes>", "primary": true}, …]}`. A ring may lack purposes, see [`KeyRing::require`].
    ///
    /// # Errors
    /// [`KeyRingError`] when the text has another form, an id occurs twice, a purpose is unknown,
    /// a key is not 64 bytes in base64, or a purpose that is there has not exactly one primary.
    pub fn from_json(text: &str) -> Result<Self, KeyRingError> {
        let mut ring = Self::empty();
        for entry in file::read(text)? {
            if ring.find(entry.key.id).is_some() {
                return Err(KeyRingError::DuplicateId { id: entry.key.id });
            }
            let key = Arc::new(entry.key);
            if entry.role == file::Role::Primary {
                if let Some(first) = ring.primary(key.purpose) {
                    let (first, second) = (first.id, key.id);
                    return Err(KeyRingError::TwoPrimaries {
                        purpose: key.purpose,
                        first,
                        second,
                    });
                }
                ring.set_primary(Arc::clone(&key));
            }
            ring.keys.push(key);
        }
        match ring
            .keys
            .iter()
            .find(|key| ring.primary(key.purpose).is_none())
        {
            Some(key) => Err(KeyRingError::NoPrimary {
                purpose: key.purpose,
            }),
            None => Ok(ring),
        }
    }

    /// The text of the key ring file, in the order of the ring. Contains the keys: it is wiped
    /// when dropped, and belongs in a file that only the operator's processes can read.
    #[must_use]
    pub fn to_json(&self) -> Zeroizing<String> {
        file::write(self.keys.iter().map(|key| file::EntryRef {
            key,
            role: self.role(key),
        }))
    }

    /// A new ring with one primary key for each purpose. `fill` gives random bytes, from the
    /// operating system's source of them.
    #[must_use]
    pub fn generate(fill: &mut dyn FnMut(&mut [u8])) -> Self {
        let mut ring = Self::empty();
        for purpose in KeyPurpose::ALL {
            ring.rotate(purpose, fill);
        }
        ring
    }

    /// Adds a new primary key for a purpose; the old ones still open. For `match` the tokens
    /// change with it: tokens made before do not equal those made after.
    pub fn rotate(&mut self, purpose: KeyPurpose, fill: &mut dyn FnMut(&mut [u8])) {
        let mut bytes = blank_key();
        fill(&mut bytes[..]);
        let key = Arc::new(Key {
            id: self.unused_id(),
            purpose,
            bytes,
        });
        self.set_primary(Arc::clone(&key));
        self.keys.push(key);
    }

    /// A ring with the keys of these purposes only, its counts at zero: what a stage is given.
    #[must_use]
    pub fn restricted_to(&self, purposes: &[KeyPurpose]) -> Self {
        let mut ring = Self::empty();
        for key in self
            .keys
            .iter()
            .filter(|key| purposes.contains(&key.purpose))
        {
            if self.role(key) == file::Role::Primary {
                ring.set_primary(Arc::clone(key));
            }
            ring.keys.push(Arc::clone(key));
        }
        ring
    }

    /// Whether there is a key to seal with for a purpose.
    #[must_use]
    pub fn has(&self, purpose: KeyPurpose) -> bool {
        self.primary(purpose).is_some()
    }

    /// Checks that the ring has every key that a process needs, so that it says so at its start
    /// and not at the first record.
    ///
    /// # Errors
    /// [`KeyRingError::Missing`] with the first purpose that has no key.
    pub fn require(&self, purposes: &[KeyPurpose]) -> Result<(), KeyRingError> {
        match purposes.iter().find(|purpose| !self.has(**purpose)) {
            Some(purpose) => Err(KeyRingError::Missing { purpose: *purpose }),
            None => Ok(()),
        }
    }

    /// Seals a value of a user for a purpose, under the purpose's primary key.
    ///
    /// # Errors
    /// [`SealError::NoKey`] if this ring has none.
    pub fn seal(
        &self,
        purpose: Purpose,
        user: UserId,
        plaintext: &[u8],
    ) -> Result<Sealed, SealError> {
        let key_purpose = purpose.key_purpose();
        let key = self.primary(key_purpose).ok_or(SealError::NoKey {
            purpose: key_purpose,
        })?;

        let mut sealed = Vec::with_capacity(HEADER_BYTES + TAG_BYTES + plaintext.len());
        sealed.push(FORMAT_RING_KEY);
        sealed.extend_from_slice(&key.id.0.to_be_bytes());
        sealed.extend_from_slice(&[0; TAG_BYTES]);
        sealed.extend_from_slice(plaintext);

        let user = user.to_be_bytes();
        let headers: [&[u8]; 3] = [ASSOCIATED_DATA_CONTEXT, purpose.name().as_bytes(), &user];
        let (header, text) = sealed.split_at_mut(HEADER_BYTES + TAG_BYTES);
        match key.cipher().encrypt_inout_detached(headers, text.into()) {
            Ok(tag) => {
                header
                    .iter_mut()
                    .skip(HEADER_BYTES)
                    .zip(tag)
                    .for_each(|(to, from)| *to = from);
                Ok(Sealed::from_bytes(sealed))
            }
            Err(_) => {
                // what stands in the buffer is still the plaintext
                zeroize::Zeroize::zeroize(&mut sealed);
                Err(SealError::Refused { purpose })
            }
        }
    }

    /// Opens a value, and counts it when it opens. This is the only way to a plaintext.
    ///
    /// # Errors
    /// [`SealError`]: this ring has no key for the purpose or not the one it was sealed under, or
    /// the value is of another format, purpose or user, or was altered.
    pub fn open(
        &self,
        purpose: Purpose,
        user: UserId,
        sealed: &Sealed,
    ) -> Result<Plaintext, SealError> {
        let bytes = sealed.as_bytes();
        let truncated = SealError::Truncated {
            length_bytes: bytes.len(),
        };
        match bytes.first() {
            None => return Err(truncated),
            Some(&FORMAT_RING_KEY) => {}
            Some(&FORMAT_SUBSCRIBER_KEY) => return Err(SealError::Reserved),
            Some(&format) => return Err(SealError::UnknownFormat { format }),
        }
        let (id, rest) = bytes
            .get(1..)
            .and_then(<[u8]>::split_first_chunk::<{ HEADER_BYTES - 1 }>)
            .ok_or(truncated)?;
        let (tag, text) = rest.split_first_chunk::<TAG_BYTES>().ok_or(truncated)?;
        let (id, tag) = (KeyId(u32::from_be_bytes(*id)), Tag::from(*tag));

        let key_purpose = purpose.key_purpose();
        if !self.has(key_purpose) {
            return Err(SealError::NoKey {
                purpose: key_purpose,
            });
        }
        let key = self.find(id).ok_or(SealError::UnknownKey { id, purpose })?;
        if key.purpose != key_purpose {
            return Err(SealError::OtherKeyPurpose {
                id,
                key: key.purpose,
                purpose,
            });
        }

        let mut plaintext = text.to_vec();
        if key.open_in_place(purpose, user, tag, &mut plaintext) {
            if let Some(count) = self.opened.get(purpose as usize) {
                count.fetch_add(1, Ordering::Relaxed);
            }
            return Ok(Plaintext::new(plaintext));
        }
        Err(Self::explain(key, purpose, user, tag, plaintext))
    }

    /// How many values were opened for a purpose since this ring was made.
    #[must_use]
    pub fn opened(&self, purpose: Purpose) -> u64 {
        self.opened
            .get(purpose as usize)
            .map_or(0, |count| count.load(Ordering::Relaxed))
    }

    /// The token by which a channel's address is matched without being opened. Equal addresses on
    /// one channel have equal tokens under one `match` key, whoever's they are.
    ///
    /// The 32-byte key is BLAKE3's `derive_key` with the context `sealpost/v1 match` over the 64
    /// bytes of the primary `match` key. The token is BLAKE3's keyed hash of the channel's name,
    /// a zero byte and the canonical address ([`crate::canonical`]), as in `email\0kim@example.com`.
    ///
    /// # Errors
    /// [`SealError::NoKey`] if this ring has no `match` key.
    pub fn token(&self, channel: Channel, canonical_address: &str) -> Result<Digest, SealError> {
        let key = self.token_key.as_ref().ok_or(SealError::NoKey {
            purpose: KeyPurpose::Match,
        })?;
        let mut hasher = blake3::Hasher::new_keyed(key);
        hasher.update(channel.name().as_bytes());
        hasher.update(&[0]);
        hasher.update(canonical_address.as_bytes());
        Ok(Digest(*hasher.finalize().as_bytes()))
    }

    /// Why a value did not open. Tries the other purposes of the same key, because a mix-up of
    /// purposes is a mistake in wiring, and worth telling apart from damage. Whatever opens here
    /// is wiped, and handed to nobody.
    fn explain(
        key: &Key,
        purpose: Purpose,
        user: UserId,
        tag: Tag,
        ciphertext: Vec<u8>,
    ) -> SealError {
        let mut text = Zeroizing::new(ciphertext);
        Purpose::ALL
            .into_iter()
            .filter(|other| *other != purpose && other.key_purpose() == key.purpose)
            .find(|other| key.open_in_place(*other, user, tag, &mut text))
            .map_or(
                SealError::NotAuthentic {
                    id: key.id,
                    purpose,
                },
                |sealed_for| SealError::OtherPurpose {
                    sealed_for,
                    purpose,
                },
            )
    }

    fn empty() -> Self {
        Self {
            keys: Vec::new(),
            primaries: [const { None }; KeyPurpose::ALL.len()],
            token_key: None,
            opened: [const { AtomicU64::new(0) }; Purpose::ALL.len()],
        }
    }

    fn find(&self, id: KeyId) -> Option<&Key> {
        // a handful of keys: faster than any map
        self.keys.iter().find(|key| key.id == id).map(AsRef::as_ref)
    }

    fn primary(&self, purpose: KeyPurpose) -> Option<&Key> {
        self.primaries.get(purpose as usize)?.as_deref()
    }

    fn role(&self, key: &Key) -> file::Role {
        match self.primary(key.purpose) {
            Some(primary) if primary.id == key.id => file::Role::Primary,
            _ => file::Role::OpensOnly,
        }
    }

    fn set_primary(&mut self, key: Arc<Key>) {
        if key.purpose == KeyPurpose::Match {
            let token_key = blake3::derive_key(TOKEN_KEY_CONTEXT, &key.bytes[..]);
            self.token_key = Some(Box::new(Zeroizing::new(token_key)));
        }
        if let Some(primary) = self.primaries.get_mut(key.purpose as usize) {
            *primary = Some(key);
        }
    }

    /// One more than the largest id, so that a removed key's id does not come back; the smallest
    /// free one when the largest is taken.
    fn unused_id(&self) -> KeyId {
        let largest = self.keys.iter().map(|key| key.id.0).max().unwrap_or(0);
        largest.checked_add(1).map_or_else(
            || {
                KeyId(
                    (1..)
                        .find(|id| self.find(KeyId(*id)).is_none())
                        .unwrap_or(0),
                )
            },
            KeyId,
        )
    }
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys = self.keys.iter().map(|key| (key.id.0, key.purpose.name()));
        f.write_str("KeyRing ")?;
        f.debug_map().entries(keys).finish()
    }
}
