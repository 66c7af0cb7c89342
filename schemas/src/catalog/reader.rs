//! Takes the entries of the file apart, field by field, so that every refusal can name the
//! table, the code, the field and the line.

use toml::Spanned;
use toml::de::{DeTable, DeValue, ValueDeserializer};

use super::Megabytes;
use super::decimal::{DecimalError, DiscountRate, OverageRate};
use super::error::{CatalogError, CatalogProblem, CatalogTable, LineNumber};
use crate::Won;

/// The `data` field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DataKind {
    Unlimited,
    Blocked,
    Metered,
}

/// A code: 1 to 32 visible ASCII characters without `;`, which separates codes in inputs.
pub(super) struct Code(pub(super) String);
/// A text for people: 1 to 200 characters, none of them a control character.
pub(super) struct Name(pub(super) String);

/// A type that a field can hold.
pub(super) trait FieldValue: Sized {
    /// Completes the sentence "it must be …".
    const EXPECTED: &'static str;

    /// Reads a value; the error completes the sentence "it must be …".
    fn read(value: Spanned<DeValue<'_>>) -> Result<Self, String>;
}

/// Reads a whole number of 0 or more.
fn natural(value: Spanned<DeValue<'_>>) -> Option<i64> {
    use serde::Deserialize as _;
    if !value.get_ref().is_integer() {
        return None;
    }
    i64::deserialize(ValueDeserializer::from(value))
        .ok()
        .filter(|number| *number >= 0)
}

impl FieldValue for Code {
    const EXPECTED: &'static str =
        "1 to 32 ASCII letters, digits or signs other than `;`, without blanks";
    fn read(value: Spanned<DeValue<'_>>) -> Result<Self, String> {
        let plain = |text: &&str| {
            (1..=32).contains(&text.len())
                && text.bytes().all(|b| b.is_ascii_graphic() && b != b';')
        };
        let text = value
            .get_ref()
            .as_str()
            .filter(plain)
            .ok_or(Self::EXPECTED)?;
        Ok(Self(text.to_owned()))
    }
}

impl FieldValue for Name {
    const EXPECTED: &'static str =
        "a text of 1 to 200 characters, not only blanks, without control characters";
    fn read(value: Spanned<DeValue<'_>>) -> Result<Self, String> {
        let readable = |text: &&str| {
            !text.trim().is_empty()
                && text.chars().count() <= 200
                && !text.chars().any(char::is_control)
        };
        let text = value
            .get_ref()
            .as_str()
            .filter(readable)
            .ok_or(Self::EXPECTED)?;
        Ok(Self(text.to_owned()))
    }
}

impl FieldValue for bool {
    const EXPECTED: &'static str = "true or false";
    fn read(value: Spanned<DeValue<'_>>) -> Result<Self, String> {
        value
            .get_ref()
            .as_bool()
            .ok_or_else(|| Self::EXPECTED.to_owned())
    }
}

impl FieldValue for Won {
    const EXPECTED: &'static str = "a whole number of won, 0 or more";
    fn read(value: Spanned<DeValue<'_>>) -> Result<Self, String> {
        natural(value)
            .map(Won)
            .ok_or_else(|| Self::EXPECTED.to_owned())
    }
}

impl FieldValue for Megabytes {
    const EXPECTED: &'static str = "a whole number of MB, 0 or more";
    fn read(value: Spanned<DeValue<'_>>) -> Result<Self, String> {
        natural(value)
            .and_then(|number| u64::try_from(number).ok())
            .map(Megabytes)
            .ok_or_else(|| Self::EXPECTED.to_owned())
    }
}

impl FieldValue for DataKind {
    const EXPECTED: &'static str = "\"unlimited\", \"blocked\" or \"metered\"";
    fn read(value: Spanned<DeValue<'_>>) -> Result<Self, String> {
        match value.get_ref().as_str() {
            Some("unlimited") => Ok(Self::Unlimited),
            Some("blocked") => Ok(Self::Blocked),
            Some("metered") => Ok(Self::Metered),
            _ => Err(Self::EXPECTED.to_owned()),
        }
    }
}

/// Reads a rate, which must be in quotes: a bare number would have been a float on its way.
fn rate<T: std::str::FromStr<Err = DecimalError>>(value: &DeValue<'_>) -> Result<T, String> {
    value
        .as_str()
        .ok_or(DecimalError::NotDecimal)
        .and_then(str::parse)
        .map_err(|error| error.to_string())
}

impl FieldValue for OverageRate {
    const EXPECTED: &'static str = "the price of 1 MB in won, such as \"0.2750\"";
    fn read(value: Spanned<DeValue<'_>>) -> Result<Self, String> {
        rate(value.get_ref())
    }
}

impl FieldValue for DiscountRate {
    const EXPECTED: &'static str = "a share from 0 to 1, such as \"0.35\"";
    fn read(value: Spanned<DeValue<'_>>) -> Result<Self, String> {
        rate(value.get_ref())
    }
}

impl FieldValue for Vec<Code> {
    const EXPECTED: &'static str = "a list of codes, such as [\"OPT-0001\"]";
    fn read(value: Spanned<DeValue<'_>>) -> Result<Self, String> {
        match value.into_inner() {
            DeValue::Array(codes) => codes.into_iter().map(Code::read).collect(),
            _ => Err(Self::EXPECTED.to_owned()),
        }
    }
}

/// One table of the file whose fields are taken out one by one.
pub(super) struct Fields<'i> {
    text: &'i str,
    offset: usize,
    table: Option<CatalogTable>,
    code: Option<String>,
    fields: DeTable<'i>,
}

