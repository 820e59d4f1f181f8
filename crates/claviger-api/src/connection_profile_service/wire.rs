//! Profiles between the wire and the broker's types.
//!
//! SECURITY: what was pasted leaves the message for [`SecretBytes`] without a copy.

use std::time::SystemTime;

use claviger_access::Principal;
use claviger_broker::{
    Adapter, ApiKeyDraft, Auth, AuthDraft, AuthMethod, Connection, Install, InstallState,
    OauthDraft, OauthFlavor, ProfileDraft, ProfileView, ReconnectReason,
};
use claviger_core::{DefinitionName, Error, Reason, Result, SecretBytes};
use claviger_proto::v1;
use v1::connection_profile::{Adapter as WireAdapter, Auth as WireAuth, AuthMethod as WireMethod};
use v1::install::{ReconnectReason as WireReason, State as WireState};
use v1::oauth_auth::Flavor as WireFlavor;

use crate::convert;
use crate::secret_service::freshness;

const RETRY_KEY: &str = "If Stripe answers 401, call ResolveConnection once more with max_age \"0s\", and repeat the \
     request once if the version is another one.";

const RETRY_TOKEN: &str = "If Stripe answers 401 (platform_api_key_expired), call ResolveConnection once more with this \
     version as refused_version, and repeat the request once with the new credential.";

/// What a request wants a profile to be.
pub(super) fn draft(profile: v1::ConnectionProfile) -> Result<ProfileDraft> {
    Ok(ProfileDraft {
        description: convert::free_text("profile.description", &profile.description)?,
        adapter: adapter("profile.adapter", profile.adapter)?.unwrap_or_default(),
        labels: convert::labels("profile.labels", &profile.labels)?,
        auth: match profile.auth {
            Some(WireAuth::ApiKey(auth)) => Some(AuthDraft::ApiKey(api_key(auth)?)),
            Some(WireAuth::Oauth(auth)) => Some(AuthDraft::Oauth(oauth(auth)?)),
            None => None,
        },
    })
}

fn api_key(auth: v1::ApiKeyAuth) -> Result<ApiKeyDraft> {
    let definition = some(auth.definition);
    let parse = |name: String| DefinitionName::parse("profile.api_key.definition", &name);
    Ok(ApiKeyDraft {
        definition: definition.map(parse).transpose()?,
        api_key: secret(auth.api_key),
        account: some(auth.account),
        context: some(auth.context),
    })
}

fn oauth(auth: v1::OauthAuth) -> Result<OauthDraft> {
    Ok(OauthDraft {
        flavor: match WireFlavor::try_from(auth.flavor) {
            Ok(WireFlavor::Unspecified | WireFlavor::Apps) => OauthFlavor::Apps,
            Ok(WireFlavor::Connect) => OauthFlavor::Connect,
            Err(_) => return Err(convert::unknown_enum("profile.oauth.flavor")),
        },
        client_id: some(auth.client_id),
        client_secret: secret(auth.client_secret),
        refresh_token: secret(auth.refresh_token),
        account: some(auth.account),
        mode: convert::stripe_mode("profile.oauth.mode", auth.mode)?,
        app: some(auth.app),
    })
}

/// As it was typed: what is wrong with it is said of its own field.
fn some(text: String) -> Option<String> {
    Some(text).filter(|text| !text.is_empty())
}

fn secret(text: String) -> Option<SecretBytes> {
    some(text).map(|text| SecretBytes::new(text.into_bytes()))
}

pub(super) fn adapter(field: &'static str, wire: i32) -> Result<Option<Adapter>> {
    match WireAdapter::try_from(wire) {
        Ok(WireAdapter::Unspecified) => Ok(None),
        Ok(WireAdapter::Stripe) => Ok(Some(Adapter::Stripe)),
        Err(_) => Err(convert::unknown_enum(field)),
    }
}

