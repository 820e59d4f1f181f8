//! Values on their way into a vault: whole, or as one property of a document that others write to
//! as well; answered once for each request, and settled after a crash.

use std::collections::HashSet;
use std::sync::Arc;

use claviger_access::Authorized;
use claviger_backend::{Vaults, Written};
use claviger_core::{
    DefinitionName, Detail, Error, Id, Reason, Result, SecretBytes, Uid, VersionName,
};
use claviger_store::{Batch, Expect, Stored};
use tracing::Instrument;

use crate::engine::catalog::Catalog;
use crate::engine::catalog::commit::Update;
use crate::engine::forms::{PendingPointer, definition_id};
use crate::engine::outside::span;
use crate::engine::reads::{Reads, is_absent, is_unreadable};
use crate::engine::replay::{self, FreshRequest, Replay};
use crate::engine::steps::{
    Companions, Fence, NewValue, Steps, Target, in_progress, version_mismatch,
};
use crate::model::answer::{Answer, Subject};
use crate::model::definition::{Base, Definition, Unmerged};
use crate::model::document::{Document, Part, is_document, merge};
use crate::model::location::Place;
use crate::model::reconcile::reconcile;
use crate::model::request::{RequestId, RequestState};
use crate::model::route::Route;

/// How often a merge is written before giving up: one that overwrote a change is repeated with that
/// change in it. An editor without end is no reason to go on.
const MERGE_ATTEMPTS: usize = 4;

/// How many versions are looked at for the shape of a secret whose latest one cannot be read.
const OLDER_VERSIONS: usize = 8;

/// Pending writes settled per page at start-up.
const SETTLE_PAGE: usize = 100;

/// Said with the reason for which the latest version cannot be read.
const MAY_BE_DOCUMENT: &str = "would take the place of all that is there, which may be a JSON \
    document with other keys; make that readable first, or name a key in location.property, or set \
    location.whole to replace all of it";

/// The owner of the writes.
#[derive(Debug)]
pub(crate) struct Writes {
    catalog: Arc<Catalog>,
    reads: Arc<Reads>,
    vaults: Vaults,
    steps: Steps,
}

/// A write on its way.
struct Progress<'a> {
    request: Option<(&'a FreshRequest, &'a Answer)>,
    /// Whether the vault has the value, whatever fails from now on.
    is_stored: bool,
}

