//! The kept inputs of every reader, and some that are made of them.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::path::Path;

use sealpost_fuzz::hunt::{corpus, hunt};
use sealpost_fuzz::target::ALL;

/// Inputs of each reader: a few seconds for all.
const INPUTS: u64 = 3_000;

#[test]
fn no_kept_input_and_nothing_made_of_one_breaks_a_reader() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    for target in ALL {
        let kept = corpus(&folder, target).unwrap();
        assert!(!kept.is_empty(), "{} has a corpus", target.name);
        let caught = hunt(target, kept, 1, |inputs| inputs < INPUTS);
        if let Some((input, why)) = caught.crash {
            panic!("{}: {why}: {input:?}", target.name);
        }
        assert!(caught.shapes > 1, "{} tells inputs apart", target.name);
    }
}
