//! A project as it is kept: a name space of definitions and grants.

use std::collections::BTreeMap;
use std::time::SystemTime;

use claviger_backend::Vaults;
use claviger_core::{Detail, Error, Id, List, ProjectName, Reason, Result, Uid};
use claviger_stripe::Mode;

use crate::model::texts::{check_description, check_environment_count};

/// Id and kind of Claviger's own vault, which is always there.
pub(crate) const MANAGED: &str = "managed";

/// One environment of a project.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Environment {
    /// The vault of definitions that name none.
    pub default_vault: Option<Id>,
    /// The mode that Stripe keys have to be for.
    pub stripe_mode: Option<Mode>,
}

/// What operators edit.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct ProjectContent {
    /// For people.
    pub description: String,
    /// The vault of definitions that name none.
    pub default_vault: Option<Id>,
    /// The environments that definitions are read in.
    pub environments: BTreeMap<Id, Environment>,
}

/// A project as it is kept.
#[derive(Clone, Debug)]
pub struct Project {
    /// Its name.
    pub name: ProjectName,
    /// Which project of that name.
    pub uid: Uid,
    /// What operators edit.
    pub content: ProjectContent,
    /// Counts edits; part of the etag.
    pub generation: u64,
    /// When it was created.
    pub create_time: SystemTime,
    /// When it was last edited.
    pub update_time: SystemTime,
}

impl Project {
    /// Names exactly this state.
    pub fn etag(&self) -> String {
        format!("{}-{}", self.generation, self.uid)
    }

    /// The vault of locations that name none.
    pub(crate) fn vault_for(&self, environment: Option<&Id>) -> Id {
        environment
            .and_then(|environment| self.content.environments.get(environment))
            .and_then(|environment| environment.default_vault.clone())
            .or_else(|| self.content.default_vault.clone())
            .unwrap_or_else(|| Id::from_static(MANAGED))
    }

    /// The mode that an environment demands of Stripe keys.
    pub(crate) fn stripe_mode(&self, environment: Option<&Id>) -> Option<Mode> {
        self.content.environments.get(environment?)?.stripe_mode
    }

    /// Checks that an environment is named exactly where the project declares some.
    ///
    /// # Errors
    /// `ENVIRONMENT_REQUIRED`, `ENVIRONMENT_UNKNOWN` with near misses.
    pub(crate) fn check_environment(
        &self,
        environment: Option<&Id>,
        field: &'static str,
    ) -> Result<()> {
        let declared = &self.content.environments;
        let names = || List(declared.keys().cloned().collect());
        match environment {
            None if declared.is_empty() => Ok(()),
            None => Err(Error::new(Reason::EnvironmentRequired)
                .with(Detail::Resource, &self.name)
                .with(Detail::Environments, names())
                .at(field)),
            Some(environment) if declared.contains_key(environment) => Ok(()),
            Some(_) if declared.is_empty() => Err(Error::new(Reason::EnvironmentUnknown)
                .with(Detail::Resource, &self.name)
                .with(Detail::NearMisses, "none")
                .with(Detail::Environments, "none")
                .violation(
                    field,
                    "names an environment, but the project declares none; leave it out",
                )),
            Some(environment) => Err(Error::new(Reason::EnvironmentUnknown)
                .with(Detail::Resource, &self.name)
                .with(Detail::NearMisses, environment.near_misses(declared.keys()))
                .with(Detail::Environments, names())
                .at(field)),
        }
    }

    /// Checks that a caller's etag names this state.
    ///
    /// # Errors
    /// `ETAG_MISMATCH`; `PROJECT_EXISTS` without an etag.
    pub(crate) fn check_etag(&self, etag: Option<&str>, field: &'static str) -> Result<()> {
        let reason = match etag {
            Some(etag) if etag == self.etag() => return Ok(()),
            Some(_) => Reason::EtagMismatch,
            None => Reason::ProjectExists,
        };
        Err(Error::new(reason)
            .with(Detail::Resource, &self.name)
            .at(field))
    }
}

impl ProjectContent {
    /// Checks the content of this project against the vaults.
    ///
    /// # Errors
    /// `FIELD_INVALID`, `VAULT_UNKNOWN`, each with the field.
    pub(crate) fn validate(&self, project: &Id, vaults: &Vaults) -> Result<()> {
        check_description(&self.description, "project.description")?;
        check_environment_count(self.environments.len(), "project.environments")?;
        let environments = self.environments.values();
        let named = environments
            .filter_map(|environment| environment.default_vault.as_ref())
            .map(|vault| (vault, "project.environments"));
        let default = self.default_vault.iter();
        let default = default.map(|vault| (vault, "project.default_vault"));
        for (vault, field) in named.chain(default) {
            vaults
                .find_for(project, vault)
                .map_err(|error| error.at(field))?;
        }
        Ok(())
    }
}

pub(crate) fn project_not_found(name: &ProjectName) -> Error {
    Error::new(Reason::ProjectNotFound).with(Detail::Resource, name)
}
