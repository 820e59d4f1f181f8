//! What the tests of this folder share: daemons with a vault, and callers of any project.

use claviger_e2e::{AwsRequest, AwsStub, Client, Daemon, Home, REGION, payload};
pub(super) use claviger_e2e::{assert_refused, seen, text_of};
use claviger_proto::v1;
use claviger_proto::v1::access_service_client::AccessServiceClient;
use claviger_proto::v1::project_service_client::ProjectServiceClient;
use claviger_proto::v1::secret_definition_service_client::SecretDefinitionServiceClient;
use claviger_proto::v1::secret_service_client::SecretServiceClient;
use claviger_proto::v1::vault_service_client::VaultServiceClient;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

/// The vault of most tests.
pub(super) const VAULT: &str = "aws-eu";

/// The account that moto plays.
pub(super) const ACCOUNT: &str = "123456789012";

/// A vault of kind `aws` that lets one project use these names.
pub(crate) fn vault(id: &str, url: &str, (project, names): (&str, &[&str]), more: &str) -> String {
    format!(
        "[vaults.{id}]\n\
         kind = \"aws\"\n\
         allow = [{{ project = \"{project}\", names = {names:?} }}]\n\
         {more}\n\
         [vaults.{id}.settings]\n\
         region = \"{REGION}\"\n\
         account_id = \"{ACCOUNT}\"\n\
         endpoint_url = \"{url}\"\n\
         tags = {{ team = \"payments\" }}\n"
    )
}

/// Starts a daemon whose vault lets `projects/dev` use these names.
pub(super) fn start(home: &Home, url: &str, names: &[&str]) -> Daemon {
    start_with(
        home,
        &vault(VAULT, url, ("dev", names), "timeout = \"20s\""),
    )
}

/// Starts a daemon with this configuration; it logs everything it can.
pub(super) fn start_with(home: &Home, config: &str) -> Daemon {
    let mut command = home.configured(config);
    command
        .env("CLAVIGER_LOG", "debug")
        .env("AWS_ACCESS_KEY_ID", "AKIAMOTO")
        .env("AWS_SECRET_ACCESS_KEY", "secret");
    home.start(&mut command)
}

/// A location in the vault of most tests.
pub(super) fn location(secret: &str, property: &str) -> v1::Location {
    v1::Location {
        vault: VAULT.to_owned(),
        secret: secret.to_owned(),
        property: property.to_owned(),
        version: String::new(),
    }
}

/// A definition with nothing but its place.
pub(super) fn definition(name: &str, location: v1::Location) -> v1::SecretDefinition {
    v1::SecretDefinition {
        name: name.to_owned(),
        location: Some(location),
        ..Default::default()
    }
}

pub(super) fn text(text: &str) -> Option<v1::Payload> {
    Some(payload(text))
}

/// A new value for a definition.
pub(super) fn new_value(name: &str, value: &str) -> v1::PutSecretValueRequest {
    v1::PutSecretValueRequest {
        name: name.to_owned(),
        payload: text(value),
        ..Default::default()
    }
}

/// Registers `projects/dev/secrets/{id}` at a place in the vault.
pub(super) async fn put(
    client: &Client,
    id: &str,
    (secret, property): (&str, &str),
    value: Option<&str>,
) -> Result<String, Status> {
    let request = v1::PutSecretDefinitionRequest {
        definition: Some(definition(
            &format!("projects/dev/secrets/{id}"),
            location(secret, property),
        )),
        payload: value.and_then(text),
        ..Default::default()
    };
    let mut client = SecretDefinitionServiceClient::new(client.channel());
    let answer = client.put_secret_definition(request).await?;
    Ok(answer.into_inner().version)
}

pub(super) async fn adopt(client: &Client, id: &str, value: &str) -> Result<String, Status> {
    let request = v1::PutSecretValueRequest {
        adopt: true,
        ..new_value(&format!("projects/dev/secrets/{id}"), value)
    };
    let mut client = SecretServiceClient::new(client.channel());
    let answer = client.put_secret_value(request).await?;
    Ok(answer.into_inner().version)
}

/// What AWS was asked for callers: without the daemon's own question whether it is well.
pub(super) fn asked(stub: &AwsStub) -> Vec<AwsRequest> {
    let asked = stub.take_asked().into_iter();
    asked
        .filter(|request| request.secret() != "claviger/check")
        .collect()
}

/// Someone who calls the daemon.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    channel: Channel,
    bearer: Option<MetadataValue<Ascii>>,
}

impl Caller {
    /// This user, over the Unix socket.
    pub(super) async fn of(daemon: &Daemon) -> Self {
        let client = Client::connect(&daemon.socket()).await;
        Self {
            channel: client.channel(),
            bearer: None,
        }
    }

