//! Values on their way into a vault: whole, or as one property of a document that others write to
//! as well; answered once for each request, and settled after a crash.

use std::collections::HashSet;
use std::sync::Arc;

use claviger_access::Authorized;
use claviger_audit::Intent;
use claviger_backend::{Staged, Vaults, Written};
use claviger_core::{DefinitionName, Detail, Error, Id, Reason, Result, Uid};
use claviger_store::{Batch, Expect, Stored};
use tracing::Instrument;

use crate::engine::catalog::Catalog;
use crate::engine::catalog::commit::{Unsure, Update};
use crate::engine::forms::{PendingPointer, definition_id};
use crate::engine::merging::{Merging, Progress};
use crate::engine::outside::span;
use crate::engine::reads::{Reads, is_unreadable};
use crate::engine::replay::{self, FreshRequest, Replay};
use crate::engine::staging::{Done, Staging, unknown};
use crate::engine::steps::{Fence, NewValue, Steps, Target, version_mismatch};
use crate::model::answer::{Answer, Subject};
use crate::model::definition::Definition;
use crate::model::location::Place;
use crate::model::project::MANAGED;
use crate::model::request::{Request, RequestId, RequestState};
use crate::model::route::Route;

/// Pending writes settled per page at start-up.
const SETTLE_PAGE: usize = 100;

/// The owner of the writes.
#[derive(Debug)]
pub(crate) struct Writes {
    catalog: Arc<Catalog>,
    reads: Arc<Reads>,
    vaults: Vaults,
    steps: Steps,
}

impl Writes {
    pub(crate) fn new(catalog: Arc<Catalog>, reads: Arc<Reads>, vaults: Vaults) -> Self {
        Self {
            steps: Steps::new(Arc::clone(&catalog), Arc::clone(&reads), vaults.clone()),
            catalog,
            reads,
            vaults,
        }
    }

    /// Looks a request id up, once a write that it began is settled. `content` is everything that
    /// makes the request what it is.
    ///
    /// # Errors
    /// `REQUEST_ID_REUSED` if the id came with other content before; `WRITE_IN_PROGRESS` if its
    /// write may still be under way; `VALUE_CHANGED` if it was stored over somebody else's change.
    pub(crate) async fn replay(
        &self,
        proof: &Authorized,
        name: &DefinitionName,
        id: Option<RequestId>,
        content: &[&[u8]],
    ) -> Result<Replay> {
        let Some(id) = id else {
            return Ok(Replay::Fresh(None));
        };
        let fresh = FreshRequest::new(&self.catalog, proof, id, content);
        let mut found = fresh.find(&self.catalog).await?;
        let is_begun = |state| state == RequestState::Begun;
        if found.as_ref().is_some_and(|s| is_begun(s.record.state)) {
            if let Some(stored) = self.catalog.find_definition(name).await? {
                let settle = self
                    .steps
                    .settle_definition(&stored.record, Some(&fresh.record_id));
                settle.await?;
            }
            found = fresh.find(&self.catalog).await?;
        }
        self.known(fresh, found)
            .await
            .map_err(|error| error.with(Detail::Resource, name))
    }

    /// As [`Self::replay`], of a request that is one commit of our own store, and so never under way.
    ///
    /// # Errors
    /// `REQUEST_ID_REUSED` if the id came with other content before.
    pub(crate) async fn replay_commit(
        &self,
        proof: &Authorized,
        id: Option<RequestId>,
        content: &[&[u8]],
    ) -> Result<Replay> {
        let Some(id) = id else {
            return Ok(Replay::Fresh(None));
        };
        let fresh = FreshRequest::new(&self.catalog, proof, id, content);
        let found = fresh.find(&self.catalog).await?;
        self.known(fresh, found).await
    }

    /// What the record of a request says about it.
    async fn known(&self, fresh: FreshRequest, found: Option<Stored<Request>>) -> Result<Replay> {
        let Some(stored) = found else {
            return Ok(Replay::Fresh(Some(fresh)));
        };
        let request = &stored.record;
        if self.catalog.now() >= request.expire_time {
            return Ok(Replay::Fresh(Some(fresh.in_place_of(&stored))));
        }
        match request.state {
            RequestState::Begun => Err(Error::new(Reason::WriteInProgress)),
            RequestState::Finished => Ok(Replay::Answered(request.answer.clone())),
            RequestState::Overwritten => {
                // Told once: the next repeat is a new attempt.
                fresh.forget(&self.catalog).await?;
                let changed = Error::new(Reason::ValueChanged);
                Err(match &request.answer.subject {
                    Subject::Value(vault) => changed.with(Detail::Vault, vault),
                    Subject::Definition(_) | Subject::Profile(_) => changed,
                })
            }
        }
    }

    /// A value on its way into Claviger's own store, for a commit that changes more than that. `None`
    /// if the vault is elsewhere.
    ///
    /// # Errors
    /// `LOCATION_INVALID` for a place that is only read; `STORE_UNAVAILABLE`.
    pub(crate) async fn stage(
        &self,
        _: &Authorized,
        route: &Route,
        value: NewValue<'_>,
    ) -> Result<Option<Staged>> {
        check_writable(route)?;
        let write = value.into_write(Uid::random());
        route.vault.stage(&route.address, &write).await
    }

