//! The `sealpost` command.

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser as _;
use sealpost::commands::{Cli, execute};
use sealpost::engine;
use sealpost::usage_error::UsageError;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // clap ends wrong usage with 2 by itself
    let cli = Cli::parse();
    #[allow(
        clippy::disallowed_methods,
        reason = "the log's form is needed before there is a configuration"
    )]
    let as_json = std::env::var("SEALPOST_LOG_FORMAT").is_ok_and(|format| format == "json");
    let log = tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_env("SEALPOST_LOG")
                .unwrap_or_else(|_| "warn".into()),
        );
    if as_json {
        log.json().flatten_event(true).init();
    } else {
        log.init();
    }
    engine::listen();
    match execute(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // a reader that went away is no failure of ours
            if error
                .downcast_ref::<std::io::Error>()
                .is_some_and(|e| e.kind() == std::io::ErrorKind::BrokenPipe)
            {
                return ExitCode::SUCCESS;
            }
            if as_json {
                let line = serde_json::json!({ "level": "ERROR", "message": format!("{error:#}") });
                let _ = writeln!(std::io::stderr(), "{line}");
            } else {
                let _ = writeln!(std::io::stderr(), "error: {error:#}");
            }
            ExitCode::from(if error.downcast_ref::<UsageError>().is_some() {
                2
            } else {
                1
            })
        }
    }
}
