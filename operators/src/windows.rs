//! When a message may go: the user's send day, and quiet hours, the user's own and those of the
//! whole system, in the configured zone.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use sealpost_schemas::record::Windows;
use sealpost_schemas::{Period, Timestamp};

/// Ends of quiet hours that are gone through before it is taken for certain that no time is free
/// of both: a day has at most two, and no change of the clocks lasts longer than a day.
const ENDS_MAX: usize = 8;

/// Whether windows are kept to.
#[derive(Debug, Clone)]
pub enum WindowRule {
    /// They are, in this zone, and so are the quiet hours of the whole system, if it has any.
    Keep(TimeZone, Option<QuietHours>),
    /// They are not: everything may go at once.
    Ignore,
}

/// Hours of the day in which nothing goes: from the beginning of one to the beginning of another,
/// 0–23, also across midnight. There is always an hour that is not quiet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuietHours {
    from: u8,
    to: u8,
}

impl QuietHours {
    /// `None` when there are none: both hours are the same, or not of a day.
    #[must_use]
    pub fn new(from: u8, to: u8) -> Option<Self> {
        (from != to && from < 24 && to < 24).then_some(Self { from, to })
    }

    fn hold(self, hour: u8) -> bool {
        if self.from < self.to {
            (self.from..self.to).contains(&hour)
        } else {
            hour >= self.from || hour < self.to
        }
    }

    /// The first time from `at` on that is not quiet.
    fn end(self, at: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let local = jiff::Timestamp::from_microsecond(at.0)
            .ok()?
            .to_zoned(zone.clone());
        let hour = u8::try_from(local.hour()).ok()?;
        if !self.hold(hour) {
            return Some(at);
        }
        // across midnight the end lies on the next day when the evening part has begun
        let date = if self.from > self.to && hour >= self.from {
            local.date().tomorrow().ok()?
        } else {
            local.date()
        };
        // an hour that the clocks skip begins where they land
        let end = date
            .at(i8::try_from(self.to).ok()?, 0, 0, 0)
            .to_zoned(zone.clone())
            .ok()?;
        Some(Timestamp(end.timestamp().as_microsecond()).max(at))
    }
}

impl WindowRule {
    /// The first time from `from` on at which a message of `period` may go; `from` itself if it
    /// may.
    ///
    /// The send day is a day of the month after the period; past that month's end it is the
    /// month's last day, and once it has come every later time will do. Quiet hours run from the
    /// beginning of `quiet_from` to the beginning of `quiet_to`, also across midnight; both the
    /// same means none. What is quiet for the system or for the user is quiet; where the two
    /// leave no hour of the day, the user's own give way, since a bill has to arrive.
    #[must_use]
    pub fn earliest(&self, windows: &Windows, period: Period, from: Timestamp) -> Timestamp {
        let Self::Keep(zone, quiet_of_all) = self else {
            return from;
        };
        let mut at = from;
        if let Some(day) = windows.send_day {
            at = at.max(send_day_begins(day, period, zone).unwrap_or(from));
        }
        let own = windows
            .quiet_from
            .zip(windows.quiet_to)
            .and_then(|(from, to)| QuietHours::new(from, to));
        let after = |quiet: &Option<QuietHours>, at: Timestamp| {
            quiet.map_or(at, |quiet| quiet.end(at, zone).unwrap_or(at))
        };
        // the end of quiet hours may be quiet itself: for the other's sake, or because the clocks
        // skip the hour that was free
        let free = |own: &Option<QuietHours>| {
            let mut free = at;
            for _ in 0..ENDS_MAX {
                let next = after(own, after(quiet_of_all, free));
                if next == free {
                    return Some(free);
                }
                free = next;
            }
            None
        };
        free(&own).or_else(|| free(&None)).unwrap_or(at)
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn check(windows: Windows, zone: &str, now: &str, expected: &str) {
        check_with(None, windows, zone, now, expected);
    }

    fn check_with(
        system: Option<(u8, u8)>,
        windows: Windows,
        zone: &str,
        now: &str,
        expected: &str,
    ) {
        let system = system.map(|(from, to)| QuietHours::new(from, to).unwrap());
        let rule = WindowRule::Keep(TimeZone::get(zone).unwrap(), system);
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

    #[test]
    fn quiet_hours_of_the_system_and_of_the_user_are_both_kept() {
        // one ends within the other, which ends within the first one's next night
        check_with(
            Some((21, 8)),
            quiet(7, 10),
            "Asia/Seoul",
            "2026-02-03T23:00:00+09:00",
            "2026-02-04T10:00:00+09:00",
        );
        check_with(
            Some((9, 12)),
            quiet(22, 9),
            "Asia/Seoul",
            "2026-02-03T23:00:00+09:00",
            "2026-02-04T12:00:00+09:00",
        );
        check_with(
            Some((21, 8)),
            Windows::default(),
            "Asia/Seoul",
            "2026-02-03T07:59:59+09:00",
            "2026-02-03T08:00:00+09:00",
        );
        check_with(
            Some((21, 8)),
            day(10),
            "Asia/Seoul",
            "2026-02-03T12:00:00+09:00",
            "2026-02-10T08:00:00+09:00",
        );
    }

    #[test]
    fn where_no_hour_is_left_the_users_own_give_way() {
        check_with(
            Some((21, 8)),
            quiet(8, 21),
            "Asia/Seoul",
            "2026-02-03T12:00:00+09:00",
            "2026-02-03T12:00:00+09:00",
        );
        check_with(
            Some((21, 8)),
            quiet(7, 22),
            "Asia/Seoul",
            "2026-02-03T23:00:00+09:00",
            "2026-02-04T08:00:00+09:00",
        );
    }

    #[test]
    fn the_systems_only_hour_is_found_on_the_next_day_when_the_clocks_skip_it() {
        // the user's own leave nothing of it and give way
        check_with(
            Some((3, 2)),
            quiet(2, 15),
            "America/New_York",
            "2026-03-07T23:57:00-05:00",
            "2026-03-09T02:00:00-04:00",
        );
    }

    #[test]
    fn an_hour_that_a_day_leaves_out_is_found_on_the_next() {
        // only 02:00 to 03:00 is free, and on this day the clocks skip it
        check_with(
            Some((3, 14)),
            quiet(14, 2),
            "Europe/Berlin",
            "2026-03-29T01:30:00+01:00",
            "2026-03-30T02:00:00+02:00",
        );
    }
}
