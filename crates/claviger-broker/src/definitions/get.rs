//! A definition, read.

use std::sync::Arc;

use claviger_access::{Call, Permission};
use claviger_core::{DefinitionName, Result};

use crate::broker::Broker;
use crate::model::definition::{Definition, not_found};

impl Broker {
    /// Reads a definition.
    ///
    /// # Errors
    /// See the RPC `GetSecretDefinition`.
    pub async fn get_definition(
        &self,
        call: &Arc<Call>,
        name: &DefinitionName,
    ) -> Result<Definition> {
        let permissions = &[Permission::DefinitionsGet];
        let asked = self
            .catalog
            .ask_definition(call, permissions, name, None)
            .await?;
        let stored = asked.found.definition();
        let result = stored.and_then(|stored| self.visible(&stored.record));
        self.decided(asked, result).await
    }

    /// What a reader of definitions sees: soft-deleted ones too, half-created ones not.
    pub(crate) fn visible(&self, definition: &Definition) -> Result<Definition> {
        if definition.is_creating() || self.catalog.is_gone(definition) {
            return Err(not_found(&definition.name));
        }
        Ok(definition.clone())
    }
}
