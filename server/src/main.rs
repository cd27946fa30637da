//! The media router for sandboxed browsers.
#![forbid(unsafe_code)]

use std::io::Write as _;

use crosspoint_ffi::exit::exit_at_once;
use crosspoint_server::config::{self, Cli, Command};
use crosspoint_server::systemd::Inherited;
use crosspoint_server::{check, log, run, wrapper};

fn main() -> ! {
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
    let status = match outcome {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("crosspoint: {error:#}");
            1
        }
    };
    // A closed stdout leaves the exit code to tell.
    let _ = std::io::stdout().flush();
    // Workers are told to end, but one may wait for a device or a server; none is to be met by a library that takes itself down.
    exit_at_once(status)
}
