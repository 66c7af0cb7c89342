//! A subscriber in the clear: the one place where a synthetic person's data is not sealed.

use std::fmt;

use sealpost_schemas::UserId;
use sealpost_schemas::record::{Day, Interval, Locale, SubscriberStatus, Windows};

use crate::draw::{Draw, Stream};
use crate::names::{self, Name};
use crate::person::{Age, Person, Service};
use crate::population::Month;
use crate::tripwire::Tripwire;
use crate::{Offer, Population};

/// A subscriber as an operator's own system would hand it over. `Debug` shows no more than the
/// user id: tripwires must not trip over it.
#[derive(Clone, PartialEq, Eq)]
pub struct PlainSubscriber {
    /// Who.
    pub user_id: UserId,
    /// Active, unless withdrawn users were asked for.
    pub status: SubscriberStatus,
    /// The whole name.
    pub name: String,
    /// An address in a domain reserved for examples; no other user has it.
    pub email: String,
    /// `010-0xxx-xxxx` or `010-1xxx-xxxx`; no other user has it.
    pub phone: String,
    /// Identifies an installed application; no other user has it.
    pub push_token: Option<String>,
    /// Code of the plan.
    pub plan: String,
    /// Codes of up to four options, sorted, each once.
    pub options: Vec<String>,
    /// The contract.
    pub contract: Interval,
    /// Code of the welfare class.
    pub welfare: Option<String>,
    /// The military service.
    pub soldier: Interval,
    /// When to reach them.
    pub windows: Windows,
    /// English for residents from abroad.
    pub locale: Locale,
}

impl fmt::Debug for PlainSubscriber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PlainSubscriber")
            .field("user_id", &self.user_id)
            .finish_non_exhaustive()
    }
}

impl PlainSubscriber {
    pub(crate) fn draw(population: &Population, index: u64) -> Self {
        let mut draw = Draw::new(population.seed(), Stream::Person(index));
        let person = Person::draw(&mut draw, population.shelf());
        let settings = population.settings();
        let month = population.month();
        let name = if person.foreign {
            names::foreign(&mut draw)
        } else {
            names::korean(&mut draw)
        };
        let tripwire = population
            .is_tripwire(index)
            .then(|| Tripwire::of(population.seed(), index));
        let contract = contract(&mut draw, month);
        let soldier = soldier(&mut draw, month, person.service);
        let options = options(&mut draw, &settings.offer, person.age);
        let windows = windows(&mut draw);
        let status = if draw.per_mille(settings.withdrawn_per_mille) {
            SubscriberStatus::Withdrawn
        } else {
            SubscriberStatus::Active
        };
        // a tripwire always has one: it is to be hunted too
        let has_push = draw.per_mille(settings.push_per_mille) || tripwire.is_some();
        let mailbox = population.mailbox_number(index);
        let local_part = tripwire.as_ref().map_or_else(
            || local_part(&mut draw, &name, mailbox),
            Tripwire::local_part,
        );
        let domain = domain(&mut draw);
        Self {
            user_id: population.user_id(index),
            status,
            email: [&local_part, "@", domain].concat(),
            phone: phone(population.phone_number(index)),
            push_token: has_push.then(|| {
                tripwire.as_ref().map_or_else(
                    || format!("app-{:08x}{mailbox:08x}", draw.below(u32::MAX)),
                    Tripwire::push_token,
                )
            }),
            name: tripwire.as_ref().map_or(name.full, Tripwire::name),
            plan: person.plan.code.clone(),
            options,
            contract,
            welfare: person.welfare.map(|class| class.code.clone()),
            soldier,
            windows,
            locale: if person.foreign {
                Locale::En
            } else {
                Locale::Ko
            },
        }
    }
}

fn phone(number: u64) -> String {
    format!("010-{:04}-{:04}", number / 10_000, number % 10_000)
}

fn local_part(draw: &mut Draw, name: &Name, mailbox: u64) -> String {
    let between = draw.pick(&[".", "", "_", "-"]).copied().unwrap_or(".");
    let mut local = String::with_capacity(32);
    if draw.per_mille(700) {
        local.extend([&name.given_latin, between, &name.family_latin]);
    } else {
        local.extend([&name.family_latin, between, &name.given_latin]);
    }
    // five digits of base 36 make it unique: `.` sets them off, because a name may end in letters
    local.push('.');
    let digits = b"0123456789abcdefghijklmnopqrstuvwxyz";
    for place in (0..5).rev() {
        let digit = mailbox / 36_u64.pow(place) % 36;
        local.push(digits.get(digit as usize).copied().map_or('0', char::from));
    }
    local
}

