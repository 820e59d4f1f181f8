//! One definition, several environments: where each read and write goes.

use claviger_integration::{
    Client, FaultyBackend, Options, PROJECT, Server, text_payload, violation,
};
use claviger_proto::v1;
use claviger_proto::v1::get_secret_response::Value;
use tonic::Code;

use crate::support::{checking, defining, fails, reading, reading_in, storing};

const PROJECT_NAME: &str = "projects/staged";

/// A project with `dev` and `prod`, beside the vault `faulty`.
async fn staged() -> (Server, Client) {
    let options = Options::with_faulty(&FaultyBackend::new());
    let (server, client) = Server::prepared(options).await;
    client.project(PROJECT_NAME, &["dev", "prod"]).await;
    (server, client)
}

fn secret(id: &str) -> String {
    format!("{PROJECT_NAME}/secrets/{id}")
}

fn location(vault: &str, secret: &str) -> v1::Location {
    v1::Location {
        vault: vault.to_owned(),
        secret: secret.to_owned(),
        ..Default::default()
    }
}

/// A definition with these overrides.
fn overridden(name: &str, overrides: &[(&str, v1::Location)]) -> v1::PutSecretDefinitionRequest {
    let mut put = defining(name);
    let own = |(id, location): &(&str, v1::Location)| ((*id).to_owned(), location.clone());
    put.definition.as_mut().unwrap().environments = overrides.iter().map(own).collect();
    put
}

async fn store_in(client: &Client, name: &str, environment: &str, text: &str) {
    let put = v1::PutSecretValueRequest {
        environment: environment.to_owned(),
        ..storing(name, text)
    };
    let put = client.put_value(put).await.unwrap();
    assert_eq!(put.environment, environment);
}

/// A read in an environment: the value and where it came from.
async fn read_in(client: &Client, name: &str, environment: &str) -> (String, String) {
    let got = client.get_secret(reading_in(name, environment)).await;
    let got = got.unwrap();
    assert_eq!(got.environment, environment);
    match got.value {
        Some(Value::Text(text)) => (text, got.vault),
        Some(Value::Data(_)) | None => panic!("{name} is not text"),
    }
}

#[tokio::test]
async fn a_project_with_environments_wants_one_named() {
    let (_server, client) = staged().await;
    let name = secret("shared");
    client.put_definition(defining(&name)).await.unwrap();
    let list = v1::ListSecretVersionsRequest {
        parent: name.clone(),
        ..Default::default()
    };
    let disable = v1::DisableSecretVersionRequest {
        name: format!("{name}/versions/1"),
        ..Default::default()
    };
    let check = checking(&name);
    let mut secrets = client.secrets();
    for result in [
        client.get_secret(reading(&name)).await.map(drop),
        client.put_value(storing(&name, "x")).await.map(drop),
        secrets.list_secret_versions(list).await.map(drop),
        secrets.disable_secret_version(disable).await.map(drop),
        client
            .definitions()
            .check_secret_definition(check)
            .await
            .map(drop),
    ] {
        let status = fails(result, Code::InvalidArgument, "ENVIRONMENT_REQUIRED");
        let (field, remedy) = violation(&status).unwrap();
        assert_eq!(field, "environment");
        assert!(remedy.contains("dev, prod"), "{remedy}");
    }
}

#[tokio::test]
async fn environments_that_resolve_to_one_place_share_its_value() {
    let (_server, client) = staged().await;
    let name = secret("shared");
    client.put(&name, "one").await.expect("one place");
    for environment in ["dev", "prod"] {
        let read = read_in(&client, &name, environment).await;
        assert_eq!(read, ("one".to_owned(), "managed".to_owned()));
    }
    store_in(&client, &name, "dev", "two").await;
    assert_eq!(read_in(&client, &name, "prod").await.0, "two");
}

#[tokio::test]
async fn a_change_of_a_shared_value_needs_the_permission_in_every_environment_that_reads_it() {
    let (server, client) = staged().await;
    let name = secret("shared");
    client.put(&name, "one").await.expect("one place");
    let operator = |environments: &[&str]| v1::CreateTokenRequest {
        grants: environments
            .iter()
            .map(|environment| v1::TokenGrant {
                role: v1::Role::Operator.into(),
                resource: name.rsplit_once("/secrets/").unwrap().0.to_owned(),
                environment: (*environment).to_owned(),
            })
            .collect(),
        ttl: Some(prost_types::Duration {
            seconds: 3600,
            nanos: 0,
        }),
        ..Default::default()
    };
    for (environments, is_allowed) in [(&["dev"][..], false), (&["dev", "prod"][..], true)] {
        let made = client.access().create_token(operator(environments)).await;
        let token = made.unwrap().into_inner().token;
        let holder = server.tcp().await.with_token(&token);
        let rotation = v1::PutSecretValueRequest {
            name: name.clone(),
            environment: "dev".to_owned(),
            payload: Some(text_payload("two")),
            ..Default::default()
        };
        let rotated = holder.put_value(rotation).await;
        if is_allowed {
            rotated.expect("allowed in both");
        } else {
            fails(rotated, Code::PermissionDenied, "ACCESS_DENIED");
            assert_eq!(read_in(&client, &name, "prod").await.0, "one");
        }
    }
}

