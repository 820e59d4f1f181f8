//! Kill -9 in the middle of a put, at each place where a crash hurts, with AWS (moto), Azure (our Key
//! Vault) and the managed vault.

use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use claviger_e2e::{AwsStub, Client, Daemon, Home, Moto, REGION, reason, tools};
use claviger_keyvault_fake::{Behaviour, Filter};
use claviger_proto::v1;
use claviger_proto::v1::secret_definition_service_client::SecretDefinitionServiceClient;
use serde_json::{Value, json};
use tonic::Status;
use uuid::Uuid;

use crate::azure::{Cloud, HOST};

/// Where the daemon is killed, and whether the vault has the value by then.
const FAILPOINTS: &[(&str, bool)] = &[
    ("after-pending", false),
    ("after-vault", true),
    ("before-current", true),
];

/// The id of the vault, whatever its kind.
const VAULT: &str = "vault-eu";

const AWS_SECRET: &str = "acme/stripe";
const AZURE_SECRET: &str = "acme-stripe";

/// The peer that plays the vault.
enum Peer {
    Aws(Moto),
    Azure(Cloud),
    /// Claviger's own vault needs none.
    Managed,
}

impl Peer {
    fn cloud(&self) -> Option<&Cloud> {
        match self {
            Self::Azure(cloud) => Some(cloud),
            Self::Aws(_) | Self::Managed => None,
        }
    }

    /// The name of the secret there.
    fn secret(&self) -> &'static str {
        match self {
            Self::Aws(_) => AWS_SECRET,
            Self::Azure(_) => AZURE_SECRET,
            Self::Managed => "",
        }
    }
}

/// A daemon that can be killed in the middle of a write, and the vault it writes to.
struct Scene {
    home: Home,
    peer: Peer,
}

impl Scene {
    fn managed() -> Self {
        Self {
            home: Home::new(),
            peer: Peer::Managed,
        }
    }

    fn azure() -> Self {
        let cloud = Cloud::start();
        let config = cloud.vault((VAULT, HOST), "");
        Self::with(Peer::Azure(cloud), &config)
    }

    fn aws() -> Self {
        let moto = Moto::start();
        let url = moto.url();
        Self::aws_at(moto, &url)
    }

    /// With something in front of moto.
    fn aws_at(moto: Moto, url: &str) -> Self {
        let config = format!(
            "[vaults.{VAULT}]\n\
             kind = \"aws\"\n\
             allow = [{{ project = \"dev\", names = [\"acme/*\"] }}]\n\
             settings = {{ region = \"{REGION}\", endpoint_url = \"{url}\" }}\n"
        );
        Self::with(Peer::Aws(moto), &config)
    }

    fn with(peer: Peer, config: &str) -> Self {
        let home = Home::new();
        let scene = Self { home, peer };
        fs::write(scene.config(), config).expect("a writable home");
        scene
    }

    fn config(&self) -> std::path::PathBuf {
        self.home.path().join("clavigerd.toml")
    }

    fn command(&self, program: Command) -> Command {
        let mut command = program;
        match &self.peer {
            Peer::Aws(_) => {
                command
                    .env("AWS_ACCESS_KEY_ID", "AKIAMOTO")
                    .env("AWS_SECRET_ACCESS_KEY", "secret");
            }
            Peer::Azure(cloud) => cloud.surround(&mut command),
            Peer::Managed => return command,
        }
        command.arg("--config").arg(self.config());
        command
    }

    /// Starts the daemon that ships.
    async fn start(&self) -> (Daemon, Client) {
        let mut command = self.command(self.home.clavigerd(&["--dev"]));
        self.connect(&mut command).await
    }

    /// Starts one that is killed at `failpoint`.
    async fn start_failing(&self, failpoint: &str) -> (Daemon, Client) {
        let program = self.home.program(tools::failing_clavigerd(), &["--dev"]);
        let mut command = self.command(program);
        self.connect(command.env("CLAVIGER_FAILPOINT", failpoint))
            .await
    }

    async fn connect(&self, command: &mut Command) -> (Daemon, Client) {
        let daemon = self.home.start(command);
        let client = Client::connect(&daemon.socket()).await;
        (daemon, client)
    }

    async fn register(&self, client: &Client, request_id: Uuid) -> Result<String, Status> {
        self.register_property(client, "", request_id).await
    }

