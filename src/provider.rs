//! Providers: who takes a message over from here, and what each can promise about it.
//!
//! Invariants:
//! - A [`Message`] holds the one plaintext address there is. It lives from the moment its call
//!   begins until the provider has taken what it needs; it has no `Debug` and no `Clone`.
//! - Every call and every question ends in exactly one answer, whatever the provider does:
//!   [`Reply`] drops a second answer, and answers itself what its provider forgot.
//! - The message key goes out with every call, and every repeat of a call carries the same one.

mod circuit;
pub mod http;
pub mod ledger;
mod parking;
mod reply;
mod section;
pub mod simulated;
pub mod smtp;
mod standing;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use sealpost_operators::gate::{Answer, CallId, ChannelRule, ChannelRules, Doubt, Word};
use sealpost_schemas::record::Rank;
use sealpost_schemas::sealed::Plaintext;
use sealpost_schemas::{Channel, MessageKey, Timestamp};

use crate::config::{ChannelConfig, Config, ProviderKind};
use crate::provider::http::Http;
use crate::provider::ledger::Ledger;
use crate::provider::simulated::{Simulated, Temper};
use crate::provider::smtp::Smtp;

pub use reply::Reply;
pub use section::Section;

/// Tells the time of day.
pub type WallClock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// How much longer than its slowest answer a simulated call is given before it is taken to have
/// ended: timers are late on a busy machine.
const GRACE_MARGIN_MS: i64 = 1_000;

/// An opened message, alive only for its call.
pub struct Message {
    /// Which call this is.
    pub id: CallId,
    /// Its idempotency key.
    pub message_key: MessageKey,
    /// The address; wiped when dropped.
    pub to: Plaintext,
    /// Subject, where the channel has one.
    pub subject: Option<String>,
    /// The text.
    pub body: String,
    /// The HTML part, where the channel has one.
    pub html: Option<String>,
}

/// Whether a provider can be given calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// As many as there is room for.
    Well,
    /// None, but for one that tries it after so long.
    Ailing(Ailment, Duration),
}

/// What is wrong with a provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ailment {
    /// It says that it is set up wrongly: it is parked.
    Misconfigured,
    /// It is not reached, or does not answer: its circuit is open.
    Down,
}

/// Who delivers the messages of one channel.
pub trait Provider: Send + Sync {
    /// A short name for logs and metrics.
    fn name(&self) -> &'static str;

    /// What can be done about a call in doubt.
    fn doubt(&self) -> Doubt;

    /// Why nothing goes out on this channel now, if it is set up wrongly: a word of a fixed list.
    fn parked(&self) -> Option<&'static str> {
        None
    }

    /// Whether it can be given calls now. Calls that come all the same are held back.
    fn condition(&self) -> Condition {
        Condition::Well
    }

    /// Begins these calls. Each ends in one answer, in any order and grouping, on any thread; a
    /// provider that needs no time may answer before this returns. The caller holds no lock.
    fn call(&self, messages: Vec<Message>, reply: Arc<Reply<Answer>>);

    /// Asks whether these keys were taken. Called only where [`Provider::doubt`] is
    /// [`Doubt::Ask`]; each question ends in one word.
    fn ask(&self, ids: Vec<CallId>, reply: Arc<Reply<Word>>);
}

/// Who delivers the messages of a channel.
#[derive(Clone)]
pub struct ChannelProviders {
    primary: Arc<dyn Provider>,
    fallback: Option<Arc<dyn Provider>>,
}

impl From<Arc<dyn Provider>> for ChannelProviders {
    fn from(primary: Arc<dyn Provider>) -> Self {
        Self {
            primary,
            fallback: None,
        }
    }
}

impl ChannelProviders {
    /// With a second one.
    #[must_use]
    pub fn with_fallback(self, fallback: Option<Arc<dyn Provider>>) -> Self {
        Self { fallback, ..self }
    }

    /// One of them, if it is there.
    #[must_use]
    pub const fn get(&self, rank: Rank) -> Option<&Arc<dyn Provider>> {
        match rank {
            Rank::Primary => Some(&self.primary),
            Rank::Fallback => self.fallback.as_ref(),
        }
    }

    /// What the gate goes by on their channel.
    #[must_use]
    pub fn rules(&self, settings: &ChannelConfig) -> ChannelRules {
        let fallback = settings.fallback.as_deref().zip(self.fallback.as_deref());
        ChannelRules::from(rule(settings, &*self.primary))
            .with_fallback(fallback.map(|(settings, provider)| rule(settings, provider)))
    }
}

/// The providers of each channel, by [`Channel::index`].
pub type Providers = [ChannelProviders; Channel::ALL.len()];

