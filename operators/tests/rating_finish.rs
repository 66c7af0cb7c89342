//! How a statement ends: adjustments, credit brought forward, credit carried forward.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests"
)]

use sealpost_operators::rating::{RatingError, finish};
use sealpost_schemas::record::LineKind;
use sealpost_schemas::{Period, Won};

/// A period of 2026.
fn month(month: i8) -> Period {
    Period::new(2026, month).unwrap()
}

/// Kind, source and amount of a line.
type Shown = (LineKind, Option<Period>, i64);

/// Finishes; gives total, credit and the added lines.
fn finished(
    own: i64,
    adjustments: &[(Period, Won)],
    brought_forward: i64,
) -> (i64, i64, Vec<Shown>) {
    let mut lines = Vec::new();
    let end = finish(Won(own), adjustments, Won(brought_forward), &mut lines).unwrap();
    let shown = lines
        .iter()
        .map(|line| (line.kind, line.source_period, line.amount_won.0))
        .collect();
    (end.total_won.0, end.credit_won.0, shown)
}

#[test]
fn a_statement_with_nothing_to_add_keeps_its_sum() {
    assert_eq!(finished(13_013, &[], 0), (13_013, 0, vec![]));
    assert_eq!(finished(0, &[], 0), (0, 0, vec![]));
}

#[test]
fn adjustments_come_by_source_period_and_those_of_0_won_are_left_out() {
    let adjustments = [
        (month(3), Won(50)),
        (month(1), Won(-20)),
        (month(2), Won(0)),
    ];
    let lines = vec![
        (LineKind::Adjustment, Some(month(1)), -20),
        (LineKind::Adjustment, Some(month(3)), 50),
    ];
    assert_eq!(finished(100, &adjustments, 0), (130, 0, lines));
}

#[test]
fn adjustments_of_one_source_period_are_one_line() {
    let adjustments = [
        (month(2), Won(7)),
        (month(1), Won(30)),
        (month(2), Won(5)),
        (month(1), Won(-30)),
    ];
    let lines = vec![(LineKind::Adjustment, Some(month(2)), 12)];
    assert_eq!(finished(100, &adjustments, 0), (112, 0, lines));
}

#[test]
fn credit_brought_forward_is_taken_off() {
    let lines = vec![(LineKind::BroughtForward, None, -40)];
    assert_eq!(finished(100, &[], 40), (60, 0, lines));
    let lines = vec![(LineKind::BroughtForward, None, -100)];
    assert_eq!(finished(100, &[], 100), (0, 0, lines));
}

#[test]
fn what_is_below_0_is_carried_forward() {
    let lines = vec![
        (LineKind::Adjustment, Some(month(1)), -250),
        (LineKind::BroughtForward, None, -40),
        (LineKind::CarriedForward, None, 190),
    ];
    assert_eq!(finished(100, &[(month(1), Won(-250))], 40), (0, 190, lines));
}

#[test]
fn credit_that_is_more_than_the_bill_goes_on_to_the_next() {
    let lines = vec![
        (LineKind::BroughtForward, None, -101),
        (LineKind::CarriedForward, None, 1),
    ];
    assert_eq!(finished(100, &[], 101), (0, 1, lines));
}

#[test]
fn negative_credit_is_refused() {
    let result = finish(Won(100), &[], Won(-1), &mut Vec::new());
    assert_eq!(result, Err(RatingError::Negative));
}

#[test]
fn an_end_beyond_64_bits_is_refused_and_leaves_the_lines_as_they_were() {
    let mut lines = Vec::new();
    let adjustments = [(month(1), Won(1))];
    let result = finish(Won(i64::MAX), &adjustments, Won::ZERO, &mut lines);
    assert_eq!(result, Err(RatingError::Overflow));
    // the credit would be 2^63
    let adjustments = [(month(1), Won(i64::MIN))];
    let result = finish(Won::ZERO, &adjustments, Won::ZERO, &mut lines);
    assert_eq!(result, Err(RatingError::Overflow));
    // one line would be beyond it although the total is not
    let adjustments = [(month(1), Won(i64::MAX)), (month(1), Won(1))];
    let result = finish(Won::ZERO, &adjustments, Won(i64::MAX), &mut lines);
    assert_eq!(result, Err(RatingError::Overflow));
    assert_eq!(lines, []);
}

#[test]
fn an_end_that_passes_64_bits_on_its_way_and_comes_back_is_no_overflow() {
    let adjustments = [(month(1), Won(i64::MAX))];
    let (total, credit, _) = finished(i64::MAX, &adjustments, i64::MAX);
    assert_eq!((total, credit), (i64::MAX, 0));
}
