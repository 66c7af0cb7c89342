//! The tariff catalogue: plans, options and welfare classes, one versioned TOML file.
//!
//! Invariants:
//! - A [`Catalog`] is complete and consistent: every bundled option exists, every metered plan
//!   has a rate, no price is negative, no ceiling lies below what is included. What breaks one
//!   of these is refused by [`Catalog::from_toml`], so that rating never meets it.
//! - It is immutable and identified by the digest of its text; the text travels in the close
//!   command, so that a replay rates by the same figures.
//! - Figures are exact: whole won, whole MB, and decimals as scaled integers. No float anywhere.

mod decimal;
mod error;
mod reader;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;
use std::sync::{Arc, LazyLock};

pub use self::decimal::{DecimalError, DiscountRate, OverageRate};
pub use self::error::{CatalogError, CatalogProblem, CatalogTable, LineNumber};
use self::reader::{Code, DataKind, Fields, Name};
use crate::{Digest, Won};

/// An amount of data in MB; 1 MB is 1,000,000 bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Megabytes(pub u64);

impl Megabytes {
    /// The same amount in bytes; 128 bits hold any.
    #[must_use]
    pub fn bytes(self) -> i128 {
        i128::from(self.0) * 1_000_000
    }
}

impl fmt::Display for Megabytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a plan does with data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DataAllowance {
    /// As much as one likes, never charged.
    Unlimited,
    /// Cut off once the included amount is used up, never charged.
    Blocked {
        /// What is included.
        included: Megabytes,
    },
    /// Charged beyond what is included.
    Metered {
        /// What is included.
        included: Megabytes,
        /// The price of 1 MB beyond that.
        rate: OverageRate,
        /// Use beyond this amount is free again; not below `included`. `None`: no ceiling.
        ceiling: Option<Megabytes>,
    },
}

/// A plan. Made only by reading a catalogue.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Plan {
    /// Unique among the plans.
    pub code: String,
    /// The name on the bill.
    pub name: String,
    /// The name in English, where the product has one.
    pub name_en: Option<String>,
    /// The network, for people: `5G`, `LTE`.
    pub network: Option<String>,
    /// P of the tariff rules: the price of a month, 0 or more.
    pub monthly_price_won: Won,
    /// What it does with data.
    pub data: DataAllowance,
    /// Whether the soldier discount applies to it.
    pub soldier_discount: bool,
    /// Codes of the options that are free with it, sorted, each once.
    pub bundled_options: Vec<String>,
    /// The operator's own description, for people.
    pub note: Option<String>,
}

impl Plan {
    /// Whether an option is free with this plan.
    #[must_use]
    pub fn bundles(&self, option: &str) -> bool {
        self.bundled_options
            .binary_search_by(|bundled| bundled.as_str().cmp(option))
            .is_ok()
    }
}

/// An option that can be subscribed besides a plan. Made only by reading a catalogue.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CatalogOption {
    /// Unique among the options.
    pub code: String,
    /// The name on the bill.
    pub name: String,
    /// The name in English, where the product has one.
    pub name_en: Option<String>,
    /// The price of a month, 0 or more.
    pub monthly_price_won: Won,
}

/// A welfare class and its discount. Made only by reading a catalogue.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct WelfareClass {
    /// Unique among the classes.
    pub code: String,
    /// The name on the bill.
    pub name: String,
    /// The name in English, where there is an established one.
    pub name_en: Option<String>,
    /// The share that is taken off.
    pub rate: DiscountRate,
    /// The most that is taken off, 0 or more. `None`: no cap.
    pub cap_won: Option<Won>,
}

/// A read catalogue. A clone shares the same data. Two are equal if their texts are.
#[derive(Clone)]
pub struct Catalog(Arc<Tables>);

struct Tables {
    text: Box<str>,
    digest: Digest,
    version: String,
    plans: BTreeMap<String, Plan>,
    options: BTreeMap<String, CatalogOption>,
    welfare_classes: BTreeMap<String, WelfareClass>,
}

impl Catalog {
    /// The largest text: a close command carries it to every partition, in one record each.
    pub const TEXT_BYTES_MAX: usize = 512 * 1024;

