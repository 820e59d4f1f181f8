//! Who a token is for, and the end of an install.

use std::sync::Arc;
use std::time::Duration;

use claviger_core::ManualClock;
use claviger_stripe::Settings;
use claviger_stripe::live::{LiveClient, LiveSettings, Outcome};
use claviger_stripe::oauth::{Disconnect, DisconnectFailure};
use claviger_stub::stripe_oauth::{APP, CANARY, CLIENT_ID, CLIENT_SECRET, Rules};
use claviger_stub::{Reply, Stub};
use serde_json::json;

use super::{ACCOUNT, client, client_with, impatient, installed, secret, settings};

#[tokio::test]
async fn a_token_says_whose_it_is_until_it_is_over() {
    let (stripe, _) = installed(Rules::default());
    let client = client(&stripe.url());
    let token = secret(&stripe.newest_access_token(ACCOUNT));
    let none = Settings::default();
    let answer = client.account(&token, &none).await;
    assert_eq!(answer.outcome, Outcome::Works);
    assert_eq!(answer.account.as_deref(), Some(ACCOUNT));
    stripe.expire_access(ACCOUNT);
    let answer = client.account(&token, &none).await;
    assert_eq!((answer.outcome, answer.account), (Outcome::Revoked, None));
    let answer = client.account(&secret("rk_test_unknown"), &none).await;
    assert_eq!(answer.outcome, Outcome::Revoked);
    assert_eq!(stripe.calls(), 0, "never a refresh");
}

#[tokio::test]
async fn the_balance_of_a_token_is_a_matter_of_the_live_check() {
    let (stripe, _) = installed(Rules::default());
    let clock = Arc::new(ManualClock::at(Duration::from_secs(0)));
    let LiveSettings {
        base_url, timeout, ..
    } = settings(&stripe.url());
    let live = LiveClient::new(base_url, timeout, 10, clock);
    let token = secret(&stripe.newest_access_token(ACCOUNT));
    let verdict = live.check(&token, &Settings::default(), None).await;
    assert_eq!(verdict.outcome, Outcome::Works);
    stripe.revoke(ACCOUNT);
    let verdict = live.check(&token, &Settings::default(), None).await;
    assert_eq!(verdict.outcome, Outcome::Revoked);
}

#[tokio::test]
async fn an_account_is_asked_for_with_the_headers_of_a_check() {
    let account = json!({"object": "account", "id": "acct_9"});
    let stub = Stub::always(Reply::json(200, &account));
    let client = client_with(&LiveSettings {
        // For checks of keys alone.
        checks_per_minute: 1,
        ..settings(&stub.url())
    });
    let token = secret("rk_test_cAnArY51H8ZxQm");
    let mut of = Settings {
        account: Some("acct_9".to_owned()),
        ..Settings::default()
    };
    let answer = client.account(&token, &of).await;
    assert_eq!(answer.account.as_deref(), Some("acct_9"));
    of.context = Some("acct_1/acct_9".to_owned());
    client.account(&token, &of).await;
    let asked = stub.asked();
    assert_eq!(asked.len(), 2);
    assert_eq!(asked[0].target(), "GET /v1/account");
    assert_eq!(asked[0].header("stripe-account"), Some("acct_9"));
    assert_eq!(asked[1].header("stripe-context"), Some("acct_1/acct_9"));
}

