//! Whether somebody may do something, and why.

use std::sync::Arc;

use claviger_access::{Attribute, Call, Grant, Label, Permission, Principal, Question, explain};
use claviger_audit::Facts;
use claviger_core::{Id, Resource, Result};

use crate::broker::Broker;
use crate::grants::uids_of;
use crate::model::grants::GrantView;

/// A question about somebody's access.
#[derive(Clone, Debug)]
pub struct ExplainAccess {
    /// Whose; `None` for the caller's own.
    pub principal: Option<Principal>,
    /// What it would do.
    pub permission: Permission,
    /// To what.
    pub resource: Resource,
    /// In which environment.
    pub environment: Option<Id>,
    /// The purpose that it would state.
    pub purpose: Option<Label>,
}

/// The answer.
#[derive(Clone, Debug)]
pub struct AccessReport {
    /// Whose access it is.
    pub principal: Principal,
    /// Whether it may.
    pub is_allowed: bool,
    /// The grant that allows it, if the caller may see it.
    pub grant: Option<GrantView>,
    /// Of those that the caller may see the one that comes nearest, and what it fails in.
    pub nearest: Option<(GrantView, Attribute)>,
}

impl Broker {
    /// Says whether somebody may do something, and why.
    ///
    /// # Errors
    /// See the RPC `ExplainAccess`.
    pub async fn explain_access(
        &self,
        call: &Arc<Call>,
        asked_for: ExplainAccess,
    ) -> Result<AccessReport> {
        let own = &call.caller.principal;
        let other = asked_for.principal.clone().filter(|other| other != own);
        let Some(other) = other else {
            let report = self.explain(own, &asked_for, |_| true).await?;
            let has_grants = self.has_grants(own).await?;
            self.audit.note_open(call, has_grants).await?;
            return Ok(report);
        };
        let resource = asked_for.resource.clone();
        let asked = self
            .catalog
            .ask_resource(call, Permission::GrantsGet, resource)
            .await?;
        // As ListGrants would show them.
        let is_shown = |grant: &Grant| asked.proof.covers(uids_of(&grant.scope));
        let result = self.explain(&other, &asked_for, is_shown).await;
        let facts = |report: &AccessReport| Facts {
            holder: Some(report.principal.clone()),
            ..Facts::default()
        };
        self.concluded(asked, result, facts).await
    }

    async fn explain(
        &self,
        principal: &Principal,
        asked_for: &ExplainAccess,
        is_shown: impl Fn(&Grant) -> bool,
    ) -> Result<AccessReport> {
        let views = self.catalog.given_to(principal).await?;
        let grants: Vec<Grant> = views.iter().map(|view| view.grant.clone()).collect();
        let shown: Vec<Grant> = grants.iter().filter(|g| is_shown(g)).cloned().collect();
        let question = Question {
            permission: asked_for.permission,
            project: None,
            definition: None,
            profile: None,
            environment: asked_for.environment.as_ref(),
            purpose: asked_for.purpose.as_ref(),
            now: self.catalog.now(),
        };
        let catalog = &*self.catalog;
        let explained = explain(catalog, &grants, &shown, question, &asked_for.resource).await?;
        let view_of = |id: &Id| views.iter().find(|view| view.grant.id == *id).cloned();
        Ok(AccessReport {
            principal: principal.clone(),
            is_allowed: explained.is_allowed,
            grant: explained.grant.as_ref().and_then(view_of),
            nearest: explained
                .nearest
                .and_then(|(id, attribute)| Some((view_of(&id)?, attribute))),
        })
    }
}
