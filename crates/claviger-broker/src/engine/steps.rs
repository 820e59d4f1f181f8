//! How a write survives a crash between two systems. One to a vault that lives in Claviger's own
//! store is a single commit instead, see [`staging`](crate::engine::staging).
//!
//! 1. [`begin`](Steps::begin) commits `pending` with a fresh write id for the place;
//! 2. the vault takes the write under that id;
//! 3. [`close`](Steps::close) commits `current` and clears `pending`.
//!
//! Anybody that meets a pending write which is too old to be under way, and every start, asks the
//! vault for the write id first: found, it is finished; not found, it is cleared. The payload is
//! never in Claviger's records.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use claviger_access::Authorized;
use claviger_backend::{Vaults, Write, Written};
use claviger_core::{DefinitionName, Detail, Error, Format, Id, Reason, Result, SecretBytes, Uid};
use claviger_store::{Batch, Expect, Stored};

use crate::engine::catalog::Catalog;
use crate::engine::catalog::commit::Update;
use crate::engine::forms::{PendingPointer, definition_id};
use crate::engine::reads::Reads;
use crate::engine::replay::{FreshRequest, Landed};
use crate::failpoints::{self, AFTER_PENDING, AFTER_VAULT, BEFORE_CURRENT};
use crate::model::answer::Answer;
use crate::model::definition::{Base, Current, Definition, Pending, not_found};
use crate::model::location::Place;
use crate::model::request::{Request, RequestState};
use crate::model::route::Route;
use crate::model::warning::Warning;

/// What our own record of the current version has to be when a write begins.
#[derive(Clone, Debug)]
pub(crate) enum Fence {
    /// Anything.
    None,
    /// This version, or none at all.
    Current(Option<Id>),
    /// What it was when the vault, which others write to as well, had `latest`.
    Latest {
        /// The vault's own latest version.
        latest: Id,
        /// Our record then.
        current: Option<Id>,
    },
}

/// A value on its way to a vault.
#[derive(Clone, Copy)]
pub(crate) struct NewValue<'a> {
    pub(crate) bytes: &'a SecretBytes,
    pub(crate) format: Format,
    /// Whether a secret that the definition did not create may be written.
    pub(crate) is_adopting: bool,
}

impl<'a> NewValue<'a> {
    /// The write that brings it into a vault.
    pub(super) fn into_write(self, write_id: Uid) -> Write<'a> {
        Write {
            write_id,
            value: self.bytes,
            format: self.format,
            adopt: self.is_adopting,
        }
    }
}

/// The definition whose value is written. The proof may be about something else: what a caller may
/// do to a profile can write the value of the definition behind it.
#[derive(Clone)]
pub(crate) enum Target<'a> {
    /// One that does not exist yet, and comes with its first value.
    New(&'a Definition),
    /// One that exists.
    Existing(&'a Definition, Fence),
}

/// What a write carries along.
#[derive(Clone, Copy)]
pub(crate) struct Companions<'a> {
    /// What it was merged into, if it is a document with one property changed.
    pub(super) base: Option<&'a Base>,
    /// The request that it answers.
    pub(super) request: Option<(&'a FreshRequest, &'a Answer)>,
}

/// The steps of writes, and the writes that this process is taking to a vault right now: nobody
/// settles those.
#[derive(Debug)]
pub(super) struct Steps {
    catalog: Arc<Catalog>,
    reads: Arc<Reads>,
    vaults: Vaults,
    under_way: Mutex<HashSet<Uid>>,
}

/// A write under way, until this is dropped.
struct UnderWay<'a> {
    steps: &'a Steps,
    write_id: Uid,
}

/// A write that was begun.
#[derive(Debug)]
struct Begun {
    name: DefinitionName,
    place: Place,
    write_id: Uid,
    request: Option<String>,
}

impl Steps {
    pub(super) fn new(catalog: Arc<Catalog>, reads: Arc<Reads>, vaults: Vaults) -> Self {
        Self {
            catalog,
            reads,
            vaults,
            under_way: Mutex::default(),
        }
    }

