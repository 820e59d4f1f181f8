//! The proof that the evaluator said yes.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use claviger_core::{Clock, Detail, Error, Id, Reason, Resource, Result, Uid};

use crate::claim::{Claim, Claims, On, check_row, denial, earliest};
use crate::directory::{Directory, Resolved};
use crate::{Call, Decision, DecisionLog, Grant, Outcome, Permission, Phase, Scope};

/// Proof that a call was allowed; made only by [`Authorizer`](crate::Authorizer).
///
/// It ends in the audit log: the audit consumes it. One that is dropped instead (the client reset
/// the call) leaves a `CANCELLED` record without waiting.
#[derive(Debug)]
pub struct Authorized {
    pub(super) call: Arc<Call>,
    pub(super) granted: Arc<Granted>,
    /// What [`Directory::changes`] said before anything was looked up.
    pub(super) changes: u64,
    /// What was claimed besides.
    pub(super) claims: Mutex<Claims>,
    /// Whether something was about to be done.
    pub(super) has_begun: AtomicBool,
    /// Until the audit has taken the last record.
    pub(super) is_open: bool,
}

/// What an [`Authorizer`](crate::Authorizer) concluded: good for each call of the same caller that
/// asks for the same, while the records that it rests on stay as they are.
#[derive(Debug)]
pub struct Granted {
    /// The call that it was concluded for.
    pub(super) call: Arc<Call>,
    pub(super) permission: Permission,
    pub(super) on: On,
    pub(super) grant: Id,
    /// What was asked for at first.
    pub(super) claims: Vec<Claim>,
    /// Until when all of it is allowed.
    pub(super) end: Option<SystemTime>,
    pub(super) grants: Arc<Vec<Grant>>,
    pub(super) log: Arc<dyn DecisionLog>,
    pub(super) clock: Arc<dyn Clock>,
}

impl Granted {
    /// The proof for a call, if it is one that was granted and the time for that has not ended.
    ///
    /// SECURITY: the caller knows that no record has changed that this rests on, at a time after
    /// the directory said `changes`.
    pub fn again(self: &Arc<Self>, call: &Arc<Call>, changes: u64) -> Option<Authorized> {
        let first = &self.call;
        let is_same = call.caller == first.caller
            && std::ptr::eq(call.rpc, first.rpc)
            && call.purpose == first.purpose
            && call.options == first.options;
        let is_over = self.end.is_some_and(|end| self.clock.now() >= end);
        (is_same && !is_over).then(|| Authorized {
            call: Arc::clone(call),
            granted: Arc::clone(self),
            changes,
            claims: Mutex::new(Claims {
                more: Vec::new(),
                end: self.end,
            }),
            has_begun: AtomicBool::new(false),
            is_open: true,
        })
    }
}

impl Authorized {
    /// The call that was allowed.
    pub fn call(&self) -> &Arc<Call> {
        &self.call
    }

    /// The resource it was asked on.
    pub fn resource(&self) -> &Resource {
        &self.granted.on.resource
    }

    /// What was concluded, for calls like this one.
    pub fn granted(&self) -> &Arc<Granted> {
        &self.granted
    }

    /// What the resource's name stood for when it was asked.
    pub fn resolved(&self) -> Resolved {
        self.granted.on.resolved.unwrap_or_default()
    }

    /// Where the same grants allow the same permission, whatever it was asked on.
    pub fn scopes(&self) -> impl Iterator<Item = &Scope> {
        let now = self.granted.clock.now();
        let allowing = self.granted.grants.iter().filter(move |grant| {
            grant.role.allows(self.granted.permission)
                && grant.expire_time.is_none_or(|end| now < end)
        });
        allowing.map(|grant| &grant.scope)
    }

    /// Whether the same grants allow the same permission on another resource: for listings. A
    /// change [`claim`](Self::claim)s it instead.
    pub fn covers(&self, resolved: Resolved) -> bool {
        let claim = Claim {
            resolved: Some(resolved),
            ..self.granted.on.claim(self.granted.permission)
        };
        self.find(&claim, &self.granted.grants).is_some()
    }

    /// Asks for a permission on another resource too, which the change depends on from now on.
    ///
    /// # Errors
    /// `ACCESS_DENIED` naming `resource`; `INTERNAL` if the RPC's row does not list the permission.
    pub fn claim(
        &self,
        permission: Permission,
        resource: &Resource,
        resolved: Resolved,
    ) -> Result<()> {
        self.claim_at(permission, resource, resolved, None)
    }

    fn claim_at(
        &self,
        permission: Permission,
        resource: &Resource,
        resolved: Resolved,
        environment: Option<&Id>,
    ) -> Result<()> {
        check_row(&self.call, permission)?;
        let claim = Claim {
            permission,
            resolved: Some(resolved),
            environment: environment.cloned(),
        };
        let denial = || denial(&self.call, permission, resource);
        self.add(claim).then_some(()).ok_or_else(denial)
    }

    /// Asks for a permission on the whole project that the resource is in, in one environment or
    /// regardless of them: for what is not the definition's to decide.
    ///
    /// # Errors
    /// As [`Self::claim`].
    pub fn claim_on_project(&self, permission: Permission, environment: Option<&Id>) -> Result<()> {
        let resource = match &self.granted.on.resource {
            Resource::Definition(name) => Resource::Project(name.project().clone()),
            Resource::Profile(name) => Resource::Project(name.project().clone()),
            other @ (Resource::Daemon | Resource::Project(_)) => other.clone(),
        };
        let whole = Resolved {
            project: self.resolved().project,
            ..Resolved::default()
        };
        self.claim_at(permission, &resource, whole, environment)
    }

