//! Makes requests that must be refused, and checks the answer and that nothing has changed.

use claviger_integration::{
    Client, Options, PROJECT, Server, data_payload, reason, text_payload, violation,
};
use claviger_proto::v1;
use claviger_proto::v1::secret_definition::{Format, Kind};
use tonic::{Code, Status};

use crate::support::{defining, delete, secret, storing, versions};

/// A project with the environments `dev` and `prod`.
pub(crate) const WITH_ENVIRONMENTS: &str = "projects/staged";

/// A request that is wrong.
#[derive(Clone)]
pub(crate) enum Ask {
    Check(v1::CheckSecretDefinitionRequest),
    Define(Box<v1::PutSecretDefinitionRequest>),
    Delete(v1::DeleteSecretDefinitionRequest),
    Disable(v1::DisableSecretVersionRequest),
    Get(v1::GetSecretRequest),
    Grant(v1::Grant),
    List(v1::ListSecretDefinitionsRequest),
    Project(v1::Project),
    Store(v1::PutSecretValueRequest),
    Token(v1::CreateTokenRequest),
}

impl Ask {
    /// A put of a definition, changed by `edit` from a plain one.
    pub(crate) fn define(
        name: &str,
        edit: impl FnOnce(&mut v1::PutSecretDefinitionRequest, &mut v1::SecretDefinition),
    ) -> Self {
        let mut put = defining(name);
        let mut definition = put.definition.take().unwrap();
        edit(&mut put, &mut definition);
        put.definition = Some(definition);
        Self::Define(Box::new(put))
    }

    /// A put of a value, changed by `edit` from a plain one.
    pub(crate) fn store(name: &str, edit: impl FnOnce(&mut v1::PutSecretValueRequest)) -> Self {
        let mut put = storing(name, "x");
        edit(&mut put);
        Self::Store(put)
    }

    /// Makes the call, which fails.
    pub(crate) async fn ask(self, client: &Client) -> Status {
        let result = match self {
            Self::Check(request) => {
                let reply = client.definitions().check_secret_definition(request).await;
                reply.map(drop)
            }
            Self::Define(request) => client.put_definition(*request).await.map(drop),
            Self::Delete(request) => {
                let reply = client.definitions().delete_secret_definition(request).await;
                reply.map(drop)
            }
            Self::Disable(request) => {
                let reply = client.secrets().disable_secret_version(request).await;
                reply.map(drop)
            }
            Self::Get(request) => client.get_secret(request).await.map(drop),
            Self::Grant(grant) => {
                let request = v1::PutGrantRequest { grant: Some(grant) };
                client.access().put_grant(request).await.map(drop)
            }
            Self::List(request) => {
                let reply = client.definitions().list_secret_definitions(request).await;
                reply.map(drop)
            }
            Self::Project(project) => {
                let request = v1::PutProjectRequest {
                    project: Some(project),
                    validate_only: false,
                };
                client.projects().put_project(request).await.map(drop)
            }
            Self::Store(request) => client.put_value(request).await.map(drop),
            Self::Token(request) => client.access().create_token(request).await.map(drop),
        };
        result.expect_err("bad input was taken")
    }
}

/// The answer to a wrong request.
pub(crate) struct Case {
    what: &'static str,
    ask: Ask,
    code: Code,
    reason: &'static str,
    field: &'static str,
    /// Part of the field violation.
    remedy: &'static str,
}

pub(crate) fn case(
    what: &'static str,
    ask: Ask,
    (code, reason): (Code, &'static str),
    field: &'static str,
    remedy: &'static str,
) -> Case {
    Case {
        what,
        ask,
        code,
        reason,
        field,
        remedy,
    }
}

/// Everything there is, as far as callers can see it.
#[derive(Debug, PartialEq)]
pub(crate) struct Snapshot {
    projects: Vec<v1::Project>,
    pub(crate) definitions: Vec<v1::SecretDefinition>,
    versions: Vec<v1::SecretVersion>,
    grants: Vec<v1::Grant>,
    pub(crate) tokens: Vec<v1::Token>,
}

pub(crate) async fn snapshot(client: &Client) -> Snapshot {
    let request = v1::ListProjectsRequest::default();
    let projects = client.projects().list_projects(request).await;
    let projects = projects.unwrap().into_inner().projects;
    let mut definitions = Vec::new();
    for project in &projects {
        let request = v1::ListSecretDefinitionsRequest {
            parent: project.name.clone(),
            show_deleted: true,
            ..Default::default()
        };
        let reply = client.definitions().list_secret_definitions(request).await;
        definitions.extend(reply.unwrap().into_inner().definitions);
    }
    let mut all_versions = Vec::new();
    for definition in &definitions {
        if definition.delete_time.is_none() && definition.name.starts_with(PROJECT) {
            all_versions.extend(versions(client, &definition.name).await);
        }
    }
    let request = v1::ListGrantsRequest::default();
    let grants = client.access().list_grants(request).await;
    let request = v1::ListTokensRequest {
        page_size: 1000,
        ..Default::default()
    };
    let tokens = client.access().list_tokens(request).await;
    Snapshot {
        projects,
        definitions,
        versions: all_versions,
        grants: grants.unwrap().into_inner().grants,
        tokens: tokens.unwrap().into_inner().tokens,
    }
}

/// Definitions `plain`, `bytes` and `stripe` with values, `gone` soft-deleted, `kept` in a project
/// with environments.
pub(crate) async fn world() -> (Server, Client) {
    let (server, client) = Server::prepared(Options::default()).await;
    client.project(WITH_ENVIRONMENTS, &["dev", "prod"]).await;
    client.put(&secret("plain"), "value").await.unwrap();
    let mut bytes = defining(&secret("bytes"));
    bytes.definition.as_mut().unwrap().format = Format::Binary.into();
    bytes.payload = Some(data_payload(b"\0"));
    client.put_definition(bytes).await.unwrap();
    let mut stripe = defining(&secret("stripe"));
    stripe.definition.as_mut().unwrap().kind = Kind::StripeApiKey.into();
    stripe.payload = Some(text_payload("rk_test_abc"));
    client.put_definition(stripe).await.unwrap();
    let kept = defining(&format!("{WITH_ENVIRONMENTS}/secrets/kept"));
    client.put_definition(kept).await.unwrap();
    client.put(&secret("gone"), "value").await.unwrap();
    delete(&client, &secret("gone"), false).await.unwrap();
    (server, client)
}

/// Asks each and checks the answer, and that nothing has changed in the end.
pub(crate) async fn refused(client: &Client, cases: Vec<Case>) {
    let before = snapshot(client).await;
    assert!(!before.definitions.is_empty() && !before.versions.is_empty());
    let mut wrong = Vec::new();
    for case in cases {
        let status = case.ask.ask(client).await;
        let (field, remedy) = violation(&status).unwrap_or_default();
        let is_right = status.code() == case.code
            && reason(&status) == case.reason
            && field == case.field
            && remedy.contains(case.remedy);
        if !is_right {
            wrong.push(format!(
                "{}: {:?} {} field={field:?} remedy={remedy:?}: {}",
                case.what,
                status.code(),
                reason(&status),
                status.message(),
            ));
        }
        if snapshot(client).await != before {
            wrong.push(format!("{}: something has changed", case.what));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
