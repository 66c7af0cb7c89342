//! Upstream: who the subscribers are, what they use, and what of it is written when.
//!
//! Everybody's personal values carry marks that survive no mask, so that one search finds a leak
//! of anybody's.

use sealpost_operators::mask::{mask_email, mask_phone};
use sealpost_schemas::canonical::{canonical_email, canonical_phone};
use sealpost_schemas::key_ring::KeyRing;
use sealpost_schemas::record::{
    Contacts, Day, Destination, Interval, Locale, Subscriber, SubscriberStatus, Usage, UsageKind,
    Windows,
};
use sealpost_schemas::sealed::Purpose;
use sealpost_schemas::{Channel, Period, Timestamp, UserId, codec};

use crate::draw::Draw;
use crate::plan::Fault;
use crate::scene::Scene;
use crate::tariff::{OPTIONS, PLANS, WELFARE};

/// In nobody's masked e-mail address.
const EMAIL_MARK: &str = "trpwr";
/// In nobody's masked name.
const NAME_MARK: &str = "쀍뀶";
/// In nobody's masked phone number, as it is written and as it is called.
const PHONE_MARKS: [&str; 2] = ["10-7319-00", "10731900"];

/// What of somebody's personal values is in some bytes, in a word.
#[must_use]
pub fn personal_in(bytes: &[u8]) -> Option<&'static str> {
    let has = |mark: &str| memchr::memmem::find(bytes, mark.as_bytes()).is_some();
    if has(EMAIL_MARK) {
        Some("an e-mail address")
    } else if has(NAME_MARK) {
        Some("a name")
    } else if PHONE_MARKS.into_iter().any(|mark| {
        // digits occur in digests, too: only a whole number counts
        memchr::memmem::find_iter(bytes, mark.as_bytes()).any(|at| {
            bytes
                .get(at + mark.len()..at + mark.len() + 2)
                .is_some_and(|rest| rest.iter().all(u8::is_ascii_digit))
        })
    }) {
        Some("a phone number")
    } else {
        None
    }
}

/// Somebody in the clear.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plain {
    name: String,
    /// The address of e-mails, in canonical form.
    pub email: Option<String>,
    /// The number for text messages and KakaoTalk, in canonical form.
    pub phone: Option<String>,
}

impl Plain {
    /// Where a channel reaches them.
    #[must_use]
    pub fn address(&self, channel: Channel) -> Option<&str> {
        match channel {
            Channel::Email => self.email.as_deref(),
            Channel::Sms | Channel::Kakao => self.phone.as_deref(),
            Channel::Push => None,
        }
    }
}

/// Months in which something holds, from and to, both included.
pub type Months = Option<(u32, u32)>;

/// A subscriber's row as upstream means it.
#[derive(Debug, Clone)]
pub struct Row {
    /// Whose.
    pub user: UserId,
    /// Whether they are billed.
    pub active: bool,
    /// Code of the plan.
    pub plan: String,
    /// Codes of the options.
    pub options: Vec<String>,
    /// Months with a contract.
    pub contract: Months,
    /// Months in military service.
    pub soldier: Months,
    /// Code of the welfare class.
    pub welfare: Option<String>,
    /// Who they are.
    pub plain: Plain,
}

/// What a record means.
#[derive(Debug, Clone)]
pub enum Content {
    /// Something was used.
    Usage(Usage),
    /// A row.
    Row(Box<Row>),
    /// Nothing that can be read, on `usage`.
    Junk,
}

impl std::fmt::Display for Content {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Usage(usage) => write!(
                f,
                "{} of {}: {:?} {} at {}",
                usage.event_id, usage.user_id, usage.kind, usage.quantity, usage.occurred_at
            ),
            Self::Row(row) => write!(
                f,
                "a row of {}: {}, {}",
                row.user,
                row.plan,
                if row.active { "active" } else { "withdrawn" }
            ),
            Self::Junk => f.write_str("junk"),
        }
    }
}

/// A record on its way to the log.
#[derive(Debug, Clone)]
pub struct Record {
    /// Whose.
    pub user: UserId,
    /// What it means.
    pub content: Content,
    /// Its bytes.
    pub value: Vec<u8>,
}

/// See the module.
pub struct Upstream {
    draw: Draw,
    events: u64,
    changes: u64,
    written: Vec<Record>,
    zone: jiff::tz::TimeZone,
}

impl Upstream {
    /// Upstream of a seed.
    #[must_use]
    pub fn new(seed: u64, zone: jiff::tz::TimeZone) -> Self {
        Self {
            draw: Draw::of(seed, "upstream"),
            events: 0,
            changes: 0,
            written: Vec::new(),
            zone,
        }
    }

    fn plain(&mut self, user: UserId) -> Plain {
        self.changes += 1;
        let change = self.changes % 100;
        let last = *self.draw.pick(&['가', '나', '다']);
        let has_email = !self.draw.one_in(4);
        let has_phone = !self.draw.one_in(4);
        let email = has_email.then(|| format!("zq{user}v{change}{EMAIL_MARK}@Example.com"));
        let phone = has_phone.then(|| format!("010-7319-00{change:02}"));
        Plain {
            name: format!("김{NAME_MARK}{last}"),
            email: email.and_then(|email| canonical_email(&email).ok()),
            phone: phone.and_then(|phone| canonical_phone(&phone).ok()),
        }
    }

    fn months(&mut self, around: Period) -> Months {
        let month = around.months();
        match self.draw.below(4) {
            0 | 1 => None,
            2 => Some((month - 2, month + self.draw.below(3) as u32)),
            _ => Some((month + 1, month + 4)),
        }
    }

