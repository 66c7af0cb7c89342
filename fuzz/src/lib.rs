//! Everything that reads bytes from outside, fed with bytes that nobody meant.
//!
//! [`target::ALL`] are the readers, [`mutate`] makes inputs out of a kept corpus, [`hunt`] feeds
//! them. A reader tells the *shape* of what it made of an input: which error, which kind of
//! record. An input with a shape not seen before is bred from; it stands in for the coverage of
//! code that `fuzz/coverage` goes by, with the same readers and the same corpus.

pub mod begin;
pub mod hunt;
pub mod mutate;
pub mod target;
