use std::path::PathBuf;

use clap::{Args, Subcommand};
use claviger_proto::v1::environment::StripeMode;
use claviger_proto::v1::oauth_auth::Flavor;

const PUT: &str = "\
Examples:
  claviger profile put stripe --value-from - --account acct_1Eu
  claviger profile put stripe --definition stripe-key --label team=payments
  claviger profile put stripe-app --client-id ca_1Oz
  claviger profile put stripe-app --refresh-token-from -";

/// The tasks about connection profiles. An ID is short, or a full name such as
/// projects/acme/connectionProfiles/stripe.
#[derive(Debug, Subcommand)]
pub enum ProfileCommand {
    /// Make a profile, with an API key or OAuth, or change what is given of one
    #[command(after_help = PUT)]
    Put(PutProfile),
    /// Show a profile
    Get {
        /// The profile
        id: String,
    },
    /// List the profiles of the project
    List {
        /// Those that are deleted and can come back, too
        #[arg(long)]
        show_deleted: bool,
    },
    /// Delete a profile, so that it can come back
    Delete {
        /// The profile
        id: String,

        /// For good, with what was pasted into it
        #[arg(long)]
        purge: bool,
    },
    /// Take a deletion back
    Undelete {
        /// The profile
        id: String,
    },
    /// Ask Stripe with the credential that jobs get
    Test {
        /// The profile
        id: String,
    },
    /// End the connection at Stripe: the app is uninstalled, and jobs get nothing
    Disconnect {
        /// The profile
        id: String,
    },
    /// Write the credential that jobs get to a pipe or a file, as it is
    Resolve {
        /// The profile
        id: String,

        /// Show it on a terminal too
        #[arg(long)]
        reveal: bool,
    },
}

/// A profile to be made or changed.
#[derive(Args, Debug)]
pub struct PutProfile {
    /// The profile
    pub id: String,

    /// For people
    #[arg(long)]
    pub description: Option<String>,

    /// A label to set; the others stay
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = label)]
    pub labels: Vec<(String, String)>,

    /// The account that calls are made for, acct_...
    #[arg(long)]
    pub account: Option<String>,

    /// With an API key
    #[command(flatten)]
    pub key: KeyOptions,

    /// With OAuth
    #[command(flatten)]
    pub oauth: OauthOptions,

    /// File with the client secret; -: standard input, or a prompt
    #[arg(long, value_name = "FILE")]
    pub client_secret_from: Option<PathBuf>,

    /// File with the refresh token; -: standard input, or a prompt
    #[arg(long, value_name = "FILE")]
    pub refresh_token_from: Option<PathBuf>,
}

/// Jobs bring an API key.
#[derive(Args, Debug)]
#[group(conflicts_with_all = ["OauthOptions", "client_secret_from", "refresh_token_from"])]
pub struct KeyOptions {
    /// The definition of a key that is registered
    #[arg(long, value_name = "ID", conflicts_with = "value_from")]
    pub definition: Option<String>,

    /// File with the API key; -: standard input, or a prompt, which a new profile has by default
    #[arg(long, value_name = "FILE")]
    pub value_from: Option<PathBuf>,

    /// The account or path of accounts that calls are made for (Stripe-Context)
    #[arg(long)]
    pub context: Option<String>,
}

/// Jobs bring an access token.
#[derive(Args, Debug)]
pub struct OauthOptions {
    /// The client ID of the app or platform, ca_...
    #[arg(long, value_name = "ID")]
    pub client_id: Option<String>,

    /// apps (the default), or connect for platforms with Standard accounts
    #[arg(long, value_parser = flavor)]
    pub flavor: Option<Flavor>,

    /// test or live; by default that of the client secret
    #[arg(long, value_parser = mode)]
    pub mode: Option<StripeMode>,

    /// The app's id, app_..., which only disconnect needs
    #[arg(long)]
    pub app: Option<String>,
}

impl KeyOptions {
    /// Whether any is given.
    pub fn any(&self) -> bool {
        self.definition.is_some() || self.value_from.is_some() || self.context.is_some()
    }
}

impl OauthOptions {
    /// Whether any is given.
    pub fn any(&self) -> bool {
        self.client_id.is_some()
            || self.flavor.is_some()
            || self.mode.is_some()
            || self.app.is_some()
    }
}

fn label(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("give KEY=VALUE, such as team=payments".to_owned()),
    }
}

fn flavor(text: &str) -> Result<Flavor, String> {
    match text {
        "apps" => Ok(Flavor::Apps),
        "connect" => Ok(Flavor::Connect),
        _ => Err("it is one of apps, connect".to_owned()),
    }
}

fn mode(text: &str) -> Result<StripeMode, String> {
    match text {
        "live" => Ok(StripeMode::Live),
        "test" => Ok(StripeMode::Test),
        _ => Err("it is one of test, live".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Profile {
        #[command(subcommand)]
        _command: ProfileCommand,
    }

    #[test]
    fn examples_parse() {
        let lines = PUT.lines();
        let examples = lines.filter_map(|line| line.strip_prefix("  claviger "));
        let examples: Vec<_> = examples.collect();
        assert_eq!(examples.len(), 4);
        for line in examples {
            assert!(Profile::try_parse_from(line.split(' ')).is_ok(), "{line}");
        }
    }

    #[test]
    fn words_of_options_are_those_of_stripe() {
        assert_eq!(flavor("connect"), Ok(Flavor::Connect));
        assert_eq!(mode("live"), Ok(StripeMode::Live));
        assert_eq!(label("a=b=c"), Ok(("a".to_owned(), "b=c".to_owned())));
        assert!(flavor("CONNECT").unwrap_err().contains("apps, connect"));
        assert!(mode("sandbox").unwrap_err().contains("test, live"));
        assert!(label("=b").unwrap_err().contains("KEY=VALUE"));
    }
}
