//! One test for each hole that an attack on the first slice found: here those that one caller meets
//! every time, in [`access`] those of grants and tokens, in [`races`] those that take two at once.

mod access;
mod places;
mod races;
mod vaults;

use std::sync::Arc;
use std::time::Duration;

use claviger_integration::{
    Client, Fault, FaultyBackend, Options, PROJECT, Server, Verb, text_payload, violation,
};
use claviger_proto::v1;
use claviger_proto::v1::Role;
use claviger_proto::v1::secret_definition::Kind;
use tonic::{Code, Status};

use crate::support::{
    creating, defining, delete, fails, give, in_faulty, in_progress, located, replacing,
    request_id, runner, secret, storing, take_back, undelete,
};

const HOUR: Duration = Duration::from_secs(60 * 60);

/// A server whose vault `faulty` may hang for as long as a test takes.
async fn patient() -> (Server, Client, Arc<FaultyBackend>) {
    let vault = FaultyBackend::new();
    let mut options = Options::with_faulty(&vault);
    options.vaults[0].limits.timeout = HOUR / 2;
    let (server, client) = Server::prepared(options).await;
    (server, client, vault)
}

/// A put of a project with this default vault and these environments.
async fn put_project(
    client: &Client,
    name: &str,
    default_vault: &str,
    environments: &[String],
    etag: &str,
) -> Result<v1::Project, Status> {
    let environment = |id: &String| (id.clone(), v1::Environment::default());
    let request = v1::PutProjectRequest {
        project: Some(v1::Project {
            name: name.to_owned(),
            default_vault: default_vault.to_owned(),
            environments: environments.iter().map(environment).collect(),
            etag: etag.to_owned(),
            ..Default::default()
        }),
        validate_only: false,
    };
    let reply = client.projects().put_project(request).await?;
    Ok(reply.into_inner().project.unwrap())
}

async fn revoke(client: &Client, token: &v1::Token) -> Result<v1::RevokeTokenResponse, Status> {
    let request = v1::RevokeTokenRequest {
        name: token.name.clone(),
        cascade: false,
    };
    let reply = client.access().revoke_token(request).await;
    reply.map(tonic::Response::into_inner)
}

/// A caller with this role only.
async fn holder(server: &Server, client: &Client, role: Role, resource: &str) -> Client {
    let made = client.token(&[(role, resource)]).await;
    server.tcp().await.with_token(&made.token)
}

#[tokio::test]
async fn a_write_under_way_is_settled_by_nobody_whatever_the_clock_says() {
    let (server, client, vault) = patient().await;
    let name = secret("busy");
    client
        .put_definition(located(&name, in_faulty("")))
        .await
        .unwrap();
    client.rotate(&name, "old").await.unwrap();
    vault.set(Verb::Write, Fault::Hang);
    let put = v1::PutSecretValueRequest {
        request_id: request_id(),
        ..storing(&name, "new")
    };
    let others = async {
        vault.entered(Verb::Write, 2).await;
        server.clock.advance(HOUR);
        in_progress(client.rotate(&name, "other").await);
        in_progress(client.put_value(put.clone()).await);
        in_progress(delete(&client, &name, true).await);
        vault.heal();
    };
    let (first, ()) = tokio::join!(client.put_value(put.clone()), others);
    assert_eq!(
        client.get(&name).await.unwrap().version,
        first.unwrap().version
    );
    assert_eq!(client.text(&name).await, "new");
    assert_eq!(vault.versions_held(), 2);
    assert_eq!(vault.count(Verb::FindWrite), 0, "nobody asked the vault");
}

