//! `sealpost-providerkit serve` and `sealpost-providerkit check`.

use std::process::ExitCode;

fn main() -> ExitCode {
    sealpost_providerkit::command::main(std::env::args_os())
}
