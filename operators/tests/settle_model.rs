//! Settle against a sequential model: however its inputs are interleaved and wherever it
//! crashes, the statements are those that the cuts say, to the byte.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests"
)]

mod common;
#[path = "common/shard.rs"]
mod shard;

use std::collections::{BTreeMap, BTreeSet};

use common::{close_of, command, period, purchase, subscriber, usage, withdrawn, within};
use proptest::prelude::*;
use proptest::sample::Index;
use sealpost_operators::rating::{RatingInput, finish, rate};
use sealpost_operators::table::Source;
use sealpost_schemas::catalog::Catalog;
use sealpost_schemas::record::{
    Action, Reason, Statement, Subscriber, SubscriberStatus, Usage, UsageKind, UsageTotals,
};
use sealpost_schemas::{Period, Won, codec};
use shard::Shard;

const USERS: u64 = 5;
const MONTHS: [&str; 3] = ["2026-01", "2026-02", "2026-03"];

/// What is written, in the order in which it is written.
#[derive(Debug, Clone)]
enum Written {
    Usage(Usage),
    Row(Subscriber),
    Close(Period),
}

/// What the runtime does next.
#[derive(Debug, Clone, Copy)]
enum Move {
    Command,
    Usage,
    Row,
    Advance,
    Commit,
    Crash,
}

fn events() -> impl Strategy<Value = Usage> {
    (
        0..USERS,
        0..25_u32,
        0..MONTHS.len(),
        0..3_i64,
        any::<bool>(),
    )
        .prop_map(|(id, event, month, more, data)| {
            let (month, event) = (MONTHS[month], event.to_string());
            if data {
                usage(
                    id,
                    &event,
                    within(period(month)),
                    UsageKind::Data,
                    (1 + more) * 900_000_000,
                )
            } else {
                purchase(id, &event, month, 1 + more)
            }
        })
}

fn rows() -> impl Strategy<Value = Subscriber> {
    (0..USERS, 0..7).prop_map(|(id, what)| match what {
        0 => withdrawn(id),
        1 => subscriber(id, "PLN-900"),
        2 => subscriber(id, "PLN-001"),
        3 => Subscriber {
            welfare: Some("WLF-03".to_owned()),
            ..subscriber(id, "PLN-043")
        },
        _ => subscriber(id, "PLN-043"),
    })
}

fn written() -> impl Strategy<Value = Vec<Written>> {
    let one = prop_oneof![
        6 => events().prop_map(Written::Usage),
        3 => rows().prop_map(Written::Row),
        1 => (0..MONTHS.len()).prop_map(|month| Written::Close(period(MONTHS[month]))),
    ];
    proptest::collection::vec(one, 1..70)
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let one = prop_oneof![
        1 => Just(Move::Command),
        5 => Just(Move::Usage),
        4 => Just(Move::Row),
        3 => Just(Move::Advance),
        2 => Just(Move::Commit),
        1 => Just(Move::Crash),
    ];
    proptest::collection::vec(one, 0..200)
}

/// A settled period as the model keeps it.
struct Settled {
    row: Subscriber,
    usage: UsageTotals,
    billed: Won,
}

#[derive(Default)]
struct Person {
    row: Option<(u64, Subscriber)>,
    seen: BTreeMap<String, Usage>,
    open: BTreeMap<Period, (UsageTotals, Vec<(u64, String)>)>,
    settled: BTreeMap<Period, Settled>,
    late: BTreeSet<Period>,
    /// Late usage of a period without a statement came while the row that decides on it was on
    /// its way, too: either order is right.
    open_to_chance: bool,
}

/// The rules without any interleaving: everything before a cut, then the close, all at once.
#[derive(Default)]
struct Model {
    people: BTreeMap<u64, Person>,
    closed: BTreeSet<Period>,
    statements: BTreeMap<(u64, Period), Vec<u8>>,
    refused: BTreeSet<(u64, Source, u64, Reason)>,
}

