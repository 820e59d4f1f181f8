//! What was found when a caller asked, together with the proof that it may be used.

use claviger_access::{Authorized, Scope};
use claviger_backend::Vaults;
use claviger_core::{DefinitionName, Id, ProfileName, ProjectName, Resource, Result};
use claviger_store::{Expect, Stored};

use crate::model::definition::{Definition, not_found};
use crate::model::profile::{Profile, profile_not_found};
use crate::model::project::{Project, project_not_found};
use crate::model::registered::Registered;

/// A proof, with what was found when it was asked for.
#[derive(Debug)]
pub(crate) struct Asked<F> {
    pub(crate) proof: Authorized,
    pub(crate) found: F,
}

/// What a name stood for.
#[derive(Debug)]
pub(crate) struct Found {
    pub(super) project: Option<Stored<Project>>,
    pub(super) definition: Option<Stored<Definition>>,
    pub(super) profile: Option<Stored<Profile>>,
}

/// What a definition's name stood for.
#[derive(Debug)]
pub(crate) struct OnDefinition {
    pub(crate) name: DefinitionName,
    pub(super) found: Found,
}

/// What a profile's name stood for.
#[derive(Debug)]
pub(crate) struct OnProfile {
    pub(crate) name: ProfileName,
    pub(super) found: Found,
}

/// What a project's name stood for.
#[derive(Debug)]
pub(crate) struct OnProject {
    pub(crate) name: ProjectName,
    pub(super) found: Found,
}

impl Found {
    /// Where a grant on this resource holds.
    ///
    /// # Errors
    /// `PROJECT_NOT_FOUND`, `DEFINITION_NOT_FOUND`, `PROFILE_NOT_FOUND`, `ENVIRONMENT_UNKNOWN`.
    pub(crate) fn scope(&self, resource: &Resource, environment: Option<&Id>) -> Result<Scope> {
        let Some(name) = resource.project() else {
            return Ok(Scope::Daemon);
        };
        let project = self.project.as_ref();
        let project = project.ok_or_else(|| project_not_found(name).at("grant.resource"))?;
        if environment.is_some() {
            project
                .record
                .check_environment(environment, "grant.environment")?;
        }
        let project = project.record.uid;
        match resource {
            Resource::Daemon | Resource::Project(_) => Ok(Scope::Project {
                name: name.clone(),
                uid: project,
            }),
            Resource::Definition(definition) => {
                let found = self.definition.as_ref();
                let found = found.ok_or_else(|| not_found(definition).at("grant.resource"))?;
                Ok(Scope::Definition {
                    name: definition.clone(),
                    uid: found.record.uid,
                    project,
                })
            }
            Resource::Profile(profile) => {
                let found = self.profile.as_ref();
                let found = found.ok_or_else(|| profile_not_found(profile).at("grant.resource"))?;
                Ok(Scope::Profile {
                    name: profile.clone(),
                    uid: found.record.uid,
                    project,
                })
            }
        }
    }
}

impl OnDefinition {
    /// The project.
    ///
    /// # Errors
    /// `PROJECT_NOT_FOUND`.
    pub(crate) fn project(&self) -> Result<&Stored<Project>> {
        let found = self.found.project.as_ref();
        found.ok_or_else(|| project_not_found(self.name.project()))
    }

    /// The definition, deleted or not.
    ///
    /// # Errors
    /// `PROJECT_NOT_FOUND`, `DEFINITION_NOT_FOUND`.
    pub(crate) fn definition(&self) -> Result<&Stored<Definition>> {
        self.project()?;
        let found = self.found.definition.as_ref();
        found.ok_or_else(|| not_found(&self.name))
    }

    /// The definition, if values may be read and written through it.
    ///
    /// # Errors
    /// `PROJECT_NOT_FOUND`, `DEFINITION_NOT_FOUND`, `DEFINITION_DELETED`.
    pub(crate) fn live<'a>(&'a self, vaults: &'a Vaults) -> Result<Registered<'a>> {
        Ok(Registered {
            definition: self.definition()?.record.live()?,
            project: &self.project()?.record,
            vaults,
        })
    }
}

impl OnProfile {
    /// The project.
    ///
    /// # Errors
    /// `PROJECT_NOT_FOUND`.
    pub(crate) fn project(&self) -> Result<&Stored<Project>> {
        let found = self.found.project.as_ref();
        found.ok_or_else(|| project_not_found(self.name.project()))
    }

    /// The profile, deleted or not.
    ///
    /// # Errors
    /// `PROJECT_NOT_FOUND`, `PROFILE_NOT_FOUND`.
    pub(crate) fn profile(&self) -> Result<&Stored<Profile>> {
        self.project()?;
        let found = self.found.profile.as_ref();
        found.ok_or_else(|| profile_not_found(&self.name))
    }

    /// The profile, if jobs may use it.
    ///
    /// # Errors
    /// `PROJECT_NOT_FOUND`, `PROFILE_NOT_FOUND`, `PROFILE_DELETED`.
    pub(crate) fn live(&self) -> Result<&Profile> {
        self.profile()?.record.live()
    }
}

impl OnProject {
    /// The project.
    ///
    /// # Errors
    /// `PROJECT_NOT_FOUND`.
    pub(crate) fn project(&self) -> Result<&Stored<Project>> {
        let found = self.found.project.as_ref();
        found.ok_or_else(|| project_not_found(&self.name))
    }

    /// The project, if there is one.
    pub(crate) fn existing(&self) -> Option<&Stored<Project>> {
        self.found.project.as_ref()
    }
}

/// That a record is still as it was found.
pub(crate) fn expect<R>(stored: Option<&Stored<R>>) -> Expect {
    stored.map_or(Expect::Absent, |stored| Expect::Revision(stored.revision))
}
