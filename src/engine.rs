//! What the storage engine under the embedded log says of its own upkeep: a flush or a compaction
//! that failed is told nowhere else, and all that comes after only says that something failed.

use log::{Level, LevelFilter, Log, Metadata, Record};

/// Where the engine's threads say why they ended.
const UPKEEP: &str = "fjall::worker_pool";

struct Engine;

impl Log for Engine {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() == Level::Error && metadata.target() == UPKEEP
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            tracing::error!("the log's storage failed at its upkeep: {}", record.args());
        }
    }

    fn flush(&self) {}
}

/// From here on it is told with everything else.
pub fn listen() {
    // whoever listens already is asked to tell it
    if log::set_logger(&Engine).is_ok() {
        log::set_max_level(LevelFilter::Error);
    }
}
