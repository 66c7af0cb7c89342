//! Rating: what one user owes for one period, line by line.
//!
//! Invariants:
//! - The appended lines sum to what is returned; an error appends nothing.
//! - Lines of 0 won are left out, the plan's line aside.
//! - Exact: integers of 128 bits in between, every discount and the overage floored once, a
//!   result beyond 64 bits of won is an error. Nothing wraps, nothing saturates.
//! - A pure function of catalogue and input: rated again, it is the same lines.
//!
//! The rules are those of the tariff contract: P plan, M data overage, A options, C content,
//! D1 contract, D2 soldier, D3 welfare; then adjustments of earlier periods and credit.

use sealpost_schemas::catalog::{Catalog, CatalogOption, DataAllowance, Plan, WelfareClass};
use sealpost_schemas::record::{Line, LineKind, Reason, UsageTotals};
use sealpost_schemas::won::WonOverflow;
use sealpost_schemas::{Period, Won};

/// D1 in per cent of P.
const CONTRACT_DISCOUNT_PERCENT: i128 = 25;
/// D2 in per cent of P − D1.
const SOLDIER_DISCOUNT_PERCENT: i128 = 20;
/// The unit of [`sealpost_schemas::catalog::DiscountRate::parts_per_million`].
const PARTS_PER_WHOLE: i128 = 1_000_000;
/// The unit of an overage rate (millionths of a won for one MB) times a byte: this many of them
/// are one won.
const MICRO_WON_BYTES_PER_WON: i128 = 1_000_000 * 1_000_000;

/// Why nothing was rated. Carries no input: what stands in a code that is unknown may be anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RatingError {
    /// The plan's code is not in the catalogue.
    #[error(
        "plan: the catalogue has no plan with this code; add it there or correct the subscriber"
    )]
    UnknownPlan,
    /// An option's code is not in the catalogue.
    #[error(
        "options: the catalogue has no option with one of these codes; add it there or correct the subscriber"
    )]
    UnknownOption,
    /// The welfare class's code is not in the catalogue.
    #[error(
        "welfare: the catalogue has no welfare class with this code; add it there or correct the subscriber"
    )]
    UnknownWelfare,
    /// A total of usage, or credit brought forward, is below 0: its producer is at fault.
    #[error(
        "usage or credit: a quantity that is counted upwards from 0 is below 0; correct its producer"
    )]
    Negative,
    /// An amount is beyond 64 bits.
    #[error("total: an amount is beyond 64 bits of won; look for a wrong quantity or price")]
    Overflow,
}

impl RatingError {
    /// The word under which it goes to the dead letters.
    #[must_use]
    pub const fn reason(self) -> Reason {
        match self {
            Self::UnknownPlan => Reason::UnknownPlan,
            Self::UnknownOption => Reason::UnknownOption,
            Self::UnknownWelfare => Reason::UnknownWelfare,
            Self::Negative => Reason::Malformed,
            Self::Overflow => Reason::Overflow,
        }
    }
}

impl From<WonOverflow> for RatingError {
    fn from(_: WonOverflow) -> Self {
        Self::Overflow
    }
}

/// What one user's bill for one period is made of.
#[derive(Debug, Clone, Copy)]
pub struct RatingInput<'a> {
    /// Code of the plan.
    pub plan: &'a str,
    /// Codes of subscribed options: a set, so order and repeats say nothing.
    pub options: &'a [String],
    /// Whether a contract interval overlaps the period.
    pub contract: bool,
    /// Whether a military service interval overlaps the period.
    pub soldier: bool,
    /// Code of the welfare class.
    pub welfare: Option<&'a str>,
    /// What was used in the period; no total below 0.
    pub usage: UsageTotals,
}

