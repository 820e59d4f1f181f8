//! Projects: name spaces of definitions and grants.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use claviger_access::{Authorized, Call, Permission, Resolved};
use claviger_audit::Facts;
use claviger_core::{Detail, Error, Id, List, ProjectName, Reason, Resource, Result, Uid};
use claviger_store::{Batch, Committed, Expect, Record};
use claviger_stripe::Mode;
use serde::{Deserialize, Serialize};

use crate::definition::{check_description, check_environment_count};
use crate::{Broker, Definition, Page, PageRequest, vaults};

/// One environment of a project.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct Environment {
    /// The vault of definitions that name none.
    pub default_vault: Option<Id>,
    /// The mode that Stripe keys have to be for.
    pub stripe_mode: Option<Mode>,
}

/// What operators edit.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct ProjectContent {
    /// For people.
    pub description: String,
    /// The vault of definitions that name none.
    pub default_vault: Option<Id>,
    /// The environments that definitions are read in.
    pub environments: BTreeMap<Id, Environment>,
}

/// A project as it is kept.
#[derive(Clone, Debug, Deserialize, Serialize)]
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

impl Record for Project {
    const KIND: &'static str = "projects/";
    const FORM: u32 = 1;
}

/// A wanted project.
#[derive(Clone, Debug)]
pub struct PutProject {
    /// Its name.
    pub name: ProjectName,
    /// What it is to hold.
    pub content: ProjectContent,
    /// The state that is replaced.
    pub etag: Option<String>,
    /// Check everything, change nothing.
    pub is_dry_run: bool,
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
            .unwrap_or_else(|| Id::from_static(vaults::MANAGED))
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
}

impl Broker {
    /// Creates or replaces a project.
    ///
    /// # Errors
    /// See the RPC `PutProject`.
    pub async fn put_project(
        self: &Arc<Self>,
        call: &Arc<Call>,
        put: PutProject,
    ) -> Result<Project> {
        let resource = Resource::Project(put.name.clone());
        let authorized = self
            .authorize(call, &[Permission::ProjectsPut], resource, None)
            .await?;
        self.finish_detached(
            authorized,
            |_| Facts::default(),
            move |broker, authorized| async move {
                let existing = broker.find_project(&put.name).await?;
                // The name may stand for another project than the one that was authorised.
                let found = existing.as_ref().map(|stored| stored.record.uid);
                if found != authorized.resolved().project {
                    return Err(conflict(&put.name));
                }
                let now = broker.clock.now();
                let (project, expect) = match existing {
                    None => {
                        let project = Project {
                            name: put.name.clone(),
                            uid: Uid::random(),
                            content: put.content.clone(),
                            generation: 1,
                            create_time: now,
                            update_time: now,
                        };
                        (project, Expect::Absent)
                    }
                    Some(stored) if stored.record.content == put.content => {
                        return Ok((*stored.record).clone());
                    }
                    Some(stored) => {
                        check_etag(put.etag.as_deref(), &stored.record, "project.etag")?;
                        let project = Project {
                            content: put.content.clone(),
                            generation: stored.record.generation + 1,
                            update_time: now,
                            ..(*stored.record).clone()
                        };
                        (project, Expect::Revision(stored.revision))
                    }
                };
                broker.check_project(&project)?;
                if put.is_dry_run {
                    return Ok(project);
                }
                broker.audit.intent(&authorized, Facts::default()).await?;
                let batch = Batch::new().put(project.name.id().as_str(), &project, expect);
                match broker.records.commit(batch).await? {
                    Committed::At(_) => Ok(project),
                    Committed::Conflict { .. } | Committed::Ended => Err(conflict(&project.name)),
                }
            },
        )
        .await
    }

    /// Reads a project.
    ///
    /// # Errors
    /// See the RPC `GetProject`.
    pub async fn get_project(&self, call: &Arc<Call>, name: ProjectName) -> Result<Project> {
        let resource = Resource::Project(name);
        let authorized = self
            .authorize(call, &[Permission::ProjectsGet], resource, None)
            .await?;
        let result = self
            .project(&authorized)
            .await
            .map(|stored| (*stored.record).clone());
        self.decided(authorized, result).await
    }

