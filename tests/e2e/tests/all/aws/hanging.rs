//! A vault that hangs costs those who wait for it, and nobody else; nothing of it stays.

use std::fs;
use std::sync::Arc;

use claviger_e2e::{AwsReply, AwsStub, Client, Daemon, Gate, Home};
use serde_json::json;
use tokio::net::UnixStream;
use tokio::task::JoinSet;
use uuid::Uuid;

use super::support::{Caller, VAULT, start_with, vault};

const CONNECTIONS: usize = 8;

/// Reads of the hanging vault, and of the managed one, on each connection.
const HANGING: usize = 25;
const MANAGED: usize = 125;

/// How often the daemon is called before what it holds has to be what it held.
const CALLS_MAX: usize = 20_000;

async fn pid(daemon: &Daemon) -> i32 {
    let stream = UnixStream::connect(daemon.socket()).await;
    let peer = stream.expect("it listens").peer_cred().expect("a peer");
    peer.pid().expect("a process")
}

/// What the process holds open.
fn descriptors(pid: i32) -> Vec<String> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).expect("it runs");
    let mut links: Vec<String> = entries
        .filter_map(|entry| fs::read_link(entry.ok()?.path()).ok())
        .map(|link| link.display().to_string())
        .collect();
    links.sort();
    links
}

/// A daemon with a secret `here` and one in the vault, and what it held open with them.
struct Watched {
    control: Client,
    /// Of a runner.
    token: String,
    pid: i32,
    before: Vec<String>,
}

impl Watched {
    async fn new(daemon: &Daemon) -> Self {
        let control = Client::connect(&daemon.socket()).await;
        let created = control.create("here", "own", Uuid::new_v4()).await;
        created.expect("created");
        let put = control.register("hanging", VAULT, "acme/stripe").await;
        put.expect("registered");
        let token = control.runner_token().await.expect("made");
        let pid = pid(daemon).await;
        Self {
            control,
            token,
            pid,
            before: descriptors(pid),
        }
    }

    /// Calls pass the time until the daemon holds no more than it did.
    async fn assert_nothing_stays_open(&self) {
        let mut now = descriptors(self.pid);
        for _ in 0..CALLS_MAX {
            if now.len() <= self.before.len() {
                break;
            }
            self.control.read("here", "").await.expect("managed");
            now = descriptors(self.pid);
        }
        assert!(
            now.len() <= self.before.len(),
            "left open: {now:?}, before: {:?}",
            self.before
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn vault_that_hangs_slows_no_other_and_leaves_nothing_open() {
    let (home, gate) = (Home::new(), Arc::new(Gate::for_arrivals(usize::MAX)));
    let held = Arc::clone(&gate);
    let stub = AwsStub::start(move |request| {
        if request.operation == "GetSecretValue" {
            held.pass();
        }
        let body = json!({
            "Name": request.secret(),
            "VersionId": "00000000-0000-0000-0000-000000000000",
            "SecretString": "late",
        });
        AwsReply::json(200, &body)
    });
    let config = vault(
        VAULT,
        &stub.url(),
        ("dev", &["acme/*"]),
        "timeout = \"25s\"",
    );
    let daemon = start_with(&home, &config);
    let watched = Watched::new(&daemon).await;

    let mut hanging = JoinSet::new();
    let mut served = JoinSet::new();
    for _ in 0..CONNECTIONS {
        let runner = Caller::with_token(&daemon, &watched.token).await;
        for _ in 0..HANGING {
            let runner = runner.clone();
            hanging.spawn(async move { runner.text("projects/dev/secrets/hanging").await });
        }
        let gate = Arc::clone(&gate);
        // One after the other: a connection takes a bounded number of calls at a time.
        served.spawn(async move {
            let waiting = tokio::task::spawn_blocking(move || gate.await_arrivals(1));
            waiting.await.expect("the vault is asked");
            for _ in 0..MANAGED {
                let read = runner.text("projects/dev/secrets/here").await;
                assert_eq!(read.expect("read"), "own");
            }
        });
    }
    while let Some(done) = served.join_next().await {
        done.expect("all were read");
    }
    assert!(!gate.is_open() && gate.arrivals() > 0, "AWS still hangs");
    assert!(hanging.try_join_next().is_none(), "whoever asked it waits");
    gate.open();
    while let Some(done) = hanging.join_next().await {
        let read = done.expect("no panic").expect("answered at last");
        assert_eq!(read, "late");
    }
    let waiting = descriptors(watched.pid).len();
    assert!(waiting > watched.before.len(), "its connections were seen");

    drop(stub);
    watched.assert_nothing_stays_open().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_that_leave_a_hanging_vault_leave_nothing_open() {
    let (home, gate) = (Home::new(), Arc::new(Gate::for_arrivals(usize::MAX)));
    let held = Arc::clone(&gate);
    let stub = AwsStub::start(move |request| {
        if request.operation == "GetSecretValue" {
            held.pass();
        }
        AwsReply::Hang
    });
    let config = vault(VAULT, &stub.url(), ("dev", &["acme/*"]), "timeout = \"2s\"");
    let daemon = start_with(&home, &config);
    let watched = Watched::new(&daemon).await;

    let mut leaving = JoinSet::new();
    for _ in 0..CONNECTIONS {
        let runner = Caller::with_token(&daemon, &watched.token).await;
        for _ in 0..HANGING {
            let runner = runner.clone();
            leaving.spawn(async move { runner.text("projects/dev/secrets/hanging").await });
        }
    }
    let arrived = Arc::clone(&gate);
    let waiting = tokio::task::spawn_blocking(move || arrived.await_arrivals(1));
    waiting.await.expect("the vault is asked");
    leaving.shutdown().await;

    // The vault's own timeout ends what nobody waits for.
    watched.assert_nothing_stays_open().await;
    gate.open();
}
