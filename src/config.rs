//! Configuration: a TOML file, and over it the environment as `SEALPOST__SECTION__KEY`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use figment::Figment;
use figment::providers::{Env, Format as _, Toml};
use sealpost_operators::windows::{QuietHours, WindowRule};
use sealpost_schemas::Channel;
use sealpost_schemas::record::{Policy, Rank};
use serde::{Deserialize, Deserializer};

use crate::provider::Section;
use crate::provider::http::secret::Secret;
pub use crate::provider::http::settings::ProviderHttpConfig;
pub use crate::provider::smtp::settings::{ProviderSmtpConfig, SmtpTls};
pub use crate::receipts::ReceiptsConfig;
use crate::registry::{SchemaRegistryConfig, is_plain, password_from_environment};
pub use crate::templates::{TemplatesConfig, TextMessageKind};

/// Everything that can be set.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// IANA name of the zone that periods, quiet hours and send days are in.
    pub time_zone: String,
    /// Who gives the commands of this command line; `user@host` when absent.
    pub operator: Option<String>,
    /// The log.
    pub log: LogConfig,
    /// The schema registry; without one, values are in single-object encoding.
    pub schema_registry: Option<SchemaRegistryConfig>,
    /// The key ring.
    pub keys: KeysConfig,
    /// The tariff catalogue.
    pub catalog: CatalogConfig,
    /// The message templates.
    pub templates: TemplatesConfig,
    /// The channel order.
    pub policy: PolicyConfig,
    /// Each channel's provider and limits.
    pub channels: BTreeMap<Channel, ChannelConfig>,
    /// When messages may go.
    pub windows: WindowsConfig,
    /// The workers.
    pub run: RunConfig,
    /// Metrics and health over HTTP; off when absent.
    pub http: Option<HttpConfig>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            time_zone: "Asia/Seoul".to_owned(),
            operator: None,
            log: LogConfig::default(),
            schema_registry: None,
            keys: KeysConfig::default(),
            catalog: CatalogConfig::default(),
            templates: TemplatesConfig::default(),
            policy: PolicyConfig::default(),
            channels: BTreeMap::new(),
            windows: WindowsConfig::default(),
            run: RunConfig::default(),
            http: None,
        }
    }
}

/// `[log]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogConfig {
    /// Which log.
    pub backend: Backend,
    /// Partitions of every topic; fixed when the log is made.
    pub partitions: u32,
    /// What every topic's name begins with.
    pub topic_prefix: String,
    /// How long what every stage has committed past stays on the topics between stages.
    #[serde(deserialize_with = "duration_ms")]
    pub keep_handled: i64,
    /// Settings of the Kafka backend.
    pub kafka: KafkaConfig,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self {
            backend: Backend::Embedded,
            partitions: 8,
            topic_prefix: "sealpost.".to_owned(),
            keep_handled: 35 * 24 * 60 * 60 * 1_000,
            kafka: KafkaConfig::default(),
        }
    }
}

/// `[log.kafka]`
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct KafkaConfig {
    /// Where the brokers are.
    pub bootstrap_servers: String,
    /// Replicas of the topics that sealpost creates; -1: the broker's default.
    pub replication_factor: i32,
    /// Whether topics that are missing are created.
    pub create_topics: bool,
    /// A stable name of this process, of which there is one at a time: it keeps its shards while
    /// it restarts. When absent, whoever takes over from a process that ended gets them.
    pub instance_id: Option<String>,
    /// `consumer` (KIP-848, Kafka 4.0 and later) or `classic`.
    pub group_protocol: GroupProtocolName,
    /// Whether compacted topics are copied to the data directory: restarts are quick then.
    pub local_copies: bool,
    /// How long a running stage waits for brokers that do not answer.
    #[serde(deserialize_with = "duration_ms")]
    pub patience: i64,
    /// Any librdkafka property.
    #[serde(deserialize_with = "properties")]
    pub properties: BTreeMap<String, String>,
}

// properties hold passwords
impl std::fmt::Debug for KafkaConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KafkaConfig")
            .field("bootstrap_servers", &self.bootstrap_servers)
            .field("properties", &self.properties.keys())
            .finish_non_exhaustive()
    }
}

