//! How often values were asked for, and how that ended.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use claviger_core::{Id, Reason};

const OK: &str = "OK";

/// Reads by project, where the configuration asks for it, and by the reason why there was no value.
#[derive(Debug)]
pub(crate) struct Tally {
    tells_projects: bool,
    /// Those that were served, where projects are not told apart.
    served: AtomicU64,
    counts: Mutex<BTreeMap<(Option<Id>, &'static str), u64>>,
}

impl Tally {
    pub(crate) fn new(tells_projects: bool) -> Self {
        Self {
            tells_projects,
            served: AtomicU64::new(0),
            counts: Mutex::default(),
        }
    }

    /// Counts a read, with its project if there is one, and with the reason if it failed.
    pub(crate) fn add(&self, project: Option<&Id>, failure: Option<Reason>) {
        if failure.is_none() && !self.tells_projects {
            self.served.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let project = project.filter(|_| self.tells_projects).cloned();
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let end = failure.map_or(OK, Reason::as_str);
        *counts.entry((project, end)).or_default() += 1;
    }

    /// What was counted: the project, the reason or `OK`, and how often.
    pub(crate) fn counted(&self) -> Vec<(Option<Id>, &'static str, u64)> {
        let served = (None, OK, self.served.load(Ordering::Relaxed));
        let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let others = counts
            .iter()
            .map(|((project, end), count)| (project.clone(), *end, *count));
        let counted = [served].into_iter().chain(others);
        counted.filter(|(_, _, count)| *count > 0).collect()
    }
}
