//! How a write survives a crash between two systems.
//!
//! 1. [`begin`](Broker::begin_write) commits `pending` with a fresh write id for the place;
//! 2. the vault takes the write under that id;
//! 3. [`finish`](Broker::finish_write) commits `current` and clears `pending`.
//!
//! Whoever meets a pending write that is too old to be under way, and every start, asks the vault
//! for the write id first: found, it is finished; not found, it is cleared. The payload is never
//! in Claviger's records.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use claviger_access::Authorized;
use claviger_backend::{Address, CallContext, Write, Written};
use claviger_core::{DefinitionName, Detail, Error, Format, Id, Reason, Result, SecretBytes, Uid};
use claviger_store::{Batch, Committed, Expect, Record};
use serde::{Deserialize, Serialize};

use crate::definition::{Base, Pending};
use crate::failpoints::{self, AFTER_PENDING, AFTER_VAULT, BEFORE_CURRENT};
use crate::idempotency::{FreshRequest, Request};
use crate::place::Place;
use crate::route::Route;
use crate::upkeep::own_context;
use crate::{Broker, Definition, Warning};

/// How often a change of a record is tried again when another one came in between.
pub(crate) const ATTEMPTS: usize = 8;

/// Pending writes settled per page at start-up.
const SETTLE_PAGE: usize = 100;

/// Points to a definition with a pending write, so that start-up finds it without a full scan.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct PendingPointer {
    name: DefinitionName,
    place: Place,
}

impl Record for PendingPointer {
    const KIND: &'static str = "pending/";
    const FORM: u32 = 1;
}

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
    /// What it was merged into, if it is a document with one property changed.
    pub(crate) base: Option<&'a Base>,
}

/// What became of a begun write that was stored.
pub(crate) struct Landed<'a> {
    pub(crate) version: &'a Id,
    /// Whether what it was merged into was not the latest any more.
    pub(crate) has_overwritten: bool,
    /// What deserves a look.
    pub(crate) warnings: Vec<Warning>,
}

impl<'a> Landed<'a> {
    fn of(version: &'a Id, base: Option<&Base>, replaced: Option<&Id>) -> Self {
        Self {
            version,
            has_overwritten: base.is_some_and(|base| base.0.as_ref() != replaced),
            warnings: Vec::new(),
        }
    }
}

/// What a write is to change, besides the value.
pub(crate) enum Target<'a> {
    /// A definition that does not exist yet.
    New(&'a Definition),
    /// The value of an existing one.
    Existing(Fence),
}

/// The writes under way in this process.
#[derive(Debug, Default)]
pub(crate) struct Writing(Mutex<HashSet<Uid>>);

/// A write under way, until this is dropped.
struct UnderWay<'a> {
    writing: &'a Writing,
    write_id: Uid,
}

impl Writing {
    fn enter(&self, write_id: Uid) -> UnderWay<'_> {
        self.ids().insert(write_id);
        UnderWay {
            writing: self,
            write_id,
        }
    }

    fn has(&self, write_id: Uid) -> bool {
        self.ids().contains(&write_id)
    }

    fn ids(&self) -> MutexGuard<'_, HashSet<Uid>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.writing.ids().remove(&self.write_id);
    }
}

/// A write that was begun.
#[derive(Debug)]
pub(crate) struct Begun {
    name: DefinitionName,
    place: Place,
    write_id: Uid,
    request: Option<String>,
}

