//! The topics by name.

use sealpost_topology::types::{Group, Topic};

/// Every topic of a deployment.
#[derive(Debug, Clone)]
pub struct Topics {
    /// Usage events, key: user id.
    pub usage: Topic,
    /// Subscribers, compacted, key: user id.
    pub subscribers: Topic,
    /// Commands, one copy in every partition.
    pub control: Topic,
    /// Settled bills, compacted, key: user/period.
    pub statements: Topic,
    /// Rendered messages on their way, and what routes without one stand at.
    pub dispatches: Topic,
    /// Outcomes, from the sender to the route.
    pub deliveries: Topic,
    /// Outcomes that came to another process, or from outside.
    pub receipts: Topic,
    /// The promise not to send twice, compacted, key: user/period.
    pub send_state: Topic,
    /// What was refused.
    pub dead_letters: Topic,
    /// What settle remembers.
    pub settle_accounts: Topic,
    /// What render remembers.
    pub render_routes: Topic,
    /// What send remembers of what is held.
    pub send_holds: Topic,
    prefix: String,
}

impl Topics {
    /// The topics under a prefix.
    #[must_use]
    pub fn new(prefix: &str) -> Self {
        let topic = |name: &str| Topic::new(&format!("{prefix}{name}"));
        Self {
            usage: topic("usage"),
            subscribers: topic("subscribers"),
            control: topic("control"),
            statements: topic("statements"),
            dispatches: topic("dispatches"),
            deliveries: topic("deliveries"),
            receipts: topic("receipts"),
            send_state: topic("send-state"),
            dead_letters: topic("dead-letters"),
            settle_accounts: topic("settle-accounts"),
            render_routes: topic("render-routes"),
            send_holds: topic("send-holds"),
            prefix: prefix.to_owned(),
        }
    }

    /// The group of a stage's workers.
    #[must_use]
    pub fn group(&self, stage: &str) -> Group {
        Group::new(&format!("{}{stage}", self.prefix))
    }
}
