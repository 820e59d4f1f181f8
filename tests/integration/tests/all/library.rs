//! What the gRPC library would refuse in words of its own says why in ours.

use claviger_api::rpc;
use claviger_backend::Allow;
use claviger_integration::{FaultyBackend, Options, Server, reason, text_payload};
use claviger_proto::v1::{self, Role};
use claviger_raw::{Raw, message};
use http::HeaderMap;
use prost::Message;
use prost::bytes::Bytes;
use tonic::{Code, Status};

use crate::raw_rpc::call;
use crate::support::{in_faulty, located, reading, secret};

const GET_SECRET: &str = "claviger.v1.SecretService/GetSecret";
const PUT_DEFINITION: &str = "claviger.v1.SecretDefinitionService/PutSecretDefinition";
const CHECK: &str = "grpc.health.v1.Health/Check";
const WATCH: &str = "grpc.health.v1.Health/Watch";
const REFLECTION: &str = "grpc.reflection.v1.ServerReflection/ServerReflectionInfo";

/// A connection, and the header of a caller with a grant.
async fn connected(server: &Server) -> (Raw, String) {
    let token = server.unix().token(&[(Role::Runner, "*")]).await.token;
    (server.raw("127.0.0.1").await, format!("Bearer {token}"))
}

/// The headers of the answer to a request that is a body as it is.
async fn answer(
    raw: &mut Raw,
    method: &str,
    headers: &[(&'static str, &str)],
    body: impl Into<Bytes>,
) -> HeaderMap {
    let mut begun = raw.begin(method, headers).await.expect("open");
    begun.send(body).await;
    begun.send_end();
    let (status, headers) = begun.answer().await.expect("an answer");
    assert_eq!(status, 200, "{method}");
    headers
}

/// Its code and reason.
fn refusal(headers: &HeaderMap) -> (Code, String) {
    let status = Status::from_header_map(headers).expect("a status");
    (status.code(), reason(&status))
}

/// What they take up, as HTTP/2 counts it, with `:status`.
fn header_bytes(headers: &HeaderMap) -> usize {
    let fields = headers.iter();
    let bytes = fields.map(|(name, value)| name.as_str().len() + value.len() + 32);
    bytes.sum::<usize>() + ":status200".len() + 32
}

#[tokio::test]
async fn a_compressed_request_is_refused_with_the_remedy() {
    let (server, _client) = Server::prepared(Options::default()).await;
    let (mut raw, token) = connected(&server).await;
    let compressed = [&[1, 0, 0, 0, 2][..], b"xx"].concat();
    let methods = rpc::TABLE.iter().map(|rpc| rpc.name);
    for method in methods.chain([CHECK, WATCH, REFLECTION]) {
        let is_public = method.starts_with("grpc.");
        for encoding in ["gzip", "deflate", "zstd", "no-such", "identity"] {
            let headers = [("authorization", &*token), ("grpc-encoding", encoding)];
            // The library looks into the messages of the public services.
            if is_public && encoding == "identity" {
                continue;
            }
            let refused = answer(&mut raw, method, &headers, compressed.clone()).await;
            let wanted = (Code::Unimplemented, "COMPRESSION_UNSUPPORTED".to_owned());
            assert_eq!(refusal(&refused), wanted, "{method} {encoding}");
            assert_eq!(refused["grpc-accept-encoding"], "identity");
        }
    }
}

#[tokio::test]
async fn a_request_that_is_not_one_message_is_malformed() {
    let (server, _client) = Server::prepared(Options::default()).await;
    let (mut raw, token) = connected(&server).await;
    let headers = [("authorization", &*token)];
    let wanted = (Code::InvalidArgument, "REQUEST_MALFORMED".to_owned());
    for method in rpc::TABLE.iter().map(|rpc| rpc.name) {
        for body in [
            Vec::new(),
            vec![0],
            vec![0, 0, 0, 0],
            vec![2, 0, 0, 0, 0],
            vec![0, 0, 0, 0, 9, 1],
            vec![0, 0xff, 0xff, 0xff, 0xff, 1],
            vec![0, 0, 0, 0, 0, 0],
            vec![0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            vec![0, 0, 0, 0, 3, 0xff, 0xff, 0xff],
        ] {
            let refused = answer(&mut raw, method, &headers, body.clone()).await;
            assert_eq!(refusal(&refused), wanted, "{method} {body:?}");
        }
    }
    let refused = answer(&mut raw, CHECK, &[], message(3, &[0xff; 3])).await;
    assert_eq!(refusal(&refused), wanted);
}

#[tokio::test]
async fn a_method_that_does_not_exist_is_unknown() {
    let (server, _client) = Server::prepared(Options::default()).await;
    let (mut raw, token) = connected(&server).await;
    let headers = [("authorization", &*token)];
    for method in [
        "claviger.v1.SecretService/NoSuch",
        "claviger.v1.NoSuch/GetSecret",
        "claviger.v2.SecretService/GetSecret",
        "grpc.health.v1.Health/NoSuch",
        "grpc.health.v9.Health/Check",
        "grpc.reflection.v1.ServerReflection/NoSuch",
        "NoSuch",
        "",
    ] {
        let refused = answer(&mut raw, method, &headers, message(0, &[])).await;
        let wanted = (Code::Unimplemented, "METHOD_UNKNOWN".to_owned());
        assert_eq!(refusal(&refused), wanted, "{method}");
    }
}

#[tokio::test]
async fn a_request_is_too_large_however_much_too_large_it_is() {
    let (server, client) = Server::prepared(Options::default()).await;
    let (mut raw, token) = connected(&server).await;
    let headers = [("authorization", &*token)];
    for kib in [257, 300, 600, 1024, 1025, 2048, 5 * 1024] {
        let request = v1::PutSecretValueRequest {
            name: secret("stripe"),
            payload: Some(text_payload(&"x".repeat(kib * 1024))),
            ..Default::default()
        };
        let refused = client.put_value(request).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{kib}: {refused:?}");
        assert_eq!(reason(&refused), "REQUEST_TOO_LARGE", "{kib}");
        let long = vec![0; kib * 1024];
        for (method, headers) in [(GET_SECRET, &headers[..]), (CHECK, &[])] {
            let body = message(long.len(), &long);
            let refused = answer(&mut raw, method, headers, body).await;
            let wanted = (Code::InvalidArgument, "REQUEST_TOO_LARGE".to_owned());
            assert_eq!(refusal(&refused), wanted, "{method} {kib}");
        }
    }
}

#[tokio::test]
async fn what_health_and_reflection_do_not_know_fits_and_has_a_reason() {
    let (server, client) = Server::prepared(Options::default()).await;
    let (mut raw, _) = connected(&server).await;
    let asked = [&[0x22, 0xa0, 0x1f], "é".repeat(2000).as_bytes()].concat();
    let refused = answer(&mut raw, REFLECTION, &[], message(asked.len(), &asked)).await;
    let wanted = (Code::NotFound, "SERVICE_UNKNOWN".to_owned());
    assert_eq!(refusal(&refused), wanted);
    let fields = refused
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + 32);
    assert!(fields.sum::<usize>() <= 8192 - 42);
    let asked = b"\x0a\x07no.such".to_vec();
    let refused = call(&client, CHECK, asked).await.unwrap_err();
    assert_eq!((refused.code(), reason(&refused)), wanted);
}

#[tokio::test]
async fn the_longest_refusals_arrive_at_a_client_that_sets_no_limit() {
    let mut options = Options::with_faulty(&FaultyBackend::new());
    let rule = Allow::parse_rule("any-project", &["acme/*".to_owned()]).unwrap();
    options.vaults[0].allow = Allow::new(vec![rule]);
    let (server, client) = Server::prepared(options).await;
    let environments: Vec<String> = (0..50).map(|n| format!("{n:x<128}")).collect();
    let ids: Vec<&str> = environments.iter().map(String::as_str).collect();
    let project = format!("projects/{}", "p".repeat(128));
    client.project(&project, &ids).await;
    let name = format!("{project}/secrets/{}", "s".repeat(128));
    let token = client
        .token(&[(Role::Runner, "*"), (Role::Operator, "*")])
        .await;
    let token = format!("Bearer {}", token.token);
    client
        .put_definition(located(&name, in_faulty("acme/s")))
        .await
        .unwrap();

    let unknown = v1::GetSecretRequest {
        environment: "y".repeat(128),
        ..reading(&name)
    };
    let unnamed = reading(&name);
    let nowhere = located(&secret("new"), in_faulty(&"🔑".repeat(512)));
    let mut raw = server.raw("127.0.0.1").await;
    for (method, message, wanted) in [
        (GET_SECRET, unknown.encode_to_vec(), "ENVIRONMENT_UNKNOWN"),
        (GET_SECRET, unnamed.encode_to_vec(), "ENVIRONMENT_REQUIRED"),
        (
            PUT_DEFINITION,
            nowhere.encode_to_vec(),
            "LOCATION_NOT_ALLOWED",
        ),
    ] {
        let headers = [("authorization", &*token)];
        let body = claviger_raw::message(message.len(), &message);
        let refused = answer(&mut raw, method, &headers, body).await;
        assert_eq!(refusal(&refused).1, wanted);
        let bytes = header_bytes(&refused);
        assert!(bytes <= 8192, "{wanted}: {bytes}");
        assert!(bytes > 4000, "{wanted} is not long: {bytes}");
    }
}
