//! `fuzz-coverage`: one reader under libFuzzer, which breeds from inputs that run new code.
//!
//! `fuzz/coverage` builds and runs it: it has to be compiled with the counters that libFuzzer
//! reads. `main` and the command line are libFuzzer's; the reader is named by [`READER`].
#![no_main]

use std::panic::{AssertUnwindSafe, catch_unwind, set_hook};
use std::process::{abort, exit};
use std::sync::{Mutex, OnceLock};

use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};
use sealpost_fuzz::mutate;
use sealpost_fuzz::target::{ALL, Target};
use sealpost_simulator::draw::Draw;

/// The setting that names the reader.
const READER: &str = "SEALPOST_FUZZ_READER";

/// One change in so many is one of [`mutate`], which knows what readers tend to go wrong at; the
/// others are libFuzzer's, which knows what code compared the input with.
const OWN_CHANGES: u64 = 3;

/// What the last panic said, and where.
static PANIC: Mutex<String> = Mutex::new(String::new());

#[allow(clippy::print_stderr, reason = "this is a command")]
fn reader() -> &'static Target {
    static TARGET: OnceLock<&Target> = OnceLock::new();
    TARGET.get_or_init(|| {
        #[allow(clippy::disallowed_methods, reason = "libFuzzer has the arguments")]
        let name = std::env::var(READER).unwrap_or_default();
        ALL.iter()
            .find(|target| target.name == name)
            .unwrap_or_else(|| {
                eprintln!("{READER} names no reader: {name:?}");
                exit(2)
            })
    })
}

#[allow(clippy::print_stderr, reason = "this is a command")]
fn read(input: &[u8]) {
    if catch_unwind(AssertUnwindSafe(|| (reader().read)(input))).is_err() {
        // libFuzzer keeps the input of a process that ends like this
        if let Ok(said) = PANIC.lock() {
            eprintln!("{said}");
        }
        abort();
    }
}

/// Only what a reader does not catch itself is news: libFuzzer's own hook would end all of them.
fn remember_panics() {
    set_hook(Box::new(|panic| {
        if let Ok(mut said) = PANIC.lock() {
            *said = panic.to_string();
        }
    }));
}

fn change(data: &mut [u8], size: usize, size_max: usize, seed: u32) -> usize {
    let mut draw = Draw::of(seed.into(), "coverage");
    if !draw.one_in(OWN_CHANGES) {
        return fuzzer_mutate(data, size, size_max);
    }
    let kept = data.get(..size).unwrap_or_default().to_vec();
    let input = mutate::next(&[kept], &mut draw);
    let length = input.len().min(size_max);
    if let (Some(to), Some(from)) = (data.get_mut(..length), input.get(..length)) {
        to.copy_from_slice(from);
    }
    length
}

fuzz_target!(init: remember_panics(), |input: &[u8]| read(input));
fuzz_mutator!(|data: &mut [u8], size: usize, size_max: usize, seed: u32| {
    change(data, size, size_max, seed)
});
