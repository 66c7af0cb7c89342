//! Other people's clients: Java, Python, kcat.
//!
//! Each answers with a [`Command`] to which arguments are added, so that a test says what it runs.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::cluster::script;
use crate::{Error, setting};

/// A class of Kafka's jars (`org.apache.kafka.tools.TopicCommand`), or a `.java` file of
/// `tests/interop` that is compiled on the spot.
///
/// # Errors
/// [`Error::Missing`] without Java 17 and the jars, or for a file without Java's compiler.
pub fn java(program: &str) -> Result<Command, Error> {
    crate::cluster::check_machine()?;
    let mut command = script("run");
    command.arg("-").stdin(Stdio::null());
    if program.ends_with(".java") {
        if !answers(Command::new("javac").arg("-version")) {
            return Err(Error::Missing(
                "javac is missing: install a JDK, not only a JRE".into(),
            ));
        }
        command.arg(interop(program));
    } else {
        command.arg(program);
    }
    Ok(command)
}

/// A script of `tests/interop`, with the Python that `SEALPOST_PYTHON` names (default `python3`).
///
/// # Errors
/// [`Error::Missing`] without that Python or without one of `modules`.
pub fn python(file: &str, modules: &[&str]) -> Result<Command, Error> {
    let interpreter = setting("SEALPOST_PYTHON").unwrap_or_else(|| "python3".to_owned());
    let imports = modules.join(", ");
    if !answers(Command::new(&interpreter).args(["-c", &format!("import {imports}")])) {
        return Err(Error::Missing(format!(
            "{interpreter} with {imports} is missing: see tests/interop/requirements.txt"
        )));
    }
    let mut command = Command::new(interpreter);
    command.arg(interop(file)).stdin(Stdio::null());
    Ok(command)
}

/// kcat. Debian's speaks no SCRAM with Kafka 4: its librdkafka is older than 2.6.1.
///
/// # Errors
/// [`Error::Missing`] without it.
pub fn kcat() -> Result<Command, Error> {
    if !answers(Command::new("kcat").arg("-V")) {
        return Err(Error::Missing("kcat is missing: install it".into()));
    }
    let mut command = Command::new("kcat");
    command.stdin(Stdio::null());
    Ok(command)
}

fn interop(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../tests/interop")
        .join(file)
}

fn answers(command: &mut Command) -> bool {
    let output = command.stdin(Stdio::null()).output();
    output.is_ok_and(|output| output.status.success())
}
