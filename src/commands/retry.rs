//! `retry`: the next round of a period.

use anyhow::{Result, bail};
use sealpost_schemas::Period;
use sealpost_schemas::record::{Action, Retry};

use super::Scene;
use crate::books::Books;
use crate::deployment::Deployment;
use crate::host::Role;

pub(super) fn execute(scene: &Scene, period: Period) -> Result<()> {
    let deployment = Deployment::open(scene.config.clone(), &scene.data_dir, Role::Command)?;
    let books = Books::read(&deployment, period)?;
    if books.statements == 0 {
        bail!("{period} has no statements: close it first");
    }
    let running = books.pending + books.sending;
    if running > 0 {
        bail!(
            "a round of {period} is running, with {running} on their way: wait until `status {period}` shows none"
        );
    }
    if books.failed == 0 {
        let json = serde_json::json!({ "period": period, "version": books.version, "failed": 0 });
        return scene.answer(
            &json,
            &format!("nothing of {period} is failed: there is nothing to retry"),
        );
    }
    let version = books.version.next();
    let policy = scene.config.policy();
    let id = deployment.command(&|_, _| {
        Action::Retry(Retry {
            period,
            version,
            policy: policy.clone(),
        })
    })?;
    let json = serde_json::json!({
        "period": period, "version": version, "failed": books.failed, "command_id": id,
    });
    scene.answer(
        &json,
        &format!(
            "version {version} of {period} begins: {} are sent again (command {id})",
            books.failed
        ),
    )
}
