//! Grants: given, listed, taken back.

use std::sync::Arc;

use claviger_access::{
    Authorized, Call, Directory, Permission, Principal, Proof, Resolved, Role, Scope,
};
use claviger_audit::Facts;
use claviger_core::{Detail, Error, Id, Reason, Resource, Result};
use claviger_store::{Batch, Expect, Stored};

use crate::broker::Broker;
use crate::engine::catalog::commit::Update;
use crate::engine::forms::Made;
use crate::engine::found::Asked;
use crate::model::grants::{GrantView, Grants, NewGrant};
use crate::model::page::{Page, PageRequest};
use crate::model::token::Token;

impl Broker {
    /// The grants that hold for the caller itself, and the identity that vouches for it.
    ///
    /// # Errors
    /// `TOKEN_REVOKED`, `STORE_UNAVAILABLE`.
    pub async fn who_am_i(&self, call: &Call) -> Result<(Vec<GrantView>, Option<Id>)> {
        let grants = self.catalog.given_to(&call.caller.principal).await?;
        let identity = match &call.caller.proof {
            Proof::Certificate(identity) | Proof::Jwt(identity) => Some(identity.clone()),
            Proof::Exchanged(_) => {
                let token = self.catalog.token_of(&call.caller).await?;
                let speaks_as = token.and_then(|(_, token)| token.record.speaks_as.clone());
                speaks_as.map(|other| other.identity)
            }
            Proof::Token | Proof::Uid => None,
        };
        Ok((grants, identity))
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
        let permission = Permission::GrantsPut;
        let resource = new.resource.clone();
        let asked = self
            .catalog
            .ask_resource(call, permission, resource)
            .await?;
        let facts = |view: &GrantView| facts_about(&view.grant.id);
        self.finish_detached(asked, facts, |broker, asked| async move {
            broker.put_grant_asked(&asked, principal, new).await
        })
        .await
    }

    async fn put_grant_asked(
        &self,
        Asked { proof, .. }: &Asked<()>,
        principal: Principal,
        new: NewGrant,
    ) -> Result<GrantView> {
        let scope = self.scope_of(proof, Permission::GrantsPut, &new).await?;
        if new.purpose.is_some() && new.role != Role::Runner {
            return Err(Error::new(Reason::FieldInvalid).violation(
                "grant.purpose",
                "goes with RUNNER: only GetSecret states one",
            ));
        }
        if new.expire_time.is_some_and(|end| end <= self.catalog.now()) {
            return Err(Error::new(Reason::FieldInvalid).violation(
                "grant.expire_time",
                "is in the past; leave it out for no end",
            ));
        }
        match &principal {
            Principal::Foreign(holder) => {
                self.catalog.identities().check("grant.principal", holder)?;
            }
            Principal::Token(id) => {
                let token = self.catalog.get::<Token>(proof, id.as_str()).await?;
                let absent = || Error::new(Reason::TokenNotFound).at("grant.principal");
                if token.ok_or_else(absent)?.record.speaks_as.is_some() {
                    return Err(Error::new(Reason::FieldInvalid).violation(
                        "grant.principal",
                        "is a token of ExchangeToken, which has no grants of its own; give it to \
                         the principal that the token speaks as (ListTokens)",
                    ));
                }
            }
            Principal::Unix(_) => {}
        }
        let maker = &proof.call().caller.principal;
        // Its id is told once it has one.
        let (_, grant) = Grants::none(principal.clone()).with(&new, scope.clone(), None)?;
        let giving = GrantView {
            principal: principal.clone(),
            grant,
        };
        let giving = Facts {
            subject: None,
            ..giving.giving()
        };
        self.audit.intent(proof, giving).await?;
        let change = |stored: Option<&Stored<Grants>>| {
            let none = || Grants::none(principal.clone());
            let existing = stored.map_or_else(none, |stored| (*stored.record).clone());
            let (record, grant) = existing.with(&new, scope.clone(), Some(maker))?;
            // The same one again: nothing changes, and it stays its first maker's.
            if record.next == existing.next {
                return Ok(Update::Keep(grant));
            }
            Ok(Update::Put {
                record,
                also: note_made(Batch::new(), maker, &Made::Grant(grant.id.clone())),
                answer: grant,
            })
        };
        let key = Grants::key(&principal);
        let grant = self.catalog.update(proof, &key, change).await?;
        let conflict = || Error::new(Reason::Conflict).with(Detail::Resource, &new.resource);
        let grant = grant.ok_or_else(conflict)?;
        Ok(GrantView { principal, grant })
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
        let permission = Permission::GrantsGet;
        let asked = self.catalog.ask_anywhere(call, permission).await?;
        let result = self.list_grants_asked(&asked, principal, request).await;
        let facts = |_: &_| Facts {
            holder: principal.cloned(),
            ..Facts::default()
        };
        self.concluded(asked, result, facts).await
    }

