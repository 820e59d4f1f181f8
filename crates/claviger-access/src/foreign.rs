//! The names of principals that other systems vouch for.

use std::fmt;
use std::sync::Arc;

use claviger_core::{Id, spiffe_trust_domain};

/// Most path segments that a pattern may spell out: each is one look-up for each new caller.
const PATTERN_PARTS_MAX: usize = 16;

/// Longest name: a SPIFFE id may have 2,048 bytes, and a claim 512 that are escaped.
const BYTES_MAX: usize = 4096;

/// The end of a pattern: one or more path segments.
const ANY: &str = "/*";

/// A principal that another system vouches for, in its one spelling: `spiffe://<trust domain>/<path>`,
/// `x509:<identity>:<SAN>` or `oidc:<identity>#<claims>`. As the holder of a grant it may be a
/// pattern, which no caller's name looks like.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Foreign(Arc<str>);

impl Foreign {
    /// The name of a caller, or a pattern of such names; `None` of all other text.
    pub fn parse(text: &str) -> Option<Self> {
        let (named, is_pattern) = match text.strip_suffix(ANY) {
            Some(parents) => (parents, true),
            None => (text, false),
        };
        let is_name = match named.split_once(':')? {
            ("oidc", rest) => is_claims(rest),
            ("spiffe", _) => is_spiffe(named, is_pattern),
            ("x509", rest) => !is_pattern && is_alternative(rest),
            _ => false,
        };
        let found = Self(text.into());
        let is_short = !is_pattern || found.parts() <= PATTERN_PARTS_MAX;
        (is_name && is_short && text.len() <= BYTES_MAX).then_some(found)
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it stands for all principals below its path.
    pub fn is_pattern(&self) -> bool {
        self.0.ends_with(ANY)
    }

    /// The identity of the configuration that vouches for it, if its name says so.
    pub fn identity(&self) -> Option<&str> {
        let rest = self.0.strip_prefix("oidc:");
        let rest = rest.or_else(|| self.0.strip_prefix("x509:"))?;
        rest.split(['#', ':']).next()
    }

    /// How many segments of its path are spelled out.
    pub fn parts(&self) -> usize {
        let path = self.path().trim_end_matches(ANY);
        path.split('/').filter(|part| !part.is_empty()).count()
    }

    /// The patterns that it fits, the narrowest first.
    pub fn patterns(&self) -> impl Iterator<Item = Self> {
        let path = self.path();
        let start = self.0.len() - path.len();
        let ends = path.match_indices('/').map(move |(at, _)| start + at);
        let mut parents: Vec<&str> = ends.filter_map(|end| self.0.get(..end)).collect();
        parents.truncate(PATTERN_PARTS_MAX + 1);
        let of_a_path = |parent: &&str| !parent.ends_with('/') && !parent.ends_with('#');
        let patterns = parents.into_iter().rev().filter(of_a_path);
        patterns.map(|parent| Self(format!("{parent}{ANY}").into()))
    }

    /// The part of the name that is a path; empty if none is.
    fn path(&self) -> &str {
        let named = &*self.0;
        let domain = named.strip_prefix("spiffe://");
        let by_spiffe = domain.and_then(|rest| rest.find('/').and_then(|at| rest.get(at..)));
        let by_claims = || {
            let claims = named.starts_with("oidc:");
            let (_, path) = named.split_once('#').filter(|_| claims)?;
            Some(path)
        };
        by_spiffe.or_else(by_claims).unwrap_or_default()
    }
}

impl fmt::Display for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// `<trust domain>/<path>`, or of a pattern the trust domain alone.
fn is_spiffe(named: &str, is_pattern: bool) -> bool {
    let is_domain = || {
        let domain = named.strip_prefix("spiffe://");
        is_pattern && domain.is_some_and(claviger_core::is_trust_domain)
    };
    spiffe_trust_domain(named).is_some() || is_domain()
}

/// `<identity>#<claim>/…`, each escaped in the one way in which callers' claims are.
fn is_claims(rest: &str) -> bool {
    let Some((identity, claims)) = rest.split_once('#') else {
        return false;
    };
    is_id(identity) && claims.split('/').all(is_escaped)
}

/// `<identity>:<SAN>`.
fn is_alternative(rest: &str) -> bool {
    let Some((identity, name)) = rest.split_once(':') else {
        return false;
    };
    let is_plain = |byte: u8| byte.is_ascii_graphic() && !b"*\"\\".contains(&byte);
    is_id(identity) && !name.is_empty() && name.bytes().all(is_plain)
}

fn is_id(text: &str) -> bool {
    Id::parse("identity", text).is_ok_and(|id| id.as_str() == text)
}

/// Whether each byte that has to be escaped is, as `%` and two upper-case digits, and no other.
fn is_escaped(claim: &str) -> bool {
    let mut bytes = claim.bytes();
    while let Some(byte) = bytes.next() {
        let is_fine = match byte {
            b'%' => {
                let mut digit = || match bytes.next()? {
                    byte @ (b'0'..=b'9' | b'A'..=b'F') => char::from(byte).to_digit(16),
                    _ => None,
                };
                let (high, low) = (digit(), digit());
                let meant = high
                    .zip(low)
                    .and_then(|(h, l)| u8::try_from(h * 16 + l).ok());
                meant.is_some_and(|byte| !is_unescaped(byte))
            }
            byte => is_unescaped(byte),
        };
        if !is_fine {
            return false;
        }
    }
    !claim.is_empty()
}

fn is_unescaped(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._:@".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_one_spelling() {
        for (text, is_name) in [
            ("spiffe://acme.example/ns/etl", true),
            ("spiffe://acme.example/ns/*", true),
            ("spiffe://acme.example/*", true),
            ("spiffe://acme.example", false),
            ("spiffe://acme.example/", false),
            ("spiffe://*", false),
            ("spiffe:///*", false),
            ("spiffe://acme.example/ns*", false),
            ("spiffe://acme.example/*/etl", false),
            ("spiffe://acme.example/ns/*/*", false),
            ("spiffe://ACME.example/ns", false),
            ("oidc:ci#acme", true),
            ("oidc:ci#1/2/ref/refs%2Fheads%2Fmain", true),
            ("oidc:ci#1/2/*", true),
            ("oidc:ci#1/2/ref/refs%2fheads", false),
            ("oidc:ci#%41", false),
            ("oidc:ci#%4", false),
            ("oidc:ci#a b", false),
            ("oidc:ci#", false),
            ("oidc:ci#/a", false),
            ("oidc:ci#a//b", false),
            ("oidc:#a", false),
            ("oidc:c i#a", false),
            ("oidc:ci", false),
            ("oidc:*", false),
            ("oidc:ci#*", false),
            ("x509:db:etl.acme.example", true),
            ("x509:db:https://acme.example/etl", true),
            ("x509:db:*.acme.example", false),
            ("x509:db:https://acme.example/*", false),
            ("x509:db:", false),
            ("x509::etl", false),
            ("ldap:etl", false),
        ] {
            assert_eq!(Foreign::parse(text).is_some(), is_name, "{text}");
        }
        let deep = |parts: usize| format!("spiffe://acme{}/*", "/a".repeat(parts));
        assert!(Foreign::parse(&deep(PATTERN_PARTS_MAX)).is_some());
        assert!(Foreign::parse(&deep(PATTERN_PARTS_MAX + 1)).is_none());
    }

