//! A profile as a request wants it, with what was pasted into it.
//!
//! SECURITY: what was pasted leads from here to a sealed row only.

use std::collections::BTreeMap;
use std::fmt;

use claviger_core::{DefinitionName, Error, Id, Reason, Result, SecretBytes};
use claviger_stripe::Mode;
use claviger_stripe::oauth::Flavor;

use crate::model::profile::{Adapter, Auth, ProfileContent};

/// A wanted profile.
#[derive(Debug)]
pub struct ProfileDraft {
    /// For people.
    pub description: String,
    /// The external system.
    pub adapter: Adapter,
    /// For people and tools to find it by.
    pub labels: BTreeMap<Id, String>,
    /// How a job authenticates.
    pub auth: Option<AuthDraft>,
}

/// How a job is to authenticate.
#[derive(Debug)]
pub enum AuthDraft {
    /// With an API key.
    ApiKey(ApiKeyDraft),
    /// With an access token.
    Oauth(OauthDraft),
}

/// With an API key.
#[derive(Default)]
pub struct ApiKeyDraft {
    /// The definition of the key.
    pub definition: Option<DefinitionName>,
    /// The key itself.
    pub api_key: Option<SecretBytes>,
    /// The connected account that calls are made for.
    pub account: Option<String>,
    /// The account or path of accounts that calls are made for.
    pub context: Option<String>,
}

/// With an access token.
#[derive(Default)]
pub struct OauthDraft {
    /// Which of Stripe's two.
    pub flavor: Flavor,
    /// The client id of the app or platform.
    pub client_id: Option<String>,
    /// Its secret key.
    pub client_secret: Option<SecretBytes>,
    /// The refresh token of the account to connect to.
    pub refresh_token: Option<SecretBytes>,
    /// The account to connect to.
    pub account: Option<String>,
    /// The mode to connect in.
    pub mode: Option<Mode>,
    /// The app's id.
    pub app: Option<String>,
}

impl fmt::Debug for ApiKeyDraft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiKeyDraft")
            .field("definition", &self.definition)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for OauthDraft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OauthDraft")
            .field("client_id", &self.client_id)
            .finish_non_exhaustive()
    }
}

impl ProfileDraft {
    /// A profile as it is, with nothing pasted.
    fn of(content: &ProfileContent) -> Self {
        let auth = match &content.auth {
            Auth::ApiKey(auth) => AuthDraft::ApiKey(ApiKeyDraft {
                definition: Some(auth.definition.clone()),
                api_key: None,
                account: auth.account.clone(),
                context: auth.context.clone(),
            }),
            Auth::Oauth(auth) => AuthDraft::Oauth(OauthDraft {
                flavor: auth.flavor,
                client_id: Some(auth.client_id.clone()),
                client_secret: None,
                refresh_token: None,
                account: auth.account.clone(),
                mode: auth.mode,
                app: auth.app.clone(),
            }),
        };
        Self {
            description: content.description.clone(),
            adapter: content.adapter,
            labels: content.labels.clone(),
            auth: Some(auth),
        }
    }

    /// The existing profile with the named fields taken from this one.
    ///
    /// # Errors
    /// `FIELD_INVALID` for a path that names no field, or one of the other way to authenticate.
    pub(crate) fn masked(&self, existing: &ProfileContent, paths: &[String]) -> Result<Self> {
        let mut draft = Self::of(existing);
        for path in paths {
            match path.as_str() {
                "*" => draft = self.duplicate(),
                "adapter" => draft.adapter = self.adapter,
                "description" => draft.description.clone_from(&self.description),
                "labels" => draft.labels.clone_from(&self.labels),
                "api_key" => match &self.auth {
                    Some(AuthDraft::ApiKey(new)) => {
                        draft.auth = Some(AuthDraft::ApiKey(new.duplicate()));
                    }
                    Some(AuthDraft::Oauth(_)) | None => return Err(unfilled("profile.api_key")),
                },
                "oauth" => match &self.auth {
                    Some(AuthDraft::Oauth(new)) => {
                        draft.auth = Some(AuthDraft::Oauth(new.duplicate()));
                    }
                    Some(AuthDraft::ApiKey(_)) | None => return Err(unfilled("profile.oauth")),
                },
                field => self.take(field, &mut draft)?,
            }
        }
        Ok(draft)
    }

    /// Takes one field of the way to authenticate.
    fn take(&self, path: &str, draft: &mut Self) -> Result<()> {
        if let Some(field) = path.strip_prefix("api_key.") {
            let none = ApiKeyDraft::default();
            let new = match &self.auth {
                Some(AuthDraft::ApiKey(new)) => new,
                Some(AuthDraft::Oauth(_)) | None => &none,
            };
            return match &mut draft.auth {
                Some(AuthDraft::ApiKey(draft)) => draft.take(field, new),
                Some(AuthDraft::Oauth(_)) | None => Err(of_the_other()),
            };
        }
        let Some(field) = path.strip_prefix("oauth.") else {
            return Err(unknown_path());
        };
        let none = OauthDraft::default();
        let new = match &self.auth {
            Some(AuthDraft::Oauth(new)) => new,
            Some(AuthDraft::ApiKey(_)) | None => &none,
        };
        match &mut draft.auth {
            Some(AuthDraft::Oauth(draft)) => draft.take(field, new),
            Some(AuthDraft::ApiKey(_)) | None => Err(of_the_other()),
        }
    }

