//! Listings, as drop-downs ask for them.

use claviger_integration::{Client, Options, PROJECT, Server};
use claviger_proto::v1;
use claviger_proto::v1::connection_profile::Adapter;
use claviger_proto::v1::install::State;
use tonic::Code;

use super::{app, connecting, delete, get, key, pasting, profile_name, put};
use crate::support::{denied, fails};

async fn ids(client: &Client, request: v1::ListConnectionProfilesRequest) -> Vec<String> {
    let reply = client.profiles().list_connection_profiles(request).await;
    let profiles = reply.unwrap().into_inner().profiles;
    profiles.into_iter().map(|profile| profile.id).collect()
}

fn listing() -> v1::ListConnectionProfilesRequest {
    v1::ListConnectionProfilesRequest {
        parent: PROJECT.to_owned(),
        ..Default::default()
    }
}

#[tokio::test]
async fn a_listing_shows_what_is_asked_for_page_by_page() {
    let (_server, client) = Server::prepared(Options::default()).await;
    for id in ["a", "b", "c"] {
        put(&client, pasting(&profile_name(id), &key("rk_test_")))
            .await
            .unwrap();
    }
    let mut labelled = connecting(&profile_name("d"), app());
    let labels = [("team".to_owned(), "data".to_owned())];
    labelled.profile.as_mut().unwrap().labels = labels.into();
    put(&client, labelled).await.unwrap();
    delete(&client, &profile_name("b"), false).await.unwrap();
    client.project("projects/other", &[]).await;
    put(
        &client,
        pasting("projects/other/connectionProfiles/z", &key("rk_test_")),
    )
    .await
    .unwrap();

    assert_eq!(ids(&client, listing()).await, ["a", "c", "d"]);
    let adapter = v1::ListConnectionProfilesRequest {
        adapter: Adapter::Stripe.into(),
        show_deleted: true,
        ..listing()
    };
    assert_eq!(ids(&client, adapter).await, ["a", "b", "c", "d"]);
    for (state, found) in [(State::Unverified, &["d"][..]), (State::Connected, &[])] {
        let by_state = v1::ListConnectionProfilesRequest {
            state: state.into(),
            ..listing()
        };
        assert_eq!(ids(&client, by_state).await, found);
    }
    for (label, found) in [("team", &["d"][..]), ("team=data", &["d"]), ("team=x", &[])] {
        let by_label = v1::ListConnectionProfilesRequest {
            label: label.to_owned(),
            ..listing()
        };
        assert_eq!(ids(&client, by_label).await, found);
    }
    let mut request = v1::ListConnectionProfilesRequest {
        page_size: 2,
        ..listing()
    };
    let mut found = Vec::new();
    loop {
        let reply = client
            .profiles()
            .list_connection_profiles(request.clone())
            .await;
        let reply = reply.unwrap().into_inner();
        for profile in reply.profiles {
            assert_eq!(profile, get(&client, &profile.name).await.unwrap());
            found.push(profile.id);
        }
        request.page_token = reply.next_page_token;
        if request.page_token.is_empty() {
            break;
        }
    }
    assert_eq!(found, ["a", "c", "d"]);
}

#[tokio::test]
async fn a_grant_on_one_profile_shows_that_one() {
    let (server, client) = Server::prepared(Options::default()).await;
    let name = profile_name("own");
    for name in [&name, &profile_name("other")] {
        put(&client, pasting(name, &key("rk_test_"))).await.unwrap();
    }
    let token = client.token(&[(v1::Role::Operator, &name)]).await;
    let operator = server.unix().with_token(&token.token);
    get(&operator, &name).await.unwrap();
    denied(get(&operator, &profile_name("other")).await);
    denied(get(&operator, &profile_name("none")).await);
    denied(
        operator
            .profiles()
            .list_connection_profiles(listing())
            .await,
    );
    // A re-made one is another one.
    delete(&client, &name, true).await.unwrap();
    put(&client, pasting(&name, &key("rk_test_")))
        .await
        .unwrap();
    denied(get(&operator, &name).await);
    let missing = v1::PutGrantRequest {
        grant: Some(v1::Grant {
            principal: "unix:4000000".to_owned(),
            role: v1::Role::Runner.into(),
            resource: profile_name("none"),
            ..Default::default()
        }),
    };
    let refused = client.access().put_grant(missing).await;
    fails(refused, Code::NotFound, "PROFILE_NOT_FOUND");
}

#[tokio::test]
async fn an_explanation_knows_profiles() {
    let (server, client) = Server::prepared(Options::default()).await;
    let name = profile_name("stripe");
    put(&client, pasting(&name, &key("rk_test_")))
        .await
        .unwrap();
    let token = client.token(&[(v1::Role::Runner, &name)]).await;
    let runner = server.unix().with_token(&token.token);
    let explained = async |permission: &str, name: &str| {
        let request = v1::ExplainAccessRequest {
            permission: permission.to_owned(),
            name: name.to_owned(),
            ..Default::default()
        };
        let reply = runner.access().explain_access(request).await;
        reply.unwrap().into_inner().allowed
    };
    assert!(explained("profiles.resolve", &name).await);
    assert!(!explained("profiles.get", &name).await);
    assert!(!explained("profiles.resolve", &profile_name("other")).await);
    // Not the definition behind it.
    let definition = super::definition_of(&get(&client, &name).await.unwrap());
    assert!(!explained("secrets.get", &definition).await);
    denied(runner.get(&definition).await);
}
