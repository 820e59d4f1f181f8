//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, CommandFactory as _, Parser, Subcommand};
use claviger_proto::v1::secret_definition::Kind;

/// The kinds that a definition can be put with.
const KINDS: [Kind; 4] = [
    Kind::Opaque,
    Kind::Password,
    Kind::StripeApiKey,
    Kind::StripeWebhookSecret,
];

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
    /// Run a job with values in its environment; it writes no core files
    Run(Run),
}

/// The tasks about values. An ID is short, or a full name such as projects/acme/secrets/stripe.
#[derive(Debug, Subcommand)]
pub enum SecretCommand {
    /// Store a new value: ask for it on a terminal, or read it from standard input
    Put {
        /// The secret
        id: String,

        /// The value
        #[command(flatten)]
        value: ValueOptions,

        /// Only while this is the current version
        #[arg(long, value_name = "VERSION")]
        if_version: Option<String>,
    },
    /// Write a value to a pipe or a file, as it is
    Get {
        /// The secret
        id: String,

        /// Another version than the current one
        #[arg(long, value_name = "VERSION")]
        version: Option<String>,

        /// Show it on a terminal too
        #[arg(long)]
        reveal: bool,
    },
    /// List the versions, newest first
    Versions {
        /// The secret
        id: String,
    },
}

/// Where a value comes from. Never an argument: other users could read it.
#[derive(Args, Debug, Default)]
pub struct ValueOptions {
    /// File with the value; -: standard input
    #[arg(long, value_name = "FILE")]
    pub value_from: Option<PathBuf>,

    /// Keep a line break at the end of a file or of standard input
    #[arg(long)]
    pub keep_newline: bool,

    /// Any bytes, taken as they are: for a definition with format BINARY
    #[arg(long)]
    pub binary: bool,
}

/// The tasks about definitions. An ID is short, or a full name such as projects/acme/secrets/stripe.
#[derive(Debug, Subcommand)]
pub enum DefinitionCommand {
    /// Register a definition, with its first value if --value-from says where that is
    Put(PutDefinition),
    /// Show a definition
    Get {
        /// The definition
        id: String,
    },
    /// List the definitions of the project
    List {
        /// Those that are deleted and can come back, too
        #[arg(long)]
        show_deleted: bool,
    },
    /// Delete a definition, so that it can come back
    Delete {
        /// The definition
        id: String,

        /// For good, with the values in Claviger's own vault
        #[arg(long)]
        purge: bool,
    },
    /// Take a deletion back
    Undelete {
        /// The definition
        id: String,
    },
    /// Say where a definition leads and whether a read would work, without the value
    Check(Check),
}

/// A definition to be registered.
#[derive(Args, Debug)]
pub struct PutDefinition {
    /// The definition
    pub id: String,

    /// OPAQUE, PASSWORD, STRIPE_API_KEY or STRIPE_WEBHOOK_SECRET
    #[arg(long, value_parser = kind)]
    pub kind: Option<Kind>,

    /// For people
    #[arg(long)]
    pub description: Option<String>,

    /// The vault that the value is in; by default that of the project
    #[arg(long, value_name = "ID")]
    pub vault: Option<String>,

    /// The secret's name in the vault
    #[arg(long, value_name = "NAME")]
    pub secret: Option<String>,

    /// One key of a JSON document there
    #[arg(long, value_name = "KEY")]
    pub property: Option<String>,

    /// The first value
    #[command(flatten)]
    pub value: ValueOptions,
}

/// What is to be checked.
#[derive(Args, Debug)]
pub struct Check {
    /// The definition
    pub id: String,

    /// Ask Stripe too, with the key
    #[arg(long)]
    pub live: bool,

    /// Ask the vault now, whatever is remembered
    #[arg(long)]
    pub refresh: bool,
}

/// A job and the values it gets.
#[derive(Args, Debug)]
pub struct Run {
    /// A variable and the secret it gets, such as STRIPE_API_KEY=stripe
    #[arg(long = "env", value_name = "NAME=ID", value_parser = Variable::parse)]
    pub variables: Vec<Variable>,

    /// The job
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub job: Vec<OsString>,
}

/// A variable of a job, and the secret it gets.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Variable {
    /// The name of the variable.
    pub name: String,
    /// The secret.
    pub id: String,
}

impl Variable {
    fn parse(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            Some((name, id)) if !name.is_empty() && !id.is_empty() => Ok(Self {
                name: name.to_owned(),
                id: id.to_owned(),
            }),
            _ => Err("give NAME=ID, such as STRIPE_API_KEY=stripe".to_owned()),
        }
    }
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

fn kind(text: &str) -> Result<Kind, String> {
    let named = KINDS.into_iter().find(|kind| kind.as_str_name() == text);
    named.ok_or_else(|| {
        format!(
            "it is one of {}",
            KINDS.map(|kind| kind.as_str_name()).join(", ")
        )
    })
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
    fn a_variable_has_a_name_and_a_secret() {
        let variable = Variable::parse("KEY=projects/acme/secrets/a=b").unwrap();
        assert_eq!(variable.name, "KEY");
        assert_eq!(variable.id, "projects/acme/secrets/a=b");
        for text in ["KEY", "=stripe", "KEY=", ""] {
            assert!(
                Variable::parse(text).unwrap_err().contains("NAME=ID"),
                "{text}"
            );
        }
    }

    #[test]
    fn a_kind_is_named_as_in_the_proto() {
        assert_eq!(kind("STRIPE_API_KEY"), Ok(Kind::StripeApiKey));
        for text in ["stripe", "STRIPE_OAUTH", "KIND_UNSPECIFIED"] {
            assert!(kind(text).unwrap_err().contains("STRIPE_WEBHOOK_SECRET"));
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
