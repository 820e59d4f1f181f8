//! The configured vaults.

use std::collections::BTreeMap;
use std::sync::Arc;

use claviger_core::{Detail, Error, Id, List, Reason, Result};

use crate::vault::Vault;

/// All configured vaults, by id.
#[derive(Clone, Debug, Default)]
pub struct Vaults(BTreeMap<Id, Arc<Vault>>);

impl Vaults {
    /// These vaults.
    pub fn new(vaults: impl IntoIterator<Item = Vault>) -> Self {
        Self(
            vaults
                .into_iter()
                .map(|vault| (vault.id().clone(), Arc::new(vault)))
                .collect(),
        )
    }

    /// The vault of this id.
    ///
    /// # Errors
    /// `VAULT_UNKNOWN`, naming those there are.
    pub fn find(&self, id: &Id) -> Result<&Arc<Vault>> {
        self.0.get(id).ok_or_else(|| {
            Error::new(Reason::VaultUnknown)
                .with(Detail::Vault, id)
                .with(Detail::Vaults, List(self.0.keys().cloned().collect()))
        })
    }

    /// The one vault that is marked as default, of those that a project may use.
    ///
    /// # Errors
    /// `VAULT_UNKNOWN` if there is none, `VAULT_AMBIGUOUS` naming them if there are several.
    pub fn marked_default(&self, project: &Id) -> Result<&Arc<Vault>> {
        let marked = |vault: &&Arc<Vault>| vault.is_default_of(project);
        let marked: Vec<_> = self.0.values().filter(marked).collect();
        let ids = || List(marked.iter().map(|vault| vault.id().clone()).collect());
        match marked.as_slice() {
            [only] => Ok(only),
            [] => Err(Error::new(Reason::VaultUnknown)
                .with(Detail::Vault, "[Default] that this project may use")
                .with(Detail::Vaults, List(self.0.keys().cloned().collect()))),
            _ => Err(Error::new(Reason::VaultAmbiguous).with(Detail::Vaults, ids())),
        }
    }

    /// The pairs of vaults that may lead to the same secrets.
    pub fn overlaps(&self) -> Vec<(&Id, &Id)> {
        // Any name does: what is asked is where their names lead.
        let site = |vault: &Vault| vault.site("claviger");
        let all: Vec<_> = self.0.values().collect();
        let mut overlaps = Vec::new();
        for (index, one) in all.iter().enumerate() {
            for other in all.iter().skip(index + 1) {
                let sites = site(one).zip(site(other));
                if sites.is_some_and(|(one, other)| one.may_be(&other)) {
                    overlaps.push((one.id(), other.id()));
                }
            }
        }
        overlaps
    }

    /// All of them, by id.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Vault>> {
        self.0.values()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::allow::Allow;
    use crate::limits::Limits;
    use crate::silent::Silent;

    #[test]
    fn vaults_that_may_lead_to_the_same_secrets_are_found() {
        let account = |id: &'static str, account: Option<&str>| {
            let silent = Silent::of(account.map(str::to_owned));
            let limits = Limits::timeout(Duration::from_secs(5));
            Vault::new(
                Id::from_static(id),
                Arc::new(silent),
                &limits,
                Allow::default(),
            )
        };
        let vaults = Vaults::new([
            account("a", Some("1")),
            account("b", Some("2")),
            account("c", Some("2")),
            account("d", None),
        ]);
        let pairs = vaults.overlaps().into_iter();
        let pairs: Vec<_> = pairs.map(|(one, other)| format!("{one}{other}")).collect();
        assert_eq!(pairs, ["ad", "bc", "bd", "cd"]);
    }

    #[test]
    fn an_unknown_vault_names_the_known_ones() {
        let quiet = Vault::new(
            Id::from_static("quiet"),
            Arc::new(Silent::default()),
            &Limits::timeout(Duration::from_secs(5)),
            Allow::default(),
        );
        let error = Vaults::new([quiet])
            .find(&Id::from_static("aws"))
            .expect_err("unknown");
        assert_eq!(
            error.to_string(),
            "there is no vault aws; configured: quiet"
        );
    }
}
