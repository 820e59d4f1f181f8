//! What can be allowed, and to whom it is given.

use std::fmt;
use std::time::SystemTime;

use crate::{Label, Principal};
use claviger_core::{DefinitionName, Id, ProfileName, ProjectName, Public, Resource, Uid};

macro_rules! permissions {
    ($($(#[doc = $doc:literal])+ $variant:ident $name:literal,)+) => {
        /// One thing a caller may be allowed to do.
        #[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
        pub enum Permission { $($(#[doc = $doc])+ $variant,)+ }

        impl Permission {
            /// Every permission there is.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The name in messages, the audit log and the documentation.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }
        }
    };
}

permissions! {
    /// See the state of the daemon, its store and its audit log.
    DaemonStatus "daemon.status",
    /// See where a definition leads and whether that works, without its value.
    DefinitionsCheck "definitions.check",
    /// Soft-delete, purge and undelete definitions.
    DefinitionsDelete "definitions.delete",
    /// Read and list definitions.
    DefinitionsGet "definitions.get",
    /// Register and change definitions.
    DefinitionsPut "definitions.put",
    /// List grants.
    GrantsGet "grants.get",
    /// Give and take grants.
    GrantsPut "grants.put",
    /// Soft-delete, purge and undelete connection profiles.
    ProfilesDelete "profiles.delete",
    /// End the connection of an app at Stripe.
    ProfilesDisconnect "profiles.disconnect",
    /// Read and list connection profiles.
    ProfilesGet "profiles.get",
    /// Create and change connection profiles, with their credentials.
    ProfilesPut "profiles.put",
    /// Get what a job connects with by a profile.
    ProfilesResolve "profiles.resolve",
    /// Have Stripe asked whether a profile works.
    ProfilesTest "profiles.test",
    /// Delete empty projects.
    ProjectsDelete "projects.delete",
    /// Read and list projects.
    ProjectsGet "projects.get",
    /// Create and change projects.
    ProjectsPut "projects.put",
    /// Read secret values.
    SecretsGet "secrets.get",
    /// Store new secret values.
    SecretsPut "secrets.put",
    /// Have the call's own proof exchanged for a token: whoever has any grant may.
    TokensExchange "tokens.exchange",
    /// List tokens.
    TokensGet "tokens.get",
    /// Create and revoke tokens.
    TokensPut "tokens.put",
    /// See the names of the secrets in a vault that a project may point at.
    VaultsBrowse "vaults.browse",
    /// List and check vaults.
    VaultsGet "vaults.get",
    /// Have a secret of a vault judged that has no definition yet, without its value.
    VaultsInspect "vaults.inspect",
    /// Enable, disable and destroy versions.
    VersionsChange "versions.change",
    /// List the versions of a secret.
    VersionsList "versions.list",
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Public for Permission {}

/// A named set of permissions.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Role {
    /// Grants and tokens; reads no value and puts nothing.
    Admin,
    /// Reads everything but values.
    Auditor,
    /// Projects, definitions, new values; reads no value.
    Operator,
    /// Reads values.
    Runner,
}

impl Role {
    /// Every role there is.
    pub const ALL: &'static [Self] = &[Self::Admin, Self::Auditor, Self::Operator, Self::Runner];

    /// The role's name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "ADMIN",
            Self::Auditor => "AUDITOR",
            Self::Operator => "OPERATOR",
            Self::Runner => "RUNNER",
        }
    }

    /// What the role allows.
    pub fn permissions(self) -> &'static [Permission] {
        use Permission as P;
        match self {
            Self::Admin => &[
                P::DaemonStatus,
                P::DefinitionsCheck,
                P::GrantsGet,
                P::GrantsPut,
                P::TokensExchange,
                P::TokensGet,
                P::TokensPut,
            ],
            Self::Auditor => &[
                P::DaemonStatus,
                P::DefinitionsCheck,
                P::DefinitionsGet,
                P::GrantsGet,
                P::ProfilesGet,
                P::ProjectsGet,
                P::TokensExchange,
                P::TokensGet,
                P::VaultsGet,
                P::VersionsList,
            ],
            Self::Operator => &[
                P::DaemonStatus,
                P::DefinitionsCheck,
                P::DefinitionsDelete,
                P::DefinitionsGet,
                P::DefinitionsPut,
                P::ProfilesDelete,
                P::ProfilesDisconnect,
                P::ProfilesGet,
                P::ProfilesPut,
                P::ProfilesTest,
                P::ProjectsDelete,
                P::ProjectsGet,
                P::ProjectsPut,
                P::SecretsPut,
                P::TokensExchange,
                P::VaultsBrowse,
                P::VaultsGet,
                P::VaultsInspect,
                P::VersionsChange,
                P::VersionsList,
            ],
            Self::Runner => &[P::ProfilesResolve, P::SecretsGet, P::TokensExchange],
        }
    }

    /// Whether the role allows `permission`.
    pub fn allows(self, permission: Permission) -> bool {
        self.permissions().contains(&permission)
    }
}

/// Where a grant holds. Names are for people; the uids decide, so that a deleted and re-made name
/// inherits nothing.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Scope {
    /// Everything in the daemon.
    Daemon,
    /// One definition.
    Definition {
        /// Its name when the grant was given.
        name: DefinitionName,
        /// Which definition of that name.
        uid: Uid,
        /// Which project of its name.
        project: Uid,
    },
    /// One connection profile.
    Profile {
        /// Its name when the grant was given.
        name: ProfileName,
        /// Which profile of that name.
        uid: Uid,
        /// Which project of its name.
        project: Uid,
    },
    /// A project and all in it.
    Project {
        /// Its name when the grant was given.
        name: ProjectName,
        /// Which project of that name.
        uid: Uid,
    },
}

impl Scope {
    /// Which project it is in; `None` for everything.
    pub fn project(&self) -> Option<Uid> {
        match self {
            Self::Daemon => None,
            Self::Definition { project, .. } | Self::Profile { project, .. } => Some(*project),
            Self::Project { uid, .. } => Some(*uid),
        }
    }

    /// The resource as it is written in requests and replies.
    pub fn resource(&self) -> Resource {
        match self {
            Self::Daemon => Resource::Daemon,
            Self::Definition { name, .. } => Resource::Definition(name.clone()),
            Self::Profile { name, .. } => Resource::Profile(name.clone()),
            Self::Project { name, .. } => Resource::Project(name.clone()),
        }
    }
}

/// A role given to a principal, narrowed by what is set.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Grant {
    /// Unique in the daemon.
    pub id: Id,
    /// What is allowed.
    pub role: Role,
    /// Where.
    pub scope: Scope,
    /// Only in this environment.
    pub environment: Option<Id>,
    /// Only before this time.
    pub expire_time: Option<SystemTime>,
    /// Only for calls that state this purpose.
    pub purpose: Option<Label>,
    /// The caller that gave it; `None` for one that came with the daemon, or was given before
    /// givers were noted.
    pub made_by: Option<Principal>,
}

impl Grant {
    /// Whether it has not ended yet.
    pub fn is_standing(&self, now: SystemTime) -> bool {
        self.expire_time.is_none_or(|end| now < end)
    }
}
