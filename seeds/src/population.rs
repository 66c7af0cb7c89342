//! The population: who there is, by index.

use std::fmt;

use jiff::civil::Date;
use jiff::tz::{Offset, TimeZone};
use sealpost_schemas::{Period, UserId};

use crate::offer::Offer;
use crate::scatter::Scatter;
use crate::shelf::Shelf;
use crate::subscriber::PlainSubscriber;
use crate::tripwire::Tripwire;
use crate::usage::Events;

/// What a population is drawn from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Seed(pub u64);

/// What is not drawn but chosen.
#[derive(Debug, Clone)]
pub struct Settings {
    /// What there is to subscribe to.
    pub offer: Offer,
    /// Events of a user in the period, on average; at most [`Settings::EVENTS_PER_USER_MAX`].
    pub events_per_user: u16,
    /// Users in a thousand who have withdrawn.
    pub withdrawn_per_mille: u16,
    /// Users in a thousand who have the application, and so a push token.
    pub push_per_mille: u16,
    /// Indices of users whose name and addresses are unique tokens, to be hunted by a test; see
    /// [`Population::tripwire_tokens`]. At most [`Settings::TRIPWIRES_MAX`].
    pub tripwires: Vec<u64>,
    /// The zone in which the period's months begin and end.
    pub time_zone: TimeZone,
}

impl Settings {
    /// The largest average of events.
    pub const EVENTS_PER_USER_MAX: u16 = 10_000;
    /// The most tripwire users.
    pub const TRIPWIRES_MAX: usize = 10_000;

    /// Ten events for each user, all of them active, a quarter with the application, no
    /// tripwires, Korean time.
    #[must_use]
    pub fn new(offer: Offer) -> Self {
        Self {
            offer,
            events_per_user: 10,
            withdrawn_per_mille: 0,
            push_per_mille: 250,
            tripwires: Vec::new(),
            // Asia/Seoul without the tables: no summer time since 1988
            time_zone: TimeZone::fixed(Offset::constant(9)),
        }
    }
}

/// Why there is no such population.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PopulationError {
    /// There are not enough phone numbers that are assigned to nobody.
    TooManyUsers,
    /// Nobody can subscribe to nothing.
    NoPlans,
    /// A setting is beyond its range; its name.
    Setting(&'static str),
    /// The month does not begin or end within the range of timestamps.
    Period,
}

impl fmt::Display for PopulationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooManyUsers => {
                write!(
                    f,
                    "a population has at most {} users",
                    Population::USERS_MAX
                )
            }
            Self::NoPlans => f.write_str("a population needs an offer with at least one plan"),
            Self::Setting(name) => write!(f, "the population's setting `{name}` is out of range"),
            Self::Period => f.write_str("the population's period is out of the range of time"),
        }
    }
}

impl std::error::Error for PopulationError {}

/// See the crate. Cheap to share between threads; holds nothing per user.
#[derive(Debug)]
pub struct Population {
    seed: Seed,
    users: u64,
    period: Period,
    settings: Settings,
    shelf: Shelf,
    month: Month,
    phones: Scatter,
    mailboxes: Scatter,
}

impl Population {
    /// The most users: there are so many numbers from 010-0000-0000 to 010-1999-9999, the part
    /// of `010` that Korea's numbering plan assigns to nobody.
    pub const USERS_MAX: u64 = 20_000_000;
    /// The user id of index 0; the others follow. Ten digits, and none of them reads like one of
    /// the phone numbers.
    pub const USER_ID_FIRST: u64 = 2_000_000_000;

    /// So many users for a period.
    ///
    /// # Errors
    /// [`PopulationError`] where a number is out of its range.
    pub fn new(
        seed: Seed,
        users: u64,
        period: Period,
        mut settings: Settings,
    ) -> Result<Self, PopulationError> {
        if users > Self::USERS_MAX {
            return Err(PopulationError::TooManyUsers);
        }
        if settings.events_per_user > Settings::EVENTS_PER_USER_MAX {
            return Err(PopulationError::Setting("events_per_user"));
        }
        if settings.withdrawn_per_mille > 1000 {
            return Err(PopulationError::Setting("withdrawn_per_mille"));
        }
        if settings.push_per_mille > 1000 {
            return Err(PopulationError::Setting("push_per_mille"));
        }
        settings.tripwires.sort_unstable();
        settings.tripwires.dedup();
        if settings.tripwires.len() > Settings::TRIPWIRES_MAX {
            return Err(PopulationError::Setting("tripwires"));
        }
        Ok(Self {
            shelf: Shelf::new(&settings.offer)?,
            month: Month::new(period, &settings.time_zone).ok_or(PopulationError::Period)?,
            phones: Scatter::new(seed, Self::USERS_MAX),
            // five digits of base 36
            mailboxes: Scatter::new(seed, 36_u64.pow(5)),
            seed,
            users,
            period,
            settings,
        })
    }