/// The name of a state, as the broker has it too.
pub(super) fn state(field: &'static str, wire: i32) -> Result<Option<&'static str>> {
    match WireState::try_from(wire) {
        Ok(WireState::Unspecified) => Ok(None),
        Ok(state) => Ok(Some(state.as_str_name())),
        Err(_) => Err(convert::unknown_enum(field)),
    }
}

pub(super) fn profile(view: ProfileView) -> v1::ConnectionProfile {
    let profile = view.profile;
    let etag = profile.etag();
    let content = profile.content;
    let labels = content.labels.into_iter();
    v1::ConnectionProfile {
        name: profile.name.to_string(),
        id: profile.name.id().to_string(),
        uid: profile.uid.to_string(),
        description: content.description,
        adapter: match content.adapter {
            Adapter::Stripe => WireAdapter::Stripe,
        }
        .into(),
        labels: labels
            .map(|(key, value)| (key.to_string(), value))
            .collect(),
        auth: Some(auth(content.auth)),
        etag,
        create_time: convert::timestamp(profile.create_time),
        update_time: convert::timestamp(profile.update_time),
        delete_time: profile.delete_time.and_then(convert::timestamp),
        purge_time: view.purge_time.and_then(convert::timestamp),
        install: view.install.map(install),
        consumers: view.consumers.into_iter().map(consumer).collect(),
    }
}

fn auth(auth: Auth) -> WireAuth {
    match auth {
        Auth::ApiKey(auth) => WireAuth::ApiKey(v1::ApiKeyAuth {
            definition: auth.definition.to_string(),
            api_key: String::new(),
            account: auth.account.unwrap_or_default(),
            context: auth.context.unwrap_or_default(),
        }),
        Auth::Oauth(auth) => WireAuth::Oauth(v1::OauthAuth {
            flavor: match auth.flavor {
                OauthFlavor::Apps => WireFlavor::Apps,
                OauthFlavor::Connect => WireFlavor::Connect,
            }
            .into(),
            client_id: auth.client_id,
            client_secret: String::new(),
            refresh_token: String::new(),
            account: auth.account.unwrap_or_default(),
            mode: convert::wire_mode(auth.mode),
            app: auth.app.unwrap_or_default(),
            definition: auth.definition.to_string(),
        }),
    }
}

fn consumer((principal, time): (Principal, SystemTime)) -> v1::Consumer {
    v1::Consumer {
        principal: principal.to_string(),
        last_time: convert::timestamp(time),
    }
}

pub(super) fn install(install: Install) -> v1::Install {
    v1::Install {
        state: wire_state(install.state).into(),
        reconnect_reason: match install.state {
            InstallState::ReconnectRequired(reason) => wire_reason(reason),
            InstallState::Unverified
            | InstallState::Connected
            | InstallState::Refreshing(_)
            | InstallState::Uncertain
            | InstallState::Shared => WireReason::Unspecified,
        }
        .into(),
        account: install.account.unwrap_or_default(),
        mode: convert::wire_mode(install.mode),
        refresh_time: install.refresh_time.and_then(convert::timestamp),
        expire_time: install.expire_time.and_then(convert::timestamp),
        profiles: install.profiles.iter().map(ToString::to_string).collect(),
    }
}

/// The proto has the same names.
fn wire_state(state: InstallState) -> WireState {
    WireState::from_str_name(state.as_str()).unwrap_or_default()
}

/// The proto has the same names.
fn wire_reason(reason: ReconnectReason) -> WireReason {
    WireReason::from_str_name(reason.as_str()).unwrap_or_default()
}

/// What a job connects with.
///
/// # Errors
/// `INTERNAL` for a credential that is no text.
pub(super) fn connection(found: Connection) -> Result<v1::ResolveConnectionResponse> {
    let (auth_method, retry_rule) = match found.auth_method {
        AuthMethod::ApiKey => (WireMethod::ApiKey, RETRY_KEY),
        AuthMethod::Oauth => (WireMethod::Oauth, RETRY_TOKEN),
    };
    let credential = String::from_utf8(found.credential.into_exposed());
    Ok(v1::ResolveConnectionResponse {
        // SECURITY: the bytes of a failed check must not travel in the error.
        credential: credential.map_err(|_| Error::new(Reason::Internal))?,
        auth_method: auth_method.into(),
        class: found.class.to_string(),
        mode: convert::text(found.mode),
        account: found.account.unwrap_or_default(),
        context: found.context.unwrap_or_default(),
        expire_time: found.expire_time.and_then(convert::timestamp),
        version: found.version.to_string(),
        freshness: Some(freshness(&found.age)),
        environment: convert::text(found.environment),
        retry_rule: retry_rule.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_and_reason_of_an_install_is_in_the_proto() {
        for state in [
            InstallState::Unverified,
            InstallState::Connected,
            InstallState::Uncertain,
            InstallState::ReconnectRequired(ReconnectReason::Revoked),
        ] {
            assert_eq!(wire_state(state).as_str_name(), state.as_str());
        }
        // Of another project it is told nothing.
        assert_eq!(wire_state(InstallState::Shared), WireState::Unverified);
        for reason in [
            ReconnectReason::Revoked,
            ReconnectReason::AnswerLost,
            ReconnectReason::AccountChanged,
            ReconnectReason::Idle,
            ReconnectReason::ClientKeyRejected,
        ] {
            assert_eq!(wire_reason(reason).as_str_name(), reason.as_str());
        }
    }
}
