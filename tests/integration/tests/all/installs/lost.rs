//! Answers that are lost, odd or refusals: the right state, and nothing lost that was not lost.

use claviger_integration::reason;
use claviger_stub::stripe_oauth::{Fault, Oddity, Rules, Twist};
use tonic_types::StatusExt as _;
use v1::install::{ReconnectReason as Why, State};

use claviger_proto::v1;

use super::{ACCOUNT, NEARLY_AN_HOUR, Scene};

const STRICT: Rules = Rules {
    revokes_on_reuse: true,
    old_access_calls: Some(0),
    expires_in: None,
};

fn other(account: &str) -> Oddity {
    Oddity::OtherAccount(account.to_owned())
}

fn elsewhere() -> Fault {
    Fault::Redirect("http://127.0.0.1:9/".to_owned())
}

#[tokio::test]
async fn an_exchange_that_went_wrong_leaves_what_is_known_at_stripe() {
    use Twist::{After, Answer, Before};
    let well = (State::Connected, Why::Unspecified);
    let lost = (State::ReconnectRequired, Why::AnswerLost);
    let changed = (State::ReconnectRequired, Why::AccountChanged);
    let unsure = (State::Uncertain, Why::Unspecified);
    // What the first call gets, and the state then; what the next one gets, and the state then.
    for (twist, first, between, second, state) in [
        // Repeated at once, which Stripe bears.
        (Before(Fault::Cut), "", well, "", well),
        (Before(Fault::Status(503)), "", well, "", well),
        (Before(elsewhere()), "", well, "", well),
        (
            After(Fault::Cut),
            "RECONNECT_REQUIRED",
            lost,
            "RECONNECT_REQUIRED",
            lost,
        ),
        (
            After(Fault::Status(503)),
            "RECONNECT_REQUIRED",
            lost,
            "RECONNECT_REQUIRED",
            lost,
        ),
        (
            Answer(Oddity::Half),
            "RECONNECT_REQUIRED",
            lost,
            "RECONNECT_REQUIRED",
            lost,
        ),
        (
            Answer(Oddity::Huge),
            "RECONNECT_REQUIRED",
            lost,
            "RECONNECT_REQUIRED",
            lost,
        ),
        (
            Answer(Oddity::NotJson),
            "RECONNECT_REQUIRED",
            lost,
            "RECONNECT_REQUIRED",
            lost,
        ),
        (
            Answer(Oddity::NoAccessToken),
            "RECONNECT_REQUIRED",
            lost,
            "RECONNECT_REQUIRED",
            lost,
        ),
        // A limit is not believed where a repeat costs nothing.
        (
            Before(Fault::Status(429)),
            "STRIPE_UNREACHABLE",
            unsure,
            "",
            well,
        ),
        (
            After(Fault::Status(429)),
            "STRIPE_UNREACHABLE",
            unsure,
            "RECONNECT_REQUIRED",
            lost,
        ),
        // The tokens are stored, and not served.
        (
            Answer(other("acct_1Other")),
            "RECONNECT_REQUIRED",
            changed,
            "RECONNECT_REQUIRED",
            changed,
        ),
        (
            Answer(Oddity::OtherMode),
            "RECONNECT_REQUIRED",
            changed,
            "RECONNECT_REQUIRED",
            changed,
        ),
    ] {
        let (scene, _) = Scene::used(Rules::default()).await;
        scene.server.clock.advance(NEARLY_AN_HOUR);
        scene.stripe.twist_next([twist.clone()]);
        let got = scene.resolve().await;
        assert_eq!(
            got.as_ref().err().map(reason).unwrap_or_default(),
            first,
            "{twist:?}"
        );
        assert_eq!(scene.state().await, between, "{twist:?}");
        // As long as a provider may ask to wait.
        scene
            .server
            .clock
            .advance(std::time::Duration::from_secs(7));
        let got = scene.resolve().await;
        assert_eq!(
            got.as_ref().err().map(reason).unwrap_or_default(),
            second,
            "{twist:?}"
        );
        assert_eq!(scene.state().await, state, "{twist:?}");
        if let Ok(got) = got {
            assert_eq!(got.credential, scene.stripe.newest_access_token(ACCOUNT));
        }
        // A person can always end it.
        let token = scene.stripe.install(ACCOUNT, false);
        scene.reconnect(&token).await;
        let got = scene.resolve().await.expect("connected again");
        assert_eq!(
            got.credential,
            scene.stripe.newest_access_token(ACCOUNT),
            "{twist:?}"
        );
    }
}

