//! A provider by itself, as the sender would use it.

use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use sealpost::config::{ChannelConfig, ProviderHttpConfig, ProviderKind, ProviderSmtpConfig};
use sealpost::provider::http::Http;
use sealpost::provider::smtp::Smtp;
use sealpost::provider::{Ailment, Condition, Message, Provider, Reply, WallClock};
use sealpost_operators::gate::{Answer, CallId, Word};
use sealpost_schemas::sealed::Plaintext;
use sealpost_schemas::{Channel, Kind, Period, Timestamp, UserId, Version};
use tokio::runtime::{Handle, Runtime};

/// How long anything may take before a test gives up.
const PATIENCE: Duration = Duration::from_secs(60);
/// A time-out that is not meant to be reached, however busy the machine is …
const PATIENT_MS: u64 = 30_000;
/// … and one that is, long before the kit's delays are over.
const IMPATIENT_MS: u64 = 700;

/// What each message says.
pub(crate) const SUBJECT: &str = "2026년 1월 통신요금 청구서가 도착하였습니다: 확인해 주십시오";
pub(crate) const BODY: &str = "김*수 고객님\n.\n합계 13,013원\n";
pub(crate) const HTML: &str = "<html><body><p>김*수 고객님</p><p>합계 13,013원</p></body></html>\n";

/// See the module.
pub(crate) struct Desk {
    provider: Box<dyn Provider>,
    _runtime: Runtime,
}

/// Settings for an address, with all the time there is.
pub(crate) fn settings(url: String) -> ProviderHttpConfig {
    ProviderHttpConfig {
        timeout_ms: PATIENT_MS,
        ..ProviderHttpConfig::at(url)
    }
}

/// Settings for an address that is not waited for long.
pub(crate) fn impatient(url: String) -> ProviderHttpConfig {
    ProviderHttpConfig {
        timeout_ms: IMPATIENT_MS,
        ..ProviderHttpConfig::at(url)
    }
}

pub(crate) fn id(user: u64) -> CallId {
    CallId {
        user_id: UserId::new(user).unwrap(),
        period: Period::new(2026, 1).unwrap(),
        kind: Kind::Bill,
        version: Version(0),
        channel: Channel::Email,
    }
}

fn clock() -> WallClock {
    Arc::new(|| Timestamp::from_ms(1_769_878_800_000))
}

pub(crate) fn address(user: u64) -> String {
    format!("user{user}@example.com")
}

impl Desk {
    pub(crate) fn new(http: ProviderHttpConfig) -> Self {
        let channel = ChannelConfig {
            provider: ProviderKind::Http,
            http: Some(http),
            ..ChannelConfig::default()
        };
        Self::with(|runtime| {
            let provider = Http::new(Channel::Email, &channel, runtime, clock(), |_| None);
            Box::new(provider.unwrap())
        })
    }

    /// One whose circuit opens after so many failures, for good as far as a test goes.
    pub(crate) fn with_breaker(http: ProviderHttpConfig, failures: u32) -> Self {
        let channel = ChannelConfig {
            provider: ProviderKind::Http,
            http: Some(http),
            breaker_failures: Some(failures),
            breaker_pause_ms: 3_600_000,
            ..ChannelConfig::default()
        };
        Self::with(|runtime| {
            let provider = Http::new(Channel::Email, &channel, runtime, clock(), |_| None);
            Box::new(provider.unwrap())
        })
    }

    /// One that is a mail server.
    pub(crate) fn mail(smtp: ProviderSmtpConfig) -> Self {
        let channel = ChannelConfig {
            provider: ProviderKind::Smtp,
            smtp: Some(smtp),
            ..ChannelConfig::default()
        };
        Self::with(|runtime| {
            let provider = Smtp::new(Channel::Email, &channel, runtime, clock(), |_| None);
            Box::new(provider.unwrap())
        })
    }

    fn with(provider: impl FnOnce(Handle) -> Box<dyn Provider>) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        Self {
            provider: provider(runtime.handle().clone()),
            _runtime: runtime,
        }
    }

    /// One at an address.
    pub(crate) fn at(url: String) -> Self {
        Self::new(settings(url))
    }

    /// Calls for users, all at once; what each call came to, by user.
    pub(crate) fn calls(&self, users: std::ops::Range<u64>) -> Vec<Answer> {
        let ids: Vec<_> = users.clone().map(id).collect();
        let messages = ids
            .iter()
            .map(|id| Message {
                id: *id,
                message_key: id.message_key(),
                to: Plaintext::new(address(id.user_id.get()).into_bytes()),
                subject: Some(SUBJECT.to_owned()),
                body: BODY.to_owned(),
                html: Some(HTML.to_owned()),
            })
            .collect();
        let (post, answers) = mpsc::channel();
        let fallback = Answer::NoAnswer("forgotten");
        let reply = Reply::new(ids, fallback, move |answers| {
            answers.into_iter().for_each(|it| post.send(it).unwrap());
        });
        self.provider.call(messages, Arc::new(reply));
        collect(&answers, users.count())
    }

    /// One call.
    pub(crate) fn call(&self, user: u64) -> Answer {
        self.calls(user..user + 1).remove(0)
    }

    /// One question.
    pub(crate) fn ask(&self, user: u64) -> Word {
        let (post, words) = mpsc::channel();
        let reply = Reply::new(vec![id(user)], Word::Unclear, move |words| {
            words.into_iter().for_each(|it| post.send(it).unwrap());
        });
        self.provider.ask(vec![id(user)], Arc::new(reply));
        collect(&words, 1).remove(0)
    }

    pub(crate) fn is_down(&self) -> bool {
        matches!(
            self.provider.condition(),
            Condition::Ailing(Ailment::Down, _)
        )
    }

    pub(crate) fn parked(&self) -> Option<&'static str> {
        self.provider.parked()
    }
}

fn collect<A>(answers: &mpsc::Receiver<(CallId, A)>, count: usize) -> Vec<A> {
    let mut all: Vec<_> = (0..count)
        .map(|_| answers.recv_timeout(PATIENCE).unwrap())
        .collect();
    all.sort_by_key(|(id, _)| *id);
    all.into_iter().map(|(_, answer)| answer).collect()
}
