//! Proofs exchanged for tokens: what such a token is good for, and everything that ends it.

use std::time::{Duration, SystemTime};

use claviger_api::rpc;
use claviger_broker::TokenView;
use claviger_core::{Clock as _, Reason, Result};
use claviger_integration::{
    Client, Fault, FaultyBackend, Gate, Options, PROJECT, Server, Verb, violation,
};
use claviger_proto::v1;
use claviger_proto::v1::Role;
use claviger_proto::v1::who_am_i_response::Proof as SeenAs;
use tonic::{Code, Status};

use crate::foreign::{call, options};
use crate::support::{
    defining, denied, fails, give, in_faulty, located, runner, secret, take_back, who_am_i,
};

const MINUTE: Duration = Duration::from_secs(60);

/// A job of the repository `oidc:ci#1/2`.
const JOB: &str = "oidc:ci#1/2/ref/main";

/// A JWT of the job, which is good for two hours, exchanged.
async fn exchanged(server: &Server, ttl: Option<Duration>) -> Result<(String, TokenView)> {
    exchanged_before(server, ttl, server.clock.now() + 120 * MINUTE).await
}

async fn exchanged_before(
    server: &Server,
    ttl: Option<Duration>,
    end: SystemTime,
) -> Result<(String, TokenView)> {
    let call = call(&rpc::EXCHANGE_TOKEN, JOB, end);
    let (token, view) = server.broker().exchange_token(&call, ttl).await?;
    let token = String::from_utf8(token.into_exposed()).expect("text");
    Ok((token, view))
}

/// A caller with such a token, and its name.
async fn holder(server: &Server) -> (Client, String) {
    let (token, view) = exchanged(server, None).await.expect("exchanged");
    let client = server.tcp().await.with_token(&token);
    (client, format!("tokens/{}", view.id))
}

async fn exchange(client: &Client) -> Result<v1::ExchangeTokenResponse, Status> {
    let request = v1::ExchangeTokenRequest { ttl: None };
    let reply = client.access().exchange_token(request).await;
    reply.map(tonic::Response::into_inner)
}

async fn revoke(client: &Client, name: &str, cascade: bool) -> Result<v1::Token, Status> {
    let name = name.to_owned();
    let request = v1::RevokeTokenRequest { name, cascade };
    let reply = client.access().revoke_token(request).await;
    reply.map(|reply| reply.into_inner().info.expect("described"))
}

async fn tokens(client: &Client) -> Vec<v1::Token> {
    let request = v1::ListTokensRequest {
        page_size: 1000,
        ..Default::default()
    };
    let reply = client.access().list_tokens(request).await;
    reply.expect("listed").into_inner().tokens
}

#[tokio::test]
async fn a_token_speaks_as_the_holder_of_its_proof_until_one_of_both_ends() {
    let (server, client) = Server::prepared(options()).await;
    client.put(&secret("key"), "value").await.unwrap();
    client.grant("oidc:ci#1/2/*", Role::Runner, PROJECT).await;
    let (token, view) = exchanged(&server, None).await.unwrap();
    assert_eq!(view.expire_time, server.clock.now() + 15 * MINUTE);
    let holder = server.tcp().await.with_token(&token);
    assert_eq!(holder.text(&secret("key")).await, "value");
    let me = who_am_i(&holder).await;
    assert_eq!(me.principal, JOB);
    assert_eq!(me.proof(), SeenAs::ExchangedToken);
    assert_eq!(me.identity, "ci");
    assert_eq!(me.token_name, format!("tokens/{}", view.id));
    assert_eq!(me.grants[0].principal, "oidc:ci#1/2/*");
    let listed = tokens(&client).await;
    assert_eq!(listed.len(), 1);
    assert_eq!(
        (&*listed[0].principal, &listed[0].name),
        (JOB, &me.token_name)
    );

    // The proof has less than the hour that is asked for, and the answer says so.
    let end = server.clock.now() + 10 * MINUTE;
    let cut = exchanged_before(&server, Some(60 * MINUTE), end).await;
    assert_eq!(cut.unwrap().1.expire_time, end);
    for ttl in [59, 3601] {
        let refused = exchanged(&server, Some(Duration::from_secs(ttl))).await;
        let refused = refused.map(drop).unwrap_err();
        assert_eq!(refused.field_violation().unwrap().field, "ttl");
    }
    server.clock.advance(15 * MINUTE);
    let late = holder.get(&secret("key")).await;
    fails(late, Code::Unauthenticated, "TOKEN_EXPIRED");
}