#[tokio::test]
async fn a_spent_token_never_goes_to_a_provider_that_ends_the_connection_for_it() {
    use Twist::{After, Answer, Before};
    for twist in [
        Before(Fault::Cut),
        Before(Fault::Status(503)),
        Before(elsewhere()),
        After(Fault::Cut),
        After(Fault::Status(503)),
        Answer(Oddity::Half),
        Answer(Oddity::Huge),
        Answer(Oddity::NotJson),
        Answer(Oddity::NoAccessToken),
    ] {
        let (mut scene, _) = Scene::used(STRICT).await;
        scene.server.clock.advance(NEARLY_AN_HOUR);
        scene.stripe.twist_next([twist.clone()]);
        for _ in 0..3 {
            let refused = scene.resolve().await.expect_err("lost");
            assert_eq!(reason(&refused), "RECONNECT_REQUIRED", "{twist:?}");
            scene.server.broker().sweep_installs().await.expect("swept");
        }
        scene.server.restart().await;
        scene.client = scene.server.unix();
        scene.resolve().await.expect_err("lost");
        let lost = (State::ReconnectRequired, Why::AnswerLost);
        assert_eq!(scene.state().await, lost, "{twist:?}");
        assert!(scene.stripe.spent_presented().is_empty(), "{twist:?}");
        assert!(!scene.stripe.is_over(ACCOUNT), "{twist:?}");
    }
    let (scene, _) = Scene::used(STRICT).await;
    scene.server.clock.advance(NEARLY_AN_HOUR);
    scene.stripe.twist_next([Before(Fault::Status(429))]);
    let later = scene.resolve().await.expect_err("later");
    assert_eq!(reason(&later), "STRIPE_UNREACHABLE");
    scene
        .server
        .clock
        .advance(std::time::Duration::from_secs(7));
    scene.resolve().await.expect("nothing was lost");
}

#[tokio::test]
async fn an_answer_without_a_refresh_token_keeps_the_one_there_was() {
    let (scene, _) = Scene::used(Rules::default()).await;
    scene.server.clock.advance(NEARLY_AN_HOUR);
    scene
        .stripe
        .twist_next([Twist::Answer(Oddity::NoRefreshToken)]);
    let got = scene.resolve().await.expect("an access token");
    assert_eq!(got.credential, scene.stripe.newest_access_token(ACCOUNT));
    assert_eq!(scene.install().await.state(), State::Connected);
}

#[tokio::test]
async fn an_answer_lost_twice_is_asked_for_again_by_the_next_caller() {
    let (scene, _) = Scene::used(Rules::default()).await;
    scene.server.clock.advance(NEARLY_AN_HOUR);
    scene.stripe.twist_always(Some(Twist::Before(Fault::Cut)));
    let before = scene.stripe.calls();
    let lost = scene.resolve().await.expect_err("lost");
    assert_eq!(reason(&lost), "STRIPE_UNREACHABLE");
    let wait = lost
        .get_error_details()
        .retry_info()
        .and_then(|retry| retry.retry_delay);
    assert!(wait.is_some(), "{lost:?}");
    assert_eq!(scene.stripe.calls() - before, 2, "once more, and no more");
    assert_eq!(scene.state().await.0, State::Uncertain);
    // Nobody is asked for a while.
    scene.resolve().await.expect_err("the same");
    assert_eq!(scene.stripe.calls() - before, 2);
    scene.stripe.twist_always(None);
    scene
        .server
        .clock
        .advance(std::time::Duration::from_secs(7));
    let got = scene.resolve().await.expect("resolved");
    assert_eq!(got.credential, scene.stripe.newest_access_token(ACCOUNT));
    assert_eq!(scene.state().await.0, State::Connected);
}

#[tokio::test]
async fn a_grant_that_ended_at_stripe_says_so_at_once_and_does_not_try_again() {
    let (scene, _) = Scene::used(Rules::default()).await;
    scene.stripe.revoke(ACCOUNT);
    scene.server.clock.advance(NEARLY_AN_HOUR);
    let before = scene.stripe.calls();
    for _ in 0..3 {
        let ended = scene.resolve().await.expect_err("ended");
        assert_eq!(reason(&ended), "RECONNECT_REQUIRED");
        assert!(ended.message().contains("REVOKED"), "{ended:?}");
        scene.server.broker().sweep_installs().await.expect("swept");
    }
    assert_eq!(scene.stripe.calls() - before, 1);
    assert_eq!(
        scene.state().await,
        (State::ReconnectRequired, Why::Revoked)
    );
}

#[tokio::test]
async fn a_refresh_token_that_nobody_used_for_a_year_says_so() {
    let (scene, _) = Scene::used(Rules::default()).await;
    scene.stripe.revoke(ACCOUNT);
    scene
        .server
        .clock
        .advance(std::time::Duration::from_secs(366 * 24 * 60 * 60));
    scene.resolve().await.expect_err("ended");
    assert_eq!(scene.state().await, (State::ReconnectRequired, Why::Idle));
}

#[tokio::test]
async fn a_client_secret_that_is_not_taken_ends_with_another_one() {
    let (scene, _) = Scene::used(Rules::default()).await;
    scene.server.clock.advance(NEARLY_AN_HOUR);
    scene.stripe.set_client_secret("sk_test_cAnArY51Rolled0nF");
    scene.resolve().await.expect_err("refused");
    let rejected = (State::ReconnectRequired, Why::ClientKeyRejected);
    assert_eq!(scene.state().await, rejected);
    scene.put_secret("sk_test_cAnArY51Rolled0nF").await;
    let got = scene
        .resolve()
        .await
        .expect("the refresh token was not spent");
    assert_eq!(got.credential, scene.stripe.newest_access_token(ACCOUNT));
}
