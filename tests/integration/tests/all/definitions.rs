//! The life of a definition: registered, changed, deleted, brought back, listed.

use std::time::Duration;

use claviger_integration::{Client, Options, PROJECT, Server, text_payload};
use claviger_proto::v1;
use claviger_proto::v1::secret_definition::{Format, Kind};
use tonic::Code;

use crate::support::{defining, delete, fails, replacing, secret, storing, undelete, versions};

#[tokio::test]
async fn what_is_unset_is_echoed_as_what_it_means() {
    let (_server, client) = Server::prepared(Options::default()).await;
    let put = client.put_definition(defining(&secret("plain"))).await;
    let definition = put.unwrap().definition.unwrap();
    assert_eq!(
        (definition.kind(), definition.format()),
        (Kind::Opaque, Format::Text)
    );
    assert_eq!(definition.id, "plain");
    assert_eq!(definition.location, None);
    assert!(!definition.uid.is_empty() && !definition.etag.is_empty());
    assert_eq!(definition.delete_time, None);
    assert_eq!(
        client.definition(&secret("plain")).await.unwrap(),
        definition
    );
}

#[tokio::test]
async fn putting_what_is_already_there_is_ok_and_changes_nothing() {
    let (server, client) = Server::prepared(Options::default()).await;
    let put = described(&secret("same"), "first");
    let first = client.put_definition(put.clone()).await.unwrap();
    server.clock.advance(Duration::from_secs(60));
    let again = client.put_definition(put).await.unwrap();
    assert_eq!(again, first);
}

#[tokio::test]
async fn a_request_id_of_a_put_that_changed_nothing_is_used_up_too() {
    let (_server, client) = Server::prepared(Options::default()).await;
    let name = secret("noop");
    let with_id = |description: &str| v1::PutSecretDefinitionRequest {
        request_id: "6b0f9f6e-58f5-4b7a-9a55-0d6c8f5d7a10".to_owned(),
        ..described(&name, description)
    };
    client
        .put_definition(described(&name, "same"))
        .await
        .unwrap();
    let first = client.put_definition(with_id("same")).await.unwrap();
    assert_eq!(client.put_definition(with_id("same")).await.unwrap(), first);
    let other = client.put_definition(with_id("other")).await;
    fails(other, Code::InvalidArgument, "REQUEST_ID_REUSED");
}

#[tokio::test]
async fn a_mask_changes_only_the_fields_it_names() {
    let (_server, client) = Server::prepared(Options::default()).await;
    let name = secret("masked");
    let mut put = described(&name, "first");
    put.definition.as_mut().unwrap().kind = Kind::Password.into();
    let before = accepted(&client, put).await;

    let mut update = described(&name, "second");
    update.definition.as_mut().unwrap().format = Format::Binary.into();
    update.update_mask = mask("description");
    let after = accepted(&client, update).await;
    assert_eq!(after.description, "second");
    assert_eq!(
        (after.kind(), after.format()),
        (Kind::Password, Format::Text)
    );
    assert_eq!(after.uid, before.uid);
    assert_ne!(after.etag, before.etag);
    assert_eq!(client.definition(&name).await.unwrap(), after);

    let mut everything = described(&name, "third");
    everything.update_mask = mask("*");
    everything.definition.as_mut().unwrap().etag = after.etag;
    let after = accepted(&client, everything).await;
    assert_eq!(
        (after.description.as_str(), after.kind()),
        ("third", Kind::Opaque)
    );
}

#[tokio::test]
async fn an_etag_replaces_everything_once() {
    let (_server, client) = Server::prepared(Options::default()).await;
    let name = secret("replaced");
    let mut put = described(&name, "first");
    put.definition.as_mut().unwrap().kind = Kind::Password.into();
    let before = accepted(&client, put).await;

    let mut replacement = described(&name, "second");
    replacement.definition.as_mut().unwrap().etag = before.etag.clone();
    let after = accepted(&client, replacement).await;
    assert_eq!(
        (after.description.as_str(), after.kind()),
        ("second", Kind::Opaque)
    );
    assert_eq!(after.uid, before.uid);

    let mut stale = described(&name, "third");
    stale.definition.as_mut().unwrap().etag = before.etag;
    fails(
        client.put_definition(stale).await,
        Code::Aborted,
        "ETAG_MISMATCH",
    );
    assert_eq!(client.definition(&name).await.unwrap(), after);
}

