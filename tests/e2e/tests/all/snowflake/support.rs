//! What the tests of this folder share: an account, daemons with vaults in it, and callers.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use claviger_e2e::{Client, Daemon, Home, payload, tools};
pub(super) use claviger_e2e::{assert_refused, seen};
use claviger_proto::v1;
use claviger_proto::v1::secret_definition_service_client::SecretDefinitionServiceClient;
use claviger_proto::v1::secret_service_client::SecretServiceClient;
use claviger_proto::v1::vault_service_client::VaultServiceClient;
use claviger_snowflake_fake::Snowflake;
use tempfile::TempDir;
use tonic::transport::Endpoint;
use tonic::{Request, Status};
use uuid::Uuid;

/// The vault of most tests.
pub(crate) const VAULT: &str = "snow";

/// The table of sealed values, quoted.
pub(crate) const TABLE: &str = "\"BROKER\".\"SECRETS\".\"CLAVIGER_SEALED\"";

/// Settings: sealed rows.
pub(crate) const SEALED: &str = "storage = \"sealed_table\"";

/// Settings: secret objects that are not read back.
pub(super) const OBJECTS: &str = "storage = \"secret_objects\"\n\
    grant_to_application = \"MATILLION_DATA_PRODUCTIVITY_CLOUD\"";

/// Settings: secret objects that are.
pub(crate) const READABLE: &str = "storage = \"secret_objects\"\nreader = \"procedure\"\n\
    reader_schema = \"READERS\"\nreader_integration = \"CLAVIGER_EAI\"\n\
    grant_to_application = \"MATILLION_DATA_PRODUCTIVITY_CLOUD\"";

/// An account, and the key that an operator has for it.
pub(crate) struct Account {
    pub(crate) fake: Snowflake,
    files: TempDir,
}

impl Account {
    pub(crate) fn start() -> Self {
        let fake = Snowflake::start();
        let files = tempfile::tempdir().expect("a directory for temporary files");
        let account = Self { fake, files };
        account.file("key.p8", &account.fake.private_key_pem(None));
        let setup = tools::repository().join("deploy/snowflake/setup.sql");
        let setup = fs::read_to_string(setup).expect("the administrator's part");
        for statement in setup.split(";\n") {
            if let Some((_, table)) = statement.split_once("CREATE TABLE ") {
                // The emulator has no other collation, and does not know the word.
                let table = table.replace(" COLLATE ''", "");
                account.fake.console(&format!("CREATE TABLE {table}"));
            }
        }
        account
    }

    /// Writes a file that only its owner may read.
    pub(super) fn file(&self, name: &str, content: &str) -> PathBuf {
        let file = self.files.path().join(name);
        fs::write(&file, content).expect("written");
        fs::set_permissions(&file, Permissions::from_mode(0o600)).expect("closed");
        file
    }

    /// A vault that lets `projects/dev` use every name. What `settings` names takes the place of
    /// what works.
    pub(crate) fn vault(&self, id: &str, more: &str, settings: &str) -> String {
        let fake = &self.fake;
        let usual = [
            ("account", fake.account().to_owned()),
            ("base_url", fake.base_url()),
            ("user", fake.user().to_owned()),
            (
                "private_key_file",
                self.files.path().join("key.p8").display().to_string(),
            ),
            ("role", fake.role().to_owned()),
            ("warehouse", fake.warehouse().to_owned()),
            ("database", fake.database().to_owned()),
            ("schema", fake.schema().to_owned()),
        ];
        let is_given = |key: &str| {
            let mut lines = settings.lines();
            lines.any(|line| line.split(" = ").next() == Some(key))
        };
        let usual = usual.iter().filter(|(key, _)| !is_given(key));
        let usual: String = usual
            .map(|(key, value)| format!("{key} = {value:?}\n"))
            .collect();
        format!(
            "[vaults.{id}]\nkind = \"snowflake\"\n{more}\n\
             allow = [{{ project = \"dev\", names = [\"*\"] }}]\n\
             [vaults.{id}.settings]\n{usual}{settings}\n"
        )
    }

    /// A daemon with the vault of most tests.
    pub(super) fn daemon(&self, home: &Home, settings: &str) -> Daemon {
        start(home, &self.vault(VAULT, "timeout = \"20s\"", settings))
    }

