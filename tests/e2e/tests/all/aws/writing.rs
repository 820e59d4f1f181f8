//! What a put leaves in AWS, and what it leaves alone.

use claviger_e2e::{Client, Home, Moto};
use claviger_proto::v1;
use serde_json::{Value, json};
use uuid::Uuid;

use super::support::{Caller, VAULT, adopt, assert_refused, definition, put, start, text};

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

/// What is not ours of a secret: everything but versions, dates and our own tags.
fn foreign_part(moto: &Moto, secret: &str) -> Value {
    let request = json!({ "SecretId": secret });
    let mut described = moto.call("DescribeSecret", &request);
    let fields = described.as_object_mut().expect("an object");
    // Whether under AWS's name or under the one that moto adds.
    for changing in [
        "VersionIdsToStages",
        "SecretVersionsToStages",
        "LastChangedDate",
    ] {
        fields.remove(changing);
    }
    let tags = fields.get_mut("Tags").and_then(Value::as_array_mut);
    tags.expect("tags").retain(|tag| {
        let key = tag["Key"].as_str().expect("text");
        !key.starts_with("claviger:")
    });
    let policy = moto.call("GetResourcePolicy", &request);
    json!({ "described": described, "policy": policy["ResourcePolicy"] })
}

#[tokio::test]
async fn a_put_leaves_key_description_policy_and_foreign_tags_alone() {
    let (home, moto) = (Home::new(), Moto::start());
    let document = json!({ "apiKey": "a", "other": "b", "deep": { "list": [1, 2.5, null] } });
    moto.call(
        "CreateSecret",
        &json!({
            "Name": "acme/theirs",
            "SecretString": document.to_string(),
            "Description": "of the payments team",
            "KmsKeyId": "alias/payments",
            "Tags": [{ "Key": "owner", "Value": "them" }, { "Key": "team", "Value": "theirs" }],
        }),
    );
    let policy = json!({ "Version": "2012-10-17", "Statement": [] }).to_string();
    let request = json!({ "SecretId": "acme/theirs", "ResourcePolicy": policy });
    moto.call("PutResourcePolicy", &request);
    let before = foreign_part(&moto, "acme/theirs");
    assert_eq!(before["described"]["KmsKeyId"], "alias/payments");
    assert_eq!(before["policy"], policy);

    let daemon = start(&home, &moto.url(), &["acme/*"]);
    let client = Client::connect(&daemon.socket()).await;
    let put = put(&client, "theirs", ("acme/theirs", "apiKey"), None).await;
    put.expect("registered");
    adopt(&client, "theirs", "c").await.expect("adopted");
    assert_eq!(foreign_part(&moto, "acme/theirs"), before);
    let rotated = client.rotate("theirs", "d", Uuid::new_v4()).await;
    rotated.expect("it is ours now");
    assert_eq!(foreign_part(&moto, "acme/theirs"), before);

    let now: Value = serde_json::from_str(&moto.value("acme/theirs")).expect("JSON");
    let mut expected = document;
    expected["apiKey"] = json!("d");
    assert_eq!(now, expected);
}

#[tokio::test]
async fn ids_that_differ_in_case_alone_get_secrets_of_their_own() {
    let (home, moto) = (Home::new(), Moto::start());
    let daemon = start(&home, &moto.url(), &["dev/*"]);
    let caller = Caller::of(&daemon).await;
    for id in ["Stripe", "stripe"] {
        let name = format!("projects/dev/secrets/{id}");
        let derived = v1::Location {
            vault: VAULT.to_owned(),
            ..Default::default()
        };
        let put = caller.put_with(v1::PutSecretDefinitionRequest {
            definition: Some(definition(&name, derived)),
            payload: text(id),
            ..Default::default()
        });
        put.await.expect("created");
    }
    for id in ["Stripe", "stripe"] {
        let read = caller.text(&format!("projects/dev/secrets/{id}")).await;
        assert_eq!(read.expect("read"), id);
    }
    let listed = moto.call("ListSecrets", &json!({}));
    let listed = listed["SecretList"].as_array().expect("a list");
    let names = listed.iter().filter_map(|secret| secret["Name"].as_str());
    let mut names: Vec<String> = names.map(str::to_lowercase).collect();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), 2, "whatever a vault thinks of case: {names:?}");
}

#[tokio::test]
async fn pointer_is_read_only_and_nothing_reaches_the_secret() {
    let (home, moto) = (Home::new(), Moto::start());
    let document = json!({ "/a": "1", "b": "2" }).to_string();
    let create = json!({ "Name": "acme/theirs", "SecretString": document });
    moto.call("CreateSecret", &create);
    let daemon = start(&home, &moto.url(), &["acme/*"]);
    let client = Client::connect(&daemon.socket()).await;
    let put = put(&client, "theirs", ("acme/theirs", "/~1a"), None).await;
    put.expect("registered");
    let refused = adopt(&client, "theirs", "c").await;
    let status = assert_refused(refused, "LOCATION_INVALID");
    assert!(status.message().contains("read-only"), "{status:?}");
    assert_eq!(moto.value("acme/theirs"), document);
    let described = moto.call("DescribeSecret", &json!({ "SecretId": "acme/theirs" }));
    let tags = described["Tags"].as_array().map_or(0, Vec::len);
    assert_eq!(tags, 0, "not adopted either: {described}");
}
