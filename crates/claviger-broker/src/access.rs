//! Grants: one record per principal, so that looking them up costs the same however many there are.

use std::sync::Arc;
use std::time::SystemTime;

use claviger_access::{
    Authorized, Call, Directory, Grant, Label, Permission, Principal, Resolved, Role, Scope,
};
use claviger_audit::Facts;
use claviger_core::{Detail, Error, Id, Reason, Resource, Result};
use claviger_store::{Batch, Committed, Expect, Record, Stored};
use serde::{Deserialize, Serialize};

use crate::definition::not_found;
use crate::writes::ATTEMPTS;
use crate::{Broker, Page, PageRequest};

/// Most grants of one principal: an evaluation walks them all.
const GRANTS_MAX: usize = 1000;

/// All grants of a principal.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(crate) struct PrincipalGrants {
    pub(crate) grants: Arc<Vec<Grant>>,
    /// Numbers the next grant, so that an id is never used twice.
    next: u64,
}

impl Record for PrincipalGrants {
    const KIND: &'static str = "grants/";
    const FORM: u32 = 1;
}

impl PrincipalGrants {
    pub(crate) fn record_id(principal: &Principal) -> String {
        match principal {
            Principal::Token(id) => format!("token-{id}"),
            Principal::Unix(uid) => format!("unix-{uid}"),
        }
    }

    /// The principal's grants with one more, and that one; the same one again is not added.
    pub(crate) fn with(
        &self,
        principal: &Principal,
        new: &NewGrant,
        scope: Scope,
    ) -> Result<(Self, Grant)> {
        let id = format!("{}-{}", Self::record_id(principal), self.next);
        let grant = Grant {
            id: Id::parse("grant.name", &id)?,
            role: new.role,
            scope,
            environment: new.environment.clone(),
            expire_time: new.expire_time,
            purpose: new.purpose.clone(),
        };
        let is_same = |existing: &&Grant| {
            Grant {
                id: grant.id.clone(),
                ..(*existing).clone()
            } == grant
        };
        if let Some(existing) = self.grants.iter().find(is_same) {
            return Ok((
                Self {
                    grants: Arc::clone(&self.grants),
                    next: self.next,
                },
                existing.clone(),
            ));
        }
        if self.grants.len() >= GRANTS_MAX {
            return Err(Error::new(Reason::FieldInvalid).violation(
                "grant.principal",
                "has 1000 grants already; grant on the project instead",
            ));
        }
        let mut grants = (*self.grants).clone();
        grants.push(grant.clone());
        Ok((
            Self {
                grants: Arc::new(grants),
                next: self.next + 1,
            },
            grant,
        ))
    }
}

/// A grant to give.
#[derive(Clone, Debug)]
pub struct NewGrant {
    /// What is allowed.
    pub role: Role,
    /// Where.
    pub resource: Resource,
    /// Only in this environment.
    pub environment: Option<Id>,
    /// Only before this time.
    pub expire_time: Option<SystemTime>,
    /// Only for calls that state this purpose.
    pub purpose: Option<Label>,
}

/// A grant and who holds it.
#[derive(Clone, Debug)]
pub struct GrantView {
    /// Who.
    pub principal: Principal,
    /// What.
    pub grant: Grant,
}

impl Broker {
    /// The grants of the caller itself.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE`.
    pub async fn who_am_i(&self, call: &Call) -> Result<Vec<GrantView>> {
        let principal = &call.caller.principal;
        let grants = self.grants(principal).await?;
        let view = |grant: &Grant| GrantView {
            principal: principal.clone(),
            grant: grant.clone(),
        };
        Ok(grants.iter().map(view).collect())
    }

