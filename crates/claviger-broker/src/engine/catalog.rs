//! What is registered: projects, definitions and grants, read through the store's bounded memory.

use std::sync::Arc;

use claviger_access::{Authorized, Directory, Grant, Principal, Resolved, Role, Scope};
use claviger_core::{DefinitionName, Detail, Error, Id, ProjectName, Reason, Resource, Result};
use claviger_store::Stored;

use crate::access::PrincipalGrants;
use crate::definition::not_found;
use crate::{Broker, Definition, Project};

impl Broker {
    /// The definition that was authorised.
    ///
    /// # Errors
    /// `PROJECT_NOT_FOUND`; `DEFINITION_NOT_FOUND`: also when the name stands for another
    /// definition by now.
    pub(crate) async fn definition(&self, authorized: &Authorized) -> Result<Stored<Definition>> {
        let name = authorized_definition(authorized)?;
        let resolved = authorized.resolved();
        if resolved.project.is_none() {
            return Err(project_not_found(name.project()));
        }
        let stored = self.find_definition(name).await?;
        stored
            .filter(|stored| Some(stored.record.uid) == resolved.definition)
            .ok_or_else(|| not_found(name))
    }

    /// The project of the resource that was authorised.
    ///
    /// # Errors
    /// `PROJECT_NOT_FOUND`: also when the name stands for another project by now.
    pub(crate) async fn project(&self, authorized: &Authorized) -> Result<Stored<Project>> {
        let name = match authorized.resource() {
            Resource::Daemon => return Err(Error::new(Reason::Internal)),
            Resource::Definition(name) => name.project(),
            Resource::Project(name) => name,
        };
        let stored = self.find_project(name).await?;
        stored
            .filter(|stored| Some(stored.record.uid) == authorized.resolved().project)
            .ok_or_else(|| project_not_found(name))
    }

    /// Looks a definition up by name, for the catalog and the write protocol only.
    pub(crate) async fn find_definition(
        &self,
        name: &DefinitionName,
    ) -> Result<Option<Stored<Definition>>> {
        self.records.get(&Definition::record_id(name)).await
    }

    /// Looks a project up by name.
    pub(crate) async fn find_project(&self, name: &ProjectName) -> Result<Option<Stored<Project>>> {
        self.records.get(name.id().as_str()).await
    }
}

pub(crate) fn project_not_found(name: &ProjectName) -> Error {
    Error::new(Reason::ProjectNotFound).with(Detail::Resource, name)
}

/// The name of the definition that was authorised.
pub(crate) fn authorized_definition(authorized: &Authorized) -> Result<&DefinitionName> {
    match authorized.resource() {
        Resource::Definition(name) => Ok(name),
        Resource::Daemon | Resource::Project(_) => Err(Error::new(Reason::Internal)),
    }
}

impl Directory for Broker {
    async fn grants(&self, principal: &Principal) -> Result<Arc<Vec<Grant>>> {
        let stored = self
            .records
            .get::<PrincipalGrants>(&PrincipalGrants::record_id(principal))
            .await?
            .map(|stored| stored.record);
        if *principal != Principal::Unix(self.first_admin) {
            return Ok(stored.map_or_else(Arc::default, |record| Arc::clone(&record.grants)));
        }
        // The first admin needs no record, so that there is no root token to lose.
        let mut grants = vec![Grant {
            id: Id::from_static("first-admin"),
            role: Role::Admin,
            scope: Scope::Daemon,
            environment: None,
            expire_time: None,
            purpose: None,
        }];
        grants.extend(
            stored
                .iter()
                .flat_map(|record| record.grants.iter().cloned()),
        );
        Ok(Arc::new(grants))
    }

    fn changes(&self) -> u64 {
        self.records.changes()
    }

    async fn resolve(&self, resource: &Resource) -> Result<Resolved> {
        let (project, definition) = match resource {
            Resource::Daemon => return Ok(Resolved::default()),
            Resource::Project(name) => (name, None),
            Resource::Definition(name) => (name.project(), self.find_definition(name).await?),
        };
        // What is gone is not there for grants either: they must not make it anew.
        let definition = definition.filter(|stored| !self.is_gone(&stored.record));
        Ok(Resolved {
            project: self
                .find_project(project)
                .await?
                .map(|stored| stored.record.uid),
            definition: definition.map(|stored| stored.record.uid),
        })
    }
}
