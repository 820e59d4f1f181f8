//! Connection profiles: put, read, listed, deleted, and the definitions that go with them.

mod api_key;
mod consumers;
mod deleted;
mod guards;
mod listed;
mod oauth;
mod put;

use claviger_integration::{Client, PROJECT};
use claviger_proto::v1;
use claviger_proto::v1::connection_profile::Auth;
use tonic::Status;

/// The rest after a prefix; long enough for a key.
pub(crate) const BODY: &str = "0123456789abcdefghijWXYZ";

pub(crate) fn key(start: &str) -> String {
    format!("{start}{BODY}")
}

pub(crate) fn profile_name(id: &str) -> String {
    format!("{PROJECT}/connectionProfiles/{id}")
}

/// A put of a profile.
pub(crate) fn wanting(name: &str, auth: Auth) -> v1::PutConnectionProfileRequest {
    v1::PutConnectionProfileRequest {
        profile: Some(v1::ConnectionProfile {
            name: name.to_owned(),
            auth: Some(auth),
            ..Default::default()
        }),
        ..Default::default()
    }
}

/// A put of one with this key.
pub(crate) fn pasting(name: &str, key: &str) -> v1::PutConnectionProfileRequest {
    let auth = v1::ApiKeyAuth {
        api_key: key.to_owned(),
        ..Default::default()
    };
    wanting(name, Auth::ApiKey(auth))
}

/// A put of one that points at this definition.
pub(crate) fn pointing(name: &str, definition: &str) -> v1::PutConnectionProfileRequest {
    let auth = v1::ApiKeyAuth {
        definition: definition.to_owned(),
        ..Default::default()
    };
    wanting(name, Auth::ApiKey(auth))
}

/// What a person pastes of an app in test mode.
pub(crate) fn app() -> v1::OauthAuth {
    v1::OauthAuth {
        client_id: key("ca_"),
        client_secret: key("sk_test_"),
        refresh_token: key("rt_"),
        ..Default::default()
    }
}

/// A put of one with OAuth.
pub(crate) fn connecting(name: &str, auth: v1::OauthAuth) -> v1::PutConnectionProfileRequest {
    wanting(name, Auth::Oauth(auth))
}

/// The same put of these fields only.
pub(crate) fn masked(
    put: v1::PutConnectionProfileRequest,
    paths: &[&str],
) -> v1::PutConnectionProfileRequest {
    v1::PutConnectionProfileRequest {
        update_mask: Some(prost_types::FieldMask {
            paths: paths.iter().map(|path| (*path).to_owned()).collect(),
        }),
        ..put
    }
}

/// `PutConnectionProfile`.
pub(crate) async fn put(
    client: &Client,
    request: v1::PutConnectionProfileRequest,
) -> Result<v1::PutConnectionProfileResponse, Status> {
    let reply = client.profiles().put_connection_profile(request).await;
    reply.map(tonic::Response::into_inner)
}

/// `GetConnectionProfile`.
pub(crate) async fn get(client: &Client, name: &str) -> Result<v1::ConnectionProfile, Status> {
    let request = v1::GetConnectionProfileRequest {
        name: name.to_owned(),
    };
    let reply = client.profiles().get_connection_profile(request).await;
    reply.map(tonic::Response::into_inner)
}

/// `DeleteConnectionProfile`.
pub(crate) async fn delete(
    client: &Client,
    name: &str,
    purge: bool,
) -> Result<v1::DeleteConnectionProfileResponse, Status> {
    let request = v1::DeleteConnectionProfileRequest {
        name: name.to_owned(),
        purge,
        ..Default::default()
    };
    let reply = client.profiles().delete_connection_profile(request).await;
    reply.map(tonic::Response::into_inner)
}

/// The definition that a profile leads to.
pub(crate) fn definition_of(profile: &v1::ConnectionProfile) -> String {
    match profile.auth.as_ref().expect("one of both") {
        Auth::ApiKey(auth) => auth.definition.clone(),
        Auth::Oauth(auth) => auth.definition.clone(),
    }
}