    /// Takes a value through all three steps.
    ///
    /// # Errors
    /// `VERSION_MISMATCH`, `WRITE_IN_PROGRESS`, `WRITE_OUTCOME_UNKNOWN`, what the vault says, and
    /// what [`Catalog::commit`] refuses.
    pub(super) async fn write(
        &self,
        proof: &Authorized,
        target: &Target<'_>,
        route: &Route,
        value: NewValue<'_>,
        with: Companions<'_>,
    ) -> Result<Written> {
        let write_id = Uid::random();
        let _under_way = self.enter(write_id);
        let begun = self.begin(proof, write_id, target, route, with).await?;
        failpoints::reach(AFTER_PENDING);
        let write = value.into_write(write_id);
        let written = route.vault.write(&route.address, &write);
        let written = written.await;
        match &written {
            // A vault that fails would take all readers with it.
            Err(error) if error.reason() != Reason::WriteOutcomeUnknown => {
                self.reads.doubt(&route.vault, &route.place);
            }
            Ok(_) | Err(_) => self.reads.forget(&route.vault, &route.place),
        }
        failpoints::reach(AFTER_VAULT);
        match written {
            Ok(written) => {
                let base = with.base;
                let landed = Landed {
                    version: &written.version,
                    overwritten: base.and_then(|base| base.overwritten(written.replaced.clone())),
                    warnings: Warning::of_write(&written),
                };
                // The vault has the value: whatever fails now, the next settling makes it current.
                self.close(&begun, Some(landed)).await.map_err(|error| {
                    Error::new(Reason::WriteOutcomeUnknown)
                        .with(Detail::Vault, route.vault.id())
                        .caused_by(error)
                })?;
                Ok(written)
            }
            Err(error) => {
                if error.reason() != Reason::WriteOutcomeUnknown {
                    self.close(&begun, None).await?;
                }
                let remedy = "set adopt to write it all the same, or choose another secret";
                Err(not_owned(error, remedy).with(Detail::Resource, &begun.name))
            }
        }
    }

    async fn begin(
        &self,
        proof: &Authorized,
        write_id: Uid,
        target: &Target<'_>,
        route: &Route,
        with: Companions<'_>,
    ) -> Result<Begun> {
        let name = target.name();
        let begun = Begun {
            name: name.clone(),
            place: route.place.clone(),
            write_id,
            request: with.request.map(|(fresh, _)| fresh.record_id.clone()),
        };
        let now = self.catalog.now();
        let beginning = |definition: &Definition, is_creating| {
            let mut definition = definition.clone();
            let state = definition.places.entry(begun.place.clone()).or_default();
            state.pending = Some(Pending {
                write_id,
                start_time: now,
                is_creating,
                request: begun.request.clone(),
                base: with.base.cloned(),
            });
            definition
        };
        let also = || {
            let pointer = PendingPointer {
                name: name.clone(),
                place: begun.place.clone(),
            };
            let batch = Batch::new().put(&write_id.to_string(), &pointer, Expect::Absent);
            match with.request {
                Some((fresh, answer)) => fresh.record(batch, answer, RequestState::Begun, now),
                None => batch,
            }
        };
        let committed = match target {
            Target::New(definition) => {
                // Not longer than the commit: a project must not wait for a vault.
                let _gate = self.catalog.adding_to(proof, name.project()).await?;
                let new = beginning(definition, true);
                let batch = also().put(&definition_id(name), &new, Expect::Absent);
                self.catalog.commit(proof, &batch).await?.map(|_| ())
            }
            Target::Existing(expected, fence) => {
                let change = |stored: Option<&Stored<Definition>>| {
                    let place = &begun.place;
                    let found = check_writable(&self.catalog, stored, expected, place)?;
                    check_fence(found.current(place), fence, name)?;
                    Ok(Update::Put {
                        record: beginning(found, false),
                        also: also(),
                        answer: (),
                    })
                };
                let id = definition_id(name);
                self.catalog.update(proof, &id, change).await?
            }
        };
        committed.map(|()| begun).ok_or_else(|| in_progress(name))
    }

