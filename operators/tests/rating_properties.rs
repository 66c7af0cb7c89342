//! Rating against a second computation: the rules transcribed over exact fractions, with the
//! figures taken from the reference tables and not from the catalogue.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests"
)]

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::{Add, Mul, Sub};

use proptest::prelude::*;
use sealpost_operators::rating::{RatingInput, finish, rate};
use sealpost_schemas::catalog::Catalog;
use sealpost_schemas::record::{Line, LineKind, UsageTotals};
use sealpost_schemas::{Period, Won};

/// A fraction of whole numbers, not shortened.
#[derive(Clone, Copy)]
struct Fraction {
    over: i128,
    under: i128,
}

impl Fraction {
    const fn whole(over: i128) -> Self {
        Self { over, under: 1 }
    }

    /// `0.2750` is 2750 ten-thousandths.
    fn decimal(text: &str) -> Self {
        let digits = text
            .chars()
            .filter(char::is_ascii_digit)
            .collect::<String>();
        let places = text.find('.').map_or(0, |point| text.len() - point - 1);
        Self {
            over: digits.parse().unwrap(),
            under: 10_i128.pow(places.try_into().unwrap()),
        }
    }

    fn floor(self) -> Self {
        Self::whole(self.over.div_euclid(self.under))
    }

    fn min(self, other: Self) -> Self {
        if self.over * other.under <= other.over * self.under {
            self
        } else {
            other
        }
    }

    fn max(self, other: Self) -> Self {
        if self.over * other.under >= other.over * self.under {
            self
        } else {
            other
        }
    }

    fn to_whole(self) -> i128 {
        assert_eq!(self.over % self.under, 0);
        self.over / self.under
    }
}

impl Add for Fraction {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        let under = self.under * other.under;
        Self {
            over: self.over * other.under + other.over * self.under,
            under,
        }
    }
}

impl Sub for Fraction {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        self + Self::whole(-1) * other
    }
}

impl Mul for Fraction {
    type Output = Self;
    fn mul(self, other: Self) -> Self {
        Self {
            over: self.over * other.over,
            under: self.under * other.under,
        }
    }
}

type Row = HashMap<&'static str, &'static str>;

/// The reference tables, each row by its code.
struct Reference {
    plans: BTreeMap<&'static str, Row>,
    options: BTreeMap<&'static str, Row>,
    welfare: BTreeMap<&'static str, Row>,
    bundled: BTreeSet<(&'static str, &'static str)>,
}

fn table(text: &'static str) -> Vec<Row> {
    let mut rows = text.lines().map(|line| line.split(','));
    let columns: Vec<&str> = rows.next().unwrap().collect();
    rows.map(|row| columns.iter().copied().zip(row).collect())
        .collect()
}

impl Reference {
    fn read() -> Self {
        let by_code = |text| {
            table(text)
                .into_iter()
                .map(|row| (row["code"], row))
                .collect()
        };
        Self {
            plans: by_code(include_str!("../../schemas/catalog/reference/plans.csv")),
            options: by_code(include_str!("../../schemas/catalog/reference/options.csv")),
            welfare: by_code(include_str!("../../schemas/catalog/reference/welfare.csv")),
            bundled: table(include_str!(
                "../../schemas/catalog/reference/included_options.csv"
            ))
            .iter()
            .map(|row| (row["plan_code"], row["option_code"]))
            .collect(),
        }
    }

    /// The amounts P, M, A, C, D1, D2, D3 of the rules.
    fn amounts(&self, case: &Case) -> [i128; 7] {
        let figure = |cell: &str| Fraction::decimal(cell);
        let zero = Fraction::whole(0);
        let plan = &self.plans[case.plan.as_str()];
        let p = figure(plan["monthly_price_won"]);
        let m = if plan["data"] == "metered" {
            let used = Fraction {
                over: case.usage.data_bytes.into(),
                under: 1_000_000,
            };
            let charged = match plan["overage_ceiling_mb"] {
                "" => used,
                ceiling => used.min(figure(ceiling)),
            };
            let billable = (charged - figure(plan["included_mb"])).max(zero);
            (figure(plan["overage_won_per_mb"]) * billable).floor()
        } else {
            zero
        };
        let a = case
            .options
            .iter()
            .map(String::as_str)
            .collect::<BTreeSet<&str>>()
            .into_iter()
            .filter(|option| !self.bundled.contains(&(plan["code"], *option)))
            .map(|option| figure(self.options[option]["monthly_price_won"]))
            .fold(zero, Add::add);
        let c = Fraction::whole(case.usage.content_won.into());
        let d1 = if case.contract {
            (p * figure("0.25")).floor()
        } else {
            zero
        };
        let d2 = if case.soldier && plan["soldier_discount"] == "true" {
            ((p - d1) * figure("0.20")).floor()
        } else {
            zero
        };
        let d3 = match &case.welfare {
            None => zero,
            Some(class) => {
                let class = &self.welfare[class.as_str()];
                let share = ((p - d1 - d2 + m) * figure(class["rate"])).floor();
                if class["cap_won"].is_empty() {
                    share
                } else {
                    share.min(figure(class["cap_won"]))
                }
            }
        };
        [p, m, a, c, d1, d2, d3].map(Fraction::to_whole)
    }
}

