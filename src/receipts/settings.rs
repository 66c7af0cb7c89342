//! `[channels.NAME.receipts]`, `[channels.NAME.fallback.receipts]`: how a provider signs what it says later of a message.

use anyhow::{Result, bail};
use serde::Deserialize;

use crate::provider::Section;
use crate::provider::http::secret::Secret;

/// See the module.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReceiptsConfig {
    /// What receipts are signed with, or `${NAME}` for that of the environment.
    pub secret: Secret,
    /// How far a receipt's time may lie from ours, in seconds, either way.
    #[serde(default = "tolerance_s_default")]
    pub tolerance_s: i64,
}

const fn tolerance_s_default() -> i64 {
    300
}

impl ReceiptsConfig {
    /// Checks what can be checked without the environment.
    ///
    /// # Errors
    /// Names the key.
    pub fn check(&self, section: Section) -> Result<()> {
        if !(1..=3_600).contains(&self.tolerance_s) {
            bail!("channels.{section}.receipts.tolerance_s must be from 1 to 3600");
        }
        Ok(())
    }
}
