//! The client for Stripe's OAuth against a stand-in of ours for it, which was never compared with
//! Stripe.
#![forbid(unsafe_code)]
#![expect(
    clippy::expect_used,
    reason = "code around the tests of a test package may fail like a test"
)]

mod ends;
mod exchange;
mod refresh;
mod stand_in;

use std::sync::Arc;
use std::time::Duration;

use claviger_core::{ManualClock, SecretBytes};
use claviger_stripe::live::{BaseUrl, LiveSettings};
use claviger_stripe::oauth::{Flavor, GrantFailure, OauthClient, Reuse, Tokens};
use claviger_stub::stripe_oauth::{CANARY, CLIENT_SECRET, Rules, StripeOauth};

const ACCOUNT: &str = "acct_1";

fn secret(text: &str) -> SecretBytes {
    SecretBytes::new(text.into())
}

fn text(secret: &SecretBytes) -> &str {
    str::from_utf8(secret.expose()).expect("text")
}

fn settings(url: &str) -> LiveSettings {
    let base_url = BaseUrl::parse(url, &["127.0.0.1"]).expect("a good address");
    LiveSettings {
        connect_url: Some(base_url.clone()),
        base_url,
        timeout: Duration::from_secs(30),
        checks_per_minute: 1000,
        oauth_refresh_before: Duration::from_secs(90),
        refresh_token_reuse: Reuse::Tolerated,
    }
}

fn client_with(settings: &LiveSettings) -> OauthClient {
    let clock = ManualClock::at(Duration::from_secs(0));
    OauthClient::new(settings, Arc::new(clock))
}

fn client(url: &str) -> OauthClient {
    client_with(&settings(url))
}

/// A client that does not wait for what never comes.
fn impatient(url: &str) -> OauthClient {
    client_with(&LiveSettings {
        timeout: Duration::from_millis(300),
        ..settings(url)
    })
}

async fn refresh(client: &OauthClient, token: &str) -> Result<Tokens, GrantFailure> {
    refresh_as(client, Flavor::Apps, CLIENT_SECRET, token).await
}

async fn refresh_as(
    client: &OauthClient,
    flavor: Flavor,
    client_secret: &str,
    token: &str,
) -> Result<Tokens, GrantFailure> {
    let (client_secret, token) = (secret(client_secret), secret(token));
    let answer = client.refresh(flavor, &client_secret, &token).await;
    let printed = format!("{answer:?}{client:?}");
    assert!(!printed.contains(CANARY), "{printed}");
    answer
}

/// A stand-in with one install, and its first refresh token.
fn installed(rules: Rules) -> (Arc<StripeOauth>, String) {
    let stripe = Arc::new(StripeOauth::start(rules));
    let token = stripe.install(ACCOUNT, false);
    (stripe, token)
}
