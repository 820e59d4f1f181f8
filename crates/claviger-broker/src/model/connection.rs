//! What a job connects with.

use std::fmt;
use std::time::{Duration, SystemTime};

use claviger_audit::Facts;
use claviger_core::{Id, ProfileName, SecretBytes, Uid};
use claviger_stripe::live::LiveVerdict;
use claviger_stripe::{Class, Mode};

use crate::model::freshness::Age;
use crate::model::install::Install;

/// Which profile is resolved, and for what.
#[derive(Clone, Debug)]
pub struct ResolveConnection {
    /// The profile.
    pub name: ProfileName,
    /// Where the project declares environments.
    pub environment: Option<Id>,
    /// How old an API key may be.
    pub max_age: Option<Duration>,
    /// The version that Stripe has refused.
    pub refused_version: Option<Id>,
}

/// What a job connects with.
pub struct Connection {
    /// The API key or access token.
    pub credential: SecretBytes,
    /// Which of both.
    pub auth_method: AuthMethod,
    /// What it is.
    pub class: Class,
    /// Its mode, where the prefix says so.
    pub mode: Option<Mode>,
    /// The account to send with it.
    pub account: Option<String>,
    /// The context to send with it.
    pub context: Option<String>,
    /// When it ends.
    pub expire_time: Option<SystemTime>,
    /// Names exactly this credential.
    pub version: Id,
    /// How old it is.
    pub age: Age,
    /// The environment it is for.
    pub environment: Option<Id>,
    /// The vault it came from.
    pub(crate) vault: Id,
    /// The definition that it is the value of.
    pub(crate) definition: Id,
    /// The install that it belongs to, by the uid of its definition.
    pub(crate) install: Option<Uid>,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

impl Connection {
    /// What the audit log is told of it.
    pub(crate) fn facts(&self) -> Facts {
        Facts {
            vault: Some(self.vault.clone()),
            secret: Some(self.definition.to_string()),
            version: Some(self.version.clone()),
            install: self.install,
            ..Facts::default()
        }
    }
}

/// How a job authenticates.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum AuthMethod {
    /// With an API key.
    ApiKey,
    /// With an access token.
    Oauth,
}

/// What Stripe says to a profile.
#[derive(Debug)]
pub struct TestedConnection {
    /// Its verdict.
    pub live: LiveVerdict,
    /// The account that answered.
    pub account: Option<String>,
    /// The version that was tested.
    pub version: Id,
    /// With OAuth: how the connection is.
    pub install: Option<Install>,
}
