//! A command's view of a log that another process, or another handle of this one, has open.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use sealpost::host::{Opened, Role};
use sealpost_topology::batch::Batch;
use sealpost_topology::log::{
    Bounds, Cleanup, Durability, Log, LogError, Progress, TopicSpec, Write,
};
use sealpost_topology::types::{Group, Offset, Shard, TimeMs, Topic};
use tempfile::TempDir;

use crate::child::Process;
use crate::support::{PARTITIONS, append, create, numbers, open, read_numbers};

/// A host in this process, and a command that asks it.
struct Both {
    folder: TempDir,
    host: Opened,
    command: Opened,
    topic: Topic,
}

fn both() -> Both {
    let folder = tempfile::tempdir().unwrap();
    let host = open(folder.path(), Role::Run);
    let topic = create(host.log().as_ref(), "usage");
    let command = open(folder.path(), Role::Command);
    assert!(command.is_remote() && !host.is_remote());
    Both {
        folder,
        host,
        command,
        topic,
    }
}

#[test]
fn a_command_appends_to_and_reads_from_a_run_in_another_process() {
    let folder = tempfile::tempdir().unwrap();
    let mut run = Process::started(folder.path(), Role::Run);
    let command = open(folder.path(), Role::Command);
    let (log, topic) = (command.log(), Topic::new("usage"));
    assert_eq!(run.told("append 1"), "appended");
    append(log.as_ref(), vec![numbers(&topic, Shard(0), [2, 3])]);
    assert_eq!(run.told("read"), "[1, 2, 3]");
    assert_eq!(read_numbers(log.as_ref(), &topic, Shard(0)), [1, 2, 3]);
    run.end();
}

#[test]
fn records_and_bounds_are_the_same_on_both_sides() {
    let Both {
        folder: _folder,
        host,
        command,
        topic,
    } = both();
    let (here, there) = (host.log(), command.log());
    let mut batch = Batch::default();
    batch.push(b"", Some(b""));
    batch.push(b"gone", None);
    batch.push("키".as_bytes(), Some(&[0xff, 0]));
    let write = Write {
        topic: topic.clone(),
        shard: Shard(2),
        batch,
    };
    there.append(vec![write], Durability::Machine).unwrap();

    let bounds = there.bounds(&topic, Shard(2)).unwrap();
    assert_eq!(
        bounds,
        Bounds {
            start: Offset(0),
            end: Offset(3)
        }
    );
    assert_eq!(bounds, here.bounds(&topic, Shard(2)).unwrap());
    let read = there.read(&topic, Shard(2), Offset(1)).unwrap().unwrap();
    let same = here.read(&topic, Shard(2), Offset(1)).unwrap().unwrap();
    assert_eq!(
        read.iter().collect::<Vec<_>>(),
        same.iter().collect::<Vec<_>>()
    );
    assert!(
        read.iter()
            .all(|record| record.appended_at == TimeMs(1_700_000_000_000))
    );
    assert!(there.read(&topic, Shard(2), Offset(3)).unwrap().is_none());
    assert_eq!(there.partitions(), PARTITIONS);
}

#[test]
fn a_compacted_batch_keeps_its_gaps_on_the_way() {
    let Both {
        folder: _folder,
        host,
        command,
        topic: _,
    } = both();
    let topic = Topic::new("statements");
    let spec = TopicSpec {
        topic: topic.clone(),
        cleanup: Cleanup::Compact,
    };
    command.log().create(&[spec]).unwrap();
    append(
        command.log().as_ref(),
        vec![numbers(&topic, Shard(0), 0..5)],
    );
    let mut other = Batch::default();
    other.push(b"other", Some(b"x"));
    let write = Write {
        topic: topic.clone(),
        shard: Shard(0),
        batch: other,
    };
    append(command.log().as_ref(), vec![write]);
    assert_eq!(host.embedded().unwrap().compact(0).unwrap(), 4);

    let batch = command
        .log()
        .read(&topic, Shard(0), Offset(0))
        .unwrap()
        .unwrap();
    let offsets: Vec<_> = batch.iter().map(|record| record.offset.0).collect();
    assert_eq!(offsets, [4, 5]);
    assert_eq!(batch.next_offset(), Offset(6));
}

