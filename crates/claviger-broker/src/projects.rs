//! Projects: name spaces of definitions and grants.

use std::sync::Arc;

use claviger_access::{Call, Permission, Resolved};
use claviger_audit::Facts;
use claviger_core::{Detail, Error, ProjectName, Reason, Result, Uid};
use claviger_store::{Batch, Expect};

use crate::broker::Broker;
use crate::engine::found::{Asked, OnProject, expect};
use crate::model::definition::Definition;
use crate::model::page::{Page, PageRequest};
use crate::model::profile::Profile;
use crate::model::project::{Project, ProjectContent};

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
        let permission = Permission::ProjectsPut;
        let asked = self
            .catalog
            .ask_project(call, permission, &put.name)
            .await?;
        let facts = |_: &_| Facts::default();
        self.finish_detached(asked, facts, |broker, asked| async move {
            broker.put_project_asked(&asked, put).await
        })
        .await
    }

    async fn put_project_asked(
        &self,
        asked: &Asked<OnProject>,
        put: PutProject,
    ) -> Result<Project> {
        let now = self.catalog.now();
        let existing = asked.found.existing();
        let (project, facts) = match existing {
            None => {
                let project = Project {
                    name: put.name,
                    uid: Uid::random(),
                    content: put.content,
                    generation: 1,
                    create_time: now,
                    update_time: now,
                };
                let making = project.making();
                (project, making)
            }
            Some(stored) if stored.record.content == put.content => {
                return Ok((*stored.record).clone());
            }
            Some(stored) => {
                let existing = &stored.record;
                existing.check_etag(put.etag.as_deref(), "project.etag")?;
                let project = Project {
                    content: put.content,
                    generation: existing.generation + 1,
                    update_time: now,
                    ..(**existing).clone()
                };
                let changing = existing.changing(&project);
                (project, changing)
            }
        };
        project.content.validate(project.name.id(), &self.vaults)?;
        if put.is_dry_run {
            return Ok(project);
        }
        self.audit.intent(&asked.proof, facts).await?;
        let id = project.name.id().as_str();
        let batch = Batch::new().put(id, &project, expect(existing));
        match self.catalog.commit(&asked.proof, &batch).await? {
            Some(_) => Ok(project),
            None => Err(conflict(&project.name)),
        }
    }

    /// Reads a project.
    ///
    /// # Errors
    /// See the RPC `GetProject`.
    pub async fn get_project(&self, call: &Arc<Call>, name: &ProjectName) -> Result<Project> {
        let permission = Permission::ProjectsGet;
        let asked = self.catalog.ask_project(call, permission, name).await?;
        let found = asked.found.project();
        let result = found.map(|stored| (*stored.record).clone());
        self.decided(asked, result).await
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
        let permission = Permission::ProjectsGet;
        let asked = self.catalog.ask_anywhere(call, permission).await?;
        let result = self.list_projects_asked(&asked, request).await;
        self.decided(asked, result).await
    }

    /// Scans on until the page is full of projects the caller may read: a token must not name
    /// another one.
    async fn list_projects_asked(
        &self,
        Asked { proof, .. }: &Asked<()>,
        request: &PageRequest,
    ) -> Result<Page<Project>> {
        let listing = self.catalog.listing(proof, []);
        let mut visible = Vec::new();
        let mut after = listing.after(request)?;
        loop {
            let scanned = self
                .catalog
                .scan::<Project>(proof, "", after.as_deref(), request.size)
                .await?;
            let is_last = scanned.len() < request.size;
            after = scanned.last().map(|(id, _)| id.clone());
            for (id, stored) in scanned {
                let project = Resolved {
                    project: Some(stored.record.uid),
                    ..Resolved::default()
                };
                if proof.covers(project) && visible.len() < request.size {
                    visible.push((id, (*stored.record).clone()));
                }
            }
            if is_last || visible.len() == request.size {
                return Ok(listing.page(visible, request));
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
        name: &ProjectName,
        etag: Option<String>,
    ) -> Result<()> {
        let permission = Permission::ProjectsDelete;
        let asked = self.catalog.ask_project(call, permission, name).await?;
        let facts = |(): &()| Facts::default();
        self.finish_detached(asked, facts, |broker, asked| async move {
            broker.delete_project_asked(&asked, etag.as_deref()).await
        })
        .await
    }

    async fn delete_project_asked(
        &self,
        asked: &Asked<OnProject>,
        etag: Option<&str>,
    ) -> Result<()> {
        let stored = asked.found.project()?;
        let name = &stored.record.name;
        if etag.is_some() {
            stored.record.check_etag(etag, "etag")?;
        }
        // Nothing is added between the look and the commit.
        let _gate = self.catalog.removing().await;
        let prefix = format!("{}/", name.id());
        let definitions = self
            .catalog
            .scan::<Definition>(&asked.proof, &prefix, None, 1);
        let profiles = self.catalog.scan::<Profile>(&asked.proof, &prefix, None, 1);
        if !definitions.await?.is_empty() || !profiles.await?.is_empty() {
            return Err(Error::new(Reason::ProjectNotEmpty).with(Detail::Resource, name));
        }
        let ending = stored.record.ending();
        self.audit.intent(&asked.proof, ending).await?;
        let expect = Expect::Revision(stored.revision);
        let batch = Batch::new().delete::<Project>(name.id().as_str(), expect);
        match self.catalog.commit(&asked.proof, &batch).await? {
            Some(_) => Ok(()),
            None => Err(conflict(name)),
        }
    }
}

fn conflict(name: &ProjectName) -> Error {
    Error::new(Reason::Conflict).with(Detail::Resource, name)
}
