//! The definitions of a project, page by page.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use claviger_access::{Call, Permission};
use claviger_core::{Id, Kind, ProjectName, Reason, Result, refuse_pasted};

use crate::broker::Broker;
use crate::engine::found::{Asked, OnProject};
use crate::model::definition::Definition;
use crate::model::page::{Page, PageRequest};
use crate::model::registered::Registered;

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

impl DefinitionFilter {
    fn matches(&self, registered: Registered<'_>) -> bool {
        let definition = registered.definition;
        let content = &definition.content;
        (self.is_showing_deleted || definition.delete_time.is_none())
            && self.kind.is_none_or(|kind| content.kind == kind)
            && self
                .label
                .as_ref()
                .is_none_or(|label| label.matches(&content.labels))
            && self.rotate_by.is_none_or(|end| content.rotates_by(end))
            && self.vault.as_ref().is_none_or(|vault| {
                let places = registered.places();
                places.iter().any(|place| place.vault == *vault)
            })
    }
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
    /// `NAME_INVALID`, `FIELD_INVALID` for a credential, with a violation on `field`.
    pub fn parse(field: &'static str, text: &str) -> Result<Option<Self>> {
        if text.is_empty() {
            return Ok(None);
        }
        refuse_pasted(Reason::FieldInvalid, field, text)?;
        let (key, value) = match text.split_once('=') {
            Some((key, value)) => (key, Some(value.to_owned())),
            None => (text, None),
        };
        let key = Id::parse(field, key)?;
        Ok(Some(Self { key, value }))
    }

    pub(crate) fn matches(&self, labels: &BTreeMap<Id, String>) -> bool {
        let found = labels.get(&self.key);
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
        let permission = Permission::DefinitionsGet;
        let asked = self.catalog.ask_project(call, permission, parent).await?;
        let result = self.list_definitions_asked(&asked, filter, request).await;
        self.decided(asked, result).await
    }

    async fn list_definitions_asked(
        &self,
        asked: &Asked<OnProject>,
        filter: &DefinitionFilter,
        request: &PageRequest,
    ) -> Result<Page<Definition>> {
        let project = &asked.found.project()?.record;
        let prefix = format!("{}/", project.name.id());
        let of = [project.uid.to_string()];
        let listing = self.catalog.listing(&asked.proof, of);
        let after = listing.after(request)?;
        let scanned = self
            .catalog
            .scan::<Definition>(&asked.proof, &prefix, after.as_deref(), request.size)
            .await?;
        Ok(listing.page(scanned, request).filter_map(|stored| {
            let definition = self.visible(&stored.record).ok()?;
            let registered = Registered {
                definition: &definition,
                project,
                vaults: &self.vaults,
            };
            filter.matches(registered).then_some(definition)
        }))
    }
}
