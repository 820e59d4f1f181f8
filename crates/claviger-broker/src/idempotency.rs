//! One record per (principal, RPC, request id): a repeat gets the first answer.
//!
//! The record holds a keyed hash of the request, never the request: a payload must not be
//! guessable from the store.

use std::time::{Duration, SystemTime};

use claviger_access::Authorized;
use claviger_core::{Detail, Error, Id, Reason, Result};
use claviger_store::{Batch, Committed, Expect, Record, Stored};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::catalog::authorized_definition;
use crate::writes::{Landed, in_progress};
use crate::{Broker, context};

/// How long a repeat gets the first answer.
const KEPT: Duration = Duration::from_secs(24 * 60 * 60);

/// A request id as the caller sent it: a UUID.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct RequestId(uuid::Uuid);

impl RequestId {
    /// Parses a UUID; the empty text is none.
    ///
    /// # Errors
    /// `FIELD_INVALID` with a violation on `request_id`.
    pub fn parse(text: &str) -> Result<Option<Self>> {
        let text = text.trim_ascii();
        if text.is_empty() {
            return Ok(None);
        }
        uuid::Uuid::try_parse(text)
            .map(|id| Some(Self(id)))
            .map_err(|_| {
                Error::new(Reason::FieldInvalid).violation(
                    "request_id",
                    "is not a UUID; use a fresh random one for each new request",
                )
            })
    }
}

/// What is known about a request.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Request {
    /// Keyed hash of the request's content.
    mac: [u8; 32],
    expire_time: SystemTime,
    /// The answer as JSON: of a finished request, or, while the write is under way, all of it but
    /// the version.
    answer: serde_json::Value,
    is_finished: bool,
    /// Whether the write was stored over somebody else's change: the answer is `VALUE_CHANGED`.
    #[serde(default)]
    has_overwritten: bool,
}

impl Record for Request {
    const KIND: &'static str = "requests/";
    const FORM: u32 = 1;
}

/// A request with an id that was not answered before.
#[derive(Clone, Debug)]
pub(crate) struct FreshRequest {
    pub(crate) record_id: String,
    mac: [u8; 32],
    /// Two calls with one id at the same moment: only one of them begins.
    expect: Expect,
}

/// What an id says about a request.
pub(crate) enum Replay<T> {
    /// Answered before: the same again.
    Answered(T),
    /// Not answered yet; `None` if the caller sent no id.
    Fresh(Option<FreshRequest>),
}

impl FreshRequest {
    /// The same request where its own record is in place by now.
    pub(crate) fn again(&self) -> Self {
        Self {
            expect: Expect::Any,
            ..self.clone()
        }
    }

    /// Adds the record of this request to the batch that begins or finishes it.
    pub(crate) fn record(
        &self,
        batch: Batch,
        answer: &impl Serialize,
        is_finished: bool,
        now: SystemTime,
    ) -> Result<Batch> {
        let answer = serde_json::to_value(answer)
            .map_err(|error| Error::new(Reason::Internal).caused_by(error))?;
        let request = Request {
            mac: self.mac,
            expire_time: now + KEPT,
            answer,
            is_finished,
            has_overwritten: false,
        };
        Ok(batch.put(&self.record_id, &request, self.expect))
    }
}

