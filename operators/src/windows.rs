//! When a message may go: the user's send day and quiet hours, in the configured zone.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use sealpost_schemas::record::Windows;
use sealpost_schemas::{Period, Timestamp};

/// Whether windows are kept to.
#[derive(Debug, Clone)]
pub enum WindowRule {
    /// They are, in this zone.
    Keep(TimeZone),
    /// They are not: everything may go at once.
    Ignore,
}

impl WindowRule {
    /// The first time from `now` on at which a message of `period` may go; `now` itself if it may.
    ///
    /// The send day is a day of the month after the period; past that month's end it is the
    /// month's last day, and once it has come every later time will do. Quiet hours run from the
    /// beginning of `quiet_from` to the beginning of `quiet_to`, also across midnight; both the
    /// same means none.
    #[must_use]
    pub fn earliest(&self, windows: &Windows, period: Period, now: Timestamp) -> Timestamp {
        let Self::Keep(zone) = self else { return now };
        let mut at = now;
        if let Some(day) = windows.send_day {
            at = at.max(send_day_begins(day, period, zone).unwrap_or(now));
        }
        if let (Some(from), Some(to)) = (windows.quiet_from, windows.quiet_to) {
            at = after_quiet(from, to, at, zone).unwrap_or(at);
        }
        at
    }
}

fn send_day_begins(day: u8, period: Period, zone: &TimeZone) -> Option<Timestamp> {
    let month = period.next();
    let first = Date::new(month.year(), month.month(), 1).ok()?;
    let day = i8::try_from(day).ok()?.clamp(1, first.days_in_month());
    let date = Date::new(month.year(), month.month(), day).ok()?;
    Some(Timestamp(
        date.to_zoned(zone.clone())
            .ok()?
            .timestamp()
            .as_microsecond(),
    ))
}

fn after_quiet(from: u8, to: u8, at: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
    if from == to {
        return Some(at);
    }
    let local = jiff::Timestamp::from_microsecond(at.0)
        .ok()?
        .to_zoned(zone.clone());
    let hour = u8::try_from(local.hour()).ok()?;
    let quiet = if from < to {
        (from..to).contains(&hour)
    } else {
        hour >= from || hour < to
    };
    if !quiet {
        return Some(at);
    }
    // across midnight the end lies on the next day when the evening part has begun
    let date = if from > to && hour >= from {
        local.date().tomorrow().ok()?
    } else {
        local.date()
    };
    // an hour that the clocks skip begins where they land
    let end = date
        .at(i8::try_from(to).ok()?, 0, 0, 0)
        .to_zoned(zone.clone())
        .ok()?;
    Some(Timestamp(end.timestamp().as_microsecond()).max(at))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn check(windows: Windows, zone: &str, now: &str, expected: &str) {
        let rule = WindowRule::Keep(TimeZone::get(zone).unwrap());
        let at = |text: &str| Timestamp(text.parse::<jiff::Timestamp>().unwrap().as_microsecond());
        let period = Period::new(2026, 1).unwrap();
        assert_eq!(
            rule.earliest(&windows, period, at(now)),
            at(expected),
            "{windows:?} at {now}"
        );
    }

    fn quiet(from: u8, to: u8) -> Windows {
        Windows {
            quiet_from: Some(from),
            quiet_to: Some(to),
            send_day: None,
        }
    }

    fn day(day: u8) -> Windows {
        Windows {
            send_day: Some(day),
            ..Windows::default()
        }
    }

    #[test]
    fn quiet_hours_hold_until_their_end_also_across_midnight() {
        check(
            quiet(9, 12),
            "Asia/Seoul",
            "2026-02-03T10:30:00+09:00",
            "2026-02-03T12:00:00+09:00",
        );
        check(
            quiet(9, 12),
            "Asia/Seoul",
            "2026-02-03T12:00:00+09:00",
            "2026-02-03T12:00:00+09:00",
        );
        check(
            quiet(22, 7),
            "Asia/Seoul",
            "2026-02-03T23:15:00+09:00",
            "2026-02-04T07:00:00+09:00",
        );
        check(
            quiet(22, 7),
            "Asia/Seoul",
            "2026-02-04T03:15:00+09:00",
            "2026-02-04T07:00:00+09:00",
        );
        check(
            quiet(22, 7),
            "Asia/Seoul",
            "2026-02-04T21:59:59+09:00",
            "2026-02-04T21:59:59+09:00",
        );
        check(
            quiet(8, 8),
            "Asia/Seoul",
            "2026-02-04T08:30:00+09:00",
            "2026-02-04T08:30:00+09:00",
        );
    }

    #[test]
    fn a_send_day_past_the_months_end_is_its_last_day_and_one_that_is_past_is_now() {
        check(
            day(10),
            "Asia/Seoul",
            "2026-02-03T10:00:00+09:00",
            "2026-02-10T00:00:00+09:00",
        );
        check(
            day(31),
            "Asia/Seoul",
            "2026-02-03T10:00:00+09:00",
            "2026-02-28T00:00:00+09:00",
        );
        check(
            day(10),
            "Asia/Seoul",
            "2026-02-12T10:00:00+09:00",
            "2026-02-12T10:00:00+09:00",
        );
        check(
            day(10),
            "Asia/Seoul",
            "2026-05-12T10:00:00+09:00",
            "2026-05-12T10:00:00+09:00",
        );
    }

    #[test]
    fn a_send_day_that_begins_in_quiet_hours_waits_for_their_end() {
        let windows = Windows {
            send_day: Some(10),
            ..quiet(22, 7)
        };
        check(
            windows,
            "Asia/Seoul",
            "2026-02-03T10:00:00+09:00",
            "2026-02-10T07:00:00+09:00",
        );
    }

    #[test]
    fn an_hour_that_daylight_saving_skips_ends_where_the_clocks_land() {
        // in New York 2026-03-08 02:00 does not exist: the clocks go from 01:59:59 to 03:00
        check(
            quiet(0, 2),
            "America/New_York",
            "2026-03-08T01:30:00-05:00",
            "2026-03-08T03:00:00-04:00",
        );
        // and 2026-11-01 01:00 comes twice: the first one ends the quiet
        check(
            quiet(22, 1),
            "America/New_York",
            "2026-11-01T00:30:00-04:00",
            "2026-11-01T01:00:00-04:00",
        );
    }
}