#[test]
fn committed_offsets_are_read_and_set_through_the_socket() {
    let Both {
        folder: _folder,
        host,
        command,
        topic,
    } = both();
    let (there, group) = (command.log(), Group::new("settle"));
    assert_eq!(there.committed(&group, &topic, Shard(1)).unwrap(), None);
    let progress = [Progress {
        topic: topic.clone(),
        shard: Shard(1),
        offset: Offset(4),
    }];
    there.set_committed(&group, &progress).unwrap();
    assert_eq!(
        host.log().committed(&group, &topic, Shard(1)).unwrap(),
        Some(Offset(4))
    );
    assert_eq!(
        there.committed(&group, &topic, Shard(1)).unwrap(),
        Some(Offset(4))
    );
}

#[test]
fn the_logs_own_errors_arrive_as_they_are() {
    let Both {
        folder: _folder,
        host,
        command,
        topic,
    } = both();
    let log = command.log();
    let nowhere = Topic::new("nowhere");
    assert!(matches!(
        log.bounds(&nowhere, Shard(0)),
        Err(LogError::UnknownTopic(named)) if named == nowhere
    ));
    assert!(matches!(
        log.append(vec![numbers(&topic, Shard(9), [1])], Durability::Process),
        Err(LogError::UnknownShard {
            shard: Shard(9),
            partitions: PARTITIONS,
            ..
        })
    ));
    assert!(matches!(
        log.append_cut(&[nowhere], &mut |_| panic!("there is nothing to build on")),
        Err(LogError::UnknownTopic(_))
    ));
    let group = Group::new("settle");
    let _member = host
        .log()
        .join(&group, std::slice::from_ref(&topic))
        .unwrap();
    let progress = [Progress {
        topic,
        shard: Shard(0),
        offset: Offset(0),
    }];
    assert!(matches!(
        log.set_committed(&group, &progress),
        Err(LogError::GroupInUse(named)) if named == group
    ));
}

#[test]
fn only_the_process_that_has_the_log_open_joins_a_group() {
    let Both {
        folder: _folder,
        host: _host,
        command,
        topic,
    } = both();
    let refused = command
        .log()
        .join(&Group::new("settle"), &[topic])
        .err()
        .unwrap();
    let text = refused.to_string();
    assert!(
        text.contains("runs stages") && text.contains("`sealpost run` (pid "),
        "{text}"
    );
}

#[test]
fn a_write_of_many_megabytes_goes_through_as_one() {
    let Both {
        folder: _folder,
        host,
        command,
        topic,
    } = both();
    let mut batch = Batch::default();
    let mut state = 1_u64;
    // bytes that do not compress
    for number in 0..24_u8 {
        let value: Vec<u8> = std::iter::repeat_with(|| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (state >> 56) as u8
        })
        .take(1_000_000)
        .collect();
        batch.push(&[number], Some(&value));
    }
    let expected: Vec<_> = batch
        .iter()
        .map(|record| record.value.unwrap().to_vec())
        .collect();
    append(
        command.log().as_ref(),
        vec![Write {
            topic: topic.clone(),
            shard: Shard(0),
            batch,
        }],
    );

    for log in [command.log(), host.log()] {
        let mut at = Offset(0);
        let mut values = Vec::new();
        while let Some(read) = log.read(&topic, Shard(0), at).unwrap() {
            values.extend(read.iter().map(|record| record.value.unwrap().to_vec()));
            at = read.next_offset();
        }
        assert!(values == expected);
    }
}

#[test]
fn a_write_beyond_the_limit_is_refused_and_nothing_is_written() {
    let Both {
        folder: _folder,
        host,
        command,
        topic,
    } = both();
    let mut batch = Batch::default();
    let megabyte = vec![0; 1_000_000];
    for _ in 0..140 {
        batch.push(b"key", Some(&megabyte));
    }
    let writes = vec![Write {
        topic: topic.clone(),
        shard: Shard(0),
        batch,
    }];
    let refused = command
        .log()
        .append(writes, Durability::Process)
        .unwrap_err();
    assert!(
        refused.to_string().contains("too many for one append"),
        "{refused}"
    );
    assert_eq!(host.log().bounds(&topic, Shard(0)).unwrap().end, Offset(0));
    append(command.log().as_ref(), vec![numbers(&topic, Shard(0), [1])]);
}

/// The numbers that a cut's command carries: one end for each partition.
fn cut(log: &dyn Log, data: &Topic, control: &Topic) {
    log.append_cut(std::slice::from_ref(data), &mut |end| {
        (0..PARTITIONS)
            .map(Shard)
            .map(|shard| numbers(control, shard, [end(data, shard).0]))
            .collect()
    })
    .unwrap();
}

