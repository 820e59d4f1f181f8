//! A store that can be read and not written: it is told, reads go on, and it is well again as soon
//! as there is room.

use claviger_e2e::{Client, Daemon, Home, assert_refused, reason};
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use uuid::Uuid;

use crate::clavigerd;

const KIB: u64 = 1024;

/// No file of the daemon gets longer than this from now on, as on a disk that is full.
fn limit(daemon: &Daemon, bytes: Option<u64>) {
    let pid = i32::try_from(daemon.pid()).ok().and_then(Pid::from_raw);
    let limit = Rlimit {
        current: bytes,
        maximum: None,
    };
    prlimit(pid, Resource::Fsize, limit).expect("it is our child");
}

/// What `clavigerd status` says of the store, and its exit code.
fn store_status(home: &Home) -> (Option<i32>, String) {
    let output = clavigerd(home, &["status"]).output().expect("runs");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let store = said.lines().find(|line| line.starts_with("store: "));
    (output.status.code(), store.expect("a part").to_owned())
}

/// Waits until the health of this name is as wanted.
async fn wait_for(
    health: &mut HealthClient<claviger_client::Service>,
    service: &str,
    wanted: ServingStatus,
) {
    let request = HealthCheckRequest {
        service: service.to_owned(),
    };
    let mut watched = health.watch(request).await.expect("watched").into_inner();
    while watched
        .message()
        .await
        .expect("a stream")
        .expect("a status")
        .status()
        != wanted
    {}
}

/// Puts long values until one is refused for want of disk, and returns the message. One whose last
/// commit alone finds no disk has an outcome that is not known.
async fn fill(client: &Client) -> String {
    let value = "x".repeat(60 * 1024);
    loop {
        let id = format!("filler-{}", Uuid::new_v4());
        let put = client.create(&id, &value, Uuid::new_v4()).await;
        let outcome = put.as_ref().err().and_then(reason);
        if put.is_err() && outcome.as_deref() != Some("WRITE_OUTCOME_UNKNOWN") {
            return assert_refused(put, "STORE_NOT_WRITABLE")
                .message()
                .to_owned();
        }
    }
}

async fn health(address: std::net::SocketAddr) -> HealthClient<claviger_client::Service> {
    let client = claviger_client::Client::connect_tcp(address).await;
    HealthClient::new(client.expect("it listens").service())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_without_room_is_told_and_well_again_without_a_restart() {
    let home = Home::new();
    let config = home.write_config("listen.admin = \"127.0.0.1:0\"\n");
    let mut command = clavigerd(&home, &["--dev", "--config"]);
    let daemon = home.start(command.arg(config));
    let client = Client::connect(&daemon.socket()).await;
    let created = client.create("s", "before", Uuid::new_v4()).await;
    created.expect("created");
    let (mut public, mut probe) = (health(daemon.tcp()).await, health(daemon.admin()).await);
    for (service, health) in [("", &mut public), ("store", &mut probe)] {
        wait_for(health, service, ServingStatus::Serving).await;
    }

    limit(&daemon, Some(48 * KIB));
    // Before anything had to be written.
    let (code, said) = store_status(&home);
    assert!(
        said.contains("STORE_NOT_WRITABLE: the store cannot be written: its disk"),
        "{said}"
    );
    assert_eq!(code, Some(1), "{said}");
    let message = fill(&client).await;
    assert!(
        message.contains("its disk is full, over a quota or read-only"),
        "{message}"
    );
    let (_, value) = client.read("s", "").await.expect("reads go on");
    assert_eq!(value, "before");
    for (service, health) in [("", &mut public), ("store", &mut probe)] {
        wait_for(health, service, ServingStatus::NotServing).await;
    }

    limit(&daemon, None);
    for (service, health) in [("", &mut public), ("store", &mut probe)] {
        wait_for(health, service, ServingStatus::Serving).await;
    }
    assert_eq!(store_status(&home), (Some(0), "store: ok".to_owned()));
    let put = client.rotate("s", "after", Uuid::new_v4()).await;
    put.expect("there is room");
    assert_eq!(client.read("s", "").await.expect("read").1, "after");
    assert_eq!(daemon.stop().code(), Some(0));
    let log = home.log();
    let named = format!("the disk of {}: File too large", home.data_dir().display());
    assert!(
        log.contains("store not well") && log.contains(&named),
        "{log}"
    );
    assert!(log.contains("store well again"), "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_that_found_no_room_counts_until_one_finds_some() {
    let home = Home::new();
    let daemon = home.start(&mut clavigerd(&home, &["--dev"]));
    let client = Client::connect(&daemon.socket()).await;
    let created = client.create("s", "before", Uuid::new_v4()).await;
    created.expect("created");
    // More than a look at the disk takes, and less than the log of the store needs.
    limit(&daemon, Some(2048 * KIB));
    // A long value leaves room for a short commit, with which the store asks whether it is well.
    while store_status(&home).0 == Some(0) {
        fill(&client).await;
    }
    limit(&daemon, None);
    assert_eq!(store_status(&home), (Some(0), "store: ok".to_owned()));
    let put = client.rotate("s", "after", Uuid::new_v4()).await;
    put.expect("there is room");
    assert_eq!(daemon.stop().code(), Some(0));

    let daemon = home.start(&mut clavigerd(&home, &["--dev"]));
    let client = Client::connect(&daemon.socket()).await;
    assert_eq!(client.read("s", "").await.expect("read").1, "after");
}