#[tokio::test]
async fn a_rotation_stales_no_etag() {
    let (_server, client) = Server::prepared(Options::default()).await;
    let name = secret("rotated");
    let put = client.put(&name, "one").await.unwrap();
    client.rotate(&name, "two").await.unwrap();
    let definition = client.definition(&name).await.unwrap();
    assert_eq!(definition, put.definition.unwrap());

    let update = replacing(v1::SecretDefinition {
        description: "edited".to_owned(),
        ..definition
    });
    client.put_definition(update).await.expect("the etag holds");
    assert_eq!(client.text(&name).await, "two");
}

#[tokio::test]
async fn kind_and_format_are_fixed_once_there_is_a_value() {
    let (_server, client) = Server::prepared(Options::default()).await;
    let changes = |name: &str| {
        let mut kind = defining(name);
        kind.definition.as_mut().unwrap().kind = Kind::Password.into();
        kind.update_mask = mask("kind");
        let mut format = defining(name);
        format.definition.as_mut().unwrap().format = Format::Binary.into();
        format.update_mask = mask("format");
        [("definition.kind", kind), ("definition.format", format)]
    };
    let full = secret("full");
    client.put(&full, "value").await.unwrap();
    let before = client.definition(&full).await.unwrap();
    for (field, change) in changes(&full) {
        let refused = client.put_definition(change).await;
        let status = fails(refused, Code::InvalidArgument, "FIELD_INVALID");
        let (at, remedy) = claviger_integration::violation(&status).unwrap();
        assert_eq!(at, field);
        assert!(remedy.contains("register a new definition"), "{remedy}");
    }
    assert_eq!(client.definition(&full).await.unwrap(), before);

    let empty = secret("empty");
    client.put_definition(defining(&empty)).await.unwrap();
    for (_, change) in changes(&empty) {
        client.put_definition(change).await.expect("no value yet");
    }
    let after = client.definition(&empty).await.unwrap();
    assert_eq!(
        (after.kind(), after.format()),
        (Kind::Password, Format::Binary)
    );
}

#[tokio::test]
async fn validate_only_answers_as_the_put_would_and_changes_nothing() {
    let (_server, client) = Server::prepared(Options::default()).await;
    let name = secret("tried");
    let mut put = described(&name, "first");
    put.definition.as_mut().unwrap().kind = Kind::StripeApiKey.into();
    put.payload = Some(text_payload(" rk_test_0123456789abcdefghijklmnabc "));
    put.validate_only = true;
    let tried = client.put_definition(put.clone()).await.unwrap();
    assert_eq!(tried.warnings[0].reason, "VALUE_TRIMMED");
    assert_eq!(tried.version, "");
    assert_eq!(tried.definition.unwrap().description, "first");
    fails(
        client.definition(&name).await,
        Code::NotFound,
        "DEFINITION_NOT_FOUND",
    );

    put.payload = Some(text_payload("pk_test_abc"));
    fails(
        client.put_definition(put.clone()).await,
        Code::InvalidArgument,
        "VALUE_WRONG_KIND",
    );

    put.payload = Some(text_payload("rk_test_0123456789abcdefghijklmnabc"));
    put.validate_only = false;
    client.put_definition(put).await.unwrap();
    let before = client.definition(&name).await.unwrap();
    let update = v1::PutSecretDefinitionRequest {
        update_mask: mask("description"),
        validate_only: true,
        ..described(&name, "second")
    };
    let tried = client.put_definition(update).await.unwrap();
    assert_eq!(tried.definition.unwrap().description, "second");
    assert_eq!(client.definition(&name).await.unwrap(), before);

    let project = v1::PutProjectRequest {
        project: Some(v1::Project {
            name: "projects/tried".to_owned(),
            ..Default::default()
        }),
        validate_only: true,
    };
    client.projects().put_project(project).await.unwrap();
    let get = v1::GetProjectRequest {
        name: "projects/tried".to_owned(),
    };
    let got = client.projects().get_project(get).await;
    fails(got, Code::NotFound, "PROJECT_NOT_FOUND");
}

#[tokio::test]
async fn a_soft_deleted_definition_serves_nothing_and_comes_back_whole() {
    let (server, client) = Server::prepared(Options::default()).await;
    let name = secret("deleted");
    client.put(&name, "value").await.unwrap();
    let before = client.definition(&name).await.unwrap();

    let deleted = delete(&client, &name, false).await.unwrap();
    let delete_time = deleted.delete_time.unwrap();
    let month = 30 * 24 * 60 * 60;
    assert_eq!(
        deleted.purge_time.unwrap().seconds,
        delete_time.seconds + month
    );
    assert_eq!(client.definition(&name).await.unwrap(), deleted);
    for result in [
        client.get(&name).await.map(drop),
        client.rotate(&name, "next").await.map(drop),
        delete(&client, &name, false).await.map(drop),
        client.put_definition(defining(&name)).await.map(drop),
    ] {
        fails(result, Code::FailedPrecondition, "DEFINITION_DELETED");
    }

    server.clock.advance(Duration::from_secs(60));
    for _ in 0..2 {
        let undeleted = undelete(&client, &name).await.unwrap();
        assert_eq!(undeleted, before);
    }
    assert_eq!(client.text(&name).await, "value");
}

