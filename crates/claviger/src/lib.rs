//! The `claviger` command as a library; `main.rs` is the process around it.
//!
//! [`Cli`] says what it can be asked, [`execute`] does it. A value comes in by a prompt, standard
//! input or a file and goes out by standard output or into the environment of a job; it is never an
//! argument, and no message has one in it.
#![forbid(unsafe_code)]

mod adopt;
mod ask;
mod cli;
mod confirm;
mod connection;
mod contexts;
mod default_socket;
mod definitions;
mod environment;
mod explain;
mod files;
mod grants;
mod location;
mod manual;
mod output;
mod pages;
mod pasted;
mod patience;
mod profiles;
mod projects;
mod prompt;
mod reveal;
mod run;
mod secrets;
mod shown;
mod signals;
mod state;
mod stop;
mod tokens;
mod value;
mod vaults;
mod verdict;

use std::process::ExitCode;

use tokio::runtime::Builder;

pub use cli::{
    Adopt, Apply, Check, Cli, Command, Connect, ConnectionOptions, CreateToken, DefaultVault,
    DefinitionCommand, Explain, GrantCommand, Inspect, KeyOptions, Maybe, OauthOptions, Place,
    ProfileCommand, ProjectCommand, PutDefinition, PutGrant, PutProfile, PutProject, Run,
    SecretCommand, TokenCommand, ValueOptions, Variable, VaultCommand, Version, is_run,
};
pub use environment::Environment;
pub use pasted::refuse_line;
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
    // It has its own answers to Ctrl-C.
    let is_connect = matches!(
        cli.command,
        Command::Profile {
            command: ProfileCommand::Connect(_)
        }
    );
    runtime.block_on(async {
        tokio::select! {
            biased;
            done = done(cli, environment) => done,
            stop = prompt::interrupted(), if !is_connect => Err(stop),
        }
    })
}

async fn done(cli: &Cli, environment: &Environment) -> Result<ExitCode, Stop> {
    let asking = || Asking::of(cli, environment);
    match &cli.command {
        Command::Whoami => state::whoami(&asking()?).await,
        Command::Status => state::status(&asking()?).await,
        Command::Secret { command } => secrets::execute(&asking()?, command).await,
        Command::Definition { command } => definitions::execute(&asking()?, command).await,
        Command::Project { command } => projects::execute(&asking()?, command).await,
        Command::Vault { command } => vaults::execute(&asking()?, command).await,
        Command::Grant { command } => grants::execute(&asking()?, command).await,
        Command::Token { command } => tokens::execute(&asking()?, command).await,
        Command::Explain(question) => explain::explain(&asking()?, question).await,
        Command::Profile { command } => profiles::execute(&asking()?, command).await,
        Command::Schema => files::schema(),
        Command::Run(job) => run::run(&asking()?, job).await,
        Command::Context => contexts::list(cli, environment),
        Command::Completions { shell } => manual::completions(*shell),
        Command::Man { directory } => manual::pages(directory),
        Command::Adopt(options) => adopt::adopt(&asking()?, options).await,
    }
}
