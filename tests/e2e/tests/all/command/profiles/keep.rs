use claviger_stub::stripe_oauth::{APP, CANARY, CLIENT_ID};
use serde_json::Value;

use super::super::{assert_stopped, message_of, on_a_terminal, said};
use super::{ACCOUNT, Scene, assert_clean};

/// As Stripe's restricted keys are.
const KEY: &str = "rk_test_cAnArY51H8ZxQmC0nF4b7d";

const NAME: &str = "projects/dev/connectionProfiles/stripe";

fn json(scene: &Scene, line: &str) -> Value {
    let printed = said(&scene.run(&format!("{line} --json")));
    serde_json::from_str(&printed).unwrap_or_else(|_| panic!("{line}: {printed}"))
}

fn message(scene: &Scene, line: &str, kind: &str) -> Value {
    let printed = said(&scene.run(&format!("{line} --json")));
    message_of(kind, line, &printed)
}

#[test]
fn key_goes_in_by_a_pipe_and_a_job_s_credential_out_by_one() {
    let (scene, _daemon) = Scene::new();
    scene.stripe.add_key(KEY, ACCOUNT, false);
    let put = scene.run_with(
        "profile put stripe --account acct_1One",
        &format!("{KEY}\n"),
    );
    assert_clean(&put);
    assert_eq!(said(&put), format!("{NAME}, version 1 of its key\n"));
    assert_eq!(said(&scene.run("profile resolve stripe")), KEY);
    let resolved = message(
        &scene,
        "profile resolve stripe",
        "ResolveConnectionResponse",
    );
    assert_eq!(resolved["credential"], KEY);

    for (line, kind) in [
        ("profile get stripe", "ConnectionProfile"),
        ("profile list", "ListConnectionProfilesResponse"),
        ("profile test stripe", "TestConnectionResponse"),
    ] {
        let output = scene.run(line);
        assert_clean(&output);
        assert_clean(&scene.run(&format!("{line} --json")));
        message(&scene, line, kind);
        let printed = said(&output);
        let wanted = match line {
            "profile list" => "stripe  API_KEY",
            "profile test stripe" => "WORKS",
            _ => "account      acct_1One",
        };
        assert!(printed.contains(wanted), "{line}: {printed}");
    }
    for line in ["profile resolve stripe", "profile resolve stripe --json"] {
        let (code, shown) = on_a_terminal(&mut scene.command(line));
        assert_eq!(code, Some(2), "{shown}");
        assert!(
            shown.contains("--reveal") && !shown.contains(KEY),
            "{shown}"
        );
    }
    let (code, shown) = on_a_terminal(&mut scene.command("profile resolve stripe --reveal"));
    assert_eq!((code, shown.trim_end()), (Some(0), KEY));
}

#[test]
fn put_changes_what_is_given_and_nothing_else() {
    let (scene, _daemon) = Scene::new();
    let put =
        "profile put stripe --description first --label team=a --label cost=b --account acct_1";
    said(&scene.run_with(put, KEY));
    said(&scene.run("profile put stripe --label team=c"));
    said(&scene.run("profile put stripe --stripe-context acct_2"));
    let profile = json(&scene, "profile get stripe");
    assert_eq!(profile["description"], "first");
    assert_eq!(profile["labels"]["team"], "c");
    assert_eq!(profile["labels"]["cost"], "b");
    assert_eq!(profile["apiKey"]["account"], "acct_1");
    assert_eq!(profile["apiKey"]["context"], "acct_2");
    let tried = said(&scene.run("profile put stripe --description other --dry-run"));
    assert_eq!(tried, format!("{NAME}, not made\n"));
    assert_eq!(json(&scene, "profile get stripe"), profile);
    said(&scene.run("profile put stripe --remove-label cost --label team=d"));
    let labels = json(&scene, "profile get stripe")["labels"].clone();
    assert_eq!(labels, serde_json::json!({ "team": "d" }));

    // Alone, it is the key that is put.
    let second = KEY.replace("4b7d", "5c8e");
    said(&scene.run_with("profile put stripe", &second));
    assert_eq!(said(&scene.run("profile resolve stripe")), second);
    assert_eq!(json(&scene, "profile get stripe")["description"], "first");

    let registered = "definition put stripe-key --kind STRIPE_API_KEY --value-from -";
    said(&scene.run_with(registered, KEY));
    said(&scene.run("profile put stripe --definition stripe-key"));
    assert_eq!(said(&scene.run("profile resolve stripe")), KEY);
    let profile = json(&scene, "profile get stripe");
    let definition = "projects/dev/secrets/stripe-key";
    assert_eq!(profile["apiKey"]["definition"], definition);
}

