//! Profiles deleted, brought back and gone for good.

use std::time::Duration;

use claviger_integration::{Client, Options, PROJECT, Server};
use claviger_proto::v1;
use claviger_proto::v1::secret_definition::Kind;
use tonic::{Code, Status};

use super::{
    app, connecting, definition_of, delete, get, key, masked, pasting, pointing, profile_name, put,
};
use crate::support::{creating, fails, secret};

async fn undelete(client: &Client, name: &str) -> Result<v1::ConnectionProfile, Status> {
    let request = v1::UndeleteConnectionProfileRequest {
        name: name.to_owned(),
    };
    let reply = client.profiles().undelete_connection_profile(request).await;
    reply.map(tonic::Response::into_inner)
}

#[tokio::test]
async fn a_deleted_profile_comes_back_as_it_was() {
    let (_server, client) = Server::prepared(Options::default()).await;
    let name = profile_name("stripe");
    put(&client, connecting(&name, app())).await.unwrap();
    let made = get(&client, &name).await.unwrap();
    let stale = v1::DeleteConnectionProfileRequest {
        name: name.clone(),
        etag: "0-none".to_owned(),
        purge: false,
    };
    let stale = client.profiles().delete_connection_profile(stale).await;
    fails(stale, Code::Aborted, "ETAG_MISMATCH");

    let deleted = delete(&client, &name, false).await.unwrap();
    assert_eq!(deleted.warnings, vec![]);
    let deleted = deleted.profile.unwrap();
    assert!(deleted.delete_time.is_some() && deleted.purge_time.is_some());
    let again = delete(&client, &name, false).await;
    fails(again, Code::FailedPrecondition, "PROFILE_DELETED");
    let refused = put(&client, connecting(&name, app())).await;
    fails(refused, Code::FailedPrecondition, "PROFILE_DELETED");
    assert!(get(&client, &name).await.unwrap().delete_time.is_some());

    assert_eq!(undelete(&client, &name).await.unwrap(), made);
    assert_eq!(undelete(&client, &name).await.unwrap(), made);
}

#[tokio::test]
async fn a_purge_destroys_what_was_pasted_and_leaves_what_was_pointed_at() {
    let (_server, client) = Server::prepared(Options::default()).await;
    let mut request = creating(&secret("key"), &key("rk_test_"));
    request.definition.as_mut().unwrap().kind = Kind::StripeApiKey.into();
    client.put_definition(request).await.unwrap();
    for (request, stays) in [
        (pasting(&profile_name("pasted"), &key("rk_test_")), false),
        (connecting(&profile_name("oauth"), app()), false),
        (pointing(&profile_name("pointing"), &secret("key")), true),
    ] {
        let made = put(&client, request).await.unwrap().profile.unwrap();
        let definition = definition_of(&made);
        // Also one that is soft-deleted.
        delete(&client, &made.name, false).await.unwrap();
        delete(&client, &made.name, true).await.unwrap();
        fails(
            get(&client, &made.name).await,
            Code::NotFound,
            "PROFILE_NOT_FOUND",
        );
        fails(
            undelete(&client, &made.name).await,
            Code::NotFound,
            "PROFILE_NOT_FOUND",
        );
        match stays {
            true => assert_eq!(client.text(&definition).await, key("rk_test_")),
            false => {
                let gone = client.definition(&definition).await;
                fails(gone, Code::NotFound, "DEFINITION_NOT_FOUND");
            }
        }
    }
}

#[tokio::test]
async fn a_name_is_free_once_its_time_is_over() {
    let (server, client) = Server::prepared(Options::default()).await;
    let name = profile_name("stripe");
    let made = put(&client, connecting(&name, app())).await.unwrap();
    let made = made.profile.unwrap();
    delete(&client, &name, false).await.unwrap();
    server.clock.advance(Duration::from_secs(30 * 24 * 60 * 60));
    fails(
        get(&client, &name).await,
        Code::NotFound,
        "PROFILE_NOT_FOUND",
    );
    fails(
        undelete(&client, &name).await,
        Code::NotFound,
        "PROFILE_NOT_FOUND",
    );
    let new = put(&client, pasting(&name, &key("rk_test_")))
        .await
        .unwrap();
    assert_ne!(new.profile.unwrap().uid, made.uid);
    let gone = client.definition(&definition_of(&made)).await;
    fails(gone, Code::NotFound, "DEFINITION_NOT_FOUND");
}

