//! The stored form of a principal's grants.

use std::sync::Arc;
use std::time::SystemTime;

use claviger_access::{Grant, Label, Principal, Scope};
use claviger_core::{Error, Id, ProjectName, Uid};
use claviger_store::Record;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::engine::forms::names::{NameForm, RoleForm};
use crate::model::grants::Grants;

impl Record for Grants {
    const KIND: &'static str = "grants/";
    const FORM: u32 = 2;
    /// Without grants on profiles.
    const FORM_OLDEST: u32 = 1;
}

#[derive(Deserialize, Serialize)]
pub(super) struct GrantsForm {
    /// As it is written in requests.
    pub(super) principal: String,
    pub(super) grants: Vec<GrantForm>,
    pub(super) next: u64,
}

#[derive(Deserialize, Serialize)]
pub(super) struct GrantForm {
    pub(super) id: Id,
    role: RoleForm,
    scope: ScopeForm,
    environment: Option<Id>,
    expire_time: Option<SystemTime>,
    purpose: Option<String>,
    /// A principal.
    #[serde(default)]
    made_by: Option<String>,
}

/// Names are for people; the uids decide.
#[derive(Deserialize, Serialize)]
pub(super) enum ScopeForm {
    Daemon,
    Definition {
        name: NameForm,
        uid: Uid,
        project: Uid,
    },
    Profile {
        name: NameForm,
        uid: Uid,
        project: Uid,
    },
    Project {
        name: Id,
        uid: Uid,
    },
}

impl Serialize for Grants {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        GrantsForm {
            principal: self.principal.to_string(),
            grants: self.grants.iter().map(GrantForm::from).collect(),
            next: self.next,
        }
        .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Grants {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let form = GrantsForm::deserialize(deserializer)?;
        let grants = form.grants.into_iter().map(Grant::try_from);
        let grants = grants
            .collect::<Result<_, _>>()
            .map_err(de::Error::custom)?;
        Ok(Self {
            principal: principal(&form.principal).map_err(de::Error::custom)?,
            grants: Arc::new(grants),
            next: form.next,
        })
    }
}

impl From<&Grant> for GrantForm {
    fn from(grant: &Grant) -> Self {
        let purpose = grant.purpose.as_ref();
        Self {
            id: grant.id.clone(),
            role: grant.role.into(),
            scope: ScopeForm::from(&grant.scope),
            environment: grant.environment.clone(),
            expire_time: grant.expire_time,
            purpose: purpose.map(|purpose| purpose.as_str().to_owned()),
            made_by: grant.made_by.as_ref().map(ToString::to_string),
        }
    }
}

impl TryFrom<GrantForm> for Grant {
    type Error = Error;

    fn try_from(form: GrantForm) -> Result<Self, Error> {
        let purpose = form.purpose.unwrap_or_default();
        Ok(Self {
            id: form.id,
            role: form.role.into(),
            scope: form.scope.into(),
            environment: form.environment,
            expire_time: form.expire_time,
            purpose: Label::kept("purpose", &purpose)?,
            made_by: form.made_by.as_deref().map(principal).transpose()?,
        })
    }
}

impl From<&Scope> for ScopeForm {
    fn from(scope: &Scope) -> Self {
        match scope {
            Scope::Daemon => Self::Daemon,
            Scope::Definition { name, uid, project } => Self::Definition {
                name: NameForm::from(name),
                uid: *uid,
                project: *project,
            },
            Scope::Profile { name, uid, project } => Self::Profile {
                name: NameForm::from(name),
                uid: *uid,
                project: *project,
            },
            Scope::Project { name, uid } => Self::Project {
                name: name.id().clone(),
                uid: *uid,
            },
        }
    }
}

impl From<ScopeForm> for Scope {
    fn from(form: ScopeForm) -> Self {
        match form {
            ScopeForm::Daemon => Self::Daemon,
            ScopeForm::Definition { name, uid, project } => Self::Definition {
                name: name.into(),
                uid,
                project,
            },
            ScopeForm::Profile { name, uid, project } => Self::Profile {
                name: name.into(),
                uid,
                project,
            },
            ScopeForm::Project { name, uid } => Self::Project {
                name: ProjectName::new(name),
                uid,
            },
        }
    }
}

pub(super) fn principal(text: &str) -> Result<Principal, Error> {
    Principal::kept("principal", text)
}
