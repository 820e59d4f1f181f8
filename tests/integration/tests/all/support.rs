//! Requests and checks that the topics share.

use std::fmt::Debug;
use std::path::PathBuf;
use std::time::{Duration, UNIX_EPOCH};

use claviger_core::Clock as _;
use claviger_integration::{Client, Options, PROJECT, Server, own_uid, reason, text_payload};
use claviger_proto::v1;
use tonic::{Code, Status};

/// The name of a definition of the test project.
pub(crate) fn secret(id: &str) -> String {
    format!("{PROJECT}/secrets/{id}")
}

/// Checks how a call failed.
#[track_caller]
pub(crate) fn fails<T: Debug>(result: Result<T, Status>, code: Code, why: &str) -> Status {
    let status = result.expect_err(why);
    assert_eq!(
        (status.code(), reason(&status).as_str()),
        (code, why),
        "{status:?}"
    );
    status
}

/// A check of a definition.
pub(crate) fn checking(name: &str) -> v1::CheckSecretDefinitionRequest {
    v1::CheckSecretDefinitionRequest {
        name: name.to_owned(),
        ..Default::default()
    }
}

/// The answer to a check of a definition.
pub(crate) async fn check(client: &Client, name: &str) -> v1::CheckSecretDefinitionResponse {
    let mut definitions = client.definitions();
    let checked = definitions.check_secret_definition(checking(name)).await;
    checked.unwrap().into_inner()
}

/// The reasons of warnings.
pub(crate) fn reasons(warnings: Vec<v1::Warning>) -> Vec<String> {
    warnings.into_iter().map(|warning| warning.reason).collect()
}

/// A put of an opaque text definition without a value.
pub(crate) fn defining(name: &str) -> v1::PutSecretDefinitionRequest {
    v1::PutSecretDefinitionRequest {
        definition: Some(v1::SecretDefinition {
            name: name.to_owned(),
            ..Default::default()
        }),
        ..Default::default()
    }
}

/// A put of an opaque text definition with its first value.
pub(crate) fn creating(name: &str, text: &str) -> v1::PutSecretDefinitionRequest {
    v1::PutSecretDefinitionRequest {
        payload: Some(text_payload(text)),
        ..defining(name)
    }
}

/// A put of an opaque text definition with this location.
pub(crate) fn located(name: &str, location: v1::Location) -> v1::PutSecretDefinitionRequest {
    let mut put = defining(name);
    put.definition.as_mut().unwrap().location = Some(location);
    put
}

/// A secret of the vault `faulty`; without a name, the definition's own.
pub(crate) fn in_faulty(secret: &str) -> v1::Location {
    v1::Location {
        vault: "faulty".to_owned(),
        secret: secret.to_owned(),
        ..Default::default()
    }
}

/// A put of a definition as it is.
pub(crate) fn replacing(definition: v1::SecretDefinition) -> v1::PutSecretDefinitionRequest {
    v1::PutSecretDefinitionRequest {
        definition: Some(definition),
        ..Default::default()
    }
}

/// A put of a new text value.
pub(crate) fn storing(name: &str, text: &str) -> v1::PutSecretValueRequest {
    v1::PutSecretValueRequest {
        name: name.to_owned(),
        payload: Some(text_payload(text)),
        ..Default::default()
    }
}

/// A read of the current value.
pub(crate) fn reading(name: &str) -> v1::GetSecretRequest {
    v1::GetSecretRequest {
        name: name.to_owned(),
        ..Default::default()
    }
}

/// A read in an environment.
pub(crate) fn reading_in(name: &str, environment: &str) -> v1::GetSecretRequest {
    v1::GetSecretRequest {
        environment: environment.to_owned(),
        ..reading(name)
    }
}

