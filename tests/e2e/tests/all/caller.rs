//! Somebody who calls the daemon, and the messages of such a call. Definitions are named by their ids
//! in `projects/dev`, or in full.

use std::fmt::Debug;

use claviger_e2e::{Client, Daemon, assert_refused, payload, text_of};
use claviger_proto::v1;
use claviger_proto::v1::access_service_client::AccessServiceClient;
use claviger_proto::v1::connection_profile_service_client::ConnectionProfileServiceClient;
use claviger_proto::v1::project_service_client::ProjectServiceClient;
use claviger_proto::v1::secret_definition_service_client::SecretDefinitionServiceClient;
use claviger_proto::v1::secret_service_client::SecretServiceClient;
use claviger_proto::v1::secret_version::State;
use claviger_proto::v1::vault_service_client::VaultServiceClient;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Response, Status};

/// Of a token that outlives every test.
const HOUR: prost_types::Duration = prost_types::Duration {
    seconds: 3600,
    nanos: 0,
};

/// The full name of a definition.
pub(crate) fn name(id: &str) -> String {
    match id.contains('/') {
        true => id.to_owned(),
        false => format!("projects/dev/secrets/{id}"),
    }
}

/// A place in a vault.
pub(crate) fn place(vault: &str, secret: &str) -> v1::Location {
    v1::Location {
        vault: vault.to_owned(),
        secret: secret.to_owned(),
        ..Default::default()
    }
}

/// One property of the secret at a place.
pub(crate) fn part(place: v1::Location, property: &str) -> v1::Location {
    let property = property.to_owned();
    v1::Location { property, ..place }
}

/// One version of the secret at a place.
pub(crate) fn pinned(place: v1::Location, version: &str) -> v1::Location {
    let version = version.to_owned();
    v1::Location { version, ..place }
}

/// A definition with nothing but its place, if that is one.
pub(crate) fn definition(id: &str, place: v1::Location) -> v1::SecretDefinition {
    v1::SecretDefinition {
        name: name(id),
        location: (place != v1::Location::default()).then_some(place),
        ..Default::default()
    }
}

/// The put of a definition, with its value if there is one.
pub(crate) fn put_of(
    definition: v1::SecretDefinition,
    text: Option<&str>,
) -> v1::PutSecretDefinitionRequest {
    v1::PutSecretDefinitionRequest {
        definition: Some(definition),
        payload: text.map(payload),
        ..Default::default()
    }
}

/// A new value for a definition.
pub(crate) fn new_value(id: &str, text: &str) -> v1::PutSecretValueRequest {
    v1::PutSecretValueRequest {
        name: name(id),
        payload: Some(payload(text)),
        ..Default::default()
    }
}

/// The call failed for this reason, and says so in these words among others.
#[track_caller]
pub(crate) fn assert_told<T: Debug>(
    result: Result<T, Status>,
    reason: &str,
    words: &str,
) -> Status {
    let status = assert_refused(result, reason);
    assert!(status.message().contains(words), "{words}: {status:?}");
    status
}

/// The reasons of warnings.
pub(crate) fn reasons(warnings: &[v1::Warning]) -> Vec<&str> {
    warnings.iter().map(|one| one.reason.as_str()).collect()
}

/// A change of a version's state.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Change {
    Destroy,
    Disable,
    Enable,
}

/// Puts a token into each call.
#[derive(Clone, Debug)]
pub(crate) struct Bearer(Option<MetadataValue<Ascii>>);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(bearer) = &self.0 {
            let metadata = request.metadata_mut();
            metadata.insert("authorization", bearer.clone());
        }
        Ok(request)
    }
}

type Connection = InterceptedService<Channel, Bearer>;

/// Somebody who calls the daemon.
#[derive(Clone, Debug)]
pub(crate) struct Caller(Connection);

fn answer<T>(response: Result<Response<T>, Status>) -> Result<T, Status> {
    response.map(Response::into_inner)
}

impl Caller {
    /// This user, over the Unix socket.
    pub(crate) async fn of(daemon: &Daemon) -> Self {
        let client = Client::connect(&daemon.socket()).await;
        Self(InterceptedService::new(client.channel(), Bearer(None)))
    }

    /// A runner of `projects/dev`, over TCP.
    pub(crate) async fn runner(daemon: &Daemon) -> Self {
        let client = Client::connect(&daemon.socket()).await;
        Self::with_token(daemon, &client.runner_token().await.expect("made")).await
    }