#[test]
fn a_cut_through_the_socket_lies_before_everything_that_comes_after_it() {
    const CUTS: usize = 40;
    let Both {
        folder: _folder,
        host,
        command,
        topic: data,
    } = both();
    let control = create(host.log().as_ref(), "control");
    let over = Arc::new(AtomicBool::new(false));
    let appenders: Vec<_> = (0..PARTITIONS)
        .map(Shard)
        .map(|shard| {
            let (log, data, over) = (host.log(), data.clone(), Arc::clone(&over));
            std::thread::spawn(move || {
                let mut number = 0;
                while !over.load(Ordering::SeqCst) {
                    append(log.as_ref(), vec![numbers(&data, shard, [number])]);
                    number += 1;
                }
            })
        })
        .collect();
    // whoever has a record at or behind the cut in hand sees the command when it looks
    let reader = std::thread::spawn({
        let (log, data, control) = (host.log(), data.clone(), control.clone());
        move || {
            let mut places = vec![(Offset(0), 0); PARTITIONS as usize];
            while places.iter().any(|(_, commands)| *commands < CUTS) {
                for (shard, (processed, commands)) in (0..PARTITIONS).map(Shard).zip(&mut places) {
                    let in_hand = log.read(&data, shard, *processed).unwrap();
                    let cuts = read_numbers(log.as_ref(), &control, shard);
                    for cut in &cuts[*commands..] {
                        assert!(
                            *cut >= processed.0,
                            "{processed} are processed, the cut is {cut}"
                        );
                    }
                    *commands = cuts.len();
                    *processed = in_hand.map_or(*processed, |batch| batch.next_offset());
                }
            }
        }
    });
    let ends = || -> Vec<Offset> {
        (0..PARTITIONS)
            .map(|shard| host.log().bounds(&data, Shard(shard)).unwrap().end)
            .collect()
    };
    let mut before = vec![Offset(0); PARTITIONS as usize];
    for _ in 0..CUTS {
        // on a machine that is busy an appender may wait long for its turn
        while ends()
            .iter()
            .zip(&before)
            .any(|(now, before)| now <= before)
        {
            assert!(!appenders.iter().any(std::thread::JoinHandle::is_finished));
            std::thread::yield_now();
        }
        before = ends();
        cut(command.log().as_ref(), &data, &control);
    }
    reader.join().unwrap();
    over.store(true, Ordering::SeqCst);
    for appender in appenders {
        appender.join().unwrap();
    }
    for shard in (0..PARTITIONS).map(Shard) {
        let cuts = read_numbers(host.log().as_ref(), &control, shard);
        assert!(cuts.len() == CUTS && cuts.is_sorted(), "{cuts:?}");
        assert!(cuts[0] > 0, "something lay before each");
    }
}

#[test]
fn while_a_cut_is_open_nothing_else_is_written() {
    let Both {
        folder: _folder,
        host,
        command,
        topic: data,
    } = both();
    let control = create(host.log().as_ref(), "control");
    let (begin, begun) = std::sync::mpsc::channel::<()>();
    let other = std::thread::spawn({
        let (log, data) = (host.log(), data.clone());
        move || {
            begun.recv().unwrap();
            append(log.as_ref(), vec![numbers(&data, Shard(0), [1])]);
        }
    });
    let log = command.log();
    log.append_cut(std::slice::from_ref(&data), &mut |end| {
        begin.send(()).unwrap();
        // many round trips' worth of time for the other to slip in, if it could
        for _ in 0..200 {
            assert_eq!(
                log.bounds(&data, Shard(0)).unwrap().end,
                end(&data, Shard(0))
            );
        }
        vec![numbers(&control, Shard(0), [end(&data, Shard(0)).0])]
    })
    .unwrap();
    other.join().unwrap();
    assert_eq!(read_numbers(host.log().as_ref(), &control, Shard(0)), [0]);
    assert_eq!(read_numbers(host.log().as_ref(), &data, Shard(0)), [1]);
}

