//! Kill -9 in the middle of a put, at each place where a crash hurts, with every vault.

use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::sync::Mutex;

use claviger_e2e::{Client, Daemon, Home, reason, tools};
use claviger_keyvault_fake::Behaviour;
use claviger_proto::v1;
use serde_json::json;
use tonic::Status;
use uuid::Uuid;

use crate::caller::{Caller, definition, put_of};
use crate::peers::{aws, azure, on, puts};
use crate::stage::{Peer, SECRET};
use crate::writing::document;

/// Where the daemon is killed, and whether the vault has the value by then.
const FAILPOINTS: &[(&str, bool)] = &[
    ("after-pending", false),
    ("after-vault", true),
    ("before-current", true),
];

/// The same of a vault that lives in the store, where all is one commit.
const STAGED_FAILPOINTS: &[(&str, bool)] = &[("before-current", false), ("after-vault", true)];

const ID: &str = "stripe";

/// A daemon that can be killed in the middle of a write, and the vault it writes to: its own if
/// nothing plays another.
struct Scene<'a> {
    home: Home,
    peer: Option<&'a dyn Peer>,
    secret: String,
}

impl<'a> Scene<'a> {
    fn new(peer: Option<&'a dyn Peer>, secret: &str) -> Self {
        Self {
            home: Home::new(),
            peer,
            secret: secret.to_owned(),
        }
    }

    /// Starts the daemon that ships.
    async fn start(&self) -> (Daemon, Client) {
        self.start_as(tools::clavigerd(), "").await
    }

    /// Starts one that is killed at `failpoint`.
    async fn start_failing(&self, failpoint: &str) -> (Daemon, Client) {
        self.start_as(tools::failing_clavigerd(), failpoint).await
    }

    async fn start_as(&self, program: PathBuf, failpoint: &str) -> (Daemon, Client) {
        let mut command = self.home.program(program, &["--dev"]);
        if let Some(peer) = self.peer {
            let config = self.home.write_config(&peer.vault(""));
            command.arg("--config").arg(config);
            peer.surround(&mut command);
        }
        let daemon = self
            .home
            .start(command.env("CLAVIGER_FAILPOINT", failpoint));
        let client = Client::connect(&daemon.socket()).await;
        (daemon, client)
    }

    async fn register(
        &self,
        daemon: &Daemon,
        property: &str,
        request_id: Uuid,
    ) -> Result<String, Status> {
        let place = self.peer.map(|peer| peer.part(&self.secret, property));
        let request = v1::PutSecretDefinitionRequest {
            request_id: request_id.to_string(),
            ..put_of(definition(ID, place.unwrap_or_default()), Some("one"))
        };
        let put = Caller::of(daemon).await.put(request).await;
        put.map(|put| put.version)
    }

    /// With a property registered; killed once the vault has the next value.
    async fn about_to_die_with_a_document(&self) -> (Daemon, Client) {
        let (daemon, _) = self.start().await;
        let registered = self.register(&daemon, "apiKey", Uuid::new_v4());
        registered.await.expect("registered");
        daemon.stop();
        self.start_failing("after-vault").await
    }

    /// How many intents of a rotation the audit log has.
    fn intents(&self) -> usize {
        let log = std::fs::read_to_string(self.home.audit_log()).expect("is there");
        let lines = log.lines().map(|line| {
            let line = serde_json::from_str::<serde_json::Value>(line);
            line.expect("a record")
        });
        let is_intent = |line: &serde_json::Value| {
            line["phase"] == "INTENT" && line["rpc"] == "claviger.v1.SecretService/PutSecretValue"
        };
        lines.filter(is_intent).count()
    }

    /// How many versions there are in the vault, whoever made them.
    async fn versions(&self, client: &Client) -> usize {
        match self.peer {
            Some(peer) => peer.versions(&self.secret).len(),
            None => client.versions(ID).await.unwrap_or_default().len(),
        }
    }
}