#[tokio::test]
async fn a_registration_under_way_is_settled_by_nobody_whatever_the_clock_says() {
    let (server, client, vault) = patient().await;
    let name = secret("busy");
    let put = |text: &str| v1::PutSecretDefinitionRequest {
        payload: Some(text_payload(text)),
        request_id: request_id(),
        ..located(&name, in_faulty(""))
    };
    vault.set(Verb::Write, Fault::Hang);
    let first = put("first");
    let others = async {
        vault.entered(Verb::Write, 1).await;
        server.clock.advance(HOUR);
        in_progress(client.put_definition(put("second")).await);
        in_progress(client.put_definition(first.clone()).await);
        vault.heal();
    };
    let (done, ()) = tokio::join!(client.put_definition(first.clone()), others);
    assert_eq!(
        client.get(&name).await.unwrap().version,
        done.unwrap().version
    );
    assert_eq!(client.text(&name).await, "first");
}

#[tokio::test]
async fn a_put_that_changes_nothing_leaves_an_expired_definition_as_it_was() {
    let options = Options {
        deleted_retention: HOUR,
        ..Options::default()
    };
    let (mut server, client) = Server::prepared(options).await;
    let name = secret("expired");
    client.put(&name, "kept").await.unwrap();
    delete(&client, &name, false).await.unwrap();
    server.clock.advance(HOUR);
    let gone = client.definition(&name).await;
    fails(gone, Code::NotFound, "DEFINITION_NOT_FOUND");

    let put = creating(&name, "new");
    let dry_run = v1::PutSecretDefinitionRequest {
        validate_only: true,
        ..put.clone()
    };
    client.put_definition(dry_run).await.expect("would work");
    let mut long = put.clone();
    long.definition.as_mut().unwrap().description = "x".repeat(257);
    let mut published = put.clone();
    published.definition.as_mut().unwrap().kind = Kind::StripeApiKey.into();
    published.payload = Some(text_payload("pk_test_abc"));
    let mut etagged = put.clone();
    etagged.definition.as_mut().unwrap().etag = "1-of-yesterday".to_owned();
    for (refused, code, why) in [
        (long, Code::InvalidArgument, "FIELD_INVALID"),
        (published, Code::InvalidArgument, "VALUE_WRONG_KIND"),
        (etagged, Code::NotFound, "DEFINITION_NOT_FOUND"),
    ] {
        fails(client.put_definition(refused).await, code, why);
    }

    // With a longer retention it is not over yet: the value shows whether it is still there.
    let longer = |options: &mut Options| options.deleted_retention = 2 * HOUR;
    server.restart_with(longer).await;
    let client = server.unix();
    undelete(&client, &name).await.expect("not gone");
    assert_eq!(client.text(&name).await, "kept");
}

#[tokio::test]
async fn a_full_replace_by_mask_needs_the_etag_too() {
    let (_server, client) = Server::prepared(Options::default()).await;
    let name = secret("replaced");
    let put = client.put_definition(defining(&name)).await.unwrap();
    let before = put.definition.unwrap();
    let replace = |paths: &[&str], etag: &str| v1::PutSecretDefinitionRequest {
        update_mask: Some(prost_types::FieldMask {
            paths: paths.iter().map(|path| (*path).to_owned()).collect(),
        }),
        ..replacing(v1::SecretDefinition {
            name: name.clone(),
            description: "new".to_owned(),
            etag: etag.to_owned(),
            ..Default::default()
        })
    };
    for paths in [&["*"][..], &["description", "*"]] {
        let refused = client.put_definition(replace(paths, "")).await;
        fails(refused, Code::AlreadyExists, "DEFINITION_EXISTS");
    }
    assert_eq!(client.definition(&name).await.unwrap(), before);
    let replaced = client.put_definition(replace(&["*"], &before.etag)).await;
    assert_eq!(replaced.unwrap().definition.unwrap().description, "new");
}

