//! The templates of all channels in all languages, compiled once and checked before use.
//!
//! Invariants:
//! - A set never changes; its digest names it, and the same digest renders the same bytes.
//! - A set that loads has every template, each tried on a bill that has everything and on one
//!   that has nothing: what is left to fail on a real bill is its length.
//! - How long a message may be is part of the set, and of its digest.
//! - A template has no way to anything but its variables: no clock, no randomness, no files;
//!   its work is bounded.
//!
//! The language is that of Jinja, as far as minijinja has it. Values are escaped in templates
//! whose name ends in `.html`, and in no others. Shared pieces can be put into templates whose
//! name begins with `_` (`_footer.html`) and included from there.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use minijinja::syntax::SyntaxConfig;
use minijinja::{AutoEscape, Environment, ErrorKind, UndefinedBehavior};
use sealpost_schemas::record::{Locale, Statement};
use sealpost_schemas::{Channel, Digest};

use super::context::{Bill, Uses, Variable};
use super::error::{RenderError, TemplateError};
use super::form::Form;
use super::limits::{self, Limits};
use super::{Profile, Rendered, euc_kr, sample};

/// Steps that one template may take on one bill: some hundred times what a long one takes, and
/// still over in milliseconds.
const STEPS_MAX: u64 = 200_000;

/// Characters of a template's line that an error quotes.
const QUOTED_CHARACTERS_MAX: usize = 80;

/// Immutable templates, compiled. A clone is cheap and shares what is compiled, but not the
/// lock by which it is found: threads that render should each have their own.
#[derive(Clone)]
pub struct TemplateSet {
    sources: Arc<BTreeMap<String, String>>,
    digest: Digest,
    pub(super) limits: Limits,
    pub(super) environment: Environment<'static>,
    uses: BTreeMap<(Channel, Locale), Uses>,
}

impl TemplateSet {
    /// Compiles and checks templates by name: `email.ko.html`, `email.ko.txt`,
    /// `email.ko.subject`, `sms.ko.txt`, `kakao.ko.txt`, `push.ko.txt`, `push.ko.subject`, the
    /// same for `en`, and any that begin with `_`, of which `_limits` holds the [`Limits`].
    ///
    /// # Errors
    /// The first thing that is wrong, with the template's name and line: a template missing or
    /// of no channel, a syntax error, an unknown variable (also where a sample bill does not
    /// come by), a failure on a sample bill, a sample bill that is longer than its channel takes, a
    /// value shown as markup, a character that text messages do not have.
    pub fn from_sources(sources: &BTreeMap<String, String>) -> Result<Self, TemplateError> {
        check_names(sources)?;
        check_characters(sources)?;
        let mut set = Self::empty(sources.clone());
        if let Some(limits) = sources.get(limits::NAME) {
            set.limits = Limits::from_source(limits).map_err(|line| TemplateError::Syntax {
                name: limits::NAME.to_owned(),
                line,
                problem: "no limit: a line is `CHANNEL = SIZE`".to_owned(),
            })?;
        }
        for (name, source) in sources {
            set.environment
                .add_template_owned(name.clone(), source.clone())
                .map_err(|error| syntax(name, &error))?;
        }
        for (channel, locale, form) in Form::all() {
            set.uses.insert((channel, locale), uses(sources, &form));
            for name in form.names() {
                set.check_variables(name)?;
            }
        }
        for (channel, locale, form) in Form::all() {
            let rich = sample::rich(locale, sample::PROBE);
            set.try_on(channel, &form, &rich, &sample::PROFILE)?;
            let bare = sample::bare(locale, sample::PROBE);
            set.try_on(channel, &form, &bare, &sample::NOBODY)?;
        }
        Ok(set)
    }

    /// The templates that come with the program. Compiling and checking them takes a moment:
    /// make a set once, and clone it.
    #[must_use]
    pub fn built_in() -> Self {
        let sources = Self::built_in_sources();
        // they are held to be in order by a test; a set without templates refuses to render
        Self::from_sources(&sources).unwrap_or_else(|_| Self::empty(sources))
    }

    /// The text of the built-in templates by name: what to start one's own from.
    #[must_use]
    pub fn built_in_sources() -> BTreeMap<String, String> {
        super::built_in::SOURCES
            .iter()
            .map(|(name, source)| ((*name).to_owned(), (*source).to_owned()))
            .collect()
    }

    /// The templates' text by name, as they were given.
    #[must_use]
    pub fn sources(&self) -> &BTreeMap<String, String> {
        &self.sources
    }

    /// Which set it is: see [`TemplateSet::digest_of`].
    #[must_use]
    pub const fn digest(&self) -> Digest {
        self.digest
    }