#[tokio::test]
async fn a_definition_that_a_profile_leads_to_is_not_deleted() {
    let (_server, client) = Server::prepared(Options::default()).await;
    let mut request = creating(&secret("key"), &key("rk_test_"));
    request.definition.as_mut().unwrap().kind = Kind::StripeApiKey.into();
    client.put_definition(request).await.unwrap();
    for request in [
        pointing(&profile_name("pointing"), &secret("key")),
        pasting(&profile_name("pasted"), &key("rk_test_")),
        connecting(&profile_name("oauth"), app()),
    ] {
        let made = put(&client, request).await.unwrap().profile.unwrap();
        let definition = definition_of(&made);
        for purge in [false, true] {
            let refused = crate::support::delete(&client, &definition, purge).await;
            let status = fails(refused, Code::FailedPrecondition, "DEFINITION_IN_USE");
            assert!(status.message().contains(&made.name), "{status:?}");
        }
        // It may come back.
        delete(&client, &made.name, false).await.unwrap();
        let refused = crate::support::delete(&client, &definition, true).await;
        fails(refused, Code::FailedPrecondition, "DEFINITION_IN_USE");
        delete(&client, &made.name, true).await.unwrap();
    }
    crate::support::delete(&client, &secret("key"), true)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_profile_and_the_end_of_its_definition_do_not_pass_each_other() {
    let (_server, client) = Server::prepared(Options::default()).await;
    let mut request = creating(&secret("key"), &key("rk_test_"));
    request.definition.as_mut().unwrap().kind = Kind::StripeApiKey.into();
    for round in 0..20 {
        client.put_definition(request.clone()).await.unwrap();
        let name = profile_name(&format!("race{round}"));
        let key = secret("key");
        let (made, ended) = tokio::join!(
            put(&client, pointing(&name, &key)),
            crate::support::delete(&client, &key, true),
        );
        assert!(made.is_err() || ended.is_err(), "round {round}");
        if made.is_ok() {
            client.text(&key).await;
            delete(&client, &name, true).await.unwrap();
            crate::support::delete(&client, &key, true).await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_project_with_a_profile_is_not_deleted() {
    let (server, client) = Server::prepared(Options::default()).await;
    let name = profile_name("stripe");
    put(&client, connecting(&name, app())).await.unwrap();
    let gone = async || {
        let request = v1::DeleteProjectRequest {
            name: PROJECT.to_owned(),
            ..Default::default()
        };
        client.projects().delete_project(request).await
    };
    fails(gone().await, Code::FailedPrecondition, "PROJECT_NOT_EMPTY");
    delete(&client, &name, false).await.unwrap();
    fails(gone().await, Code::FailedPrecondition, "PROJECT_NOT_EMPTY");
    delete(&client, &name, true).await.unwrap();

    // Also one whose time is over, without the definition that it pointed at.
    let mut request = creating(&secret("key"), &key("rk_test_"));
    request.definition.as_mut().unwrap().kind = Kind::StripeApiKey.into();
    client.put_definition(request).await.unwrap();
    put(&client, pointing(&name, &secret("key"))).await.unwrap();
    delete(&client, &name, false).await.unwrap();
    server.clock.advance(Duration::from_secs(30 * 24 * 60 * 60));
    crate::support::delete(&client, &secret("key"), true)
        .await
        .unwrap();
    fails(gone().await, Code::FailedPrecondition, "PROJECT_NOT_EMPTY");
    put(&client, pasting(&name, &key("rk_test_")))
        .await
        .unwrap();
    delete(&client, &name, true).await.unwrap();
    gone().await.unwrap();
}

#[tokio::test]
async fn what_a_profile_left_is_destroyed_once_its_time_is_over() {
    let (server, client) = Server::prepared(Options::default()).await;
    let name = profile_name("stripe");
    let made = put(&client, connecting(&name, app())).await.unwrap();
    let definition = definition_of(&made.profile.unwrap());
    delete(&client, &name, false).await.unwrap();
    server.clock.advance(Duration::from_secs(30 * 24 * 60 * 60));
    crate::support::delete(&client, &definition, true)
        .await
        .unwrap();
    let gone = client.definition(&definition).await;
    fails(gone, Code::NotFound, "DEFINITION_NOT_FOUND");
    // Nothing of it is in the way of the next one of that name.
    put(&client, connecting(&name, app())).await.unwrap();
    delete(&client, &name, true).await.unwrap();
}

#[tokio::test]
async fn a_profile_whose_time_is_over_is_purged_by_its_name() {
    let (server, client) = Server::prepared(Options::default()).await;
    let name = profile_name("stripe");
    let made = put(&client, connecting(&name, app())).await.unwrap();
    let definition = definition_of(&made.profile.unwrap());
    delete(&client, &name, false).await.unwrap();
    server.clock.advance(Duration::from_secs(30 * 24 * 60 * 60));
    fails(
        delete(&client, &name, false).await,
        Code::NotFound,
        "PROFILE_NOT_FOUND",
    );
    delete(&client, &name, true).await.unwrap();
    let gone = client.definition(&definition).await;
    fails(gone, Code::NotFound, "DEFINITION_NOT_FOUND");
    fails(
        delete(&client, &name, true).await,
        Code::NotFound,
        "PROFILE_NOT_FOUND",
    );
}

#[tokio::test]
async fn puts_at_the_same_moment_lose_nothing() {
    let (_server, client) = Server::prepared(Options::default()).await;
    let name = profile_name("stripe");
    put(&client, pasting(&name, &key("rk_test_")))
        .await
        .unwrap();
    let rotate = async |number: usize| {
        let value = key(&format!("rk_test_{number}"));
        put(&client, masked(pasting(&name, &value), &["api_key"])).await
    };
    let (a, b, c) = tokio::join!(rotate(1), rotate(2), rotate(3));
    let mut versions: Vec<String> = [a, b, c].map(|put| put.unwrap().version).into();
    versions.sort_unstable();
    assert_eq!(versions, ["2", "3", "4"]);
}