impl Model {
    fn take(&mut self, offset: u64, usage: &Usage, month: Period) {
        let id = usage.user_id.get();
        let person = self.people.entry(id).or_default();
        if let Some(first) = person.seen.get(&usage.event_id) {
            if first != usage {
                self.refused
                    .insert((id, Source::Usage, offset, Reason::ConflictingEvent));
            }
            return;
        }
        if let Some(settled) = person.settled.get_mut(&month) {
            settled.usage = settled.usage.plus(usage.kind, usage.quantity).unwrap();
            person.late.insert(month);
        } else {
            if self.closed.contains(&month) {
                person.open_to_chance = true;
            }
            let (totals, events) = person.open.entry(month).or_default();
            *totals = totals.plus(usage.kind, usage.quantity).unwrap();
            events.push((offset, usage.event_id.clone()));
        }
        person.seen.insert(usage.event_id.clone(), usage.clone());
    }

    fn close(&mut self, month: Period) {
        self.closed.insert(month);
        for (id, person) in &mut self.people {
            if person.settled.contains_key(&month) {
                continue;
            }
            let active = person
                .row
                .as_ref()
                .is_some_and(|(_, row)| row.status == SubscriberStatus::Active);
            if !active {
                let reason = if person.row.is_some() {
                    Reason::Withdrawn
                } else {
                    Reason::UnknownSubscriber
                };
                for (offset, event) in person.open.remove(&month).unwrap_or_default().1 {
                    self.refused.insert((*id, Source::Usage, offset, reason));
                    person.seen.remove(&event);
                }
                continue;
            }
            let (offset, row) = person.row.clone().unwrap();
            if Catalog::built_in().plan(&row.plan).is_none() {
                self.refused
                    .insert((*id, Source::Subscribers, offset, Reason::UnknownPlan));
                continue;
            }
            let (totals, _) = person.open.remove(&month).unwrap_or_default();
            let mut lines = Vec::new();
            let own = rated(&row, totals, &mut lines);
            let mut adjustments = Vec::new();
            for source in std::mem::take(&mut person.late) {
                let settled = person.settled.get_mut(&source).unwrap();
                let again = rated(&settled.row, settled.usage, &mut Vec::new());
                adjustments.push((source, again.sub(settled.billed).unwrap()));
                settled.billed = again;
            }
            let finished = finish(own, &adjustments, Won::ZERO, &mut lines).unwrap();
            let close = close_of(month, 0, 0, Catalog::built_in().text());
            let statement = Statement {
                user_id: row.user_id,
                period: month,
                plan: row.plan.clone(),
                plan_name: Catalog::built_in().plan(&row.plan).unwrap().name.clone(),
                lines,
                total_won: finished.total_won,
                usage: totals,
                catalog_digest: close.catalog_digest,
                template_digest: close.template_digest,
                locale: row.locale,
                windows: row.windows,
                contacts: row.contacts.clone(),
            };
            self.statements
                .insert((*id, month), codec::encode(&statement).unwrap());
            person.settled.insert(
                month,
                Settled {
                    row,
                    usage: totals,
                    billed: own,
                },
            );
        }
    }
}

fn rated(
    row: &Subscriber,
    usage: UsageTotals,
    lines: &mut Vec<sealpost_schemas::record::Line>,
) -> Won {
    let input = RatingInput {
        plan: &row.plan,
        options: &row.options,
        contract: false,
        soldier: false,
        welfare: row.welfare.as_deref(),
        usage,
    };
    rate(&Catalog::built_in(), &input, lines).unwrap()
}

fn month_of(usage: &Usage) -> Period {
    MONTHS
        .iter()
        .map(|month| period(month))
        .find(|month| within(*month) == usage.occurred_at)
        .unwrap()
}

fn model_of(written: &[Written]) -> Model {
    let mut model = Model::default();
    let (mut usages, mut rows) = (0, 0);
    for one in written {
        match one {
            Written::Usage(usage) => {
                model.take(usages, usage, month_of(usage));
                usages += 1;
            }
            Written::Row(row) => {
                model.people.entry(row.user_id.get()).or_default().row = Some((rows, row.clone()));
                rows += 1;
            }
            Written::Close(month) => model.close(*month),
        }
    }
    model
}

/// Statements as bytes, and what was refused.
type Ran = (
    BTreeMap<(u64, Period), Vec<u8>>,
    BTreeSet<(u64, Source, u64, Reason)>,
);

