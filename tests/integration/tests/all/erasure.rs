//! A value that is destroyed is in no file of the daemon, sealed or not.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use claviger_core::SystemClock;
use claviger_integration::{Client, Options, Server};
use claviger_proto::v1;
use claviger_store::{SqliteStore, Store as _};
use tempfile::TempDir;

use crate::support::{delete, secret, storing};

const VALUE: &str = "a value of 31 bytes, always new";
const TAG_LEN: usize = 16;

/// The files as they are now. Another program copies them: a file of a database that this one
/// closes is no longer locked by it.
fn copy(server: &Server) -> TempDir {
    let copy = tempfile::tempdir().unwrap();
    let mut command = Command::new("cp");
    let files = ["store.db", "store.db-wal"].map(|file| server.dir().join(file));
    command.args(files).arg(copy.path());
    assert!(command.status().unwrap().success());
    copy
}

/// What is stored of each value: the first block of its ciphertext.
async fn sealed(server: &Server) -> Vec<Vec<u8>> {
    let copy = copy(server);
    let path = copy.path().join("store.db");
    let store = SqliteStore::open(&path, Arc::new(SystemClock)).unwrap();
    let rows = store.scan("values/", None, 100).await.unwrap();
    let block = |bytes: &[u8]| bytes[bytes.len() - TAG_LEN - VALUE.len()..][..16].to_vec();
    rows.iter().map(|(_, row)| block(&row.bytes)).collect()
}

fn found(server: &Server, blocks: &[Vec<u8>]) -> usize {
    let copy = copy(server);
    let read = |file: &str| std::fs::read(Path::new(copy.path()).join(file)).unwrap();
    let files = [read("store.db"), read("store.db-wal")].concat();
    let is_in = |block: &&Vec<u8>| files.windows(block.len()).any(|window| window == **block);
    blocks.iter().filter(is_in).count()
}

async fn destroy(client: &Client, name: &str, version: u32) {
    let request = v1::DestroySecretVersionRequest {
        name: format!("{name}/versions/{version}"),
        ..Default::default()
    };
    client
        .secrets()
        .destroy_secret_version(request)
        .await
        .unwrap();
}

#[tokio::test]
async fn every_way_to_destroy_a_value_leaves_nothing_of_it_in_a_file() {
    let (server, client) = Server::prepared(Options::default()).await;
    let [kept, destroyed, purged, remade] = ["kept", "destroyed", "purged", "remade"].map(secret);
    for name in [&kept, &destroyed, &purged, &remade] {
        client.put(name, VALUE).await.unwrap();
        client.put_value(storing(name, VALUE)).await.unwrap();
    }
    let before = sealed(&server).await;
    assert_eq!((before.len(), found(&server, &before)), (8, 8));

    destroy(&client, &destroyed, 1).await;
    assert_eq!(found(&server, &before), 7);
    destroy(&client, &destroyed, 2).await;
    assert_eq!(found(&server, &before), 6);
    delete(&client, &purged, true).await.unwrap();
    assert_eq!(found(&server, &before), 4);
    delete(&client, &remade, false).await.unwrap();
    server.clock.advance(Duration::from_secs(31 * 24 * 60 * 60));
    client.put(&remade, VALUE).await.unwrap();
    assert_eq!(found(&server, &before), 2);
    assert_eq!(client.text(&kept).await, VALUE);
}