    /// A row of a user: their first, or one that replaces it.
    pub fn row(&mut self, scene: &Scene, ring: &KeyRing, user: UserId, first: Period) -> Record {
        let withdrawn = self.draw.one_in(8);
        let unknown_plan = scene.has(Fault::BadInput) && self.draw.one_in(8);
        let plan = self.draw.pick(PLANS).code.to_owned();
        let mut options: Vec<String> = OPTIONS
            .iter()
            .filter(|_| self.draw.one_in(3))
            .map(|option| option.code.to_owned())
            .collect();
        options.sort_unstable();
        let welfare = self
            .draw
            .one_in(2)
            .then(|| self.draw.pick(WELFARE).code.to_owned());
        let row = Row {
            user,
            active: !withdrawn,
            plan: if unknown_plan {
                "PLN-999".to_owned()
            } else {
                plan
            },
            options,
            contract: self.months(first),
            soldier: self.months(first),
            welfare,
            plain: self.plain(user),
        };
        let windows = if scene.plan.has(Fault::Windows) {
            Windows {
                quiet_from: Some(self.draw.below(24) as u8),
                quiet_to: Some(self.draw.below(24) as u8),
                send_day: self.draw.one_in(2).then(|| 1 + self.draw.below(31) as u8),
            }
        } else {
            Windows::default()
        };
        let locale = *self.draw.pick(&[Locale::Ko, Locale::En]);
        let value = codec::encode(&sealed(ring, &row, windows, locale)).unwrap_or_default();
        let record = Record {
            user,
            content: Content::Row(Box::new(row)),
            value,
        };
        self.written.push(record.clone());
        record
    }

    /// Something that a user did in a period.
    pub fn usage(&mut self, scene: &Scene, user: UserId, period: Period) -> Record {
        if scene.has(Fault::BadInput) && self.draw.one_in(12) {
            let mut value = vec![0; 1 + self.draw.place(24)];
            self.draw.fill(&mut value);
            return Record {
                user,
                content: Content::Junk,
                value,
            };
        }
        self.events += 1;
        // ids are short, so that a bad producer uses one for two events
        let id = if scene.has(Fault::BadInput) && self.draw.one_in(6) {
            self.draw.below(self.events)
        } else {
            self.events
        };
        let (kind, quantity) = match self.draw.below(4) {
            0 => (UsageKind::Content, self.draw.within(0, 50_000)),
            1 => (UsageKind::Voice, self.draw.within(0, 7_200)),
            2 => (UsageKind::Sms, 1),
            _ => (UsageKind::Data, self.draw.within(0, 4_000_000_000)),
        };
        let usage = Usage {
            user_id: user,
            event_id: format!("e{id}"),
            occurred_at: self.moment_in(period),
            kind,
            quantity,
        };
        let record = Record {
            user,
            value: codec::encode(&usage).unwrap_or_default(),
            content: Content::Usage(usage),
        };
        self.written.push(record.clone());
        record
    }

    /// Something that was written before, once more.
    pub fn repeat(&mut self) -> Option<Record> {
        if self.written.is_empty() {
            return None;
        }
        let usages: Vec<_> = self
            .written
            .iter()
            .filter(|record| matches!(record.content, Content::Usage(_)))
            .collect();
        (!usages.is_empty()).then(|| (*self.draw.pick(&usages)).clone())
    }

    /// The first or the last moment of a month, or one between.
    fn moment_in(&mut self, period: Period) -> Timestamp {
        let begin = |period: Period| {
            jiff::civil::date(period.year(), period.month(), 1)
                .to_zoned(self.zone.clone())
                .map(|begin| begin.timestamp().as_microsecond())
                .unwrap_or_default()
        };
        let (from, to) = (begin(period), begin(period.next()));
        Timestamp(match self.draw.below(6) {
            0 => from,
            1 => to - 1,
            _ => self.draw.within(from, to),
        })
    }
}

fn interval(months: Months) -> Interval {
    let day = |month: u32, day: i8| {
        let period = Period::from_months(month).ok()?;
        let date = jiff::civil::date(period.year(), period.month(), day);
        Some(Day::from_date(date))
    };
    months.map_or_else(Interval::default, |(from, to)| Interval {
        start: day(from, 15),
        end: day(to, 15),
    })
}

fn sealed(ring: &KeyRing, row: &Row, windows: Windows, locale: Locale) -> Subscriber {
    let user = row.user;
    let seal = |purpose, text: &str| ring.seal(purpose, user, text.as_bytes()).ok();
    let destinations = Channel::ALL
        .into_iter()
        .filter_map(|channel| {
            let address = row.plain.address(channel)?;
            Some(Destination {
                channel,
                address: seal(Purpose::destination(channel), address)?,
                token: ring.token(channel, address).ok()?,
            })
        })
        .collect();
    let contacts = Contacts {
        name: seal(Purpose::ProfileName, &row.plain.name),
        masked_email: row
            .plain
            .email
            .as_deref()
            .and_then(|email| seal(Purpose::ProfileEmail, &mask_email(email))),
        masked_phone: row
            .plain
            .phone
            .as_deref()
            .and_then(|phone| seal(Purpose::ProfilePhone, &mask_phone(phone))),
        destinations,
    };
    Subscriber {
        user_id: user,
        status: if row.active {
            SubscriberStatus::Active
        } else {
            SubscriberStatus::Withdrawn
        },
        plan: row.plan.clone(),
        options: row.options.clone(),
        contract: interval(row.contract),
        welfare: row.welfare.clone(),
        soldier: interval(row.soldier),
        windows,
        locale,
        contacts,
    }
}
