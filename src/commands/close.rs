//! `close`: the command by which a period is settled.

use anyhow::Result;
use sealpost_operators::settle::MONTHS_KEPT;
use sealpost_schemas::Period;
use sealpost_schemas::record::{Action, Close};
use sealpost_topology::types::Offset;

use super::Scene;
use crate::deployment::{Deployment, catalog};
use crate::host::Role;
use crate::templates;
use crate::usage_error::UsageError;

pub(super) fn execute(scene: &Scene, period: Period) -> Result<()> {
    // before anything is written
    templates::load(&scene.config)?;
    let deployment = Deployment::open(scene.config.clone(), &scene.data_dir, Role::Command)?;
    let newest = deployment
        .commands()?
        .into_iter()
        .filter_map(|command| match command.action {
            Action::Close(close) => Some(close.period),
            _ => None,
        });
    if let Some(newest) = newest
        .max()
        .filter(|newest| period.months_until(*newest) > MONTHS_KEPT)
    {
        return Err(UsageError(format!(
            "{period} lies more than {MONTHS_KEPT} months before {newest}, which was closed: what it was settled from is no longer kept"
        ))
        .into());
    }
    let id = close(&deployment, period)?;
    let json = serde_json::json!({ "period": period, "command_id": id });
    scene.answer(
        &json,
        &format!("{period} closes: a running pipeline settles it (command {id})"),
    )
}

/// Writes the command. The catalogue and the templates travel with it, so that what it means
/// does not depend on any file.
pub(super) fn close(deployment: &Deployment, period: Period) -> Result<String> {
    let catalog = catalog(&deployment.config)?;
    let templates = templates::load(&deployment.config)?;
    let offset = |offset: Offset| offset.0.cast_signed();
    deployment.command(&|usage_end, subscribers_end| {
        Action::Close(Close {
            period,
            usage_end: offset(usage_end),
            subscribers_end: offset(subscribers_end),
            catalog_digest: catalog.digest(),
            catalog: catalog.text().to_owned(),
            template_digest: templates.digest(),
            templates: templates.sources().clone(),
            policy: deployment.config.policy(),
            time_zone: deployment.config.time_zone.clone(),
        })
    })
}
