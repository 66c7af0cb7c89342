//! Amounts, months, quantities and line labels as a reader of the bill sees them, in both
//! languages. All of it is fixed here and not in the templates, so that every channel says
//! the same.
//!
//! Invariant: what is written is a function of the arguments alone, and holds no control
//! characters.

use std::borrow::Cow;
use std::fmt::Write as _;

use sealpost_schemas::Period;
use sealpost_schemas::record::{LineKind, Locale};

/// Months in English, January first.
const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// Appends `amount_won` with its unit: `13,013원`, `₩13,013`; a minus sign goes in front.
pub(super) fn write_won(out: &mut String, amount_won: i128, locale: Locale) {
    if amount_won < 0 {
        out.push('-');
    }
    match locale {
        Locale::Ko => {
            write_grouped(out, amount_won.unsigned_abs());
            out.push('원');
        }
        Locale::En => {
            out.push('₩');
            write_grouped(out, amount_won.unsigned_abs());
        }
    }
}

/// Appends a whole number with a comma before every third digit from the end.
pub(super) fn write_grouped(out: &mut String, number: u128) {
    match u64::try_from(number) {
        Ok(number) => write_grouped_64(out, number),
        Err(_) => {
            write_grouped(out, number / 1_000);
            write_group(out, (number % 1_000) as u64);
        }
    }
}

/// As [`write_grouped`], for the numbers that there are: written digit by digit, because these
/// make up much of a bill and the general formatter takes several times as long.
fn write_grouped_64(out: &mut String, number: u64) {
    match number {
        0..10 => out.push(digit(number)),
        10..100 => out.extend([digit(number / 10), digit(number)]),
        100..1_000 => out.extend([digit(number / 100), digit(number / 10), digit(number)]),
        _ => {
            write_grouped_64(out, number / 1_000);
            write_group(out, number % 1_000);
        }
    }
}

fn write_group(out: &mut String, group: u64) {
    out.extend([',', digit(group / 100), digit(group / 10), digit(group)]);
}

/// The last digit of a number.
fn digit(number: u64) -> char {
    // below 10 by construction
    char::from(b'0' + (number % 10) as u8)
}

/// Appends a billing month: `2026년 1월`, `January 2026`.
pub(super) fn write_period(out: &mut String, period: Period, locale: Locale) {
    let (year, month) = (period.year(), period.month());
    let _ = match locale {
        Locale::Ko => write!(out, "{year}년 {month}월"),
        Locale::En => {
            let name = MONTHS.get(usize::from(month.unsigned_abs()).saturating_sub(1));
            write!(out, "{} {year}", name.copied().unwrap_or_default())
        }
    };
}

/// Appends an amount of data: the largest of GB, MB, KB and B of which there is at least one,
/// with up to two decimals, rounded down so that nobody is shown more than was used. Decimal,
/// as the tariff counts: 1 MB = 1,000,000 bytes.
pub(super) fn write_data(out: &mut String, bytes: i64) {
    let bytes = u128::from(bytes.max(0).unsigned_abs());
    let (unit_bytes, unit) = match bytes {
        1_000_000_000.. => (1_000_000_000, "GB"),
        1_000_000.. => (1_000_000, "MB"),
        1_000.. => (1_000, "KB"),
        _ => (1, "B"),
    };
    write_grouped(out, bytes / unit_bytes);
    let hundredths = bytes % unit_bytes * 100 / unit_bytes;
    let _ = match (hundredths / 10, hundredths % 10) {
        (0, 0) => Ok(()),
        (tenths, 0) => write!(out, ".{tenths}"),
        _ => write!(out, ".{hundredths:02}"),
    };
    let _ = write!(out, " {unit}");
}

/// Appends a time on the line: hours, minutes and seconds of which there are any, `1시간 2분
/// 5초`, `1 h 2 min 5 s`; none at all is `0분`, `0 min`.
pub(super) fn write_voice(out: &mut String, seconds: i64, locale: Locale) {
    let seconds = seconds.max(0).unsigned_abs();
    let units = match locale {
        Locale::Ko => ["시간", "분", "초"],
        Locale::En => [" h", " min", " s"],
    };
    let amounts = [seconds / 3_600, seconds / 60 % 60, seconds % 60];
    let start = out.len();
    for (amount, unit) in amounts.into_iter().zip(units) {
        if amount > 0 {
            if out.len() > start {
                out.push(' ');
            }
            write_grouped(out, amount.into());
            out.push_str(unit);
        }
    }
    if out.len() == start {
        out.push_str(match locale {
            Locale::Ko => "0분",
            Locale::En => "0 min",
        });
    }
}

/// Appends a number of text messages: `12건`, in English the number alone.
pub(super) fn write_messages(out: &mut String, messages: i64, locale: Locale) {
    write_grouped(out, messages.max(0).unsigned_abs().into());
    if locale == Locale::Ko {
        out.push('건');
    }
}

