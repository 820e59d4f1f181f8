//! Attacks through a vault that hangs, is taken away, or is asked again under an old name.

use claviger_integration::{Fault, FaultyBackend, Options, Server, Verb, text_payload};
use claviger_proto::v1::{self, Role};
use tokio::runtime::Handle;
use tonic::Code;

use super::{holder, patient, revoke};
use crate::support::{defining, delete, fails, in_faulty, located, request_id, secret, storing};

#[tokio::test]
async fn a_put_does_not_outlive_its_token_while_a_vault_is_asked() {
    let (server, client, vault) = patient().await;
    let name = secret("outlived");
    let mut put = located(&name, in_faulty("outlived"));
    put.payload = Some(text_payload("old"));
    client.put_definition(put).await.unwrap();
    vault.set(Verb::Write, Fault::LoseAnswer);
    let lost = client.rotate(&name, "lost").await;
    fails(lost, Code::Unknown, "WRITE_OUTCOME_UNKNOWN");
    vault.heal();
    server.clock.advance(std::time::Duration::from_secs(3600));

    let grants = [(Role::Operator, "*")];
    let token = server.unix().token(&grants).await;
    let operator = server.tcp().await.with_token(&token.token);
    vault.set(Verb::FindWrite, Fault::Hang);
    let asked = vault.count(Verb::FindWrite);
    let put = Handle::current().spawn(async move { operator.rotate(&name, "late").await });
    vault.entered(Verb::FindWrite, asked + 1).await;
    revoke(&server.unix(), &token.info.unwrap()).await.unwrap();
    let writes = vault.count(Verb::Write);
    vault.heal();
    fails(put.await.unwrap(), Code::PermissionDenied, "ACCESS_DENIED");
    assert_eq!(
        vault.count(Verb::Write),
        writes,
        "nothing reached the vault"
    );
}

#[tokio::test]
async fn a_creation_at_a_vault_that_hangs_holds_up_no_other_project() {
    let (_server, client, vault) = patient().await;
    client.project("projects/slow", &[]).await;
    let slow = "projects/slow/secrets/away";
    vault.set(Verb::Write, Fault::Hang);
    let mut put = located(slow, in_faulty("away"));
    put.payload = Some(text_payload("v"));
    let creating = Handle::current().spawn({
        let client = client.clone();
        async move { client.put_definition(put).await }
    });
    vault.entered(Verb::Write, 1).await;
    let name = "projects/slow".to_owned();
    let request = v1::DeleteProjectRequest {
        name,
        ..Default::default()
    };
    let deleted = client.projects().delete_project(request).await;
    fails(deleted, Code::FailedPrecondition, "PROJECT_NOT_EMPTY");
    let other = client.put_definition(defining(&secret("here"))).await;
    other.expect("nobody waits for the vault");
    assert!(!creating.is_finished(), "it hung meanwhile");
    vault.heal();
    creating.await.unwrap().expect("created");
}

#[tokio::test]
async fn a_definition_whose_vault_was_taken_away_can_be_purged() {
    let vault = FaultyBackend::new();
    let (mut server, client) = Server::prepared(Options::with_faulty(&vault)).await;
    let name = secret("orphan");
    let mut put = located(&name, in_faulty("orphan"));
    put.payload = Some(text_payload("v"));
    client.put_definition(put).await.unwrap();
    vault.set(Verb::Write, Fault::LoseAnswer);
    client.rotate(&name, "lost").await.unwrap_err();

    server.restart_with(|options| options.vaults.clear()).await;
    let client = holder(&server, &server.unix(), Role::Operator, "*").await;
    let runner = holder(&server, &server.unix(), Role::Runner, "*").await;
    let read = runner.get(&name).await;
    let status = fails(read, Code::FailedPrecondition, "VAULT_UNKNOWN");
    assert!(!format!("{status:?}").contains("managed"), "{status:?}");
    let read = delete(&client, &name, false).await;
    fails(read, Code::FailedPrecondition, "VAULT_UNKNOWN");
    delete(&client, &name, true).await.unwrap();
    let again = client.put_definition(defining(&name)).await;
    again.expect("the name is free");
}

#[tokio::test]
async fn a_re_made_name_inherits_no_answers() {
    let (_server, client, _vault) = patient().await;
    let name = secret("re-made");
    let mut create = defining(&name);
    create.payload = Some(text_payload("old"));
    create.request_id = request_id();
    client.put_definition(create.clone()).await.unwrap();
    let rotate = v1::PutSecretValueRequest {
        request_id: request_id(),
        ..storing(&name, "new")
    };
    client.put_value(rotate.clone()).await.unwrap();
    delete(&client, &name, true).await.unwrap();
    client.put(&name, "fresh").await.unwrap();

    for reused in [
        client.put_value(rotate).await.map(drop),
        client.put_definition(create).await.map(drop),
    ] {
        fails(reused, Code::InvalidArgument, "REQUEST_ID_REUSED");
    }
    assert_eq!(client.text(&name).await, "fresh");
}

#[tokio::test]
async fn two_spellings_of_one_secret_are_one_place() {
    let vault = FaultyBackend::new();
    let (server, client) = Server::prepared(Options::with_faulty(&vault)).await;
    client.project("projects/two", &["dev", "prod"]).await;
    let name = "projects/two/secrets/key";
    let mut put = defining(name);
    let spelled = [("dev", "Stripe-Key"), ("prod", "stripe-key")];
    put.definition.as_mut().unwrap().environments = spelled
        .map(|(id, secret)| (id.to_owned(), in_faulty(secret)))
        .into();
    let warnings = client.put_definition(put).await.unwrap().warnings;
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert_eq!(warnings[0].reason, "ENVIRONMENTS_SHARE_VALUE");

    let dev = v1::TokenGrant {
        role: Role::Operator.into(),
        resource: "projects/two".to_owned(),
        environment: "dev".to_owned(),
    };
    let request = v1::CreateTokenRequest {
        grants: vec![dev],
        ttl: Some(prost_types::Duration {
            seconds: 60,
            nanos: 0,
        }),
        ..Default::default()
    };
    let token = server.unix().access().create_token(request).await.unwrap();
    let of_dev = server.tcp().await.with_token(&token.into_inner().token);
    let rotated = of_dev.put_value(v1::PutSecretValueRequest {
        environment: "dev".to_owned(),
        ..storing(name, "evil")
    });
    fails(rotated.await, Code::PermissionDenied, "ACCESS_DENIED");
    assert_eq!(vault.count(Verb::Write), 0);
}
