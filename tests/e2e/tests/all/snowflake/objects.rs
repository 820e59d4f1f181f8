//! Real `SECRET` objects: what runs inside Snowflake can use them, and Claviger reads them back only
//! where it was told how.

use claviger_e2e::Home;
use claviger_proto::v1;
use claviger_proto::v1::secret_definition_service_client::SecretDefinitionServiceClient;
use claviger_proto::v1::secret_service_client::SecretServiceClient;

use super::support::{
    Account, OBJECTS, READABLE, assert_refused, check, location, operator, put, seen, store, text,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn put_creates_a_real_secret_with_grants_that_only_snowflake_reads() {
    let (home, account) = (Home::new(), Account::start());
    let daemon = account.daemon(&home, OBJECTS);
    let client = operator(&daemon).await;
    let created = put(&client, "stripe", location("acme.Stripe"), Some("rk_1")).await;
    let created = created.expect("created");
    assert_eq!(created.warnings, []);
    let schema = account.fake.schema();
    let stored = || account.fake.secret(schema, "acme.Stripe");
    assert_eq!(stored().as_deref(), Some("rk_1"));
    let grants = account.fake.grants(schema, "acme.Stripe");
    let granted: Vec<_> = grants
        .iter()
        .map(|grant| grant.privilege.as_str())
        .collect();
    assert_eq!(granted, ["READ", "USAGE"]);
    assert!(
        grants
            .iter()
            .all(|grant| grant.grantee == account.fake.application())
    );

    let refused = assert_refused(text(&client, "stripe").await, "VALUE_NOT_READABLE");
    let name = account.fake.qualified(schema, "acme.Stripe");
    assert!(refused.message().contains(&name), "{refused:?}");
    assert_eq!(refused.code(), tonic::Code::FailedPrecondition);
    assert!(!seen(&refused).contains("rk_1"), "{refused:?}");

    let mut service = SecretDefinitionServiceClient::new(client.channel());
    let request = v1::CheckSecretDefinitionRequest {
        name: "projects/dev/secrets/stripe".to_owned(),
        ..Default::default()
    };
    let checked = service.check_secret_definition(request).await;
    let existence = checked.expect("checked").into_inner().existence;
    let existence = existence.expect("looked at");
    assert_eq!(
        (existence.ok, existence.reason.as_str()),
        (false, "VALUE_NOT_READABLE")
    );
    assert!(existence.message.contains(&name), "{existence:?}");

    let rotated = store(&client, "stripe", "rk_2", false).await;
    assert_eq!(rotated.expect("rotated").warnings, []);
    assert_eq!(stored().as_deref(), Some("rk_2"));
    assert_eq!(account.fake.grants(schema, "acme.Stripe"), grants);
    assert_eq!(account.fake.statements("OR REPLACE SECRET"), 0);
    assert!(check(&client, "snow").await.ok);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reader_procedure_reads_what_was_put() {
    let (home, account) = (Home::new(), Account::start());
    let daemon = account.daemon(&home, READABLE);
    let client = operator(&daemon).await;
    let created = put(&client, "stripe", location("acme"), Some("rk_1")).await;
    let created = created.expect("created");
    assert_eq!(created.warnings, []);
    let read = client.read("stripe", "").await.expect("read");
    assert_eq!(read, (created.version, "rk_1".to_owned()));
    let procedures = account.fake.procedure_names(account.fake.readers_schema());
    assert_eq!(
        procedures.len(),
        1,
        "one secret, one procedure: {procedures:?}"
    );
    let rotated = store(&client, "stripe", "rk_2", false).await;
    let rotated = rotated.expect("rotated").version;
    let read = client.read("stripe", "").await.expect("read");
    assert_eq!(read, (rotated, "rk_2".to_owned()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn secret_of_somebody_else_is_adopted_or_left_alone() {
    let (home, account) = (Home::new(), Account::start());
    let daemon = account.daemon(&home, READABLE);
    let client = operator(&daemon).await;
    let schema = account.fake.schema();
    account.fake.put_secret(schema, "theirs", "rk_theirs");
    put(&client, "s", location("theirs"), None)
        .await
        .expect("registered");
    let refused = assert_refused(text(&client, "s").await, "VALUE_NOT_READABLE");
    assert!(
        refused.message().contains("reader procedure"),
        "{refused:?}"
    );
    assert_refused(
        store(&client, "s", "rk_ours", false).await,
        "SECRET_NOT_OWNED",
    );
    assert_eq!(
        account.fake.secret(schema, "theirs").as_deref(),
        Some("rk_theirs")
    );
    store(&client, "s", "rk_ours", true).await.expect("adopted");
    assert_eq!(text(&client, "s").await.expect("read"), "rk_ours");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn managed_access_schema_has_the_grant_for_the_administrator_in_the_reply() {
    let (home, account) = (Home::new(), Account::start());
    let schema = account.fake.managed_schema();
    let settings = format!("{OBJECTS}\nschema = {schema:?}");
    let daemon = account.daemon(&home, &settings);
    let client = operator(&daemon).await;
    let created = put(&client, "stripe", location("acme"), Some("rk_1")).await;
    let created = created.expect("stored all the same");
    let rotated = store(&client, "stripe", "rk_2", false).await;
    let rotated = rotated.expect("stored all the same");
    assert_eq!(account.fake.secret(schema, "acme").as_deref(), Some("rk_2"));
    let grant = format!(
        "GRANT USAGE, READ ON SECRET {} TO APPLICATION \"{}\"",
        account.fake.qualified(schema, "acme"),
        account.fake.application(),
    );
    for warnings in [created.warnings, rotated.warnings] {
        let [warning] = &warnings[..] else {
            panic!("{warnings:?}");
        };
        assert_eq!(warning.reason, "GRANT_MISSING");
        assert!(warning.message.contains(&grant), "{warning:?}");
    }
    account.fake.console(&grant);
    assert_eq!(
        account.fake.grants(schema, "acme").len(),
        2,
        "it works as it is"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn version_or_property_of_a_secret_is_refused_with_vault_and_remedy() {
    let (home, account) = (Home::new(), Account::start());
    let daemon = account.daemon(&home, OBJECTS);
    let client = operator(&daemon).await;
    for (property, version) in [("apiKey", ""), ("", "1")] {
        let location = v1::Location {
            property: property.to_owned(),
            version: version.to_owned(),
            ..location("acme")
        };
        let refused = put(&client, "s", location, None).await;
        let refused = assert_refused(refused, "LOCATION_INVALID");
        let message = refused.message();
        assert!(
            message.contains("vault snow") && message.contains("leave `"),
            "{message}"
        );
    }
    let created = put(&client, "s", location("acme"), Some("v")).await;
    let version = created.expect("created").version;
    let refused = assert_refused(client.read("s", &version).await, "VALUE_NOT_READABLE");
    let message = refused.message();
    assert!(
        message.contains("snow") && message.contains("reader = \"procedure\""),
        "{message}"
    );
    let mut service = SecretServiceClient::new(client.channel());
    let request = v1::DestroySecretVersionRequest {
        name: format!("projects/dev/secrets/s/versions/{version}"),
        ..Default::default()
    };
    let refused = service.destroy_secret_version(request).await;
    let refused = assert_refused(refused, "VAULT_CAPABILITY_MISSING");
    assert!(refused.message().contains("snow"), "{refused:?}");
}
