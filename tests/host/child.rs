//! Another process with a data directory: this test binary, started again, told line by line
//! what to do. It says each thing that it did on a line of its own.

use std::io::{BufRead as _, BufReader, Lines, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, Stdio};

use sealpost::host::Role;
use sealpost_topology::types::Shard;

use crate::support::{append, create, numbers, read_numbers, try_open};

const DATA_DIR: &str = "SEALPOST_TEST_DATA_DIR";
const ROLE: &str = "SEALPOST_TEST_ROLE";
/// Sets what the process says apart from what the test harness says.
const MARK: &str = "@@ ";

/// See the module.
pub(crate) struct Process {
    child: Child,
    orders: Option<ChildStdin>,
    says: Lines<BufReader<ChildStdout>>,
    errors: Option<Lines<BufReader<ChildStderr>>>,
}

impl Process {
    /// Starts one that opens a directory.
    pub(crate) fn start(data_dir: &Path, role: Role) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "child::another_process",
                "--nocapture",
                "--test-threads=1",
            ])
            .env(DATA_DIR, data_dir)
            .env(ROLE, if role == Role::Run { "run" } else { "command" })
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Self {
            orders: child.stdin.take(),
            says: BufReader::new(child.stdout.take().unwrap()).lines(),
            errors: Some(BufReader::new(child.stderr.take().unwrap()).lines()),
            child,
        }
    }

    /// Starts one, and waits until it has the directory.
    pub(crate) fn started(data_dir: &Path, role: Role) -> Self {
        let mut process = Self::start(data_dir, role);
        assert_eq!(process.says(), "open");
        process
    }

    /// The next that it says.
    pub(crate) fn says(&mut self) -> String {
        loop {
            let line = self.says.next().expect("the process goes on").unwrap();
            // the harness's own words may stand before it on the line
            if let Some((_, said)) = line.split_once(MARK) {
                return said.to_owned();
            }
        }
    }

    /// The next line of its stderr.
    pub(crate) fn complains(&mut self) -> String {
        self.errors
            .as_mut()
            .unwrap()
            .next()
            .expect("the process goes on")
            .unwrap()
    }

    /// Tells it what to do, and gives what it says to that.
    pub(crate) fn told(&mut self, order: &str) -> String {
        writeln!(self.orders.as_mut().unwrap(), "{order}").unwrap();
        self.says()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Kills it, without a word.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Lets it end in order.
    pub(crate) fn end(mut self) {
        drop(self.orders.take());
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // a test that failed leaves nobody behind; one that is gone already cannot be killed
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the other process does. In a plain test run there is nothing to do.
#[test]
#[allow(
    clippy::disallowed_methods,
    reason = "how a test tells its other process what it is"
)]
fn another_process() {
    let Some(data_dir) = std::env::var_os(DATA_DIR).map(PathBuf::from) else {
        return;
    };
    let role = if std::env::var(ROLE).unwrap() == "run" {
        Role::Run
    } else {
        Role::Command
    };
    let say = |what: &str| {
        let mut out = std::io::stdout().lock();
        writeln!(out, "{MARK}{what}").unwrap();
        out.flush().unwrap();
    };
    let opened = match try_open(&data_dir, role) {
        Ok(opened) => opened,
        Err(error) => return say(&format!("error: {error:#}")),
    };
    let log = opened.log();
    let topic = create(log.as_ref(), "usage");
    say("open");
    for order in std::io::stdin().lines() {
        let order = order.unwrap();
        match order.split_once(' ').unwrap_or((&order, "")) {
            ("append", number) => {
                append(
                    log.as_ref(),
                    vec![numbers(&topic, Shard(0), [number.parse().unwrap()])],
                );
                say("appended");
            }
            ("read", _) => say(&format!(
                "{:?}",
                read_numbers(log.as_ref(), &topic, Shard(0))
            )),
            ("remote", _) => say(&opened.is_remote().to_string()),
            (other, _) => say(&format!("error: what is {other}?")),
        }
    }
}
