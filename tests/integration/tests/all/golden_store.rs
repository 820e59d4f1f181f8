//! A store that an older program wrote, opened by this one: `golden/store-form-1/README.md` lists
//! what it holds.

use std::path::PathBuf;
use std::time::Duration;

use claviger_integration::{Client, Options, Server, own_uid};
use claviger_proto::v1;
use claviger_proto::v1::Role;
use claviger_proto::v1::secret_version::State;
use tonic::Code;

use crate::support::{
    denied, fails, grants_of, opened_golden, reading, reading_in, storing, undelete, versions,
    who_am_i,
};

/// Some minutes after the store was written, in seconds since the epoch.
const AFTER: Duration = Duration::from_secs(1_795_983_600);

fn golden(file: &str) -> PathBuf {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/store-form-1");
    PathBuf::from(dir).join(file)
}

async fn opened() -> (Server, Client) {
    opened_golden(golden, AFTER, Options::default()).await
}

/// All definitions, deleted ones too.
async fn definitions(client: &Client) -> Vec<v1::SecretDefinition> {
    let mut all = Vec::new();
    for parent in ["projects/acme", "projects/plain"] {
        let request = v1::ListSecretDefinitionsRequest {
            parent: parent.to_owned(),
            show_deleted: true,
            ..Default::default()
        };
        let reply = client.definitions().list_secret_definitions(request).await;
        all.extend(reply.unwrap().into_inner().definitions);
    }
    all
}

/// A holder of one of its tokens.
async fn holder(server: &Server, name: &str) -> Client {
    let tokens = std::fs::read_to_string(golden("tokens.json")).unwrap();
    let tokens: serde_json::Value = serde_json::from_str(&tokens).unwrap();
    server
        .tcp()
        .await
        .with_token(tokens[name].as_str().unwrap())
}

#[tokio::test]
async fn values_definitions_and_versions_are_as_they_were() {
    let (mut server, client) = opened().await;
    for (name, value) in [
        ("plain/secrets/opaque", "opaque four"),
        ("plain/secrets/password", "correct horse"),
        ("plain/secrets/stripe", "rk_test_51MadeUp00000000000001"),
    ] {
        assert_eq!(client.text(&format!("projects/{name}")).await, value);
    }
    for (name, environment, value) in [
        ("shared", "prod", "shared one"),
        ("split", "dev", "split in dev"),
    ] {
        let name = format!("projects/acme/secrets/{name}");
        let read = client
            .get_secret(reading_in(&name, environment))
            .await
            .unwrap();
        let text = v1::get_secret_response::Value::Text(value.to_owned());
        assert_eq!(read.value, Some(text), "{name}");
    }
    let binary = client
        .get_secret(reading("projects/plain/secrets/binary"))
        .await;
    let data = v1::get_secret_response::Value::Data(vec![0, 1, 2, 3, 0xff, 0xfe, 0xfd, 0xfc]);
    assert_eq!(binary.unwrap().value, Some(data));
    let opaque = versions(&client, "projects/plain/secrets/opaque").await;
    let states: Vec<_> = opaque.iter().map(v1::SecretVersion::state).collect();
    let (enabled, disabled) = (State::Enabled, State::Disabled);
    assert_eq!(states, [enabled, enabled, disabled, State::Destroyed]);

    let everything = definitions(&client).await;
    assert_eq!(everything.len(), 10);
    let password = everything.iter().find(|d| d.name.ends_with("/password"));
    let password = password.unwrap();
    assert_eq!(password.description, "of the old warehouse");
    assert_eq!(password.labels["tier"], "gold");
    assert_eq!(password.rotate_by.unwrap().seconds, 1_925_089_445);
    undelete(&client, "projects/plain/secrets/deleted")
        .await
        .unwrap();
    assert_eq!(
        client.text("projects/plain/secrets/deleted").await,
        "deleted one"
    );

    // The upgrade is done once; a value may be written now, and all is there after a restart.
    client
        .rotate("projects/plain/secrets/opaque", "opaque five")
        .await
        .unwrap();
    let before = definitions(&client).await;
    server.restart().await;
    assert_eq!(definitions(&server.unix()).await, before);
}

