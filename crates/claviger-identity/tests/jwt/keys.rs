//! Keys that come, go, and cannot be had.

use std::collections::BTreeMap;
use std::fs;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use claviger_core::{Id, ManualClock};
use claviger_identity::{IdentitySettings, Verifier};
use serde_json::json;
use tokio::runtime::Handle;
use tokio::task::JoinSet;

use crate::support::{DISCOVERY_AT, KEYS_AT, Key, NOW, Network, World, claims, settings, with};

const HOUR: u64 = 3600;
const GOOD: &str = "oidc:ci#etl";

/// A token made `at` seconds after the start, no other one like it.
fn at(key: &Key, kid: &str, at: u64) -> String {
    let claims = with(
        claims(),
        json!({"iat": NOW + at, "exp": NOW + at + 600, "jti": at}),
    );
    key.token(kid, &claims)
}

#[tokio::test]
async fn flood_of_unknown_key_ids_is_one_question() {
    let key = Key::ec();
    let world = Arc::new(World::new(settings()));
    world.network.show(&[key.public("a")]);
    assert_eq!(world.seen(&at(&key, "a", 0)).await, GOOD);
    assert_eq!(
        (
            world.network.asked(DISCOVERY_AT),
            world.network.asked(KEYS_AT)
        ),
        (1, 1)
    );
    for asked in 2..4 {
        world.after(60);
        let mut flood = JoinSet::new();
        for index in 0..2_048 {
            let (world, token) = (Arc::clone(&world), at(&key, &format!("k{index}"), 0));
            flood.spawn(async move { world.seen(&token).await });
        }
        let refused = flood.join_all().await;
        assert!(
            refused.iter().all(|seen| seen == "JWT_KEY_UNKNOWN"),
            "{refused:?}"
        );
        assert_eq!(world.network.asked(KEYS_AT), asked);
    }
}

#[tokio::test]
async fn token_that_is_no_issuers_of_ours_asks_nobody() {
    let key = Key::ec();
    let world = World::new(settings());
    world.network.show(&[key.public("a")]);
    let foreign = with(claims(), json!({"iss": "https://evil.example"}));
    assert_eq!(world.seen(&key.token("a", &foreign)).await, "JWT_ISSUER");
    let rsa = Key::rsa().token("a", &claims());
    assert_eq!(world.seen(&rsa).await, "JWT_ALGORITHM");
    assert_eq!(world.network.asked(DISCOVERY_AT), 0);
}

#[tokio::test]
async fn new_key_works_within_one_question_and_removed_one_stops() {
    let (old, new) = (Key::ec(), Key::ec());
    let world = World::new(settings());
    world.network.show(&[old.public("old")]);
    let by_old = at(&old, "old", 0);
    assert_eq!(world.seen(&by_old).await, GOOD);
    world.network.show(&[new.public("new")]);
    world.after(60);
    // Nobody has asked the issuer yet.
    assert_eq!(world.seen(&by_old).await, GOOD);
    assert_eq!(world.seen(&at(&new, "new", 60)).await, GOOD);
    assert_eq!(world.network.asked(KEYS_AT), 2);
    // Remembered, and yet no longer believed.
    assert_eq!(world.seen(&by_old).await, "JWT_KEY_UNKNOWN");
    assert_eq!(world.seen(&at(&old, "old", 60)).await, "JWT_KEY_UNKNOWN");
    assert_eq!(world.network.asked(KEYS_AT), 2);
}

#[tokio::test]
async fn same_id_with_another_key_is_another_key() {
    let (old, new) = (Key::ec(), Key::ec());
    let world = World::new(settings());
    world.network.show(&[old.public("a")]);
    let by_old = at(&old, "a", 0);
    assert_eq!(world.seen(&by_old).await, GOOD);
    world.network.show(&[new.public("a")]);
    // As long as nobody sends tokens the issuer is not asked, and then before one is believed.
    world.after(900);
    let later = with(claims(), json!({"iat": NOW + 900, "exp": NOW + 1500}));
    assert_eq!(world.seen(&old.token("a", &later)).await, "JWT_SIGNATURE");
    assert_eq!(world.seen(&new.token("a", &later)).await, GOOD);
    assert_eq!(world.network.asked(KEYS_AT), 2);
}

#[tokio::test]
async fn keys_are_asked_for_again_beside_the_calls() {
    let key = Key::ec();
    let world = World::new(settings());
    world.network.show(&[key.public("a")]);
    assert_eq!(world.seen(&at(&key, "a", 0)).await, GOOD);
    world.after(299);
    assert_eq!(world.seen(&at(&key, "a", 299)).await, GOOD);
    assert_eq!(world.network.asked(KEYS_AT), 1);
    world.after(1);
    assert_eq!(world.seen(&at(&key, "a", 300)).await, GOOD);
    // Its answer was not waited for, but comes.
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert_eq!(world.network.asked(KEYS_AT), 2);
}