    /// How long a message may be.
    #[must_use]
    pub const fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Renders a bill that is made up, with a line of every kind.
    ///
    /// # Errors
    /// As [`TemplateSet::render`].
    pub fn render_sample(&self, channel: Channel, locale: Locale) -> Result<Rendered, RenderError> {
        self.render(&sample::rich(locale, ""), &sample::PROFILE, channel)
    }

    /// The digest of templates: BLAKE3 over, for each in the order of the names' bytes, the
    /// name and the text, each after its length in 8 bytes little-endian.
    #[must_use]
    pub fn digest_of(sources: &BTreeMap<String, String>) -> Digest {
        let mut hasher = blake3::Hasher::new();
        for part in sources.iter().flat_map(|(name, source)| [name, source]) {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part.as_bytes());
        }
        Digest(*hasher.finalize().as_bytes())
    }

    /// What the templates of a channel in a language ask for; `None` if there are none.
    pub(super) fn uses(&self, channel: Channel, locale: Locale) -> Option<Uses> {
        self.uses.get(&(channel, locale)).copied()
    }

    fn empty(sources: BTreeMap<String, String>) -> Self {
        let digest = Self::digest_of(&sources);
        Self {
            sources: Arc::new(sources),
            digest,
            limits: Limits::default(),
            environment: environment(),
            uses: BTreeMap::new(),
        }
    }

    /// Finds variables that no bill has, wherever they stand in a template.
    fn check_variables(&self, name: &str) -> Result<(), TemplateError> {
        let template = self
            .environment
            .get_template(name)
            .map_err(|error| syntax(name, &error))?;
        let source = template.source();
        let global = |variable: &str| self.environment.globals().any(|(name, _)| name == variable);
        let unknown = template
            .undeclared_variables(false)
            .into_iter()
            .filter(|variable| !Variable::NAMES.contains(&variable.as_str()) && !global(variable))
            .map(|variable| (line_of(source, &variable), variable))
            .min();
        match unknown {
            None => Ok(()),
            Some((line, variable)) => Err(unknown_variable(name, line, variable)),
        }
    }

    /// Renders one message for a sample bill.
    fn try_on(
        &self,
        channel: Channel,
        form: &Form,
        statement: &Statement,
        profile: &Profile<'_>,
    ) -> Result<(), TemplateError> {
        let rendered = self
            .render(statement, profile, channel)
            .map_err(|error| self.refused(error))?;
        if channel == Channel::Sms {
            self.try_characters(form.text, statement, profile)?;
        }
        match (form.html, rendered.html) {
            (Some(name), Some(page)) if page.contains(sample::PROBE) => {
                Err(TemplateError::Unescaped {
                    name: name.to_owned(),
                    line: self.line_in(name, "autoescape"),
                })
            }
            _ => Ok(()),
        }
    }

    /// Finds characters that text messages do not have, as they come with a shared piece or with
    /// the unit of an amount.
    fn try_characters(
        &self,
        name: &'static str,
        statement: &Statement,
        profile: &Profile<'_>,
    ) -> Result<(), TemplateError> {
        let uses = self
            .uses(Channel::Sms, statement.locale)
            .unwrap_or_default();
        let text = self
            .template(name, &Bill::context(statement, profile, uses))
            .map_err(|error| self.refused(error))?;
        match euc_kr::lacking(&text) {
            None => Ok(()),
            Some(character) => Err(TemplateError::NotInEucKr {
                name: name.to_owned(),
                line: 0,
                character,
            }),
        }
    }

    /// The first line of a template on which a word stands; 0 if there is none.
    fn line_in(&self, name: &str, word: &str) -> usize {
        self.sources
            .get(name)
            .map_or(0, |source| line_of(source, word))
    }

    /// What a failure on a sample bill says about the template.
    fn refused(&self, error: RenderError) -> TemplateError {
        match error {
            RenderError::Fails {
                name,
                line,
                problem,
            } if problem == UNDEFINED => {
                let quoted = self
                    .sources
                    .get(&name)
                    .map_or("", |source| nth_line(source, line));
                let quoted = super::words::shown(quoted.trim(), QUOTED_CHARACTERS_MAX).into_owned();
                unknown_variable(&name, line, quoted)
            }
            RenderError::Fails {
                name,
                line,
                problem,
            } => TemplateError::Fails {
                name,
                line,
                problem: problem.to_owned(),
            },
            RenderError::Subject { name }
            | RenderError::Empty { name }
            | RenderError::TooLong { name, .. } => TemplateError::Fails {
                name: name.to_owned(),
                line: 0,
                problem: error.to_string(),
            },
            RenderError::NoTemplate { channel } => TemplateError::Missing {
                name: format!("{channel}.*"),
            },
        }
    }
}

impl fmt::Debug for TemplateSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TemplateSet({})", self.digest)
    }
}