impl Broker {
    /// Takes a value through all three steps and returns its version.
    ///
    /// # Errors
    /// `VERSION_MISMATCH`, `WRITE_IN_PROGRESS`, `WRITE_OUTCOME_UNKNOWN`, and what the vault says.
    pub(crate) async fn write_value(
        &self,
        authorized: &Authorized,
        target: Target<'_>,
        route: &Route,
        value: NewValue<'_>,
        request: Option<(&FreshRequest, &(impl Serialize + Sync))>,
    ) -> Result<Written> {
        let write_id = Uid::random();
        let _under_way = self.writing.enter(write_id);
        let begun = self
            .begin_write(authorized, write_id, target, route, value.base, request)
            .await?;
        failpoints::reach(AFTER_PENDING);
        let cx = crate::context(authorized);
        let write = Write {
            write_id: begun.write_id,
            value: value.bytes,
            format: value.format,
            adopt: value.is_adopting,
        };
        let written = route.vault.write(&cx, &route.address, &write).await;
        failpoints::reach(AFTER_VAULT);
        match written {
            Ok(written) => {
                // The vault has the value: whatever fails now, the next settling makes it current.
                let (version, replaced) = (&written.version, written.replaced.as_ref());
                let landed = Landed {
                    warnings: Warning::of_write(&written),
                    ..Landed::of(version, value.base, replaced)
                };
                self.close_write(&begun, Some(landed))
                    .await
                    .map_err(|error| {
                        Error::new(Reason::WriteOutcomeUnknown)
                            .with(Detail::Vault, route.vault.id())
                            .caused_by(error)
                    })?;
                Ok(written)
            }
            Err(error) => {
                if error.reason() != Reason::WriteOutcomeUnknown {
                    self.close_write(&begun, None).await?;
                }
                Err(error.with(Detail::Resource, &begun.name))
            }
        }
    }

    async fn begin_write(
        &self,
        authorized: &Authorized,
        write_id: Uid,
        target: Target<'_>,
        route: &Route,
        base: Option<&Base>,
        request: Option<(&FreshRequest, &(impl Serialize + Sync))>,
    ) -> Result<Begun> {
        let place = &route.place;
        let name = crate::catalog::authorized_definition(authorized)?;
        let begun = Begun {
            name: name.clone(),
            place: place.clone(),
            write_id,
            request: request.map(|(fresh, _)| fresh.record_id.clone()),
        };
        let now = self.clock.now();
        let pending = |is_creating| Pending {
            write_id: begun.write_id,
            start_time: now,
            is_creating,
            request: begun.request.clone(),
            base: base.cloned(),
        };
        let _gate = match &target {
            // Not longer: a project must not wait for a vault.
            Target::New(_) => Some(self.project_gate.read().await),
            Target::Existing(_) => None,
        };
        for _ in 0..ATTEMPTS {
            // Revoked while a vault was asked, or the queue before it was long.
            authorized.still_granted(self).await?;
            let (mut definition, expect, is_creating) = match &target {
                Target::New(definition) => {
                    self.project(authorized).await?;
                    ((*definition).clone(), Expect::Absent, true)
                }
                Target::Existing(fence) => {
                    let stored = self.definition(authorized).await?;
                    let definition = stored.record.live()?.clone();
                    check_free(&definition, place)?;
                    check_fence(&definition, place, fence)?;
                    (definition, Expect::Revision(stored.revision), false)
                }
            };
            let state = definition.places.entry(place.clone()).or_default();
            state.pending = Some(pending(is_creating));
            let pointer = PendingPointer {
                name: name.clone(),
                place: place.clone(),
            };
            let mut batch = Batch::new()
                .put(&Definition::record_id(name), &definition, expect)
                .put(&begun.write_id.to_string(), &pointer, Expect::Absent);
            if let Some((fresh, answer)) = request {
                batch = fresh.record(batch, answer, false, now)?;
            }
            match self.records.commit(batch).await? {
                Committed::At(_) => return Ok(begun),
                Committed::Conflict { .. } | Committed::Ended if is_creating => break,
                Committed::Conflict { .. } | Committed::Ended => {}
            }
        }
        Err(in_progress(name))
    }

