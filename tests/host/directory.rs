//! The directory itself: missing, long, closed.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use sealpost::host::Role;
use sealpost_topology::types::Shard;

use crate::support::{append, create, numbers, open, read_numbers, try_open};

#[test]
fn a_missing_directory_is_made_for_its_owner_alone() {
    let folder = tempfile::tempdir().unwrap();
    let data_dir = folder.path().join("deep/data");
    let _run = open(&data_dir, Role::Run);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&data_dir), 0o700);
    assert_eq!(mode(&data_dir.join("socket")), 0o600);
    assert_eq!(mode(&data_dir.join("lock")), 0o600);
}

#[test]
fn a_directory_with_a_long_path_works() {
    let folder = tempfile::tempdir().unwrap();
    let data_dir = folder.path().join("x".repeat(180));
    let run = open(&data_dir, Role::Run);
    let topic = create(run.log().as_ref(), "usage");
    let command = open(&data_dir, Role::Command);
    assert!(command.is_remote());
    append(command.log().as_ref(), vec![numbers(&topic, Shard(1), [7])]);
    assert_eq!(read_numbers(run.log().as_ref(), &topic, Shard(1)), [7]);
}

fn is_refused_in_one_line(data_dir: &Path) {
    for role in [Role::Run, Role::Command] {
        let refused = format!("{:#}", try_open(data_dir, role).unwrap_err());
        let begin = format!("the data directory {} cannot be used: ", data_dir.display());
        assert!(refused.starts_with(&begin), "{refused}");
        assert!(
            refused.ends_with("or choose another with --data-dir"),
            "{refused}"
        );
        assert!(!refused.contains('\n'), "{refused}");
    }
}

#[test]
fn a_directory_in_which_nothing_can_be_made_is_refused_in_one_line() {
    // closed even to a superuser, whom a mode would not stop
    is_refused_in_one_line(Path::new("/proc/self/fdinfo"));
}

#[test]
fn a_directory_that_cannot_be_made_is_refused_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("file"), "").unwrap();
    is_refused_in_one_line(&folder.path().join("file"));
    is_refused_in_one_line(&folder.path().join("file/data"));
}

#[test]
fn a_stale_socket_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("socket"), "no socket at all").unwrap();
    let _run = open(folder.path(), Role::Run);
    assert!(open(folder.path(), Role::Command).is_remote());
}
