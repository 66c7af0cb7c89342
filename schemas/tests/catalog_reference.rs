//! The built-in catalogue says the same as the tables that it was made from, figure for figure.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests"
)]

use std::collections::BTreeMap;

use sealpost_schemas::Won;
use sealpost_schemas::catalog::{Catalog, DataAllowance, Megabytes};

const PLANS: &str = include_str!("../catalog/reference/plans.csv");
const OPTIONS: &str = include_str!("../catalog/reference/options.csv");
const INCLUDED_OPTIONS: &str = include_str!("../catalog/reference/included_options.csv");
const WELFARE: &str = include_str!("../catalog/reference/welfare.csv");

/// The rows of a table without quoted cells, each as its cells by column.
fn rows(table: &'static str) -> Vec<BTreeMap<&'static str, &'static str>> {
    assert!(
        !table.contains('"'),
        "a quoted cell needs a real CSV reader"
    );
    let mut lines = table.lines();
    let columns: Vec<&str> = lines.next().unwrap().split(',').collect();
    let row = |line: &'static str| {
        let cells: Vec<&str> = line.split(',').collect();
        assert_eq!(cells.len(), columns.len(), "{line}");
        columns.iter().copied().zip(cells).collect()
    };
    lines.map(row).collect()
}

/// Millionths of a decimal, by padding its text: not how the catalogue reads it.
fn millionths(decimal: &str) -> i64 {
    let (whole, fraction) = decimal.split_once('.').unwrap_or((decimal, ""));
    assert!(fraction.len() <= 6, "{decimal}");
    format!("{whole}{fraction:0<6}").parse().unwrap()
}

/// The number in a cell; an empty one holds none.
fn number<T: std::str::FromStr>(cell: &str) -> Option<T> {
    (!cell.is_empty()).then(|| cell.parse().ok().unwrap())
}

#[test]
fn the_plans_are_those_of_the_table() {
    let catalog = Catalog::built_in();
    let table = rows(PLANS);
    assert_eq!(table.len(), 59);
    assert_eq!(catalog.plans().len(), table.len());
    for row in table {
        let plan = catalog.plan(row["code"]).unwrap();
        assert_eq!(plan.name, row["name"], "{}", plan.code);
        assert_eq!(
            plan.network.as_deref(),
            Some(row["network"]),
            "{}",
            plan.code
        );
        assert_eq!(
            Some(plan.monthly_price_won),
            number(row["monthly_price_won"]).map(Won),
            "{}",
            plan.code
        );
        assert_eq!(
            plan.soldier_discount.to_string(),
            row["soldier_discount"],
            "{}",
            plan.code
        );
        assert_eq!(plan.note.as_deref(), Some(row["note"]), "{}", plan.code);
        let (kind, included, rate, ceiling) = match plan.data {
            DataAllowance::Unlimited => ("unlimited", Megabytes(0), None, None),
            DataAllowance::Blocked { included } => ("blocked", included, None, None),
            DataAllowance::Metered {
                included,
                rate,
                ceiling,
            } => ("metered", included, Some(rate), ceiling),
        };
        assert_eq!(kind, row["data"], "{}", plan.code);
        assert_eq!(
            Some(included),
            number(row["included_mb"]).map(Megabytes),
            "{}",
            plan.code
        );
        assert_eq!(
            ceiling,
            number(row["overage_ceiling_mb"]).map(Megabytes),
            "{}",
            plan.code
        );
        let cell = row["overage_won_per_mb"];
        let expected = (!cell.is_empty()).then(|| millionths(cell));
        assert_eq!(
            rate.map(|rate| rate.micro_won_per_mb()),
            expected,
            "{}",
            plan.code
        );
    }
}

#[test]
fn the_bundled_options_are_those_of_the_table() {
    let mut expected: Vec<(&str, &str)> = rows(INCLUDED_OPTIONS)
        .iter()
        .map(|row| (row["plan_code"], row["option_code"]))
        .collect();
    expected.sort_unstable();
    assert_eq!(expected.len(), 16);
    let catalog = Catalog::built_in();
    let bundled: Vec<(&str, &str)> = catalog
        .plans()
        .flat_map(|plan| {
            plan.bundled_options
                .iter()
                .map(|option| (plan.code.as_str(), option.as_str()))
        })
        .collect();
    assert_eq!(bundled, expected);
}

#[test]
fn the_options_are_those_of_the_table() {
    let catalog = Catalog::built_in();
    let table = rows(OPTIONS);
    assert_eq!(table.len(), 16);
    assert_eq!(catalog.options().len(), table.len());
    for row in table {
        let option = catalog.option(row["code"]).unwrap();
        assert_eq!(option.name, row["name"]);
        assert_eq!(
            Some(option.monthly_price_won),
            number(row["monthly_price_won"]).map(Won)
        );
    }
}

#[test]
fn the_welfare_classes_are_those_of_the_table() {
    let catalog = Catalog::built_in();
    let table = rows(WELFARE);
    assert_eq!(table.len(), 5);
    assert_eq!(catalog.welfare_classes().len(), table.len());
    for row in table {
        let class = catalog.welfare(row["code"]).unwrap();
        assert_eq!(class.name, row["name"]);
        assert_eq!(
            class.rate.parts_per_million(),
            millionths(row["rate"]),
            "{}",
            class.code
        );
        assert_eq!(
            class.cap_won,
            number(row["cap_won"]).map(Won),
            "{}",
            class.code
        );
    }
}

#[test]
fn the_built_in_catalogue_names_its_version() {
    assert_eq!(Catalog::built_in().version(), "2026-01");
}