#[test]
fn a_cut_whose_client_says_nothing_is_given_up_with_nothing_written() {
    let Both {
        folder: _folder,
        host,
        command,
        topic: data,
    } = both();
    let control = create(host.log().as_ref(), "control");
    let refused = command
        .log()
        .append_cut(std::slice::from_ref(&data), &mut |_| {
            // comes through only when the host has given this cut up
            append(host.log().as_ref(), vec![numbers(&data, Shard(0), [1])]);
            vec![numbers(&control, Shard(0), [9])]
        })
        .unwrap_err();
    assert!(
        refused.to_string().contains("the command was not written"),
        "{refused}"
    );
    assert_eq!(
        read_numbers(host.log().as_ref(), &control, Shard(0)),
        [0_u64; 0]
    );
    cut(command.log().as_ref(), &data, &control);
    assert_eq!(read_numbers(host.log().as_ref(), &control, Shard(0)), [1]);
}

#[test]
fn a_builder_that_panics_leaves_nothing_behind() {
    let Both {
        folder: _folder,
        host,
        command,
        topic: data,
    } = both();
    let control = create(host.log().as_ref(), "control");
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        command
            .log()
            .append_cut(std::slice::from_ref(&data), &mut |_| panic!("on purpose"))
    }));
    assert!(panicked.is_err());
    cut(command.log().as_ref(), &data, &control);
    assert_eq!(read_numbers(host.log().as_ref(), &control, Shard(0)), [0]);
}

/// Says something to the host's socket, and waits until it hangs up.
fn say(data_dir: &Path, bytes: &[u8]) {
    let mut stream = UnixStream::connect(data_dir.join("socket")).unwrap();
    // the host may hang up before all of it is said
    let _ = stream.write_all(bytes);
    let _ = stream.shutdown(std::net::Shutdown::Write);
    let _ = stream.read_to_end(&mut Vec::new());
}

#[test]
fn garbage_on_the_socket_harms_nobody() {
    let Both {
        folder,
        host,
        command,
        topic,
    } = both();
    let greeting = [&9_u32.to_le_bytes()[..], b"sealpost\x01"].concat();
    let after_greeting = |bytes: &[u8]| [&greeting, bytes].concat();
    let endless = after_greeting(&[&u32::MAX.to_le_bytes()[..], &[7; 100_000]].concat());
    let cut_off = after_greeting(&[&[200, 0, 0, 0][..], &[2, 0, 9]].concat());
    let huge_list = after_greeting(&[&[6, 0, 0, 0][..], &[2, 0], &u32::MAX.to_le_bytes()].concat());
    let unknown = after_greeting(&[1, 0, 0, 0, 250]);
    let empty = after_greeting(&[0, 0, 0, 0]);
    for bytes in [
        b"".to_vec(),
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        vec![0xff; 1_000_000],
    ] {
        say(folder.path(), &bytes);
    }
    for bytes in [
        greeting.clone(),
        endless,
        cut_off,
        huge_list,
        unknown,
        empty,
    ] {
        say(folder.path(), &bytes);
    }
    append(command.log().as_ref(), vec![numbers(&topic, Shard(0), [1])]);
    assert_eq!(read_numbers(host.log().as_ref(), &topic, Shard(0)), [1]);
}

#[test]
fn a_connection_too_many_is_told_so_and_a_free_seat_is_taken() {
    let Both {
        folder,
        host: _host,
        command: _command,
        topic: _,
    } = both();
    // with the command's own, the host has as many as it takes
    let idle: Vec<_> = (0..31)
        .map(|_| UnixStream::connect(folder.path().join("socket")).unwrap())
        .collect();
    let mut one_more = UnixStream::connect(folder.path().join("socket")).unwrap();
    let mut answer = Vec::new();
    one_more.read_to_end(&mut answer).unwrap();
    assert_eq!(
        answer.last(),
        Some(&1),
        "the last byte of a welcome says that it is full"
    );
    drop(idle);
    assert!(open(folder.path(), Role::Command).is_remote());
}

#[test]
fn many_threads_of_one_command_share_the_socket() {
    let Both {
        folder: _folder,
        host,
        command,
        topic,
    } = both();
    std::thread::scope(|scope| {
        for thread in 0..8_u64 {
            let (command, topic) = (&command, &topic);
            scope.spawn(move || {
                for number in 0..25 {
                    append(
                        command.log().as_ref(),
                        vec![numbers(topic, Shard(0), [thread * 25 + number])],
                    );
                }
            });
        }
    });
    let mut all = read_numbers(host.log().as_ref(), &topic, Shard(0));
    all.sort_unstable();
    assert_eq!(all, (0..200).collect::<Vec<_>>());
}
