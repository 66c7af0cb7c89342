//! Money: whole won, 64-bit, checked.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A sum would leave the 64-bit range. Money never wraps and never saturates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the amount is beyond 64 bits of won")]
pub struct WonOverflow;

/// An amount in whole won; negative for discounts and credits.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Won(pub i64);

#[allow(
    clippy::should_implement_trait,
    reason = "checked, so they answer a Result: the operators' traits cannot"
)]
impl Won {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// `self + other`.
    ///
    /// # Errors
    /// [`WonOverflow`] beyond 64 bits.
    pub fn add(self, other: Self) -> Result<Self, WonOverflow> {
        self.0.checked_add(other.0).map(Self).ok_or(WonOverflow)
    }

    /// `self − other`.
    ///
    /// # Errors
    /// [`WonOverflow`] beyond 64 bits.
    pub fn sub(self, other: Self) -> Result<Self, WonOverflow> {
        self.0.checked_sub(other.0).map(Self).ok_or(WonOverflow)
    }

    /// `−self`.
    ///
    /// # Errors
    /// [`WonOverflow`] for the one number that has no opposite.
    pub fn neg(self) -> Result<Self, WonOverflow> {
        self.0.checked_neg().map(Self).ok_or(WonOverflow)
    }

    /// The sum of all.
    ///
    /// # Errors
    /// [`WonOverflow`] when it passes 64 bits on the way.
    pub fn sum(amounts: impl IntoIterator<Item = Self>) -> Result<Self, WonOverflow> {
        amounts.into_iter().try_fold(Self::ZERO, Self::add)
    }
}

impl TryFrom<i128> for Won {
    type Error = WonOverflow;
    fn try_from(amount: i128) -> Result<Self, WonOverflow> {
        i64::try_from(amount).map(Self).map_err(|_| WonOverflow)
    }
}

impl fmt::Display for Won {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
