//! Definitions deleted, brought back and gone for good.

use std::sync::Arc;
use std::time::SystemTime;

use claviger_access::{Authorized, Call, Permission};
use claviger_audit::Facts;
use claviger_backend::Address;
use claviger_core::{DefinitionName, Detail, Error, Reason, Resource, Result};
use claviger_store::{Batch, Committed, Expect, Stored};

use crate::catalog::authorized_definition;
use crate::definitions::check_etag;
use crate::writes::ATTEMPTS;
use crate::{Broker, Definition, context};

impl Broker {
    /// Soft-deletes or purges a definition and returns its last state.
    ///
    /// # Errors
    /// See the RPC `DeleteSecretDefinition`.
    pub async fn delete_definition(
        self: &Arc<Self>,
        call: &Arc<Call>,
        name: DefinitionName,
        etag: Option<String>,
        is_purging: bool,
    ) -> Result<Definition> {
        let resource = Resource::Definition(name.clone());
        let authorized = self
            .authorize(call, &[Permission::DefinitionsDelete], resource, None)
            .await?;
        self.finish_detached(
            authorized,
            |_| Facts::default(),
            move |broker, authorized| async move {
                let stored = broker.definition(&authorized).await?;
                broker
                    .settle_definition(&context(&authorized), &stored.record)
                    .await?;
                let stored = broker.definition(&authorized).await?;
                if let Some(etag) = &etag {
                    check_etag(etag, &stored.record)?;
                }
                let is_deleted = stored.record.delete_time.is_some();
                if is_deleted && !is_purging {
                    return Err(Error::new(Reason::DefinitionDeleted).with(Detail::Resource, &name));
                }
                broker.audit.intent(&authorized).await?;
                let stored = if is_deleted {
                    stored
                } else {
                    let now = broker.clock.now();
                    broker
                        .set_deleted(&authorized, |definition| definition.delete_time = Some(now))
                        .await?
                };
                if is_purging {
                    broker.erase(&authorized, &stored).await?;
                }
                Ok((*stored.record).clone())
            },
        )
        .await
    }

    /// Takes back a soft delete.
    ///
    /// # Errors
    /// See the RPC `UndeleteSecretDefinition`.
    pub async fn undelete_definition(
        self: &Arc<Self>,
        call: &Arc<Call>,
        name: DefinitionName,
    ) -> Result<Definition> {
        let resource = Resource::Definition(name.clone());
        let authorized = self
            .authorize(call, &[Permission::DefinitionsDelete], resource, None)
            .await?;
        self.finish_detached(
            authorized,
            |_| Facts::default(),
            |broker, authorized| async move {
                let stored = broker.definition(&authorized).await?;
                broker.visible(&stored)?;
                if stored.record.delete_time.is_none() {
                    return Ok((*stored.record).clone());
                }
                broker.audit.intent(&authorized).await?;
                let stored = broker
                    .set_deleted(&authorized, |definition| definition.delete_time = None)
                    .await?;
                Ok((*stored.record).clone())
            },
        )
        .await
    }

    /// Changes a definition's delete time; a value written meanwhile does not stand in the way.
    async fn set_deleted(
        &self,
        authorized: &Authorized,
        change: impl Fn(&mut Definition) + Send,
    ) -> Result<Stored<Definition>> {
        let name = authorized_definition(authorized)?;
        for _ in 0..ATTEMPTS {
            let stored = self.definition(authorized).await?;
            let mut definition = (*stored.record).clone();
            change(&mut definition);
            let expect = Expect::Revision(stored.revision);
            let batch = Batch::new().put(&Definition::record_id(name), &definition, expect);
            if let Committed::At(revision) = self.records.commit(batch).await? {
                return Ok(Stored {
                    revision,
                    record: Arc::new(definition),
                });
            }
        }
        Err(Error::new(Reason::Conflict).with(Detail::Resource, name))
    }

    /// Whether a soft-deleted definition's name is free again.
    pub(crate) fn is_gone(&self, definition: &Definition) -> bool {
        definition
            .delete_time
            .is_some_and(|deleted| self.clock.now() >= deleted + self.deleted_retention)
    }

    /// When a soft-deleted definition's name becomes free.
    pub fn purge_time(&self, definition: &Definition) -> Option<SystemTime> {
        definition
            .delete_time
            .map(|deleted| deleted + self.deleted_retention)
    }

    /// Removes a soft-deleted definition with the values that Claviger's own vault holds for it:
    /// values first, so that a crash in between leaves something to repeat.
    pub(crate) async fn erase(
        &self,
        authorized: &Authorized,
        stored: &Stored<Definition>,
    ) -> Result<()> {
        let definition = &stored.record;
        let cx = context(authorized);
        for place in definition.places.keys() {
            let address = Address {
                owner: definition.uid,
                secret: place.secret.clone(),
            };
            self.vaults.find(&place.vault)?.purge(&cx, &address).await?;
        }
        let expect = Expect::Revision(stored.revision);
        let record_id = Definition::record_id(&definition.name);
        match self
            .records
            .commit(Batch::new().delete::<Definition>(&record_id, expect))
            .await?
        {
            Committed::At(_) => Ok(()),
            Committed::Conflict { .. } => {
                Err(Error::new(Reason::Conflict).with(Detail::Resource, &definition.name))
            }
        }
    }
}
