//! Definitions deleted, brought back and gone for good.

use std::fmt;
use std::sync::Arc;

use claviger_access::{Authorized, Call, Permission};
use claviger_audit::Facts;
use claviger_core::{DefinitionName, Detail, Error, Kind, ProfileName, Public, Reason, Result};
use claviger_store::{Batch, Stored};
use tokio::sync::RwLockWriteGuard;

use crate::broker::Broker;
use crate::engine::catalog::commit::Update;
use crate::engine::forms::definition_id;
use crate::engine::found::{Asked, OnDefinition};
use crate::engine::steps::in_progress;
use crate::model::definition::{Definition, PlaceState, not_found};
use crate::model::location::Place;
use crate::model::profile::Profile;

impl Broker {
    /// Soft-deletes or purges a definition and returns its last state.
    ///
    /// # Errors
    /// See the RPC `DeleteSecretDefinition`.
    pub async fn delete_definition(
        self: &Arc<Self>,
        call: &Arc<Call>,
        name: &DefinitionName,
        etag: Option<String>,
        is_purging: bool,
    ) -> Result<Definition> {
        let permissions = &[Permission::DefinitionsDelete];
        let asked = self
            .catalog
            .ask_definition(call, permissions, name, None)
            .await?;
        let facts = |_: &_| Facts::default();
        self.finish_detached(asked, facts, move |broker, asked| async move {
            broker
                .delete_definition_asked(&asked, etag.as_deref(), is_purging)
                .await
        })
        .await
    }

    async fn delete_definition_asked(
        &self,
        asked: &Asked<OnDefinition>,
        etag: Option<&str>,
        is_purging: bool,
    ) -> Result<Definition> {
        let proof = &asked.proof;
        let found = &asked.found.definition()?.record;
        match self.writes.settle(proof, found).await {
            // There is no longer anybody to ask, and nothing to lose.
            Err(error) if is_purging && error.reason() == Reason::VaultUnknown => {}
            settled => settled?,
        }
        let now = self.catalog.now();
        let delete = |definition: &mut Definition| {
            if let Some(etag) = etag {
                definition.check_etag(etag, "etag")?;
            }
            let is_in_the_way = |(place, state): (&Place, &PlaceState)| {
                let is_reachable = self.vaults.find(&place.vault).is_ok();
                state.pending.is_some() && (is_reachable || !is_purging)
            };
            if definition.places.iter().any(is_in_the_way) {
                return Err(in_progress(&definition.name));
            }
            if definition.delete_time.is_some() && !is_purging {
                return Err(deleted(definition));
            }
            definition.delete_time.get_or_insert(now);
            definition.is_purging |= is_purging;
            Ok(())
        };
        // Refused before anything is said to be about to happen, and asked again by the commit.
        let before = self.catalog.again(asked).await?.record;
        let mut after = (*before).clone();
        delete(&mut after)?;
        let facts = match is_purging {
            true => before.ending(),
            false => before.changing(&after),
        };
        let gate = self.keep_from_profiles(proof, found).await?;
        self.audit.intent(proof, facts).await?;
        let definition = self.change_deletion(proof, found, delete).await?;
        drop(gate);
        if let Ok(registered) = asked.found.live(&self.vaults) {
            self.doubt(registered);
        }
        if is_purging {
            self.installs.purge(proof, definition.uid).await?;
            self.writes.purge(proof, &definition).await?;
        }
        Ok(definition)
    }

