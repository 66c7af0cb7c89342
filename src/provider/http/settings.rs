//! `[channels.NAME.http]`: where a provider over HTTP is, and what it is known to mean.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Result, bail};
use hyper::header::HeaderName;
use serde::Deserialize;

use super::secret::Secret;
use crate::provider::Section;

/// Headers that belong to the protocol, and are set by it.
const RESERVED: [&str; 12] = [
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "expect",
    "host",
    "idempotency-key",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// See the module.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProviderHttpConfig {
    /// Where messages are posted.
    pub url: Secret,
    /// After this long, in milliseconds, a call without an answer is in doubt.
    #[serde(default = "timeout_ms_default")]
    pub timeout_ms: u64,
    /// Where the provider says whether it has a message; `{key}` stands for the message key.
    pub status_url: Option<Secret>,
    /// Statuses that mean: not taken, try the same key again.
    #[serde(default = "not_accepted_default")]
    pub not_accepted: Vec<u16>,
    /// Sent with every request.
    #[serde(default)]
    pub headers: BTreeMap<String, Secret>,
    /// The longest `Retry-After` that is waited for, in milliseconds; beyond it the channel failed.
    #[serde(default = "retry_after_ms_max_default")]
    pub retry_after_ms_max: i64,
    /// How long a connection may rest before it is no longer used, in milliseconds.
    #[serde(default = "keep_alive_ms_default")]
    pub keep_alive_ms: u64,
    /// Most connections; as many as `max_in_flight` when absent.
    pub connections: Option<usize>,
    /// PEM file with the certificates that are trusted, instead of the system's.
    pub ca_file: Option<PathBuf>,
}

const fn timeout_ms_default() -> u64 {
    5_000
}

fn not_accepted_default() -> Vec<u16> {
    vec![429, 503]
}

const fn retry_after_ms_max_default() -> i64 {
    60 * 60 * 1000
}

const fn keep_alive_ms_default() -> u64 {
    4_000
}

impl ProviderHttpConfig {
    /// A provider at an address, all else as it is by default.
    #[must_use]
    pub fn at(url: impl Into<String>) -> Self {
        Self {
            url: Secret::new(url),
            timeout_ms: timeout_ms_default(),
            status_url: None,
            not_accepted: not_accepted_default(),
            headers: BTreeMap::new(),
            retry_after_ms_max: retry_after_ms_max_default(),
            keep_alive_ms: keep_alive_ms_default(),
            connections: None,
            ca_file: None,
        }
    }

    /// Checks what can be checked without the environment.
    ///
    /// # Errors
    /// Names the key; never what an address or a header holds.
    pub fn check(&self, section: impl Into<Section>) -> Result<()> {
        let section = section.into();
        let key = |name: &str| format!("channels.{section}.http.{name}");
        if !(1..=600_000).contains(&self.timeout_ms) {
            bail!("{} must be from 1 to 600000", key("timeout_ms"));
        }
        if self.retry_after_ms_max < 0 {
            bail!("{} must not be below 0", key("retry_after_ms_max"));
        }
        if self.connections == Some(0) {
            bail!("{} must be at least 1", key("connections"));
        }
        for status in &self.not_accepted {
            if !(300..=599).contains(status) {
                bail!(
                    "{} names {status}: only statuses from 300 to 599 can mean that a message was not accepted",
                    key("not_accepted")
                );
            }
        }
        for name in self.headers.keys() {
            if HeaderName::from_bytes(name.as_bytes()).is_err() {
                bail!("{}.{name:?} is no name of a header", key("headers"));
            }
            if RESERVED.contains(&name.to_ascii_lowercase().as_str()) {
                bail!(
                    "{}.{name} cannot be set: it belongs to the protocol",
                    key("headers")
                );
            }
        }
        if let Some(status_url) = &self.status_url
            && !status_url.as_written().contains("{key}")
        {
            bail!(
                "{} must contain {{key}}, where the message key goes",
                key("status_url")
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

    use sealpost_schemas::Channel;

    use super::*;

    fn refusal(change: impl FnOnce(&mut ProviderHttpConfig)) -> String {
        let mut settings = ProviderHttpConfig::at("http://127.0.0.1/hush");
        settings.check(Channel::Sms).unwrap();
        change(&mut settings);
        settings.check(Channel::Sms).unwrap_err().to_string()
    }

    #[test]
    fn what_cannot_be_meant_is_refused_by_the_name_of_its_key() {
        let secret = || Secret::new("hush");
        let cases = [
            (refusal(|it| it.timeout_ms = 0), "timeout_ms"),
            (refusal(|it| it.not_accepted.push(200)), "not_accepted"),
            (
                refusal(|it| it.retry_after_ms_max = -1),
                "retry_after_ms_max",
            ),
            (refusal(|it| it.connections = Some(0)), "connections"),
            (refusal(|it| it.status_url = Some(secret())), "status_url"),
            (
                refusal(|it| drop(it.headers.insert("Idempotency-Key".to_owned(), secret()))),
                "headers.Idempotency-Key",
            ),
            (
                refusal(|it| drop(it.headers.insert("no name".to_owned(), secret()))),
                "headers.\"no name\"",
            ),
        ];
        for (refusal, key) in cases {
            assert!(
                refusal.starts_with(&format!("channels.sms.http.{key}")),
                "{refusal}"
            );
            assert!(!refusal.contains("hush"), "{refusal}");
        }
    }
}
