//! What the tests of this folder share: Azure, daemons with vaults in it, and callers.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;
use std::thread;

use claviger_e2e::{Client, Daemon, Home, payload, text_of};
pub(super) use claviger_e2e::{assert_refused, seen};
use claviger_keyvault_fake::{Fake, Filter, Seen, VaultHandle};
use claviger_proto::v1;
use claviger_proto::v1::secret_definition_service_client::SecretDefinitionServiceClient;
use claviger_proto::v1::secret_service_client::SecretServiceClient;
use claviger_proto::v1::vault_service_client::VaultServiceClient;
use tempfile::TempDir;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

/// The vault of most tests, in the configuration and in Azure.
pub(crate) const VAULT: &str = "azure-eu";
pub(crate) const HOST: &str = "acme";

/// The reads of one secret, by its name with a slash before and after.
pub(super) const fn reads(path: &'static str) -> Filter {
    Filter {
        method: Some("GET"),
        path_contains: path,
    }
}

/// The puts of one secret.
pub(super) const fn puts(path: &'static str) -> Filter {
    Filter {
        method: Some("PUT"),
        path_contains: path,
    }
}

/// What was asked about single secrets; the daemon also looks by itself whether a vault is well.
pub(super) fn about_secrets(vault: &VaultHandle) -> Vec<Seen> {
    let requests = vault.requests().into_iter();
    requests
        .filter(|seen| !seen.path_and_query.starts_with("/secrets?"))
        .collect()
}

/// Azure, and what an operator gets from it: the secret of an application, its certificate.
#[derive(Debug)]
pub(crate) struct Cloud {
    pub(crate) fake: Fake,
    files: TempDir,
}

impl Cloud {
    pub(crate) fn start() -> Self {
        // It drives a runtime of its own, which cannot be inside another.
        let fake = thread::spawn(Fake::start).join().expect("started");
        fake.vault(HOST);
        let files = tempfile::tempdir().expect("a directory for temporary files");
        let cloud = Self { fake, files };
        cloud.file("ca.pem", cloud.fake.ca_pem());
        cloud.file("client.secret", cloud.fake.client_secret());
        cloud
    }

    /// Writes a file that only its owner may read.
    pub(super) fn file(&self, name: &str, content: &str) -> PathBuf {
        let file = self.files.path().join(name);
        fs::write(&file, content).expect("written");
        fs::set_permissions(&file, Permissions::from_mode(0o600)).expect("closed");
        file
    }

    pub(super) fn handle(&self) -> VaultHandle {
        self.fake.vault(HOST)
    }

    /// The credential of most tests.
    pub(super) fn client_secret(&self) -> String {
        format!(
            "{{ kind = \"client_secret\", {}, secret_file = {:?} }}",
            self.application(),
            self.files.path().join("client.secret"),
        )
    }

    /// Tenant and application, as every credential of an application has them.
    pub(super) fn application(&self) -> String {
        let (tenant, client) = (self.fake.tenant(), self.fake.client_id());
        format!("tenant_id = {tenant:?}, client_id = {client:?}")
    }

    /// Any vault: its id here and its name there, who may use which names, further keys, credential.
    pub(super) fn vault_with(
        &self,
        (id, host): (&str, &str),
        (project, names): (&str, &[&str]),
        more: &str,
        credential: &str,
    ) -> String {
        let url = self.fake.vault(host).url();
        format!(
            "[vaults.{id}]\n\
             kind = \"azure\"\n\
             allow = [{{ project = \"{project}\", names = {names:?} }}]\n\
             {more}\n\
             [vaults.{id}.settings]\n\
             vault_url = \"{url}\"\n\
             credential = {credential}\n"
        )
    }

    /// A vault that lets `projects/dev` use every name.
    pub(crate) fn vault(&self, names: (&str, &str), more: &str) -> String {
        self.vault_with(names, ("dev", &["*"]), more, &self.client_secret())
    }

    /// What the environment of a real host says about the way to Azure.
    pub(crate) fn surround(&self, command: &mut Command) {
        let (endpoint, header) = self.fake.managed_identity_endpoint();
        command
            .env("HTTPS_PROXY", self.fake.proxy_url())
            .env("SSL_CERT_FILE", self.files.path().join("ca.pem"))
            .env("IDENTITY_ENDPOINT", endpoint)
            .env("IDENTITY_HEADER", header);
    }

    /// A daemon with the vault of most tests.
    pub(super) fn daemon(&self, home: &Home) -> Daemon {
        self.daemon_with(home, &self.vault((VAULT, HOST), "timeout = \"20s\""))
    }

    /// A daemon with this configuration; it logs everything it can.
    pub(super) fn daemon_with(&self, home: &Home, config: &str) -> Daemon {
        let mut command = command(home, config);
        self.surround(&mut command);
        home.start(&mut command)
    }

