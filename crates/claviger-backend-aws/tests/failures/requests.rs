//! Which version AWS is asked for, and that it answers for the secret that was meant.

use std::sync::Arc;

use claviger_backend::testkit::{address, put};
use claviger_backend::{Allow, Backend, Limits, Vault};
use claviger_backend_aws::Aws;
use claviger_core::{Id, Reason};

use crate::stub::{Reply, Stub, refusal};
use crate::support::{LONG, VALUE, aws, read_fails, write_fails_at};

const NAME: &str = "acme/stripe";

/// An id of a version, as AWS makes them.
const VERSION: &str = "a1b2c3d4-5678-90ab-cdef-0123456789ab";

const ARN: &str = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:prod-AbCd12";

/// What AWS completes that one to, where there is only a secret with the name `prod-AbCd12`.
const OTHER_ARN: &str =
    "arn:aws:secretsmanager:eu-central-1:123456789012:secret:prod-AbCd12-EfGh34";

fn found(arn: &str) -> Reply {
    found_version(arn, VERSION)
}

fn found_version(arn: &str, version: &str) -> Reply {
    let body = format!(
        r#"{{"ARN":"{arn}","Name":"{NAME}","VersionId":"{version}","SecretString":"{VALUE}"}}"#
    );
    Reply::json(200, &body)
}

/// As the daemon has it.
fn vault(aws: Aws) -> Vault {
    let id = Id::from_static("aws");
    Vault::new(
        id,
        Arc::new(aws),
        &Limits::timeout(LONG),
        Allow::everything(),
    )
}

fn not_found() -> Reply {
    refusal(400, "ResourceNotFoundException", "")
}