    /// Somebody with a token, over TCP on a connection of its own.
    pub(crate) async fn with_token(daemon: &Daemon, token: &str) -> Self {
        let endpoint = Endpoint::try_from(format!("http://{}", daemon.tcp())).expect("an address");
        let channel = endpoint.connect().await.expect("it listens");
        let bearer = format!("Bearer {token}").parse().expect("ASCII");
        Self(InterceptedService::new(channel, Bearer(Some(bearer))))
    }

    pub(crate) fn access(&self) -> AccessServiceClient<Connection> {
        AccessServiceClient::new(self.0.clone())
    }

    pub(crate) fn definitions(&self) -> SecretDefinitionServiceClient<Connection> {
        SecretDefinitionServiceClient::new(self.0.clone())
    }

    pub(crate) fn profiles(&self) -> ConnectionProfileServiceClient<Connection> {
        ConnectionProfileServiceClient::new(self.0.clone())
    }

    pub(crate) fn projects(&self) -> ProjectServiceClient<Connection> {
        ProjectServiceClient::new(self.0.clone())
    }

    pub(crate) fn secrets(&self) -> SecretServiceClient<Connection> {
        SecretServiceClient::new(self.0.clone())
    }

    pub(crate) fn vaults(&self) -> VaultServiceClient<Connection> {
        VaultServiceClient::new(self.0.clone())
    }

    /// Makes this user operator everywhere, so that it can make projects.
    pub(crate) async fn become_operator(&self) {
        let told = self.access().who_am_i(v1::WhoAmIRequest {}).await;
        let grant = v1::Grant {
            principal: told.expect("told").into_inner().principal,
            role: v1::Role::Operator.into(),
            resource: "*".to_owned(),
            ..Default::default()
        };
        let request = v1::PutGrantRequest { grant: Some(grant) };
        let put = self.access().put_grant(request).await;
        put.expect("the first admin");
    }

    /// Gives `projects/{id}` these environments; makes the project if there is none.
    pub(crate) async fn put_project(&self, id: &str, environments: &[(&str, v1::Environment)]) {
        let name = format!("projects/{id}");
        let request = v1::GetProjectRequest { name: name.clone() };
        let found = self.projects().get_project(request).await;
        let environments = environments.iter().cloned();
        let project = v1::Project {
            name,
            environments: environments.map(|(id, one)| (id.to_owned(), one)).collect(),
            ..found.map(Response::into_inner).unwrap_or_default()
        };
        let request = v1::PutProjectRequest {
            project: Some(project),
            validate_only: false,
        };
        let put = self.projects().put_project(request).await;
        put.expect("made");
    }

    /// A token with these roles in `projects/{project}`.
    pub(crate) async fn token(&self, project: &str, roles: &[v1::Role]) -> String {
        let grants = roles.iter().map(|role| v1::TokenGrant {
            role: (*role).into(),
            resource: format!("projects/{project}"),
            environment: String::new(),
        });
        let request = v1::CreateTokenRequest {
            grants: grants.collect(),
            ttl: Some(HOUR),
            ..Default::default()
        };
        let made = self.access().create_token(request).await;
        made.expect("the first admin").into_inner().token
    }

    /// Makes a put of a definition.
    pub(crate) async fn put(
        &self,
        request: v1::PutSecretDefinitionRequest,
    ) -> Result<v1::PutSecretDefinitionResponse, Status> {
        answer(self.definitions().put_secret_definition(request).await)
    }

    /// Registers the secret at a place.
    pub(crate) async fn register(
        &self,
        id: &str,
        place: v1::Location,
    ) -> Result<v1::PutSecretDefinitionResponse, Status> {
        self.put(put_of(definition(id, place), None)).await
    }

    /// Registers a definition with its first value.
    pub(crate) async fn create(
        &self,
        id: &str,
        place: v1::Location,
        text: &str,
    ) -> Result<v1::PutSecretDefinitionResponse, Status> {
        self.put(put_of(definition(id, place), Some(text))).await
    }

    /// The same, which succeeds.
    pub(crate) async fn registered(
        &self,
        id: &str,
        place: v1::Location,
    ) -> v1::PutSecretDefinitionResponse {
        self.register(id, place).await.expect(id)
    }

    /// The same, which succeeds.
    pub(crate) async fn created(
        &self,
        id: &str,
        place: v1::Location,
        text: &str,
    ) -> v1::PutSecretDefinitionResponse {
        self.create(id, place, text).await.expect(id)
    }

