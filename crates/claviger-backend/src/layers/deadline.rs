//! Leaves a vault that does not answer in time.

use std::sync::Arc;
use std::time::Duration;

use claviger_core::{Cause, Error, Reason, Result};
use tokio::time::timeout;

use crate::contract::Backend;
use crate::layered::{Layered, Verb};

/// How long a call may take.
#[derive(Debug)]
pub(crate) struct Deadline {
    pub(crate) inner: Arc<dyn Backend>,
    pub(crate) timeout: Duration,
}

impl Layered for Deadline {
    fn inner(&self) -> &dyn Backend {
        &*self.inner
    }

    async fn around<T: Send>(
        &self,
        verb: Verb,
        call: impl Future<Output = Result<T>> + Send,
    ) -> Result<T> {
        match timeout(self.timeout, call).await {
            Ok(result) => result,
            Err(elapsed) => Err(late(verb).caused_by(elapsed)),
        }
    }
}

fn late(verb: Verb) -> Error {
    match verb == Verb::Write {
        // It may or may not have been taken.
        true => Error::new(Reason::WriteOutcomeUnknown),
        false => Error::unreachable(Cause::Timeout),
    }
}