    /// Commits a change of our own store together with its intent. `false` if another change came
    /// in between.
    ///
    /// # Errors
    /// `WRITE_IN_PROGRESS` if that was a call with the same request id; `WRITE_OUTCOME_UNKNOWN`;
    /// `AUDIT_UNAVAILABLE`; and what [`Catalog::commit`] refuses.
    pub(crate) async fn commit_noted(
        &self,
        proof: &Authorized,
        batch: Batch,
        request: Option<&FreshRequest>,
        intent: Intent<'_>,
    ) -> Result<bool> {
        let unknown = |error| {
            Error::new(Reason::WriteOutcomeUnknown)
                .with(Detail::Vault, Id::from_static(MANAGED))
                .caused_by(error)
        };
        let committed = match intent.note() {
            Ok(note) => self.catalog.commit(proof, &batch.note(note)).await,
            Err(error) => Err(error),
        };
        match committed {
            Ok(Some(revision)) => {
                let copied = intent.copied(Some(revision)).await;
                return copied.map(|()| true).map_err(unknown);
            }
            Err(error) if Unsure::is_cause(&error) => {
                // Whether it is copied or not, the answer is the same.
                intent.copied(None).await.ok();
                return Err(unknown(error));
            }
            Ok(None) | Err(_) => intent.refused(),
        }
        committed?;
        match request {
            Some(request) if request.is_overtaken(&self.catalog).await? => {
                Err(Error::new(Reason::WriteInProgress))
            }
            Some(_) | None => Ok(false),
        }
    }

    /// Takes a value to its place, and the intent to the audit log: in one commit with the value, or
    /// first where the vault is elsewhere.
    ///
    /// # Errors
    /// `AUDIT_UNAVAILABLE`; `LOCATION_INVALID` for a place that is only read; `VALUE_CHANGED` for whatever fails once the
    /// value is stored; and as [`Staging::write`] or [`Steps::write`].
    pub(crate) async fn write(
        &self,
        proof: &Authorized,
        target: Target<'_>,
        route: &Route,
        value: NewValue<'_>,
        request: Option<(&FreshRequest, &Answer)>,
        intent: Intent<'_>,
    ) -> Result<Written> {
        check_writable(route)?;
        let staging = Staging {
            catalog: &self.catalog,
            reads: &self.reads,
            request,
            intent: &intent,
        };
        match staging.write(proof, &target, route, value).await {
            Ok(Some(Done { written, revision })) => {
                let copied = intent.copied(Some(revision)).await;
                return copied
                    .map(|()| written)
                    .map_err(|error| unknown(error, route));
            }
            Ok(None) => intent.written().await?,
            Err(error) if error.reason() == Reason::WriteOutcomeUnknown => {
                // Whether it is copied or not, the answer is the same.
                intent.copied(None).await.ok();
                return Err(error);
            }
            Err(error) => {
                intent.refused();
                return Err(error);
            }
        }
        let name = target.name().clone();
        let mut progress = Progress {
            request,
            is_stored: false,
        };
        let merging = Merging {
            catalog: &self.catalog,
            reads: &self.reads,
            steps: &self.steps,
        };
        let written = merging.write(proof, target, route, value, &mut progress);
        match written.await {
            Err(error) if progress.is_stored && error.reason() != Reason::WriteOutcomeUnknown => {
                // Else a repeat would be told that all is well.
                if let Some((fresh, _)) = request {
                    fresh.forget(&self.catalog).await?;
                }
                // Its own reason would say that nothing is stored.
                Err(Error::new(Reason::ValueChanged)
                    .with(Detail::Resource, &name)
                    .with(Detail::Vault, route.vault.id())
                    .caused_by(error))
            }
            written => written,
        }
    }

    /// What has to hold for our own record when a write with `if_version` begins. A vault that
    /// others write to as well is asked for its latest version: a rotation in its console counts.
    ///
    /// # Errors
    /// `VERSION_MISMATCH`, `LOCATION_INVALID` for a place that is only read, and what the vault says.
    pub(crate) async fn fence(
        &self,
        proof: &Authorized,
        definition: &Definition,
        route: &Route,
        if_version: Option<&Id>,
    ) -> Result<Fence> {
        check_writable(route)?;
        let Some(wanted) = if_version else {
            return Ok(Fence::None);
        };
        if !route.vault.capabilities().latest {
            return Ok(Fence::Current(Some(wanted.clone())));
        }
        let latest = match self.reads.read_around(proof, route, None).await {
            Ok(document) => Some(document.version),
            // One that is switched off, or out of its dates, is the one to be replaced.
            Err(error) if is_unreadable(&error) => self.reads.latest(proof, route).await?,
            Err(error) => return Err(error.with(Detail::Resource, &definition.name)),
        };
        match latest.filter(|latest| latest == wanted) {
            Some(latest) => Ok(Fence::Latest {
                latest,
                current: definition.current(&route.place).cloned(),
            }),
            None => Err(version_mismatch(&definition.name)),
        }
    }

