//! The command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

/// Secrets broker daemon: keeps secret definitions and hands out the values they point at
#[derive(Debug, Default, Parser)]
#[command(
    name = "clavigerd",
    version,
    about,
    args_conflicts_with_subcommands = true
)]
pub struct Cli {
    /// A task instead of serving
    #[command(subcommand)]
    pub command: Option<Command>,

    /// Configuration file; without it the built-in defaults hold [env: CLAVIGER_CONFIG]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Check the configuration and stop: nothing is opened, created or bound
    #[arg(long)]
    pub check_config: bool,

    /// For trying out: projects/dev, with this user as operator and runner, and a loopback port
    #[arg(long)]
    pub dev: bool,

    /// With --dev: keep everything in a directory that is removed at the end
    #[arg(long)]
    pub ephemeral: bool,

    /// Where the store and the audit log are
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,

    /// Start although records are missing from the audit log: it goes on in a new file that says so
    #[arg(long)]
    pub accept_audit_gap: bool,

    /// Unix socket to listen on
    #[arg(long, value_name = "PATH")]
    pub socket: Option<PathBuf>,

    /// Address to listen on as well, such as 127.0.0.1:7433
    #[arg(long, value_name = "ADDR")]
    pub listen: Option<String>,
}

/// The tasks instead of serving.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Look at the audit log
    Audit {
        /// The task
        #[command(subcommand)]
        command: AuditCommand,
    },
    /// Ask the running daemon how it is
    Status {
        /// Unix socket of the daemon
        #[arg(long, value_name = "PATH")]
        socket: Option<PathBuf>,

        /// Only whether it takes calls, for probes: asks no part of it, and leaves no audit record
        #[arg(long)]
        alive: bool,
    },
}

/// The tasks about an audit log.
#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// Check an audit log offline: that nothing in it was changed, removed or put in
    Verify {
        /// The audit log, with the closed files beside it; or a directory that holds its files
        #[arg(value_name = "PATH")]
        path: PathBuf,
    },
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
            "clavigerd --config f --accept-audit-gap",
            "clavigerd status",
            "clavigerd status --socket s",
            "clavigerd status --alive --socket s",
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