/// What is rated, owned.
#[derive(Debug, Clone)]
struct Case {
    plan: String,
    options: Vec<String>,
    contract: bool,
    soldier: bool,
    welfare: Option<String>,
    usage: UsageTotals,
}

impl Case {
    fn rate(&self) -> (i128, Vec<Line>) {
        let input = RatingInput {
            plan: &self.plan,
            options: &self.options,
            contract: self.contract,
            soldier: self.soldier,
            welfare: self.welfare.as_deref(),
            usage: self.usage,
        };
        let mut lines = Vec::new();
        let total = rate(&Catalog::built_in(), &input, &mut lines).unwrap();
        (total.0.into(), lines)
    }
}

fn sum_of(lines: &[Line], kind: LineKind) -> i128 {
    lines
        .iter()
        .filter(|line| line.kind == kind)
        .map(|line| i128::from(line.amount_won.0))
        .sum()
}

/// Holds everything that can be said of one case.
fn check(reference: &Reference, case: &Case) {
    let (total, lines) = case.rate();
    let [p, m, a, c, d1, d2, d3] = reference.amounts(case);
    let by_kind = [
        (LineKind::Plan, p),
        (LineKind::DataOverage, m),
        (LineKind::Option, a),
        (LineKind::Content, c),
        (LineKind::ContractDiscount, -d1),
        (LineKind::SoldierDiscount, -d2),
        (LineKind::WelfareDiscount, -d3),
    ];
    for (kind, expected) in by_kind {
        assert_eq!(sum_of(&lines, kind), expected, "{kind:?} of {case:?}");
    }
    assert_eq!(total, p + m + a + c - d1 - d2 - d3, "{case:?}");
    assert_eq!(
        total,
        lines
            .iter()
            .map(|line| i128::from(line.amount_won.0))
            .sum::<i128>()
    );
    assert!(total >= 0, "{case:?}");
    assert!(
        lines
            .iter()
            .all(|line| line.kind == LineKind::Plan || line.amount_won != Won::ZERO)
    );
    let order: Vec<(LineKind, Option<&str>)> = lines
        .iter()
        .map(|line| (line.kind, line.code.as_deref()))
        .collect();
    assert!(order.is_sorted_by(|one, next| one < next), "{order:?}");
}

fn codes(entries: &BTreeMap<&'static str, Row>) -> Vec<String> {
    entries.keys().map(|code| (*code).to_owned()).collect()
}

/// Amounts of data around everything that a plan could turn at.
fn turning_points(plan: &Row) -> Vec<i64> {
    let mut points = vec![0, 1, 999_999, 1_000_000, 1_000_000_000_000_000, i64::MAX];
    for column in ["included_mb", "overage_ceiling_mb"] {
        if let Ok(mb) = plan[column].parse::<i64>() {
            let bytes = mb * 1_000_000;
            points.extend([
                bytes - 1,
                bytes,
                bytes + 1,
                bytes + 3_636_363,
                bytes + 3_636_364,
            ]);
        }
    }
    points.retain(|bytes| *bytes >= 0);
    points
}

#[test]
fn every_plan_class_and_discount_agrees_with_the_transcribed_rules_at_every_turning_point() {
    let reference = Reference::read();
    let classes = std::iter::once(None).chain(codes(&reference.welfare).into_iter().map(Some));
    let classes: Vec<Option<String>> = classes.collect();
    let all_options = codes(&reference.options);
    let mut cases = 0;
    for (plan, row) in &reference.plans {
        for data_bytes in turning_points(row) {
            for welfare in &classes {
                for (contract, soldier) in
                    [(false, false), (true, false), (false, true), (true, true)]
                {
                    let plan = (*plan).to_owned();
                    let usage = UsageTotals {
                        data_bytes,
                        content_won: 990,
                        ..UsageTotals::default()
                    };
                    let welfare = welfare.clone();
                    let options = all_options.clone();
                    check(
                        &reference,
                        &Case {
                            plan,
                            options,
                            contract,
                            soldier,
                            welfare,
                            usage,
                        },
                    );
                    cases += 1;
                }
            }
        }
    }
    assert!(cases > 59 * 6 * 4 * 6, "{cases}");
}