/// Waits for the end of a daemon that has killed itself.
fn assert_killed(daemon: Daemon) {
    assert_eq!(daemon.wait().signal(), Some(9), "it was to be killed");
}

async fn rotate_through_a_crash(
    peer: Option<&dyn Peer>,
    (failpoint, is_stored): (&str, bool),
    repeats: bool,
) {
    let scene = Scene::new(peer, &format!("rotated-{failpoint}-{repeats}"));
    let (daemon, _) = scene.start().await;
    let registered = scene.register(&daemon, "", Uuid::new_v4()).await;
    let first = registered.expect("registered");
    daemon.stop();

    let (daemon, client) = scene.start_failing(failpoint).await;
    let request_id = Uuid::new_v4();
    let cut = client.rotate(ID, "two", request_id).await;
    cut.expect_err("the daemon died");
    assert_killed(daemon);

    let (daemon, client) = scene.start().await;
    // Of a vault in the store it is there exactly if the value is.
    let is_told = peer.is_some() || is_stored;
    assert_eq!(scene.intents(), usize::from(is_told), "{failpoint}");
    if repeats {
        let repeated = client.rotate(ID, "two", request_id).await;
        let second = repeated.expect("a repeat is taken");
        assert_eq!(scene.versions(&client).await, 2, "{failpoint}");
        let read = client.read(ID, "").await.expect("read");
        assert_eq!(read, (second.clone(), "two".to_owned()), "{failpoint}");
        let again = client.rotate(ID, "two", request_id).await;
        assert_eq!(again.expect("answered before"), second);
    }
    let expected = if is_stored || repeats { "two" } else { "one" };
    let (version, text) = client.read(ID, "").await.expect("read");
    assert_eq!(text, expected, "{failpoint}");
    assert_eq!(version == first, expected == "one", "{failpoint}");
    let held = if expected == "two" { 2 } else { 1 };
    assert_eq!(scene.versions(&client).await, held, "{failpoint}");
    // Nothing is left in the way of the next writer.
    let next = client.rotate(ID, "three", Uuid::new_v4()).await;
    next.expect("the place is free");
    assert_eq!(client.read(ID, "").await.expect("read").1, "three");
    daemon.stop();
}

async fn register_through_a_crash(
    peer: Option<&dyn Peer>,
    (failpoint, is_stored): (&str, bool),
    repeats: bool,
) {
    let scene = Scene::new(peer, &format!("registered-{failpoint}-{repeats}"));
    let (daemon, _) = scene.start_failing(failpoint).await;
    let request_id = Uuid::new_v4();
    let cut = scene.register(&daemon, "", request_id).await;
    cut.expect_err("the daemon died");
    assert_killed(daemon);

    let (daemon, client) = scene.start().await;
    if repeats {
        let repeated = scene.register(&daemon, "", request_id).await;
        let version = repeated.expect("a repeat is taken");
        let read = client.read(ID, "").await.expect("read");
        assert_eq!(read, (version, "one".to_owned()), "{failpoint}");
        assert_eq!(scene.versions(&client).await, 1, "{failpoint}");
    } else {
        let read = client.read(ID, "").await.map(|(_, text)| text);
        assert_eq!(read.ok().as_deref(), is_stored.then_some("one"));
        let held = usize::from(is_stored);
        assert_eq!(scene.versions(&client).await, held, "{failpoint}");
    }
    daemon.stop();
}

/// Both kinds of puts, at each point, repeated afterwards or not.
async fn put_through_crashes(peer: Option<&dyn Peer>) {
    let failpoints = match peer {
        Some(_) => FAILPOINTS,
        None => STAGED_FAILPOINTS,
    };
    for failpoint in failpoints {
        for repeats in [true, false] {
            rotate_through_a_crash(peer, *failpoint, repeats).await;
            register_through_a_crash(peer, *failpoint, repeats).await;
        }
    }
}