#[tokio::test]
async fn only_the_proof_of_another_system_is_exchanged_and_only_for_who_has_a_grant() {
    let (server, client) = Server::prepared(options()).await;
    let refused = exchanged(&server, None).await.map(drop).unwrap_err();
    assert_eq!(refused.reason(), Reason::AccessDenied);
    assert_eq!(tokens(&client).await, [], "a stranger fills nothing");

    client.grant(JOB, Role::Runner, PROJECT).await;
    let (exchanged, _) = holder(&server).await;
    let made = client.token(&[(Role::Admin, "*")]).await.token;
    let by_token = server.tcp().await.with_token(&made);
    for other in [&client, &by_token, &exchanged] {
        let status = fails(
            exchange(other).await,
            Code::FailedPrecondition,
            "PROOF_REQUIRED",
        );
        assert!(status.message().contains("CreateToken"), "{status:?}");
    }
    assert_eq!(tokens(&client).await.len(), 2);
}

#[tokio::test]
async fn an_exchange_is_over_at_the_next_call_whatever_ends_it() {
    let (mut server, client) = Server::prepared(options()).await;
    client.put(&secret("key"), "value").await.unwrap();
    let given = client.grant("oidc:ci#1/2/*", Role::Runner, PROJECT).await;
    let (revoked, name) = holder(&server).await;
    let (other, _) = holder(&server).await;
    for holder in [&revoked, &other] {
        // Remembered from here on.
        assert_eq!(holder.text(&secret("key")).await, "value");
    }
    let ended = revoke(&client, &name, false).await.unwrap();
    assert!(ended.revoked && ended.principal == JOB, "{ended:?}");
    let refused = revoked.get(&secret("key")).await;
    fails(refused, Code::Unauthenticated, "TOKEN_REVOKED");
    assert_eq!(other.text(&secret("key")).await, "value");

    take_back(&client, &given).await.unwrap();
    denied(other.get(&secret("key")).await);

    client.grant("oidc:ci#1/2/*", Role::Runner, PROJECT).await;
    let (token, _) = exchanged(&server, None).await.unwrap();
    let reads = async |server: &Server| {
        let holder = server.tcp().await.with_token(&token);
        holder.get(&secret("key")).await
    };
    server.restart().await;
    reads(&server).await.expect("it outlives a restart");
    let name_stands_for = |digest| {
        move |options: &mut Options| {
            let mut ci = options.identities.first_entry().expect("ci");
            ci.get_mut().digest = digest;
        }
    };
    server.restart_with(name_stands_for([2; 32])).await;
    fails(reads(&server).await, Code::Unauthenticated, "TOKEN_REVOKED");
    server.restart_with(name_stands_for([1; 32])).await;
    reads(&server).await.expect("who vouched is back");
    server
        .restart_with(|options| drop(options.identities.pop_first()))
        .await;
    fails(reads(&server).await, Code::Unauthenticated, "TOKEN_REVOKED");
}

#[tokio::test]
async fn a_call_that_waits_is_refused_once_its_exchanged_token_is_revoked() {
    let (faulty, gate) = (FaultyBackend::shared(), Gate::default());
    faulty.type_in("typed", "value");
    let with_faulty = Options {
        identities: options().identities,
        gate: gate.clone(),
        ..Options::with_faulty(&faulty)
    };
    let (server, client) = Server::prepared(with_faulty).await;
    client
        .put_definition(located(&secret("typed"), in_faulty("typed")))
        .await
        .unwrap();
    client.grant(JOB, Role::Runner, PROJECT).await;
    client.grant(JOB, Role::Operator, PROJECT).await;

    let (reader, name) = holder(&server).await;
    faulty.set(Verb::Read, Fault::Hang);
    let reads = faulty.count(Verb::Read);
    let typed = secret("typed");
    let mut reading = Box::pin(reader.get(&typed));
    tokio::select! {
        () = faulty.entered(Verb::Read, reads + 1) => {}
        _ = &mut reading => panic!("the read did not wait"),
    }
    revoke(&client, &name, false).await.unwrap();
    faulty.heal();
    fails(reading.await, Code::Unauthenticated, "TOKEN_REVOKED");

    let (writer, name) = holder(&server).await;
    gate.hold(&name);
    let mut putting = Box::pin(writer.put_definition(defining(&secret("new"))));
    tokio::select! {
        () = gate.entered() => {}
        _ = &mut putting => panic!("the put did not wait"),
    }
    revoke(&client, &name, false).await.unwrap();
    gate.release();
    fails(putting.await, Code::Unauthenticated, "TOKEN_REVOKED");
    let absent = client.definition(&secret("new")).await;
    fails(absent, Code::NotFound, "DEFINITION_NOT_FOUND");
}

