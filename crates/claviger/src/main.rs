//! The process around the command: hardening, arguments, exit codes.
#![forbid(unsafe_code)]

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::Parser as _;
use claviger::{Cli, Environment, Stop};
use rustix::fs::Mode;
use rustix::process::umask;

/// Wipes memory that is freed: values pass through buffers of libraries that do not.
#[global_allocator]
static ALLOCATOR: claviger_mem::ZeroOnFree = claviger_mem::ZeroOnFree::new();

fn main() -> ExitCode {
    let inherited = umask(Mode::RWXG | Mode::RWXO);
    if let Err(error) = claviger_mem::harden() {
        let stop = format!("the process cannot be hardened: {error}");
        return ended(&Stop::failed(stop), false);
    }
    // A job makes its files as it would without this command, which makes none.
    umask(inherited);
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(stop) => {
            // Nobody is left to tell when the terminal is gone.
            stop.print().ok();
            return match stop.use_stderr() {
                true => Stop::usage("").exit_code(claviger::is_run(std::env::args_os())),
                false => ExitCode::SUCCESS,
            };
        }
    };
    match claviger::execute(&cli, &Environment::from_process()) {
        Ok(code) => code,
        Err(stop) => ended(&stop, cli.is_run()),
    }
}

fn ended(stop: &Stop, is_run: bool) -> ExitCode {
    writeln!(io::stderr().lock(), "claviger: {stop}").ok();
    stop.exit_code(is_run)
}
