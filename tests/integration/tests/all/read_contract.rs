//! What runners can rely on when they read values of other systems: one call for all of them, an
//! answer while the vault fails, and never one that they may not have.

use std::sync::Arc;
use std::time::Duration;

use claviger_backend::{Allow, Freshness, Limits};
use claviger_integration::{
    Client, Fault, FaultyBackend, FaultyVault, Options, PROJECT, Server, Verb, reason, text_payload,
};
use claviger_proto::v1;
use claviger_proto::v1::cache::State;
use claviger_proto::v1::freshness::Source;
use claviger_proto::v1::get_secret_response::Value;
use tokio::task::JoinSet;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::support::{
    checking, defining, delete, denied, fails, in_faulty, located, reading, replacing, secret,
};

/// The vault's limits; long enough that a call which hangs does so until the test ends it.
const LIMITS: Limits = Limits {
    timeout: Duration::from_secs(600),
    concurrent_calls: Some(8),
    calls_per_second: None,
    freshness: Freshness::DEFAULT,
};

const HERD: usize = 300;

fn seconds(seconds: i64) -> Option<prost_types::Duration> {
    Some(prost_types::Duration { seconds, nanos: 0 })
}

/// A daemon in front of a vault that others write to, with one secret in it, `key`.
async fn prepared() -> (Server, Client, Arc<FaultyBackend>) {
    let backend = FaultyBackend::shared();
    let vault = FaultyVault {
        id: "faulty",
        backend: Arc::clone(&backend),
        limits: LIMITS,
        allow: Allow::everything(),
    };
    let options = Options {
        vaults: vec![vault],
        ..Options::default()
    };
    let (server, client) = Server::prepared(options).await;
    backend.type_in("key", "first");
    client
        .put_definition(located(&secret("key"), in_faulty("key")))
        .await
        .unwrap();
    (server, client, backend)
}

type Answer = Result<v1::GetSecretResponse, Status>;

fn herd(client: &Client, readers: usize, request: &v1::GetSecretRequest) -> JoinSet<Answer> {
    let mut herd = JoinSet::new();
    for _ in 0..readers {
        let (client, request) = (client.clone(), request.clone());
        herd.spawn(async move { client.get_secret(request).await });
    }
    herd
}

/// The answers of so many readers at once.
async fn read_all(client: &Client, request: &v1::GetSecretRequest) -> Vec<Answer> {
    herd(client, HERD, request).join_all().await
}

fn text(answer: &v1::GetSecretResponse) -> &str {
    match &answer.value {
        Some(Value::Text(text)) => text,
        Some(Value::Data(_)) | None => "",
    }
}

fn freshness(answer: &v1::GetSecretResponse) -> &v1::Freshness {
    answer.freshness.as_ref().expect("always there")
}

async fn cache_of(client: &Client, name: &str, refresh: bool) -> State {
    let request = v1::CheckSecretDefinitionRequest {
        refresh,
        ..checking(name)
    };
    let checked = client.definitions().check_secret_definition(request).await;
    let cache = checked.unwrap().into_inner().cache.expect("always there");
    cache.state()
}

#[tokio::test]
async fn a_herd_makes_one_call_and_later_readers_none() {
    let (_server, client, backend) = prepared().await;
    let before = backend.count(Verb::Read);
    backend.set(Verb::Read, Fault::Hang);
    let request = reading(&secret("key"));
    let first = herd(&client, 1, &request);
    backend.entered(Verb::Read, before + 1).await;
    let others = herd(&client, HERD, &request);
    // The flight is nobody's own: the reader that caused it leaves.
    drop(first);
    backend.heal();
    for answer in others.join_all().await {
        let answer = answer.unwrap();
        assert_eq!(text(&answer), "first");
        assert!(!freshness(&answer).stale);
    }
    for answer in read_all(&client, &request).await {
        assert_eq!(freshness(&answer.unwrap()).served_from(), Source::Cache);
    }
    assert_eq!(backend.count(Verb::Read), before + 1);
    assert_eq!(cache_of(&client, &secret("key"), false).await, State::Fresh);
}

