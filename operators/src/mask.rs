//! Masking of names, phone numbers and e-mail addresses.
//!
//! Invariants:
//! - Every function takes any text and never panics: it walks Unicode scalar values
//!   ([`char`]), never bytes.
//! - A masked form shows at most what its rule lets stay, in the place where it stood; each
//!   hidden character is one `*`, so a length can be read off it and nothing else.
//! - What is not recognised is masked whole: as many `*` as it has characters, separators too.
//! - Masking a masked form again changes nothing, so masking once too often does no harm, and
//!   whoever shows a value may mask it without knowing whether that was done before.
//!
//! "Character" is the scalar value, not what a reader sees as one letter. A letter written with
//! combining marks (`e` and U+0301) or with separate Hangul jamo counts as several. Then a mark
//! may be left standing on a `*`, and a name that looks two letters long may be masked by the
//! rule for three: odd to look at, but never more than the rule shows.

/// What hides one character.
const HIDDEN: char = '*';

/// How many digits at the end of a phone number stay.
const PHONE_LAST: usize = 4;

/// Digits in an international number, country code included (ITU-T E.164).
const PHONE_DIGITS_MAX: usize = 15;

/// Fewer hidden digits than this hide nothing worth the name: such a number is masked whole.
const PHONE_HIDDEN_MIN: usize = 3;

/// Masks a person's name.
///
/// One character becomes `*`; of two the first stays; of three or more the first and the last
/// stay and each one between becomes `*`: `홍길동` is `홍*동`, `남궁민수` is `남**수`. Spaces are
/// characters like any other. An empty name stays empty.
#[must_use]
pub fn mask_name(name: &str) -> String {
    let count = name.chars().count();
    let last = count.saturating_sub(1);
    let stays = |position: usize| (position == 0 && count >= 2) || (position == last && count >= 3);
    name.chars()
        .enumerate()
        .map(|(position, character)| if stays(position) { character } else { HIDDEN })
        .collect()
}

/// Masks an e-mail address: the domain stays, and of the local part the first two characters
/// (one if it has two, none if it has one): `gildong@example.com` is `gi*****@example.com`.
///
/// White space around the address is dropped, as in its canonical form. Recognised is
/// `LOCAL@DOMAIN` with exactly one `@`, no white space or control characters, and a domain of
/// letters, digits, `-` and `_` in non-empty labels between dots (letters of any script; a last
/// dot may follow). Anything else (a quoted local part with an `@`, an address literal) is
/// masked whole.
#[must_use]
pub fn mask_email(email: &str) -> String {
    let Some((local, domain)) = email_parts(email.trim()) else {
        return mask_whole(email);
    };
    let shown = match local.chars().count() {
        0 | 1 => 0,
        2 => 1,
        _ => 2,
    };
    let mut masked = String::with_capacity(email.len());
    masked.extend(mask_from(local.chars(), shown));
    masked.push('@');
    masked.push_str(domain);
    masked
}

/// Masks a phone number: the prefix and the last four digits stay.
///
/// - Korea, from E.164 (`+821012345678`) or national (`010-1234-5678`): national, in groups,
///   `010-****-5678`. The prefix is `02`, a four-digit `050N`, or any other three digits with
///   a `0` in front; three or four digits lie between it and the last four.
/// - Elsewhere, from E.164 only: country code, hidden digits and last four, `+1-******-0123`.
///   At least three digits must be left to hide.
///
/// Spaces, `-`, `.` and parentheses between the digits are ignored, and so is a trunk `0` after
/// `+82`. Anything else is masked whole: a number without `+` that does not begin with `0`
/// (which country is it from?), one with the prefix `00`, a short number such as `114` or
/// `1588-0000`, other characters.
#[must_use]
pub fn mask_phone(phone: &str) -> String {
    let text = phone.trim();
    let parts = match text.strip_prefix('+') {
        Some(international) => {
            phone_digits(international).and_then(|digits| match digits.strip_prefix("82") {
                Some(rest) => korean_parts(&format!("0{}", rest.strip_prefix('0').unwrap_or(rest))),
                None => foreign_parts(&digits),
            })
        }
        None => phone_digits(text).and_then(|digits| korean_parts(&digits)),
    };
    parts.map_or_else(|| mask_whole(phone), |parts| parts.masked())
}

/// As many `*` as `text` has characters.
fn mask_whole(text: &str) -> String {
    mask_from(text.chars(), 0).collect()
}

