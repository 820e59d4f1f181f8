//! What was concluded from records, so that it need not be concluded again while they stay as they
//! are.
//!
//! Each serving thread remembers for itself: nothing is locked, and nothing handed over. Nothing in
//! it is a value; those are opened at each read.

use std::cell::RefCell;
use std::collections::HashMap;

use claviger_access::{Call, Label, Principal};
use claviger_core::Id;
use claviger_store::{Records, Stamp};

use crate::model::get_secret::GetSecret;

/// Most conclusions of one sort that a thread remembers, in each of two halves.
const HALF: usize = 2048;

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
#[derive(Default)]
pub(super) struct Question(Vec<u8>);

thread_local! {
    /// Empty but for its memory.
    static QUESTION: RefCell<Question> = RefCell::default();
}

impl Question {
    /// Lends it as bytes, of which no two questions have the same.
    pub(super) fn of<T>(call: &Call, get: &GetSecret, with: impl FnOnce(&[u8]) -> T) -> T {
        QUESTION.with_borrow_mut(|question| {
            question.0.clear();
            match &call.caller.principal {
                Principal::Token(id) => question.add(Some(id.as_str())),
                Principal::Unix(uid) => {
                    question.add(None);
                    question.0.extend(uid.to_be_bytes());
                }
                Principal::Foreign(name) => {
                    question.add(Some("foreign"));
                    question.add(Some(name.as_str()));
                    // Many may speak as one principal, each with a token of its own.
                    question.add(call.caller.token().map(Id::as_str));
                }
            }
            question.add(Some(call.rpc.name));
            question.add(Some(get.name.project().id().as_str()));
            question.add(Some(get.name.id().as_str()));
            question.add(get.environment.as_ref().map(Id::as_str));
            question.add(get.version.as_ref().map(Id::as_str));
            question.add(call.purpose.as_ref().map(Label::as_str));
            with(&question.0)
        })
    }

    /// Behind its length, so that no two questions run into each other.
    fn add(&mut self, part: Option<&str>) {
        // The length of one that is there is never 0: it counts one more.
        let length = part.map_or(0, |part| part.len() + 1);
        self.0.extend_from_slice(&length.to_be_bytes());
        self.0
            .extend_from_slice(part.unwrap_or_default().as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::SystemTime;

    use claviger_access::{Caller, Foreign, Proof, Rpc};
    use claviger_core::{DefinitionName, Uid};

    use super::*;

    static RPC: Rpc = Rpc {
        name: "claviger.v1.SecretService/GetSecret",
        permissions: &[],
        is_audited: true,
        has_request_id: false,
    };

    #[test]
    fn those_who_speak_as_one_principal_do_not_forget_each_others_reads() {
        let job = || Principal::Foreign(Foreign::parse("oidc:ci#1/2").unwrap());
        let token = |id| Proof::Exchanged(Id::from_static(id));
        let get = GetSecret {
            name: DefinitionName::parse("name", "projects/acme/secrets/key").unwrap(),
            environment: None,
            version: None,
            max_age: None,
        };
        let callers = [
            (job(), token("one")),
            (job(), token("two")),
            (job(), Proof::Jwt(Id::from_static("ci"))),
            (Principal::Token(Id::from_static("one")), Proof::Token),
        ];
        let question = |(principal, proof)| {
            let call = Call {
                id: Uid::random(),
                caller: Caller {
                    principal,
                    proof,
                    expire_time: Some(SystemTime::UNIX_EPOCH),
                },
                rpc: &RPC,
                run_id: None,
                purpose: None,
                options: Vec::new(),
            };
            Question::of(&call, &get, <[u8]>::to_vec)
        };
        let questions: BTreeSet<_> = callers.into_iter().map(question).collect();
        assert_eq!(questions.len(), 4);
    }
}
