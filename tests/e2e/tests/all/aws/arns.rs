//! Names, ARNs and labels: the secret that is meant is fetched, or none.

use claviger_e2e::assert_refused;
use serde_json::json;

use crate::caller::{assert_told, pinned, place, reasons};
use crate::peers::{ACCOUNT, Aws, aws};
use crate::places::assert_at_fault;
use crate::stage::{Peer, SECRET, Stage, VAULT};

#[tokio::test]
async fn names_that_look_alike_lead_to_secrets_of_their_own() {
    let Stage { caller, peer, .. } = &Stage::start(Box::new(aws())).await;
    let names = ["prod", "prod-stripe", "a.b/c.d", "/a/b", "a/b", "_+=.@!-"];
    for name in names {
        peer.set(name, &format!("value of {name}"));
    }
    for (number, name) in names.into_iter().enumerate() {
        for (how, secret) in peer.aliases(name).iter().enumerate() {
            let id = format!("s{number}-{how}");
            let put = caller.register(&id, place(VAULT, secret)).await;
            let expected: &[&str] = match secret.as_str() {
                "prod-stripe" => &["SECRET_NAME_LOOKS_LIKE_ARN_END"],
                _ => &[],
            };
            assert_eq!(
                reasons(&put.expect("registered").warnings),
                expected,
                "{secret}"
            );
            let read = caller.text(&id).await;
            assert_eq!(read.expect("read"), format!("value of {name}"), "{secret}");
        }
    }
}

/// Makes secrets whose values are their names, and returns their ARNs without the characters that AWS added.
fn partial_arns<const N: usize>(aws: &Aws, names: [&str; N]) -> [String; N] {
    names.map(|name| {
        let arn = aws.create(name, name);
        let (partial, _) = arn.rsplit_once('-').expect("six characters more");
        partial.to_owned()
    })
}

#[tokio::test]
async fn partial_arn_is_refused_as_one_whatever_its_project_may_use() {
    let peer = Box::new(aws());
    let arns = partial_arns(&peer, ["prod", "other"]);
    let config = peer.vault_for("dev", &["prod"]);
    let Stage { caller, .. } = &Stage::start_with(peer, &config).await;
    for arn in arns {
        let put = caller.register("partial", place(VAULT, &arn)).await;
        assert_at_fault(
            put,
            ("definition.location", "LOCATION_INVALID", "partial ARN"),
        );
    }
}

#[tokio::test]
async fn partial_arn_that_looks_whole_never_fetches_the_secret_it_is_part_of() {
    let peer = Box::new(aws());
    // As it stands, the second is the whole ARN of a `prod`, which this project may use.
    let [_, looks_whole] = partial_arns(&peer, ["prod", "prod-stripe"]);
    let config = peer.vault_for("dev", &["prod"]);
    let Stage { caller, peer, .. } = &Stage::start_with(peer, &config).await;
    let put = caller.register("partial", place(VAULT, &looks_whole)).await;
    put.expect("nothing tells it from a whole one");
    assert_refused(caller.text("partial").await, "SECRET_NOT_FOUND");
    let stolen = caller.adopt("partial", "mine").await;
    stolen.expect_err("it is another's");
    assert_eq!(peer.value("prod-stripe").as_deref(), Some("prod-stripe"));
}

#[tokio::test]
async fn every_label_that_aws_takes_can_be_pinned() {
    let Stage { caller, peer, .. } = &Stage::start(Box::new(aws())).await;
    peer.create(SECRET, "first");
    let [first] = peer.versions(SECRET).try_into().expect("one");
    peer.set(SECRET, "second");
    let chosen = [
        "blue",
        "release.1",
        "release 1",
        "eu/release",
        "/release",
        "a-label-as-long-as-the-id-of-a-version",
    ];
    for label in chosen {
        let request =
            json!({ "SecretId": SECRET, "VersionStage": label, "MoveToVersionId": first });
        peer.moto.call("UpdateSecretVersionStage", &request);
    }
    let mut wrong = Vec::new();
    for (index, label) in chosen
        .into_iter()
        .chain(["AWSPREVIOUS", &first])
        .enumerate()
    {
        let id = format!("pinned-{index}");
        let put = caller
            .register(&id, pinned(place(VAULT, SECRET), label))
            .await;
        let read = caller.text(&id).await;
        if put.is_err() || read.as_deref().ok() != Some("first") {
            wrong.push((label, put.map(drop), read));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn arn_of_elsewhere_is_allowed_only_where_it_is_spelled_out() {
    let arn = |region: &str, account: &str| {
        format!("arn:aws:secretsmanager:{region}:{account}:secret:pay/stripe-AbCdEf")
    };
    let there = arn("us-east-1", ACCOUNT);
    let theirs = arn("eu-central-1", "210987654321");
    let own = arn("eu-central-1", ACCOUNT);
    let stage = Stage::start(Box::new(aws())).await;
    let Stage { caller, peer, .. } = &stage;
    for secret in [&there, &theirs] {
        let put = caller.register("stripe", place(VAULT, secret)).await;
        assert_told(put, "LOCATION_NOT_ALLOWED", "put the ARN itself");
    }
    assert_eq!(peer.asked(), 0, "AWS was not asked");
    // The same names in the vault's own place are allowed.
    let put = caller.register("own", place(VAULT, &own)).await;
    assert_eq!(put.expect("allowed").warnings, []);

    let spelled = ["arn:aws:secretsmanager:us-east-1:123456789012:secret:pay/*"];
    let config = peer.vault_for("dev", &spelled);
    let stage = stage.restart(&config).await;
    let Stage { caller, peer, .. } = &stage;
    let put = caller.register("stripe", place(VAULT, &there)).await;
    assert_eq!(
        reasons(&put.expect("allowed").warnings),
        ["SECRET_IN_OTHER_REGION"]
    );
    // Asked there, where moto has none.
    assert_refused(caller.text("stripe").await, "SECRET_NOT_FOUND");
    for secret in ["pay/stripe", &theirs, &own] {
        let put = caller.register("other", place(VAULT, secret)).await;
        assert_refused(put, "LOCATION_NOT_ALLOWED");
    }

    let (config, before) = (peer.vault(""), peer.asked());
    let Stage { caller, peer, .. } = &stage.restart(&config).await;
    assert_refused(caller.text("stripe").await, "LOCATION_NOT_ALLOWED");
    assert_eq!(peer.asked(), before, "AWS was not asked");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_account_no_arn_counts_as_the_name_in_it() {
    let peer = Box::new(aws());
    let arn = peer.create(SECRET, "v");
    let config = peer.vault("");
    let without = config.replace(&format!("account_id = \"{ACCOUNT}\"\n"), "");
    let stage = Stage::start_with(peer, &without).await;
    let put = stage.caller.register("stripe", place(VAULT, &arn)).await;
    assert_told(put, "LOCATION_NOT_ALLOWED", "set account_id");

    let Stage { caller, .. } = &stage.restart(&config).await;
    let put = caller.register("stripe", place(VAULT, &arn)).await;
    assert_eq!(put.expect("allowed").warnings, []);
    assert_eq!(caller.text("stripe").await.expect("read"), "v");
}
