//! Callers that other systems vouch for: what they are given, and lose.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use claviger_access::{Call, Caller, Foreign, Principal, Proof, Rpc};
use claviger_api::rpc;
use claviger_broker::{Identity, Names, NewGrant, NewToken};
use claviger_core::{Clock as _, Id, Reason, Resource, Uid};
use claviger_integration::{Gate, Options, PROJECT, Server, violation};
use claviger_proto::v1::Role;
use claviger_proto::v1::who_am_i_response::Proof as SeenAs;
use tonic::Code;

use crate::support::{fails, give, grants_of, runner, take_back, who_am_i};

const HOUR: Duration = Duration::from_secs(60 * 60);

/// With identities of each sort.
pub(crate) fn options() -> Options {
    let oidc = |pattern_parts| Names::Oidc { pattern_parts };
    let named = [
        ("ci", oidc(Some(2))),
        ("cloud", oidc(None)),
        ("db", Names::X509),
    ];
    let named = named.map(|(name, names)| {
        let digest = [1; 32];
        (Id::from_static(name), Identity { names, digest })
    });
    Options {
        identities: BTreeMap::from(named),
        ..Options::default()
    }
}

/// A call of somebody with a JWT that is good until then.
pub(crate) fn call(rpc: &'static Rpc, principal: &str, ends: SystemTime) -> Arc<Call> {
    let name = Foreign::parse(principal).expect("a name");
    Arc::new(Call {
        id: Uid::random(),
        caller: Caller {
            principal: Principal::Foreign(name),
            proof: Proof::Jwt(Id::from_static("ci")),
            expire_time: Some(ends),
        },
        rpc,
        run_id: None,
        purpose: None,
        options: Vec::new(),
    })
}

fn token_to_read() -> NewToken {
    let grant = NewGrant {
        role: claviger_access::Role::Runner,
        resource: Resource::parse("resource", PROJECT).expect("a name"),
        environment: None,
        expire_time: None,
        purpose: None,
    };
    NewToken {
        grants: vec![grant],
        ttl: HOUR,
        description: String::new(),
    }
}

#[tokio::test]
async fn a_grant_goes_to_whom_a_configured_identity_can_name() {
    let (_server, client) = Server::prepared(options()).await;
    for holder in [
        "oidc:ci#1/2/ref/refs%2Fheads%2Fmain",
        "oidc:ci#1/2/*",
        "oidc:cloud#1",
        "x509:db:etl.acme.example",
        "spiffe://acme.example/ns/etl",
        "spiffe://acme.example/*",
    ] {
        let given = give(&client, runner(holder, PROJECT)).await.unwrap();
        assert_eq!(given.principal, holder);
        assert_eq!(grants_of(&client, holder).await, [given]);
    }
    for (holder, remedy) in [
        (
            "oidc:ic#1/2",
            "close to it: ci, db; configured: ci, cloud, db",
        ),
        (
            "x509:other:etl",
            "add [identity.other] to the daemon's configuration",
        ),
        ("oidc:ci#1/*", "a pattern names at least 2 parts"),
        ("oidc:cloud#1/*", "name each principal as WhoAmI shows it"),
        ("oidc:db#etl", "names its principals x509:db:<SAN>"),
        ("oidc:ci#1/2*", "the only one is a last /*"),
        ("oidc:ci#*", "the only one is a last /*"),
        ("spiffe://acme.example/*/etl", "the only one is a last /*"),
        (
            "x509:db:*.acme.example",
            "names that begin with x509: have none",
        ),
        ("ldap:etl", "as WhoAmI shows it"),
    ] {
        let refused = give(&client, runner(holder, PROJECT)).await;
        let status = fails(refused, Code::InvalidArgument, "FIELD_INVALID");
        let (field, said) = violation(&status).unwrap();
        assert_eq!(field, "grant.principal", "{holder}");
        assert!(said.contains(remedy), "{holder}: {said}");
    }
}

#[tokio::test]
async fn a_foreign_caller_makes_a_token_until_its_pattern_loses_the_grant() {
    let gate = Gate::default();
    let with_gate = Options {
        gate: gate.clone(),
        ..options()
    };
    let (server, client) = Server::prepared(with_gate).await;
    let ends = server.clock.now() + HOUR;
    let given = client.grant("oidc:ci#1/2/*", Role::Admin, PROJECT).await;
    let call = call(&rpc::CREATE_TOKEN, "oidc:ci#1/2/ref/main", ends);
    let made = server.broker().create_token(&call, token_to_read());
    let (token, _) = made.await.expect("admin there");
    let holder = String::from_utf8(token.into_exposed()).unwrap();
    let holder = server.tcp().await.with_token(&holder);
    client
        .put(&format!("{PROJECT}/secrets/key"), "value")
        .await
        .unwrap();
    assert_eq!(
        holder.text(&format!("{PROJECT}/secrets/key")).await,
        "value"
    );

    // The record of the pattern's grants, on which commits for those that fit it rely.
    let (key, _) = given.name.rsplit_once('-').unwrap();
    gate.hold(key);
    let mut making = Box::pin(server.broker().create_token(&call, token_to_read()));
    tokio::select! {
        () = gate.entered() => {}
        _ = &mut making => panic!("the call did not wait"),
    }
    take_back(&client, &given).await.unwrap();
    gate.release();
    let lost = making.await.map(drop).expect_err("it has no grant by then");
    assert_eq!(lost.reason(), Reason::AccessDenied);
}

#[tokio::test]
async fn who_am_i_says_what_was_seen_and_to_whom_a_grant_was_given() {
    let (server, client) = Server::prepared(options()).await;
    let own = who_am_i(&client).await;
    let seen = (own.proof(), own.identity.as_str(), own.token_name.as_str());
    assert_eq!(seen, (SeenAs::Uid, "", ""));
    let made = client.token(&[(Role::Runner, PROJECT)]).await;
    let name = made.info.unwrap().name;
    let holder = who_am_i(&server.tcp().await.with_token(&made.token)).await;
    let seen = (holder.proof(), holder.identity.as_str(), holder.token_name);
    assert_eq!(seen, (SeenAs::Token, "", name));

    let of_all = client.grant("oidc:ci#1/2/*", Role::Runner, PROJECT).await;
    let of_one = client
        .grant("oidc:ci#1/2/ref/main", Role::Auditor, "*")
        .await;
    client
        .grant("oidc:ci#1/2/ref/other", Role::Admin, "*")
        .await;
    let call = call(
        &rpc::WHO_AM_I,
        "oidc:ci#1/2/ref/main",
        server.clock.now() + HOUR,
    );
    let (grants, identity) = server.broker().who_am_i(&call).await.unwrap();
    assert_eq!(identity, Some(Id::from_static("ci")));
    let shown = grants.iter().map(|view| {
        let name = format!("grants/{}", view.grant.id);
        (name, view.principal.to_string())
    });
    let given = [of_one, of_all].map(|grant| (grant.name, grant.principal));
    assert_eq!(shown.collect::<Vec<_>>(), given);
}
