//! A provider over HTTP, written apart from the pipeline: a process of its own, a ledger of its
//! own, and faults on demand. For tests only.
//!
//! It knows the wire (`POST`, `Idempotency-Key`, `GET …/status/KEY`) and nothing else of sealpost:
//! what it says was sent is a second opinion.

pub mod check;
pub mod command;
pub mod fault;
pub mod ledger;
mod request;
pub mod server;
pub mod service;
