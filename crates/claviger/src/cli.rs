//! The command line.

mod access;
mod adopt;
mod definition;
mod profile;
mod project;
mod run;
mod secret;
mod vault;
mod words;

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, CommandFactory as _, Parser, Subcommand};
use clap_complete::Shell;

pub use access::{CreateToken, Explain, GrantCommand, PutGrant, TokenCommand};
pub use adopt::Adopt;
pub use definition::{Apply, Check, DefinitionCommand, Place, PutDefinition};
pub use profile::{Connect, KeyOptions, OauthOptions, ProfileCommand, PutProfile};
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
  130      ended by Ctrl-C; adopt, definition apply and profile connect say how far they were
  141      whoever read the answer was gone before its end
  others   run: the code of the job; 128 and its number after a signal

Examples:
  claviger --project acme definition put stripe --kind STRIPE_API_KEY --value-from -
  claviger --project acme secret put stripe --if-version 1
  claviger --project acme --environment prod run --env STRIPE_API_KEY=stripe -- ./job";

const CONTEXTS: &str = "\
A context leaves open whatever it has no key for. The file, which nobody else may write:
  context = \"laptop\"

  [contexts.laptop]
  project = \"dev\"

  [contexts.prod]
  address = \"claviger.acme.example:7433\"
  ca_file = \"/etc/acme/ca.pem\"
  token_file = \"/run/acme/claviger.token\"
  project = \"acme\"
  environment = \"prod\"

Examples:
  claviger context
  claviger --context prod whoami";

const COMPLETIONS: &str = "\
Example:
  claviger completions bash > ~/.local/share/bash-completion/completions/claviger";

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
    /// File with contexts [env: CLAVIGER_CONTEXTS_FILE] [default: ~/.config/claviger/claviger.toml]
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// The context to work in, before all variables [env: CLAVIGER_CONTEXT]
    #[arg(long, global = true, value_name = "NAME")]
    pub context: Option<String>,

    /// unix:/path, or host:port; by default the socket of this user's daemon [env: CLAVIGER_ADDRESS]
    #[arg(long, global = true)]
    pub address: Option<String>,

    /// File with a token and nothing else [env: CLAVIGER_TOKEN_FILE, which goes to CLAVIGER_ADDRESS or
    /// the default socket only]
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
    /// Say as whom the daemon knows the caller, and the grants of that principal
    #[command(after_help = "Example:\n  claviger whoami")]
    Whoami,
    /// Say how the daemon and its vaults are
    #[command(after_help = "Example:\n  claviger status --json")]
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
    /// The connections to Stripe that jobs name
    Profile {
        /// The task
        #[command(subcommand)]
        command: ProfileCommand,
    },
    /// Propose definitions for the secrets that a vault has already
    Adopt(Adopt),
    /// Print the JSON Schema of the files of `definition export`, for editors
    #[command(after_help = "Example:\n  claviger schema > claviger.schema.json")]
    Schema,
    /// Run a job with values in its environment; it writes no core files
    Run(Run),
    /// List the contexts of the configuration file; * marks the chosen one
    #[command(after_help = CONTEXTS)]
    Context,
    /// Print what makes a shell complete command lines
    #[command(after_help = COMPLETIONS)]
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Write manual pages, one for each task
    #[command(after_help = "Example:\n  claviger man ~/.local/share/man/man1")]
    Man {
        /// The directory, made if it is not there
        directory: PathBuf,
    },
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
            "claviger profile put stripe --value-from - --account acct_1 --label team=payments",
            "claviger profile put stripe --client-id ca_1 --client-secret-from a --refresh-token-from b",
            "claviger profile connect stripe --client-id ca_1 --mode test --redirect-port 1",
            "claviger profile connect stripe --paste --redirect-uri https://acme.test/stripe",
            "claviger run --env A=a --env B=b -- env --help",
            "claviger --config /c.toml --context prod context",
        ];
        for line in examples.iter().map(String::as_str).chain(others) {
            assert!(Cli::try_parse_from(line.split(' ')).is_ok(), "{line}");
        }
    }

    /// The examples in the help of a command and of those below it.
    fn examples(command: &clap::Command) -> Vec<String> {
        let help = command.get_after_help().map(ToString::to_string);
        let help = help.unwrap_or_default();
        let lines = help
            .lines()
            .filter_map(|line| line.strip_prefix("  claviger "));
        // As the shell takes them.
        let typed = lines.map(|line| {
            line.split(" > ")
                .next()
                .unwrap_or_default()
                .replace('\'', "")
        });
        let own = typed.map(|line| format!("claviger {line}"));
        own.chain(command.get_subcommands().flat_map(examples))
            .collect()
    }

    #[test]
    fn examples_of_the_help_parse() {
        for line in examples(&Cli::command()) {
            let read = Cli::try_parse_from(line.split(' ')).map(|_| ());
            assert!(read.is_ok(), "{line}: {read:?}");
        }
    }

    #[test]
    fn each_task_has_an_example_in_its_help() {
        fn check(task: &clap::Command, path: &str) {
            for below in task.get_subcommands() {
                let path = format!("{path} {}", below.get_name());
                match below.has_subcommands() {
                    true => check(below, &path),
                    false => {
                        let examples = examples(below);
                        let mut examples = examples.iter();
                        assert!(examples.any(|line| line.contains(path.trim())), "{path}");
                    }
                }
            }
        }
        check(&Cli::command(), "");
    }

    /// Of two with one name, clap would take the value for both.
    #[test]
    fn no_task_has_an_option_of_the_name_of_one_that_all_have() {
        fn check(command: &clap::Command, of_all: &[&str]) {
            for task in command.get_subcommands() {
                let mut options = task.get_arguments().filter_map(|option| option.get_long());
                let twice = options.find(|name| of_all.contains(name));
                assert_eq!(twice, None, "{}", task.get_name());
                check(task, of_all);
            }
        }
        let command = Cli::command();
        let options = command.get_arguments();
        let of_all = options.filter(|option| option.is_global_set());
        let of_all: Vec<&str> = of_all.filter_map(|option| option.get_long()).collect();
        assert!(of_all.contains(&"context"));
        check(&command, &of_all);
    }

    #[test]
    fn a_value_is_no_argument() {
        for line in [
            "claviger secret put stripe value",
            "claviger definition put stripe value",
            "claviger token revoke --token clv_value",
            "claviger secret put stripe --value value",
            "claviger profile put stripe rk_test_1",
            "claviger profile put stripe --client-secret sk_test_1",
            "claviger profile put stripe --definition a --client-id ca_1",
            "claviger profile put stripe --stripe-context acct_1 --refresh-token-from a",
            "claviger profile connect stripe ac_1",
            "claviger profile connect stripe --stand-in https://evil.test",
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