/// Runs the shard through the moves, then to its end.
fn ran(written: &[Written], moves: &[Move], cut_off: i64) -> Result<Ran, TestCaseError> {
    let mut shard = Shard::with_portion(1);
    for one in written {
        match one.clone() {
            Written::Usage(usage) => shard.uses(usage),
            Written::Row(row) => shard.subscribes(row),
            Written::Close(month) => {
                let (usages, rows) = (shard.usage.len() as u64, shard.subscribers.len() as u64);
                let mut close = close_of(month, usages, rows, Catalog::built_in().text());
                close.usage_end -= cut_off.min(close.usage_end);
                shard.commands.push(command(
                    &format!("close-{}", shard.commands.len()),
                    Action::Close(close),
                ));
                &mut shard
            }
        };
    }
    for one in moves {
        match one {
            Move::Command => shard.read_commands(1),
            Move::Usage => {
                shard.read_usage();
            }
            Move::Row => {
                shard.read_subscriber();
            }
            Move::Advance => {
                shard.advance();
            }
            Move::Commit => shard.commit(),
            Move::Crash => shard.crash(),
        }
    }
    shard.run();
    let mut statements = BTreeMap::new();
    for statement in shard.statements() {
        let key = (statement.user_id.get(), statement.period);
        let sum: i64 = statement.lines.iter().map(|line| line.amount_won.0).sum();
        prop_assert_eq!(sum, statement.total_won.0, "the lines sum to the total");
        let before = statements.insert(key, codec::encode(statement).unwrap());
        prop_assert!(before.is_none(), "{:?} was settled twice", key);
    }
    let whose = |source, offset: u64| match source {
        Source::Usage => shard.usage[offset as usize].user_id.get(),
        _ => shard.subscribers[offset as usize].user_id.get(),
    };
    let refused = shard
        .refused()
        .iter()
        .map(|(source, at, why)| (whose(*source, *at), *source, *at, *why));
    let refused = refused.collect();
    Ok((statements, refused))
}

fn agrees(written: &[Written], moves: &[Move], cut_off: i64) -> Result<(), TestCaseError> {
    let model = model_of(written);
    let (mut statements, mut refused) = ran(written, moves, cut_off)?;
    let chance = |id: &u64| {
        model
            .people
            .get(id)
            .is_some_and(|person| person.open_to_chance)
    };
    statements.retain(|(id, _), _| !chance(id));
    refused.retain(|(id, ..)| !chance(id));
    let expected: BTreeMap<_, _> = model
        .statements
        .iter()
        .filter(|((id, _), _)| !chance(id))
        .collect();
    prop_assert_eq!(statements.iter().collect::<BTreeMap<_, _>>(), expected);
    let expected: BTreeSet<_> = model
        .refused
        .iter()
        .filter(|(id, ..)| !chance(id))
        .copied()
        .collect();
    prop_assert_eq!(refused, expected);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn statements_are_a_function_of_the_cuts_whatever_the_timing(written in written(), moves in moves()) {
        agrees(&written, &moves, 0)?;
    }

    /// Nobody is left out of the comparison here.
    #[test]
    fn with_everybody_known_before_the_first_close_nothing_is_left_to_chance(
        plans in proptest::collection::vec(0..2_u8, USERS as usize),
        events in proptest::collection::vec(events(), 1..50),
        closes in proptest::collection::vec((any::<Index>(), 0..MONTHS.len()), 1..5),
        moves in moves(),
    ) {
        let rows = plans.iter().enumerate().map(|(id, plan)| {
            Written::Row(subscriber(id as u64, if *plan == 0 { "PLN-001" } else { "PLN-043" }))
        });
        let mut written: Vec<_> = events.into_iter().map(Written::Usage).collect();
        for (place, month) in closes {
            let place = place.index(written.len() + 1);
            written.insert(place, Written::Close(period(MONTHS[month])));
        }
        let written: Vec<_> = rows.chain(written).collect();
        let model = model_of(&written);
        prop_assert!(model.people.values().all(|person| !person.open_to_chance));
        agrees(&written, &moves, 0)?;
    }
}

#[test]
fn canary_a_cut_that_is_off_by_one_event_is_found_out() {
    let written = [
        Written::Row(subscriber(1, "PLN-043")),
        Written::Usage(purchase(1, "a", "2026-01", 1)),
        Written::Close(period("2026-01")),
    ];
    assert!(agrees(&written, &[], 0).is_ok());
    assert!(agrees(&written, &[], 1).is_err());
}
