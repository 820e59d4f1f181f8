//! What the handshakes of one address cost others.

use std::io::Write as _;
use std::sync::Arc;

use claviger_integration::volume;
use claviger_raw::connect_from;
use tokio::task::JoinSet;
use tokio_rustls::rustls::ClientConnection;
use tokio_rustls::rustls::pki_types::ServerName;

use super::support::{ETL, Files};

#[tokio::test]
async fn whoever_comes_after_a_thousand_hellos_of_one_address_does_not_wait_for_them() {
    let files = Files::new();
    let (server, _) = files.serve("client_auth = \"optional\"").await;
    let client = files.client(None);
    let name = ServerName::try_from("localhost").expect("a name");
    let connection = ClientConnection::new(Arc::new(client.0.clone()), name);
    let mut hello = Vec::new();
    connection
        .expect("usable")
        .write_tls(&mut hello)
        .expect("written");
    let mut answered = 0;
    // More than once, because a test that has to wait for the processor finds all answered.
    for _ in 0..10 {
        let mut flood = Vec::new();
        for _ in 0..1000 {
            let from = "127.0.0.2".parse().expect("an address");
            let stream = connect_from(from, server.address()).await.expect("room");
            flood.push(stream.into_std().expect("a socket"));
        }
        for mut stream in &flood {
            stream.write_all(&hello).expect("taken");
        }
        client.open(&server).await.expect("let in");
        let is_answered = |stream: &&std::net::TcpStream| stream.peek(&mut [0]).is_ok();
        answered = flood.iter().filter(is_answered).count();
        if answered < 500 {
            return;
        }
    }
    panic!("it came after {answered} of them");
}

#[tokio::test]
async fn all_behind_one_address_get_in_though_one_handshake_goes_on_at_a_time() {
    let files = Files::new();
    let listen = ", handshakes = 1, handshake_timeout = \"60s\"";
    let (server, _) = files.serve_with(listen, "client_auth = \"required\"").await;
    let etl = files.acme.client(&[ETL], |_| ());
    let (client, server) = (Arc::new(files.client(Some(&etl))), Arc::new(server));
    let mut opening = JoinSet::new();
    for _ in 0..500 * volume() {
        let (client, server) = (Arc::clone(&client), Arc::clone(&server));
        opening.spawn(async move { client.open_from("127.0.0.2", &server).await });
    }
    for opened in opening.join_all().await {
        assert_eq!(opened.expect("let in").who(&[]).await.as_deref(), Ok(ETL));
    }
}