    /// Refuses what a profile gives to jobs, and keeps profiles from leading there until the gate is
    /// dropped.
    ///
    /// # Errors
    /// `DEFINITION_IN_USE`.
    async fn keep_from_profiles(
        &self,
        proof: &Authorized,
        found: &Definition,
    ) -> Result<Option<RwLockWriteGuard<'_, ()>>> {
        match found.content.kind {
            Kind::StripeApiKey | Kind::StripeOauth => {}
            Kind::Opaque | Kind::Password | Kind::StripeWebhookSecret => return Ok(None),
        }
        let gate = self.catalog.removing().await;
        let is_there = |profile: &Profile| !self.catalog.is_over(profile.delete_time);
        match self.leading_to(proof, &found.name, is_there).await? {
            Some(profile) => Err(Error::new(Reason::DefinitionInUse)
                .with(Detail::Resource, &found.name)
                .with(Detail::Remedy, LeadsThere(profile))
                .at("name")),
            None => Ok(Some(gate)),
        }
    }

    /// Takes back a soft delete.
    ///
    /// # Errors
    /// See the RPC `UndeleteSecretDefinition`.
    pub async fn undelete_definition(
        self: &Arc<Self>,
        call: &Arc<Call>,
        name: &DefinitionName,
    ) -> Result<Definition> {
        let permissions = &[Permission::DefinitionsDelete];
        let asked = self
            .catalog
            .ask_definition(call, permissions, name, None)
            .await?;
        let facts = |_: &_| Facts::default();
        self.finish_detached(asked, facts, |broker, asked| async move {
            let found = &asked.found.definition()?.record;
            let definition = broker.visible(found)?;
            if definition.delete_time.is_none() {
                return Ok(definition);
            }
            if definition.content.names_a_secret() {
                // It would lead there again, and its place may be another one's by now.
                asked
                    .proof
                    .claim_on_project(Permission::DefinitionsPut, None)?;
            }
            let after = Definition {
                delete_time: None,
                ..definition.clone()
            };
            let changing = definition.changing(&after);
            broker.audit.intent(&asked.proof, changing).await?;
            let undelete = |definition: &mut Definition| {
                if definition.is_purging || broker.catalog.is_gone(definition) {
                    return Err(not_found(&definition.name));
                }
                definition.delete_time = None;
                Ok(())
            };
            broker.change_deletion(&asked.proof, found, undelete).await
        })
        .await
    }

    /// Changes whether a definition is deleted; a value written meanwhile does not stand in the
    /// way.
    async fn change_deletion(
        &self,
        proof: &Authorized,
        found: &Definition,
        change: impl Fn(&mut Definition) -> Result<()>,
    ) -> Result<Definition> {
        let name = &found.name;
        let update = |stored: Option<&Stored<Definition>>| {
            let stored = stored.filter(|stored| stored.record.uid == found.uid);
            let mut record = (*stored.ok_or_else(|| not_found(name))?.record).clone();
            change(&mut record)?;
            let answer = record.clone();
            Ok(Update::Put {
                record,
                also: Batch::new(),
                answer,
            })
        };
        let id = definition_id(name);
        let changed = self.catalog.update(proof, &id, update).await?;
        changed.ok_or_else(|| Error::new(Reason::Conflict).with(Detail::Resource, name))
    }

    /// Removes a definition whose name is free again: first the mark that there is no way back, so
    /// that a crash leaves something to repeat and nothing to bring back.
    pub(crate) async fn erase(&self, proof: &Authorized, found: &Definition) -> Result<()> {
        let conflict = || Error::new(Reason::Conflict).with(Detail::Resource, &found.name);
        let mark = |definition: &mut Definition| {
            // Brought back, or made anew, while this call looked at vaults.
            if !self.catalog.is_gone(definition) {
                return Err(conflict());
            }
            definition.is_purging = true;
            Ok(())
        };
        let marked = match self.change_deletion(proof, found, mark).await {
            Err(error) if error.reason() == Reason::DefinitionNotFound => return Err(conflict()),
            marked => marked?,
        };
        self.installs.purge(proof, marked.uid).await?;
        self.writes.purge(proof, &marked).await
    }
}

/// Why a definition is in use.
struct LeadsThere(ProfileName);

impl fmt::Display for LeadsThere {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} gives it to jobs; point that profile elsewhere, or purge it (DeleteConnectionProfile), \
             first",
            self.0
        )
    }
}

/// A name, and what is written here.
impl Public for LeadsThere {}

fn deleted(definition: &Definition) -> Error {
    Error::new(Reason::DefinitionDeleted)
        .with(Detail::Resource, &definition.name)
        .at("name")
}
