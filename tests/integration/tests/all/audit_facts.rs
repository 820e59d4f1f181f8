//! The audit log tells what was done: from it alone all that was registered can be made again.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use claviger_integration::{Client, FaultyBackend, Options, PROJECT, Server};
use claviger_proto::v1::{self, Role};
use prost_types::{FieldMask, Timestamp};
use serde_json::Value;

use crate::support::{defining, in_faulty, located, secret};

/// Fields by path.
type Fields = BTreeMap<String, String>;

/// All that is registered, each with its fields; grants and tokens by their names.
type World = BTreeMap<String, Fields>;

/// The world that a log tells of.
fn told(lines: &[Value]) -> World {
    let mut world = World::new();
    let mut begun: HashMap<&str, Vec<&Value>> = HashMap::new();
    for line in lines {
        let Some(call) = line["call"].as_str() else {
            continue;
        };
        match line["phase"].as_str() {
            Some("INTENT") => begun.entry(call).or_default().push(line),
            Some("OUTCOME") if line["outcome"] == "ALLOWED" => {
                for intent in begun.remove(call).unwrap_or_default() {
                    apply(&mut world, intent, line);
                }
                // What has no such field any longer is gone.
                let lives = ["uid", "role", "expire_time"];
                world.retain(|_, fields| lives.iter().any(|field| fields.contains_key(*field)));
            }
            _ => {}
        }
    }
    world
}

fn apply(world: &mut World, intent: &Value, outcome: &Value) {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let is_grant = intent["holder"].is_string();
    let name = match (is_grant, &intent["subject"]) {
        // The id that it got.
        (true, Value::Null) => format!("grants/{}", text(&outcome["subject"])),
        (true, subject) => format!("grants/{}", text(subject)),
        (false, Value::Null) => text(&intent["resource"]),
        (false, subject) => format!("tokens/{}", text(subject)),
    };
    let mut fields = world.remove(&name).unwrap_or_default();
    for field in intent["was"]
        .as_object()
        .into_iter()
        .flat_map(|was| was.keys())
    {
        assert!(fields.remove(field).is_some(), "{name} had no {field}");
    }
    for (field, now) in intent["now"].as_object().into_iter().flatten() {
        fields.insert(field.clone(), text(now));
    }
    if is_grant {
        fields.insert("principal".to_owned(), text(&intent["holder"]));
        fields.insert("resource".to_owned(), text(&intent["resource"]));
    }
    world.insert(name, fields);
}

/// The same world as the API lists it.
async fn listed(client: &Client) -> World {
    let mut world = World::new();
    let mut asked = client.projects();
    let projects = asked
        .list_projects(v1::ListProjectsRequest::default())
        .await;
    for project in projects.unwrap().into_inner().projects {
        let request = v1::ListSecretDefinitionsRequest {
            parent: project.name.clone(),
            show_deleted: true,
            ..Default::default()
        };
        let definitions = client.definitions().list_secret_definitions(request).await;
        for definition in definitions.unwrap().into_inner().definitions {
            world.insert(definition.name.clone(), of_definition(definition));
        }
        world.insert(project.name.clone(), of_project(project));
    }
    let mut asked = client.access();
    let grants = asked.list_grants(v1::ListGrantsRequest::default()).await;
    for grant in grants.unwrap().into_inner().grants {
        let role = grant.role().as_str_name().to_owned();
        world.insert(
            grant.name,
            fields([
                ("principal", grant.principal),
                ("role", role),
                ("resource", grant.resource),
                ("environment", grant.environment),
                ("expire_time", time(grant.expire_time)),
                ("purpose", grant.purpose),
            ]),
        );
    }
    let mut asked = client.access();
    let tokens = asked.list_tokens(v1::ListTokensRequest::default()).await;
    for token in tokens.unwrap().into_inner().tokens {
        world.insert(
            token.name,
            fields([
                ("description", private(&token.description)),
                ("expire_time", time(token.expire_time)),
                ("revoked", flag(token.revoked)),
            ]),
        );
    }
    world
}

fn of_project(project: v1::Project) -> Fields {
    let mut all = fields([
        ("uid", project.uid),
        ("description", private(&project.description)),
        ("default_vault", project.default_vault),
    ]);
    for (id, environment) in project.environments {
        if environment.stripe_mode != 0 {
            let mode = environment.stripe_mode().as_str_name().to_owned();
            all.insert(format!("environments.{id}.stripe_mode"), mode);
        }
        let vault = format!("environments.{id}.default_vault");
        all.insert(vault, environment.default_vault);
    }
    all
}