    /// Commits a begun write's outcome: what landed, or nothing.
    async fn close_write(&self, begun: &Begun, landed: Option<Landed<'_>>) -> Result<()> {
        let version = landed.as_ref().map(|landed| landed.version);
        let record_id = Definition::record_id(&begun.name);
        for _ in 0..ATTEMPTS {
            let pointer = begun.write_id.to_string();
            let mut batch = Batch::new().delete::<PendingPointer>(&pointer, Expect::Any);
            let stored = self.find_definition(&begun.name).await?;
            let pending = stored.as_ref().and_then(|s| s.record.pending(&begun.place));
            let Some((stored, pending)) = stored
                .as_ref()
                .zip(pending.filter(|pending| pending.write_id == begun.write_id))
            else {
                let stored = stored.as_ref().map(|stored| &*stored.record);
                return closed_before(begun, stored, version);
            };
            let mut definition = (*stored.record).clone();
            let state = definition.places.entry(begun.place.clone()).or_default();
            state.pending = None;
            let expect = Expect::Revision(stored.revision);
            batch = match version {
                Some(version) => {
                    state.current = Some(version.clone());
                    batch.put(&record_id, &definition, expect)
                }
                None if pending.is_creating => batch.delete::<Definition>(&record_id, expect),
                None => batch.put(&record_id, &definition, expect),
            };
            batch = match (&landed, &begun.request) {
                (Some(landed), request) => {
                    self.finish_request(batch, request.as_deref(), landed)
                        .await?
                }
                (None, Some(request)) => batch.delete::<Request>(request, Expect::Any),
                (None, None) => batch,
            };
            failpoints::reach(BEFORE_CURRENT);
            if let Committed::At(_) = self.records.commit(batch).await? {
                return Ok(());
            }
        }
        Err(in_progress(&begun.name))
    }

    /// Settles a pending write that nobody is working on any more.
    ///
    /// # Errors
    /// `WRITE_IN_PROGRESS` if somebody may be, `VAULT_UNREACHABLE` if the vault cannot be asked.
    pub(crate) async fn settle_place(
        &self,
        cx: &CallContext,
        definition: &Definition,
        place: &Place,
    ) -> Result<()> {
        let Some(pending) = definition.pending(place) else {
            return Ok(());
        };
        if self.writing.has(pending.write_id) {
            return Err(in_progress(&definition.name));
        }
        // Its caller gave up on it, but the vault may still be at it for as long as a call may
        // take. A start in the future is a clock that was set back.
        let timeout = self.vaults.find(&place.vault)?.timeout();
        let age = self
            .clock
            .now()
            .duration_since(pending.start_time)
            .unwrap_or(timeout);
        if age < timeout {
            return Err(in_progress(&definition.name).retry_after(timeout.saturating_sub(age)));
        }
        self.settle(cx, definition, place, pending).await
    }

    /// Settles the pending writes of a definition that began for a request, or all of them.
    ///
    /// # Errors
    /// As [`Self::settle_place`].
    pub(crate) async fn settle_definition(
        &self,
        cx: &CallContext,
        definition: &Definition,
        request: Option<&str>,
    ) -> Result<()> {
        for place in definition.places.keys() {
            let pending = definition.pending(place);
            let is_meant =
                pending.is_some_and(|p| request.is_none() || p.request.as_deref() == request);
            if is_meant {
                self.settle_place(cx, definition, place).await?;
            }
        }
        Ok(())
    }

