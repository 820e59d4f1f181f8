//! The same suite against a real account, for anyone who asks for it: `deploy/live/aws.sh`.
//!
//! Ignored unless asked for by name, and then it wants a region. Keeps to names under a prefix of
//! its own and schedules what it made for deletion. So that it works on the day it is needed, every
//! run of the tests tries it on moto.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use aws_config::{BehaviorVersion, Region};
use aws_sdk_secretsmanager::Client;
use claviger_backend::testkit::{Console as _, Live, LiveConsole, ignored_test};
use claviger_backend_aws::{Aws, AwsSettings};
use claviger_core::{SystemClock, Uid};

use crate::moto::{AwsConsole, CREDENTIALS, Moto};

/// Where to make secrets; anyone who sets it means it.
const REGION: &str = "CLAVIGER_LIVE_AWS_REGION";

/// An emulator instead of AWS.
const ENDPOINT: &str = "AWS_ENDPOINT_URL";

/// What the names of all runs begin with, so that a policy can be written for them.
const PREFIX: &str = "claviger-live";

const TIMEOUT: Duration = Duration::from_secs(60);

/// A listing of AWS's lags up to five minutes behind; it is given ten.
const LISTING_LAG: Duration = Duration::from_secs(600);

#[async_trait]
impl LiveConsole for AwsConsole {
    async fn clean_up(&self, secret: &str) -> bool {
        let delete = self.0.delete_secret().secret_id(secret);
        let deleted = delete.recovery_window_in_days(7).send().await;
        deleted.is_ok() || is_gone(&self.0, secret).await
    }
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
    let prefix = format!("{PREFIX}/{}/", Uid::random());
    println!("makes secrets under {prefix} in {region}");
    let backend = Aws::new(&settings, Uid::random(), TIMEOUT, clock).await;
    let shared = aws_config::defaults(BehaviorVersion::v2026_01_12()).region(Region::new(region));
    let live = Live {
        backend: Arc::new(backend),
        console: Arc::new(AwsConsole(Client::new(&shared.load().await))),
        prefix,
        listing_lag: LISTING_LAG,
    };
    live.conformance().await;
}

/// Runs the test above in a process of its own, because that is where an environment can be set.
fn run_live(moto: &Moto, region: Option<&str>) -> (bool, String) {
    let (key_id, secret) = CREDENTIALS;
    let mut command = ignored_test("live::a_real_account_keeps_the_contract");
    command
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
