//! The table of an identity, right and wrong.

use std::collections::BTreeMap;

use claviger_core::Id;
use claviger_identity::{Algorithm, IdentitySettings, Kind, overlaps};
use claviger_settings::{Problems, read_document};

use crate::support::settings;

const TENANT: &str = "3f2504e0-4f89-11d3-9a0c-0305e82c3301";

fn read(kind: Kind, text: &str) -> (IdentitySettings, String) {
    let mut problems = Problems::new(None);
    let read = read_document(text, &mut problems, |table| {
        IdentitySettings::read(kind, table)
    });
    (read.expect("TOML"), problems.to_string())
}

#[test]
fn wrong_settings_are_named_with_the_remedy() {
    let issuer = r#"issuer = "https://keycloak.acme.example/realms/jobs""#;
    let audience = r#"audience = "claviger.acme.example""#;
    let both = format!("{issuer}\n{audience}");
    let own = |url: &str| format!("issuer = \"{url}\"\n{audience}");
    for (kind, text, beginning) in [
        (Kind::Generic, both.clone(), ""),
        (
            Kind::Generic,
            audience.to_owned(),
            "issuer: is missing; write `iss`",
        ),
        (
            Kind::Generic,
            issuer.to_owned(),
            "audience: is missing; write one that is",
        ),
        (Kind::Generic, own("http://127.0.0.1:4000"), ""),
        (Kind::Generic, own("http://[::1]:4000"), ""),
        (
            Kind::Generic,
            own("http://keycloak.acme.example"),
            "issuer: is not https://HOST/…",
        ),
        (
            Kind::Generic,
            own("https://a@keycloak.acme.example"),
            "issuer: is not https://HOST/…",
        ),
        (
            Kind::Generic,
            own("https://accounts.google.com"),
            "issuer: is at a host whose tokens have a kind",
        ),
        (
            Kind::Generic,
            own("https://ACCOUNTS.google.com:443/"),
            "issuer: is at a host whose tokens have a kind",
        ),
        (
            Kind::Kubernetes,
            own("https://token.actions.githubusercontent.com"),
            "issuer: is at a host whose",
        ),
        (
            Kind::Generic,
            own("https://oidc.eks.eu-west-1.amazonaws.com/id/X"),
            "issuer: is at a host whose",
        ),
        (
            Kind::Kubernetes,
            own("https://oidc.eks.eu-west-1.amazonaws.com/id/X"),
            "",
        ),
        (
            Kind::Generic,
            format!("{both}\nalgorithms = [\"HS256\"]"),
            "algorithms[0]: is not an algorithm whose issuer alone",
        ),
        (
            Kind::Generic,
            format!("{both}\nalgorithms = [\"none\"]"),
            "algorithms[0]: is not an algorithm whose issuer alone",
        ),
        (
            Kind::Generic,
            format!("{both}\nalgorithms = [\"RS256\", \"rs256\"]"),
            "algorithms[1]: is not an algorithm",
        ),
        (
            Kind::Generic,
            format!("{both}\nalgorithms = []"),
            "algorithms: is an empty list",
        ),
        (
            Kind::Generic,
            format!("{both}\njwks_uri = \"http://x.example\""),
            "jwks_uri: is not https://HOST/…",
        ),
        (
            Kind::Generic,
            format!("{both}\njwks_file = \"keys.json\""),
            "jwks_file: is not an absolute path",
        ),
        (
            Kind::Generic,
            format!("{both}\njwks_file = \"/k\"\njwks_uri = \"https://x.example\""),
            "jwks_file: leaves nobody to be asked",
        ),
        (
            Kind::Generic,
            format!("{both}\nbearer_file = \"/t\""),
            "bearer_file: is not a key",
        ),
        (
            Kind::Generic,
            format!("{both}\ntenant = \"x\""),
            "tenant: is not a key",
        ),
        (
            Kind::Generic,
            format!("{issuer}\naudience = \"https://keycloak.acme.example/realms/jobs\""),
            "audience: is what the issuer puts",
        ),
        (
            Kind::Generic,
            format!("{issuer}\naudience = \"a b\""),
            "audience: is not 1 to 255 printable",
        ),
        (
            Kind::Kubernetes,
            format!("{both}\nca_file = \"/ca\"\nbearer_file = \"/t\""),
            "",
        ),
        (Kind::Github, audience.to_owned(), ""),
        (
            Kind::Github,
            "audience = \"https://github.com/acme\"".to_owned(),
            "audience: is what the issuer puts",
        ),
        (Kind::Google, audience.to_owned(), ""),
        (Kind::Aws, own("https://abc.tokens.sts.global.api.aws"), ""),
        (
            Kind::Azure,
            format!("{audience}\ntenant = \"{TENANT}\""),
            "",
        ),
        (
            Kind::Azure,
            format!("{audience}\ntenant = \"common\""),
            "tenant: is not the id of one tenant",
        ),
        (
            Kind::Azure,
            format!(
                "{}\ntenant = \"{TENANT}\"",
                own("https://login.microsoftonline.com/common/v2.0")
            ),
            "issuer: is not https://login.microsoftonline.com/TENANT/v2.0",
        ),
        (
            Kind::Azure,
            format!(
                "{}\ntenant = \"{TENANT}\"",
                own(&format!("https://sts.windows.net/{TENANT}/"))
            ),
            "issuer: is not https://login.microsoftonline.com/TENANT/v2.0",
        ),
        (
            Kind::Spiffe,
            format!("{audience}\ntrust_domain = \"acme.example\"\njwks_file = \"/b\""),
            "",
        ),
        (
            Kind::Spiffe,
            "trust_domain = \"acme.example\"\nca_file = \"/b\"".to_owned(),
            "",
        ),
        (
            Kind::Spiffe,
            "trust_domain = \"acme.example\"".to_owned(),
            "jwks_file: is missing; name the domain's bundle",
        ),
        (
            Kind::Spiffe,
            "trust_domain = \"Acme\"\nca_file = \"/b\"".to_owned(),
            "trust_domain: is not a trust domain",
        ),
        (
            Kind::Spiffe,
            "trust_domain = \"a\"\njwks_file = \"/b\"".to_owned(),
            "audience: is missing",
        ),
    ] {
        let (_, found) = read(kind, &text);
        assert!(found.starts_with(beginning), "{kind:?}\n{text}\n{found}");
        assert_eq!(
            found.is_empty(),
            beginning.is_empty(),
            "{kind:?}\n{text}\n{found}"
        );
    }
}