    /// Reads a catalogue: a `version`, then `[[plan]]`, `[[option]]` and `[[welfare]]` tables.
    /// The built-in one is an example of every field.
    ///
    /// # Errors
    /// [`CatalogError`] at the first thing that is wrong: not TOML, an unknown, missing or bad
    /// field, a code that stands twice, a bundled option that does not exist, metered data
    /// without a rate, a ceiling below what is included.
    pub fn from_toml(text: &str) -> Result<Self, CatalogError> {
        if text.len() > Self::TEXT_BYTES_MAX {
            let problem = CatalogProblem::TooLarge {
                max: Self::TEXT_BYTES_MAX,
            };
            return Err(CatalogError::of_file(problem));
        }
        let mut file = Fields::of_file(text)?;
        let Name(version) = file.required("version")?;
        let options = by_code(file.entries(CatalogTable::Option)?, read_option)?;
        let plans = by_code(file.entries(CatalogTable::Plan)?, |code, fields| {
            read_plan(code, fields, &options)
        })?;
        let welfare_classes = by_code(file.entries(CatalogTable::Welfare)?, read_welfare)?;
        file.finish()?;
        if plans.is_empty() {
            return Err(CatalogError::of_file(CatalogProblem::NoPlan));
        }
        let digest = Digest::of(text.as_bytes());
        Ok(Self(Arc::new(Tables {
            text: text.into(),
            digest,
            version,
            plans,
            options,
            welfare_classes,
        })))
    }

    /// The catalogue that comes with the program, `schemas/catalog/2026-01.toml`.
    #[must_use]
    #[expect(
        clippy::panic,
        reason = "the text is a constant of the program, and a test reads it"
    )]
    pub fn built_in() -> Self {
        static BUILT_IN: LazyLock<Catalog> =
            LazyLock::new(
                || match Catalog::from_toml(include_str!("../catalog/2026-01.toml")) {
                    Ok(catalog) => catalog,
                    Err(error) => panic!("built-in {error}"),
                },
            );
        BUILT_IN.clone()
    }

    /// BLAKE3 of the text's bytes: the identity of this catalogue.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.0.digest
    }

    /// The TOML that it was read from, byte for byte.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.0.text
    }

    /// The operator's name for this version of the tariff; the digest is what identifies it.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.0.version
    }

    /// The plan with this code.
    #[must_use]
    pub fn plan(&self, code: &str) -> Option<&Plan> {
        self.0.plans.get(code)
    }

    /// The option with this code.
    #[must_use]
    pub fn option(&self, code: &str) -> Option<&CatalogOption> {
        self.0.options.get(code)
    }

    /// The welfare class with this code.
    #[must_use]
    pub fn welfare(&self, code: &str) -> Option<&WelfareClass> {
        self.0.welfare_classes.get(code)
    }

    /// All plans, by code.
    pub fn plans(&self) -> impl ExactSizeIterator<Item = &Plan> {
        self.0.plans.values()
    }

    /// All options, by code.
    pub fn options(&self) -> impl ExactSizeIterator<Item = &CatalogOption> {
        self.0.options.values()
    }

    /// All welfare classes, by code.
    pub fn welfare_classes(&self) -> impl ExactSizeIterator<Item = &WelfareClass> {
        self.0.welfare_classes.values()
    }
}

impl fmt::Debug for Catalog {
    /// Version and digest: the text is long.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Catalog({:?}, {})", self.0.version, self.0.digest)
    }
}

impl PartialEq for Catalog {
    fn eq(&self, other: &Self) -> bool {
        self.0.text == other.0.text
    }
}

impl Eq for Catalog {}

