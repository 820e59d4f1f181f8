//! A vault that hangs costs those that wait for it, and nobody else; nothing of it stays.

use std::fs;

use claviger_e2e::Daemon;
use claviger_proto::v1;
use tokio::net::UnixStream;
use tokio::task::JoinSet;
use tonic::Status;

use crate::caller::{Caller, place};
use crate::peers::{HOST, azure, on};
use crate::stage::{Peer, SECRET, Stage};

const CONNECTIONS: usize = 8;

/// Reads of the hanging vault, of another one and of the managed one, on each connection.
const HANGING: usize = 25;
const OTHERS: usize = 5;
const MANAGED: usize = 125;

/// How often the daemon is called before it has to hold no more than it did.
const CALLS_MAX: usize = 20_000;

async fn pid(daemon: &Daemon) -> i32 {
    let stream = UnixStream::connect(daemon.socket()).await;
    let peer = stream.expect("it listens").peer_cred().expect("a peer");
    peer.pid().expect("a process")
}

/// How many files and connections the process holds open.
fn descriptors(pid: i32) -> usize {
    let entries = fs::read_dir(format!("/proc/{pid}/fd"));
    entries.expect("it runs").count()
}

/// Registers `hanging` in the vault and `here` in the managed one.
async fn register(caller: &Caller, peer: &dyn Peer) {
    caller.created("hanging", peer.place(SECRET), "late").await;
    caller.created("here", v1::Location::default(), "own").await;
}

/// Runners that read `hanging`, each on a connection of its own, and their calls.
async fn runners(daemon: &Daemon) -> (Vec<Caller>, JoinSet<Result<String, Status>>) {
    let mut runners = Vec::new();
    let mut hanging = JoinSet::new();
    for _ in 0..CONNECTIONS {
        let runner = Caller::runner(daemon).await;
        for _ in 0..HANGING {
            let runner = runner.clone();
            hanging.spawn(async move { runner.text("hanging").await });
        }
        runners.push(runner);
    }
    (runners, hanging)
}

/// All of them get the values of these definitions while the others wait, which are then let go.
async fn assert_served(
    peer: &dyn Peer,
    (runners, mut hanging): (Vec<Caller>, JoinSet<Result<String, Status>>),
    served: &'static [(&str, &str, usize)],
) {
    peer.held().await;
    let mut reading = JoinSet::new();
    for runner in runners {
        // One after the other: a connection takes a bounded number of calls at a time.
        reading.spawn(async move {
            for &(id, text, times) in served {
                for _ in 0..times {
                    assert_eq!(runner.text(id).await.expect("read"), text);
                }
            }
        });
    }
    while let Some(done) = reading.join_next().await {
        done.expect("all were read");
    }
    assert!(hanging.try_join_next().is_none(), "whoever asked it waits");
    peer.mend();
    while let Some(done) = hanging.join_next().await {
        let read = done.expect("no panic").expect("answered at last");
        assert_eq!(read, "late");
    }
}

/// Calls pass the time until the daemon holds no more than it did.
async fn assert_nothing_stays_open(caller: &Caller, pid: i32, before: usize) {
    for _ in 0..CALLS_MAX {
        if descriptors(pid) <= before {
            return;
        }
        caller.text("here").await.expect("managed");
    }
    panic!("{} are open, {before} were", descriptors(pid));
}

on!(vault_that_hangs_slows_no_other_and_leaves_nothing_open: aws azure objects sealed);
async fn vault_that_hangs_slows_no_other_and_leaves_nothing_open(peer: Box<dyn Peer>) {
    let config = peer.vault("timeout = \"25s\"");
    let stage = Stage::start_with(peer, &config).await;
    register(&stage.caller, &*stage.peer).await;
    let pid = pid(&stage.daemon).await;
    let before = descriptors(pid);
    stage.peer.hang();
    let calls = runners(&stage.daemon).await;
    assert_served(&*stage.peer, calls, &[("here", "own", MANAGED)]).await;
    // Snowflake's answers come over the connection that there was.
    let is_seen = descriptors(pid) > before || stage.peer.kind() == "snowflake";
    assert!(is_seen, "its connections are seen");

    let Stage {
        caller,
        peer,
        daemon: _daemon,
        ..
    } = stage;
    drop(peer);
    assert_nothing_stays_open(&caller, pid, before).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn vault_that_hangs_slows_no_other_in_the_same_cloud() {
    let peer = Box::new(azure());
    let host = "other";
    peer.fake.vault(host).set(SECRET, "prompt", &[]);
    let other = peer.vault_as("azure-us", ("dev", &["*"]), "");
    let other = other.replace(&peer.fake.vault(HOST).url(), &peer.fake.vault(host).url());
    let config = peer.vault("timeout = \"25s\"") + &other;
    let stage = Stage::start_with(peer, &config).await;
    register(&stage.caller, &*stage.peer).await;
    let put = stage
        .caller
        .register("prompt", place("azure-us", SECRET))
        .await;
    put.expect("registered");
    stage.peer.hang();
    let calls = runners(&stage.daemon).await;
    assert_served(&*stage.peer, calls, &[("prompt", "prompt", OTHERS)]).await;
}

on!(readers_that_leave_a_hanging_vault_leave_nothing_open: aws azure objects sealed);
async fn readers_that_leave_a_hanging_vault_leave_nothing_open(peer: Box<dyn Peer>) {
    let config = peer.vault("timeout = \"10s\"");
    let stage = &Stage::start_with(peer, &config).await;
    let (caller, peer, daemon) = (&stage.caller, &stage.peer, &stage.daemon);
    register(caller, &**peer).await;
    let pid = pid(daemon).await;
    let before = descriptors(pid);
    peer.hang();
    let (runners, mut leaving) = runners(daemon).await;
    peer.held().await;
    leaving.shutdown().await;
    drop(runners);
    // The vault's own timeout ends calls that nobody waits for.
    assert_nothing_stays_open(caller, pid, before).await;
    peer.mend();
}