#[tokio::test]
async fn grants_and_tokens_allow_what_they_allowed() {
    let (server, client) = opened().await;
    let held = grants_of(&client, "unix:1001").await;
    assert_eq!(held.len(), 2);
    let of = |grant: &v1::Grant| {
        (
            grant.role(),
            grant.environment.clone(),
            grant.purpose.clone(),
        )
    };
    let wanted = [
        (Role::Runner, "prod".to_owned(), "nightly".to_owned()),
        (Role::Operator, String::new(), String::new()),
    ];
    assert_eq!(held.iter().map(of).collect::<Vec<_>>(), wanted);
    assert_eq!(held[0].expire_time.unwrap().seconds, 4_071_006_245);
    assert_eq!(held[1].resource, "projects/acme");
    for (uid, role) in [
        (1002, Role::Runner),
        (1003, Role::Auditor),
        (1004, Role::Admin),
    ] {
        let held = grants_of(&client, &format!("unix:{uid}")).await;
        assert_eq!(held.iter().map(v1::Grant::role).collect::<Vec<_>>(), [role]);
        // Ids are other ones now, and end what they name.
        let name = held[0].name.clone();
        let request = v1::DeleteGrantRequest { name };
        client.access().delete_grant(request).await.unwrap();
        assert_eq!(grants_of(&client, &format!("unix:{uid}")).await, []);
    }
    assert_eq!(grants_of(&client, "unix:1005").await, []);

    let runner = holder(&server, "runner").await;
    assert_eq!(who_am_i(&runner).await.grants.len(), 3);
    assert_eq!(
        runner.text("projects/plain/secrets/opaque").await,
        "opaque four"
    );
    denied(
        runner
            .get_secret(reading("projects/plain/secrets/password"))
            .await,
    );
    assert_eq!(
        who_am_i(&holder(&server, "auditor").await)
            .await
            .grants
            .len(),
        1
    );
    let revoked = holder(&server, "revoked").await;
    let answer = revoked.access().who_am_i(v1::WhoAmIRequest {}).await;
    fails(answer, Code::Unauthenticated, "TOKEN_REVOKED");
}

#[tokio::test]
async fn repeats_of_its_requests_get_the_first_answer() {
    let (_server, client) = opened().await;
    let name = "projects/plain/secrets/opaque";
    let mut put = storing(name, "opaque two");
    put.request_id = "22222222-2222-4222-8222-222222222222".to_owned();
    let mut other = put.clone();
    other.payload = storing(name, "something else").payload;
    if own_uid() != 0 {
        // The requests are those of uid 0, which is not to be had here.
        assert_eq!(client.put_value(put).await.unwrap().version, "5");
        return;
    }
    assert_eq!(client.put_value(put).await.unwrap().version, "2");
    fails(
        client.put_value(other).await,
        Code::InvalidArgument,
        "REQUEST_ID_REUSED",
    );
    let begun = v1::PutSecretValueRequest {
        environment: "prod".to_owned(),
        request_id: "44444444-4444-4444-8444-444444444444".to_owned(),
        ..storing("projects/acme/secrets/split", "split in prod, two")
    };
    // Its vault is not configured here, so nobody can say what became of the write.
    fails(
        client.put_value(begun).await,
        Code::FailedPrecondition,
        "VAULT_UNKNOWN",
    );
    let register = v1::PutSecretDefinitionRequest {
        request_id: "11111111-1111-4111-8111-111111111111".to_owned(),
        payload: storing(name, "opaque one").payload,
        ..crate::support::defining(name)
    };
    assert_eq!(client.put_definition(register).await.unwrap().version, "1");
}