#[tokio::test]
async fn token_is_judged_once_as_long_as_the_keys_are_the_same() {
    let (key, other) = (Key::ec(), Key::ec());
    let world = World::new(settings());
    let token = key.token("a", &with(claims(), json!({"exp": NOW + 3600})));
    let verified = async || world.verifier.verify(&token).await.expect("genuine");
    world.network.show(&[key.public("a")]);
    let first = verified().await;
    assert!(Arc::ptr_eq(&first, &verified().await));
    world.after(900);
    assert!(Arc::ptr_eq(&first, &verified().await));
    assert_eq!(world.network.asked(KEYS_AT), 2);
    world.network.show(&[key.public("a"), other.public("b")]);
    world.after(900);
    assert!(!Arc::ptr_eq(&first, &verified().await));
    assert_eq!(world.network.asked(KEYS_AT), 3);
}

#[tokio::test]
async fn issuer_that_is_down_leaves_known_keys_for_a_day_and_refuses_others() {
    let (key, other) = (Key::ec(), Key::ec());
    let world = World::new(settings());
    world.network.show(&[key.public("a")]);
    assert_eq!(world.seen(&at(&key, "a", 0)).await, GOOD);
    world.network.cut();
    for hours in [1, 23] {
        let now = hours * HOUR;
        world.after(if hours == 1 { HOUR } else { 22 * HOUR });
        assert_eq!(world.seen(&at(&key, "a", now)).await, GOOD, "{hours} h");
        assert_eq!(
            world.seen(&at(&other, "b", now)).await,
            "JWT_KEY_UNKNOWN",
            "{hours} h"
        );
    }
    world.after(HOUR);
    assert_eq!(
        world.seen(&at(&key, "a", 24 * HOUR)).await,
        "JWT_KEYS_UNAVAILABLE"
    );
    // Back again, and asked a minute after the last time at the earliest.
    world.network.show(&[key.public("a")]);
    world.after(59);
    assert_eq!(
        world.seen(&at(&key, "a", 24 * HOUR)).await,
        "JWT_KEYS_UNAVAILABLE"
    );
    world.after(1);
    assert_eq!(world.seen(&at(&key, "a", 24 * HOUR)).await, GOOD);
}

#[tokio::test]
async fn caller_that_goes_away_does_not_use_up_the_minute() {
    let (old, new) = (Key::ec(), Key::ec());
    let world = World::new(settings());
    world.network.show(&[old.public("old")]);
    assert_eq!(world.seen(&at(&old, "old", 0)).await, GOOD);
    world.network.show(&[new.public("new")]);
    world.after(60);
    // Polled once, which begins a question, and dropped.
    let unknown = at(&old, "made-up", 0);
    let mut call = Box::pin(world.seen(&unknown));
    let polled = poll_fn(|context| Poll::Ready(call.as_mut().poll(context))).await;
    assert!(polled.is_pending(), "{polled:?}");
    drop(call);
    assert_eq!(world.seen(&at(&new, "new", 60)).await, GOOD);
    assert_eq!(world.network.asked(KEYS_AT), 2);
}