impl Broker {
    /// Looks a request id up, once a write it began is settled. `content` is everything that makes
    /// the request what it is.
    ///
    /// # Errors
    /// `REQUEST_ID_REUSED` if the id came with other content before; `WRITE_IN_PROGRESS` if its
    /// write may still be under way.
    pub(crate) async fn replay<T: DeserializeOwned>(
        &self,
        authorized: &Authorized,
        id: Option<RequestId>,
        content: &[&[u8]],
    ) -> Result<Replay<T>> {
        let Some(RequestId(id)) = id else {
            return Ok(Replay::Fresh(None));
        };
        let call = authorized.call();
        let mut fresh = FreshRequest {
            record_id: format!("{}/{}/{id}", call.caller.principal, call.rpc.name),
            mac: self.records.keyring().mac("request", content),
            expect: Expect::Absent,
        };
        let name = authorized_definition(authorized)?;
        let mut found = self.find_request(&fresh).await?;
        if found
            .as_ref()
            .is_some_and(|stored| !stored.record.is_finished)
        {
            if let Some(stored) = self.find_definition(name).await? {
                let cx = context(authorized);
                self.settle_definition(&cx, &stored.record, Some(&fresh.record_id))
                    .await?;
            }
            found = self.find_request(&fresh).await?;
        }
        let Some(Stored {
            record: request,
            revision,
        }) = found
        else {
            return Ok(Replay::Fresh(Some(fresh)));
        };
        if self.clock.now() >= request.expire_time {
            fresh.expect = Expect::Revision(revision);
            return Ok(Replay::Fresh(Some(fresh)));
        }
        if !request.is_finished {
            return Err(in_progress(name));
        }
        if request.has_overwritten {
            // Told once: the next repeat is a new attempt.
            self.forget_request(&fresh).await?;
            let vault = request.answer.get("vault").and_then(|vault| vault.as_str());
            let vault = Id::parse("vault", vault.unwrap_or_default());
            let changed = Error::new(Reason::ValueChanged).with(Detail::Resource, name);
            return Err(match vault {
                Ok(vault) => changed.with(Detail::Vault, vault),
                Err(_) => changed,
            });
        }
        T::deserialize(&request.answer)
            .map(Replay::Answered)
            .map_err(|error| Error::new(Reason::IntegrityFailure).caused_by(error))
    }

    async fn find_request(&self, fresh: &FreshRequest) -> Result<Option<Stored<Request>>> {
        let stored = self.records.get::<Request>(&fresh.record_id).await?;
        let is_other = stored.as_ref().is_some_and(|stored| {
            self.clock.now() < stored.record.expire_time
                && !claviger_seal::equal(&stored.record.mac, &fresh.mac)
        });
        if is_other {
            return Err(Error::new(Reason::RequestIdReused).at("request_id"));
        }
        Ok(stored)
    }

    /// Adds the finished form of a begun request's record to the batch that finishes its write.
    pub(crate) async fn finish_request(
        &self,
        batch: Batch,
        record_id: Option<&str>,
        landed: &Landed<'_>,
    ) -> Result<Batch> {
        let Some(record_id) = record_id else {
            return Ok(batch);
        };
        let Some(stored) = self.records.get::<Request>(record_id).await? else {
            return Ok(batch);
        };
        let mut answer = stored.record.answer.clone();
        if let Some(fields) = answer.as_object_mut() {
            fields.insert("version".to_owned(), landed.version.to_string().into());
            let warnings = fields.get_mut("warnings").and_then(|w| w.as_array_mut());
            if let Some(warnings) = warnings {
                let added = landed.warnings.iter();
                warnings.extend(added.filter_map(|warning| serde_json::to_value(warning).ok()));
            }
        }
        let request = Request {
            mac: stored.record.mac,
            expire_time: stored.record.expire_time,
            answer,
            is_finished: true,
            has_overwritten: landed.has_overwritten,
        };
        Ok(batch.put(record_id, &request, Expect::Any))
    }

    /// Makes the next call with this id a new one.
    pub(crate) async fn forget_request(&self, fresh: &FreshRequest) -> Result<()> {
        let batch = Batch::new().delete::<Request>(&fresh.record_id, Expect::Any);
        match self.records.commit(batch).await? {
            Committed::At(_) | Committed::Conflict { .. } | Committed::Ended => Ok(()),
        }
    }

    /// Removes the records whose time is over.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE`; the next sweep goes on.
    pub async fn sweep_requests(&self) -> Result<()> {
        let mut after: Option<String> = None;
        loop {
            let page = self
                .records
                .scan::<Request>("", after.as_deref(), 500)
                .await?;
            let Some((last, _)) = page.last() else {
                return Ok(());
            };
            after = Some(last.clone());
            let now = self.clock.now();
            let mut batch = Batch::new();
            for (id, stored) in page
                .iter()
                .filter(|(_, stored)| now >= stored.record.expire_time)
            {
                batch = batch.delete::<Request>(id, Expect::Revision(stored.revision));
            }
            if let Committed::Conflict { key } = self.records.commit(batch).await? {
                // An id was used again meanwhile; the next sweep has another look at this page.
                tracing::debug!(key, "expired requests left for the next sweep");
            }
        }
    }
}