#[tokio::test]
async fn environments_and_coordinates_are_bounded() {
    let (_server, client, _vault) = patient().await;
    let ids: Vec<_> = (0..51).map(|number| format!("e{number}")).collect();
    let many = put_project(&client, "projects/many", "", &ids, "").await;
    let status = fails(many, Code::InvalidArgument, "FIELD_INVALID");
    let (field, remedy) = violation(&status).unwrap();
    assert_eq!(field, "project.environments");
    assert!(remedy.contains("50"), "{remedy}");
    put_project(&client, "projects/many", "", &ids[..50], "")
        .await
        .expect("as many as there may be");

    let name = "projects/many/secrets/a";
    let overridden = |ids: &[String], secret: &str| {
        let mut put = defining(name);
        let location = |id: &String| (id.clone(), in_faulty(secret));
        put.definition.as_mut().unwrap().environments = ids.iter().map(location).collect();
        put
    };
    let long = "x".repeat(3000);
    for (put, field, limit) in [
        (overridden(&ids, "x"), "definition.environments", "50"),
        (
            overridden(&ids[..1], &long),
            "definition.environments",
            "2048",
        ),
        (
            located(name, in_faulty(&long)),
            "definition.location",
            "2048",
        ),
    ] {
        let status = fails(
            client.put_definition(put).await,
            Code::InvalidArgument,
            "FIELD_INVALID",
        );
        let (blamed, remedy) = violation(&status).unwrap();
        assert_eq!(blamed, field);
        assert!(remedy.contains(limit), "{remedy}");
    }
    fails(
        client.definition(name).await,
        Code::NotFound,
        "DEFINITION_NOT_FOUND",
    );
    let longest = located(name, in_faulty(&"x".repeat(2048)));
    client
        .put_definition(longest)
        .await
        .expect("as long as may be");
}

#[tokio::test]
async fn a_location_is_checked_although_no_environment_uses_it_yet() {
    let (_server, client, _vault) = patient().await;
    client.project("projects/staged", &["dev"]).await;
    let name = "projects/staged/secrets/a";
    let mut put = located(
        name,
        v1::Location {
            property: "apiKey".to_owned(),
            ..Default::default()
        },
    );
    let definition = put.definition.as_mut().unwrap();
    definition.environments = [("dev".to_owned(), in_faulty("dev/a"))].into();
    let refused = client.put_definition(put.clone()).await;
    let status = fails(refused, Code::InvalidArgument, "LOCATION_INVALID");
    let (field, remedy) = violation(&status).unwrap();
    assert_eq!(field, "definition.location");
    assert!(remedy.contains("property"), "{remedy}");
    put.definition.as_mut().unwrap().location = None;
    client.put_definition(put).await.expect("without it");
}

#[tokio::test]
async fn a_location_is_checked_again_where_the_default_vault_became_another() {
    let (_server, client, _vault) = patient().await;
    let (project, name) = ("projects/moved", "projects/moved/secrets/a");
    let made = put_project(&client, project, "faulty", &[], "")
        .await
        .unwrap();
    let location = v1::Location {
        secret: "prod/a".to_owned(),
        ..Default::default()
    };
    client
        .put_definition(located(name, location))
        .await
        .unwrap();
    client.rotate(name, "value").await.unwrap();
    put_project(&client, project, "managed", &[], &made.etag)
        .await
        .unwrap();
    // The managed vault would not even look at the secret's name.
    for result in [
        client.get(name).await.map(drop),
        client.rotate(name, "new").await.map(drop),
    ] {
        fails(result, Code::InvalidArgument, "LOCATION_INVALID");
    }
}

#[tokio::test]
async fn environments_that_share_a_value_without_saying_so_are_warned_about() {
    let (_server, client, _vault) = patient().await;
    client.project("projects/staged", &["dev", "prod"]).await;
    let name = "projects/staged/secrets/key";
    let put = |overrides: &[(&str, &str)], environment_fallback| {
        let location = |(id, secret): &(&str, &str)| ((*id).to_owned(), in_faulty(secret));
        v1::PutSecretDefinitionRequest {
            validate_only: true,
            ..replacing(v1::SecretDefinition {
                name: name.to_owned(),
                environments: overrides.iter().map(location).collect(),
                environment_fallback,
                ..Default::default()
            })
        }
    };
    for (put, is_warned) in [
        (put(&[], false), true),
        (put(&[("dev", "x"), ("prod", "x")], false), true),
        (put(&[], true), false),
        (put(&[("dev", "x"), ("prod", "y")], false), false),
        (put(&[("dev", "x")], false), false),
    ] {
        let outcome = client.put_definition(put.clone()).await.unwrap();
        let warnings = outcome.warnings.iter();
        let shown: Vec<_> = warnings.map(|w| (&*w.reason, &*w.field)).collect();
        let warning = ("ENVIRONMENTS_SHARE_VALUE", "definition.environments");
        let wanted = if is_warned { vec![warning] } else { vec![] };
        assert_eq!(shown, wanted, "{put:?}");
    }
    let put = client.put_definition(put(&[], false)).await.unwrap();
    assert!(put.warnings[0].message.contains("environment_fallback"));
}

