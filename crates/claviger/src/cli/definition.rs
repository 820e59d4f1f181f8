use clap::{Args, Subcommand};
use claviger_proto::v1::secret_definition::Kind;

use super::secret::ValueOptions;

/// The kinds that a definition can be put with.
const KINDS: [Kind; 4] = [
    Kind::Opaque,
    Kind::Password,
    Kind::StripeApiKey,
    Kind::StripeWebhookSecret,
];

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

    #[test]
    fn a_kind_is_named_as_in_the_proto() {
        assert_eq!(kind("STRIPE_API_KEY"), Ok(Kind::StripeApiKey));
        for text in ["stripe", "STRIPE_OAUTH", "KIND_UNSPECIFIED"] {
            assert!(kind(text).unwrap_err().contains("STRIPE_WEBHOOK_SECRET"));
        }
    }
}
