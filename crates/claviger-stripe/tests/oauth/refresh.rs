//! What a refresh yields, and what is known about the token when it fails.

use std::net::TcpListener;
use std::time::Duration;

use claviger_core::SecretBytes;
use claviger_stripe::Mode;
use claviger_stripe::live::LiveSettings;
use claviger_stripe::oauth::{self, Flavor, GrantFailure, Reuse, access_life};
use claviger_stub::stripe_oauth::{CLIENT_SECRET, Fault, Oddity, Rules, StripeOauth, Twist};
use claviger_stub::{Reply, Stub};
use serde_json::json;

use super::{
    ACCOUNT, client, client_with, impatient, installed, refresh, refresh_as, secret, settings, text,
};

#[tokio::test]
async fn a_refresh_is_one_form_with_the_secret_as_user_at_the_endpoint_of_its_flavor() {
    let (stripe, first) = installed(Rules::default());
    let client = client(&stripe.url());
    for (flavor, target) in [
        (Flavor::Apps, "POST /v1/oauth/token"),
        (Flavor::Connect, "POST /oauth/token"),
    ] {
        let token = stripe.newest_refresh_token(ACCOUNT);
        let tokens = refresh_as(&client, flavor, CLIENT_SECRET, &token).await;
        let tokens = tokens.expect("refreshed");
        let refresh_token = tokens.refresh_token.as_ref().expect("a new one");
        assert_eq!(text(refresh_token), stripe.newest_refresh_token(ACCOUNT));
        assert_eq!(
            text(&tokens.access_token),
            stripe.newest_access_token(ACCOUNT)
        );
        assert_eq!(tokens.account.as_deref(), Some(ACCOUNT));
        assert_eq!((tokens.mode, tokens.life), (Some(Mode::Test), None));
        let asked = stripe.stub().take_asked();
        let [call] = &asked[..] else {
            panic!("one call, and not {}", asked.len());
        };
        assert_eq!(call.target(), target);
        let form = format!("grant_type=refresh_token&refresh_token={token}");
        assert_eq!(call.body, form);
        // The secret and a colon.
        let basic = "Basic c2tfdGVzdF9jQW5Bclk1MUg4WnhRbUMwbkY6";
        assert_eq!(call.header("authorization"), Some(basic));
    }
    assert_ne!(first, stripe.newest_refresh_token(ACCOUNT));
    assert_eq!(stripe.refreshes(ACCOUNT), 2);
}

