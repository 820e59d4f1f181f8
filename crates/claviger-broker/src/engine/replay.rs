//! One record per (principal, RPC, request id): a repeat gets the first answer.
//!
//! The record holds a keyed hash of the request, never the request.

use std::time::{Duration, SystemTime};

use claviger_access::Authorized;
use claviger_core::{Error, Id, Reason, Result};
use claviger_store::{Batch, Expect, Stored};

use crate::engine::catalog::Catalog;
use crate::engine::found::expect;
use crate::model::answer::Answer;
use crate::model::definition::Unmerged;
use crate::model::request::{Request, RequestId, RequestState};
use crate::model::warning::Warning;

/// How long a repeat gets the first answer.
const KEPT: Duration = Duration::from_secs(24 * 60 * 60);

/// Expired requests removed per commit.
const SWEEP_PAGE: usize = 500;

/// A request with an id that was not answered before.
#[derive(Clone, Debug)]
pub(crate) struct FreshRequest {
    pub(super) record_id: String,
    mac: [u8; 32],
    /// Two calls with one id at the same moment: only one of them begins.
    expect: Expect,
}

/// What an id says about a request.
pub(crate) enum Replay {
    /// Answered before: the same again.
    Answered(Answer),
    /// Not answered yet; `None` if the caller sent no id.
    Fresh(Option<FreshRequest>),
}

/// What became of a begun write that was stored.
pub(super) struct Landed<'a> {
    pub(super) version: &'a Id,
    /// What it has overwritten, if what it was merged into was no longer the latest.
    pub(super) overwritten: Option<Unmerged>,
    /// What deserves a look.
    pub(super) warnings: Vec<Warning>,
}

impl FreshRequest {
    /// A request of this content; whether it was answered before is not known yet.
    pub(super) fn new(
        catalog: &Catalog,
        proof: &Authorized,
        RequestId(id): RequestId,
        content: &[&[u8]],
    ) -> Self {
        let call = proof.call();
        Self {
            record_id: format!("{}/{}/{id}", call.caller.principal, call.rpc.name),
            mac: catalog.mac("request", content),
            expect: Expect::Absent,
        }
    }

    /// The same request where its own record is in place by now.
    pub(super) fn again(&self) -> Self {
        Self {
            expect: Expect::Any,
            ..self.clone()
        }
    }

    /// The same request in place of one whose time is over.
    pub(super) fn in_place_of(self, stored: &Stored<Request>) -> Self {
        Self {
            expect: Expect::Revision(stored.revision),
            ..self
        }
    }

    /// Adds the record of this request to the batch that begins or answers it.
    pub(crate) fn record(
        &self,
        batch: Batch,
        answer: &Answer,
        state: RequestState,
        now: SystemTime,
    ) -> Batch {
        let request = Request {
            mac: self.mac,
            expire_time: now + KEPT,
            state,
            answer: answer.clone(),
        };
        batch.put(&self.record_id, &request, self.expect)
    }

    /// What is known about it.
    ///
    /// # Errors
    /// `REQUEST_ID_REUSED` if the id came with other content before.
    pub(super) async fn find(&self, catalog: &Catalog) -> Result<Option<Stored<Request>>> {
        let stored = catalog.get_own::<Request>(&self.record_id).await?;
        let is_other = stored.as_ref().is_some_and(|stored| {
            catalog.now() < stored.record.expire_time
                && !claviger_seal::equal(&stored.record.mac, &self.mac)
        });
        match is_other {
            true => Err(Error::new(Reason::RequestIdReused).at("request_id")),
            false => Ok(stored),
        }
    }

    /// Whether another call with this id was quicker.
    ///
    /// # Errors
    /// As [`Self::find`].
    pub(super) async fn is_overtaken(&self, catalog: &Catalog) -> Result<bool> {
        let found = self.find(catalog).await?;
        Ok(expect(found.as_ref()) != self.expect)
    }

    /// Makes the next call with this id a new one.
    pub(super) async fn forget(&self, catalog: &Catalog) -> Result<()> {
        let batch = Batch::new().delete::<Request>(&self.record_id, Expect::Any);
        catalog.commit_own(batch).await.map(|_| ())
    }
}

impl Request {
    /// The answered form of a request whose write has landed.
    pub(super) fn landed(&self, landed: &Landed<'_>) -> Self {
        let mut request = self.clone();
        request.state = match landed.overwritten.is_some() {
            true => RequestState::Overwritten,
            false => RequestState::Finished,
        };
        request.answer.version = Some(landed.version.clone());
        request.answer.warnings.extend_from_slice(&landed.warnings);
        request
    }
}

/// Removes the records whose time is over.
///
/// # Errors
/// `STORE_UNAVAILABLE`; the next sweep goes on.
pub(super) async fn sweep(catalog: &Catalog) -> Result<()> {
    let mut after: Option<String> = None;
    loop {
        let page = catalog
            .scan_own::<Request>(after.as_deref(), SWEEP_PAGE)
            .await?;
        let Some((last, _)) = page.last() else {
            return Ok(());
        };
        after = Some(last.clone());
        let now = catalog.now();
        let over = |(_, stored): &&(String, Stored<Request>)| now >= stored.record.expire_time;
        let batch = page
            .iter()
            .filter(over)
            .fold(Batch::new(), |batch, (id, stored)| {
                batch.delete::<Request>(id, Expect::Revision(stored.revision))
            });
        if catalog.commit_own(batch).await?.is_none() {
            // An id was used again meanwhile; the next sweep has another look at this page.
            tracing::debug!("expired requests left for the next sweep");
        }
    }
}
