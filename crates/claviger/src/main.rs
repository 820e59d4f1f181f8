//! The process around the command: hardening, arguments, exit codes.
#![forbid(unsafe_code)]

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::Parser as _;
use clap::error::{ContextKind, ContextValue, ErrorKind};
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
    // Before anything is said that could repeat it.
    let line: Vec<_> = std::env::args_os().collect();
    if let Err(stop) = claviger::refuse_line(&line) {
        return ended(&stop, claviger::is_run(line));
    }
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(stop) => {
            let stop = without_texts(stop);
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

/// The same complaint without what was given: it may be a value that was pasted.
fn without_texts(mut error: clap::Error) -> clap::Error {
    let is_option = |text: &str| {
        let name = text.strip_prefix("--");
        name.is_some_and(|name| name.bytes().all(|b| b.is_ascii_lowercase() || b == b'-'))
    };
    // In other errors, these two name what is known.
    let kinds = [
        (ErrorKind::UnknownArgument, ContextKind::InvalidArg),
        (ErrorKind::InvalidSubcommand, ContextKind::InvalidSubcommand),
    ];
    let given = kinds.into_iter().filter(|(of, _)| *of == error.kind());
    let given: Vec<_> = given.map(|(_, kind)| kind).collect();
    for kind in given.into_iter().chain([ContextKind::InvalidValue]) {
        if let Some(ContextValue::String(text)) = error.get(kind)
            && !text.is_empty()
            && !is_option(text)
        {
            error.insert(kind, ContextValue::String("…".to_owned()));
        }
    }
    error.remove(ContextKind::Suggested);
    error
}

fn ended(stop: &Stop, is_run: bool) -> ExitCode {
    if !stop.is_silent() {
        writeln!(io::stderr().lock(), "claviger: {stop}").ok();
    }
    stop.exit_code(is_run)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pasted_value_is_not_repeated() {
        for (line, wanted) in [
            (
                "secret put stripe rk_test_canary",
                "unexpected argument '…'",
            ),
            ("secret put stripe -canary", "unexpected argument"),
            ("secret put stripe --rk_canary", "unexpected argument '…'"),
            (
                "secret put stripe --key=canary",
                "unexpected argument '--key'",
            ),
            (
                "secret put stripe --value canary",
                "unexpected argument '--value'",
            ),
            ("rk_test_canary", "unrecognized subcommand '…'"),
            ("secret rk_test_canary", "unrecognized subcommand '…'"),
            (
                "run --env rk_canary -- job",
                "'…' for '--env <VAR=ID>': give a name",
            ),
            ("status --timeout canary", "'…' for '--timeout <TIME>'"),
            ("definition put a --kind canary", "STRIPE_API_KEY"),
            ("status --json=canary", "--json"),
        ] {
            let line = format!("claviger {line}");
            let error = Cli::try_parse_from(line.split(' ')).unwrap_err();
            let code = error.exit_code();
            let error = without_texts(error);
            assert_eq!(error.exit_code(), code);
            let said = error.to_string();
            assert!(
                said.contains(wanted) && !said.contains("canary"),
                "{line}: {said}"
            );
        }
    }
}
