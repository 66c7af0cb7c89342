//! A deployment in a folder of its own, worked by the real program.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// How long any one program may run before the test gives up on it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(240);
/// How often a running program is looked at.
const LOOK: Duration = Duration::from_millis(5);

/// What a program left when it had ended.
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ended {
    pub(crate) fn code(&self) -> i32 {
        self.status.code().unwrap_or(-1)
    }

    /// It ended as it should, or the test says what it said.
    #[track_caller]
    pub(crate) fn expect(self, code: i32) -> Self {
        assert_eq!(
            self.code(),
            code,
            "status {:?}\nstdout: {}\nstderr: {}",
            self.status,
            self.stdout,
            self.stderr
        );
        self
    }

    /// The one line of an error: what, where, what to do.
    #[track_caller]
    pub(crate) fn error_line(&self) -> &str {
        let mut lines = self
            .stderr
            .lines()
            .filter(|line| line.starts_with("error: "));
        let line = lines
            .next()
            .unwrap_or_else(|| panic!("no error line in: {}", self.stderr));
        assert_eq!(lines.next(), None, "more than one line: {}", self.stderr);
        assert!(
            self.stderr.trim_end().ends_with(line),
            "the error is more than a line: {}",
            self.stderr
        );
        line
    }
}

/// A program that runs; killed when it is dropped.
pub(crate) struct Running {
    child: Child,
    stdout: PathBuf,
    stderr: PathBuf,
}

impl Running {
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// What it has said on stderr so far.
    pub(crate) fn said(&self) -> String {
        fs::read_to_string(&self.stderr).unwrap_or_default()
    }

    /// Waits until it ends by itself, at most so long; says whether it did.
    pub(crate) fn ends_within(&mut self, patience: Duration) -> bool {
        let until = Instant::now() + patience;
        loop {
            if self.has_ended() {
                return true;
            }
            if Instant::now() >= until {
                return false;
            }
            std::thread::sleep(LOOK.min(patience));
        }
    }

    /// `SIGKILL`: nothing of it runs on.
    pub(crate) fn kill(mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// `SIGTERM`: it is asked to end.
    pub(crate) fn terminate(&self) {
        let asked = Command::new("kill")
            .args(["-TERM", &self.id().to_string()])
            .status()
            .unwrap();
        assert!(asked.success());
    }

    /// Waits for its end.
    #[track_caller]
    pub(crate) fn ended(mut self) -> Ended {
        if !self.ends_within(PATIENCE) {
            let said = self.said();
            let _ = self.child.kill();
            panic!("it did not end within {PATIENCE:?}: {said}");
        }
        let status = self.child.wait().unwrap();
        let text = |path: &Path| String::from_utf8(fs::read(path).unwrap()).unwrap();
        Ended {
            status,
            stdout: text(&self.stdout),
            stderr: text(&self.stderr),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port that was free a moment ago.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

/// What is answered to a GET, head and all; `None` where nobody listens yet.
pub(crate) fn http_get(port: u16, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: sealpost\r\nConnection: close\r\n\r\n"
    )
    .ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}

/// A folder with a configuration, a key ring, a data directory, and what the programs said.
pub(crate) struct Site {
    folder: TempDir,
    said: AtomicUsize,
}

impl Site {
    /// A deployment with a new key ring.
    pub(crate) fn new(config: &str) -> Self {
        let site = Self::without_keys(config);
        site.ok(["keys", "generate"]);
        site
    }

    pub(crate) fn without_keys(config: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("sealpost.toml"), config).unwrap();
        fs::create_dir(folder.path().join("said")).unwrap();
        Self {
            folder,
            said: AtomicUsize::new(0),
        }
    }

    /// A deployment with the key ring of another.
    pub(crate) fn with_keys_of(other: &Self, config: &str) -> Self {
        let site = Self::without_keys(config);
        fs::copy(other.path("keys.json"), site.path("keys.json")).unwrap();
        site
    }

    pub(crate) fn root(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.path("data")
    }

    /// Writes a file of the folder.
    pub(crate) fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, content).unwrap();
        path
    }

