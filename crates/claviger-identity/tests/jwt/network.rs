//! The real way to an issuer: a server of ours that plays it.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;
use std::time::Duration;

use claviger_core::{Id, ManualClock};
use claviger_identity::{IdentitySettings, Kind, Verifier};
use claviger_stub::{Reply, Stub};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs::default_provider;
use tokio_rustls::rustls::pki_types::PrivatePkcs8KeyDer;

use crate::support::{Key, NOW, claims, settings, with};

/// The principal of a good token, of kind `generic`.
const GOOD: &str = "oidc:ci#system:serviceaccount:jobs:etl";

/// The verdict on a good token of an issuer at this server.
async fn seen(stub: &Stub, key: &Key, more: IdentitySettings) -> String {
    verdict(
        key,
        IdentitySettings {
            issuer: stub.url(),
            ..more
        },
    )
    .await
}

/// The verdict on a good token of an issuer.
async fn verdict(key: &Key, identity: IdentitySettings) -> String {
    let issuer = identity.issuer.clone();
    let is_cluster = identity.kind == Kind::Kubernetes;
    let clock = Arc::new(ManualClock::at(Duration::from_secs(NOW)));
    let identities = BTreeMap::from([(Id::from_static("ci"), identity)]);
    let verifier = Verifier::new(identities, clock, &Handle::current());
    let account = json!({"namespace": "jobs", "serviceaccount": {"name": "etl", "uid": "u-1"}});
    let account = Some(account).filter(|_| is_cluster);
    let claims = with(
        claims(),
        json!({"iss": issuer, "sub": "system:serviceaccount:jobs:etl", "kubernetes.io": account}),
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
async fn answer_is_read_up_to_its_bound() {
    let key = Key::ec();
    let public = json!([key.public("a")]);
    let padded = |len: usize| {
        let keys = format!(r#"{{"keys":{public}}}"#);
        Reply::json(200, &format!("{keys}{}", " ".repeat(len - keys.len())))
    };
    for (len, expected) in [(64 * 1024, GOOD), (64 * 1024 + 1, "JWT_KEYS_UNAVAILABLE")] {
        let stub = Stub::always(padded(len));
        let identity = IdentitySettings {
            jwks_uri: Some(stub.url()),
            ..settings()
        };
        assert_eq!(verdict(&key, identity).await, expected, "{len}");
    }
}

/// Ends TLS before a server; says where, and by which certificate.
async fn tls_before(stub: &Stub) -> (String, String) {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("a certificate");
    let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the provider has them")
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key.into())
        .expect("the key belongs to the certificate");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    let behind = stub.url().replace("http://", "");
    Handle::current().spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // Whoever does not like the certificate goes away.
            let Ok(mut stream) = acceptor.accept(stream).await else {
                continue;
            };
            let mut behind = TcpStream::connect(&behind).await.expect("listens");
            drop(tokio::io::copy_bidirectional(&mut stream, &mut behind).await);
        }
    });
    (format!("https://{address}/keys"), made.cert.pem())
}

#[tokio::test]
async fn issuer_is_known_by_its_own_authority_only() {
    let directory = tempfile::tempdir().expect("a directory");
    let key = Key::ec();
    let stub = issuer(json!({"keys": [key.public("a")]}));
    let (address, own) = tls_before(&stub).await;
    let (_, other) = tls_before(&stub).await;
    let asked = |name: &str, pem: &str| {
        let file = directory.path().join(name);
        fs::write(&file, pem).expect("writes");
        IdentitySettings {
            jwks_uri: Some(address.clone()),
            ca_file: Some(file),
            ..settings()
        }
    };
    assert_eq!(verdict(&key, asked("own", &own)).await, GOOD);
    let refused = "JWT_KEYS_UNAVAILABLE";
    assert_eq!(verdict(&key, asked("other", &other)).await, refused);
    assert_eq!(verdict(&key, asked("none", "")).await, refused);
    let of_the_host = IdentitySettings {
        ca_file: None,
        ..asked("unused", &own)
    };
    assert_eq!(verdict(&key, of_the_host).await, refused);
    assert_eq!(stub.asked().len(), 1);
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
