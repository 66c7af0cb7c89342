//! Writes a synthetic population as `subscribers.parquet` and `usage.parquet`, its personal
//! columns only as ciphertext: what `sealpost seed` does.
//!
//! Invariants:
//! - The same population and keys give the same bytes, on any number of processors.
//! - Both files appear when both are complete, or neither.
//! - Memory is bounded: some thousand users in the making, and one row group of each file.

mod columns;
mod offer;
mod table_file;
#[cfg(test)]
mod tests;

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;

use anyhow::{Context as _, anyhow};
use arrow::array::RecordBatch;
use sealpost_schemas::key_ring::KeyRing;
use sealpost_schemas::result_table::{subscribers_schema, usage_schema};
use sealpost_seeds::Population;

pub use self::offer::offer;

use self::columns::UsageColumns;
use self::table_file::TableFile;
use crate::door::contacts::{self, KEYS_NEEDED, PlainContacts};

/// Users made at once.
const CHUNK_USERS: u64 = 2_048;
/// Threads that make and seal; the calling thread writes. Fixed, so that nothing about the result
/// can depend on the machine.
const MAKERS: u64 = 2;
/// Chunks that a maker may be ahead.
const CHUNKS_AHEAD: usize = 2;

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeedSummary {
    /// Rows in `subscribers.parquet`.
    pub users: u64,
    /// Rows in `usage.parquet`.
    pub events: u64,
    /// Where `subscribers.parquet` is.
    pub subscribers: PathBuf,
    /// Where `usage.parquet` is.
    pub usage: PathBuf,
}

/// Some users and their usage.
struct Chunk {
    users: u64,
    subscribers: RecordBatch,
    usage: RecordBatch,
}

/// Writes both files into a folder, which is made if it is not there; files of these names are
/// replaced. `progress` is told now and then how many users are done.
///
/// # Errors
/// A key that is missing (`destination`, `profile` and `match` are needed), or a folder that
/// cannot be written to. Then no file was replaced, unless it was between the two renames.
pub fn write(
    population: &Population,
    key_ring: &KeyRing,
    out_dir: &Path,
    progress: &dyn Fn(u64),
) -> anyhow::Result<SeedSummary> {
    key_ring.require(&KEYS_NEEDED)?;
    fs::create_dir_all(out_dir).with_context(|| format!("cannot make {}", out_dir.display()))?;
    let mut subscribers = TableFile::create(out_dir, "subscribers.parquet", subscribers_schema())?;
    let mut usage = TableFile::create(out_dir, "usage.parquet", usage_schema())?;
    let mut users = 0;
    let mut events = 0;
    thread::scope(|scope| -> anyhow::Result<()> {
        let makers: Vec<Receiver<anyhow::Result<Chunk>>> = (0..MAKERS)
            .map(|maker| {
                let (sender, receiver) = sync_channel(CHUNKS_AHEAD);
                scope.spawn(move || {
                    for chunk in chunks(population.users())
                        .skip(maker as usize)
                        .step_by(MAKERS as usize)
                    {
                        // nobody listens any more: writing failed
                        if sender.send(make(population, key_ring, chunk)).is_err() {
                            return;
                        }
                    }
                });
                receiver
            })
            .collect();
        // from each in turn, which is the order of the users
        for (chunk, maker) in chunks(population.users()).zip(makers.iter().cycle()) {
            let chunk = maker
                .recv()
                .map_err(|_| anyhow!("users from {} on could not be made", chunk.start))??;
            subscribers.write(&chunk.subscribers)?;
            usage.write(&chunk.usage)?;
            users += chunk.users;
            events += chunk.usage.num_rows() as u64;
            progress(users);
        }
        Ok(())
    })?;
    let (subscribers, usage) = (subscribers.complete()?, usage.complete()?);
    Ok(SeedSummary {
        users,
        events,
        subscribers: subscribers.publish()?,
        usage: usage.publish()?,
    })
}

fn chunks(users: u64) -> impl Iterator<Item = Range<u64>> {
    (0..users.div_ceil(CHUNK_USERS)).map(move |chunk| {
        let start = chunk * CHUNK_USERS;
        start..(start + CHUNK_USERS).min(users)
    })
}

fn make(population: &Population, ring: &KeyRing, indices: Range<u64>) -> anyhow::Result<Chunk> {
    let users = indices.end - indices.start;
    let mut people = Vec::with_capacity(usize::try_from(users)?);
    let mut usage = UsageColumns::with_capacity(people.capacity() * 10);
    for index in indices {
        let plain = population.subscriber(index);
        let sealed = contacts::seal(
            ring,
            plain.user_id,
            &PlainContacts {
                name: Some(&plain.name),
                email: Some(&plain.email),
                phone: Some(&plain.phone),
                push_token: plain.push_token.as_deref(),
            },
        )
        .with_context(|| format!("user {} cannot be sealed", plain.user_id))?;
        people.push((plain, sealed));
        for event in population.usage(index) {
            usage.push(&event);
        }
    }
    Ok(Chunk {
        users,
        subscribers: columns::subscribers(&people)?,
        usage: usage.finish()?,
    })
}
