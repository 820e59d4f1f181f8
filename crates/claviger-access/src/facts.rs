//! What a record says beyond who asked for what: names, times and words of the code.
//!
//! SECURITY: nothing here is, or is made of, a value; nor does anything print one.

use std::collections::BTreeMap;
use std::time::SystemTime;

use claviger_core::{Id, Public, Resource, Uid};

use crate::Principal;

/// The part of a call's record that is not known yet when the call is authorised.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// What this record is about, and which one of that name, if it is something else than the
    /// permission was asked on, or did not exist then.
    pub about: Option<(Resource, Option<Uid>)>,
    /// The vault that answered, or is about to be asked.
    pub vault: Option<Id>,
    /// The secret's name there.
    pub secret: Option<String>,
    /// The key of its document that is meant.
    pub property: Option<String>,
    /// The version that was read or written.
    pub version: Option<Id>,
    /// The install whose tokens were handed out, or are changed.
    pub install: Option<Uid>,
    /// The grant or token that was made or ended.
    pub subject: Option<Id>,
    /// The principal that a grant is for, or that was asked about.
    pub holder: Option<Principal>,
    /// What changes.
    pub edits: Vec<Edit>,
}

/// What is told of a resource, field by field: paths as the API names them, with dots between.
pub type Told = BTreeMap<String, Word>;

/// What is told of one field.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Word {
    /// Text for people, of which only is told that it is another one.
    Private(String),
    /// A name, or a word of the code.
    Text(String),
    /// A time.
    Time(SystemTime),
}

/// A field before and after a change; `None` is unset.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Edit {
    /// Its path.
    pub field: String,
    /// Before.
    pub was: Option<Word>,
    /// After.
    pub now: Option<Word>,
}

impl Word {
    /// Something that may be shown.
    pub fn of(text: impl Public) -> Self {
        Self::Text(text.to_string())
    }
}

impl Edit {
    /// The fields that differ; those of one that is made or ended come from or go to nothing.
    pub fn between(was: &Told, now: &Told) -> Vec<Self> {
        let gone = was.keys().filter(|field| !now.contains_key(*field));
        let edit = |field: &String| Self {
            field: field.clone(),
            was: was.get(field).cloned(),
            now: now.get(field).cloned(),
        };
        let all = now.keys().chain(gone).map(edit);
        all.filter(|edit| edit.was != edit.now).collect()
    }
}
