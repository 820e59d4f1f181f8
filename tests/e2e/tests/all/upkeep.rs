//! What the daemon says on its own: the health of each vault, and definitions that lead nowhere.

use std::net::SocketAddr;

use claviger_e2e::{Client, Daemon, Home, Moto, REGION};
use tonic::transport::Endpoint;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

fn start(home: &Home, url: Option<&str>) -> Daemon {
    let vault = url.map_or_else(String::new, |url| {
        format!(
            "[vaults.aws-eu]\n\
             kind = \"aws\"\n\
             timeout = \"2s\"\n\
             allow = [{{ project = \"dev\", names = [\"acme/*\"] }}]\n\
             settings = {{ region = \"{REGION}\", endpoint_url = \"{url}\" }}\n"
        )
    });
    let config = format!("listen.admin = \"127.0.0.1:0\"\n{vault}");
    let mut command = home.configured(&config);
    command
        .env("AWS_ACCESS_KEY_ID", "AKIAMOTO")
        .env("AWS_SECRET_ACCESS_KEY", "secret");
    home.start(&mut command)
}

/// The health of a vault, once it is known.
async fn health(admin: SocketAddr, vault: &str) -> ServingStatus {
    let endpoint = Endpoint::try_from(format!("http://{admin}")).expect("an address");
    let channel = endpoint.connect().await.expect("it listens");
    let mut client = HealthClient::new(channel);
    let request = HealthCheckRequest {
        service: vault.to_owned(),
    };
    let mut watched = client.watch(request).await.expect("watched").into_inner();
    loop {
        let message = watched.message().await.expect("a stream");
        let status = message.expect("it does not end").status();
        if status != ServingStatus::Unknown {
            return status;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_admin_listener_tells_the_health_of_each_vault() {
    let (home, moto) = (Home::new(), Moto::start());
    let daemon = start(&home, Some(&moto.url()));
    let well = health(daemon.admin(), "vaults/aws-eu").await;
    assert_eq!(well, ServingStatus::Serving);
    let url = moto.url();
    daemon.stop();
    drop(moto);

    let daemon = start(&home, Some(&url));
    let down = health(daemon.admin(), "vaults/aws-eu").await;
    assert_eq!(down, ServingStatus::NotServing);
    let managed = health(daemon.admin(), "vaults/managed").await;
    assert_eq!(managed, ServingStatus::Serving);
    daemon.stop();
    let log = home.log();
    let line = log.lines().find(|line| line.contains("vault not well"));
    let line = line.expect("it is said at the start");
    assert!(line.contains("vaults/aws-eu"), "{line}");
    assert!(line.contains("VAULT_UNREACHABLE"), "{line}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_watches_the_health_holds_up_no_stop() {
    let home = Home::new();
    let daemon = start(&home, None);
    let endpoint = Endpoint::try_from(format!("http://{}", daemon.tcp())).expect("an address");
    let mut client = HealthClient::new(endpoint.connect().await.expect("it listens"));
    let watched = client.watch(HealthCheckRequest::default()).await;
    let mut watched = watched.expect("watched").into_inner();
    watched
        .message()
        .await
        .expect("a stream")
        .expect("a status");
    daemon.stop();
    while let Ok(Some(_)) = watched.message().await {}
    let log = home.log();
    assert!(log.contains("drained"), "{log}");
    assert!(!log.contains("connections cut"), "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn definitions_without_their_vault_are_named_at_the_start() {
    let (home, moto) = (Home::new(), Moto::start());
    let daemon = start(&home, Some(&moto.url()));
    let client = Client::connect(&daemon.socket()).await;
    let put = client.register("orphan", "aws-eu", "acme/stripe").await;
    put.expect("registered");
    daemon.stop();
    assert!(!home.log().contains("definitions lead there"));

    let daemon = start(&home, None);
    // The managed vault is asked after the definitions were looked through, or at the same time;
    // a drain waits for both.
    health(daemon.admin(), "vaults/managed").await;
    daemon.stop();
    let log = home.log();
    let line = log
        .lines()
        .find(|line| line.contains("definitions lead there"));
    let line = line.expect("it is said at the start");
    assert!(line.contains("aws-eu"), "{line}");
    assert!(line.contains("projects/dev/secrets/orphan"), "{line}");
}
