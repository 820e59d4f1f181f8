//! Profiles that lead to one install, and changes while an exchange runs.

use claviger_integration::reason;
use claviger_proto::v1;
use claviger_stub::stripe_oauth::{Hold, Rules};
use tokio::runtime::Handle;
use v1::install::State;

use super::{ACCOUNT, NEARLY_AN_HOUR, Scene, name, oauth, profile, resolve};

#[tokio::test]
async fn a_second_profile_of_one_install_joins_it_and_its_token_wins() {
    let (scene, first) = Scene::used(Rules::default()).await;
    // Connected once more, which ends the tokens of the first.
    scene.connect("second", ACCOUNT).await;
    let second = resolve(&scene.client, "second", "")
        .await
        .expect("resolved");
    assert_ne!(second.credential, first.credential);
    let again = scene.resolve().await.expect("joined");
    assert_eq!(again.credential, second.credential);
    assert_eq!(
        scene.stripe.refreshes(ACCOUNT),
        1,
        "of the second connection"
    );
    assert_eq!(
        scene.definition("stripe").await,
        scene.definition("second").await
    );
    // The token of either was put before.
    let first_token = scene.first_token.clone();
    scene.reconnect(&first_token).await;
    assert_eq!(
        scene.resolve().await.expect("joined").credential,
        second.credential
    );
    let both = [name("second"), name("stripe")];
    assert_eq!(scene.install().await.profiles, both);
    assert_eq!(scene.install_of("second").await.profiles, both);
    // Either may go, and the other goes on.
    for (gone, left) in [("stripe", "second")] {
        let request = v1::DeleteConnectionProfileRequest {
            name: name(gone),
            purge: true,
            ..Default::default()
        };
        let mut profiles = scene.client.profiles();
        let purged = profiles.delete_connection_profile(request).await;
        purged.expect("purged");
        let left = resolve(&scene.client, left, "").await.expect("resolved");
        assert_eq!(left.credential, second.credential);
    }
}

