//! The same suite against a real vault, for anyone who asks for it: `deploy/live/azure.sh`.
//!
//! Ignored unless asked for by name, and then it wants a vault. Keeps to names under a prefix of its
//! own, deletes what it made and purges nothing. So that it works on the day it is needed, every run
//! of the tests tries it on our Key Vault, with a stand-in for the Azure CLI.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use azure_core::http::{ClientOptions, Transport};
use azure_identity::AzureCliCredential;
use azure_security_keyvault_secrets::models::SetSecretParameters;
use azure_security_keyvault_secrets::{SecretClient, SecretClientOptions};
use claviger_backend::Backend as _;
use claviger_backend::testkit::{Console, Live, LiveConsole, ignored_test};
use claviger_backend_azure::{Azure, AzureSettings, Credential};
use claviger_core::{SystemClock, Uid};

use crate::support::{Cloud, file};

/// Where to make secrets; anyone who sets it means it.
const VAULT_URL: &str = "CLAVIGER_LIVE_AZURE_VAULT_URL";

/// What the names of all runs begin with.
const PREFIX: &str = "claviger-live-";

const TIMEOUT: Duration = Duration::from_secs(60);

/// How often it is asked whether a secret is deleted, which takes Key Vault seconds.
const DELETIONS_MAX: usize = 60;
const DELETION_PAUSE: Duration = Duration::from_secs(1);

/// Acts in the vault past Claviger.
struct LiveVault(SecretClient);

#[async_trait]
impl Console for LiveVault {
    async fn put(&self, secret: &str, text: &str) {
        let parameters = SetSecretParameters {
            value: Some(text.to_owned()),
            ..SetSecretParameters::default()
        };
        let parameters = parameters.try_into().expect("JSON");
        let set = self.0.set_secret(secret, parameters, None).await;
        set.expect("stored");
    }

    async fn delete(&self, secret: &str) {
        self.0.delete_secret(secret, None).await.expect("deleted");
        assert!(is_gone(&self.0, secret).await, "{secret} is not deleted");
    }
}

#[async_trait]
impl LiveConsole for LiveVault {
    async fn clean_up(&self, secret: &str) -> bool {
        let deleted = self.0.delete_secret(secret, None).await;
        // A write that was refused has made nothing, and the suite deletes some itself.
        deleted.is_ok() || self.0.get_secret(secret, None).await.is_err()
    }
}

/// Waits until a secret is among the deleted ones.
async fn is_gone(sdk: &SecretClient, name: &str) -> bool {
    let mut pace = tokio::time::interval(DELETION_PAUSE);
    for _ in 0..DELETIONS_MAX {
        pace.tick().await;
        if sdk.get_deleted_secret(name, None).await.is_ok() {
            return true;
        }
    }
    false
}

#[tokio::test]
#[ignore = "makes secrets in a vault of Azure's: deploy/live/azure.sh VAULT_URL"]
async fn a_real_vault_keeps_the_contract() {
    #[expect(
        clippy::disallowed_methods,
        reason = "the environment rule is the daemon's; this is how somebody opts in"
    )]
    let url = std::env::var(VAULT_URL);
    let url = url.unwrap_or_else(|_| panic!("{VAULT_URL} is not set: use deploy/live/azure.sh"));
    let settings = AzureSettings {
        vault_url: url.clone(),
        credential: Some(Credential::AzureCli),
    };
    assert_eq!(settings.problems(), []);
    let clock = Arc::new(SystemClock);
    let prefix = format!("{PREFIX}{}-", Uid::random());
    println!("makes secrets named {prefix}… in {url}");
    let backend = Azure::new(&settings, Uid::random(), TIMEOUT, clock).expect("set up");
    let options = SecretClientOptions {
        client_options: ClientOptions {
            transport: Some(Transport::new(Arc::new(reqwest::Client::new()))),
            ..ClientOptions::default()
        },
        ..SecretClientOptions::default()
    };
    let cli = AzureCliCredential::new(None).expect("set up");
    let sdk = SecretClient::new(&url, cli, Some(options)).expect("set up");
    let live = Live {
        backend: Arc::new(backend),
        console: Arc::new(LiveVault(sdk)),
        prefix,
        listing_lag: Duration::ZERO,
    };
    live.conformance().await;
}

/// Stands for the Azure CLI of somebody who is logged in: gives this token to anyone who asks.
fn write_cli(directory: &Path, token: &str) {
    let cli = directory.join("az");
    let answer = format!(
        "{{\"accessToken\":\"{token}\",\"expires_on\":4000000000,\"tokenType\":\"Bearer\"}}"
    );
    fs::write(&cli, format!("#!/bin/sh\nprintf '%s' '{answer}'\n")).expect("written");
    fs::set_permissions(&cli, Permissions::from_mode(0o700)).expect("ours");
}

/// Runs the test above in a process of its own, because that is where an environment can be set.
fn run_live(cloud: &Cloud, url: Option<&str>) -> (bool, String) {
    let directory = tempfile::tempdir().expect("a directory");
    write_cli(directory.path(), &cloud.fake.issue_token());
    let certificates = file(cloud.fake.ca_pem());
    let mut command = ignored_test("live::a_real_vault_keeps_the_contract");
    command
        .env("PATH", directory.path())
        .env("HTTPS_PROXY", cloud.fake.proxy_url())
        .env("SSL_CERT_FILE", certificates.path())
        .env_remove("NO_PROXY")
        .env_remove("no_proxy")
        .env_remove(VAULT_URL);
    if let Some(url) = url {
        command.env(VAULT_URL, url);
    }
    let output = command.output().expect("runs");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    (output.status.success(), said)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_live_test_is_green_on_the_emulator_and_touches_only_what_it_made() {
    let cloud = Cloud::start();
    let vault = cloud.fake.vault("acme");
    vault.set("theirs", "x", &[]);
    let (is_green, said) = run_live(&cloud, Some(&vault.url()));
    assert!(is_green && said.contains("1 passed"), "{said}");
    assert_eq!(vault.purges(), 0);
    let requests = vault.requests();
    let changes = requests.iter().filter(|seen| seen.method != "GET");
    let (own, others): (Vec<_>, Vec<_>) =
        changes.partition(|seen| seen.path_and_query.contains(&format!("/{PREFIX}")));
    assert!(!own.is_empty());
    assert!(others.is_empty(), "{others:?}");
    // What is left is what was there before.
    let listed = cloud.azure("acme");
    let listed = listed.list(&|_| true, None, 1_000).await;
    let names = listed.expect("listed").into_iter();
    assert!(names.map(|one| one.name).eq(["theirs".to_owned()]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_live_test_makes_nothing_unless_told_where() {
    let cloud = Cloud::start();
    let (is_green, said) = run_live(&cloud, None);
    assert!(!is_green && said.contains(VAULT_URL), "{said}");
    assert_eq!(cloud.fake.vault("acme").requests(), []);
}