fn of_definition(definition: v1::SecretDefinition) -> Fields {
    let mut all = fields([
        ("kind", definition.kind().as_str_name().to_owned()),
        ("format", definition.format().as_str_name().to_owned()),
        ("uid", definition.uid),
        ("description", private(&definition.description)),
        (
            "environment_fallback",
            flag(definition.environment_fallback),
        ),
        ("rotate_by", time(definition.rotate_by)),
        ("delete_time", time(definition.delete_time)),
    ]);
    let stripe = definition.stripe.unwrap_or_default();
    let classes = stripe.allowed_classes().map(|class| class.as_str_name());
    let classes: Vec<_> = classes.collect();
    all.extend(fields([
        ("stripe.allowed_classes", classes.join(", ")),
        ("stripe.account", stripe.account),
        ("stripe.context", stripe.context),
    ]));
    let labels = definition.labels.into_iter();
    all.extend(labels.map(|(key, value)| (format!("labels.{key}"), value)));
    let default = definition
        .location
        .map(|location| ("location".to_owned(), location));
    let overrides = definition.environments.into_iter();
    let overrides = overrides.map(|(id, location)| (format!("environments.{id}"), location));
    for (path, location) in overrides.chain(default) {
        let coordinates = fields([
            ("secret", location.secret),
            ("property", location.property),
            ("version", location.version),
            ("whole", flag(location.whole)),
        ]);
        all.extend(
            coordinates
                .into_iter()
                .map(|(field, text)| (format!("{path}.{field}"), text)),
        );
        all.insert(format!("{path}.vault"), location.vault);
    }
    all
}

/// Those that are set.
fn fields<const N: usize>(all: [(&str, String); N]) -> Fields {
    let set = all.into_iter().filter(|(_, text)| !text.is_empty());
    set.map(|(field, text)| (field.to_owned(), text)).collect()
}

fn private(text: &str) -> String {
    let shown = if text.is_empty() { "" } else { "(text)" };
    shown.to_owned()
}

fn flag(is_on: bool) -> String {
    let shown = if is_on { "true" } else { "" };
    shown.to_owned()
}

fn time(time: Option<Timestamp>) -> String {
    time.map(|time| time.to_string()).unwrap_or_default()
}

/// In ten days of the test's clock.
pub(crate) fn later() -> Timestamp {
    Timestamp {
        seconds: 1_795_320_000 + 10 * 24 * 60 * 60,
        nanos: 123_456_789,
    }
}

#[tokio::test]
async fn all_that_is_registered_can_be_made_again_from_the_log() {
    let vault = FaultyBackend::shared();
    let (mut server, client) = Server::prepared(Options::with_faulty(&vault)).await;
    of_projects(&client).await;
    of_definitions(&client).await;
    large(&client).await;
    of_grants(&server, &client).await;

    let listed = listed(&client).await;
    assert!(listed.len() > 15, "{listed:#?}");
    assert_eq!(told(&server.audit_lines()), listed);
    let log = server.audit_bytes();
    claviger_audit::verify(&log[..]).expect("no line is too long");
    // The name of a definition that is gone for good is free, and taken by another one.
    server.clock.advance(Duration::from_secs(40 * 24 * 60 * 60));
    server.restart().await;
    let client = server.unix();
    client.put(&secret("deleted"), "v").await.unwrap();
    assert_eq!(told(&server.audit_lines()), self::listed(&client).await);
}

async fn put_project(client: &Client, project: v1::Project) -> v1::Project {
    let request = v1::PutProjectRequest {
        project: Some(project),
        validate_only: false,
    };
    let reply = client.projects().put_project(request).await;
    reply.expect("put").into_inner().project.expect("echoed")
}

async fn of_projects(client: &Client) {
    for name in ["projects/shop", "projects/other", "projects/again"] {
        client.project(name, &["dev", "old", "prod"]).await;
    }
    let request = v1::GetProjectRequest {
        name: "projects/shop".to_owned(),
    };
    let mut project = client
        .projects()
        .get_project(request)
        .await
        .unwrap()
        .into_inner();
    let live = v1::Environment {
        default_vault: "faulty".to_owned(),
        stripe_mode: v1::environment::StripeMode::Live.into(),
    };
    project.environments.insert("prod".to_owned(), live);
    project.environments.remove("old");
    project.description = "Where the shop keeps its keys".to_owned();
    let mut project = put_project(client, project).await;
    project.default_vault = "faulty".to_owned();
    project
        .environments
        .insert("prod".to_owned(), v1::Environment::default());
    let mut project = put_project(client, project).await;
    // What is only tried leaves nothing.
    project.default_vault = String::new();
    let tried = v1::PutProjectRequest {
        project: Some(project),
        validate_only: true,
    };
    client.projects().put_project(tried).await.unwrap();
    for name in ["projects/other", "projects/again"] {
        let request = v1::DeleteProjectRequest {
            name: name.to_owned(),
            etag: String::new(),
        };
        client.projects().delete_project(request).await.unwrap();
    }
    client.project("projects/again", &["prod"]).await;
}

