//! Changes that others make in the portal, and links of Key Vault's that are not to be followed.

use claviger_e2e::assert_refused;
use claviger_keyvault_fake::{Behaviour, Recorded};
use claviger_proto::v1;
use serde_json::{Value, json};

use crate::caller::name;
use crate::peers::{azure, puts, reads};
use crate::stage::{Peer, Stage, VAULT};
use crate::writing::document;

/// Long ago and far ahead, in seconds since 1970.
const PAST: i64 = 1_000_000_000;
const FUTURE: i64 = 4_000_000_000;

#[tokio::test]
async fn what_azure_would_still_serve_is_judged_by_its_dates_and_its_state() {
    let stage = Stage::start(Box::new(azure())).await;
    let (caller, runner) = (&stage.caller, stage.runner().await);
    let portal = stage.peer.portal();
    for (secret, not_before, expires, refused) in [
        ("expired", None, Some(PAST), Some("VALUE_EXPIRED")),
        ("early", Some(FUTURE), None, Some("VALUE_NOT_YET_VALID")),
        ("due", Some(PAST), Some(FUTURE), None),
    ] {
        portal.set(secret, "v", &[]);
        portal.set_attributes(secret, not_before, expires);
        caller.registered(secret, stage.peer.place(secret)).await;
        let read = runner.text(secret).await;
        let Some(reason) = refused else {
            assert_eq!(read.expect("valid"), "v");
            continue;
        };
        let status = assert_refused(read, reason);
        assert!(status.message().contains(VAULT), "{status:?}");
    }

    let off = portal.set("off", "v", &[]);
    portal.disable("off", &off);
    caller.registered("off", stage.peer.place("off")).await;
    assert_refused(runner.text("off").await, "VERSION_DISABLED");
    portal.enable("off", &off);
    assert_eq!(runner.text("off").await.expect("enabled"), "v");
}

#[tokio::test]
async fn tags_say_whose_a_secret_is_and_those_of_others_are_kept() {
    let Stage { caller, peer, .. } = &Stage::start(Box::new(azure())).await;
    let first = caller.created("new", peer.place("new"), "one").await;
    let [(_, _, tags)] = peer.portal().versions("new").try_into().expect("one");
    let keys: Vec<&str> = tags.keys().map(String::as_str).collect();
    let ours = [
        "claviger-before",
        "claviger-definition",
        "claviger-project",
        "claviger-store",
        "claviger-write",
    ];
    assert_eq!(keys, ours);
    let definition = first.definition.expect("told");
    assert_eq!(tags["claviger-definition"], definition.uid);
    let second = caller.store("new", "two").await.expect("rotated");
    assert_eq!(peer.versions("new"), [first.version, second.version]);

    peer.portal().set("theirs", "a", &[("owner", "them")]);
    caller.registered("theirs", peer.place("theirs")).await;
    caller.adopt("theirs", "b").await.expect("adopted");
    caller.store("theirs", "c").await.expect("ours");
    for (_, _, tags) in peer.portal().versions("theirs") {
        assert_eq!(tags["owner"], "them");
    }
}

#[tokio::test]
async fn edit_in_the_portal_between_read_and_put_of_a_property_is_kept() {
    let Stage { caller, peer, .. } = &Stage::start(Box::new(azure())).await;
    let there = peer.part("doc", "apiKey");
    caller.created("doc", there, "one").await;
    for (round, edits) in [1, 2, 3].into_iter().enumerate() {
        let value = format!("mine {round}");
        let (done, mut is_done) = tokio::sync::oneshot::channel();
        let store = async {
            let stored = caller.store("doc", &value).await;
            done.send(()).expect("somebody waits");
            stored
        };
        let edit = async {
            for edit in 0..edits {
                peer.fake.next(puts("/secrets/doc"), 1, Behaviour::Hang);
                tokio::select! {
                    () = peer.fake.held(1) => {}
                    _ = &mut is_done => return edit,
                }
                let mut edited: Value = document(&**peer, "doc");
                edited["edits"] = json!(format!("{round} {edit}"));
                peer.set("doc", &edited.to_string());
                peer.fake.release();
                // Else the next one would be taken for held already.
                peer.fake.released().await;
            }
            edits
        };
        let (stored, made) = tokio::join!(store, edit);
        assert!(made > 0, "nobody was in the portal");
        peer.fake.release();
        let both = json!({ "apiKey": value, "edits": format!("{round} {}", made - 1) });
        stored.expect("merged");
        assert_eq!(document(&**peer, "doc"), both);
    }
}

#[tokio::test]
async fn caller_of_azure_that_may_only_read_secrets_has_a_vault_that_is_well_and_cannot_browse() {
    let peer = Box::new(azure());
    let rbac = Behaviour::Recorded(Recorded::ForbiddenByRbac);
    peer.fake.next(reads("/secrets?"), usize::MAX, rbac);
    let Stage { caller, peer, .. } = &Stage::start(peer).await;
    let checked = caller.check_vault(VAULT).await;
    assert!(checked.ok, "{checked:?}");
    assert_refused(caller.browse(VAULT, "dev", 10).await, "VAULT_ACCESS_DENIED");
    peer.set("s", "v");
    let put = caller.register("s", peer.place("s")).await;
    let definition = put.expect("registered").definition.expect("told");
    assert_eq!(definition.name, name("s"));
    assert_eq!(caller.text("s").await.expect("read"), "v");
}

#[tokio::test]
async fn hostile_link_to_a_next_page_is_not_followed_and_no_token_leaves() {
    let peer = Box::new(azure());
    peer.fake.terminate("evil.example");
    let other = peer.fake.vault("other");
    let Stage { caller, peer, .. } = &Stage::start(peer).await;
    caller.created("s", peer.place("s"), "v").await;
    let page = "secrets?api-version=2025-07-01&$skiptoken=x";
    for origin in [
        "https://evil.example",
        "//evil.example",
        "https://other.vault.azure.net",
    ] {
        let link = format!("{origin}/{page}");
        // The daemon's own look at the vault asks for fewer results.
        let lists = reads("/secrets?api-version=2025-07-01&maxresults=25");
        peer.fake.next(lists, 1, Behaviour::NextLink(link.clone()));
        let asked = peer.portal().requests().len();
        assert_refused(caller.browse(VAULT, "dev", 10).await, "VAULT_UNREACHABLE");
        assert!(
            peer.portal().requests().len() > asked,
            "{link}: the page was read"
        );

        let versions = reads("/secrets/s/versions");
        peer.fake.next(versions, 1, Behaviour::NextLink(link));
        let request = v1::ListSecretVersionsRequest {
            parent: name("s"),
            ..Default::default()
        };
        let listed = caller.secrets().list_secret_versions(request).await;
        assert_refused(listed, "VAULT_UNREACHABLE");
    }
    assert_eq!(peer.fake.other_hosts(), []);
    assert_eq!(other.requests(), []);
    let listed = caller.browse(VAULT, "dev", 10).await;
    assert_eq!(listed.expect("all is well again").len(), 1);
}
