//! A vault that has been in use for years, with one secret of each trouble.

use std::collections::BTreeMap;

use claviger_e2e::{AwsReply, AwsRequest, Console};
use claviger_stub::aws::refusal;
use serde_json::{Value, json};

use crate::caller::place;
use crate::peers::Aws;
use crate::stage::{Stage, VAULT};

/// How many secrets it has.
pub(super) const SECRETS: usize = 500;

/// In the part of every value that nobody may see.
pub(super) const BODY: &str = "QxZjKvWqXzJkVwqZxKjW";

/// A key about in the middle.
pub(super) const HELD: &str = "app/key-250";

/// Every so many of those without trouble is a key of Stripe's.
const KEY_EVERY: usize = 25;

/// 2020-01-01, as AWS says it.
const LONG_AGO: f64 = 1_577_836_800.0;

/// A value that is not Stripe's.
pub(super) fn plain(number: usize) -> String {
    format!("{BODY}{number:04}")
}

/// A key with this prefix; no file holds one in one piece.
fn key(prefix: &str, number: usize) -> String {
    format!("{prefix}_{BODY}{number:04}")
}

/// The secrets by name, those aside that Claviger made and that cannot be typed.
fn secrets() -> BTreeMap<String, String> {
    let (test, publishable) = (|number| key("rk_test", number), key("pk_test", 1));
    let keys = |count: usize| {
        let keys = (0..count).map(|number| (format!("key{number}"), json!("v")));
        Value::Object(keys.collect()).to_string()
    };
    let document = json!({ "apiKey": test(2), "user": "ann" }).to_string();
    let hidden = json!({ "shown": "v", "two words": "v" }).to_string();
    let troubles = [
        ("clash", plain(9001)),
        (".clash", plain(9002)),
        ("denied", plain(9003)),
        ("document", document),
        ("empty", json!({ "key": "" }).to_string()),
        ("example", format!("sk_test_{}", "x".repeat(24))),
        ("full", key("sk_test", 4)),
        ("hidden", hidden),
        ("live", key("rk_live", 5)),
        ("many", keys(21)),
        ("masked", "rk_test_****WXYZ".to_owned()),
        ("old", plain(9004)),
        ("padded", format!("{}\n", plain(9005))),
        ("publishable", publishable),
        ("registered", plain(9006)),
        ("same", plain(9006)),
        ("space", format!("{}\n", test(6))),
        ("twin-a", plain(9007)),
        ("twin-b", plain(9007)),
        ("webhook", key("whsec", 7)),
    ];
    let troubles = troubles.map(|(name, value)| (format!("trouble/{name}"), value));
    let made_otherwise = 2;
    let others = SECRETS - troubles.len() - made_otherwise;
    let others = (0..others).map(|number| {
        let value = match number % KEY_EVERY {
            0 => key("rk_test", 1000 + number),
            _ => plain(number),
        };
        (format!("app/key-{number:03}"), value)
    });
    troubles.into_iter().chain(others).collect()
}

/// Types all of them in, registers one, and has one made by Claviger.
pub(super) async fn fill(stage: &Stage<Aws>) {
    let console = stage.peer.console();
    // One after the other: moto fails at some that come at once.
    for (name, value) in secrets() {
        let request = json!({ "Name": name, "SecretString": value });
        console.call("CreateSecret", &request);
    }
    let binary = json!({ "Name": "trouble/binary", "SecretBinary": "/////w==" });
    console.call("CreateSecret", &binary);
    for project in ["dev", "acme"] {
        let id = format!("projects/{project}/secrets/registered");
        let put = stage
            .caller
            .register(&id, place(VAULT, "trouble/registered"));
        put.await.expect("registered");
    }
    let (there, value) = (place(VAULT, "trouble/made"), plain(9008));
    let made = stage.caller.create("made", there, &value);
    made.await.expect("made");
    let script = script(&stage.peer);
    stage.peer.play(script);
    assert_eq!(state_of(&console).len(), SECRETS);
}

/// What AWS says of two of them that moto cannot say.
pub(super) fn script(
    peer: &Aws,
) -> impl Fn(&AwsRequest) -> Option<AwsReply> + Send + Sync + 'static {
    let console = peer.console();
    move |request| match (request.operation.as_str(), request.secret()) {
        ("GetSecretValue", "trouble/denied") => {
            let message = "User is not authorized to perform: secretsmanager:GetSecretValue";
            Some(refusal(400, "AccessDeniedException", message))
        }
        ("ListSecretVersionIds", "trouble/old") => {
            let (version, _) = console.current("trouble/old");
            let version = json!({
                "VersionId": version,
                "VersionStages": ["AWSCURRENT"],
                "CreatedDate": LONG_AGO,
            });
            let answer = json!({ "Name": "trouble/old", "Versions": [version] });
            Some(AwsReply::text(200, &answer.to_string()))
        }
        _ => None,
    }
}

/// What AWS says when it is asked too often.
pub(super) fn busy() -> AwsReply {
    refusal(400, "ThrottlingException", "Rate exceeded")
}

/// All that there is in the vault: names, versions, tags and times of change.
pub(super) fn state_of(console: &Console) -> BTreeMap<String, Value> {
    let mut all = BTreeMap::new();
    let mut token = Value::Null;
    loop {
        let request = match token.as_str() {
            Some(token) => json!({ "MaxResults": 100, "NextToken": token }),
            None => json!({ "MaxResults": 100 }),
        };
        let mut page = console.call("ListSecrets", &request);
        for mut secret in page["SecretList"].as_array_mut().expect("a list").drain(..) {
            let name = secret["Name"].as_str().expect("text").to_owned();
            // Of reads.
            secret
                .as_object_mut()
                .expect("an object")
                .remove("LastAccessedDate");
            all.insert(name, secret);
        }
        token = page["NextToken"].take();
        if token.is_null() {
            return all;
        }
    }
}
