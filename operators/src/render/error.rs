//! Why templates are refused, and why a message cannot be rendered.
//!
//! Invariant: nothing here carries a value of a bill: a template's name, a line in it and a
//! fixed word must be enough to find the place.

use sealpost_schemas::Channel;

/// Why a set of templates is refused when it is loaded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// A channel has no template in one of the languages.
    #[error("template `{name}` is missing: every channel needs its templates in ko and en")]
    Missing {
        /// Its name.
        name: String,
    },
    /// A name that nothing refers to, most likely a typing error.
    #[error("template `{name}` is of no channel: {expected}")]
    Unexpected {
        /// Its name.
        name: String,
        /// What names there are.
        expected: String,
    },
    /// It is not in the template language.
    #[error("template `{name}`, line {line}: {problem}")]
    Syntax {
        /// Its name.
        name: String,
        /// Counted from 1; 0 if unknown.
        line: usize,
        /// What is wrong.
        problem: String,
    },
    /// It asks for something that no bill has.
    #[error("template `{name}`, line {line}: there is no `{variable}`; there are {known}")]
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
    #[error("template `{name}`, line {line}: a sample bill cannot be rendered: {problem}")]
    Fails {
        /// Its name.
        name: String,
        /// Counted from 1; 0 if unknown.
        line: usize,
        /// What is wrong.
        problem: String,
    },
    /// A page shows a value as markup.
    #[error("template `{name}` shows values without escaping them: drop its `autoescape false`")]
    Unescaped {
        /// Its name.
        name: String,
    },
}

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
