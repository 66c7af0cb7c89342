//! Where plaintext becomes ciphertext: canonical form, masked form, seal, token.

use sealpost_operators::mask::{mask_email, mask_phone};
use sealpost_schemas::canonical::{canonical_email, canonical_phone};
use sealpost_schemas::key_ring::{KeyRing, SealError};
use sealpost_schemas::record::{Contacts, Destination};
use sealpost_schemas::sealed::{KeyPurpose, Purpose};
use sealpost_schemas::{Channel, Digest, UserId};
use zeroize::Zeroizing;

/// The keys that sealing contacts needs.
pub(crate) const KEYS_NEEDED: [KeyPurpose; 3] = [
    KeyPurpose::Destination,
    KeyPurpose::Profile,
    KeyPurpose::Match,
];

/// What is personal about somebody, in the clear, as the operator wrote it.
pub(crate) struct PlainContacts<'a> {
    /// The whole name.
    pub(crate) name: Option<&'a str>,
    /// The e-mail address.
    pub(crate) email: Option<&'a str>,
    /// The phone number, for text messages and KakaoTalk.
    pub(crate) phone: Option<&'a str>,
    /// The push token, which has no other form than its own.
    pub(crate) push_token: Option<&'a str>,
}

/// Why contacts were not sealed. Shows none of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ContactsError {
    /// The e-mail address has no canonical form.
    #[error("an e-mail address has no canonical form")]
    Email,
    /// The phone number has no canonical form.
    #[error("a phone number has no canonical form")]
    Phone,
    /// A key is missing: nobody's contacts can be sealed.
    #[error(transparent)]
    Seal(#[from] SealError),
}

/// Seals the contacts of a user.
///
/// # Errors
/// [`ContactsError`]: an address without a canonical form, or a key that is not there.
pub(crate) fn seal(
    ring: &KeyRing,
    user: UserId,
    plain: &PlainContacts<'_>,
) -> Result<Contacts, ContactsError> {
    let mut contacts = Contacts::default();
    if let Some(name) = plain.name {
        contacts.name = Some(ring.seal(Purpose::ProfileName, user, name.as_bytes())?);
    }
    let destinations = plain.email.iter().len() + 2 * plain.phone.iter().len();
    contacts
        .destinations
        .reserve_exact(destinations + plain.push_token.iter().len());
    if let Some(email) = plain.email {
        let email = Zeroizing::new(canonical_email(email).map_err(|_| ContactsError::Email)?);
        let masked = mask_email(&email);
        contacts.masked_email = Some(ring.seal(Purpose::ProfileEmail, user, masked.as_bytes())?);
        contacts
            .destinations
            .push(destination(ring, user, Channel::Email, &email)?);
    }
    if let Some(phone) = plain.phone {
        let phone = Zeroizing::new(canonical_phone(phone).map_err(|_| ContactsError::Phone)?);
        let masked = mask_phone(&phone);
        contacts.masked_phone = Some(ring.seal(Purpose::ProfilePhone, user, masked.as_bytes())?);
        contacts
            .destinations
            .push(destination(ring, user, Channel::Sms, &phone)?);
        contacts
            .destinations
            .push(destination(ring, user, Channel::Kakao, &phone)?);
    }
    if let Some(push_token) = plain.push_token {
        contacts
            .destinations
            .push(destination(ring, user, Channel::Push, push_token)?);
    }
    Ok(contacts)
}

/// The token of an address, as an operator writes it, on a channel.
///
/// # Errors
/// [`ContactsError`]: an address without a canonical form, or no key to match by.
pub(crate) fn token(
    ring: &KeyRing,
    channel: Channel,
    address: &str,
) -> Result<Digest, ContactsError> {
    let canonical = match channel {
        Channel::Email => canonical_email(address).map_err(|_| ContactsError::Email)?,
        Channel::Sms | Channel::Kakao => {
            canonical_phone(address).map_err(|_| ContactsError::Phone)?
        }
        Channel::Push => address.trim().to_owned(),
    };
    Ok(ring.token(channel, &Zeroizing::new(canonical))?)
}

fn destination(
    ring: &KeyRing,
    user: UserId,
    channel: Channel,
    canonical: &str,
) -> Result<Destination, SealError> {
    Ok(Destination {
        channel,
        address: ring.seal(Purpose::destination(channel), user, canonical.as_bytes())?,
        token: ring.token(channel, canonical)?,
    })
}
