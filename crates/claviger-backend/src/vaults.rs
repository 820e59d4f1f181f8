//! The configured vaults.

use std::collections::BTreeMap;
use std::sync::Arc;

use claviger_core::{Detail, Error, Id, List, Public, Reason, Result};

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
    /// `VAULT_UNKNOWN`, naming none: those there are is nothing for every caller.
    pub fn find(&self, id: &Id) -> Result<&Arc<Vault>> {
        self.0.get(id).ok_or_else(|| unknown(id, "see ListVaults"))
    }

    /// The vault of this id, for a caller that may know those of this project.
    ///
    /// # Errors
    /// `VAULT_UNKNOWN`, naming those.
    pub fn find_for(&self, project: &Id, id: &Id) -> Result<&Arc<Vault>> {
        self.0.get(id).ok_or_else(|| unknown(id, self.of(project)))
    }

    /// These vaults, as far as they are wanted.
    #[must_use]
    pub fn only(&self, is_wanted: impl Fn(&Vault) -> bool) -> Self {
        let wanted = self.0.iter().filter(|(_, vault)| is_wanted(vault));
        Self(
            wanted
                .map(|(id, vault)| (id.clone(), Arc::clone(vault)))
                .collect(),
        )
    }

    /// The ids of those that a project may use.
    fn of(&self, project: &Id) -> List<Id> {
        List(
            self.only(|vault| vault.serves(project))
                .0
                .into_keys()
                .collect(),
        )
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
                .with(Detail::Vaults, self.of(project))),
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

fn unknown(id: &Id, known: impl Public) -> Error {
    Error::new(Reason::VaultUnknown)
        .with(Detail::Vault, id)
        .with(Detail::Vaults, known)
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
    fn an_unknown_vault_names_those_that_the_project_may_use() {
        let vault = |id: &'static str, project: &str| {
            let rule = Allow::parse_rule(project, &["*".to_owned()]).expect("valid");
            let limits = Limits::timeout(Duration::from_secs(5));
            let silent = Arc::new(Silent::default());
            Vault::new(Id::from_static(id), silent, &limits, Allow::new(vec![rule]))
        };
        let vaults = Vaults::new([
            vault("all", "any-project"),
            vault("other", "corp"),
            vault("own", "acme"),
        ]);
        let aws = Id::from_static("aws");
        for (error, known) in [
            (vaults.find(&aws), "see ListVaults"),
            (vaults.find_for(&Id::from_static("acme"), &aws), "all, own"),
            (
                vaults.find_for(&Id::from_static("corp"), &aws),
                "all, other",
            ),
        ] {
            let text = error.expect_err("unknown").to_string();
            assert_eq!(text, format!("there is no vault aws; configured: {known}"));
        }
        let marked = vaults.marked_default(&Id::from_static("acme"));
        let text = marked.expect_err("none is").to_string();
        assert!(text.ends_with("configured: all, own"), "{text}");
    }
}
