//! The load and latency harness of Crosspoint.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    crosspoint_loadtest::main()
}
