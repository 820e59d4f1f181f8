//! Asking the evaluator.

mod authorized;

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

use claviger_core::{Clock, Error, Id, Reason, Resource, Result};

pub use self::authorized::{Authorized, Granted};
use crate::claim::{Claims, On, check_row, earliest, has_standing};
use crate::directory::{Directory, Resolved};
use crate::evaluate::may_allow;
use crate::{Call, DecisionLog, Grant, Outcome, Permission, Phase};

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
            changes: on.changes,
            claims: Mutex::new(Claims {
                more: Vec::new(),
                end,
            }),
            granted: Arc::new(Granted {
                call: Arc::clone(call),
                permission,
                on,
                grant,
                claims,
                end,
                grants,
                log: Arc::clone(&self.log),
                clock: Arc::clone(&self.clock),
            }),
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
