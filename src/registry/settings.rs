//! `[schema_registry]`

use std::fmt;

use anyhow::{Result, bail};
use figment::Figment;
use figment::providers::Serialized;
use figment::value::UncasedStr;
use serde::{Deserialize, Deserializer, de};
use zeroize::Zeroizing;

/// The environment variable of the password.
const PASSWORD_VARIABLE: &str = "SEALPOST__SCHEMA_REGISTRY__PASSWORD";

/// Whether a variable's value is taken for a literal, as settings are: the password is not, since
/// `007` would come out as a number, and an error about it would repeat it.
pub(crate) fn is_plain(variable_without_prefix: &UncasedStr) -> bool {
    PASSWORD_VARIABLE
        .strip_prefix("SEALPOST__")
        .is_none_or(|password| variable_without_prefix != password)
}

/// The password from the environment, exactly as it is written there.
#[allow(
    clippy::disallowed_methods,
    reason = "a setting, read where the configuration is"
)]
pub(crate) fn password_from_environment() -> Figment {
    match std::env::var(PASSWORD_VARIABLE) {
        Ok(password) => Figment::from(Serialized::default("schema_registry.password", password)),
        Err(_) => Figment::new(),
    }
}

/// `[schema_registry]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SchemaRegistryConfig {
    /// Where it is: `http://` or `https://`, with whatever path its API is under.
    pub url: String,
    /// For basic authentication.
    #[serde(default)]
    pub username: Option<String>,
    /// For basic authentication.
    #[serde(default)]
    pub password: Option<Password>,
    /// Whether schemas that the registry does not have are registered; otherwise they must be
    /// there.
    #[serde(default = "auto_register_default")]
    pub auto_register: bool,
    /// How long one question may take, repeats included.
    #[serde(default = "timeout_ms_default")]
    pub timeout_ms: u64,
}

const fn auto_register_default() -> bool {
    true
}

const fn timeout_ms_default() -> u64 {
    30_000
}

impl SchemaRegistryConfig {
    /// Whether it can be used at all.
    ///
    /// # Errors
    /// When a value is out of range; names the key, and never the password.
    pub fn check(&self) -> Result<()> {
        // an address with a password in it is not repeated
        let Ok(url) = self.url.parse::<ureq::http::Uri>() else {
            bail!("schema_registry.url is no address: write it as http://HOST:PORT");
        };
        if url
            .authority()
            .is_some_and(|authority| authority.as_str().contains('@'))
        {
            bail!(
                "schema_registry.url has credentials in it: put them into schema_registry.username and {PASSWORD_VARIABLE}"
            );
        }
        match url.scheme_str() {
            Some("http") => {}
            Some("https") if cfg!(feature = "tls") => {}
            Some("https") => bail!(
                "schema_registry.url begins with https, but this program was built without TLS: build it with `--features tls`"
            ),
            _ => bail!(
                "schema_registry.url = {:?} must begin with http:// or https://",
                self.url
            ),
        }
        if url.host().is_none_or(str::is_empty) || url.query().is_some() {
            bail!(
                "schema_registry.url = {:?} must be a host, a port if need be, and a path at most",
                self.url
            );
        }
        if self.password.is_some() && self.username.is_none() {
            bail!("schema_registry.password is set without schema_registry.username");
        }
        if self
            .username
            .as_ref()
            .is_some_and(|username| username.contains(':'))
        {
            bail!("schema_registry.username must not have a colon in it");
        }
        if self.timeout_ms == 0 {
            bail!("schema_registry.timeout_ms must be at least 1");
        }
        Ok(())
    }
}

/// A password: wiped when it is dropped, never shown.
#[derive(Clone)]
pub struct Password(Zeroizing<String>);

impl Password {
    /// A password.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// For the one header that it goes into.
    pub(super) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}

impl<'de> Deserialize<'de> for Password {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        /// Takes text alone, and repeats nothing of what else it is given.
        struct Text;

        impl de::Visitor<'_> for Text {
            type Value = Password;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a password as text, in quotes")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Password, E> {
                Ok(Password::new(text.to_owned()))
            }
            fn visit_string<E: de::Error>(self, text: String) -> Result<Password, E> {
                Ok(Password::new(text))
            }
            fn visit_i64<E: de::Error>(self, _: i64) -> Result<Password, E> {
                Err(not_text())
            }
            fn visit_i128<E: de::Error>(self, _: i128) -> Result<Password, E> {
                Err(not_text())
            }
            fn visit_u64<E: de::Error>(self, _: u64) -> Result<Password, E> {
                Err(not_text())
            }
            fn visit_u128<E: de::Error>(self, _: u128) -> Result<Password, E> {
                Err(not_text())
            }
            fn visit_f64<E: de::Error>(self, _: f64) -> Result<Password, E> {
                Err(not_text())
            }
            fn visit_bool<E: de::Error>(self, _: bool) -> Result<Password, E> {
                Err(not_text())
            }
        }
        deserializer.deserialize_any(Text)
    }
}

fn not_text<E: de::Error>() -> E {
    E::custom("the password must be text, in quotes")
}
