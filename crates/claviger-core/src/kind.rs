//! What a value is, and the checks that follow from it.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Error, Reason, SecretBytes};

/// How a value's bytes are meant: decides which arm of a payload carries them.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, Hash, PartialEq, Serialize)]
pub enum Format {
    /// Any bytes: `payload.data`.
    Binary,
    /// UTF-8: `payload.text`.
    #[default]
    Text,
}

/// What a value is: decides which checks it has to pass.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, Hash, PartialEq, Serialize)]
pub enum Kind {
    /// Anything; not checked.
    #[default]
    Opaque,
    /// A password: anything but surrounding white space, which is kept with a warning.
    Password,
    /// A Stripe secret or restricted key.
    StripeApiKey,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Opaque => "OPAQUE",
            Self::Password => "PASSWORD",
            Self::StripeApiKey => "STRIPE_API_KEY",
        })
    }
}

/// Whether [`Kind::admit`] took white space off the ends of a value.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Trimmed {
    /// The value is stored as it came.
    No,
    /// White space was removed: the caller is warned.
    Yes,
}

impl Kind {
    /// Checks a value that is about to be stored and brings it into the form that is stored.
    ///
    /// # Errors
    /// `VALUE_WRONG_KIND` for another sort of Stripe credential, `VALUE_MALFORMED` for white space
    /// inside a key. The violation names `field` and the remedy and holds no part of the value.
    pub fn admit(
        self,
        value: SecretBytes,
        field: &'static str,
    ) -> Result<(SecretBytes, Trimmed), Error> {
        match self {
            Self::Opaque | Self::Password => Ok((value, Trimmed::No)),
            Self::StripeApiKey => {
                let key = value.expose().trim_ascii();
                check_stripe_api_key(key, field)?;
                if key.len() == value.len() {
                    return Ok((value, Trimmed::No));
                }
                Ok((SecretBytes::new(key.to_vec()), Trimmed::Yes))
            }
        }
    }
}

fn check_stripe_api_key(key: &[u8], field: &'static str) -> Result<(), Error> {
    if key.is_empty() {
        return Err(Error::new(Reason::PayloadEmpty)
            .violation(field, "the value is only white space; send the key itself"));
    }
    if key.starts_with(b"pk_") {
        return Err(Error::new(Reason::ValueWrongKind).violation(
            field,
            "this is a publishable key (pk_); create a restricted key: Developers → API keys → \
             Create restricted key",
        ));
    }
    if key.starts_with(b"whsec_") {
        return Err(Error::new(Reason::ValueWrongKind).violation(
            field,
            "this is a webhook signing secret (whsec_); copy an API key instead: Developers → \
             API keys → Create restricted key",
        ));
    }
    if key
        .iter()
        .any(|byte| byte.is_ascii_whitespace() || byte.is_ascii_control())
    {
        return Err(Error::new(Reason::ValueMalformed).violation(
            field,
            "the key has white space or a control character inside; copy it again from \
             Developers → API keys, in one piece",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admit(kind: Kind, text: &str) -> Result<(Vec<u8>, Trimmed), Reason> {
        kind.admit(SecretBytes::new(text.into()), "payload.text")
            .map(|(value, trimmed)| (value.expose().to_vec(), trimmed))
            .map_err(|error| error.reason())
    }

    #[test]
    fn stripe_key_of_the_wrong_sort_is_refused() {
        for (text, reason) in [
            ("pk_test_abc", Reason::ValueWrongKind),
            (" pk_live_abc\n", Reason::ValueWrongKind),
            ("whsec_abc", Reason::ValueWrongKind),
            ("rk_test_a bc", Reason::ValueMalformed),
            ("rk_test_a\nbc", Reason::ValueMalformed),
            ("rk_test_a\0bc", Reason::ValueMalformed),
            (" \n", Reason::PayloadEmpty),
        ] {
            assert_eq!(admit(Kind::StripeApiKey, text), Err(reason), "{text:?}");
        }
    }

    #[test]
    fn stripe_key_loses_surrounding_white_space_and_says_so() {
        assert_eq!(
            admit(Kind::StripeApiKey, "rk_test_abc\r\n"),
            Ok((b"rk_test_abc".to_vec(), Trimmed::Yes))
        );
        assert_eq!(
            admit(Kind::StripeApiKey, "sk_test_abc"),
            Ok((b"sk_test_abc".to_vec(), Trimmed::No))
        );
    }

    #[test]
    fn other_kinds_keep_every_byte() {
        for kind in [Kind::Opaque, Kind::Password] {
            assert_eq!(
                admit(kind, " pk_x \n"),
                Ok((b" pk_x \n".to_vec(), Trimmed::No))
            );
        }
    }
}
