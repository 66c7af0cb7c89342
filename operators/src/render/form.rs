//! Which templates make a message, and how long it may be.

use sealpost_schemas::Channel;
use sealpost_schemas::record::Locale;

use super::error::RenderError;
use super::words;

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
        channel: Channel,
        name: &'static str,
        text: &str,
    ) -> Result<(), RenderError> {
        let (size, size_max, unit) = match channel {
            Channel::Email => (text.len(), EMAIL_BYTES_MAX, "bytes"),
            Channel::Sms => (words::euc_kr_bytes(text), SMS_BYTES_MAX, "bytes of EUC-KR"),
            Channel::Kakao => (text.chars().count(), KAKAO_CHARACTERS_MAX, "characters"),
            Channel::Push => (text.len(), PUSH_BYTES_MAX, "bytes"),
        };
        if size > size_max {
            return Err(RenderError::TooLong {
                name,
                size,
                size_max,
                unit,
            });
        }
        Ok(())
    }
}

/// A page or text of an e-mail: well-known readers cut off what is longer than 102 KB.
pub(super) const EMAIL_BYTES_MAX: usize = 100_000;

/// A long text message (LMS) in Korea. Up to 90 it goes as a short one, which is cheaper: the
/// built-in templates stay below that for a name of ordinary length.
pub(super) const SMS_BYTES_MAX: usize = 2_000;

/// A KakaoTalk notice.
pub(super) const KAKAO_CHARACTERS_MAX: usize = 1_000;

/// A push notification's text: the payload of 4,096 bytes leaves as much for everything else.
pub(super) const PUSH_BYTES_MAX: usize = 2_048;
