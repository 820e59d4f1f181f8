//! How often values were asked for, and how that ended.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use claviger_core::{Id, Reason};

const OK: &str = "OK";

/// Reads by project, where the configuration asks for it, and by the reason why there was no value.
#[derive(Debug)]
pub(crate) struct Tally {
    tells_projects: bool,
    counts: Mutex<BTreeMap<(Option<Id>, &'static str), u64>>,
}

impl Tally {
    pub(crate) fn new(tells_projects: bool) -> Self {
        Self {
            tells_projects,
            counts: Mutex::default(),
        }
    }

    /// Counts a read, with its project if there is one, and with the reason if it failed.
    pub(crate) fn add(&self, project: Option<&Id>, failure: Option<Reason>) {
        let project = project.filter(|_| self.tells_projects).cloned();
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let end = failure.map_or(OK, Reason::as_str);
        *counts.entry((project, end)).or_default() += 1;
    }

    /// What was counted: the project, the reason or `OK`, and how often.
    pub(crate) fn counted(&self) -> Vec<(Option<Id>, &'static str, u64)> {
        let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let counts = counts.iter();
        counts
            .map(|((project, end), count)| (project.clone(), *end, *count))
            .collect()
    }
}
