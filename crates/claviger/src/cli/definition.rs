use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args, Subcommand};
use claviger_proto::v1::Location;
use claviger_proto::v1::secret_definition::Kind;
use claviger_proto::v1::stripe_settings::Class;
use prost_types::Timestamp;

use super::secret::ValueOptions;
use super::words::{Maybe, duration_or_none, one_of, or_none, pair, time_or_none};

/// The kinds that a definition can be put with.
const KINDS: [Kind; 4] = [
    Kind::Opaque,
    Kind::Password,
    Kind::StripeApiKey,
    Kind::StripeWebhookSecret,
];

const CLASSES: [Class; 3] = [Class::Restricted, Class::Secret, Class::Organization];

const APPLYING: &str = "\
The difference is printed first: + is new, ~ changes, - is deleted. A field that the file leaves
out is unset. What somebody else changes meanwhile is not overwritten. The exit code is 0 whether or
not there is a difference, 1 if something was refused, 2 if the file cannot be used. With --json the
difference is a list of {\"change\": LINE, \"fields\": [LINE, ...]}.

Examples:
  claviger definition export > acme.yaml
  claviger schema > claviger.schema.json
  claviger definition apply acme.yaml --dry-run";

/// The tasks about definitions. An ID is short, or a full name such as projects/acme/secrets/stripe.
#[derive(Debug, Subcommand)]
pub enum DefinitionCommand {
    /// Register a definition, or change of one that is there what the options name
    Put(Box<PutDefinition>),
    /// Show a definition
    #[command(after_help = "Example:\n  claviger definition get stripe --json")]
    Get {
        /// The definition
        id: String,
    },
    /// List the definitions of the project
    #[command(after_help = "Example:\n  claviger definition list --show-deleted")]
    List {
        /// Those that are deleted and can come back, too
        #[arg(long)]
        show_deleted: bool,
    },
    /// Delete a definition, so that it can come back
    #[command(after_help = "Example:\n  claviger definition delete stripe")]
    Delete {
        /// The definition
        id: String,

        /// For good, with the values in Claviger's own vault
        #[arg(long)]
        purge: bool,

        /// Do not ask whether that is meant
        #[arg(long, requires = "purge")]
        yes: bool,
    },
    /// Take a deletion back
    #[command(after_help = "Example:\n  claviger definition undelete stripe")]
    Undelete {
        /// The definition
        id: String,
    },
    /// Say where a definition leads and whether a read would work, without the value
    #[command(
        after_help = "Example:\n  claviger --environment prod definition check stripe --live"
    )]
    Check(Check),
    /// Print projects, definitions, profiles and grants as YAML for Git, without values
    ///
    /// Of the project, or of all that can be seen if none is named. Left out are grants of tokens
    /// and what has ended.
    #[command(
        after_help = "Without a project, or with --project '', everything that the caller may see is printed.\n\nExample:\n  claviger --project acme definition export > acme.yaml"
    )]
    Export,
    /// Make the daemon have what a file of `export` says
    Apply(Apply),
}

/// A file to be applied.
#[derive(Args, Debug)]
#[command(after_help = APPLYING)]
pub struct Apply {
    /// File as `claviger definition export` prints it; -: standard input
    pub file: PathBuf,

    /// Print the difference and change nothing
    #[arg(long)]
    pub dry_run: bool,

    /// Delete what the projects of the file have beyond it; never projects and your own grants
    #[arg(long)]
    pub prune: bool,
}

/// A definition to be registered or changed. The empty text, as in --description '', takes back what
/// was set.
#[derive(Args, Debug, Default)]
#[command(after_help = "\
An empty text, as in --description '', takes back what was set.

Examples:
  claviger --project acme definition put stripe --kind STRIPE_API_KEY --value-from -
  claviger --project acme definition put stripe --label team=payments --rotate-by 2027-01-31T00:00:00Z
  claviger --project acme definition put db --in prod=aws/prod/db#password --in dev=managed")]
pub struct PutDefinition {
    /// The definition
    pub id: String,

    /// OPAQUE, PASSWORD, STRIPE_API_KEY or STRIPE_WEBHOOK_SECRET
    #[arg(long, value_parser = kind)]
    pub kind: Option<Kind>,

    /// For people
    #[arg(long, value_name = "TEXT")]
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

    /// The whole secret, whatever it is
    #[arg(long, conflicts_with = "property")]
    pub whole: bool,

    /// One version of it, whatever is current
    #[arg(long)]
    pub version: Option<String>,

