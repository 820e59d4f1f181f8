//! Which caller may call which RPC, as a table that a person can read: every RPC really called over
//! the wire by every sort of caller, on objects that exist.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use claviger_api::rpc;
use claviger_integration::{Client, FaultyBackend, Options, PROJECT, Server};
use claviger_proto::v1::{CreateTokenRequest, RevokeTokenRequest, Role, TokenGrant};
use tokio::runtime::Handle;
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;

use crate::every_rpc::{EVERYTHING, Narrowed, STAGED, Scene, VARIANTS};
use crate::support::{take_back, who_am_i};

const LEGEND: &str = "\
# Who may call what. Tokens come over TCP; a role's token has the role on `*`.
#   none         no credentials, over TCP
#   foreign      a token of another server, which has all roles there
#   expired, revoked   tokens that had all roles
#   ungranted    a token whose grants, all roles, were taken back
#   elsewhere    all roles on another project
#   definition   all roles on the definition or profile that is called about; of one that is put, on
#                another one of that name before
#   environment, other-env   all roles on the project, but only in the environment that is called
#                for, or only in another one
#   hidden       answered as if it did not exist, although it does
#   other proof  a token is none for another token, nor is a uid
#   first-admin  the daemon's own uid on the socket, which nobody gave anything
# Made by tests/all/matrix.rs: run it with CLAVIGER_UPDATE_GOLDEN=1 and review the difference.
";

