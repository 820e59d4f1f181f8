//! Clients that are slow or hostile are cut off, and nobody else notices.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use claviger_e2e::{Client, Home, reason};
use claviger_proto::v1;
use claviger_proto::v1::access_service_client::AccessServiceClient;
use tonic::Request;
use tonic::metadata::MetadataValue;
use uuid::Uuid;

fn connection(address: SocketAddr) -> TcpStream {
    TcpStream::connect(address).expect("a daemon listens there")
}

/// Waits until the other end closes.
fn wait_for_end(mut connection: TcpStream) {
    let mut rest = Vec::new();
    // A reset is an end as well.
    connection.read_to_end(&mut rest).ok();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silent_and_babbling_clients_are_cut_off_while_others_are_served() {
    let home = Home::new();
    let daemon = home.start_dev();
    let address = daemon.tcp();
    let client = Client::connect(&daemon.socket()).await;
    client
        .create("served", "meanwhile", Uuid::new_v4())
        .await
        .expect("created");

    let silent: Vec<_> = (0..8).map(|_| connection(address)).collect();
    let mut half = connection(address);
    half.write_all(b"PRI * HTTP/2.0\r\n").expect("open");
    let mut old = connection(address);
    old.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .expect("open");
    let mut babbling = connection(address);
    babbling.write_all(&[0xff; 4096]).expect("open");
    let mut broken = connection(address);
    broken
        .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        .expect("open");
    broken.write_all(&[0xff; 4096]).expect("open");

    for _ in 0..20 {
        let (_, value) = client.read("served", "").await.expect("served");
        assert_eq!(value, "meanwhile");
    }
    let ends = tokio::task::spawn_blocking(move || {
        for connection in [old, babbling, broken, half].into_iter().chain(silent) {
            wait_for_end(connection);
        }
    });
    ends.await.expect("all were closed");
    client.read("served", "").await.expect("served");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn headers_without_end_are_refused_while_others_are_served() {
    let home = Home::new();
    let daemon = home.start_dev();
    let client = Client::connect(&daemon.socket()).await;
    let hostile = Client::connect(&daemon.socket()).await;
    let mut request = Request::new(v1::WhoAmIRequest {});
    let long = MetadataValue::try_from("x".repeat(200 * 1024)).expect("plain text");
    request.metadata_mut().insert("long", long);
    let mut service = AccessServiceClient::new(hostile.channel());
    let status = service.who_am_i(request).await.expect_err("refused");
    assert_eq!(
        reason(&status),
        None,
        "it never reached a service: {status:?}"
    );

    client
        .create("served", "as before", Uuid::new_v4())
        .await
        .expect("served");
    let log = std::fs::read_to_string(home.audit_log()).expect("an audit log");
    assert!(log.contains("PutSecretDefinition") && !log.contains("WhoAmI"));
}
