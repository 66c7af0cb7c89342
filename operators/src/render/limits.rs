//! How long a message may be, for each channel, in what that channel counts.
//!
//! Limits travel with the templates, as one more source named [`NAME`], so that they are part of
//! the set's digest: whether a message fits does not depend on the process that renders it. A set
//! without that source has the default limits.

use std::fmt::Write as _;

use sealpost_schemas::Channel;

use super::euc_kr;

/// What the source is called by which limits travel. As its first character says, it belongs to
/// no channel.
pub const NAME: &str = "_limits";

/// A page or text of an e-mail, in bytes: well-known readers cut off what is longer than 102 KB.
const EMAIL_MAX: usize = 100_000;

/// A long text message (LMS) in Korea, in bytes of EUC-KR.
const LMS_MAX: usize = 2_000;

/// A short text message (SMS) in Korea, in bytes of EUC-KR.
const SMS_MAX: usize = 90;

/// A KakaoTalk notice (AlimTalk), in characters.
const KAKAO_MAX: usize = 1_000;

/// A push notification's text, in bytes: the payload of 4,096 bytes leaves as much for everything
/// else.
const PUSH_MAX: usize = 2_048;

/// See the module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits([usize; Channel::ALL.len()]);

impl Default for Limits {
    fn default() -> Self {
        Self(Channel::ALL.map(|channel| match channel {
            Channel::Email => EMAIL_MAX,
            Channel::Sms => LMS_MAX,
            Channel::Kakao => KAKAO_MAX,
            Channel::Push => PUSH_MAX,
        }))
    }
}

impl Limits {
    /// The largest limit that can be set: a message must fit into a record of the log.
    pub const MAX: usize = EMAIL_MAX;

    /// What a text message takes that must go as a short one.
    pub const SHORT_TEXT_MESSAGE: usize = SMS_MAX;

    /// What a text message takes that may go as a long one: the default.
    pub const LONG_TEXT_MESSAGE: usize = LMS_MAX;

    /// With another limit for one channel.
    #[must_use]
    pub fn with(mut self, channel: Channel, size_max: usize) -> Self {
        if let Some(limit) = self.0.get_mut(channel.index()) {
            *limit = size_max;
        }
        self
    }

    /// The limit of a channel, in [`Limits::unit`]: of the text, and of an e-mail's page.
    #[must_use]
    pub fn of(&self, channel: Channel) -> usize {
        self.0.get(channel.index()).copied().unwrap_or_default()
    }

    /// What a channel counts.
    #[must_use]
    pub const fn unit(channel: Channel) -> &'static str {
        match channel {
            Channel::Email | Channel::Push => "bytes",
            Channel::Sms => "bytes of EUC-KR",
            Channel::Kakao => "characters",
        }
    }

    /// How long a text is on a channel, in [`Limits::unit`].
    #[must_use]
    pub fn size(channel: Channel, text: &str) -> usize {
        match channel {
            Channel::Email | Channel::Push => text.len(),
            Channel::Sms => euc_kr::bytes(text),
            Channel::Kakao => text.chars().count(),
        }
    }

    /// How limits travel: `sms = 90`, a line for each that is not the default; `None` if there is
    /// none to tell of.
    #[must_use]
    pub fn source(&self) -> Option<String> {
        let mut source = String::new();
        for channel in Channel::ALL {
            if self.of(channel) != Self::default().of(channel) {
                let _ = writeln!(source, "{channel} = {}", self.of(channel));
            }
        }
        (!source.is_empty()).then_some(source)
    }

    /// Reads what [`Limits::source`] wrote.
    ///
    /// # Errors
    /// The line, from 1, that is no limit.
    pub(super) fn from_source(source: &str) -> Result<Self, usize> {
        let mut limits = Self::default();
        for (index, line) in source.lines().enumerate() {
            let read = line.split_once(" = ").and_then(|(channel, size_max)| {
                Some((channel.parse().ok()?, size_max.parse().ok()?))
            });
            let (channel, size_max) = read.ok_or(index + 1)?;
            limits = limits.with(channel, size_max);
        }
        Ok(limits)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn limits_that_are_the_default_do_not_travel_and_others_come_back() {
        assert_eq!(Limits::default().source(), None);
        let limits = Limits::default()
            .with(Channel::Sms, 90)
            .with(Channel::Email, 5);
        let source = limits.source().unwrap();
        assert_eq!(source, "email = 5\nsms = 90\n");
        assert_eq!(Limits::from_source(&source), Ok(limits));
        assert_eq!(Limits::from_source("sms = 90\nfax = 1\n"), Err(2));
    }
}
