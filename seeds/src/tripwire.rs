//! Users whose personal data are tokens: wherever one turns up, something leaked.

use crate::draw::mix;
use crate::{PlainSubscriber, Seed};

/// The code of one tripwire user.
pub(crate) struct Tripwire {
    code: u64,
}

/// Sixteen syllables, one for each hexadecimal digit.
const SYLLABLES: [&str; 16] = [
    "가", "나", "다", "라", "마", "바", "사", "자", "차", "카", "타", "파", "하", "거", "너", "더",
];

impl Tripwire {
    pub(crate) fn of(seed: Seed, index: u64) -> Self {
        Self {
            code: mix(seed, index) & 0xffff_ffff_ffff,
        }
    }

    /// Fourteen syllables: a prefix that reads `watched`, and the code.
    pub(crate) fn name(&self) -> String {
        let digits = (0..12)
            .rev()
            .map(|place| (self.code >> (place * 4) & 0xf) as usize);
        ["감시"]
            .into_iter()
            .chain(digits.map(|digit| SYLLABLES.get(digit).copied().unwrap_or_default()))
            .collect()
    }

    /// The part of the e-mail address before the `@`.
    pub(crate) fn local_part(&self) -> String {
        format!("watched-{:012x}", self.code)
    }

    /// The push token.
    pub(crate) fn push_token(&self) -> String {
        format!("push-{:012x}", self.code)
    }

    /// Everything to hunt for, given the user as drawn. Masking leaves the first two characters
    /// and the domain of an address, the ends of a name, and the prefix and last four digits of
    /// a number; each token is more than that.
    pub(crate) fn tokens(&self, plain: &PlainSubscriber) -> Vec<String> {
        let digits: String = plain.phone.chars().filter(char::is_ascii_digit).collect();
        let number = digits.strip_prefix('0').unwrap_or(&digits);
        vec![
            self.name(),
            self.local_part(),
            // also without its first two characters, and in whatever is built around the code
            format!("{:012x}", self.code),
            plain.phone.clone(),
            plain.phone.trim_start_matches('0').to_owned(),
            digits.clone(),
            format!("82{number}"),
        ]
    }
}
