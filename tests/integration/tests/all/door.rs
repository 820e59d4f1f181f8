//! What strangers can make the daemon keep: bytes of requests, streams and connections.

use std::time::Duration;

use claviger_api::rpc;
use claviger_integration::{Client, Options, Server};
use claviger_proto::v1::Role;
use claviger_raw::{Begun, Raw, message};
use http::HeaderMap;
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_types::StatusExt as _;

use crate::support::{fails, secret, take_back, who_am_i};

const GET_SECRET: &str = "claviger.v1.SecretService/GetSecret";
const REFLECTION: &str = "grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
const OLD_REFLECTION: &str = "grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo";
const WATCH: &str = "grpc.health.v1.Health/Watch";
const CHECK: &str = "grpc.health.v1.Health/Check";

/// Another address of this host.
const ELSEWHERE: &str = "127.0.0.2";
const HERE: &str = "127.0.0.1";

const KIB: usize = 1024;

/// A server whose listeners have these bounds.
async fn bounded(config: &'static str) -> (Server, Client) {
    Server::prepared(Options {
        config,
        ..Options::default()
    })
    .await
}

/// The code and text of an answer whose request stays open.
async fn refusal(begun: Begun) -> (Code, String) {
    let (status, headers) = begun.answer().await.expect("an answer");
    assert_eq!(status, 200);
    code(&headers)
}

fn code(headers: &HeaderMap) -> (Code, String) {
    let header = |name| headers.get(name).map(http::HeaderValue::as_bytes);
    let code = Code::from_bytes(header("grpc-status").expect("a status"));
    let text = header("grpc-message").unwrap_or_default();
    let text = String::from_utf8_lossy(text).replace("%20", " ");
    (code, text)
}

fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

/// A request with so many bytes of a long message.
async fn unfinished(raw: &mut Raw, token: &str, bytes: usize) -> Begun {
    let headers = [("authorization", &*bearer(token))];
    let mut begun = raw.begin(GET_SECRET, &headers).await.expect("open");
    begun.send(message(256 * KIB, &vec![0; bytes])).await;
    begun
}

#[tokio::test]
async fn a_stranger_is_refused_before_a_byte_of_the_body() {
    let (server, client) = Server::prepared(Options::default()).await;
    let mut raw = server.raw(HERE).await;
    for rpc in rpc::TABLE {
        let nobody = raw.begin(rpc.name, &[]).await.expect("open");
        let wrong = [("authorization", "Bearer clv_wrong")];
        let wrong = raw.begin(rpc.name, &wrong).await.expect("open");
        for begun in [nobody, wrong] {
            assert_eq!(
                refusal(begun).await.0,
                Code::Unauthenticated,
                "{}",
                rpc.name
            );
        }
    }
    let nowhere = raw.begin("claviger.v1.No/Such", &[]).await.expect("open");
    assert_eq!(refusal(nowhere).await.0, Code::Unimplemented);
    let token = client.token(&[(Role::Runner, "*")]).await.token;
    let headers = [("authorization", &*bearer(&token))];
    let more = format!("{GET_SECRET}?{}", "x".repeat(8 * KIB));
    let more = raw.begin(&more, &headers).await.expect("open");
    assert_eq!(refusal(more).await.0, Code::Unimplemented, "another target");
}

#[tokio::test]
async fn a_caller_without_any_grant_sends_little_and_others_the_limit() {
    let (server, client) = Server::prepared(Options::default()).await;
    let granted = client.token(&[(Role::Runner, "*")]).await.token;
    let bare = client.token(&[(Role::Runner, "*")]).await.token;
    let held = who_am_i(&server.tcp().await.with_token(&bare)).await;
    for grant in &held.grants {
        take_back(&client, grant).await.unwrap();
    }
    let mut raw = server.raw(HERE).await;
    for (token, sent, limit) in [
        (&bare, 4 * KIB + 1, "4096 bytes"),
        (&granted, 256 * KIB + 1, "262144 bytes"),
    ] {
        let headers = [("authorization", &*bearer(token))];
        let mut begun = raw.begin(GET_SECRET, &headers).await.expect("open");
        begun.send(message(sent, &vec![0; sent])).await;
        let (code, text) = refusal(begun).await;
        assert_eq!(code, Code::InvalidArgument, "{text}");
        assert!(text.contains(limit), "{text}");
    }
}

