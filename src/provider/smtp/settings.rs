//! `[channels.email.smtp]`: where the mail server is, and who writes.

use std::net::IpAddr;
use std::path::PathBuf;

use anyhow::{Result, bail};
use lettre::message::Mailbox;
use sealpost_schemas::Channel;
use serde::Deserialize;

use crate::provider::Section;
use crate::provider::http::secret::Secret;

/// See the module.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProviderSmtpConfig {
    /// Name or address of the server.
    pub host: String,
    /// Its port; by default 587 with `starttls`, 465 with `wrapper`, 25 with `none`.
    pub port: Option<u16>,
    /// How the line is encrypted.
    #[serde(default)]
    pub tls: SmtpTls,
    /// Who signs in.
    pub username: Option<Secret>,
    /// With which password.
    pub password: Option<Secret>,
    /// Who writes: `name@host` or `Name <name@host>`.
    pub from: String,
    /// Who is to be answered, if somebody else.
    pub reply_to: Option<String>,
    /// What stands behind the `@` of each `Message-ID`; by default the domain of `from`.
    pub message_id_domain: Option<String>,
    /// After this long, in milliseconds, a call has ended.
    #[serde(default = "timeout_ms_default")]
    pub timeout_ms: u64,
    /// Most connections at once.
    #[serde(default = "connections_default")]
    pub connections: usize,
    /// How long a connection may rest before it is no longer used, in milliseconds.
    #[serde(default = "keep_alive_ms_default")]
    pub keep_alive_ms: u64,
    /// PEM file with the certificates that are trusted, instead of the system's.
    pub ca_file: Option<PathBuf>,
}

/// How the line is encrypted. There is no "if the server offers it": whoever sits in between
/// would only have to take the offer out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SmtpTls {
    /// Not at all.
    None,
    /// By `STARTTLS`, without which nothing is sent.
    #[default]
    StartTls,
    /// From the first byte.
    Wrapper,
}

const fn timeout_ms_default() -> u64 {
    30_000
}

const fn connections_default() -> usize {
    20
}

const fn keep_alive_ms_default() -> u64 {
    30_000
}

impl ProviderSmtpConfig {
    /// A server at an address, without encryption; all else as it is by default.
    #[must_use]
    pub fn at(host: impl Into<String>, port: u16, from: impl Into<String>) -> Self {
        Self {
            host: host.into(),
            port: Some(port),
            tls: SmtpTls::None,
            username: None,
            password: None,
            from: from.into(),
            reply_to: None,
            message_id_domain: None,
            timeout_ms: timeout_ms_default(),
            connections: connections_default(),
            keep_alive_ms: keep_alive_ms_default(),
            ca_file: None,
        }
    }

    /// The port that is meant.
    pub(super) fn port(&self) -> u16 {
        self.port.unwrap_or(match self.tls {
            SmtpTls::None => 25,
            SmtpTls::StartTls => 587,
            SmtpTls::Wrapper => 465,
        })
    }

    /// Checks what can be checked without the environment.
    ///
    /// # Errors
    /// Names the key; never what a secret holds.
    pub fn check(&self, section: impl Into<Section>) -> Result<()> {
        let section = section.into();
        let key = |name: &str| format!("channels.{section}.smtp.{name}");
        if section.channel != Channel::Email {
            bail!(
                "channels.{section}.smtp: a mail server carries the channel email only: use provider = \"http\" here"
            );
        }
        if self.host.trim().is_empty() {
            bail!("{} is empty: name the mail server", key("host"));
        }
        if !(1..=600_000).contains(&self.timeout_ms) {
            bail!("{} must be from 1 to 600000", key("timeout_ms"));
        }
        if !(1..=10_000).contains(&self.connections) {
            bail!("{} must be from 1 to 10000", key("connections"));
        }
        if self.username.is_some() != self.password.is_some() {
            bail!(
                "{} and password go together: set both, or none",
                key("username")
            );
        }
        if self.username.is_some() && self.tls == SmtpTls::None && !self.is_here() {
            bail!(
                "{} = \"none\" would send the password in the clear: use \"starttls\" or \"wrapper\"",
                key("tls")
            );
        }
        for (name, text) in [
            ("from", Some(&self.from)),
            ("reply_to", self.reply_to.as_ref()),
        ] {
            if text.is_some_and(|text| text.parse::<Mailbox>().is_err()) {
                bail!(
                    "{} must be an address: name@host, or Name <name@host>",
                    key(name)
                );
            }
        }
        let is_of_domain = |c: char| c.is_ascii_alphanumeric() || c == '.' || c == '-';
        if let Some(domain) = &self.message_id_domain
            && (domain.is_empty() || domain.len() > 190 || !domain.chars().all(is_of_domain))
        {
            bail!(
                "{} must be the name of a domain, such as mail.example",
                key("message_id_domain")
            );
        }
        Ok(())
    }

    /// Whether the server is on this machine, so that what is said to it leaves no wire.
    fn is_here(&self) -> bool {
        self.host == "localhost"
            || self
                .host
                .parse::<IpAddr>()
                .is_ok_and(|address| address.is_loopback())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

    use super::*;

    fn refusal(change: impl FnOnce(&mut ProviderSmtpConfig)) -> String {
        let mut settings = ProviderSmtpConfig::at("mail.example", 25, "Bills <bills@mail.example>");
        settings.check(Channel::Email).unwrap();
        change(&mut settings);
        settings.check(Channel::Email).unwrap_err().to_string()
    }

    #[test]
    fn what_cannot_be_meant_is_refused_by_the_name_of_its_key() {
        let secret = || Some(Secret::new("hush"));
        let cases = [
            (refusal(|it| it.host.clear()), "host"),
            (refusal(|it| it.timeout_ms = 0), "timeout_ms"),
            (refusal(|it| it.connections = 0), "connections"),
            (refusal(|it| it.from = "hush".to_owned()), "from"),
            (
                refusal(|it| it.reply_to = Some("hush".to_owned())),
                "reply_to",
            ),
            (refusal(|it| it.password = secret()), "username"),
            (
                refusal(|it| (it.username, it.password) = (secret(), secret())),
                "tls",
            ),
            (
                refusal(|it| it.message_id_domain = Some("hush>".to_owned())),
                "message_id_domain",
            ),
        ];
        for (refusal, key) in cases {
            let expected = format!("channels.email.smtp.{key}");
            assert!(refusal.starts_with(&expected), "{refusal}");
            assert!(!refusal.contains("hush"), "{refusal}");
        }
    }

    #[test]
    fn mail_carries_no_other_channel() {
        let settings = ProviderSmtpConfig::at("mail.example", 25, "bills@mail.example");
        let refusal = settings.check(Channel::Sms).unwrap_err().to_string();
        assert!(refusal.starts_with("channels.sms.smtp"), "{refusal}");
    }
}
