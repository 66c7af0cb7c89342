//! `template`: the message templates, checked, shown, tried.

mod preview;

use std::fmt::Write as _;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::Subcommand;
use sealpost_operators::render::{LIMITS_NAME, Limits, TemplateSet};
use sealpost_schemas::Channel;

use super::Scene;
use crate::templates::{self, README};
use crate::usage_error::UsageError;

/// What an author of templates needs to know.
const GUIDE: &str = include_str!("../../operators/templates/README.md");

/// `template …`
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Check the templates: names, syntax, variables, sizes; a fault comes with file and line
    Check,
    /// Which set of templates it is, and its files
    Show,
    /// Write the built-in templates into a folder, to begin with; nothing there is overwritten
    Export {
        /// The folder
        #[arg(value_name = "DIR")]
        directory: PathBuf,
    },
    /// Render the messages of one settled user, or of a bill that is made up
    Preview(preview::Arguments),
}

pub(super) fn execute(scene: &Scene, command: &Command) -> Result<()> {
    match command {
        Command::Check => {
            let set = templates::load(&scene.config)?;
            let text = format!(
                "the templates are in order: {} {}",
                set.digest(),
                from(scene)
            );
            scene.answer(&described(scene, &set), &text)
        }
        Command::Show => {
            let set = templates::load(&scene.config)?;
            scene.answer(&described(scene, &set), &shown(scene, &set))
        }
        Command::Export { directory } => export(scene, directory),
        Command::Preview(arguments) => preview::execute(scene, arguments),
    }
}

fn from(scene: &Scene) -> String {
    match &scene.config.templates.directory {
        Some(directory) => format!("in {}", directory.display()),
        None => "(built in)".to_owned(),
    }
}

/// Its files; limits, which are configured, are none.
fn files(set: &TemplateSet) -> impl Iterator<Item = (&String, &String)> {
    set.sources()
        .iter()
        .filter(|(name, _)| *name != LIMITS_NAME)
}

fn described(scene: &Scene, set: &TemplateSet) -> serde_json::Value {
    let files: serde_json::Map<_, _> = files(set)
        .map(|(name, text)| (name.clone(), serde_json::json!({ "bytes": text.len() })))
        .collect();
    let limits: serde_json::Map<_, _> = Channel::ALL
        .into_iter()
        .map(|channel| {
            let limit = serde_json::json!({
                "size_max": set.limits().of(channel), "unit": Limits::unit(channel),
            });
            (channel.to_string(), limit)
        })
        .collect();
    serde_json::json!({
        "digest": set.digest().to_string(), "directory": scene.config.templates.directory,
        "files": files, "limits": limits,
    })
}

fn shown(scene: &Scene, set: &TemplateSet) -> String {
    let mut text = format!("templates {} {}\n", set.digest(), from(scene));
    for (name, source) in files(set) {
        let _ = writeln!(text, "  {name:<18} {:>6} bytes", source.len());
    }
    for channel in Channel::ALL {
        let (size_max, unit) = (set.limits().of(channel), Limits::unit(channel));
        let _ = writeln!(text, "  {channel} takes at most {size_max} {unit}");
    }
    text
}

fn export(scene: &Scene, directory: &Path) -> Result<()> {
    let mut sources = TemplateSet::built_in_sources();
    sources.insert(README.to_owned(), GUIDE.to_owned());
    if let Some(name) = sources.keys().find(|name| directory.join(name).exists()) {
        return Err(UsageError(format!(
            "{} is there already and is not overwritten: name another folder",
            directory.join(name).display()
        ))
        .into());
    }
    fs::create_dir_all(directory)
        .with_context(|| format!("cannot make {}", directory.display()))?;
    for (name, source) in &sources {
        let path = directory.join(name);
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&path)
            .and_then(|mut file| file.write_all(source.as_bytes()))
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    let json = serde_json::json!({ "directory": directory, "files": sources.len() });
    let text = format!(
        "{} files in {}: name it as templates.directory",
        sources.len(),
        directory.display()
    );
    scene.answer(&json, &text)
}
