//! From a location, as operators write it, to the one place it stands for.

use std::fmt;
use std::str::FromStr;

use claviger_backend::Vaults;
use claviger_core::{DefinitionName, Error, Id, Reason, Result};
use serde::{Deserialize, Serialize};

use crate::Project;

/// Stands for the vault that the configuration marks as default.
const MARKED: &str = "[Default]";

/// A vault as a location names it.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(into = "String", try_from = "String")]
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

impl From<VaultRef> for String {
    fn from(vault: VaultRef) -> Self {
        vault.to_string()
    }
}

impl TryFrom<String> for VaultRef {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

/// Where a value lives.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct Location {
    /// The vault; `None` is the default of the environment or project.
    pub vault: Option<VaultRef>,
    /// The secret's name in the vault; `None` is the definition's own id.
    pub secret: Option<String>,
    /// One key of a JSON document.
    pub property: Option<String>,
    /// A pinned version.
    pub version: Option<String>,
}

/// A vault and the plain name of a secret in it: shared by all environments that resolve to it.
#[derive(Clone, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(into = "String", try_from = "String")]
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

impl From<Place> for String {
    fn from(place: Place) -> Self {
        format!("{}/{}", place.vault, place.secret)
    }
}

impl TryFrom<String> for Place {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        let (vault, secret) = text
            .split_once('/')
            .ok_or_else(|| Error::new(Reason::IntegrityFailure))?;
        Ok(Self {
            vault: Id::parse("vault", vault)?,
            secret: secret.to_owned(),
        })
    }
}

/// What fills the gaps of a definition's locations.
#[derive(Clone, Copy)]
pub(crate) struct Defaults<'a> {
    pub(crate) name: &'a DefinitionName,
    pub(crate) project: &'a Project,
    pub(crate) vaults: &'a Vaults,
}

impl Defaults<'_> {
    /// The place that a location stands for in an environment.
    ///
    /// # Errors
    /// `VAULT_UNKNOWN` and `VAULT_AMBIGUOUS` for `[Default]`. A vault that is named and not there is
    /// found out by who goes there.
    pub(crate) fn place(&self, location: &Location, environment: Option<&Id>) -> Result<Place> {
        let vault = match &location.vault {
            Some(VaultRef::Named(vault)) => vault.clone(),
            Some(VaultRef::Marked) => {
                let marked = self.vaults.marked_default(self.project.name.id())?;
                marked.id().clone()
            }
            None => self.project.vault_for(environment),
        };
        let secret = match &location.secret {
            Some(secret) => secret.clone(),
            None => self.secret_in(&vault),
        };
        let secret = self.place_name(&vault, secret);
        Ok(Place { vault, secret })
    }

    /// One secret is one place, whichever of its names a location uses: else two spellings would
    /// have two fences, and who may write in one environment could write what another one reads.
    fn place_name(&self, vault: &Id, secret: String) -> String {
        match self.vaults.find(vault) {
            Ok(vault) => vault.place_name(&secret),
            Err(_) => secret,
        }
    }

    /// The name that a value of the definition gets in a vault: in one that others use too the end
    /// keeps names apart that some vaults take for one, because they ignore case.
    fn secret_in(&self, vault: &Id) -> String {
        let id = self.name.id();
        if vault.as_str() == crate::vaults::MANAGED {
            return id.to_string();
        }
        let hash = derived_hash(self.name);
        let project = self.project.name.id().as_str();
        match self.vaults.find(vault) {
            Ok(vault) => vault.derived_name(project, id.as_str(), &hash),
            // Nobody goes there.
            Err(_) => id.to_string(),
        }
    }
}

/// The end of every derived name: digits that no change of case touches, enough of them that nobody
/// finds another definition with the same ones. No rule has to name a derived name.
fn derived_hash(name: &DefinitionName) -> String {
    let hash = claviger_seal::sha256(name.to_string().as_bytes());
    let (start, _) = hash.split_at(10);
    claviger_seal::hex(start)
}

#[cfg(test)]
mod tests;