    /// Settles the pending writes of a definition, so that it can be changed.
    ///
    /// # Errors
    /// `WRITE_IN_PROGRESS`, `VAULT_UNREACHABLE`, `VAULT_UNKNOWN`.
    pub(crate) async fn settle(&self, _: &Authorized, definition: &Definition) -> Result<()> {
        let settle = self.steps.settle_definition(definition, None);
        settle.await
    }

    /// As [`Self::settle`], at one place.
    ///
    /// # Errors
    /// As there.
    pub(crate) async fn settle_at(
        &self,
        _: &Authorized,
        definition: &Definition,
        place: &Place,
    ) -> Result<()> {
        let settle = self.steps.settle_place(definition, place);
        settle.await
    }

    /// Destroys the values that Claviger's own vault holds for a definition, and removes it. It is
    /// marked by then, and there is no way back: not even for a caller that loses its permission.
    ///
    /// # Errors
    /// `VAULT_UNREACHABLE`; a repeat goes on where it stopped.
    pub(crate) async fn purge(&self, _: &Authorized, marked: &Definition) -> Result<()> {
        for place in marked.places.keys() {
            let address = marked.address(place);
            // One that is no longer configured is not a vault of ours to empty.
            if let Ok(vault) = self.vaults.find(&place.vault) {
                vault.purge(&address).await?;
            }
        }
        let remove = |stored: Option<&Stored<Definition>>| {
            let stored = stored.filter(|stored| stored.record.uid == marked.uid);
            Ok(match stored.filter(|stored| stored.record.is_purging) {
                Some(_) => Update::Delete {
                    also: Batch::new(),
                    answer: true,
                },
                None => Update::Keep(false),
            })
        };
        let id = definition_id(&marked.name);
        match self.catalog.update_own(&id, remove).await? {
            Some(true) => Ok(()),
            Some(false) | None => {
                Err(Error::new(Reason::Conflict).with(Detail::Resource, &marked.name))
            }
        }
    }

    /// Settles what a crash left behind. No write is under way at start-up, whatever its age.
    /// Returns how many could not be settled because their vault does not answer: the next writer
    /// tries again.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE`, `INTEGRITY_FAILURE`.
    pub(crate) async fn settle_all(&self) -> Result<usize> {
        let mut unsettled = 0;
        // Asked once: a start is not to wait for each write of a vault that hangs.
        let mut silent: HashSet<Id> = HashSet::new();
        let mut after: Option<String> = None;
        loop {
            let page = self
                .catalog
                .scan_own::<PendingPointer>(after.as_deref(), SETTLE_PAGE)
                .await?;
            let Some((last, _)) = page.last() else {
                return Ok(unsettled);
            };
            after = Some(last.clone());
            for (id, pointer) in page {
                let vault = &pointer.record.place.vault;
                let is_silent = silent.contains(vault);
                match self.settle_pointer(&id, &pointer.record, is_silent).await {
                    Ok(true) => {}
                    Ok(false) => unsettled += 1,
                    Err(error) => {
                        unsettled += 1;
                        tracing::warn!(definition = %pointer.record.name, ?error, "pending write not settled");
                        if error.reason() == Reason::VaultUnreachable {
                            silent.insert(vault.clone());
                        }
                    }
                }
            }
        }
    }

    /// Whether it is settled: a vault that is silent is not asked.
    async fn settle_pointer(
        &self,
        id: &str,
        pointer: &PendingPointer,
        is_silent: bool,
    ) -> Result<bool> {
        let PendingPointer { name, place } = pointer;
        let stored = self.catalog.find_definition(name).await?;
        let definition = stored.as_ref().map(|stored| &*stored.record);
        let pending = definition.and_then(|definition| definition.pending(place));
        let pending = pending.filter(|pending| pending.write_id.to_string() == id);
        match definition.zip(pending) {
            Some(_) if is_silent => Ok(false),
            Some((definition, pending)) => {
                let settle = self.steps.settle(definition, place, pending);
                settle.instrument(span(Uid::random())).await.map(|()| true)
            }
            // What it pointed to is closed already.
            None => {
                let batch = Batch::new().delete::<PendingPointer>(id, Expect::Any);
                self.catalog.commit_own(batch).await.map(|_| true)
            }
        }
    }

    /// Removes the answers that no repeat gets any longer.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE`; the next sweep goes on.
    pub(crate) async fn sweep_requests(&self) -> Result<()> {
        replay::sweep(&self.catalog).await
    }
}

fn check_writable(route: &Route) -> Result<()> {
    let pointer = route
        .property
        .as_deref()
        .filter(|name| name.starts_with('/'));
    if route.pin.is_some() {
        return Err(read_only(
            route,
            "pins a version, so no new one can be written; leave `version` out",
        ));
    }
    match pointer {
        None => Ok(()),
        Some(_) => Err(read_only(
            route,
            "has a pointer as property, which is read-only; name a top-level key to write it",
        )),
    }
}

fn read_only(route: &Route, remedy: &'static str) -> Error {
    Error::new(Reason::LocationInvalid)
        .with(Detail::Vault, route.vault.id())
        .violation("definition.location", remedy)
}
