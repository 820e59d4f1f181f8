//! Vaults: browsing their names, and one that hangs holds up nobody else.

use std::sync::Arc;
use std::time::Duration;

use claviger_backend::{Allow, Limits};
use claviger_integration::{
    Client, Fault, FaultyBackend, FaultyVault, Options, PROJECT, Server, Verb, text_payload,
};
use claviger_proto::v1;
use tokio::task::JoinSet;
use tonic::{Code, Status};

use crate::support::{fails, in_faulty, located, secret};

/// Calls that the vault `faulty` takes at a time.
const CONCURRENT_CALLS: usize = 4;

/// Those that one caller may take.
const OWN_CALLS: usize = CONCURRENT_CALLS / 2;

async fn prepared(names: &[&str]) -> (Server, Client, Arc<FaultyBackend>) {
    let backend = FaultyBackend::new();
    let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    let (_, project) = PROJECT.split_once('/').unwrap();
    let rule = Allow::parse_rule(project, &names).unwrap();
    let vault = FaultyVault {
        id: "faulty",
        backend: Arc::clone(&backend),
        limits: Limits {
            concurrent_calls: Some(CONCURRENT_CALLS),
            ..Limits::timeout(Duration::from_secs(600))
        },
        allow: Allow::new(vec![rule]),
    };
    let options = Options {
        vaults: vec![vault],
        ..Options::default()
    };
    let (server, client) = Server::prepared(options).await;
    (server, client, backend)
}

fn browsing(page_size: i32, page_token: &str) -> v1::ListVaultSecretsRequest {
    v1::ListVaultSecretsRequest {
        parent: "vaults/faulty".to_owned(),
        project: PROJECT.to_owned(),
        page_size,
        page_token: page_token.to_owned(),
    }
}

async fn browse(
    client: &Client,
    request: v1::ListVaultSecretsRequest,
) -> Result<v1::ListVaultSecretsResponse, Status> {
    let answer = client.vaults().list_vault_secrets(request).await;
    answer.map(tonic::Response::into_inner)
}

async fn put_at(client: &Client, id: &str, place: &str) {
    let mut put = located(&secret(id), in_faulty(place));
    put.payload = Some(text_payload(id));
    client.put_definition(put).await.unwrap();
}

#[tokio::test]
async fn names_are_browsed_page_by_page_within_the_allow_list() {
    let (_server, client, backend) = prepared(&["acme/*", "one+at.all@!"]).await;
    backend.add_foreign(&["acme/b", "acme/d", "acme-corp/a", "other/x", "one+at.all@!"]);
    put_at(&client, "ours", "acme/c").await;

    let (mut seen, mut token, mut pages) = (Vec::new(), String::new(), 0);
    loop {
        let page = browse(&client, browsing(2, &token)).await.unwrap();
        seen.extend(
            page.secrets
                .into_iter()
                .map(|found| (found.secret, found.ours)),
        );
        (token, pages) = (page.next_page_token, pages + 1);
        if token.is_empty() {
            break;
        }
    }
    let expected = [("acme/b", false), ("acme/c", true), ("acme/d", false)];
    let expected = expected.into_iter().chain([("one+at.all@!", false)]);
    let expected: Vec<_> = expected
        .map(|(name, ours)| (name.to_owned(), ours))
        .collect();
    assert_eq!(seen, expected);
    assert_eq!(pages, 3, "full pages, then the empty one that ends it");
}

/// The vault serves what its other users stored, which nobody held to what we take.
#[tokio::test]
async fn a_value_that_is_longer_than_the_vault_declares_is_not_served() {
    const DECLARED: usize = 64 * 1024;
    let backend = FaultyBackend::shared();
    let (_server, client) = Server::prepared(Options::with_faulty(&backend)).await;
    put_at(&client, "long", "long").await;
    backend.type_in("long", &"x".repeat(DECLARED));
    let read = client.get(&secret("long")).await.unwrap();
    assert_eq!(read.version, "typed");
    backend.type_in("long", &"x".repeat(DECLARED + 1));
    let refused = client.get(&secret("long")).await;
    let refused = fails(refused, Code::FailedPrecondition, "VALUE_TOO_LONG");
    assert_eq!(
        refused.message(),
        "the value of projects/acme/secrets/long in vault faulty is longer than 65536 bytes; store \
         a shorter one, or point the definition elsewhere"
    );
}

async fn known_to(client: &Client) -> Vec<String> {
    let listed = client.vaults().list_vaults(v1::ListVaultsRequest {}).await;
    let vaults = listed.unwrap().into_inner().vaults.into_iter();
    vaults.map(|vault| vault.name).collect()
}

