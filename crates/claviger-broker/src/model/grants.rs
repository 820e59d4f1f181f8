//! The grants of one principal: one record, so that looking them up costs the same however many
//! principals there are.

use std::sync::Arc;
use std::time::SystemTime;

use claviger_access::{Grant, Label, Principal, Role, Scope};
use claviger_core::{Error, Id, Reason, Resource, Result};

/// Most grants of one principal: an evaluation walks them all.
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
        if self.grants.len() >= GRANTS_MAX {
            return Err(Error::new(Reason::FieldInvalid).violation(
                "grant.principal",
                "has 1000 grants already; grant on the project instead",
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
