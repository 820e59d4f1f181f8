//! `clavigerd status` says honestly where the root key is and how the parts are.

use std::fs;

use claviger_e2e::{Client, Home};
use uuid::Uuid;

fn status(home: &Home) -> String {
    let output = home.run(&["status"]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(0), "{said}{output:?}");
    said
}

fn well(parts: &str) -> bool {
    ["store: ok", "audit: ok", "vaults/managed: ok"]
        .iter()
        .all(|wanted| parts.lines().any(|line| line == *wanted))
}

#[test]
fn status_says_custody_store_audit_and_vaults() {
    let home = Home::new();
    let _daemon = home.start_dev();
    let said = status(&home);
    let custody = format!("root key: file {}, readable by ", home.root_key().display());
    assert!(said.contains(&custody), "{said}");
    assert!(said.starts_with("clavigerd 0."), "{said}");
    assert!(well(&said), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn systemd_credential_is_the_root_key_that_is_in_force() {
    let home = Home::new();
    let credentials = home.path().join("credentials");
    fs::create_dir(&credentials).expect("a writable home");
    let key = "claviger-root-key-1:".to_owned() + &"5a".repeat(32);
    fs::write(credentials.join("claviger-root-key"), key + "\n").expect("a writable home");
    let with_credential = || {
        let mut command = home.clavigerd(&["--dev"]);
        command.env("CREDENTIALS_DIRECTORY", &credentials);
        home.start(&mut command)
    };

    let daemon = with_credential();
    let said = status(&home);
    let custody = format!(
        "root key: systemd credential {}",
        credentials.join("claviger-root-key").display()
    );
    assert!(said.contains(&custody) && well(&said), "{said}");
    assert!(!home.root_key().exists(), "no other key was made");
    let client = Client::connect(&daemon.socket()).await;
    let created = client.create("sealed", "under it", Uuid::new_v4()).await;
    created.expect("created");
    drop(client);
    assert_eq!(daemon.stop().code(), Some(0));

    let refused = home.run(&["--dev"]);
    assert_eq!(
        refused.status.code(),
        Some(64),
        "the store opens with nothing else"
    );
    let daemon = with_credential();
    let client = Client::connect(&daemon.socket()).await;
    let (_, value) = client.read("sealed", "").await.expect("readable");
    assert_eq!(value, "under it");
}

#[test]
fn nobody_to_ask_is_a_failure_that_names_the_socket() {
    let home = Home::new();
    let output = home.run(&["status"]);
    assert_eq!(output.status.code(), Some(70));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        said.contains("clavigerd.sock") && said.contains("--socket"),
        "{said}"
    );
}

#[test]
fn throw_away_daemon_leaves_nothing_behind() {
    let home = Home::new();
    let temporary = home.path().join("tmp");
    fs::create_dir(&temporary).expect("a writable home");
    let mut command = home.clavigerd(&["--dev", "--ephemeral"]);
    let daemon = home.start(command.env("TMPDIR", &temporary));
    assert!(daemon.socket().starts_with(&temporary));
    assert_eq!(daemon.stop().code(), Some(0));
    assert_eq!(fs::read_dir(&temporary).expect("a directory").count(), 0);
    assert!(!home.data_dir().exists() && !home.root_key().exists());
}
