//! The configured identities, as far as grants name the principals that they vouch for.

use std::collections::BTreeMap;
use std::fmt;

use claviger_access::Foreign;
use claviger_core::{Error, Id, List, Public, Reason, Result};

/// An identity.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Identity {
    /// What its principals are named as.
    pub names: Names,
    /// What tells it from another one of its name: a digest of its kind, and of its issuer or trust
    /// domain.
    pub digest: [u8; 32],
}

/// What the principals of an identity are named as.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Names {
    /// `oidc:<identity>#<claims>`.
    Oidc {
        /// How many parts a pattern must spell out; `None` where there are no patterns.
        pattern_parts: Option<usize>,
    },
    /// `spiffe://<trust domain>/<path>`.
    Spiffe,
    /// `x509:<identity>:<SAN>`.
    X509,
}

/// All of them, by name.
#[derive(Debug)]
pub(crate) struct Identities(BTreeMap<Id, Identity>);

/// What is wrong with the holder of a grant.
enum Fault {
    NoPatterns(Id),
    OtherNames(Id, Names),
    TooFewParts(Id, usize),
    Unknown {
        name: Id,
        near: List<Id>,
        all: List<Id>,
    },
}

impl Identities {
    pub(crate) fn new(identities: BTreeMap<Id, Identity>) -> Self {
        Self(identities)
    }

    /// What tells the identity of this name from others that had the name; `None` if none has it.
    pub(crate) fn digest(&self, name: &Id) -> Option<[u8; 32]> {
        self.0.get(name).map(|identity| identity.digest)
    }

    /// Checks that there can be a caller that this holder of a grant stands for, and that whoever
    /// names things below a pattern is one owner.
    ///
    /// # Errors
    /// `FIELD_INVALID` with a violation on `field`.
    pub(crate) fn check(&self, field: &'static str, holder: &Foreign) -> Result<()> {
        let invalid = |fault| Err(Error::new(Reason::FieldInvalid).violation(field, fault));
        // A trust domain tells its paths apart itself, and no name of one says which identity it is.
        let Some(name) = holder.identity() else {
            return Ok(());
        };
        let name = Id::parse(field, name)?;
        let Some(identity) = self.0.get(&name) else {
            return invalid(Fault::Unknown {
                near: name.near_misses(self.0.keys()),
                all: List(self.0.keys().cloned().collect()),
                name,
            });
        };
        let is_oidc = holder.as_str().starts_with("oidc:");
        match identity.names {
            Names::Oidc { pattern_parts } if is_oidc => match pattern_parts {
                _ if !holder.is_pattern() => Ok(()),
                None => invalid(Fault::NoPatterns(name)),
                Some(least) if holder.parts() < least => invalid(Fault::TooFewParts(name, least)),
                Some(_) => Ok(()),
            },
            Names::X509 if !is_oidc => Ok(()),
            other @ (Names::Oidc { .. } | Names::Spiffe | Names::X509) => {
                invalid(Fault::OtherNames(name, other))
            }
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoPatterns(name) => write!(
                f,
                "is a pattern, and identity {name} has none: who is below it is not one owner's; \
                 name each principal as WhoAmI shows it"
            ),
            Self::OtherNames(name, names) => {
                let names = match names {
                    Names::Oidc { .. } => format!("oidc:{name}#<claims>"),
                    Names::Spiffe => "spiffe://<trust domain>/<path>".to_owned(),
                    Names::X509 => format!("x509:{name}:<SAN>"),
                };
                write!(f, "is nobody: identity {name} names its principals {names}")
            }
            Self::TooFewParts(name, least) => write!(
                f,
                "spells out too little: of identity {name} a pattern names at least {least} parts \
                 before its last /*, so that all below are one owner's"
            ),
            Self::Unknown { name, near, all } => write!(
                f,
                "names identity {name}, which is not configured; close to it: {near}; configured: \
                 {all}; correct it, or add [identity.{name}] to the daemon's configuration"
            ),
        }
    }
}

impl Public for Fault {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_holder_that_no_caller_can_be_is_refused_with_the_remedy() {
        let oidc = |pattern_parts| Names::Oidc { pattern_parts };
        let named = [
            ("ci", oidc(Some(2))),
            ("cloud", oidc(None)),
            ("db", Names::X509),
            ("mesh", Names::Spiffe),
        ];
        let named = named.map(|(name, names)| {
            let digest = [0; 32];
            (Id::from_static(name), Identity { names, digest })
        });
        let identities = Identities::new(BTreeMap::from(named));
        for (holder, fault) in [
            ("oidc:ci#1/2/ref/main", None),
            ("oidc:ci#1", None),
            ("oidc:ci#1/2/*", None),
            ("oidc:ci#1/2/ref/*", None),
            ("oidc:ci#1/*", Some("at least 2 parts")),
            ("oidc:cloud#1/2", None),
            ("oidc:cloud#1/2/*", Some("name each principal as WhoAmI")),
            ("x509:db:etl.acme.example", None),
            ("x509:ci:etl", Some("names its principals oidc:ci#<claims>")),
            ("oidc:db#etl", Some("names its principals x509:db:<SAN>")),
            ("oidc:mesh#etl", Some("names its principals spiffe://")),
            (
                "oidc:ic#1",
                Some("close to it: ci, db; configured: ci, cloud, db, mesh"),
            ),
            ("x509:elsewhere:etl", Some("add [identity.elsewhere] to")),
            ("spiffe://acme/ns/etl", None),
            ("spiffe://acme/*", None),
        ] {
            let name = Foreign::parse(holder).unwrap();
            let checked = identities.check("grant.principal", &name);
            let said = checked.map_err(|error| {
                assert_eq!(error.reason(), Reason::FieldInvalid);
                error.to_string()
            });
            match fault {
                None => assert_eq!(said, Ok(()), "{holder}"),
                Some(fault) => {
                    let said = said.unwrap_err();
                    assert!(said.contains(fault), "{holder}: {said}");
                    assert!(said.contains("grant.principal"), "{said}");
                }
            }
        }
    }
}