#[tokio::test]
async fn one_address_holds_an_eighth_of_the_unfinished_bytes() {
    let (server, client) = bounded("listen.unfinished_bytes = 4_194_304").await;
    let token = client.token(&[(Role::Runner, "*")]).await.token;
    let mut hostile = server.raw(ELSEWHERE).await;
    let mut held = Vec::new();
    for _ in 0..2 {
        held.push(unfinished(&mut hostile, &token, 240 * KIB).await);
    }
    // Another connection of the same address has no share of its own.
    let mut again = server.raw(ELSEWHERE).await;
    let third = unfinished(&mut again, &token, 240 * KIB).await;
    assert_eq!(refusal(third).await.0, Code::Unavailable);
    let mut other = server.raw(HERE).await;
    let other = unfinished(&mut other, &token, 240 * KIB).await;
    assert_eq!(too_long(other).await, Code::InvalidArgument);

    drop(held);
    loop {
        let again = unfinished(&mut again, &token, 240 * KIB).await;
        let code = too_long(again).await;
        // The end of the others reaches the daemon a little later.
        if code != Code::Unavailable {
            return assert_eq!(code, Code::InvalidArgument);
        }
    }
}

/// Ends an unfinished request as one that is too long, unless it is refused before.
async fn too_long(mut begun: Begun) -> Code {
    begun.send(vec![0; 20 * KIB]).await;
    refusal(begun).await.0
}

#[tokio::test]
async fn public_services_take_small_messages() {
    let (server, _client) = bounded("listen.idle_timeout = \"5m\"").await;
    let mut raw = server.raw(HERE).await;
    for method in [REFLECTION, OLD_REFLECTION, WATCH, CHECK] {
        let mut begun = raw.begin(method, &[]).await.expect("open");
        begun.send(message(4 * KIB + 1, &[0; 16])).await;
        // The library's reflection ends such a stream without a word.
        let (code, _) = refusal(begun).await;
        assert!(
            matches!(code, Code::InvalidArgument | Code::Ok),
            "{method}: {code:?}"
        );
    }
}

#[tokio::test]
async fn streams_of_public_services_end() {
    let idle = "listen.idle_timeout = \"1s\"";
    let total = "listen.stream_timeout = \"1s\"";
    for (config, methods) in [
        (idle, &[REFLECTION, OLD_REFLECTION, WATCH, CHECK][..]),
        (total, &[REFLECTION, OLD_REFLECTION]),
    ] {
        let (server, _client) = bounded(config).await;
        let mut raw = server.raw(HERE).await;
        for method in methods {
            let begun = raw.begin(method, &[]).await.expect("open");
            let ended = match begun.answer().await {
                Ok((_, headers)) => code(&headers).0,
                Err(error) => panic!("{method}: {error}"),
            };
            assert!(
                matches!(ended, Code::DeadlineExceeded | Code::Ok),
                "{method}: {ended:?}"
            );
        }
    }
}

#[tokio::test]
async fn streams_of_reflection_count_as_unfinished_bytes() {
    let (server, _client) = bounded("listen.unfinished_bytes = 4_194_304").await;
    let mut raw = server.raw(ELSEWHERE).await;
    let mut held = Vec::new();
    for method in [REFLECTION, OLD_REFLECTION, OLD_REFLECTION] {
        held.push(raw.begin(method, &[]).await.expect("open"));
        raw.ping().await.expect("open");
    }
    let fourth = raw.begin(REFLECTION, &[]).await.expect("open");
    assert_eq!(refusal(fourth).await.0, Code::Unavailable);
    // They leave half of the share.
    let mut check = raw.begin(CHECK, &[]).await.expect("open");
    check.send(message(0, &[])).await;
    check.send_end();
    assert_eq!(refusal(check).await.0, Code::Ok);
    drop(held);
}

#[tokio::test]
async fn the_address_that_holds_all_connections_gives_up_its_oldest_for_others() {
    let (server, client) = bounded("listen.connections = 32").await;
    client.put(&secret("served"), "meanwhile").await.unwrap();
    let token = client.token(&[(Role::Runner, "*")]).await.token;
    let mut idle = Vec::new();
    for _ in 0..32 {
        let mut raw = server.raw(ELSEWHERE).await;
        raw.ping().await.expect("open");
        idle.push(raw);
    }
    let mut served = Vec::new();
    for _ in 0..10 {
        let runner = server.tcp().await.with_token(&token);
        assert_eq!(runner.text(&secret("served")).await, "meanwhile");
        served.push(runner);
    }
    for raw in idle.drain(..10) {
        raw.ended().await;
    }
    for raw in &mut idle {
        raw.ping().await.expect("the younger ones stay");
    }
    for runner in &served {
        assert_eq!(runner.text(&secret("served")).await, "meanwhile");
    }
}

#[tokio::test]
async fn a_channel_outlives_many_calls_that_were_reset_at_once() {
    let (server, client) = Server::prepared(Options::default()).await;
    let token = client.token(&[(Role::Runner, "*")]).await.token;
    let mut raw = server.raw(HERE).await;
    for _ in 0..500 {
        let headers = [("authorization", &*bearer(&token))];
        raw.begin(GET_SECRET, &headers)
            .await
            .expect("open")
            .cancel();
    }
    raw.ping().await.expect("not cut off");
}

