//! What was concluded from records, so that it need not be concluded again while they stay as they
//! are.
//!
//! Each serving thread remembers for itself: nothing is locked, and nothing handed over. Nothing in
//! it is a value; those are opened at each read.

use std::collections::HashMap;
use std::fmt::{self, Write as _};

use claviger_access::{Call, Label};
use claviger_store::{Records, Stamp};

use crate::model::get_secret::GetSecret;

/// Most conclusions of one sort that a thread remembers, in each of two halves.
const HALF: usize = 2048;

const LENGTH: usize = size_of::<usize>();

/// Conclusions by what was asked. When one half is full, the older one goes.
pub(crate) struct Remembered<V> {
    young: HashMap<Box<[u8]>, Entry<V>>,
    old: HashMap<Box<[u8]>, Entry<V>>,
}

struct Entry<V> {
    value: V,
    stamp: Stamp,
}

impl<V> Default for Remembered<V> {
    fn default() -> Self {
        Self {
            young: HashMap::new(),
            old: HashMap::new(),
        }
    }
}

impl<V: Clone> Remembered<V> {
    /// What was concluded, if it would be concluded again from the records as they are.
    pub(super) fn get(&mut self, key: &[u8], records: &Records) -> Option<V> {
        if let Some(entry) = self.young.get(key) {
            return records.holds(&entry.stamp).then(|| entry.value.clone());
        }
        let (key, entry) = self.old.remove_entry(key)?;
        let value = records.holds(&entry.stamp).then(|| entry.value.clone())?;
        self.insert(key, entry);
        Some(value)
    }

    /// Remembers what was concluded from what the stamp was collected from.
    pub(super) fn put(&mut self, key: &[u8], value: V, stamp: Stamp) {
        self.old.remove(key);
        self.insert(key.into(), Entry { value, stamp });
    }

    fn insert(&mut self, key: Box<[u8]>, entry: Entry<V>) {
        if self.young.len() >= HALF {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, entry);
    }
}

/// What tells one read from another: all that its answer depends on beside records, time and vaults.
pub(super) struct Question(Vec<u8>);

impl Question {
    pub(super) fn of(call: &Call, get: &GetSecret) -> Self {
        let mut question = Self(Vec::with_capacity(256));
        question.add(Some(&call.caller.principal));
        question.add(Some(call.rpc.name));
        question.add(Some(&get.name));
        question.add(get.environment.as_ref());
        question.add(get.version.as_ref());
        question.add(call.purpose.as_ref().map(Label::as_str));
        question
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Behind its length, so that no two questions run into each other.
    fn add(&mut self, part: Option<impl fmt::Display>) {
        let begin = self.0.len();
        // The length of one that is there is never 0: it counts itself.
        self.0.extend([0; LENGTH]);
        if let Some(part) = part {
            // Into memory, which does not fail.
            write!(self, "{part}").ok();
            let length = self.0.len() - begin;
            if let Some(room) = self.0.get_mut(begin..begin + LENGTH) {
                room.copy_from_slice(&length.to_be_bytes());
            }
        }
    }
}

impl fmt::Write for Question {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.extend_from_slice(text.as_bytes());
        Ok(())
    }
}
