//! A deployment on real Kafka moves to other numbers of partitions and back: the real program, and
//! a world that is asked afterwards.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests"
)]

#[allow(dead_code, reason = "shared with other programs of tests")]
#[path = "../end_to_end/plain.rs"]
mod plain;
#[allow(dead_code, reason = "shared with other programs of tests")]
#[path = "../end_to_end/site.rs"]
mod site;
#[allow(dead_code, reason = "shared with other programs of tests")]
#[path = "../end_to_end/world.rs"]
mod world;

mod deployment;
mod frozen;
mod held;
mod interrupted;
mod moves;
mod refusals;
mod stragglers;
mod suppressed;