/// A case of the reference tables: options in any order and number, data around the limits of
/// plans and far beyond.
fn case() -> impl Strategy<Value = Case> {
    let reference = Reference::read();
    let bytes = prop_oneof![
        0..4_000_000_000_i64,
        (0..4_000_i64, -2..=2_i64).prop_map(|(mb, off)| (mb * 1_000_000 + off).max(0)),
        0..=1_000_000_000_000_000_i64,
        0..=i64::MAX,
    ];
    let content = prop_oneof![Just(0), 0..100_000_i64, 0..=1_000_000_000_000_000_i64];
    (
        prop::sample::select(codes(&reference.plans)),
        prop::collection::vec(prop::sample::select(codes(&reference.options)), 0..8),
        any::<(bool, bool)>(),
        prop::option::of(prop::sample::select(codes(&reference.welfare))),
        (bytes, 0..=i64::MAX, 0..=i64::MAX, content),
    )
        .prop_map(|(plan, options, (contract, soldier), welfare, usage)| {
            let (data_bytes, voice_seconds, sms_messages, content_won) = usage;
            let usage = UsageTotals {
                data_bytes,
                voice_seconds,
                sms_messages,
                content_won,
            };
            Case {
                plan,
                options,
                contract,
                soldier,
                welfare,
                usage,
            }
        })
}

fn periods() -> impl Strategy<Value = Period> {
    (0..24_u32).prop_map(|months| Period::from_months(672 + months).unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn rating_agrees_with_the_transcribed_rules(case in case()) {
        check(&Reference::read(), &case);
    }

    #[test]
    fn more_usage_never_costs_less(case in case(), more in 0..=1_000_000_000_000_i64, in_content: bool) {
        let mut later = case.clone();
        let quantity = if in_content { &mut later.usage.content_won } else { &mut later.usage.data_bytes };
        *quantity = quantity.saturating_add(more);
        prop_assert!(later.rate().0 >= case.rate().0);
    }

    #[test]
    fn order_and_repeats_of_options_say_nothing(case in case(), turn in 0..8_usize) {
        let mut other = case.clone();
        let repeats = other.options.clone();
        other.options.extend(repeats);
        other.options.reverse();
        let steps = turn % other.options.len().max(1);
        other.options.rotate_left(steps);
        prop_assert_eq!(other.rate(), case.rate());
    }

    #[test]
    fn rating_again_gives_the_same_lines(case in case()) {
        prop_assert_eq!(case.rate(), case.rate());
    }

    #[test]
    fn an_end_balances(
        own in 0..=1_000_000_000_000_000_i64,
        adjustments in prop::collection::vec((periods(), -2_000_000_000_000_000..=2_000_000_000_000_000_i64), 0..6),
        brought_forward in 0..=1_000_000_000_000_000_i64,
    ) {
        let adjustments: Vec<(Period, Won)> =
            adjustments.into_iter().map(|(period, amount)| (period, Won(amount))).collect();
        let mut lines = Vec::new();
        let end = finish(Won(own), &adjustments, Won(brought_forward), &mut lines).unwrap();
        let added: i64 = lines.iter().map(|line| line.amount_won.0).sum();
        prop_assert_eq!(own + added, end.total_won.0);
        prop_assert!(end.total_won >= Won::ZERO && end.credit_won >= Won::ZERO);
        prop_assert!(end.total_won == Won::ZERO || end.credit_won == Won::ZERO);
        let adjusted: i64 = adjustments.iter().map(|(_, amount)| amount.0).sum();
        prop_assert_eq!(end.total_won.0 - end.credit_won.0, own + adjusted - brought_forward);
        prop_assert!(lines.iter().all(|line| line.amount_won != Won::ZERO));
        let order: Vec<(LineKind, Option<Period>)> =
            lines.iter().map(|line| (line.kind, line.source_period)).collect();
        prop_assert!(order.is_sorted_by(|one, next| one < next), "{:?}", order);
    }

    #[test]
    fn the_order_of_adjustments_says_nothing(
        mut adjustments in prop::collection::vec((periods(), -1_000_i64..1_000), 0..6),
    ) {
        let won = |list: &[(Period, i64)]| -> Vec<(Period, Won)> {
            list.iter().map(|(period, amount)| (*period, Won(*amount))).collect()
        };
        let end = |list: &[(Period, i64)]| {
            let mut lines = Vec::new();
            (finish(Won(100), &won(list), Won(10), &mut lines), lines)
        };
        let one = end(&adjustments);
        adjustments.reverse();
        prop_assert_eq!(end(&adjustments), one);
    }
}
