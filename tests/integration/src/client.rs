//! A caller: everything it can ask, and short forms for most tests.

use std::ops::Deref;

use claviger_client::Token;
use claviger_proto::v1;
use claviger_proto::v1::access_service_client::AccessServiceClient;
use claviger_proto::v1::connection_profile_service_client::ConnectionProfileServiceClient;
use claviger_proto::v1::daemon_service_client::DaemonServiceClient;
use claviger_proto::v1::project_service_client::ProjectServiceClient;
use claviger_proto::v1::secret_definition_service_client::SecretDefinitionServiceClient;
use claviger_proto::v1::secret_service_client::SecretServiceClient;
use claviger_proto::v1::vault_service_client::VaultServiceClient;
use tonic::Status;
use tonic_health::pb::health_client::HealthClient;

use crate::watched::Watched;

/// One caller over one connection.
#[derive(Clone, Debug)]
pub struct Client(claviger_client::Client);

impl Deref for Client {
    type Target = claviger_client::Client;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

macro_rules! watched {
    ($($name:ident $client:ident;)+) => {
        $(
            #[doc = concat!("A `", stringify!($client), "` that calls as this caller.")]
            pub fn $name(&self) -> $client<Watched> {
                $client::new(self.service())
            }
        )+
    };
}

impl Client {
    watched! {
        access AccessServiceClient;
        daemon DaemonServiceClient;
        definitions SecretDefinitionServiceClient;
        profiles ConnectionProfileServiceClient;
        projects ProjectServiceClient;
        secrets SecretServiceClient;
        vaults VaultServiceClient;
    }

    /// The way that the calls take; their refusals are looked at.
    pub fn service(&self) -> Watched {
        Watched(self.0.service())
    }

    /// A caller without a token: on the Unix socket its uid, on TCP nobody.
    pub(crate) fn new(client: claviger_client::Client) -> Self {
        Self(client)
    }

    /// The same connection with a token.
    #[must_use]
    pub fn with_token(&self, token: &str) -> Self {
        let token = Token::new(token).expect("a token");
        Self(self.0.clone().with_token(token))
    }

    /// The health service.
    pub fn health(&self) -> HealthClient<Watched> {
        HealthClient::new(self.service())
    }

    /// Makes a project, by name, with these environments.
    pub async fn project(&self, name: &str, environments: &[&str]) -> v1::Project {
        let environment = |id: &&str| ((*id).to_owned(), v1::Environment::default());
        let request = v1::PutProjectRequest {
            project: Some(v1::Project {
                name: name.to_owned(),
                environments: environments.iter().map(environment).collect(),
                ..Default::default()
            }),
            validate_only: false,
        };
        let reply = self.projects().put_project(request).await;
        reply
            .expect("project")
            .into_inner()
            .project
            .expect("echoed")
    }

    /// Gives a role to a principal.
    pub async fn grant(&self, principal: &str, role: v1::Role, resource: &str) -> v1::Grant {
        let request = v1::PutGrantRequest {
            grant: Some(v1::Grant {
                principal: principal.to_owned(),
                role: role.into(),
                resource: resource.to_owned(),
                ..Default::default()
            }),
        };
        self.access()
            .put_grant(request)
            .await
            .expect("granted")
            .into_inner()
    }

    /// Makes a token for a day with these roles.
    pub async fn token(&self, grants: &[(v1::Role, &str)]) -> v1::CreateTokenResponse {
        let grant = |(role, resource): &(v1::Role, &str)| v1::TokenGrant {
            role: (*role).into(),
            resource: (*resource).to_owned(),
            ..Default::default()
        };
        let request = v1::CreateTokenRequest {
            grants: grants.iter().map(grant).collect(),
            ttl: Some(prost_types::Duration {
                seconds: 24 * 60 * 60,
                nanos: 0,
            }),
            ..Default::default()
        };
        self.access()
            .create_token(request)
            .await
            .expect("made")
            .into_inner()
    }

    /// Registers an opaque text definition with its first value.
    pub async fn put(
        &self,
        name: &str,
        text: &str,
    ) -> Result<v1::PutSecretDefinitionResponse, Status> {
        let request = v1::PutSecretDefinitionRequest {
            definition: Some(v1::SecretDefinition {
                name: name.to_owned(),
                ..Default::default()
            }),
            payload: Some(text_payload(text)),
            ..Default::default()
        };
        self.put_definition(request).await
    }

    /// `PutSecretDefinition`.
    pub async fn put_definition(
        &self,
        request: v1::PutSecretDefinitionRequest,
    ) -> Result<v1::PutSecretDefinitionResponse, Status> {
        let reply = self.definitions().put_secret_definition(request).await;
        reply.map(tonic::Response::into_inner)
    }

    /// Stores a new text value, where the project declares no environments.
    pub async fn rotate(
        &self,
        name: &str,
        text: &str,
    ) -> Result<v1::PutSecretValueResponse, Status> {
        let request = v1::PutSecretValueRequest {
            name: name.to_owned(),
            payload: Some(text_payload(text)),
            ..Default::default()
        };
        self.put_value(request).await
    }

    /// `PutSecretValue`.
    pub async fn put_value(
        &self,
        request: v1::PutSecretValueRequest,
    ) -> Result<v1::PutSecretValueResponse, Status> {
        let reply = self.secrets().put_secret_value(request).await;
        reply.map(tonic::Response::into_inner)
    }

    /// Reads the current value, where the project declares no environments.
    pub async fn get(&self, name: &str) -> Result<v1::GetSecretResponse, Status> {
        let request = v1::GetSecretRequest {
            name: name.to_owned(),
            ..Default::default()
        };
        self.get_secret(request).await
    }

    /// `GetSecret`.
    pub async fn get_secret(
        &self,
        request: v1::GetSecretRequest,
    ) -> Result<v1::GetSecretResponse, Status> {
        let reply = self.secrets().get_secret(request).await;
        reply.map(tonic::Response::into_inner)
    }

    /// The current value as text.
    pub async fn text(&self, name: &str) -> String {
        match self.get(name).await.expect("readable").value {
            Some(v1::get_secret_response::Value::Text(text)) => text,
            Some(v1::get_secret_response::Value::Data(_)) | None => panic!("{name} is not text"),
        }
    }

    /// A definition as it is.
    pub async fn definition(&self, name: &str) -> Result<v1::SecretDefinition, Status> {
        let request = v1::GetSecretDefinitionRequest {
            name: name.to_owned(),
        };
        let reply = self.definitions().get_secret_definition(request).await;
        reply.map(tonic::Response::into_inner)
    }
}

/// A payload for format TEXT.
pub fn text_payload(text: &str) -> v1::Payload {
    v1::Payload {
        value: Some(v1::payload::Value::Text(text.to_owned())),
        crc32c: None,
    }
}

/// A payload for format BINARY.
pub fn data_payload(data: &[u8]) -> v1::Payload {
    v1::Payload {
        value: Some(v1::payload::Value::Data(data.to_vec())),
        crc32c: None,
    }
}
