//! The binary's parts: command line, configuration, providers, and the one place where the
//! graph is wired ([`pipeline`]).

pub mod books;
pub mod commands;
pub mod config;
pub mod deployment;
pub mod door;
pub mod engine;
pub mod generation;
pub mod host;
pub mod http;
pub mod kafka;
pub mod metrics;
mod operator;
pub mod pipeline;
pub mod progress;
pub mod provider;
pub mod receipts;
pub mod registry;
pub mod repartition;
pub mod retention;
pub mod seed;
pub mod sender;
pub mod stages;
pub mod suppressions;
pub mod templates;
pub mod topics;
pub mod usage_error;
