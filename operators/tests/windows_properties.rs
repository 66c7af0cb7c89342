//! Windows against a search: of all quarters of an hour from now on, the first at which nothing
//! speaks against sending.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests"
)]

use jiff::tz::TimeZone;
use proptest::prelude::*;
use sealpost_operators::windows::{QuietHours, WindowRule};
use sealpost_schemas::record::Windows;
use sealpost_schemas::{Period, Timestamp};

const MINUTE: i64 = 60_000_000;
const QUARTER: i64 = 15 * MINUTE;

/// Zones with a change of the clocks at night, at midnight and by half an hour; without any; and
/// off the whole hour.
const ZONES: [&str; 6] = [
    "Asia/Seoul",
    "Europe/Berlin",
    "America/New_York",
    "America/Sao_Paulo",
    "Australia/Lord_Howe",
    "Asia/Kathmandu",
];

fn days_in(year: i16, month: i8) -> i8 {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

type Hours = Option<(u8, u8)>;

/// Hour by hour from the first: no comparison that a mistake could share.
fn is_quiet(hours: Hours, hour: u8) -> bool {
    let Some((from, to)) = hours else {
        return false;
    };
    let mut at = from;
    while at != to {
        if at == hour {
            return true;
        }
        at = (at + 1) % 24;
    }
    false
}

/// The first quarter of an hour, or now.
fn searched(
    zone: &TimeZone,
    system: Hours,
    own: Hours,
    send_day: Option<u8>,
    period: Period,
    now: i64,
) -> i64 {
    let own = if (0..24).all(|hour| is_quiet(system, hour) || is_quiet(own, hour)) {
        None
    } else {
        own
    };
    let (year, month) = match period.month() {
        12 => (period.year() + 1, 1),
        month => (period.year(), month + 1),
    };
    let first_day = send_day.map(|day| (year, month, (day as i8).min(days_in(year, month))));
    let mut at = now;
    loop {
        let local = jiff::Timestamp::from_microsecond(at)
            .unwrap()
            .to_zoned(zone.clone());
        let today = (local.year(), local.month(), local.day());
        let hour = local.hour() as u8;
        if first_day.is_none_or(|first| today >= first)
            && !is_quiet(system, hour)
            && !is_quiet(own, hour)
        {
            return at;
        }
        at = (at.div_euclid(QUARTER) + 1) * QUARTER;
    }
}

fn hours() -> impl Strategy<Value = Hours> {
    proptest::option::weighted(0.8, (0_u8..24, 0_u8..24))
}

fn check(zone: &str, system: Hours, own: Hours, send_day: Option<u8>, period: Period, now: i64) {
    // the same hour twice is no system's setting
    let system = system.filter(|(from, to)| from != to);
    let zone = TimeZone::get(zone).unwrap();
    let rule = WindowRule::Keep(
        zone.clone(),
        system.and_then(|(from, to)| QuietHours::new(from, to)),
    );
    let windows = Windows {
        quiet_from: own.map(|(from, _)| from),
        quiet_to: own.map(|(_, to)| to),
        send_day,
    };
    let found = rule.earliest(&windows, period, Timestamp(now));
    let expected = searched(&zone, system, own, send_day, period, now);
    assert_eq!(
        found.0,
        expected,
        "{zone:?} system {system:?} own {own:?} day {send_day:?} of {period} at {now}: {} and not {}",
        jiff::Timestamp::from_microsecond(found.0).unwrap(),
        jiff::Timestamp::from_microsecond(expected).unwrap()
    );
    // what may go then may go then
    assert_eq!(rule.earliest(&windows, period, found), found);
}

/// Midnight of UTC that begins a day.
fn midnight(year: i16, month: i8, day: i8) -> i64 {
    jiff::civil::date(year, month, day)
        .to_zoned(TimeZone::UTC)
        .unwrap()
        .timestamp()
        .as_microsecond()
}

/// The minutes around the days on which clocks change somewhere, both ways.
fn changing() -> impl Strategy<Value = i64> {
    let days = [
        (2026, 3, 29),
        (2026, 10, 25),
        (2026, 3, 8),
        (2026, 11, 1),
        (2026, 4, 5),
        (2026, 10, 4),
        (2017, 10, 15),
        (2018, 2, 18),
    ];
    (proptest::sample::select(days.to_vec()), -2_000_i64..2_000)
        .prop_map(|((year, month, day), minutes)| midnight(year, month, day) + minutes * MINUTE)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3_000, ..ProptestConfig::default() })]

    #[test]
    fn it_is_the_first_time_that_is_free_of_everything(
        zone in proptest::sample::select(ZONES.to_vec()),
        system in hours(),
        own in hours(),
        send_day in proptest::option::of(1_u8..=31),
        (year, month) in (2023_i16..=2032, 1_i8..=12),
        minutes in -3_000_i64..80_000,
    ) {
        let period = Period::new(year, month).unwrap();
        check(zone, system, own, send_day, period, midnight(year, month, 1) + minutes * MINUTE);
    }

    #[test]
    fn it_is_so_around_the_days_on_which_the_clocks_change(
        zone in proptest::sample::select(ZONES.to_vec()),
        system in hours(),
        own in hours(),
        now in changing(),
    ) {
        check(zone, system, own, None, Period::new(2026, 1).unwrap(), now);
    }

    #[test]
    fn the_last_days_of_february_and_of_short_months_are_found(
        zone in proptest::sample::select(ZONES.to_vec()),
        own in hours(),
        send_day in 28_u8..=31,
        (year, month) in (
            proptest::sample::select(vec![2023_i16, 2024, 2027, 2028, 2099, 2100, 2400]),
            proptest::sample::select(vec![1_i8, 2, 3, 5, 8, 10, 12]),
        ),
        minutes in 0_i64..60_000,
    ) {
        let period = Period::new(year, month).unwrap();
        check(zone, None, own, Some(send_day), period, midnight(year, month, 20) + minutes * MINUTE);
    }
}