    /// Somebody with a token, on a connection of its own.
    pub(super) async fn with_token(daemon: &Daemon, token: &str) -> Self {
        let endpoint = Endpoint::try_from(format!("http://{}", daemon.tcp())).expect("an address");
        let bearer = format!("Bearer {token}").parse().expect("ASCII");
        Self {
            channel: endpoint.connect().await.expect("it listens"),
            bearer: Some(bearer),
        }
    }

    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        if let Some(bearer) = &self.bearer {
            let metadata = request.metadata_mut();
            metadata.insert("authorization", bearer.clone());
        }
        request
    }

    /// Makes this user operator everywhere, so that it can make projects.
    pub(super) async fn become_operator(&self) {
        let mut access = AccessServiceClient::new(self.channel.clone());
        let asked = self.request(v1::WhoAmIRequest {});
        let who = access.who_am_i(asked).await.expect("told").into_inner();
        let grant = v1::Grant {
            principal: who.principal,
            role: v1::Role::Operator.into(),
            resource: "*".to_owned(),
            ..Default::default()
        };
        let request = self.request(v1::PutGrantRequest { grant: Some(grant) });
        access.put_grant(request).await.expect("the first admin");
    }

    /// Makes a project with environments, each with a default vault.
    pub(super) async fn put_project(&self, name: &str, environments: &[(&str, &str)]) {
        let environments = environments.iter().map(|(id, vault)| {
            let default_vault = (*vault).to_owned();
            (
                (*id).to_owned(),
                v1::Environment {
                    default_vault,
                    ..Default::default()
                },
            )
        });
        let project = v1::Project {
            name: name.to_owned(),
            environments: environments.collect(),
            ..Default::default()
        };
        let request = self.request(v1::PutProjectRequest {
            project: Some(project),
            validate_only: false,
        });
        let mut projects = ProjectServiceClient::new(self.channel.clone());
        projects.put_project(request).await.expect("made");
    }

    /// A token with these roles in one project.
    pub(super) async fn token(&self, project: &str, roles: &[v1::Role]) -> String {
        let grants = roles.iter().map(|role| v1::TokenGrant {
            role: (*role).into(),
            resource: project.to_owned(),
            environment: String::new(),
        });
        let request = self.request(v1::CreateTokenRequest {
            grants: grants.collect(),
            ttl: Some(prost_types::Duration {
                seconds: 3600,
                nanos: 0,
            }),
            ..Default::default()
        });
        let mut access = AccessServiceClient::new(self.channel.clone());
        let made = access.create_token(request).await.expect("the first admin");
        made.into_inner().token
    }

    pub(super) async fn get(&self, name: &str) -> Result<v1::GetSecretResponse, Status> {
        self.get_in(name, "").await
    }

    pub(super) async fn get_in(
        &self,
        name: &str,
        environment: &str,
    ) -> Result<v1::GetSecretResponse, Status> {
        let request = self.request(v1::GetSecretRequest {
            name: name.to_owned(),
            environment: environment.to_owned(),
            ..Default::default()
        });
        let mut secrets = SecretServiceClient::new(self.channel.clone());
        Ok(secrets.get_secret(request).await?.into_inner())
    }

    /// The names that can be picked from the vault for a project.
    pub(super) async fn browse(&self, project: &str) -> Vec<String> {
        let request = self.request(v1::ListVaultSecretsRequest {
            parent: format!("vaults/{VAULT}"),
            project: project.to_owned(),
            ..Default::default()
        });
        let mut vaults = VaultServiceClient::new(self.channel.clone());
        let listed = vaults.list_vault_secrets(request).await.expect("listed");
        let secrets = listed.into_inner().secrets.into_iter();
        secrets.map(|secret| secret.secret).collect()
    }

    /// The text of an unpinned read.
    pub(super) async fn text(&self, name: &str) -> Result<String, Status> {
        self.get(name).await.map(text_of)
    }

    pub(super) async fn put(
        &self,
        definition: v1::SecretDefinition,
    ) -> Result<v1::PutSecretDefinitionResponse, Status> {
        self.put_with(v1::PutSecretDefinitionRequest {
            definition: Some(definition),
            ..Default::default()
        })
        .await
    }

    pub(super) async fn put_with(
        &self,
        request: v1::PutSecretDefinitionRequest,
    ) -> Result<v1::PutSecretDefinitionResponse, Status> {
        let mut definitions = SecretDefinitionServiceClient::new(self.channel.clone());
        let request = self.request(request);
        Ok(definitions
            .put_secret_definition(request)
            .await?
            .into_inner())
    }

    pub(super) async fn put_value(
        &self,
        request: v1::PutSecretValueRequest,
    ) -> Result<v1::PutSecretValueResponse, Status> {
        let mut secrets = SecretServiceClient::new(self.channel.clone());
        Ok(secrets
            .put_secret_value(self.request(request))
            .await?
            .into_inner())
    }
}
