//! Definitions deleted, brought back and gone for good.

use std::sync::Arc;
use std::time::SystemTime;

use claviger_access::{Authorized, Call, Permission};
use claviger_audit::Facts;
use claviger_backend::Address;
use claviger_core::{DefinitionName, Detail, Error, Reason, Resource, Result};
use claviger_store::{Batch, Committed, Expect, Stored};

use crate::catalog::authorized_definition;
use crate::definition::{PlaceState, not_found};
use crate::definitions::check_etag;
use crate::place::Place;
use crate::writes::{ATTEMPTS, in_progress};
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
                let cx = context(&authorized);
                match broker.settle_definition(&cx, &stored.record, None).await {
                    // There is nobody to ask any more, and nothing to lose.
                    Err(error) if is_purging && error.reason() == Reason::VaultUnknown => {}
                    settled => settled?,
                }
                let now = broker.clock.now();
                let delete = |definition: &mut Definition| {
                    if let Some(etag) = &etag {
                        check_etag(etag, definition, "etag")?;
                    }
                    let is_in_the_way = |(place, state): (&Place, &PlaceState)| {
                        let is_reachable = broker.vaults.find(&place.vault).is_ok();
                        state.pending.is_some() && (is_reachable || !is_purging)
                    };
                    if definition.places.iter().any(is_in_the_way) {
                        return Err(in_progress(&name));
                    }
                    if definition.delete_time.is_some() && !is_purging {
                        return Err(Error::new(Reason::DefinitionDeleted)
                            .with(Detail::Resource, &name)
                            .at("name"));
                    }
                    definition.delete_time.get_or_insert(now);
                    definition.is_purging |= is_purging;
                    Ok(())
                };
                // Refused before anything is said to be about to happen, and asked again by the
                // commit.
                delete(&mut (*broker.definition(&authorized).await?.record).clone())?;
                broker.audit.intent(&authorized, Facts::default()).await?;
                let stored = broker.change_deletion(&authorized, delete).await?;
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
                broker.audit.intent(&authorized, Facts::default()).await?;
                let undelete = |definition: &mut Definition| {
                    if definition.is_purging {
                        return Err(not_found(&definition.name));
                    }
                    definition.delete_time = None;
                    Ok(())
                };
                let stored = broker.change_deletion(&authorized, undelete).await?;
                Ok((*stored.record).clone())
            },
        )
        .await
    }

    /// Changes whether a definition is deleted; a value written meanwhile does not stand in the
    /// way.
    async fn change_deletion(
        &self,
        authorized: &Authorized,
        change: impl Fn(&mut Definition) -> Result<()> + Send,
    ) -> Result<Stored<Definition>> {
        let name = authorized_definition(authorized)?;
        for _ in 0..ATTEMPTS {
            let stored = self.definition(authorized).await?;
            let mut definition = (*stored.record).clone();
            change(&mut definition)?;
            let expect = Expect::Revision(stored.revision);
            if let Some(stored) = self.replace(definition, expect).await? {
                return Ok(stored);
            }
        }
        Err(Error::new(Reason::Conflict).with(Detail::Resource, name))
    }

    /// Commits a definition; `None` if another change came in between.
    async fn replace(
        &self,
        definition: Definition,
        expect: Expect,
    ) -> Result<Option<Stored<Definition>>> {
        let record_id = Definition::record_id(&definition.name);
        match self
            .records
            .commit(Batch::new().put(&record_id, &definition, expect))
            .await?
        {
            Committed::At(revision) => Ok(Some(Stored {
                revision,
                record: Arc::new(definition),
            })),
            Committed::Conflict { .. } => Ok(None),
        }
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
    /// first the mark that there is no way back, then the values, so that a crash in between leaves
    /// something to repeat and nothing to bring back.
    pub(crate) async fn erase(
        &self,
        authorized: &Authorized,
        stored: &Stored<Definition>,
    ) -> Result<()> {
        let conflict = || Error::new(Reason::Conflict).with(Detail::Resource, &stored.record.name);
        let mut definition = (*stored.record).clone();
        definition.is_purging = true;
        let marked = self
            .replace(definition, Expect::Revision(stored.revision))
            .await?;
        let marked = marked.ok_or_else(conflict)?;

        let definition = &marked.record;
        let cx = context(authorized);
        for place in definition.places.keys() {
            let address = Address {
                owner: definition.uid,
                secret: place.secret.clone(),
            };
            // One that is configured no more is no vault of ours to empty.
            if let Ok(vault) = self.vaults.find(&place.vault) {
                vault.purge(&cx, &address).await?;
            }
        }
        let expect = Expect::Revision(marked.revision);
        let record_id = Definition::record_id(&definition.name);
        let batch = Batch::new().delete::<Definition>(&record_id, expect);
        match self.records.commit(batch).await? {
            Committed::At(_) => Ok(()),
            Committed::Conflict { .. } => Err(conflict()),
        }
    }
}
