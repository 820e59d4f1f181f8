//! The Claviger daemon as a library; `main.rs` is the process around it.
//!
//! [`configure`] puts the configuration together, [`Daemon::open`] opens the parts that it names,
//! [`Daemon::serve`] serves until it is told to stop and then drains.
#![forbid(unsafe_code)]

mod asking;
mod audit_seal;
mod cli;
mod config;
mod daemon;
mod environment;
mod listen;
mod log_limit;
mod logging;
mod metrics;
mod modes;
mod owner;
mod ready;
mod root_key;
mod stop;
mod tls;
mod upkeep;

use std::path::{Path, PathBuf};

pub use asking::{ask_alive, ask_status};
pub use cli::{AuditCommand, Cli, Command};
pub use config::Config;
pub use daemon::{Daemon, Parts, PutBefore};
pub use environment::Environment;
pub use stop::Stop;
pub use tls::TlsFiles;

/// Puts the configuration together. With `--ephemeral` the caller brings the directory that holds
/// everything, and nothing of `environment` but the log filter and the name of the configuration
/// file counts.
///
/// # Errors
/// Everything that is wrong.
pub fn configure(
    cli: &Cli,
    environment: &Environment,
    ephemeral_dir: Option<&Path>,
) -> Result<Config, Stop> {
    Config::resolve(cli, environment, ephemeral_dir, config::VAULT_KINDS)
        .map_err(|problems| Stop::refused(format!("the configuration is not usable\n{problems}")))
}

/// Sends the log of this process to standard error, as the configuration says.
///
/// # Errors
/// If it goes somewhere already.
pub fn start_log(config: &Config) -> Result<(), Stop> {
    logging::init(config.log_format, config.log_filter.clone())
        .map_err(|error| Stop::failed(format!("logging does not start: {error}")))
}

/// Where a client on this host finds the daemon when nobody says where it is.
pub fn default_socket(environment: &Environment) -> Option<PathBuf> {
    config::default_socket(environment)
}
