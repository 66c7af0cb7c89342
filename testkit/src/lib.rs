//! Real Apache Kafka for tests: brokers that can be killed, frozen and cut off.
//!
//! ```no_run
//! use sealpost_testkit::{Brokers, Cluster, OrNotRun as _};
//!
//! let Some(cluster) = Cluster::start(Brokers::Three).or_not_run("failover") else {
//!     return;
//! };
//! cluster.kill(cluster.nodes()[0]).unwrap();
//! ```
//!
//! Invariants:
//! - A cluster ends when its [`Cluster`] is dropped, and when this process ends, whatever ended
//!   it: a watchdog outside sees to that, since neither statics nor a killed process are dropped.
//!   It takes its directory along.
//! - A machine without Java 17 or Maven is no failure, unless `SEALPOST_REQUIRE_KAFKA=1`: see
//!   [`OrNotRun`].
//! - Nothing listens or connects beyond loopback.

mod cluster;
mod error;
mod programs;
mod proxy;
mod shared;

pub use cluster::{Brokers, Cluster, Node, User};
pub use error::{Error, OrNotRun, not_run};
pub use programs::{java, kcat, python};
pub use proxy::Proxy;
pub use shared::{Availability, Shared, availability, shared};

/// A name for a topic, a group or a prefix that no other test has, in this process or another:
/// `name` and a random part. Of letters, digits and hyphens if `name` is.
#[must_use]
pub fn unique(name: &str) -> String {
    use std::hash::{BuildHasher as _, RandomState};
    // the standard library's own randomness, new for each
    format!("{name}-{:016x}", RandomState::new().hash_one(name))
}

/// A setting of the environment; none if it is unset or empty.
#[allow(
    clippy::disallowed_methods,
    reason = "this crate is configured by the environment of the test run alone"
)]
fn setting(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
