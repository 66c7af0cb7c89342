//! Why templates are refused, and why a message cannot be rendered.
//!
//! Invariant: nothing here carries a value of a bill: a template's name, a line in it and a
//! fixed word must be enough to find the place.

use std::fmt;

use sealpost_schemas::Channel;

/// Why a set of templates is refused when it is loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TemplateError {
    /// A channel has no template in one of the languages.
    Missing {
        /// Its name.
        name: String,
    },
    /// A name that nothing refers to, most likely a typing error.
    Unexpected {
        /// Its name.
        name: String,
        /// What names there are.
        expected: String,
    },
    /// It is not in the template language.
    Syntax {
        /// Its name.
        name: String,
        /// Counted from 1; 0 if unknown.
        line: usize,
        /// What is wrong.
        problem: String,
    },
    /// It asks for something that no bill has.
    UnknownVariable {
        /// Its name.
        name: String,
        /// Counted from 1; 0 if unknown.
        line: usize,
        /// What it asked for, or the line in which it did.
        variable: String,
        /// What it may ask for.
        known: String,
    },
    /// It cannot be rendered for a bill as it should be.
    Fails {
        /// Its name.
        name: String,
        /// Counted from 1; 0 if it is about the whole.
        line: usize,
        /// What is wrong.
        problem: String,
    },
    /// A page shows a value as markup.
    Unescaped {
        /// Its name.
        name: String,
        /// Where escaping ends, counted from 1; 0 if unknown.
        line: usize,
    },
    /// A text message holds a character that text messages do not have.
    NotInEucKr {
        /// Its name.
        name: String,
        /// Counted from 1; 0 if it comes with a value.
        line: usize,
        /// Which.
        character: char,
    },
}

impl TemplateError {
    /// Which template.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Missing { name }
            | Self::Unexpected { name, .. }
            | Self::Syntax { name, .. }
            | Self::UnknownVariable { name, .. }
            | Self::Fails { name, .. }
            | Self::Unescaped { name, .. }
            | Self::NotInEucKr { name, .. } => name,
        }
    }

    /// In which line, counted from 1; `None` if it is about the whole of it.
    #[must_use]
    pub fn line(&self) -> Option<usize> {
        match self {
            Self::Missing { .. } | Self::Unexpected { .. } => None,
            Self::Syntax { line, .. }
            | Self::UnknownVariable { line, .. }
            | Self::Fails { line, .. }
            | Self::Unescaped { line, .. }
            | Self::NotInEucKr { line, .. } => Some(*line).filter(|line| *line > 0),
        }
    }

    /// What is wrong, and what to do.
    #[must_use]
    pub fn problem(&self) -> String {
        match self {
            Self::Missing { .. } => {
                "is missing: every channel needs its templates in ko and en".to_owned()
            }
            Self::Unexpected { expected, .. } => format!("is of no channel: {expected}"),
            Self::Syntax { problem, .. } => problem.clone(),
            Self::UnknownVariable {
                variable, known, ..
            } => format!("there is no `{variable}`; there are {known}"),
            Self::Fails { problem, .. } => format!("a sample bill cannot be rendered: {problem}"),
            Self::Unescaped { .. } => {
                "shows values without escaping them: drop its `autoescape false`".to_owned()
            }
            Self::NotInEucKr { character, .. } => format!(
                "gives `{character}`, which text messages do not have (they are in EUC-KR): write it otherwise"
            ),
        }
    }
}

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "template `{}`", self.name())?;
        if let Some(line) = self.line() {
            write!(f, ", line {line}")?;
        }
        write!(f, ": {}", self.problem())
    }
}

impl std::error::Error for TemplateError {}

/// Why a message cannot be rendered. It will not be rendered the next time either.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RenderError {
    /// The set holds no templates for the channel.
    #[error("there is no template for {channel}: load a whole template set")]
    NoTemplate {
        /// Which channel.
        channel: Channel,
    },
    /// The template failed on this bill.
    #[error("template `{name}`, line {line}: {problem}")]
    Fails {
        /// Its name.
        name: String,
        /// Counted from 1; 0 if unknown.
        line: usize,
        /// What is wrong, as a fixed word, and whether a variable was unknown.
        problem: &'static str,
    },
    /// A subject is empty, or is more than one line.
    #[error("template `{name}` must give one line that is not empty: it is a header")]
    Subject {
        /// Its name.
        name: &'static str,
    },
    /// The text came out empty.
    #[error("template `{name}` gave an empty text")]
    Empty {
        /// Its name.
        name: &'static str,
    },
    /// The message is longer than its channel takes.
    #[error("template `{name}` gave {size} {unit}, and the channel takes {size_max}: shorten it")]
    TooLong {
        /// Its name.
        name: &'static str,
        /// How long it is, in `unit`.
        size: usize,
        /// How long it may be, in `unit`.
        size_max: usize,
        /// What is counted.
        unit: &'static str,
    },
}

impl RenderError {
    /// The word for it: of a fixed list.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::TooLong { .. } => "too-long",
            Self::NoTemplate { .. }
            | Self::Fails { .. }
            | Self::Subject { .. }
            | Self::Empty { .. } => "template-failed",
        }
    }
}
