use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// A refusal: bad usage, configuration, key or directory. Starting again does not help.
pub(crate) const EXIT_REFUSED: u8 = 64;

/// A failure of Claviger's own.
pub(crate) const EXIT_INTERNAL: u8 = 70;

/// Secrets broker daemon: keeps secret definitions and hands out the values they point at
#[derive(Debug, Default, Parser)]
#[command(
    name = "clavigerd",
    version,
    about,
    args_conflicts_with_subcommands = true
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,

    /// Configuration file; without it the built-in defaults hold [env: CLAVIGER_CONFIG]
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,

    /// Check the configuration and stop: nothing is opened, created or bound
    #[arg(long)]
    pub(crate) check_config: bool,

    /// For trying out: projects/dev, with this user as operator and runner, and a loopback port
    #[arg(long)]
    pub(crate) dev: bool,

    /// With --dev: keep everything in a directory that is removed at the end
    #[arg(long)]
    pub(crate) ephemeral: bool,

    /// Where the store and the audit log are
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,

    /// Unix socket to listen on
    #[arg(long, value_name = "PATH")]
    pub(crate) socket: Option<PathBuf>,

    /// Loopback address to listen on as well, such as 127.0.0.1:7433
    #[arg(long, value_name = "ADDR")]
    pub(crate) listen: Option<String>,
}

/// What to do instead of serving.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Look at the audit log
    Audit {
        #[command(subcommand)]
        command: AuditCommand,
    },
    /// Ask the running daemon how it is
    Status {
        /// Unix socket of the daemon
        #[arg(long, value_name = "PATH")]
        socket: Option<PathBuf>,
    },
}

/// What to do with an audit log.
#[derive(Debug, Subcommand)]
pub(crate) enum AuditCommand {
    /// Check an audit log offline: that nothing in it was changed, removed or put in
    Verify {
        /// The audit log
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
}

impl Cli {
    /// Reads the command line of this process.
    ///
    /// # Errors
    /// What to exit with when there is nothing more to do: 0 after `--help` and `--version`, 64
    /// after bad usage. What was to be said is already printed.
    pub(crate) fn parse_process() -> Result<Self, ExitCode> {
        Self::try_parse().map_err(|stop| {
            // Nobody is left to tell when the terminal is gone.
            stop.print().ok();
            if stop.use_stderr() {
                ExitCode::from(EXIT_REFUSED)
            } else {
                ExitCode::SUCCESS
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory as _;
        Cli::command().debug_assert();
    }

    #[test]
    fn documented_command_lines_parse() {
        for line in [
            "clavigerd",
            "clavigerd --config f --check-config",
            "clavigerd --dev --ephemeral --config f --listen 127.0.0.1:0 --socket s",
            "clavigerd --data-dir d",
            "clavigerd status",
            "clavigerd status --socket s",
            "clavigerd audit verify f",
        ] {
            assert!(Cli::try_parse_from(line.split(' ')).is_ok(), "{line}");
        }
    }

    #[test]
    fn options_of_the_daemon_do_not_go_with_a_subcommand() {
        for line in ["clavigerd --dev status", "clavigerd audit", "clavigerd f"] {
            let stop = Cli::try_parse_from(line.split(' ')).unwrap_err();
            assert!(stop.use_stderr(), "{line}");
        }
        let help = Cli::try_parse_from(["clavigerd", "--help"]).unwrap_err();
        assert!(!help.use_stderr());
    }
}