    /// Makes a put of a value.
    pub(crate) async fn put_value(
        &self,
        request: v1::PutSecretValueRequest,
    ) -> Result<v1::PutSecretValueResponse, Status> {
        answer(self.secrets().put_secret_value(request).await)
    }

    /// Stores a value where this one may.
    pub(crate) async fn store(
        &self,
        id: &str,
        text: &str,
    ) -> Result<v1::PutSecretValueResponse, Status> {
        self.put_value(new_value(id, text)).await
    }

    /// Stores a value, even in a secret that others have made.
    pub(crate) async fn adopt(
        &self,
        id: &str,
        text: &str,
    ) -> Result<v1::PutSecretValueResponse, Status> {
        let request = v1::PutSecretValueRequest {
            adopt: true,
            ..new_value(id, text)
        };
        self.put_value(request).await
    }

    /// Reads: without `version`, the latest.
    pub(crate) async fn get(
        &self,
        id: &str,
        version: &str,
    ) -> Result<v1::GetSecretResponse, Status> {
        let request = v1::GetSecretRequest {
            name: name(id),
            version: version.to_owned(),
            ..Default::default()
        };
        answer(self.secrets().get_secret(request).await)
    }

    /// Reads in an environment.
    pub(crate) async fn get_in(
        &self,
        id: &str,
        environment: &str,
    ) -> Result<v1::GetSecretResponse, Status> {
        let request = v1::GetSecretRequest {
            name: name(id),
            environment: environment.to_owned(),
            ..Default::default()
        };
        answer(self.secrets().get_secret(request).await)
    }

    /// The text of the latest value.
    pub(crate) async fn text(&self, id: &str) -> Result<String, Status> {
        self.get(id, "").await.map(text_of)
    }

    /// Changes the state of a version; the new one.
    pub(crate) async fn change(
        &self,
        id: &str,
        version: &str,
        change: Change,
    ) -> Result<State, Status> {
        let (name, environment) = (format!("{}/versions/{version}", name(id)), String::new());
        let mut secrets = self.secrets();
        let changed = match change {
            Change::Destroy => {
                let request = v1::DestroySecretVersionRequest { name, environment };
                secrets.destroy_secret_version(request).await
            }
            Change::Disable => {
                let request = v1::DisableSecretVersionRequest { name, environment };
                secrets.disable_secret_version(request).await
            }
            Change::Enable => {
                let request = v1::EnableSecretVersionRequest { name, environment };
                secrets.enable_secret_version(request).await
            }
        };
        answer(changed).map(|version| version.state())
    }

    /// Checks a definition.
    pub(crate) async fn check(&self, id: &str) -> v1::CheckSecretDefinitionResponse {
        let request = v1::CheckSecretDefinitionRequest {
            name: name(id),
            ..Default::default()
        };
        let checked = self.definitions().check_secret_definition(request).await;
        answer(checked).expect("checked")
    }

    /// Checks a vault.
    pub(crate) async fn check_vault(&self, id: &str) -> v1::CheckVaultResponse {
        let name = format!("vaults/{id}");
        let request = v1::CheckVaultRequest { name };
        let checked = self.vaults().check_vault(request).await;
        answer(checked).expect("answered")
    }

    /// The capabilities that a vault declares.
    pub(crate) async fn capabilities(&self, vault: &str) -> v1::vault::Capabilities {
        let listed = self.vaults().list_vaults(v1::ListVaultsRequest {}).await;
        let vaults = answer(listed).expect("listed").vaults;
        let name = format!("vaults/{vault}");
        let found = vaults.into_iter().find(|vault| vault.name == name);
        let capabilities = found.and_then(|vault| vault.capabilities);
        capabilities.expect("it says what it can")
    }

    /// The secrets that `projects/{project}` can pick from a vault, page by page.
    pub(crate) async fn browse(
        &self,
        vault: &str,
        project: &str,
        page_size: i32,
    ) -> Result<Vec<v1::VaultSecret>, Status> {
        let mut listed = Vec::new();
        let mut page_token = String::new();
        loop {
            let request = v1::ListVaultSecretsRequest {
                parent: format!("vaults/{vault}"),
                project: format!("projects/{project}"),
                page_size,
                page_token,
            };
            let page = answer(self.vaults().list_vault_secrets(request).await)?;
            listed.extend(page.secrets);
            page_token = page.next_page_token;
            if page_token.is_empty() {
                return Ok(listed);
            }
        }
    }
}
