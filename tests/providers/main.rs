//! Providers over HTTP, and mail servers: each kind of answer through the provider alone, connections that break at
//! every stage, and the whole pipeline against a provider that does everything wrong.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "tests, which take settings and the time from where they are"
)]

mod answers;
mod breaker;
mod breaks;
mod desk;
mod fallback;
mod kept_alive;
mod kit;
mod mail;
mod mail_server;
mod parked;
#[path = "../end_to_end/python.rs"]
#[allow(dead_code, reason = "shared with another program of tests")]
mod python;
mod raw;
#[path = "../end_to_end/records.rs"]
#[allow(dead_code, reason = "shared with another program of tests")]
mod records;
mod released;
#[path = "../end_to_end/site.rs"]
#[allow(dead_code, reason = "shared with another program of tests")]
mod site;
mod storm;
#[path = "../end_to_end/table.rs"]
#[allow(dead_code, reason = "shared with another program of tests")]
mod table;
#[cfg(feature = "https")]
mod tls;

/// Says something past the test harness, which would swallow it.
fn tell(line: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stderr(), "{line}");
}
