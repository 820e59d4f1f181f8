//! Kinds and formats of values. The checks of a kind live in the crates that know it.

use std::fmt;

use serde::Serialize;

use crate::Public;

/// How a value's bytes are meant: decides which arm of a payload carries them.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq, Serialize)]
pub enum Format {
    /// Any bytes: `payload.data`.
    Binary,
    /// UTF-8: `payload.text`.
    #[default]
    Text,
}

/// The sort of a value: decides which checks it has to pass.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum Kind {
    /// Anything; not checked.
    #[default]
    Opaque,
    /// A password: anything but surrounding white space, which is kept with a warning.
    Password,
    /// A Stripe secret or restricted key.
    StripeApiKey,
    /// What an app or platform is connected to a Stripe account with: its secret key and the tokens
    /// that roll. Nobody reads it.
    StripeOauth,
    /// The secret that signs Stripe's events.
    StripeWebhookSecret,
}

impl Kind {
    /// Whether it is a credential of Stripe's.
    pub fn is_stripe(self) -> bool {
        match self {
            Self::Opaque | Self::Password => false,
            Self::StripeApiKey | Self::StripeOauth | Self::StripeWebhookSecret => true,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Opaque => "OPAQUE",
            Self::Password => "PASSWORD",
            Self::StripeApiKey => "STRIPE_API_KEY",
            Self::StripeOauth => "STRIPE_OAUTH",
            Self::StripeWebhookSecret => "STRIPE_WEBHOOK_SECRET",
        })
    }
}

impl Public for Kind {}