    /// Walks the principals, and the grants of each in the order in which they were given: a page
    /// begins behind a grant.
    async fn list_grants_asked(
        &self,
        asked: &Asked<()>,
        principal: Option<&Principal>,
        request: &PageRequest,
    ) -> Result<Page<GrantView>> {
        let of = [principal.map(Principal::to_string).unwrap_or_default()];
        let listing = self.catalog.listing(&asked.proof, of);
        let begun = listing.after(request)?;
        let begun = begun.as_deref().and_then(Grants::place_of);
        let mut found = match principal.map(Grants::key) {
            Some(key) => self.grants_at(asked, &key).await?,
            None => match begun {
                // Its grants may have been taken back meanwhile.
                Some((key, _)) => match self.grants_at(asked, key).await? {
                    Some(found) => Some(found),
                    None => self.grants_behind(asked, Some(key)).await?,
                },
                None => self.grants_behind(asked, None).await?,
            },
        };
        let mut items = Vec::new();
        while let Some((key, grants)) = found {
            let views = visible(asked, &grants).into_iter();
            let views = views.map(|view| (view.grant.id.to_string(), view));
            let later = views.filter(|(id, _)| Grants::place_of(id) > begun);
            items.extend(later.take(request.size - items.len()));
            if items.len() == request.size || principal.is_some() {
                break;
            }
            found = self.grants_behind(asked, Some(&key)).await?;
        }
        Ok(listing.page(items, request))
    }

    async fn grants_at(
        &self,
        asked: &Asked<()>,
        key: &str,
    ) -> Result<Option<(String, Arc<Grants>)>> {
        let stored = self.catalog.get::<Grants>(&asked.proof, key).await?;
        Ok(stored.map(|stored| (key.to_owned(), stored.record)))
    }

    async fn grants_behind(
        &self,
        asked: &Asked<()>,
        key: Option<&str>,
    ) -> Result<Option<(String, Arc<Grants>)>> {
        let next = self
            .catalog
            .scan::<Grants>(&asked.proof, "", key, 1)
            .await?;
        let next = next.into_iter().next();
        Ok(next.map(|(key, stored)| (key, stored.record)))
    }

    /// Takes a grant back.
    ///
    /// # Errors
    /// See the RPC `DeleteGrant`.
    pub async fn delete_grant(self: &Arc<Self>, call: &Arc<Call>, id: Id) -> Result<()> {
        let permission = Permission::GrantsPut;
        let asked = self.catalog.ask_anywhere(call, permission).await?;
        let subject = facts_about(&id);
        let facts = |(): &()| subject;
        self.finish_detached(asked, facts, move |broker, asked| async move {
            broker.delete_grant_asked(&asked, &id).await
        })
        .await
    }

