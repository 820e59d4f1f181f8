//! In each environment the vault that is meant is asked, and none is guessed.

use std::collections::HashMap;

use claviger_e2e::{assert_refused, text_of};
use claviger_proto::v1;
use serde_json::json;

use crate::caller::{Caller, assert_told, new_value, place, put_of};
use crate::peers::aws;
use crate::stage::{Peer, SECRET, Stage, VAULT};

#[tokio::test]
async fn each_environment_has_its_vault_and_none_is_guessed() {
    let peer = Box::new(aws());
    let config = peer.vault_for("acme", &["*"]);
    let stage = &Stage::start_with(peer, &config).await;
    let (caller, peer, daemon) = (&stage.caller, &stage.peer, &stage.daemon);
    peer.set(SECRET, &json!({ "apiKey": "of aws" }).to_string());
    caller.become_operator().await;
    let default_vault = |vault: &str| v1::Environment {
        default_vault: vault.to_owned(),
        ..Default::default()
    };
    let environments = [
        ("dev", default_vault("managed")),
        ("prod", default_vault(VAULT)),
    ];
    caller.put_project("acme", &environments).await;
    let token = caller.token("acme", &[v1::Role::Runner]).await;
    let runner = Caller::with_token(daemon, &token).await;

    // By the project's defaults, and by overrides that say the opposite of nothing.
    let (by_default, by_override) = ("projects/acme/secrets/plain", "projects/acme/secrets/over");
    let overridden = HashMap::from([
        ("dev".to_owned(), place("managed", "")),
        ("prod".to_owned(), peer.part(SECRET, "apiKey")),
    ]);
    for (name, environments) in [(by_default, HashMap::new()), (by_override, overridden)] {
        let definition = v1::SecretDefinition {
            name: name.to_owned(),
            environments,
            ..Default::default()
        };
        let put = caller.put(put_of(definition, None)).await;
        put.expect("registered");
    }
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
        let told = (read.vault.as_str(), read.environment.as_str());
        assert_eq!(told, (vault, environment));
        assert_eq!(text_of(read), value);
    }
    for name in [by_default, by_override] {
        let read = runner.get(name, "").await;
        let status = assert_refused(read, "ENVIRONMENT_REQUIRED");
        for environment in ["dev", "prod"] {
            assert!(status.message().contains(environment), "{status:?}");
        }
        let read = runner.get_in(name, "prdo").await;
        assert_told(read, "ENVIRONMENT_UNKNOWN", "close to it: prod;");
        assert_refused(caller.store(name, "nowhere").await, "ENVIRONMENT_REQUIRED");
    }
}
