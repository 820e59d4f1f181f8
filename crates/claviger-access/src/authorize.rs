//! Asking the evaluator, and the proof that it said yes.

use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use claviger_core::{Clock, Detail, Error, Id, Reason, Resource, Result, Uid};

use crate::evaluate::may_allow;
use crate::{
    Call, Decision, DecisionLog, Facts, Grant, Outcome, Permission, Phase, Principal, Question,
    Scope, evaluate,
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
    /// What the directory found out about a name besides its uids, for whoever asked.
    type Found: Send;

    /// All grants of a principal; none is an empty list.
    fn grants(&self, principal: &Principal)
    -> impl Future<Output = Result<Arc<Vec<Grant>>>> + Send;

    /// Differs from an earlier answer if a grant or a name may have changed since.
    fn changes(&self) -> u64;

    /// What a resource's name stands for.
    fn resolve(
        &self,
        resource: &Resource,
    ) -> impl Future<Output = Result<(Resolved, Self::Found)>> + Send;
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
    pub async fn authorize<D: Directory>(
        &self,
        directory: &D,
        call: &Arc<Call>,
        permissions: &[Permission],
        resource: Resource,
        environment: Option<Id>,
    ) -> Result<(Authorized, D::Found)> {
        let mut asking = self.asking(directory, call, permissions, resource, environment);
        let looking = directory.grants(&call.caller.principal).await;
        let grants = asking.heard(looking)?;
        asking.has_grants = has_standing(&grants, self.clock.now());
        // SECURITY: a name is looked up only for callers that a grant names it to: for all others
        // the time that a look-up takes would tell names that exist from those that do not.
        if let Some(permission) = self.first_unnamed(&grants, &asking, permissions) {
            check_row(call, permission)?;
            let on = asking.answered()?;
            return Err(self.deny(call, permission, &on, &grants).await);
        }
        let resolving = directory.resolve(asking.resource()).await;
        let (resolved, found) = asking.heard(resolving)?;
        asking.resolve(resolved);
        let authorized = self.decide(grants, permissions, asking).await?;
        Ok((authorized, found))
    }

    /// Asks for `permission` on anything at all: for listings that show only what
    /// [`Authorized::covers`], and for changes that [`claim`](Authorized::claim) what they are
    /// about once they know it.
    ///
    /// # Errors
    /// As [`Self::authorize`].
    pub async fn authorize_anywhere(
        &self,
        directory: &impl Directory,
        call: &Arc<Call>,
        permission: Permission,
    ) -> Result<Authorized> {
        let permissions = &[permission];
        let mut asking = self.asking(directory, call, permissions, Resource::Daemon, None);
        let looking = directory.grants(&call.caller.principal).await;
        let grants = asking.heard(looking)?;
        asking.has_grants = has_standing(&grants, self.clock.now());
        self.decide(grants, permissions, asking).await
    }

    fn asking<'a>(
        &'a self,
        directory: &impl Directory,
        call: &'a Arc<Call>,
        permissions: &[Permission],
        resource: Resource,
        environment: Option<Id>,
    ) -> Asking<'a> {
        let on = On {
            resource,
            environment,
            resolved: None,
            changes: directory.changes(),
        };
        Asking {
            log: &*self.log,
            call,
            permission: permissions.first().copied(),
            has_grants: false,
            on: Some(on),
        }
    }

    /// The first of `permissions` that no grant names the resource with, whatever it stands for.
    fn first_unnamed(
        &self,
        grants: &[Grant],
        asking: &Asking<'_>,
        permissions: &[Permission],
    ) -> Option<Permission> {
        let now = self.clock.now();
        let on = asking.on.as_ref()?;
        let is_unnamed = |permission: &Permission| {
            let claim = on.claim(*permission);
            !may_allow(grants, &claim.question(asking.call, now), &on.resource)
        };
        permissions.iter().copied().find(is_unnamed)
    }

    async fn decide(
        &self,
        grants: Arc<Vec<Grant>>,
        permissions: &[Permission],
        asking: Asking<'_>,
    ) -> Result<Authorized> {
        let call = asking.call;
        let on = asking.answered()?;
        let now = self.clock.now();
        let mut allowed = None;
        let mut claims = Vec::with_capacity(permissions.len());
        let mut end = call.caller.expire_time;
        for permission in permissions {
            check_row(call, *permission)?;
            let claim = on.claim(*permission);
            match claim.find(&grants, call, now) {
                Some(grant) => {
                    allowed = Some((*permission, grant.id.clone()));
                    end = earliest(end, grant.expire_time);
                }
                None => return Err(self.deny(call, *permission, &on, &grants).await),
            }
            claims.push(claim);
        }
        let (permission, grant) = allowed.ok_or_else(|| Error::new(Reason::Internal))?;
        Ok(Authorized {
            call: Arc::clone(call),
            permission,
            on,
            grant,
            claims: Mutex::new(Claims { all: claims, end }),
            grants,
            log: Arc::clone(&self.log),
            clock: Arc::clone(&self.clock),
            has_begun: AtomicBool::new(false),
            is_open: true,
        })
    }

    async fn deny(
        &self,
        call: &Arc<Call>,
        permission: Permission,
        on: &On,
        grants: &[Grant],
    ) -> Error {
        let now = self.clock.now();
        let mut decision = on.decision(call, permission, Phase::Decision, Outcome::Denied);
        decision.has_grants = has_standing(grants, now);
        decision.reason = Some(Reason::AccessDenied);
        match self.log.record(decision).await {
            Ok(()) => on.denial(call, permission),
            Err(error) => error,
        }
    }
}

