//! What every message of one rich bill looks like, byte for byte.
//!
//! The files are in `tests/golden/`; after a change that is meant, `UPDATE_GOLDEN=1 cargo test
//! -p sealpost-operators --test render_golden` writes them anew, to be read before they are
//! kept.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests"
)]

mod render_support;

use std::path::Path;

use render_support::{NOBODY, PROFILE, carried_forward, messages, parts, rich};
use sealpost_operators::render::{Profile, TemplateSet};
use sealpost_schemas::record::{Locale, Statement};

#[allow(
    clippy::disallowed_methods,
    reason = "the one switch by which golden files are renewed"
)]
fn updating() -> bool {
    std::env::var_os("UPDATE_GOLDEN").is_some()
}

/// Holds every message of a bill to the files in `golden/FOLDER/`.
fn check(folder: &str, bill: fn(Locale) -> Statement, profile: &Profile<'_>) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(folder);
    let set = TemplateSet::built_in();
    let mut stale = Vec::new();
    for (channel, locale) in messages() {
        let rendered = set.render(&bill(locale), profile, channel).unwrap();
        for (part, text) in parts(&rendered) {
            let language = if locale == Locale::Ko { "ko" } else { "en" };
            let file = folder.join(format!("{channel}.{language}.{part}"));
            if updating() {
                std::fs::create_dir_all(&folder).unwrap();
                std::fs::write(&file, text).unwrap();
            } else if std::fs::read(&file).unwrap_or_default() != text.as_bytes() {
                stale.push(format!("{}: now\n{text}", file.display()));
            }
        }
    }
    assert!(stale.is_empty(), "{}", stale.join("\n\n"));
}

#[test]
fn a_rich_bill_reads_as_it_did() {
    check("rich", rich, &PROFILE);
}

#[test]
fn a_bill_of_nothing_for_someone_without_a_name_reads_as_it_did() {
    check("bare", carried_forward, &NOBODY);
}
