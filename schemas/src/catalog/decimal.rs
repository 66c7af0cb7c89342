//! Exact rates: decimals read from text into scaled integers, never through a float.
//!
//! Invariant: a rate holds exactly what the text said. Digits that the scale cannot hold are
//! refused, not rounded.

use std::fmt;
use std::str::FromStr;

/// Digits after the point that a rate holds.
const DECIMALS: usize = 6;
/// 1, in the unit of the last of those digits.
const ONE: i64 = 1_000_000;

/// Why a text is not a rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecimalError {
    /// Something else than digits with at most one point between them.
    #[error("a decimal in quotes, such as \"0.35\": digits, and a point between digits")]
    NotDecimal,
    /// A minus sign.
    #[error("0 or more")]
    Negative,
    /// More digits after the point than are held.
    #[error("a decimal with at most 6 digits after the point")]
    TooManyDigits,
    /// Beyond 64 bits.
    #[error("at most 9223372036854.775807")]
    TooLarge,
    /// A share of more than the whole.
    #[error("from 0 to 1, such as \"0.35\" for 35 %")]
    AboveOne,
}

/// Reads `text` in the unit of its sixth digit after the point.
fn scaled(text: &str) -> Result<i64, DecimalError> {
    if text.starts_with('-') {
        return Err(DecimalError::Negative);
    }
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let all_digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    if !all_digits(whole) || !all_digits(fraction) {
        return Err(DecimalError::NotDecimal);
    }
    let missing = DECIMALS
        .checked_sub(fraction.len())
        .ok_or(DecimalError::TooManyDigits)?;
    whole
        .bytes()
        .chain(fraction.bytes())
        .chain(std::iter::repeat_n(b'0', missing))
        .try_fold(0_i64, |value, digit| {
            value.checked_mul(10)?.checked_add(i64::from(digit - b'0'))
        })
        .ok_or(DecimalError::TooLarge)
}

/// Writes the number of millionths `scaled` without needless zeros.
fn write_scaled(f: &mut fmt::Formatter<'_>, scaled: i64) -> fmt::Result {
    let (whole, fraction) = (scaled / ONE, scaled % ONE);
    if fraction == 0 {
        return write!(f, "{whole}");
    }
    let digits = format!("{fraction:0DECIMALS$}");
    write!(f, "{whole}.{}", digits.trim_end_matches('0'))
}

/// The price of 1 MB beyond what is included, in millionths of a won, 0 or more.
/// Written as a decimal in won: `0.2750`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OverageRate(i64);

impl OverageRate {
    /// Millionths of a won for one MB.
    #[must_use]
    pub const fn micro_won_per_mb(self) -> i64 {
        self.0
    }
}

impl FromStr for OverageRate {
    type Err = DecimalError;
    fn from_str(text: &str) -> Result<Self, DecimalError> {
        scaled(text).map(Self)
    }
}

impl fmt::Display for OverageRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_scaled(f, self.0)
    }
}

/// The share that a discount takes off, in millionths, from 0 to the whole.
/// Written as a decimal: `0.35` for 35 %.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DiscountRate(i64);

impl DiscountRate {
    /// Millionths, 0 to 1,000,000.
    #[must_use]
    pub const fn parts_per_million(self) -> i64 {
        self.0
    }
}

impl FromStr for DiscountRate {
    type Err = DecimalError;
    fn from_str(text: &str) -> Result<Self, DecimalError> {
        scaled(text).and_then(|rate| {
            if rate <= ONE {
                Ok(Self(rate))
            } else {
                Err(DecimalError::AboveOne)
            }
        })
    }
}

impl fmt::Display for DiscountRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_scaled(f, self.0)
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

    use proptest::prelude::*;

    use super::*;

    fn overage(text: &str) -> Result<i64, DecimalError> {
        text.parse::<OverageRate>()
            .map(OverageRate::micro_won_per_mb)
    }

    fn discount(text: &str) -> Result<i64, DecimalError> {
        text.parse::<DiscountRate>()
            .map(DiscountRate::parts_per_million)
    }

    #[test]
    fn a_decimal_is_read_exactly() {
        for (text, micro) in [
            ("0.2750", 275_000),
            ("0.7250", 725_000),
            ("0", 0),
            ("0.000001", 1),
            ("12", 12_000_000),
            ("007.5", 7_500_000),
            ("9223372036854.775807", i64::MAX),
        ] {
            assert_eq!(overage(text), Ok(micro), "{text}");
        }
    }

    #[test]
    fn what_is_not_a_plain_decimal_is_refused() {
        for text in [
            "", ".", ".5", "5.", "1.2.3", "1e3", "+1", " 1", "1 ", "1,5", "0x1", "٠.٥", "½", "NaN",
        ] {
            assert_eq!(overage(text), Err(DecimalError::NotDecimal), "{text:?}");
        }
    }

    #[test]
    fn a_negative_decimal_is_refused() {
        assert_eq!(overage("-0.1"), Err(DecimalError::Negative));
    }

    #[test]
    fn digits_that_the_scale_cannot_hold_are_refused_even_if_they_are_zeros() {
        assert_eq!(overage("0.2750001"), Err(DecimalError::TooManyDigits));
        assert_eq!(overage("0.2750000"), Err(DecimalError::TooManyDigits));
    }

    #[test]
    fn a_rate_beyond_64_bits_is_refused() {
        assert_eq!(overage("9223372036854.775808"), Err(DecimalError::TooLarge));
        assert_eq!(overage(&"9".repeat(400)), Err(DecimalError::TooLarge));
    }

    #[test]
    fn a_discount_is_at_most_the_whole() {
        assert_eq!(discount("1"), Ok(1_000_000));
        assert_eq!(discount("1.000000"), Ok(1_000_000));
        assert_eq!(discount("1.000001"), Err(DecimalError::AboveOne));
        assert_eq!(discount("35"), Err(DecimalError::AboveOne));
    }

    #[test]
    fn a_rate_is_written_without_needless_zeros() {
        for (read, written) in [
            ("0.2750", "0.275"),
            ("0", "0"),
            ("10.00", "10"),
            ("3.000001", "3.000001"),
        ] {
            assert_eq!(read.parse::<OverageRate>().unwrap().to_string(), written);
        }
    }

    proptest! {
        #[test]
        fn a_written_rate_reads_back_the_same(micro in 0..=i64::MAX) {
            prop_assert_eq!(overage(&OverageRate(micro).to_string()), Ok(micro));
        }

        #[test]
        fn no_text_makes_the_reader_panic(text in ".*") {
            let _ = overage(&text);
            let _ = discount(&text);
        }
    }
}