#[tokio::test]
async fn a_purged_and_re_made_name_inherits_neither_value_nor_grant() {
    let (server, client) = Server::prepared(Options::default()).await;
    let name = secret("purged");
    client.put(&name, "old").await.unwrap();
    let before = client.definition(&name).await.unwrap();
    let token = client.token(&[(v1::Role::Runner, &name)]).await;
    let runner = server.tcp().await.with_token(&token.token);
    assert_eq!(runner.text(&name).await, "old");

    delete(&client, &name, true).await.unwrap();
    fails(
        client.definition(&name).await,
        Code::NotFound,
        "DEFINITION_NOT_FOUND",
    );
    fails(
        undelete(&client, &name).await,
        Code::NotFound,
        "DEFINITION_NOT_FOUND",
    );
    client.put_definition(defining(&name)).await.unwrap();
    assert_ne!(client.definition(&name).await.unwrap().uid, before.uid);
    fails(client.get(&name).await, Code::NotFound, "SECRET_NOT_FOUND");
    assert_eq!(versions(&client, &name).await, []);
    let stale = replacing(v1::SecretDefinition {
        description: "edited".to_owned(),
        ..before
    });
    fails(
        client.put_definition(stale).await,
        Code::Aborted,
        "ETAG_MISMATCH",
    );

    client.rotate(&name, "new").await.unwrap();
    fails(
        runner.get(&name).await,
        Code::PermissionDenied,
        "ACCESS_DENIED",
    );
}

#[tokio::test]
async fn purge_frees_a_soft_deleted_name_too() {
    let (_server, client) = Server::prepared(Options::default()).await;
    let name = secret("twice");
    client.put(&name, "old").await.unwrap();
    delete(&client, &name, false).await.unwrap();
    delete(&client, &name, true).await.unwrap();
    client.put(&name, "new").await.unwrap();
    assert_eq!(client.text(&name).await, "new");
    assert_eq!(versions(&client, &name).await.len(), 1);
}

#[tokio::test]
async fn a_name_is_free_again_after_its_retention() {
    let (server, client) = Server::prepared(Options::default()).await;
    let name = secret("retained");
    client.put(&name, "old").await.unwrap();
    let uid = client.definition(&name).await.unwrap().uid;
    delete(&client, &name, false).await.unwrap();

    let month = Duration::from_secs(30 * 24 * 60 * 60);
    server.clock.advance(month - Duration::from_secs(1));
    let early = client.put(&name, "new").await;
    fails(early, Code::FailedPrecondition, "DEFINITION_DELETED");

    server.clock.advance(Duration::from_secs(1));
    fails(
        undelete(&client, &name).await,
        Code::NotFound,
        "DEFINITION_NOT_FOUND",
    );
    fails(
        client.definition(&name).await,
        Code::NotFound,
        "DEFINITION_NOT_FOUND",
    );
    client.put(&name, "new").await.unwrap();
    assert_eq!(client.text(&name).await, "new");
    assert_ne!(client.definition(&name).await.unwrap().uid, uid);
    assert_eq!(versions(&client, &name).await.len(), 1);
}

#[tokio::test]
async fn definitions_are_listed_by_name_in_pages_and_by_filter() {
    let (_server, client) = Server::prepared(Options::default()).await;
    client.project("projects/acme2", &[]).await;
    let other = "projects/acme2/secrets/not-listed";
    client.put_definition(defining(other)).await.unwrap();
    let mut names = Vec::new();
    for index in 0..25 {
        let name = secret(&format!("d-{index:02}"));
        let mut put = defining(&name);
        if index % 5 == 0 {
            put.definition.as_mut().unwrap().kind = Kind::Password.into();
        }
        client.put_definition(put).await.unwrap();
        names.push(name);
    }
    let of_project = v1::ListSecretDefinitionsRequest {
        parent: PROJECT.to_owned(),
        page_size: 10,
        ..Default::default()
    };
    assert_eq!(listed(&client, of_project.clone()).await, names);

    let passwords = v1::ListSecretDefinitionsRequest {
        kind: Kind::Password.into(),
        ..of_project.clone()
    };
    let every_fifth: Vec<_> = names.iter().step_by(5).cloned().collect();
    assert_eq!(listed(&client, passwords).await, every_fifth);

    for (vault, wanted) in [("managed", names.clone()), ("aws-eu", Vec::new())] {
        let in_vault = v1::ListSecretDefinitionsRequest {
            vault: vault.to_owned(),
            ..of_project.clone()
        };
        assert_eq!(listed(&client, in_vault).await, wanted);
    }

    delete(&client, &names[3], false).await.unwrap();
    let deleted_too = v1::ListSecretDefinitionsRequest {
        show_deleted: true,
        ..of_project.clone()
    };
    assert_eq!(listed(&client, deleted_too).await, names);
    names.remove(3);
    assert_eq!(listed(&client, of_project).await, names);
}

