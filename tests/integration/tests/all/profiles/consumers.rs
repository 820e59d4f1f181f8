//! Who resolved a profile last.

use std::time::{Duration, SystemTime};

use claviger_core::Clock as _;
use claviger_integration::{Client, Options, Server, own_uid};
use claviger_proto::v1;
use tonic::Code;

use super::{delete, get, key, pasting, profile_name, put};
use crate::support::{denied, fails, reasons};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

async fn resolve(
    client: &Client,
    name: &str,
) -> Result<v1::ResolveConnectionResponse, tonic::Status> {
    let request = v1::ResolveConnectionRequest {
        name: name.to_owned(),
        ..Default::default()
    };
    let reply = client.profiles().resolve_connection(request).await;
    reply.map(tonic::Response::into_inner)
}

/// The callers with the seconds since they came.
async fn seen(server: &Server, client: &Client, name: &str) -> Vec<(String, u64)> {
    let now = server.clock.now();
    let consumers = get(client, name).await.unwrap().consumers;
    let since = |consumer: v1::Consumer| {
        let time = SystemTime::try_from(consumer.last_time.unwrap()).unwrap();
        (
            consumer.principal,
            now.duration_since(time).unwrap().as_secs(),
        )
    };
    consumers.into_iter().map(since).collect()
}

#[tokio::test]
async fn a_profile_shows_who_resolved_it_last() {
    let (mut server, client) = Server::prepared(Options::default()).await;
    let name = profile_name("stripe");
    put(&client, pasting(&name, &key("rk_test_")))
        .await
        .unwrap();
    assert_eq!(get(&client, &name).await.unwrap().consumers, vec![]);
    let made = client.token(&[(v1::Role::Runner, &name)]).await;
    let runner = server.unix().with_token(&made.token);
    let own = format!("unix:{}", own_uid());
    let principal = made.info.unwrap().principal;

    let resolved = resolve(&runner, &name).await.unwrap();
    assert_eq!(resolved.credential, key("rk_test_"));
    server.clock.advance(Duration::from_secs(30));
    resolve(&client, &name).await.unwrap();
    assert_eq!(
        seen(&server, &client, &name).await,
        [(own.clone(), 0), (principal.clone(), 30)]
    );

    // Written down, and added to.
    server.broker().keep_consumers().await.unwrap();
    server.restart().await;
    let client = server.unix();
    assert_eq!(
        seen(&server, &client, &name).await,
        [(own.clone(), 0), (principal.clone(), 30)]
    );
    server.clock.advance(Duration::from_secs(5));
    resolve(&server.unix().with_token(&made.token), &name)
        .await
        .unwrap();
    assert_eq!(
        seen(&server, &client, &name).await,
        [(principal, 0), (own, 5)]
    );
    // A listing fills drop-downs.
    let listing = v1::ListConnectionProfilesRequest {
        parent: claviger_integration::PROJECT.to_owned(),
        ..Default::default()
    };
    let listed = client.profiles().list_connection_profiles(listing).await;
    assert_eq!(listed.unwrap().into_inner().profiles[0].consumers, vec![]);
}

#[tokio::test]
async fn whoever_was_refused_has_not_resolved_it() {
    let (server, client) = Server::prepared(Options::default()).await;
    let name = profile_name("stripe");
    put(&client, pasting(&name, &key("rk_test_")))
        .await
        .unwrap();
    let token = client.token(&[(v1::Role::Operator, "*")]).await.token;
    denied(resolve(&server.unix().with_token(&token), &name).await);
    delete(&client, &name, false).await.unwrap();
    let refused = resolve(&client, &name).await;
    fails(refused, Code::FailedPrecondition, "PROFILE_DELETED");
    assert_eq!(get(&client, &name).await.unwrap().consumers, vec![]);
}

#[tokio::test]
async fn a_profile_that_was_resolved_within_a_day_is_deleted_with_a_warning() {
    let (server, client) = Server::prepared(Options::default()).await;
    for (id, wait, warned) in [
        ("a", Duration::ZERO, &["PROFILE_IN_USE"][..]),
        ("b", DAY - Duration::from_secs(1), &["PROFILE_IN_USE"]),
        ("c", DAY, &[]),
    ] {
        let name = profile_name(id);
        put(&client, pasting(&name, &key("rk_test_")))
            .await
            .unwrap();
        resolve(&client, &name).await.unwrap();
        server.clock.advance(wait);
        for purge in [false, true] {
            let deleted = delete(&client, &name, purge).await.unwrap();
            assert_eq!(reasons(deleted.warnings), warned, "{id}");
        }
        // Of the one before nothing is known any more, nor written down again.
        server.broker().keep_consumers().await.unwrap();
        put(&client, pasting(&name, &key("rk_test_")))
            .await
            .unwrap();
        assert_eq!(get(&client, &name).await.unwrap().consumers, vec![]);
    }
}
