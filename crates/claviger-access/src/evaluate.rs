//! The one function that decides.

use std::time::SystemTime;

use claviger_core::{Id, Resource, Uid};

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

/// Whether any of `grants` allows what is asked, if names stand for what they stood for when it was
/// given: found out without looking one up.
pub(crate) fn may_allow(grants: &[Grant], question: &Question<'_>, resource: &Resource) -> bool {
    let mut grants = grants.iter();
    grants.any(|grant| fits(grant, question) && names(&grant.scope, resource))
}

fn allows(grant: &Grant, question: &Question<'_>) -> bool {
    fits(grant, question) && holds_for(&grant.scope, question)
}

/// Whether a grant allows it, wherever it holds.
fn fits(grant: &Grant, question: &Question<'_>) -> bool {
    grant.role.allows(question.permission)
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

fn names(scope: &Scope, resource: &Resource) -> bool {
    match (scope, resource) {
        (Scope::Daemon, _) => true,
        (Scope::Project { name, .. }, Resource::Project(asked)) => name == asked,
        (Scope::Project { name, .. }, Resource::Definition(asked)) => name == asked.project(),
        (Scope::Definition { name, .. }, Resource::Definition(asked)) => name == asked,
        (Scope::Definition { .. }, Resource::Project(_))
        | (Scope::Definition { .. } | Scope::Project { .. }, Resource::Daemon) => false,
    }
}

fn holds_for(scope: &Scope, question: &Question<'_>) -> bool {
    match scope {
        Scope::Daemon => true,
        Scope::Project { uid, .. } => question.project == Some(*uid),
        Scope::Definition { uid, .. } => question.definition == Some(*uid),
    }
}
