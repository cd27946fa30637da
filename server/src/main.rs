//! The media router for sandboxed browsers.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::Parser;
use crosspoint_server::config::{Cli, Command};
use crosspoint_server::{log, run, wrapper};

fn main() -> ExitCode {
    let cli = Cli::parse().checked().unwrap_or_else(|error| error.exit());
    let outcome = match cli.command {
        Some(Command::BrowserWrapper(options)) => wrapper::print_or_write(&options).map_err(anyhow::Error::from),
        None => {
            log::install(&cli.config.log, cli.config.log_format);
            run(cli.config).map_err(anyhow::Error::from)
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("crosspoint: {error:#}");
            ExitCode::FAILURE
        }
    }
}
