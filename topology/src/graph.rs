//! The picture of a topology: stages, their topics and stores.

use std::fmt::Write as _;

use crate::log::{Cleanup, Durability, TopicSpec};
use crate::store::StoreSpec;
use crate::types::{Group, Topic};

/// What an input is to its stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Records to work on.
    Data,
    /// Commands: read to the end before any data in hand is processed.
    Command,
}

/// A topic that a stage reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputSpec {
    /// The topic.
    pub topic: Topic,
    /// What it is to the stage.
    pub role: Role,
}

/// A stage: what it reads, writes and remembers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StageSpec {
    /// Its name.
    pub name: &'static str,
    /// The group that its workers form.
    pub group: Group,
    /// What it reads.
    pub inputs: Vec<InputSpec>,
    /// Where it writes.
    pub outputs: Vec<Topic>,
    /// What it remembers.
    pub stores: Vec<StoreSpec>,
    /// What a step must survive that asks something of the outside world.
    pub effect_durability: Durability,
    /// What the stage needs and does, in a few words for the picture.
    pub note: &'static str,
}

/// All stages and topics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Graph {
    /// Topics, outside inputs first.
    pub topics: Vec<TopicSpec>,
    /// Stages in the order of the flow.
    pub stages: Vec<StageSpec>,
}

impl Graph {
    /// The graph as text, a paragraph for each stage.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        for stage in &self.stages {
            let _ = writeln!(
                text,
                "{} (group {}): {}",
                stage.name, stage.group, stage.note
            );
            for input in &stage.inputs {
                let role = if input.role == Role::Command {
                    "  commands first"
                } else {
                    ""
                };
                let _ = writeln!(text, "  reads    {}{role}", input.topic);
            }
            for output in &stage.outputs {
                let _ = writeln!(text, "  writes   {output}");
            }
            for store in &stage.stores {
                let _ = writeln!(text, "  remembers {} in {}", store.name, store.changelog);
            }
            text.push('\n');
        }
        let _ = writeln!(text, "topics");
        for TopicSpec { topic, cleanup } in &self.topics {
            let cleanup = if *cleanup == Cleanup::Compact {
                "compacted"
            } else {
                "kept until every stage is past"
            };
            let _ = writeln!(text, "  {topic}: {cleanup}");
        }
        text
    }

    /// The graph as a Mermaid flowchart.
    #[must_use]
    pub fn to_mermaid(&self) -> String {
        let id = |topic: &Topic| topic.name().replace(['.', '-'], "_");
        let mut text = String::from("flowchart LR\n");
        for TopicSpec { topic, cleanup } in &self.topics {
            let (open, close) = if *cleanup == Cleanup::Compact {
                ("[(", ")]")
            } else {
                ("[/", "/]")
            };
            let _ = writeln!(text, "  {}{open}\"{topic}\"{close}", id(topic));
        }
        for stage in &self.stages {
            let _ = writeln!(
                text,
                "  {}{{{{\"{}\"}}}}",
                stage.name,
                stage.name.to_uppercase()
            );
            for input in &stage.inputs {
                let arrow = if input.role == Role::Command {
                    "-.->"
                } else {
                    "-->"
                };
                let _ = writeln!(text, "  {} {arrow} {}", id(&input.topic), stage.name);
            }
            for output in &stage.outputs {
                let _ = writeln!(text, "  {} --> {}", stage.name, id(output));
            }
            for store in &stage.stores {
                let _ = writeln!(text, "  {} <--> {}", stage.name, id(&store.changelog));
            }
        }
        text
    }
}