/// What a failure is called whose cause is a variable or field that is not there.
pub(super) const UNDEFINED: &str = "there is no such variable or field";

/// A fixed word for a failure: what the engine would say may quote a value.
pub(super) fn problem(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::UndefinedError => UNDEFINED,
        ErrorKind::TemplateNotFound => "the included template is not there",
        ErrorKind::UnknownFilter => "there is no such filter",
        ErrorKind::UnknownFunction => "there is no such function",
        ErrorKind::UnknownTest => "there is no such test",
        ErrorKind::UnknownMethod => "there is no such method",
        ErrorKind::OutOfFuel => "it takes too many steps",
        ErrorKind::MissingArgument | ErrorKind::TooManyArguments => "wrong number of arguments",
        _ => "the operation does not fit the values it is given",
    }
}

/// The engine, configured so that the same template and bill always give the same text.
fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_fuel(Some(STEPS_MAX));
    environment.set_auto_reload(false);
    environment.set_auto_escape_callback(|name| {
        if name.ends_with(".html") {
            AutoEscape::Html
        } else {
            AutoEscape::None
        }
    });
    // nothing in a bill is markup, and a dump of the engine's state is no part of one
    environment.remove_filter("safe");
    environment.remove_global("debug");
    // a line that holds nothing but a tag leaves nothing behind; the defaults stay if refused
    if let Ok(syntax) = SyntaxConfig::builder()
        .trim_blocks(true)
        .lstrip_blocks(true)
        .build()
    {
        environment.set_syntax(syntax);
    }
    environment
}

/// Holds the names to those of the channels.
fn check_names(sources: &BTreeMap<String, String>) -> Result<(), TemplateError> {
    let names: Vec<&str> = Form::all().flat_map(|(_, _, form)| form.names()).collect();
    if let Some(name) = names.iter().find(|name| !sources.contains_key(**name)) {
        return Err(TemplateError::Missing {
            name: (*name).to_owned(),
        });
    }
    match sources
        .keys()
        .find(|name| !name.starts_with('_') && !names.contains(&name.as_str()))
    {
        None => Ok(()),
        Some(name) => Err(TemplateError::Unexpected {
            name: name.clone(),
            expected: format!(
                "the names are {}, and `_…` for shared pieces",
                names.join(", ")
            ),
        }),
    }
}

/// Holds the text of text messages to the characters that these have, wherever it stands.
fn check_characters(sources: &BTreeMap<String, String>) -> Result<(), TemplateError> {
    let forms = Form::all().filter(|(channel, ..)| *channel == Channel::Sms);
    for name in forms.flat_map(|(_, _, form)| form.names()) {
        let lines = sources.get(name).into_iter().flat_map(|text| text.lines());
        let found = lines
            .enumerate()
            .find_map(|(index, line)| Some((index + 1, euc_kr::lacking(line)?)));
        if let Some((line, character)) = found {
            return Err(TemplateError::NotInEucKr {
                name: name.to_owned(),
                line,
                character,
            });
        }
    }
    Ok(())
}

/// Which variables a message may ask for: those whose name occurs in its templates or in a
/// shared one. Too many are harmless.
fn uses(sources: &BTreeMap<String, String>, form: &Form) -> Uses {
    let own = form.names().filter_map(|name| sources.get(name));
    let shared = sources
        .iter()
        .filter(|(name, _)| name.starts_with('_'))
        .map(|(_, text)| text);
    let texts: Vec<&String> = own.chain(shared).collect();
    Variable::ALL
        .iter()
        .filter(|variable| texts.iter().any(|text| line_of(text, variable.name()) > 0))
        .fold(Uses::default(), |uses, variable| uses.with(*variable))
}

fn syntax(name: &str, error: &minijinja::Error) -> TemplateError {
    TemplateError::Syntax {
        name: name.to_owned(),
        line: error.line().unwrap_or_default(),
        problem: error
            .detail()
            .map_or_else(|| error.kind().to_string(), str::to_owned),
    }
}

fn unknown_variable(name: &str, line: usize, variable: String) -> TemplateError {
    let known = Variable::NAMES.join(", ");
    TemplateError::UnknownVariable {
        name: name.to_owned(),
        line,
        variable,
        known,
    }
}

/// The first line, counted from 1, on which `word` stands by itself; 0 if it does nowhere.
fn line_of(source: &str, word: &str) -> usize {
    let in_word = |character: char| character.is_alphanumeric() || character == '_';
    let stands_in = |line: &str| {
        line.split(|character| !in_word(character))
            .any(|part| part == word)
    };
    source
        .lines()
        .position(stands_in)
        .map_or(0, |position| position + 1)
}

fn nth_line(source: &str, line: usize) -> &str {
    source
        .lines()
        .nth(line.saturating_sub(1))
        .unwrap_or_default()
}
