//! What must come out: the rules applied to what was written, one thing after the other, without
//! any timing. Everything before a close's cut, then the close, then what comes after.

use std::collections::{BTreeMap, BTreeSet};

use sealpost::stages::user_key;
use sealpost_schemas::record::UsageKind;
use sealpost_schemas::{Period, UserId};
use sealpost_topology::partitioner::shard_of;

use crate::marks::Mark;
use crate::scene::Scene;
use crate::tariff::Edition;
use crate::upstream::{Content, Plain, Row};

/// A close as it was written.
#[derive(Debug, Clone)]
pub struct Closed {
    /// Of which period.
    pub period: Period,
    /// By which catalogue.
    pub edition: Edition,
    /// The cut of `usage`, by shard.
    pub usage_end: Vec<u64>,
    /// The cut of `subscribers`, by shard.
    pub rows_end: Vec<u64>,
}

/// Everything that was written into one generation of topics, by shard, with its offsets.
#[derive(Debug)]
pub struct Generation {
    /// `usage`.
    pub usage: Vec<Vec<(u64, UserId, Content)>>,
    /// `subscribers`.
    pub rows: Vec<Vec<(u64, Row)>>,
    /// The closes, in order.
    pub closes: Vec<Closed>,
}

impl Generation {
    fn new(shards: usize) -> Self {
        Self {
            usage: vec![Vec::new(); shards],
            rows: vec![Vec::new(); shards],
            closes: Vec::new(),
        }
    }
}

/// Everything that was written into the pipeline: a generation is read to its end before the next
/// one begins.
#[derive(Debug)]
pub struct Written {
    /// The generations, the one in use last.
    pub generations: Vec<Generation>,
}

/// Where a record lies: generation, shard, offset.
pub type Place = (usize, usize, u64);

/// A statement that must be there.
#[derive(Debug, Clone)]
pub struct Due {
    /// What is to be paid; missing where two orders of what came late are both right.
    pub total: Option<i128>,
    /// Who they were at the cut.
    pub plain: Plain,
}

/// What must come out.
#[derive(Debug, Default)]
pub struct Expected {
    /// Every statement.
    pub statements: BTreeMap<(UserId, Period), Due>,
    /// Records of `usage` that must be refused, by where they were first written; of users whose
    /// outcome does not depend on timing.
    pub refused: BTreeSet<Place>,
    /// Users whose late usage met the row that decides on it.
    pub open_to_chance: BTreeSet<UserId>,
}

struct Settled {
    row: Row,
    edition: Edition,
    data: i128,
    content: i128,
    billed: i128,
}

#[derive(Default)]
struct Open {
    data: i128,
    content: i128,
    events: Vec<(Place, String)>,
}

#[derive(Default)]
struct Person {
    row: Option<Row>,
    seen: BTreeMap<String, sealpost_schemas::record::Usage>,
    open: BTreeMap<Period, Open>,
    settled: BTreeMap<Period, Settled>,
    late: BTreeSet<Period>,
    credit: i128,
    refused: BTreeSet<Place>,
    open_to_chance: bool,
}

impl Person {
    fn uses(
        &mut self,
        place: Place,
        usage: &sealpost_schemas::record::Usage,
        month: Period,
        is_closed: bool,
        scene: &Scene,
    ) {
        if let Some(first) = self.seen.get(&usage.event_id) {
            if first == usage {
                scene.reach(Mark::Duplicate);
            } else {
                scene.reach(Mark::Conflict);
                self.refused.insert(place);
            }
            return;
        }
        let quantity = i128::from(usage.quantity);
        let (data, content) = match usage.kind {
            UsageKind::Data => (quantity, 0),
            UsageKind::Content => (0, quantity),
            UsageKind::Voice | UsageKind::Sms => (0, 0),
        };
        if let Some(settled) = self.settled.get_mut(&month) {
            settled.data += data;
            settled.content += content;
            self.late.insert(month);
        } else {
            self.open_to_chance |= is_closed;
            let open = self.open.entry(month).or_default();
            open.data += data;
            open.content += content;
            open.events.push((place, usage.event_id.clone()));
        }
        self.seen.insert(usage.event_id.clone(), usage.clone());
    }

