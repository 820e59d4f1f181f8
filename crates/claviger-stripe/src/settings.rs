//! The settings of a definition about its Stripe credential.

use std::collections::BTreeSet;

use claviger_core::{Error, Kind, Reason, Result};

use crate::Class;

/// Longest account or context.
const BYTES_MAX: usize = 256;

/// The Stripe settings of a definition. None of it is secret.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Settings {
    /// The classes of key that may stand there; none means all that can: restricted, secret,
    /// organization.
    pub allowed_classes: BTreeSet<Class>,
    /// The connected account that calls are made for, `acct_…`: the header `Stripe-Account`.
    pub account: Option<String>,
    /// The account or path of accounts that calls are made for: the header `Stripe-Context`.
    pub context: Option<String>,
}

impl Settings {
    /// Whether a key of this class may stand there.
    pub fn allows(&self, class: Class) -> bool {
        match self.allowed_classes.is_empty() {
            true => class.is_server_key(),
            false => self.allowed_classes.contains(&class),
        }
    }

    /// Checks the settings of a definition of this kind when it is put.
    ///
    /// # Errors
    /// `FIELD_INVALID` with the field and the remedy.
    pub fn validate(&self, kind: Kind) -> Result<()> {
        let invalid = |field, remedy: &'static str| {
            Err(Error::new(Reason::FieldInvalid).violation(field, remedy))
        };
        let is_stripe = match kind {
            Kind::Opaque | Kind::Password | Kind::StripeOauth => false,
            Kind::StripeApiKey | Kind::StripeWebhookSecret => true,
        };
        if !is_stripe && *self != Self::default() {
            return invalid(
                "definition.stripe",
                "goes with the kinds STRIPE_API_KEY and STRIPE_WEBHOOK_SECRET; leave it out",
            );
        }
        if kind == Kind::StripeWebhookSecret && !self.allowed_classes.is_empty() {
            return invalid(
                "definition.stripe.allowed_classes",
                "goes with STRIPE_API_KEY; leave it out",
            );
        }
        if !self
            .allowed_classes
            .iter()
            .all(|class| class.is_server_key())
        {
            return invalid(
                "definition.stripe.allowed_classes",
                "has a class that no job can work with; choose from RESTRICTED, SECRET and \
                 ORGANIZATION, or leave it out to allow all three",
            );
        }
        if self
            .account
            .as_deref()
            .is_some_and(|account| !is_account(account))
        {
            return invalid(
                "definition.stripe.account",
                "is not the id of an account (acct_ and letters or digits); copy it from Connect → \
                 Connected accounts, or leave it out",
            );
        }
        if self
            .context
            .as_deref()
            .is_some_and(|context| !is_context(context))
        {
            return invalid(
                "definition.stripe.context",
                "is not an account (acct_…) or a path of accounts (acct_…/acct_…); copy the id from \
                 the account's Settings → Business → Account details, or leave it out",
            );
        }
        Ok(())
    }
}

/// SECURITY: these become headers of a request; nothing but plain words may get there.
pub(crate) fn is_account(text: &str) -> bool {
    is_id(text, "acct_")
}

/// Whether this is the id of something that begins so.
pub(crate) fn is_id(text: &str, prefix: &str) -> bool {
    text.len() <= BYTES_MAX && text.strip_prefix(prefix).is_some_and(is_word)
}

/// Ids of newer kinds of accounts have other prefixes.
pub(crate) fn is_context(text: &str) -> bool {
    text.len() <= BYTES_MAX && text.split('/').all(|id| id.contains('_') && is_word(id))
}

pub(crate) fn is_word(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    !text.is_empty() && text.bytes().all(is_plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused_field(settings: &Settings, kind: Kind) -> Option<&'static str> {
        let error = settings.validate(kind).err()?;
        Some(error.field_violation().expect("a field").field)
    }

    #[test]
    fn each_wrong_setting_is_refused_by_its_field() {
        let classes = |class| Settings {
            allowed_classes: BTreeSet::from([class]),
            ..Settings::default()
        };
        let account = |account: &str| Settings {
            account: Some(account.to_owned()),
            ..Settings::default()
        };
        let context = |context: &str| Settings {
            context: Some(context.to_owned()),
            ..Settings::default()
        };
        let key = Kind::StripeApiKey;
        let fault = |field| Some(field);
        for (settings, kind, expected) in [
            (Settings::default(), Kind::Opaque, None),
            (account("acct_1"), Kind::Opaque, fault("definition.stripe")),
            (classes(Class::Restricted), key, None),
            (
                classes(Class::Publishable),
                key,
                fault("definition.stripe.allowed_classes"),
            ),
            (
                classes(Class::Restricted),
                Kind::StripeWebhookSecret,
                fault("definition.stripe.allowed_classes"),
            ),
            (account("acct_1aB"), key, None),
            (account("cus_1"), key, fault("definition.stripe.account")),
            (account("acct_"), key, fault("definition.stripe.account")),
            (
                account("acct_1\r\nX: y"),
                key,
                fault("definition.stripe.account"),
            ),
            (context("acct_1/acct_2"), key, None),
            (context("acct_1/"), key, fault("definition.stripe.context")),
            (
                context("acct_1 acct_2"),
                key,
                fault("definition.stripe.context"),
            ),
            (context(""), key, fault("definition.stripe.context")),
            (
                context(&"acct_1/".repeat(60)),
                key,
                fault("definition.stripe.context"),
            ),
        ] {
            assert_eq!(refused_field(&settings, kind), expected, "{settings:?}");
        }
    }
}
