//! The one function that decides.

use std::time::SystemTime;

use claviger_core::{Id, Uid};

use crate::{Grant, Label, Permission, Scope};

/// What is asked, with names already resolved: an absent name has no uid and so matches only
/// grants on what contains it.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// What the caller wants to do.
    pub permission: Permission,
    /// The project asked about.
    pub project: Option<Uid>,
    /// The definition asked about.
    pub definition: Option<Uid>,
    /// The environment asked about.
    pub environment: Option<&'a Id>,
    /// The purpose the caller states.
    pub purpose: Option<&'a Label>,
    /// The current time.
    pub now: SystemTime,
}

/// The first of `grants` that allows what is asked.
pub fn evaluate<'a>(grants: &'a [Grant], question: &Question<'_>) -> Option<&'a Grant> {
    grants.iter().find(|grant| allows(grant, question))
}

fn allows(grant: &Grant, question: &Question<'_>) -> bool {
    grant.role.allows(question.permission)
        && holds_for(&grant.scope, question)
        && grant
            .environment
            .as_ref()
            .is_none_or(|only| question.environment == Some(only))
        && grant
            .purpose
            .as_ref()
            .is_none_or(|only| question.purpose == Some(only))
        && grant.is_standing(question.now)
}

fn holds_for(scope: &Scope, question: &Question<'_>) -> bool {
    match scope {
        Scope::Daemon => true,
        Scope::Project { uid, .. } => question.project == Some(*uid),
        Scope::Definition { uid, .. } => question.definition == Some(*uid),
    }
}
