//! The lock of a data directory: who has its log open.
//!
//! # Invariants
//! - Whoever holds the advisory lock on the file `lock` is the only one to open the log, and the
//!   only one to put a socket in place. The kernel gives the lock back when its holder dies.
//! - What stands in the file is for messages only: `PID ROLE VERSION` of the holder, empty when
//!   nobody is. After a `kill -9` it is that of the dead until the next one writes its own.
//! - The file is never removed: two files of one name could both be locked.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

use super::holder::{Holder, Role};

/// What is read of the file at most: more was not written by a holder.
const HOLDER_BYTES_MAX: u64 = 256;

/// The lock, while it is held.
#[derive(Debug)]
pub(super) struct LockFile(File);

/// What came of an attempt to take the lock.
#[derive(Debug)]
pub(super) enum Attempt {
    /// It is ours.
    Taken(LockFile),
    /// Somebody has it, and says to be this, perhaps.
    Held(Option<Holder>),
}

impl LockFile {
    /// Takes the lock of a directory if it is free, making the directory if it is not there.
    ///
    /// # Errors
    /// When the directory cannot be made or written; the message names it.
    pub(super) fn attempt(data_dir: &Path, role: Role) -> anyhow::Result<Attempt> {
        Self::attempt_io(data_dir, role).map_err(|error| {
            anyhow::anyhow!(
                "the data directory {} cannot be used: {error}; make it a writable directory, or choose another with --data-dir",
                data_dir.display()
            )
        })
    }

    fn attempt_io(data_dir: &Path, role: Role) -> io::Result<Attempt> {
        // personal data lives here, though sealed: nobody else's business
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(data_dir)?;
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(data_dir.join("lock"))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                // a name in a message is not worth an error
                let _ = file.take(HOLDER_BYTES_MAX).read_to_string(&mut text);
                return Ok(Attempt::Held(Holder::from_line(&text)));
            }
            Err(TryLockError::Error(error)) => return Err(error),
        }
        file.set_len(0)?;
        file.rewind()?;
        writeln!(file, "{}", Holder::this_process(role).line())?;
        Ok(Attempt::Taken(Self(file)))
    }
}

impl Drop for LockFile {
    fn drop(&mut self) {
        // nobody holds it from here on; closing the file gives the lock back
        let _ = self.0.set_len(0);
    }
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::indexing_slicing,
        clippy::panic,
        reason = "tests"
    )]
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn attempt(data_dir: &Path) -> Attempt {
        LockFile::attempt(data_dir, Role::Run).unwrap()
    }

    #[test]
    fn a_lock_is_held_once_and_says_by_whom() {
        let folder = tempfile::tempdir().unwrap();
        let first = attempt(folder.path());
        assert!(matches!(first, Attempt::Taken(_)));
        let Attempt::Held(Some(holder)) = attempt(folder.path()) else {
            panic!("it is held")
        };
        assert_eq!(holder, Holder::this_process(Role::Run));
        drop(first);
        assert!(matches!(attempt(folder.path()), Attempt::Taken(_)));
    }

    #[test]
    fn a_directory_that_is_missing_is_made_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let data_dir = folder.path().join("a/b");
        let _lock = attempt(&data_dir);
        for directory in ["a", "a/b"] {
            let mode = std::fs::metadata(folder.path().join(directory))
                .unwrap()
                .permissions()
                .mode();
            assert_eq!(mode & 0o777, 0o700, "{directory}");
        }
    }

    #[test]
    fn what_stands_in_the_file_harms_nobody() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("lock"), [0xff; 10_000]).unwrap();
        let other = File::open(folder.path().join("lock")).unwrap();
        other.lock().unwrap();
        assert!(matches!(attempt(folder.path()), Attempt::Held(None)));
    }
}
