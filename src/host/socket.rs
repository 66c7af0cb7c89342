//! The socket of a data directory: where it is, and who may connect.
//!
//! # Invariants
//! - Only the holder of the lock puts a socket in place. It is made in a directory of its own that
//!   nobody else can enter, closed to others, and then moved over whatever was left there.
//! - A path may be longer than the 107 bytes that a socket's address holds: then the directory is
//!   opened, and named by its descriptor.

use std::fs::{self, DirBuilder, File, Permissions};
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

const NAME: &str = "socket";
/// Where it is made.
const NURSERY: &str = ".socket";
/// What a directory's path may have at most, so that both names fit behind it.
const DIRECTORY_BYTES_MAX: usize = 90;

/// A directory by a name that is short enough.
struct Near {
    path: PathBuf,
    /// Open for as long as the path is used.
    _directory: Option<File>,
}

impl Near {
    fn new(data_dir: &Path) -> io::Result<Self> {
        if data_dir.as_os_str().len() <= DIRECTORY_BYTES_MAX {
            return Ok(Self {
                path: data_dir.to_owned(),
                _directory: None,
            });
        }
        let directory = File::open(data_dir)?;
        let path = PathBuf::from(format!("/proc/self/fd/{}", directory.as_raw_fd()));
        if !path.is_dir() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidFilename,
                "its path is too long for a socket; choose a shorter one",
            ));
        }
        Ok(Self {
            path,
            _directory: Some(directory),
        })
    }
}

/// Listens in a directory. The caller holds its lock.
///
/// # Errors
/// When the socket cannot be made there.
pub(super) fn listen(data_dir: &Path) -> io::Result<UnixListener> {
    let near = Near::new(data_dir)?;
    let nursery = near.path.join(NURSERY);
    // one that died half-way through this may have left it behind
    if let Err(error) = fs::remove_dir_all(&nursery)
        && error.kind() != io::ErrorKind::NotFound
    {
        return Err(error);
    }
    DirBuilder::new().mode(0o700).create(&nursery)?;
    let newborn = nursery.join(NAME);
    let listener = UnixListener::bind(&newborn)?;
    fs::set_permissions(&newborn, Permissions::from_mode(0o600))?;
    fs::rename(&newborn, near.path.join(NAME))?;
    fs::remove_dir(&nursery)?;
    Ok(listener)
}

/// Connects to whoever listens in a directory.
///
/// # Errors
/// When nobody does.
pub(super) fn connect(data_dir: &Path) -> io::Result<UnixStream> {
    let near = Near::new(data_dir)?;
    UnixStream::connect(near.path.join(NAME))
}

/// Takes the socket away. The caller still holds the lock.
pub(super) fn remove(data_dir: &Path) {
    // one that stays is stale: nobody can connect to it, and the next holder replaces it
    let _ = fs::remove_file(data_dir.join(NAME));
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::indexing_slicing,
        clippy::panic,
        reason = "tests"
    )]
    use super::*;

    #[test]
    fn a_socket_is_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let _listener = listen(folder.path()).unwrap();
        let mode = fs::metadata(folder.path().join(NAME))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(!folder.path().join(NURSERY).exists());
    }

    #[test]
    fn what_a_dead_process_left_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        drop(listen(folder.path()).unwrap());
        fs::create_dir(folder.path().join(NURSERY)).unwrap();
        fs::write(folder.path().join(NURSERY).join(NAME), "").unwrap();
        assert!(connect(folder.path()).is_err());
        let _listener = listen(folder.path()).unwrap();
        connect(folder.path()).unwrap();
    }

    #[test]
    fn a_path_longer_than_an_address_works() {
        let folder = tempfile::tempdir().unwrap();
        let data_dir = folder.path().join("d".repeat(200)).join("e".repeat(200));
        fs::create_dir_all(&data_dir).unwrap();
        let _listener = listen(&data_dir).unwrap();
        connect(&data_dir).unwrap();
        remove(&data_dir);
        assert!(connect(&data_dir).is_err());
    }
}
