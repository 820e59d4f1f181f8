use clap::{Args, Subcommand};
use claviger_proto::v1::environment::StripeMode;

use super::words::{one_of, pair};

const MODES: [StripeMode; 2] = [StripeMode::Test, StripeMode::Live];

/// The tasks about projects. An ID is short, or a full name such as projects/acme.
#[derive(Debug, Subcommand)]
pub enum ProjectCommand {
    /// Make a project, or change of one that is there what the options name
    Put(PutProject),
    /// Show a project
    #[command(after_help = "Example:\n  claviger project get acme")]
    Get {
        /// The project
        id: String,
    },
    /// List the projects that the caller may read
    #[command(after_help = "Example:\n  claviger project list")]
    List,
    /// Delete a project that has no definitions left
    #[command(after_help = "Example:\n  claviger project delete acme")]
    Delete {
        /// The project
        id: String,
    },
}

/// A project to be made or changed.
#[derive(Args, Debug, Default)]
#[command(after_help = "\
An empty text, as in --description '', takes back what was set.

Example:
  claviger project put acme --in dev --in prod=aws --stripe-mode dev=TEST --stripe-mode prod=LIVE")]
pub struct PutProject {
    /// The project
    pub id: String,

    /// For people
    #[arg(long, value_name = "TEXT")]
    pub description: Option<String>,

    /// The vault of definitions that name none
    #[arg(long, value_name = "ID")]
    pub default_vault: Option<String>,

    /// An environment, and the vault of definitions that name none in it
    #[arg(long = "in", value_name = "ENV[=VAULT]", value_parser = DefaultVault::parse)]
    pub environments: Vec<DefaultVault>,

    /// An environment, and the mode (TEST, LIVE) that Stripe keys have to be for in it
    #[arg(long = "stripe-mode", value_name = "ENV=MODE", value_parser = mode)]
    pub modes: Vec<(String, StripeMode)>,

    /// An environment to end
    #[arg(long = "remove-environment", value_name = "ENV")]
    pub removed_environments: Vec<String>,

    /// Check everything, change nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// An environment, and its default vault if that is said; an empty one takes it back.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct DefaultVault {
    /// The environment.
    pub environment: String,
    /// The vault.
    pub vault: Option<String>,
}

impl DefaultVault {
    fn parse(text: &str) -> Result<Self, String> {
        let (environment, vault) = match text.split_once('=') {
            Some((environment, vault)) => (environment, Some(vault.to_owned())),
            None => (text, None),
        };
        match environment {
            "" => Err("give ENV or ENV=VAULT, such as prod=aws".to_owned()),
            environment => Ok(Self {
                environment: environment.to_owned(),
                vault,
            }),
        }
    }
}

fn mode(text: &str) -> Result<(String, StripeMode), String> {
    let (environment, mode) = pair(text).map_err(|_| "give ENV=MODE, such as prod=LIVE")?;
    let mode = match mode.as_str() {
        "" => StripeMode::Unspecified,
        mode => one_of(&MODES, StripeMode::as_str_name, mode)?,
    };
    Ok((environment, mode))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_environment_has_a_vault_or_not() {
        let parsed = |text| DefaultVault::parse(text).map(|one| (one.environment, one.vault));
        let prod = || "prod".to_owned();
        assert_eq!(parsed("prod"), Ok((prod(), None)));
        assert_eq!(parsed("prod="), Ok((prod(), Some(String::new()))));
        assert_eq!(parsed("prod=aws"), Ok((prod(), Some("aws".to_owned()))));
        assert!(parsed("=aws").unwrap_err().contains("prod=aws"));
    }

    #[test]
    fn a_mode_is_named_as_in_the_proto() {
        let prod = || "prod".to_owned();
        assert_eq!(mode("prod=LIVE"), Ok((prod(), StripeMode::Live)));
        assert_eq!(mode("prod="), Ok((prod(), StripeMode::Unspecified)));
        assert!(mode("prod=live").unwrap_err().contains("TEST, LIVE"));
        assert!(mode("prod").unwrap_err().contains("prod=LIVE"));
    }
}