/// The characters with all but the first `shown` hidden.
fn mask_from(characters: std::str::Chars<'_>, shown: usize) -> impl Iterator<Item = char> {
    characters
        .enumerate()
        .map(move |(position, character)| if position < shown { character } else { HIDDEN })
}

/// Local part and domain of what is recognised as an address.
fn email_parts(email: &str) -> Option<(&str, &str)> {
    let (local, domain) = email.split_once('@')?;
    let local_is_plain = !local.is_empty()
        && !local
            .chars()
            .any(|character| character.is_whitespace() || character.is_control());
    let domain_is_plain = domain
        .strip_suffix('.')
        .unwrap_or(domain)
        .split('.')
        .all(|label| !label.is_empty() && label.chars().all(is_domain_character));
    (local_is_plain && domain_is_plain).then_some((local, domain))
}

fn is_domain_character(character: char) -> bool {
    character.is_alphanumeric() || matches!(character, '-' | '_')
}

/// A recognised number: what stays, and how much is hidden between.
struct PhoneParts {
    /// What stays in front, as it is shown.
    prefix: String,
    /// How many digits are hidden.
    hidden: usize,
    /// The four digits that stay at the end.
    last: String,
}

impl PhoneParts {
    /// Cuts `digits` after `prefix_digits`; `None` if too few are left to hide, or if a digit
    /// that would stay is not known (the number was masked before, in another way).
    fn cut(sign: &str, digits: &str, prefix_digits: usize) -> Option<Self> {
        let (prefix, rest) = digits.split_at_checked(prefix_digits)?;
        let hidden = rest.len().checked_sub(PHONE_LAST)?;
        let (_, last) = rest.split_at_checked(hidden)?;
        let known = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        (hidden >= PHONE_HIDDEN_MIN && known(prefix) && known(last)).then(|| Self {
            prefix: format!("{sign}{prefix}"),
            hidden,
            last: last.to_owned(),
        })
    }

    fn masked(&self) -> String {
        let mut masked = String::with_capacity(self.prefix.len() + self.hidden + PHONE_LAST + 2);
        masked.push_str(&self.prefix);
        masked.push('-');
        masked.extend(std::iter::repeat_n(HIDDEN, self.hidden));
        masked.push('-');
        masked.push_str(&self.last);
        masked
    }
}

/// The digits without what separates them, `*` taken as a digit that is not known (so that a
/// masked number is recognised again); `None` if anything else is in it. ASCII throughout.
fn phone_digits(text: &str) -> Option<String> {
    let mut digits = String::with_capacity(text.len().min(PHONE_DIGITS_MAX + 1));
    for character in text.chars() {
        match character {
            '0'..='9' | HIDDEN if digits.len() > PHONE_DIGITS_MAX => return None,
            '0'..='9' | HIDDEN => digits.push(character),
            ' ' | '-' | '.' | '(' | ')' => {}
            _ => return None,
        }
    }
    Some(digits)
}

/// A Korean number in national digits, the trunk `0` in front.
fn korean_parts(digits: &str) -> Option<PhoneParts> {
    let area = digits.strip_prefix('0')?;
    let prefix_digits = match area.as_bytes() {
        [b'2', ..] => 2,
        [b'5', b'0', ..] => 4,
        [b'1'..=b'9', ..] => 3,
        _ => return None,
    };
    PhoneParts::cut("", digits, prefix_digits).filter(|parts| parts.hidden <= 4)
}

/// A number of another country in international digits.
fn foreign_parts(digits: &str) -> Option<PhoneParts> {
    if digits.len() > PHONE_DIGITS_MAX {
        return None;
    }
    PhoneParts::cut("+", digits, country_code_digits(digits)?)
}