    async fn register_property(
        &self,
        client: &Client,
        property: &str,
        request_id: Uuid,
    ) -> Result<String, Status> {
        let secret = self.peer.secret();
        let location = (!secret.is_empty()).then(|| v1::Location {
            vault: VAULT.to_owned(),
            secret: secret.to_owned(),
            property: property.to_owned(),
            ..Default::default()
        });
        let request = v1::PutSecretDefinitionRequest {
            definition: Some(v1::SecretDefinition {
                name: "projects/dev/secrets/stripe".to_owned(),
                location,
                ..Default::default()
            }),
            payload: Some(v1::Payload {
                value: Some(v1::payload::Value::Text("one".to_owned())),
                crc32c: None,
            }),
            request_id: request_id.to_string(),
            ..Default::default()
        };
        let mut service = SecretDefinitionServiceClient::new(client.channel());
        let answer = service.put_secret_definition(request).await?;
        Ok(answer.into_inner().version)
    }

    /// Every version there is in the vault, whoever made it; `None` of an absent secret.
    async fn versions(&self, client: &Client) -> Vec<String> {
        let secret = self.peer.secret();
        let moto = match &self.peer {
            Peer::Aws(moto) => moto,
            Peer::Azure(cloud) => {
                let versions = cloud.fake.vault(HOST).versions(secret).into_iter();
                return versions.map(|(version, _, _)| version).collect();
            }
            Peer::Managed => return client.versions("stripe").await.unwrap_or_default(),
        };
        let listed = moto.call("ListSecrets", &json!({}));
        if listed["SecretList"] == json!([]) {
            return Vec::new();
        }
        let all = json!({ "SecretId": secret, "IncludeDeprecated": true });
        let listed = moto.call("ListSecretVersionIds", &all);
        let versions = listed["Versions"].as_array().expect("a list");
        let id = |version: &Value| version["VersionId"].as_str().expect("text").to_owned();
        versions.iter().map(id).collect()
    }

    /// Waits for the end of a daemon that has killed itself.
    fn died(daemon: Daemon) {
        assert_eq!(daemon.wait().signal(), Some(9), "it was to be killed");
    }
}

async fn rotate_through_a_crash(scene: &Scene, failpoint: &str, is_stored: bool, repeats: bool) {
    let (daemon, client) = scene.start().await;
    let registered = scene.register(&client, Uuid::new_v4()).await;
    let first = registered.expect("registered");
    daemon.stop();

    let (daemon, client) = scene.start_failing(failpoint).await;
    let request_id = Uuid::new_v4();
    let cut = client.rotate("stripe", "two", request_id).await;
    cut.expect_err("the daemon died");
    Scene::died(daemon);

    let (daemon, client) = scene.start().await;
    if repeats {
        let repeated = client.rotate("stripe", "two", request_id).await;
        let second = repeated.expect("a repeat is taken");
        assert_eq!(scene.versions(&client).await.len(), 2, "{failpoint}");
        let read = client.read("stripe", "").await.expect("read");
        assert_eq!(read, (second.clone(), "two".to_owned()), "{failpoint}");
        let again = client.rotate("stripe", "two", request_id).await;
        assert_eq!(again.expect("answered before"), second);
    }
    let expected = if is_stored || repeats { "two" } else { "one" };
    let (version, text) = client.read("stripe", "").await.expect("read");
    assert_eq!(text, expected, "{failpoint}");
    assert_eq!(version == first, expected == "one", "{failpoint}");
    let held = if expected == "two" { 2 } else { 1 };
    assert_eq!(scene.versions(&client).await.len(), held, "{failpoint}");
    // Nothing is left in the way of the next writer.
    let next = client.rotate("stripe", "three", Uuid::new_v4()).await;
    next.expect("the place is free");
    assert_eq!(client.read("stripe", "").await.expect("read").1, "three");
    daemon.stop();
}

