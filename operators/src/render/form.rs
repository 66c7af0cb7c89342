//! Which templates make a message, and whether its channel takes it.

use sealpost_schemas::Channel;
use sealpost_schemas::record::Locale;

use super::error::RenderError;
use super::limits::Limits;

/// The languages.
pub(super) const LOCALES: [Locale; 2] = [Locale::Ko, Locale::En];

/// The templates of one channel in one language, by name.
#[derive(Debug, Clone, Copy)]
pub(super) struct Form {
    /// The subject, where the channel has one.
    pub(super) subject: Option<&'static str>,
    /// The text.
    pub(super) text: &'static str,
    /// The page, where the channel has one.
    pub(super) html: Option<&'static str>,
}

impl Form {
    /// The templates of a channel in a language.
    pub(super) const fn of(channel: Channel, locale: Locale) -> Self {
        let (subject, text, html) = match (channel, locale) {
            (Channel::Email, Locale::Ko) => (
                Some("email.ko.subject"),
                "email.ko.txt",
                Some("email.ko.html"),
            ),
            (Channel::Email, Locale::En) => (
                Some("email.en.subject"),
                "email.en.txt",
                Some("email.en.html"),
            ),
            (Channel::Sms, Locale::Ko) => (None, "sms.ko.txt", None),
            (Channel::Sms, Locale::En) => (None, "sms.en.txt", None),
            (Channel::Kakao, Locale::Ko) => (None, "kakao.ko.txt", None),
            (Channel::Kakao, Locale::En) => (None, "kakao.en.txt", None),
            (Channel::Push, Locale::Ko) => (Some("push.ko.subject"), "push.ko.txt", None),
            (Channel::Push, Locale::En) => (Some("push.en.subject"), "push.en.txt", None),
        };
        Self {
            subject,
            text,
            html,
        }
    }

    /// Every channel in every language.
    pub(super) fn all() -> impl Iterator<Item = (Channel, Locale, Self)> {
        let locales = |channel| LOCALES.map(|locale| (channel, locale, Self::of(channel, locale)));
        Channel::ALL.into_iter().flat_map(locales)
    }

    /// The names of its templates.
    pub(super) fn names(self) -> impl Iterator<Item = &'static str> {
        self.subject.into_iter().chain([self.text]).chain(self.html)
    }

    /// Holds a rendered text to what its channel takes.
    ///
    /// # Errors
    /// [`RenderError::TooLong`] beyond it.
    pub(super) fn check_size(
        limits: &Limits,
        channel: Channel,
        name: &'static str,
        text: &str,
    ) -> Result<(), RenderError> {
        let (size, size_max) = (Limits::size(channel, text), limits.of(channel));
        if size > size_max {
            return Err(RenderError::TooLong {
                name,
                size,
                size_max,
                unit: Limits::unit(channel),
            });
        }
        Ok(())
    }
}
