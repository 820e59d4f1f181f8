//! The definitions of a project, page by page.

use std::sync::Arc;

use claviger_access::{Authorized, Call, Permission};
use claviger_core::{Id, Kind, ProjectName, Resource, Result};

use crate::{Broker, Definition, Page, PageRequest};

/// Which definitions a listing shows.
#[derive(Clone, Debug, Default)]
pub struct DefinitionFilter {
    /// Only this kind.
    pub kind: Option<Kind>,
    /// Only with a location in this vault.
    pub vault: Option<Id>,
    /// Soft-deleted ones too.
    pub is_showing_deleted: bool,
}

impl Broker {
    /// Lists a project's definitions.
    ///
    /// # Errors
    /// See the RPC `ListSecretDefinitions`.
    pub async fn list_definitions(
        &self,
        call: &Arc<Call>,
        parent: &ProjectName,
        filter: &DefinitionFilter,
        request: &PageRequest,
    ) -> Result<Page<Definition>> {
        let resource = Resource::Project(parent.clone());
        let authorized = self
            .authorize(call, &[Permission::DefinitionsGet], resource, None)
            .await?;
        let result = self.list_authorized(&authorized, filter, request).await;
        self.decided(authorized, result).await
    }

    async fn list_authorized(
        &self,
        authorized: &Authorized,
        filter: &DefinitionFilter,
        request: &PageRequest,
    ) -> Result<Page<Definition>> {
        let project = self.project(authorized).await?.record;
        let prefix = format!("{}/", project.name.id());
        let after = request.after.as_deref();
        let scanned = self
            .records
            .scan::<Definition>(&prefix, after, request.size)
            .await?;
        Ok(Page::of(scanned, request).filter_map(|stored| {
            let definition = self.visible(&stored).ok()?;
            let content = &definition.content;
            let is_shown = (filter.is_showing_deleted || definition.delete_time.is_none())
                && filter.kind.is_none_or(|kind| content.kind == kind)
                && filter.vault.as_ref().is_none_or(|vault| {
                    let places = content.places(definition.defaults(&project, &self.vaults));
                    places.iter().any(|place| place.vault == *vault)
                });
            is_shown.then_some(definition)
        }))
    }
}
