//! Rendering: a statement and an opened profile become one message for one channel.
//!
//! Invariants:
//! - Pure: the same statement, profile and templates give the same bytes, in every process and
//!   at every time. An invoice can be made again and proven by its digest instead of kept.
//! - Nothing but masked forms of a name, an address or a number reaches a template, so nothing
//!   else can come out of one.
//! - Only the channel at hand is rendered.
//! - A subject is one line without control characters, and no value can begin a line anywhere:
//!   headers and lines cannot be smuggled in by a name.
//! - A message is never longer than its channel takes, and never cut: one that would be longer is
//!   an error here, not a surprise at the provider.
//! - A text message holds only characters that text messages have; what a value has beyond them is
//!   replaced here, where it is counted, and not on the way.
//!
//! What a template may ask for, and how long each message may be, stands in
//! `templates/README.md`.

mod built_in;
mod context;
mod error;
mod euc_kr;
mod form;
mod limits;
mod sample;
mod template_set;
mod words;

use std::fmt;

use minijinja::Value;
use sealpost_schemas::Channel;
use sealpost_schemas::record::Statement;

pub use error::{RenderError, TemplateError};
pub use limits::{Limits, NAME as LIMITS_NAME};
pub use template_set::TemplateSet;

use context::Bill;
use form::Form;

/// What was opened of a subscriber's profile; an empty text is one that is missing.
#[derive(Clone, Copy)]
pub struct Profile<'a> {
    /// The whole name. It is masked before a template sees it.
    pub name: &'a str,
    /// The e-mail address in masked form. An unmasked one would be masked, too.
    pub masked_email: &'a str,
    /// The phone number in masked form. An unmasked one would be masked, too.
    pub masked_phone: &'a str,
}

impl fmt::Debug for Profile<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Profile(…)")
    }
}

/// A message without its address: what its digest is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    /// The subject, of e-mail and push: one line, never empty.
    pub subject: Option<String>,
    /// The text, never empty.
    pub body: String,
    /// The page, of e-mail.
    pub html: Option<String>,
}

impl TemplateSet {
    /// Renders a statement for one channel, in the statement's language. Whether this is the
    /// set that the statement names by its digest is for the caller to see to.
    ///
    /// # Errors
    /// [`RenderError`] if the message would be longer than the channel takes or its subject
    /// would be empty, and if a template fails, which one that was loaded does not.
    pub fn render(
        &self,
        statement: &Statement,
        profile: &Profile<'_>,
        channel: Channel,
    ) -> Result<Rendered, RenderError> {
        let uses = self
            .uses(channel, statement.locale)
            .ok_or(RenderError::NoTemplate { channel })?;
        let form = Form::of(channel, statement.locale);
        let bill = Bill::context(statement, profile, uses);
        let subject = form
            .subject
            .map(|name| self.subject(name, &bill))
            .transpose()?;
        let body = self.text(form.text, channel, &bill)?;
        let html = form
            .html
            .map(|name| self.text(name, channel, &bill))
            .transpose()?;
        Ok(Rendered {
            subject,
            body,
            html,
        })
    }

    fn subject(&self, name: &'static str, bill: &Value) -> Result<String, RenderError> {
        let mut subject = self.template(name, bill)?;
        subject.truncate(subject.trim_end().len());
        if subject.is_empty() || subject.chars().any(words::disturbs) {
            return Err(RenderError::Subject { name });
        }
        Ok(subject)
    }

    fn text(
        &self,
        name: &'static str,
        channel: Channel,
        bill: &Value,
    ) -> Result<String, RenderError> {
        let mut text = self.template(name, bill)?;
        if channel == Channel::Sms {
            text = euc_kr::with_substitutes(text);
        }
        if text.trim_start().is_empty() {
            return Err(RenderError::Empty { name });
        }
        Form::check_size(&self.limits, channel, name, &text)?;
        Ok(text)
    }

    /// The text of one template, as it comes.
    fn template(&self, name: &'static str, bill: &Value) -> Result<String, RenderError> {
        let rendered = self
            .environment
            .get_template(name)
            .and_then(|template| template.render(bill));
        rendered.map_err(|error| {
            let cause = innermost(&error);
            RenderError::Fails {
                name: cause.name().unwrap_or(name).to_owned(),
                line: cause.line().unwrap_or_default(),
                problem: template_set::problem(cause.kind()),
            }
        })
    }
}

/// Where a failure began: one in an included template is wrapped once for each template around.
fn innermost(error: &minijinja::Error) -> &minijinja::Error {
    let source = std::error::Error::source(error);
    source
        .and_then(|source| source.downcast_ref())
        .map_or(error, innermost)
}
