//! What is refused, each with its own reason.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as URL_SAFE;
use claviger_core::{Id, ManualClock, Reason};
use claviger_identity::{Algorithm, IdentitySettings, Kind, Verifier};
use proptest::prelude::*;
use serde_json::json;
use tokio::runtime::Handle;

use crate::support::{AUDIENCE, ISSUER, Key, NOW, Network, World, base64, claims, settings, with};

const YEAR: u64 = 365 * 24 * 3600;

/// A header of the issuer's only key.
fn header(more: serde_json::Value) -> String {
    with(json!({"alg": "ES256", "kid": "a"}), more).to_string()
}

#[tokio::test]
async fn every_hostile_token_is_refused_with_its_own_reason() {
    let (key, other, rsa) = (Key::ec(), Key::ec(), Key::rsa());
    let world = World::new(settings());
    world.network.show(&[
        key.public("a"),
        rsa.public("r"),
        key.public("two"),
        other.public("two"),
    ]);
    let good = claims().to_string();
    let ours = |more| key.token("a", &with(claims(), more));
    let headed = |more| key.sign(&header(more), &good);
    let unsigned = |header: &str| format!("{}.{}.", base64(header), base64(&good));
    // The RSA key that everybody can see, as the key of an HMAC.
    let public = rsa.public("r");
    let hmac_key = URL_SAFE
        .decode(public["n"].as_str().expect("a text"))
        .expect("base64");
    let hmac_key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, &hmac_key);
    let message = unsigned(r#"{"alg":"HS256","kid":"r"}"#);
    let message = message.trim_end_matches('.');
    let tag = aws_lc_rs::hmac::sign(&hmac_key, message.as_bytes());
    let confused = format!("{message}.{}", base64(tag));
    let (signed, _) = ours(json!({}))
        .rsplit_once('.')
        .map(|(a, b)| (a.to_owned(), b.to_owned()))
        .expect("three parts");
    let twice = |claims: &str| key.sign(&header(json!({})), claims);
    let ends = NOW + 600;
    let rest = format!(r#""iss":"{ISSUER}","aud":"{AUDIENCE}","exp":{ends}"#);
    for (case, token, expected) in [
        ("good", ours(json!({})), "oidc:ci#etl"),
        (
            "good, of several audiences",
            ours(json!({"aud": ["x", AUDIENCE]})),
            "oidc:ci#etl",
        ),
        (
            "good, without kid, is ambiguous",
            headed(json!({"kid": null})),
            "JWT_KEY_AMBIGUOUS",
        ),
        (
            "alg none",
            unsigned(r#"{"alg":"none","kid":"a"}"#),
            "JWT_ALGORITHM",
        ),
        (
            "alg None",
            unsigned(r#"{"alg":"None","kid":"a"}"#),
            "JWT_ALGORITHM",
        ),
        ("no alg", unsigned(r#"{"kid":"a"}"#), "JWT_ALGORITHM"),
        (
            "alg of another type",
            unsigned(r#"{"alg":["ES256"],"kid":"a"}"#),
            "JWT_ALGORITHM",
        ),
        ("HS256 by the public key", confused, "JWT_ALGORITHM"),
        (
            "RS256 for an ES256 issuer",
            rsa.token("r", &claims()),
            "JWT_ALGORITHM",
        ),
        (
            "ES256 with the id of an RSA key",
            headed(json!({"kid": "r"})),
            "JWT_KEY_TYPE",
        ),
        (
            "jwk",
            headed(json!({"jwk": other.public("a")})),
            "JWT_HEADER (jwk)",
        ),
        (
            "jku",
            headed(json!({"jku": "https://evil.example"})),
            "JWT_HEADER (jku)",
        ),
        (
            "x5u",
            headed(json!({"x5u": "https://evil.example"})),
            "JWT_HEADER (x5u)",
        ),
        ("x5c", headed(json!({"x5c": ["MII"]})), "JWT_HEADER (x5c)"),
        (
            "crit",
            headed(json!({"crit": ["b64"], "b64": false})),
            "JWT_HEADER (crit)",
        ),
        (
            "typ of another end",
            headed(json!({"typ": "logout+jwt"})),
            "JWT_HEADER (typ)",
        ),
        (
            "typ of another type",
            headed(json!({"typ": 1})),
            "JWT_HEADER (typ)",
        ),
        (
            "kid twice",
            key.sign(r#"{"alg":"ES256","kid":"a","kid":"b"}"#, &good),
            "JWT_DUPLICATE",
        ),
        (
            "alg in two cases",
            headed(json!({"ALG": "none"})),
            "JWT_DUPLICATE",
        ),
        (
            "two keys of one kid",
            headed(json!({"kid": "two"})),
            "JWT_KEY_AMBIGUOUS",
        ),
        (
            "long kid",
            headed(json!({"kid": "k".repeat(257)})),
            "JWT_HEADER (kid)",
        ),
        (
            "kid of another type",
            headed(json!({"kid": 1})),
            "JWT_HEADER (kid)",
        ),
        (
            "kid that is a path",
            headed(json!({"kid": "../a"})),
            "JWT_KEY_UNKNOWN",
        ),
        ("other key", other.token("a", &claims()), "JWT_SIGNATURE"),
        ("no signature", format!("{signed}."), "JWT_SIGNATURE"),
        (
            "other claims under the signature",
            format!("{signed}x"),
            "JWT_MALFORMED",
        ),
        (
            "aud of others",
            ours(json!({"aud": ["x", "y"]})),
            "JWT_AUDIENCE",
        ),
        ("aud of another", ours(json!({"aud": "x"})), "JWT_AUDIENCE"),
        (
            "aud that begins like ours",
            ours(json!({"aud": format!("{AUDIENCE}.evil")})),
            "JWT_AUDIENCE",
        ),
        (
            "aud in other case",
            ours(json!({"aud": AUDIENCE.to_uppercase()})),
            "JWT_AUDIENCE",
        ),
        (
            "no aud",
            ours(json!({"aud": null})),
            "JWT_CLAIM_MISSING (aud)",
        ),
        ("empty aud", ours(json!({"aud": []})), "JWT_AUDIENCE"),
        (
            "aud with a number",
            ours(json!({"aud": [AUDIENCE, 1]})),
            "JWT_CLAIM_TYPE (aud)",
        ),
        (
            "aud of another type",
            ours(json!({"aud": {"x": AUDIENCE}})),
            "JWT_CLAIM_TYPE (aud)",
        ),
        (
            "exp as text",
            ours(json!({"exp": ends.to_string()})),
            "JWT_CLAIM_TYPE (exp)",
        ),
        (
            "exp with a fraction",
            ours(json!({"exp": 1.8e9 + 0.5})),
            "JWT_CLAIM_TYPE (exp)",
        ),
        (
            "negative exp",
            ours(json!({"exp": -1})),
            "JWT_CLAIM_TYPE (exp)",
        ),
        (
            "no exp",
            ours(json!({"exp": null})),
            "JWT_CLAIM_MISSING (exp)",
        ),
        (
            "expired",
            ours(json!({"iat": NOW - 600, "exp": NOW})),
            "JWT_EXPIRED",
        ),
        (
            "nbf as text",
            ours(json!({"nbf": "1"})),
            "JWT_CLAIM_TYPE (nbf)",
        ),
        (
            "not yet valid",
            ours(json!({"nbf": NOW + 31})),
            "JWT_NOT_YET_VALID",
        ),
        (
            "within the leeway",
            ours(json!({"nbf": NOW + 30})),
            "oidc:ci#etl",
        ),
        (
            "made in the future",
            ours(json!({"iat": NOW + 31})),
            "JWT_NOT_YET_VALID",
        ),
        (
            "iat as text",
            ours(json!({"iat": "1"})),
            "JWT_CLAIM_TYPE (iat)",
        ),
        (
            "ten years",
            ours(json!({"exp": NOW + 10 * YEAR})),
            "JWT_LIFE_TOO_LONG",
        ),
        (
            "ten years, since ever",
            ours(json!({"iat": null, "exp": NOW + 10 * YEAR})),
            "JWT_LIFE_TOO_LONG",
        ),
        (
            "for ever",
            ours(json!({"exp": u64::MAX})),
            "JWT_LIFE_TOO_LONG",
        ),
        ("an hour", ours(json!({"exp": NOW + 3600})), "oidc:ci#etl"),
        (
            "issuer with a slash",
            ours(json!({"iss": format!("{ISSUER}/")})),
            "JWT_ISSUER",
        ),
        (
            "issuer in other case",
            ours(json!({"iss": ISSUER.to_uppercase()})),
            "JWT_ISSUER",
        ),
        ("no issuer", ours(json!({"iss": null})), "JWT_ISSUER"),
        (
            "issuer of another type",
            ours(json!({"iss": [ISSUER]})),
            "JWT_CLAIM_TYPE (iss)",
        ),
        (
            "no sub",
            ours(json!({"sub": null})),
            "JWT_CLAIM_MISSING (sub)",
        ),
        (
            "empty sub",
            ours(json!({"sub": ""})),
            "JWT_CLAIM_VALUE (sub)",
        ),
        (
            "sub twice",
            twice(&format!(r#"{{"sub":"etl","sub":"root",{rest}}}"#)),
            "JWT_DUPLICATE",
        ),
        (
            "sub in two cases",
            twice(&format!(r#"{{"sub":"etl","SUB":"root",{rest}}}"#)),
            "JWT_DUPLICATE",
        ),
        (
            "member of a member twice",
            twice(&format!(r#"{{"sub":"etl","x":{{"y":1,"y":2}},{rest}}}"#)),
            "JWT_DUPLICATE",
        ),
        ("claims that are no object", twice("[]"), "JWT_MALFORMED"),
        ("deep claims", twice(&"[".repeat(8_000)), "JWT_MALFORMED"),
        ("two parts", signed.clone(), "JWT_MALFORMED"),
        ("five parts", format!("{signed}.a.b.c"), "JWT_MALFORMED"),
        ("padding", format!("{signed}.YQ=="), "JWT_MALFORMED"),
        ("other alphabet", format!("{signed}.+/+/"), "JWT_MALFORMED"),
        (
            "bits after the end",
            format!("{signed}.YR"),
            "JWT_MALFORMED",
        ),
        (
            "a megabyte",
            ours(json!({"x": "x".repeat(1 << 20)})),
            "JWT_TOO_LONG",
        ),
        ("nothing", String::new(), "JWT_MALFORMED"),
    ] {
        assert_eq!(world.seen(&token).await, expected, "{case}");
        // Said once, and the same a second time.
        assert_eq!(world.seen(&token).await, expected, "{case}, again");
    }
}

#[tokio::test]
async fn token_of_another_tenant_is_refused() {
    let (tenant, other) = (
        "3f2504e0-4f89-11d3-9a0c-0305e82c3301",
        "00000000-0000-0000-0000-000000000001",
    );
    let key = Key::ec();
    let world = World::new(IdentitySettings {
        kind: Kind::Azure,
        tenant: tenant.to_owned(),
        ..settings()
    });
    world.network.show(&[key.public("a")]);
    let own = with(claims(), json!({"ver": "2.0", "tid": tenant, "oid": other}));
    let token = |more| key.token("a", &with(own.clone(), more));
    assert_eq!(
        world.seen(&token(json!({}))).await,
        format!("oidc:ci#{tenant}/{other}")
    );
    assert_eq!(
        world.seen(&token(json!({"tid": other}))).await,
        "JWT_CLAIM_VALUE (tid)"
    );
    assert_eq!(
        world.seen(&token(json!({"ver": "1.0"}))).await,
        "JWT_CLAIM_VALUE (ver)"
    );
}

#[tokio::test]
async fn identity_speaks_by_its_own_keys_only() {
    let network = Arc::new(Network::default());
    let (one, two, domain) = (Key::ec(), Key::ec(), Key::ec());
    let identity = |kind, issuer: &str, keys: &str, key: &Key| {
        network.answer(keys, &json!({"keys": [key.public("a")]}));
        let is_spiffe = kind == Kind::Spiffe;
        IdentitySettings {
            kind,
            issuer: issuer.to_owned(),
            jwks_uri: Some(keys.to_owned()),
            trust_domain: if is_spiffe {
                "acme.example".to_owned()
            } else {
                String::new()
            },
            ..settings()
        }
    };
    let (first, second) = ("https://one.example", "https://two.example");
    let identities = BTreeMap::from([
        (
            Id::from_static("one"),
            identity(Kind::Generic, first, "https://one.example/k", &one),
        ),
        (
            Id::from_static("two"),
            identity(Kind::Generic, second, "https://two.example/k", &two),
        ),
        (
            Id::from_static("mesh"),
            identity(Kind::Spiffe, "", "https://mesh.example/k", &domain),
        ),
    ]);
    let clock = Arc::new(ManualClock::at(Duration::from_secs(NOW)));
    let fetch = Arc::clone(&network);
    let verifier = Verifier::with_fetch(identities, clock, &Handle::current(), move |_| {
        Arc::clone(&fetch) as _
    });
    let id = "spiffe://acme.example/etl";
    for (key, claimed, expected) in [
        (&one, json!({"iss": first}), Ok("oidc:one#etl")),
        (&two, json!({"iss": second}), Ok("oidc:two#etl")),
        (&one, json!({"iss": second}), Err("JWT_SIGNATURE")),
        (&domain, json!({"iss": null, "sub": id}), Ok(id)),
        (
            &domain,
            json!({"iss": first, "sub": id}),
            Err("JWT_SIGNATURE"),
        ),
        (&one, json!({"iss": null, "sub": id}), Err("JWT_SIGNATURE")),
        (
            &one,
            json!({"iss": first, "sub": id}),
            Ok("oidc:one#spiffe:%2F%2Facme.example%2Fetl"),
        ),
        (&one, json!({"iss": ""}), Err("JWT_ISSUER")),
    ] {
        let token = key.token("a", &with(claims(), claimed.clone()));
        let verdict = verifier.verify(&token).await;
        let seen = match &verdict {
            Ok(verified) => Ok(verified.principal.as_str()),
            Err(refusal) => Err(refusal.as_str()),
        };
        assert_eq!(seen, expected, "{claimed}");
    }
}

#[tokio::test]
async fn callers_are_told_only_what_they_know() {
    let (key, other) = (Key::ec(), Key::ec());
    let world = World::new(settings());
    world.network.show(&[key.public("a")]);
    let expired = with(claims(), json!({"iat": NOW - 600, "exp": NOW - 1}));
    let reason = async |token: &str| {
        let refusal = world.verifier.verify(token).await.expect_err("refused");
        refusal.reason()
    };
    assert_eq!(
        reason(&key.token("a", &expired)).await,
        Reason::TokenExpired
    );
    // Whoever makes one up must not learn whether the issuer is one of ours.
    assert_eq!(
        reason(&other.token("a", &expired)).await,
        Reason::TokenInvalid
    );
    let foreign = with(expired, json!({"iss": "https://other.example"}));
    assert_eq!(
        reason(&other.token("a", &foreign)).await,
        Reason::TokenInvalid
    );
    let audience = with(claims(), json!({"aud": "x"}));
    assert_eq!(
        reason(&key.token("a", &audience)).await,
        Reason::TokenInvalid
    );
}

#[tokio::test]
async fn every_algorithm_with_a_key_of_its_issuer_works() {
    let (ec, ed, rsa) = (Key::ec(), Key::ed(), Key::rsa());
    let world = World::new(IdentitySettings {
        algorithms: vec![
            Algorithm::ES256,
            Algorithm::EdDSA,
            Algorithm::PS256,
            Algorithm::RS256,
        ],
        ..settings()
    });
    world
        .network
        .show(&[ec.public("ec"), ed.public("ed"), rsa.public("rsa")]);
    let good = claims().to_string();
    for token in [
        ec.token("ec", &claims()),
        ed.token("ed", &claims()),
        rsa.token("rsa", &claims()),
        rsa.sign(r#"{"alg":"PS256","kid":"rsa"}"#, &good),
    ] {
        assert_eq!(world.seen(&token).await, "oidc:ci#etl");
    }
    for (alg, expected) in [("PS256", "JWT_SIGNATURE"), ("EdDSA", "JWT_KEY_TYPE")] {
        let relabelled = rsa.token("rsa", &claims());
        let (_, rest) = relabelled.split_once('.').expect("three parts");
        let header = base64(json!({"alg": alg, "kid": "rsa"}).to_string());
        assert_eq!(
            world.seen(&format!("{header}.{rest}")).await,
            expected,
            "{alg}"
        );
    }
}

#[tokio::test]
async fn token_ends_with_its_own_time_though_it_is_remembered() {
    let key = Key::ec();
    let world = World::new(settings());
    world.network.show(&[key.public("a")]);
    let token = key.token("a", &claims());
    let verified = world.verifier.verify(&token).await.expect("genuine");
    let ends = verified
        .ends
        .duration_since(std::time::SystemTime::UNIX_EPOCH);
    assert_eq!(ends.expect("after 1970").as_secs(), NOW + 600);
    world.after(599);
    assert_eq!(world.seen(&token).await, "oidc:ci#etl");
    world.after(1);
    assert_eq!(world.seen(&token).await, "JWT_EXPIRED");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever is sent, the answer is a refusal.
    #[test]
    fn arbitrary_text_never_panics(
        text in ".{0,200}",
        header in prop_oneof![Just(r#"{"alg":"ES256","kid":"a"}"#.to_owned()), "\\PC{0,60}"],
        claims in prop_oneof![
            "\\PC{0,80}",
            (0_u64..=u64::MAX, "[ -~]{0,20}").prop_map(|(time, sub)| json!({
                "iss": ISSUER, "aud": AUDIENCE, "sub": sub, "exp": time, "iat": time,
            }).to_string()),
        ],
        bytes in proptest::collection::vec(any::<u8>(), 0..80),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(async {
            let world = World::new(settings());
            world.network.answer(crate::support::DISCOVERY_AT, &text);
            let made = format!("{}.{}.{}", base64(&header), base64(&claims), base64(&bytes));
            let binary = format!("{}.{}.{}", base64(&bytes), base64(&bytes), base64(&bytes));
            for token in [text.clone(), format!("{text}.{text}.{text}"), made, binary] {
                assert!(world.verifier.verify(&token).await.is_err(), "{token}");
            }
        });
    }
}
