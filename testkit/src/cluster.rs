//! A cluster of this process's own, by way of `kafka.sh`.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

use crate::{Error, Proxy, unique};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/kafka.sh");
/// The script's answer when the machine lacks something.
const MISSING: i32 = 3;

/// How many brokers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Brokers {
    /// One: replication 1.
    One,
    /// Three: replication 3, of which 2 in sync are enough.
    Three,
}

/// A broker of a cluster, as Kafka's `node.id`: 1 for the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Node(pub i32);

impl fmt::Display for Node {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "broker {}", self.0)
    }
}

/// Who can log in to a secured cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum User {
    /// May do everything.
    Admin,
    /// May do nothing.
    Stranger,
}

/// Real brokers, until this is dropped or this process ends.
#[derive(Debug)]
pub struct Cluster {
    directory: PathBuf,
    bootstrap: String,
    brokers: Vec<Broker>,
}

#[derive(Debug)]
struct Broker {
    node: Node,
    proxy: Option<Proxy>,
}

impl Cluster {
    /// Brokers that take anyone, without TLS.
    ///
    /// # Errors
    /// [`Error::Missing`] without Java 17, or without Maven when the jars are not in the cache yet;
    /// [`Error::Failed`] if a broker did not start, with what it said.
    pub fn start(brokers: Brokers) -> Result<Self, Error> {
        Self::start_with(brokers, Vec::new(), &[])
    }