#[tokio::test]
async fn what_was_put_is_read_although_an_older_read_is_still_under_way() {
    let (_server, client, backend) = prepared().await;
    let name = secret("own");
    // Whole: a put has no document to read first.
    let location = v1::Location {
        whole: true,
        ..in_faulty("own")
    };
    let mut put = located(&name, location);
    put.payload = Some(text_payload("old"));
    client.put_definition(put).await.unwrap();
    assert_eq!(client.text(&name).await, "old");
    let before = backend.count(Verb::Read);
    client.rotate(&name, "new").await.unwrap();
    assert_eq!(client.text(&name).await, "new", "not the remembered one");

    // Of two flights the older one lands last.
    client.rotate(&name, "newer").await.unwrap();
    backend.set(Verb::Read, Fault::Hang);
    let waiting = herd(&client, 3, &reading(&name));
    backend.entered(Verb::Read, before + 2).await;
    client.rotate(&name, "newest").await.unwrap();
    backend.heal();
    for answer in waiting.join_all().await {
        let answer = answer.unwrap();
        assert!(["newer", "newest"].contains(&text(&answer)));
    }
    assert_eq!(client.text(&name).await, "newest");
    assert_eq!(client.text(&name).await, "newest");
}

#[tokio::test]
async fn a_change_of_a_version_or_a_definition_is_seen_at_once() {
    let (_server, client, backend) = prepared().await;
    let name = secret("own");
    let mut put = located(&name, in_faulty("own"));
    put.payload = Some(text_payload("value"));
    let version = client.put_definition(put).await.unwrap().version;
    assert_eq!(client.text(&name).await, "value");
    let disable = v1::DisableSecretVersionRequest {
        name: format!("{name}/versions/{version}"),
        ..Default::default()
    };
    let disabled = client.secrets().disable_secret_version(disable).await;
    disabled.unwrap();
    fails(
        client.get(&name).await,
        Code::FailedPrecondition,
        "VERSION_DISABLED",
    );
    let enable = v1::EnableSecretVersionRequest {
        name: format!("{name}/versions/{version}"),
        ..Default::default()
    };
    client
        .secrets()
        .enable_secret_version(enable)
        .await
        .unwrap();
    assert_eq!(client.text(&name).await, "value");

    backend.type_in("key", "first");
    backend.type_in("other", "second");
    assert_eq!(client.text(&secret("key")).await, "first");
    let mut put = located(&secret("key"), in_faulty("other"));
    put.update_mask = Some(prost_types::FieldMask {
        paths: vec!["location".to_owned()],
    });
    client.put_definition(put).await.unwrap();
    assert_eq!(client.text(&secret("key")).await, "second");
}

#[tokio::test]
async fn readers_that_wait_are_refused_when_their_permission_is_gone() {
    let (server, client, backend) = prepared().await;
    for is_token in [true, false] {
        let made = client.token(&[(v1::Role::Runner, PROJECT)]).await;
        let token = made.info.clone().unwrap();
        let reader = server.tcp().await.with_token(&made.token);
        let id = if is_token { "token" } else { "grant" };
        backend.type_in(id, "first");
        let definition = located(&secret(id), in_faulty(id));
        client.put_definition(definition).await.unwrap();
        server.clock.advance(Duration::from_secs(400));
        let before = backend.count(Verb::Read);
        backend.set(Verb::Read, Fault::Hang);
        let waiting = herd(&reader, HERD, &reading(&secret(id)));
        backend.entered(Verb::Read, before + 1).await;
        match is_token {
            true => {
                let request = v1::RevokeTokenRequest {
                    name: token.name,
                    cascade: false,
                };
                client.access().revoke_token(request).await.unwrap();
            }
            false => {
                for grant in crate::support::grants_of(&client, &token.principal).await {
                    crate::support::take_back(&client, &grant).await.unwrap();
                }
            }
        }
        backend.heal();
        for answer in waiting.join_all().await {
            let refused = answer.expect_err("no byte of it");
            let reason = reason(&refused);
            let wanted = ["ACCESS_DENIED", "TOKEN_REVOKED"];
            assert!(wanted.contains(&reason.as_str()), "{reason}");
        }
        assert_eq!(backend.count(Verb::Read), before + 1);
    }
}