    /// Settles what a crash left behind. No write is under way at start-up, whatever its age.
    /// Returns how many could not be settled because their vault does not answer: the next writer
    /// tries again.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE`, `INTEGRITY_FAILURE`.
    pub async fn settle_all(&self) -> Result<usize> {
        let cx = own_context();
        let mut unsettled = 0;
        // Asked once: a start is not to wait for each write of a vault that hangs.
        let mut silent: HashSet<Id> = HashSet::new();
        let mut after: Option<String> = None;
        loop {
            let page = self
                .records
                .scan::<PendingPointer>("", after.as_deref(), SETTLE_PAGE)
                .await?;
            let Some((last, _)) = page.last() else {
                return Ok(unsettled);
            };
            after = Some(last.clone());
            for (id, pointer) in page {
                let PendingPointer { name, place } = &*pointer.record;
                let stored = self.find_definition(name).await?;
                let pending = stored.as_ref().and_then(|s| s.record.pending(place));
                let settled = match (&stored, pending.filter(|p| p.write_id.to_string() == id)) {
                    (Some(_), Some(_)) if silent.contains(&place.vault) => {
                        unsettled += 1;
                        continue;
                    }
                    (Some(stored), Some(pending)) => {
                        self.settle(&cx, &stored.record, place, pending).await
                    }
                    // What it pointed to is closed already.
                    _ => self.forget_pointer(&id).await,
                };
                if let Err(error) = settled {
                    tracing::warn!(definition = %name, ?error, "pending write not settled");
                    unsettled += 1;
                    if error.reason() == Reason::VaultUnreachable {
                        silent.insert(place.vault.clone());
                    }
                }
            }
        }
    }

    async fn forget_pointer(&self, id: &str) -> Result<()> {
        let batch = Batch::new().delete::<PendingPointer>(id, Expect::Any);
        match self.records.commit(batch).await? {
            Committed::At(_) | Committed::Conflict { .. } | Committed::Ended => Ok(()),
        }
    }

    async fn settle(
        &self,
        cx: &CallContext,
        definition: &Definition,
        place: &Place,
        pending: &Pending,
    ) -> Result<()> {
        let vault = Arc::clone(self.vaults.find(&place.vault)?);
        let address = Address {
            owner: definition.uid,
            secret: place.secret.clone(),
        };
        let version = vault.find_write(cx, &address, pending.write_id).await?;
        let begun = Begun {
            name: definition.name.clone(),
            place: place.clone(),
            write_id: pending.write_id,
            request: pending.request.clone(),
        };
        tracing::info!(definition = %definition.name, is_found = version.is_some(), "pending write settled");
        let landed = match &version {
            None => None,
            Some(version) => {
                let replaced = match &pending.base {
                    None => None,
                    Some(_) => vault.replaced(cx, &address, version).await?,
                };
                Some(Landed::of(
                    version,
                    pending.base.as_ref(),
                    replaced.as_ref(),
                ))
            }
        };
        self.close_write(&begun, landed).await
    }
}

impl Definition {
    pub(crate) fn pending(&self, place: &Place) -> Option<&Pending> {
        self.places
            .get(place)
            .and_then(|state| state.pending.as_ref())
    }
}

/// A begun write whose pending mark is gone was settled by somebody else: it counts if that found
/// the same version.
fn closed_before(begun: &Begun, stored: Option<&Definition>, version: Option<&Id>) -> Result<()> {
    let current = stored.and_then(|definition| definition.current(&begun.place));
    if version.is_none() || version == current {
        return Ok(());
    }
    Err(Error::new(Reason::WriteOutcomeUnknown).with(Detail::Vault, &begun.place.vault))
}

fn check_free(definition: &Definition, place: &Place) -> Result<()> {
    match definition.pending(place) {
        None => Ok(()),
        Some(_) => Err(in_progress(&definition.name)),
    }
}

fn check_fence(definition: &Definition, place: &Place, fence: &Fence) -> Result<()> {
    let wanted = match fence {
        Fence::None => return Ok(()),
        Fence::Current(wanted)
        | Fence::Latest {
            current: wanted, ..
        } => wanted,
    };
    match definition.current(place) == wanted.as_ref() {
        true => Ok(()),
        false => Err(version_mismatch(&definition.name)),
    }
}

pub(crate) fn version_mismatch(name: &DefinitionName) -> Error {
    Error::new(Reason::VersionMismatch)
        .with(Detail::Resource, name)
        .at("if_version")
}

pub(crate) fn in_progress(name: &DefinitionName) -> Error {
    Error::new(Reason::WriteInProgress).with(Detail::Resource, name)
}