/// Domains that RFC 2606 reserves: no mail ever arrives there.
fn domain(draw: &mut Draw) -> &'static str {
    match draw.below(100) {
        0..40 => "example.com",
        40..65 => "example.net",
        65..85 => "example.org",
        85..95 => "mail.example.com",
        _ => "post.example.net",
    }
}

/// A term of one or two years.
fn term_days(draw: &mut Draw) -> u32 {
    if draw.per_mille(600) { 730 } else { 365 }
}

/// From a day, counted from the first of the period, for so many days.
fn interval(month: &Month, start: i64, days: u32) -> Interval {
    let day = |offset: i64| {
        i32::try_from(offset + i64::from(month.first_day))
            .ok()
            .map(Day)
    };
    Interval {
        start: day(start),
        end: day(start + i64::from(days) - 1),
    }
}

/// An interval of so many days that includes the whole period.
fn covering(draw: &mut Draw, month: &Month, days: u32) -> Interval {
    let before = draw.below(days.saturating_sub(month.days) + 1);
    interval(month, -i64::from(before), days)
}

/// One that begins within the period, but not on its first day.
fn beginning(draw: &mut Draw, month: &Month, days: u32) -> Interval {
    interval(month, 1 + i64::from(draw.below(month.days - 1)), days)
}

/// One that ends within the period, but not on its last day.
fn ending(draw: &mut Draw, month: &Month, days: u32) -> Interval {
    interval(
        month,
        1 + i64::from(draw.below(month.days - 1)) - i64::from(days),
        days,
    )
}

/// One that ended before the period, up to three years ago.
fn past(draw: &mut Draw, month: &Month, days: u32) -> Interval {
    interval(month, -i64::from(draw.below(1_000)) - i64::from(days), days)
}

fn contract(draw: &mut Draw, month: &Month) -> Interval {
    let days = term_days(draw);
    match draw.below(100) {
        0..46 => covering(draw, month, days),
        46..60 => Interval {
            end: None,
            ..covering(draw, month, days)
        },
        60..65 => beginning(draw, month, days),
        65..70 => ending(draw, month, days),
        70..83 => past(draw, month, days),
        _ => Interval::default(),
    }
}

/// Service takes a year and a half.
const SERVICE_DAYS: u32 = 548;

fn soldier(draw: &mut Draw, month: &Month, service: Service) -> Interval {
    match service {
        Service::None => Interval::default(),
        Service::Serving => covering(draw, month, SERVICE_DAYS),
        Service::Changing if draw.per_mille(500) => beginning(draw, month, SERVICE_DAYS),
        Service::Changing => ending(draw, month, SERVICE_DAYS),
        Service::Served => past(draw, month, SERVICE_DAYS),
    }
}

fn options(draw: &mut Draw, offer: &Offer, age: Age) -> Vec<String> {
    let chance = draw.below(100);
    let wanted = match (age, chance) {
        (Age::Child | Age::Senior, 0..75) | (_, 0..45) => 0,
        (_, 45..73) => 1,
        (_, 73..87) => 2,
        (_, 87..95) => 3,
        _ => 4,
    };
    let mut codes = Vec::with_capacity(wanted);
    for _ in 0..wanted {
        // the smaller of two: what stands first in the offer is taken more often
        let count = u32::try_from(offer.options.len()).unwrap_or(u32::MAX);
        let place = draw.below(count).min(draw.below(count));
        if let Some(code) = offer.options.get(place as usize) {
            codes.push(code.clone());
        }
    }
    codes.sort_unstable();
    codes.dedup();
    codes
}

/// Quiet hours that people choose: at night, mostly across midnight, or at noon.
const QUIET: [(u8, u8); 7] = [(22, 7), (21, 8), (23, 6), (22, 8), (0, 7), (1, 9), (12, 13)];
/// Days by which people like to have their bill.
const SEND_DAYS: [u8; 5] = [5, 10, 15, 20, 25];

fn windows(draw: &mut Draw) -> Windows {
    let quiet = if draw.per_mille(200) {
        draw.pick(&QUIET).copied()
    } else {
        None
    };
    let send_day = if draw.per_mille(300) {
        match draw.below(100) {
            0..45 => draw.pick(&SEND_DAYS).copied(),
            // the ends of months, which not every month has
            45..60 => draw.pick(&[29, 30, 31]).copied(),
            _ => Some(1 + draw.below(31) as u8),
        }
    } else {
        None
    };
    Windows {
        quiet_from: quiet.map(|hours| hours.0),
        quiet_to: quiet.map(|hours| hours.1),
        send_day,
    }
}
