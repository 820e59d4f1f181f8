//! What a put answers, kept for a repeat of its request.

use claviger_core::Id;

use crate::model::definition::Definition;
use crate::model::profile::Profile;
use crate::model::warning::Warning;

/// The answer to a put of a definition or a value.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) subject: Subject,
    /// The version that was stored; `None` without a value, and until the vault has it.
    pub(crate) version: Option<Id>,
    pub(crate) warnings: Vec<Warning>,
}

/// What was put.
#[derive(Clone, Debug)]
pub(crate) enum Subject {
    /// A definition, as it was then.
    Definition(Box<Definition>),
    /// A connection profile, as it was then.
    Profile(Box<Profile>),
    /// A value, to this vault.
    Value(Id),
}
