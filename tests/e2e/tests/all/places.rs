//! A place that cannot be is refused when it is written down, with the field and the remedy, and the
//! vault hears nothing of it.

use std::collections::HashMap;

use claviger_e2e::{assert_refused, reason, text_of};
use claviger_proto::v1;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::caller::{Caller, definition, new_value, part, pinned, place, put_of};
use crate::peers::{OBJECTS, Snowflake, aws, azure, sealed};
use crate::stage::{Peer, Stage, VAULT};

const ARN: &str = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:";

/// Places, the project's for the environment `prod` and where there is none, each with its remedy.
type Bad = Vec<(v1::Location, &'static str)>;

/// The request is at fault, in this field and for this reason.
#[track_caller]
pub(crate) fn assert_at_fault<T: std::fmt::Debug>(
    put: Result<T, Status>,
    (field, expected, remedy): (&str, &str, &str),
) {
    let status = put.expect_err(remedy);
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    assert!(status.message().contains(remedy), "{remedy}: {status:?}");
    let told = reason(&status);
    let is_expected = expected.is_empty() || told.as_deref() == Some(expected);
    assert!(is_expected, "{status:?}");
    let details = status.get_error_details();
    let violations = details.bad_request().expect("the request is at fault");
    let violation = &violations.field_violations[0];
    assert_eq!(violation.field, field, "{violation:?}");
}

/// Both ways to write a location down, with the field that holds it.
fn placed(there: &v1::Location, own: v1::Location) -> [(&'static str, v1::SecretDefinition); 2] {
    let overridden = v1::SecretDefinition {
        environments: HashMap::from([("prod".to_owned(), there.clone())]),
        ..definition("projects/acme/secrets/s", own)
    };
    let plain = definition("projects/acme/secrets/s", there.clone());
    [
        ("definition.location", plain),
        ("definition.environments", overridden),
    ]
}

/// Each is refused in either field, with and without a value, and also where nothing is to be done.
async fn assert_refused_unasked(peer: Box<dyn Peer>, reason: &str, bad: Bad) {
    let config = peer.vault_for("acme", &["*"]);
    let Stage { caller, peer, .. } = &Stage::start_with(peer, &config).await;
    caller.become_operator().await;
    let environment = v1::Environment {
        default_vault: VAULT.to_owned(),
        ..Default::default()
    };
    caller.put_project("acme", &[("prod", environment)]).await;
    for (there, remedy) in bad {
        for (field, definition) in placed(&there, peer.place("own")) {
            for (validate_only, text) in [(true, None), (false, None), (false, Some("v"))] {
                let put = caller.put(v1::PutSecretDefinitionRequest {
                    validate_only,
                    ..put_of(definition.clone(), text)
                });
                assert_at_fault(put.await, (field, reason, remedy));
            }
        }
    }
    assert_eq!(peer.asked(), 0, "nobody was asked");
}

/// Places in the vault, by the secret's name.
fn names(all: &[(&str, &'static str)]) -> Bad {
    let all = all.iter();
    all.map(|(name, remedy)| (place(VAULT, name), *remedy))
        .collect()
}

#[tokio::test]
async fn place_that_cannot_be_in_aws_is_refused_at_the_put() {
    let arn = |name: &str| format!("{ARN}{name}");
    let mut bad = names(&[
        ("a b", "use only 0-9"),
        ("é", "use only 0-9"),
        ("a?b", "use only 0-9"),
        (&"x".repeat(513), "512 characters"),
        (&arn("stripe"), "partial ARN"),
        (&arn("prod/stripe"), "partial ARN"),
        (&arn("stripe-AbCdEf:apiKey::"), "`property`"),
        (
            "arn:aws:ssm:eu-west-1:123456789012:parameter/x",
            "not the ARN of a secret",
        ),
    ]);
    bad.extend([
        (place("managed", "x"), "leave `secret` out"),
        (part(place("managed", ""), "key"), "leave `property` out"),
        (pinned(place("managed", ""), "1"), "leave `version` out"),
    ]);
    assert_refused_unasked(Box::new(aws()), "LOCATION_INVALID", bad).await;
}

#[tokio::test]
async fn label_that_aws_does_not_take_is_refused_at_the_put() {
    let labels = ["x".repeat(257), "a\nb".to_owned()];
    let bad = labels.map(|label| (pinned(place(VAULT, "s"), &label), ""));
    assert_refused_unasked(Box::new(aws()), "", bad.into()).await;
}

#[tokio::test]
async fn name_that_cannot_be_in_azure_is_refused_at_the_put() {
    let peer = Box::new(azure());
    let bad = names(&[
        ("a_b", "no underscore"),
        ("a(b)", "parenthesis"),
        ("a/b", "slash"),
        ("a.b", "use only 0-9"),
        ("a b", "use only 0-9"),
        ("é", "use only 0-9"),
        ("..", "use only 0-9"),
        ("%2e%2e", "use only 0-9"),
        ("a?b", "use only 0-9"),
        ("a/../../keys/k", "use only 0-9"),
        (&"x".repeat(128), "127 characters"),
    ]);
    assert_refused_unasked(peer, "LOCATION_INVALID", bad).await;
}

#[tokio::test]
async fn version_that_cannot_be_in_azure_is_refused_at_the_put_and_at_the_read() {
    let Stage { caller, peer, .. } = &Stage::start(Box::new(azure())).await;
    caller.registered("good", peer.place("good")).await;
    for version in ["..", "../x", "latest", "0123", "ABCDEF"] {
        let put = caller
            .register("pinned", pinned(peer.place("good"), version))
            .await;
        assert_eq!(put.expect_err("none of its").code(), Code::InvalidArgument);
        caller.get("good", version).await.expect_err("nor here");
    }
    assert_eq!(peer.asked(), 0, "nobody was asked");
    assert_eq!(peer.fake.other_hosts(), []);
}

#[tokio::test]
async fn place_that_cannot_be_in_snowflake_is_refused_at_the_put() {
    for peer in [Snowflake::start(OBJECTS), sealed()] {
        let mut bad = names(&[(&"x".repeat(256), "")]);
        let there = || place(VAULT, "acme");
        bad.push((part(there(), "apiKey"), "vault vault-eu"));
        bad.push((part(there(), "apiKey"), "leave `property` out"));
        if !peer.settings().contains("sealed_table") {
            bad.push((pinned(there(), "1"), "vault vault-eu"));
            bad.push((pinned(there(), "1"), "leave `version` out"));
        }
        assert_refused_unasked(Box::new(peer), "LOCATION_INVALID", bad).await;
    }
    let bad = names(&[("a\nb", "control character")]);
    assert_refused_unasked(Box::new(sealed()), "FIELD_INVALID", bad).await;
}

/// Where a definition can point at a secret of another project.
fn pointing(name: &str, secret: &str) -> [v1::SecretDefinition; 4] {
    let (own, there) = (|| place(VAULT, "b/own"), || place(VAULT, secret));
    let with = |environments: &[(&str, v1::Location)], location| {
        let environments = environments.iter().cloned();
        v1::SecretDefinition {
            environments: environments.map(|(id, one)| (id.to_owned(), one)).collect(),
            ..definition(name, location)
        }
    };
    [
        definition(name, there()),
        with(&[("prod", there())], own()),
        v1::SecretDefinition {
            environment_fallback: true,
            ..with(&[("dev", own())], there())
        },
        // No environment uses the default location yet.
        with(&[("dev", own()), ("prod", own())], there()),
    ]
}

/// A vault in which acme has its names and b some.
fn shared_with_b(peer: &impl Peer, names_of_b: &[&str]) -> String {
    let rule_of_b = format!("}}, {{ project = \"b\", names = {names_of_b:?} }}]");
    peer.vault_for("acme", &["acme/*"])
        .replacen("}]", &rule_of_b, 1)
}

/// A token of an operator of `projects/b`, whose environments are in the vault.
async fn operator_of_b(admin: &Caller) -> String {
    admin.become_operator().await;
    let environment = || v1::Environment {
        default_vault: VAULT.to_owned(),
        ..Default::default()
    };
    let environments = [("dev", environment()), ("prod", environment())];
    admin.put_project("acme", &[]).await;
    admin.put_project("b", &environments).await;
    admin
        .token("b", &[v1::Role::Operator, v1::Role::Runner])
        .await
}

#[tokio::test]
async fn operator_of_another_project_gets_nowhere_near_a_project_s_names() {
    let peer = Box::new(aws());
    let arn = peer.create("acme/stripe", "of acme");
    let config = shared_with_b(&*peer, &["b/*"]);
    let stage = &Stage::start_with(peer, &config).await;
    let (caller, peer, daemon) = (&stage.caller, &stage.peer, &stage.daemon);
    let token = operator_of_b(caller).await;
    let of_b = Caller::with_token(daemon, &token).await;
    let (name, before) = ("projects/b/secrets/stripe", peer.asked());
    for secret in ["acme/stripe", &arn, "acme/new", "acme"] {
        for definition in pointing(name, secret) {
            for (text, adopt) in [(None, false), (Some("mine"), false), (Some("mine"), true)] {
                let put = of_b.put(v1::PutSecretDefinitionRequest {
                    adopt,
                    ..put_of(definition.clone(), text)
                });
                assert_refused(put.await, "LOCATION_NOT_ALLOWED");
            }
        }
    }
    assert_eq!(peer.asked(), before, "AWS was not asked");
    assert_eq!(peer.value("acme/stripe").as_deref(), Some("of acme"));
    // The same caller reaches its own names, so it was the name that was refused.
    let own = of_b.register(name, place(VAULT, "b/own")).await;
    own.expect("allowed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_taken_back_are_out_of_reach_of_what_was_registered_before() {
    let peer = Box::new(aws());
    for secret in ["acme/stripe", "b/own"] {
        peer.set(secret, &format!("value of {secret}"));
    }
    let config = shared_with_b(&*peer, &["b/*", "acme/*"]);
    let stage = Stage::start_with(peer, &config).await;
    let token = operator_of_b(&stage.caller).await;
    let of_b = Caller::with_token(&stage.daemon, &token).await;
    let picked = async |caller: &Caller| -> Vec<String> {
        let listed = caller.browse(VAULT, "b", 0).await.expect("listed");
        listed.into_iter().map(|one| one.secret).collect()
    };
    let names = ["way-0", "way-1", "way-2"].map(|id| format!("projects/b/secrets/{id}"));
    for (way, name) in names.iter().enumerate() {
        let definition = pointing(name, "acme/stripe")[way].clone();
        let put = of_b.put(put_of(definition, None)).await;
        put.expect("allowed so far");
        let read = of_b.get_in(name, "prod").await.expect("allowed so far");
        assert_eq!(text_of(read), "value of acme/stripe");
    }
    assert_eq!(picked(&of_b).await, ["acme/stripe", "b/own"]);

    let config = shared_with_b(&*stage.peer, &["b/*"]);
    let Stage { peer, daemon, .. } = &stage.restart(&config).await;
    let of_b = Caller::with_token(daemon, &token).await;
    assert_eq!(picked(&of_b).await, ["b/own"]);
    let before = peer.asked();
    for name in &names {
        let refused = of_b.get_in(name, "prod").await;
        assert_refused(refused, "LOCATION_NOT_ALLOWED");
        for adopt in [false, true] {
            let refused = of_b.put_value(v1::PutSecretValueRequest {
                environment: "prod".to_owned(),
                adopt,
                ..new_value(name, "mine")
            });
            assert_refused(refused.await, "LOCATION_NOT_ALLOWED");
        }
    }
    assert_eq!(peer.asked(), before, "AWS was not asked");
    let read = of_b.get_in(&names[2], "dev").await.expect("its own");
    assert_eq!(text_of(read), "value of b/own");
    assert!(peer.asked() > before, "its requests are seen");
}
