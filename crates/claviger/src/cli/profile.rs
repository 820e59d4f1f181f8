use std::path::PathBuf;

use clap::{Args, Subcommand};
use claviger_proto::v1::environment::StripeMode;
use claviger_proto::v1::oauth_auth::Flavor;
use claviger_stripe::live::BaseUrl;

use super::words::pair;

/// Where a browser is sent back to, unless another port is named. An app's redirect addresses are
/// registered with Stripe, so that it cannot be any free one.
const REDIRECT_PORT: u16 = 7435;

const PUT: &str = "\
Examples:
  claviger profile put stripe --value-from - --account acct_1Eu
  claviger profile put stripe --definition stripe-key --label team=payments
  claviger profile put stripe-app --client-id ca_1Oz
  claviger profile put stripe-app --refresh-token-from -";

const CONNECT: &str = "\
In test mode a browser on this host brings the answer: register http://localhost:7435/callback with
the app. In live mode, and with --paste, the address that Stripe sends the browser to is pasted. The
code in it is good for five minutes and once; if anything fails, start again. An app that is connected
to an account once more loses the tokens of the time before.

Examples:
  claviger profile connect stripe-app --client-id ca_1Oz
  claviger profile connect stripe-app --client-id ca_1Oz --channel chnlink_61S --app app_1Oz
  claviger profile connect stripe-app --paste --redirect-uri https://acme.test/stripe";

/// The tasks about connection profiles. An ID is short, or a full name such as
/// projects/acme/connectionProfiles/stripe.
#[derive(Debug, Subcommand)]
pub enum ProfileCommand {
    /// Make a profile, with an API key or OAuth, or change what is given of one
    #[command(after_help = PUT)]
    Put(PutProfile),
    /// Connect a profile by OAuth: ask for permission in a browser, and store the refresh token
    #[command(after_help = CONNECT)]
    Connect(Connect),
    /// Show a profile
    #[command(after_help = "Example:\n  claviger profile get stripe-app")]
    Get {
        /// The profile
        id: String,
    },
    /// List the profiles of the project
    #[command(after_help = "Example:\n  claviger profile list")]
    List {
        /// Those that are deleted and can come back, too
        #[arg(long)]
        show_deleted: bool,
    },
    /// Delete a profile, so that it can come back
    #[command(after_help = "Example:\n  claviger profile delete stripe-app")]
    Delete {
        /// The profile
        id: String,

        /// For good, with what was pasted into it
        #[arg(long)]
        purge: bool,

        /// Do not ask whether that is meant
        #[arg(long, requires = "purge")]
        yes: bool,
    },
    /// Take a deletion back
    #[command(after_help = "Example:\n  claviger profile undelete stripe-app")]
    Undelete {
        /// The profile
        id: String,
    },
    /// Ask Stripe with the credential that jobs get
    #[command(after_help = "Example:\n  claviger profile test stripe-app")]
    Test {
        /// The profile
        id: String,
    },
    /// End the connection at Stripe: the app is uninstalled, and jobs get nothing
    #[command(after_help = "Example:\n  claviger profile disconnect stripe-app")]
    Disconnect {
        /// The profile
        id: String,
    },
    /// Write the credential that jobs get to a pipe or a file, as it is
    #[command(after_help = "Example:\n  claviger profile resolve stripe-app > access.token")]
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
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = pair)]
    pub labels: Vec<(String, String)>,

    /// A label to take off
    #[arg(long = "remove-label", value_name = "KEY")]
    pub removed_labels: Vec<String>,

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

    /// Check everything, change nothing
    #[arg(long)]
    pub dry_run: bool,
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
    pub stripe_context: Option<String>,
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

/// A walk through OAuth.
#[derive(Args, Debug)]
pub struct Connect {
    /// The profile; of one that there is, what is not given stays
    pub id: String,

    /// The app or platform
    #[command(flatten)]
    pub oauth: OauthOptions,

    /// The only account to accept, acct_...
    #[arg(long)]
    pub account: Option<String>,

    /// File with the client secret; -: standard input, or a prompt, which is the default
    #[arg(long, value_name = "FILE")]
    pub client_secret_from: Option<PathBuf>,

    /// The channel of an app that is not published, chnlink_... of its install link
    #[arg(long, value_name = "ID", value_parser = channel)]
    pub channel: Option<String>,

    /// Where the browser is sent back to on this host, in test mode: http://localhost:PORT/callback
    #[arg(long, value_name = "PORT", default_value_t = REDIRECT_PORT)]
    pub redirect_port: u16,

    /// Paste the address that the browser is sent to, as always in live mode
    #[arg(long)]
    pub paste: bool,

    /// That address, as registered with Stripe; by default the first that is
    #[arg(long, value_name = "URL", requires = "paste")]
    pub redirect_uri: Option<String>,

    /// A stand-in for Stripe on this very host, for tests: the client secret goes there
    // SECURITY: no other host is taken, whatever is given.
    #[arg(long, value_name = "URL", hide = true, value_parser = stand_in)]
    pub stand_in: Option<BaseUrl>,
}

impl KeyOptions {
    /// Whether any is given.
    pub fn any(&self) -> bool {
        self.definition.is_some() || self.value_from.is_some() || self.stripe_context.is_some()
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

fn channel(text: &str) -> Result<String, String> {
    let id = text.strip_prefix("chnlink_").unwrap_or_default();
    let is_word = id.bytes().all(|byte| byte.is_ascii_alphanumeric());
    match !id.is_empty() && is_word {
        true => Ok(text.to_owned()),
        false => Err("it is the part chnlink_... of the app's install link".to_owned()),
    }
}

fn stand_in(text: &str) -> Result<BaseUrl, String> {
    BaseUrl::parse(text, &["127.0.0.1"]).map_err(|_| "it is http://127.0.0.1:PORT alone".to_owned())
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
        let lines = [PUT, CONNECT].into_iter().flat_map(str::lines);
        let examples = lines.filter_map(|line| line.strip_prefix("  claviger "));
        let examples: Vec<_> = examples.collect();
        assert_eq!(examples.len(), 7);
        for line in examples {
            assert!(Profile::try_parse_from(line.split(' ')).is_ok(), "{line}");
        }
    }

    #[test]
    fn a_stand_in_is_on_this_host() {
        assert!(stand_in("http://127.0.0.1:12111").is_ok());
        for text in [
            "http://10.0.0.1:12111",
            "https://api.stripe.com",
            "https://evil.test",
            "http://127.0.0.1@evil.test",
            "http://localhost:12111",
        ] {
            assert!(stand_in(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_channel_is_one_word_of_a_link() {
        assert!(channel("chnlink_61S6sjt9").is_ok());
        for text in ["chnlink_", "61S6sjt9", "chnlink_a/../b", "chnlink_a?b"] {
            assert!(channel(text).is_err(), "{text}");
        }
    }

    #[test]
    fn words_of_options_are_those_of_stripe() {
        assert_eq!(flavor("connect"), Ok(Flavor::Connect));
        assert_eq!(mode("live"), Ok(StripeMode::Live));
        assert_eq!(pair("a=b=c"), Ok(("a".to_owned(), "b=c".to_owned())));
        assert!(flavor("CONNECT").unwrap_err().contains("apps, connect"));
        assert!(mode("sandbox").unwrap_err().contains("test, live"));
        assert!(pair("=b").unwrap_err().contains("KEY=VALUE"));
    }
}