/// How many digits the country code has: the zones and two-digit codes that ITU-T has assigned;
/// every other code has three digits.
fn country_code_digits(digits: &str) -> Option<usize> {
    match digits.as_bytes() {
        [b'1' | b'7', ..] => Some(1),
        [b'2', b'0' | b'7', ..]
        | [b'3', b'0'..=b'4' | b'6' | b'9', ..]
        | [b'4', b'0' | b'1' | b'3'..=b'9', ..]
        | [b'5', b'1'..=b'8', ..]
        | [b'6', b'0'..=b'6', ..]
        | [b'8', b'1' | b'2' | b'4' | b'6', ..]
        | [b'9', b'0'..=b'5' | b'8', ..] => Some(2),
        [b'2'..=b'9', ..] => Some(3),
        _ => None,
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

    /// Holds `mask` to what it gives, and to changing nothing the second time.
    fn check(mask: fn(&str) -> String, cases: &[(&str, &str)]) {
        for (given, masked) in cases {
            assert_eq!(mask(given), *masked, "of {given:?}");
            assert_eq!(mask(masked), *masked, "of {masked:?}, masked before");
        }
    }

    #[test]
    fn a_name_keeps_its_ends() {
        check(
            mask_name,
            &[
                ("", ""),
                ("홍", "*"),
                ("길동", "길*"),
                ("홍길동", "홍*동"),
                ("남궁민수", "남**수"),
                ("Ann", "A*n"),
                ("Kim Gildong", "K*********g"),
                ("👩‍👩‍👧", "👩***👧"),
            ],
        );
    }

    #[test]
    fn a_name_is_counted_in_characters_and_not_in_letters_as_seen() {
        // one syllable as two jamo, and a letter with its accent apart
        check(
            mask_name,
            &[
                ("\u{1112}\u{1169}", "\u{1112}*"),
                ("Jose\u{301}", "J***\u{301}"),
            ],
        );
    }

    #[test]
    fn a_korean_number_is_shown_nationally() {
        check(
            mask_phone,
            &[
                ("+821012345678", "010-****-5678"),
                ("010-1234-5678", "010-****-5678"),
                ("01012345678", "010-****-5678"),
                (" 010.1234.5678 ", "010-****-5678"),
                ("+82 (0)10-1234-5678", "010-****-5678"),
                ("011-234-5678", "011-***-5678"),
                ("+82212345678", "02-****-5678"),
                ("02-123-4567", "02-***-4567"),
                ("031-123-4567", "031-***-4567"),
                ("070-1234-5678", "070-****-5678"),
                ("0505-1234-5678", "0505-****-5678"),
            ],
        );
    }

    #[test]
    fn a_foreign_number_keeps_its_country_code() {
        check(
            mask_phone,
            &[
                ("+12025550123", "+1-******-0123"),
                ("+44 20 7946 0958", "+44-******-0958"),
                ("+8613912345678", "+86-*******-5678"),
                ("+35312345678", "+353-****-5678"),
                ("+85221234567", "+852-****-4567"),
            ],
        );
    }

    #[test]
    fn a_number_that_is_not_recognised_is_masked_whole() {
        check(
            mask_phone,
            &[
                ("", ""),
                ("114", "***"),
                ("1588-0000", "*********"),
                ("010-12", "******"),
                ("821012345678", "************"),
                ("00821012345678", "**************"),
                ("010-12345-6789", "**************"),
                ("010-1234-567a", "*************"),
                ("+10123", "******"),
                ("+0123456789", "***********"),
                ("+1234567890123456", "*****************"),
                ("０１０-1234-5678", "*************"),
                ("홍길동", "***"),
                ("+", "*"),
            ],
        );
    }

    #[test]
    fn a_number_masked_in_another_way_is_not_filled_in() {
        check(
            mask_phone,
            &[
                ("010-1234-****", "*************"),
                ("***-1234-5678", "*************"),
            ],
        );
    }

    #[test]
    fn an_address_keeps_its_domain_and_two_characters_at_most() {
        check(
            mask_email,
            &[
                ("gildong@example.com", "gi*****@example.com"),
                ("abc@example.com", "ab*@example.com"),
                ("ab@example.com", "a*@example.com"),
                ("a@example.com", "*@example.com"),
                ("길동이@예시.한국", "길동*@예시.한국"),
                (" gildong@example.com ", "gi*****@example.com"),
                (
                    "first.last+tag@mail.example.co.kr",
                    "fi************@mail.example.co.kr",
                ),
                ("abc@localhost", "ab*@localhost"),
            ],
        );
    }

    #[test]
    fn what_is_no_address_is_masked_whole() {
        check(
            mask_email,
            &[
                ("", ""),
                ("@", "*"),
                ("gildong", "*******"),
                ("gildong@", "********"),
                ("@example.com", "************"),
                ("a@b@c.com", "*********"),
                ("gil dong@example.com", "********************"),
                ("gil\r\ndong@example.com", "*********************"),
                ("gildong@exa mple.com", "********************"),
                ("gildong@example..com", "********************"),
                ("gildong@[192.0.2.1]", "*******************"),
            ],
        );
    }
}
