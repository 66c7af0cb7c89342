//! The message templates of a deployment: files of a directory, or the ones that are built in; and
//! how long a message may be.
//!
//! What is loaded here travels with each `close`. The stages render by what came with it, and never
//! look at the directory.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use sealpost_operators::render::{LIMITS_NAME, Limits, TemplateError, TemplateSet};
use sealpost_schemas::Channel;
use serde::Deserialize;

use crate::config::Config;
use crate::usage_error::UsageError;

/// All templates together: they are part of a command, of which every partition has a copy, and
/// brokers take records of a megabyte.
const BYTES_MAX: usize = 256 * 1024;

/// A file that may lie beside the templates, and is none.
pub const README: &str = "README.md";

/// `[templates]`
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TemplatesConfig {
    /// The folder with the templates; the built-in ones when absent.
    pub directory: Option<PathBuf>,
}

/// `[channels.sms] kind`: how text messages are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TextMessageKind {
    /// Short ones only.
    Sms,
    /// Long ones where they must be.
    Lms,
}

impl TextMessageKind {
    const fn size_max(self) -> usize {
        match self {
            Self::Sms => Limits::SHORT_TEXT_MESSAGE,
            Self::Lms => Limits::LONG_TEXT_MESSAGE,
        }
    }
}

/// How long a message may be, as configured.
#[must_use]
pub fn limits(config: &Config) -> Limits {
    let mut limits = Limits::default();
    for (channel, settings) in &config.channels {
        let kind = settings.kind.map(TextMessageKind::size_max);
        if let Some(size_max) = settings.size_max.or(kind) {
            limits = limits.with(*channel, size_max);
        }
    }
    limits
}

/// Checks `kind` and `size_max` of a channel.
///
/// # Errors
/// What is wrong, with its key.
pub(crate) fn check_limits(
    channel: Channel,
    kind: Option<TextMessageKind>,
    size_max: Option<usize>,
) -> Result<(), String> {
    if kind.is_some() && channel != Channel::Sms {
        return Err(format!(
            "channels.{channel}.kind is for sms alone: leave it out"
        ));
    }
    if kind.is_some() && size_max.is_some() {
        return Err(format!(
            "channels.{channel}: kind and size_max both limit a message: leave one out"
        ));
    }
    if size_max.is_some_and(|size_max| !(1..=Limits::MAX).contains(&size_max)) {
        return Err(format!(
            "channels.{channel}.size_max must be from 1 to {}",
            Limits::MAX
        ));
    }
    Ok(())
}

/// Loads and checks the templates.
///
/// # Errors
/// The first thing that is wrong, with file and line.
pub fn load(config: &Config) -> Result<TemplateSet, UsageError> {
    match &config.templates.directory {
        Some(directory) => load_from(config, directory),
        None => {
            let sources = TemplateSet::built_in_sources();
            check(config, sources).map_err(|error| UsageError(explain(None, &error)))
        }
    }
}

/// Loads and checks the templates of a folder.
///
/// # Errors
/// As [`load`].
pub fn load_from(config: &Config, directory: &Path) -> Result<TemplateSet, UsageError> {
    let sources = read(directory)?;
    check(config, sources).map_err(|error| UsageError(explain(Some(directory), &error)))
}

/// Checks templates that came with a request.
///
/// # Errors
/// The first thing that is wrong, with name and line.
pub(crate) fn load_given(
    config: &Config,
    sources: &BTreeMap<String, String>,
) -> Result<TemplateSet, UsageError> {
    if sources.contains_key(LIMITS_NAME) {
        return Err(UsageError(format!(
            "templates may hold no {LIMITS_NAME}, a name that is taken: set size_max in [channels.NAME]"
        )));
    }
    check(config, sources.clone()).map_err(|error| {
        let (name, problem) = (error.name(), error.problem());
        let place = error
            .line()
            .map_or_else(String::new, |line| format!(":{line}"));
        UsageError(format!(
            "{name}{place} in templates, {problem}: mend it and send the whole set again"
        ))
    })
}

/// Checks templates, with the configured limits.
fn check(
    config: &Config,
    mut sources: BTreeMap<String, String>,
) -> Result<TemplateSet, TemplateError> {
    if let Some(limits) = limits(config).source() {
        sources.insert(LIMITS_NAME.to_owned(), limits);
    }
    TemplateSet::from_sources(&sources)
}

/// `FILE:LINE: what is wrong`; what is about a whole file is at its first line.
fn explain(directory: Option<&Path>, error: &TemplateError) -> String {
    let Some(directory) = directory else {
        return format!("the built-in {error}; see size_max and kind in [channels]");
    };
    let file = directory.join(error.name());
    let (file, problem) = (file.display(), error.problem());
    match error {
        TemplateError::Missing { .. } => {
            format!("{file}: {problem} (`sealpost template export` writes a set to begin with)")
        }
        TemplateError::Unexpected { .. } => format!("{file}: {problem}"),
        _ => format!("{file}:{}: {problem}", error.line().unwrap_or(1)),
    }
}

/// The files of a folder by name; hidden ones and a README are passed over.
fn read(directory: &Path) -> Result<BTreeMap<String, String>, UsageError> {
    let failed = |path: &Path, error: std::io::Error| {
        UsageError(format!(
            "the templates {} cannot be read: {error}",
            path.display()
        ))
    };
    let mut sources = BTreeMap::new();
    let mut left = BYTES_MAX;
    for entry in fs::read_dir(directory).map_err(|error| failed(directory, error))? {
        let path = entry.map_err(|error| failed(directory, error))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with('.') || name == README {
            continue;
        }
        if path.is_dir() {
            return Err(UsageError(format!(
                "{}: is a folder within the templates; put its files beside the others",
                path.display()
            )));
        }
        if name == LIMITS_NAME {
            return Err(UsageError(format!(
                "{}: this name is taken; set size_max in [channels.NAME] instead",
                path.display()
            )));
        }
        let bytes = fs::metadata(&path).map_err(|error| failed(&path, error))?;
        left = usize::try_from(bytes.len())
            .ok()
            .and_then(|bytes| left.checked_sub(bytes))
            .ok_or_else(|| {
                UsageError(format!(
                    "{}: the templates are more than {BYTES_MAX} bytes together; shorten them",
                    directory.display()
                ))
            })?;
        let bytes = fs::read(&path).map_err(|error| failed(&path, error))?;
        let text = text(&path, bytes)?;
        sources.insert(name.into_owned(), text);
    }
    Ok(sources)
}

fn text(path: &Path, bytes: Vec<u8>) -> Result<String, UsageError> {
    let text = String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let before = error.as_bytes().iter().take(valid);
        let line = 1 + before.filter(|byte| **byte == b'\n').count();
        UsageError(format!(
            "{}:{line}: is not UTF-8 text; convert the file to UTF-8",
            path.display()
        ))
    })?;
    if text.starts_with('\u{feff}') {
        return Err(UsageError(format!(
            "{}:1: begins with a byte order mark, which would stand in every message; save it without",
            path.display()
        )));
    }
    Ok(text)
}