#[test]
fn oauth_is_put_with_two_files_and_renewed_with_one() {
    let (scene, _daemon) = Scene::new();
    let token = scene.stripe.install(ACCOUNT, false);
    let token = scene.file("refresh-token", &format!("{token}\n"));
    let secret = scene.client_secret();
    let piped = scene.run("profile put stripe --client-id ca_1");
    assert_stopped(&piped, 2, &["--refresh-token-from FILE"]);
    let put = format!(
        "profile put stripe --client-id {CLIENT_ID} --app {APP} {secret} --refresh-token-from {}",
        token.display()
    );
    let output = scene.run(&put);
    assert_clean(&output);
    assert_eq!(said(&output), format!("{NAME}\n"));
    let tested = said(&scene.run("profile test stripe"));
    assert!(
        tested.contains("WORKS") && tested.contains("CONNECTED"),
        "{tested}"
    );
    assert_stopped(&scene.run("profile put stripe"), 2, &["nothing of"]);

    scene.stripe.revoke(ACCOUNT);
    let tested = scene.run("profile test stripe");
    assert_eq!(tested.status.code(), Some(1));
    let token = scene.stripe.install(ACCOUNT, false);
    let token = scene.file("refresh-token", &token);
    let renew = format!(
        "profile put stripe --refresh-token-from {}",
        token.display()
    );
    said(&scene.run(&renew));
    said(&scene.run("profile test stripe"));

    let disconnect = "profile disconnect stripe";
    let ended = message(&scene, disconnect, "DisconnectInstallResponse");
    assert_eq!(ended["install"]["reconnectReason"], "REVOKED");
    assert!(scene.stripe.is_over(ACCOUNT));
    let listed = said(&scene.run("profile list"));
    assert!(listed.contains("OAUTH  RECONNECT_REQUIRED"), "{listed}");
    assert!(!listed.contains(CANARY), "{listed}");
}

#[test]
fn profile_is_deleted_and_taken_back() {
    let (scene, _daemon) = Scene::new();
    said(&scene.run_with("profile put stripe", KEY));
    said(&scene.run("profile delete stripe"));
    assert!(!said(&scene.run("profile list")).contains("stripe"));
    let listed = said(&scene.run("profile list --show-deleted"));
    assert!(listed.contains("(deleted)"), "{listed}");
    let resolved = scene.run("profile resolve stripe");
    assert_stopped(&resolved, 1, &["[PROFILE_DELETED]"]);
    said(&scene.run("profile undelete stripe"));
    assert_eq!(said(&scene.run("profile resolve stripe")), KEY);
    let purge = "profile delete stripe --purge";
    assert_stopped(&scene.run(purge), 2, &["pass --yes"]);
    let deleted = json(&scene, &format!("{purge} --yes"));
    assert_eq!(deleted["profile"]["name"], NAME);
    let got = scene.run("profile get stripe");
    assert_stopped(&got, 1, &["[PROFILE_NOT_FOUND]"]);
}

#[test]
fn test_of_a_key_that_stripe_does_not_take_ends_with_1() {
    let (scene, _daemon) = Scene::new();
    said(&scene.run_with("profile put stripe", KEY));
    let tested = scene.run("profile test stripe");
    assert_eq!(tested.status.code(), Some(1));
    assert_clean(&tested);
    let printed = String::from_utf8_lossy(&tested.stdout).into_owned();
    assert!(printed.contains("REVOKED: "), "{printed}");
}
