//! Calls to other systems, on the runtime where their connections live.

use claviger_core::{Error, Reason, Result, Uid};
use tokio::runtime::Handle;
use tokio::task::{JoinError, JoinHandle, JoinSet};
use tokio_util::task::{AbortOnDropHandle, TaskTracker};
use tracing::{Instrument, Span};

/// The way out of the serving threads.
#[derive(Debug)]
pub(crate) struct Outside {
    runtime: Handle,
    /// What goes on although its caller left.
    tasks: TaskTracker,
}

impl Outside {
    pub(crate) fn new(runtime: Handle) -> Self {
        Self {
            runtime,
            tasks: TaskTracker::new(),
        }
    }

    /// The runtime where other systems are called.
    pub(crate) fn runtime(&self) -> &Handle {
        &self.runtime
    }

    /// Runs a call that ends with its caller: one that asks and leaves must not use up a vault for
    /// others. Its lines in the log carry `id`.
    ///
    /// # Errors
    /// Those of the call.
    pub(crate) async fn call<T: Send + 'static>(
        &self,
        id: Uid,
        call: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        let task = self.runtime.spawn(call.instrument(span(id)));
        AbortOnDropHandle::new(task).await.map_err(panicked)?
    }

    /// As [`Self::call`], of several side by side.
    pub(crate) async fn all<T: Send + 'static>(
        &self,
        id: Uid,
        calls: impl Iterator<Item = impl Future<Output = T> + Send + 'static>,
    ) -> Vec<T> {
        let mut running = JoinSet::new();
        for call in calls {
            running.spawn_on(call.instrument(span(id)), &self.runtime);
        }
        running.join_all().await
    }

    /// Runs a change to its end even if its caller leaves.
    ///
    /// # Errors
    /// Those of the change.
    pub(crate) async fn finish<T: Send + 'static>(
        &self,
        id: Uid,
        change: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        self.begin(id, change).await.map_err(panicked)?
    }

    /// Runs something to its end that nobody waits for, or not here.
    pub(crate) fn begin<T: Send + 'static>(
        &self,
        id: Uid,
        work: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<T> {
        self.tasks
            .spawn_on(work.instrument(span(id)), &self.runtime)
    }

    /// Waits until the changes that were begun have ended.
    pub(crate) async fn drain(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }
}

/// Gives each line that is logged within it the call's id, those of a vault's SDK too. At the
/// highest level, so that a filter which lets a line through keeps the id; never within another one,
/// which would say it twice.
pub(super) fn span(call_id: Uid) -> Span {
    tracing::error_span!(parent: None, "call", id = %call_id)
}

fn panicked(error: JoinError) -> Error {
    Error::new(Reason::Internal).caused_by(error)
}
