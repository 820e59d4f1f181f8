//! Who Claviger is to Azure: as configured, as told, and as told when Azure refuses it.

use claviger_e2e::Home;
use claviger_keyvault_fake::Login;
use claviger_proto::v1;

use super::support::{Caller, Cloud, HOST, VAULT, assert_refused, location, seen};

#[tokio::test]
async fn every_kind_of_credential_reads_and_is_told_by_its_vault() {
    let (home, cloud) = (Home::new(), Cloud::start());
    let application = cloud.application();
    let certificate = cloud.file("client.pem", cloud.fake.client_certificate());
    let token = cloud.file("federated.token", cloud.fake.federated_token());
    let client = cloud.fake.client_id().to_owned();
    let kinds = [
        (
            "secret",
            cloud.client_secret(),
            "client secret of application",
        ),
        (
            "certificate",
            format!(
                "{{ kind = \"client_certificate\", {application}, certificate_file = {certificate:?} }}"
            ),
            "certificate of application",
        ),
        (
            "workload",
            format!("{{ kind = \"workload_identity\", {application}, token_file = {token:?} }}"),
            "workload identity",
        ),
        (
            "assigned",
            format!("{{ kind = \"managed_identity\", client_id = {client:?} }}"),
            "managed identity",
        ),
        (
            "machine",
            "{ kind = \"managed_identity\" }".to_owned(),
            "managed identity of this machine",
        ),
    ];
    let blocks = kinds.iter().map(|(id, credential, _)| {
        cloud.vault_with((id, &format!("v-{id}")), ("dev", &["*"]), "", credential)
    });
    let config: String = blocks.collect();
    let daemon = cloud.daemon_with(&home, &config);
    let (caller, runner) = (Caller::of(&daemon).await, Caller::runner(&daemon).await);
    for (id, _, expected) in &kinds {
        let told = caller.check(id).await;
        assert!(told.ok, "{told:?}");
        let credentials = told.credentials;
        assert!(credentials.contains(expected), "{id}: {credentials}");
        let names_it = *id != "machine";
        assert_eq!(credentials.contains(&client), names_it, "{credentials}");
        let place = v1::Location {
            vault: (*id).to_owned(),
            ..location("s", "")
        };
        caller.put(id, place, Some(id)).await.expect("created");
        assert_eq!(runner.text(id).await.expect("read"), *id);
        let vault = cloud.fake.vault(&format!("v-{id}"));
        assert_eq!(vault.versions("s").len(), 1);
    }
    for secret in [cloud.fake.client_secret(), cloud.fake.federated_token()] {
        assert!(!home.log().contains(secret));
    }
}

#[tokio::test]
async fn login_that_is_refused_says_what_to_do_and_no_word_of_entra() {
    for (login, word) in [
        (Login::WrongTenant, "tenant_id"),
        (Login::InvalidClient, "not its id"),
        (Login::ExpiredSecret, "expired"),
    ] {
        let (home, cloud) = (Home::new(), Cloud::start());
        cloud.handle().set("s", "v", &[]);
        cloud.fake.fail_login(login);
        let daemon = cloud.daemon(&home);
        let caller = Caller::of(&daemon).await;
        let put = caller.put("s", location("s", ""), None).await;
        put.expect("registered");
        let status = assert_refused(caller.text("s").await, "VAULT_CREDENTIALS_REJECTED");
        let told = caller.check(VAULT).await;
        assert_eq!(told.reason, "VAULT_CREDENTIALS_REJECTED");
        assert!(told.credentials.contains("client secret"), "{told:?}");
        for text in [seen(&status), told.message] {
            assert!(text.contains(word), "{login:?}: {text}");
            assert!(!text.contains("AADSTS"), "{login:?}: {text}");
        }
        cloud.fake.mend_login();
        assert_eq!(caller.text("s").await.expect("nothing bad stays"), "v");
        assert!(!home.log().contains(cloud.fake.client_secret()));
    }
}

#[tokio::test]
async fn secret_file_that_is_replaced_counts_without_a_restart() {
    let (home, cloud) = (Home::new(), Cloud::start());
    cloud.handle().set("s", "v", &[]);
    cloud.file("client.secret", "an old one");
    let daemon = cloud.daemon_with(&home, &cloud.vault((VAULT, HOST), ""));
    let caller = Caller::of(&daemon).await;
    let put = caller.put("s", location("s", ""), None).await;
    put.expect("registered");
    assert_refused(caller.text("s").await, "VAULT_CREDENTIALS_REJECTED");
    cloud.file("client.secret", cloud.fake.client_secret());
    assert_eq!(caller.text("s").await.expect("the new one"), "v");
}
