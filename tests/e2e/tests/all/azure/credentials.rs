//! Claviger's identity in Azure: as configured, as told, and as told when Azure refuses it.

use claviger_e2e::assert_refused;
use claviger_keyvault_fake::{Behaviour, Login};

use crate::caller::place;
use crate::peers::{azure, reads};
use crate::stage::{Peer, Stage, VAULT};

#[tokio::test]
async fn every_kind_of_credential_reads_and_is_told_by_its_vault() {
    let peer = Box::new(azure());
    let application = peer.application();
    let certificate = peer.file("client.pem", peer.fake.client_certificate());
    let token = peer.file("federated.token", peer.fake.federated_token());
    let client = peer.fake.client_id().to_owned();
    let with = |kind: &str, more: &str| format!("{{ kind = \"{kind}\"{more} }}");
    let by_certificate = format!(", {application}, certificate_file = {certificate:?}");
    let by_token = format!(", {application}, token_file = {token:?}");
    let assigned = format!(", client_id = {client:?}");
    #[rustfmt::skip]
    let kinds = [
        ("secret", peer.client_secret(), "client secret of application"),
        ("certificate", with("client_certificate", &by_certificate), "certificate of application"),
        ("workload", with("workload_identity", &by_token), "workload identity"),
        ("assigned", with("managed_identity", &assigned), "managed identity"),
        ("machine", with("managed_identity", ""), "managed identity of this machine"),
    ];
    let blocks = kinds.iter().map(|(id, credential, _)| {
        let working = peer.vault_as(id, ("dev", &["*"]), "");
        let settings = peer.settings_of(&format!("v-{id}"), credential);
        working.replace(&peer.settings(), &settings)
    });
    let config: String = blocks.collect();
    let stage = Stage::start_with(peer, &config).await;
    let runner = stage.runner().await;
    let (caller, peer, home) = (&stage.caller, &stage.peer, &stage.home);
    for (id, _, expected) in &kinds {
        let told = caller.check_vault(id).await;
        assert!(told.ok, "{told:?}");
        let credentials = told.credentials;
        assert!(credentials.contains(expected), "{id}: {credentials}");
        let names_it = *id != "machine";
        assert_eq!(credentials.contains(&client), names_it, "{credentials}");
        caller.created(id, place(id, "s"), id).await;
        assert_eq!(runner.text(id).await.expect("read"), *id);
        let vault = peer.fake.vault(&format!("v-{id}"));
        assert_eq!(vault.versions("s").len(), 1);
    }
    for secret in [peer.fake.client_secret(), peer.fake.federated_token()] {
        assert!(!home.log().contains(secret));
    }
}

#[tokio::test]
async fn login_that_was_refused_is_forgotten_and_the_secret_never_logged() {
    let peer = Box::new(azure());
    peer.set("s", "v");
    peer.fake.fail_login(Login::ExpiredSecret);
    let stage = &Stage::start(peer).await;
    let (caller, peer, home) = (&stage.caller, &stage.peer, &stage.home);
    caller.registered("s", peer.place("s")).await;
    assert_refused(caller.text("s").await, "VAULT_CREDENTIALS_REJECTED");
    let told = caller.check_vault(VAULT).await;
    assert!(told.credentials.contains("client secret"), "{told:?}");
    assert!(told.message.contains("expired"), "{told:?}");
    peer.fake.mend_login();
    assert_eq!(caller.text("s").await.expect("nothing bad stays"), "v");
    assert!(!home.log().contains(peer.fake.client_secret()));
}

#[tokio::test]
async fn login_or_body_that_hangs_is_given_up_at_the_vault_s_timeout() {
    let peer = Box::new(azure());
    peer.set("s", "v");
    peer.fake.fail_login(Login::Hang);
    let config = peer.vault("timeout = \"500ms\"");
    let Stage { caller, peer, .. } = &Stage::start_with(peer, &config).await;
    caller.registered("s", peer.place("s")).await;
    assert_refused(caller.text("s").await, "VAULT_UNREACHABLE");
    peer.mend();
    assert_eq!(caller.text("s").await.expect("it is back"), "v");
    peer.fake.next(reads("/secrets/s/"), 1, Behaviour::Slow);
    assert_refused(caller.text("s").await, "VAULT_UNREACHABLE");
    peer.mend();
    assert_eq!(caller.text("s").await.expect("it is back"), "v");
}
