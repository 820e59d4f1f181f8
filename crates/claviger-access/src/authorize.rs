//! Asking the evaluator, and the proof that it said yes.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use claviger_core::{Clock, Detail, Error, Id, Reason, Resource, Result, Uid};

use crate::{
    Call, Decision, DecisionLog, Grant, Outcome, Permission, Phase, Principal, Question, evaluate,
};

/// What a name stands for right now.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Resolved {
    /// The project, if it exists.
    pub project: Option<Uid>,
    /// The definition, if it exists.
    pub definition: Option<Uid>,
}

/// Where grants and names are looked up.
pub trait Directory: Send + Sync {
    /// All grants of a principal; none is an empty list.
    fn grants(&self, principal: &Principal)
    -> impl Future<Output = Result<Arc<Vec<Grant>>>> + Send;

    /// Differs from an earlier answer if a grant or a name may have changed since.
    fn changes(&self) -> u64;

    /// What a resource's name stands for.
    fn resolve(&self, resource: &Resource) -> impl Future<Output = Result<Resolved>> + Send;
}

/// Decides whether a call may go on.
#[derive(Clone, Debug)]
pub struct Authorizer {
    log: Arc<dyn DecisionLog>,
    clock: Arc<dyn Clock>,
}

impl Authorizer {
    /// An authorizer that writes denials to `log`.
    pub fn new(log: Arc<dyn DecisionLog>, clock: Arc<dyn Clock>) -> Self {
        Self { log, clock }
    }

    /// Asks for all of `permissions` on `resource`.
    ///
    /// # Errors
    /// `ACCESS_DENIED`, which is in the audit log by then; `AUDIT_UNAVAILABLE` if it cannot be;
    /// `INTERNAL` if the RPC's row does not list a permission, so that the table cannot lie.
    pub async fn authorize(
        &self,
        directory: &impl Directory,
        call: &Arc<Call>,
        permissions: &[Permission],
        resource: Resource,
        environment: Option<Id>,
    ) -> Result<Authorized> {
        let changes = directory.changes();
        let resolved = directory.resolve(&resource).await?;
        self.decide(
            directory,
            call,
            permissions,
            On {
                resource,
                environment,
                resolved,
                is_anywhere: false,
                changes,
            },
        )
        .await
    }

    /// Asks for `permission` on anything at all: for listings that show only what
    /// [`Authorized::covers`].
    ///
    /// # Errors
    /// As [`Self::authorize`].
    pub async fn authorize_anywhere(
        &self,
        directory: &impl Directory,
        call: &Arc<Call>,
        permission: Permission,
    ) -> Result<Authorized> {
        let on = On {
            resource: Resource::Daemon,
            environment: None,
            resolved: Resolved::default(),
            is_anywhere: true,
            changes: directory.changes(),
        };
        self.decide(directory, call, &[permission], on).await
    }

    async fn decide(
        &self,
        directory: &impl Directory,
        call: &Arc<Call>,
        permissions: &[Permission],
        on: On,
    ) -> Result<Authorized> {
        let grants = directory.grants(&call.caller.principal).await?;
        let question = Asked {
            call,
            on: &on,
            now: self.clock.now(),
        };
        let mut allowed = None;
        for permission in permissions {
            if !call.rpc.permissions.contains(permission) {
                return Err(Error::new(Reason::Internal).caused_by(format!(
                    "{} asks for {permission}, which its row does not list",
                    call.rpc.name
                )));
            }
            match question.find(&grants, *permission) {
                Some(grant) => allowed = Some((*permission, grant.id.clone(), grant.expire_time)),
                None => return Err(self.deny(call, *permission, &on).await),
            }
        }
        let (permission, grant, grant_end) = allowed.ok_or_else(|| Error::new(Reason::Internal))?;
        Ok(Authorized {
            call: Arc::clone(call),
            permission,
            on,
            grant,
            grant_end,
            grants,
            log: Arc::clone(&self.log),
            clock: Arc::clone(&self.clock),
            has_begun: AtomicBool::new(false),
            is_open: true,
        })
    }

    async fn deny(&self, call: &Arc<Call>, permission: Permission, on: &On) -> Error {
        let mut decision = on.decision(call, permission, Phase::Decision, Outcome::Denied);
        decision.reason = Some(Reason::AccessDenied);
        match self.log.record(decision).await {
            Ok(()) => on.denial(call, permission),
            Err(error) => error,
        }
    }
}

/// Where a permission is asked.
#[derive(Clone, Debug)]
struct On {
    resource: Resource,
    environment: Option<Id>,
    resolved: Resolved,
    is_anywhere: bool,
    /// What [`Directory::changes`] said before anything was looked up.
    changes: u64,
}

impl On {
    fn decision(
        &self,
        call: &Arc<Call>,
        permission: Permission,
        phase: Phase,
        outcome: Outcome,
    ) -> Decision {
        Decision {
            call: Arc::clone(call),
            phase,
            outcome,
            reason: None,
            permission,
            resource: self.resource.clone(),
            resource_uid: match self.resource {
                Resource::Daemon => None,
                Resource::Definition(_) => self.resolved.definition,
                Resource::Project(_) => self.resolved.project,
            },
            environment: self.environment.clone(),
            grant: None,
            vault: None,
            version: None,
            subject: None,
        }
    }

    fn denial(&self, call: &Call, permission: Permission) -> Error {
        Error::new(Reason::AccessDenied)
            .with(Detail::Principal, &call.caller.principal)
            .with(Detail::Permission, permission)
            .with(Detail::Resource, &self.resource)
    }
}