/// What a line is called. The rates are those of the tariff rules, which fix them for every
/// catalogue; the rate of a welfare class is part of its name, if it is to be shown.
pub(super) const fn label(kind: LineKind, locale: Locale) -> &'static str {
    match (locale, kind) {
        (Locale::Ko, LineKind::Plan) => "월정액",
        (Locale::Ko, LineKind::DataOverage) => "데이터 초과",
        (Locale::Ko, LineKind::Option) => "부가서비스",
        (Locale::Ko, LineKind::Content) => "콘텐츠 구매",
        (Locale::Ko, LineKind::ContractDiscount) => "약정 할인(25%)",
        (Locale::Ko, LineKind::SoldierDiscount) => "군인 할인(20%)",
        (Locale::Ko, LineKind::WelfareDiscount) => "복지 할인",
        (Locale::Ko, LineKind::Adjustment) => "지난 요금 정산",
        (Locale::Ko, LineKind::BroughtForward) => "이월된 금액",
        (Locale::Ko, LineKind::CarriedForward) => "다음 달 이월",
        (Locale::En, LineKind::Plan) => "Monthly plan",
        (Locale::En, LineKind::DataOverage) => "Data overage",
        (Locale::En, LineKind::Option) => "Option",
        (Locale::En, LineKind::Content) => "Content purchases",
        (Locale::En, LineKind::ContractDiscount) => "Contract discount (25%)",
        (Locale::En, LineKind::SoldierDiscount) => "Soldier discount (20%)",
        (Locale::En, LineKind::WelfareDiscount) => "Welfare discount",
        (Locale::En, LineKind::Adjustment) => "Adjustment",
        (Locale::En, LineKind::BroughtForward) => "Brought forward",
        (Locale::En, LineKind::CarriedForward) => "Carried forward",
    }
}

/// A value from outside as it may stand in a message: control characters, line and paragraph
/// separators and marks that turn the direction of writing become spaces (a value must never
/// begin a line, a header or another direction), and what is longer than `characters_max` ends
/// in `…`.
pub(super) fn shown(text: &str, characters_max: usize) -> Cow<'_, str> {
    let fits = text.len() <= characters_max || text.chars().count() <= characters_max;
    if fits && !text.chars().any(disturbs) {
        return Cow::Borrowed(text);
    }
    let kept = if fits {
        characters_max
    } else {
        characters_max.saturating_sub(1)
    };
    let mut clean: String = text
        .chars()
        .take(kept)
        .map(|character| if disturbs(character) { ' ' } else { character })
        .collect();
    if !fits {
        clean.push('…');
    }
    Cow::Owned(clean)
}

/// Whether a character would act on the message instead of being read in it.
pub(super) fn disturbs(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{200e}'
                | '\u{200f}'
                | '\u{061c}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2066}'..='\u{2069}'
                | '\u{feff}'
        )
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

    fn text(write: impl FnOnce(&mut String)) -> String {
        let mut out = String::new();
        write(&mut out);
        out
    }

    #[test]
    fn won_are_grouped_and_signed() {
        for (amount_won, ko, en) in [
            (0, "0원", "₩0"),
            (999, "999원", "₩999"),
            (13_013, "13,013원", "₩13,013"),
            (-8_250, "-8,250원", "-₩8,250"),
            (1_000_001, "1,000,001원", "₩1,000,001"),
            (
                i128::from(i64::MIN),
                "-9,223,372,036,854,775,808원",
                "-₩9,223,372,036,854,775,808",
            ),
        ] {
            assert_eq!(text(|out| write_won(out, amount_won, Locale::Ko)), ko);
            assert_eq!(text(|out| write_won(out, amount_won, Locale::En)), en);
        }
    }

    #[test]
    fn months_have_names() {
        let period = |text: &str| text.parse::<Period>().unwrap();
        let ko = |month| text(|out| write_period(out, period(month), Locale::Ko));
        let en = |month| text(|out| write_period(out, period(month), Locale::En));
        assert_eq!(
            (ko("2026-01"), en("2026-01")),
            ("2026년 1월".into(), "January 2026".into())
        );
        assert_eq!(
            (ko("2025-12"), en("2025-12")),
            ("2025년 12월".into(), "December 2025".into())
        );
    }

    #[test]
    fn data_is_shown_in_its_largest_unit_and_never_rounded_up() {
        for (bytes, shown) in [
            (0, "0 B"),
            (999, "999 B"),
            (1_000, "1 KB"),
            (999_999, "999.99 KB"),
            (1_000_000, "1 MB"),
            (1_050_000, "1.05 MB"),
            (2_300_000_000, "2.3 GB"),
            (1_234_567_890_123, "1,234.56 GB"),
            (-1, "0 B"),
        ] {
            assert_eq!(text(|out| write_data(out, bytes)), shown);
        }
    }

    #[test]
    fn time_is_shown_in_the_units_it_has() {
        for (seconds, ko, en) in [
            (0, "0분", "0 min"),
            (59, "59초", "59 s"),
            (60, "1분", "1 min"),
            (3_605, "1시간 5초", "1 h 5 s"),
            (3_725, "1시간 2분 5초", "1 h 2 min 5 s"),
            (3_600_000, "1,000시간", "1,000 h"),
        ] {
            assert_eq!(text(|out| write_voice(out, seconds, Locale::Ko)), ko);
            assert_eq!(text(|out| write_voice(out, seconds, Locale::En)), en);
        }
    }

    #[test]
    fn messages_are_counted() {
        assert_eq!(text(|out| write_messages(out, 1_200, Locale::En)), "1,200");
        assert_eq!(text(|out| write_messages(out, 12, Locale::Ko)), "12건");
    }

    #[test]
    fn a_value_cannot_begin_a_line_and_does_not_grow_without_bound() {
        assert!(matches!(shown("LTE 표준", 64), Cow::Borrowed("LTE 표준")));
        assert_eq!(
            shown("a\r\nBcc: x\u{85}\u{2028}\u{202e}b", 64),
            "a  Bcc: x   b"
        );
        assert_eq!(shown("일이삼사오", 5), "일이삼사오");
        assert_eq!(shown("일이삼사오육", 5), "일이삼사…");
    }
}