#[tokio::test]
async fn an_intent_says_what_it_is_about() {
    let (server, client) = Server::prepared(Options::default()).await;
    let name = secret("destroyed");
    client.put(&name, "one").await.unwrap();
    client.rotate(&name, "two").await.unwrap();
    let destroy = v1::DestroySecretVersionRequest {
        name: format!("{name}/versions/1"),
        ..Default::default()
    };
    let mut secrets = client.secrets();
    secrets.destroy_secret_version(destroy).await.unwrap();
    let grant = give(&client, runner("unix:7", &name)).await.unwrap();
    take_back(&client, &grant).await.unwrap();
    let token = client.token(&[(Role::Runner, PROJECT)]).await.info.unwrap();
    revoke(&client, &token).await.unwrap();

    let id = |name: &str| name.split_once('/').unwrap().1.to_owned();
    let lines = server.audit_lines();
    for (rpc, key, wanted, count) in [
        (
            "SecretService/DestroySecretVersion",
            "version",
            "1".to_owned(),
            1,
        ),
        ("AccessService/DeleteGrant", "subject", id(&grant.name), 1),
        // The token's grant has one of its own.
        ("AccessService/CreateToken", "subject", id(&token.name), 2),
        ("AccessService/RevokeToken", "subject", id(&token.name), 2),
    ] {
        let is_meant = |line: &&serde_json::Value| {
            line["phase"] == "INTENT" && line["rpc"] == format!("claviger.v1.{rpc}")
        };
        let intents: Vec<_> = lines.iter().filter(is_meant).collect();
        assert_eq!(intents.len(), count, "{rpc}");
        assert_eq!(intents[0][key], wanted, "{rpc}: {}", intents[0]);
    }
}

#[tokio::test]
async fn refusals_of_strangers_are_counted_where_they_are_too_many_to_record() {
    let (server, _client) = Server::prepared(Options::default()).await;
    let stranger = server.tcp().await;
    let records_before = server.audit_lines().len();
    let log = server.dir().join("audit.jsonl");
    let size = || std::fs::metadata(&log).unwrap().len();
    let (mut recorded, mut unrecorded) = (0, 0);
    // Until one is recorded after some that were not: in the next second.
    loop {
        let before = size();
        let refused = stranger.get(&secret("any")).await;
        fails(refused, Code::Unauthenticated, "CREDENTIALS_REQUIRED");
        if size() == before {
            unrecorded += 1;
            if unrecorded == 100 {
                server.clock.advance(std::time::Duration::from_secs(1));
            }
        } else if unrecorded == 0 {
            recorded += 1;
            assert!(recorded < 10_000, "every single one is recorded");
        } else {
            break;
        }
    }
    assert_eq!(
        (recorded, unrecorded),
        (10, 100),
        "the first ten one by one"
    );
    let lines = server.audit_lines().split_off(records_before);
    assert_eq!(lines.len(), recorded + 1);
    let (last, first) = lines.split_last().unwrap();
    assert!(first.iter().all(|line| line["unnoted"].is_null()));
    assert_eq!(last["unnoted"], unrecorded);
    claviger_audit::verify(&server.audit_bytes()[..]).expect("the chain goes on");
}