#[tokio::test]
async fn another_project_does_not_get_an_install_that_is_taken() {
    let (scene, first) = Scene::used(Rules::default()).await;
    scene.client.project("projects/other", &[]).await;
    let token = scene.stripe.install(ACCOUNT, false);
    let other = v1::ConnectionProfile {
        name: "projects/other/connectionProfiles/stripe".to_owned(),
        ..profile("stripe", oauth(&token))
    };
    scene.put(other).await.expect("put");
    let request = || v1::ResolveConnectionRequest {
        name: "projects/other/connectionProfiles/stripe".to_owned(),
        ..Default::default()
    };
    for _ in 0..2 {
        let refused = scene.client.profiles().resolve_connection(request()).await;
        assert_eq!(reason(&refused.expect_err("taken")), "INSTALL_SHARED");
    }
    assert_eq!(
        scene.stripe.calls(),
        2,
        "what it rolled is kept, and not rolled again"
    );
    assert_eq!(
        scene.resolve().await.expect("its own").credential,
        first.credential
    );
    // Once the other has let it go.
    let purge = v1::DeleteConnectionProfileRequest {
        name: name("stripe"),
        purge: true,
        ..Default::default()
    };
    let mut profiles = scene.client.profiles();
    let purged = profiles.delete_connection_profile(purge).await;
    purged.expect("purged");
    let got = scene.client.profiles().resolve_connection(request()).await;
    let got = got.expect("free").into_inner();
    assert_eq!(got.credential, scene.stripe.newest_access_token(ACCOUNT));
    assert_eq!(scene.stripe.calls(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_profile_that_changes_while_tokens_are_exchanged_keeps_its_change() {
    let key = "rk_test_51H8ZxQmC0nF0123456789";
    let (scene, _) = Scene::used(Rules::default()).await;
    let call = scene.waiting().await;
    let api_key = v1::ApiKeyAuth {
        api_key: key.to_owned(),
        ..Default::default()
    };
    let request = v1::PutConnectionProfileRequest {
        profile: Some(v1::ConnectionProfile {
            name: name("stripe"),
            auth: Some(v1::connection_profile::Auth::ApiKey(api_key)),
            ..Default::default()
        }),
        update_mask: Some(prost_types::FieldMask {
            paths: vec!["api_key".to_owned()],
        }),
        ..Default::default()
    };
    let put = scene
        .client
        .profiles()
        .put_connection_profile(request)
        .await;
    put.expect("put");
    scene.stripe.release();
    let got = call
        .await
        .expect("no panic")
        .expect("what the profile says now");
    assert_eq!(got.credential, key);
    scene.server.changes_ended().await;
    assert_eq!(scene.resolve().await.expect("resolved").credential, key);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_put_while_another_is_exchanged_is_the_newer_one() {
    let (scene, _) = Scene::used(Rules::default()).await;
    let call = scene.waiting().await;
    let token = scene.stripe.install(ACCOUNT, false);
    scene.reconnect(&token).await;
    scene.stripe.release();
    let got = call.await.expect("no panic").expect("by the new one");
    assert_eq!(got.credential, scene.stripe.newest_access_token(ACCOUNT));
    assert_eq!(scene.install().await.state(), State::Connected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_secret_put_while_tokens_are_exchanged_stays() {
    let rolled = "sk_test_cAnArY51Rolled0nF";
    let (scene, _) = Scene::used(Rules::default()).await;
    let call = scene.waiting().await;
    scene.put_secret(rolled).await;
    scene.stripe.release();
    let got = call.await.expect("no panic").expect("nothing was lost");
    assert_eq!(got.credential, scene.stripe.newest_access_token(ACCOUNT));
    scene.stripe.set_client_secret(rolled);
    scene.server.clock.advance(NEARLY_AN_HOUR);
    scene.resolve().await.expect("with the new secret");
}

#[tokio::test]
async fn one_client_id_with_another_secret_is_not_the_same_app() {
    let (scene, first) = Scene::used(Rules::default()).await;
    let other = "sk_test_cAnArYOfSomebodyElse";
    scene.stripe.set_client_secret(other);
    let second = v1::OauthAuth {
        client_secret: other.to_owned(),
        ..oauth(&scene.stripe.install(ACCOUNT, false))
    };
    scene.put(profile("second", second)).await.expect("put");
    let refused = resolve(&scene.client, "second", "").await;
    assert_eq!(reason(&refused.expect_err("taken")), "INSTALL_SHARED");
    // Nothing of the first was replaced.
    let again = scene.resolve().await.expect("its own");
    assert_eq!(again.credential, first.credential);
    assert_eq!(scene.install().await.profiles, [name("stripe")]);
}

#[tokio::test]
async fn what_several_profiles_share_is_not_changed_with_a_right_on_one() {
    let (scene, _) = Scene::used(Rules::default()).await;
    scene.connect("second", ACCOUNT).await;
    resolve(&scene.client, "second", "").await.expect("joined");
    let token = scene
        .client
        .token(&[(v1::Role::Operator, &name("second"))])
        .await;
    let operator = scene.server.tcp().await.with_token(&token.token);
    let request = |refresh_token: &str| v1::PutConnectionProfileRequest {
        profile: Some(profile("second", oauth(refresh_token))),
        update_mask: Some(prost_types::FieldMask {
            paths: vec!["oauth.refresh_token".to_owned()],
        }),
        ..Default::default()
    };
    let mut profiles = operator.profiles();
    let refused = profiles
        .put_connection_profile(request("rt_cAnArYOfNobody"))
        .await;
    assert_eq!(reason(&refused.expect_err("shared")), "ACCESS_DENIED");
    let request = v1::DisconnectInstallRequest {
        name: name("second"),
    };
    let refused = profiles.disconnect_install(request).await;
    assert_eq!(reason(&refused.expect_err("shared")), "ACCESS_DENIED");
    scene.resolve().await.expect("goes on");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_job_has_just_refreshed_is_not_refreshed_for_being_idle() {
    let (scene, _) = Scene::used(Rules::default()).await;
    scene.connect("second", "acct_1Two").await;
    resolve(&scene.client, "second", "")
        .await
        .expect("resolved");
    let month = std::time::Duration::from_secs(31 * 24 * 60 * 60 + 300);
    scene.server.clock.advance(month);
    scene.stripe.hold(Hold::BeforeAnswer);
    let broker = std::sync::Arc::clone(scene.server.broker());
    let sweep = scene
        .server
        .run_there(async move { broker.sweep_installs().await });
    let others = async {
        scene.watch(|stripe| stripe.await_held(1)).await;
        // The sweep has found both idle, and is at one of them.
        let client = scene.client.clone();
        let calls = ["stripe", "second"].map(|id| {
            let client = client.clone();
            Handle::current().spawn(async move { resolve(&client, id, "").await })
        });
        scene.watch(|stripe| stripe.await_held(2)).await;
        scene.stripe.release();
        for call in calls {
            call.await.expect("no panic").expect("resolved");
        }
    };
    let (swept, ()) = tokio::join!(sweep, others);
    swept.expect("swept");
    scene.server.changes_ended().await;
    for account in [ACCOUNT, "acct_1Two"] {
        assert_eq!(scene.stripe.refreshes(account), 2, "{account}");
    }
}
