//! What happens when the process that has the log open ends, one way or another.

use sealpost::host::Role;
use sealpost_topology::log::{Durability, LogError};
use sealpost_topology::types::{Shard, Topic};

use crate::child::Process;
use crate::support::{append, create, numbers, open, read_numbers};

#[test]
fn after_a_kill_the_next_one_opens_the_directory_with_all_that_was_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let mut run = Process::started(folder.path(), Role::Run);
    for number in 0..3 {
        assert_eq!(run.told(&format!("append {number}")), "appended");
    }
    run.kill();
    let next = open(folder.path(), Role::Run);
    let topic = Topic::new("usage");
    assert_eq!(
        read_numbers(next.log().as_ref(), &topic, Shard(0)),
        [0, 1, 2]
    );
    assert!(open(folder.path(), Role::Command).is_remote());
}

#[test]
fn a_kill_in_the_middle_of_appends_leaves_each_done_or_not_or_in_doubt() {
    const TOTAL: u64 = 2_000;
    let folder = tempfile::tempdir().unwrap();
    let run = Process::started(folder.path(), Role::Run);
    let command = open(folder.path(), Role::Command);
    let topic = Topic::new("usage");
    let (half, reached) = std::sync::mpsc::channel::<()>();
    let appender = std::thread::spawn({
        let (log, topic) = (command.log(), topic.clone());
        move || {
            let mut in_doubt = Vec::new();
            for number in 0..TOTAL {
                // large enough to be on the way for a while
                let write = numbers(&topic, Shard(0), std::iter::repeat_n(number, 200));
                match log.append(vec![write], Durability::Process) {
                    Ok(()) => {}
                    Err(LogError::InDoubt) => in_doubt.push(number),
                    Err(error) => panic!("{error}"),
                }
                if number == TOTAL / 4 {
                    half.send(()).unwrap();
                }
            }
            in_doubt
        }
    });
    reached.recv().unwrap();
    run.kill();
    let in_doubt = appender.join().unwrap();
    assert!(in_doubt.len() <= 1, "one was on its way: {in_doubt:?}");
    assert!(!command.is_remote(), "the command took the log over");
    let read = read_numbers(command.log().as_ref(), &topic, Shard(0));
    let mut expected: Vec<u64> = (0..TOTAL).collect();
    if let Some(doubtful) = in_doubt.first()
        && !read.contains(doubtful)
    {
        expected.retain(|number| number != doubtful);
    }
    let expected: Vec<_> = expected
        .into_iter()
        .flat_map(|number| std::iter::repeat_n(number, 200))
        .collect();
    assert!(read == expected, "each append is there as a whole and once");
}

#[test]
fn a_long_command_goes_on_when_the_short_one_that_it_went_through_ends() {
    let folder = tempfile::tempdir().unwrap();
    let short = open(folder.path(), Role::Command);
    let topic = create(short.log().as_ref(), "usage");
    let long = open(folder.path(), Role::Command);
    assert!(long.is_remote());
    append(long.log().as_ref(), vec![numbers(&topic, Shard(0), [1])]);
    drop(short);
    append(long.log().as_ref(), vec![numbers(&topic, Shard(0), [2])]);
    assert!(!long.is_remote());
    let third = open(folder.path(), Role::Command);
    assert!(third.is_remote());
    assert_eq!(read_numbers(third.log().as_ref(), &topic, Shard(0)), [1, 2]);
}

#[test]
fn no_append_is_lost_doubled_or_in_doubt_when_hosts_end_in_order_one_after_another() {
    let folder = tempfile::tempdir().unwrap();
    let first = open(folder.path(), Role::Command);
    let topic = create(first.log().as_ref(), "usage");
    let commands: Vec<_> = (0..4).map(|_| open(folder.path(), Role::Command)).collect();
    let threads: Vec<_> = (0_u64..)
        .zip(commands)
        .map(|(place, command)| {
            let topic = topic.clone();
            std::thread::spawn(move || {
                for number in 0..100 {
                    let write = numbers(&topic, Shard(0), [place * 100 + number]);
                    command
                        .log()
                        .append(vec![write], Durability::Process)
                        .unwrap();
                }
                // ends here, and with it the log, if it has it open
            })
        })
        .collect();
    drop(first);
    for thread in threads {
        thread.join().unwrap();
    }
    let last = open(folder.path(), Role::Command);
    let mut all = read_numbers(last.log().as_ref(), &topic, Shard(0));
    all.sort_unstable();
    assert_eq!(all, (0..400).collect::<Vec<_>>());
}

#[test]
fn a_cut_is_built_again_when_its_host_ends_before_it_was_written() {
    let folder = tempfile::tempdir().unwrap();
    let run = Process::started(folder.path(), Role::Run);
    let command = open(folder.path(), Role::Command);
    let (data, control) = (
        Topic::new("usage"),
        create(command.log().as_ref(), "control"),
    );
    append(command.log().as_ref(), vec![numbers(&data, Shard(0), 0..5)]);
    let mut run = Some(run);
    let mut built = 0;
    command
        .log()
        .append_cut(std::slice::from_ref(&data), &mut |end| {
            built += 1;
            if let Some(run) = run.take() {
                run.kill();
            }
            vec![numbers(&control, Shard(0), [end(&data, Shard(0)).0])]
        })
        .unwrap();
    assert_eq!(built, 2);
    assert_eq!(
        read_numbers(command.log().as_ref(), &control, Shard(0)),
        [5]
    );
}

#[test]
fn a_host_that_ends_before_it_answers_leaves_an_append_in_doubt() {
    use std::io::{Read as _, Write as _};
    let folder = tempfile::tempdir().unwrap();
    let topic = Topic::new("usage");
    let command = {
        // somebody who has the lock, greets well, and takes one request without an answer
        let lock = std::fs::File::create(folder.path().join("lock")).unwrap();
        lock.lock().unwrap();
        let listener =
            std::os::unix::net::UnixListener::bind(folder.path().join("socket")).unwrap();
        let host = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut greeting = [0; 13];
            stream.read_exact(&mut greeting).unwrap();
            let mut welcome = vec![1, 7, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0];
            welcome.extend_from_slice(b"0.1.0");
            welcome.extend_from_slice(&[3, 0, 0, 0, 0]);
            stream
                .write_all(&(welcome.len() as u32).to_le_bytes())
                .unwrap();
            stream.write_all(&welcome).unwrap();
            let mut length = [0; 4];
            stream.read_exact(&mut length).unwrap();
            let mut request = vec![0; u32::from_le_bytes(length) as usize];
            stream.read_exact(&mut request).unwrap();
            drop(lock);
        });
        let command = open(folder.path(), Role::Command);
        let appended = command
            .log()
            .append(vec![numbers(&topic, Shard(0), [1])], Durability::Process)
            .unwrap_err();
        assert!(matches!(appended, LogError::InDoubt), "{appended}");
        host.join().unwrap();
        command
    };
    // and the next call finds another way
    create(command.log().as_ref(), "usage");
    assert!(!command.is_remote());
    assert_eq!(
        read_numbers(command.log().as_ref(), &topic, Shard(0)),
        [0_u64; 0]
    );
}
