//! Who may have the directory, and who waits for whom.

use sealpost::host::{Host, Role};

use crate::child::Process;
use crate::support::{clock, open, try_open};

#[test]
fn a_second_run_is_refused_with_the_first_ones_pid_and_the_directory() {
    let folder = tempfile::tempdir().unwrap();
    let first = Process::started(folder.path(), Role::Run);
    let refused = try_open(folder.path(), Role::Run).unwrap_err().to_string();
    assert_eq!(
        refused,
        format!(
            "the data directory {} is in use by another `sealpost run` (pid {}): stop that one first, or choose another with --data-dir",
            folder.path().display(),
            first.pid()
        )
    );
}

#[test]
fn a_run_waits_for_a_command_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let command = open(folder.path(), Role::Command);
    let mut run = Process::start(folder.path(), Role::Run);
    let pid = std::process::id();
    assert_eq!(
        run.complains(),
        format!(
            "waiting for a sealpost command (pid {pid}) to finish with {}",
            folder.path().display()
        )
    );
    drop(command);
    assert_eq!(run.says(), "open");
    assert_eq!(run.told("remote"), "false");
    run.end();
}

#[test]
fn a_command_that_has_the_log_open_serves_another() {
    let folder = tempfile::tempdir().unwrap();
    let mut first = Process::started(folder.path(), Role::Command);
    let second = open(folder.path(), Role::Command);
    assert!(second.is_remote());
    let holder = second.holder().unwrap();
    assert_eq!((holder.pid, holder.role), (first.pid(), Role::Command));
    assert_eq!(holder.version, env!("CARGO_PKG_VERSION"));
    assert_eq!(first.told("remote"), "false");
}

#[test]
fn a_directory_is_free_again_when_its_run_ends() {
    let folder = tempfile::tempdir().unwrap();
    let mut run = Process::started(folder.path(), Role::Run);
    assert_eq!(run.told("append 1"), "appended");
    run.end();
    let mut next = Process::started(folder.path(), Role::Run);
    assert_eq!(next.told("read"), "[1]");
    next.end();
}

#[test]
fn a_command_with_another_number_of_partitions_is_told_the_right_one() {
    let folder = tempfile::tempdir().unwrap();
    let _run = open(folder.path(), Role::Run);
    let refused = Host::open(folder.path(), Role::Command, 5, clock())
        .unwrap_err()
        .to_string();
    let log = folder.path().join("log");
    assert_eq!(
        refused,
        format!(
            "the log in {} has 3 partitions, but 5 are configured: set log.partitions = 3",
            log.display()
        )
    );
}

#[test]
fn many_commands_at_once_all_get_at_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let mut processes: Vec<_> = (0..6)
        .map(|_| Process::start(folder.path(), Role::Command))
        .collect();
    for (number, process) in processes.iter_mut().enumerate() {
        assert_eq!(process.says(), "open");
        assert_eq!(process.told(&format!("append {number}")), "appended");
    }
    for mut process in processes {
        assert_eq!(process.told("read"), "[0, 1, 2, 3, 4, 5]");
        process.end();
    }
}
