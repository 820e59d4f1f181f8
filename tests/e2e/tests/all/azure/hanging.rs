//! A vault that hangs costs those who wait for it, and nobody else.

use claviger_e2e::{Client, Home};
use claviger_keyvault_fake::{Behaviour, Login};
use tokio::task::JoinSet;
use uuid::Uuid;

use super::support::{Caller, Cloud, HOST, VAULT, assert_refused, location, reads};

const CONNECTIONS: usize = 8;

/// Reads of the hanging vault, of the other one in Azure and of the managed one, on each connection.
const HANGING: usize = 25;
const OTHERS: usize = 5;
const MANAGED: usize = 125;

const OTHER: &str = "azure-us";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn vault_that_hangs_slows_no_other() {
    let (home, cloud) = (Home::new(), Cloud::start());
    cloud.handle().set("s", "late", &[]);
    cloud.fake.vault("other").set("s", "prompt", &[]);
    let config = cloud.vault((VAULT, HOST), "timeout = \"25s\"");
    let daemon = cloud.daemon_with(&home, &(config + &cloud.vault((OTHER, "other"), "")));
    let control = Client::connect(&daemon.socket()).await;
    let created = control.create("here", "own", Uuid::new_v4()).await;
    created.expect("created");
    let caller = Caller::of(&daemon).await;
    for (id, vault) in [("hanging", VAULT), ("prompt", OTHER)] {
        let location = claviger_proto::v1::Location {
            vault: vault.to_owned(),
            ..location("s", "")
        };
        caller.put(id, location, None).await.expect("registered");
    }
    let hangs = reads("acme.vault.azure.net/secrets/s/");
    cloud.fake.next(hangs, usize::MAX, Behaviour::Hang);

    let mut runners = Vec::new();
    for _ in 0..CONNECTIONS {
        runners.push(Caller::runner(&daemon).await);
    }
    let mut hanging = JoinSet::new();
    for runner in &runners {
        for _ in 0..HANGING {
            let runner = runner.clone();
            hanging.spawn(async move { runner.text("hanging").await });
        }
    }
    cloud.fake.held(1).await;
    let mut served = JoinSet::new();
    for runner in runners {
        // One after the other: a connection takes a bounded number of calls at a time.
        served.spawn(async move {
            for _ in 0..MANAGED {
                assert_eq!(runner.text("here").await.expect("read"), "own");
            }
            for _ in 0..OTHERS {
                assert_eq!(runner.text("prompt").await.expect("read"), "prompt");
            }
        });
    }
    while let Some(done) = served.join_next().await {
        done.expect("all were read");
    }
    assert!(hanging.try_join_next().is_none(), "whoever asked it waits");
    cloud.fake.release();
    while let Some(done) = hanging.join_next().await {
        let read = done.expect("no panic").expect("answered at last");
        assert_eq!(read, "late");
    }
}

#[tokio::test]
async fn vault_or_login_that_hangs_is_given_up_at_the_vault_s_timeout() {
    let (home, cloud) = (Home::new(), Cloud::start());
    cloud.handle().set("s", "v", &[]);
    let config = cloud.vault((VAULT, HOST), "timeout = \"500ms\"");
    cloud.fake.fail_login(Login::Hang);
    let daemon = cloud.daemon_with(&home, &config);
    let caller = Caller::of(&daemon).await;
    let put = caller.put("s", location("s", ""), None).await;
    put.expect("registered");
    assert_refused(caller.text("s").await, "VAULT_UNREACHABLE");
    cloud.fake.release();
    cloud.fake.mend_login();
    let hangs = reads("/secrets/s/");
    cloud.fake.next(hangs, usize::MAX, Behaviour::Hang);
    assert_refused(caller.text("s").await, "VAULT_UNREACHABLE");
    cloud.fake.next(reads("/secrets/s/"), 1, Behaviour::Hang);
    cloud.fake.release();
    let slow = reads("/secrets/s/");
    cloud.fake.next(slow, 1, Behaviour::Slow);
    assert_refused(caller.text("s").await, "VAULT_UNREACHABLE");
    cloud.fake.release();
    assert_eq!(caller.text("s").await.expect("it is back"), "v");
}
