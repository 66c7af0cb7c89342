//! The one form of an address: what is sealed, what the token is made of, what is sent to.
//!
//! Invariants:
//! - An address in canonical form stays as it is.
//! - What comes out holds no white space, no control character and nothing that separates
//!   addresses or headers, so that it can stand in an SMTP command and a JSON text alike.
//! - No error carries the address.
//!
//! Decided where the rules leave it open:
//! - E-mail is ASCII. An internationalised domain is given in its `xn--` form; there is no table
//!   here to make one. A local part beyond ASCII or in quotes is refused.
//! - Full-width digits and signs, as Korean and Japanese input methods write them, are taken for
//!   the plain ones in phone numbers.
//! - A number without `+` or `00` is Korean and begins with its trunk `0`. Without that it is
//!   refused: a guess could send a bill to a stranger. For the same reason Korean numbers must
//!   have a length that exists.

use std::fmt::Write as _;

/// Why an address has no canonical form. Never carries the address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CanonicalError {
    /// No `@`, or more than one.
    #[error("e-mail: must have exactly one @")]
    EmailShape,
    /// The part before the `@`.
    #[error(
        "e-mail: the part before @ must be 1 to 64 ASCII letters, digits or signs, with single dots inside"
    )]
    EmailLocal,
    /// The part after the `@`.
    #[error(
        "e-mail: the part after @ must be a domain such as example.com, in ASCII (xn-- for others)"
    )]
    EmailDomain,
    /// Longer than a mail server takes.
    #[error("e-mail: must be at most 254 characters")]
    EmailLength,
    /// Something that does not belong in a phone number.
    #[error("phone: must be digits with spaces, dashes, dots or parentheses, and + only in front")]
    PhoneCharacter,
    /// Neither national nor international.
    #[error("phone: must begin with 0 (a Korean number), + or 00 (an international one)")]
    PhonePrefix,
    /// A length that no number has.
    #[error("phone: must have 8 to 15 digits with the country code, a Korean one 8 to 11 without")]
    PhoneLength,
}

/// Longest address that SMTP carries: RFC 5321, 256 with its angle brackets.
const EMAIL_BYTES_MAX: usize = 254;
const EMAIL_LOCAL_BYTES_MAX: usize = 64;
const DOMAIN_LABEL_BYTES_MAX: usize = 63;

/// E.164, country code included.
const PHONE_DIGITS: std::ops::RangeInclusive<usize> = 8..=15;
const KOREA: &str = "82";
/// Korean numbers without country code and trunk `0`: from `2-123-4567` to `503-1234-5678`.
const KOREA_DIGITS: std::ops::RangeInclusive<usize> = 8..=11;

/// The canonical form of an e-mail address: trimmed, its domain in lower case, its local part as
/// it is (who receives it may tell case apart).
///
/// # Errors
/// [`CanonicalError`] unless it has one `@`, a local part of 1 to 64 bytes made of RFC 5322's
/// unquoted characters with single dots inside, and a domain of two or more labels that does not
/// end in a number.
pub fn canonical_email(text: &str) -> Result<String, CanonicalError> {
    let text = text.trim();
    let (local, domain) = text.split_once('@').ok_or(CanonicalError::EmailShape)?;
    if domain.contains('@') {
        return Err(CanonicalError::EmailShape);
    }
    if local.len() > EMAIL_LOCAL_BYTES_MAX || !local.split('.').all(is_atom) {
        return Err(CanonicalError::EmailLocal);
    }
    let top = domain
        .rsplit_once('.')
        .map(|(_, top)| top)
        .ok_or(CanonicalError::EmailDomain)?;
    if !domain.split('.').all(is_label) || top.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(CanonicalError::EmailDomain);
    }
    if text.len() > EMAIL_BYTES_MAX {
        return Err(CanonicalError::EmailLength);
    }
    Ok(format!("{local}@{}", domain.to_ascii_lowercase()))
}

/// One or more of RFC 5322's `atext`.
fn is_atom(text: &str) -> bool {
    let is_atext =
        |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&byte);
    !text.is_empty() && text.bytes().all(is_atext)
}

