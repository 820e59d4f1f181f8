//! The one word of Stripe's error texts that is kept: the permission a key lacks.

use std::fmt;

use claviger_core::{Public, SecretBytes};

/// What a restricted key can be allowed, as Stripe calls it: `balance_read`.
///
/// SECURITY: comes from upstream text that also repeats keys, so it is small letters and an ending
/// that says what it is, and never a part of the key that was sent.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Permission(String);

const BYTES_MAX: usize = 64;

impl Permission {
    /// The first permission in single quotes.
    pub(crate) fn named_in(message: &str, key: &SecretBytes) -> Option<Self> {
        let quoted = message.split('\'').skip(1).step_by(2);
        let names = quoted.map(|name| name.strip_prefix("rak_").unwrap_or(name));
        let key = String::from_utf8_lossy(key.expose());
        let mut permissions = names.filter(|name| is_permission(name) && !key.contains(name));
        permissions.next().map(|name| Self(name.to_owned()))
    }
}

fn is_permission(name: &str) -> bool {
    let is_small = |byte: u8| byte.is_ascii_lowercase() || byte == b'_';
    name.len() <= BYTES_MAX
        && name.bytes().all(is_small)
        && (name.ends_with("_read") || name.ends_with("_write"))
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Public for Permission {}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(message: &str, key: &str) -> Option<String> {
        let key = SecretBytes::new(key.into());
        Permission::named_in(message, &key).map(|permission| permission.to_string())
    }

    #[test]
    fn a_permission_is_found_in_old_and_new_wording_and_nothing_else_is() {
        let old = "The provided key 'rk_test_***qs8Kgd' does not have the required permissions for \
                   this endpoint on account 'acct_1'. Having the 'rak_balance_read' permission";
        let new = "Enabling \"Prices Read\" ('plan_read') permissions on this key";
        assert_eq!(named(old, "k").as_deref(), Some("balance_read"));
        assert_eq!(named(new, "k").as_deref(), Some("plan_read"));
        assert_eq!(named("Having more permissions would", "k"), None);
        assert_eq!(
            named("The provided key 'rk_test_abc_read'", "rk_test_abc_read"),
            None
        );
        assert_eq!(named("'It_Is_read' 'a b_read' 'x'", "k"), None);
    }
}