    /// Brokers that also listen behind a [`Proxy`] each: whoever begins with
    /// [`proxied_bootstrap`](Self::proxied_bootstrap) speaks to all of them through proxies, and
    /// can be cut off while the brokers stay up. Among themselves they use none.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn start_proxied(brokers: Brokers) -> Result<Self, Error> {
        let count = brokers.count();
        let proxies: Vec<Proxy> = (0..count)
            .map(|_| Proxy::bind())
            .collect::<Result<_, _>>()
            .map_err(|error| Error::Failed(format!("no port for a proxy: {error}")))?;
        Self::start_with(brokers, proxies, &[])
    }

    /// One broker that demands TLS and SASL/SCRAM-SHA-512, and grants nothing without an ACL.
    ///
    /// # Errors
    /// As [`start`](Self::start); [`Error::Missing`] also without the `openssl` program.
    pub fn start_secured() -> Result<Self, Error> {
        Self::start_with(Brokers::One, Vec::new(), &["--secured"])
    }

    fn start_with(brokers: Brokers, proxies: Vec<Proxy>, options: &[&str]) -> Result<Self, Error> {
        // one at a time: side by side on few cores they would all be slow
        static STARTING: Mutex<()> = Mutex::new(());
        let _turn = STARTING.lock().unwrap_or_else(PoisonError::into_inner);

        let directory = std::env::temp_dir().join(unique("sealpost-kafka"));
        let mut command = script("start");
        command.arg(brokers.count().to_string()).arg(&directory);
        command.args(["--owner", &std::process::id().to_string()]);
        command.args(options);
        if !proxies.is_empty() {
            let ports: Vec<String> = proxies
                .iter()
                .map(|proxy| proxy.address().port().to_string())
                .collect();
            command.args(["--proxied", &ports.join(",")]);
        }
        let bootstrap = output_of(command)?.trim().to_owned();
        // from here on it is stopped by `drop`
        let mut cluster = Self {
            directory,
            bootstrap,
            brokers: Vec::new(),
        };
        cluster.brokers = cluster.read_brokers(proxies)?;
        Ok(cluster)
    }

    /// Lines of `node client-port port-behind-proxy`, the last `-` without one.
    fn read_brokers(&self, proxies: Vec<Proxy>) -> Result<Vec<Broker>, Error> {
        let mut proxies = proxies.into_iter();
        let unreadable = || Error::Failed("the script's list of brokers is not readable".into());
        self.read("brokers")?
            .lines()
            .map(|line| {
                let mut words = line.split_whitespace();
                let node = words.next().and_then(|word| word.parse().ok());
                let behind = words.nth(1).and_then(|word| word.parse::<u16>().ok());
                let proxy = proxies.next();
                if let Some(proxy) = &proxy {
                    let port = behind.ok_or_else(unreadable)?;
                    proxy.forward_to(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
                }
                Ok(Broker {
                    node: Node(node.ok_or_else(unreadable)?),
                    proxy,
                })
            })
            .collect()
    }

    /// Where all brokers listen, for `bootstrap.servers`.
    #[must_use]
    pub fn bootstrap(&self) -> &str {
        &self.bootstrap
    }

    /// Where the proxies of all brokers listen, for `bootstrap.servers`; empty without proxies.
    #[must_use]
    pub fn proxied_bootstrap(&self) -> String {
        let addresses: Vec<String> = self
            .brokers
            .iter()
            .filter_map(|broker| broker.proxy.as_ref())
            .map(|proxy| proxy.address().to_string())
            .collect();
        addresses.join(",")
    }

    /// The proxy before a broker, if the cluster has proxies.
    #[must_use]
    pub fn proxy(&self, node: Node) -> Option<&Proxy> {
        let broker = self.brokers.iter().find(|broker| broker.node == node);
        broker.and_then(|broker| broker.proxy.as_ref())
    }

    /// The brokers, up or not.
    #[must_use]
    pub fn nodes(&self) -> Vec<Node> {
        self.brokers.iter().map(|broker| broker.node).collect()
    }

    /// Where it keeps everything, logs included; gone when it is dropped.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The properties that a client needs, in librdkafka's terms (`bootstrap.servers`,
    /// `security.protocol`, `sasl.mechanism`, …), of a secured cluster.
    ///
    /// # Errors
    /// [`Error::Failed`] if the cluster is not a secured one.
    pub fn client_properties(&self, user: User) -> Result<Vec<(String, String)>, Error> {
        let lines = self.read(match user {
            User::Admin => "client.properties",
            User::Stranger => "client-stranger.properties",
        })?;
        let pairs = lines.lines().filter_map(|line| line.split_once('='));
        Ok(pairs
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect())
    }

    /// Kills a broker, `kill -9`, and waits until it is gone.
    ///
    /// # Errors
    /// [`Error::Failed`] if it is not up.
    pub fn kill(&self, node: Node) -> Result<(), Error> {
        self.control("kill", node)
    }

    /// Stops a broker in good order and waits until it is gone.
    ///
    /// # Errors
    /// [`Error::Failed`] if it is not up, or does not end: without its quorum it cannot.
    pub fn down(&self, node: Node) -> Result<(), Error> {
        self.control("down", node)
    }

    /// Starts a broker again, on the same ports and data, and waits until it serves.
    ///
    /// # Errors
    /// [`Error::Failed`] if it is up, or does not serve; with what it said.
    pub fn up(&self, node: Node) -> Result<(), Error> {
        self.control("up", node)
    }

    /// Freezes a broker: its connections stay, it answers nothing.
    ///
    /// # Errors
    /// [`Error::Failed`] if it is not up.
    pub fn pause(&self, node: Node) -> Result<(), Error> {
        self.control("pause", node)
    }

    /// Lets a frozen broker go on.
    ///
    /// # Errors
    /// [`Error::Failed`] if it is not up.
    pub fn resume(&self, node: Node) -> Result<(), Error> {
        self.control("resume", node)
    }

    fn control(&self, verb: &str, node: Node) -> Result<(), Error> {
        let mut command = script(verb);
        command.arg(&self.directory).arg(node.0.to_string());
        output_of(command).map(drop)
    }

    fn read(&self, name: &str) -> Result<String, Error> {
        std::fs::read_to_string(self.directory.join(name))
            .map_err(|error| Error::Failed(format!("{name} of the cluster: {error}")))
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let mut command = script("stop");
        command.arg(&self.directory);
        // what this leaves, the watchdog takes when the process ends
        let _ = output_of(command);
    }
}

impl Brokers {
    fn count(self) -> usize {
        match self {
            Self::One => 1,
            Self::Three => 3,
        }
    }
}

/// Whether clusters can be started here.
pub(crate) fn check_machine() -> Result<(), Error> {
    output_of(script("check")).map(drop)
}

pub(crate) fn script(verb: &str) -> Command {
    let mut command = Command::new(SCRIPT);
    command.arg(verb).stdin(Stdio::null());
    command
}

/// What the script printed. Its own last line is the error.
fn output_of(mut command: Command) -> Result<String, Error> {
    let output = command
        .output()
        .map_err(|error| Error::Missing(format!("testkit/kafka.sh cannot be run: {error}")))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let last = said.lines().last().unwrap_or("kafka.sh failed").to_owned();
    Err(if output.status.code() == Some(MISSING) {
        Error::Missing(last)
    } else {
        Error::Failed(last)
    })
}