    /// Gives a role to a principal.
    ///
    /// # Errors
    /// See the RPC `PutGrant`.
    pub async fn put_grant(
        self: &Arc<Self>,
        call: &Arc<Call>,
        principal: Principal,
        new: NewGrant,
    ) -> Result<GrantView> {
        let permissions = &[Permission::GrantsPut];
        let authorized = self
            .authorize(call, permissions, new.resource.clone(), None)
            .await?;
        self.finish_detached(
            authorized,
            |view: &GrantView| about(&view.grant.id),
            |broker, authorized| async move {
                let scope = broker.scope_of(&authorized, &new).await?;
                if new.purpose.is_some() && new.role != Role::Runner {
                    return Err(Error::new(Reason::FieldInvalid).violation(
                        "grant.purpose",
                        "goes with RUNNER: only GetSecret states one",
                    ));
                }
                if new.expire_time.is_some_and(|end| end <= broker.clock.now()) {
                    return Err(Error::new(Reason::FieldInvalid).violation(
                        "grant.expire_time",
                        "is in the past; leave it out for no end",
                    ));
                }
                if let Principal::Token(id) = &principal {
                    broker
                        .find_token(id)
                        .await?
                        .ok_or_else(|| Error::new(Reason::TokenNotFound).at("grant.principal"))?;
                }
                broker.audit.intent(&authorized, Facts::default()).await?;
                let record_id = PrincipalGrants::record_id(&principal);
                for _ in 0..ATTEMPTS {
                    let stored = broker.records.get::<PrincipalGrants>(&record_id).await?;
                    let expect = stored
                        .as_ref()
                        .map_or(Expect::Absent, |s| Expect::Revision(s.revision));
                    let existing = stored.map(|stored| stored.record).unwrap_or_default();
                    let (changed, grant) = existing.with(&principal, &new, scope.clone())?;
                    let batch = Batch::new().put(&record_id, &changed, expect);
                    if let Committed::At(_) = broker.records.commit(batch).await? {
                        return Ok(GrantView { principal, grant });
                    }
                }
                Err(Error::new(Reason::Conflict).with(Detail::Resource, &new.resource))
            },
        )
        .await
    }

    /// Lists the grants the caller may list, of one principal or of all.
    ///
    /// # Errors
    /// See the RPC `ListGrants`.
    pub async fn list_grants(
        &self,
        call: &Arc<Call>,
        principal: Option<&Principal>,
        request: &PageRequest,
    ) -> Result<Page<GrantView>> {
        let authorized = self.authorize_anywhere(call, Permission::GrantsGet).await?;
        let result = self
            .list_grants_authorized(&authorized, principal, request)
            .await;
        self.decided(authorized, result).await
    }

    /// A page ends at the end of a principal's grants, so it may be longer than asked: a principal
    /// has at most [`GRANTS_MAX`].
    async fn list_grants_authorized(
        &self,
        authorized: &Authorized,
        principal: Option<&Principal>,
        request: &PageRequest,
    ) -> Result<Page<GrantView>> {
        let mut page = Page {
            items: Vec::new(),
            next: None,
        };
        let mut after = request.after.clone();
        loop {
            let scanned = match principal {
                Some(principal) => {
                    let id = PrincipalGrants::record_id(principal);
                    self.records
                        .get(&id)
                        .await?
                        .map(|stored| (id, stored))
                        .into_iter()
                        .collect()
                }
                None => {
                    self.records
                        .scan::<PrincipalGrants>("", after.as_deref(), 1)
                        .await?
                }
            };
            let Some((record_id, stored)) = scanned.into_iter().next() else {
                return Ok(page);
            };
            let holder = principal_of(&record_id)?;
            page.items.extend(
                stored
                    .record
                    .grants
                    .iter()
                    .filter(|grant| authorized.covers(resolved(&grant.scope)))
                    .map(|grant| GrantView {
                        principal: holder.clone(),
                        grant: grant.clone(),
                    }),
            );
            if principal.is_some() {
                return Ok(page);
            }
            if page.items.len() >= request.size {
                page.next = Some(record_id);
                return Ok(page);
            }
            after = Some(record_id);
        }
    }

    /// Takes a grant back.
    ///
    /// # Errors
    /// See the RPC `DeleteGrant`.
    pub async fn delete_grant(self: &Arc<Self>, call: &Arc<Call>, id: Id) -> Result<()> {
        let authorized = self.authorize_anywhere(call, Permission::GrantsPut).await?;
        let subject = about(&id);
        self.finish_detached(
            authorized,
            |()| subject,
            move |broker, authorized| async move {
                let absent = || Error::new(Reason::GrantNotFound);
                broker
                    .holder_of(&authorized, &id)
                    .await?
                    .ok_or_else(absent)?;
                broker.audit.intent(&authorized, about(&id)).await?;
                for _ in 0..ATTEMPTS {
                    let holder = broker.holder_of(&authorized, &id).await?;
                    let (record_id, stored) = holder.ok_or_else(absent)?;
                    let mut grants = (*stored.record.grants).clone();
                    grants.retain(|grant| grant.id != id);
                    let changed = PrincipalGrants {
                        grants: Arc::new(grants),
                        next: stored.record.next,
                    };
                    let expect = Expect::Revision(stored.revision);
                    let batch = Batch::new().put(&record_id, &changed, expect);
                    if let Committed::At(_) = broker.records.commit(batch).await? {
                        return Ok(());
                    }
                }
                Err(Error::new(Reason::Conflict).with(Detail::Resource, authorized.resource()))
            },
        )
        .await
    }