/// Makes the providers of every channel. Nothing is connected to or written yet.
///
/// # Errors
/// When a channel names a provider that this version does not have, or one whose settings cannot be
/// used; the message names the key.
pub fn build(
    config: &Config,
    data_dir: &Path,
    runtime: &tokio::runtime::Handle,
    clock: &WallClock,
) -> Result<Providers> {
    let mut providers = Vec::with_capacity(Channel::ALL.len());
    for channel in Channel::ALL {
        let settings = config.channel(channel);
        let make = |rank, settings: &ChannelConfig| {
            let section = Section { channel, rank };
            build_one(section, settings, data_dir, runtime, clock)
        };
        let primary = make(Rank::Primary, &settings)?;
        let fallback = settings.fallback.as_deref();
        let fallback = fallback
            .map(|settings| make(Rank::Fallback, settings))
            .transpose()?;
        providers.push(ChannelProviders { primary, fallback });
    }
    Providers::try_from(providers)
        .map_err(|_| anyhow::anyhow!("a channel was left without a provider"))
}

fn build_one(
    section: Section,
    settings: &ChannelConfig,
    data_dir: &Path,
    runtime: &tokio::runtime::Handle,
    clock: &WallClock,
) -> Result<Arc<dyn Provider>> {
    #[allow(
        clippy::disallowed_methods,
        reason = "secrets that the configuration names by their variables"
    )]
    let variable = |name: &str| std::env::var(name).ok();
    let runtime = runtime.clone();
    let clock = Arc::clone(clock);
    if settings.dedupes && settings.provider != ProviderKind::Http {
        tracing::warn!(
            channel = %section,
            "dedupes has no effect here: only a provider over http can collapse repeats of a key"
        );
    }
    Ok(match settings.provider {
        ProviderKind::Simulated => {
            let ledger = Ledger::new(data_dir, section);
            let temper = Temper::of(settings);
            Arc::new(Simulated::new(ledger, temper, runtime, clock))
        }
        ProviderKind::Http => Arc::new(Http::new(section, settings, runtime, clock, variable)?),
        ProviderKind::Smtp => Arc::new(Smtp::new(section, settings, runtime, clock, variable)?),
    })
}

