//! One data directory, several processes: who has the log open, and what the others see of it.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests"
)]

mod child;
mod directory;
mod ends;
mod remote;
mod roles;
mod support;
