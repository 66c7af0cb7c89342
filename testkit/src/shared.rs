//! The broker that tests share when they do it no harm.

use std::sync::OnceLock;

use crate::cluster::check_machine;
use crate::{Brokers, Cluster, Error, setting};

/// What a test may count on here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Availability {
    /// Clusters can be started ([`Cluster::start`]).
    Startable,
    /// No cluster can be started, but there is a broker: the one that `SEALPOST_TEST_KAFKA` names.
    NamedOnly {
        /// Its address.
        bootstrap: String,
        /// Why none can be started.
        why: String,
    },
    /// Neither.
    None {
        /// Why none can be started.
        why: String,
    },
}

/// What a test may count on here; looked up once in a process.
#[must_use]
pub fn availability() -> &'static Availability {
    static ANSWER: OnceLock<Availability> = OnceLock::new();
    ANSWER.get_or_init(|| match (check_machine(), setting(NAMED)) {
        (Ok(()), _) => Availability::Startable,
        (Err(error), Some(bootstrap)) => Availability::NamedOnly {
            bootstrap,
            why: error.to_string(),
        },
        (Err(error), None) => Availability::None {
            why: error.to_string(),
        },
    })
}

const NAMED: &str = "SEALPOST_TEST_KAFKA";

/// A broker for every test of this process that neither stops it nor changes its settings; topics
/// on it are named by [`crate::unique`].
#[derive(Debug)]
pub struct Shared {
    bootstrap: String,
    private: Option<Cluster>,
}

impl Shared {
    /// Its address, for `bootstrap.servers`. It takes anyone, without TLS.
    #[must_use]
    pub fn bootstrap(&self) -> &str {
        &self.bootstrap
    }

    /// Whether it was started by this process, so not by the one that runs the tests.
    #[must_use]
    pub fn is_private(&self) -> bool {
        self.private.is_some()
    }
}

/// The broker that `SEALPOST_TEST_KAFKA` names; else one that this process starts, once, and that
/// ends with it.
///
/// # Errors
/// [`Error::Missing`] if none is named and none can be started; [`Error::Failed`] if it did not
/// start. Every caller gets the same answer.
pub fn shared() -> Result<&'static Shared, Error> {
    static SHARED: OnceLock<Result<Shared, Error>> = OnceLock::new();
    SHARED
        .get_or_init(|| match setting(NAMED) {
            Some(bootstrap) => Ok(Shared {
                bootstrap,
                private: None,
            }),
            None => Cluster::start(Brokers::One).map(|cluster| Shared {
                bootstrap: cluster.bootstrap().to_owned(),
                private: Some(cluster),
            }),
        })
        .as_ref()
        .map_err(Clone::clone)
}
