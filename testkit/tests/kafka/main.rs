//! The harness itself: its brokers serve, obey, and leave nothing behind; its proxy keeps its
//! word; and other people's clients agree with us about what is on a topic. One program of
//! tests, so that it is linked once.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests"
)]

mod clients;
mod control;
mod life;
mod proxy;
mod secured;
mod support;