/// A label of a host name.
fn is_label(text: &str) -> bool {
    (1..=DOMAIN_LABEL_BYTES_MAX).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-')
}

/// The canonical form of a phone number, E.164: `010-1234-5678` is `+821012345678`.
///
/// Spaces, dashes, dots and parentheses may stand anywhere. `00` in front is the same as `+`. A
/// `0` that was left between `+82` and the number, as in `+82 (0)10-…`, is dropped.
///
/// # Errors
/// [`CanonicalError`] when another character stands in it, it is neither international nor begins
/// with `0`, or has a length that no number has.
pub fn canonical_phone(text: &str) -> Result<String, CanonicalError> {
    let mut digits = String::with_capacity(text.len());
    let mut plus = None;
    for character in text.trim().chars() {
        match plain(character) {
            Some('+') if digits.is_empty() && plus.is_none() => plus = Some(()),
            Some(' ') => {}
            Some(digit) if digit.is_ascii_digit() => digits.push(digit),
            _ => return Err(CanonicalError::PhoneCharacter),
        }
    }
    let international = match plus {
        Some(()) => Some(digits.as_str()),
        None => digits.strip_prefix("00"),
    };
    let national = match international {
        Some(number) => match number.strip_prefix(KOREA) {
            Some(number) => number.strip_prefix('0').unwrap_or(number),
            None => return international_number(number),
        },
        None => digits
            .strip_prefix('0')
            .ok_or(CanonicalError::PhonePrefix)?,
    };
    if national.starts_with('0') {
        return Err(CanonicalError::PhonePrefix);
    }
    if !KOREA_DIGITS.contains(&national.len()) {
        return Err(CanonicalError::PhoneLength);
    }
    Ok(format!("+{KOREA}{national}"))
}

fn international_number(number: &str) -> Result<String, CanonicalError> {
    // no country code begins with 0
    if number.starts_with('0') {
        return Err(CanonicalError::PhonePrefix);
    }
    if !PHONE_DIGITS.contains(&number.len()) {
        return Err(CanonicalError::PhoneLength);
    }
    Ok(format!("+{number}"))
}

/// The plain form of a character in a phone number: `+`, a digit, or a space for whatever only
/// parts it; `None` for what does not belong there.
fn plain(character: char) -> Option<char> {
    match character {
        '+' | '＋' => Some('+'),
        '0'..='9' => Some(character),
        '０'..='９' => char::from_digit(u32::from(character) - u32::from('０'), 10),
        ' '
        | '\t'
        | '\u{a0}'
        | '\u{3000}'
        | '-'
        | '\u{2010}'..='\u{2015}'
        | '\u{2212}'
        | '－'
        | '.'
        | '．'
        | '('
        | ')'
        | '（'
        | '）' => Some(' '),
        _ => None,
    }
}

/// How people write a canonical phone number: a Korean one in its national form with dashes
/// (`010-1234-5678`, `02-123-4567`, `0505-123-4567`), any other as it is.
#[must_use]
pub fn display_phone(e164: &str) -> String {
    korean_parts(e164).map_or_else(
        || e164.to_owned(),
        |(prefix, middle, last)| {
            let mut text = String::with_capacity(14);
            // writing to a string cannot fail
            let _ = write!(text, "0{prefix}-{middle}-{last}");
            text
        },
    )
}

/// Prefix without its `0`, exchange of 3 or 4 digits, last 4.
fn korean_parts(e164: &str) -> Option<(&str, &str, &str)> {
    let national = e164.strip_prefix('+')?.strip_prefix(KOREA)?;
    if !national.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let prefix_digits = match national.as_bytes() {
        [b'2', ..] => 1,
        // 0502 to 0509: personal numbers
        [b'5', b'0', ..] => 3,
        _ => 2,
    };
    let (prefix, rest) = national.split_at_checked(prefix_digits)?;
    let (middle, last) = rest.split_at_checked(rest.len().checked_sub(4)?)?;
    (3..=4)
        .contains(&middle.len())
        .then_some((prefix, middle, last))
}
