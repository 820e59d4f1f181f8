//! Counts what a vault is asked and how that ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use claviger_core::{Cause, Detail, Error, Reason, Result, Timings};

use crate::contract::Backend;
use crate::layered::{Layered, Verb};

/// How a call ends that has its answer.
const OK: &str = "OK";

/// What is counted of one vault.
#[derive(Debug)]
pub struct Counts {
    /// How calls ended: first well, then by reason.
    ends: Vec<AtomicU64>,
    causes: Vec<AtomicU64>,
    /// How long the vault took, or was waited for, once it was a call's turn.
    pub took: Timings,
    /// How long calls waited for their turn, those that gave up too.
    pub waited: Timings,
}

impl Default for Counts {
    fn default() -> Self {
        let zeros = |count| (0..count).map(|_| AtomicU64::new(0)).collect();
        Self {
            ends: zeros(Reason::ALL.len() + 1),
            causes: zeros(Cause::ALL.len()),
            took: Timings::default(),
            waited: Timings::default(),
        }
    }
}

impl Counts {
    /// How many calls ended how: the reason or `OK`, and their number. Only those that there were.
    pub fn calls(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let reasons = Reason::ALL.iter().map(|reason| reason.as_str());
        let ends = [OK].into_iter().chain(reasons).zip(&self.ends);
        let ends = ends.map(|(end, count)| (end, count.load(Ordering::Relaxed)));
        ends.filter(|(_, count)| *count > 0)
    }

    /// How many calls did not reach the vault, by cause.
    pub fn causes(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let causes = Cause::ALL.iter().zip(&self.causes);
        causes.map(|(cause, count)| (cause.as_str(), count.load(Ordering::Relaxed)))
    }

    fn end(&self, reason: Option<Reason>, cause: Option<&str>) {
        let of = |reason| Reason::ALL.iter().position(|one| *one == reason);
        let end = reason.and_then(of).map_or(0, |place| place + 1);
        let cause = Cause::ALL
            .iter()
            .position(|one| Some(one.as_str()) == cause);
        let cause = cause.and_then(|place| self.causes.get(place));
        for count in self.ends.get(end).into_iter().chain(cause) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Outside of the deadline and the gate: it sees those that ran out of time or never had their turn,
/// too.
#[derive(Debug)]
pub(crate) struct Counted {
    pub(crate) inner: Arc<dyn Backend>,
    pub(crate) counts: Arc<Counts>,
}

/// A call under way. Whoever makes it may leave.
struct Asking<'a> {
    counts: &'a Counts,
    is_open: bool,
}

impl Layered for Counted {
    fn inner(&self) -> &dyn Backend {
        &*self.inner
    }

    async fn around<T: Send>(
        &self,
        _: Verb,
        call: impl Future<Output = Result<T>> + Send,
    ) -> Result<T> {
        let mut asking = Asking {
            counts: &self.counts,
            is_open: true,
        };
        let result = call.await;
        asking.is_open = false;
        let error = result.as_ref().err();
        let cause = error.and_then(|error| error.detail(Detail::Cause));
        self.counts.end(error.map(Error::reason), cause);
        result
    }
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        if self.is_open {
            self.counts.end(Some(Reason::Cancelled), None);
        }
    }
}