    /// The program, not started yet.
    pub(crate) fn command<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(
        &self,
        arguments: I,
    ) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sealpost"));
        command
            .env_clear()
            .current_dir(self.root())
            .arg("--config")
            .arg(self.path("sealpost.toml"))
            .arg("--data-dir")
            .arg(self.data())
            .args(arguments);
        command
    }

    /// Starts a program; what it says goes to files of this folder.
    pub(crate) fn start(&self, command: &mut Command) -> Running {
        self.start_with(command, Stdio::null())
    }

    fn start_with(&self, command: &mut Command, stdin: Stdio) -> Running {
        let number = self.said.fetch_add(1, Ordering::SeqCst);
        let file = |what: &str| self.path("said").join(format!("{number:04}.{what}"));
        let (stdout, stderr) = (file("stdout"), file("stderr"));
        let child = command
            .stdin(stdin)
            .stdout(File::create(&stdout).unwrap())
            .stderr(File::create(&stderr).unwrap())
            .spawn()
            .unwrap();
        Running {
            child,
            stdout,
            stderr,
        }
    }

    pub(crate) fn spawn<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(
        &self,
        arguments: I,
    ) -> Running {
        self.start(&mut self.command(arguments))
    }

    #[track_caller]
    pub(crate) fn run<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(&self, arguments: I) -> Ended {
        self.spawn(arguments).ended()
    }

    #[track_caller]
    pub(crate) fn ok<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(&self, arguments: I) -> Ended {
        self.run(arguments).expect(0)
    }

    /// Runs a program that is told something on its stdin.
    #[track_caller]
    pub(crate) fn told(&self, command: &mut Command, input: &str) -> Ended {
        let mut running = self.start_with(command, Stdio::piped());
        let mut stdin = running.child.stdin.take().unwrap();
        stdin.write_all(input.as_bytes()).unwrap();
        drop(stdin);
        running.ended()
    }

    /// What a command answers with `--json`.
    #[track_caller]
    pub(crate) fn json<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(&self, arguments: I) -> Value {
        let mut command = self.command(arguments);
        command.arg("--json");
        let ended = self.start(&mut command).ended().expect(0);
        serde_json::from_str(&ended.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}", ended.stdout))
    }

    /// Seeds a population into the folder `inputs`.
    pub(crate) fn seed(&self, users: u64, more: &[&str]) -> Value {
        let users = users.to_string();
        let out = self.path("inputs");
        let mut arguments = vec![
            "seed",
            "--users",
            &users,
            "--period",
            "2026-01",
            "--out",
            out.to_str().unwrap(),
        ];
        arguments.extend(more);
        self.json(arguments)
    }

    /// Seed, ingest, close: everything but the run.
    pub(crate) fn prepare(&self, users: u64) {
        self.seed(users, &[]);
        self.ok(["ingest", "inputs"]);
        self.ok(["close", "2026-01"]);
    }

    /// Waits until a `run` that listens on a port works on every shard.
    #[track_caller]
    pub(crate) fn wait_until_ready(&self, run: &mut Running, port: u16) {
        self.wait_until("the run to be ready", || {
            assert!(!run.has_ended(), "it has ended: {}", run.said());
            http_get(port, "/readyz").is_some_and(|answer| answer.starts_with("HTTP/1.1 200"))
        });
    }

    /// Waits until something is so.
    #[track_caller]
    pub(crate) fn wait_until(&self, what: &str, mut is: impl FnMut() -> bool) {
        let until = Instant::now() + PATIENCE;
        while !is() {
            assert!(Instant::now() < until, "waited too long for {what}");
            std::thread::sleep(LOOK);
        }
    }

    /// `run --drain`, and what it did.
    #[track_caller]
    pub(crate) fn drain(&self) -> Value {
        self.json(["run", "--drain"])
    }

    /// The books of the period, which must balance.
    #[track_caller]
    pub(crate) fn books(&self, period: &str) -> Value {
        let books = self.json(["status", period]);
        let sum: u64 = [
            "pending",
            "held",
            "sending",
            "sent",
            "failed",
            "unknown",
            "suppressed",
        ]
        .into_iter()
        .map(|state| books[state].as_u64().unwrap())
        .sum();
        assert_eq!(books["statements"].as_u64().unwrap(), sum, "{books}");
        books
    }
}
