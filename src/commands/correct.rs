//! `correct`: a follow-up to exactly those who received a version of a period's bills.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Result;
use sealpost_operators::render::TemplateSet;
use sealpost_schemas::record::{Action, Correct};
use sealpost_schemas::{Kind, Period, Version};
use serde_json::json;

use super::{Answer, Scene};
use crate::books::{Books, corrections};
use crate::deployment::Deployment;
use crate::templates;
use crate::usage_error::{Refused, UsageError};

/// `correct …`
#[derive(Debug, clap::Args)]
#[command(disable_version_flag = true)]
pub(super) struct Arguments {
    /// The month, YYYY-MM
    period: Period,
    /// The version whose receivers it goes to
    #[arg(long, value_name = "N", value_parser = version)]
    version: Version,
    /// The folder with what it says: a set of templates, as `template export` writes one
    #[arg(long, value_name = "DIR")]
    templates: PathBuf,
}

fn version(text: &str) -> Result<Version, std::num::ParseIntError> {
    text.parse().map(Version)
}

/// The same, with the templates in it.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Given {
    period: Period,
    version: Version,
    templates: BTreeMap<String, String>,
}

pub(super) fn execute(scene: &Scene, arguments: &Arguments) -> Result<()> {
    let templates = templates::load_from(&scene.config, &arguments.templates)?;
    scene.command(|deployment| correct(deployment, arguments.period, arguments.version, &templates))
}

pub(super) fn command(deployment: &Deployment, given: &Given) -> Result<Answer> {
    let templates = templates::load_given(&deployment.config, &given.templates)?;
    correct(deployment, given.period, given.version, &templates)
}

fn correct(
    deployment: &Deployment,
    period: Period,
    version: Version,
    templates: &TemplateSet,
) -> Result<Answer> {
    let books = Books::read(deployment, period)?;
    if books.statements == 0 {
        return Err(Refused(format!("{period} has no statements: close it first")).into());
    }
    if version > books.version {
        return Err(UsageError(format!(
            "version {version} of {period} has not begun: the newest is {}",
            books.version
        ))
        .into());
    }
    let commands = deployment.commands()?;
    let digest = templates.digest();
    let answer = |kind: Kind, due: u64, id: &str, text: String| Answer {
        json: json!({
            "period": period, "kind": kind, "version": version, "due": due,
            "template_digest": digest.to_string(), "command_id": id,
        }),
        text,
    };
    // the same words to the same people are one follow-up, however often this is said
    let same = corrections(&commands, period)
        .find(|(_, it)| (it.version, it.template_digest) == (version, digest));
    if let Some((command, correct)) = same {
        let due = due(&books, correct.kind);
        let text = format!(
            "{} of {period} says this to them already: nothing is sent again (command {})",
            correct.kind, command.command_id
        );
        return Ok(answer(correct.kind, due, &command.command_id, text));
    }
    let number = match corrections(&commands, period).last() {
        Some((
            _,
            Correct {
                kind: Kind::Correction(last),
                ..
            },
        )) => last.checked_add(1),
        _ => Some(1),
    };
    let Some(kind) = number.map(Kind::Correction) else {
        return Err(Refused(format!(
            "{period} has had {} corrections: there is no room for another",
            u16::MAX
        ))
        .into());
    };
    let policy = deployment.config.policy();
    let id = deployment.command(&|_, _| {
        Action::Correct(Correct {
            period,
            kind,
            version,
            template_digest: digest,
            templates: templates.sources().clone(),
            policy: policy.clone(),
        })
    })?;
    // another one may have been given at the same moment: the first one stands
    let commands = deployment.commands()?;
    let stands = corrections(&commands, period).find(|(_, correct)| correct.kind == kind);
    if stands.is_none_or(|(command, _)| command.command_id != id) {
        return Err(Refused(format!(
            "another correction of {period} was given at the same moment and is {kind} now: give this one again"
        ))
        .into());
    }
    let books = Books::read(deployment, period)?;
    let due = due(&books, kind);
    let open = books.pending + books.held + books.sending + books.unknown;
    let later = match (version == books.version, open) {
        (true, 1..) => format!(", and to whoever of {open} more comes to receive it"),
        _ => String::new(),
    };
    let text = format!(
        "{kind} of {period} goes to the {due} who received version {version}{later} (command {id})"
    );
    Ok(answer(kind, due, &id, text))
}

fn due(books: &Books, kind: Kind) -> u64 {
    let mut corrections = books.corrections.iter();
    corrections
        .find(|it| it.kind == kind)
        .map_or(0, |it| it.due)
}
