//! The grants of one principal: one record, so that looking them up costs the same however many
//! principals there are.

use std::sync::Arc;
use std::time::SystemTime;

use claviger_access::{Grant, Label, Principal, Role, Scope};
use claviger_core::{Error, Id, Reason, Resource, Result};

/// Most grants of one principal in one project, and most of those on everything: an evaluation walks
/// them all. Of each project for itself, so that its admin uses up nobody else's.
const GRANTS_MAX: usize = 1000;

/// All grants of a principal.
#[derive(Clone, Debug)]
pub(crate) struct Grants {
    pub(crate) principal: Principal,
    pub(crate) grants: Arc<Vec<Grant>>,
    /// Numbers the next grant, so that an id is never used twice.
    pub(crate) next: u64,
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

/// A grant and its holder.
#[derive(Clone, Debug)]
pub struct GrantView {
    /// The holder.
    pub principal: Principal,
    /// What it was given.
    pub grant: Grant,
}

impl Grants {
    /// Each with its holder.
    pub(crate) fn views(&self) -> impl Iterator<Item = GrantView> {
        self.grants.iter().map(|grant| GrantView {
            principal: self.principal.clone(),
            grant: grant.clone(),
        })
    }

    /// Of a principal that has none.
    pub(crate) fn none(principal: Principal) -> Self {
        Self {
            principal,
            grants: Arc::default(),
            next: 0,
        }
    }

    /// What a principal's grants are found by: a hash, because principals may be long and have any
    /// characters.
    pub(crate) fn key(principal: &Principal) -> String {
        let hash = claviger_seal::sha256(principal.to_string().as_bytes());
        let (start, _) = hash.split_at(16);
        claviger_seal::hex(start)
    }

    /// The key of the grants among which this id is.
    pub(crate) fn key_of(grant: &Id) -> Option<&str> {
        grant.as_str().rsplit_once('-').map(|(key, _)| key)
    }

    /// Where this id is in the order of all grants: the key of its principal's, and its number among
    /// those.
    pub(crate) fn place_of(id: &str) -> Option<(&str, u64)> {
        let (key, number) = id.rsplit_once('-')?;
        Some((key, number.parse().ok()?))
    }

    /// These grants with one more, and that one; the same one again is not added.
    ///
    /// # Errors
    /// `FIELD_INVALID` if there are as many as there may be.
    pub(crate) fn with(
        &self,
        new: &NewGrant,
        scope: Scope,
        made_by: Option<&Principal>,
    ) -> Result<(Self, Grant)> {
        let id = format!("{}-{}", Self::key(&self.principal), self.next);
        let grant = Grant {
            id: Id::parse("grant.name", &id)?,
            role: new.role,
            scope,
            environment: new.environment.clone(),
            expire_time: new.expire_time,
            purpose: new.purpose.clone(),
            made_by: made_by.cloned(),
        };
        let is_same = |existing: &&Grant| {
            Grant {
                id: grant.id.clone(),
                made_by: grant.made_by.clone(),
                ..(*existing).clone()
            } == grant
        };
        if let Some(existing) = self.grants.iter().find(is_same) {
            return Ok((self.clone(), existing.clone()));
        }
        let project = grant.scope.project();
        let beside = self.grants.iter().filter(|g| g.scope.project() == project);
        if beside.count() >= GRANTS_MAX {
            return Err(Error::new(Reason::FieldInvalid).violation(
                "grant.principal",
                "has 1000 grants there already; grant on the whole project instead, or take some \
                 back (ListGrants, DeleteGrant)",
            ));
        }
        let added = self.grants.iter().cloned().chain([grant.clone()]);
        let grants = Self {
            principal: self.principal.clone(),
            grants: Arc::new(added.collect()),
            next: self.next + 1,
        };
        Ok((grants, grant))
    }

    /// The grant of this id.
    pub(crate) fn find(&self, id: &Id) -> Option<&Grant> {
        self.grants.iter().find(|grant| grant.id == *id)
    }

    /// These grants but for some.
    pub(crate) fn without(&self, is_ended: impl Fn(&Grant) -> bool) -> Self {
        let left = self.grants.iter().filter(|grant| !is_ended(grant));
        Self {
            grants: Arc::new(left.cloned().collect()),
            ..self.clone()
        }
    }
}

#[cfg(test)]
mod tests {
    use claviger_core::{DefinitionName, ProjectName, Uid};

    use super::*;

    #[test]
    fn the_grants_that_one_project_gives_use_up_no_others() {
        let project = |name: &str, uid| Scope::Project {
            name: ProjectName::parse("name", name).expect("valid"),
            uid,
        };
        let (acme, other) = (Uid::random(), Uid::random());
        let in_acme = Scope::Definition {
            name: DefinitionName::parse("name", "projects/acme/secrets/key").expect("valid"),
            uid: Uid::random(),
            project: acme,
        };
        let acme = project("projects/acme", acme);
        let other = project("projects/other", other);
        let give = |grants: &Grants, scope: &Scope, minute: usize| {
            let end = SystemTime::UNIX_EPOCH + std::time::Duration::from_mins(minute as u64);
            let new = NewGrant {
                role: Role::Runner,
                resource: scope.resource(),
                environment: None,
                expire_time: Some(end),
                purpose: None,
            };
            let given = grants.with(&new, scope.clone(), None);
            given.map(|(grants, _)| grants)
        };
        // On the project and on what is in it: they count together.
        let mut grants = Grants::none(Principal::Unix(7));
        for minute in 0..GRANTS_MAX {
            let scope = if minute % 2 == 0 { &acme } else { &in_acme };
            grants = give(&grants, scope, minute).expect("there is room");
        }
        for full in [&acme, &in_acme] {
            let error = give(&grants, full, GRANTS_MAX).expect_err("full");
            assert_eq!(error.reason(), Reason::FieldInvalid);
            let violation = error.field_violation().expect("names the field");
            assert_eq!(violation.field, "grant.principal");
            assert!(
                violation.description.contains("DeleteGrant"),
                "{violation:?}"
            );
        }
        for others in [&other, &Scope::Daemon] {
            let grants = give(&grants, others, 0).expect("a share of its own");
            assert_eq!(grants.grants.len(), GRANTS_MAX + 1);
        }
    }
}