on!(put_that_was_cut_at_any_point_is_done_once_or_not_at_all: aws azure objects sealed);
async fn put_that_was_cut_at_any_point_is_done_once_or_not_at_all(peer: Box<dyn Peer>) {
    put_through_crashes(Some(&*peer)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn put_to_the_managed_vault_that_was_cut_at_any_point_is_done_once_or_not_at_all() {
    put_through_crashes(None).await;
}

/// A put of one property, cut off after AWS has taken it; somebody else may have changed the document
/// between the daemon's read and its put.
async fn merge_through_a_crash(
    is_edited: bool,
) -> (Result<String, Status>, Result<String, Status>) {
    let peer = aws();
    let scene = Scene::new(Some(&peer), SECRET);
    let (daemon, client) = scene.about_to_die_with_a_document().await;
    let (console, due) = (peer.console(), Mutex::new(is_edited));
    peer.play(move |request| {
        let is_put = request.operation == "PutSecretValue";
        if is_put && std::mem::take(&mut *due.lock().expect("not poisoned")) {
            let edited = json!({ "apiKey": "one", "other": "edited" });
            console.put(SECRET, &edited.to_string());
        }
        None
    });
    let request_id = Uuid::new_v4();
    let cut = client.rotate(ID, "two", request_id).await;
    cut.expect_err("the daemon died");
    assert_killed(daemon);

    let (_daemon, client) = scene.start().await;
    let first = client.rotate(ID, "two", request_id).await;
    let second = client.rotate(ID, "two", request_id).await;
    assert_eq!(client.read(ID, "").await.expect("read").1, "two");
    let other = document(&peer, SECRET)["other"].clone();
    assert_eq!(other == "edited", is_edited, "the repeat has lost it");
    (first, second)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn merge_that_was_cut_off_says_whether_it_overwrote_an_edit() {
    let (first, second) = merge_through_a_crash(false).await;
    assert_eq!(first.expect("it was stored"), second.expect("again"));
    let (first, second) = merge_through_a_crash(true).await;
    let changed = first.expect_err("the edit is gone");
    assert_eq!(reason(&changed).as_deref(), Some("VALUE_CHANGED"));
    second.expect("whoever was told may go on");
}

/// The same in Azure, which tells neither what a version has replaced nor their order within a second.
async fn merge_in_azure_through_a_crash() {
    let peer = azure();
    let scene = Scene::new(Some(&peer), SECRET);
    let (daemon, client) = scene.about_to_die_with_a_document().await;
    // So that the daemon's write is no challenge's.
    client.read(ID, "").await.expect("read");
    peer.fake.next(puts("/secrets/stripe"), 1, Behaviour::Hang);
    let edited = json!({ "apiKey": "one", "other": "edited" });
    let request_id = Uuid::new_v4();
    let edit = async {
        peer.fake.held(1).await;
        peer.set(SECRET, &edited.to_string());
        peer.fake.release();
    };
    let (cut, ()) = tokio::join!(client.rotate(ID, "two", request_id), edit);
    cut.expect_err("the daemon died");
    assert_killed(daemon);

    let (_daemon, client) = scene.start().await;
    if let Err(status) = client.rotate(ID, "two", request_id).await {
        assert_eq!(reason(&status).as_deref(), Some("VALUE_CHANGED"));
        let again = client.rotate(ID, "two", request_id).await;
        again.expect("whoever was told may go on");
    }
    let both = json!({ "apiKey": "two", "other": "edited" });
    assert_eq!(document(&peer, SECRET), both);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn merge_in_azure_that_was_cut_off_is_never_a_silent_loss() {
    for _ in 0..4 {
        merge_in_azure_through_a_crash().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_ships_has_no_failpoints() {
    let scene = Scene::new(None, "");
    let (daemon, _) = scene.start_as(tools::clavigerd(), "before-current").await;
    let registered = scene.register(&daemon, "", Uuid::new_v4()).await;
    registered.expect("nothing kills it");
}
