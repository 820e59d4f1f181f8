//! The process around the daemon: arguments, hardening, signals, exit codes.
//!
//! Exit codes: 0 drained, 64 refused (usage, configuration, key, directory), 70 a failure of its
//! own.
#![forbid(unsafe_code)]

mod query;
mod signals;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser as _;
use clavigerd::{AuditCommand, Cli, Command, Config, Daemon, Environment, Parts, Stop};
use tempfile::TempDir;
use tokio::runtime::Builder;
use tokio_util::sync::CancellationToken;

/// A refusal: bad usage, configuration, key or directory. Starting again does not help.
const EXIT_REFUSED: u8 = 64;

/// A failure of Claviger's own.
const EXIT_INTERNAL: u8 = 70;

/// Wipes memory that is freed: values pass through buffers of libraries that do not.
#[global_allocator]
static ALLOCATOR: claviger_mem::ZeroOnFree = claviger_mem::ZeroOnFree::new();

fn main() -> ExitCode {
    // Before anything secret exists: the configuration reads files of credentials.
    if let Err(error) = claviger_mem::harden() {
        let stop = format!("the process cannot be hardened: {error}");
        return ended(&Stop::failed(stop));
    }
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(stop) => {
            // Nobody is left to tell when the terminal is gone.
            stop.print().ok();
            return match stop.use_stderr() {
                true => ExitCode::from(EXIT_REFUSED),
                false => ExitCode::SUCCESS,
            };
        }
    };
    let environment = Environment::from_process();
    let result = match &cli.command {
        Some(Command::Audit {
            command: AuditCommand::Verify { path },
        }) => query::verify_audit(path),
        Some(Command::Status { socket, alive }) => {
            query::status(socket.as_deref(), *alive, &environment)
        }
        None => serve(&cli, &environment),
    };
    match result {
        Ok(code) => code,
        Err(stop) => ended(&stop),
    }
}

fn ended(stop: &Stop) -> ExitCode {
    writeln!(io::stderr().lock(), "clavigerd: {stop}").ok();
    ExitCode::from(match stop {
        Stop::Refused(_) => EXIT_REFUSED,
        Stop::Failed(_) => EXIT_INTERNAL,
    })
}

fn serve(cli: &Cli, environment: &Environment) -> Result<ExitCode, Stop> {
    // Owns backends and writes; serving has threads of its own.
    let runtime = Builder::new_multi_thread()
        .thread_name("vaults")
        .enable_all()
        .build()
        .map_err(|error| Stop::failed(format!("no runtime: {error}")))?;
    let stop = CancellationToken::new();
    if !cli.check_config {
        // Before anything is made that a signal would leave behind.
        let entered = runtime.enter();
        signals::catch(&stop)
            .map_err(|error| Stop::failed(format!("signals cannot be caught: {error}")))?;
        drop(entered);
    }
    let ephemeral = match cli.dev && cli.ephemeral {
        true => Some(make_throw_away_dir()?),
        false => None,
    };
    let dir = ephemeral.as_ref().map(TempDir::path);
    let config = clavigerd::configure(cli, environment, dir)?;
    if cli.check_config {
        writeln!(io::stdout().lock(), "the configuration is usable").ok();
        return Ok(ExitCode::SUCCESS);
    }
    clavigerd::start_log(&config)?;
    let served = runtime.block_on(run(&config, stop));
    // What is still under way may write to the directory, which is removed next.
    drop(runtime);
    served.map(|()| ExitCode::SUCCESS)
}

fn make_throw_away_dir() -> Result<TempDir, Stop> {
    let made = tempfile::Builder::new().prefix("claviger-").tempdir();
    made.map_err(|error| Stop::refused(format!("the throw-away directory cannot be made: {error}")))
}

/// Serves until a signal says to stop, then drains. A start that is stopped serves nobody, and what
/// it leaves undone is what a crash would.
async fn run(config: &Config, stop: CancellationToken) -> Result<(), Stop> {
    let opening = Daemon::open(config, Parts::default());
    let Some(daemon) = stop.run_until_cancelled(opening).await.transpose()? else {
        return Ok(());
    };
    // A closed standard output does not keep the daemon from serving.
    let mut out = io::stdout().lock();
    out.write_all(daemon.greeting().as_bytes())
        .and_then(|()| out.flush())
        .ok();
    drop(out);
    daemon.serve(stop).await
}
