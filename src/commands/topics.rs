//! `topics`: what is on the brokers, and what must be.

use anyhow::Result;
use sealpost_topology::log::{Cleanup, Log as _, TopicSpec, TopicState};
use serde_json::json;

use super::Scene;
use crate::config::Backend;
use crate::generation;
use crate::kafka;
use crate::pipeline::Pipeline;
use crate::topics::Topics;
use crate::usage_error::UsageError;

/// `topics …`
#[derive(Debug, Clone, Copy, clap::Subcommand)]
pub(super) enum Command {
    /// Create the topics that are missing, and check those that are there
    Create,
    /// Check that every topic is there and as it must be; change nothing
    Check,
    /// Show the topics as they are on the brokers
    Describe,
}

pub(super) fn execute(scene: &Scene, command: Command) -> Result<()> {
    let mut config = scene.config.clone();
    if config.log.backend != Backend::Kafka {
        return Err(UsageError(
            "the embedded log makes its topics by itself: `topics` is for log.backend = \"kafka\""
                .to_owned(),
        )
        .into());
    }
    match command {
        Command::Create => config.log.kafka.create_topics = true,
        Command::Check => config.log.kafka.create_topics = false,
        Command::Describe => {}
    }
    let log = kafka::open(&config, &scene.data_dir, None)?;
    let specs = Pipeline::new(Topics::new(&config.log.topic_prefix)).topic_specs();
    if !matches!(command, Command::Describe) {
        // topics that were left behind are not made anew
        generation::check(&config, &log)?;
        log.create(&specs).map_err(kafka::blame)?;
    }
    let topics: Vec<_> = specs.iter().map(|spec| spec.topic.clone()).collect();
    let states = log.describe(&topics).map_err(kafka::blame)?;
    let lines: Vec<_> = specs.iter().map(|spec| line(spec, &states)).collect();
    let shown: Vec<_> = states
        .iter()
        .map(|state| {
            json!({
                "topic": state.topic.name(),
                "partitions": state.partitions,
                "replicas": state.replicas,
                "settings": state.settings,
            })
        })
        .collect();
    scene.answer(&json!({ "topics": shown }), &lines.join("\n"))
}

fn line(spec: &TopicSpec, states: &[TopicState]) -> String {
    let name = spec.topic.name();
    let cleanup = if spec.cleanup == Cleanup::Compact {
        "compact"
    } else {
        "delete, kept for good"
    };
    match states.iter().find(|state| state.topic == spec.topic) {
        None => format!("{name}: is not there; must be {cleanup}"),
        Some(state) => {
            let settings: Vec<_> = state
                .settings
                .iter()
                .map(|(name, value)| format!("{name}={value}"))
                .collect();
            format!(
                "{name}: {} partitions, {} replicas, {}",
                state.partitions,
                state.replicas,
                settings.join(" ")
            )
        }
    }
}
