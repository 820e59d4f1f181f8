//! The definitions of a project, page by page.

use std::sync::Arc;
use std::time::SystemTime;

use claviger_access::{Authorized, Call, Permission};
use claviger_core::{Id, Kind, ProjectName, Resource, Result};

use crate::{Broker, Content, Definition, Page, PageRequest};

/// Which definitions a listing shows.
#[derive(Clone, Debug, Default)]
pub struct DefinitionFilter {
    /// Only this kind.
    pub kind: Option<Kind>,
    /// Only with a location in this vault.
    pub vault: Option<Id>,
    /// Only with this label.
    pub label: Option<LabelFilter>,
    /// Only if to be rotated by then.
    pub rotate_by: Option<SystemTime>,
    /// Soft-deleted ones too.
    pub is_showing_deleted: bool,
}

/// A label that is asked for.
#[derive(Clone, Debug)]
pub struct LabelFilter {
    /// Its key.
    pub key: Id,
    /// Its value; none for any.
    pub value: Option<String>,
}

impl LabelFilter {
    /// Parses `key` or `key=value`; the empty text is none.
    ///
    /// # Errors
    /// `NAME_INVALID` with a violation on `field`.
    pub fn parse(field: &'static str, text: &str) -> Result<Option<Self>> {
        if text.is_empty() {
            return Ok(None);
        }
        let (key, value) = match text.split_once('=') {
            Some((key, value)) => (key, Some(value.to_owned())),
            None => (text, None),
        };
        let key = Id::parse(field, key)?;
        Ok(Some(Self { key, value }))
    }

    fn matches(&self, content: &Content) -> bool {
        let found = content.labels.get(&self.key);
        found.is_some_and(|found| self.value.as_ref().is_none_or(|value| value == found))
    }
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
                && filter
                    .label
                    .as_ref()
                    .is_none_or(|label| label.matches(content))
                && filter.rotate_by.is_none_or(|end| content.rotates_by(end))
                && filter.vault.as_ref().is_none_or(|vault| {
                    let places = content.places(definition.defaults(&project, &self.vaults));
                    places.iter().any(|place| place.vault == *vault)
                });
            is_shown.then_some(definition)
        }))
    }
}
