//! The stored form of a connection profile.

use std::collections::BTreeMap;
use std::time::SystemTime;

use claviger_core::{DefinitionName, Id, ProfileName, Uid};
use claviger_store::Record;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::engine::forms::names::{FlavorForm, ModeForm, NameForm};
use crate::model::profile::{Adapter, ApiKeyAuth, Auth, OauthAuth, Profile, ProfileContent};

impl Record for Profile {
    const KIND: &'static str = "profiles/";
    const FORM: u32 = 1;
}

/// The id of a profile's record.
pub(crate) fn profile_id(name: &ProfileName) -> String {
    format!("{}/{}", name.project().id(), name.id())
}

#[derive(Deserialize, Serialize)]
struct ProfileForm {
    name: NameForm,
    uid: Uid,
    content: ContentForm,
    generation: u64,
    create_time: SystemTime,
    update_time: SystemTime,
    delete_time: Option<SystemTime>,
    is_purging: bool,
}

#[derive(Deserialize, Serialize)]
struct ContentForm {
    description: String,
    adapter: AdapterForm,
    labels: BTreeMap<Id, String>,
    auth: AuthForm,
}

#[derive(Clone, Copy, Deserialize, Serialize)]
enum AdapterForm {
    Stripe,
}

#[derive(Deserialize, Serialize)]
enum AuthForm {
    ApiKey {
        definition: NameForm,
        is_own: bool,
        account: Option<String>,
        context: Option<String>,
    },
    Oauth {
        flavor: FlavorForm,
        client_id: String,
        account: Option<String>,
        mode: Option<ModeForm>,
        app: Option<String>,
        definition: NameForm,
    },
}

impl Serialize for Profile {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        ProfileForm {
            name: NameForm::from(&self.name),
            uid: self.uid,
            content: ContentForm::from(&self.content),
            generation: self.generation,
            create_time: self.create_time,
            update_time: self.update_time,
            delete_time: self.delete_time,
            is_purging: self.is_purging,
        }
        .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Profile {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let form = ProfileForm::deserialize(deserializer)?;
        Ok(Self {
            name: form.name.into(),
            uid: form.uid,
            content: form.content.into(),
            generation: form.generation,
            create_time: form.create_time,
            update_time: form.update_time,
            delete_time: form.delete_time,
            is_purging: form.is_purging,
        })
    }
}

/// What a request asks for is hashed in this form.
impl Serialize for ProfileContent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        ContentForm::from(self).serialize(serializer)
    }
}

impl From<&ProfileContent> for ContentForm {
    fn from(content: &ProfileContent) -> Self {
        Self {
            description: content.description.clone(),
            adapter: match content.adapter {
                Adapter::Stripe => AdapterForm::Stripe,
            },
            labels: content.labels.clone(),
            auth: AuthForm::from(&content.auth),
        }
    }
}

impl From<ContentForm> for ProfileContent {
    fn from(form: ContentForm) -> Self {
        Self {
            description: form.description,
            adapter: match form.adapter {
                AdapterForm::Stripe => Adapter::Stripe,
            },
            labels: form.labels,
            auth: form.auth.into(),
        }
    }
}

impl From<&Auth> for AuthForm {
    fn from(auth: &Auth) -> Self {
        match auth {
            Auth::ApiKey(auth) => Self::ApiKey {
                definition: NameForm::from(&auth.definition),
                is_own: auth.is_own,
                account: auth.account.clone(),
                context: auth.context.clone(),
            },
            Auth::Oauth(auth) => Self::Oauth {
                flavor: auth.flavor.into(),
                client_id: auth.client_id.clone(),
                account: auth.account.clone(),
                mode: auth.mode.map(ModeForm::from),
                app: auth.app.clone(),
                definition: NameForm::from(&auth.definition),
            },
        }
    }
}

impl From<AuthForm> for Auth {
    fn from(form: AuthForm) -> Self {
        match form {
            AuthForm::ApiKey {
                definition,
                is_own,
                account,
                context,
            } => Self::ApiKey(ApiKeyAuth {
                definition: DefinitionName::from(definition),
                is_own,
                account,
                context,
            }),
            AuthForm::Oauth {
                flavor,
                client_id,
                account,
                mode,
                app,
                definition,
            } => Self::Oauth(OauthAuth {
                flavor: flavor.into(),
                client_id,
                account,
                mode: mode.map(Into::into),
                app,
                definition: DefinitionName::from(definition),
            }),
        }
    }
}
