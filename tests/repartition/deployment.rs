//! A deployment on the shared broker, under a prefix of its own.

use std::time::Duration;

use sealpost_testkit::{OrNotRun as _, shared, unique};
use serde_json::Value;

use crate::site::Site;
use crate::world::World;

/// A site whose configuration follows its topics.
pub(crate) struct Deployment {
    pub(crate) site: Site,
    pub(crate) bootstrap: String,
    pub(crate) prefix: String,
    more: String,
}

/// What both logs are configured with: answers take a while, and some fail.
pub(crate) const CHANNELS: &str = "[windows]\nignore = true\n[run]\nworkers = 1\n\
    [policy]\nchannels = [\"email\", \"sms\"]\n\
    [channels.email]\nlatency_ms = 30\nmax_in_flight = 40\nfailure_rate = 0.2\n\
    [channels.sms]\nlatency_ms = 30\nmax_in_flight = 40\nfailure_rate = 0.2\n";

impl Deployment {
    /// One with so many partitions; none where there is no Kafka.
    pub(crate) fn new(name: &str, partitions: u32) -> Option<Self> {
        let bootstrap = shared().or_not_run(name)?.bootstrap().to_owned();
        let prefix = format!("{}.", unique(name));
        let config = config(&bootstrap, &prefix, partitions, CHANNELS);
        Some(Self {
            site: Site::new(&config),
            bootstrap,
            prefix,
            more: CHANNELS.to_owned(),
        })
    }

    /// With as many more calls on the line as there are more users than usual.
    pub(crate) fn for_users(mut self, users: u64, partitions: u32) -> Self {
        let in_flight = format!("max_in_flight = {}", (users / 100).max(40));
        self.more = CHANNELS.replace("max_in_flight = 40", &in_flight);
        let prefix = self.prefix.clone();
        self.configure(&prefix, partitions);
        self
    }

    /// With other channels.
    pub(crate) fn with(mut self, more: &str) -> Self {
        more.clone_into(&mut self.more);
        let (prefix, partitions) = (self.prefix.clone(), 2);
        self.configure(&prefix, partitions);
        self
    }

    /// Is configured for other topics from here on.
    pub(crate) fn configure(&mut self, prefix: &str, partitions: u32) {
        prefix.clone_into(&mut self.prefix);
        let config = config(&self.bootstrap, prefix, partitions, &self.more);
        self.site.file("sealpost.toml", config);
    }

    /// Does what settle and render have to do.
    pub(crate) fn drain_settle_and_render(&self) {
        self.site
            .ok(["run", "--stages", "settle,render", "--drain"]);
    }

    /// Runs until so many more calls are in the ledger, then stops in the middle of the send.
    pub(crate) fn send_some(&self, calls: usize) {
        let data = self.site.data();
        let before = World::read(&data).count("call");
        let mut run = self.site.spawn(["run"]);
        self.site.wait_until("the send to be half done", || {
            assert!(!run.has_ended(), "it has ended: {}", run.said());
            World::read(&data).count("call") >= before + calls
        });
        run.terminate();
        run.ended().expect(0);
    }

    /// Moves, and is configured for where it moved to. Returns the answer.
    pub(crate) fn repartition(&mut self, partitions: u32) -> Value {
        let partitions_text = partitions.to_string();
        let answer = self
            .site
            .json(["repartition", "--partitions", &partitions_text]);
        let prefix = answer["topic_prefix"].as_str().unwrap().to_owned();
        self.configure(&prefix, partitions);
        answer
    }
}

pub(crate) fn config(bootstrap: &str, prefix: &str, partitions: u32, more: &str) -> String {
    format!(
        "[log]\nbackend = \"kafka\"\npartitions = {partitions}\ntopic_prefix = \"{prefix}\"\n\
         [log.kafka]\nbootstrap_servers = \"{bootstrap}\"\nreplication_factor = 1\n{more}"
    )
}

/// The moments at which something is killed: no order of things may matter.
pub(crate) const MOMENTS: [Duration; 6] = [
    Duration::from_millis(150),
    Duration::from_millis(400),
    Duration::from_millis(700),
    Duration::from_millis(1_100),
    Duration::from_millis(1_600),
    Duration::from_millis(2_400),
];

/// How many `SEALPOST_REPARTITION_USERS` asks for, or the usual number.
pub(crate) fn users_or(usual: u64) -> u64 {
    #[allow(clippy::disallowed_methods, reason = "a longer run than the usual one")]
    std::env::var("SEALPOST_REPARTITION_USERS").map_or(usual, |users| users.parse().unwrap())
}
