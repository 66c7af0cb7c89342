//! The log on Apache Kafka keeps the contract, too.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use sealpost_testkit::{OrNotRun as _, shared};
use sealpost_topology::log::conformance::{Harness, Support, run};
use sealpost_topology::log::{
    GroupProtocol, KafkaLog, KafkaSettings, Log, Membership, TopicCreation,
};
use sealpost_topology::types::{Group, TimeMs, Topic};

fn settings(bootstrap: &str, partitions: u32, identity: &str) -> KafkaSettings {
    KafkaSettings {
        bootstrap_servers: bootstrap.to_owned(),
        partitions,
        replication_factor: 1,
        creation: TopicCreation::Create,
        prefix: "conformance.".to_owned(),
        identity: identity.to_owned(),
        membership: Membership::Dynamic,
        protocol: GroupProtocol::Consumer,
        properties: BTreeMap::new(),
        patience: Duration::from_secs(30),
        mirror_dir: None,
        clock: std::sync::Arc::new(|| TimeMs(0)),
    }
}

struct Kafka {
    log: Option<KafkaLog>,
    settings: KafkaSettings,
    prefix: String,
}

static CHECKS: AtomicU32 = AtomicU32::new(0);

impl Kafka {
    fn make(bootstrap: &str, partitions: u32) -> Self {
        let number = CHECKS.fetch_add(1, Ordering::SeqCst);
        let prefix = format!("c{}-{number}-", std::process::id());
        let settings = settings(bootstrap, partitions, &prefix);
        Self {
            log: Some(KafkaLog::open(settings.clone()).unwrap()),
            settings,
            prefix,
        }
    }
}

impl Harness for Kafka {
    fn log(&self) -> Arc<dyn Log> {
        Arc::new(self.log.clone().unwrap())
    }

    fn reopen(&mut self) -> Support {
        self.log = None;
        self.log = Some(KafkaLog::open(self.settings.clone()).unwrap());
        Support::Done
    }

    fn evict(&self, _: &Group) -> Support {
        Support::Unsupported
    }

    fn abort_next_commit(&self) -> Support {
        // whoever starts with a member's id takes its transactions away
        let log = self.log.as_ref().unwrap();
        log.fence(&log.transactional_id(&self.group("group"), 0))
            .unwrap();
        Support::Done
    }

    fn compact(&self) -> Support {
        Support::Unsupported
    }

    fn topic(&self, name: &str) -> Topic {
        Topic::new(&format!("{}{name}", self.prefix))
    }

    fn group(&self, name: &str) -> Group {
        Group::new(&format!("{}{name}", self.prefix))
    }
}

#[test]
fn the_log_on_kafka_keeps_the_contract() {
    let Some(kafka) = shared().or_not_run("the contract of the log, on Kafka") else {
        return;
    };
    let report = run(&mut |partitions| Box::new(Kafka::make(kafka.bootstrap(), partitions)));
    assert_eq!(
        report.skipped,
        [
            // nobody can take a live member out of a group from outside: what happens to one that
            // slept too long is tested with a process that is frozen (tests/kafka/chaos.rs)
            "an evicted member is fenced, and its shards go on from what is committed",
            "a fenced member that joins again gets its share",
        ]
    );
}
