//! Text of the configuration that may hold a secret: an address with a token in it, a header.
//!
//! Invariants:
//! - Neither `Debug` nor any error shows it, not even when it is of the wrong type.
//! - `${NAME}` in it stands for an environment variable, which is read only by the process that
//!   calls the provider, when it starts.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, Visitor};
use zeroize::Zeroizing;

/// See the module.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

/// Why a secret cannot be used. Says nothing of what it holds but the names of variables.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// A variable is not there, or is not UTF-8.
    #[error("the environment variable {0} is not set: set it, or take ${{{0}}} out")]
    NotSet(String),
    /// `${` without `}`, or nothing between them.
    #[error("a `${{` is not closed by a `}}` after a variable's name")]
    Open,
}

impl Secret {
    /// Takes text as it stands in the configuration.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// The text as it stands in the configuration, variables not filled in.
    #[must_use]
    pub(crate) fn as_written(&self) -> &str {
        &self.0
    }

    /// The text with its variables filled in by `variable`.
    ///
    /// # Errors
    /// [`SecretError`].
    pub(crate) fn resolved(
        &self,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Zeroizing<String>, SecretError> {
        let mut text = Zeroizing::new(String::new());
        let mut rest = self.0.as_str();
        while let Some((before, after)) = rest.split_once("${") {
            let (name, after) = after.split_once('}').ok_or(SecretError::Open)?;
            let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
            if name.is_empty() || !name.chars().all(is_name) {
                return Err(SecretError::Open);
            }
            let value =
                Zeroizing::new(variable(name).ok_or_else(|| SecretError::NotSet(name.to_owned()))?);
            text.push_str(before);
            text.push_str(&value);
            rest = after;
        }
        text.push_str(rest);
        Ok(text)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// serde's own refusals repeat the value: each kind of it is refused here instead.
struct TextOnly;

const NOT_TEXT: &str = "expected text: put it in quotes, or name a variable as \"${NAME}\"";

impl Visitor<'_> for TextOnly {
    type Value = Secret;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("text")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Secret, E> {
        Ok(Secret::new(text))
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Secret, E> {
        Err(E::custom(NOT_TEXT))
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Secret, E> {
        Err(E::custom(NOT_TEXT))
    }

    fn visit_i128<E: Error>(self, _: i128) -> Result<Secret, E> {
        Err(E::custom(NOT_TEXT))
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<Secret, E> {
        Err(E::custom(NOT_TEXT))
    }

    fn visit_u128<E: Error>(self, _: u128) -> Result<Secret, E> {
        Err(E::custom(NOT_TEXT))
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Secret, E> {
        Err(E::custom(NOT_TEXT))
    }

    fn visit_bytes<E: Error>(self, _: &[u8]) -> Result<Secret, E> {
        Err(E::custom(NOT_TEXT))
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // not `deserialize_str`: some formats then refuse other types by themselves, and show them
        deserializer.deserialize_any(TextOnly)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

    use super::*;

    fn variable(name: &str) -> Option<String> {
        (name == "TOKEN").then(|| "s3cret".to_owned())
    }

    #[test]
    fn variables_are_filled_in_and_the_rest_stands_as_written() {
        for (written, meant) in [
            ("Bearer ${TOKEN}", "Bearer s3cret"),
            ("${TOKEN}${TOKEN}", "s3crets3cret"),
            ("$TOKEN {key} }", "$TOKEN {key} }"),
            ("", ""),
        ] {
            assert_eq!(*Secret::new(written).resolved(variable).unwrap(), meant);
        }
    }

    #[test]
    fn what_cannot_be_filled_in_is_refused_by_the_name_of_the_variable_alone() {
        let refusal = Secret::new("hush ${OTHER}").resolved(variable).unwrap_err();
        assert_eq!(refusal, SecretError::NotSet("OTHER".to_owned()));
        assert!(!refusal.to_string().contains("hush"));
        for open in ["hush ${TOKEN", "${}", "${A B}"] {
            assert_eq!(
                Secret::new(open).resolved(variable).unwrap_err(),
                SecretError::Open
            );
        }
    }

    #[test]
    fn nothing_shows_it() {
        assert_eq!(format!("{:?}", Secret::new("hush")), "Secret(…)");
        for wrong in ["12345678", "1.5", "true"] {
            let refusal = serde_json::from_str::<Secret>(wrong)
                .unwrap_err()
                .to_string();
            assert!(refusal.contains("expected text"), "{refusal}");
            assert!(!refusal.contains(wrong), "{refusal}");
        }
    }
}
