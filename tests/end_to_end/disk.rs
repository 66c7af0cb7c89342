//! Disks as they are: full, damaged, cut short. A clear refusal or a clean recovery, and never a
//! silent loss.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::site::Site;
use crate::world::World;

const PERIOD: &str = "2026-01";
const CONFIG: &str = "[windows]\nignore = true\n[channels.email]\nfailure_rate = 0.05\n\
                      [channels.sms]\nfailure_rate = 0.3\n";

/// A file system of a fixed size; gone when dropped.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// `None` where this user may not mount anything.
    fn mount(at: &Path, size: &str) -> Option<Self> {
        fs::create_dir_all(at).unwrap();
        let options = format!("size={size}");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &options, "tmpfs"])
            .arg(at)
            .output();
        match mounted {
            Ok(done) if done.status.success() => Some(Self(at.to_owned())),
            other => {
                let _ = writeln!(
                    std::io::stderr(),
                    "NOT RUN: a full disk: no tmpfs can be mounted here ({other:?})"
                );
                None
            }
        }
    }

    fn grow(&self, size: &str) {
        let options = format!("remount,size={size}");
        let grown = Command::new("mount")
            .args(["-o", &options])
            .arg(&self.0)
            .status()
            .unwrap();
        assert!(grown.success());
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_stops_the_run_and_with_room_again_everybody_is_sent_to_once() {
    const USERS: u64 = 20_000;
    let site = Site::new(CONFIG);
    let Some(disk) = SmallDisk::mount(&site.data(), "1g") else {
        return;
    };
    site.prepare(USERS);
    // as much as is used now, and a little: the run is the one that meets the end
    let used = Command::new("du").args(["-sk"]).arg(site.data()).output();
    let used = String::from_utf8(used.unwrap().stdout).unwrap();
    let used: u64 = used.split_whitespace().next().unwrap().parse().unwrap();
    for more_kib in [3_000, 9_000] {
        disk.grow(&format!("{}k", used + more_kib));
        let ended = site.run(["run", "--drain"]).expect(1);
        let line = ended.error_line();
        assert!(
            line.contains("No space left on device") || line.contains("storage"),
            "{line}"
        );
    }
    disk.grow("1g");
    site.drain();
    let books = site.books(PERIOD);
    assert_eq!(books["statements"], USERS, "{books}");
    // what a provider with a full disk of its own took, nobody can say: here it is the same disk
    let ends = ["sent", "failed", "unknown"].map(|state| books[state].as_u64().unwrap());
    assert_eq!(ends.iter().sum::<u64>(), USERS, "{books}");
    World::read(&site.data()).assert_nobody_twice();
}

/// Every file of a folder, the largest first.
pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let kind = entry.file_type().unwrap();
            if kind.is_dir() {
                folders.push(entry.path());
            } else if kind.is_file() {
                found.push((entry.metadata().unwrap().len(), entry.path()));
            }
        }
    }
    found.sort();
    found.into_iter().rev().map(|(_, path)| path).collect()
}

pub(crate) fn copy(from: &Path, to: &Path) {
    let _ = fs::remove_dir_all(to);
    let done = Command::new("cp").arg("-a").args([from, to]).status();
    assert!(done.unwrap().success());
}

/// What can be seen of a deployment whose files were changed: its books, or why there are none.
fn look(site: &Site) -> Result<Value, String> {
    let mut command = site.command(["status", PERIOD, "--json"]);
    let ended = site.start(&mut command).ended();
    if ended.code() == 0 {
        Ok(serde_json::from_str(&ended.stdout).unwrap())
    } else {
        Err(ended.stderr)
    }
}

#[test]
fn damaged_and_shortened_files_are_refused_or_do_no_harm() {
    let site = Site::new(CONFIG);
    site.prepare(3_000);
    site.drain();
    let before = site.books(PERIOD);
    let whole = site.path("whole");
    copy(&site.data(), &whole);
    let log = site.data().join("log");
    let (mut refused, mut harmless) = (0, 0);
    let count = files(&log).len();
    assert!(count > 3, "{count} files");
    for place in 0..count.min(14) {
        for change in ["a byte", "the last third"] {
            copy(&whole, &site.data());
            let file = files(&log).swap_remove(place);
            let mut bytes = fs::read(&file).unwrap();
            if bytes.is_empty() {
                continue;
            }
            let middle = bytes.len() / 2;
            if change == "a byte" {
                bytes[middle] ^= 0x20;
            } else {
                bytes.truncate(bytes.len() * 2 / 3);
            }
            fs::write(&file, bytes).unwrap();
            let name = file.strip_prefix(&log).unwrap().display().to_string();
            match look(&site) {
                Err(why) => {
                    refused += 1;
                    assert!(
                        why.lines().any(|line| line.starts_with("error: "))
                            && !why.contains("panicked"),
                        "{change} of {name}: {why}"
                    );
                }
                Ok(books) => {
                    harmless += 1;
                    assert_eq!(books, before, "{change} of {name} was lost in silence");
                }
            }
        }
    }
    assert!(refused > 0, "nothing was noticed at all");
    let _ = writeln!(
        std::io::stderr(),
        "{refused} changes were refused, {harmless} did no harm"
    );
}
