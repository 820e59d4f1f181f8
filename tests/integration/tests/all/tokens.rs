//! Tokens: their grants, their ends, and the callers that may make them.

use std::time::Duration;

use claviger_integration::{Options, PROJECT, Server, bearing};
use claviger_proto::v1;
use claviger_proto::v1::Role;
use tonic::Code;

use crate::refusals::{snapshot, world};
use crate::support::{
    denied, fails, give, grants_of, reading, runner, secret, storing, take_back, who_am_i,
};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

#[tokio::test]
async fn a_token_says_who_it_is_and_until_when() {
    let (server, client) = Server::prepared(Options::default()).await;
    let made = client
        .token(&[(Role::Runner, PROJECT), (Role::Auditor, "*")])
        .await;
    let info = made.info.unwrap();
    let holder = server.tcp().await.with_token(&made.token);
    let me = who_am_i(&holder).await;
    assert_eq!(
        (me.principal, me.expire_time),
        (info.principal.clone(), info.expire_time)
    );
    let roles: Vec<_> = me
        .grants
        .iter()
        .map(|g| (g.role(), g.resource.as_str()))
        .collect();
    assert_eq!(roles, [(Role::Runner, PROJECT), (Role::Auditor, "*")]);
    let end = info.expire_time.unwrap().seconds - info.create_time.unwrap().seconds;
    assert_eq!(end, 24 * 60 * 60);

    let listed = client
        .access()
        .list_tokens(v1::ListTokensRequest::default())
        .await;
    assert_eq!(listed.unwrap().into_inner().tokens, [info]);

    server.clock.advance(DAY - Duration::from_secs(1));
    who_am_i(&holder).await;
    server.clock.advance(Duration::from_secs(1));
    let late = holder.access().who_am_i(v1::WhoAmIRequest {}).await;
    fails(late, Code::Unauthenticated, "TOKEN_EXPIRED");
}

#[tokio::test]
async fn each_grant_of_a_token_counts_where_it_was_given() {
    let (server, client) = Server::prepared(Options::default()).await;
    client.project("projects/other", &[]).await;
    let (one, two) = (secret("one"), "projects/other/secrets/two");
    client.put(&one, "1").await.unwrap();
    client.put(two, "2").await.unwrap();
    let made = client
        .token(&[(Role::Runner, PROJECT), (Role::Operator, "projects/other")])
        .await;
    let holder = server.tcp().await.with_token(&made.token);
    assert_eq!(holder.text(&one).await, "1");
    denied(holder.rotate(&one, "x").await);
    denied(holder.get(two).await);
    holder.rotate(two, "x").await.expect("operator there");
}

#[tokio::test]
async fn a_token_that_does_not_count_is_refused_on_either_listener() {
    let (server, client) = world().await;
    let (foreign, foreign_client) = Server::prepared(Options::default()).await;
    let grants = [(v1::Role::Runner, PROJECT), (v1::Role::Operator, PROJECT)];
    let revoked = client.token(&grants).await;
    let expired = client.token(&grants).await;
    let of_another_daemon = foreign_client.token(&grants).await.token;
    let revoke = v1::RevokeTokenRequest {
        name: revoked.info.unwrap().name,
        cascade: false,
    };
    client.access().revoke_token(revoke).await.unwrap();
    server
        .clock
        .advance(std::time::Duration::from_secs(24 * 60 * 60));
    let half: String = expired.token.chars().take(30).collect();

    let before = snapshot(&client).await;
    let tcp = server.tcp().await;
    for (header, why, remedy) in [
        (
            format!("Bearer {}", revoked.token),
            "TOKEN_REVOKED",
            "CreateToken",
        ),
        (
            format!("Bearer {}", expired.token),
            "TOKEN_EXPIRED",
            "CreateToken",
        ),
        (
            format!("Bearer {of_another_daemon}"),
            "TOKEN_INVALID",
            "belongs to this daemon",
        ),
        (format!("Bearer {half}"), "TOKEN_INVALID", "copied whole"),
        (expired.token.clone(), "TOKEN_INVALID", "copied whole"),
        ("Basic YTpi".to_owned(), "TOKEN_INVALID", "copied whole"),
    ] {
        for caller in [&tcp, &client] {
            let read = bearing(&header, reading(&secret("plain")));
            let put = bearing(&header, storing(&secret("plain"), "x"));
            let read = caller.secrets().get_secret(read).await.map(drop);
            let put = caller.secrets().put_secret_value(put).await.map(drop);
            for result in [read, put] {
                let status = fails(result, Code::Unauthenticated, why);
                assert!(status.message().contains(remedy), "{status:?}");
            }
        }
    }
    let none = tcp.get(&secret("plain")).await;
    let status = fails(none, Code::Unauthenticated, "CREDENTIALS_REQUIRED");
    assert!(status.message().contains("authorization: Bearer"));
    assert_eq!(snapshot(&client).await, before);
    drop(foreign);
}

