//! Attacks on where definitions lead: with a grant on one of them, through a second spelling of its
//! secret, under a name that was somebody else's before.

use std::sync::Arc;

use claviger_integration::{Client, FaultyBackend, FaultyVault, Options, Server, Verb};
use claviger_proto::v1::{self, Role};
use tonic::{Code, Status};

use super::{HOUR, holder};
use crate::support::{
    check, defining, delete, denied, fails, in_faulty, located, reasons, replacing, secret,
    storing, take_back, undelete, versions,
};

/// What leads elsewhere, field by field: the definition's, with its part changed.
fn ways_out(own: &v1::SecretDefinition) -> Vec<(&'static str, v1::SecretDefinition)> {
    let to = in_faulty("acme/b");
    let property = v1::Location {
        property: "another".to_owned(),
        ..own.location.clone().unwrap()
    };
    let located = |location| v1::SecretDefinition {
        location: Some(location),
        ..own.clone()
    };
    let overridden = v1::SecretDefinition {
        environments: [("dev".to_owned(), to.clone())].into(),
        ..own.clone()
    };
    let falling_back = v1::SecretDefinition {
        environment_fallback: true,
        ..own.clone()
    };
    vec![
        ("location", located(to)),
        ("location", located(property)),
        ("location", located(in_faulty(""))),
        ("environments", overridden),
        ("environment_fallback", falling_back),
    ]
}

#[tokio::test]
async fn a_grant_on_a_definition_does_not_say_where_it_leads() {
    let vault = FaultyBackend::shared();
    let (server, client) = Server::prepared(Options::with_faulty(&vault)).await;
    vault.type_in("acme/b", "not for a");
    let name = secret("a");
    let put = located(&name, in_faulty("acme/a"));
    let own = client
        .put_definition(put)
        .await
        .unwrap()
        .definition
        .unwrap();
    let operator = holder(&server, &client, Role::Operator, &name).await;

    for (path, wanted) in ways_out(&own) {
        let masked = |path: &str| v1::PutSecretDefinitionRequest {
            update_mask: Some(prost_types::FieldMask {
                paths: vec!["description".to_owned(), path.to_owned()],
            }),
            ..replacing(wanted.clone())
        };
        for put in [masked(path), masked("*"), replacing(wanted.clone())] {
            for validate_only in [true, false] {
                let put = v1::PutSecretDefinitionRequest {
                    validate_only,
                    ..put.clone()
                };
                let status = denied(operator.put_definition(put).await);
                let text = status.message();
                assert!(
                    text.contains("definitions.put on projects/acme ("),
                    "{text}"
                );
            }
        }
    }
    // The same looks the same, whether there is anything, and whether the project may use it.
    for (vault, secret) in [
        ("nowhere", "x"),
        ("faulty", "acme/b"),
        ("faulty", "other/x"),
    ] {
        let location = v1::Location {
            vault: vault.to_owned(),
            secret: secret.to_owned(),
            ..Default::default()
        };
        let put = v1::SecretDefinition {
            location: Some(location),
            ..own.clone()
        };
        denied(operator.put_definition(replacing(put)).await);
    }
    assert_eq!(vault.count(Verb::Read), 0, "nothing was looked at");

    let described = v1::SecretDefinition {
        description: "its own to say".to_owned(),
        ..own
    };
    let put = operator.put_definition(replacing(described)).await;
    put.expect("it leads where it led");
}

#[tokio::test]
async fn a_grant_on_a_definition_neither_adopts_nor_brings_back_what_others_may_lead_to() {
    let vault = FaultyBackend::new();
    let (server, client) = Server::prepared(Options::with_faulty(&vault)).await;
    let named = secret("named");
    let put = located(&named, in_faulty("acme/shared"));
    client.put_definition(put).await.unwrap();
    let operator = holder(&server, &client, Role::Operator, &named).await;
    let adopting = v1::PutSecretValueRequest {
        adopt: true,
        ..storing(&named, "evil")
    };
    denied(operator.put_value(adopting.clone()).await);
    assert_eq!(vault.count(Verb::Write), 0);
    client.put_value(adopting).await.expect("the project's");

    delete(&operator, &named, false).await.expect("its own");
    denied(undelete(&operator, &named).await);
    undelete(&client, &named).await.expect("the project's");

    let unnamed = secret("unnamed");
    client.put_definition(defining(&unnamed)).await.unwrap();
    let operator = holder(&server, &client, Role::Operator, &unnamed).await;
    delete(&operator, &unnamed, false).await.expect("its own");
    undelete(&operator, &unnamed).await.expect("nobody else's");
}