    /// What the close of a period bills, if it does.
    fn settle(&mut self, period: Period, edition: Edition, scene: &Scene) -> Option<(i128, Plain)> {
        if self.settled.contains_key(&period) {
            return None;
        }
        let Some(row) = self.row.clone().filter(|row| row.active) else {
            for (place, event) in self.open.remove(&period).unwrap_or_default().events {
                scene.reach(if self.row.is_some() {
                    Mark::Withdrawn
                } else {
                    Mark::UnknownSubscriber
                });
                self.refused.insert(place);
                self.seen.remove(&event);
            }
            return None;
        };
        let month = period.months();
        let (data, content) = self
            .open
            .get(&period)
            .map_or((0, 0), |open| (open.data, open.content));
        let own = edition.bill(&row, month, data, content)?;
        self.open.remove(&period);
        let mut total = own - self.credit;
        for source in std::mem::take(&mut self.late) {
            scene.reach(Mark::Late);
            if let Some(settled) = self.settled.get_mut(&source) {
                let again = settled.edition.bill(
                    &settled.row,
                    source.months(),
                    settled.data,
                    settled.content,
                )?;
                total += again - settled.billed;
                settled.billed = again;
            }
        }
        self.credit = (-total).max(0);
        let plain = row.plain.clone();
        let settled = Settled {
            row,
            edition,
            data,
            content,
            billed: own,
        };
        self.settled.insert(period, settled);
        Some((total.max(0), plain))
    }
}

/// Which month an event is in.
pub type MonthOf<'a> = &'a dyn Fn(sealpost_schemas::Timestamp) -> Option<Period>;

/// What the rules have come to so far.
#[derive(Default)]
struct Reckoning {
    people: BTreeMap<UserId, Person>,
    closed: BTreeSet<Period>,
    statements: BTreeMap<(UserId, Period), Due>,
}

impl Written {
    /// An empty one.
    #[must_use]
    pub fn new(shards: usize) -> Self {
        Self {
            generations: vec![Generation::new(shards)],
        }
    }

    /// From now on another number of shards is in use.
    pub fn moves_to(&mut self, shards: usize) {
        self.generations.push(Generation::new(shards));
    }

    /// The generation in use.
    pub fn now(&mut self) -> Option<&mut Generation> {
        self.generations.last_mut()
    }

    /// Applies the rules.
    #[must_use]
    pub fn expected(&self, month_of: MonthOf<'_>, scene: &Scene) -> Expected {
        let mut so_far = Reckoning::default();
        for (number, generation) in self.generations.iter().enumerate() {
            for shard in 0..generation.usage.len() {
                generation.shard((number, shard), month_of, scene, &mut so_far);
            }
            let closes = generation.closes.iter();
            so_far.closed.extend(closes.map(|close| close.period));
        }
        let mut expected = Expected {
            statements: so_far.statements,
            ..Expected::default()
        };
        for (user, person) in so_far.people {
            if person.open_to_chance {
                expected.open_to_chance.insert(user);
            } else {
                expected.refused.extend(person.refused);
            }
        }
        expected
    }
}

impl Generation {
    fn shard(
        &self,
        (generation, shard): (usize, usize),
        month_of: MonthOf<'_>,
        scene: &Scene,
        so_far: &mut Reckoning,
    ) {
        let (Some(usage), Some(rows)) = (self.usage.get(shard), self.rows.get(shard)) else {
            return;
        };
        let partitions = u32::try_from(self.usage.len()).unwrap_or(u32::MAX);
        let Reckoning {
            people, statements, ..
        } = so_far;
        let mut closed = so_far.closed.clone();
        let (mut usage, mut rows) = (usage.iter().peekable(), rows.iter().peekable());
        let end_of = |ends: &[u64]| ends.get(shard).copied().unwrap_or_default();
        let cuts = self
            .closes
            .iter()
            .map(|close| {
                (
                    end_of(&close.usage_end),
                    end_of(&close.rows_end),
                    Some(close),
                )
            })
            .chain([(u64::MAX, u64::MAX, None)]);
        for (usage_end, rows_end, close) in cuts {
            while let Some((_, row)) = rows.next_if(|(offset, _)| *offset < rows_end) {
                people.entry(row.user).or_default().row = Some(row.clone());
            }
            while let Some((offset, user, content)) =
                usage.next_if(|(offset, ..)| *offset < usage_end)
            {
                let place = (generation, shard, *offset);
                match content {
                    Content::Usage(usage) => {
                        let Some(month) = month_of(usage.occurred_at) else {
                            continue;
                        };
                        let is_closed = closed.contains(&month);
                        let person = people.entry(*user).or_default();
                        person.uses(place, usage, month, is_closed, scene);
                    }
                    Content::Junk => {
                        scene.reach(Mark::BadInput);
                        people.entry(*user).or_default().refused.insert(place);
                    }
                    Content::Row(_) => {}
                }
            }
            let Some(close) = close else { break };
            closed.insert(close.period);
            for (user, person) in people.iter_mut() {
                let key = user_key(*user);
                if shard_of(key.as_bytes(), partitions).0 as usize != shard {
                    continue;
                }
                let Some((total, plain)) = person.settle(close.period, close.edition, scene) else {
                    continue;
                };
                let total = (!person.open_to_chance).then_some(total);
                statements.insert((*user, close.period), Due { total, plain });
            }
        }
    }
}
