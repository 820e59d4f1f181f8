//! One exchange for all that wait, at the end of an access token and never before.

use std::time::Duration;

use claviger_core::Clock as _;
use claviger_integration::{PROJECT, reason, volume};
use claviger_proto::v1;
use claviger_stub::stripe_oauth::{Hold, Rules};
use tokio::runtime::Handle;
use v1::environment::StripeMode;
use v1::install::State;

use super::{ACCOUNT, NEARLY_AN_HOUR, Scene, name, oauth, profile, resolve};

/// Callers that wait, times the volume: 10,000 with ten.
const WAITERS: usize = 1_000;

#[tokio::test(flavor = "multi_thread")]
async fn all_that_wait_at_the_end_of_a_token_get_the_next_one_by_one_exchange() {
    let (scene, first) = Scene::used(Rules::default()).await;
    assert_eq!(scene.install().await.state(), State::Connected);
    scene.server.clock.advance(NEARLY_AN_HOUR);
    scene.stripe.hold(Hold::BeforeAnswer);
    let call = || {
        let client = scene.client.clone();
        Handle::current().spawn(async move { resolve(&client, "stripe", "").await })
    };
    let mut calls = vec![call()];
    scene.watch(|stripe| stripe.await_held(1)).await;
    // Begun: nobody gets the old one from here on, though it is good for another minute.
    assert_eq!(scene.install().await.state(), State::Refreshing);
    // As many as one connection lets wait, then more.
    calls.extend((0..50).map(|_| call()));
    scene.install().await;
    let waiters = WAITERS * volume();
    calls.extend((calls.len()..waiters).map(|_| call()));
    scene.stripe.release();
    for call in calls {
        let resolved = call.await.expect("no panic").expect("resolved");
        assert_ne!(resolved.credential, first.credential);
        assert_eq!(
            resolved.credential,
            scene.stripe.newest_access_token(ACCOUNT)
        );
    }
    assert_eq!(scene.stripe.refreshes(ACCOUNT), 2, "{waiters} waiters");
    assert_eq!(scene.stripe.most_under_way(ACCOUNT), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exchange_goes_on_though_all_that_waited_have_left() {
    let (scene, _) = Scene::used(Rules::default()).await;
    let call = scene.waiting().await;
    call.abort();
    assert!(call.await.is_err(), "left");
    scene.stripe.release();
    scene.server.changes_ended().await;
    assert_eq!(scene.install().await.state(), State::Connected);
    let next = scene.resolve().await.expect("resolved");
    assert_eq!(next.credential, scene.stripe.newest_access_token(ACCOUNT));
    assert_eq!(scene.stripe.refreshes(ACCOUNT), 2);
}

#[tokio::test]
async fn nothing_refreshes_a_token_before_its_last_minute_and_a_half() {
    let (scene, first) = Scene::used(Rules::default()).await;
    let mut profiles = scene.client.profiles();
    for minutes in [0, 20, 20, 18] {
        scene
            .server
            .clock
            .advance(Duration::from_secs(minutes * 60));
        for _ in 0..5 {
            let request = v1::ResolveConnectionRequest {
                name: name("stripe"),
                max_age: Some(prost_types::Duration::default()),
                ..Default::default()
            };
            let resolved = profiles.resolve_connection(request).await;
            let resolved = resolved.expect("resolved").into_inner();
            assert_eq!(resolved.credential, first.credential);
            assert_eq!(resolved.expire_time, first.expire_time);
            let request = v1::TestConnectionRequest {
                name: name("stripe"),
                ..Default::default()
            };
            let tested = profiles.test_connection(request).await;
            assert_eq!(tested.expect("tested").into_inner().account, ACCOUNT);
            let definition = scene.definition("stripe").await;
            let request = v1::CheckSecretDefinitionRequest {
                name: definition,
                live: true,
                refresh: true,
                ..Default::default()
            };
            let mut definitions = scene.client.definitions();
            let checked = definitions.check_secret_definition(request).await;
            let checked = checked.expect("checked").into_inner();
            assert_eq!(checked.install_state, "CONNECTED");
            assert_eq!(checked.version, first.version);
        }
        scene.server.broker().sweep_installs().await.expect("swept");
    }
    assert_eq!(scene.stripe.refreshes(ACCOUNT), 1);
    scene.server.clock.advance(Duration::from_secs(31));
    let next = scene.resolve().await.expect("resolved");
    assert_ne!(next.credential, first.credential);
    assert_eq!(scene.stripe.refreshes(ACCOUNT), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_a_caller_was_refused_with_is_replaced_only_if_stripe_refuses_it() {
    let (scene, first) = Scene::used(Rules::default()).await;
    let again = resolve(&scene.client, "stripe", &first.version).await;
    assert_eq!(again.expect("resolved").version, first.version);
    // It is, but Stripe was asked within this minute.
    scene.stripe.expire_access(ACCOUNT);
    let again = resolve(&scene.client, "stripe", &first.version).await;
    assert_eq!(again.expect("resolved").version, first.version);
    assert_eq!(scene.stripe.refreshes(ACCOUNT), 1);
    scene.server.clock.advance(Duration::from_secs(60));
    // Many are refused at a time, and one answer is for all.
    let calls: Vec<_> = (0..50)
        .map(|_| {
            let (client, version) = (scene.client.clone(), first.version.clone());
            Handle::current().spawn(async move { resolve(&client, "stripe", &version).await })
        })
        .collect();
    for call in calls {
        let resolved = call.await.expect("no panic").expect("resolved");
        assert_eq!(
            resolved.credential,
            scene.stripe.newest_access_token(ACCOUNT)
        );
    }
    assert_eq!(scene.stripe.refreshes(ACCOUNT), 2);
    // A version of before is nothing to ask about.
    scene.server.clock.advance(Duration::from_secs(60));
    let before = scene.stripe.stub().take_asked().len();
    assert!(before > 0);
    let resolved = resolve(&scene.client, "stripe", &first.version).await;
    assert_ne!(resolved.expect("resolved").version, first.version);
    assert!(scene.stripe.stub().take_asked().is_empty());
}

#[tokio::test]
async fn what_nobody_uses_is_refreshed_once_in_thirty_days() {
    let (scene, _) = Scene::used(Rules::default()).await;
    let day = Duration::from_secs(24 * 60 * 60);
    // Off the full hour.
    scene.server.clock.advance(Duration::from_secs(5 * 60));
    for _ in 0..27 {
        scene.server.clock.advance(day);
        scene.server.broker().sweep_installs().await.expect("swept");
    }
    assert_eq!(scene.stripe.refreshes(ACCOUNT), 1);
    for _ in 0..3 {
        scene.server.clock.advance(day);
        scene.server.broker().sweep_installs().await.expect("swept");
    }
    assert_eq!(scene.stripe.refreshes(ACCOUNT), 2);
    // Nobody can use a deleted one.
    let request = v1::DeleteConnectionProfileRequest {
        name: name("stripe"),
        ..Default::default()
    };
    let mut profiles = scene.client.profiles();
    let deleted = profiles.delete_connection_profile(request).await;
    deleted.expect("deleted");
    for _ in 0..31 {
        scene.server.clock.advance(day);
        scene.server.broker().sweep_installs().await.expect("swept");
    }
    assert_eq!(scene.stripe.refreshes(ACCOUNT), 2);
}

#[tokio::test]
async fn nothing_is_refreshed_for_nobody_on_the_full_hour() {
    let (scene, _) = Scene::used(Rules::default()).await;
    let clock = &scene.server.clock;
    let since = clock
        .now()
        .duration_since(std::time::SystemTime::UNIX_EPOCH);
    let past = since.expect("after 1970").as_secs() % 3600;
    clock.advance(Duration::from_secs(31 * 24 * 60 * 60 + 3600 - past));
    for refreshes in [1, 2] {
        scene.server.broker().sweep_installs().await.expect("swept");
        assert_eq!(scene.stripe.refreshes(ACCOUNT), refreshes);
        clock.advance(Duration::from_secs(60));
    }
}

#[tokio::test]
async fn a_token_of_the_other_mode_is_not_for_an_environment_that_demands_one() {
    let (scene, _) = Scene::used(Rules::default()).await;
    let project = v1::Project {
        name: "projects/modes".to_owned(),
        environments: [("prod", StripeMode::Live), ("dev", StripeMode::Test)]
            .map(|(id, mode)| {
                let environment = v1::Environment {
                    stripe_mode: mode.into(),
                    ..Default::default()
                };
                (id.to_owned(), environment)
            })
            .into(),
        ..Default::default()
    };
    let request = v1::PutProjectRequest {
        project: Some(project),
        validate_only: false,
    };
    let put = scene.client.projects().put_project(request).await;
    put.expect("put");
    let name = "projects/modes/connectionProfiles/stripe";
    let token = scene.stripe.install("acct_1Two", false);
    let moded = v1::ConnectionProfile {
        name: name.to_owned(),
        ..profile("stripe", oauth(&token))
    };
    scene.put(moded).await.expect("put");
    let resolve = async |environment: &str| {
        let request = v1::ResolveConnectionRequest {
            name: name.to_owned(),
            environment: environment.to_owned(),
            ..Default::default()
        };
        scene.client.profiles().resolve_connection(request).await
    };
    let dev = resolve("dev").await.expect("resolved").into_inner();
    assert_eq!(
        (dev.mode.as_str(), dev.environment.as_str()),
        ("TEST", "dev")
    );
    let refused = resolve("prod").await.expect_err("of the other mode");
    assert_eq!(reason(&refused), "VALUE_WRONG_MODE");
    let refused = resolve("").await.expect_err("of none");
    assert_eq!(reason(&refused), "ENVIRONMENT_REQUIRED");
}

#[tokio::test]
async fn a_resolve_is_one_record_with_profile_and_install() {
    let (scene, _) = Scene::used(Rules::default()).await;
    let lines = scene.server.audit_lines();
    let is_resolve = |line: &&serde_json::Value| {
        line["rpc"] == "claviger.v1.ConnectionProfileService/ResolveConnection"
    };
    let records: Vec<_> = lines.iter().filter(is_resolve).collect();
    let [record] = records[..] else {
        panic!("{records:?}");
    };
    assert_eq!(record["resource"], name("stripe"));
    assert_eq!(record["outcome"], "ALLOWED");
    assert_eq!(record["version"], "2");
    assert!(record["install"].is_string(), "{record}");
    let secret = record["secret"].as_str().expect("a definition");
    assert_eq!(
        format!("{PROJECT}/secrets/{secret}"),
        scene.definition("stripe").await
    );
}

impl Scene {
    /// The definition that a profile of OAuth leads to.
    pub(super) async fn definition(&self, id: &str) -> String {
        let request = v1::GetConnectionProfileRequest { name: name(id) };
        let got = self.client.profiles().get_connection_profile(request).await;
        match got.expect("got").into_inner().auth.expect("one") {
            v1::connection_profile::Auth::Oauth(oauth) => oauth.definition,
            v1::connection_profile::Auth::ApiKey(key) => key.definition,
        }
    }
}