impl Default for KafkaConfig {
    fn default() -> Self {
        Self {
            bootstrap_servers: String::new(),
            replication_factor: -1,
            create_topics: true,
            instance_id: None,
            group_protocol: GroupProtocolName::Consumer,
            local_copies: true,
            patience: 5 * 60 * 1000,
            properties: BTreeMap::new(),
        }
    }
}

/// How groups are formed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GroupProtocolName {
    /// The brokers decide who owns what.
    Consumer,
    /// The members do.
    Classic,
}

/// Properties by name. A name has dots, which a TOML key without quotes makes tables of: both
/// ways of writing it mean the same.
fn properties<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeMap<String, String>, D::Error> {
    fn flatten(
        name: &str,
        value: figment::value::Value,
        into: &mut BTreeMap<String, String>,
    ) -> Result<(), String> {
        use figment::value::Value;
        let text = match value {
            Value::String(_, text) => text,
            Value::Num(_, number) => number.to_i128().map_or_else(
                || format!("{}", number.to_f64().unwrap_or_default()),
                |n| n.to_string(),
            ),
            Value::Bool(_, truth) => truth.to_string(),
            Value::Char(_, one) => one.to_string(),
            Value::Dict(_, inner) => {
                for (part, value) in inner {
                    flatten(&format!("{name}.{part}"), value, into)?;
                }
                return Ok(());
            }
            _ => return Err(format!("{name} must be a text, a number, true or false")),
        };
        into.insert(name.to_owned(), text);
        Ok(())
    }
    // a value in a wrong form may be a password: the message must not repeat it
    let written: figment::value::Value = Deserialize::deserialize(deserializer)?;
    let figment::value::Value::Dict(_, written) = written else {
        return Err(serde::de::Error::custom(
            "expected a table of librdkafka properties; in the environment: {\"sasl.username\"=\"…\"}",
        ));
    };
    let mut properties = BTreeMap::new();
    for (name, value) in written {
        flatten(&name, value, &mut properties).map_err(serde::de::Error::custom)?;
    }
    Ok(properties)
}

/// Which log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Backend {
    /// One directory, one machine.
    Embedded,
    /// Apache Kafka.
    Kafka,
}

/// `[keys]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct KeysConfig {
    /// The key ring file.
    pub file: PathBuf,
}

impl Default for KeysConfig {
    fn default() -> Self {
        Self {
            file: PathBuf::from("keys.json"),
        }
    }
}

/// `[catalog]`
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CatalogConfig {
    /// The catalogue; the built-in one when absent.
    pub file: Option<PathBuf>,
}

/// `[policy]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PolicyConfig {
    /// The channel order; a channel at most once.
    pub channels: Vec<Channel>,
    /// Calls on one channel while its provider does not accept.
    pub attempts_per_channel: u16,
}

impl Default for PolicyConfig {
    fn default() -> Self {
        Self {
            channels: vec![Channel::Email, Channel::Sms, Channel::Kakao],
            attempts_per_channel: 3,
        }
    }
}

/// `[channels.NAME]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ChannelConfig {
    /// Who delivers.
    pub provider: ProviderKind,
    /// Most calls in a second; no limit when absent.
    pub rate_per_second: Option<u32>,
    /// Most calls on the line at once.
    pub max_in_flight: usize,
    /// Whether the provider collapses repeats of one key.
    pub dedupes: bool,
    /// For how long it does.
    #[serde(deserialize_with = "duration_ms")]
    pub dedupe_window: i64,
    /// After this long an intent's call is no longer started.
    pub start_within_ms: i64,
    /// After this long past that a call that was started has surely ended.
    pub provider_grace_ms: i64,
    /// First wait before a call that was not accepted is repeated.
    pub backoff_ms: i64,
    /// Calls in a row that a provider must not answer for its circuit to open; 0: it never does.
    pub breaker_failures: Option<u32>,
    /// How long an open circuit waits before it is tried for the first time; the wait doubles.
    pub breaker_pause_ms: u64,
    /// Simulated: how long an answer takes.
    pub latency_ms: u64,
    /// Simulated: the share of messages that are refused, drawn from the message key.
    pub failure_rate: f64,
    /// Simulated: whether its ledger can be asked by key.
    pub can_be_asked: bool,
    /// For sms: whether text messages are short ones only, or long ones where they must be.
    pub kind: Option<TextMessageKind>,
    /// The longest message, in what the channel counts.
    pub size_max: Option<usize>,
    /// `[channels.NAME.http]`
    pub http: Option<ProviderHttpConfig>,
    /// What it says later of a message; not taken when absent.
    pub receipts: Option<ReceiptsConfig>,
    /// `[channels.NAME.smtp]`
    pub smtp: Option<ProviderSmtpConfig>,
    /// `[channels.NAME.fallback]`: who delivers while the first provider is not well.
    pub fallback: Option<Box<ChannelConfig>>,
}