/// A permission being asked, at one moment.
struct Asked<'a> {
    call: &'a Call,
    on: &'a On,
    now: SystemTime,
}

impl Asked<'_> {
    fn find<'g>(&self, grants: &'g [Grant], permission: Permission) -> Option<&'g Grant> {
        if self.on.is_anywhere {
            return grants.iter().find(|grant| {
                grant.role.allows(permission) && grant.expire_time.is_none_or(|end| self.now < end)
            });
        }
        evaluate(grants, &self.question(permission, self.on.resolved))
    }

    fn question(&self, permission: Permission, resolved: Resolved) -> Question<'_> {
        Question {
            permission,
            project: resolved.project,
            definition: resolved.definition,
            environment: self.on.environment.as_ref(),
            purpose: self.call.purpose.as_ref(),
            now: self.now,
        }
    }
}

/// Proof that a call was allowed; made only by [`Authorizer`].
///
/// It ends in the audit log: the audit consumes it. One that is dropped instead (the client reset
/// the call) leaves a `CANCELLED` record without waiting.
#[derive(Debug)]
pub struct Authorized {
    call: Arc<Call>,
    permission: Permission,
    on: On,
    grant: Id,
    grant_end: Option<SystemTime>,
    grants: Arc<Vec<Grant>>,
    log: Arc<dyn DecisionLog>,
    clock: Arc<dyn Clock>,
    /// Whether something was about to be done.
    has_begun: AtomicBool,
    /// Until the audit has taken the last record.
    is_open: bool,
}

impl Authorized {
    /// The call that was allowed.
    pub fn call(&self) -> &Arc<Call> {
        &self.call
    }

    /// The resource it was asked on.
    pub fn resource(&self) -> &Resource {
        &self.on.resource
    }

    /// What the resource's name stood for when it was asked.
    pub fn resolved(&self) -> Resolved {
        self.on.resolved
    }

    /// Whether the same grants allow the same permission on another resource: for listings.
    pub fn covers(&self, resolved: Resolved) -> bool {
        evaluate(
            &self.grants,
            &self.asked().question(self.permission, resolved),
        )
        .is_some()
    }

    /// Whether the same grants allow the same permission in another environment too: for changes
    /// that several environments see.
    pub fn allows_in(&self, environment: &Id) -> bool {
        let asked = self.asked();
        let question = asked.question(self.permission, self.on.resolved);
        let question = Question {
            environment: Some(environment),
            ..question
        };
        evaluate(&self.grants, &question).is_some()
    }

    /// The denial of the same permission in another environment.
    pub fn denied_in(&self, environment: &Id) -> Error {
        let denial = self.on.denial(&self.call, self.permission);
        denial.with(Detail::Environments, environment)
    }

    /// Asks again after a wait, because a revocation must not lose a race against a slow vault.
    ///
    /// # Errors
    /// `ACCESS_DENIED` or `TOKEN_EXPIRED` if the answer has become no.
    pub async fn still_valid(&self, directory: &impl Directory) -> Result<()> {
        self.still_granted(directory).await?;
        let is_same = self.on.is_anywhere
            || directory.changes() == self.on.changes
            || directory.resolve(&self.on.resource).await? == self.on.resolved;
        match is_same {
            true => Ok(()),
            false => Err(self.on.denial(&self.call, self.permission)),
        }
    }

    /// As [`Self::still_valid`], for who finds out by itself what the name stands for by now.
    ///
    /// # Errors
    /// As there.
    pub async fn still_granted(&self, directory: &impl Directory) -> Result<()> {
        let asked = self.asked();
        if self
            .call
            .caller
            .expire_time
            .is_some_and(|end| asked.now >= end)
        {
            return Err(Error::new(Reason::TokenExpired));
        }
        let is_over = self.grant_end.is_some_and(|end| asked.now >= end);
        if !is_over && directory.changes() == self.on.changes {
            return Ok(());
        }
        let grants = directory.grants(&self.call.caller.principal).await?;
        match asked.find(&grants, self.permission) {
            Some(_) => Ok(()),
            None => Err(self.on.denial(&self.call, self.permission)),
        }
    }

    /// The record that something is about to be done, for the audit to write first.
    pub fn begin(&self) -> Decision {
        self.has_begun.store(true, Ordering::Relaxed);
        self.decision(Phase::Intent, Outcome::Allowed)
    }

    /// Ends the proof with its last record, for the audit to write.
    pub fn end(mut self, outcome: Outcome) -> Decision {
        self.is_open = false;
        self.decision(self.last_phase(), outcome)
    }

    fn decision(&self, phase: Phase, outcome: Outcome) -> Decision {
        let decision = self
            .on
            .decision(&self.call, self.permission, phase, outcome);
        Decision {
            grant: Some(self.grant.clone()),
            ..decision
        }
    }

    fn last_phase(&self) -> Phase {
        match self.has_begun.load(Ordering::Relaxed) {
            true => Phase::Outcome,
            false => Phase::Decision,
        }
    }

    fn asked(&self) -> Asked<'_> {
        Asked {
            call: &self.call,
            on: &self.on,
            now: self.clock.now(),
        }
    }
}

impl Drop for Authorized {
    fn drop(&mut self) {
        if self.is_open {
            let mut decision = self.decision(self.last_phase(), Outcome::Cancelled);
            decision.reason = Some(Reason::Cancelled);
            self.log.record_detached(decision);
        }
    }
}
