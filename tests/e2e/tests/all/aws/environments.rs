//! Which vault is asked: in which environment, and after a change of the configuration.

use std::collections::HashMap;

use claviger_e2e::{Client, Home, Moto};
use claviger_proto::v1;
use serde_json::json;
use uuid::Uuid;

use super::support::{
    Caller, VAULT, assert_refused, location, new_value, put, start, start_with, text_of, vault,
};

/// How often the daemon is called before it has to have said what it says beside its calls.
const CALLS_MAX: usize = 2000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
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
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn vault_that_left_the_configuration_is_named_at_start_and_at_every_read() {
    let home = Home::new();
    let daemon = start(&home, "http://127.0.0.1:1", &["acme/*"]);
    let client = Client::connect(&daemon.socket()).await;
    let put = put(&client, "orphan-of-aws", ("acme/stripe", ""), None).await;
    put.expect("registered");
    let here = client.create("here", "own", Uuid::new_v4()).await;
    here.expect("created");
    assert_eq!(daemon.stop().code(), Some(0));
    let log_before = home.log();

    let daemon = start_with(&home, "");
    let client = Client::connect(&daemon.socket()).await;
    let status = assert_refused(client.read("orphan-of-aws", "").await, "VAULT_UNKNOWN");
    assert!(status.message().contains(VAULT), "{status:?}");
    // Which vaults there are is nothing for who only reads.
    assert!(status.message().contains("ListVaults"), "{status:?}");
    assert!(!status.message().contains("managed"), "{status:?}");
    let refused = client.rotate("orphan-of-aws", "v", Uuid::new_v4()).await;
    assert_refused(refused, "VAULT_UNKNOWN");
    assert_eq!(client.read("here", "").await.expect("managed").1, "own");
    // Said beside the calls, not before the first one.
    let is_named = || {
        let log = home.log();
        let since = log.strip_prefix(&log_before).expect("it is appended to");
        let mut lines = since.lines().filter(|line| !line.contains("call failed"));
        lines.any(|line| line.contains("orphan-of-aws") && line.contains(VAULT))
    };
    for _ in 0..CALLS_MAX {
        if is_named() {
            break;
        }
        client.read("here", "").await.expect("managed");
    }
    assert!(
        is_named(),
        "the orphan is named at start-up:\n{}",
        home.log()
    );
}

#[tokio::test]
async fn each_environment_has_its_vault_and_none_is_guessed() {
    let (home, moto) = (Home::new(), Moto::start());
    let create =
        json!({ "Name": "acme/stripe", "SecretString": json!({ "apiKey": "of aws" }).to_string() });
    moto.call("CreateSecret", &create);
    let daemon = start_with(&home, &vault(VAULT, &moto.url(), ("acme", &["acme/*"]), ""));
    let caller = Caller::of(&daemon).await;
    caller.become_operator().await;
    let environments = [("dev", "managed"), ("prod", VAULT)];
    caller.put_project("projects/acme", &environments).await;
    let token = caller.token("projects/acme", &[v1::Role::Runner]).await;
    let runner = Caller::with_token(&daemon, &token).await;

    // By the project's defaults, and by overrides that say the opposite of nothing.
    let (by_default, by_override) = ("projects/acme/secrets/plain", "projects/acme/secrets/over");
    let put = caller.put(v1::SecretDefinition {
        name: by_default.to_owned(),
        ..Default::default()
    });
    put.await.expect("registered");
    let managed = v1::Location {
        vault: "managed".to_owned(),
        ..Default::default()
    };
    let put = caller.put(v1::SecretDefinition {
        name: by_override.to_owned(),
        environments: HashMap::from([
            ("dev".to_owned(), managed),
            ("prod".to_owned(), location("acme/stripe", "apiKey")),
        ]),
        ..Default::default()
    });
    put.await.expect("registered");
    for (name, environment) in [
        (by_default, "dev"),
        (by_default, "prod"),
        (by_override, "dev"),
    ] {
        let stored = caller.put_value(v1::PutSecretValueRequest {
            environment: environment.to_owned(),
            ..new_value(name, &format!("{name} {environment}"))
        });
        stored.await.expect("stored");
    }
    for (name, environment, vault, value) in [
        (by_default, "dev", "managed", format!("{by_default} dev")),
        (by_default, "prod", VAULT, format!("{by_default} prod")),
        (by_override, "dev", "managed", format!("{by_override} dev")),
        (by_override, "prod", VAULT, "of aws".to_owned()),
    ] {
        let read = runner.get_in(name, environment).await.expect("read");
        assert_eq!(
            (read.vault.as_str(), read.environment.as_str()),
            (vault, environment)
        );
        assert_eq!(text_of(read), value);
    }
    for name in [by_default, by_override] {
        let status = assert_refused(runner.get(name).await, "ENVIRONMENT_REQUIRED");
        let message = status.message();
        assert!(
            message.contains("dev") && message.contains("prod"),
            "{message}"
        );
        let status = assert_refused(runner.get_in(name, "prdo").await, "ENVIRONMENT_UNKNOWN");
        let message = status.message();
        assert!(message.contains("close to it: prod;"), "{message}");
        let refused = caller.put_value(new_value(name, "nowhere"));
        assert_refused(refused.await, "ENVIRONMENT_REQUIRED");
    }
}