#[tokio::test]
async fn definitions_that_share_a_document_share_the_call_and_no_verdict() {
    let (_server, client, backend) = prepared().await;
    backend.type_in("pair", r#"{"user":"u","password":"p"}"#);
    let at = |property: &str| v1::Location {
        property: property.to_owned(),
        ..in_faulty("pair")
    };
    for (id, property) in [("user", "user"), ("password", "password"), ("none", "none")] {
        let put = v1::PutSecretDefinitionRequest {
            skip_value_check: true,
            ..located(&secret(id), at(property))
        };
        client.put_definition(put).await.unwrap();
    }
    let before = backend.count(Verb::Read);
    backend.set(Verb::Read, Fault::Hang);
    let mut both = herd(&client, HERD, &reading(&secret("user")));
    backend.entered(Verb::Read, before + 1).await;
    for _ in 0..HERD {
        let client = client.clone();
        both.spawn(async move { client.get(&secret("password")).await });
    }
    backend.heal();
    let answers = both.join_all().await;
    let versions: Vec<_> = answers
        .into_iter()
        .map(|answer| answer.unwrap().version)
        .collect();
    assert!(versions.iter().all(|version| *version == versions[0]));
    for _ in 0..50 {
        assert_eq!(client.text(&secret("user")).await, "u");
        let refused = client.get(&secret("none")).await;
        fails(refused, Code::NotFound, "PROPERTY_NOT_FOUND");
    }
    assert_eq!(backend.count(Verb::Read), before + 1);
}

#[tokio::test]
async fn while_the_vault_is_away_the_old_value_is_served_and_marked() {
    use claviger_core::Reason;
    for (why, told) in [
        (Reason::VaultUnreachable, "VAULT_UNREACHABLE/CONNECTION"),
        (
            Reason::VaultCredentialsRejected,
            "VAULT_CREDENTIALS_REJECTED",
        ),
    ] {
        let (server, client, backend) = prepared().await;
        let request = reading(&secret("key"));
        let first = client.get_secret(request.clone()).await.unwrap();
        backend.set(Verb::Read, Fault::Fail(why));
        server.clock.advance(Duration::from_secs(300));
        let before = backend.count(Verb::Read);
        // Neither does a wall clock that is set.
        for (round, set) in [3_600, 86_400].into_iter().enumerate() {
            for answer in read_all(&client, &request).await {
                let answer = answer.unwrap();
                let freshness = freshness(&answer);
                assert!(freshness.stale);
                assert_eq!(freshness.stale_reason, told);
                assert_eq!(freshness.fetch_time, self::freshness(&first).fetch_time);
                let age = freshness.age.as_ref().unwrap().seconds;
                assert_eq!(age, 300 + 4 * i64::try_from(round).unwrap());
            }
            assert!(backend.count(Verb::Read) <= before + 1 + round);
            match round {
                0 => server.clock.set_back(Duration::from_secs(set)),
                _ => server.clock.set_forward(Duration::from_secs(set)),
            }
            server.clock.advance(Duration::from_secs(4));
        }
        assert_eq!(cache_of(&client, &secret("key"), false).await, State::Stale);
        server.clock.advance(Duration::from_secs(3600));
        let refused = fails(
            client.get(&secret("key")).await,
            Code::Unavailable,
            why.as_str(),
        );
        assert!(refused.get_details_retry_info().is_some());
        backend.heal();
        server.clock.advance(Duration::from_secs(60));
        assert_eq!(client.text(&secret("key")).await, "first");
    }
}

#[tokio::test]
async fn what_operators_do_during_an_outage_takes_no_value_away() {
    use claviger_core::Reason;
    let (server, client, backend) = prepared().await;
    let name = secret("key");
    client
        .put_definition(located(&secret("other"), in_faulty("key")))
        .await
        .unwrap();
    assert_eq!(client.text(&name).await, "first");
    for verb in [Verb::Read, Verb::Write] {
        backend.set(verb, Fault::Fail(Reason::VaultUnreachable));
    }
    let put = client.rotate(&name, "second").await;
    fails(put, Code::Unavailable, "VAULT_UNREACHABLE");
    let mut longer = client.definition(&name).await.unwrap();
    longer.freshness = Some(v1::FreshnessPolicy {
        max_stale: seconds(86_400),
        ..Default::default()
    });
    client.put_definition(replacing(longer)).await.unwrap();
    // Of another definition that leads there.
    delete(&client, &secret("other"), false).await.unwrap();
    for _ in 0..2 {
        let served = client.get_secret(reading(&name)).await.unwrap();
        assert_eq!(text(&served), "first");
        assert!(freshness(&served).stale);
        server.clock.advance(Duration::from_secs(7200));
    }
    backend.heal();
    assert_eq!(client.text(&name).await, "first");
}

#[tokio::test]
async fn a_refusal_of_the_vault_takes_the_old_value_away() {
    use claviger_core::Reason;
    for why in [
        Reason::VaultAccessDenied,
        Reason::SecretNotFound,
        Reason::VersionDisabled,
        Reason::SecretDeleted,
    ] {
        let (server, client, backend) = prepared().await;
        let name = secret("key");
        assert_eq!(client.text(&name).await, "first");
        backend.set(Verb::Read, Fault::Fail(why));
        server.clock.advance(Duration::from_secs(300));
        let refused = client.get(&name).await.expect_err("refused");
        assert_eq!(reason(&refused), why.as_str());
        assert_eq!(cache_of(&client, &name, false).await, State::Negative);
        // Not even when it is away after that.
        backend.set(Verb::Read, Fault::Fail(Reason::VaultUnreachable));
        server.clock.advance(Duration::from_secs(2));
        let refused = client.get(&name).await;
        let refused = fails(refused, Code::Unavailable, "VAULT_UNREACHABLE");
        assert!(refused.get_details_retry_info().is_some());
    }
}

#[tokio::test]
async fn a_reader_can_want_it_newer_but_not_more_than_once_a_second() {
    let (server, client, backend) = prepared().await;
    let request = v1::GetSecretRequest {
        max_age: seconds(0),
        ..reading(&secret("key"))
    };
    client.get_secret(request.clone()).await.unwrap();
    let before = backend.count(Verb::Read);
    for passed in 0..5 {
        for answer in read_all(&client, &request).await {
            answer.unwrap();
        }
        assert_eq!(backend.count(Verb::Read), before + passed);
        server.clock.advance(Duration::from_secs(1));
    }
    let negative = v1::GetSecretRequest {
        max_age: seconds(-1),
        ..request
    };
    let refused = client.get_secret(negative).await;
    fails(refused, Code::InvalidArgument, "FIELD_INVALID");
}

#[tokio::test]
async fn a_missing_secret_costs_one_call_per_window_and_a_refresh_finds_it() {
    let (server, client, backend) = prepared().await;
    let name = secret("none");
    let put = located(&name, in_faulty("none"));
    client.put_definition(put).await.unwrap();
    server.clock.advance(Duration::from_secs(10));
    let before = backend.count(Verb::Read);
    for windows in 1..4 {
        for answer in read_all(&client, &reading(&name)).await {
            fails(answer, Code::NotFound, "SECRET_NOT_FOUND");
        }
        assert_eq!(backend.count(Verb::Read), before + windows);
        server.clock.advance(Duration::from_secs(2));
    }
    fails(client.get(&name).await, Code::NotFound, "SECRET_NOT_FOUND");
    backend.type_in("none", "now");
    let refused = client.get(&name).await;
    fails(refused, Code::NotFound, "SECRET_NOT_FOUND");
    assert_eq!(cache_of(&client, &name, true).await, State::Fresh);
    assert_eq!(client.text(&name).await, "now");
}

#[tokio::test]
async fn one_caller_cannot_take_all_places_of_a_vault() {
    let (server, client, backend) = prepared().await;
    let made = client.token(&[(v1::Role::Runner, PROJECT)]).await;
    let greedy = server.tcp().await.with_token(&made.token);
    let mut greeds = Vec::new();
    for count in 0..40 {
        let id = format!("greedy-{count}");
        let put = v1::PutSecretDefinitionRequest {
            skip_value_check: true,
            ..located(&secret(&id), in_faulty(&id))
        };
        client.put_definition(put).await.unwrap();
        greeds.push(id);
    }
    let before = backend.count(Verb::Read);
    backend.set(Verb::Read, Fault::Hang);
    let mut hanging = JoinSet::new();
    for id in greeds {
        let greedy = greedy.clone();
        hanging.spawn(async move { greedy.get(&secret(&id)).await });
    }
    // Half of the places.
    backend.entered(Verb::Read, before + 4).await;
    let other = herd(&client, 1, &reading(&secret("key")));
    backend.entered(Verb::Read, before + 5).await;
    backend.heal();
    for answer in other.join_all().await {
        assert_eq!(text(&answer.unwrap()), "first");
    }
    for answer in hanging.join_all().await {
        fails(answer, Code::NotFound, "SECRET_NOT_FOUND");
    }
}

#[tokio::test]
async fn a_definition_says_how_old_its_values_may_be() {
    let (server, client, backend) = prepared().await;
    let name = secret("key");
    let policy = |max_age, max_stale| v1::PutSecretDefinitionRequest {
        definition: Some(v1::SecretDefinition {
            name: name.clone(),
            freshness: Some(v1::FreshnessPolicy {
                max_age: seconds(max_age),
                max_stale: seconds(max_stale),
            }),
            ..Default::default()
        }),
        update_mask: Some(prost_types::FieldMask {
            paths: vec!["freshness".to_owned()],
        }),
        ..defining(&name)
    };
    for (max_age, max_stale, field) in [
        (0, 0, "max_age"),
        (86_401, 0, "max_age"),
        (1, 604_801, "max_stale"),
        (1, -1, "max_stale"),
    ] {
        let refused = client.put_definition(policy(max_age, max_stale)).await;
        let refused = fails(refused, Code::InvalidArgument, "FIELD_INVALID");
        let (violated, _) = claviger_integration::violation(&refused).unwrap();
        assert_eq!(violated, format!("definition.freshness.{field}"));
    }
    let put = client.put_definition(policy(10, 0)).await.unwrap();
    let freshness = put.definition.unwrap().freshness.unwrap();
    assert_eq!(freshness.max_age, seconds(10));
    assert_eq!(freshness.max_stale, seconds(0));
    assert_eq!(client.text(&name).await, "first");
    backend.type_in("key", "second");
    server.clock.advance(Duration::from_secs(7));
    assert_eq!(client.text(&name).await, "first");
    server.clock.advance(Duration::from_secs(3));
    assert_eq!(client.text(&name).await, "second");
    backend.set(
        Verb::Read,
        Fault::Fail(claviger_core::Reason::VaultUnreachable),
    );
    server.clock.advance(Duration::from_secs(10));
    fails(
        client.get(&name).await,
        Code::Unavailable,
        "VAULT_UNREACHABLE",
    );
}

#[tokio::test]
async fn a_value_that_the_reader_has_is_not_sent_again() {
    let (_server, client, _backend) = prepared().await;
    let first = client.get(&secret("key")).await.unwrap();
    assert!(!first.not_modified);
    let request = v1::GetSecretRequest {
        if_version_not: first.version.clone(),
        ..reading(&secret("key"))
    };
    let again = client.get_secret(request.clone()).await.unwrap();
    assert!(again.not_modified && again.value.is_none());
    assert_eq!(again.version, first.version);
    let other = v1::GetSecretRequest {
        if_version_not: "another".to_owned(),
        ..request
    };
    let other = client.get_secret(other).await.unwrap();
    assert_eq!((other.not_modified, text(&other)), (false, "first"));
}

#[tokio::test]
async fn a_batch_answers_each_name_by_itself() {
    use v1::batch_get_secrets_response::result::Answer;
    let (server, client, backend) = prepared().await;
    client.put(&secret("own"), "managed").await.unwrap();
    for count in 0..60 {
        let id = format!("long-{count}");
        backend.type_in(&id, &"x".repeat(60 * 1024));
        let put = located(&secret(&id), in_faulty(&id));
        client.put_definition(put).await.unwrap();
    }
    let made = client.token(&[(v1::Role::Runner, &secret("own"))]).await;
    let limited = server.tcp().await.with_token(&made.token);
    let batch = async |client: &Client, names: &[String]| {
        let request = v1::BatchGetSecretsRequest {
            names: names.to_vec(),
            ..Default::default()
        };
        let reply = client.secrets().batch_get_secrets(request).await;
        reply.map(|reply| reply.into_inner().results)
    };
    let reasons = |results: &[v1::batch_get_secrets_response::Result]| -> Vec<String> {
        let reason = |result: &v1::batch_get_secrets_response::Result| match &result.answer {
            Some(Answer::Secret(_)) => "OK".to_owned(),
            Some(Answer::Error(error)) => error.reason.clone(),
            None => String::new(),
        };
        results.iter().map(reason).collect()
    };

    let before = server.audit_lines().len();
    let names = [secret("own"), secret("key"), secret("own"), secret("none")];
    let results = batch(&limited, &names).await.unwrap();
    assert_eq!(reasons(&results), ["OK", "ACCESS_DENIED", "ACCESS_DENIED"]);
    assert_eq!(results[1].name, names[1]);
    let Some(Answer::Error(error)) = &results[1].answer else {
        panic!("denied")
    };
    assert_eq!(error.code, i32::from(Code::PermissionDenied));
    assert!(error.message.contains("secrets.get"), "{}", error.message);
    // One record each.
    assert_eq!(server.audit_lines().len(), before + 3);

    let names: Vec<_> = (0..60)
        .map(|count| secret(&format!("long-{count}")))
        .collect();
    let results = batch(&client, &names).await.unwrap();
    let reasons = reasons(&results);
    let count = |wanted: &str| reasons.iter().filter(|reason| *reason == wanted).count();
    // Whichever came first: nothing is kept that has no room.
    let fitting = 3 * 1024 * 1024 / (60 * 1024 + 100);
    assert_eq!(count("OK"), fitting);
    assert_eq!(count("RESPONSE_TOO_LARGE"), 60 - fitting);

    // Each fails as it does alone.
    let wrong = v1::SecretDefinition {
        kind: v1::secret_definition::Kind::StripeApiKey.into(),
        ..located(&secret("wrong"), in_faulty("wrong"))
            .definition
            .unwrap()
    };
    client.put_definition(replacing(wrong)).await.unwrap();
    let gone = located(&secret("gone"), in_faulty("gone"));
    client.put_definition(gone).await.unwrap();
    backend.type_in("wrong", "pk_test_canary");
    server.clock.advance(Duration::from_secs(2));
    let wrong = client.get(&secret("wrong")).await;
    fails(wrong, Code::FailedPrecondition, "VALUE_WRONG_KIND");
    backend.set(
        Verb::Read,
        Fault::Fail(claviger_core::Reason::VaultUnreachable),
    );
    let names = [secret("wrong"), secret("gone"), secret("none")];
    for result in batch(&client, &names).await.unwrap() {
        let Some(Answer::Error(error)) = result.answer else {
            panic!("{}: refused", result.name)
        };
        let alone = client.get(&result.name).await.expect_err("refused");
        assert_eq!(error.reason, reason(&alone));
        assert_eq!(error.code, i32::from(alone.code()), "{}", error.reason);
        let delay = alone.get_details_retry_info();
        assert_eq!(
            error.retry_after.is_some(),
            delay.is_some(),
            "{}",
            error.reason
        );
    }

    let many: Vec<_> = (0..101).map(|count| secret(&count.to_string())).collect();
    for (names, why) in [
        (&many[..], "FIELD_INVALID"),
        (&[], "FIELD_INVALID"),
        (&[secret("own"), "no name".to_owned()], "NAME_INVALID"),
    ] {
        let refused = batch(&client, names).await;
        fails(refused, Code::InvalidArgument, why);
    }
    let nobody = server.tcp().await.with_token(&made.token);
    denied(nobody.get_secret(reading(&secret("key"))).await);
}

#[tokio::test]
async fn a_vault_that_fails_for_everybody_is_left_alone_but_for_one_call_at_a_time() {
    use claviger_core::Reason;
    for (why, failures) in [
        (Reason::VaultUnreachable, 5),
        (Reason::VaultCredentialsRejected, 2),
    ] {
        let (server, client, backend) = prepared().await;
        let ids: Vec<_> = (0..10).map(|count| format!("cold-{count}")).collect();
        for id in &ids {
            backend.type_in(id, "value");
            let put = located(&secret(id), in_faulty(id));
            client.put_definition(put).await.unwrap();
        }
        server.clock.advance(Duration::from_secs(86_400));
        let read_each = async || {
            let before = backend.count(Verb::Read);
            for id in &ids {
                let refused = client.get(&secret(id)).await.expect_err("away");
                assert_eq!(reason(&refused), why.as_str());
            }
            backend.count(Verb::Read) - before
        };
        backend.set(Verb::Read, Fault::Fail(why));
        assert_eq!(read_each().await, failures);
        server.clock.advance(Duration::from_secs(1));
        assert_eq!(read_each().await, 1, "a probe");
        backend.heal();
        server.clock.advance(Duration::from_secs(4));
        for id in &ids {
            assert_eq!(client.text(&secret(id)).await, "value");
        }
    }
}
