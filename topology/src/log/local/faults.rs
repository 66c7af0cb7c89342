//! Faults on demand, for tests and the simulator.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// What goes wrong next. Shared: a test holds one end, the log the other.
#[derive(Debug, Default, Clone)]
pub struct Faults {
    aborts: Arc<AtomicU32>,
}

impl Faults {
    /// The next `count` commits of members are aborted: nothing of them happens.
    pub fn abort_commits(&self, count: u32) {
        self.aborts.store(count, Ordering::SeqCst);
    }

    /// Whether the commit at hand is to be aborted.
    pub(super) fn aborts_commit(&self) -> bool {
        self.aborts
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
                left.checked_sub(1)
            })
            .is_ok()
    }
}
