//! The streams runtime: a partitioned log with three backends, and above it shards, workers,
//! stores and timers. It knows nothing of billing or sending, nor what any record means.
//!
//! - [`log`]: the contract of a log, its backends, and the suite that holds them to it.
//! - [`processor`]: the seam to what a stage does, record by record.
//! - [`worker`]: one thread's shards and the loop that commits their doings as one step.
//! - [`runtime`]: stages on threads; [`graph`]: the picture of it all.

pub mod batch;
pub mod durations;
pub mod graph;
pub mod log;
pub mod partitioner;
pub mod processor;
pub mod runtime;
pub mod store;
mod task;
pub mod types;
pub mod worker;
