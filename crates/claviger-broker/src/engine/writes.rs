//! Values on their way into a vault: whole, or as one property of a document that others write to
//! as well; answered once for each request, and settled after a crash.

use std::collections::HashSet;
use std::sync::Arc;

use claviger_access::Authorized;
use claviger_backend::{Vaults, Written};
use claviger_core::{Cause, DefinitionName, Detail, Error, Id, Reason, Result, SecretBytes, Uid};
use claviger_store::{Batch, Expect, Stored};
use tracing::Instrument;

use crate::engine::catalog::Catalog;
use crate::engine::catalog::commit::Update;
use crate::engine::forms::{PendingPointer, definition_id};
use crate::engine::outside::span;
use crate::engine::reads::Reads;
use crate::engine::replay::{self, FreshRequest, Replay};
use crate::engine::steps::{
    Companions, Fence, NewValue, Steps, Target, in_progress, version_mismatch,
};
use crate::model::answer::{Answer, Subject};
use crate::model::definition::{Base, Definition};
use crate::model::document::{Document, Part, merge};
use crate::model::location::Place;
use crate::model::request::{RequestId, RequestState};
use crate::model::route::Route;

/// How often a merge is written before giving up: one that overwrote a change is repeated with that
/// change in it. No more, because a change that comes between the two builds on the first, which
/// lacked the other change: merging on would lose that one.
const MERGE_ATTEMPTS: usize = 2;

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
            steps: Steps::new(Arc::clone(&catalog), vaults.clone()),
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
        let Some(stored) = found else {
            return Ok(Replay::Fresh(Some(fresh)));
        };
        let request = &stored.record;
        if self.catalog.now() >= request.expire_time {
            return Ok(Replay::Fresh(Some(fresh.in_place_of(&stored))));
        }
        match request.state {
            RequestState::Begun => Err(in_progress(name)),
            RequestState::Finished => Ok(Replay::Answered(request.answer.clone())),
            RequestState::Overwritten => {
                // Told once: the next repeat is a new attempt.
                fresh.forget(&self.catalog).await?;
                let changed = Error::new(Reason::ValueChanged).with(Detail::Resource, name);
                Err(match &request.answer.subject {
                    Subject::Value(vault) => changed.with(Detail::Vault, vault),
                    Subject::Definition(_) => changed,
                })
            }
        }
    }

    /// Takes a value to its place.
    ///
    /// # Errors
    /// `LOCATION_INVALID` for a place that is only read; `PROPERTY_REQUIRED` for a document of which
    /// no key is meant; `VALUE_CHANGED` if others kept changing the document; and as
    /// [`Steps::write`].
    pub(crate) async fn write(
        &self,
        proof: &Authorized,
        target: Target<'_>,
        route: &Route,
        value: NewValue<'_>,
        request: Option<(&FreshRequest, &Answer)>,
    ) -> Result<Written> {
        if route.pin.is_some() {
            return Err(read_only(
                route,
                "pins a version, so no new one can be written; leave `version` out",
            ));
        }
        let name = target.name();
        let (property, base) = match route.part(value.format) {
            Part::Whole => (None, None),
            Part::Property(Some(property)) if property.starts_with('/') => {
                return Err(read_only(
                    route,
                    "has a pointer as property, which is read-only; name a top-level key to write it",
                ));
            }
            Part::Property(Some(property)) => {
                let base = self.document(proof, name, route, None).await?;
                (Some(property.to_owned()), base)
            }
            Part::Property(None) => {
                let base = self.readable(proof, name, route).await?;
                let key = base.as_ref().map_or(Ok(None), Document::only_key);
                let key = key.map_err(|error| error.with(Detail::Resource, name))?;
                (key, base)
            }
        };
        if let (Target::Existing(_, Fence::Latest { latest, .. }), Some(base)) = (&target, &base)
            && base.version != *latest
        {
            return Err(version_mismatch(name));
        }
        match property {
            None => {
                let base = None;
                let with = Companions { base, request };
                self.steps.write(proof, &target, route, value, with).await
            }
            Some(property) => {
                self.write_property(proof, target, route, (&property, base), value, request)
                    .await
            }
        }
    }

    /// Changes one property and keeps its siblings. The vault cannot compare and write in one step:
    /// what the write replaced tells whether somebody else's change was overwritten, and then it is
    /// put back, with ours on top.
    async fn write_property(
        &self,
        proof: &Authorized,
        mut target: Target<'_>,
        route: &Route,
        (property, mut base): (&str, Option<Document>),
        value: NewValue<'_>,
        mut request: Option<(&FreshRequest, &Answer)>,
    ) -> Result<Written> {
        let again = request.map(|(fresh, answer)| (fresh.again(), answer));
        let mut expected = Base(base.as_ref().map(|base| base.version.clone()));
        for _ in 0..MERGE_ATTEMPTS {
            let document = base.as_ref().map(|base| &base.value);
            let merged = merge(document, property, value.bytes)
                .map_err(|error| error.with(Detail::Resource, target.name()))?;
            check_length(&merged, route)?;
            let bytes = &merged;
            let merged = NewValue { bytes, ..value };
            let base_written = Some(&expected);
            let with = Companions {
                base: base_written,
                request,
            };
            let written = self
                .steps
                .write(proof, &target, route, merged, with)
                .await?;
            if written.replaced == expected.0 {
                return Ok(written);
            }
            request = again.as_ref().map(|(fresh, answer)| (fresh, *answer));
            // Not known what was overwritten, or there is no definition yet to write through again:
            // the caller has to look.
            let (Some(replaced), Target::Existing(definition, _)) = (written.replaced, &target)
            else {
                break;
            };
            let name = target.name();
            base = self.document(proof, name, route, Some(&replaced)).await?;
            expected = Base(Some(written.version));
            target = Target::Existing(definition, Fence::Current(expected.0.clone()));
        }
        // Else a repeat would be told that all is well.
        if let Some((fresh, _)) = &again {
            fresh.forget(&self.catalog).await?;
        }
        Err(Error::new(Reason::ValueChanged)
            .with(Detail::Resource, target.name())
            .with(Detail::Vault, route.vault.id()))
    }

    /// The document that a value without a property goes into, if anybody could read one there now:
    /// what was switched off, has expired or is on its way back must not stand in the way of the
    /// value after it.
    async fn readable(
        &self,
        proof: &Authorized,
        name: &DefinitionName,
        route: &Route,
    ) -> Result<Option<Document>> {
        use Reason as R;
        let unreadable = [
            R::SecretDeleted,
            R::ValueExpired,
            R::ValueNotReadable,
            R::ValueNotYetValid,
            R::ValueTooLong,
            R::VersionDestroyed,
            R::VersionDisabled,
            R::WriteInProgress,
        ];
        match self.document(proof, name, route, None).await {
            Err(error) if unreadable.contains(&error.reason()) => Ok(None),
            found => found,
        }
    }

    /// The document to merge into, if there is one.
    async fn document(
        &self,
        proof: &Authorized,
        name: &DefinitionName,
        route: &Route,
        version: Option<&Id>,
    ) -> Result<Option<Document>> {
        let version = version.map(Id::as_str);
        match self.reads.read_version(proof, route, version).await {
            Ok(document) => Ok(Some(document)),
            Err(error) if error.reason() == Reason::SecretNotFound => Ok(None),
            Err(error) => Err(error.with(Detail::Resource, name)),
        }
    }

    /// What has to hold for our own record when a write with `if_version` begins. A vault that
    /// others write to as well is asked for its latest version: a rotation in its console counts.
    ///
    /// # Errors
    /// `VERSION_MISMATCH`, and what the vault says.
    pub(crate) async fn fence(
        &self,
        proof: &Authorized,
        definition: &Definition,
        route: &Route,
        if_version: Option<&Id>,
    ) -> Result<Fence> {
        let Some(wanted) = if_version else {
            return Ok(Fence::None);
        };
        if !route.vault.capabilities().latest {
            return Ok(Fence::Current(Some(wanted.clone())));
        }
        let latest = self.reads.read_version(proof, route, None).await;
        let latest = latest
            .map_err(|error| error.with(Detail::Resource, &definition.name))?
            .version;
        match latest == *wanted {
            true => Ok(Fence::Latest {
                latest,
                current: definition.current(&route.place).cloned(),
            }),
            false => Err(version_mismatch(&definition.name)),
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
                let settled = self.settle_pointer(&id, &pointer.record, is_silent).await;
                let Err(error) = settled else { continue };
                unsettled += 1;
                if is_silent {
                    continue;
                }
                tracing::warn!(definition = %pointer.record.name, ?error, "pending write not settled");
                if error.reason() == Reason::VaultUnreachable {
                    silent.insert(vault.clone());
                }
            }
        }
    }

    async fn settle_pointer(
        &self,
        id: &str,
        pointer: &PendingPointer,
        is_silent: bool,
    ) -> Result<()> {
        let PendingPointer { name, place } = pointer;
        let stored = self.catalog.find_definition(name).await?;
        let definition = stored.as_ref().map(|stored| &*stored.record);
        let pending = definition.and_then(|definition| definition.pending(place));
        let pending = pending.filter(|pending| pending.write_id.to_string() == id);
        match definition.zip(pending) {
            Some(_) if is_silent => {
                Err(Error::unreachable(Cause::Timeout).with(Detail::Vault, &place.vault))
            }
            Some((definition, pending)) => {
                let settle = self.steps.settle(definition, place, pending);
                settle.instrument(span(Uid::random())).await
            }
            // What it pointed to is closed already.
            None => {
                let batch = Batch::new().delete::<PendingPointer>(id, Expect::Any);
                self.catalog.commit_own(batch).await.map(|_| ())
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

fn read_only(route: &Route, remedy: &'static str) -> Error {
    Error::new(Reason::LocationInvalid)
        .with(Detail::Vault, route.vault.id())
        .violation("definition.location", remedy)
}

fn check_length(merged: &SecretBytes, route: &Route) -> Result<()> {
    let limit = route.vault.capabilities().value_bytes_max;
    if merged.len() <= limit {
        return Ok(());
    }
    Err(Error::new(Reason::PayloadTooLarge)
        .with(Detail::Limit, limit)
        .violation(
            "payload",
            "makes the whole document in the vault longer than the vault takes; shorten it or \
             another property",
        ))
}
