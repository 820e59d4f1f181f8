//! Finds every runtime of the process, those included that the serve loop keeps to itself.
//!
//! Whatever is traced is traced on a thread of its runtime, and HTTP/2 traces each frame. Nothing
//! of it is kept.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;

use tokio::runtime::{Handle, Id};
use tracing::span::{Attributes, Record};
use tracing::subscriber::{Interest, set_global_default};
use tracing::{Event, Metadata, Subscriber, span};

/// The names of the serve loop's threads begin so.
const SERVING: &str = "serve-";

/// All runtimes on which something was traced so far.
#[derive(Clone, Default)]
pub(crate) struct Runtimes(Arc<Mutex<HashMap<Id, Found>>>);

struct Found {
    handle: Handle,
    is_serving: bool,
}

impl Runtimes {
    /// From now on runtimes are found.
    pub(crate) fn watch() -> Self {
        let runtimes = Self::default();
        set_global_default(runtimes.clone()).expect("the only one");
        runtimes
    }

    /// Tasks that are alive.
    pub(crate) fn tasks(&self) -> usize {
        self.found().values().map(Found::tasks).sum()
    }

    /// Those of the serve loop: connections and their calls.
    pub(crate) fn serving_tasks(&self) -> usize {
        let found = self.found();
        let serving = found.values().filter(|found| found.is_serving);
        serving.map(Found::tasks).sum()
    }

    fn found(&self) -> MutexGuard<'_, HashMap<Id, Found>> {
        self.0.lock().expect("nobody panics in here")
    }
}

impl Found {
    fn here(handle: Handle) -> Self {
        let thread = thread::current();
        Self {
            handle,
            is_serving: thread.name().is_some_and(|name| name.starts_with(SERVING)),
        }
    }

    fn tasks(&self) -> usize {
        self.handle.metrics().num_alive_tasks()
    }
}

impl Subscriber for Runtimes {
    fn register_callsite(&self, _: &'static Metadata<'static>) -> Interest {
        // Asks `enabled` each time.
        Interest::sometimes()
    }

    fn enabled(&self, _: &Metadata<'_>) -> bool {
        if let Ok(handle) = Handle::try_current() {
            let mut found = self.found();
            found
                .entry(handle.id())
                .or_insert_with(|| Found::here(handle));
        }
        false
    }

    fn new_span(&self, _: &Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, _: &Event<'_>) {}

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}