    /// The record that has a grant, if the caller may take that grant back: one it may not looks
    /// like one that is not there.
    async fn holder_of(
        &self,
        authorized: &Authorized,
        id: &Id,
    ) -> Result<Option<(String, Stored<PrincipalGrants>)>> {
        let Some((record_id, _)) = id.as_str().rsplit_once('-') else {
            return Ok(None);
        };
        let stored = self.records.get::<PrincipalGrants>(record_id).await?;
        let is_covered = |stored: &Stored<PrincipalGrants>| {
            let mut grants = stored.record.grants.iter();
            grants.any(|grant| grant.id == *id && authorized.covers(resolved(&grant.scope)))
        };
        Ok(stored
            .filter(is_covered)
            .map(|stored| (record_id.to_owned(), stored)))
    }

    /// The scope a new grant stands for: its resource must exist, declare its environment, and be
    /// one where the caller has the permission it was authorised for.
    ///
    /// # Errors
    /// `PROJECT_NOT_FOUND`, `DEFINITION_NOT_FOUND`, `ENVIRONMENT_UNKNOWN`, `FIELD_INVALID`,
    /// `ACCESS_DENIED`.
    async fn scope_of(&self, authorized: &Authorized, new: &NewGrant) -> Result<Scope> {
        let project_name = match &new.resource {
            Resource::Daemon if new.environment.is_some() => {
                return Err(Error::new(Reason::FieldInvalid).violation(
                    "grant.environment",
                    "goes with a project; leave it out for *",
                ));
            }
            Resource::Daemon => return Ok(Scope::Daemon),
            Resource::Definition(name) => name.project(),
            Resource::Project(name) => name,
        };
        let project = self.find_project(project_name).await?.ok_or_else(|| {
            Error::new(Reason::ProjectNotFound)
                .with(Detail::Resource, project_name)
                .at("grant.resource")
        })?;
        if new.environment.is_some() {
            let environment = new.environment.as_ref();
            project
                .record
                .check_environment(environment, "grant.environment")?;
        }
        let project = project.record.uid;
        let scope = match &new.resource {
            Resource::Definition(name) => {
                let stored = self.find_definition(name).await?;
                let stored = stored.filter(|stored| !self.is_gone(&stored.record));
                let stored = stored.ok_or_else(|| not_found(name).at("grant.resource"))?;
                Scope::Definition {
                    name: name.clone(),
                    uid: stored.record.uid,
                    project,
                }
            }
            Resource::Daemon | Resource::Project(_) => Scope::Project {
                name: project_name.clone(),
                uid: project,
            },
        };
        // The name may stand for something else than what was authorised.
        match authorized.covers(resolved(&scope)) {
            true => Ok(scope),
            false => Err(Error::new(Reason::Conflict).with(Detail::Resource, &new.resource)),
        }
    }

    /// The record of a new principal's grants, for the commit that makes the principal.
    pub(crate) async fn first_grants(
        &self,
        authorized: &Authorized,
        principal: &Principal,
        news: &[NewGrant],
    ) -> Result<PrincipalGrants> {
        let mut record = PrincipalGrants::default();
        for new in news {
            let scope = self.scope_of(authorized, new).await?;
            (record, _) = record.with(principal, new, scope)?;
        }
        Ok(record)
    }
}

/// Whether the caller's permission holds on a scope.
pub(crate) fn is_covered(authorized: &Authorized, scope: &Scope) -> bool {
    authorized.covers(resolved(scope))
}

pub(crate) fn about(id: &Id) -> Facts {
    Facts {
        subject: Some(id.clone()),
        ..Facts::default()
    }
}

/// A scope as the evaluator is asked about it.
fn resolved(scope: &Scope) -> Resolved {
    match scope {
        Scope::Daemon => Resolved::default(),
        Scope::Definition { uid, project, .. } => Resolved {
            project: Some(*project),
            definition: Some(*uid),
        },
        Scope::Project { uid, .. } => Resolved {
            project: Some(*uid),
            definition: None,
        },
    }
}

fn principal_of(record_id: &str) -> Result<Principal> {
    let text = record_id.replacen('-', ":", 1);
    Principal::parse("principal", &text)
        .map_err(|error| Error::new(Reason::IntegrityFailure).caused_by(error))
}
