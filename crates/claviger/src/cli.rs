//! The command line.

mod access;
mod adopt;
mod definition;
mod project;
mod run;
mod secret;
mod vault;
mod words;

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, CommandFactory as _, Parser, Subcommand};

pub use access::{CreateToken, Explain, GrantCommand, PutGrant, TokenCommand};
pub use adopt::Adopt;
pub use definition::{Check, DefinitionCommand, Place, PutDefinition};
pub use project::{DefaultVault, ProjectCommand, PutProject};
pub use run::{Run, Variable};
pub use secret::{SecretCommand, ValueOptions, Version};
pub use vault::{Inspect, VaultCommand};
pub use words::Maybe;

const EXIT_CODES: &str = "\
Exit codes:
  0        done
  1        the daemon refused, or something asked about is not well
  2        a command line or a file that cannot be used
  3        no daemon answers
  125      run: the job was not started (126: it cannot be executed, 127: there is none)
  others   run: the code of the job; 128 and its number after a signal

Examples:
  claviger --project acme definition put stripe --kind STRIPE_API_KEY --value-from -
  claviger --project acme secret put stripe --if-version 1
  claviger --project acme --environment prod run --env STRIPE_API_KEY=stripe -- ./job";

/// Puts, checks and reads the secrets that a clavigerd keeps, and runs jobs with them
#[derive(Debug, Parser)]
#[command(name = "claviger", version, about, after_help = EXIT_CODES)]
pub struct Cli {
    /// The way to the daemon
    #[command(flatten)]
    pub connection: ConnectionOptions,

    /// Print the answer as JSON, field by field as in the proto
    #[arg(long, global = true)]
    pub json: bool,

    /// The task
    #[command(subcommand)]
    pub command: Command,
}

/// Where the daemon is, who asks it, and about what.
#[derive(Args, Debug, Default)]
pub struct ConnectionOptions {
    /// unix:/path, or host:port; by default the socket of this user's daemon [env: CLAVIGER_ADDRESS]
    #[arg(long, global = true)]
    pub address: Option<String>,

    /// File with a token and nothing else [env: CLAVIGER_TOKEN_FILE]
    #[arg(long, global = true, value_name = "FILE")]
    pub token_file: Option<PathBuf>,

    /// Authorities (PEM) that vouch for the daemon: speak TLS; plain text goes to this host only
    #[arg(long, global = true, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,

    /// Certificate (PEM) to show to the daemon, with those that vouch for it
    #[arg(long, global = true, value_name = "FILE")]
    pub certificate_file: Option<PathBuf>,

    /// Its private key (PEM)
    #[arg(long, global = true, value_name = "FILE")]
    pub private_key_file: Option<PathBuf>,

    /// The project that short ids are of [env: CLAVIGER_PROJECT]
    #[arg(long, global = true)]
    pub project: Option<String>,

    /// The environment, where the project has some [env: CLAVIGER_ENVIRONMENT]
    #[arg(long, global = true)]
    pub environment: Option<String>,

    /// How long to wait for the daemon; run asks again until then
    #[arg(long, global = true, value_name = "TIME", default_value = "30s",
        value_parser = humantime::parse_duration)]
    pub timeout: Duration,
}

/// The tasks.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Say who the daemon takes the caller for, and the grants of it
    Whoami,
    /// Say how the daemon and its vaults are
    Status,
    /// Values
    Secret {
        /// The task
        #[command(subcommand)]
        command: SecretCommand,
    },
    /// The pointers to values
    Definition {
        /// The task
        #[command(subcommand)]
        command: DefinitionCommand,
    },
    /// The name spaces of definitions and grants
    Project {
        /// The task
        #[command(subcommand)]
        command: ProjectCommand,
    },
    /// The places that values are in
    Vault {
        /// The task
        #[command(subcommand)]
        command: VaultCommand,
    },
    /// The roles of principals
    Grant {
        /// The task
        #[command(subcommand)]
        command: GrantCommand,
    },
    /// The credentials of jobs
    Token {
        /// The task
        #[command(subcommand)]
        command: TokenCommand,
    },
    /// Say whether somebody may do something, and by which grant
    Explain(Explain),
    /// Propose definitions for the secrets that a vault has already
    Adopt(Adopt),
    /// Run a job with values in its environment; it writes no core files
    Run(Run),
}

impl Cli {
    /// Whether a job is to be run, whose exit codes stand beside ours.
    pub fn is_run(&self) -> bool {
        matches!(self.command, Command::Run(_))
    }
}

/// Whether a command line that cannot be used was meant to run a job.
pub fn is_run(line: impl IntoIterator<Item = OsString>) -> bool {
    let read = Cli::command()
        .ignore_errors(true)
        .try_get_matches_from(line);
    read.is_ok_and(|matches| matches.subcommand_name() == Some("run"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<OsString> {
        line.split(' ').map(OsString::from).collect()
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn documented_command_lines_parse() {
        let examples = EXIT_CODES
            .lines()
            .filter_map(|line| line.strip_prefix("  claviger "));
        let examples: Vec<_> = examples.map(|line| format!("claviger {line}")).collect();
        assert_eq!(examples.len(), 3);
        let others = [
            "claviger whoami --json",
            "claviger --address unix:/s status",
            "claviger secret get stripe --reveal --version 2",
            "claviger secret versions stripe --project acme --timeout 5s",
            "claviger definition list --show-deleted",
            "claviger definition check stripe --live --refresh",
            "claviger run --env A=a --env B=b -- env --help",
        ];
        for line in examples.iter().map(String::as_str).chain(others) {
            assert!(Cli::try_parse_from(line.split(' ')).is_ok(), "{line}");
        }
    }

    #[test]
    fn a_value_is_no_argument() {
        for line in [
            "claviger secret put stripe value",
            "claviger definition put stripe value",
            "claviger secret put stripe --value value",
        ] {
            assert!(Cli::try_parse_from(line.split(' ')).is_err(), "{line}");
        }
    }

    #[test]
    fn a_wrong_command_line_of_run_is_told_apart() {
        assert!(is_run(words("claviger run")));
        assert!(is_run(words("claviger run --env KEY -- true")));
        assert!(is_run(words("claviger --project p run --no-such -- true")));
        assert!(!is_run(words("claviger secret get run")));
        assert!(!is_run(words("claviger secret get run --no-such")));
        assert!(!is_run(words("claviger")));
    }
}
