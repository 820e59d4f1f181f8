//! Who may point at what: the daemon's credentials are good for everything in the account, its
//! callers are not.

use std::collections::HashMap;

use claviger_e2e::{AwsStub, Client, Home, Moto};
use claviger_proto::v1;
use serde_json::json;
use uuid::Uuid;

use super::support::{
    ACCOUNT, Caller, VAULT, adopt, asked, assert_refused, definition, location, new_value, put,
    start, start_with, text, text_of, vault,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_allow_list_does_not_name_never_reaches_aws() {
    let (home, moto) = (Home::new(), Moto::start());
    let stub = AwsStub::before(&moto);
    for name in ["acme/stripe", "other/stripe"] {
        let create = json!({ "Name": name, "SecretString": "v" });
        moto.call("CreateSecret", &create);
    }
    let daemon = start(&home, &stub.url(), &["acme/*", "other/*"]);
    let client = Client::connect(&daemon.socket()).await;
    for (id, secret) in [("mine", "acme/stripe"), ("theirs", "other/stripe")] {
        put(&client, id, (secret, ""), None).await.expect("allowed");
        client.read(id, "").await.expect("allowed");
    }
    daemon.stop();

    let daemon = start(&home, &stub.url(), &["acme/*"]);
    let client = Client::connect(&daemon.socket()).await;
    client.read("mine", "").await.expect("still allowed");
    assert!(
        !asked(&stub).is_empty(),
        "what is not seen cannot be missed"
    );
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
    assert!(asked(&stub).is_empty());
}

/// A vault in which acme has its names and b some, if any.
fn config(url: &str, names_of_b: &[&str]) -> String {
    let config = vault(VAULT, url, ("acme", &["acme/*"]), "");
    let rule_of_b = format!("}}, {{ project = \"b\", names = {names_of_b:?} }}]");
    config.replace("}]", &rule_of_b)
}

/// The ways to point at a secret.
fn definitions(name: &str, secret: &str) -> Vec<v1::SecretDefinition> {
    let own = || location("b/own", "");
    let there = || location(secret, "");
    let overridden = |environment: &str| v1::SecretDefinition {
        environments: HashMap::from([(environment.to_owned(), there())]),
        ..definition(name, own())
    };
    vec![
        definition(name, there()),
        overridden("prod"),
        v1::SecretDefinition {
            environment_fallback: true,
            environments: HashMap::from([("dev".to_owned(), own())]),
            ..definition(name, there())
        },
        // No environment uses the default location yet.
        v1::SecretDefinition {
            environments: HashMap::from([("dev".to_owned(), own()), ("prod".to_owned(), own())]),
            ..definition(name, there())
        },
    ]
}

#[tokio::test]
async fn operator_of_another_project_gets_nowhere_near_a_project_s_names() {
    let (home, moto) = (Home::new(), Moto::start());
    let stub = AwsStub::before(&moto);
    let create = json!({ "Name": "acme/stripe", "SecretString": "of acme" });
    let created = moto.call("CreateSecret", &create);
    let arn = created["ARN"].as_str().expect("text");
    let daemon = start_with(&home, &config(&stub.url(), &["b/*"]));
    let admin = Caller::of(&daemon).await;
    admin.become_operator().await;
    admin.put_project("projects/acme", &[]).await;
    let environments = [("dev", VAULT), ("prod", VAULT)];
    admin.put_project("projects/b", &environments).await;
    let roles = [v1::Role::Operator, v1::Role::Runner];
    let token = admin.token("projects/b", &roles).await;
    let of_b = Caller::with_token(&daemon, &token).await;
    stub.take_asked();

    let name = "projects/b/secrets/stripe";
    for secret in ["acme/stripe", arn, "acme/new", "acme"] {
        for definition in definitions(name, secret) {
            for (payload, adopt) in [(None, false), (text("mine"), false), (text("mine"), true)] {
                let put = of_b.put_with(v1::PutSecretDefinitionRequest {
                    definition: Some(definition.clone()),
                    payload,
                    adopt,
                    ..Default::default()
                });
                assert_refused(put.await, "LOCATION_NOT_ALLOWED");
            }
        }
    }
    assert!(asked(&stub).is_empty());
    assert_eq!(moto.value("acme/stripe"), "of acme");
    // The same caller reaches what is its own, so it was the name that was refused.
    let own = of_b.put(definition(name, location("b/own", ""))).await;
    own.expect("allowed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_taken_back_are_out_of_reach_of_what_was_registered_before() {
    let (home, moto) = (Home::new(), Moto::start());
    let stub = AwsStub::before(&moto);
    for secret in ["acme/stripe", "b/own"] {
        let create = json!({ "Name": secret, "SecretString": format!("value of {secret}") });
        moto.call("CreateSecret", &create);
    }
    let daemon = start_with(&home, &config(&stub.url(), &["b/*", "acme/*"]));
    let admin = Caller::of(&daemon).await;
    admin.become_operator().await;
    let environments = [("dev", VAULT), ("prod", VAULT)];
    admin.put_project("projects/b", &environments).await;
    let roles = [v1::Role::Operator, v1::Role::Runner];
    let token = admin.token("projects/b", &roles).await;
    let of_b = Caller::with_token(&daemon, &token).await;
    let names: Vec<String> = (0..3)
        .map(|way| format!("projects/b/secrets/way-{way}"))
        .collect();
    for (way, name) in names.iter().enumerate() {
        let put = of_b.put(definitions(name, "acme/stripe").remove(way)).await;
        put.expect("allowed so far");
        let read = of_b.get_in(name, "prod").await.expect("allowed so far");
        assert_eq!(text_of(read), "value of acme/stripe");
    }
    assert_eq!(of_b.browse("projects/b").await, ["acme/stripe", "b/own"]);
    daemon.stop();

    let daemon = start_with(&home, &config(&stub.url(), &["b/*"]));
    let of_b = Caller::with_token(&daemon, &token).await;
    assert_eq!(of_b.browse("projects/b").await, ["b/own"]);
    stub.take_asked();
    for name in &names {
        let refused = of_b.get_in(name, "prod").await;
        assert_refused(refused, "LOCATION_NOT_ALLOWED");
        for adopt in [false, true] {
            let refused = of_b.put_value(v1::PutSecretValueRequest {
                environment: "prod".to_owned(),
                adopt,
                ..new_value(name, "mine")
            });
            assert_refused(refused.await, "LOCATION_NOT_ALLOWED");
        }
    }
    assert!(asked(&stub).is_empty());
    let [.., with_own_place] = names.as_slice() else {
        panic!("three ways");
    };
    let read = of_b.get_in(with_own_place, "dev").await;
    assert_eq!(text_of(read.expect("its own")), "value of b/own");
    assert!(
        !asked(&stub).is_empty(),
        "what is not seen cannot be missed"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn arn_of_elsewhere_is_allowed_only_where_it_is_spelled_out() {
    let (home, moto) = (Home::new(), Moto::start());
    let stub = AwsStub::before(&moto);
    let arn = |region: &str, account: &str| {
        format!("arn:aws:secretsmanager:{region}:{account}:secret:pay/stripe-AbCdEf")
    };
    let there = arn("us-east-1", ACCOUNT);
    let theirs = arn("eu-central-1", "210987654321");
    let daemon = start(&home, &stub.url(), &["*"]);
    let caller = Caller::of(&daemon).await;
    let name = "projects/dev/secrets/stripe";
    for secret in [&there, &theirs] {
        let put = caller.put(definition(name, location(secret, ""))).await;
        let status = assert_refused(put, "LOCATION_NOT_ALLOWED");
        assert!(
            status.message().contains("put the ARN itself"),
            "{status:?}"
        );
    }
    assert!(asked(&stub).is_empty(), "AWS was not asked");
    // The same names in the vault's own place are allowed.
    let own = arn("eu-central-1", ACCOUNT);
    let put = caller.put(definition("projects/dev/secrets/own", location(&own, "")));
    assert_eq!(put.await.expect("allowed").warnings, []);
    daemon.stop();

    let spelled = ["arn:aws:secretsmanager:us-east-1:123456789012:secret:pay/*"];
    let daemon = start(&home, &stub.url(), &spelled);
    let caller = Caller::of(&daemon).await;
    let put = caller.put(definition(name, location(&there, ""))).await;
    let warnings = put.expect("allowed").warnings;
    let reasons: Vec<&str> = warnings.iter().map(|w| w.reason.as_str()).collect();
    assert_eq!(reasons, ["SECRET_IN_OTHER_REGION"]);
    // Asked there, where moto has none.
    assert_refused(caller.text(name).await, "SECRET_NOT_FOUND");
    for secret in ["pay/stripe", theirs.as_str(), own.as_str()] {
        let put = caller.put(definition(
            "projects/dev/secrets/other",
            location(secret, ""),
        ));
        assert_refused(put.await, "LOCATION_NOT_ALLOWED");
    }
    daemon.stop();

    let daemon = start(&home, &stub.url(), &["*"]);
    let caller = Caller::of(&daemon).await;
    asked(&stub);
    assert_refused(caller.text(name).await, "LOCATION_NOT_ALLOWED");
    assert!(asked(&stub).is_empty(), "AWS was not asked");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_account_no_arn_counts_as_the_name_in_it() {
    let (home, moto) = (Home::new(), Moto::start());
    let create = json!({ "Name": "acme/stripe", "SecretString": "v" });
    let created = moto.call("CreateSecret", &create);
    let arn = created["ARN"].as_str().expect("text");
    let config = vault(VAULT, &moto.url(), ("dev", &["*"]), "");
    let account = format!("account_id = \"{ACCOUNT}\"\n");
    let daemon = start_with(&home, &config.replace(&account, ""));
    let caller = Caller::of(&daemon).await;
    let name = "projects/dev/secrets/stripe";
    let put = caller.put(definition(name, location(arn, ""))).await;
    let status = assert_refused(put, "LOCATION_NOT_ALLOWED");
    assert!(status.message().contains("set account_id"), "{status:?}");
    daemon.stop();

    let daemon = start_with(&home, &config);
    let caller = Caller::of(&daemon).await;
    let put = caller.put(definition(name, location(arn, ""))).await;
    assert_eq!(put.expect("allowed").warnings, []);
    assert_eq!(caller.text(name).await.expect("read"), "v");
}