    /// How many users there are.
    #[must_use]
    pub const fn users(&self) -> u64 {
        self.users
    }

    /// The month of the usage.
    #[must_use]
    pub const fn period(&self) -> Period {
        self.period
    }

    /// The id of the user at an index.
    #[must_use]
    pub fn user_id(&self, index: u64) -> UserId {
        // two thousand million and twenty million are far below 2^63
        UserId::new(Self::USER_ID_FIRST.saturating_add(index)).unwrap_or(UserId::UNREADABLE)
    }

    /// The user at an index below [`Population::USERS_MAX`]. Beyond `users()` it is who would
    /// come next.
    #[must_use]
    pub fn subscriber(&self, index: u64) -> PlainSubscriber {
        PlainSubscriber::draw(self, index)
    }

    /// Every user, one after the other.
    pub fn subscribers(&self) -> impl Iterator<Item = PlainSubscriber> + '_ {
        (0..self.users).map(|index| self.subscriber(index))
    }

    /// What the user at an index used in the period. The users at an even index and the next one
    /// together have twice the average number of events, so that any even number of users has it
    /// exactly.
    #[must_use]
    pub fn usage(&self, index: u64) -> Events {
        Events::new(self, index)
    }

    /// What must not be found anywhere outside a sealed value: every form in which the name or an
    /// address of a tripwire user could be written, and nothing that masking leaves visible.
    #[must_use]
    pub fn tripwire_tokens(&self) -> Vec<String> {
        self.settings
            .tripwires
            .iter()
            .flat_map(|index| {
                let plain = self.subscriber(*index);
                Tripwire::of(self.seed, *index).tokens(&plain)
            })
            .collect()
    }

    pub(crate) const fn seed(&self) -> Seed {
        self.seed
    }

    pub(crate) const fn settings(&self) -> &Settings {
        &self.settings
    }

    pub(crate) const fn shelf(&self) -> &Shelf {
        &self.shelf
    }

    pub(crate) const fn month(&self) -> &Month {
        &self.month
    }

    pub(crate) fn is_tripwire(&self, index: u64) -> bool {
        self.settings.tripwires.binary_search(&index).is_ok()
    }

    /// Eight digits that no other user has.
    pub(crate) const fn phone_number(&self, index: u64) -> u64 {
        self.phones.place(index)
    }

    /// A number below 36^5 that no other user has.
    pub(crate) const fn mailbox_number(&self, index: u64) -> u64 {
        self.mailboxes.place(index)
    }
}

/// The period as time.
#[derive(Debug)]
pub(crate) struct Month {
    /// Its first second, since the epoch.
    pub(crate) start_s: i64,
    /// How many seconds it has: 28 to 31 days, an hour more or less where clocks are changed.
    pub(crate) length_s: u32,
    /// Its first day, counted from the epoch.
    pub(crate) first_day: i32,
    /// How many days it has.
    pub(crate) days: u32,
}

impl Month {
    fn new(period: Period, zone: &TimeZone) -> Option<Self> {
        let (first, last) = sealpost_schemas::record::Day::of_period(period);
        let begin = |period: Period| {
            let date = Date::new(period.year(), period.month(), 1).ok()?;
            Some(
                zone.to_zoned(date.at(0, 0, 0, 0))
                    .ok()?
                    .timestamp()
                    .as_second(),
            )
        };
        let start_s = begin(period)?;
        Some(Self {
            start_s,
            length_s: u32::try_from(begin(period.next())? - start_s)
                .ok()
                .filter(|s| *s > 0)?,
            first_day: first.0,
            days: u32::try_from(last.0 - first.0 + 1).ok()?,
        })
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

    #[test]
    fn a_month_ends_where_the_next_begins() {
        let period = Period::new(2026, 1).unwrap();
        let month = Month::new(period, &TimeZone::fixed(Offset::constant(9))).unwrap();
        assert_eq!(month.start_s, 1_767_193_200, "2025-12-31T15:00:00Z");
        assert_eq!((month.length_s, month.days), (31 * 86_400, 31));
        assert!(Month::new(Period::new(9999, 12).unwrap(), &TimeZone::UTC).is_none());
    }
}
