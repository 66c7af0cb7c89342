//! Money, once more and in the simplest way: what every statement is held against.
//!
//! Written from the tariff's rules and from nothing of the pipeline's: no type of its catalogue,
//! no function of its rating. The catalogue that the pipeline reads is printed from this.

use std::fmt::Write as _;

use crate::upstream::{Months, Row};

/// How data is charged.
#[derive(Debug, Clone, Copy)]
pub enum Data {
    /// Never.
    Unlimited,
    /// Never: it is cut off.
    Blocked,
    /// Each MB from `included` to `ceiling` at `micro_won` millionths of a won.
    Metered {
        /// Whole MB that cost nothing.
        included: i128,
        /// Millionths of a won for one MB.
        micro_won: i128,
        /// Whole MB beyond which nothing is charged.
        ceiling: Option<i128>,
    },
}

/// A plan.
#[derive(Debug)]
pub struct Plan {
    /// Its code.
    pub code: &'static str,
    price: i128,
    data: Data,
    soldier: bool,
    bundled: &'static [&'static str],
}

/// An option.
#[derive(Debug)]
pub struct Extra {
    /// Its code.
    pub code: &'static str,
    price: i128,
}

/// A welfare class.
#[derive(Debug)]
pub struct Class {
    /// Its code.
    pub code: &'static str,
    per_cent: i128,
    cap: Option<i128>,
}

const fn metered(included: i128, micro_won: i128, ceiling: Option<i128>) -> Data {
    Data::Metered {
        included,
        micro_won,
        ceiling,
    }
}

/// The plans.
pub const PLANS: &[Plan] = &[
    plan("PLN-001", 85_000, Data::Unlimited, true, &[]),
    plan("PLN-002", 63_001, Data::Unlimited, false, &["OPT-2"]),
    plan(
        "PLN-003",
        33_000,
        metered(1_000, 22_528, Some(3_000)),
        true,
        &["OPT-1", "OPT-2"],
    ),
    plan("PLN-004", 19_999, metered(0, 275_300, None), true, &[]),
    plan("PLN-005", 7, metered(2_000, 1, None), false, &[]),
    plan("PLN-006", 0, Data::Blocked, true, &["OPT-3"]),
];

const fn plan(
    code: &'static str,
    price: i128,
    data: Data,
    soldier: bool,
    bundled: &'static [&'static str],
) -> Plan {
    Plan {
        code,
        price,
        data,
        soldier,
        bundled,
    }
}

/// The options.
pub const OPTIONS: &[Extra] = &[
    Extra {
        code: "OPT-1",
        price: 9_900,
    },
    Extra {
        code: "OPT-2",
        price: 3_301,
    },
    Extra {
        code: "OPT-3",
        price: 0,
    },
];

/// The welfare classes.
pub const WELFARE: &[Class] = &[
    Class {
        code: "WLF-1",
        per_cent: 0,
        cap: None,
    },
    Class {
        code: "WLF-2",
        per_cent: 35,
        cap: None,
    },
    Class {
        code: "WLF-3",
        per_cent: 35,
        cap: Some(5_000),
    },
    Class {
        code: "WLF-4",
        per_cent: 100,
        cap: None,
    },
];

/// A version of the catalogue: later ones are dearer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Edition(pub i128);

impl Edition {
    /// The catalogue as the pipeline reads it.
    #[must_use]
    pub fn text(self) -> String {
        let mut text = format!("version = \"edition-{}\"\n", self.0);
        for plan in PLANS {
            let price = self.price(plan);
            // writing to a string cannot fail
            let _ = write!(
                text,
                "[[plan]]\ncode = \"{}\"\nname = \"{}\"\nmonthly_price_won = {price}\nsoldier_discount = {}\nbundled_options = {:?}\n",
                plan.code, plan.code, plan.soldier, plan.bundled
            );
            let _ = match plan.data {
                Data::Unlimited => writeln!(text, "data = \"unlimited\""),
                Data::Blocked => writeln!(text, "data = \"blocked\"\nincluded_mb = 500"),
                Data::Metered {
                    included,
                    micro_won,
                    ceiling,
                } => {
                    let rate = format!("{}.{:06}", micro_won / 1_000_000, micro_won % 1_000_000);
                    let ceiling = ceiling.map_or_else(String::new, |ceiling| {
                        format!("overage_ceiling_mb = {ceiling}\n")
                    });
                    write!(
                        text,
                        "data = \"metered\"\nincluded_mb = {included}\noverage_won_per_mb = \"{rate}\"\n{ceiling}"
                    )
                }
            };
        }
        for Extra { code, price } in OPTIONS {
            let _ = writeln!(
                text,
                "[[option]]\ncode = \"{code}\"\nname = \"{code}\"\nmonthly_price_won = {price}"
            );
        }
        for Class {
            code,
            per_cent,
            cap,
        } in WELFARE
        {
            let rate = format!("{}.{:02}", per_cent / 100, per_cent % 100);
            let _ = writeln!(
                text,
                "[[welfare]]\ncode = \"{code}\"\nname = \"{code}\"\nrate = \"{rate}\""
            );
            if let Some(cap) = cap {
                let _ = writeln!(text, "cap_won = {cap}");
            }
        }
        text
    }

    fn price(self, plan: &Plan) -> i128 {
        plan.price + self.0 * 1_111
    }

    /// What a month comes to; `None` if the plan is not in the catalogue.
    #[must_use]
    pub fn bill(self, row: &Row, month: u32, data_bytes: i128, content_won: i128) -> Option<i128> {
        let plan = PLANS.iter().find(|plan| plan.code == row.plan)?;
        let p = self.price(plan);
        let m = match plan.data {
            Data::Unlimited | Data::Blocked => 0,
            Data::Metered {
                included,
                micro_won,
                ceiling,
            } => {
                let up_to =
                    ceiling.map_or(data_bytes, |ceiling| data_bytes.min(ceiling * 1_000_000));
                let billable = (up_to - included * 1_000_000).max(0);
                micro_won * billable / 1_000_000 / 1_000_000
            }
        };
        let a: i128 = OPTIONS
            .iter()
            .filter(|option| row.options.iter().any(|code| code == option.code))
            .filter(|option| !plan.bundled.contains(&option.code))
            .map(|option| option.price)
            .sum();
        let within = |months: Months| months.is_some_and(|(from, to)| from <= month && month <= to);
        let d1 = if within(row.contract) {
            p * 25 / 100
        } else {
            0
        };
        let d2 = if within(row.soldier) && plan.soldier {
            (p - d1) * 20 / 100
        } else {
            0
        };
        let d3 = row
            .welfare
            .as_deref()
            .and_then(|code| WELFARE.iter().find(|class| class.code == code))
            .map_or(0, |class| {
                let off = (p - d1 - d2 + m) * class.per_cent / 100;
                class.cap.map_or(off, |cap| off.min(cap))
            });
        Some(p + m + a + content_won - d1 - d2 - d3)
    }
}
