//! The embedded log's directory: whose it is, what it was made for, and what it says when
//! something is wrong with it.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use fjall::{Database, KeyspaceCreateOptions, KvSeparationOptions};
use sealpost_topology::log::{Cleanup, Durability, Log, LogError};
use sealpost_topology::types::{Offset, Shard, Topic};

use crate::support::{create, open, read_all, records};

const DIRECTORY: &str = "SEALPOST_TEST_LOG_DIRECTORY";

#[test]
fn another_number_of_partitions_is_refused_and_the_right_one_named() {
    let directory = tempfile::tempdir().unwrap();
    drop(open(directory.path(), 8).unwrap());
    let refused = open(directory.path(), 4).unwrap_err();
    assert!(matches!(refused, LogError::Mismatch(_)), "{refused:?}");
    let message = refused.to_string();
    assert!(message.contains("set log.partitions = 8"), "{message}");
    assert!(
        message.contains(directory.path().to_str().unwrap()),
        "{message}"
    );
    open(directory.path(), 8).unwrap();
}

#[test]
fn a_log_without_partitions_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let refused = open(directory.path(), 0).unwrap_err();
    assert!(matches!(refused, LogError::Mismatch(_)), "{refused:?}");
    open(directory.path(), 1).unwrap();
}

#[test]
fn a_second_open_in_the_same_process_is_refused_until_the_first_is_closed() {
    let directory = tempfile::tempdir().unwrap();
    let log = open(directory.path(), 2).unwrap();
    let refused = open(directory.path(), 2).unwrap_err();
    assert!(matches!(refused, LogError::InUse { .. }), "{refused:?}");
    let topic = create(&log, Cleanup::Keep, "topic");
    log.append(
        vec![records(&topic, Shard(0), &[("key", None)])],
        Durability::Process,
    )
    .unwrap();
    drop(log);
    let log = open(directory.path(), 2).unwrap();
    assert_eq!(read_all(&log, &topic, Shard(0)).len(), 1);
}

#[test]
fn a_waker_that_is_kept_does_not_keep_the_directory() {
    let directory = tempfile::tempdir().unwrap();
    let log = open(directory.path(), 1).unwrap();
    let topic = create(&log, Cleanup::Keep, "topic");
    let member = log
        .join(&sealpost_topology::types::Group::new("group"), &[topic])
        .unwrap();
    let waker = member.waker();
    drop(member);
    drop(log);
    open(directory.path(), 1).unwrap();
    waker.wake();
}

/// Opens a directory in another process, which prints what it was told.
fn open_elsewhere(program: &Path, test: &str, directory: &Path, user: Option<u32>) -> String {
    let mut command = Command::new(program);
    command
        .args(["--exact", test, "--nocapture"])
        .env(DIRECTORY, directory);
    if let Some(user) = user {
        command.uid(user).gid(user);
    }
    let output = command.stdin(Stdio::null()).output().unwrap();
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{told}");
    told
}

/// What [`open_elsewhere`] starts; `None` in the test itself.
fn opened_here() -> Option<()> {
    use std::io::Write as _;
    let directory = std::env::var_os(DIRECTORY)?;
    let told = match open(Path::new(&directory), 2) {
        Ok(_) => "opened".to_owned(),
        Err(error) => format!("refused: {error}"),
    };
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{told}").unwrap();
    Some(())
}

#[test]
fn an_open_from_another_process_is_refused_until_the_first_is_closed() {
    if opened_here().is_some() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let log = open(directory.path(), 2).unwrap();
    let program = std::env::current_exe().unwrap();
    let test = "directory::an_open_from_another_process_is_refused_until_the_first_is_closed";
    let told = open_elsewhere(&program, test, directory.path(), None);
    let expected = format!(
        "refused: the log at {} is in use by another process",
        directory.path().display()
    );
    assert!(told.contains(&expected), "{told}");
    drop(log);
    let told = open_elsewhere(&program, test, directory.path(), None);
    assert!(told.contains("opened"), "{told}");
}

fn set_mode_below(directory: &Path, of_directories: u32, of_files: u32) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            set_mode_below(&path, of_directories, of_files);
        } else {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(of_files)).unwrap();
        }
    }
    let mode = std::fs::Permissions::from_mode(of_directories);
    std::fs::set_permissions(directory, mode).unwrap();
}

#[test]
fn a_directory_that_cannot_be_written_is_refused_with_a_way_out() {
    if opened_here().is_some() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let made = directory.path().join("made");
    drop(open(&made, 2).unwrap());
    // root may write everywhere: then somebody else tries, with a program that he may run
    let is_root = std::fs::metadata(directory.path()).unwrap().uid() == 0;
    let nobody = is_root.then_some(65_534);
    let program = directory.path().join("program");
    std::fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    set_mode_below(directory.path(), 0o555, 0o444);
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o555)).unwrap();
    let test = "directory::a_directory_that_cannot_be_written_is_refused_with_a_way_out";
    for log in [made, directory.path().join("new")] {
        let told = open_elsewhere(&program, test, &log, nobody);
        let expected = format!("refused: the log's storage failed: {}: ", log.display());
        assert!(told.contains(&expected), "{told}");
        assert!(
            told.contains("make it writable, or choose another directory"),
            "{told}"
        );
    }
    // so that it can be removed
    set_mode_below(directory.path(), 0o755, 0o644);
}

