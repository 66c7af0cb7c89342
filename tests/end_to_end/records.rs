//! The log as it lies on disk once no process has it open.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use sealpost_schemas::UserId;
use sealpost_schemas::codec;
use sealpost_schemas::record::{SendState, State};
use sealpost_topology::log::{EmbeddedLog, Log as _};
use sealpost_topology::types::{Offset, Shard, TimeMs, Topic};

/// Every topic of a deployment, the stages' own included.
pub(crate) const TOPICS: [&str; 12] = [
    "usage",
    "subscribers",
    "control",
    "statements",
    "dispatches",
    "deliveries",
    "receipts",
    "send-state",
    "dead-letters",
    "settle-accounts",
    "render-routes",
    "send-holds",
];

/// What a log is made with where the configuration says nothing of it.
const PARTITIONS: u32 = 8;

/// An opened log.
pub(crate) struct Records(EmbeddedLog);

impl Records {
    pub(crate) fn open(data: &Path) -> Self {
        let log =
            EmbeddedLog::open_directory(&data.join("log"), PARTITIONS, Arc::new(|| TimeMs(0)));
        Self(log.unwrap())
    }

    /// Shows every record of a topic.
    pub(crate) fn each(&self, topic: &str, mut see: impl FnMut(u32, u64, &[u8], Option<&[u8]>)) {
        let topic = Topic::new(&format!("sealpost.{topic}"));
        for shard in 0..self.0.partitions() {
            let mut at = Offset(0);
            while let Some(batch) = self.0.read(&topic, Shard(shard), at).unwrap() {
                for record in batch.iter().filter(|record| record.offset >= at) {
                    see(shard, record.offset.0, record.key, record.value);
                }
                at = batch.next_offset();
            }
        }
    }

    /// The last value of each key, as compaction would leave it.
    pub(crate) fn last(&self, topic: &str) -> BTreeMap<Vec<u8>, Vec<u8>> {
        let mut last = BTreeMap::new();
        self.each(topic, |_, _, key, value| {
            match value {
                Some(value) => last.insert(key.to_vec(), value.to_vec()),
                None => last.remove(key),
            };
        });
        last
    }

    /// The users whose bill stands at a state.
    pub(crate) fn users_at(&self, state: State) -> Vec<UserId> {
        let mut users: Vec<_> = self
            .last("send-state")
            .values()
            .map(|value| codec::decode::<SendState>(value).unwrap())
            .filter(|send_state| send_state.kinds.iter().any(|kind| kind.state == state))
            .map(|send_state| send_state.user_id)
            .collect();
        users.sort_unstable();
        users
    }
}
