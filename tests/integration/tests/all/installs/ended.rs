//! Connections that are tested, ended, and put again.

use std::time::Duration;

use claviger_integration::{reason, violation};
use claviger_proto::v1;
use claviger_stub::stripe_oauth::{APP, CLIENT_SECRET, Fault, Rules, Twist};
use v1::install::{ReconnectReason as Why, State};
use v1::stripe_live_verdict::Outcome;

use super::{ACCOUNT, NEARLY_AN_HOUR, Scene, name, oauth, profile, resolve};

impl Scene {
    async fn disconnect(&self) -> Result<v1::Install, tonic::Status> {
        let request = v1::DisconnectInstallRequest {
            name: name("stripe"),
        };
        let ended = self.client.profiles().disconnect_install(request).await;
        ended.map(|ended| ended.into_inner().install.expect("as it is now"))
    }

    async fn test(&self) -> v1::TestConnectionResponse {
        let request = v1::TestConnectionRequest {
            name: name("stripe"),
            ..Default::default()
        };
        let tested = self.client.profiles().test_connection(request).await;
        tested.expect("tested").into_inner()
    }
}

fn app(app: &str) -> v1::OauthAuth {
    v1::OauthAuth {
        app: app.to_owned(),
        client_secret: CLIENT_SECRET.to_owned(),
        ..Default::default()
    }
}

const APP_PATHS: [&str; 2] = ["oauth.app", "oauth.client_secret"];

#[tokio::test]
async fn a_disconnect_ends_the_install_at_stripe_and_here() {
    let (scene, _) = Scene::used(Rules::default()).await;
    let refused = scene.disconnect().await.expect_err("no app");
    assert_eq!(reason(&refused), "FIELD_INVALID");
    // Of another app there is no install, and nothing is ended for that.
    scene
        .mask(app("app_1Other"), &APP_PATHS)
        .await
        .expect("put");
    for hours in [0, 2] {
        // That its access token has ended says nothing about the install.
        scene
            .server
            .clock
            .advance(Duration::from_secs(hours * 3600));
        if hours > 0 {
            scene.stripe.expire_access(ACCOUNT);
        }
        let refused = scene.disconnect().await.expect_err("another app");
        assert_eq!(reason(&refused), "STRIPE_REFUSED");
    }
    scene.resolve().await.expect("goes on");
    scene.mask(app(APP), &APP_PATHS).await.expect("put");
    let ended = scene.disconnect().await.expect("ended");
    assert_eq!(ended.state(), State::ReconnectRequired);
    assert_eq!(ended.reconnect_reason(), Why::Revoked);
    assert!(scene.stripe.is_over(ACCOUNT));
    let gone = scene.resolve().await.expect_err("ended");
    assert_eq!(reason(&gone), "RECONNECT_REQUIRED");
    let token = scene.stripe.install(ACCOUNT, false);
    scene.reconnect(&token).await;
    scene.resolve().await.expect("connected again");
}

#[tokio::test]
async fn nothing_is_disconnected_that_was_only_typed() {
    let scene = Scene::start(Rules::default()).await;
    scene.stripe.install("acct_1Victim", false);
    let typed = v1::OauthAuth {
        account: "acct_1Victim".to_owned(),
        app: APP.to_owned(),
        ..oauth("rt_cAnArYOfNobody")
    };
    scene.put(profile("stripe", typed)).await.expect("put");
    let refused = scene.disconnect().await.expect_err("never connected");
    assert_eq!(reason(&refused), "FIELD_INVALID");
    assert!(!scene.stripe.is_over("acct_1Victim"));
    // Nor by somebody who does not know the secret of a profile that is connected.
    let (scene, _) = Scene::used(Rules::default()).await;
    let elsewhere = v1::OauthAuth {
        account: "acct_1Victim".to_owned(),
        refresh_token: "rt_cAnArYOfNobody".to_owned(),
        ..Default::default()
    };
    let paths = ["oauth.account", "oauth.refresh_token"];
    let refused = scene.mask(elsewhere, &paths).await.expect_err("refused");
    let (field, _) = violation(&refused).expect("a field");
    assert_eq!(field, "profile.oauth.client_secret");
}

#[tokio::test]
async fn a_test_takes_the_token_that_jobs_have_until_its_end() {
    let (scene, first) = Scene::used(Rules::default()).await;
    scene.server.clock.advance(NEARLY_AN_HOUR);
    let tested = scene.test().await;
    assert_eq!(tested.version, first.version);
    assert_eq!(tested.account, ACCOUNT);
    assert_eq!(tested.live.expect("asked").outcome(), Outcome::Works);
    assert_eq!(scene.stripe.refreshes(ACCOUNT), 1);
    scene.stripe.expire_access(ACCOUNT);
    let tested = scene.test().await;
    assert_eq!(tested.live.expect("asked").outcome(), Outcome::Revoked);
    assert_eq!(scene.stripe.refreshes(ACCOUNT), 1);
    // One that was never used has none yet.
    let scene = Scene::connected(Rules::default()).await;
    let tested = scene.test().await;
    assert_eq!(tested.live.expect("asked").outcome(), Outcome::Works);
    assert_eq!(tested.install.expect("of OAuth").state(), State::Connected);
}