#[test]
fn a_file_in_the_place_of_the_directory_is_refused_by_name() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let refused = open(file.path(), 2).unwrap_err();
    assert!(matches!(refused, LogError::Storage(_)), "{refused:?}");
    assert!(
        refused.to_string().contains(file.path().to_str().unwrap()),
        "{refused}"
    );
}

#[test]
fn names_with_separators_survive_a_reopen() {
    let directory = tempfile::tempdir().unwrap();
    let log = open(directory.path(), 2).unwrap();
    let topics: Vec<_> = ["a/b", "a", "b/1", "/", ""]
        .map(|name| create(&log, Cleanup::Keep, name))
        .into();
    let groups = ["a", "a/b", "/"].map(sealpost_topology::types::Group::new);
    let mut offset = 0;
    let mut expected = Vec::new();
    for group in &groups {
        for topic in &topics {
            offset += 1;
            let progress = sealpost_topology::log::Progress {
                topic: topic.clone(),
                shard: Shard(1),
                offset: Offset(offset),
            };
            log.set_committed(group, &[progress]).unwrap();
            expected.push(Some(Offset(offset)));
        }
    }
    drop(log);
    let log = open(directory.path(), 2).unwrap();
    let committed: Vec<_> = groups
        .iter()
        .flat_map(|group| topics.iter().map(move |topic| (group, topic)))
        .map(|(group, topic)| log.committed(group, topic, Shard(1)).unwrap())
        .collect();
    assert_eq!(committed, expected);
}

/// A log with three batches of one record, and what `damage` does to its storage.
fn damaged(
    damage: impl FnOnce(&fjall::Keyspace, &fjall::Keyspace, &[Vec<u8>]),
) -> (tempfile::TempDir, Topic) {
    let directory = tempfile::tempdir().unwrap();
    let log = open(directory.path(), 1).unwrap();
    let topic = create(&log, Cleanup::Keep, "topic");
    for key in ["first", "second", "third"] {
        let write = records(&topic, Shard(0), &[(key, Some("value"))]);
        log.append(vec![write], Durability::Process).unwrap();
    }
    drop(log);
    let database = Database::builder(directory.path()).open().unwrap();
    let apart =
        KeyspaceCreateOptions::default().with_kv_separation(Some(KvSeparationOptions::default()));
    let batches = database.keyspace("batches", || apart).unwrap();
    let spans = database
        .keyspace("spans", KeyspaceCreateOptions::default)
        .unwrap();
    let keys: Vec<_> = batches
        .iter()
        .map(|entry| entry.key().unwrap().to_vec())
        .collect();
    assert_eq!(keys.len(), 3);
    damage(&batches, &spans, &keys);
    (directory, topic)
}

#[test]
fn a_damaged_batch_is_told_with_its_place_and_the_others_can_be_read() {
    let (directory, topic) = damaged(|batches, _, keys| {
        let mut bytes = batches.get(&keys[1]).unwrap().unwrap().to_vec();
        *bytes.last_mut().unwrap() ^= 0xff;
        bytes.pop();
        batches.insert(&keys[1], bytes).unwrap();
    });
    let log = open(directory.path(), 1).unwrap();
    assert_eq!(
        log.read(&topic, Shard(0), Offset(0))
            .unwrap()
            .unwrap()
            .count(),
        1
    );
    let told = log.read(&topic, Shard(0), Offset(1)).unwrap_err();
    assert!(
        matches!(
            told,
            LogError::Damaged {
                offset: Offset(1),
                ..
            }
        ),
        "{told:?}"
    );
    assert_eq!(
        log.read(&topic, Shard(0), Offset(2))
            .unwrap()
            .unwrap()
            .count(),
        1
    );
}

#[test]
fn a_missing_batch_is_told_with_its_place() {
    let (directory, topic) = damaged(|batches, _, keys| batches.remove(&keys[1]).unwrap());
    let log = open(directory.path(), 1).unwrap();
    let told = log.read(&topic, Shard(0), Offset(1)).unwrap_err();
    assert!(
        matches!(
            told,
            LogError::Damaged {
                offset: Offset(1),
                ..
            }
        ),
        "{told:?}"
    );
}

#[test]
fn a_gap_between_batches_is_told_when_the_log_is_opened() {
    let (directory, _) = damaged(|_, spans, keys| spans.remove(&keys[1]).unwrap());
    let told = open(directory.path(), 1).unwrap_err();
    assert!(
        matches!(
            told,
            LogError::Damaged {
                offset: Offset(2),
                ..
            }
        ),
        "{told:?}"
    );
}

#[test]
fn a_log_of_a_later_format_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    drop(open(directory.path(), 1).unwrap());
    let database = Database::builder(directory.path()).open().unwrap();
    let meta = database
        .keyspace("meta", KeyspaceCreateOptions::default)
        .unwrap();
    meta.insert("format", [9]).unwrap();
    drop((meta, database));
    let told = open(directory.path(), 1).unwrap_err();
    assert!(told.to_string().contains("later version"), "{told}");
}