    /// The place in one environment; nothing after the = takes it back
    #[arg(long = "in", value_name = "ENV=VAULT[/SECRET][#KEY]", value_parser = Place::parse)]
    pub places: Vec<Place>,

    /// Whether environments without a place of their own use the common one
    #[arg(long, value_name = "BOOL", action = ArgAction::Set, num_args = 0..=1,
        require_equals = true, default_missing_value = "true")]
    pub environment_fallback: Option<bool>,

    /// Something to find it by
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = pair)]
    pub labels: Vec<(String, String)>,

    /// A label to take off
    #[arg(long = "remove-label", value_name = "KEY")]
    pub removed_labels: Vec<String>,

    /// When its value has to be rotated at the latest
    #[arg(long, value_name = "TIME", value_parser = time_or_none)]
    pub rotate_by: Option<Maybe<Timestamp>>,

    /// How old a value may be that is served without asking the vault
    #[arg(long, value_name = "DURATION", value_parser = duration_or_none)]
    pub max_age: Option<Maybe<Duration>>,

    /// How much older, while the vault does not answer
    #[arg(long, value_name = "DURATION", value_parser = duration_or_none)]
    pub max_stale: Option<Maybe<Duration>>,

    /// A sort of Stripe key that is allowed (RESTRICTED, SECRET, ORGANIZATION); by default all are
    #[arg(long = "allow-class", value_name = "CLASS", value_parser = class)]
    pub classes: Vec<Maybe<Class>>,

    /// The connected account at Stripe that calls are made for
    #[arg(long)]
    pub account: Option<String>,

    /// The account or path of accounts at Stripe that calls are made for
    #[arg(long)]
    pub stripe_context: Option<String>,

    /// The first value
    #[command(flatten)]
    pub value: ValueOptions,

    /// Take over a secret of the vault that Claviger did not make
    #[arg(long)]
    pub adopt: bool,

    /// Do not look whether a value in the vault is of the kind
    #[arg(long)]
    pub skip_value_check: bool,

    /// Check everything, change nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// Where the value is in one environment.
#[derive(Clone, Debug, PartialEq)]
pub struct Place {
    /// The environment.
    pub environment: String,
    /// The place, unless there is to be none of its own.
    pub location: Option<Location>,
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

pub(super) fn kind(text: &str) -> Result<Kind, String> {
    one_of(&KINDS, Kind::as_str_name, text)
}

fn class(text: &str) -> Result<Maybe<Class>, String> {
    or_none(text, |text| one_of(&CLASSES, Class::as_str_name, text))
}

impl Place {
    fn parse(text: &str) -> Result<Self, String> {
        let (environment, place) = pair(text).map_err(|_| {
            "give ENV=VAULT[/SECRET][#KEY], such as prod=aws/prod/stripe#api_key".to_owned()
        })?;
        let location = (!place.is_empty()).then(|| {
            let (place, property) = place.split_once('#').unwrap_or((&place, ""));
            let (vault, secret) = place.split_once('/').unwrap_or((place, ""));
            Location {
                vault: vault.to_owned(),
                secret: secret.to_owned(),
                property: property.to_owned(),
                ..Default::default()
            }
        });
        Ok(Self {
            environment,
            location,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_is_named_as_in_the_proto() {
        assert_eq!(kind("STRIPE_API_KEY"), Ok(Kind::StripeApiKey));
        for text in ["stripe", "STRIPE_OAUTH", "KIND_UNSPECIFIED"] {
            assert!(kind(text).unwrap_err().contains("STRIPE_WEBHOOK_SECRET"));
        }
    }

    #[test]
    fn a_place_of_an_environment_has_a_vault_a_secret_and_a_key() {
        for (text, environment, parts) in [
            ("prod=aws", "prod", ["aws", "", ""]),
            ("prod=aws/db", "prod", ["aws", "db", ""]),
            ("prod=aws/a/b=c#k", "prod", ["aws", "a/b=c", "k"]),
            ("prod=aws/db#/a/b", "prod", ["aws", "db", "/a/b"]),
            ("prod=aws#k", "prod", ["aws", "", "k"]),
        ] {
            let place = Place::parse(text).unwrap();
            assert_eq!(place.environment, environment, "{text}");
            let location = place.location.unwrap();
            let found = [location.vault, location.secret, location.property];
            assert_eq!(found, parts, "{text}");
        }
        assert_eq!(Place::parse("prod=").unwrap().location, None);
        assert!(Place::parse("prod").unwrap_err().contains("ENV=VAULT"));
    }
}