    /// Lists the projects the caller may read.
    ///
    /// # Errors
    /// See the RPC `ListProjects`.
    pub async fn list_projects(
        &self,
        call: &Arc<Call>,
        request: &PageRequest,
    ) -> Result<Page<Project>> {
        let authorized = self
            .authorize_anywhere(call, Permission::ProjectsGet)
            .await?;
        let result = self.list_projects_authorized(&authorized, request).await;
        self.decided(authorized, result).await
    }

    /// Scans on until the page is full of projects the caller may read: a token must not name
    /// another one.
    async fn list_projects_authorized(
        &self,
        authorized: &Authorized,
        request: &PageRequest,
    ) -> Result<Page<Project>> {
        let mut visible = Vec::new();
        let mut after = request.after.clone();
        loop {
            let scanned = self
                .records
                .scan::<Project>("", after.as_deref(), request.size)
                .await?;
            let is_last = scanned.len() < request.size;
            after = scanned.last().map(|(id, _)| id.clone());
            for (id, stored) in scanned {
                let project = Resolved {
                    project: Some(stored.record.uid),
                    definition: None,
                };
                if authorized.covers(project) && visible.len() < request.size {
                    visible.push((id, (*stored.record).clone()));
                }
            }
            if is_last || visible.len() == request.size {
                return Ok(Page::of(visible, request));
            }
        }
    }

    /// Deletes an empty project.
    ///
    /// # Errors
    /// See the RPC `DeleteProject`.
    pub async fn delete_project(
        self: &Arc<Self>,
        call: &Arc<Call>,
        name: ProjectName,
        etag: Option<String>,
    ) -> Result<()> {
        let resource = Resource::Project(name.clone());
        let authorized = self
            .authorize(call, &[Permission::ProjectsDelete], resource, None)
            .await?;
        self.finish_detached(
            authorized,
            |()| Facts::default(),
            |broker, authorized| async move {
                let stored = broker.project(&authorized).await?;
                if etag.is_some() {
                    check_etag(etag.as_deref(), &stored.record, "etag")?;
                }
                // No definition is added between the look and the commit.
                let _gate = broker.project_gate.write().await;
                let prefix = format!("{}/", name.id());
                if !broker
                    .records
                    .scan::<Definition>(&prefix, None, 1)
                    .await?
                    .is_empty()
                {
                    return Err(Error::new(Reason::ProjectNotEmpty).with(Detail::Resource, &name));
                }
                broker.audit.intent(&authorized, Facts::default()).await?;
                let expect = Expect::Revision(stored.revision);
                let batch = Batch::new().delete::<Project>(name.id().as_str(), expect);
                match broker.records.commit(batch).await? {
                    Committed::At(_) => Ok(()),
                    Committed::Conflict { .. } | Committed::Ended => Err(conflict(&name)),
                }
            },
        )
        .await
    }

    fn check_project(&self, project: &Project) -> Result<()> {
        check_description(&project.content.description, "project.description")?;
        check_environment_count(project.content.environments.len(), "project.environments")?;
        let environments = project.content.environments.values();
        let vaults = environments
            .filter_map(|environment| environment.default_vault.as_ref())
            .map(|vault| (vault, "project.environments"))
            .chain(
                project
                    .content
                    .default_vault
                    .iter()
                    .map(|vault| (vault, "project.default_vault")),
            );
        for (vault, field) in vaults {
            self.vaults.find(vault).map_err(|error| error.at(field))?;
        }
        Ok(())
    }
}

fn check_etag(etag: Option<&str>, project: &Project, field: &'static str) -> Result<()> {
    let reason = match etag {
        Some(etag) if etag == project.etag() => return Ok(()),
        Some(_) => Reason::EtagMismatch,
        None => Reason::ProjectExists,
    };
    Err(Error::new(reason)
        .with(Detail::Resource, &project.name)
        .at(field))
}

fn conflict(name: &ProjectName) -> Error {
    Error::new(Reason::Conflict).with(Detail::Resource, name)
}