    #[test]
    fn patterns_are_the_parents_of_a_path() {
        let patterns = |text: &str| {
            let name = Foreign::parse(text).unwrap();
            name.patterns().map(|p| p.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(
            patterns("spiffe://acme/ns/etl"),
            ["spiffe://acme/ns/*", "spiffe://acme/*"]
        );
        assert_eq!(
            patterns("oidc:ci#1/2/ref"),
            ["oidc:ci#1/2/*", "oidc:ci#1/*"]
        );
        assert!(patterns("oidc:ci#1").is_empty());
        assert!(patterns("x509:db:https://acme.example/etl").is_empty());
    }

    #[test]
    fn a_name_tells_its_identity_and_how_much_a_pattern_spells_out() {
        let name = |text: &str| Foreign::parse(text).unwrap();
        assert_eq!(name("oidc:ci#1").identity(), Some("ci"));
        assert_eq!(name("x509:db:etl").identity(), Some("db"));
        assert_eq!(name("x509:oidc:etl").identity(), Some("oidc"));
        assert_eq!(name("x509:db:urn:oidc:etl").identity(), Some("db"));
        assert_eq!(name("spiffe://acme/oidc").identity(), None);
        assert_eq!(name("oidc:ci#1/2/*").parts(), 2);
        assert_eq!(name("spiffe://acme/*").parts(), 0);
        assert_eq!(name("spiffe://acme/ns/*").parts(), 1);
    }
}
