//! The daemon with a vault of kind `aws`, against moto.

use std::fs;

use claviger_e2e::{Client, Daemon, Home, Moto, REGION, reason};
use claviger_proto::v1;
use claviger_proto::v1::secret_definition_service_client::SecretDefinitionServiceClient;
use claviger_proto::v1::secret_service_client::SecretServiceClient;
use serde_json::{Value, json};
use tonic::transport::Endpoint;
use tonic::{Request, Status};
use uuid::Uuid;

/// Starts a daemon whose vault `aws-eu` lets `projects/dev` use these names.
fn start(home: &Home, url: &str, names: &[&str]) -> Daemon {
    let config = format!(
        "[vaults.aws-eu]\n\
         kind = \"aws\"\n\
         allow = [{{ project = \"dev\", names = {names:?} }}]\n\
         [vaults.aws-eu.settings]\n\
         region = \"{REGION}\"\n\
         endpoint_url = \"{url}\"\n\
         tags = {{ team = \"payments\" }}\n"
    );
    let file = home.path().join("clavigerd.toml");
    fs::write(&file, config).expect("a writable home");
    let mut command = home.clavigerd(&["--dev", "--config"]);
    command
        .arg(file)
        .env("AWS_ACCESS_KEY_ID", "AKIAMOTO")
        .env("AWS_SECRET_ACCESS_KEY", "secret");
    home.start(&mut command)
}

/// Registers `projects/dev/secrets/{id}` at a place in the vault.
async fn put(
    client: &Client,
    id: &str,
    (secret, property): (&str, &str),
    text: Option<&str>,
) -> Result<String, Status> {
    let request = v1::PutSecretDefinitionRequest {
        definition: Some(v1::SecretDefinition {
            name: format!("projects/dev/secrets/{id}"),
            location: Some(v1::Location {
                vault: "aws-eu".to_owned(),
                secret: secret.to_owned(),
                property: property.to_owned(),
                version: String::new(),
            }),
            ..Default::default()
        }),
        payload: text.map(|text| v1::Payload {
            value: Some(v1::payload::Value::Text(text.to_owned())),
            crc32c: None,
        }),
        ..Default::default()
    };
    let mut client = SecretDefinitionServiceClient::new(client.channel());
    let answer = client.put_secret_definition(request).await?;
    Ok(answer.into_inner().version)
}

async fn adopt(client: &Client, id: &str, text: &str) -> Result<String, Status> {
    let request = v1::PutSecretValueRequest {
        name: format!("projects/dev/secrets/{id}"),
        payload: Some(v1::Payload {
            value: Some(v1::payload::Value::Text(text.to_owned())),
            crc32c: None,
        }),
        adopt: true,
        ..Default::default()
    };
    let mut client = SecretServiceClient::new(client.channel());
    let answer = client.put_secret_value(request).await?;
    Ok(answer.into_inner().version)
}

#[track_caller]
fn assert_refused<T: std::fmt::Debug>(result: Result<T, Status>, expected: &str) {
    let status = result.expect_err(expected);
    assert_eq!(reason(&status).as_deref(), Some(expected), "{status:?}");
}

#[tokio::test]
async fn a_runner_reads_a_property_of_a_secret_made_in_the_console() {
    let (home, moto) = (Home::new(), Moto::start());
    let text = json!({ "apiKey": "rk_test_1", "other": "b" }).to_string();
    let created = json!({ "Name": "acme/stripe", "SecretString": text });
    let created = moto.call("CreateSecret", &created);
    let daemon = start(&home, &moto.url(), &["acme/*"]);
    let client = Client::connect(&daemon.socket()).await;
    let arn = created["ARN"].as_str().expect("text");
    for (id, secret) in [("by-name", "acme/stripe"), ("by-arn", arn)] {
        let put = put(&client, id, (secret, "apiKey"), None).await;
        put.expect("registered");
    }

    let token = client.runner_token().await.expect("a token");
    let endpoint = Endpoint::try_from(format!("http://{}", daemon.tcp())).expect("an address");
    let channel = endpoint.connect().await.expect("it listens");
    let mut runner = SecretServiceClient::new(channel);
    for id in ["by-name", "by-arn"] {
        let mut request = Request::new(v1::GetSecretRequest {
            name: format!("projects/dev/secrets/{id}"),
            ..Default::default()
        });
        let bearer = format!("Bearer {token}").parse().expect("ASCII");
        request.metadata_mut().insert("authorization", bearer);
        let answer = runner.get_secret(request).await.expect("read").into_inner();
        let value = v1::get_secret_response::Value::Text("rk_test_1".to_owned());
        assert_eq!(answer.value, Some(value), "{id}");
        assert_eq!(answer.vault, "aws-eu");
    }
}

