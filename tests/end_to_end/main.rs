//! From usage records to a sent bill, once: the real program in folders of its own, and a world
//! that is asked afterwards. One program of tests, so that it is linked once.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "tests, which take settings and the time from where they are"
)]

mod bench;
mod client;
mod corrections;
mod crash;
mod demo;
mod disk;
mod figures;
mod held;
mod inputs;
mod operator_api;
mod plain;
mod privacy;
mod python;
mod read_errors;
mod receipts;
mod records;
mod replay;
mod rounds;
mod settlement;
mod site;
mod suppression;
mod table;
mod templates;
mod world;

/// A number from the environment, for longer runs than the usual ones.
fn setting(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{name} must be a number")),
    )
}

/// Says something past the test harness, which would swallow it.
fn tell(line: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stderr(), "{line}");
}
