//! What a user used.

use sealpost_schemas::record::{Usage, UsageKind};
use sealpost_schemas::{Timestamp, UserId};

use crate::Population;
use crate::draw::{Draw, Stream, mix};
use crate::person::Person;

/// The usage of one user in the period, spread over the month, mostly in order of time.
pub struct Events {
    draw: Draw,
    user_id: UserId,
    /// `PERIOD-USER-`: with the number of the event it is unique among all events.
    event_id_prefix: String,
    start_s: i64,
    length_s: u64,
    bytes_per_event: u64,
    next: u32,
    count: u32,
}

/// Won of a purchase.
const CONTENT_WON: [i64; 11] = [
    500, 900, 1_100, 1_500, 2_500, 3_300, 4_400, 5_500, 7_700, 9_900, 11_000,
];

impl Events {
    pub(crate) fn new(population: &Population, index: u64) -> Self {
        let seed = population.seed();
        let mut who = Draw::new(seed, Stream::Person(index));
        let median_bytes = Person::draw(&mut who, population.shelf()).plan.median_bytes;
        let mut draw = Draw::new(seed, Stream::Usage(index));
        let average = u32::from(population.settings().events_per_user);
        let month_bytes = draw.skewed(median_bytes);
        let user_id = population.user_id(index);
        let month = population.month();
        Self {
            draw,
            user_id,
            event_id_prefix: format!("{}-{user_id}-", population.period()),
            start_s: month.start_s,
            length_s: u64::from(month.length_s),
            // six of ten events are data
            bytes_per_event: month_bytes.saturating_mul(10) / u64::from(average * 6).max(1),
            next: 0,
            count: Self::count(population, index, average),
        }
    }

    /// Around the average: what one of a pair of neighbours has more, the other has less.
    fn count(population: &Population, index: u64, average: u32) -> u32 {
        let drawn = mix(population.seed(), !(index / 2));
        let spread = u64::from(average) + 1;
        // the product of two uniform numbers: small differences are common, and now and then
        // one of the pair has used nothing at all
        let (first, second) = (
            ((drawn & 0xffff_ffff) * spread) >> 32,
            ((drawn >> 32) * spread) >> 32,
        );
        let difference = match drawn % 64 {
            0 => average,
            _ => u32::try_from(first * second / spread).unwrap_or(0),
        };
        if index.is_multiple_of(2) {
            average + difference
        } else {
            average - difference
        }
    }

    fn second(&mut self, number: u32) -> i64 {
        // one slot of the month for each event
        let place = u64::from(self.draw.below(1 << 20)) + (u64::from(number) << 20);
        let second = ((self.length_s * place) / u64::from(self.count)) >> 20;
        // few are awake before six: most of that moves to the afternoon of the same day
        let night = second % 86_400 < 6 * 3_600 && second + 43_200 < self.length_s;
        let second = if night && self.draw.below(4) > 0 {
            second + 43_200
        } else {
            second
        };
        self.start_s + second.cast_signed()
    }

    fn quantity(&mut self, kind: UsageKind) -> i64 {
        match kind {
            UsageKind::Data => {
                let bytes = u128::from(self.bytes_per_event)
                    * u128::from(512 + self.draw.below(1024))
                    / 1024;
                i64::try_from(bytes)
                    .unwrap_or(i64::MAX)
                    .min(Usage::QUANTITY_MAX)
            }
            // most calls are short, some take an hour
            UsageKind::Voice => {
                let longest = 30_u32 << self.draw.below(8);
                i64::from(1 + self.draw.below(longest))
            }
            UsageKind::Sms => i64::from(1 + self.draw.below(3)),
            UsageKind::Content => self.draw.pick(&CONTENT_WON).copied().unwrap_or(500),
        }
    }
}

impl Iterator for Events {
    type Item = Usage;

    fn next(&mut self) -> Option<Usage> {
        if self.next == self.count {
            return None;
        }
        let number = self.next;
        self.next += 1;
        let occurred_s = self.second(number);
        let kind = match self.draw.below(100) {
            0..60 => UsageKind::Data,
            60..81 => UsageKind::Voice,
            81..95 => UsageKind::Sms,
            _ => UsageKind::Content,
        };
        let quantity = self.quantity(kind);
        let mut event_id = String::with_capacity(self.event_id_prefix.len() + 5);
        event_id.push_str(&self.event_id_prefix);
        push_decimal(&mut event_id, number + 1);
        Some(Usage {
            user_id: self.user_id,
            event_id,
            occurred_at: Timestamp::from_ms(occurred_s * 1_000),
            kind,
            quantity,
        })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let rest = (self.count - self.next) as usize;
        (rest, Some(rest))
    }
}

impl ExactSizeIterator for Events {}

/// Appends a number in decimal, without the detour through formatting.
fn push_decimal(text: &mut String, number: u32) {
    if number >= 10 {
        push_decimal(text, number / 10);
    }
    text.push(char::from(b'0' + (number % 10) as u8));
}