/// Rates one period: rules 1 to 4, that is P + M + A + C − D1 − D2 − D3.
///
/// Appends the lines in the order plan, data overage, options by code, content, contract,
/// soldier, welfare, and returns their sum, which is at least 0.
///
/// # Errors
/// [`RatingError`] for a code that the catalogue does not have, a negative total of usage, or an
/// amount beyond 64 bits; `lines` is then as it was.
pub fn rate(
    catalog: &Catalog,
    input: &RatingInput<'_>,
    lines: &mut Vec<Line>,
) -> Result<Won, RatingError> {
    appending(lines, |lines| {
        let usage = input.usage;
        let quantities = [
            usage.data_bytes,
            usage.voice_seconds,
            usage.sms_messages,
            usage.content_won,
        ];
        if quantities.into_iter().any(|quantity| quantity < 0) {
            return Err(RatingError::Negative);
        }
        let plan = catalog.plan(input.plan).ok_or(RatingError::UnknownPlan)?;
        let class = match input.welfare {
            Some(code) => Some(catalog.welfare(code).ok_or(RatingError::UnknownWelfare)?),
            None => None,
        };
        let price = i128::from(plan.monthly_price_won.0);
        let overage = data_overage(&plan.data, usage.data_bytes);
        let contract = if input.contract {
            percent(price, CONTRACT_DISCOUNT_PERCENT)
        } else {
            0
        };
        let soldier = if input.soldier && plan.soldier_discount {
            percent(price - contract, SOLDIER_DISCOUNT_PERCENT)
        } else {
            0
        };
        let welfare = class.map_or(0, |class| {
            welfare(class, price - contract - soldier + overage)
        });

        let mut bill = Bill { lines, sum: 0 };
        bill.always(LineKind::Plan, Some((&plan.code, &plan.name)), price)?;
        bill.charge(LineKind::DataOverage, None, overage)?;
        options(catalog, plan, input.options, &mut bill)?;
        bill.charge(LineKind::Content, None, i128::from(usage.content_won))?;
        bill.charge(LineKind::ContractDiscount, None, -contract)?;
        bill.charge(LineKind::SoldierDiscount, None, -soldier)?;
        let class = class.map(|class| (class.code.as_str(), class.name.as_str()));
        bill.charge(LineKind::WelfareDiscount, class, -welfare)?;
        Ok(Won::try_from(bill.sum)?)
    })
}

/// How a statement ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub struct Finished {
    /// What is to be paid, at least 0: the sum of all lines.
    pub total_won: Won,
    /// The credit that goes to the next statement, at least 0: what the carried-forward line
    /// took out of this one.
    pub credit_won: Won,
}

/// Ends a statement: rules 5 and 6, on pieces already computed.
///
/// `own` is what [`rate`] returned for the period itself. `adjustments` are what earlier periods
/// come to now minus what was billed for them, in any order; those of one source period become
/// one line. `brought_forward` is the credit that the statement before left, 0 or more.
///
/// Appends one line for each source period whose adjustment is not 0, earliest first, then a
/// brought-forward line of −credit, then, if the sum is below 0, a carried-forward line that
/// brings it to 0.
///
/// # Errors
/// [`RatingError::Negative`] if the credit is below 0, [`RatingError::Overflow`] if an amount or
/// the total is beyond 64 bits; `lines` is then as it was.
pub fn finish(
    own: Won,
    adjustments: &[(Period, Won)],
    brought_forward: Won,
    lines: &mut Vec<Line>,
) -> Result<Finished, RatingError> {
    if brought_forward < Won::ZERO {
        return Err(RatingError::Negative);
    }
    appending(lines, |lines| {
        let mut bill = Bill {
            lines,
            sum: i128::from(own.0),
        };
        let mut sorted = adjustments.to_vec();
        sorted.sort_unstable_by_key(|(period, _)| *period);
        for same_period in sorted.chunk_by(|(one, _), (next, _)| one == next) {
            let source = same_period.first().map(|(period, _)| *period);
            // 64-bit amounts, fewer than 2^63 of them: 128 bits hold the sum
            let amount = same_period
                .iter()
                .map(|(_, amount)| i128::from(amount.0))
                .sum();
            bill.adjustment(source, amount)?;
        }
        bill.charge(
            LineKind::BroughtForward,
            None,
            -i128::from(brought_forward.0),
        )?;
        let credit = (-bill.sum).max(0);
        bill.charge(LineKind::CarriedForward, None, credit)?;
        Ok(Finished {
            total_won: Won::try_from(bill.sum)?,
            credit_won: Won::try_from(credit)?,
        })
    })
}