impl<'i> Fields<'i> {
    /// The file as one table: its `version` and its arrays of tables.
    pub(super) fn of_file(text: &'i str) -> Result<Self, CatalogError> {
        let root = DeTable::parse(text).map_err(|error| CatalogError {
            line: error.span().map(|span| LineNumber::at(text, span.start)),
            ..CatalogError::of_file(CatalogProblem::Syntax(error.message().replace('\n', "; ")))
        })?;
        Ok(Self {
            text,
            offset: 0,
            table: None,
            code: None,
            fields: root.into_inner(),
        })
    }

    /// Takes the entries of an array of tables, in the order of the file; none if it is not there.
    pub(super) fn entries(&mut self, table: CatalogTable) -> Result<Vec<Self>, CatalogError> {
        let Some(value) = self.fields.remove(table.name()) else {
            return Ok(Vec::new());
        };
        let offset = value.span().start;
        let not_tables = |offset| self.error_at(offset, CatalogProblem::NotTables(table));
        let DeValue::Array(entries) = value.into_inner() else {
            return Err(not_tables(offset));
        };
        let mut opened = Vec::with_capacity(entries.len());
        for entry in entries {
            let offset = entry.span().start;
            let DeValue::Table(fields) = entry.into_inner() else {
                return Err(not_tables(offset));
            };
            opened.push(Self {
                text: self.text,
                offset,
                table: Some(table),
                code: None,
                fields,
            });
        }
        Ok(opened)
    }

    /// Takes the code; from here on, errors name it.
    pub(super) fn code(&mut self) -> Result<String, CatalogError> {
        if let Some((offset, Code(code))) = self.take("code")? {
            self.offset = offset;
            self.code = Some(code.clone());
            return Ok(code);
        }
        Err(self.missing::<Code>("code"))
    }

    /// Takes a field that may be missing.
    pub(super) fn optional<T: FieldValue>(
        &mut self,
        field: &'static str,
    ) -> Result<Option<T>, CatalogError> {
        Ok(self.take(field)?.map(|(_, value)| value))
    }

    /// Takes a field that must be there.
    pub(super) fn required<T: FieldValue>(
        &mut self,
        field: &'static str,
    ) -> Result<T, CatalogError> {
        self.optional(field)?
            .ok_or_else(|| self.missing::<T>(field))
    }

    fn missing<T: FieldValue>(&self, field: &'static str) -> CatalogError {
        self.error(CatalogProblem::MissingField {
            field,
            expected: T::EXPECTED,
        })
    }

    /// Takes a field with the place of its value.
    fn take<T: FieldValue>(
        &mut self,
        field: &'static str,
    ) -> Result<Option<(usize, T)>, CatalogError> {
        let Some(value) = self.fields.remove(field) else {
            return Ok(None);
        };
        let offset = value.span().start;
        match T::read(value) {
            Ok(value) => Ok(Some((offset, value))),
            Err(expected) => {
                Err(self.error_at(offset, CatalogProblem::BadValue { field, expected }))
            }
        }
    }

    /// Holds that nothing is left.
    pub(super) fn finish(self) -> Result<(), CatalogError> {
        // the first in the file, whatever order the map keeps
        match self.fields.keys().min_by_key(|key| key.span().start) {
            None => Ok(()),
            Some(key) => {
                let field = key.get_ref().escape_debug().to_string();
                Err(self.error_at(key.span().start, CatalogProblem::UnknownField(field)))
            }
        }
    }

    /// Where the entry stands, in bytes of the file: its code, or its start while that was not read.
    pub(super) const fn offset(&self) -> usize {
        self.offset
    }

    /// This entry has the code of an earlier one, which stands at `first_offset`.
    pub(super) fn duplicate(&self, first_offset: usize) -> CatalogError {
        self.error(CatalogProblem::DuplicateCode {
            first: LineNumber::at(self.text, first_offset),
        })
    }

    /// A problem of the entry as a whole.
    pub(super) fn error(&self, problem: CatalogProblem) -> CatalogError {
        self.error_at(self.offset, problem)
    }

    fn error_at(&self, offset: usize, problem: CatalogProblem) -> CatalogError {
        CatalogError {
            line: Some(LineNumber::at(self.text, offset)),
            table: self.table,
            code: self.code.clone(),
            problem,
        }
    }
}