/// A column: its name, its caller, and what the caller's grants are narrowed to.
type Column = (&'static str, Client, Narrowed);

/// The server, a caller that may make objects, and every column.
async fn stage() -> (Server, Client, Vec<Column>) {
    let vault = FaultyBackend::shared();
    vault.type_in("acme/typed", "x");
    let server = Server::start(Options::with_faulty(&vault)).await;
    let other = Server::start(Options::default()).await;
    let (admin, tcp) = (server.unix(), server.tcp().await);
    let everywhere = EVERYTHING.map(|role| (role, "*"));
    let foreign = other.unix().token(&everywhere).await.token;
    let expired = admin.token(&everywhere).await.token;
    server.clock.advance(Duration::from_secs(24 * 60 * 60));
    let revoked = admin.token(&everywhere).await;
    let name = revoked.info.expect("described").name;
    let request = RevokeTokenRequest {
        name,
        cascade: false,
    };
    admin.access().revoke_token(request).await.expect("revoked");

    let keeper = tcp.with_token(&admin.token(&everywhere).await.token);
    keeper.project(PROJECT, &[]).await;
    keeper.project("projects/elsewhere", &[]).await;
    keeper.project(STAGED, &["dev", "prod"]).await;
    let ungranted = tcp.with_token(&admin.token(&everywhere).await.token);
    for grant in &who_am_i(&ungranted).await.grants {
        take_back(&admin, grant).await.expect("taken back");
    }
    let mut callers = vec![
        ("none", tcp.clone(), Narrowed::No),
        ("foreign", tcp.with_token(&foreign), Narrowed::No),
        ("expired", tcp.with_token(&expired), Narrowed::No),
        ("revoked", tcp.with_token(&revoked.token), Narrowed::No),
        ("ungranted", ungranted, Narrowed::No),
    ];
    for (column, role) in [
        ("runner", Role::Runner),
        ("operator", Role::Operator),
        ("auditor", Role::Auditor),
        ("admin", Role::Admin),
    ] {
        let token = admin.token(&[(role, "*")]).await.token;
        callers.push((column, tcp.with_token(&token), Narrowed::No));
    }
    let elsewhere = EVERYTHING.map(|role| (role, "projects/elsewhere"));
    let token = admin.token(&elsewhere).await.token;
    callers.push(("elsewhere", tcp.with_token(&token), Narrowed::No));
    // The other grants come with each definition.
    let first = format!("{PROJECT}/secrets/first");
    keeper.put(&first, "a value").await.expect("registered");
    let made = admin.token(&EVERYTHING.map(|role| (role, &*first))).await;
    let principal = made.info.expect("described").principal;
    let narrowed = Narrowed::ToDefinition(principal);
    callers.push(("definition", tcp.with_token(&made.token), narrowed));
    for (column, environment) in [("environment", "dev"), ("other-env", "prod")] {
        let grant = |role: Role| TokenGrant {
            role: role.into(),
            resource: STAGED.to_owned(),
            environment: environment.to_owned(),
        };
        let request = CreateTokenRequest {
            grants: EVERYTHING.map(grant).into(),
            ttl: Some(prost_types::Duration {
                seconds: 3600,
                nanos: 0,
            }),
            ..Default::default()
        };
        let made = admin.access().create_token(request).await.expect("made");
        let caller = tcp.with_token(&made.into_inner().token);
        callers.push((column, caller, Narrowed::ToEnvironment));
    }
    callers.push(("first-admin", admin, Narrowed::No));
    (server, keeper, callers)
}

/// `Service/Method` of every row of the RPC table, with the variants of some.
fn rows() -> Vec<(&'static str, &'static str)> {
    let method = |name: &'static str| name.strip_prefix("claviger.v1.").expect("our package");
    let plain = rpc::TABLE.iter().map(|rpc| (method(rpc.name), ""));
    let mut rows: Vec<_> = plain.chain(VARIANTS).collect();
    rows.sort_unstable();
    rows
}

/// The header and one line per row.
async fn matrix() -> Vec<Vec<String>> {
    let (_server, keeper, callers) = stage().await;
    let header = callers.iter().map(|(column, ..)| (*column).to_owned());
    let mut matrix = vec![[String::from("# RPC")].into_iter().chain(header).collect()];
    let mut number = 0;
    for (method, variant) in rows() {
        let mut calls = Vec::new();
        for (column, caller, narrowed) in &callers {
            number += 1;
            let scene = Scene {
                caller: caller.clone(),
                keeper: keeper.clone(),
                number,
                value: "a value".to_owned(),
                narrowed: narrowed.clone(),
            };
            let call = async move { scene.call(method, variant).await };
            calls.push((column, Handle::current().spawn(call)));
        }
        let mut line = vec![format!("{method} {variant}").trim_end().to_owned()];
        for (column, call) in calls {
            let code = call
                .await
                .expect("called")
                .map_or_else(|s| s.code(), |_| Code::Ok);
            // The requests are good and their objects exist, so callers that are allowed succeed.
            let cells = [
                (Code::Ok, "allowed"),
                (Code::PermissionDenied, "denied"),
                (Code::NotFound, "hidden"),
                (Code::FailedPrecondition, "other proof"),
                (Code::Unauthenticated, "unauthenticated"),
            ];
            let cell = cells.iter().find(|(known, _)| *known == code);
            let (_, cell) =
                cell.unwrap_or_else(|| panic!("{method} {variant} as {column}: {code:?}"));
            line.push((*cell).to_owned());
        }
        matrix.push(line);
    }
    matrix
}

fn text(matrix: &[Vec<String>]) -> String {
    let mut text = LEGEND.to_owned();
    for line in matrix {
        let mut row = format!("{:<78}", line[0]);
        for cell in &line[1..] {
            row.push_str(&format!("{cell:<16}"));
        }
        text.push_str(row.trim_end());
        text.push('\n');
    }
    text
}

#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "one variable of the test run")]
async fn every_caller_may_call_what_the_reviewed_matrix_says() {
    let matrix = matrix().await;
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/rpc_matrix.txt");
    if std::env::var_os("CLAVIGER_UPDATE_GOLDEN").is_some() {
        fs::write(&file, text(&matrix)).expect("written");
    }
    let golden = fs::read_to_string(&file).expect("golden/rpc_matrix.txt");
    assert_eq!(text(&matrix), golden, "compare with golden/rpc_matrix.txt");

    // Whatever the golden file says: nobody gets past the door without credentials that hold.
    for line in &matrix[1..] {
        for (cell, column) in line.iter().zip(&matrix[0]) {
            if ["none", "foreign", "expired", "revoked"].contains(&column.as_str()) {
                assert_eq!(cell, "unauthenticated", "{} as {column}", line[0]);
            }
        }
    }
}

/// The services that one version of reflection names.
macro_rules! listed {
    ($version:ident, $client:expr) => {{
        use tonic_reflection::pb::$version as pb;
        let mut client =
            pb::server_reflection_client::ServerReflectionClient::new($client.service());
        let list = pb::ServerReflectionRequest {
            message_request: Some(pb::server_reflection_request::MessageRequest::ListServices(
                String::new(),
            )),
            ..Default::default()
        };
        let list = tonic::codegen::tokio_stream::once(list);
        let replies = client.server_reflection_info(list).await.expect("public");
        let reply = replies.into_inner().message().await.expect("answered");
        match reply.expect("one reply").message_response {
            Some(pb::server_reflection_response::MessageResponse::ListServicesResponse(listed)) => {
                let names = listed.service.into_iter().map(|service| service.name);
                names.collect::<BTreeSet<_>>()
            }
            other => panic!("{other:?}"),
        }
    }};
}

// Its own connection must be driven while the server stops.
#[tokio::test(flavor = "multi_thread")]
async fn health_and_reflection_alone_answer_to_nobody() {
    let server = Server::start(Options {
        config: "listen.admin = \"127.0.0.1:0\"",
        ..Options::default()
    })
    .await;
    let (nobody, probe) = (server.tcp().await, server.admin().await);
    for client in [&nobody, &probe] {
        let health = client.health().check(HealthCheckRequest::default()).await;
        health.expect("health is public");
    }
    let public = [
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
        "grpc.reflection.v1alpha.ServerReflection",
    ];
    let public = public.map(str::to_owned);
    // Every row of the RPC table is shown by the matrix to be closed to nobody.
    let ours = rpc::TABLE.iter().filter_map(|rpc| rpc.name.split_once('/'));
    let mut all: BTreeSet<_> = ours.map(|(service, _)| service.to_owned()).collect();
    all.extend(public.clone());
    // Older tools ask for v1alpha only.
    assert_eq!(listed!(v1, nobody), all);
    assert_eq!(listed!(v1alpha, nobody), all);
    assert_eq!(listed!(v1, probe), BTreeSet::from(public.clone()));
    assert_eq!(listed!(v1alpha, probe), BTreeSet::from(public));
}