    /// How many versions are stored, whoever wants them.
    pub(super) fn rows(&self) -> usize {
        self.fake.rows(TABLE, "TRUE")
    }
}

/// A daemon with this configuration; it logs everything it can.
pub(super) fn start(home: &Home, config: &str) -> Daemon {
    home.start(home.configured(config).env("CLAVIGER_LOG", "debug"))
}

/// What `clavigerd status` counts for a vault: values by key.
pub(super) fn sealed_values(home: &Home, vault: &str) -> Vec<(u32, usize)> {
    let output = home.run(&["status"]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = format!("vaults/{vault}: ok");
    assert!(said.lines().any(|told| told == line), "{said}{output:?}");
    let parts = said.lines().skip_while(|told| **told != line).skip(1);
    let counts = parts.map_while(|told| told.strip_prefix("  sealed under key "));
    let counts = counts.map(|told| told.split_once(": ").expect("a key and a count"));
    let number = |text: &str| text.parse().expect("a number");
    counts
        .map(|(key, count)| (key.parse().expect("a key"), number(count)))
        .collect()
}

/// A place in the vault of most tests.
pub(super) fn location(secret: &str) -> v1::Location {
    location_in(VAULT, secret)
}

pub(super) fn location_in(vault: &str, secret: &str) -> v1::Location {
    v1::Location {
        vault: vault.to_owned(),
        secret: secret.to_owned(),
        ..Default::default()
    }
}

/// The operator, over the Unix socket.
pub(super) async fn operator(daemon: &Daemon) -> Client {
    Client::connect(&daemon.socket()).await
}

/// Registers a definition of `projects/dev`, with its value if there is one.
pub(super) async fn put(
    client: &Client,
    id: &str,
    location: v1::Location,
    text: Option<&str>,
) -> Result<v1::PutSecretDefinitionResponse, Status> {
    let request = v1::PutSecretDefinitionRequest {
        definition: Some(v1::SecretDefinition {
            name: format!("projects/dev/secrets/{id}"),
            location: Some(location),
            ..Default::default()
        }),
        payload: text.map(payload),
        request_id: Uuid::new_v4().to_string(),
        ..Default::default()
    };
    let mut service = SecretDefinitionServiceClient::new(client.channel());
    let put = service.put_secret_definition(request).await;
    put.map(tonic::Response::into_inner)
}

/// Rotates; the whole answer.
pub(super) async fn store(
    client: &Client,
    id: &str,
    text: &str,
    adopt: bool,
) -> Result<v1::PutSecretValueResponse, Status> {
    let request = v1::PutSecretValueRequest {
        name: format!("projects/dev/secrets/{id}"),
        payload: Some(payload(text)),
        adopt,
        ..Default::default()
    };
    let mut service = SecretServiceClient::new(client.channel());
    let put = service.put_secret_value(request).await;
    put.map(tonic::Response::into_inner)
}

pub(super) async fn text(client: &Client, id: &str) -> Result<String, Status> {
    client.read(id, "").await.map(|(_, text)| text)
}

pub(super) async fn check(client: &Client, vault: &str) -> v1::CheckVaultResponse {
    let request = v1::CheckVaultRequest {
        name: format!("vaults/{vault}"),
    };
    let mut service = VaultServiceClient::new(client.channel());
    let checked = service.check_vault(request).await;
    checked.expect("answered").into_inner()
}

/// The same read as a runner: over TCP, with a token of its own.
pub(super) async fn read_as_runner(
    daemon: &Daemon,
    id: &str,
) -> Result<v1::GetSecretResponse, Status> {
    let token = operator(daemon).await.runner_token().await.expect("made");
    let endpoint = Endpoint::try_from(format!("http://{}", daemon.tcp())).expect("an address");
    let channel = endpoint.connect().await.expect("it listens");
    let mut request = Request::new(v1::GetSecretRequest {
        name: format!("projects/dev/secrets/{id}"),
        ..Default::default()
    });
    let bearer = format!("Bearer {token}").parse().expect("ASCII");
    request.metadata_mut().insert("authorization", bearer);
    let got = SecretServiceClient::new(channel).get_secret(request).await;
    got.map(tonic::Response::into_inner)
}