#[tokio::test]
async fn a_grant_on_a_definition_makes_no_name_anew() {
    let (server, client) = Server::prepared(Options::default()).await;
    let name = secret("re-made");
    client.put(&name, "old").await.unwrap();
    let operator = holder(&server, &client, Role::Operator, &name).await;
    let other = secret("other");
    denied(operator.put(&other, "evil").await);
    delete(&operator, &name, true).await.expect("its own");
    denied(operator.put_definition(defining(&name)).await);
    denied(operator.put(&name, "evil").await);
    client
        .put(&name, "new")
        .await
        .expect("free for the project");
    denied(operator.rotate(&name, "evil").await);
}

/// An operator of the project in one environment only.
async fn operator_in(server: &Server, project: &str, environment: &str) -> Client {
    let request = v1::CreateTokenRequest {
        grants: vec![v1::TokenGrant {
            role: Role::Operator.into(),
            resource: project.to_owned(),
            environment: environment.to_owned(),
        }],
        ttl: Some(prost_types::Duration {
            seconds: 3600,
            nanos: 0,
        }),
        ..Default::default()
    };
    let token = server.unix().access().create_token(request).await.unwrap();
    server.tcp().await.with_token(&token.into_inner().token)
}

#[tokio::test]
async fn a_grant_in_an_environment_does_not_say_where_that_leads() {
    let vault = FaultyBackend::shared();
    let (server, client) = Server::prepared(Options::with_faulty(&vault)).await;
    client.project("projects/two", &["dev", "prod"]).await;
    let name = "projects/two/secrets/key";
    let mut put = defining(name);
    put.definition.as_mut().unwrap().environments = [
        ("dev".to_owned(), in_faulty("two/dev")),
        ("prod".to_owned(), in_faulty("two/prod")),
    ]
    .into();
    let own = client
        .put_definition(put)
        .await
        .unwrap()
        .definition
        .unwrap();
    let of_dev = operator_in(&server, "projects/two", "dev").await;
    let mut swapped = own.clone();
    let to = in_faulty("two/prod");
    swapped.environments.insert("dev".to_owned(), to);
    denied(of_dev.put_definition(replacing(swapped)).await);
    denied(
        of_dev
            .put_definition(defining("projects/two/secrets/new"))
            .await,
    );

    let adopting = |environment: &str| v1::PutSecretValueRequest {
        adopt: true,
        environment: environment.to_owned(),
        ..storing(name, "value")
    };
    denied(of_dev.put_value(adopting("prod")).await);
    let put = of_dev.put_value(adopting("dev")).await;
    put.expect("the project's, in dev");
}

/// A vault behind two blocks of the configuration, `faulty` and `door`.
fn two_doors(vault: &Arc<FaultyBackend>) -> Options {
    let mut options = Options::with_faulty(vault);
    let door = FaultyVault {
        id: "door",
        ..options.vaults[0].clone()
    };
    options.vaults.push(door);
    options
}

fn at_the_door(secret: &str) -> v1::Location {
    v1::Location {
        vault: "door".to_owned(),
        ..in_faulty(secret)
    }
}

/// Every way to change the value that a read gets.
async fn changes(client: &Client, name: &str, environment: &str) -> Vec<Result<(), Status>> {
    let version = || format!("{name}/versions/1");
    let environment = || environment.to_owned();
    let put = v1::PutSecretValueRequest {
        environment: environment(),
        ..storing(name, "evil")
    };
    let disable = v1::DisableSecretVersionRequest {
        name: version(),
        environment: environment(),
    };
    let enable = v1::EnableSecretVersionRequest {
        name: version(),
        environment: environment(),
    };
    let destroy = v1::DestroySecretVersionRequest {
        name: version(),
        environment: environment(),
    };
    let mut secrets = client.secrets();
    vec![
        client.put_value(put).await.map(drop),
        secrets.disable_secret_version(disable).await.map(drop),
        secrets.enable_secret_version(enable).await.map(drop),
        secrets.destroy_secret_version(destroy).await.map(drop),
    ]
}

