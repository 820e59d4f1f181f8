use std::ffi::OsString;

use clap::Args;

const RUN_HELP: &str = "\
The job starts with all of its values or not at all. While the daemon or a vault is away it is asked
again until --timeout is over. A variable is set by one option only.

On a terminal the job takes the place of this command, so that keys and job control reach it as
always. Elsewhere it gets a process group of its own, all of which gets the signals that are sent to
this command, and its exit code comes back.

A file is memory that cannot be changed, at a path such as /proc/self/fd/5: the job can open it, and
so can a child that inherits it (in Python, one started with close_fds=False). A template gets values
as they are: whoever may rotate one can add lines to the file.

Examples:
  claviger --environment prod run --env STRIPE_API_KEY=stripe -- ./job --all
  claviger run --profile STRIPE=stripe-eu -- ./job
  claviger run --file TLS_KEY=tls-key --env DB_PASSWORD=db -- ./server
  claviger run --template CONFIG=job.toml.template -- ./job
with job.toml.template:
  api_key = \"{{ secret \"stripe\" }}\"";

/// A job and the values it gets.
#[derive(Args, Debug)]
#[command(after_help = RUN_HELP)]
pub struct Run {
    /// A variable and the secret that is its value
    #[arg(long = "env", value_name = "VAR=ID", value_parser = Variable::parse)]
    pub variables: Vec<Variable>,

    /// A connection profile, for P_API_KEY, P_ACCOUNT and P_CONTEXT; the last two are not set in the
    /// job where the profile has none
    #[arg(long = "profile", value_name = "P=ID", value_parser = Variable::parse)]
    pub profiles: Vec<Variable>,

    /// A variable and the secret that is in the file whose path is its value; any bytes
    #[arg(long = "file", value_name = "VAR=ID", value_parser = Variable::parse)]
    pub files: Vec<Variable>,

    /// As --file, with a text in which each {{ secret "ID" }} is replaced by the value, as it is
    #[arg(long = "template", value_name = "VAR=FILE", value_parser = Variable::parse)]
    pub templates: Vec<Variable>,

    /// The purpose of the reads, which a grant may ask for
    #[arg(long)]
    pub purpose: Option<String>,

    /// The job
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub job: Vec<OsString>,
}

/// A variable of a job, or several that begin with the same name, and where the value comes from.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Variable {
    /// The name of the variable.
    pub name: String,
    /// The secret, the connection profile or the template.
    pub source: String,
}

impl Variable {
    fn parse(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            Some((name, source)) if !name.is_empty() && !source.is_empty() => Ok(Self {
                name: name.to_owned(),
                source: source.to_owned(),
            }),
            _ => Err("give a name, = and the source, such as STRIPE_API_KEY=stripe".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::Cli;

    #[test]
    fn a_variable_has_a_name_and_a_source() {
        let variable = Variable::parse("KEY=projects/acme/secrets/a=b").unwrap();
        assert_eq!(variable.name, "KEY");
        assert_eq!(variable.source, "projects/acme/secrets/a=b");
        for text in ["KEY", "=stripe", "KEY=", ""] {
            let said = Variable::parse(text).unwrap_err();
            assert!(said.contains("STRIPE_API_KEY=stripe"), "{text}");
        }
    }

    /// SIGTERM reaches a job once, and the contexts are found without a HOME.
    #[test]
    fn the_documented_unit_can_be_used() {
        let readme = include_str!("../../README.md");
        let (_, unit) = readme.split_once("[Service]\n").unwrap();
        let (unit, _) = unit.split_once("```").unwrap();
        for part in [
            "KillMode=mixed\n",
            "SuccessExitStatus=129 130 141 143\n",
            "CLAVIGER_CONTEXTS_FILE=/",
        ] {
            assert!(unit.contains(part), "{unit}");
        }
        let mut lines = unit.lines();
        let line = lines.find_map(|line| line.strip_prefix("ExecStart="));
        assert!(Cli::try_parse_from(line.unwrap().split(' ')).is_ok());
    }

    #[test]
    fn documented_command_lines_parse() {
        let examples = RUN_HELP
            .lines()
            .filter_map(|line| line.strip_prefix("  claviger "))
            .map(|line| format!("claviger {line}"))
            .collect::<Vec<_>>();
        assert_eq!(examples.len(), 4);
        for line in examples {
            assert!(Cli::try_parse_from(line.split(' ')).is_ok(), "{line}");
        }
    }
}