#[tokio::test]
async fn a_caller_knows_of_the_vaults_that_its_projects_may_use() {
    let vault = |id, project: &str| FaultyVault {
        id,
        backend: FaultyBackend::new(),
        limits: Limits::timeout(Duration::from_secs(600)),
        allow: Allow::new(vec![Allow::parse_rule(project, &["*".to_owned()]).unwrap()]),
    };
    let options = Options {
        vaults: vec![vault("own", "acme"), vault("theirs", "other")],
        ..Options::default()
    };
    let (server, client) = Server::prepared(options).await;
    client.project("projects/other", &[]).await;
    let name = secret("key");
    client.put(&name, "value").await.unwrap();
    let own = ["vaults/managed", "vaults/own"];
    let all = ["vaults/managed", "vaults/own", "vaults/theirs"];
    for (role, resource, known) in [
        (v1::Role::Operator, &*name, &own[..]),
        (v1::Role::Operator, PROJECT, &own[..]),
        (v1::Role::Auditor, PROJECT, &own[..]),
        (v1::Role::Operator, "*", &all[..]),
    ] {
        let made = client.token(&[(role, resource)]).await;
        let caller = server.tcp().await.with_token(&made.token);
        assert_eq!(known_to(&caller).await, known, "{role:?} on {resource}");
        for name in all {
            let request = v1::CheckVaultRequest {
                name: name.to_owned(),
            };
            let checked = caller.vaults().check_vault(request).await;
            if known.contains(&name) {
                assert!(checked.unwrap().into_inner().ok);
                continue;
            }
            let status = fails(checked, Code::FailedPrecondition, "VAULT_UNKNOWN");
            let text = status.message();
            assert_eq!(text, "there is no vault theirs; configured: see ListVaults");
        }
        if resource == &*name {
            continue;
        }
        let mistyped = located(
            &secret("mistyped"),
            v1::Location {
                vault: "own-2".to_owned(),
                ..Default::default()
            },
        );
        if role == v1::Role::Operator {
            let put = caller.put_definition(mistyped).await;
            let status = fails(put, Code::FailedPrecondition, "VAULT_UNKNOWN");
            assert!(
                status.message().ends_with("configured: managed, own"),
                "{status:?}"
            );
        }
    }
    // Made anew, a project is another one.
    let made = client
        .token(&[(v1::Role::Operator, "projects/other")])
        .await;
    let caller = server.tcp().await.with_token(&made.token);
    assert_eq!(known_to(&caller).await, ["vaults/managed", "vaults/theirs"]);
    let request = v1::DeleteProjectRequest {
        name: "projects/other".to_owned(),
        ..Default::default()
    };
    client.projects().delete_project(request).await.unwrap();
    client.project("projects/other", &[]).await;
    assert_eq!(known_to(&caller).await, [""; 0]);
}

#[tokio::test]
async fn a_project_that_no_rule_names_sees_nothing() {
    let (_server, client, backend) = prepared(&["*"]).await;
    backend.add_foreign(&["acme/b"]);
    client.project("projects/else", &[]).await;
    let request = v1::ListVaultSecretsRequest {
        project: "projects/else".to_owned(),
        ..browsing(0, "")
    };
    assert_eq!(browse(&client, request).await.unwrap().secrets, vec![]);
    let all = browse(&client, browsing(0, "")).await.unwrap();
    assert_eq!(all.secrets.len(), 1);
}

#[tokio::test]
async fn what_cannot_be_browsed_is_named() {
    let (_server, client, backend) = prepared(&["*"]).await;
    let with = |parent: &str, project: &str| v1::ListVaultSecretsRequest {
        parent: parent.to_owned(),
        project: project.to_owned(),
        ..Default::default()
    };
    let managed = browse(&client, with("vaults/managed", PROJECT)).await;
    let status = fails(
        managed,
        Code::FailedPrecondition,
        "VAULT_CAPABILITY_MISSING",
    );
    assert_eq!(
        status.message(),
        "vault managed cannot do this: list secrets"
    );
    let unknown = browse(&client, with("vaults/nowhere", PROJECT)).await;
    fails(unknown, Code::FailedPrecondition, "VAULT_UNKNOWN");
    let no_name = browse(&client, with("faulty", PROJECT)).await;
    fails(no_name, Code::InvalidArgument, "NAME_INVALID");
    let no_project = browse(&client, with("vaults/faulty", "projects/none")).await;
    fails(no_project, Code::NotFound, "PROJECT_NOT_FOUND");
    let token = browse(&client, browsing(0, "a\nb")).await;
    fails(token, Code::InvalidArgument, "FIELD_INVALID");
    assert_eq!(
        backend.count(Verb::List),
        0,
        "no call for a refused request"
    );
}

#[tokio::test]
async fn a_vault_that_hangs_takes_its_own_places_and_nobody_elses() {
    let (_server, client, backend) = prepared(&["*"]).await;
    put_at(&client, "away", "away").await;
    client.put(&secret("here"), "own").await.unwrap();

    backend.set(Verb::Read, Fault::Hang);
    let mut hanging = JoinSet::new();
    for _ in 0..10 * CONCURRENT_CALLS {
        let client = client.clone();
        hanging.spawn(async move { client.text(&secret("away")).await });
    }
    backend.entered(Verb::Read, OWN_CALLS).await;

    let mut reads = JoinSet::new();
    for _ in 0..1_000 {
        let client = client.clone();
        reads.spawn(async move { client.text(&secret("here")).await });
    }
    let reads = reads.join_all().await;
    assert!(reads.iter().all(|text| text == "own"));
    assert!(
        hanging.try_join_next().is_none(),
        "the other vault hung meanwhile"
    );
    assert_eq!(backend.count(Verb::Read), OWN_CALLS);

    backend.heal();
    let late = hanging.join_all().await;
    assert_eq!(
        late,
        vec!["away"; 10 * CONCURRENT_CALLS],
        "each had its turn"
    );
}