    pub(crate) fn duplicate(&self) -> Self {
        Self {
            description: self.description.clone(),
            adapter: self.adapter,
            labels: self.labels.clone(),
            auth: self.auth.as_ref().map(|auth| match auth {
                AuthDraft::ApiKey(auth) => AuthDraft::ApiKey(auth.duplicate()),
                AuthDraft::Oauth(auth) => AuthDraft::Oauth(auth.duplicate()),
            }),
        }
    }

    /// What was pasted: the key, the client secret and the refresh token.
    pub(crate) fn pasted(&self) -> [Option<&SecretBytes>; 3] {
        match &self.auth {
            Some(AuthDraft::ApiKey(auth)) => [auth.api_key.as_ref(), None, None],
            Some(AuthDraft::Oauth(auth)) => [
                None,
                auth.client_secret.as_ref(),
                auth.refresh_token.as_ref(),
            ],
            None => [None; 3],
        }
    }

    /// Everything that makes it what it is, but for what was pasted.
    ///
    /// # Errors
    /// `INTERNAL`, never.
    pub(crate) fn shape(&self) -> Result<Vec<u8>> {
        let auth = self.auth.as_ref().map(|auth| match auth {
            AuthDraft::ApiKey(auth) => (
                "api_key",
                auth.definition.as_ref().map(ToString::to_string),
                [&auth.account, &auth.context, &None],
                None,
            ),
            AuthDraft::Oauth(auth) => (
                auth.flavor.as_str(),
                None,
                [&auth.client_id, &auth.account, &auth.app],
                auth.mode.map(Mode::as_str),
            ),
        });
        let pasted = self.pasted().map(|value| value.is_some());
        let adapter = match self.adapter {
            Adapter::Stripe => "STRIPE",
        };
        let shape = (&self.description, adapter, &self.labels, auth, pasted);
        serde_json::to_vec(&shape).map_err(|error| Error::new(Reason::Internal).caused_by(error))
    }
}

impl ApiKeyDraft {
    fn take(&mut self, field: &str, new: &Self) -> Result<()> {
        match field {
            "account" => self.account.clone_from(&new.account),
            "api_key" => {
                self.definition = None;
                self.api_key = Some(filled(new.api_key.as_ref(), "profile.api_key.api_key")?);
            }
            "context" => self.context.clone_from(&new.context),
            "definition" => self.definition.clone_from(&new.definition),
            _ => return Err(unknown_path()),
        }
        Ok(())
    }

    fn duplicate(&self) -> Self {
        Self {
            definition: self.definition.clone(),
            api_key: self.api_key.as_ref().map(SecretBytes::duplicate),
            account: self.account.clone(),
            context: self.context.clone(),
        }
    }
}

impl OauthDraft {
    fn take(&mut self, field: &str, new: &Self) -> Result<()> {
        let secret = |value: &Option<SecretBytes>, field| filled(value.as_ref(), field).map(Some);
        match field {
            "account" => self.account.clone_from(&new.account),
            "app" => self.app.clone_from(&new.app),
            "client_id" => self.client_id.clone_from(&new.client_id),
            "client_secret" => {
                self.client_secret = secret(&new.client_secret, "profile.oauth.client_secret")?;
            }
            "flavor" => self.flavor = new.flavor,
            "mode" => self.mode = new.mode,
            "refresh_token" => {
                self.refresh_token = secret(&new.refresh_token, "profile.oauth.refresh_token")?;
            }
            _ => return Err(unknown_path()),
        }
        Ok(())
    }

    fn duplicate(&self) -> Self {
        let secret = |value: &Option<SecretBytes>| value.as_ref().map(SecretBytes::duplicate);
        Self {
            flavor: self.flavor,
            client_id: self.client_id.clone(),
            client_secret: secret(&self.client_secret),
            refresh_token: secret(&self.refresh_token),
            account: self.account.clone(),
            mode: self.mode,
            app: self.app.clone(),
        }
    }
}

fn filled(value: Option<&SecretBytes>, field: &'static str) -> Result<SecretBytes> {
    let value = value.map(SecretBytes::duplicate);
    value.ok_or_else(|| unfilled(field))
}

fn unfilled(field: &'static str) -> Error {
    Error::new(Reason::FieldInvalid).violation(
        field,
        "is missing, and update_mask names it; fill it in, or leave it out of the mask",
    )
}

fn of_the_other() -> Error {
    Error::new(Reason::FieldInvalid).violation(
        "update_mask",
        "names a field of the way to authenticate that the profile does not use; to change over, \
         name all of it: api_key or oauth",
    )
}

fn unknown_path() -> Error {
    Error::new(Reason::FieldInvalid).violation(
        "update_mask",
        "names a field that cannot be changed; use adapter, description, labels, api_key, oauth, a \
         field of the last two (oauth.refresh_token), or *",
    )
}
