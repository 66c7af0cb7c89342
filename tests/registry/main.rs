//! The schema registry: a real one where it can be had, one that fails on demand where it cannot
//! be asked to; and the real program between them.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "tests, which take settings from where they are"
)]

mod apicurio;
mod failures;
mod foreign;
mod interop;
mod log;
mod stub;
mod subjects;

// the same sites, worlds and rows as the program's other tests have
#[allow(dead_code, reason = "another program uses the rest")]
#[path = "../end_to_end/plain.rs"]
mod plain;
#[allow(dead_code, reason = "another program uses the rest")]
#[path = "../end_to_end/site.rs"]
mod site;
#[allow(dead_code, reason = "another program uses the rest")]
#[path = "../end_to_end/world.rs"]
mod world;

use serde_json::Value;

use site::Site;

/// A deployment with a registry and a topic prefix of its own, so that tests share a registry and
/// no subject.
fn config(url: &str, prefix: &str, more: &str) -> String {
    format!(
        "log.topic_prefix = \"{prefix}\"\nwindows.ignore = true\n\
         [schema_registry]\nurl = \"{url}\"\ntimeout_ms = 5000\n{more}"
    )
}

/// The same deployment without a registry.
fn without_registry(prefix: &str) -> String {
    format!("log.topic_prefix = \"{prefix}\"\nwindows.ignore = true\n")
}

/// A site with so many subscribers on its log, and no usage.
fn peopled(config: &str, users: u64) -> Site {
    let site = Site::new(config);
    site.file("people.csv", plain::subscribers(users));
    site.ok(["ingest", "people.csv"]);
    site
}

/// Closes the period and drains: everybody is billed, once.
#[track_caller]
fn billed(site: &Site, users: u64) -> Value {
    site.ok(["close", "2026-01"]);
    site.drain();
    let books = site.books("2026-01");
    assert_eq!(books["sent"], users, "{books}");
    let world = world::World::read(&site.data());
    world.assert_nobody_twice();
    assert_eq!(world.users_accepted().len() as u64, users);
    books
}

/// Why records were refused.
#[track_caller]
fn dead_letters(site: &Site) -> Vec<String> {
    let letters = site.json(["dead-letters", "list"]);
    let detail = |letter: &Value| letter["detail"].as_str().unwrap().to_owned();
    letters.as_array().unwrap().iter().map(detail).collect()
}

/// Says something past the test harness, which would swallow it.
fn tell(line: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stderr(), "{line}");
}
