use super::*;

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
