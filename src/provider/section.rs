//! Where a provider is set up.

use std::fmt;
use std::str::FromStr;

use sealpost_schemas::Channel;
use sealpost_schemas::record::Rank;

/// What the second provider's section is called.
const FALLBACK: &str = ".fallback";

/// A channel's section of the configuration, or that of its second provider: `email`, or
/// `email.fallback`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Section {
    /// The channel.
    pub channel: Channel,
    /// Which of its providers.
    pub rank: Rank,
}

impl From<Channel> for Section {
    fn from(channel: Channel) -> Self {
        let rank = Rank::Primary;
        Self { channel, rank }
    }
}

impl fmt::Display for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.channel.name())?;
        match self.rank {
            Rank::Primary => Ok(()),
            Rank::Fallback => f.write_str(FALLBACK),
        }
    }
}

impl FromStr for Section {
    type Err = <Channel as FromStr>::Err;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (channel, rank) = match text.strip_suffix(FALLBACK) {
            Some(channel) => (channel, Rank::Fallback),
            None => (text, Rank::Primary),
        };
        let channel = channel.parse()?;
        Ok(Self { channel, rank })
    }
}
