//! The same suite against a real account, for whoever asks for it: `deploy/live/aws.sh`.
//!
//! Ignored unless asked for by name, and then it wants a region. Keeps to names under a prefix of
//! its own and schedules what it made for deletion. So that it works on the day it is needed, every
//! run of the tests tries it on moto.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use aws_config::{BehaviorVersion, Region};
use aws_sdk_secretsmanager::Client;
use claviger_backend::testkit::{self, Console};
use claviger_backend::{
    Address, Backend, CallContext, Capabilities, ListedSecret, Reading, VersionInfo, VersionState,
    Write, Written,
};
use claviger_backend_aws::{Aws, AwsSettings};
use claviger_core::{Id, Result, SystemClock, Uid};

use crate::moto::{AwsConsole, CREDENTIALS, Moto};

/// Where to make secrets; whoever sets it means it.
const REGION: &str = "CLAVIGER_LIVE_AWS_REGION";

/// An emulator instead of AWS.
const ENDPOINT: &str = "AWS_ENDPOINT_URL";

/// What the names of all runs begin with, so that a policy can be written for them.
const PREFIX: &str = "claviger-live";

const TIMEOUT: Duration = Duration::from_secs(60);

/// A listing of AWS's lags up to five minutes behind; it is given ten.
const LISTINGS_MAX: usize = 120;

/// So that waiting for a listing is not throttled.
const LISTING_PAUSE: Duration = Duration::from_secs(5);

/// The names of one run, without their prefix.
#[derive(Debug, Default)]
struct Made {
    /// What may be there and is to be deleted.
    touched: BTreeSet<String>,
    /// What a listing has to show, and whether as ours.
    listed: BTreeMap<String, bool>,
}

/// AWS, as if it held nothing but the secrets of this run.
#[derive(Debug)]
struct Own {
    aws: Aws,
    prefix: String,
    made: Mutex<Made>,
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

    fn note(&self, change: impl FnOnce(&mut Made)) {
        change(&mut self.made.lock().expect("nobody panics with it"));
    }

    /// What AWS says by now.
    async fn list_once(
        &self,
        cx: &CallContext,
        is_wanted: &(dyn for<'n> Fn(&'n str) -> bool + Sync),
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<ListedSecret>> {
        let is_own = |name: &str| name.strip_prefix(&self.prefix).is_some_and(is_wanted);
        let after = after.map(|after| self.name(after));
        let mut listed = self.aws.list(cx, &is_own, after.as_deref(), limit).await?;
        for secret in &mut listed {
            secret.name.drain(..self.prefix.len());
        }
        Ok(listed)
    }

    fn is_settled(
        &self,
        listed: &[ListedSecret],
        is_wanted: &(dyn for<'n> Fn(&'n str) -> bool + Sync),
        after: Option<&str>,
        limit: usize,
    ) -> bool {
        let made = self.made.lock().expect("nobody panics with it");
        let expected = made
            .listed
            .iter()
            .filter(|(name, _)| is_wanted(name) && after.is_none_or(|after| name.as_str() > after));
        let shown = listed.iter().map(|secret| (&secret.name, &secret.is_ours));
        shown.eq(expected.take(limit))
    }
}

#[async_trait]
impl Backend for Own {
    fn kind(&self) -> &'static str {
        self.aws.kind()
    }
    fn capabilities(&self) -> Capabilities {
        self.aws.capabilities()
    }
    async fn check(&self, cx: &CallContext) -> Result<()> {
        self.aws.check(cx).await
    }
    async fn read(
        &self,
        cx: &CallContext,
        address: &Address,
        version: Option<&str>,
    ) -> Result<Reading> {
        self.aws.read(cx, &self.at(address), version).await
    }
    async fn write(
        &self,
        cx: &CallContext,
        address: &Address,
        write: &Write<'_>,
    ) -> Result<Written> {
        // Before, because the suite drops some writes half-way.
        self.note(|made| {
            made.touched.insert(address.secret.clone());
        });
        let written = self.aws.write(cx, &self.at(address), write).await?;
        self.note(|made| {
            made.listed.insert(address.secret.clone(), true);
        });
        Ok(written)
    }
    async fn find_write(
        &self,
        cx: &CallContext,
        address: &Address,
        write_id: Uid,
    ) -> Result<Option<Id>> {
        self.aws.find_write(cx, &self.at(address), write_id).await
    }
    /// Waits for AWS to have caught up; what it says in the end is what the suite gets to see.
    async fn list(
        &self,
        cx: &CallContext,
        is_wanted: &(dyn for<'n> Fn(&'n str) -> bool + Sync),
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<ListedSecret>> {
        let mut pace = tokio::time::interval(LISTING_PAUSE);
        for _ in 1..LISTINGS_MAX {
            pace.tick().await;
            let listed = self.list_once(cx, is_wanted, after, limit).await?;
            if self.is_settled(&listed, is_wanted, after, limit) {
                return Ok(listed);
            }
        }
        self.list_once(cx, is_wanted, after, limit).await
    }
    async fn versions(
        &self,
        cx: &CallContext,
        address: &Address,
        after: Option<&Id>,
        limit: usize,
    ) -> Result<Vec<VersionInfo>> {
        let address = self.at(address);
        self.aws.versions(cx, &address, after, limit).await
    }
    async fn set_state(
        &self,
        cx: &CallContext,
        address: &Address,
        version: &Id,
        state: VersionState,
    ) -> Result<VersionInfo> {
        let address = self.at(address);
        self.aws.set_state(cx, &address, version, state).await
    }
    async fn purge(&self, cx: &CallContext, address: &Address) -> Result<()> {
        self.aws.purge(cx, &self.at(address)).await
    }
}

