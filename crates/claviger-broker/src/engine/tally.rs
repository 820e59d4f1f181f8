//! How often values were asked for.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use claviger_core::Id;

/// A number, or one per project: only where the configuration asks for it, because it takes a lock.
#[derive(Debug)]
pub(crate) enum Tally {
    All(AtomicU64),
    ByProject(Mutex<BTreeMap<Id, u64>>),
}

impl Tally {
    pub(crate) fn new(tells_projects: bool) -> Self {
        match tells_projects {
            true => Self::ByProject(Mutex::default()),
            false => Self::All(AtomicU64::new(0)),
        }
    }

    /// Counts one more of a project.
    pub(crate) fn add(&self, project: &Id) {
        match self {
            Self::All(count) => {
                count.fetch_add(1, Ordering::Relaxed);
            }
            Self::ByProject(counts) => {
                let mut counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
                match counts.get_mut(project) {
                    Some(count) => *count += 1,
                    None => {
                        counts.insert(project.clone(), 1);
                    }
                }
            }
        }
    }

    /// What was counted, by project if they are told apart.
    pub(crate) fn counted(&self) -> Vec<(Option<Id>, u64)> {
        match self {
            Self::All(count) => vec![(None, count.load(Ordering::Relaxed))],
            Self::ByProject(counts) => {
                let counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
                let counts = counts.iter();
                counts
                    .map(|(id, count)| (Some(id.clone()), *count))
                    .collect()
            }
        }
    }
}