#[tokio::test]
async fn overrides_keep_environments_apart() {
    let (_server, client) = staged().await;
    let name = secret("split");
    let overrides = [
        ("dev", location("managed", "")),
        ("prod", location("faulty", "prod/stripe")),
    ];
    let with_payload = v1::PutSecretDefinitionRequest {
        payload: Some(text_payload("x")),
        ..overridden(&name, &overrides)
    };
    let refused = client.put_definition(with_payload).await;
    let status = fails(refused, Code::InvalidArgument, "PAYLOAD_NOT_ALLOWED");
    let (field, remedy) = violation(&status).unwrap();
    assert_eq!(field, "payload");
    assert!(remedy.contains("exactly one location"), "{remedy}");
    fails(
        client.definition(&name).await,
        Code::NotFound,
        "DEFINITION_NOT_FOUND",
    );

    client
        .put_definition(overridden(&name, &overrides))
        .await
        .unwrap();
    store_in(&client, &name, "dev", "dev key").await;
    let prod = client.get_secret(reading_in(&name, "prod")).await;
    fails(prod, Code::NotFound, "SECRET_NOT_FOUND");
    store_in(&client, &name, "prod", "prod key").await;
    assert_eq!(
        read_in(&client, &name, "dev").await,
        ("dev key".to_owned(), "managed".to_owned())
    );
    assert_eq!(
        read_in(&client, &name, "prod").await,
        ("prod key".to_owned(), "faulty".to_owned())
    );
}

#[tokio::test]
async fn an_environment_without_a_location_is_uncovered_unless_fallback_is_set() {
    let (_server, client) = staged().await;
    let name = secret("partly");
    let overrides = [("dev", location("faulty", "dev/stripe"))];
    client
        .put_definition(overridden(&name, &overrides))
        .await
        .unwrap();
    store_in(&client, &name, "dev", "dev key").await;
    let in_prod = v1::PutSecretValueRequest {
        environment: "prod".to_owned(),
        ..storing(&name, "x")
    };
    for result in [
        client.get_secret(reading_in(&name, "prod")).await.map(drop),
        client.put_value(in_prod).await.map(drop),
    ] {
        let status = fails(result, Code::FailedPrecondition, "ENVIRONMENT_UNCOVERED");
        assert!(
            status.message().contains("environment_fallback"),
            "{status:?}"
        );
    }

    let mut fallback = overridden(&name, &overrides);
    fallback.definition.as_mut().unwrap().environment_fallback = true;
    fallback.update_mask = Some(prost_types::FieldMask {
        paths: vec!["environment_fallback".to_owned()],
    });
    client.put_definition(fallback).await.unwrap();
    store_in(&client, &name, "prod", "default key").await;
    assert_eq!(
        read_in(&client, &name, "prod").await,
        ("default key".to_owned(), "managed".to_owned())
    );
    assert_eq!(read_in(&client, &name, "dev").await.0, "dev key");
}

#[tokio::test]
async fn an_empty_location_is_in_the_default_vault_of_its_environment_else_of_its_project() {
    let (_server, client) = staged().await;
    let vault = |id: &str| v1::Environment {
        default_vault: id.to_owned(),
        ..Default::default()
    };
    let environments = [
        ("dev".to_owned(), vault("managed")),
        ("prod".to_owned(), vault("")),
    ];
    let project = v1::PutProjectRequest {
        project: Some(v1::Project {
            name: "projects/mixed".to_owned(),
            default_vault: "faulty".to_owned(),
            environments: environments.into(),
            ..Default::default()
        }),
        validate_only: false,
    };
    client.projects().put_project(project).await.unwrap();
    let name = "projects/mixed/secrets/key";
    client.put_definition(defining(name)).await.unwrap();
    for (environment, vault) in [("dev", "managed"), ("prod", "faulty")] {
        store_in(&client, name, environment, environment).await;
        let read = read_in(&client, name, environment).await;
        assert_eq!(read, (environment.to_owned(), vault.to_owned()));
        let check = v1::CheckSecretDefinitionRequest {
            name: name.to_owned(),
            environment: environment.to_owned(),
            ..Default::default()
        };
        let checked = client.definitions().check_secret_definition(check).await;
        let checked = checked.unwrap().into_inner();
        assert_eq!(checked.environment, environment);
        let route = checked.route.unwrap();
        assert_eq!(route, location(vault, &route.secret));
        if vault == "managed" {
            assert_eq!(route.secret, "key");
        } else {
            // In a vault that others use too, the name says whose it is, and differs in more than
            // case.
            let hash = route.secret.strip_prefix("mixed/key-").unwrap();
            assert_eq!(hash.len(), 20, "{hash}");
            assert!(
                hash.bytes().all(|digit| digit.is_ascii_hexdigit()),
                "{hash}"
            );
        }
    }
}

#[tokio::test]
async fn where_there_are_no_environments_none_is_named() {
    let (_server, client) = staged().await;
    let name = format!("{PROJECT}/secrets/plain");
    client.put(&name, "value").await.unwrap();
    let named = client.get_secret(reading_in(&name, "dev")).await;
    fails(named, Code::InvalidArgument, "ENVIRONMENT_UNKNOWN");
    let got = client.get(&name).await.unwrap();
    assert_eq!(got.environment, "");
}
