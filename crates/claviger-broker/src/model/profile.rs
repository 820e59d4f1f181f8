//! A connection profile as it is kept. It holds no value: what is pasted into it lies under the
//! definition that it leads to.

use std::collections::BTreeMap;
use std::time::SystemTime;

use claviger_core::{DefinitionName, Detail, Error, Id, ProfileName, Reason, Result, Uid};
use claviger_stripe::Mode;
use claviger_stripe::oauth::Flavor;

/// A profile as it is kept.
#[derive(Clone, Debug)]
pub struct Profile {
    /// Its name.
    pub name: ProfileName,
    /// Which profile of that name.
    pub uid: Uid,
    /// What operators edit.
    pub content: ProfileContent,
    /// Counts edits; part of the etag.
    pub generation: u64,
    /// When it was created.
    pub create_time: SystemTime,
    /// When it was last edited.
    pub update_time: SystemTime,
    /// When it was soft-deleted.
    pub delete_time: Option<SystemTime>,
    /// Whether what was pasted into it is being destroyed: there is no way back.
    pub(crate) is_purging: bool,
}

/// What operators edit of a profile.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ProfileContent {
    /// For people.
    pub description: String,
    /// The external system.
    pub adapter: Adapter,
    /// For people and tools to find it by.
    pub labels: BTreeMap<Id, String>,
    /// How a job authenticates.
    pub auth: Auth,
}

/// The external system of a profile.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Adapter {
    /// Stripe.
    #[default]
    Stripe,
}

/// How a job authenticates.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Auth {
    /// With an API key.
    ApiKey(ApiKeyAuth),
    /// With an access token, which is refreshed.
    Oauth(OauthAuth),
}

/// With an API key.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ApiKeyAuth {
    /// The definition of the key.
    pub definition: DefinitionName,
    /// Whether the profile made it, for a key that was pasted.
    pub is_own: bool,
    /// The connected account that calls are made for; `None`: that of the definition.
    pub account: Option<String>,
    /// The account or path of accounts that calls are made for; `None`: that of the definition.
    pub context: Option<String>,
}

/// With an access token.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct OauthAuth {
    /// Which of Stripe's two.
    pub flavor: Flavor,
    /// The client id of the app or platform.
    pub client_id: String,
    /// The account to connect to; `None`: the one that the first exchange answers with.
    pub account: Option<String>,
    /// The mode to connect in; `None`: as the account.
    pub mode: Option<Mode>,
    /// The app's id, for a disconnect.
    pub app: Option<String>,
    /// The definition that holds client secret and tokens.
    pub definition: DefinitionName,
}

impl Auth {
    /// The definition that it leads to.
    pub fn definition(&self) -> &DefinitionName {
        match self {
            Self::ApiKey(auth) => &auth.definition,
            Self::Oauth(auth) => &auth.definition,
        }
    }

    /// The definition that goes with the profile.
    pub(crate) fn own_definition(&self) -> Option<&DefinitionName> {
        match self {
            Self::ApiKey(auth) => auth.is_own.then_some(&auth.definition),
            Self::Oauth(auth) => Some(&auth.definition),
        }
    }
}

impl Profile {
    /// Names exactly this state; the uid keeps a re-made profile from matching.
    pub fn etag(&self) -> String {
        format!("{}-{}", self.generation, self.uid)
    }

    /// Refuses a profile that is deleted.
    ///
    /// # Errors
    /// `PROFILE_DELETED`.
    pub(crate) fn live(&self) -> Result<&Self> {
        match self.delete_time {
            Some(_) => Err(Error::new(Reason::ProfileDeleted)
                .with(Detail::Resource, &self.name)
                .at("name")),
            None => Ok(self),
        }
    }

    /// Checks that a caller's etag names this state.
    ///
    /// # Errors
    /// `ETAG_MISMATCH`.
    pub(crate) fn check_etag(&self, etag: &str, field: &'static str) -> Result<()> {
        if etag == self.etag() {
            return Ok(());
        }
        Err(Error::new(Reason::EtagMismatch)
            .with(Detail::Resource, &self.name)
            .at(field))
    }
}

pub(crate) fn profile_not_found(name: &ProfileName) -> Error {
    Error::new(Reason::ProfileNotFound).with(Detail::Resource, name)
}
