//! A request with an id: a repeat gets the first answer.

use std::time::SystemTime;

use claviger_core::{Error, Reason, Result};

use crate::model::answer::Answer;

/// A request id as the caller sent it: a UUID.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct RequestId(pub(crate) uuid::Uuid);

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
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// Keyed hash of the request's content: a payload must not be guessable from the store.
    pub(crate) mac: [u8; 32],
    /// Until when a repeat gets the answer.
    pub(crate) expire_time: SystemTime,
    pub(crate) state: RequestState,
    /// Of a request that is under way: without what only the vault can tell.
    pub(crate) answer: Answer,
}

/// How far a request is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum RequestState {
    /// Its write is under way.
    Begun,
    /// The answer is whole.
    Finished,
    /// The write was stored over somebody else's change: the answer is `VALUE_CHANGED`.
    Overwritten,
}