#[tokio::test]
async fn a_refresh_token_that_was_put_before_is_not_a_new_one() {
    let strict = Rules {
        revokes_on_reuse: true,
        ..Rules::default()
    };
    for rules in [Rules::default(), strict] {
        let scene = Scene::start(rules).await;
        let token = scene.stripe.install(ACCOUNT, false);
        let made = scene.put(profile("stripe", oauth(&token))).await;
        let made = made.expect("put");
        let first = scene.resolve().await.expect("resolved");
        // As a script does that puts all it has again.
        let again = v1::ConnectionProfile {
            etag: made.etag.clone(),
            ..profile("stripe", oauth(&token))
        };
        scene.put(again).await.expect("the same");
        scene.reconnect(&token).await;
        let same = scene.resolve().await.expect("resolved");
        assert_eq!(same.credential, first.credential);
        scene.server.clock.advance(NEARLY_AN_HOUR);
        scene.resolve().await.expect("by the one that rolled");
        assert!(scene.stripe.spent_presented().is_empty());
    }
}

#[tokio::test]
async fn a_client_secret_that_works_again_is_put_again() {
    let (scene, _) = Scene::used(Rules::default()).await;
    scene.server.clock.advance(NEARLY_AN_HOUR);
    scene.stripe.set_client_secret("sk_test_cAnArY51Rolled0nF");
    scene.resolve().await.expect_err("refused");
    let rejected = (State::ReconnectRequired, Why::ClientKeyRejected);
    assert_eq!(scene.state().await, rejected);
    scene.stripe.set_client_secret(CLIENT_SECRET);
    scene.put_secret(CLIENT_SECRET).await;
    scene.resolve().await.expect("nothing was spent");
}

#[tokio::test]
async fn tokens_of_connect_are_replaced_only_once_they_are_refused() {
    let scene = Scene::start(Rules::default()).await;
    let connect = v1::OauthAuth {
        flavor: v1::oauth_auth::Flavor::Connect.into(),
        ..oauth(&scene.stripe.install(ACCOUNT, false))
    };
    scene.put(profile("stripe", connect)).await.expect("put");
    let first = scene.resolve().await.expect("resolved");
    assert_eq!(first.expire_time, None);
    for _ in 0..40 {
        scene
            .server
            .clock
            .advance(Duration::from_secs(24 * 60 * 60 + 300));
        scene.server.broker().sweep_installs().await.expect("swept");
        let same = scene.resolve().await.expect("resolved");
        assert_eq!(same.credential, first.credential);
    }
    scene.stripe.expire_access(ACCOUNT);
    let next = resolve(&scene.client, "stripe", &first.version).await;
    let next = next.expect("resolved");
    assert_eq!(next.credential, scene.stripe.newest_access_token(ACCOUNT));
    assert_ne!(next.credential, first.credential);
    assert_eq!(scene.stripe.refreshes(ACCOUNT), 2);
}

#[tokio::test]
async fn a_spent_refresh_token_does_not_take_the_place_of_a_good_one() {
    let spent = |refused: tonic::Status| {
        let (field, remedy) = violation(&refused).expect("a field");
        assert_eq!(field, "profile.oauth.refresh_token");
        assert!(remedy.contains("is spent"), "{remedy}");
    };
    let scene = Scene::start(Rules::default()).await;
    let token = scene.stripe.install(ACCOUNT, false);
    scene
        .put(profile("stripe", oauth(&token)))
        .await
        .expect("put");
    scene.resolve().await.expect("resolved");
    // All that there is, put again with another account by mistake.
    let elsewhere = v1::OauthAuth {
        account: "acct_1Typo".to_owned(),
        ..oauth(&token)
    };
    spent(scene.mask(elsewhere, &["oauth"]).await.expect_err("spent"));
    // With the secret that a person was asked for.
    scene.server.clock.advance(NEARLY_AN_HOUR);
    let rolled = "sk_test_cAnArY51Rolled0nF";
    scene.stripe.set_client_secret(rolled);
    scene.resolve().await.expect_err("refused");
    let all = v1::OauthAuth {
        client_secret: rolled.to_owned(),
        ..oauth(&token)
    };
    scene.mask(all, &["oauth"]).await.expect("put");
    scene.resolve().await.expect("by the one that rolled");
    assert!(scene.stripe.spent_presented().is_empty());
    // Where a person was asked for a token.
    scene.stripe.revoke(ACCOUNT);
    scene.server.clock.advance(NEARLY_AN_HOUR);
    scene.resolve().await.expect_err("revoked");
    let again = scene.mask(oauth(&token), &["oauth.refresh_token"]).await;
    spent(again.expect_err("spent"));
}

#[tokio::test]
async fn a_token_that_stripe_refuses_is_not_served_while_the_next_one_is_awaited() {
    let (scene, first) = Scene::used(Rules {
        revokes_on_reuse: true,
        ..Rules::default()
    })
    .await;
    scene.stripe.expire_access(ACCOUNT);
    let later = Twist::Before(Fault::Status(429));
    scene.stripe.twist_next([later]);
    for refused in [&first.version, ""] {
        let later = resolve(&scene.client, "stripe", refused).await;
        assert_eq!(reason(&later.expect_err("later")), "STRIPE_UNREACHABLE");
    }
    scene.server.clock.advance(Duration::from_secs(7));
    let next = scene.resolve().await.expect("resolved");
    assert_eq!(next.credential, scene.stripe.newest_access_token(ACCOUNT));
}

#[tokio::test]
async fn an_account_that_was_only_typed_can_be_taken_back() {
    let scene = Scene::start(Rules::default()).await;
    let typed = v1::OauthAuth {
        account: "acct_1Typo".to_owned(),
        ..oauth(&scene.stripe.install(ACCOUNT, false))
    };
    scene.put(profile("stripe", typed)).await.expect("put");
    let none = v1::OauthAuth::default();
    scene.mask(none, &["oauth.account"]).await.expect("put");
    scene.resolve().await.expect("of whichever account it is");
    assert_eq!(scene.install().await.account, ACCOUNT);
}