    async fn delete_grant_asked(&self, Asked { proof, .. }: &Asked<()>, id: &Id) -> Result<()> {
        let absent = || Error::new(Reason::GrantNotFound);
        let key = Grants::key_of(id).ok_or_else(absent)?;
        // One the caller may not take back looks like one that is not there.
        let claimed = |stored: Option<&Stored<Grants>>| {
            let grants = stored.map(|stored| Arc::clone(&stored.record));
            let grants = grants.ok_or_else(absent)?;
            let grant = grants.find(id).cloned().ok_or_else(absent)?;
            let (resource, resolved) = (grant.scope.resource(), uids_of(&grant.scope));
            proof
                .claim(Permission::GrantsPut, &resource, resolved)
                .map_err(|_| absent())?;
            Ok((grants, grant))
        };
        let (grants, grant) = claimed(self.catalog.get::<Grants>(proof, key).await?.as_ref())?;
        let principal = grants.principal.clone();
        let taking = GrantView { principal, grant }.taking();
        self.audit.intent(proof, taking).await?;
        let change = |stored: Option<&Stored<Grants>>| {
            let (grants, grant) = claimed(stored)?;
            Ok(Update::Put {
                record: grants.without(|other| other.id == *id),
                also: forget_made(
                    Batch::new(),
                    grant.made_by.as_ref(),
                    &Made::Grant(id.clone()),
                ),
                answer: (),
            })
        };
        let deleted = self.catalog.update(proof, key, change).await?;
        let conflict = || Error::new(Reason::Conflict).with(Detail::Resource, proof.resource());
        deleted.ok_or_else(conflict)
    }

    /// The scope a new grant stands for: its resource must exist, declare its environment, and be
    /// one where the caller has the permission to give it.
    ///
    /// # Errors
    /// `PROJECT_NOT_FOUND`, `DEFINITION_NOT_FOUND`, `ENVIRONMENT_UNKNOWN`, `FIELD_INVALID`,
    /// `ACCESS_DENIED`.
    pub(crate) async fn scope_of(
        &self,
        proof: &Authorized,
        permission: Permission,
        new: &NewGrant,
    ) -> Result<Scope> {
        if new.resource == Resource::Daemon && new.environment.is_some() {
            return Err(Error::new(Reason::FieldInvalid).violation(
                "grant.environment",
                "goes with a project; leave it out for *",
            ));
        }
        let (_, found) = self.catalog.resolve(&new.resource).await?;
        let scope = found.scope(&new.resource, new.environment.as_ref())?;
        // The name may stand for something else than what was authorised.
        proof
            .claim(permission, &new.resource, uids_of(&scope))
            .map_err(|_| Error::new(Reason::Conflict).with(Detail::Resource, &new.resource))?;
        Ok(scope)
    }
}

/// What the caller may see of a principal's grants.
fn visible(asked: &Asked<()>, grants: &Grants) -> Vec<GrantView> {
    let covered = grants.grants.iter();
    let covered = covered.filter(|grant| asked.proof.covers(uids_of(&grant.scope)));
    covered
        .map(|grant| GrantView {
            principal: grants.principal.clone(),
            grant: grant.clone(),
        })
        .collect()
}

/// A scope as the evaluator is asked about it.
pub(crate) fn uids_of(scope: &Scope) -> Resolved {
    match scope {
        Scope::Daemon => Resolved::default(),
        Scope::Definition { uid, project, .. } => Resolved {
            project: Some(*project),
            definition: Some(*uid),
            profile: None,
        },
        Scope::Profile { uid, project, .. } => Resolved {
            project: Some(*project),
            definition: None,
            profile: Some(*uid),
        },
        Scope::Project { uid, .. } => Resolved {
            project: Some(*uid),
            ..Resolved::default()
        },
    }
}

/// Notes what a token makes, in the commit that makes it.
pub(crate) fn note_made(batch: Batch, maker: &Principal, made: &Made) -> Batch {
    match maker {
        Principal::Token(id) => batch.put(&made.record_id(id), made, Expect::Any),
        Principal::Foreign(_) | Principal::Unix(_) => batch,
    }
}

/// Forgets what a token made, in the commit that ends it.
pub(crate) fn forget_made(batch: Batch, maker: Option<&Principal>, made: &Made) -> Batch {
    match maker {
        Some(Principal::Token(id)) => batch.delete::<Made>(&made.record_id(id), Expect::Any),
        Some(Principal::Foreign(_) | Principal::Unix(_)) | None => batch,
    }
}

/// What the audit log says of a grant or token.
pub(crate) fn facts_about(id: &Id) -> Facts {
    Facts {
        subject: Some(id.clone()),
        ..Facts::default()
    }
}