    /// The same where nothing answers: no proxy, no login, no vault.
    pub(super) fn daemon_without_azure(&self, home: &Home) -> Daemon {
        let mut command = command(home, &self.vault((VAULT, HOST), "timeout = \"20s\""));
        self.surround(&mut command);
        home.start(command.env("HTTPS_PROXY", "http://127.0.0.1:1"))
    }
}

fn command(home: &Home, config: &str) -> Command {
    let mut command = home.configured(config);
    command
        .env("CLAVIGER_LOG", "debug")
        .env("AWS_ACCESS_KEY_ID", "AKIAMOTO")
        .env("AWS_SECRET_ACCESS_KEY", "secret");
    command
}

/// The name of a definition of `projects/dev`.
pub(super) fn name(id: &str) -> String {
    format!("projects/dev/secrets/{id}")
}

/// A place in the vault of most tests.
pub(super) fn location(secret: &str, property: &str) -> v1::Location {
    v1::Location {
        vault: VAULT.to_owned(),
        secret: secret.to_owned(),
        property: property.to_owned(),
        version: String::new(),
    }
}

/// Puts a token into each call.
#[derive(Clone, Debug)]
pub(super) struct Bearer(Option<MetadataValue<Ascii>>);

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

/// Someone who calls the daemon.
#[derive(Clone, Debug)]
pub(super) struct Caller(Connection);

impl Caller {
    /// This user, over the Unix socket.
    pub(super) async fn of(daemon: &Daemon) -> Self {
        let client = Client::connect(&daemon.socket()).await;
        Self(InterceptedService::new(client.channel(), Bearer(None)))
    }

    /// A runner of `projects/dev` with a token of its own, over TCP.
    pub(super) async fn runner(daemon: &Daemon) -> Self {
        let client = Client::connect(&daemon.socket()).await;
        let token = client.runner_token().await.expect("made");
        Self::with_token(daemon, &token).await
    }

    pub(super) async fn with_token(daemon: &Daemon, token: &str) -> Self {
        let endpoint = Endpoint::try_from(format!("http://{}", daemon.tcp())).expect("an address");
        let channel = endpoint.connect().await.expect("it listens");
        let bearer = format!("Bearer {token}").parse().expect("ASCII");
        Self(InterceptedService::new(channel, Bearer(Some(bearer))))
    }

    pub(super) fn definitions(&self) -> SecretDefinitionServiceClient<Connection> {
        SecretDefinitionServiceClient::new(self.0.clone())
    }

    pub(super) fn secrets(&self) -> SecretServiceClient<Connection> {
        SecretServiceClient::new(self.0.clone())
    }

    pub(super) fn vaults(&self) -> VaultServiceClient<Connection> {
        VaultServiceClient::new(self.0.clone())
    }

    /// Registers a definition of `projects/dev`, with its value if there is one.
    pub(super) async fn put(
        &self,
        id: &str,
        location: v1::Location,
        text: Option<&str>,
    ) -> Result<v1::PutSecretDefinitionResponse, Status> {
        self.put_with(v1::PutSecretDefinitionRequest {
            definition: Some(v1::SecretDefinition {
                name: name(id),
                location: Some(location),
                ..Default::default()
            }),
            payload: text.map(payload),
            ..Default::default()
        })
        .await
    }

    pub(super) async fn put_with(
        &self,
        request: v1::PutSecretDefinitionRequest,
    ) -> Result<v1::PutSecretDefinitionResponse, Status> {
        let put = self.definitions().put_secret_definition(request).await;
        put.map(tonic::Response::into_inner)
    }

    /// Stores a new value of a definition of `projects/dev`.
    pub(super) async fn store(
        &self,
        id: &str,
        text: &str,
        adopt: bool,
    ) -> Result<v1::PutSecretValueResponse, Status> {
        let request = v1::PutSecretValueRequest {
            name: name(id),
            payload: Some(payload(text)),
            adopt,
            ..Default::default()
        };
        let put = self.secrets().put_secret_value(request).await;
        put.map(tonic::Response::into_inner)
    }

    /// Reads a definition of `projects/dev`: without `version`, the latest.
    pub(super) async fn get(
        &self,
        id: &str,
        version: &str,
    ) -> Result<v1::GetSecretResponse, Status> {
        let request = v1::GetSecretRequest {
            name: name(id),
            version: version.to_owned(),
            ..Default::default()
        };
        let got = self.secrets().get_secret(request).await;
        got.map(tonic::Response::into_inner)
    }

    /// The text of an unpinned read.
    pub(super) async fn text(&self, id: &str) -> Result<String, Status> {
        self.get(id, "").await.map(text_of)
    }

    pub(super) async fn check(&self, vault: &str) -> v1::CheckVaultResponse {
        let request = v1::CheckVaultRequest {
            name: format!("vaults/{vault}"),
        };
        let checked = self.vaults().check_vault(request).await;
        checked.expect("answered").into_inner()
    }
}