#[tokio::test]
async fn a_put_with_a_value_creates_the_secret_and_the_next_one_rotates_it() {
    let (home, moto) = (Home::new(), Moto::start());
    let daemon = start(&home, &moto.url(), &["acme/*"]);
    let client = Client::connect(&daemon.socket()).await;
    let first = put(&client, "new", ("acme/new", ""), Some("one")).await;
    let first = first.expect("created");
    assert_eq!(moto.value("acme/new"), "one");
    let request = json!({ "SecretId": "acme/new" });
    let described = moto.call("DescribeSecret", &request);
    let tags = described["Tags"].as_array().expect("tags");
    let mut keys: Vec<_> = tags.iter().filter_map(|tag| tag["Key"].as_str()).collect();
    keys.sort_unstable();
    assert_eq!(keys, ["claviger:definition", "claviger:store", "team"]);

    let second = client.rotate("new", "two", Uuid::new_v4()).await;
    let second = second.expect("rotated");
    assert_eq!(moto.value("acme/new"), "two");
    let read = client.read("new", "").await.expect("read");
    assert_eq!(read, (second.clone(), "two".to_owned()));
    let described = moto.call("DescribeSecret", &request);
    let stages = &described["VersionIdsToStages"];
    assert_eq!(stages.as_object().map(|stages| stages.len()), Some(2));
    assert_eq!(stages[&second], json!(["AWSCURRENT"]));
    assert_eq!(stages[&first], json!(["AWSPREVIOUS"]));
}

#[tokio::test]
async fn a_foreign_secret_is_written_only_with_adopt_and_keeps_its_other_keys() {
    let (home, moto) = (Home::new(), Moto::start());
    let document = json!({ "apiKey": "a", "other": "b" }).to_string();
    let create = json!({ "Name": "acme/theirs", "SecretString": document });
    moto.call("CreateSecret", &create);
    let daemon = start(&home, &moto.url(), &["acme/*"]);
    let client = Client::connect(&daemon.socket()).await;
    let put = put(&client, "theirs", ("acme/theirs", "apiKey"), None).await;
    put.expect("registered");

    let refused = client.rotate("theirs", "c", Uuid::new_v4()).await;
    assert_refused(refused, "SECRET_NOT_OWNED");
    assert_eq!(moto.value("acme/theirs"), document);

    let adopted = adopt(&client, "theirs", "c").await;
    adopted.expect("adopted");
    let now: Value = serde_json::from_str(&moto.value("acme/theirs")).expect("JSON");
    assert_eq!(now, json!({ "apiKey": "c", "other": "b" }));
    let rotated = client.rotate("theirs", "d", Uuid::new_v4()).await;
    rotated.expect("it is ours now");
}

#[tokio::test]
async fn what_the_allow_list_does_not_name_never_reaches_aws() {
    let (home, mut moto) = (Home::new(), Moto::start());
    for name in ["acme/stripe", "other/stripe"] {
        let create = json!({ "Name": name, "SecretString": "v" });
        moto.call("CreateSecret", &create);
    }
    let daemon = start(&home, &moto.url(), &["acme/*", "other/*"]);
    let client = Client::connect(&daemon.socket()).await;
    for (id, secret) in [("mine", "acme/stripe"), ("theirs", "other/stripe")] {
        put(&client, id, (secret, ""), None).await.expect("allowed");
        client.read(id, "").await.expect("allowed");
    }
    daemon.stop();

    let daemon = start(&home, &moto.url(), &["acme/*"]);
    let client = Client::connect(&daemon.socket()).await;
    client.read("mine", "").await.expect("still allowed");
    assert!(moto.calls() > 0, "what is not counted cannot be missed");
    let refused = client.read("theirs", "").await;
    assert_refused(refused, "LOCATION_NOT_ALLOWED");
    let refused = client.rotate("theirs", "w", Uuid::new_v4()).await;
    assert_refused(refused, "LOCATION_NOT_ALLOWED");
    let refused = adopt(&client, "theirs", "w").await;
    assert_refused(refused, "LOCATION_NOT_ALLOWED");
    for text in [None, Some("w")] {
        let refused = put(&client, "again", ("other/stripe", ""), text).await;
        assert_refused(refused, "LOCATION_NOT_ALLOWED");
    }
    assert_eq!(moto.calls(), 0);
}

#[tokio::test]
async fn the_managed_vault_serves_while_aws_is_down_and_the_daemon_starts() {
    let (home, moto) = (Home::new(), Moto::start());
    let url = moto.url();
    moto.call(
        "CreateSecret",
        &json!({ "Name": "acme/stripe", "SecretString": "v" }),
    );
    let daemon = start(&home, &url, &["acme/*"]);
    let client = Client::connect(&daemon.socket()).await;
    put(&client, "away", ("acme/stripe", ""), None)
        .await
        .expect("registered");
    client.read("away", "").await.expect("it is there");
    let here = client.create("here", "own", Uuid::new_v4()).await;
    here.expect("created");

    drop(moto);
    assert_refused(client.read("away", "").await, "VAULT_UNREACHABLE");
    assert_eq!(client.read("here", "").await.expect("managed").1, "own");
    daemon.stop();

    let daemon = start(&home, &url, &["acme/*"]);
    let client = Client::connect(&daemon.socket()).await;
    assert_eq!(client.read("here", "").await.expect("managed").1, "own");
    assert_refused(client.read("away", "").await, "VAULT_UNREACHABLE");
}
