//! The whole pipeline from a seed: all stages, several processes, the provider, upstream and the
//! operator, in one thread and simulated time, broken in every way that production can.
//!
//! The stages, the workers, the sender and the log are the real ones. What is simulated is what
//! lies outside of them: time, chance, threads, the provider, and the hands that start, stop, kill
//! and command. Begin with [`world`]; [`plan`] is what a seed draws, [`expect`] what must come out.
//!
//! # Invariants
//! - Nothing here reads a clock, chance or the environment: a plan is a run, to the byte.
//! - The checks know nothing of the pipeline's own reckoning: money is computed once more
//!   ([`tariff`]), and what was sent is asked of the provider's ledger ([`provider`]).

pub mod campaign;
pub mod canary;
mod checks;
pub mod clerk;
pub mod corrections;
pub mod draw;
pub mod expect;
pub mod lists;
pub mod marks;
pub mod operator;
pub mod plan;
pub mod process;
pub mod provider;
pub mod scene;
pub mod suppressed;
pub mod tariff;
pub mod trace;
pub mod upstream;
pub mod vitals;
pub mod webhook;
pub mod wires;
pub mod world;
