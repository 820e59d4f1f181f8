//! A location, as operators write it, and the one place it stands for.

use std::fmt;
use std::str::FromStr;

use claviger_core::{Error, Id, Reason, Result};

/// Stands for the vault that the configuration marks as default.
const MARKED: &str = "[Default]";

/// A vault as a location names it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum VaultRef {
    /// `[Default]`: the one that the configuration marks as default and the project may use.
    Marked,
    /// The one of this id.
    Named(Id),
}

impl FromStr for VaultRef {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text.trim() {
            MARKED => Ok(Self::Marked),
            id => Id::parse("vault", id).map(Self::Named),
        }
    }
}

impl fmt::Display for VaultRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Marked => f.write_str(MARKED),
            Self::Named(id) => id.fmt(f),
        }
    }
}

/// Where a value lives.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Location {
    /// The vault; `None` is the default of the environment or project.
    pub vault: Option<VaultRef>,
    /// The secret's name in the vault; `None` is the definition's own id.
    pub secret: Option<String>,
    /// One key of a JSON document.
    pub property: Option<String>,
    /// Whether all of the secret is meant, a JSON document too.
    pub is_whole: bool,
    /// A pinned version.
    pub version: Option<String>,
}

impl Location {
    /// What of a secret it means.
    pub(crate) fn part(&self) -> (Option<&str>, bool) {
        (self.property.as_deref(), self.is_whole)
    }
}

/// A vault and the plain name of a secret in it: shared by all environments that resolve to it.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) struct Place {
    pub(crate) vault: Id,
    pub(crate) secret: String,
}

impl Place {
    /// The name that the vault is asked for: as the location spells it.
    pub(crate) fn spelled<'a>(&'a self, location: &'a Location) -> &'a str {
        location.secret.as_deref().unwrap_or(&self.secret)
    }
}

/// Written `{vault}/{secret}`.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.vault, self.secret)
    }
}

impl FromStr for Place {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let (vault, secret) = text
            .split_once('/')
            .ok_or_else(|| Error::new(Reason::IntegrityFailure))?;
        Ok(Self {
            vault: Id::parse("vault", vault)?,
            secret: secret.to_owned(),
        })
    }
}
