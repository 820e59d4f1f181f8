//! Who a caller is, by kind.

use claviger_identity::{IdentitySettings, Kind};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::support::{Key, World, claims, settings, with};

const TENANT: &str = "3f2504e0-4f89-11d3-9a0c-0305e82c3301";
const OBJECT: &str = "00000000-0000-0000-0000-00000000000A";

fn world(kind: Kind, key: &Key) -> World {
    let is_spiffe = kind == Kind::Spiffe;
    let world = World::new(IdentitySettings {
        kind,
        tenant: TENANT.to_owned(),
        trust_domain: if is_spiffe {
            "acme.example".to_owned()
        } else {
            String::new()
        },
        jwks_uri: is_spiffe.then(|| crate::support::KEYS_AT.to_owned()),
        issuer: if is_spiffe {
            String::new()
        } else {
            settings().issuer
        },
        ..settings()
    });
    world.network.show(&[key.public("a")]);
    world
}

#[tokio::test]
async fn each_kind_demands_its_claims() {
    let github = json!({"repository_owner_id": "1", "repository_id": "22", "ref": "refs/heads/main",
                        "sub": "repo:acme/etl:ref:refs/heads/main"});
    let kubernetes =
        |own: Value| json!({"sub": "system:serviceaccount:jobs:etl", "kubernetes.io": own});
    let own = |namespace: &str, name: &str, uid: Value| json!({"namespace": namespace, "serviceaccount": {"name": name, "uid": uid}});
    let azure = json!({"ver": "2.0", "tid": TENANT, "oid": OBJECT});
    let role = "arn:aws:iam::123456789012:role/jobs/etl";
    let wrong = |name: &str| format!("JWT_CLAIM_VALUE ({name})");
    let missing = |name: &str| format!("JWT_CLAIM_MISSING ({name})");
    let key = Key::ec();
    for (kind, claimed, expected) in [
        (
            Kind::Aws,
            json!({"sub": role}),
            "oidc:ci#arn:aws:iam::123456789012:role%2Fjobs%2Fetl".to_owned(),
        ),
        (
            Kind::Aws,
            json!({"sub": "arn:aws:iam::123456789012:user/etl"}),
            wrong("sub"),
        ),
        (
            Kind::Aws,
            json!({"sub": "arn:aws:iam::12345678901x:role/etl"}),
            wrong("sub"),
        ),
        (
            Kind::Aws,
            json!({"sub": "arn:aws:s3:::bucket:role/etl"}),
            wrong("sub"),
        ),
        (Kind::Aws, json!({"sub": "etl"}), wrong("sub")),
        (
            Kind::Azure,
            azure.clone(),
            format!("oidc:ci#{TENANT}/{}", OBJECT.to_lowercase()),
        ),
        (
            Kind::Azure,
            with(azure.clone(), json!({"oid": null, "appid": OBJECT})),
            missing("oid"),
        ),
        (
            Kind::Azure,
            with(azure.clone(), json!({"oid": "etl"})),
            wrong("oid"),
        ),
        (
            Kind::Azure,
            with(azure.clone(), json!({"tid": "common"})),
            wrong("tid"),
        ),
        (
            Kind::Azure,
            with(azure, json!({"ver": null})),
            missing("ver"),
        ),
        (
            Kind::Generic,
            json!({"sub": "a/b#c*%ü"}),
            "oidc:ci#a%2Fb%23c%2A%25%C3%BC".to_owned(),
        ),
        (Kind::Generic, json!({"sub": "x".repeat(513)}), wrong("sub")),
        (
            Kind::Generic,
            json!({"sub": "system:serviceaccount:a:b", "kubernetes.io": {}}),
            wrong("kubernetes.io"),
        ),
        (
            Kind::Generic,
            json!({"sub": "repo:acme/etl", "repository_id": "1"}),
            wrong("repository_id"),
        ),
        (
            Kind::Github,
            github.clone(),
            "oidc:ci#1/22/ref/refs%2Fheads%2Fmain".to_owned(),
        ),
        (
            Kind::Github,
            with(github.clone(), json!({"environment": "prod"})),
            "oidc:ci#1/22/environment/prod".to_owned(),
        ),
        (
            Kind::Github,
            with(github.clone(), json!({"repository_id": null})),
            missing("repository_id"),
        ),
        (
            Kind::Github,
            with(github.clone(), json!({"repository_owner_id": null})),
            missing("repository_owner_id"),
        ),
        (
            Kind::Github,
            with(github.clone(), json!({"repository_id": "acme/etl"})),
            wrong("repository_id"),
        ),
        (
            Kind::Github,
            with(github.clone(), json!({"repository_id": 22})),
            "JWT_CLAIM_TYPE (repository_id)".to_owned(),
        ),
        (
            Kind::Github,
            with(github, json!({"ref": null})),
            missing("ref"),
        ),
        (
            Kind::Google,
            json!({"sub": "1234567890", "email": "a@b"}),
            "oidc:ci#1234567890".to_owned(),
        ),
        (Kind::Google, json!({"sub": "a@b"}), wrong("sub")),
        (
            Kind::Kubernetes,
            kubernetes(own("jobs", "etl", json!("u"))),
            "oidc:ci#jobs/etl/u".to_owned(),
        ),
        (
            Kind::Kubernetes,
            kubernetes(own("jobs", "etl", json!(null))),
            "JWT_CLAIM_TYPE (uid)".to_owned(),
        ),
        (
            Kind::Kubernetes,
            kubernetes(own("jobs", "etl", json!(""))),
            wrong("uid"),
        ),
        (
            Kind::Kubernetes,
            kubernetes(own("prod", "etl", json!("u"))),
            wrong("sub"),
        ),
        (
            Kind::Kubernetes,
            kubernetes(own("jobs", "root", json!("u"))),
            wrong("sub"),
        ),
        (
            Kind::Kubernetes,
            kubernetes(json!({})),
            missing("serviceaccount"),
        ),
        (
            Kind::Kubernetes,
            json!({"sub": "system:serviceaccount:jobs:etl"}),
            missing("kubernetes.io"),
        ),
        (
            Kind::Spiffe,
            json!({"sub": "spiffe://acme.example/ns/etl", "iss": null}),
            "spiffe://acme.example/ns/etl".to_owned(),
        ),
        (
            Kind::Spiffe,
            json!({"sub": "spiffe://acme.example/ns/etl"}),
            "spiffe://acme.example/ns/etl".to_owned(),
        ),
        (
            Kind::Spiffe,
            json!({"sub": "spiffe://acme.example.evil/ns/etl"}),
            "JWT_ISSUER".to_owned(),
        ),
        (
            Kind::Spiffe,
            json!({"sub": "spiffe://acme.example"}),
            "JWT_ISSUER".to_owned(),
        ),
        (Kind::Spiffe, json!({"sub": "etl"}), "JWT_ISSUER".to_owned()),
    ] {
        let token = key.token("a", &with(claims(), claimed.clone()));
        let seen = world(kind, &key).seen(&token).await;
        assert_eq!(seen, expected, "{kind:?} {claimed}");
    }
}

