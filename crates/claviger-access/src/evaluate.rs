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
    /// The connection profile asked about.
    pub profile: Option<Uid>,
    /// The environment asked about.
    pub environment: Option<&'a Id>,
    /// The purpose the caller states.
    pub purpose: Option<&'a Label>,
    /// The current time.
    pub now: SystemTime,
}

/// What a grant can fail in, the first to look at first.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Attribute {
    /// Its role does not have the permission.
    Role,
    /// It is for something else.
    Resource,
    /// It is for another environment, or for one where none is asked for.
    Environment,
    /// It has ended.
    ExpireTime,
    /// It is for calls that state another purpose.
    Purpose,
}

const ATTRIBUTES: [Attribute; 5] = [
    Attribute::Role,
    Attribute::Resource,
    Attribute::Environment,
    Attribute::ExpireTime,
    Attribute::Purpose,
];

/// The first of `grants` that allows what is asked.
pub fn evaluate<'a>(grants: &'a [Grant], question: &Question<'_>) -> Option<&'a Grant> {
    let allows = |grant: &&Grant| failing(grant, question, None).next().is_none();
    grants.iter().find(allows)
}

/// Whether any of `grants` allows what is asked, if names stand for what they stood for when it was
/// given: found out without looking one up.
pub(crate) fn may_allow(grants: &[Grant], question: &Question<'_>, resource: &Resource) -> bool {
    let may = |grant: &Grant| failing(grant, question, Some(resource)).next().is_none();
    grants.iter().any(may)
}

/// The first of those that fail in the fewest attributes, and the first attribute that it fails in.
/// Names count as in [`may_allow`] if a resource is given.
pub(crate) fn nearest<'a>(
    grants: &'a [Grant],
    question: &Question<'_>,
    named: Option<&Resource>,
) -> Option<(&'a Grant, Attribute)> {
    let fails = |grant: &&Grant| failing(grant, question, named).count();
    let grant = grants.iter().min_by_key(fails)?;
    let first = failing(grant, question, named).next()?;
    Some((grant, first))
}

/// All that a grant fails in.
fn failing<'a>(
    grant: &'a Grant,
    question: &'a Question<'_>,
    named: Option<&'a Resource>,
) -> impl Iterator<Item = Attribute> {
    let fails = move |attribute: &Attribute| !is_met(*attribute, grant, question, named);
    ATTRIBUTES.into_iter().filter(fails)
}

fn is_met(
    attribute: Attribute,
    grant: &Grant,
    question: &Question<'_>,
    named: Option<&Resource>,
) -> bool {
    match attribute {
        Attribute::Role => grant.role.allows(question.permission),
        Attribute::Resource => match named {
            Some(resource) => names(&grant.scope, resource),
            None => holds_for(&grant.scope, question),
        },
        Attribute::Environment => {
            let only = grant.environment.as_ref();
            only.is_none_or(|only| question.environment == Some(only))
        }
        Attribute::ExpireTime => grant.is_standing(question.now),
        Attribute::Purpose => {
            let only = grant.purpose.as_ref();
            only.is_none_or(|only| question.purpose == Some(only))
        }
    }
}

fn names(scope: &Scope, resource: &Resource) -> bool {
    match (scope, resource) {
        (Scope::Daemon, _) => true,
        (Scope::Project { name, .. }, Resource::Project(asked)) => name == asked,
        (Scope::Project { name, .. }, Resource::Definition(asked)) => name == asked.project(),
        (Scope::Definition { name, .. }, Resource::Definition(asked)) => name == asked,
        (Scope::Project { name, .. }, Resource::Profile(asked)) => name == asked.project(),
        (Scope::Profile { name, .. }, Resource::Profile(asked)) => name == asked,
        (Scope::Definition { .. }, Resource::Project(_) | Resource::Profile(_))
        | (Scope::Profile { .. }, Resource::Project(_) | Resource::Definition(_))
        | (
            Scope::Definition { .. } | Scope::Profile { .. } | Scope::Project { .. },
            Resource::Daemon,
        ) => false,
    }
}

fn holds_for(scope: &Scope, question: &Question<'_>) -> bool {
    match scope {
        Scope::Daemon => true,
        Scope::Project { uid, .. } => question.project == Some(*uid),
        Scope::Definition { uid, .. } => question.definition == Some(*uid),
        Scope::Profile { uid, .. } => question.profile == Some(*uid),
    }
}
