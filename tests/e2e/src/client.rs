use std::fmt::Debug;
use std::path::Path;

use claviger_proto::v1;
use claviger_proto::v1::access_service_client::AccessServiceClient;
use claviger_proto::v1::secret_definition_service_client::SecretDefinitionServiceClient;
use claviger_proto::v1::secret_service_client::SecretServiceClient;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};
use uuid::Uuid;

pub use claviger_client::reason;

/// Calls the daemon as this user does over the Unix socket. Names are ids in `projects/dev`.
#[derive(Clone, Debug)]
pub struct Client {
    channel: Channel,
}

impl Client {
    /// Connects to a Unix socket.
    pub async fn connect(socket: &Path) -> Self {
        let uri = format!("unix://{}", socket.display());
        let endpoint = Endpoint::try_from(uri).expect("an absolute path");
        let channel = endpoint.connect().await.expect("a daemon listens there");
        Self { channel }
    }

    /// The connection, for calls that are not here.
    pub fn channel(&self) -> Channel {
        self.channel.clone()
    }

    /// Registers a definition with its first value and returns the version.
    ///
    /// # Errors
    /// What the daemon answers.
    pub async fn create(&self, id: &str, text: &str, request_id: Uuid) -> Result<String, Status> {
        let request = v1::PutSecretDefinitionRequest {
            definition: Some(v1::SecretDefinition {
                name: name(id),
                ..Default::default()
            }),
            payload: Some(payload(text)),
            request_id: request_id.to_string(),
            ..Default::default()
        };
        let mut client = SecretDefinitionServiceClient::new(self.channel());
        let answer = client.put_secret_definition(request).await?;
        Ok(answer.into_inner().version)
    }

    /// Registers a definition that leads to a secret in a vault.
    ///
    /// # Errors
    /// What the daemon answers.
    pub async fn register(&self, id: &str, vault: &str, secret: &str) -> Result<(), Status> {
        let request = v1::PutSecretDefinitionRequest {
            definition: Some(v1::SecretDefinition {
                name: name(id),
                location: Some(v1::Location {
                    vault: vault.to_owned(),
                    secret: secret.to_owned(),
                    ..Default::default()
                }),
                ..Default::default()
            }),
            ..Default::default()
        };
        let mut client = SecretDefinitionServiceClient::new(self.channel());
        client.put_secret_definition(request).await?;
        Ok(())
    }

    /// Stores a new value and returns its version.
    ///
    /// # Errors
    /// What the daemon answers.
    pub async fn rotate(&self, id: &str, text: &str, request_id: Uuid) -> Result<String, Status> {
        let request = v1::PutSecretValueRequest {
            name: name(id),
            payload: Some(payload(text)),
            request_id: request_id.to_string(),
            ..Default::default()
        };
        let mut client = SecretServiceClient::new(self.channel());
        let answer = client.put_secret_value(request).await?;
        Ok(answer.into_inner().version)
    }

    /// Reads a value: its version and text. Without a `version`, the current one.
    ///
    /// # Errors
    /// What the daemon answers.
    pub async fn read(&self, id: &str, version: &str) -> Result<(String, String), Status> {
        let request = v1::GetSecretRequest {
            name: name(id),
            version: version.to_owned(),
            ..Default::default()
        };
        let mut client = SecretServiceClient::new(self.channel());
        let answer = client.get_secret(request).await?.into_inner();
        Ok((answer.version.clone(), text_of(answer)))
    }

    /// The versions of a secret, newest first.
    ///
    /// # Errors
    /// What the daemon answers.
    pub async fn versions(&self, id: &str) -> Result<Vec<String>, Status> {
        let request = v1::ListSecretVersionsRequest {
            parent: name(id),
            page_size: 1000,
            ..Default::default()
        };
        let mut client = SecretServiceClient::new(self.channel());
        let answer = client.list_secret_versions(request).await?.into_inner();
        let versions = answer.versions.into_iter();
        Ok(versions.map(|version| version.version).collect())
    }

    /// Makes a token that reads in the project.
    ///
    /// # Errors
    /// What the daemon answers.
    pub async fn runner_token(&self) -> Result<String, Status> {
        let request = v1::CreateTokenRequest {
            grants: vec![v1::TokenGrant {
                role: v1::Role::Runner.into(),
                resource: "projects/dev".to_owned(),
                environment: String::new(),
            }],
            ttl: Some(prost_types::Duration {
                seconds: 3600,
                nanos: 0,
            }),
            ..Default::default()
        };
        let mut client = AccessServiceClient::new(self.channel());
        let answer = client.create_token(Request::new(request)).await?;
        Ok(answer.into_inner().token)
    }
}

/// The call failed, and for this reason.
#[track_caller]
pub fn assert_refused<T: Debug>(result: Result<T, Status>, expected: &str) -> Status {
    let status = result.expect_err(expected);
    assert_eq!(reason(&status).as_deref(), Some(expected), "{status:?}");
    status
}

/// Everything a client gets to see of an error.
pub fn seen(status: &Status) -> String {
    let details = String::from_utf8_lossy(status.details());
    format!("{} {details} {:?}", status.message(), status.metadata())
}

/// The text that was read.
#[track_caller]
pub fn text_of(read: v1::GetSecretResponse) -> String {
    match read.value {
        Some(v1::get_secret_response::Value::Text(text)) => text,
        value => panic!("not a text: {value:?}"),
    }
}

fn name(id: &str) -> String {
    format!("projects/dev/secrets/{id}")
}

/// A text as it is sent.
pub fn payload(text: &str) -> v1::Payload {
    v1::Payload {
        value: Some(v1::payload::Value::Text(text.to_owned())),
        crc32c: None,
    }
}
