//! Words that the daemon says unasked: the health of each vault, and definitions that lead nowhere.

use std::net::SocketAddr;

use claviger_e2e::{Home, assert_refused};
use claviger_proto::v1;
use tonic::transport::Endpoint;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::caller::Caller;
use crate::peers::aws;
use crate::stage::{Peer, Stage, VAULT};

const ADMIN: &str = "listen.admin = \"127.0.0.1:0\"\n";

async fn health_client(address: SocketAddr) -> HealthClient<tonic::transport::Channel> {
    let endpoint = Endpoint::try_from(format!("http://{address}")).expect("an address");
    HealthClient::new(endpoint.connect().await.expect("it listens"))
}

/// The health of a vault, once it is known.
async fn health(admin: SocketAddr, vault: &str) -> ServingStatus {
    let request = HealthCheckRequest {
        service: format!("vaults/{vault}"),
    };
    let watched = health_client(admin).await.watch(request).await;
    let mut watched = watched.expect("watched").into_inner();
    loop {
        let message = watched.message().await.expect("a stream");
        let status = message.expect("it does not end").status();
        if status != ServingStatus::Unknown {
            return status;
        }
    }
}

/// The line of the log that says so.
#[track_caller]
fn line_with(home: &Home, words: &str) -> String {
    let log = home.log();
    let line = log.lines().find(|line| line.contains(words));
    line.expect("it is said at the start").to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn admin_listener_tells_the_health_of_each_vault() {
    let peer = Box::new(aws());
    let config = ADMIN.to_owned() + &peer.vault("timeout = \"2s\"");
    let Stage {
        daemon, peer, home, ..
    } = Stage::start_with(peer, &config).await;
    let well = health(daemon.admin(), VAULT).await;
    assert_eq!(well, ServingStatus::Serving);
    daemon.stop();
    let mut command = peer.command(&home, &config);
    drop(peer);

    let daemon = home.start(&mut command);
    let down = health(daemon.admin(), VAULT).await;
    assert_eq!(down, ServingStatus::NotServing);
    let managed = health(daemon.admin(), "managed").await;
    assert_eq!(managed, ServingStatus::Serving);
    daemon.stop();
    let line = line_with(&home, "vault not well");
    assert!(
        line.contains(VAULT) && line.contains("VAULT_UNREACHABLE"),
        "{line}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn watch_of_the_health_holds_up_no_stop() {
    let home = Home::new();
    let daemon = home.start_dev();
    let mut client = health_client(daemon.tcp()).await;
    let watched = client.watch(HealthCheckRequest::default()).await;
    let mut watched = watched.expect("watched").into_inner();
    let first = watched.message().await.expect("a stream");
    first.expect("a status");
    daemon.stop();
    while let Ok(Some(_)) = watched.message().await {}
    let log = home.log();
    assert!(log.contains("drained"), "{log}");
    assert!(!log.contains("connections cut"), "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn definition_whose_vault_left_the_configuration_is_named_at_the_start_and_at_every_call() {
    let peer = Box::new(aws());
    let config = peer.vault("");
    let Stage {
        caller,
        daemon,
        home,
        peer,
        ..
    } = Stage::start_with(peer, &config).await;
    caller.registered("orphan", peer.place("s")).await;
    caller.created("here", v1::Location::default(), "own").await;
    assert_eq!(daemon.stop().code(), Some(0));
    assert!(!home.log().contains("definitions lead there"));

    let daemon = home.start(&mut home.configured(ADMIN));
    let caller = Caller::of(&daemon).await;
    let status = assert_refused(caller.text("orphan").await, "VAULT_UNKNOWN");
    // Which vaults there are is nothing for callers that only read.
    for (words, is_said) in [(VAULT, true), ("ListVaults", true), ("managed", false)] {
        assert_eq!(status.message().contains(words), is_said, "{status:?}");
    }
    assert_refused(caller.store("orphan", "v").await, "VAULT_UNKNOWN");
    assert_eq!(caller.text("here").await.expect("managed"), "own");
    // The managed vault is asked after the definitions were looked through, or at the same time;
    // a drain waits for both.
    health(daemon.admin(), "managed").await;
    daemon.stop();
    let line = line_with(&home, "definitions lead there");
    assert!(line.contains(VAULT), "{line}");
    assert!(line.contains("projects/dev/secrets/orphan"), "{line}");
}