/// What the gate goes by with a provider. An intent leaves at least the time in which two calls may
/// begin, so that one can wait for its turn and for its commit. The grace is at least as long as a call of this provider
/// can last, so that a doubt is never settled while the call may still be on the line.
fn rule(settings: &ChannelConfig, provider: &dyn Provider) -> ChannelRule {
    let call_ms_max = match settings.provider {
        ProviderKind::Simulated => settings.latency_ms,
        ProviderKind::Http => settings.http.as_ref().map_or(0, |http| http.timeout_ms),
        ProviderKind::Smtp => settings.smtp.as_ref().map_or(0, |smtp| smtp.timeout_ms),
    };
    let interval_ms = settings
        .rate_per_second
        .map_or(0, |rate| i64::from(1_000_u32.div_ceil(rate.max(1))));
    let call_ms_max = i64::try_from(call_ms_max).unwrap_or(i64::MAX);
    ChannelRule {
        start_within_ms: settings.start_within_ms.max(2 * interval_ms),
        grace_ms: settings
            .provider_grace_ms
            .max(call_ms_max.saturating_add(GRACE_MARGIN_MS)),
        doubt: provider.doubt(),
        backoff_ms: settings.backoff_ms,
    }
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::indexing_slicing,
        clippy::panic,
        reason = "tests"
    )]

    use super::*;
    use crate::provider::http::secret::Secret;
    use crate::provider::http::settings::ProviderHttpConfig;

    fn built(settings: ChannelConfig) -> Result<Providers> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .build()
            .unwrap();
        let folder = tempfile::tempdir().unwrap();
        let mut config = Config::default();
        config.channels.insert(Channel::Sms, settings);
        let clock: WallClock = Arc::new(|| Timestamp(0));
        build(&config, folder.path(), runtime.handle(), &clock)
    }

    #[test]
    fn a_mail_server_without_its_section_is_refused_with_the_key_that_is_missing() {
        let refusal = refused(ProviderKind::Smtp, None);
        assert!(refusal.contains("needs [channels.sms.smtp]"), "{refusal}");
    }

    fn refused(provider: ProviderKind, http: Option<ProviderHttpConfig>) -> String {
        let refusal = built(ChannelConfig {
            provider,
            http,
            ..ChannelConfig::default()
        });
        let line = format!("{:#}", refusal.err().unwrap());
        assert!(!line.contains('\n'));
        line
    }

    #[test]
    fn settings_over_http_that_cannot_be_used_are_refused_by_their_key_and_not_shown() {
        let missing = refused(ProviderKind::Http, None);
        assert!(missing.contains("needs [channels.sms.http]"), "{missing}");
        let mut unset = ProviderHttpConfig::at("http://127.0.0.1/hush");
        let secret = Secret::new("hush ${SEALPOST_NO_SUCH_VARIABLE}");
        unset.headers.insert("Authorization".to_owned(), secret);
        let mut broken = ProviderHttpConfig::at("http://127.0.0.1/hush");
        let secret = Secret::new("hush\n");
        broken.headers.insert("X-Key".to_owned(), secret);
        for (http, key) in [
            (ProviderHttpConfig::at("hush"), "url must be an address"),
            (
                ProviderHttpConfig::at("http://me:hush@a/"),
                "url must not hold",
            ),
            (unset, "headers.Authorization: the environment variable"),
            (broken, "headers.X-Key holds"),
        ] {
            let refusal = refused(ProviderKind::Http, Some(http));
            let expected = format!("channels.sms.http.{key}");
            assert!(refusal.starts_with(&expected), "{refusal}");
            assert!(!refusal.contains("hush"), "{refusal}");
        }
    }

    #[test]
    fn a_second_provider_is_built_of_its_own_section_and_refused_by_its_own_key() {
        let with = |fallback| ChannelConfig {
            fallback: Some(Box::new(fallback)),
            ..ChannelConfig::default()
        };
        let refusal = built(with(ChannelConfig {
            provider: ProviderKind::Http,
            ..ChannelConfig::default()
        }));
        let line = format!("{:#}", refusal.err().unwrap());
        assert!(
            line.contains("needs [channels.sms.fallback.http]"),
            "{line}"
        );
        let mute = ChannelConfig {
            can_be_asked: false,
            ..ChannelConfig::default()
        };
        let providers = built(with(mute.clone())).unwrap();
        let providers = &providers[Channel::Sms.index()];
        let doubt = |rank| providers.get(rank).unwrap().doubt();
        assert_eq!(doubt(Rank::Primary), Doubt::Ask);
        assert_eq!(doubt(Rank::Fallback), Doubt::Nothing);
        let without = built(mute).unwrap();
        assert!(without[Channel::Sms.index()].get(Rank::Fallback).is_none());
    }

    #[test]
    fn a_section_is_written_as_it_is_read() {
        let ledger = |rank| {
            let channel = Channel::Sms;
            Section { channel, rank }.to_string()
        };
        assert_eq!(ledger(Rank::Primary), "sms");
        assert_eq!(ledger(Rank::Fallback), "sms.fallback");
        for section in ["sms", "sms.fallback"] {
            let read: Section = section.parse().unwrap();
            assert_eq!(read.to_string(), section);
        }
        assert!("sms.fallback.fallback".parse::<Section>().is_err());
    }

    #[cfg(not(feature = "https"))]
    #[test]
    fn a_build_without_tls_says_how_to_have_it() {
        let refusal = refused(
            ProviderKind::Http,
            Some(ProviderHttpConfig::at("https://a/hush")),
        );
        assert!(refusal.contains("--features tls"), "{refusal}");
    }

    #[test]
    fn what_can_be_done_about_a_doubt_over_http_is_as_configured() {
        let doubt = |dedupes, status_url: Option<&str>| {
            let mut http = ProviderHttpConfig::at("http://127.0.0.1/send");
            http.status_url = status_url.map(Secret::new);
            let channel = ChannelConfig {
                provider: ProviderKind::Http,
                dedupes,
                dedupe_window: 1_000,
                http: Some(http),
                ..ChannelConfig::default()
            };
            built(channel).unwrap()[Channel::Sms.index()]
                .primary
                .doubt()
        };
        let status_url = Some("http://127.0.0.1/status/{key}");
        assert_eq!(doubt(false, None), Doubt::Nothing);
        assert_eq!(doubt(false, status_url), Doubt::Ask);
        assert_eq!(doubt(true, status_url), Doubt::Repeat { window_ms: 1_000 });
    }

    #[test]
    fn the_simulated_provider_is_never_repeated_blindly() {
        let asked = built(ChannelConfig {
            dedupes: true,
            ..ChannelConfig::default()
        })
        .unwrap();
        assert_eq!(asked[Channel::Sms.index()].primary.doubt(), Doubt::Ask);
        let mute = ChannelConfig {
            dedupes: true,
            can_be_asked: false,
            ..ChannelConfig::default()
        };
        assert_eq!(
            built(mute).unwrap()[Channel::Sms.index()].primary.doubt(),
            Doubt::Nothing
        );
    }

    #[test]
    fn an_intent_lasts_until_a_slow_channels_next_turn() {
        let slow = ChannelConfig {
            rate_per_second: Some(1),
            start_within_ms: 100,
            ..ChannelConfig::default()
        };
        let provider = Arc::clone(&built(slow.clone()).unwrap()[Channel::Sms.index()].primary);
        assert_eq!(rule(&slow, &*provider).start_within_ms, 2_000);
        assert_eq!(
            rule(
                &ChannelConfig {
                    rate_per_second: None,
                    ..slow
                },
                &*provider
            )
            .start_within_ms,
            100
        );
    }

    #[test]
    fn a_doubt_is_not_settled_before_the_slowest_call_has_ended() {
        let slow = ChannelConfig {
            latency_ms: 60_000,
            provider_grace_ms: 3_000,
            ..ChannelConfig::default()
        };
        let provider = Arc::clone(&built(slow.clone()).unwrap()[Channel::Sms.index()].primary);
        assert_eq!(rule(&slow, &*provider).grace_ms, 61_000);
        let quick = ChannelConfig {
            latency_ms: 5,
            provider_grace_ms: 3_000,
            ..ChannelConfig::default()
        };
        assert_eq!(rule(&quick, &*provider).grace_ms, 3_000);
    }
}