/// Reads every entry of a table and holds that its codes are unique.
fn by_code<T>(
    entries: Vec<Fields<'_>>,
    mut read: impl FnMut(String, &mut Fields<'_>) -> Result<T, CatalogError>,
) -> Result<BTreeMap<String, T>, CatalogError> {
    let mut seen = BTreeMap::new();
    for mut fields in entries {
        let code = fields.code()?;
        match seen.entry(code.clone()) {
            Entry::Occupied(first) => {
                let (first_offset, _) = first.get();
                return Err(fields.duplicate(*first_offset));
            }
            Entry::Vacant(vacant) => {
                let offset = fields.offset();
                vacant.insert((offset, read(code, &mut fields)?));
            }
        }
        fields.finish()?;
    }
    Ok(seen
        .into_iter()
        .map(|(code, (_, entry))| (code, entry))
        .collect())
}

fn read_option(code: String, fields: &mut Fields<'_>) -> Result<CatalogOption, CatalogError> {
    Ok(CatalogOption {
        code,
        name: fields.required::<Name>("name")?.0,
        name_en: fields.optional::<Name>("name_en")?.map(|name| name.0),
        monthly_price_won: fields.required("monthly_price_won")?,
    })
}

fn read_welfare(code: String, fields: &mut Fields<'_>) -> Result<WelfareClass, CatalogError> {
    Ok(WelfareClass {
        code,
        name: fields.required::<Name>("name")?.0,
        name_en: fields.optional::<Name>("name_en")?.map(|name| name.0),
        rate: fields.required("rate")?,
        cap_won: fields.optional("cap_won")?,
    })
}

fn read_plan(
    code: String,
    fields: &mut Fields<'_>,
    options: &BTreeMap<String, CatalogOption>,
) -> Result<Plan, CatalogError> {
    Ok(Plan {
        code,
        name: fields.required::<Name>("name")?.0,
        name_en: fields.optional::<Name>("name_en")?.map(|name| name.0),
        network: fields.optional::<Name>("network")?.map(|name| name.0),
        monthly_price_won: fields.required("monthly_price_won")?,
        data: read_data(fields)?,
        soldier_discount: fields.required("soldier_discount")?,
        bundled_options: read_bundled(fields, options)?,
        note: fields.optional::<Name>("note")?.map(|name| name.0),
    })
}

fn read_data(fields: &mut Fields<'_>) -> Result<DataAllowance, CatalogError> {
    let kind: DataKind = fields.required("data")?;
    let included: Option<Megabytes> = match kind {
        DataKind::Unlimited => fields.optional("included_mb")?,
        DataKind::Blocked | DataKind::Metered => Some(fields.required("included_mb")?),
    };
    let included = included.unwrap_or_default();
    let rate: Option<OverageRate> = fields.optional("overage_won_per_mb")?;
    let ceiling: Option<Megabytes> = fields.optional("overage_ceiling_mb")?;
    if kind == DataKind::Metered {
        let rate = rate.ok_or_else(|| fields.error(CatalogProblem::MeteredWithoutRate))?;
        if ceiling.is_some_and(|ceiling| ceiling < included) {
            return Err(fields.error(CatalogProblem::CeilingBelowIncluded));
        }
        return Ok(DataAllowance::Metered {
            included,
            rate,
            ceiling,
        });
    }
    if rate.is_some() {
        return Err(fields.error(CatalogProblem::NotMetered {
            field: "overage_won_per_mb",
        }));
    }
    if ceiling.is_some() {
        return Err(fields.error(CatalogProblem::NotMetered {
            field: "overage_ceiling_mb",
        }));
    }
    match kind {
        DataKind::Blocked => Ok(DataAllowance::Blocked { included }),
        _ if included > Megabytes(0) => Err(fields.error(CatalogProblem::UnlimitedWithIncluded)),
        _ => Ok(DataAllowance::Unlimited),
    }
}

fn read_bundled(
    fields: &mut Fields<'_>,
    options: &BTreeMap<String, CatalogOption>,
) -> Result<Vec<String>, CatalogError> {
    let codes: Option<Vec<Code>> = fields.optional("bundled_options")?;
    let mut bundled: Vec<String> = codes
        .unwrap_or_default()
        .into_iter()
        .map(|code| code.0)
        .collect();
    bundled.sort();
    if let Some(option) = bundled.iter().find(|code| !options.contains_key(*code)) {
        return Err(fields.error(CatalogProblem::UnknownBundledOption {
            option: option.clone(),
        }));
    }
    let mut neighbours = bundled.iter().zip(bundled.iter().skip(1));
    if let Some((option, _)) = neighbours.find(|(one, next)| one == next) {
        return Err(fields.error(CatalogProblem::DuplicateBundledOption {
            option: option.clone(),
        }));
    }
    Ok(bundled)
}