#[tokio::test]
async fn what_one_environment_reads_is_not_changed_in_another_through_another_spelling() {
    for prod in [in_faulty("KEY"), at_the_door("key"), at_the_door("Key")] {
        let vault = FaultyBackend::new();
        let (server, client) = Server::prepared(two_doors(&vault)).await;
        client.project("projects/two", &["dev", "prod"]).await;
        let name = "projects/two/secrets/key";
        let mut put = defining(name);
        put.definition.as_mut().unwrap().environments = [
            ("dev".to_owned(), in_faulty("key")),
            ("prod".to_owned(), prod.clone()),
        ]
        .into();
        let warnings = client.put_definition(put).await.unwrap().warnings;
        assert_eq!(reasons(warnings), ["ENVIRONMENTS_SHARE_VALUE"], "{prod:?}");
        let of_dev = operator_in(&server, "projects/two", "dev").await;
        for changed in changes(&of_dev, name, "dev").await {
            denied(changed);
        }
        assert_eq!(vault.count(Verb::Write), 0);
        for changed in changes(&client, name, "dev").await {
            changed.expect("the project's operator");
        }
    }
}

#[tokio::test]
async fn what_another_definition_reads_is_changed_by_those_that_may_change_it_there() {
    let others = [in_faulty("key"), in_faulty("KEY"), at_the_door("Key")];
    for (project, environment) in [("projects/one", ""), ("projects/two", "dev")] {
        for location in &others {
            let vault = FaultyBackend::new();
            let (server, client) = Server::prepared(two_doors(&vault)).await;
            let environments: &[&str] = match environment {
                "" => &[],
                environment => &[environment, "prod"],
            };
            client.project(project, environments).await;
            let (own, other) = (
                format!("{project}/secrets/own"),
                format!("{project}/secrets/b"),
            );
            let leading = |name: &str, to: v1::Location| {
                let mut put = located(name, to.clone());
                if !environment.is_empty() {
                    let definition = put.definition.as_mut().unwrap();
                    definition.environments = [(environment.to_owned(), to)].into();
                    definition.location = None;
                }
                client.put_definition(put)
            };
            leading(&own, in_faulty("key")).await.unwrap();
            let mine = client.token(&[(Role::Operator, &own)]).await;
            let caller = server.tcp().await.with_token(&mine.token);
            let put = v1::PutSecretValueRequest {
                environment: environment.to_owned(),
                ..storing(&own, "alone")
            };
            caller.put_value(put).await.expect("nobody else's yet");

            leading(&other, location.clone()).await.unwrap();
            let written = vault.count(Verb::Write);
            for changed in changes(&caller, &own, environment).await {
                let text = denied(changed).to_string();
                assert!(text.contains(&format!("{project} (")), "{text}");
                assert!(!text.contains("secrets/b"), "{text}");
            }
            assert_eq!(vault.count(Verb::Write), written);

            let principal = mine.info.unwrap().principal;
            let grant = client.grant(&principal, Role::Operator, &other).await;
            for changed in changes(&caller, &own, environment).await {
                changed.expect("allowed on both");
            }
            take_back(&client, &grant).await.unwrap();
            delete(&client, &other, false).await.unwrap();
            let changed = changes(&caller, &own, environment).await;
            changed
                .into_iter()
                .next()
                .unwrap()
                .expect("nobody reads it there");
        }
    }
}

#[tokio::test]
async fn a_re_made_name_inherits_no_value() {
    let vault = FaultyBackend::shared();
    let options = Options {
        deleted_retention: HOUR,
        ..Options::with_faulty(&vault)
    };
    let (server, client) = Server::prepared(options).await;
    for location in [in_faulty(""), v1::Location::default()] {
        for purge in [true, false] {
            let name = secret("re-made");
            let put = || client.put_definition(located(&name, location.clone()));
            put().await.unwrap();
            let place = check(&client, &name).await.route.unwrap();
            if location.vault.is_empty() {
                client.rotate(&name, "old").await.unwrap();
            } else {
                // It stays there, whatever becomes of the definition.
                vault.type_in(&place.secret, "old");
            }
            assert_eq!(client.text(&name).await, "old");

            delete(&client, &name, purge).await.unwrap();
            if !purge {
                server.clock.advance(HOUR);
            }
            put().await.unwrap();
            let asked = vault.count(Verb::Read);
            fails(client.get(&name).await, Code::NotFound, "SECRET_NOT_FOUND");
            let is_asked = usize::from(!location.vault.is_empty());
            assert_eq!(vault.count(Verb::Read), asked + is_asked, "and no more");
            let listed = versions(&client, &name).await;
            assert_eq!(listed, vec![]);
            delete(&client, &name, true).await.unwrap();
        }
    }
}
