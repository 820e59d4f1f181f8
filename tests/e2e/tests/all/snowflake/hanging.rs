//! A Snowflake that hangs costs those who wait for it, and nobody else.

use claviger_e2e::Home;
use claviger_snowflake_fake::Fault;
use tokio::task::JoinSet;
use uuid::Uuid;

use super::support::{Account, SEALED, VAULT, location, operator, put, start, text};

const CONNECTIONS: usize = 8;

/// Reads of the hanging vault and of the managed one, on each connection.
const HANGING: usize = 25;
const MANAGED: usize = 125;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousand_reads_of_the_managed_vault_complete_while_snowflake_hangs() {
    let (home, account) = (Home::new(), Account::start());
    let daemon = start(&home, &account.vault(VAULT, "timeout = \"25s\"", SEALED));
    let client = operator(&daemon).await;
    let created = client.create("here", "own", Uuid::new_v4()).await;
    created.expect("created");
    put(&client, "there", location("there"), Some("late"))
        .await
        .expect("created");
    account.fake.fault("SELECT", usize::MAX, Fault::Hang);

    let mut hanging = JoinSet::new();
    let mut served = JoinSet::new();
    let mut clients = Vec::new();
    for _ in 0..CONNECTIONS {
        clients.push(operator(&daemon).await);
    }
    for client in &clients {
        for _ in 0..HANGING {
            let client = client.clone();
            hanging.spawn(async move { text(&client, "there").await });
        }
    }
    account.fake.held(1).await;
    for client in clients {
        // One after the other: a connection takes a bounded number of calls at a time.
        served.spawn(async move {
            for _ in 0..MANAGED {
                assert_eq!(text(&client, "here").await.expect("read"), "own");
            }
        });
    }
    while let Some(done) = served.join_next().await {
        done.expect("all were read");
    }
    assert!(hanging.try_join_next().is_none(), "whoever asked it waits");
    account.fake.release();
    while let Some(done) = hanging.join_next().await {
        let read = done.expect("no panic").expect("answered at last");
        assert_eq!(read, "late");
    }
}
