//! Both logs of one machine keep the contract.

use std::sync::Arc;

use sealpost_topology::log::conformance::{Harness, Support, run};
use sealpost_topology::log::{EmbeddedLog, Log, MemoryLog};
use sealpost_topology::types::Group;
use tempfile::TempDir;

use crate::support::{in_memory, open};

struct Memory(MemoryLog);

impl Harness for Memory {
    fn log(&self) -> Arc<dyn Log> {
        Arc::new(self.0.clone())
    }

    fn reopen(&mut self) -> Support {
        Support::Unsupported
    }

    fn evict(&self, group: &Group) -> Support {
        self.0.evict_first_member(group);
        Support::Done
    }

    fn abort_next_commit(&self) -> Support {
        self.0.faults().abort_commits(1);
        Support::Done
    }

    fn compact(&self) -> Support {
        self.0.compact(0).unwrap();
        Support::Done
    }
}

struct Embedded {
    /// `None` only while it is opened again.
    log: Option<EmbeddedLog>,
    partitions: u32,
    directory: TempDir,
}

impl Embedded {
    fn make(partitions: u32) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let log = open(directory.path(), partitions).unwrap();
        Self {
            log: Some(log),
            partitions,
            directory,
        }
    }

    fn get(&self) -> &EmbeddedLog {
        self.log.as_ref().unwrap()
    }
}

impl Harness for Embedded {
    fn log(&self) -> Arc<dyn Log> {
        Arc::new(self.get().clone())
    }

    fn reopen(&mut self) -> Support {
        self.log = None;
        self.log = Some(open(self.directory.path(), self.partitions).unwrap());
        Support::Done
    }

    fn evict(&self, group: &Group) -> Support {
        self.get().evict_first_member(group);
        Support::Done
    }

    fn abort_next_commit(&self) -> Support {
        self.get().faults().abort_commits(1);
        Support::Done
    }

    fn compact(&self) -> Support {
        self.get().compact(0).unwrap();
        Support::Done
    }
}

#[test]
fn the_log_in_memory_keeps_the_contract() {
    let report = run(&mut |partitions| Box::new(Memory(in_memory(partitions))));
    assert_eq!(
        report.skipped,
        [
            "records and progress survive a reopen",
            "a log that was opened again goes on where it ended",
            "a compacted topic is the same after a reopen"
        ]
    );
}

#[test]
fn the_embedded_log_keeps_the_contract() {
    let report = run(&mut |partitions| Box::new(Embedded::make(partitions)));
    assert_eq!(report.skipped, [""; 0]);
}
