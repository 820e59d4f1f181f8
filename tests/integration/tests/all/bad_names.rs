//! Bad names: refused wherever a name is taken, with the remedy; and two spellings of one name.

use claviger_proto::v1;
use tonic::Code;

use crate::refusals::{Ask, WITH_ENVIRONMENTS, case, refused, snapshot, world};
use crate::support::{checking, defining, reading, reading_in, secret};

const INVALID: (Code, &str) = (Code::InvalidArgument, "NAME_INVALID");

/// Ids that are none, and the violation of each.
fn bad_ids() -> Vec<(&'static str, String, &'static str)> {
    vec![
        ("empty", String::new(), "is empty"),
        ("white space", " \t".to_owned(), "is empty"),
        ("129 characters", "a".repeat(129), "longer than 128"),
        ("control character", "a\u{1}b".to_owned(), "ASCII"),
        ("line break inside", "a\nb".to_owned(), "ASCII"),
        ("NUL", "a\0".to_owned(), "ASCII"),
        ("..", "..".to_owned(), "ASCII"),
        ("dot", "a.b".to_owned(), "ASCII"),
        ("Cyrillic", "str\u{456}pe".to_owned(), "ASCII"),
        ("full width", "\u{FF53}tripe".to_owned(), "ASCII"),
        ("combining mark", "stripe\u{301}".to_owned(), "ASCII"),
        ("zero width", "stri\u{200B}pe".to_owned(), "ASCII"),
        ("no-break space", "\u{A0}stripe".to_owned(), "ASCII"),
    ]
}

#[tokio::test]
async fn a_bad_id_is_refused_wherever_a_name_is_taken() {
    let (_server, client) = world().await;
    let mut cases = Vec::new();
    for (what, id, remedy) in bad_ids() {
        let name = secret(&id);
        let version = v1::DisableSecretVersionRequest {
            name: format!("{name}/versions/1"),
            ..Default::default()
        };
        let delete = v1::DeleteSecretDefinitionRequest {
            name: name.clone(),
            ..Default::default()
        };
        let check = checking(&name);
        let grant = v1::Grant {
            principal: "unix:7".to_owned(),
            role: v1::Role::Runner.into(),
            resource: name.clone(),
            ..Default::default()
        };
        let project = v1::Project {
            name: format!("projects/{id}"),
            ..Default::default()
        };
        let list = v1::ListSecretDefinitionsRequest {
            parent: format!("projects/{id}"),
            ..Default::default()
        };
        for (field, ask) in [
            ("definition.name", Ask::define(&name, |_, _| ())),
            ("name", Ask::Get(reading(&name))),
            ("name", Ask::store(&name, |_| ())),
            ("name", Ask::Disable(version)),
            ("name", Ask::Delete(delete)),
            ("name", Ask::Check(check)),
            ("grant.resource", Ask::Grant(grant)),
            ("project.name", Ask::Project(project)),
            ("parent", Ask::List(list)),
        ] {
            cases.push(case(what, ask, INVALID, field, remedy));
        }
    }
    for name in ["a/b", "a/versions/1/x", "/a", "a/"] {
        let ask = Ask::define(&secret(name), |_, _| ());
        cases.push(case(
            name,
            ask,
            INVALID,
            "definition.name",
            "write projects/{project}",
        ));
    }
    refused(&client, cases).await;
}

#[tokio::test]
async fn an_unknown_project_is_told_apart_from_an_unknown_definition() {
    let (_server, client) = world().await;
    let ask = Ask::define("projects/acmee/secrets/new", |_, _| ());
    let missing = (Code::NotFound, "PROJECT_NOT_FOUND");
    let cases = vec![case(
        "project",
        ask,
        missing,
        "definition.name",
        "PutProject",
    )];
    refused(&client, cases).await;
}

#[tokio::test]
async fn an_unknown_environment_is_answered_with_near_misses() {
    let (_server, client) = world().await;
    let unknown = (Code::InvalidArgument, "ENVIRONMENT_UNKNOWN");
    let required = (Code::InvalidArgument, "ENVIRONMENT_REQUIRED");
    let near = "close to it: prod; declared: dev, prod";
    let kept = format!("{WITH_ENVIRONMENTS}/secrets/kept");
    let new = format!("{WITH_ENVIRONMENTS}/secrets/new");
    let read = Ask::Get(reading_in(&kept, "prdo"));
    let put = Ask::store(&kept, |put| put.environment = "prdo".to_owned());
    let overriding = Ask::define(&new, |_, definition| {
        let location = v1::Location::default();
        definition.environments.insert("prdo".to_owned(), location);
    });
    let grant = Ask::Grant(v1::Grant {
        principal: "unix:7".to_owned(),
        role: v1::Role::Runner.into(),
        resource: WITH_ENVIRONMENTS.to_owned(),
        environment: "prdo".to_owned(),
        ..Default::default()
    });
    let unnamed = Ask::store(&kept, |_| ());
    let named = Ask::Get(reading_in(&secret("plain"), "prod"));
    let cases = vec![
        case("read", read, unknown, "environment", near),
        case("put", put, unknown, "environment", near),
        case(
            "override",
            overriding,
            unknown,
            "definition.environments",
            near,
        ),
        case("grant", grant, unknown, "grant.environment", near),
        case("none named", unnamed, required, "environment", "dev, prod"),
        case(
            "none declared",
            named,
            unknown,
            "environment",
            "leave it out",
        ),
    ];
    refused(&client, cases).await;
}

