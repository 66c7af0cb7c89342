//! Python beside us: `SEALPOST_PYTHON` names the interpreter (default `python3`). Without it, or
//! without a module, a test says `NOT RUN` and passes, unless `CI=true` or
//! `SEALPOST_REQUIRE_PYTHON=1`.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::tell;

/// The interpreter, if it has the module that a script needs.
pub(crate) fn interpreter(script: &str, module: &str) -> Option<String> {
    let interpreter = std::env::var("SEALPOST_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let has_module = Command::new(&interpreter)
        .args(["-c", &format!("import {module}")])
        .output();
    if !has_module.is_ok_and(|output| output.status.success()) {
        let is = |name: &str, wanted: &str| std::env::var(name).is_ok_and(|value| value == wanted);
        let message =
            format!("NOT RUN: {script} ({interpreter} with the module {module} is not there)");
        assert!(
            !is("CI", "true") && !is("SEALPOST_REQUIRE_PYTHON", "1"),
            "{message}"
        );
        tell(&message);
        return None;
    }
    Some(interpreter)
}

/// Runs a script of `tests/interop` on a file; what it prints is JSON.
pub(crate) fn read(script: &str, module: &str, file: &Path) -> Option<Value> {
    let interpreter = interpreter(script, module)?;
    let path = format!("{}/tests/interop/{script}", env!("CARGO_MANIFEST_DIR"));
    let output = Command::new(&interpreter)
        .arg(path)
        .arg(file)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{script}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Some(serde_json::from_slice(&output.stdout).unwrap())
}
