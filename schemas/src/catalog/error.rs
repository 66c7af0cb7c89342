//! What can be wrong with a catalogue: where it stands, what it is, what to do.

use std::fmt;

/// Which array of tables an entry stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CatalogTable {
    /// `[[plan]]`
    Plan,
    /// `[[option]]`
    Option,
    /// `[[welfare]]`
    Welfare,
}

impl CatalogTable {
    /// The name in the file.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Plan => "plan",
            Self::Option => "option",
            Self::Welfare => "welfare",
        }
    }
}

impl fmt::Display for CatalogTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A line of the file, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LineNumber(pub usize);

impl LineNumber {
    /// The line of `text` in which the byte at `offset` stands.
    pub(super) fn at(text: &str, offset: usize) -> Self {
        Self(
            1 + text
                .bytes()
                .take(offset)
                .filter(|byte| *byte == b'\n')
                .count(),
        )
    }
}

impl fmt::Display for LineNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What is wrong, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CatalogProblem {
    /// The file is larger than a command can carry.
    #[error("the file has more than {max} bytes: shorten it, a close command carries all of it")]
    TooLarge {
        /// The limit, in bytes.
        max: usize,
    },
    /// The text is not TOML.
    #[error("not valid TOML: {0}")]
    Syntax(String),
    /// There is nothing to bill by.
    #[error("no [[plan]] in the file: add at least one")]
    NoPlan,
    /// Something else than `[[plan]]`, `[[option]]` or `[[welfare]]` tables under that name.
    #[error("`{0}` must be written as [[{0}]] tables, one for each entry")]
    NotTables(CatalogTable),
    /// A field that is not part of the format.
    #[error("unknown field `{0}`: correct its spelling or remove it")]
    UnknownField(String),
    /// A field that must be there.
    #[error("`{field}` is missing: add it, it must be {expected}")]
    MissingField {
        /// Which.
        field: &'static str,
        /// What would be right.
        expected: &'static str,
    },
    /// A value of the wrong type or out of its range.
    #[error("`{field}` must be {expected}")]
    BadValue {
        /// Which field.
        field: &'static str,
        /// What would be right.
        expected: String,
    },
    /// Two entries of one table have the same code.
    #[error("the code stands already on line {first}: give each entry its own code")]
    DuplicateCode {
        /// Where it stands first.
        first: LineNumber,
    },
    /// A bundled option is listed twice.
    #[error("`bundled_options` lists {option} twice: remove one")]
    DuplicateBundledOption {
        /// Its code.
        option: String,
    },
    /// A bundled option does not exist.
    #[error(
        "bundled option {option} does not exist: add an [[option]] with that code or take it out of `bundled_options`"
    )]
    UnknownBundledOption {
        /// Its code.
        option: String,
    },
    /// Metered data has no price.
    #[error(
        "`data` is \"metered\" without `overage_won_per_mb`: add the price of 1 MB in won, such as \"0.2750\""
    )]
    MeteredWithoutRate,
    /// A field of metered data on a plan that is not metered.
    #[error("`{field}` is only for plans whose `data` is \"metered\": remove it or change `data`")]
    NotMetered {
        /// Which field.
        field: &'static str,
    },
    /// Unlimited data with a limit.
    #[error(
        "`included_mb` above 0 on a plan whose `data` is \"unlimited\": remove it or change `data`"
    )]
    UnlimitedWithIncluded,
    /// The ceiling of what is charged lies below what is free.
    #[error("`overage_ceiling_mb` is below `included_mb`: raise it, or remove it for no ceiling")]
    CeilingBelowIncluded,
}

/// Why a catalogue was refused: one line that says where, what and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CatalogError {
    pub(super) line: Option<LineNumber>,
    pub(super) table: Option<CatalogTable>,
    pub(super) code: Option<String>,
    pub(super) problem: CatalogProblem,
}

impl CatalogError {
    /// A problem of the file as a whole.
    pub(super) const fn of_file(problem: CatalogProblem) -> Self {
        Self {
            line: None,
            table: None,
            code: None,
            problem,
        }
    }

    /// The line, if the problem has one.
    #[must_use]
    pub const fn line(&self) -> Option<LineNumber> {
        self.line
    }

    /// The table of the entry, if the problem is one of an entry.
    #[must_use]
    pub const fn table(&self) -> Option<CatalogTable> {
        self.table
    }

    /// The code of the entry, if it has one that can be read.
    #[must_use]
    pub fn code(&self) -> Option<&str> {
        self.code.as_deref()
    }

    /// What is wrong.
    #[must_use]
    pub const fn problem(&self) -> &CatalogProblem {
        &self.problem
    }
}

impl fmt::Display for CatalogError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("catalogue")?;
        if let Some(line) = self.line {
            write!(f, " line {line}")?;
        }
        if let Some(table) = self.table {
            write!(f, ", {table}")?;
        }
        if let Some(code) = &self.code {
            write!(f, " {code}")?;
        }
        write!(f, ": {}", self.problem)
    }
}

impl std::error::Error for CatalogError {}
