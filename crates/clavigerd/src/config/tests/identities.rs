use super::*;
use crate::config::identities::for_broker;

const KINDS: &str = "aws, azure, generic, github, google, kubernetes, spiffe, x509";

#[test]
fn an_identity_has_a_kind_which_says_what_else_it_has() {
    let text = r#"
[identity.ci]
kind = "github"
audience = "claviger.acme.example"
[identity.cluster]
kind = "kubernetes"
issuer = "https://k8s.acme.example"
audience = "claviger.acme.example"
"#;
    let config = Case::new().with_file(text, "--data-dir /d").unwrap();
    let ci = &config.identities[&Id::from_static("ci")];
    assert_eq!(ci.issuer, "https://token.actions.githubusercontent.com");
    assert_eq!(config.identities.len(), 2);
}

#[test]
fn whatever_is_wrong_with_an_identity_is_named_with_its_remedy() {
    let text = r#"
[identity.one]
kind = "ldap"
audience = "claviger"
[identity.two]
issuer = "https://issuer.acme.example"
[identity.three]
kind = "generic"
issuer = "http://issuer.acme.example"
[identity.four]
kind = "generic"
issuer = "https://issuer.acme.example"
audience = "claviger"
[identity.five]
kind = "generic"
issuer = "https://issuer.acme.example"
audience = "claviger"
[identity."a b"]
kind = "generic"
"#;
    let found = problems(text);
    for problem in [
        format!("c.toml:3: identity.one.kind: is not a kind of identity; known: {KINDS}"),
        format!(
            "c.toml:5: identity.two.kind: is missing; write the kind of this identity: {KINDS}"
        ),
        "c.toml:9: identity.three.issuer: is not https://HOST/".to_owned(),
        "identity.three.audience: is missing; write one that is Claviger's alone".to_owned(),
        "identity.four.issuer: is that of another identity as well; keep one of them".to_owned(),
        "identity.\"a b\": is not an id".to_owned(),
    ] {
        assert!(found.contains(&problem), "{problem}\n{found}");
    }
    assert_eq!(found.lines().count(), 6, "{found}");
}

#[test]
fn an_identity_is_another_one_once_somebody_else_vouches_under_its_name() {
    let text = r#"
[tls]
certificate_file = "/e/tls.crt"
private_key_file = "/e/tls.key"
client_ca_file = "/e/ca.crt"
spiffe_trust_domain = "acme.example"
client_auth = "optional"
[identity.ci]
kind = "generic"
issuer = "https://issuer.acme.example"
audience = "claviger.acme.example"
jwks_file = "/e/ci.json"
[identity.cloud]
kind = "azure"
tenant = "00000000-0000-0000-0000-000000000001"
audience = "claviger.acme.example"
[identity.corp]
kind = "x509"
ca_file = "/e/corp.crt"
[identity.mesh]
kind = "spiffe"
trust_domain = "mesh.example"
audience = "claviger.acme.example"
jwks_file = "/e/mesh.json"
ca_file = "/e/mesh.crt"
"#;
    let identities = |text: &str| {
        let config = Case::new().with_file(text, "--data-dir /d").unwrap();
        for_broker(&config.bundles, &config.identities)
    };
    let before = identities(text);
    for (old, new, name) in [
        ("//issuer.acme", "//issuer.evil", "ci"),
        ("\"generic\"", "\"kubernetes\"", "ci"),
        ("/e/ci.json", "/e/other.json", "ci"),
        ("000000000001", "000000000002", "cloud"),
        ("/e/corp.crt", "/e/other.crt", "corp"),
        ("mesh.example", "evil.example", "mesh"),
        ("/e/mesh.crt", "/e/other.crt", "mesh"),
        ("\"acme.example", "\"evil.example", "tls"),
        ("/e/ca.crt", "/e/other.crt", "tls"),
    ] {
        let mut after = identities(&text.replace(old, new));
        after.retain(|id, identity| before[id].digest != identity.digest);
        let changed: Vec<&str> = after.keys().map(Id::as_str).collect();
        assert_eq!(changed, [name], "{old}");
    }
    let more = "algorithms = [\"ES256\"]\n[identity.corp]\ncrl_file = \"/e/corp.crl\"";
    assert_eq!(identities(&text.replace("[identity.corp]", more)), before);
    let audience = text.replace("claviger.acme.example", "secrets.acme.example");
    let after = identities(&audience);
    let named = ["ci", "cloud", "mesh"].map(Id::from_static);
    assert!(
        named
            .iter()
            .all(|name| before[name].digest != after[name].digest)
    );
}