    /// Commits a begun write's outcome: what landed, or nothing.
    async fn close(&self, begun: &Begun, landed: Option<Landed<'_>>) -> Result<()> {
        let request = match &begun.request {
            Some(id) => self.catalog.get_own::<Request>(id).await?.zip(Some(id)),
            None => None,
        };
        let change = |stored: Option<&Stored<Definition>>| {
            let definition = stored.map(|stored| &*stored.record);
            let version = landed.as_ref().map(|landed| landed.version);
            let pending = definition.and_then(|definition| definition.pending(&begun.place));
            let pending = pending.filter(|pending| pending.write_id == begun.write_id);
            let Some((definition, pending)) = definition.zip(pending) else {
                return closed_before(begun, definition, version).map(Update::Keep);
            };
            let pointer = begun.write_id.to_string();
            let also = Batch::new().delete::<PendingPointer>(&pointer, Expect::Any);
            let also = match (&request, &landed) {
                (Some((stored, id)), Some(landed)) => {
                    also.put(id, &stored.record.landed(landed), Expect::Any)
                }
                (Some((_, id)), None) => also.delete::<Request>(id, Expect::Any),
                (None, _) => also,
            };
            let answer = ();
            failpoints::reach(BEFORE_CURRENT);
            if version.is_none() && pending.is_creating {
                return Ok(Update::Delete { also, answer });
            }
            let mut record = definition.clone();
            let state = record.places.entry(begun.place.clone()).or_default();
            state.pending = None;
            if let Some(landed) = &landed {
                state.current = Some(Current::At(landed.version.clone()));
                let overwritten = landed.overwritten.clone();
                state.unmerged = overwritten.filter(|unmerged| !unmerged.others.is_empty());
            }
            Ok(Update::Put {
                record,
                also,
                answer,
            })
        };
        let id = definition_id(&begun.name);
        let closed = self.catalog.update_own(&id, change).await?;
        closed.ok_or_else(|| in_progress(&begun.name))
    }

    /// Settles the pending writes of a definition that began for a request, or all of them.
    ///
    /// # Errors
    /// As [`Self::settle_place`].
    pub(super) async fn settle_definition(
        &self,
        definition: &Definition,
        request: Option<&str>,
    ) -> Result<()> {
        for (place, state) in &definition.places {
            let pending = state.pending.as_ref();
            if pending.is_some_and(|p| request.is_none() || p.request.as_deref() == request) {
                self.settle_place(definition, place).await?;
            }
        }
        Ok(())
    }

    /// Settles a pending write that nobody is working on any longer.
    ///
    /// # Errors
    /// `WRITE_IN_PROGRESS` if somebody may be, `VAULT_UNREACHABLE` if the vault cannot be asked.
    pub(super) async fn settle_place(&self, definition: &Definition, place: &Place) -> Result<()> {
        let Some(pending) = definition.pending(place) else {
            return Ok(());
        };
        if self.ids().contains(&pending.write_id) {
            return Err(in_progress(&definition.name));
        }
        // Its caller gave up on it, but the vault may still be at it for as long as a call may
        // take. A start in the future is a clock that was set back.
        let timeout = self.vaults.find(&place.vault)?.timeout();
        let age = self.catalog.now().duration_since(pending.start_time);
        let age = age.unwrap_or(timeout);
        if age < timeout {
            return Err(in_progress(&definition.name).retry_after(timeout.saturating_sub(age)));
        }
        self.settle(definition, place, pending).await
    }