impl Default for ChannelConfig {
    fn default() -> Self {
        Self {
            provider: ProviderKind::Simulated,
            rate_per_second: None,
            max_in_flight: 500,
            dedupes: false,
            dedupe_window: 24 * 60 * 60 * 1000,
            start_within_ms: 2_000,
            provider_grace_ms: 3_000,
            backoff_ms: 500,
            breaker_failures: None,
            breaker_pause_ms: 1_000,
            latency_ms: 0,
            failure_rate: 0.0,
            can_be_asked: true,
            kind: None,
            size_max: None,
            http: None,
            receipts: None,
            smtp: None,
            fallback: None,
        }
    }
}

impl ChannelConfig {
    /// Calls without an answer until the circuit opens. Where there is no second provider, a channel
    /// fails after its attempts and the route moves on, unless somebody wants it to wait.
    #[must_use]
    pub fn breaker_failures(&self) -> u32 {
        let of_two = if self.fallback.is_some() { 20 } else { 0 };
        self.breaker_failures.unwrap_or(of_two)
    }

    fn check(&self, section: Section) -> Result<()> {
        if self.max_in_flight == 0 {
            bail!("channels.{section}.max_in_flight must be at least 1");
        }
        if let Some(http) = &self.http {
            http.check(section)?;
        }
        if let Some(smtp) = &self.smtp {
            smtp.check(section)?;
        }
        if self.rate_per_second == Some(0) {
            bail!(
                "channels.{section}.rate_per_second must be at least 1; leave it out for no limit"
            );
        }
        if !(0.0..=1.0).contains(&self.failure_rate) {
            bail!("channels.{section}.failure_rate must be from 0 to 1");
        }
        if self.start_within_ms <= 0 || self.provider_grace_ms < 0 || self.backoff_ms <= 0 {
            bail!(
                "channels.{section}: start_within_ms and backoff_ms must be above 0, provider_grace_ms at least 0"
            );
        }
        if !(1..=3_600_000).contains(&self.breaker_pause_ms) {
            bail!("channels.{section}.breaker_pause_ms must be from 1 to 3600000");
        }
        Ok(())
    }

    /// What belongs to the channel is said once, of the channel.
    fn check_fallback(&self, channel: Channel) -> Result<()> {
        let section = Section {
            channel,
            rank: Rank::Fallback,
        };
        for (name, is_set) in [
            ("kind", self.kind.is_some()),
            ("size_max", self.size_max.is_some()),
            ("fallback", self.fallback.is_some()),
        ] {
            if is_set {
                bail!("channels.{section}.{name} cannot be set: it belongs to the channel");
            }
        }
        if let Some(receipts) = &self.receipts {
            receipts.check(section)?;
        }
        self.check(section)
    }

    fn resolve_paths(&mut self, folder: &Path) {
        let http = self.http.as_mut().map(|http| &mut http.ca_file);
        let smtp = self.smtp.as_mut().map(|smtp| &mut smtp.ca_file);
        for ca_file in http.into_iter().chain(smtp).flatten() {
            *ca_file = folder.join(&*ca_file);
        }
        if let Some(fallback) = &mut self.fallback {
            fallback.resolve_paths(folder);
        }
    }
}

