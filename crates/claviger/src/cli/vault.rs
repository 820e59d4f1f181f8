use clap::{Args, Subcommand};
use claviger_proto::v1::secret_definition::Kind;

use super::definition::kind;

/// The tasks about the vaults that the daemon's configuration names.
#[derive(Debug, Subcommand)]
pub enum VaultCommand {
    /// List the vaults
    #[command(after_help = "Example:\n  claviger vault list")]
    List,
    /// Ask a vault whether it answers and takes our credentials
    #[command(after_help = "Example:\n  claviger vault check aws-eu")]
    Check {
        /// The vault
        id: String,
    },
    /// List the names of a vault's secrets that definitions of the project may point at
    #[command(after_help = "Example:\n  claviger --project acme vault secrets aws-eu")]
    Secrets {
        /// The vault
        id: String,
    },
    /// Judge a secret of a vault that has no definition yet, without its value
    #[command(
        after_help = "Example:\n  claviger --project acme vault inspect aws-eu prod/stripe --property key"
    )]
    Inspect(Inspect),
}

/// A secret to be judged.
#[derive(Args, Debug)]
pub struct Inspect {
    /// The vault
    pub id: String,

    /// The secret's name in the vault
    pub secret: String,

    /// One key of the JSON document there
    #[arg(long, value_name = "KEY")]
    pub property: Option<String>,

    /// The whole secret, whatever it is
    #[arg(long, conflicts_with = "property")]
    pub whole: bool,

    /// Another version than the latest
    #[arg(long)]
    pub version: Option<String>,

    /// Judge it as OPAQUE, PASSWORD, STRIPE_API_KEY or STRIPE_WEBHOOK_SECRET; by default as what it
    /// looks like
    #[arg(long, value_parser = kind)]
    pub kind: Option<Kind>,
}
