//! The same suite against a real vault, for whoever asks for it: `deploy/live/azure.sh`.
//!
//! Ignored unless asked for by name, and then it wants a vault. Keeps to names under a prefix of its
//! own, deletes what it made and purges nothing. So that it works on the day it is needed, every run
//! of the tests tries it on our Key Vault, with a stand-in for the Azure CLI.

use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use azure_core::http::{ClientOptions, Transport};
use azure_identity::AzureCliCredential;
use azure_security_keyvault_secrets::models::SetSecretParameters;
use azure_security_keyvault_secrets::{SecretClient, SecretClientOptions};
use claviger_backend::testkit::{self, Console};
use claviger_backend::{
    Address, Backend, CallContext, Capabilities, ListedSecret, Reading, VersionInfo, VersionState,
    Write, Written,
};
use claviger_backend_azure::{Azure, AzureSettings, Credential};
use claviger_core::{Id, Result, SystemClock, Uid};

use crate::support::{Cloud, file};

/// Where to make secrets; whoever sets it means it.
const VAULT_URL: &str = "CLAVIGER_LIVE_AZURE_VAULT_URL";

/// What the names of all runs begin with.
const PREFIX: &str = "claviger-live-";

const TIMEOUT: Duration = Duration::from_secs(60);

/// How often it is asked whether a secret is deleted, which takes Key Vault seconds.
const DELETIONS_MAX: usize = 60;
const DELETION_PAUSE: Duration = Duration::from_secs(1);

/// Key Vault, as if it held nothing but the secrets of this run.
#[derive(Debug)]
struct Own {
    azure: Azure,
    prefix: String,
    /// The whole names of what may be there.
    touched: Mutex<BTreeSet<String>>,
}

impl Own {
    fn name(&self, secret: &str) -> String {
        format!("{}{secret}", self.prefix)
    }

    fn at(&self, address: &Address) -> Address {
        Address {
            owner: address.owner,
            secret: self.name(&address.secret),
        }
    }

    fn touch(&self, secret: &str) -> String {
        let name = self.name(secret);
        let mut touched = self.touched.lock().expect("nobody panics with it");
        touched.insert(name.clone());
        name
    }
}

#[async_trait]
impl Backend for Own {
    fn kind(&self) -> &'static str {
        self.azure.kind()
    }
    fn capabilities(&self) -> Capabilities {
        self.azure.capabilities()
    }
    fn check_version(&self, version: &str) -> Result<()> {
        self.azure.check_version(version)
    }
    fn derived_name(&self, project: &str, id: &str, hash: &str) -> String {
        self.azure.derived_name(project, id, hash)
    }
    async fn check(&self, cx: &CallContext) -> Result<()> {
        self.azure.check(cx).await
    }
    async fn read(
        &self,
        cx: &CallContext,
        address: &Address,
        version: Option<&str>,
    ) -> Result<Reading> {
        self.azure.read(cx, &self.at(address), version).await
    }
    async fn write(
        &self,
        cx: &CallContext,
        address: &Address,
        write: &Write<'_>,
    ) -> Result<Written> {
        // Before, because the suite drops some writes half-way.
        self.touch(&address.secret);
        self.azure.write(cx, &self.at(address), write).await
    }
    async fn find_write(
        &self,
        cx: &CallContext,
        address: &Address,
        write_id: Uid,
    ) -> Result<Option<Id>> {
        self.azure.find_write(cx, &self.at(address), write_id).await
    }
    async fn list(
        &self,
        cx: &CallContext,
        is_wanted: &(dyn for<'n> Fn(&'n str) -> bool + Sync),
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<ListedSecret>> {
        let is_own = |name: &str| name.strip_prefix(&self.prefix).is_some_and(is_wanted);
        let after = after.map(|after| self.name(after));
        let mut listed = self
            .azure
            .list(cx, &is_own, after.as_deref(), limit)
            .await?;
        for secret in &mut listed {
            secret.name.drain(..self.prefix.len());
        }
        Ok(listed)
    }
    async fn versions(
        &self,
        cx: &CallContext,
        address: &Address,
        after: Option<&Id>,
        limit: usize,
    ) -> Result<Vec<VersionInfo>> {
        let address = self.at(address);
        self.azure.versions(cx, &address, after, limit).await
    }
    async fn set_state(
        &self,
        cx: &CallContext,
        address: &Address,
        version: &Id,
        state: VersionState,
    ) -> Result<VersionInfo> {
        let address = self.at(address);
        self.azure.set_state(cx, &address, version, state).await
    }
    async fn purge(&self, cx: &CallContext, address: &Address) -> Result<()> {
        self.azure.purge(cx, &self.at(address)).await
    }
}