#[tokio::test]
async fn a_foreign_content_type_gets_415() {
    let (server, _client) = Server::prepared(Options::default()).await;
    let mut raw = server.raw(HERE).await;
    for (content_type, wanted) in [
        ("application/json", 415),
        ("application/grpcx", 415),
        ("text/plain", 415),
        ("", 415),
        ("application/grpc", 200),
        ("application/grpc+proto", 200),
        ("application/grpc;charset=utf-8", 200),
    ] {
        for method in [GET_SECRET, CHECK, "claviger.v1.No/Such"] {
            let headers = [("content-type", content_type)];
            let mut begun = raw.begin(method, &headers).await.expect("open");
            begun.send(message(0, &[])).await;
            begun.send_end();
            let (status, _) = begun.answer().await.expect("an answer");
            assert_eq!(status, wanted, "{method} {content_type:?}");
        }
    }
}

#[tokio::test]
async fn a_watch_of_an_unknown_service_goes_on_and_says_so() {
    let (_server, client) = Server::prepared(Options::default()).await;
    let request = HealthCheckRequest {
        service: "no.such".to_owned(),
    };
    let mut health = client.health();
    assert_eq!(
        health.check(request.clone()).await.unwrap_err().code(),
        Code::NotFound
    );
    let mut watch = health.watch(request).await.unwrap().into_inner();
    let first = watch.message().await.unwrap().unwrap();
    assert_eq!(first.status(), ServingStatus::ServiceUnknown);
    let next = tokio::select! {
        biased;
        next = watch.message() => Some(next),
        served = health.check(HealthCheckRequest::default()) => {
            served.unwrap();
            None
        }
    };
    assert!(next.is_none(), "{next:?}");
}

#[tokio::test]
async fn a_call_that_is_cut_before_its_caller_is_known_is_counted() {
    let (server, _client) = Server::prepared(Options::default()).await;
    let mut raw = server.raw(HERE).await;
    let headers = [("grpc-timeout", "1n")];
    for rpc in rpc::TABLE {
        let begun = raw.begin(rpc.name, &headers).await.expect("open");
        let (code, _) = refusal(begun).await;
        assert!(
            matches!(code, Code::DeadlineExceeded | Code::Unauthenticated),
            "{code:?}"
        );
    }
    let refused = || {
        let lines = server.audit_lines();
        let counts = lines.iter().filter(|line| line["peer"] == "tcp");
        counts
            .map(|line| 1 + line["unnoted"].as_u64().unwrap_or_default())
            .sum::<u64>()
    };
    // The next that is noted says how many were not.
    server.clock.advance(Duration::from_secs(2));
    while refused() < rpc::TABLE.len() as u64 + 1 {
        let begun = raw.begin(GET_SECRET, &[]).await.expect("open");
        refusal(begun).await;
    }
}

#[tokio::test]
async fn one_call_more_than_there_may_be_is_told_to_come_again() {
    let (server, client) = bounded("listen.calls = 64").await;
    client.put(&secret("served"), "1").await.unwrap();
    let token = client.token(&[(Role::Runner, "*")]).await.token;
    let runner = server.tcp().await.with_token(&token);
    let (mut raw, mut elsewhere) = (server.raw(HERE).await, server.raw(ELSEWHERE).await);
    let mut held = Vec::new();
    // A quarter of them.
    for _ in 0..16 {
        held.push(unfinished(&mut raw, &token, 1).await);
    }
    let one_more = unfinished(&mut raw, &token, 1).await;
    assert_eq!(refusal(one_more).await.0, Code::Unavailable);
    // From another connection too.
    let refused = runner.get(&secret("served")).await.unwrap_err();
    fails(
        Err::<(), _>(refused.clone()),
        Code::Unavailable,
        "OVERLOADED",
    );
    let details = refused.get_error_details();
    let after = details.retry_info().unwrap().retry_delay.unwrap();
    let allowed = Duration::from_secs(1)..=Duration::from_secs(2);
    assert!(allowed.contains(&after), "{after:?}");

    // Others are not kept out.
    let other = unfinished(&mut elsewhere, "clv_wrong", 1).await;
    assert_eq!(refusal(other).await.0, Code::Unauthenticated);

    for begun in held {
        begun.cancel();
    }
    raw.ping().await.expect("open");
    assert_eq!(runner.text(&secret("served")).await, "1");
}

#[tokio::test]
async fn public_services_are_closed_where_the_configuration_leaves_them_out() {
    for (config, health, reflection) in [
        ("listen.public = []", false, false),
        ("listen.public = [\"health\"]", true, false),
        ("listen.public = [\"reflection\"]", false, true),
    ] {
        let (server, _client) = bounded(config).await;
        let mut raw = server.raw(HERE).await;
        for (method, is_open) in [(CHECK, health), (REFLECTION, reflection)] {
            let mut begun = raw.begin(method, &[]).await.expect("open");
            begun.send(message(0, &[])).await;
            begun.send_end();
            let is_unknown = refusal(begun).await.0 == Code::Unimplemented;
            assert_eq!(is_unknown, !is_open, "{config} {method}");
        }
    }
}