#[tokio::test]
async fn answers_that_are_not_the_issuers_are_not_used() {
    let key = Key::ec();
    let keys = json!({"keys": [key.public("a")]});
    let many: Vec<_> = (0..101).map(|kid| key.public(&kid.to_string())).collect();
    let issuer = "https://issuer.example";
    let discovery =
        |issuer: &str, jwks: &str| json!({"issuer": issuer, "jwks_uri": jwks}).to_string();
    let twice = format!(r#"{{"issuer":"{issuer}","issuer":"{issuer}","jwks_uri":"{KEYS_AT}"}}"#);
    for (case, document, keys) in [
        (
            "another issuer",
            discovery("https://issuer.example/", KEYS_AT),
            keys.to_string(),
        ),
        (
            "another host",
            discovery(issuer, "https://evil.example/keys"),
            keys.to_string(),
        ),
        (
            "another port",
            discovery(issuer, "https://issuer.example:444/keys"),
            keys.to_string(),
        ),
        (
            "not encrypted",
            discovery(issuer, "http://issuer.example/keys"),
            keys.to_string(),
        ),
        (
            "a file",
            discovery(issuer, "file:///etc/passwd"),
            keys.to_string(),
        ),
        ("twice", twice, keys.to_string()),
        ("not JSON", "<html>".to_owned(), keys.to_string()),
        (
            "too many keys",
            discovery(issuer, KEYS_AT),
            json!({"keys": many}).to_string(),
        ),
        ("no keys", discovery(issuer, KEYS_AT), "{}".to_owned()),
        (
            "keys twice",
            discovery(issuer, KEYS_AT),
            r#"{"keys":[],"keys":[]}"#.to_owned(),
        ),
    ] {
        let world = World::new(settings());
        for at in [
            KEYS_AT,
            "https://evil.example/keys",
            "https://issuer.example:444/keys",
        ] {
            world.network.answer(at, &keys);
        }
        world.network.answer(DISCOVERY_AT, &document);
        assert_eq!(
            world.seen(&at(&key, "a", 0)).await,
            "JWT_KEYS_UNAVAILABLE",
            "{case}"
        );
        assert_eq!(
            world.network.asked("https://evil.example/keys"),
            0,
            "{case}"
        );
    }
}

#[tokio::test]
async fn keys_at_another_host_are_used_where_the_settings_say_so() {
    let key = Key::ec();
    let elsewhere = "https://keys.example/certs";
    let world = World::new(IdentitySettings {
        jwks_uri: Some(elsewhere.to_owned()),
        ..settings()
    });
    world
        .network
        .answer(elsewhere, &json!({"keys": [key.public("a")]}));
    assert_eq!(world.seen(&at(&key, "a", 0)).await, GOOD);
    assert_eq!(world.network.asked(DISCOVERY_AT), 0);
}

#[tokio::test]
async fn keys_for_other_ends_are_not_used() {
    let key = Key::ec();
    for more in [
        json!({"use": "enc"}),
        json!({"use": "x509-svid"}),
        json!({"use": "jwt-svid"}),
        json!({"key_ops": ["sign"]}),
        json!({"kty": "oct", "k": "c2VjcmV0"}),
        json!({"crv": "P-521"}),
        json!({"kid": 1}),
        json!({"alg": 1}),
    ] {
        let world = World::new(settings());
        world.network.show(&[with(key.public("a"), more.clone())]);
        assert_eq!(
            world.seen(&at(&key, "a", 0)).await,
            "JWT_KEY_UNKNOWN",
            "{more}"
        );
    }
    let world = World::new(settings());
    world
        .network
        .show(&[with(key.public("a"), json!({"alg": "ES384"}))]);
    assert_eq!(world.seen(&at(&key, "a", 0)).await, "JWT_KEY_TYPE");
    // One key needs no id.
    let good = json!({"use": "sig", "key_ops": ["verify"], "alg": "ES256"});
    world.after(60);
    world.network.show(&[with(key.public("a"), good)]);
    assert_eq!(world.seen(&at(&key, "other", 60)).await, "JWT_KEY_UNKNOWN");
    assert_eq!(
        world
            .seen(&key.sign(r#"{"alg":"ES256"}"#, &claims().to_string()))
            .await,
        GOOD
    );
}

#[tokio::test]
async fn file_of_keys_is_read_again_when_it_has_changed() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("jwks.json");
    let (old, new) = (Key::ec(), Key::ec());
    let clock = Arc::new(ManualClock::at(Duration::from_secs(NOW)));
    let network = Arc::new(Network::default());
    let fetch = Arc::clone(&network);
    let identity = IdentitySettings {
        jwks_file: Some(file.clone()),
        ..settings()
    };
    let verifier = Verifier::with_fetch(
        BTreeMap::from([(Id::from_static("ci"), identity)]),
        Arc::clone(&clock) as _,
        &Handle::current(),
        move |_| Arc::clone(&fetch) as _,
    );
    let is_good = async |token: String| verifier.verify(&token).await.is_ok();
    let write = |key: &Key| {
        let keys = json!({"keys": [key.public("a")]});
        fs::write(&file, keys.to_string()).expect("writes");
    };
    assert!(!is_good(at(&old, "a", 0)).await, "no file yet");
    write(&old);
    clock.advance(Duration::from_secs(1));
    assert!(is_good(at(&old, "a", 0)).await);
    write(&new);
    clock.advance(Duration::from_secs(5));
    assert!(!is_good(at(&old, "a", 0)).await);
    assert!(is_good(at(&new, "a", 0)).await);
    // Garbage in its place: the old ones stay.
    fs::write(&file, "{").expect("writes");
    clock.advance(Duration::from_secs(5));
    assert!(is_good(at(&new, "a", 1)).await);
    fs::write(&file, "x".repeat(64 * 1024 + 1)).expect("writes");
    clock.advance(Duration::from_secs(5));
    assert!(is_good(at(&new, "a", 2)).await);
    assert_eq!(network.asked(DISCOVERY_AT), 0);
}