async fn of_definitions(client: &Client) {
    for id in ["plain", "deleted", "back", "purged"] {
        client.put(&secret(id), "v").await.unwrap();
    }
    for (id, purge) in [("deleted", false), ("back", false), ("purged", true)] {
        let request = v1::DeleteSecretDefinitionRequest {
            name: secret(id),
            purge,
            ..Default::default()
        };
        client
            .definitions()
            .delete_secret_definition(request)
            .await
            .unwrap();
    }
    let request = v1::UndeleteSecretDefinitionRequest {
        name: secret("back"),
    };
    client
        .definitions()
        .undelete_secret_definition(request)
        .await
        .unwrap();
    client.put(&secret("purged"), "another").await.unwrap();

    let name = "projects/shop/secrets/key";
    let mut put = located(name, in_faulty("shop/key"));
    let definition = put.definition.as_mut().unwrap();
    definition.kind = v1::secret_definition::Kind::StripeApiKey.into();
    definition.description = "The key".to_owned();
    definition.labels = [("team", "shop"), ("tier", "1")]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into();
    definition.rotate_by = Some(later());
    definition.stripe = Some(v1::StripeSettings {
        allowed_classes: vec![v1::stripe_settings::Class::Restricted.into()],
        account: "acct_1".to_owned(),
        context: String::new(),
    });
    definition.environments = [
        (
            "dev".to_owned(),
            v1::Location {
                whole: true,
                ..Default::default()
            },
        ),
        ("prod".to_owned(), in_faulty("prod/key")),
    ]
    .into();
    client.put_definition(put.clone()).await.unwrap();
    let definition = put.definition.as_mut().unwrap();
    definition.location.as_mut().unwrap().property = "apiKey".to_owned();
    definition.environments.remove("dev");
    definition
        .environments
        .insert("prod".to_owned(), in_faulty("prod/next"));
    definition.labels = [("tier".to_owned(), "2".to_owned())].into();
    definition.environment_fallback = true;
    put.update_mask = Some(FieldMask {
        paths: [
            "location",
            "environments",
            "labels",
            "environment_fallback",
            "rotate_by",
        ]
        .map(str::to_owned)
        .to_vec(),
    });
    client.put_definition(put.clone()).await.unwrap();
    put.definition.as_mut().unwrap().location = Some(in_faulty("elsewhere"));
    put.validate_only = true;
    client.put_definition(put.clone()).await.unwrap();
    put.validate_only = false;
    put.definition.as_mut().unwrap().etag = "1-stale".to_owned();
    client.put_definition(put).await.expect_err("stale");
}

/// As much as one definition can say, in characters that JSON writes with two.
async fn large(client: &Client) {
    let ids: Vec<String> = (0..30).map(|id| format!("e{id}")).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    client.project("projects/large", &ids).await;
    let name = "projects/large/secrets/large";
    let mut put = defining(name);
    let definition = put.definition.as_mut().unwrap();
    for id in ids {
        let location = v1::Location {
            property: "\"".repeat(2000),
            ..in_faulty(&"\\".repeat(2000))
        };
        definition.environments.insert(id.to_owned(), location);
    }
    client.put_definition(put.clone()).await.unwrap();
    for location in put.definition.as_mut().unwrap().environments.values_mut() {
        location.property = "'".repeat(2000);
    }
    put.update_mask = Some(FieldMask {
        paths: vec!["environments".to_owned()],
    });
    client.put_definition(put).await.unwrap();
}

async fn of_grants(server: &Server, client: &Client) {
    let narrow = v1::Grant {
        principal: "unix:7".to_owned(),
        role: Role::Runner.into(),
        resource: "projects/shop/secrets/key".to_owned(),
        environment: "prod".to_owned(),
        expire_time: Some(later()),
        purpose: "nightly".to_owned(),
        ..Default::default()
    };
    for _ in 0..2 {
        let grant = Some(narrow.clone());
        let request = v1::PutGrantRequest { grant };
        client.access().put_grant(request).await.unwrap();
    }
    let taken = client.grant("unix:8", Role::Admin, "*").await;
    client.grant("unix:8", Role::Auditor, "projects/shop").await;
    let request = v1::DeleteGrantRequest { name: taken.name };
    client.access().delete_grant(request).await.unwrap();

    let roles = [
        (Role::Runner, PROJECT),
        (Role::Admin, "projects/shop"),
        (Role::Operator, "*"),
    ];
    client.token(&roles).await;
    let request = v1::CreateTokenRequest {
        grants: vec![v1::TokenGrant {
            role: Role::Admin.into(),
            resource: "*".to_owned(),
            environment: String::new(),
        }],
        ttl: Some(prost_types::Duration {
            seconds: 3600,
            nanos: 0,
        }),
        description: "of the night job".to_owned(),
    };
    let maker = client
        .access()
        .create_token(request)
        .await
        .unwrap()
        .into_inner();
    let making = server.tcp().await.with_token(&maker.token);
    making.grant("unix:9", Role::Runner, PROJECT).await;
    let made = making
        .token(&[(Role::Admin, "projects/shop"), (Role::Runner, PROJECT)])
        .await;
    let making = server.tcp().await.with_token(&made.token);
    making.grant("unix:9", Role::Runner, "projects/shop").await;
    let request = v1::RevokeTokenRequest {
        name: maker.info.unwrap().name,
        cascade: true,
    };
    let revoked = client.access().revoke_token(request).await.unwrap();
    assert_eq!(revoked.into_inner().remaining, [""; 0]);
}