/// A question that has no answer yet. One that is dropped instead (the client's deadline, or a
/// reset) leaves a `CANCELLED` record without waiting, as a proof does.
struct Asking<'a> {
    log: &'a dyn DecisionLog,
    call: &'a Arc<Call>,
    permission: Option<Permission>,
    /// Not known to have any until they were heard.
    has_grants: bool,
    /// Empty once there is an answer.
    on: Option<On>,
}

impl Asking<'_> {
    fn resource(&self) -> &Resource {
        self.on
            .as_ref()
            .map_or(&Resource::Daemon, |on| &on.resource)
    }

    fn resolve(&mut self, resolved: Resolved) {
        if let Some(on) = &mut self.on {
            on.resolved = Some(resolved);
        }
    }

    /// A failure is an answer too.
    fn heard<T>(&mut self, found: Result<T>) -> Result<T> {
        found.inspect_err(|_| self.on = None)
    }

    fn answered(mut self) -> Result<On> {
        self.on.take().ok_or_else(|| Error::new(Reason::Internal))
    }
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        if let (Some(on), Some(permission)) = (&self.on, self.permission) {
            let mut decision =
                on.decision(self.call, permission, Phase::Decision, Outcome::Cancelled);
            decision.has_grants = self.has_grants;
            decision.reason = Some(Reason::Cancelled);
            self.log.record_detached(decision);
        }
    }
}

/// A permission outside the RPC's row is a bug: it would not be in the documentation.
fn check_row(call: &Call, permission: Permission) -> Result<()> {
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
struct On {
    resource: Resource,
    environment: Option<Id>,
    /// What the resource stood for; `None` for anything at all.
    resolved: Option<Resolved>,
    /// What [`Directory::changes`] said before anything was looked up.
    changes: u64,
}

impl On {
    fn claim(&self, permission: Permission) -> Claim {
        Claim {
            permission,
            resolved: self.resolved,
            environment: self.environment.clone(),
        }
    }

    fn decision(
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
                Resource::Project(_) => self.resolved.and_then(|uids| uids.project),
            },
            environment: self.environment.clone(),
            grant: None,
            facts: Facts::default(),
        }
    }

    fn denial(&self, call: &Call, permission: Permission) -> Error {
        denial(call, permission, &self.resource)
    }
}

fn has_standing(grants: &[Grant], now: SystemTime) -> bool {
    grants.iter().any(|grant| grant.is_standing(now))
}

fn earliest(one: Option<SystemTime>, other: Option<SystemTime>) -> Option<SystemTime> {
    [one, other].into_iter().flatten().min()
}

fn denial(call: &Call, permission: Permission, resource: &Resource) -> Error {
    Error::new(Reason::AccessDenied)
        .with(Detail::Principal, &call.caller.principal)
        .with(Detail::Permission, permission)
        .with(Detail::Resource, resource)
}

/// All that a call was allowed so far.
#[derive(Debug)]
struct Claims {
    all: Vec<Claim>,
    /// Until when nothing has to be asked again as long as no record changes.
    end: Option<SystemTime>,
}

/// One thing that a call was allowed, and is asked again about before it changes anything.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Claim {
    permission: Permission,
    /// On what; `None` for anything at all.
    resolved: Option<Resolved>,
    environment: Option<Id>,
}