async fn register_through_a_crash(scene: &Scene, failpoint: &str, is_stored: bool, repeats: bool) {
    let (daemon, client) = scene.start_failing(failpoint).await;
    let request_id = Uuid::new_v4();
    let cut = scene.register(&client, request_id).await;
    cut.expect_err("the daemon died");
    Scene::died(daemon);

    let (daemon, client) = scene.start().await;
    if repeats {
        let repeated = scene.register(&client, request_id).await;
        let version = repeated.expect("a repeat is taken");
        let read = client.read("stripe", "").await.expect("read");
        assert_eq!(read, (version, "one".to_owned()), "{failpoint}");
        assert_eq!(scene.versions(&client).await.len(), 1, "{failpoint}");
    } else {
        let read = client.read("stripe", "").await.map(|(_, text)| text);
        assert_eq!(read.ok().as_deref(), is_stored.then_some("one"));
        let held = usize::from(is_stored);
        assert_eq!(scene.versions(&client).await.len(), held, "{failpoint}");
    }
    daemon.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rotation_cut_at_any_point_is_done_once_or_not_at_all() {
    for scene in [Scene::managed, Scene::aws, Scene::azure] {
        for &(failpoint, is_stored) in FAILPOINTS {
            for repeats in [true, false] {
                rotate_through_a_crash(&scene(), failpoint, is_stored, repeats).await;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_registration_cut_at_any_point_is_done_once_or_not_at_all() {
    for scene in [Scene::managed, Scene::aws, Scene::azure] {
        for &(failpoint, is_stored) in FAILPOINTS {
            for repeats in [true, false] {
                register_through_a_crash(&scene(), failpoint, is_stored, repeats).await;
            }
        }
    }
}

/// The document after somebody else's edit.
fn edited() -> String {
    json!({ "apiKey": "one", "other": "edited" }).to_string()
}

/// A put of one property, cut off after AWS has taken it; somebody else may have changed the document
/// between the daemon's read and its put.
async fn merge_through_a_crash(
    is_edited: bool,
) -> (Result<String, Status>, Result<String, Status>) {
    let moto = Moto::start();
    let console = moto.console();
    let edit = Arc::new(AtomicBool::new(false));
    let due = Arc::clone(&edit);
    let stub = AwsStub::start(move |request| {
        if request.operation == "PutSecretValue" && due.swap(false, Ordering::Relaxed) {
            console.put(AWS_SECRET, &edited());
        }
        console.play(request)
    });
    let scene = Scene::aws_at(moto, &stub.url());
    let (daemon, client) = scene.start().await;
    let registered = scene.register_property(&client, "apiKey", Uuid::new_v4());
    registered.await.expect("registered");
    daemon.stop();

    let (daemon, client) = scene.start_failing("after-vault").await;
    edit.store(is_edited, Ordering::Relaxed);
    let request_id = Uuid::new_v4();
    let cut = client.rotate("stripe", "two", request_id).await;
    cut.expect_err("the daemon died");
    Scene::died(daemon);

    let (_daemon, client) = scene.start().await;
    let first = client.rotate("stripe", "two", request_id).await;
    let second = client.rotate("stripe", "two", request_id).await;
    assert_eq!(client.read("stripe", "").await.expect("read").1, "two");
    (first, second)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_merge_that_was_cut_off_says_whether_it_overwrote_an_edit() {
    let (first, second) = merge_through_a_crash(false).await;
    assert_eq!(first.expect("it was stored"), second.expect("again"));
    let (first, second) = merge_through_a_crash(true).await;
    let changed = first.expect_err("the edit is gone");
    assert_eq!(reason(&changed).as_deref(), Some("VALUE_CHANGED"));
    second.expect("who was told may go on");
}

/// The same in Azure, which tells neither what a version has replaced nor their order within a second.
async fn merge_in_azure_through_a_crash() {
    let scene = Scene::azure();
    let cloud = scene.peer.cloud().expect("it is in Azure");
    let vault = cloud.fake.vault(HOST);
    let (daemon, client) = scene.start().await;
    let registered = scene.register_property(&client, "apiKey", Uuid::new_v4());
    registered.await.expect("registered");
    daemon.stop();

    let (daemon, client) = scene.start_failing("after-vault").await;
    // So that the daemon's write is no challenge's.
    client.read("stripe", "").await.expect("read");
    let puts = Filter {
        method: Some("PUT"),
        path_contains: AZURE_SECRET,
    };
    cloud.fake.next(puts, 1, Behaviour::Hang);
    let request_id = Uuid::new_v4();
    let edit = async {
        cloud.fake.held(1).await;
        vault.set(AZURE_SECRET, &edited(), &[]);
        cloud.fake.release();
    };
    let (cut, ()) = tokio::join!(client.rotate("stripe", "two", request_id), edit);
    cut.expect_err("the daemon died");
    Scene::died(daemon);

    let (_daemon, client) = scene.start().await;
    let repeated = client.rotate("stripe", "two", request_id).await;
    let (_, latest, _) = vault.versions(AZURE_SECRET).pop().expect("there");
    let latest: Value = serde_json::from_str(&latest).expect("JSON");
    match repeated {
        Ok(_) => assert_eq!(latest, json!({ "apiKey": "two", "other": "edited" })),
        Err(status) => assert_eq!(reason(&status).as_deref(), Some("VALUE_CHANGED")),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_merge_in_azure_that_was_cut_off_is_never_a_silent_loss() {
    for _ in 0..4 {
        merge_in_azure_through_a_crash().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_ships_has_no_failpoints() {
    let scene = Scene::managed();
    let mut command = scene.command(scene.home.clavigerd(&["--dev"]));
    let (_daemon, client) = scene
        .connect(command.env("CLAVIGER_FAILPOINT", "after-pending"))
        .await;
    let registered = scene.register(&client, Uuid::new_v4()).await;
    registered.expect("nothing kills it");
}
