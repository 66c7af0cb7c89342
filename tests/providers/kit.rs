//! The provider written apart, as a process of its own: this test binary, started again.

use std::io::{BufRead as _, BufReader, Lines, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use sealpost_providerkit::ledger::{self, Line};
use tempfile::TempDir;

const ARGUMENTS: &str = "SEALPOST_TEST_PROVIDER";

/// See the module. Ends with whoever started it.
pub(crate) struct Kit {
    child: Child,
    /// Kept open: the harness speaks up now and then, and ends where nobody can hear it.
    _says: Lines<BufReader<ChildStdout>>,
    folder: TempDir,
    port: u16,
}

impl Kit {
    /// Starts one with arguments of `serve`, and waits until it listens.
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let ledger = folder.path().join("ledger.ndjson");
        let mut all = vec!["serve", "--ledger", ledger.to_str().unwrap()];
        all.extend(arguments);
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "kit::provider_process", "--nocapture"])
            .env(ARGUMENTS, all.join("\n"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut says = BufReader::new(child.stdout.take().unwrap()).lines();
        let port = says
            .by_ref()
            .map(Result::unwrap)
            // the harness's own words may stand before it on the line
            .find_map(|line| line.split_once("listening on 127.0.0.1:")?.1.parse().ok())
            .expect("it listens");
        Self {
            child,
            _says: says,
            folder,
            port,
        }
    }

    /// One with faults, whose delays are longer than the time-outs of these tests.
    pub(crate) fn with_faults(faults: &str) -> Self {
        Self::start(&["--faults", faults, "--delay-ms", "3000"])
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    pub(crate) fn ledger(&self) -> PathBuf {
        self.folder.path().join("ledger.ndjson")
    }

    pub(crate) fn lines(&self) -> Vec<Line> {
        ledger::read(&self.ledger()).unwrap()
    }

    /// Ends it; its ledger stays.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// How long the ledger is: it grows with every call.
    pub(crate) fn bytes(&self) -> u64 {
        size(&self.ledger())
    }
}

fn size(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |metadata| metadata.len())
}

impl Drop for Kit {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The process itself; by itself a test that has nothing to do.
#[test]
fn provider_process() {
    let Ok(arguments) = std::env::var(ARGUMENTS) else {
        return;
    };
    std::thread::spawn(|| {
        // whoever started it is gone
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(0);
    });
    let arguments = std::iter::once("kit").chain(arguments.split('\n'));
    let _ = sealpost_providerkit::command::main(arguments.map(Into::into));
}