#[tokio::test]
async fn a_token_goes_into_the_form_whatever_its_characters() {
    let stub = Stub::always(Reply::json(400, r#"{"error":"invalid_grant"}"#));
    let failure = refresh(&client(&stub.url()), "a+b/c=&grant_type=x").await;
    assert_eq!(failure.expect_err("refused"), GrantFailure::InvalidGrant);
    assert_eq!(
        stub.asked()[0].body,
        "grant_type=refresh_token&refresh_token=a%2Bb%2Fc%3D%26grant_type%3Dx"
    );
}

#[tokio::test]
async fn an_answer_is_read_leniently_but_for_the_tokens() {
    let life = Some(Duration::from_secs(600));
    for (answer, account, mode, expected_life) in [
        (
            json!({"stripe_user_id": "acct_1", "livemode": true}),
            Some("acct_1"),
            Some(Mode::Live),
            None,
        ),
        (
            json!({"account_id": "acct_2", "livemode": false}),
            Some("acct_2"),
            Some(Mode::Test),
            None,
        ),
        (json!({"expires_in": 600}), None, None, life),
        (
            json!({"expires_in": "600", "livemode": "yes", "stripe_user_id": 1}),
            None,
            None,
            None,
        ),
        (
            json!({"stripe_user_id": "acct_1\r\nX: y", "scope": {}}),
            None,
            None,
            None,
        ),
    ] {
        let mut whole = json!({"access_token": "rk_test_1", "refresh_token": ""});
        whole
            .as_object_mut()
            .expect("an object")
            .extend(answer.as_object().expect("one").clone());
        let stub = Stub::always(Reply::json(200, &whole));
        let tokens = refresh(&client(&stub.url()), "rt_1").await.expect("tokens");
        assert_eq!(text(&tokens.access_token), "rk_test_1");
        assert!(tokens.refresh_token.is_none(), "{whole}");
        assert_eq!(
            (tokens.account.as_deref(), tokens.mode, tokens.life),
            (account, mode, expected_life),
            "{whole}"
        );
    }
}

#[tokio::test]
async fn each_definite_refusal_is_told_from_each_that_is_not() {
    use GrantFailure as F;
    let word = |status, word: &str| {
        let text = "Refresh token does not exist: rt_cAnArY";
        Reply::json(status, &json!({"error": word, "error_description": text}))
    };
    let object = |status, code: Option<&str>| {
        let error = json!({"type": "invalid_request_error", "code": code, "message": "rt_cAnArY"});
        Reply::json(status, &json!({ "error": error }))
    };
    let limited = |seconds: Option<u64>| F::Limited {
        retry_after: seconds.map(Duration::from_secs),
    };
    for (reply, expected) in [
        (word(400, "invalid_grant"), F::InvalidGrant),
        (word(400, "invalid_client"), F::ClientRejected),
        (word(401, "invalid_client"), F::ClientRejected),
        (word(400, "unauthorized_client"), F::ClientRejected),
        (object(401, None), F::ClientRejected),
        (
            object(403, Some("more_permissions_required_for_application")),
            F::ClientRejected,
        ),
        (word(400, "invalid_request"), F::Refused),
        (word(400, "invalid_scope"), F::Refused),
        (word(400, "unsupported_grant_type"), F::Refused),
        (object(400, Some("parameter_missing")), F::Refused),
        (object(429, Some("rate_limit")), limited(None)),
        (object(429, None).header("Retry-After: 7"), limited(Some(7))),
        (
            object(429, None).header("Retry-After: Mon, 30 Nov 2026 00:00:00 GMT"),
            limited(None),
        ),
        (word(400, "word_of_next_year"), F::Lost),
        (word(500, "invalid_grant"), F::Lost),
        (object(503, None), F::Lost),
        (object(404, None), F::Lost),
        (object(409, Some("lock_timeout")), F::Lost),
        (Reply::text(400, "denied by a proxy"), F::Lost),
        (Reply::text(401, "who are you"), F::Lost),
        (Reply::text(204, ""), F::Lost),
        (Reply::json(200, "{}"), F::Lost),
        (Reply::json(200, r#"{"access_token":""}"#), F::Lost),
        (Reply::json(200, r#"{"access_token":7}"#), F::Lost),
        (Reply::Endless(400, "x".repeat(1000)), F::Lost),
    ] {
        let stub = Stub::always(reply.clone());
        let failure = refresh(&client(&stub.url()), "rt_cAnArY").await;
        assert_eq!(failure.expect_err("no tokens"), expected, "{reply:?}");
        assert_eq!(stub.asked().len(), 1, "{reply:?}");
    }
}

#[tokio::test]
async fn whatever_happens_to_an_answer_is_lost_and_the_call_is_not_repeated() {
    let elsewhere = Stub::always(Reply::json(200, r#"{"access_token":"rk_test_1"}"#));
    let redirect = || Fault::Redirect(elsewhere.url());
    for (twist, has_committed) in [
        (Twist::Before(Fault::Cut), false),
        (Twist::After(Fault::Cut), true),
        (Twist::Before(Fault::Hang), false),
        (Twist::After(Fault::Hang), true),
        (Twist::Before(Fault::Status(503)), false),
        (Twist::After(Fault::Status(503)), true),
        (Twist::Before(redirect()), false),
        (Twist::After(redirect()), true),
        (Twist::Answer(Oddity::Half), true),
        (Twist::Answer(Oddity::Huge), true),
        (Twist::Answer(Oddity::NoAccessToken), true),
        (Twist::Answer(Oddity::NotJson), true),
    ] {
        let (stripe, first) = installed(Rules::default());
        stripe.twist_next([twist.clone()]);
        let client = match twist {
            Twist::Before(Fault::Hang) | Twist::After(Fault::Hang) => impatient(&stripe.url()),
            Twist::Before(_) | Twist::After(_) | Twist::Answer(_) => client(&stripe.url()),
        };
        let failure = refresh(&client, &first).await.expect_err("no tokens");
        assert_eq!(failure, GrantFailure::Lost, "{twist:?}");
        assert_eq!(stripe.calls(), 1, "{twist:?}");
        assert_eq!(
            stripe.refreshes(ACCOUNT),
            usize::from(has_committed),
            "{twist:?}"
        );
    }
    assert_eq!(elsewhere.asked().len(), 0);
}

#[tokio::test]
async fn too_many_calls_are_told_before_and_after_the_commit_alike() {
    for twist in [
        Twist::Before(Fault::Status(429)),
        Twist::After(Fault::Status(429)),
    ] {
        let (stripe, first) = installed(Rules::default());
        stripe.twist_next([twist]);
        let failure = refresh(&client(&stripe.url()), &first)
            .await
            .expect_err("limited");
        let retry_after = Some(Duration::from_secs(7));
        assert_eq!(failure, GrantFailure::Limited { retry_after });
    }
}

#[tokio::test]
async fn odd_tokens_are_handed_over_as_they_are() {
    let (stripe, first) = installed(Rules {
        expires_in: Some(1800),
        ..Rules::default()
    });
    let client = client(&stripe.url());
    stripe.twist_next([
        Twist::Answer(Oddity::OtherAccount("acct_2".to_owned())),
        Twist::Answer(Oddity::OtherMode),
        Twist::Answer(Oddity::NoRefreshToken),
    ]);
    let other = refresh(&client, &first).await.expect("tokens");
    assert_eq!(other.account.as_deref(), Some("acct_2"));
    assert_eq!(other.life, Some(Duration::from_secs(1800)));
    let other = refresh(&client, &stripe.newest_refresh_token(ACCOUNT)).await;
    assert_eq!(other.expect("tokens").mode, Some(Mode::Live));
    let without = refresh(&client, &stripe.newest_refresh_token(ACCOUNT)).await;
    assert!(without.expect("tokens").refresh_token.is_none());
}

#[tokio::test]
async fn where_nobody_listens_nothing_was_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    drop(listener);
    let failure = refresh(&client(&url), "rt_1").await.expect_err("nobody");
    assert_eq!(failure, GrantFailure::NotSent);
}

/// Which of the two times is over first is what counts, and not how long they are.
#[tokio::test(start_paused = true)]
async fn a_connection_that_does_not_come_about_is_no_lost_answer() {
    // Takes connections and never answers to the greeting of TLS.
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("https://{}", listener.local_addr().expect("bound"));
    let failure = refresh(&client(&url), "rt_1").await.expect_err("silence");
    assert_eq!(failure, GrantFailure::NotSent);
}

#[tokio::test]
async fn connect_without_a_host_is_not_sent_anywhere() {
    let (stripe, first) = installed(Rules::default());
    let mut settings = settings(&stripe.url());
    settings.connect_url = None;
    let client = client_with(&settings);
    assert!(client.serves(Flavor::Apps) && !client.serves(Flavor::Connect));
    let refused = oauth::fields::flavor(Flavor::Connect, &client);
    let refused = refused.expect_err("refused");
    let violation = refused.field_violation().expect("a field");
    assert_eq!(violation.field, "profile.oauth.flavor");
    assert!(
        violation
            .description
            .contains("connect.stripe.com to stripe.hosts")
    );
    let failure = refresh_as(&client, Flavor::Connect, CLIENT_SECRET, &first).await;
    assert_eq!(failure.expect_err("nowhere"), GrantFailure::NotSent);
    assert_eq!(stripe.stub().asked().len(), 0);
}

#[tokio::test]
async fn a_wrong_client_secret_is_told_from_a_wrong_refresh_token() {
    let (stripe, first) = installed(Rules::default());
    let client = client(&stripe.url());
    for other in ["sk_test_other", "rk_test_restricted", "rt_token", "\u{e9}"] {
        let failure = refresh_as(&client, Flavor::Apps, other, &first).await;
        let failure = failure.expect_err("refused");
        assert_eq!(failure, GrantFailure::ClientRejected, "{other}");
    }
    let no_text = SecretBytes::new(vec![0xff]);
    let token = secret(&first);
    let failure = client.refresh(Flavor::Apps, &no_text, &token).await;
    assert_eq!(failure.expect_err("no text"), GrantFailure::ClientRejected);
    let failure = refresh(&client, "rt_unknown").await.expect_err("refused");
    assert_eq!(failure, GrantFailure::InvalidGrant);
    assert_eq!(stripe.refreshes(ACCOUNT), 0);
}

#[test]
fn a_token_is_refreshed_in_the_last_part_of_its_life_and_never_before_half_of_it() {
    let stripe = StripeOauth::start(Rules::default());
    let client = client_with(&LiveSettings {
        refresh_token_reuse: Reuse::Revokes,
        ..settings(&stripe.url())
    });
    let seconds = Duration::from_secs;
    assert_eq!(client.refresh_before(seconds(3600)), seconds(90));
    assert_eq!(client.refresh_before(seconds(60)), seconds(30));
    assert_eq!(client.reuse(), Reuse::Revokes);
    assert_eq!(client.timeout(), seconds(30));
    assert_eq!(access_life(Flavor::Apps), Some(seconds(3600)));
    assert_eq!(access_life(Flavor::Connect), None);
    assert_eq!(Flavor::default().to_string(), "APPS");
    assert_eq!(Flavor::Connect.to_string(), "CONNECT");
}