/// What is at a place that a value goes to without a property.
enum Shape {
    /// A value that stands for itself, or none; with the version that was seen.
    Bare(Base),
    /// A document with this one key.
    Key(String),
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
    /// `LOCATION_INVALID` for a place that is only read; `VALUE_CHANGED` for whatever fails once the
    /// value is stored; and as [`Steps::write`].
    pub(crate) async fn write(
        &self,
        proof: &Authorized,
        target: Target<'_>,
        route: &Route,
        value: NewValue<'_>,
        request: Option<(&FreshRequest, &Answer)>,
    ) -> Result<Written> {
        check_writable(route)?;
        let name = target.name().clone();
        let mut progress = Progress {
            request,
            is_stored: false,
        };
        let written = self.write_part(proof, target, route, value, &mut progress);
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

    async fn write_part(
        &self,
        proof: &Authorized,
        target: Target<'_>,
        route: &Route,
        value: NewValue<'_>,
        progress: &mut Progress<'_>,
    ) -> Result<Written> {
        let property = match route.part(value.format) {
            Part::Whole => {
                let (base, request) = (None, progress.request);
                let with = Companions { base, request };
                return self.steps.write(proof, &target, route, value, with).await;
            }
            Part::Property(Some(property)) => property.to_owned(),
            Part::Property(None) => match self.shape(proof, &target, route).await? {
                Shape::Bare(base) => {
                    let written = self.write_bare(proof, target, route, &base, value, progress);
                    return written.await;
                }
                Shape::Key(key) => key,
            },
        };
        self.write_property(proof, target, route, &property, value, progress)
            .await
    }

    /// The shape of what is there, which a value keeps that names no property.
    ///
    /// # Errors
    /// `PROPERTY_REQUIRED`; why the latest version cannot be read, if it may be a document.
    async fn shape(&self, proof: &Authorized, target: &Target<'_>, route: &Route) -> Result<Shape> {
        let document = match self.document(proof, target, route).await {
            Err(error) if is_unreadable(&error) => {
                let latest = self.reads.latest(proof, route).await?;
                check_latest(target, latest.as_ref())?;
                return match self.was_bare(proof, target, route, latest.as_ref()).await? {
                    true => Ok(Shape::Bare(Base(latest))),
                    false => Err(error.violation("payload", MAY_BE_DOCUMENT)),
                };
            }
            // What the write brings back is looked at after it.
            Err(error) if is_absent(&error) || error.reason() == Reason::WriteInProgress => None,
            document => document?,
        };
        let Some(document) = document else {
            return Ok(Shape::Bare(Base(None)));
        };
        check_latest(target, Some(&document.version))?;
        let key = document.only_key();
        let key = key.map_err(|error| error.with(Detail::Resource, target.name()))?;
        Ok(key.map_or(Shape::Bare(Base(Some(document.version))), Shape::Key))
    }

    /// Whether a version that cannot be read was a bare value, as far as those before it tell, or
    /// our own record where there are none: a leaked value that was switched off must not stand in
    /// the way of the one after it, and the keys of a document must not get lost.
    async fn was_bare(
        &self,
        proof: &Authorized,
        target: &Target<'_>,
        route: &Route,
        version: Option<&Id>,
    ) -> Result<bool> {
        let Some(version) = version else {
            return Ok(true);
        };
        let older = self.reads.older(proof, route, version, OLDER_VERSIONS);
        for older in older.await? {
            if let Some(value) = self.readable(proof, route, &older).await? {
                return Ok(!is_document(&value));
            }
        }
        Ok(target.definition().current(&route.place) == Some(version))
    }

    /// Stores a value that stands for itself. A document that came in between is put back: the
    /// repeat finds it and keeps its shape, or is told what it has to name.
    async fn write_bare(
        &self,
        proof: &Authorized,
        target: Target<'_>,
        route: &Route,
        base: &Base,
        value: NewValue<'_>,
        progress: &mut Progress<'_>,
    ) -> Result<Written> {
        let request = progress.request;
        let with = Companions {
            base: None,
            request,
        };
        let written = self.steps.write(proof, &target, route, value, with).await?;
        progress.is_stored = true;
        let overwritten = base.overwritten(written.replaced.clone());
        for other in overwritten.into_iter().flat_map(|it| it.others) {
            let Some(theirs) = self.readable(proof, route, &other).await? else {
                match self.was_bare(proof, &target, route, Some(&other)).await? {
                    true => continue,
                    false => return Err(Error::new(Reason::ValueChanged)),
                }
            };
            if !is_document(&theirs) {
                continue;
            }
            if !written.followed {
                let (Target::New(definition) | Target::Existing(definition, _)) = target;
                let fence = Fence::Current(Some(written.version.clone()));
                let target = Target::Existing(definition, fence);
                let bytes = &theirs;
                let value = NewValue { bytes, ..value };
                let ours = Base(Some(written.version));
                let with = Companions {
                    base: Some(&ours),
                    request: None,
                };
                self.steps.write(proof, &target, route, value, with).await?;
            }
            return Err(Error::new(Reason::ValueChanged));
        }
        Ok(written)
    }

    /// Changes one property and keeps its siblings. The vault cannot compare and write in one step:
    /// what the write replaced tells whether somebody else's change was overwritten, and then that
    /// is put back, by the next attempt or, after a crash, by the next write of the definition.
    async fn write_property(
        &self,
        proof: &Authorized,
        mut target: Target<'_>,
        route: &Route,
        property: &str,
        value: NewValue<'_>,
        progress: &mut Progress<'_>,
    ) -> Result<Written> {
        let mut request = progress.request;
        let again = request.map(|(fresh, answer)| (fresh.again(), answer));
        let stored = self.catalog.find_definition(target.name()).await?;
        let unmerged = stored.as_ref().map(|stored| &stored.record);
        let unmerged = unmerged.and_then(|definition| definition.unmerged(&route.place));
        let mut unmerged = unmerged.cloned();
        let mut last: Option<Written> = None;
        for _ in 0..MERGE_ATTEMPTS {
            let latest = self.document(proof, &target, route).await?;
            let base = Base(latest.as_ref().map(|latest| latest.version.clone()));
            check_latest(&target, base.0.as_ref())?;
            if let (Some(written), Some(latest), None) = (&last, &latest, &unmerged)
                && latest.has(property, value.bytes)
            {
                // Whoever came after us has kept it.
                return Ok(written.clone());
            }
            let document = match (&latest, &unmerged) {
                (Some(latest), Some(unmerged)) => {
                    let own = match &last {
                        Some(written) => Some(&written.version),
                        None => target.definition().current(&route.place),
                    };
                    let known = Known {
                        is_told: last.is_none(),
                        is_own: own == Some(&latest.version),
                    };
                    self.restored(proof, route, latest, unmerged, known).await?
                }
                (latest, _) => latest.as_ref().map(|latest| latest.value.duplicate()),
            };
            let merged = merge(document.as_ref(), property, value.bytes)
                .map_err(|error| error.with(Detail::Resource, target.name()))?;
            check_length(&merged, route)?;
            let bytes = &merged;
            let merged = NewValue { bytes, ..value };
            let with = Companions {
                base: Some(&base),
                request,
            };
            let written = self
                .steps
                .write(proof, &target, route, merged, with)
                .await?;
            progress.is_stored = true;
            unmerged = base.overwritten(written.replaced.clone());
            let (Target::New(definition) | Target::Existing(definition, _)) = target;
            target = Target::Existing(definition, Fence::Current(Some(written.version.clone())));
            request = again.as_ref().map(|(fresh, answer)| (fresh, *answer));
            match &unmerged {
                None if !written.followed => return Ok(written),
                // Not known what was overwritten: the caller has to look.
                Some(unmerged) if unmerged.others.is_empty() => break,
                Some(_) | None => last = Some(written),
            }
        }
        Err(Error::new(Reason::ValueChanged))
    }

    /// The document to merge into, if there is one.
    async fn document(
        &self,
        proof: &Authorized,
        target: &Target<'_>,
        route: &Route,
    ) -> Result<Option<Document>> {
        match self.reads.read_version(proof, route, None).await {
            Ok(document) => Ok(Some(document)),
            Err(error) if error.reason() == Reason::SecretNotFound => Ok(None),
            // Its other properties cannot be kept, and the one to enable has to be named.
            Err(error) if error.reason() == Reason::VersionDisabled => {
                let latest = self.reads.latest(proof, route).await?;
                let name = |latest| VersionName::new(target.name().clone(), latest);
                Err(match latest.map(name) {
                    Some(version) => error.with(Detail::Resource, version),
                    None => error.with(Detail::Resource, target.name()),
                })
            }
            Err(error) => Err(error.with(Detail::Resource, target.name())),
        }
    }

    /// The latest document with what a write of ours has overwritten.
    async fn restored(
        &self,
        proof: &Authorized,
        route: &Route,
        latest: &Document,
        unmerged: &Unmerged,
        known: Known,
    ) -> Result<Option<SecretBytes>> {
        let readable = async |version: &Id| match self.readable(proof, route, version).await? {
            None if !known.is_told => Err(Error::new(Reason::ValueChanged)),
            value => Ok(value),
        };
        let base = match &unmerged.base.0 {
            Some(base) => readable(base).await?,
            None => None,
        };
        let mut document = latest.value.duplicate();
        for other in &unmerged.others {
            let Some(theirs) = readable(other).await? else {
                tracing::warn!(vault = %route.vault.id(), version = %other, "overwritten change is gone");
                continue;
            };
            match reconcile(&document, base.as_ref(), &theirs, known.is_own) {
                Err(error) if !known.is_told => return Err(error),
                Err(_) => {}
                Ok(both) => document = both,
            }
        }
        Ok(Some(document))
    }

    /// The value of an older version, unless it is gone or not to be read any longer.
    async fn readable(
        &self,
        proof: &Authorized,
        route: &Route,
        version: &Id,
    ) -> Result<Option<SecretBytes>> {
        let version = Some(version.as_str());
        match self.reads.read_version(proof, route, version).await {
            Ok(document) => Ok(Some(document.value)),
            Err(error) if is_unreadable(&error) || is_absent(&error) => Ok(None),
            Err(error) => Err(error),
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
        let latest = match self.reads.read_version(proof, route, None).await {
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

/// Refuses a write whose `if_version` is no longer what the vault has.
fn check_latest(target: &Target<'_>, found: Option<&Id>) -> Result<()> {
    match target {
        Target::Existing(_, Fence::Latest { latest, .. }) if found != Some(latest) => {
            Err(version_mismatch(target.name()))
        }
        Target::Existing(..) | Target::New(_) => Ok(()),
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

/// What is known of a change that a write of ours has overwritten.
#[derive(Clone, Copy)]
struct Known {
    /// The caller was told before: what cannot be put back is left then, and else never in silence.
    is_told: bool,
    /// The latest document is ours: all in it but our own property is older than the change.
    is_own: bool,
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
