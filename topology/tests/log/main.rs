//! The log on one machine, in memory and on disk, against its contract.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests"
)]

mod conformance;
mod directory;
mod kafka;
mod kill;
mod model;
mod partitioner;
mod support;
mod upkeep;
