//! `replay`: stages read everything again. What was sent is not sent again.

use anyhow::Result;
use sealpost_schemas::record::{Action, Replay};
use sealpost_topology::log::Progress;
use sealpost_topology::types::Offset;

use super::{Scene, Stage};
use crate::deployment::Deployment;
use crate::host::Role;

/// `replay …`
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The stages to set back
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Stage::Settle, Stage::Render, Stage::Send])]
    stages: Vec<Stage>,
}

pub(super) fn execute(scene: &Scene, arguments: &Arguments) -> Result<()> {
    let deployment = Deployment::open(scene.config.clone(), &scene.data_dir, Role::Command)?;
    let names = set_back(&deployment, &arguments.stages)?;
    // after it: what was not set back is in no trail
    let stages: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
    let id = deployment.command(&|_, _| {
        Action::Replay(Replay {
            stages: stages.clone(),
        })
    })?;
    let text = format!(
        "set back to the begin: {}; the next `run` reads everything again",
        names.join(", ")
    );
    scene.answer(
        &serde_json::json!({ "stages": names, "command_id": id }),
        &text,
    )
}

/// Sets stages back to the begin of their inputs; returns their names.
pub(super) fn set_back(deployment: &Deployment, stages: &[Stage]) -> Result<Vec<&'static str>> {
    let pipeline = &deployment.pipeline;
    let mut names = Vec::new();
    for stage in stages {
        let spec = match stage {
            Stage::Settle => &pipeline.settle,
            Stage::Render => &pipeline.render,
            Stage::Send => &pipeline.send,
        };
        let progress: Vec<_> = spec
            .inputs
            .iter()
            .flat_map(|input| {
                deployment.shards().map(|shard| Progress {
                    topic: input.topic.clone(),
                    shard,
                    offset: Offset(0),
                })
            })
            .collect();
        deployment.log.set_committed(&spec.group, &progress)?;
        names.push(spec.name);
    }
    Ok(names)
}