/// Acts in the account past Claviger, under the prefix too.
struct OwnConsole {
    own: Arc<Own>,
    console: AwsConsole,
}

#[async_trait]
impl Console for OwnConsole {
    async fn put(&self, secret: &str, text: &str) {
        self.own.note(|made| {
            made.touched.insert(secret.to_owned());
            made.listed.entry(secret.to_owned()).or_insert(false);
        });
        self.console.put(&self.own.name(secret), text).await;
    }

    async fn delete(&self, secret: &str) {
        self.console.delete(&self.own.name(secret)).await;
        self.own.note(|made| {
            made.listed.remove(secret);
        });
    }
}

/// Schedules everything for deletion that the run may have made; says what it could not.
async fn clean_up(own: &Own, sdk: &Client) -> Vec<String> {
    let mut left = Vec::new();
    let touched = std::mem::take(&mut own.made.lock().expect("nobody panics with it").touched);
    for secret in touched {
        let name = own.name(&secret);
        let delete = sdk.delete_secret().secret_id(&name);
        let deleted = delete.recovery_window_in_days(7).send().await;
        if deleted.is_err() && !is_gone(sdk, &name).await {
            left.push(name);
        }
    }
    left
}

/// The console of the suite deletes some, and a write that was refused has made nothing.
async fn is_gone(sdk: &Client, name: &str) -> bool {
    match sdk.describe_secret().secret_id(name).send().await {
        Ok(secret) => secret.deleted_date().is_some(),
        Err(error) => error
            .as_service_error()
            .is_some_and(|error| error.is_resource_not_found_exception()),
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the environment rule is the daemon's; this is how somebody opts in"
)]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

#[tokio::test]
#[ignore = "makes secrets in an AWS account: deploy/live/aws.sh REGION"]
async fn a_real_account_keeps_the_contract() {
    let region = variable(REGION);
    let region = region.unwrap_or_else(|| panic!("{REGION} is not set: use deploy/live/aws.sh"));
    let settings = AwsSettings {
        region: region.clone(),
        // Claviger itself goes where its settings say, the test's console where the SDK is told.
        endpoint_url: variable(ENDPOINT),
        ..AwsSettings::default()
    };
    assert_eq!(settings.problems(), []);
    let clock = Arc::new(SystemClock);
    let own = Arc::new(Own {
        aws: Aws::new(&settings, Uid::random(), TIMEOUT, clock).await,
        prefix: format!("{PREFIX}/{}/", Uid::random()),
        made: Mutex::default(),
    });
    println!("makes secrets under {} in {region}", own.prefix);
    let shared = aws_config::defaults(BehaviorVersion::v2026_01_12()).region(Region::new(region));
    let sdk = Client::new(&shared.load().await);

    let console = Arc::new(OwnConsole {
        own: Arc::clone(&own),
        console: AwsConsole(sdk.clone()),
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

/// Runs the test above in a process of its own, because that is where an environment can be set.
fn run_live(moto: &Moto, region: Option<&str>) -> (bool, String) {
    let (key_id, secret) = CREDENTIALS;
    let program = std::env::current_exe().expect("this test");
    let mut command = std::process::Command::new(program);
    command
        .args([
            "--ignored",
            "--exact",
            "live::a_real_account_keeps_the_contract",
        ])
        .env(ENDPOINT, moto.settings().endpoint_url.expect("set"))
        .env("AWS_ACCESS_KEY_ID", key_id)
        .env("AWS_SECRET_ACCESS_KEY", secret)
        .env_remove("AWS_SESSION_TOKEN")
        .env_remove("AWS_PROFILE")
        .env_remove(REGION);
    if let Some(region) = region {
        command.env(REGION, region);
    }
    let output = command.output().expect("runs");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    (output.status.success(), said)
}

/// The secrets in moto: those that stay, and all.
async fn secrets(moto: &Moto) -> (usize, Vec<String>) {
    let sdk = moto.console().0;
    let mut pages = sdk
        .list_secrets()
        .include_planned_deletion(true)
        .into_paginator()
        .send();
    let mut names = Vec::new();
    let mut stay = 0;
    while let Some(page) = pages.next().await {
        for secret in page.expect("listed").secret_list() {
            names.extend(secret.name().map(str::to_owned));
            stay += usize::from(secret.deleted_date().is_none());
        }
    }
    (stay, names)
}

#[tokio::test]
async fn the_live_test_is_green_on_the_emulator_and_touches_only_what_it_made() {
    let moto = Moto::start();
    moto.console().put("theirs", "x").await;
    let (is_green, said) = run_live(&moto, Some("eu-central-1"));
    assert!(is_green && said.contains("1 passed"), "{said}");
    let (stay, names) = secrets(&moto).await;
    assert_eq!(stay, 1, "of {names:?}");
    let is_own = |name: &&String| name.starts_with(&format!("{PREFIX}/"));
    let own = names.iter().filter(is_own).count();
    assert!(own > 0 && own + 1 == names.len(), "{names:?}");
}

#[tokio::test]
async fn the_live_test_makes_nothing_unless_told_where() {
    let moto = Moto::start();
    let (is_green, said) = run_live(&moto, None);
    assert!(!is_green && said.contains(REGION), "{said}");
    assert_eq!(secrets(&moto).await, (0, Vec::new()));
}