/// Who delivers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ProviderKind {
    /// A provider inside this process, with a ledger on disk.
    Simulated,
    /// A provider over HTTP.
    Http,
    /// A mail server.
    Smtp,
}

/// `[windows]`
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WindowsConfig {
    /// Send at once, whatever the quiet hours and send days say.
    pub ignore: bool,
    /// First hour in which nothing is sent to anybody, 0–23, in the configured zone.
    pub quiet_from: Option<u8>,
    /// First hour in which it is sent again; before `quiet_from` means across midnight.
    pub quiet_to: Option<u8>,
}

impl WindowsConfig {
    fn check(&self) -> Result<()> {
        match (self.quiet_from, self.quiet_to) {
            (None, None) => Ok(()),
            (Some(from), Some(to)) if from > 23 || to > 23 => {
                bail!("windows.quiet_from and windows.quiet_to are hours from 0 to 23")
            }
            (Some(from), Some(to)) if from == to => bail!(
                "windows.quiet_from and windows.quiet_to are the same: a whole day cannot be quiet, since nothing would ever be sent; leave both out for no quiet hours"
            ),
            (Some(_), Some(_)) => Ok(()),
            _ => bail!("windows.quiet_from and windows.quiet_to go together: set both, or neither"),
        }
    }
}

/// `[run]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RunConfig {
    /// Threads of each stage; as many as there are cores when absent.
    pub workers: Option<usize>,
    /// How long a stop waits for calls on the line.
    pub grace_ms: u64,
    /// What a stop has beyond that to commit and leave; then the process ends at once.
    pub leave_ms: u64,
}

impl Default for RunConfig {
    fn default() -> Self {
        Self {
            workers: None,
            grace_ms: 10_000,
            leave_ms: 170_000,
        }
    }
}

/// `[http]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpConfig {
    /// Address and port.
    pub listen: std::net::SocketAddr,
    /// The API's token, or `${NAME}` for that of the environment.
    pub token: Option<Secret>,
    /// A file with a token, or with `NAME TOKEN` on each line.
    pub token_file: Option<PathBuf>,
}

impl Config {
    /// Reads `file`, or `sealpost.toml` if that is there, and the environment.
    ///
    /// # Errors
    /// When a named file is missing, or anything in it is unknown, of the wrong type or out of
    /// range; the message names the key.
    pub fn load(file: Option<&Path>) -> Result<Self> {
        let default = Path::new("sealpost.toml");
        let file = match file {
            Some(file) if !file.is_file() => {
                bail!("the configuration file {} is not there", file.display())
            }
            Some(file) => Some(file),
            None => default.is_file().then_some(default),
        };
        let mut figment = Figment::new();
        if let Some(file) = file {
            figment = figment.merge(Toml::file(file));
        }
        let mut config: Self = figment
            .merge(Env::prefixed("SEALPOST__").filter(is_plain).split("__"))
            .merge(password_from_environment())
            .extract()
            .map_err(|error| anyhow::anyhow!("{}", one_line(&error.to_string())))
            .context("the configuration cannot be used")?;
        config.check()?;
        // paths in a file are meant from where the file is
        if let Some(folder) = file.and_then(Path::parent) {
            config.keys.file = folder.join(&config.keys.file);
            config.catalog.file = config.catalog.file.map(|catalog| folder.join(catalog));
            let templates = &mut config.templates.directory;
            *templates = templates.take().map(|directory| folder.join(directory));
            if let Some(http) = &mut config.http {
                http.token_file = http.token_file.take().map(|tokens| folder.join(tokens));
            }
            for channel in config.channels.values_mut() {
                channel.resolve_paths(folder);
            }
        }
        Ok(config)
    }

