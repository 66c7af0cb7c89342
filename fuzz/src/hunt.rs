//! Feeds a reader for as long as it is told.

use std::collections::BTreeSet;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use sealpost_simulator::draw::Draw;

use crate::mutate;
use crate::target::Target;

/// Longest that a reader may take for one input.
const INPUT_MAX: Duration = Duration::from_secs(5);

/// What a hunt came to.
#[derive(Debug, Default)]
pub struct Caught {
    /// Inputs that were fed.
    pub inputs: u64,
    /// Different shapes of what came out.
    pub shapes: usize,
    /// The input at which the reader panicked or took too long, and which of the two.
    pub crash: Option<(Vec<u8>, String)>,
    /// Inputs that showed a new shape.
    pub bred: Vec<Vec<u8>>,
}

/// The kept inputs of a reader.
///
/// # Errors
/// When its folder cannot be read.
pub fn corpus(folder: &Path, target: &Target) -> Result<Vec<Vec<u8>>> {
    let folder = folder.join(target.name);
    let mut files: Vec<_> = fs::read_dir(&folder)
        .with_context(|| format!("the corpus {} cannot be read", folder.display()))?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<_>>()?;
    files.sort();
    files.iter().map(|file| Ok(fs::read(file)?)).collect()
}

/// Feeds a reader its corpus, then what is made of it, while `go_on` says so.
pub fn hunt(
    target: &Target,
    corpus: Vec<Vec<u8>>,
    seed: u64,
    mut go_on: impl FnMut(u64) -> bool,
) -> Caught {
    let mut draw = Draw::of(seed, target.name);
    let mut caught = Caught::default();
    let mut shapes = BTreeSet::new();
    let mut breeding = corpus.clone();
    let mut kept = corpus.into_iter();
    while go_on(caught.inputs) {
        let given = kept.next();
        let is_kept = given.is_some();
        let input = given.unwrap_or_else(|| mutate::next(&breeding, &mut draw));
        caught.inputs += 1;
        let began = Instant::now();
        let read = catch_unwind(AssertUnwindSafe(|| (target.read)(&input)));
        match read {
            Err(panic) => {
                let why = panic
                    .downcast_ref::<String>()
                    .map(String::as_str)
                    .or_else(|| panic.downcast_ref::<&str>().copied())
                    .unwrap_or("a panic without words");
                caught.crash = Some((input, why.to_owned()));
                break;
            }
            Ok(_) if began.elapsed() > INPUT_MAX => {
                let took = format!("took {:?}", began.elapsed());
                caught.crash = Some((input, took));
                break;
            }
            Ok(shape) => {
                if shapes.insert(shape) && !is_kept {
                    breeding.push(input.clone());
                    caught.bred.push(input);
                }
            }
        }
    }
    caught.shapes = shapes.len();
    caught
}