#[tokio::test]
async fn an_answer_that_is_no_account_has_the_outcome_of_a_check() {
    let refusal =
        |status, message: &str| Reply::json(status, &json!({"error": {"message": message}}));
    for (reply, expected) in [
        (
            Reply::json(200, r#"{"object":"balance","id":"acct_1"}"#),
            Outcome::Unexpected,
        ),
        (
            Reply::json(200, r#"{"object":"account","id":"acct_1\n"}"#),
            Outcome::Unexpected,
        ),
        (Reply::text(200, "<html>"), Outcome::Unexpected),
        (Reply::text(401, "who are you"), Outcome::Unexpected),
        (
            refusal(401, "does not allow requests from your IP address"),
            Outcome::IpNotAllowed,
        ),
        (
            refusal(403, "does not have access to account 'acct_1'"),
            Outcome::WrongAccount,
        ),
        (refusal(429, "x"), Outcome::Overloaded),
        (refusal(503, "x"), Outcome::Unreachable),
    ] {
        let stub = Stub::always(reply.clone());
        let token = secret("rk_test_cAnArY51H8ZxQm");
        let answer = client(&stub.url())
            .account(&token, &Settings::default())
            .await;
        assert_eq!(
            (answer.outcome, answer.account),
            (expected, None),
            "{reply:?}"
        );
    }
    let stub = Stub::always(refusal(500, "x"));
    let other = secret("the password of a warehouse");
    let answer = client(&stub.url())
        .account(&other, &Settings::default())
        .await;
    assert_eq!(answer.outcome, Outcome::NotAsked);
    assert_eq!(stub.asked().len(), 0);
}

#[tokio::test]
async fn an_app_is_uninstalled_where_it_is_installed() {
    let (stripe, _) = installed(Rules::default());
    stripe.install("acct_2", false);
    let client = client(&stripe.url());
    let what = Disconnect::Apps {
        app: APP,
        account: ACCOUNT,
    };
    let ended = client.disconnect(&what, &secret(CLIENT_SECRET)).await;
    assert_eq!(ended, Ok(()));
    assert!(stripe.is_over(ACCOUNT) && !stripe.is_over("acct_2"));
    let asked = stripe.stub().take_asked();
    let targets: Vec<&str> = asked.iter().map(|call| call.target()).collect();
    assert_eq!(
        targets,
        [
            "GET /v1/apps/installs?app=app_1StandInOfOurs&account=acct_1",
            "POST /v1/apps/installs/ainst_0StandIn/uninstall",
        ]
    );
    assert_eq!(asked[1].header("stripe-account"), Some(ACCOUNT));
    for call in &asked {
        assert_eq!(call.header("stripe-version"), Some("2026-09-30.endive"));
    }
    let again = client.disconnect(&what, &secret(CLIENT_SECRET)).await;
    assert_eq!(again, Err(DisconnectFailure::NotFound));
}

#[tokio::test]
async fn a_platform_is_deauthorized() {
    let (stripe, _) = installed(Rules::default());
    let client = client(&stripe.url());
    let what = Disconnect::Connect {
        client_id: CLIENT_ID,
        account: ACCOUNT,
    };
    let ended = client.disconnect(&what, &secret(CLIENT_SECRET)).await;
    assert_eq!(ended, Ok(()));
    assert!(stripe.is_over(ACCOUNT));
    let asked = stripe.stub().take_asked();
    assert_eq!(asked[0].target(), "POST /oauth/deauthorize");
    assert_eq!(
        asked[0].body,
        "client_id=ca_1StandInOfOurs&stripe_user_id=acct_1"
    );
    let again = client.disconnect(&what, &secret(CLIENT_SECRET)).await;
    assert_eq!(again, Err(DisconnectFailure::NotFound));
    let mut settings = settings(&stripe.url());
    settings.connect_url = None;
    let nowhere = client_with(&settings)
        .disconnect(&what, &secret(CLIENT_SECRET))
        .await;
    assert_eq!(nowhere, Err(DisconnectFailure::NotConfigured));
}

#[tokio::test]
async fn an_end_that_did_not_come_says_why_and_repeats_nothing() {
    use DisconnectFailure as F;
    let apps = Disconnect::Apps {
        app: APP,
        account: ACCOUNT,
    };
    let connect = Disconnect::Connect {
        client_id: CLIENT_ID,
        account: ACCOUNT,
    };
    let text = "sk_test_cAnArY";
    let error = |status| Reply::json(status, &json!({"error": {"message": text}}));
    let list = |id: &str| Reply::json(200, &json!({"object": "list", "data": [{"id": id}]}));
    for (reply, expected) in [
        (error(401), F::ClientRejected),
        (error(403), F::ClientRejected),
        (error(404), F::NotFound),
        (error(429), F::Overloaded),
        (error(500), F::Unreachable),
        (error(400), F::Unexpected),
        (
            Reply::text(302, "").header("Location: http://127.0.0.1:1/"),
            F::Unexpected,
        ),
        (Reply::Reset, F::Unreachable),
        (Reply::Endless(200, "x".repeat(1000)), F::Unexpected),
    ] {
        for what in [apps, connect] {
            let stub = Stub::always(reply.clone());
            let ended = client(&stub.url())
                .disconnect(&what, &secret(CLIENT_SECRET))
                .await;
            assert_eq!(ended, Err(expected), "{reply:?} {what:?}");
            let printed = format!("{ended:?}{expected}");
            assert!(!printed.contains(CANARY), "{printed}");
            assert_eq!(stub.asked().len(), 1, "{reply:?}");
        }
    }
    let stub = Stub::always(Reply::Hang);
    let ended = impatient(&stub.url())
        .disconnect(&connect, &secret(CLIENT_SECRET))
        .await;
    assert_eq!(ended, Err(F::Unreachable));
    // An id becomes a part of the next call's path.
    let stub = Stub::always(list("../../v1/accounts/acct_1"));
    let ended = client(&stub.url())
        .disconnect(&apps, &secret(CLIENT_SECRET))
        .await;
    assert_eq!(ended, Err(F::Unexpected));
    assert_eq!(stub.asked().len(), 1);
}
