//! The stored forms of an install, of its secrets, and of the record that keeps another project
//! from having the same one.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::time::SystemTime;

use claviger_core::{Error, Reason, Result, SecretBytes, Uid};
use claviger_store::Record;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::engine::forms::names::{FlavorForm, ModeForm, NameForm};
use crate::model::install::{Claim, Install, ReconnectReason, State};

/// By the uid of its definition.
impl Record for Install {
    const KIND: &'static str = "installs/";
    const FORM: u32 = 1;
}

/// Where the secrets of an install are, by the uid of its definition.
pub(crate) const INSTALL_VALUES: &str = "install-values/";

/// The key of an install's secrets.
pub(crate) fn install_value(definition: Uid) -> String {
    format!("{INSTALL_VALUES}{definition}")
}

/// Which definition has an install, by a keyed hash of app, account and mode.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct InstallKey {
    pub(crate) definition: Uid,
}

impl Record for InstallKey {
    const KIND: &'static str = "install-keys/";
    const FORM: u32 = 1;
}

/// The secrets of an install: one row, so that no token lies anywhere beside the client secret that
/// is not the present one.
pub(crate) struct Secrets {
    pub(crate) client_secret: SecretBytes,
    pub(crate) refresh_token: SecretBytes,
    pub(crate) access_token: Option<SecretBytes>,
}

#[derive(Deserialize, Serialize)]
struct SecretsForm<'a> {
    #[serde(borrow)]
    client_secret: Cow<'a, str>,
    #[serde(borrow)]
    refresh_token: Cow<'a, str>,
    #[serde(borrow)]
    access_token: Option<Cow<'a, str>>,
}

impl Secrets {
    /// The bytes that are sealed.
    ///
    /// # Errors
    /// `INTERNAL` for what is not text.
    pub(crate) fn encode(&self) -> Result<SecretBytes> {
        let form = SecretsForm {
            client_secret: text(&self.client_secret)?,
            refresh_token: text(&self.refresh_token)?,
            access_token: self.access_token.as_ref().map(text).transpose()?,
        };
        let bytes = serde_json::to_vec(&form);
        // SECURITY: the library's own text quotes content.
        let bytes = bytes.map_err(|_| Error::new(Reason::Internal))?;
        Ok(SecretBytes::new(bytes))
    }

    /// The secrets that were sealed.
    ///
    /// # Errors
    /// `INTEGRITY_FAILURE`.
    pub(crate) fn decode(bytes: &SecretBytes) -> Result<Self> {
        let form: SecretsForm<'_> = serde_json::from_slice(bytes.expose())
            .map_err(|_| Error::new(Reason::IntegrityFailure))?;
        let secret = |text: Cow<'_, str>| SecretBytes::new(text.into_owned().into_bytes());
        Ok(Self {
            client_secret: secret(form.client_secret),
            refresh_token: secret(form.refresh_token),
            access_token: form.access_token.map(secret),
        })
    }
}

fn text(secret: &SecretBytes) -> Result<Cow<'_, str>> {
    let text = std::str::from_utf8(secret.expose());
    text.map(Cow::Borrowed)
        .map_err(|_| Error::new(Reason::Internal))
}

#[derive(Deserialize, Serialize)]
struct InstallForm {
    definition: NameForm,
    flavor: FlavorForm,
    client_id: String,
    account: Option<String>,
    mode: Option<ModeForm>,
    state: StateForm,
    is_claimed: bool,
    generation: u64,
    refresh_time: Option<SystemTime>,
    expire_time: Option<SystemTime>,
    has_access: bool,
    profiles: Vec<NameForm>,
    pasted: Vec<String>,
}

#[derive(Clone, Copy, Deserialize, Serialize)]
enum StateForm {
    Unverified,
    Connected,
    Refreshing {
        id: Uid,
        lease_end: SystemTime,
        is_sent: bool,
        is_repeat: bool,
    },
    Uncertain,
    ReconnectRequired(ReconnectForm),
    Shared,
}

#[derive(Clone, Copy, Deserialize, Serialize)]
enum ReconnectForm {
    Revoked,
    AnswerLost,
    AccountChanged,
    Idle,
    ClientKeyRejected,
}

impl Serialize for Install {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        InstallForm {
            definition: NameForm::from(&self.definition),
            flavor: self.flavor.into(),
            client_id: self.client_id.clone(),
            account: self.account.clone(),
            mode: self.mode.map(ModeForm::from),
            state: self.state.into(),
            is_claimed: self.is_claimed,
            generation: self.generation,
            refresh_time: self.refresh_time,
            expire_time: self.expire_time,
            has_access: self.has_access,
            profiles: self.profiles.iter().map(NameForm::from).collect(),
            pasted: self.pasted.clone(),
        }
        .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Install {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let form = InstallForm::deserialize(deserializer)?;
        Ok(Self {
            definition: form.definition.into(),
            flavor: form.flavor.into(),
            client_id: form.client_id,
            account: form.account,
            mode: form.mode.map(Into::into),
            state: form.state.into(),
            is_claimed: form.is_claimed,
            generation: form.generation,
            refresh_time: form.refresh_time,
            expire_time: form.expire_time,
            has_access: form.has_access,
            profiles: form
                .profiles
                .into_iter()
                .map(Into::into)
                .collect::<BTreeSet<_>>(),
            pasted: form.pasted,
        })
    }
}

impl From<State> for StateForm {
    fn from(state: State) -> Self {
        match state {
            State::Unverified => Self::Unverified,
            State::Connected => Self::Connected,
            State::Refreshing(claim) => Self::Refreshing {
                id: claim.id,
                lease_end: claim.lease_end,
                is_sent: claim.is_sent,
                is_repeat: claim.is_repeat,
            },
            State::Uncertain => Self::Uncertain,
            State::ReconnectRequired(reason) => Self::ReconnectRequired(match reason {
                ReconnectReason::Revoked => ReconnectForm::Revoked,
                ReconnectReason::AnswerLost => ReconnectForm::AnswerLost,
                ReconnectReason::AccountChanged => ReconnectForm::AccountChanged,
                ReconnectReason::Idle => ReconnectForm::Idle,
                ReconnectReason::ClientKeyRejected => ReconnectForm::ClientKeyRejected,
            }),
            State::Shared => Self::Shared,
        }
    }
}

impl From<StateForm> for State {
    fn from(form: StateForm) -> Self {
        match form {
            StateForm::Unverified => Self::Unverified,
            StateForm::Connected => Self::Connected,
            StateForm::Refreshing {
                id,
                lease_end,
                is_sent,
                is_repeat,
            } => Self::Refreshing(Claim {
                id,
                lease_end,
                is_sent,
                is_repeat,
            }),
            StateForm::Uncertain => Self::Uncertain,
            StateForm::ReconnectRequired(reason) => Self::ReconnectRequired(match reason {
                ReconnectForm::Revoked => ReconnectReason::Revoked,
                ReconnectForm::AnswerLost => ReconnectReason::AnswerLost,
                ReconnectForm::AccountChanged => ReconnectReason::AccountChanged,
                ReconnectForm::Idle => ReconnectReason::Idle,
                ReconnectForm::ClientKeyRejected => ReconnectReason::ClientKeyRejected,
            }),
            StateForm::Shared => Self::Shared,
        }
    }
}
