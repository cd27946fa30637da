//! The media router for sandboxed browsers.
#![forbid(unsafe_code)]

use std::io::Write as _;
use std::process::ExitCode;

use crosspoint_server::config::{self, Cli, Command};
use crosspoint_server::systemd::Inherited;
use crosspoint_server::{check, log, run, wrapper};

fn main() -> ExitCode {
    let inherited = Inherited::take();
    let (cli, matches) = Cli::load(std::env::args_os()).unwrap_or_else(|error| error.exit());
    let outcome = match cli.command {
        Some(Command::BrowserWrapper(options)) => wrapper::print_or_write(&options).map_err(anyhow::Error::from),
        None if cli.print_config => std::io::stdout().write_all(config::print(&matches).as_bytes()).map_err(anyhow::Error::from),
        None if cli.check => check::run(cli.config).map_err(anyhow::Error::from),
        None => {
            log::install(&cli.config.log, cli.config.log_format);
            run(cli.config, inherited).map_err(anyhow::Error::from)
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