/// A request for the value: of the version that this coordinate and this text name.
fn get(coordinate: &str, version: &str) -> (String, String) {
    let body = format!(r#"{{"SecretId":"{NAME}","{coordinate}":"{version}"}}"#);
    ("GetSecretValue".to_owned(), body)
}

#[tokio::test]
async fn read_names_the_version_it_wants() {
    let (shortest, below) = ("0".repeat(32), "l".repeat(31));
    let (longest, above) = ("f".repeat(64), "l".repeat(65));
    for (version, coordinate) in [
        (None, "VersionStage"),
        (Some(VERSION), "VersionId"),
        (Some(&shortest), "VersionId"),
        (Some(&longest), "VersionId"),
        (Some("AWSPREVIOUS"), "VersionStage"),
        (Some("blue green"), "VersionStage"),
        (Some(&below), "VersionStage"),
        (Some(&above), "VersionStage"),
    ] {
        let is_id = coordinate == "VersionId";
        let found = version.filter(|_| is_id).unwrap_or(VERSION);
        let reply = found_version(ARN, found);
        let stub = Stub::start(vec![("GetSecretValue", vec![reply])]);
        let aws = aws(&stub, LONG).await;
        let read = aws.read(&address(NAME), version).await;
        let reading = read.expect("found");
        assert_eq!(reading.value.expose(), VALUE.as_bytes());
        assert_eq!(reading.version.as_str(), found);
        let wanted = version.unwrap_or("AWSCURRENT");
        assert_eq!(stub.asked(), [get(coordinate, wanted)], "{version:?}");
    }
}

#[tokio::test]
async fn label_as_long_as_the_id_of_a_version_is_found_as_a_label() {
    for length in [32, 64] {
        let label = "l".repeat(length);
        let replies = vec![not_found(), found(ARN)];
        let stub = Stub::start(vec![("GetSecretValue", replies)]);
        let aws = aws(&stub, LONG).await;
        let read = aws.read(&address(NAME), Some(&label)).await;
        assert_eq!(read.expect("found").value.expose(), VALUE.as_bytes());
        let requests = [get("VersionId", &label), get("VersionStage", &label)];
        assert_eq!(stub.asked(), requests);
    }
}

/// Anyone who may move a label would choose the value for such a caller.
#[tokio::test]
async fn caller_names_a_version_by_its_id_only() {
    let stub = Stub::start(Vec::new());
    let aws = aws(&stub, LONG).await;
    let [shortest, longest] = [32, 64].map(|length| "0".repeat(length));
    for id in [VERSION, &shortest, &longest] {
        let id = Id::parse("version", id).expect("valid");
        aws.check_caller_version(&id).expect("may be one");
    }
    let [below, above] = [31, 65].map(|length| "0".repeat(length));
    for label in ["AWSCURRENT", "AWSPREVIOUS", "1", &below, &above] {
        let label = Id::parse("version", label).expect("valid");
        let error = aws.check_caller_version(&label).expect_err("a label");
        assert_eq!(error.reason(), Reason::VersionNotFound);
    }
}

/// A version is absent only if AWS says so each time it is asked.
#[tokio::test]
async fn question_that_failed_is_not_taken_for_an_absent_version() {
    let version = Id::from_static(VERSION);
    let unreachable = Reason::VaultUnreachable;
    for (status, code, by_label, described) in [
        (400, "ThrottlingException", unreachable, unreachable),
        (503, "", unreachable, unreachable),
        (
            400,
            "ExpiredTokenException",
            Reason::VaultCredentialsRejected,
            Reason::VaultCredentialsRejected,
        ),
        // A reader that may not describe a secret may read it all the same.
        (
            400,
            "AccessDeniedException",
            Reason::VaultAccessDenied,
            Reason::VersionNotFound,
        ),
    ] {
        let failure = || refusal(status, code, "");
        let replies = vec![not_found(), failure()];
        let stub = Stub::start(vec![("GetSecretValue", replies)]);
        let error = read_fails(&aws(&stub, LONG).await, Some(&version)).await;
        assert_eq!(error.reason(), by_label, "by label: {code}");
        let stub = Stub::start(vec![
            ("GetSecretValue", vec![not_found()]),
            ("DescribeSecret", vec![failure()]),
        ]);
        let error = read_fails(&aws(&stub, LONG).await, Some(&version)).await;
        assert_eq!(error.reason(), described, "described: {code}");
    }
}

#[tokio::test]
async fn value_of_another_secret_than_the_one_meant_is_not_served() {
    for arn in [OTHER_ARN, ""] {
        let stub = Stub::start(vec![("GetSecretValue", vec![found(arn)])]);
        let vault = vault(aws(&stub, LONG).await);
        let read = vault.read(&address(ARN), None).await;
        let error = read.expect_err("another one");
        assert_eq!(error.reason(), Reason::SecretNotFound);
        assert!(!format!("{error:?}").contains(VALUE));
    }
    let stub = Stub::start(vec![("GetSecretValue", vec![found(ARN)])]);
    let vault = vault(aws(&stub, LONG).await);
    let read = vault.read(&address(ARN), None).await;
    assert_eq!(
        read.expect("the one meant").value.expose(),
        VALUE.as_bytes()
    );
}

#[tokio::test]
async fn another_version_than_the_one_meant_is_not_served() {
    let other = "a1b2c3d4-5678-90ab-cdef-000000000000";
    let reply = found_version(ARN, other);
    let stub = Stub::start(vec![("GetSecretValue", vec![reply])]);
    let version = Id::from_static(VERSION);
    let error = read_fails(&aws(&stub, LONG).await, Some(&version)).await;
    assert_eq!(error.reason(), Reason::VaultUnreachable);
}

#[tokio::test]
async fn another_secret_than_the_one_meant_is_not_written() {
    let described = format!(r#"{{"ARN":"{OTHER_ARN}","Name":"prod-AbCd12"}}"#);
    let described = Reply::json(200, &described);
    let stub = Stub::start(vec![("DescribeSecret", vec![described])]);
    let error = write_fails_at(&aws(&stub, LONG).await, ARN).await;
    assert_eq!(error.reason(), Reason::LocationInvalid);
    let operations: Vec<String> = stub.asked().into_iter().map(|(name, _)| name).collect();
    assert_eq!(operations, ["DescribeSecret"], "neither marked nor written");
}

#[tokio::test]
async fn answer_for_another_secret_leaves_a_write_open() {
    for (name, is_open) in [("acme/other", true), (NAME, false)] {
        let arn = ARN.replace("prod", NAME);
        let described = format!(r#"{{"ARN":"{arn}","Name":"{NAME}"}}"#);
        let written = format!(r#"{{"ARN":"{arn}","Name":"{name}","VersionId":"{VERSION}"}}"#);
        let stub = Stub::start(vec![
            ("DescribeSecret", vec![Reply::json(200, &described)]),
            ("TagResource", vec![Reply::json(200, "")]),
            ("PutSecretValue", vec![Reply::json(200, &written)]),
        ]);
        let written = put(&aws(&stub, LONG).await, &address(NAME), VALUE, true).await;
        let reason = written.err().map(|error| error.reason());
        let expected = is_open.then_some(Reason::WriteOutcomeUnknown);
        assert_eq!(reason, expected, "{name}");
    }
}