/// Acts in the vault past Claviger, under the prefix too.
struct OwnConsole {
    own: Arc<Own>,
    sdk: Arc<SecretClient>,
}

#[async_trait]
impl Console for OwnConsole {
    async fn put(&self, secret: &str, text: &str) {
        let name = self.own.touch(secret);
        let parameters = SetSecretParameters {
            value: Some(text.to_owned()),
            ..SetSecretParameters::default()
        };
        let parameters = parameters.try_into().expect("JSON");
        let set = self.sdk.set_secret(&name, parameters, None).await;
        set.expect("stored");
    }

    async fn delete(&self, secret: &str) {
        let name = self.own.name(secret);
        self.sdk.delete_secret(&name, None).await.expect("deleted");
        assert!(is_gone(&self.sdk, &name).await, "{name} is not deleted");
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

/// Deletes everything that the run may have made; says what it could not.
async fn clean_up(own: &Own, sdk: &SecretClient) -> Vec<String> {
    let mut left = Vec::new();
    let touched = std::mem::take(&mut *own.touched.lock().expect("nobody panics with it"));
    for name in touched {
        let deleted = sdk.delete_secret(&name, None).await;
        // A write that was refused has made nothing, and the suite deletes some itself.
        if deleted.is_err() && sdk.get_secret(&name, None).await.is_ok() {
            left.push(name);
        }
    }
    left
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
    let own = Arc::new(Own {
        azure: Azure::new(&settings, Uid::random(), TIMEOUT, clock).expect("set up"),
        prefix: format!("{PREFIX}{}-", Uid::random()),
        touched: Mutex::default(),
    });
    println!("makes secrets named {}… in {url}", own.prefix);
    let options = SecretClientOptions {
        client_options: ClientOptions {
            transport: Some(Transport::new(Arc::new(reqwest::Client::new()))),
            ..ClientOptions::default()
        },
        ..SecretClientOptions::default()
    };
    let cli = AzureCliCredential::new(None).expect("set up");
    let sdk = SecretClient::new(&url, cli, Some(options)).expect("set up");
    let sdk = Arc::new(sdk);

    let console = Arc::new(OwnConsole {
        own: Arc::clone(&own),
        sdk: Arc::clone(&sdk),
    });
    // As a task, so that a failed check is cleaned up after too.
    let mut suite = tokio::task::JoinSet::new();
    suite.spawn(testkit::conformance(
        Arc::clone(&own) as Arc<dyn Backend>,
        Some(console),
    ));
    let outcome = suite.join_next().await.expect("one suite");
    let left = clean_up(&own, &sdk).await;
    for name in &left {
        println!("not deleted, do it by hand: {name}");
    }
    outcome.expect("the suite is green");
    assert_eq!(left, [""; 0], "not deleted");
}

/// Stands for the Azure CLI of somebody who is logged in: gives this token to whoever asks.
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
    let mut command = Command::new(std::env::current_exe().expect("this test"));
    command
        .args([
            "--ignored",
            "--exact",
            "live::a_real_vault_keeps_the_contract",
        ])
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
    let cx = CallContext {
        call_id: Uid::random(),
    };
    let listed = listed.list(&cx, &|_| true, None, 1_000).await;
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
