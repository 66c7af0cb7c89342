//! A provider over HTTP by itself, as the sender would use it.

use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use sealpost::config::{ChannelConfig, ProviderHttpConfig, ProviderKind};
use sealpost::provider::http::Http;
use sealpost::provider::{Message, Provider as _, Reply};
use sealpost_operators::gate::{Answer, CallId, Word};
use sealpost_schemas::sealed::Plaintext;
use sealpost_schemas::{Channel, Kind, Period, Timestamp, UserId, Version};
use tokio::runtime::Runtime;

/// How long anything may take before a test gives up.
const PATIENCE: Duration = Duration::from_secs(60);
/// A time-out that is not meant to be reached, however busy the machine is …
const PATIENT_MS: u64 = 30_000;
/// … and one that is, long before the kit's delays are over.
const IMPATIENT_MS: u64 = 700;

/// See the module.
pub(crate) struct Desk {
    provider: Http,
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

pub(crate) fn address(user: u64) -> String {
    format!("user{user}@example.com")
}

impl Desk {
    pub(crate) fn new(http: ProviderHttpConfig) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let channel = ChannelConfig {
            provider: ProviderKind::Http,
            http: Some(http),
            ..ChannelConfig::default()
        };
        let clock = Arc::new(|| Timestamp::from_ms(0));
        let handle = runtime.handle().clone();
        let provider = Http::new(Channel::Email, &channel, handle, clock, |_| None).unwrap();
        Self {
            provider,
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
                subject: Some("subject".to_owned()),
                body: "text".to_owned(),
                html: Some("<p>text</p>".to_owned()),
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