/// All versions of a secret, newest first.
pub(crate) async fn versions(client: &Client, name: &str) -> Vec<v1::SecretVersion> {
    let request = v1::ListSecretVersionsRequest {
        parent: name.to_owned(),
        page_size: 1000,
        ..Default::default()
    };
    let reply = client.secrets().list_secret_versions(request).await;
    reply.expect("listed").into_inner().versions
}

/// A fresh request id.
pub(crate) fn request_id() -> String {
    uuid::Uuid::new_v4().to_string()
}

/// Checks that a call was denied.
#[track_caller]
pub(crate) fn denied<T: Debug>(result: Result<T, Status>) -> Status {
    fails(result, Code::PermissionDenied, "ACCESS_DENIED")
}

/// Checks that a call was put off because of a write under way.
#[track_caller]
pub(crate) fn in_progress<T: Debug>(result: Result<T, Status>) {
    fails(result, Code::Aborted, "WRITE_IN_PROGRESS");
}

/// `DeleteSecretDefinition`.
pub(crate) async fn delete(
    client: &Client,
    name: &str,
    purge: bool,
) -> Result<v1::SecretDefinition, Status> {
    let request = v1::DeleteSecretDefinitionRequest {
        name: name.to_owned(),
        purge,
        ..Default::default()
    };
    let reply = client.definitions().delete_secret_definition(request).await;
    reply.map(tonic::Response::into_inner)
}

/// `UndeleteSecretDefinition`.
pub(crate) async fn undelete(client: &Client, name: &str) -> Result<v1::SecretDefinition, Status> {
    let request = v1::UndeleteSecretDefinitionRequest {
        name: name.to_owned(),
    };
    let reply = client
        .definitions()
        .undelete_secret_definition(request)
        .await;
    reply.map(tonic::Response::into_inner)
}

/// All grants of a principal.
pub(crate) async fn grants_of(client: &Client, principal: &str) -> Vec<v1::Grant> {
    let request = v1::ListGrantsRequest {
        principal: principal.to_owned(),
        ..Default::default()
    };
    let reply = client.access().list_grants(request).await;
    reply.unwrap().into_inner().grants
}

/// `PutGrant`.
pub(crate) async fn give(client: &Client, grant: v1::Grant) -> Result<v1::Grant, Status> {
    let request = v1::PutGrantRequest { grant: Some(grant) };
    let reply = client.access().put_grant(request).await;
    reply.map(tonic::Response::into_inner)
}

/// `DeleteGrant`.
pub(crate) async fn take_back(client: &Client, grant: &v1::Grant) -> Result<(), Status> {
    let request = v1::DeleteGrantRequest {
        name: grant.name.clone(),
    };
    client.access().delete_grant(request).await.map(drop)
}

/// `WhoAmI`.
pub(crate) async fn who_am_i(client: &Client) -> v1::WhoAmIResponse {
    let reply = client.access().who_am_i(v1::WhoAmIRequest {}).await;
    reply.unwrap().into_inner()
}

/// A grant to read.
pub(crate) fn runner(principal: &str, resource: &str) -> v1::Grant {
    v1::Grant {
        principal: principal.to_owned(),
        role: v1::Role::Runner.into(),
        resource: resource.to_owned(),
        ..Default::default()
    }
}

/// A server on a copy of a golden store, at a time after it was made, and its administrator, who is
/// operator and runner there as well.
pub(crate) async fn opened_golden(
    golden: impl Fn(&str) -> PathBuf,
    time: Duration,
    options: Options,
) -> (Server, Client) {
    let (store, key) = (golden("store.db"), golden("root.key"));
    let server = Server::start_on(&store, &key, options).await;
    let now = server.clock.now().duration_since(UNIX_EPOCH);
    server.clock.advance(time - now.unwrap());
    let client = server.unix();
    if own_uid() != 0 {
        let own = format!("unix:{}", own_uid());
        client.grant(&own, v1::Role::Operator, "*").await;
        client.grant(&own, v1::Role::Runner, "*").await;
    }
    (server, client)
}
