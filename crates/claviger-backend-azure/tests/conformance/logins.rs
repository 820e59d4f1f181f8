//! Every way to log in that needs no environment of its own.

use claviger_backend::Backend as _;
use claviger_backend_azure::Credential;
use claviger_core::Reason;
use claviger_keyvault_fake::Login;

use crate::support::{Cloud, file, with_credential};

#[tokio::test]
async fn certificate_and_workload_identity_are_taken_by_entra() {
    let cloud = Cloud::start();
    let fake = &cloud.fake;
    let certificate = file(fake.client_certificate());
    let token = file(fake.federated_token());
    let (tenant_id, client_id) = (fake.tenant().to_owned(), fake.client_id().to_owned());
    for credential in [
        Credential::ClientCertificate {
            tenant_id: tenant_id.clone(),
            client_id: client_id.clone(),
            certificate_file: certificate.path().to_path_buf(),
        },
        Credential::WorkloadIdentity {
            tenant_id: Some(tenant_id),
            client_id: Some(client_id.clone()),
            token_file: Some(token.path().to_path_buf()),
        },
    ] {
        let before = fake.logins();
        let shown = credential.to_string();
        let azure = with_credential(fake, "acme", credential);
        azure.check().await.expect("logged in");
        assert_eq!(fake.logins(), before + 1);
        assert_eq!(azure.credentials(), shown);
        assert!(shown.contains(&client_id), "{shown}");
    }
}

#[tokio::test]
async fn refused_logins_say_what_to_do() {
    let cloud = Cloud::start();
    let fake = &cloud.fake;
    let azure = cloud.azure("acme");
    for (login, word) in [
        (Login::WrongTenant, "tenant_id"),
        (Login::InvalidClient, "not its id"),
        (Login::ExpiredSecret, "expired"),
    ] {
        fake.fail_login(login);
        let error = azure.check().await.expect_err("refused");
        assert_eq!(
            error.reason(),
            Reason::VaultCredentialsRejected,
            "{login:?}"
        );
        assert!(error.to_string().contains(word), "{login:?}: {error}");
    }
    fake.mend_login();
    azure.check().await.expect("nothing bad is remembered");
}

#[tokio::test]
async fn token_that_expires_early_is_replaced_without_a_failure() {
    let cloud = Cloud::start();
    let fake = &cloud.fake;
    let azure = cloud.azure("acme");
    azure.check().await.expect("well");
    fake.expire_tokens();
    azure.check().await.expect("well again");
    assert_eq!(fake.logins(), 2);
}
