//! What the environment says about proxy, certificates and identity. It cannot be changed inside a
//! process, so the test runs itself once more.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use claviger_backend::Backend as _;
use claviger_backend::testkit::ignored_test;
use claviger_backend_azure::{Azure, AzureSettings, Credential};
use claviger_core::{SystemClock, Uid};

use crate::support::{Cloud, file};

#[tokio::test]
async fn proxy_and_certificates_of_the_environment_count_for_azure() {
    let cloud = Cloud::start();
    let vault = cloud.fake.vault("environment");
    let certificates = file(cloud.fake.ca_pem());
    let (endpoint, header) = cloud.fake.managed_identity_endpoint();
    let child = |certificates: &Path| {
        let mut child = ignored_test("environment::inner");
        let child = child
            .env("HTTPS_PROXY", cloud.fake.proxy_url())
            // What the machine's identity service must not be reached through.
            .env("HTTP_PROXY", "http://127.0.0.1:1")
            .env("SSL_CERT_FILE", certificates)
            .env("IDENTITY_ENDPOINT", &endpoint)
            .env("IDENTITY_HEADER", &header)
            .env_remove("NO_PROXY")
            .env_remove("no_proxy");
        child.output().expect("ran")
    };
    let outcome = child(certificates.path());
    assert!(outcome.status.success(), "{outcome:?}");
    assert!(vault.requests().iter().any(|seen| seen.has_bearer));
    let before = vault.requests().len();
    let other = Cloud::start();
    let outcome = child(file(other.fake.ca_pem()).path());
    assert!(!outcome.status.success(), "any certificate is trusted");
    assert_eq!(vault.requests().len(), before);
}

#[tokio::test]
#[ignore = "run by the test above"]
async fn inner() {
    let settings = AzureSettings {
        vault_url: "https://environment.vault.azure.net/".to_owned(),
        credential: Some(Credential::ManagedIdentity { client_id: None }),
    };
    assert_eq!(settings.problems(), []);
    let (timeout, clock) = (Duration::from_secs(60), Arc::new(SystemClock));
    let azure = Azure::new(&settings, Uid::random(), timeout, clock).expect("set up");
    azure.check().await.expect("well");
}

#[tokio::test]
async fn identity_of_a_pod_comes_from_the_variables_that_the_webhook_sets() {
    let cloud = Cloud::start();
    let fake = &cloud.fake;
    let vault = fake.vault("environment");
    let (token, certificates) = (file(fake.federated_token()), file(fake.ca_pem()));
    for (token_file, is_taken) in [(token.path(), true), (Path::new("/nowhere"), false)] {
        let before = fake.logins();
        let mut child = ignored_test("environment::inner_pod");
        let child = child
            .env("HTTPS_PROXY", fake.proxy_url())
            .env("SSL_CERT_FILE", certificates.path())
            .env("AZURE_TENANT_ID", fake.tenant())
            .env("AZURE_CLIENT_ID", fake.client_id())
            .env("AZURE_FEDERATED_TOKEN_FILE", token_file)
            .env_remove("NO_PROXY")
            .env_remove("no_proxy");
        let outcome = child.output().expect("ran");
        assert_eq!(outcome.status.success(), is_taken, "{outcome:?}");
        assert_eq!(fake.logins(), before + usize::from(is_taken));
    }
    assert!(vault.requests().iter().any(|seen| seen.has_bearer));
}

#[tokio::test]
#[ignore = "run by the test above"]
async fn inner_pod() {
    let settings = AzureSettings {
        vault_url: "https://environment.vault.azure.net/".to_owned(),
        credential: Some(Credential::WorkloadIdentity {
            tenant_id: None,
            client_id: None,
            token_file: None,
        }),
    };
    let (timeout, clock) = (Duration::from_secs(60), Arc::new(SystemClock));
    let azure = Azure::new(&settings, Uid::random(), timeout, clock).expect("set up");
    azure.check().await.expect("well");
}
