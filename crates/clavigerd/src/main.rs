//! The Claviger daemon.
//!
//! `config.rs` puts the configuration together, `daemon.rs` the daemon. Exit codes: 0 drained,
//! 64 refused (usage, configuration, key, directory), 70 a failure of its own.
#![forbid(unsafe_code)]

mod cli;
mod config;
mod daemon;
mod environment;
mod logging;
mod query;
mod ready;
mod root_key;
mod upkeep;

use std::io::{self, Write};
use std::process::ExitCode;

use crate::cli::{AuditCommand, Cli, Command, EXIT_INTERNAL, EXIT_REFUSED};
use crate::config::{Config, VAULT_KINDS};
use crate::daemon::Stop;
use crate::environment::Environment;

/// Wipes what is freed: values pass through buffers of libraries that do not.
#[global_allocator]
static ALLOCATOR: claviger_mem::ZeroOnFree = claviger_mem::ZeroOnFree::new();

fn main() -> ExitCode {
    let cli = match Cli::parse_process() {
        Ok(cli) => cli,
        Err(code) => return code,
    };
    let environment = Environment::from_process();
    let result = match &cli.command {
        Some(Command::Audit {
            command: AuditCommand::Verify { file },
        }) => query::verify_audit(file),
        Some(Command::Status { socket }) => query::status(socket.as_deref(), &environment),
        None => serve(&cli, &environment),
    };
    match result {
        Ok(code) => code,
        Err(stop) => {
            say(&format!("clavigerd: {stop}"));
            ExitCode::from(stop.exit_code())
        }
    }
}

fn serve(cli: &Cli, environment: &Environment) -> Result<ExitCode, Stop> {
    let ephemeral = match cli.dev && cli.ephemeral {
        true => Some(
            tempfile::Builder::new()
                .prefix("claviger-")
                .tempdir()
                .map_err(|error| {
                    Stop::refused(format!("the throw-away directory cannot be made: {error}"))
                })?,
        ),
        false => None,
    };
    let dir = ephemeral.as_ref().map(tempfile::TempDir::path);
    let config = Config::resolve(cli, environment, dir, VAULT_KINDS).map_err(|problems| {
        Stop::refused(format!("the configuration is not usable\n{problems}"))
    })?;
    if cli.check_config {
        writeln!(io::stdout().lock(), "the configuration is usable").ok();
        return Ok(ExitCode::SUCCESS);
    }
    claviger_mem::harden()
        .map_err(|error| Stop::failed(format!("the process cannot be hardened: {error}")))?;
    logging::init(config.log_format, config.log_filter.clone())
        .map_err(|error| Stop::failed(format!("logging does not start: {error}")))?;
    daemon::run(&config)?;
    Ok(ExitCode::SUCCESS)
}

/// Tells whoever started us; if standard error is gone, nobody is left to tell.
fn say(text: &str) {
    writeln!(io::stderr().lock(), "{text}").ok();
}

impl Stop {
    fn exit_code(&self) -> u8 {
        match self {
            Self::Refused(_) => EXIT_REFUSED,
            Self::Failed(_) => EXIT_INTERNAL,
        }
    }
}