impl Claim {
    fn find<'g>(&self, grants: &'g [Grant], call: &Call, now: SystemTime) -> Option<&'g Grant> {
        if self.resolved.is_none() {
            return grants
                .iter()
                .find(|grant| grant.role.allows(self.permission) && grant.is_standing(now));
        }
        evaluate(grants, &self.question(call, now))
    }

    fn question<'q>(&'q self, call: &'q Call, now: SystemTime) -> Question<'q> {
        let resolved = self.resolved.unwrap_or_default();
        Question {
            permission: self.permission,
            project: resolved.project,
            definition: resolved.definition,
            environment: self.environment.as_ref(),
            purpose: call.purpose.as_ref(),
            now,
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
    claims: Mutex<Claims>,
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
        self.on.resolved.unwrap_or_default()
    }

    /// Where the same grants allow the same permission, whatever it was asked on.
    pub fn scopes(&self) -> impl Iterator<Item = &Scope> {
        let now = self.clock.now();
        let allowing = self.grants.iter().filter(move |grant| {
            grant.role.allows(self.permission) && grant.expire_time.is_none_or(|end| now < end)
        });
        allowing.map(|grant| &grant.scope)
    }

    /// Whether the same grants allow the same permission on another resource: for listings. A
    /// change [`claim`](Self::claim)s it instead.
    pub fn covers(&self, resolved: Resolved) -> bool {
        let claim = Claim {
            resolved: Some(resolved),
            ..self.on.claim(self.permission)
        };
        self.find(&claim, &self.grants).is_some()
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
        let resource = match &self.on.resource {
            Resource::Definition(name) => Resource::Project(name.project().clone()),
            other @ (Resource::Daemon | Resource::Project(_)) => other.clone(),
        };
        let whole = Resolved {
            definition: None,
            ..self.resolved()
        };
        self.claim_at(permission, &resource, whole, environment)
    }

    /// Asks for the same permission on the whole project, regardless of environments.
    ///
    /// # Errors
    /// As [`Self::claim`].
    pub fn claim_everywhere(&self) -> Result<()> {
        self.claim_on_project(self.permission, None)
    }

    /// Asks for the same permission on another definition of the project too: for changes that its
    /// readers see.
    ///
    /// # Errors
    /// `ACCESS_DENIED` naming the project: the definitions in it are nothing for a caller that may
    /// not know.
    pub fn claim_beside(&self, definition: Uid, environment: Option<&Id>) -> Result<()> {
        let claim = Claim {
            permission: self.permission,
            resolved: Some(Resolved {
                definition: Some(definition),
                ..self.resolved()
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
            ..self.on.claim(self.permission)
        };
        let denial = || {
            self.on
                .denial(&self.call, self.permission)
                .with(Detail::Environments, environment)
        };
        self.add(claim).then_some(()).ok_or_else(denial)
    }

    /// The denial of a permission on what was asked for, for an answer that must not say more.
    pub fn denied(&self, permission: Permission) -> Error {
        self.on.denial(&self.call, permission)
    }

    /// Asks again after a wait, because a revocation must not lose a race against a slow vault.
    ///
    /// # Errors
    /// `ACCESS_DENIED` or `TOKEN_EXPIRED` if the answer has become no.
    pub async fn still_valid(&self, directory: &impl Directory) -> Result<()> {
        let has_changed = directory.changes() != self.on.changes;
        let end = self.claims().end;
        let is_over = end.is_some_and(|end| self.clock.now() >= end);
        if !has_changed && !is_over {
            return Ok(());
        }
        let grants = directory.grants(&self.call.caller.principal).await?;
        self.standing(&grants)?;
        let is_same = match self.on.resolved {
            Some(resolved) => directory.resolve(&self.on.resource).await?.0 == resolved,
            None => true,
        };
        match is_same {
            true => Ok(()),
            false => Err(self.on.denial(&self.call, self.permission)),
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
        if end.is_some_and(|end| self.clock.now() >= end) {
            return Err(Error::new(Reason::TokenExpired));
        }
        for claim in &self.claims().all {
            let found = self.find(claim, grants);
            let grant = found.ok_or_else(|| self.on.denial(&self.call, claim.permission))?;
            end = earliest(end, grant.expire_time);
        }
        Ok(end)
    }

    /// Adds a claim, if it is allowed.
    fn add(&self, claim: Claim) -> bool {
        let Some(grant) = self.find(&claim, &self.grants) else {
            return false;
        };
        let mut claims = self.claims();
        if !claims.all.contains(&claim) {
            claims.end = earliest(claims.end, grant.expire_time);
            claims.all.push(claim);
        }
        true
    }

    fn find<'g>(&self, claim: &Claim, grants: &'g [Grant]) -> Option<&'g Grant> {
        claim.find(grants, &self.call, self.clock.now())
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
