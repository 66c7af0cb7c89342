//! One value of a row, whatever file it came from, and the rules by which it is read.
//!
//! A rule is a fixed text: nothing here can put a value into an error.

use jiff::civil::{Date, DateTime};
use jiff::fmt::temporal::Pieces;
use jiff::tz::TimeZone;
use sealpost_schemas::Timestamp;
use sealpost_schemas::record::Day;
use zeroize::Zeroizing;

/// The rule that a value breaks.
pub(super) type Rule = &'static str;

/// A value as a file gives it.
pub(super) enum Cell<'a> {
    /// Not there, or null.
    Missing,
    /// Text, read in place.
    Text(&'a str),
    /// Text that had to be put together; wiped.
    Owned(Zeroizing<String>),
    /// A whole number.
    Integer(i64),
    /// A number with a fraction, or one that was written like it.
    Real(f64),
    /// Microseconds since the epoch.
    Instant(i64),
    /// Microseconds since 1970-01-01T00:00 on some clock on a wall.
    Local(i64),
    /// Days since the epoch.
    Day(i32),
    /// Bytes.
    Bytes(&'a [u8]),
    /// Something that no column has.
    Unusable(Rule),
}

const MICROSECONDS: i64 = 1_000_000;
/// Whole numbers up to here are exact in a number with a fraction.
const REAL_MAX: f64 = 9_007_199_254_740_992.0;
/// 9999-12-31 and 0001-01-01.
const DAY_RANGE: std::ops::RangeInclusive<i32> = -719_162..=2_932_896;

const NOT_TEXT: Rule = "must be text";
const NOT_UTF8: Rule = "must be UTF-8";
const NOT_INTEGER: Rule = "must be a whole number";
const NOT_TIME: Rule = "must be a time such as 2026-01-31T23:59:59+09:00";
const OUT_OF_TIME: Rule = "must lie in the years from 1970 to 9999";
const NOT_DATE: Rule = "must be a date, YYYY-MM-DD";
const NOT_BYTES: Rule = "must be bytes, or in text hexadecimal";

impl<'a> Cell<'a> {
    /// The text without white space around it; `None` if nothing is left of it.
    pub(super) fn text(&self) -> Result<Option<&str>, Rule> {
        let text = match self {
            Self::Missing => return Ok(None),
            Self::Text(text) => text,
            Self::Owned(text) => text.as_str(),
            Self::Bytes(bytes) => std::str::from_utf8(bytes).map_err(|_| NOT_UTF8)?,
            Self::Unusable(rule) => return Err(rule),
            _ => return Err(NOT_TEXT),
        };
        Ok(Some(text.trim()).filter(|text| !text.is_empty()))
    }

    /// The text just as it is: an identifier must not be changed. A whole number is its digits.
    pub(super) fn identifier(&self) -> Result<Option<String>, Rule> {
        let text = match self {
            Self::Missing => return Ok(None),
            Self::Integer(number) => return Ok(Some(number.to_string())),
            Self::Text(text) => text,
            Self::Owned(text) => text.as_str(),
            Self::Bytes(bytes) => std::str::from_utf8(bytes).map_err(|_| NOT_UTF8)?,
            Self::Unusable(rule) => return Err(rule),
            _ => return Err(NOT_TEXT),
        };
        Ok(Some(text)
            .filter(|text| !text.is_empty())
            .map(str::to_owned))
    }

    /// A whole number, from text or from a number.
    pub(super) fn integer(&self) -> Result<Option<i64>, Rule> {
        match self {
            Self::Integer(number) => Ok(Some(*number)),
            // how a data frame writes a column of whole numbers with gaps
            Self::Real(number) if number.fract() == 0.0 && number.abs() < REAL_MAX => {
                Ok(Some(*number as i64))
            }
            Self::Real(_) | Self::Instant(_) | Self::Local(_) | Self::Day(_) => Err(NOT_INTEGER),
            Self::Missing | Self::Text(_) | Self::Owned(_) | Self::Bytes(_) | Self::Unusable(_) => {
                match self.text()? {
                    Some(text) => written_integer(text).map(Some),
                    None => Ok(None),
                }
            }
        }
    }

    /// A point in time. What has no offset is on the wall of the zone; what the change of clocks
    /// makes ambiguous is the earlier of the two.
    pub(super) fn time(&self, zone: &TimeZone) -> Result<Option<Timestamp>, Rule> {
        let micros = match self {
            Self::Instant(micros) => *micros,
            Self::Local(micros) => {
                let day = i32::try_from(micros.div_euclid(86_400 * MICROSECONDS));
                let date = day.ok().and_then(date_of).ok_or(OUT_OF_TIME)?;
                let rest = micros.rem_euclid(86_400 * MICROSECONDS);
                let wall = date.at(0, 0, 0, 0);
                let wall = wall
                    .checked_add(jiff::SignedDuration::from_micros(rest))
                    .map_err(|_| OUT_OF_TIME)?;
                on_wall(wall, zone)?
            }
            _ => match self.text()? {
                Some(text) => written(text, zone)?,
                None => return Ok(None),
            },
        };
        in_range(micros).map(Some)
    }

    /// A calendar date.
    pub(super) fn day(&self) -> Result<Option<Day>, Rule> {
        let day = match self {
            Self::Day(day) => *day,
            // how a data frame writes a date: midnight, without a zone
            Self::Local(micros) if micros.rem_euclid(86_400 * MICROSECONDS) == 0 => {
                i32::try_from(micros.div_euclid(86_400 * MICROSECONDS)).map_err(|_| NOT_DATE)?
            }
            Self::Missing | Self::Text(_) | Self::Owned(_) | Self::Bytes(_) | Self::Unusable(_) => {
                match self.text()? {
                    Some(text) => written_date(text)?.0,
                    None => return Ok(None),
                }
            }
            _ => return Err(NOT_DATE),
        };
        if DAY_RANGE.contains(&day) {
            Ok(Some(Day(day)))
        } else {
            Err(NOT_DATE)
        }
    }

    /// Bytes; text is read as hexadecimal.
    pub(super) fn bytes(&self) -> Result<Option<Vec<u8>>, Rule> {
        match self {
            Self::Bytes([]) => Ok(None),
            Self::Bytes(bytes) => Ok(Some(bytes.to_vec())),
            Self::Missing | Self::Text(_) | Self::Owned(_) => match self.text()? {
                Some(text) => from_hex(text).map(Some).ok_or(NOT_BYTES),
                None => Ok(None),
            },
            Self::Unusable(rule) => Err(rule),
            _ => Err(NOT_BYTES),
        }
    }
}

/// The calendar date of a day, in the range of dates.
pub(super) fn date_of(day: i32) -> Option<Date> {
    if !DAY_RANGE.contains(&day) {
        return None;
    }
    jiff::civil::date(1970, 1, 1)
        .checked_add(jiff::Span::new().days(day))
        .ok()
}

/// Digits, and perhaps a fraction of zeros: a data frame writes a column of whole numbers with
/// gaps as `22.0`.
fn written_integer(text: &str) -> Result<i64, Rule> {
    let whole = match text.split_once('.') {
        Some((whole, "0" | "00")) => whole,
        Some(_) => return Err(NOT_INTEGER),
        None => text,
    };
    whole.parse().map_err(|_| NOT_INTEGER)
}

fn written_date(text: &str) -> Result<Day, Rule> {
    let bytes = text.as_bytes();
    let separated = bytes.len() == 10 && bytes.get(4) == Some(&b'-') && bytes.get(7) == Some(&b'-');
    if !separated {
        return Err(NOT_DATE);
    }
    text.parse::<Date>()
        .map(Day::from_date)
        .map_err(|_| NOT_DATE)
}

fn written(text: &str, zone: &TimeZone) -> Result<i64, Rule> {
    let pieces = Pieces::parse(text).map_err(|_| NOT_TIME)?;
    let time = pieces.time().ok_or(NOT_TIME)?;
    if pieces.time_zone_annotation().is_some() {
        return Err(NOT_TIME);
    }
    let wall = pieces.date().to_datetime(time);
    match pieces.to_numeric_offset() {
        Some(offset) => offset
            .to_timestamp(wall)
            .map(jiff::Timestamp::as_microsecond)
            .map_err(|_| OUT_OF_TIME),
        None => on_wall(wall, zone),
    }
}

fn on_wall(wall: DateTime, zone: &TimeZone) -> Result<i64, Rule> {
    zone.to_timestamp(wall)
        .map(jiff::Timestamp::as_microsecond)
        .map_err(|_| OUT_OF_TIME)
}

/// From 1970-01-02 to 9999-12-30: what lies there is in a period in every zone.
fn in_range(micros: i64) -> Result<Timestamp, Rule> {
    const START_S: i64 = 86_400;
    const END_S: i64 = 253_402_214_400;
    if (START_S * MICROSECONDS..END_S * MICROSECONDS).contains(&micros) {
        Ok(Timestamp(micros))
    } else {
        Err(OUT_OF_TIME)
    }
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    if !text.len().is_multiple_of(2) {
        return None;
    }
    text.as_bytes()
        .chunks_exact(2)
        .map(|pair| match pair {
            [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
            _ => None,
        })
        .collect()
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

    fn seoul() -> TimeZone {
        TimeZone::get("Asia/Seoul").unwrap()
    }

    #[test]
    fn a_time_is_read_with_its_offset_and_else_in_the_zone() {
        let new_year = Timestamp(1_767_193_200_000_000);
        for text in [
            "2026-01-01T00:00:00+09:00",
            "2025-12-31T15:00:00Z",
            "2025-12-31t15:00:00z",
            "2025-12-31 15:00:00.000000+00:00",
            "2026-01-01T00:00:00",
            "2026-01-01 00:00:00.000",
            " 2026-01-01T00:00:00 ",
        ] {
            assert_eq!(
                Cell::Text(text).time(&seoul()),
                Ok(Some(new_year)),
                "{text}"
            );
        }
        assert_eq!(Cell::Instant(new_year.0).time(&seoul()), Ok(Some(new_year)));
        let local = (new_year.0) + 9 * 3_600 * MICROSECONDS;
        assert_eq!(Cell::Local(local).time(&seoul()), Ok(Some(new_year)));
        assert_eq!(
            Cell::Local(local).time(&TimeZone::UTC),
            Ok(Some(Timestamp(local)))
        );
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "2026-01-01",
            "yesterday",
            "1767193200",
            "2026-13-01T00:00:00Z",
            "24:00",
        ] {
            assert_eq!(Cell::Text(text).time(&seoul()), Err(NOT_TIME), "{text}");
        }
        assert_eq!(
            Cell::Text("1969-12-31T00:00:00Z").time(&seoul()),
            Err(OUT_OF_TIME)
        );
        assert_eq!(Cell::Instant(i64::MAX).time(&seoul()), Err(OUT_OF_TIME));
        assert_eq!(Cell::Local(i64::MIN).time(&seoul()), Err(OUT_OF_TIME));
        assert_eq!(Cell::Text("").time(&seoul()), Ok(None));
    }

    #[test]
    fn a_date_is_read_from_text_a_day_and_a_midnight() {
        let day = Ok(Some(Day(20_454)));
        assert_eq!(Cell::Text("2026-01-01").day(), day);
        assert_eq!(Cell::Day(20_454).day(), day);
        assert_eq!(Cell::Local(20_454 * 86_400 * MICROSECONDS).day(), day);
        assert_eq!(
            Cell::Local(20_454 * 86_400 * MICROSECONDS + 1).day(),
            Err(NOT_DATE)
        );
        for text in [
            "2026-02-30",
            "2026-1-1",
            "20260101",
            "01/01/2026",
            "2026-01-01T00:00:00",
        ] {
            assert_eq!(Cell::Text(text).day(), Err(NOT_DATE), "{text}");
        }
        assert_eq!(Cell::Day(i32::MAX).day(), Err(NOT_DATE));
        assert_eq!(date_of(20_454), Some(jiff::civil::date(2026, 1, 1)));
        assert_eq!(
            date_of(*DAY_RANGE.end()),
            Some(jiff::civil::date(9999, 12, 31))
        );
        assert_eq!(
            date_of(*DAY_RANGE.start()),
            Some(jiff::civil::date(1, 1, 1))
        );
    }

    #[test]
    fn a_whole_number_is_read_from_text_and_from_numbers() {
        assert_eq!(Cell::Text(" 42 ").integer(), Ok(Some(42)));
        assert_eq!(Cell::Text("22.0").integer(), Ok(Some(22)));
        assert_eq!(Cell::Integer(-1).integer(), Ok(Some(-1)));
        assert_eq!(Cell::Real(22.0).integer(), Ok(Some(22)));
        assert_eq!(Cell::Text("").integer(), Ok(None));
        assert_eq!(Cell::Missing.integer(), Ok(None));
        for cell in [
            Cell::Real(0.5),
            Cell::Real(f64::NAN),
            Cell::Real(1e300),
            Cell::Text("1.5"),
            Cell::Text("1."),
            Cell::Text(".0"),
        ] {
            assert_eq!(cell.integer(), Err(NOT_INTEGER));
        }
    }

    #[test]
    fn bytes_in_text_are_hexadecimal() {
        assert_eq!(Cell::Text("00fFa1").bytes(), Ok(Some(vec![0, 255, 161])));
        assert_eq!(Cell::Text("0").bytes(), Err(NOT_BYTES));
        assert_eq!(Cell::Text("zz").bytes(), Err(NOT_BYTES));
        assert_eq!(Cell::Bytes(&[1, 2]).bytes(), Ok(Some(vec![1, 2])));
        assert_eq!(Cell::Bytes(&[]).bytes(), Ok(None));
    }
}
