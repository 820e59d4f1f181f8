//! What a reader gets of secrets whose dates or state forbid it, and of a vault that is not there.

use claviger_e2e::{Client, Home};
use uuid::Uuid;

use super::support::{Caller, Cloud, VAULT, assert_refused, location};

/// Long ago and far ahead, in seconds since 1970.
const PAST: i64 = 1_000_000_000;
const FUTURE: i64 = 4_000_000_000;

#[tokio::test]
async fn what_azure_would_still_serve_is_judged_by_its_dates_and_its_state() {
    let (home, cloud) = (Home::new(), Cloud::start());
    let vault = cloud.handle();
    let daemon = cloud.daemon(&home);
    let (caller, runner) = (Caller::of(&daemon).await, Caller::runner(&daemon).await);
    for (secret, not_before, expires, refused) in [
        ("expired", None, Some(PAST), Some("VALUE_EXPIRED")),
        ("early", Some(FUTURE), None, Some("VALUE_NOT_YET_VALID")),
        ("due", Some(PAST), Some(FUTURE), None),
    ] {
        vault.set(secret, "v", &[]);
        vault.set_attributes(secret, not_before, expires);
        let put = caller.put(secret, location(secret, ""), None).await;
        put.expect("registered");
        let read = runner.text(secret).await;
        match refused {
            Some(reason) => {
                let status = assert_refused(read, reason);
                assert!(status.message().contains(VAULT), "{status:?}");
            }
            None => assert_eq!(read.expect("valid"), "v"),
        }
    }

    let off = vault.set("off", "v", &[]);
    vault.disable("off", &off);
    let put = caller.put("off", location("off", ""), None).await;
    put.expect("registered");
    assert_refused(runner.text("off").await, "VERSION_DISABLED");
    vault.enable("off", &off);
    assert_eq!(runner.text("off").await.expect("enabled"), "v");
}

#[tokio::test]
async fn absent_deleted_and_unknown_versions_are_three_reasons() {
    let (home, cloud) = (Home::new(), Cloud::start());
    let vault = cloud.handle();
    let daemon = cloud.daemon(&home);
    let (caller, runner) = (Caller::of(&daemon).await, Caller::runner(&daemon).await);
    vault.set("there", "v", &[]);
    vault.set("gone", "v", &[]);
    vault.delete("gone");
    for secret in ["there", "gone", "never"] {
        let put = caller.put(secret, location(secret, ""), None).await;
        put.expect("registered");
    }
    let unknown = "0123456789abcdef0123456789abcdef";
    assert_refused(runner.get("there", unknown).await, "VERSION_NOT_FOUND");
    for version in ["", unknown] {
        assert_refused(runner.get("gone", version).await, "SECRET_DELETED");
        assert_refused(runner.get("never", version).await, "SECRET_NOT_FOUND");
    }
}

#[tokio::test]
async fn a_rotation_in_the_portal_is_what_the_next_read_gets() {
    let (home, cloud) = (Home::new(), Cloud::start());
    let daemon = cloud.daemon(&home);
    let (caller, runner) = (Caller::of(&daemon).await, Caller::runner(&daemon).await);
    let put = caller.put("s", location("s", ""), Some("ours")).await;
    put.expect("created");
    let rotated = cloud.handle().set("s", "theirs", &[]);
    assert_eq!(runner.get("s", "").await.expect("read").version, rotated);
    assert_eq!(runner.text("s").await.expect("read"), "theirs");
    // Who rotated there has not taken it from the definition.
    caller.store("s", "ours again", false).await.expect("ours");
    assert_eq!(runner.text("s").await.expect("read"), "ours again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_managed_vault_serves_while_azure_is_down_and_the_daemon_starts() {
    let (home, cloud) = (Home::new(), Cloud::start());
    let daemon = cloud.daemon_without_azure(&home);
    let client = Client::connect(&daemon.socket()).await;
    let caller = Caller::of(&daemon).await;
    let put = caller.put("away", location("s", ""), None).await;
    put.expect("registered");
    let here = client.create("here", "own", Uuid::new_v4()).await;
    here.expect("created");
    assert_refused(client.read("away", "").await, "VAULT_UNREACHABLE");
    assert_eq!(client.read("here", "").await.expect("managed").1, "own");
    let checked = caller.check(VAULT).await;
    assert_eq!(
        (checked.ok, checked.reason.as_str()),
        (false, "VAULT_UNREACHABLE")
    );
    assert_eq!(cloud.fake.logins(), 0);
    daemon.stop();

    cloud.handle().set("s", "v", &[]);
    let daemon = cloud.daemon(&home);
    let client = Client::connect(&daemon.socket()).await;
    assert_eq!(client.read("away", "").await.expect("it is up").1, "v");
}