#[tokio::test]
async fn an_unknown_vault_is_answered_with_the_known_ones() {
    let (_server, client) = world().await;
    let unknown = (Code::FailedPrecondition, "VAULT_UNKNOWN");
    let in_vault = |id: &str| {
        Some(v1::Location {
            vault: id.to_owned(),
            ..Default::default()
        })
    };
    let located = Ask::define(&secret("new"), |_, definition| {
        definition.location = in_vault("managd");
    });
    let default = Ask::Project(v1::Project {
        name: "projects/new".to_owned(),
        default_vault: "aws-eu".to_owned(),
        ..Default::default()
    });
    let known = "configured: managed";
    let cases = vec![
        case(
            "location",
            located,
            unknown,
            "definition.location.vault",
            known,
        ),
        case("default", default, unknown, "project.default_vault", known),
    ];
    refused(&client, cases).await;
}

#[tokio::test]
async fn a_coordinate_that_the_vault_does_not_have_is_refused_by_name() {
    let (_server, client) = world().await;
    let invalid = (Code::InvalidArgument, "LOCATION_INVALID");
    let located = |edit: fn(&mut v1::Location)| {
        Ask::define(&secret("new"), |_, definition| {
            edit(definition.location.get_or_insert_default());
        })
    };
    let named = located(|location| location.secret = "prod/stripe".to_owned());
    let property = located(|location| location.property = "apiKey".to_owned());
    let pinned = located(|location| location.version = "7".to_owned());
    let new = format!("{WITH_ENVIRONMENTS}/secrets/new");
    let overriding = Ask::define(&new, |_, definition| {
        let location = v1::Location {
            property: "apiKey".to_owned(),
            ..Default::default()
        };
        definition.environments.insert("dev".to_owned(), location);
    });
    let field = "definition.location";
    let in_override = "definition.environments";
    let cases = vec![
        case("secret", named, invalid, field, "leave `secret` out"),
        case("property", property, invalid, field, "leave `property` out"),
        case("version", pinned, invalid, field, "leave `version` out"),
        case(
            "override",
            overriding,
            invalid,
            in_override,
            "leave `property` out",
        ),
    ];
    refused(&client, cases).await;
}

#[tokio::test]
async fn a_name_with_white_space_around_it_is_the_same_name() {
    let (server, client) = world().await;
    let plain = secret("trimmed");
    let padded = [
        secret(" trimmed "),
        format!(" {plain}\n"),
        "projects/ acme /secrets/\ttrimmed".to_owned(),
    ];
    let first = client.put(&padded[0], "value").await.unwrap();
    let first = first.definition.unwrap();
    assert_eq!(
        (first.name.as_str(), first.id.as_str()),
        (plain.as_str(), "trimmed")
    );
    for name in &padded {
        let again = client.put_definition(defining(name)).await.unwrap();
        assert_eq!(again.definition.unwrap(), first, "{name:?}");
        assert_eq!(client.text(name).await, "value", "{name:?}");
    }

    // Access: a grant on one spelling is a grant on all.
    let token = client.token(&[(v1::Role::Runner, &padded[1])]).await;
    let runner = server.tcp().await.with_token(&token.token);
    for name in padded.iter().chain([&plain]) {
        assert_eq!(runner.text(name).await, "value", "{name:?}");
    }

    // Store and audit know one spelling.
    let definitions = snapshot(&client).await.definitions;
    let same = definitions.iter().filter(|d| d.name.contains("trimmed"));
    assert_eq!(same.count(), 1);
    let lines = server.audit_lines();
    let resources: Vec<_> = lines
        .iter()
        .filter_map(|line| line["resource"].as_str())
        .filter(|resource| resource.contains("trimmed"))
        .collect();
    assert!(resources.len() > 10);
    assert!(
        resources.iter().all(|resource| *resource == plain),
        "{resources:?}"
    );
}