/// Runs `work` and takes back what it appended if it fails.
fn appending<T>(
    lines: &mut Vec<Line>,
    work: impl FnOnce(&mut Vec<Line>) -> Result<T, RatingError>,
) -> Result<T, RatingError> {
    let before = lines.len();
    let result = work(lines);
    if result.is_err() {
        lines.truncate(before);
    }
    result
}

/// The lines so far and their sum.
struct Bill<'a> {
    lines: &'a mut Vec<Line>,
    sum: i128,
}

impl Bill<'_> {
    /// Appends a line unless it is of 0 won. `entry` is code and name in the catalogue.
    fn charge(
        &mut self,
        kind: LineKind,
        entry: Option<(&str, &str)>,
        amount: i128,
    ) -> Result<(), RatingError> {
        if amount == 0 {
            Ok(())
        } else {
            self.always(kind, entry, amount)
        }
    }

    /// Appends a line.
    fn always(
        &mut self,
        kind: LineKind,
        entry: Option<(&str, &str)>,
        amount: i128,
    ) -> Result<(), RatingError> {
        let (code, name) = entry
            .map(|(code, name)| (code.to_owned(), name.to_owned()))
            .unzip();
        self.push(Line {
            kind,
            code,
            name,
            source_period: None,
            amount_won: Won::try_from(amount)?,
        });
        Ok(())
    }

    /// Appends what an earlier period comes to unless it is 0 won.
    fn adjustment(
        &mut self,
        source_period: Option<Period>,
        amount: i128,
    ) -> Result<(), RatingError> {
        if amount != 0 {
            let amount_won = Won::try_from(amount)?;
            let kind = LineKind::Adjustment;
            self.push(Line {
                kind,
                code: None,
                name: None,
                source_period,
                amount_won,
            });
        }
        Ok(())
    }

    fn push(&mut self, line: Line) {
        // 64-bit amounts, fewer than 2^63 of them: 128 bits hold the sum
        self.sum += i128::from(line.amount_won.0);
        self.lines.push(line);
    }
}

/// M: floor(rate × billable), where billable is min(used, ceiling) − included, not below 0.
fn data_overage(data: &DataAllowance, used_bytes: i64) -> i128 {
    match data {
        DataAllowance::Unlimited | DataAllowance::Blocked { .. } => 0,
        DataAllowance::Metered {
            included,
            rate,
            ceiling,
        } => {
            let used = i128::from(used_bytes);
            let chargeable = ceiling.map_or(used, |ceiling| used.min(ceiling.bytes()));
            let billable = (chargeable - included.bytes()).max(0);
            // both factors are below 2^63 and not negative: 128 bits hold the product
            i128::from(rate.micro_won_per_mb()) * billable / MICRO_WON_BYTES_PER_WON
        }
    }
}

/// floor(`amount` × `percent` %) of an amount that is not negative.
const fn percent(amount: i128, percent: i128) -> i128 {
    amount * percent / 100
}

/// D3: min(floor(base × rate), cap) of a base that is not negative.
fn welfare(class: &WelfareClass, base: i128) -> i128 {
    let discount = base * i128::from(class.rate.parts_per_million()) / PARTS_PER_WHOLE;
    class
        .cap_won
        .map_or(discount, |cap| discount.min(i128::from(cap.0)))
}

/// A: a line for each subscribed option that is neither free nor bundled with the plan, by code.
fn options(
    catalog: &Catalog,
    plan: &Plan,
    codes: &[String],
    bill: &mut Bill<'_>,
) -> Result<(), RatingError> {
    let mut charge = |code: &str| {
        let option: &CatalogOption = catalog.option(code).ok_or(RatingError::UnknownOption)?;
        let price = if plan.bundles(code) {
            0
        } else {
            i128::from(option.monthly_price_won.0)
        };
        bill.charge(LineKind::Option, Some((&option.code, &option.name)), price)
    };
    // subscribers on the topic have them sorted, each once: nothing to copy then
    if codes.is_sorted_by(|one, next| one < next) {
        return codes.iter().try_for_each(|code| charge(code));
    }
    let mut set: Vec<&str> = codes.iter().map(String::as_str).collect();
    set.sort_unstable();
    set.dedup();
    set.into_iter().try_for_each(charge)
}
