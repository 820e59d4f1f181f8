use std::path::PathBuf;

use clap::{Args, Subcommand};

/// The tasks about values. An ID is short, or a full name such as projects/acme/secrets/stripe.
#[derive(Debug, Subcommand)]
pub enum SecretCommand {
    /// Store a new value: ask for it on a terminal, or read it from standard input
    #[command(after_help = "Example:\n  claviger secret put stripe --value-from stripe.key")]
    Put {
        /// The secret
        id: String,

        /// The value
        #[command(flatten)]
        value: ValueOptions,

        /// Only while this is the current version
        #[arg(long, value_name = "VERSION")]
        if_version: Option<String>,

        /// Take over a secret of the vault that Claviger did not make
        #[arg(long)]
        adopt: bool,
    },
    /// Write a value to a pipe or a file, as it is
    #[command(after_help = "Example:\n  claviger secret get stripe > stripe.key")]
    Get {
        /// The secret
        id: String,

        /// Another version than the current one
        #[arg(long, value_name = "VERSION")]
        version: Option<String>,

        /// The purpose of the read, which a grant may demand
        #[arg(long, value_name = "TEXT")]
        purpose: Option<String>,

        /// Show it on a terminal too
        #[arg(long)]
        reveal: bool,
    },
    /// List the versions, newest first
    #[command(after_help = "Example:\n  claviger secret versions stripe")]
    Versions {
        /// The secret
        id: String,
    },
    /// Make a version unreadable until it is enabled again
    #[command(after_help = "Example:\n  claviger secret disable stripe --version 2")]
    Disable(Version),
    /// Make a disabled version readable again
    #[command(after_help = "Example:\n  claviger secret enable stripe --version 2")]
    Enable(Version),
    /// Destroy the bytes of a version for good
    #[command(after_help = "Example:\n  claviger secret destroy stripe --version 1 --yes")]
    Destroy {
        /// The version
        #[command(flatten)]
        version: Version,

        /// Do not ask whether it is meant
        #[arg(long)]
        yes: bool,
    },
}

/// One version of a secret.
#[derive(Args, Debug)]
pub struct Version {
    /// The secret
    pub id: String,

    /// The version, as the list has it
    #[arg(long, value_name = "VERSION")]
    pub version: String,
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
