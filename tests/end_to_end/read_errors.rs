//! A disk that cannot be read, from any read on: one clear line, and once the disk is well again
//! everybody is sent to once.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::disk::copy;
use crate::site::{Ended, Site};
use crate::tell;
use crate::world::World;

const PERIOD: &str = "2026-01";
const USERS: u64 = 4_000;
const WRONG: &str = "Input/output error";
/// What is said of the engine's own work.
const UPKEEP: &str = "failed at its upkeep: ";
/// One partition, so that its window of messages is far smaller than what is to be sent: the log
/// is read all along.
const CONFIG: &str = "[windows]\nignore = true\n[log]\npartitions = 1\n\
                      [channels.email]\nfailure_rate = 0.05\nlatency_ms = 20\nmax_in_flight = 100\n\
                      [channels.sms]\nfailure_rate = 0.3\n";
/// More than the engine keeps in memory, so that what was written before is read from files.
const FILLER_EVENTS: u64 = 450_000;

/// A library that makes reads fail, and what it is told.
struct Fault {
    library: PathBuf,
    /// The files whose reads failed.
    told: PathBuf,
}

impl Fault {
    fn new(site: &Site) -> Self {
        let library = site.path("read_errors.so");
        let source = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/end_to_end/read_errors.c"
        );
        let compiled = Command::new("cc")
            .args(["-O1", "-shared", "-fPIC", "-o"])
            .arg(&library)
            .args([source, "-ldl"])
            .status()
            .unwrap();
        assert!(compiled.success());
        Self {
            library,
            told: site.path("told"),
        }
    }

    /// A program for which reads of the log fail: of files with `of` in their path, after so many.
    fn command<'a>(
        &self,
        site: &Site,
        arguments: impl IntoIterator<Item = &'a str>,
        of: &str,
        after: u64,
    ) -> Command {
        let _ = fs::remove_file(&self.told);
        let mut command = site.command(arguments);
        command
            .env("LD_PRELOAD", &self.library)
            .env("READ_ERRORS_BELOW", site.data().join("log"))
            .env("READ_ERRORS_OF", of)
            .env("READ_ERRORS_AFTER", after.to_string())
            .env("READ_ERRORS_TOLD", &self.told);
        command
    }

    /// The files whose reads failed since the last [`Self::command`].
    fn failed(&self) -> BTreeSet<String> {
        let told = fs::read_to_string(&self.told).unwrap_or_default();
        told.lines().map(str::to_owned).collect()
    }
}

/// Everybody rendered and nobody sent to, and all of that in files of the log.
fn rendered() -> Site {
    let site = Site::new(CONFIG);
    site.prepare(USERS);
    site.ok(["run", "--drain", "--stages", "settle,render"]);
    let mut filler = "event_id,user_id,occurred_at,kind,quantity\n".to_owned();
    for event in 0..FILLER_EVENTS {
        // nothing that would compress
        let id = blake3::hash(&event.to_be_bytes()).to_hex();
        let user = event % USERS;
        let _ = writeln!(filler, "{id},{user},2026-02-03T04:05:06Z,sms,1");
    }
    let filler = site.file("filler.csv", filler);
    site.ok(["ingest", filler.to_str().unwrap()]);
    let blobs = site.data().join("log/keyspaces");
    assert!(
        crate::disk::files(&blobs)
            .iter()
            .any(|file| file.to_string_lossy().contains("/blobs/")),
        "nothing was moved from memory to files"
    );
    site
}

/// Where it is and what to do in one line, which also says what is wrong, but where that was said
/// before: in what the log does beside the stages.
#[track_caller]
fn assert_clear(site: &Site, ended: &Ended, what: &str) {
    let said = &ended.stderr;
    assert!(
        said.contains(WRONG) && !said.contains("panicked") && !said.contains('@'),
        "{what}: {said}"
    );
    if ended.code() == 0 {
        // it had come to the end: what failed was upkeep, which is done the next time
        let upkeep = ["tried again later", UPKEEP];
        assert!(
            upkeep.iter().any(|upkeep| said.contains(upkeep)),
            "{what}: {said}"
        );
        return;
    }
    assert_eq!(ended.code(), 1, "{what}: {said}");
    let line = ended.error_line();
    let log = site.data().join("log").display().to_string();
    assert!(
        line.contains(&log) && line.contains("start again"),
        "{what}: {line}"
    );
    let upkeep = said.contains(UPKEEP) && line.contains("as was told before");
    assert!(line.contains(WRONG) || upkeep, "{what}: {said}");
}

/// The disk is well again: everybody is sent to, once.
#[track_caller]
fn assert_whole_again(site: &Site) {
    site.drain();
    let books = site.books(PERIOD);
    assert_eq!(books["statements"], USERS, "{books}");
    assert_eq!(
        books["sent"].as_u64().unwrap() + books["failed"].as_u64().unwrap(),
        USERS,
        "{books}"
    );
    assert_eq!(books["dead_letters"], 0, "{books}");
    let world = World::read(&site.data());
    world.assert_nobody_twice();
    assert_eq!(world.users_accepted().len() as u64, books["sent"]);
}

#[test]
fn a_log_that_cannot_be_read_stops_the_run_and_afterwards_everybody_is_sent_to_once() {
    let site = rendered();
    let fault = Fault::new(&site);
    let whole = site.path("whole");
    copy(&site.data(), &whole);
    let (mut at_start, mut in_the_middle) = (0, 0);
    for of in ["/reached", ".jnl", "/tables/", "/blobs/", "/log/"] {
        copy(&whole, &site.data());
        let mut after = 0;
        loop {
            let before = World::bytes(&site.data());
            let ended = site
                .start(&mut fault.command(&site, ["run", "--drain"], of, after))
                .ended();
            let failed = fault.failed();
            if failed.is_empty() {
                ended.expect(0);
                break;
            }
            let what = format!("from read {after} of {of} on, which was of {failed:?}");
            assert_clear(&site, &ended, &what);
            if World::bytes(&site.data()) == before {
                at_start += 1;
            } else {
                in_the_middle += 1;
            }
            after = after * 2 + 1;
        }
        assert!(after > 0, "{of} was not read at all");
        assert_whole_again(&site);
    }
    tell(&format!(
        "read errors: {at_start} before the first call, {in_the_middle} after it"
    ));
    assert!(at_start > 0 && in_the_middle > 0);
}