#[tokio::test]
async fn only_an_empty_project_is_deleted_and_its_name_inherits_no_grant() {
    let (server, client) = Server::prepared(Options::default()).await;
    let token = client.token(&[(v1::Role::Runner, PROJECT)]).await;
    let runner = server.tcp().await.with_token(&token.token);
    let name = secret("last");
    client.put(&name, "value").await.unwrap();
    assert_eq!(runner.text(&name).await, "value");

    let remove = || v1::DeleteProjectRequest {
        name: PROJECT.to_owned(),
        ..Default::default()
    };
    let full = client.projects().delete_project(remove()).await;
    fails(full, Code::FailedPrecondition, "PROJECT_NOT_EMPTY");
    delete(&client, &name, false).await.unwrap();
    let soft_deleted = client.projects().delete_project(remove()).await;
    fails(soft_deleted, Code::FailedPrecondition, "PROJECT_NOT_EMPTY");
    delete(&client, &name, true).await.unwrap();
    let stale = v1::DeleteProjectRequest {
        etag: "nonsense".to_owned(),
        ..remove()
    };
    let stale = client.projects().delete_project(stale).await;
    fails(stale, Code::Aborted, "ETAG_MISMATCH");
    client.projects().delete_project(remove()).await.unwrap();

    client.project(PROJECT, &[]).await;
    client.put(&name, "new").await.unwrap();
    fails(
        runner.get(&name).await,
        Code::PermissionDenied,
        "ACCESS_DENIED",
    );
}

#[tokio::test]
async fn a_value_needs_a_definition_and_a_definition_a_first_put() {
    let (_server, client) = Server::prepared(Options::default()).await;
    let name = secret("absent");
    for result in [
        client.put_value(storing(&name, "x")).await.map(drop),
        client.get(&name).await.map(drop),
        delete(&client, &name, false).await.map(drop),
    ] {
        let status = fails(result, Code::NotFound, "DEFINITION_NOT_FOUND");
        assert!(status.message().contains("PutSecretDefinition"));
    }
    let mut update = described(&name, "edited");
    update.update_mask = mask("description");
    let update = client.put_definition(update).await;
    fails(update, Code::NotFound, "DEFINITION_NOT_FOUND");
}

#[tokio::test]
async fn a_typo_in_the_project_is_told_from_one_in_the_definition() {
    let (_server, client) = Server::prepared(Options::default()).await;
    let name = "projects/acne/secrets/stripe";
    for result in [
        client.get(name).await.map(drop),
        client.put_value(storing(name, "x")).await.map(drop),
        client.put(name, "x").await.map(drop),
    ] {
        fails(result, Code::NotFound, "PROJECT_NOT_FOUND");
    }
}

fn described(name: &str, description: &str) -> v1::PutSecretDefinitionRequest {
    replacing(v1::SecretDefinition {
        name: name.to_owned(),
        description: description.to_owned(),
        ..Default::default()
    })
}

fn mask(path: &str) -> Option<prost_types::FieldMask> {
    Some(prost_types::FieldMask {
        paths: vec![path.to_owned()],
    })
}

/// Puts a definition and returns it.
async fn accepted(client: &Client, put: v1::PutSecretDefinitionRequest) -> v1::SecretDefinition {
    let put = client.put_definition(put).await;
    put.unwrap().definition.unwrap()
}

/// The names on all pages.
async fn listed(client: &Client, mut request: v1::ListSecretDefinitionsRequest) -> Vec<String> {
    let mut names = Vec::new();
    loop {
        let reply = client
            .definitions()
            .list_secret_definitions(request.clone())
            .await;
        let reply = reply.unwrap().into_inner();
        assert!(reply.definitions.len() <= 10);
        names.extend(reply.definitions.into_iter().map(|d| d.name));
        if reply.next_page_token.is_empty() {
            return names;
        }
        request.page_token = reply.next_page_token;
    }
}
