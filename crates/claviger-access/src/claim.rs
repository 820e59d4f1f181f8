//! What is asked for, and where.

use std::sync::Arc;
use std::time::SystemTime;

use claviger_core::{Detail, Error, Id, Reason, Resource, Result};

use crate::directory::Resolved;
use crate::{Call, Decision, Facts, Grant, Outcome, Permission, Phase, Question, evaluate};

/// A permission outside the RPC's row is a bug: it would not be in the documentation.
pub(crate) fn check_row(call: &Call, permission: Permission) -> Result<()> {
    if call.rpc.permissions.contains(&permission) {
        return Ok(());
    }
    Err(Error::new(Reason::Internal).caused_by(format!(
        "{} asks for {permission}, which its row does not list",
        call.rpc.name
    )))
}

/// Where a permission is asked.
#[derive(Clone, Debug)]
pub(crate) struct On {
    pub(crate) resource: Resource,
    pub(crate) environment: Option<Id>,
    /// What the resource stood for; `None` for anything at all.
    pub(crate) resolved: Option<Resolved>,
    /// What [`Directory::changes`] said before anything was looked up.
    pub(crate) changes: u64,
}

impl On {
    pub(crate) fn claim(&self, permission: Permission) -> Claim {
        Claim {
            permission,
            resolved: self.resolved,
            environment: self.environment.clone(),
        }
    }

    pub(crate) fn decision(
        &self,
        call: &Arc<Call>,
        permission: Permission,
        phase: Phase,
        outcome: Outcome,
    ) -> Decision {
        Decision {
            call: Arc::clone(call),
            has_grants: true,
            phase,
            outcome,
            reason: None,
            permission,
            resource: self.resource.clone(),
            resource_uid: match self.resource {
                Resource::Daemon => None,
                Resource::Definition(_) => self.resolved.and_then(|uids| uids.definition),
                Resource::Profile(_) => self.resolved.and_then(|uids| uids.profile),
                Resource::Project(_) => self.resolved.and_then(|uids| uids.project),
            },
            environment: self.environment.clone(),
            grant: None,
            facts: Facts::default(),
        }
    }

    pub(crate) fn denial(&self, call: &Call, permission: Permission) -> Error {
        denial(call, permission, &self.resource)
    }
}

pub(crate) fn has_standing(grants: &[Grant], now: SystemTime) -> bool {
    grants.iter().any(|grant| grant.is_standing(now))
}

pub(crate) fn earliest(one: Option<SystemTime>, other: Option<SystemTime>) -> Option<SystemTime> {
    [one, other].into_iter().flatten().min()
}

pub(crate) fn denial(call: &Call, permission: Permission, resource: &Resource) -> Error {
    Error::new(Reason::AccessDenied)
        .with(Detail::Principal, &call.caller.principal)
        .with(Detail::Permission, permission)
        .with(Detail::Resource, resource)
}

/// What a call was allowed besides what it asked for at first.
#[derive(Debug)]
pub(crate) struct Claims {
    pub(crate) more: Vec<Claim>,
    /// Until when nothing has to be asked again as long as no record changes.
    pub(crate) end: Option<SystemTime>,
}

/// One thing that a call was allowed, and is asked again about before it changes anything.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Claim {
    pub(crate) permission: Permission,
    /// On what; `None` for anything at all.
    pub(crate) resolved: Option<Resolved>,
    pub(crate) environment: Option<Id>,
}

impl Claim {
    pub(crate) fn find<'g>(
        &self,
        grants: &'g [Grant],
        call: &Call,
        now: SystemTime,
    ) -> Option<&'g Grant> {
        if self.resolved.is_none() {
            return grants
                .iter()
                .find(|grant| grant.role.allows(self.permission) && grant.is_standing(now));
        }
        evaluate(grants, &self.question(call, now))
    }

    pub(crate) fn question<'q>(&'q self, call: &'q Call, now: SystemTime) -> Question<'q> {
        let resolved = self.resolved.unwrap_or_default();
        Question {
            permission: self.permission,
            project: resolved.project,
            definition: resolved.definition,
            profile: resolved.profile,
            environment: self.environment.as_ref(),
            purpose: call.purpose.as_ref(),
            now,
        }
    }
}
