//! Writes to a vault that lives in Claviger's own store: there is no second system that a crash
//! could part them from, so all that a write changes is one commit, and nothing is ever pending.
//!
//! INVARIANT: the intent is in that commit, and so on record exactly if its effect is. Whoever begins
//! a commit here copies it to the audit log when that has ended (`claviger-audit/src/outbox.rs` has
//! the whole order).

use claviger_access::Authorized;
use claviger_audit::Intent;
use claviger_backend::{Staged, Written};
use claviger_core::{Detail, Error, Reason, Result, Uid};
use claviger_store::{Batch, Expect, Stored};

use crate::engine::catalog::Catalog;
use crate::engine::catalog::commit::{ATTEMPTS, Unsure, Update};
use crate::engine::forms::definition_id;
use crate::engine::reads::Reads;
use crate::engine::replay::FreshRequest;
use crate::engine::steps::{NewValue, Target, check_fence, check_writable, in_progress};
use crate::failpoints::{self, AFTER_VAULT, BEFORE_CURRENT};
use crate::model::answer::Answer;
use crate::model::definition::{Current, Definition, PlaceState};
use crate::model::request::RequestState;
use crate::model::route::Route;

/// One write, with what it needs of the engine.
pub(super) struct Staging<'a> {
    pub(super) catalog: &'a Catalog,
    pub(super) reads: &'a Reads,
    pub(super) request: Option<(&'a FreshRequest, &'a Answer)>,
    /// Goes into the commit.
    pub(super) intent: &'a Intent<'a>,
}

/// A value that is stored.
pub(super) struct Done {
    pub(super) written: Written,
    /// Of the commit.
    pub(super) revision: u64,
}

impl Staging<'_> {
    /// Stores a value, again whenever another change came in between. `None` if the vault is
    /// elsewhere.
    ///
    /// # Errors
    /// `VERSION_MISMATCH`; `WRITE_IN_PROGRESS` if others kept coming in between;
    /// `WRITE_OUTCOME_UNKNOWN`; `AUDIT_UNAVAILABLE` while the intent could not be copied; and what [`Catalog::commit`] refuses.
    pub(super) async fn write(
        &self,
        proof: &Authorized,
        target: &Target<'_>,
        route: &Route,
        value: NewValue<'_>,
    ) -> Result<Option<Done>> {
        let write = value.into_write(Uid::random());
        for _ in 0..ATTEMPTS {
            let Some(staged) = route.vault.stage(&route.address, &write).await? else {
                return Ok(None);
            };
            let outcome = self.commit(proof, target, route, &staged).await;
            self.reads.forget(&route.vault, &route.place);
            failpoints::reach(AFTER_VAULT);
            match outcome {
                Ok(Some(revision)) => {
                    let written = Written::new(staged.version);
                    return Ok(Some(Done { written, revision }));
                }
                Err(error) if Unsure::is_cause(&error) => return Err(unknown(error, route)),
                Err(error) if error.reason() != Reason::VersionMismatch => return Err(error),
                Ok(None) | Err(_) if self.is_overtaken().await? => break,
                Ok(None) => {}
                Err(mismatch) => return Err(mismatch),
            }
        }
        Err(in_progress(target.name()))
    }

    /// Whether what came in between was a call with the same request id.
    async fn is_overtaken(&self) -> Result<bool> {
        match self.request {
            Some((fresh, _)) => fresh.is_overtaken(self.catalog).await,
            None => Ok(false),
        }
    }

    /// Commits the value, the intent, the answer to a repeat, and the definition if it is the first
    /// value there. `None` if another change came in between.
    async fn commit(
        &self,
        proof: &Authorized,
        target: &Target<'_>,
        route: &Route,
        staged: &Staged,
    ) -> Result<Option<u64>> {
        let name = target.name();
        let id = definition_id(name);
        let with_value = |definition: &Definition| {
            let mut definition = definition.clone();
            let state = PlaceState {
                current: Some(Current::Newest),
                ..PlaceState::default()
            };
            definition.places.insert(route.place.clone(), state);
            definition
        };
        let also = || Ok(self.with_answer(staged).note(self.intent.note()?));
        match target {
            Target::New(definition) => {
                let _gate = self.catalog.adding_to(proof, name.project()).await?;
                let batch = also()?.put(&id, &with_value(definition), Expect::Absent);
                failpoints::reach(BEFORE_CURRENT);
                let committed = self.catalog.commit(proof, &batch).await?;
                // Who was first has the name.
                committed.map(Some).ok_or_else(|| in_progress(name))
            }
            Target::Existing(expected, fence) => {
                let change = |stored: Option<&Stored<Definition>>| {
                    let place = &route.place;
                    let found = check_writable(self.catalog, stored, expected, place)?;
                    let has_newest = found.has_newest(place);
                    let current = match has_newest {
                        true => staged.replaced.as_ref(),
                        false => found.current(place),
                    };
                    check_fence(current, fence, name)?;
                    failpoints::reach(BEFORE_CURRENT);
                    let (also, answer) = (also()?, ());
                    Ok(match has_newest {
                        true => Update::Rely { also, answer },
                        false => Update::Put {
                            record: with_value(found),
                            also,
                            answer,
                        },
                    })
                };
                self.catalog.update_once(proof, &id, change).await
            }
        }
    }

    fn with_answer(&self, staged: &Staged) -> Batch {
        let batch = staged.batch.duplicate();
        match self.request {
            Some((fresh, answer)) => {
                let answer = Answer {
                    version: Some(staged.version.clone()),
                    ..answer.clone()
                };
                fresh.record(batch, &answer, RequestState::Finished, self.catalog.now())
            }
            None => batch,
        }
    }
}

/// What a caller is told whose value may be stored.
pub(super) fn unknown(error: Error, route: &Route) -> Error {
    Error::new(Reason::WriteOutcomeUnknown)
        .with(Detail::Vault, route.vault.id())
        .caused_by(error)
}
