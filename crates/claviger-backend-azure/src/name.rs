//! Names of secrets and versions as Key Vault has them.
//!
//! SECURITY: the SDK puts them raw into the path of a request, where `..` or `/` would lead
//! elsewhere; nothing else may be sent.

use claviger_core::{Error, Reason, Result};

/// Longest name, in bytes.
pub(crate) const NAME_LEN_MAX: usize = 127;

/// Length of the name of a version.
const VERSION_LEN: usize = 32;

/// A name that Key Vault can take. It ignores case.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct SecretName<'a>(&'a str);

impl<'a> SecretName<'a> {
    /// # Errors
    /// `LOCATION_INVALID` with the rule.
    pub(crate) fn parse(text: &'a str) -> Result<Self> {
        if text.is_empty() || text.len() > NAME_LEN_MAX {
            return Err(invalid("has to be 1 to 127 characters long"));
        }
        if !text.bytes().all(is_name_byte) {
            return Err(invalid(
                "has a character that Key Vault does not take; use only 0-9 A-Z a-z - (no \
                 underscore, parenthesis or slash)",
            ));
        }
        Ok(Self(text))
    }

    /// One spelling for all that Key Vault takes for the same.
    pub(crate) fn folded(self) -> String {
        folded(self.0)
    }

    pub(crate) fn as_str(self) -> &'a str {
        self.0
    }
}

/// One spelling for all that Key Vault takes for the same: it ignores case.
pub(crate) fn folded(name: &str) -> String {
    name.to_ascii_lowercase()
}

/// What Key Vault may have given this name to.
///
/// # Errors
/// `VERSION_NOT_FOUND` for anything that it names no version.
pub(crate) fn check_version(text: &str) -> Result<&str> {
    let is_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    match text.len() == VERSION_LEN && text.bytes().all(is_hex) {
        true => Ok(text),
        false => Err(Error::new(Reason::VersionNotFound)),
    }
}

/// A name for a secret that the definition leaves to Claviger. `hash` stays whole at its end: it is
/// the part that tells names apart after the replacements, and after Key Vault has ignored case.
pub(crate) fn derived(project: &str, id: &str, hash: &str) -> String {
    let room = NAME_LEN_MAX.saturating_sub(hash.len() + 1);
    let name = format!("{project}-{id}");
    let replaced = name.bytes().map(|byte| match is_name_byte(byte) {
        true => char::from(byte),
        false => '-',
    });
    let start: String = replaced.take(room).collect();
    format!("{start}-{hash}")
}

fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-'
}

fn invalid(remedy: &'static str) -> Error {
    Error::new(Reason::LocationInvalid).violation("location.secret", remedy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_key_vault_refuses_are_refused_here() {
        let long = "x".repeat(128);
        for name in [
            "",
            "a/../../keys/k",
            "..",
            "a_b",
            "(a)",
            "a b",
            "a.b",
            "%2e%2e",
            "é",
            "a\n",
            long.as_str(),
        ] {
            let error = SecretName::parse(name).expect_err(name);
            assert_eq!(error.reason(), Reason::LocationInvalid, "{name}");
            assert!(error.field_violation().is_some(), "{name}");
        }
        for name in ["a", "Stripe-API-key-1", &"x".repeat(127)] {
            assert!(SecretName::parse(name).is_ok(), "{name}");
        }
    }

    #[test]
    fn version_is_32_lower_case_hex_digits() {
        let whole = "0123456789abcdef0123456789abcdef";
        assert_eq!(check_version(whole).expect("valid"), whole);
        for text in [&format!("{whole}0"), &whole.to_uppercase(), "latest", "(x)"] {
            let error = check_version(text).expect_err(text);
            assert_eq!(error.reason(), Reason::VersionNotFound, "{text}");
        }
    }

    #[test]
    fn derived_names_are_legal_and_end_in_the_whole_hash() {
        let long = "x".repeat(128);
        for (project, id) in [
            ("acme", "stripe"),
            ("a_(b)", "__"),
            (&long, "(prod)"),
            ("é", "a/b"),
        ] {
            let name = derived(project, id, "0123456789");
            assert!(SecretName::parse(&name).is_ok(), "{name}");
            assert!(name.ends_with("-0123456789"), "{name}");
        }
        assert_eq!(derived("acme", "a_b", "00aa"), "acme-a-b-00aa");
    }
}
