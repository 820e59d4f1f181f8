//! The live check against answers that Stripe was recorded to give.
#![forbid(unsafe_code)]
#![expect(
    clippy::expect_used,
    reason = "code around the tests of a test package may fail like a test"
)]

use std::sync::Arc;
use std::time::Duration;

use claviger_core::{ManualClock, SecretBytes};
use claviger_stripe::live::{BaseUrl, LiveClient, LiveVerdict, Outcome};
use claviger_stripe::{Mode, Settings};
use claviger_stub::{Reply, Stub};
use serde_json::json;

const KEY: &str = concat!("rk_", "test_", "cAnArY51H8ZxQm");
const ORGANIZATION: &str = concat!("sk_", "org_test_", "cAnArY51H8ZxQm");

fn client(stub: &Stub, timeout: Duration, per_minute: u32, clock: Arc<ManualClock>) -> LiveClient {
    let base = BaseUrl::parse(&stub.url(), &["127.0.0.1"]).expect("a good address");
    LiveClient::new(base, timeout, per_minute, clock)
}

fn a_client(stub: &Stub) -> LiveClient {
    let clock = Arc::new(ManualClock::at(Duration::from_secs(0)));
    client(stub, Duration::from_secs(30), 1000, clock)
}

async fn check(client: &LiveClient, key: &SecretBytes, settings: &Settings) -> LiveVerdict {
    client.check(key, settings, None).await
}

fn key(text: &str) -> SecretBytes {
    SecretBytes::new(text.into())
}

fn error(status: u16, code: Option<&str>, message: &str) -> Reply {
    let error = json!({"type": "invalid_request_error", "code": code, "message": message});
    Reply::json(status, &json!({ "error": error }))
}