#[tokio::test]
async fn an_exchanged_token_is_revoked_by_admins_of_everything_and_given_nothing() {
    let (server, client) = Server::prepared(options()).await;
    client.grant(JOB, Role::Admin, "*").await;
    let (holder, name) = holder(&server).await;
    let made = client.token(&[(Role::Admin, PROJECT)]).await.token;
    let of_project = server.tcp().await.with_token(&made);
    let hidden = revoke(&of_project, &name, false).await;
    fails(hidden, Code::NotFound, "TOKEN_NOT_FOUND");

    let principal = name.replace("tokens/", "token:");
    let refused = give(&client, runner(&principal, PROJECT)).await;
    let status = fails(refused, Code::InvalidArgument, "FIELD_INVALID");
    let (field, said) = violation(&status).unwrap();
    assert_eq!(field, "grant.principal");
    assert!(
        said.contains("the principal that the token speaks as"),
        "{said}"
    );

    let own = revoke(&holder, &name, true).await;
    let status = fails(own, Code::InvalidArgument, "FIELD_INVALID");
    assert_eq!(violation(&status).unwrap().0, "cascade");
    revoke(&holder, &name, false).await.expect("its own");
    let refused = holder.access().who_am_i(v1::WhoAmIRequest {}).await;
    fails(refused, Code::Unauthenticated, "TOKEN_REVOKED");
}

#[tokio::test]
async fn exchanged_tokens_are_swept_at_their_end_and_no_others() {
    let (server, client) = Server::prepared(options()).await;
    client.grant(JOB, Role::Runner, PROJECT).await;
    let made = client.token(&[(Role::Runner, PROJECT)]).await.info.unwrap();
    // More than one commit removes.
    for _ in 0..201 {
        exchanged(&server, None).await.unwrap();
    }
    let (ended, name) = holder(&server).await;
    revoke(&client, &name, false).await.unwrap();
    let (_, kept) = exchanged(&server, Some(16 * MINUTE)).await.unwrap();
    server.clock.advance(15 * MINUTE - Duration::from_secs(1));
    server.broker().sweep_tokens().await.unwrap();
    assert_eq!(tokens(&client).await.len(), 204);
    server.clock.advance(Duration::from_secs(2));
    server.broker().sweep_tokens().await.unwrap();
    let mut left: Vec<_> = tokens(&client).await.into_iter().map(|t| t.name).collect();
    left.sort_unstable();
    let mut wanted = [made.name, format!("tokens/{}", kept.id)];
    wanted.sort_unstable();
    assert_eq!(left, wanted);
    let refused = ended.access().who_am_i(v1::WhoAmIRequest {}).await;
    fails(refused, Code::Unauthenticated, "TOKEN_INVALID");
    // An ordinary one stays for people to see, also after its end.
    server.clock.advance(24 * 60 * MINUTE);
    server.broker().sweep_tokens().await.unwrap();
    assert_eq!(tokens(&client).await.len(), 1);
}

#[tokio::test]
async fn an_exchange_is_on_record_before_and_after_it_is_made() {
    let (server, client) = Server::prepared(options()).await;
    client.grant(JOB, Role::Runner, PROJECT).await;
    let (_, view) = exchanged(&server, None).await.unwrap();
    let lines = server.audit_lines();
    let of_exchange =
        |line: &&serde_json::Value| line["rpc"] == "claviger.v1.AccessService/ExchangeToken";
    let lines: Vec<_> = lines.iter().filter(of_exchange).collect();
    let phases: Vec<_> = lines.iter().map(|line| &line["phase"]).collect();
    assert_eq!(phases, ["INTENT", "OUTCOME"]);
    for line in &lines {
        assert_eq!(line["principal"], JOB);
        assert_eq!(line["subject"], view.id.as_str());
        assert_eq!(line["permission"], "tokens.exchange");
    }
    assert_eq!(lines[0]["now"]["identity"], "ci");
}