    /// Asks for the same permission on the whole project, regardless of environments.
    ///
    /// # Errors
    /// As [`Self::claim`].
    pub fn claim_everywhere(&self) -> Result<()> {
        self.claim_on_project(self.granted.permission, None)
    }

    /// Asks for the same permission on another definition of the project too: for changes that its
    /// readers see.
    ///
    /// # Errors
    /// `ACCESS_DENIED` naming the project: the definitions in it are nothing for a caller that may
    /// not know.
    pub fn claim_beside(&self, definition: Uid, environment: Option<&Id>) -> Result<()> {
        let claim = Claim {
            permission: self.granted.permission,
            resolved: Some(Resolved {
                definition: Some(definition),
                project: self.resolved().project,
                profile: None,
            }),
            environment: environment.cloned(),
        };
        match self.add(claim) {
            true => Ok(()),
            false => self.claim_everywhere(),
        }
    }

    /// Asks for the same permission in another environment too: for changes that several
    /// environments see.
    ///
    /// # Errors
    /// `ACCESS_DENIED` naming the environment.
    pub fn claim_in(&self, environment: &Id) -> Result<()> {
        let claim = Claim {
            environment: Some(environment.clone()),
            ..self.granted.on.claim(self.granted.permission)
        };
        let denial = || {
            self.granted
                .on
                .denial(&self.call, self.granted.permission)
                .with(Detail::Environments, environment)
        };
        self.add(claim).then_some(()).ok_or_else(denial)
    }

    /// The denial of a permission on what was asked for, for an answer that must not say more.
    pub fn denied(&self, permission: Permission) -> Error {
        self.granted.on.denial(&self.call, permission)
    }

    /// Asks again after a wait, because a revocation must not lose a race against a slow vault.
    ///
    /// # Errors
    /// `ACCESS_DENIED`, `TOKEN_EXPIRED` or `TOKEN_REVOKED` if the answer has become no.
    pub async fn still_valid(&self, directory: &impl Directory) -> Result<()> {
        let has_changed = directory.changes() != self.changes;
        let end = self.claims().end;
        let is_over = end.is_some_and(|end| self.granted.clock.now() >= end);
        if !has_changed && !is_over {
            return Ok(());
        }
        let grants = directory.grants(&self.call.caller.principal).await?;
        self.standing(&grants)?;
        // One that speaks as another principal took no grant along.
        directory.check_token(&self.call.caller).await?;
        let is_same = match self.granted.on.resolved {
            Some(resolved) => directory.resolve(&self.granted.on.resource).await?.0 == resolved,
            None => true,
        };
        match is_same {
            true => Ok(()),
            false => Err(self.granted.on.denial(&self.call, self.granted.permission)),
        }
    }

    /// Asks everything again that was asked so far, of the grants that the caller has by now.
    /// Returns until when the answer is yes: the earliest end of the caller's credentials and of
    /// the grants that allow it.
    ///
    /// # Errors
    /// `ACCESS_DENIED` or `TOKEN_EXPIRED` if the answer has become no.
    pub fn standing(&self, grants: &[Grant]) -> Result<Option<SystemTime>> {
        let mut end = self.call.caller.expire_time;
        if end.is_some_and(|end| self.granted.clock.now() >= end) {
            return Err(Error::new(Reason::TokenExpired));
        }
        let more = self.claims();
        for claim in self.granted.claims.iter().chain(&more.more) {
            let found = self.find(claim, grants);
            let grant =
                found.ok_or_else(|| self.granted.on.denial(&self.call, claim.permission))?;
            end = earliest(end, grant.expire_time);
        }
        Ok(end)
    }

    /// Adds a claim, if it is allowed.
    fn add(&self, claim: Claim) -> bool {
        let Some(grant) = self.find(&claim, &self.granted.grants) else {
            return false;
        };
        let mut claims = self.claims();
        if !self.granted.claims.contains(&claim) && !claims.more.contains(&claim) {
            claims.end = earliest(claims.end, grant.expire_time);
            claims.more.push(claim);
        }
        true
    }

    fn find<'g>(&self, claim: &Claim, grants: &'g [Grant]) -> Option<&'g Grant> {
        claim.find(grants, &self.call, self.granted.clock.now())
    }

    fn claims(&self) -> MutexGuard<'_, Claims> {
        self.claims.lock().unwrap_or_else(PoisonError::into_inner)
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

    /// Ends the proof of a call without side effects whose record the audit has already.
    pub fn end_as_before(mut self) -> Arc<Call> {
        self.is_open = false;
        Arc::clone(&self.call)
    }

    fn decision(&self, phase: Phase, outcome: Outcome) -> Decision {
        let decision =
            self.granted
                .on
                .decision(&self.call, self.granted.permission, phase, outcome);
        Decision {
            grant: Some(self.granted.grant.clone()),
            ..decision
        }
    }

    fn last_phase(&self) -> Phase {
        match self.has_begun.load(Ordering::Relaxed) {
            true => Phase::Outcome,
            false => Phase::Decision,
        }
    }
}

impl Drop for Authorized {
    fn drop(&mut self) {
        if self.is_open {
            let mut decision = self.decision(self.last_phase(), Outcome::Cancelled);
            decision.reason = Some(Reason::Cancelled);
            self.granted.log.record_detached(decision);
        }
    }
}