#[tokio::test]
async fn the_admin_of_a_project_gives_nothing_beyond_it() {
    let (server, client) = Server::prepared(Options::default()).await;
    client.project("projects/other", &[]).await;
    let made = client.token(&[(Role::Admin, PROJECT)]).await;
    let admin = server.tcp().await.with_token(&made.token);
    let own = made.info.unwrap().principal;
    let foreign = client
        .token(&[(Role::Runner, PROJECT), (Role::Runner, "projects/other")])
        .await;
    let foreign = foreign.info.unwrap();
    let tokens = async || {
        let reply = client
            .access()
            .list_tokens(v1::ListTokensRequest::default())
            .await;
        reply.unwrap().into_inner().tokens
    };
    let before = tokens().await;

    for grants in [
        &[(Role::Runner, "*")][..],
        &[(Role::Runner, "projects/other")],
        &[(Role::Runner, PROJECT), (Role::Runner, "projects/other")],
        &[(Role::Runner, PROJECT), (Role::Admin, "*")],
        &[(Role::Runner, "projects/other/secrets/x")],
        &[(Role::Runner, "projects/absent")],
    ] {
        denied(admin.access().create_token(token_request(grants)).await);
    }
    for resource in ["*", "projects/other", "projects/absent"] {
        denied(give(&admin, runner(&own, resource)).await);
    }
    // A grant that it may not take back looks like one that is not there.
    let revoke = v1::RevokeTokenRequest {
        name: foreign.name.clone(),
        cascade: false,
    };
    let revoked = admin.access().revoke_token(revoke).await;
    fails(revoked, Code::NotFound, "TOKEN_NOT_FOUND");
    let of_foreign = grants_of(&client, &foreign.principal).await;
    let on_other = of_foreign
        .iter()
        .find(|g| g.resource == "projects/other")
        .unwrap();
    fails(
        take_back(&admin, on_other).await,
        Code::NotFound,
        "GRANT_NOT_FOUND",
    );
    assert_eq!(tokens().await, before);
    assert_eq!(grants_of(&client, &foreign.principal).await, of_foreign);
}

#[tokio::test]
async fn the_admin_of_a_project_gives_sees_and_takes_back_inside_it() {
    let (server, client) = Server::prepared(Options::default()).await;
    let made = client.token(&[(Role::Admin, PROJECT)]).await;
    let admin = server.tcp().await.with_token(&made.token);
    let own = made.info.unwrap().principal;
    let inside = admin.token(&[(Role::Runner, PROJECT)]).await.info.unwrap();
    give(&admin, runner(&own, PROJECT)).await.unwrap();
    let seen = admin
        .access()
        .list_grants(v1::ListGrantsRequest::default())
        .await;
    let seen = seen.unwrap().into_inner().grants;
    assert!(!seen.is_empty());
    assert!(
        seen.iter().all(|g| g.resource.starts_with(PROJECT)),
        "{seen:?}"
    );
    let revoke = v1::RevokeTokenRequest {
        name: inside.name,
        cascade: false,
    };
    let revoked = admin.access().revoke_token(revoke).await;
    assert!(revoked.unwrap().into_inner().info.unwrap().revoked);
    denied(
        admin
            .access()
            .list_tokens(v1::ListTokensRequest::default())
            .await,
    );
}

fn token_request(grants: &[(Role, &str)]) -> v1::CreateTokenRequest {
    let grant = |(role, resource): &(Role, &str)| v1::TokenGrant {
        role: (*role).into(),
        resource: (*resource).to_owned(),
        ..Default::default()
    };
    v1::CreateTokenRequest {
        grants: grants.iter().map(grant).collect(),
        ttl: Some(prost_types::Duration {
            seconds: 3600,
            nanos: 0,
        }),
        ..Default::default()
    }
}

#[tokio::test]
async fn a_clock_that_is_set_back_revives_no_token() {
    let (mut server, client) = Server::prepared(Options::default()).await;
    let token = client.token(&[(Role::Runner, "*")]).await.token;
    let expired = async |server: &Server| {
        let runner = server.tcp().await.with_token(&token);
        let answer = runner.access().who_am_i(v1::WhoAmIRequest {}).await;
        fails(answer.map(drop), Code::Unauthenticated, "TOKEN_EXPIRED");
    };
    server.clock.advance(2 * DAY);
    expired(&server).await;
    server.clock.set_back(2 * DAY);
    expired(&server).await;
    server.restart().await;
    expired(&server).await;
}