    fn check(&self) -> Result<()> {
        let mut seen = Vec::new();
        for channel in &self.policy.channels {
            if seen.contains(channel) {
                bail!(
                    "policy.channels names {channel} twice: a channel occurs at most once in a route"
                );
            }
            seen.push(*channel);
        }
        if seen.is_empty() {
            bail!("policy.channels is empty: name at least one of email, sms, kakao, push");
        }
        if self.policy.attempts_per_channel == 0 {
            bail!("policy.attempts_per_channel must be at least 1");
        }
        if let Some(registry) = &self.schema_registry {
            registry.check()?;
        }
        self.windows.check()?;
        if !(1..=1024).contains(&self.log.partitions) {
            bail!("log.partitions must be from 1 to 1024");
        }
        if self.log.keep_handled < 0 {
            bail!("log.keep_handled must not be below 0");
        }
        let kafka = &self.log.kafka;
        if self.log.backend == Backend::Kafka && kafka.bootstrap_servers.is_empty() {
            bail!(
                "log.kafka.bootstrap_servers is not set: name the brokers as host:port,host:port"
            );
        }
        if kafka.replication_factor != -1 && !(1..=16).contains(&kafka.replication_factor) {
            bail!(
                "log.kafka.replication_factor must be from 1 to 16, or -1 for the broker's default"
            );
        }
        if kafka.patience <= 0 {
            bail!("log.kafka.patience must be above 0");
        }
        for (channel, settings) in &self.channels {
            settings.check(Section::from(*channel))?;
            crate::templates::check_limits(*channel, settings.kind, settings.size_max)
                .map_err(anyhow::Error::msg)?;
            if let Some(receipts) = &settings.receipts {
                receipts.check(Section::from(*channel))?;
            }
            if let Some(fallback) = &settings.fallback {
                fallback.check_fallback(*channel)?;
            }
        }
        if let Some(operator) = &self.operator
            && !crate::operator::is_name(operator)
        {
            bail!("operator must be a name of 1 to 128 letters, digits and any of . _ - @ : / +");
        }
        if jiff::tz::TimeZone::get(&self.time_zone).is_err() {
            bail!(
                "time_zone = {:?} is no known zone: use an IANA name such as Asia/Seoul",
                self.time_zone
            );
        }
        Ok(())
    }

    /// When messages may go.
    ///
    /// # Errors
    /// When the zone is not known, which loading rules out.
    pub fn window_rule(&self) -> Result<WindowRule> {
        let windows = &self.windows;
        if windows.ignore {
            return Ok(WindowRule::Ignore);
        }
        let quiet = windows.quiet_from.zip(windows.quiet_to);
        Ok(WindowRule::Keep(
            jiff::tz::TimeZone::get(&self.time_zone)?,
            quiet.and_then(|(from, to)| QuietHours::new(from, to)),
        ))
    }

    /// A channel's settings.
    #[must_use]
    pub fn channel(&self, channel: Channel) -> ChannelConfig {
        self.channels.get(&channel).cloned().unwrap_or_default()
    }

    /// Every channel of the policy by the simulated provider, answering at once.
    pub fn simulate(&mut self, failure_rate: f64, max_in_flight: usize) {
        for channel in self.policy.channels.clone() {
            let simulated = ChannelConfig {
                failure_rate,
                max_in_flight,
                ..ChannelConfig::default()
            };
            self.channels.insert(channel, simulated);
        }
    }

    /// The configured policy.
    #[must_use]
    pub fn policy(&self) -> Policy {
        Policy {
            channels: self.policy.channels.clone(),
            attempts_per_channel: self.policy.attempts_per_channel,
        }
    }

    /// Threads of each stage.
    #[must_use]
    pub fn workers(&self) -> usize {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        self.run
            .workers
            .unwrap_or(cores)
            .clamp(1, self.log.partitions as usize)
    }
}

/// An error of the parser without its drawing of the place, which takes several lines.
fn one_line(text: &str) -> String {
    let drawn = |line: &str| {
        line.trim_start_matches(|c: char| c.is_ascii_digit())
            .trim_start()
            .starts_with('|')
    };
    let told: Vec<_> = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !drawn(line))
        .collect();
    told.join("; ")
}

/// A duration such as `24h`, `15 minutes`, `10s`.
fn duration_ms<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    let text = String::deserialize(deserializer)?;
    let duration: jiff::SignedDuration = text.parse().map_err(|_| {
        serde::de::Error::custom("expected a duration such as \"24h\", \"15m\" or \"10s\"")
    })?;
    i64::try_from(duration.as_millis())
        .map_err(|_| serde::de::Error::custom("the duration is too long"))
}