#[tokio::test]
async fn spiffe_domain_with_an_issuer_speaks_for_itself_only() {
    let key = Key::ec();
    let world = World::new(IdentitySettings {
        kind: Kind::Spiffe,
        trust_domain: "acme.example".to_owned(),
        ..settings()
    });
    world
        .network
        .show(&[with(key.public("a"), json!({"use": "jwt-svid"}))]);
    let token = |more: Value| key.token("a", &with(claims(), more));
    let id = "spiffe://acme.example/etl";
    assert_eq!(world.seen(&token(json!({"sub": id}))).await, id);
    assert_eq!(
        world.seen(&token(json!({"sub": id, "iss": null}))).await,
        "JWT_ISSUER"
    );
    let foreign = json!({"sub": "spiffe://other.example/etl"});
    assert_eq!(world.seen(&token(foreign)).await, "JWT_CLAIM_VALUE (sub)");
}

/// Claims of one kind, from texts that are full of what separates parts.
fn claimed(kind: Kind, [a, b, c]: [&str; 3]) -> Value {
    let digits = |text: &str| format!("{}", text.len());
    match kind {
        Kind::Generic => json!({"sub": format!("{a}{b}{c}")}),
        Kind::Github => {
            json!({"repository_owner_id": digits(a), "repository_id": digits(b), "ref": c})
        }
        Kind::Aws | Kind::Azure | Kind::Google | Kind::Kubernetes | Kind::Spiffe => json!({
            "sub": format!("system:serviceaccount:{a}:{b}"),
            "kubernetes.io": {"namespace": a, "serviceaccount": {"name": b, "uid": c}},
        }),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn different_claims_never_make_one_principal(
        ours in proptest::array::uniform3("[a%2Ff/#*:.\\\\ ü]{1,4}"),
        theirs in proptest::array::uniform3("[a%2Ff/#*:.\\\\ ü]{1,4}"),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(async {
            let key = Key::ed();
            for kind in [Kind::Generic, Kind::Github, Kind::Kubernetes] {
                let world = World::new(IdentitySettings {
                    kind,
                    algorithms: vec![claviger_identity::Algorithm::EdDSA],
                    ..settings()
                });
                world.network.show(&[key.public("a")]);
                let [ours, theirs] = [&ours, &theirs].map(|texts| {
                    claimed(kind, texts.each_ref().map(String::as_str))
                });
                let seen = async |claimed: &Value| {
                    world.seen(&key.token("a", &with(claims(), claimed.clone()))).await
                };
                let (we, they) = (seen(&ours).await, seen(&theirs).await);
                assert!(we.starts_with("oidc:ci#"), "{we}");
                assert_eq!(we == they, ours == theirs, "{we} {ours} {theirs}");
            }
        });
    }
}
