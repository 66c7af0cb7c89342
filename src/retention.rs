//! What is done with is let go: messages and outcomes on their way from stage to stage, once the
//! stage that reads them has committed past them and they are old enough that nobody will want to
//! look at them again.
//!
//! Everything else stays: usage and commands are the inputs of a replay and the trail of who did
//! what, and a compacted topic is what a stage remembers.

use anyhow::Result;
use sealpost_topology::graph::StageSpec;
use sealpost_topology::types::{Offset, TimeMs};

use crate::deployment::Deployment;

/// Cuts what was appended before `until` and is done with, of what a stage reads. Each of these
/// topics has one stage that reads it, so no process needs to look at what is another's.
///
/// # Errors
/// When the log failed.
pub fn cut(deployment: &Deployment, stage: &StageSpec, until: TimeMs) -> Result<()> {
    let topics = deployment.topics();
    for topic in [&topics.dispatches, &topics.deliveries, &topics.receipts] {
        if stage.inputs.iter().all(|input| input.topic != *topic) {
            continue;
        }
        for shard in deployment.shards() {
            // beside a send state that is empty, offsets alone would tell that nothing was ever sent
            if *topic == topics.dispatches
                && deployment.log.bounds(&topics.send_state, shard)?.end == Offset(0)
            {
                continue;
            }
            let start = deployment.log.bounds(topic, shard)?.start;
            let committed = deployment.log.committed(&stage.group, topic, shard)?;
            let handled = committed.unwrap_or_default();
            if handled > start {
                let below = handled.min(deployment.log.first_since(topic, shard, until)?);
                deployment.log.trim(topic, shard, below)?;
            }
        }
    }
    Ok(())
}
