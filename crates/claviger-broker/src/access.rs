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
                let scope = broker
                    .scope_of(&new, "grant.resource", "grant.environment")
                    .await?;
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
                broker.audit.intent(&authorized).await?;
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
                for _ in 0..ATTEMPTS {
                    let Some((record_id, stored)) = broker.holder_of(&authorized, &id).await?
                    else {
                        return Err(Error::new(Reason::GrantNotFound));
                    };
                    broker.audit.intent(&authorized).await?;
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

    /// The scope a new grant stands for: its resource must exist, and declare its environment.
    ///
    /// # Errors
    /// `PROJECT_NOT_FOUND`, `DEFINITION_NOT_FOUND`, `ENVIRONMENT_UNKNOWN`, `FIELD_INVALID`.
    pub(crate) async fn scope_of(
        &self,
        new: &NewGrant,
        resource_field: &'static str,
        environment_field: &'static str,
    ) -> Result<Scope> {
        let (scope, project_name) = match &new.resource {
            Resource::Daemon if new.environment.is_some() => {
                return Err(Error::new(Reason::FieldInvalid)
                    .violation(environment_field, "goes with a project; leave it out for *"));
            }
            Resource::Daemon => return Ok(Scope::Daemon),
            Resource::Definition(name) => {
                let stored = self.find_definition(name).await?;
                let uid = stored
                    .map(|stored| stored.record.uid)
                    .ok_or_else(|| crate::definition::not_found(name).at(resource_field))?;
                (
                    Some(Scope::Definition {
                        name: name.clone(),
                        uid,
                    }),
                    name.project(),
                )
            }
            Resource::Project(name) => (None, name),
        };
        let project = self.find_project(project_name).await?.ok_or_else(|| {
            Error::new(Reason::ProjectNotFound)
                .with(Detail::Resource, project_name)
                .at(resource_field)
        })?;
        if new.environment.is_some() {
            project
                .record
                .check_environment(new.environment.as_ref(), environment_field)?;
        }
        Ok(scope.unwrap_or_else(|| Scope::Project {
            name: project_name.clone(),
            uid: project.record.uid,
        }))
    }

    /// The record of a new principal's grants, for the commit that makes the principal.
    pub(crate) async fn first_grants(
        &self,
        principal: &Principal,
        news: &[NewGrant],
    ) -> Result<PrincipalGrants> {
        let mut record = PrincipalGrants::default();
        for new in news {
            let scope = self.scope_of(new, "grants", "grants").await?;
            (record, _) = record.with(principal, new, scope)?;
        }
        Ok(record)
    }

    /// Whether the caller's permission holds wherever a principal was given something; for one
    /// that was given nothing, on the whole daemon.
    pub(crate) async fn covers_all(
        &self,
        authorized: &Authorized,
        principal: &Principal,
    ) -> Result<bool> {
        let record_id = PrincipalGrants::record_id(principal);
        let stored = self.records.get::<PrincipalGrants>(&record_id).await?;
        let grants = stored
            .map(|stored| Arc::clone(&stored.record.grants))
            .unwrap_or_default();
        if grants.is_empty() {
            return Ok(authorized.covers(Resolved::default()));
        }
        Ok(grants
            .iter()
            .all(|grant| authorized.covers(resolved(&grant.scope))))
    }
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
        Scope::Definition { uid, .. } => Resolved {
            project: None,
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
