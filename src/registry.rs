//! The schema registry: which schema a value on a topic was written with, as an id.
//!
//! With `[schema_registry]` configured, values of the contract's topics are in the framing of
//! Confluent's clients; without, in Avro's single-object encoding. [`ValueCodec`] is handed to
//! whoever encodes or decodes such values and knows which it is. Private state, and bytes that
//! never leave a process, keep to single-object encoding.
//!
//! # Invariants
//! - The schemas of all topics are registered, or found to be, before a deployment writes or
//!   reads anything: an incompatible one is an error at the start, never a record half-way.
//! - What does not answer is asked again within a bounded time, and then is an error: no record is
//!   refused because a registry was down.
//! - No error and no log line carries the password.

mod client;
mod error;
mod schemas;
mod settings;
mod subjects;
mod value_codec;

pub use error::{Consequence, RegistryError};
pub use settings::{Password, SchemaRegistryConfig};
pub(crate) use settings::{is_plain, password_from_environment};
pub use value_codec::ValueCodec;