fn balance(livemode: &str) -> Reply {
    let body = format!(r#"{{"object":"balance","available":[],"livemode":{livemode}}}"#);
    Reply::json(200, &body).header("Request-Id: req_1")
}

/// An answer that would be good if it were not longer than anything that is read.
fn long_balance() -> Reply {
    let filler = "x".repeat(70_000);
    let body = format!(r#"{{"object":"balance","livemode":false,"filler":"{filler}"}}"#);
    Reply::json(200, &body)
}

fn recorded() -> Vec<(Reply, Outcome)> {
    use Outcome as V;
    let old = "The provided key 'rk_test_***qs8Kgd' does not have the required permissions for this endpoint on account 'acct_1'.";
    vec![
        (balance("true"), V::Works),
        (balance("false"), V::Works),
        (
            error(401, None, &format!("Invalid API Key provided: {KEY}")),
            V::Revoked,
        ),
        (
            error(
                401,
                Some("api_key_expired"),
                "Expired API Key provided: rk_test_****aaaaaa",
            ),
            V::Expired,
        ),
        (
            error(401, None, "Expired API Key provided: rk_test_****aaaaaa"),
            V::Expired,
        ),
        (
            error(
                401,
                Some("platform_api_key_expired"),
                "Expired API Key provided: pss_test_...",
            ),
            V::Revoked,
        ),
        (
            error(
                401,
                None,
                "Expired API Key provided: x. Platform access may have been revoked.",
            ),
            V::Revoked,
        ),
        (
            error(403, Some("secret_key_required"), "x"),
            V::NotAServerKey,
        ),
        (
            error(
                403,
                None,
                "This API call cannot be made with a publishable API key. Please use",
            ),
            V::NotAServerKey,
        ),
        (
            error(
                403,
                None,
                &format!("{old} Having more permissions would allow"),
            ),
            V::Limited,
        ),
        (
            error(
                403,
                Some("account_invalid"),
                "The provided key 'x' does not have access",
            ),
            V::WrongAccount,
        ),
        (
            error(
                403,
                None,
                "The provided key 'x' does not have access to account 'acct_1'",
            ),
            V::WrongAccount,
        ),
        (
            error(
                400,
                None,
                "Please include the Stripe-Context header with your target account",
            ),
            V::ContextRequired,
        ),
        (
            error(
                401,
                None,
                "The API key provided does not allow requests from your IP address.",
            ),
            V::IpNotAllowed,
        ),
        (error(429, Some("rate_limit"), "x"), V::Overloaded),
        (error(400, Some("rate_limit"), "x"), V::Overloaded),
        (error(500, None, "x"), V::Unreachable),
        (error(404, None, "x"), V::Unexpected),
        (error(403, None, "x"), V::Unexpected),
        (Reply::text(200, "<html>welcome</html>"), V::Unexpected),
        (Reply::json(200, r#"{"object":"account"}"#), V::Unexpected),
        (Reply::text(401, "who are you"), V::Unexpected),
        (Reply::text(403, "denied by a proxy"), V::Unexpected),
        (long_balance(), V::Unexpected),
        (Reply::Endless(200, "x".repeat(1000)), V::Unexpected),
    ]
}

#[tokio::test]
async fn each_recorded_answer_has_its_verdict_and_nothing_of_the_key_is_kept() {
    for (reply, expected) in recorded() {
        let stub = Stub::always(reply.clone());
        let verdict = check(&a_client(&stub), &key(KEY), &Settings::default()).await;
        assert_eq!(verdict.outcome, expected, "{reply:?}");
        let printed = format!("{verdict:?}{}", verdict.outcome.text());
        assert!(!printed.contains("cAnArY"), "{printed}");
        assert_eq!(stub.asked().len(), 1, "{reply:?}");
    }
}

#[tokio::test]
async fn a_limited_key_says_which_permission_it_lacks() {
    let hostile = "The provided key has no permission 'rk_test_cAnArY_read' on account 'acct_1'";
    for (message, permission) in [
        (hostile, None),
        (
            "The provided key 'rk_test_***qs8Kgd' does not have .. Having the 'rak_balance_read' permission would allow",
            Some("balance_read"),
        ),
        (
            "Permission denied. .. Enabling \"Balance Read\" ('balance_read') permissions on this key",
            Some("balance_read"),
        ),
    ] {
        let stub = Stub::always(error(403, None, message));
        let verdict = check(&a_client(&stub), &key(KEY), &Settings::default()).await;
        assert_eq!(verdict.outcome, Outcome::Limited);
        assert_eq!(verdict.missing_permission, permission, "{message}");
    }
}

#[tokio::test]
async fn the_key_goes_into_its_header_and_account_or_context_travel_with_it() {
    let stub = Stub::always(balance("false"));
    let client = a_client(&stub);
    let mut settings = Settings {
        account: Some("acct_1".to_owned()),
        ..Settings::default()
    };
    check(&client, &key(KEY), &settings).await;
    settings.context = Some("acct_2/acct_3".to_owned());
    check(&client, &key(ORGANIZATION), &settings).await;
    let asked = stub.asked();
    let bearer = format!("Bearer {KEY}");
    assert_eq!(asked[0].target(), "GET /v1/balance");
    assert_eq!(asked[0].header("authorization"), Some(&*bearer));
    assert_eq!(asked[0].header("stripe-account"), Some("acct_1"));
    assert_eq!(asked[0].header("stripe-version"), None);
    assert_eq!(asked[1].header("stripe-context"), Some("acct_2/acct_3"));
    assert!(asked[1].header("stripe-version").is_some());
    assert_eq!(asked[1].header("stripe-account"), None);
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let target = Stub::always(balance("false"));
    let location = format!("Location: {}/v1/balance", target.url());
    let stub = Stub::always(Reply::text(307, "").header(&location));
    let verdict = check(&a_client(&stub), &key(KEY), &Settings::default()).await;
    assert_eq!(verdict.outcome, Outcome::Unexpected);
    assert_eq!(target.asked().len(), 0);
}

#[tokio::test]
async fn a_stripe_that_hangs_does_not_hold_the_caller() {
    for reply in [Reply::Hang, Reply::Stall("{".to_owned())] {
        let stub = Stub::always(reply);
        let clock = Arc::new(ManualClock::at(Duration::from_secs(0)));
        let client = client(&stub, Duration::from_millis(300), 1, clock);
        let verdict = check(&client, &key(KEY), &Settings::default()).await;
        assert_eq!(verdict.outcome, Outcome::Unreachable);
    }
}

#[tokio::test]
async fn checks_are_counted_per_minute() {
    let stub = Stub::always(balance("false"));
    let clock = Arc::new(ManualClock::at(Duration::from_secs(0)));
    let client = client(&stub, Duration::from_secs(30), 2, Arc::clone(&clock));
    let mut verdicts = Vec::new();
    for _ in 0..3 {
        verdicts.push(
            check(&client, &key(KEY), &Settings::default())
                .await
                .outcome
                .as_str(),
        );
    }
    clock.advance(Duration::from_secs(60));
    verdicts.push(
        check(&client, &key(KEY), &Settings::default())
            .await
            .outcome
            .as_str(),
    );
    assert_eq!(verdicts, ["WORKS", "WORKS", "OVERLOADED", "WORKS"]);
    assert_eq!(stub.asked().len(), 3);
}

#[tokio::test]
async fn bytes_that_no_header_can_carry_are_not_sent() {
    let stub = Stub::always(balance("false"));
    let verdict = check(
        &a_client(&stub),
        &key("rk_test_a\nX: y"),
        &Settings::default(),
    )
    .await;
    assert_eq!(verdict.outcome, Outcome::NotAServerKey);
    assert_eq!(stub.asked().len(), 0);
}

#[tokio::test]
async fn a_key_of_the_mode_that_is_not_demanded_is_told_by_stripe_itself() {
    for (livemode, demanded, expected, mode) in [
        ("true", Some(Mode::Test), Outcome::WrongMode, None),
        ("false", Some(Mode::Live), Outcome::WrongMode, None),
        ("false", Some(Mode::Test), Outcome::Works, Some(Mode::Test)),
        ("true", None, Outcome::Works, Some(Mode::Live)),
    ] {
        let stub = Stub::always(balance(livemode));
        // As organization keys of next year may be: without a mode to be seen.
        let silent = key(concat!("sk_", "org_cAnArY51H8ZxQm"));
        let settings = Settings::default();
        let verdict = a_client(&stub).check(&silent, &settings, demanded).await;
        assert_eq!(
            (verdict.outcome, verdict.mode),
            (expected, mode),
            "{livemode} {demanded:?}"
        );
    }
}

#[tokio::test]
async fn what_is_no_key_of_stripes_is_not_sent_there() {
    let stub = Stub::always(balance("false"));
    for value in ["the password of a warehouse", "pk_test_cAnArY51H8ZxQm", ""] {
        let verdict = check(&a_client(&stub), &key(value), &Settings::default()).await;
        assert_eq!(verdict.outcome, Outcome::NotAsked, "{value}");
    }
    assert_eq!(stub.asked().len(), 0);
}
