//! What passes between the stages of sealpost, and what it is made of.
//!
//! Records and their Avro codec, ids and money, sealed values and the key ring, the tariff
//! catalogue. Nothing here knows a log engine, a runtime, a clock or the network.

pub mod canonical;
pub mod catalog;
pub mod codec;
pub mod id;
pub mod key_ring;
pub mod record;
pub mod result_table;
pub mod sealed;
pub mod time;
pub mod won;

pub use id::{Channel, Digest, Kind, MessageKey, Period, UserId, Version};
pub use sealed::Sealed;
pub use time::Timestamp;
pub use won::Won;
