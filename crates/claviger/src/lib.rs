//! The `claviger` command as a library; `main.rs` is the process around it.
//!
//! [`Cli`] says what it can be asked, [`execute`] does it. A value comes in by a prompt, standard
//! input or a file and goes out by standard output or into the environment of a job; it is never an
//! argument, and no message has one in it.
#![forbid(unsafe_code)]

mod ask;
mod cli;
mod connection;
mod contexts;
mod definitions;
mod environment;
mod manual;
mod output;
mod pages;
mod run;
mod secrets;
mod state;
mod stop;
mod value;

use std::process::ExitCode;

use tokio::runtime::Builder;

pub use cli::{
    Check, Cli, Command, ConnectionOptions, DefinitionCommand, PutDefinition, Run, SecretCommand,
    ValueOptions, Variable, is_run,
};
pub use environment::Environment;
pub use stop::Stop;

use ask::Asking;

/// Does what the command line asks for.
///
/// # Errors
/// What stands in the way, and the remedy.
pub fn execute(cli: &Cli, environment: &Environment) -> Result<ExitCode, Stop> {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Stop::failed(format!("no runtime: {error}")))?;
    let asking = || Asking::of(cli, environment);
    runtime.block_on(async {
        match &cli.command {
            Command::Whoami => state::whoami(&asking()?).await,
            Command::Status => state::status(&asking()?).await,
            Command::Secret { command } => secrets::execute(&asking()?, command).await,
            Command::Definition { command } => definitions::execute(&asking()?, command).await,
            Command::Run(job) => run::run(&asking()?, job).await,
            Command::Context => contexts::list(cli, environment),
            Command::Completions { shell } => manual::completions(*shell),
            Command::Man { directory } => manual::pages(directory),
        }
    })
}