    /// Asks the vault what became of a write that is not under way.
    ///
    /// # Errors
    /// `VAULT_UNREACHABLE` if the vault cannot be asked.
    pub(super) async fn settle(
        &self,
        definition: &Definition,
        place: &Place,
        pending: &Pending,
    ) -> Result<()> {
        let vault = Arc::clone(self.vaults.find(&place.vault)?);
        let address = definition.address(place);
        let version = vault.find_write(&address, pending.write_id).await?;
        self.reads.forget(&vault, place);
        let begun = Begun {
            name: definition.name.clone(),
            place: place.clone(),
            write_id: pending.write_id,
            request: pending.request.clone(),
        };
        tracing::info!(definition = %definition.name, is_found = version.is_some(), "pending write settled");
        let Some(version) = version else {
            return self.close(&begun, None).await;
        };
        let overwritten = match &pending.base {
            None => None,
            Some(base) => {
                let replaced = vault.replaced(&address, &version);
                let overwritten = base.overwritten(replaced.await?);
                let is_latest = vault.latest(&address).await?.as_ref() == Some(&version);
                // Who came later may have had the document of before: the caller has to look.
                overwritten.or_else(|| (!is_latest).then(|| base.unknown()))
            }
        };
        let landed = Landed {
            version: &version,
            overwritten,
            warnings: Vec::new(),
        };
        self.close(&begun, Some(landed)).await
    }

    fn enter(&self, write_id: Uid) -> UnderWay<'_> {
        self.ids().insert(write_id);
        UnderWay {
            steps: self,
            write_id,
        }
    }

    fn ids(&self) -> MutexGuard<'_, HashSet<Uid>> {
        self.under_way
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.steps.ids().remove(&self.write_id);
    }
}

impl Target<'_> {
    pub(super) fn definition(&self) -> &Definition {
        match self {
            Self::New(definition) | Self::Existing(definition, _) => definition,
        }
    }

    /// The definition's name.
    pub(super) fn name(&self) -> &DefinitionName {
        &self.definition().name
    }
}

/// A begun write whose pending mark is gone was settled by another call: it counts if that found
/// the same version.
fn closed_before(begun: &Begun, stored: Option<&Definition>, version: Option<&Id>) -> Result<()> {
    let current = stored.and_then(|definition| definition.current(&begun.place));
    if version.is_none() || version == current {
        return Ok(());
    }
    Err(Error::new(Reason::WriteOutcomeUnknown).with(Detail::Vault, &begun.place.vault))
}

/// What a write finds of the definition that it `expected`, unless it has to stay away.
///
/// # Errors
/// `DEFINITION_NOT_FOUND`, `DEFINITION_DELETED`, `WRITE_IN_PROGRESS`.
pub(super) fn check_writable<'a>(
    catalog: &Catalog,
    stored: Option<&'a Stored<Definition>>,
    expected: &Definition,
    place: &Place,
) -> Result<&'a Definition> {
    let stored = stored
        .filter(|stored| stored.record.uid == expected.uid && !catalog.is_gone(&stored.record));
    let definition = stored
        .ok_or_else(|| not_found(&expected.name))?
        .record
        .live()?;
    check_free(definition, place)?;
    Ok(definition)
}

fn check_free(definition: &Definition, place: &Place) -> Result<()> {
    match definition.pending(place) {
        None => Ok(()),
        Some(_) => Err(in_progress(&definition.name)),
    }
}

/// Checks that the current version is the one that a write is meant to follow.
///
/// # Errors
/// `VERSION_MISMATCH`.
pub(super) fn check_fence(
    current: Option<&Id>,
    fence: &Fence,
    name: &DefinitionName,
) -> Result<()> {
    let wanted = match fence {
        Fence::None => return Ok(()),
        Fence::Current(wanted)
        | Fence::Latest {
            current: wanted, ..
        } => wanted,
    };
    match current == wanted.as_ref() {
        true => Ok(()),
        false => Err(version_mismatch(name)),
    }
}

/// Names the remedy that the request has for a secret which is not the project's.
pub(crate) fn not_owned(error: Error, remedy: &'static str) -> Error {
    match error.reason() == Reason::SecretNotOwned {
        true => error.with(Detail::Remedy, remedy),
        false => error,
    }
}

pub(super) fn version_mismatch(name: &DefinitionName) -> Error {
    Error::new(Reason::VersionMismatch)
        .with(Detail::Resource, name)
        .at("if_version")
}

pub(crate) fn in_progress(name: &DefinitionName) -> Error {
    Error::new(Reason::WriteInProgress).with(Detail::Resource, name)
}
