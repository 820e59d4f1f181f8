//! Vaults of others, and what is in them.

use std::process::Output;

use claviger_e2e::{Home, output_of};
use serde_json::Value;

use super::{CANARY, User, assert_stopped, complaint, said};
use crate::peers::azure;
use crate::stage::{Failure, Peer as _, SECRET, VAULT};

/// No key for servers.
const PUBLISHABLE: &str = concat!("pk_", "test_", "0123456789abcdef01236789");

/// Far more than there are in the second that a value stays fresh.
const ROUNDS_MAX: usize = 1000;

#[test]
fn vault_is_checked_listed_and_inspected_without_a_value() {
    let (home, peer) = (Home::new(), azure());
    peer.set(SECRET, CANARY);
    let daemon = home.start(&mut peer.command(&home, &peer.vault("")));
    let user = User {
        home: &home,
        daemon: &daemon,
    };
    let listed = said(&user.run("vault list"));
    assert!(listed.contains("vault-eu  azure"), "{listed}");
    let checked = said(&user.run(&format!("vault check {VAULT}")));
    assert!(checked.contains("state        ok"), "{checked}");
    let secrets = said(&user.run(&format!("vault secrets {VAULT}")));
    assert!(secrets.contains("\nstripe"), "{secrets}");

    let inspect = format!("vault inspect {VAULT} {SECRET}");
    let inspected = user.run(&inspect);
    let told = said(&inspected) + &complaint(&inspected);
    assert!(told.contains("judged as"), "{told}");
    assert!(!told.contains(CANARY), "{told}");
    peer.set(SECRET, PUBLISHABLE);
    let wrong = user.run(&inspect);
    assert_eq!(wrong.status.code(), Some(1));
    let told = String::from_utf8_lossy(&wrong.stdout).into_owned();
    assert!(told.contains("[VALUE_WRONG_KIND]"), "{told}");
    assert!(told.contains("PUBLISHABLE TEST 6789"), "{told}");

    peer.fail(Failure::Rejected);
    let checked = user.run(&format!("vault check {VAULT}"));
    assert_eq!(checked.status.code(), Some(1));
    let told = String::from_utf8_lossy(&checked.stdout).into_owned();
    assert!(told.contains("[VAULT_CREDENTIALS_REJECTED]"), "{told}");
}

#[test]
fn secret_of_others_is_written_only_when_it_is_taken_over() {
    let (home, peer) = (Home::new(), azure());
    peer.set(SECRET, "theirs");
    let daemon = home.start(&mut peer.command(&home, &peer.vault("")));
    let user = User {
        home: &home,
        daemon: &daemon,
    };
    let put = format!("definition put key --vault {VAULT} --secret {SECRET}");
    said(&user.run(&put));
    let refused = output_of(&mut user.command("secret put key"), CANARY);
    assert_stopped(&refused, 1, &["[SECRET_NOT_OWNED]"]);
    assert_eq!(peer.value(SECRET).as_deref(), Some("theirs"));
    said(&output_of(
        &mut user.command("secret put key --adopt"),
        CANARY,
    ));
    assert_eq!(peer.value(SECRET).as_deref(), Some(CANARY));
}

#[test]
fn value_that_is_older_than_it_should_be_comes_with_a_warning() {
    let (home, peer) = (Home::new(), azure());
    peer.set(SECRET, CANARY);
    let daemon = home.start(&mut peer.command(&home, &peer.remembered("")));
    let user = User {
        home: &home,
        daemon: &daemon,
    };
    let put = format!("definition put key --vault {VAULT} --secret {SECRET} --max-age 1s");
    said(&user.run(&put));
    let fresh = user.run("secret get key");
    assert_eq!(
        (said(&fresh).as_str(), complaint(&fresh)),
        (CANARY, String::new())
    );
    let first = |is_stale: fn(&Output) -> bool, line| {
        let mut reads = (0..ROUNDS_MAX).map(|_| {
            // Also the token of a login that was under way: each is refused once.
            peer.fail(Failure::Rejected);
            user.run(line)
        });
        reads.find(is_stale).expect("it stays fresh")
    };
    let is_stale = |output: &Output| {
        let answer: Value = serde_json::from_str(&said(output)).expect("JSON");
        answer["freshness"]["stale"] == true
    };
    first(is_stale, "secret get key --json");
    let stale = first(|output| !complaint(output).is_empty(), "secret get key");
    assert_eq!(said(&stale), CANARY);
    let warning = complaint(&stale);
    assert!(
        warning.starts_with("claviger: warning: the value was fetched ")
            && warning.contains("[VAULT_CREDENTIALS_REJECTED]"),
        "{warning}"
    );
}
