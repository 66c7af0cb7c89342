//! The one place where the graph is wired.
//!
//! ```text
//!  subscribers ─┐
//!  usage ───────┼─► SETTLE ──► statements ──► RENDER ──► dispatches ──► SEND ──► provider
//!  control ─────┘   no keys    (compacted)   profile     ciphertext    destination │
//!                                            key         destination   key         │
//!                                              ▲                         │         │
//!                                              └──────── deliveries ◄────┴─────────┘
//!                                                       send-state (compacted): the promise
//! ```

use std::sync::Arc;

use sealpost_topology::graph::{Graph, InputSpec, Role, StageSpec};
use sealpost_topology::log::{Cleanup, Durability, TopicSpec};
use sealpost_topology::store::StoreSpec;
use sealpost_topology::types::Topic;

use crate::topics::Topics;

/// The stages, each with its topics and stores.
#[derive(Debug, Clone)]
pub struct Pipeline {
    /// Usage and subscribers to statements.
    pub settle: Arc<StageSpec>,
    /// Statements to dispatches.
    pub render: Arc<StageSpec>,
    /// Dispatches to the world.
    pub send: Arc<StageSpec>,
    /// Every topic.
    pub topics: Topics,
}

impl Pipeline {
    /// The pipeline over a deployment's topics.
    #[must_use]
    pub fn new(topics: Topics) -> Self {
        let settle = StageSpec {
            name: "settle",
            group: topics.group("settle"),
            inputs: vec![
                command(&topics.control),
                data(&topics.subscribers),
                data(&topics.usage),
            ],
            outputs: vec![topics.statements.clone(), topics.dead_letters.clone()],
            stores: vec![StoreSpec {
                name: "accounts",
                changelog: topics.settle_accounts.clone(),
            }],
            effect_durability: Durability::Process,
            note: "keeps the totals and turns a close into statements; opens nothing",
        };
        let render = StageSpec {
            name: "render",
            group: topics.group("render"),
            inputs: vec![
                command(&topics.control),
                data(&topics.statements),
                data(&topics.deliveries),
            ],
            outputs: vec![topics.dispatches.clone(), topics.dead_letters.clone()],
            stores: vec![StoreSpec {
                name: "routes",
                changelog: topics.render_routes.clone(),
            }],
            effect_durability: Durability::Process,
            note: "owns the route, renders and masks for the channel at hand; needs the profile key",
        };
        let send = StageSpec {
            name: "send",
            group: topics.group("send"),
            inputs: vec![
                command(&topics.control),
                data(&topics.dispatches),
                data(&topics.receipts),
            ],
            outputs: vec![topics.deliveries.clone(), topics.dead_letters.clone()],
            stores: vec![
                StoreSpec {
                    name: "send-state",
                    changelog: topics.send_state.clone(),
                },
                StoreSpec {
                    name: "holds",
                    changelog: topics.send_holds.clone(),
                },
            ],
            // an intent must outlive whatever its call outlives
            effect_durability: Durability::Machine,
            note: "intent, call, outcome: the only stage that opens a destination and touches the world; needs the destination key",
        };
        Self {
            settle: Arc::new(settle),
            render: Arc::new(render),
            send: Arc::new(send),
            topics,
        }
    }

    /// Every topic as it must be.
    #[must_use]
    pub fn topic_specs(&self) -> Vec<TopicSpec> {
        let topics = &self.topics;
        let keep = [
            &topics.usage,
            &topics.control,
            &topics.dispatches,
            &topics.deliveries,
            &topics.receipts,
            &topics.dead_letters,
        ];
        let compact = [
            &topics.subscribers,
            &topics.statements,
            &topics.send_state,
            &topics.settle_accounts,
            &topics.render_routes,
            &topics.send_holds,
        ];
        let spec = |cleanup| {
            move |topic: &Topic| TopicSpec {
                topic: topic.clone(),
                cleanup,
            }
        };
        keep.into_iter()
            .map(spec(Cleanup::Keep))
            .chain(compact.into_iter().map(spec(Cleanup::Compact)))
            .collect()
    }

    /// The picture.
    #[must_use]
    pub fn graph(&self) -> Graph {
        Graph {
            topics: self.topic_specs(),
            stages: self.stages().map(StageSpec::clone).collect(),
        }
    }

    /// Every stage, in the order of the flow.
    pub fn stages(&self) -> impl Iterator<Item = &StageSpec> {
        [&self.settle, &self.render, &self.send]
            .into_iter()
            .map(|stage| &**stage)
    }
}

fn command(topic: &Topic) -> InputSpec {
    InputSpec {
        topic: topic.clone(),
        role: Role::Command,
    }
}

fn data(topic: &Topic) -> InputSpec {
    InputSpec {
        topic: topic.clone(),
        role: Role::Data,
    }
}