#[test]
fn built_in_kinds_know_their_issuer() {
    let (github, _) = read(Kind::Github, "audience = \"c\"");
    assert_eq!(github.issuer, "https://token.actions.githubusercontent.com");
    assert_eq!(github.algorithms, [Algorithm::RS256]);
    let (google, _) = read(Kind::Google, "audience = \"c\"");
    assert_eq!(
        google.jwks_uri.as_deref(),
        Some("https://www.googleapis.com/oauth2/v3/certs")
    );
    let (azure, _) = read(
        Kind::Azure,
        &format!("audience = \"c\"\ntenant = \"{TENANT}\""),
    );
    assert_eq!(
        azure.issuer,
        format!("https://login.microsoftonline.com/{TENANT}/v2.0")
    );
    for kind in Kind::ALL {
        assert_eq!(Kind::parse(kind.name()), Some(kind));
    }
    assert_eq!(Kind::parse("x509"), None);
}

#[test]
fn settings_from_elsewhere_are_judged_as_well() {
    let symmetric = IdentitySettings {
        algorithms: vec![Algorithm::ES256, Algorithm::HS256],
        ..settings()
    };
    let keys: Vec<_> = symmetric
        .problems()
        .iter()
        .map(|problem| problem.key)
        .collect();
    assert_eq!(keys, ["algorithms"]);
}

#[test]
fn two_identities_of_one_issuer_or_domain_are_named() {
    let spiffe = |issuer: &str| IdentitySettings {
        kind: Kind::Spiffe,
        trust_domain: "acme.example".to_owned(),
        issuer: issuer.to_owned(),
        ..settings()
    };
    let other = IdentitySettings {
        issuer: "https://other.example".to_owned(),
        ..settings()
    };
    let found = |list: [IdentitySettings; 2]| {
        let names = ["a", "b"].map(Id::from_static);
        let identities: BTreeMap<_, _> = names.into_iter().zip(list).collect();
        let found = overlaps(&identities).into_iter();
        found
            .map(|(name, problem)| format!("{name}.{}", problem.key))
            .collect::<Vec<_>>()
    };
    assert_eq!(found([settings(), other]), [""; 0]);
    assert_eq!(found([settings(), settings()]), ["b.issuer"]);
    assert_eq!(
        found([spiffe(""), spiffe("https://spire.example")]),
        ["b.trust_domain"]
    );
    assert_eq!(
        found([settings(), spiffe(&settings().issuer)]),
        ["b.issuer"]
    );
}
