//! The real way to an issuer: a server of ours that plays it.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;
use std::time::Duration;

use claviger_core::{Id, ManualClock};
use claviger_identity::{IdentitySettings, Kind, Verifier};
use claviger_stub::{Reply, Stub};
use serde_json::{Value, json};
use tokio::runtime::Handle;

use crate::support::{Key, NOW, claims, settings, with};

/// The verdict on a good token of an issuer at this server.
async fn seen(stub: &Stub, key: &Key, more: IdentitySettings) -> String {
    let identity = IdentitySettings {
        issuer: stub.url(),
        ..more
    };
    let clock = Arc::new(ManualClock::at(Duration::from_secs(NOW)));
    let identities = BTreeMap::from([(Id::from_static("ci"), identity)]);
    let verifier = Verifier::new(identities, clock, &Handle::current());
    let account = json!({"namespace": "jobs", "serviceaccount": {"name": "etl", "uid": "u-1"}});
    let claims = with(
        claims(),
        json!({"iss": stub.url(), "sub": "system:serviceaccount:jobs:etl", "kubernetes.io": account}),
    );
    match verifier.verify(&key.token("a", &claims)).await {
        Ok(verified) => verified.principal.clone(),
        Err(refusal) => refusal.to_string(),
    }
}

/// A server with a discovery document and these keys.
fn issuer(keys: Value) -> Stub {
    Stub::start(move |request| {
        let host = request.header("host").expect("a host");
        let here = format!("http://{host}");
        match request.target() {
            "GET /.well-known/openid-configuration" => Reply::json(
                200,
                &json!({"issuer": here, "jwks_uri": format!("{here}/keys")}),
            ),
            "GET /keys" => Reply::json(200, &keys),
            _ => Reply::text(404, ""),
        }
    })
}

#[tokio::test]
async fn keys_are_discovered_with_the_bearer_that_the_cluster_wants() {
    let directory = tempfile::tempdir().expect("a directory");
    let bearer = directory.path().join("token");
    fs::write(&bearer, "cluster-token\n").expect("writes");
    let key = Key::ec();
    let stub = issuer(json!({"keys": [key.public("a")]}));
    let kubernetes = IdentitySettings {
        kind: Kind::Kubernetes,
        bearer_file: Some(bearer),
        ..settings()
    };
    assert_eq!(
        seen(&stub, &key, kubernetes.clone()).await,
        "oidc:ci#jobs/etl/u-1"
    );
    let asked = stub.asked();
    let shown: Vec<_> = asked
        .iter()
        .map(|request| request.header("authorization"))
        .collect();
    assert_eq!(shown, [Some("Bearer cluster-token"); 2]);
    let gone = IdentitySettings {
        bearer_file: Some(directory.path().join("gone")),
        ..kubernetes.clone()
    };
    assert_eq!(seen(&stub, &key, gone).await, "JWT_KEYS_UNAVAILABLE");
    let no_authority = IdentitySettings {
        ca_file: Some(directory.path().join("token")),
        ..kubernetes
    };
    assert_eq!(
        seen(&stub, &key, no_authority).await,
        "JWT_KEYS_UNAVAILABLE"
    );
    assert_eq!(stub.asked().len(), 2, "nobody is asked half-equipped");
}

#[tokio::test]
async fn redirects_long_answers_and_failures_are_no_keys() {
    let key = Key::ec();
    let real = issuer(json!({"keys": [key.public("a")]}));
    let to_real = format!("Location: {}/.well-known/openid-configuration", real.url());
    for (case, reply) in [
        ("redirect", Reply::text(302, "").header(&to_real)),
        ("forbidden", Reply::text(403, "")),
        ("failure", Reply::text(500, "")),
        ("endless", Reply::Endless(200, "x".repeat(1024))),
        ("half", Reply::HalfBody("{".to_owned())),
        ("reset", Reply::Reset),
    ] {
        let stub = Stub::always(reply);
        let verdict = seen(&stub, &key, settings()).await;
        assert_eq!(verdict, "JWT_KEYS_UNAVAILABLE", "{case}");
    }
    assert_eq!(real.asked().len(), 0, "no redirect is followed");
}
