//! One table: an answer of AWS and the reason it becomes, for a read and for a write.
//!
//! Codes, statuses and the shape of bodies are recorded where the row says so; the texts are ours, so
//! that they can be searched for.

use claviger_backend::Backend;
use claviger_core::{Detail, Id, Reason};

use crate::stub::{Reply, Stub, refusal};
use crate::support::{DESCRIBED, LONG, aws, read_fails, script, write_fails};

const MESSAGE: &str = "upstream text: arn:aws:sts::123456789012:assumed-role/claviger-role/x";

const DELETED: &str = r#"{"ARN":"arn:aws:secretsmanager:eu-central-1:123456789012:secret:acme/stripe-AbCd12","Name":"acme/stripe","DeletedDate":1795000000.0}"#;

/// Status, code, what a read becomes, what a write becomes, and a word of the remedy.
type Row = (u16, &'static str, Reason, Reason, &'static str);

/// As AWS was seen to answer.
const RECORDED: &[Row] = &[
    (
        400,
        "ResourceNotFoundException",
        Reason::SecretNotFound,
        Reason::SecretNotFound,
        "",
    ),
    (
        400,
        "InvalidRequestException",
        Reason::VaultAccessDenied,
        Reason::VaultAccessDenied,
        "state",
    ),
    (
        400,
        "InvalidParameterException",
        Reason::LocationInvalid,
        Reason::LocationInvalid,
        "name or version",
    ),
    (
        400,
        "ResourceExistsException",
        Reason::WriteInProgress,
        Reason::WriteInProgress,
        "",
    ),
    (
        400,
        "ValidationException",
        Reason::LocationInvalid,
        Reason::LocationInvalid,
        "name or version",
    ),
    (
        400,
        "AccessDeniedException",
        Reason::VaultAccessDenied,
        Reason::VaultAccessDenied,
        "policy",
    ),
    (
        400,
        "UnrecognizedClientException",
        Reason::VaultCredentialsRejected,
        Reason::VaultCredentialsRejected,
        "access key",
    ),
    (
        403,
        "UnrecognizedClientException",
        Reason::VaultCredentialsRejected,
        Reason::VaultCredentialsRejected,
        "access key",
    ),
    (
        400,
        "InvalidSignatureException",
        Reason::VaultCredentialsRejected,
        Reason::VaultCredentialsRejected,
        "signature",
    ),
    (
        403,
        "InvalidSignatureException",
        Reason::VaultCredentialsRejected,
        Reason::VaultCredentialsRejected,
        "signature",
    ),
    // What moto answers, unlike AWS.
    (
        404,
        "ResourceNotFoundException",
        Reason::SecretNotFound,
        Reason::SecretNotFound,
        "",
    ),
];

/// As the SDK's model or AWS's list of common errors has it.
const UNRECORDED: &[Row] = &[
    (
        400,
        "ExpiredTokenException",
        Reason::VaultCredentialsRejected,
        Reason::VaultCredentialsRejected,
        "expired",
    ),
    (
        403,
        "ExpiredToken",
        Reason::VaultCredentialsRejected,
        Reason::VaultCredentialsRejected,
        "expired",
    ),
    (
        403,
        "RequestTimeTooSkewed",
        Reason::VaultCredentialsRejected,
        Reason::VaultCredentialsRejected,
        "clock",
    ),
    (
        400,
        "DecryptionFailure",
        Reason::VaultAccessDenied,
        Reason::VaultAccessDenied,
        "KMS",
    ),
    (
        400,
        "EncryptionFailure",
        Reason::VaultAccessDenied,
        Reason::VaultAccessDenied,
        "KMS",
    ),
    (
        400,
        "LimitExceededException",
        Reason::VaultCapabilityMissing,
        Reason::VaultCapabilityMissing,
        "quota",
    ),
    (
        400,
        "ThrottlingException",
        Reason::VaultUnreachable,
        Reason::VaultUnreachable,
        "THROTTLED",
    ),
    (
        401,
        "SomethingNewException",
        Reason::VaultAccessDenied,
        Reason::VaultAccessDenied,
        "log",
    ),
    (
        403,
        "SomethingNewException",
        Reason::VaultAccessDenied,
        Reason::VaultAccessDenied,
        "log",
    ),
    (
        400,
        "SomethingNewException",
        Reason::VaultUnreachable,
        Reason::WriteOutcomeUnknown,
        "SERVER_ERROR",
    ),
    (
        400,
        "InternalServiceError",
        Reason::VaultUnreachable,
        Reason::WriteOutcomeUnknown,
        "SERVER_ERROR",
    ),
    (
        400,
        "ServiceUnavailable",
        Reason::VaultUnreachable,
        Reason::WriteOutcomeUnknown,
        "SERVER_ERROR",
    ),
    (
        500,
        "AccessDeniedException",
        Reason::VaultUnreachable,
        Reason::WriteOutcomeUnknown,
        "SERVER_ERROR",
    ),
    (
        500,
        "InternalServiceError",
        Reason::VaultUnreachable,
        Reason::WriteOutcomeUnknown,
        "SERVER_ERROR",
    ),
    (
        503,
        "ServiceUnavailable",
        Reason::VaultUnreachable,
        Reason::WriteOutcomeUnknown,
        "SERVER_ERROR",
    ),
    (
        503,
        "SomethingNewException",
        Reason::VaultUnreachable,
        Reason::WriteOutcomeUnknown,
        "SERVER_ERROR",
    ),
];

#[tokio::test]
async fn every_answer_has_its_reason_and_remedy() {
    for (status, code, read, write, word) in RECORDED.iter().chain(UNRECORDED) {
        let stub = Stub::start(script(&refusal(*status, code, MESSAGE)));
        let aws = aws(&stub, LONG).await;
        let error = read_fails(&aws, None).await;
        assert_eq!(error.reason(), *read, "read: {status} {code}");
        let cause = error.detail(Detail::Cause);
        if *read == Reason::VaultUnreachable {
            assert_eq!(cause, Some(*word), "{status} {code}");
        } else {
            assert!(error.to_string().contains(word), "{code}: {error}");
        }
        let error = write_fails(&aws).await;
        assert_eq!(error.reason(), *write, "write: {status} {code}");
        assert_eq!(
            stub.count("PutSecretValue"),
            1,
            "{code}: a write is sent once"
        );
    }
}

#[tokio::test]
async fn code_is_found_however_it_is_written() {
    for body in [
        r#"{"__type":"com.amazonaws.secretsmanager#AccessDeniedException","message":"upstream"}"#,
        r#"{"__type":"AccessDeniedException"}"#,
    ] {
        let stub = Stub::start(script(&Reply::json(400, body)));
        let error = read_fails(&aws(&stub, LONG).await, None).await;
        assert_eq!(error.reason(), Reason::VaultAccessDenied, "{body}");
    }
}

#[tokio::test]
async fn who_is_not_aws_says_only_that_aws_was_not_heard() {
    for (status, body, cause) in [
        (503, "<html>upstream</html>", "SERVER_ERROR"),
        (504, "<html>upstream</html>", "TIMEOUT"),
        (429, "", "THROTTLED"),
        (403, "<html>upstream firewall</html>", "PROXY"),
        (407, "", "PROXY"),
        (413, "", "PROXY"),
        (307, "", "PROXY"),
        (
            200,
            "<html>upstream login page canary</html>",
            "SERVER_ERROR",
        ),
        (200, r#"{"SecretString":"canary-value","#, "SERVER_ERROR"),
        (
            200,
            r#"{"SecretString":"canary-value","ARN":"arn:x"}"#,
            "SERVER_ERROR",
        ),
        (200, "{}", "SERVER_ERROR"),
        (200, "", "SERVER_ERROR"),
    ] {
        let reply = Reply::text(status, body).header("Location: http://127.0.0.1:1/");
        let stub = Stub::start(script(&reply));
        let aws = aws(&stub, LONG).await;
        let error = read_fails(&aws, None).await;
        assert_eq!(error.reason(), Reason::VaultUnreachable, "{status} {body}");
        assert_eq!(error.detail(Detail::Cause), Some(cause), "{status} {body}");
        let error = write_fails(&aws).await;
        assert_eq!(
            error.reason(),
            Reason::WriteOutcomeUnknown,
            "{status} {body}"
        );
        assert_eq!(stub.count("PutSecretValue"), 1, "{status} {body}");
    }
}

#[tokio::test]
async fn date_of_the_answer_tells_a_skewed_clock_from_a_wrong_key() {
    for (date, word) in [
        (
            "Sun, 22 Nov 2026 12:00:30 GMT",
            "although the clock is right",
        ),
        ("Sun, 22 Nov 2026 12:20:00 GMT", "clock is off"),
        ("Sun, 22 Nov 2026 11:40:00 GMT", "clock is off"),
        (
            "not a date",
            "check the secret access key, and this machine's clock",
        ),
    ] {
        let reply = refusal(400, "InvalidSignatureException", MESSAGE);
        let stub = Stub::start(script(&reply.header(&format!("Date: {date}"))));
        let error = read_fails(&aws(&stub, LONG).await, None).await;
        let remedy = error.detail(Detail::Remedy).expect("has one");
        assert!(remedy.contains(word), "{date}: {remedy}");
    }
}

#[tokio::test]
async fn absent_secret_absent_version_and_deleted_secret_are_told_apart() {
    let not_found = || refusal(400, "ResourceNotFoundException", MESSAGE);
    let denied = || refusal(400, "AccessDeniedException", MESSAGE);
    let wrong_state = || refusal(400, "InvalidRequestException", MESSAGE);
    let described = || Reply::json(200, DESCRIBED);
    let deleted = || Reply::json(200, DELETED);
    for (read, describe, latest, pinned) in [
        (
            not_found(),
            not_found(),
            Reason::SecretNotFound,
            Reason::SecretNotFound,
        ),
        (
            not_found(),
            described(),
            Reason::SecretNotFound,
            Reason::VersionNotFound,
        ),
        (
            not_found(),
            denied(),
            Reason::SecretNotFound,
            Reason::VersionNotFound,
        ),
        (
            wrong_state(),
            deleted(),
            Reason::SecretDeleted,
            Reason::SecretDeleted,
        ),
        (
            wrong_state(),
            described(),
            Reason::VaultAccessDenied,
            Reason::VaultAccessDenied,
        ),
        (
            wrong_state(),
            denied(),
            Reason::VaultAccessDenied,
            Reason::VaultAccessDenied,
        ),
    ] {
        let script = vec![
            ("GetSecretValue", vec![read]),
            ("DescribeSecret", vec![describe]),
        ];
        let stub = Stub::start(script);
        let aws = aws(&stub, LONG).await;
        assert_eq!(read_fails(&aws, None).await.reason(), latest);
        let label = Id::from_static("AWSPREVIOUS");
        assert_eq!(read_fails(&aws, Some(&label)).await.reason(), pinned);
    }
}

#[tokio::test]
async fn secret_deleted_while_it_is_written_is_a_deleted_secret() {
    let wrong_state = || vec![refusal(400, "InvalidRequestException", MESSAGE)];
    let absent = refusal(400, "ResourceNotFoundException", MESSAGE);
    for before in [Reply::json(200, DESCRIBED), absent] {
        let stub = Stub::start(vec![
            ("DescribeSecret", vec![before, Reply::json(200, DELETED)]),
            ("TagResource", vec![Reply::json(200, "")]),
            ("PutSecretValue", wrong_state()),
            ("CreateSecret", wrong_state()),
        ]);
        let error = write_fails(&aws(&stub, LONG).await).await;
        assert_eq!(error.reason(), Reason::SecretDeleted);
    }
}

#[tokio::test]
async fn secret_created_by_another_in_between_is_not_written() {
    let absent = refusal(400, "ResourceNotFoundException", MESSAGE);
    let exists = refusal(400, "ResourceExistsException", MESSAGE);
    let stub = Stub::start(vec![
        ("DescribeSecret", vec![absent]),
        ("CreateSecret", vec![exists]),
    ]);
    let error = write_fails(&aws(&stub, LONG).await).await;
    assert_eq!(error.reason(), Reason::WriteInProgress);
}

#[tokio::test]
async fn nothing_is_written_where_the_mark_cannot_be_set() {
    let stub = Stub::start(vec![
        ("DescribeSecret", vec![Reply::json(200, DESCRIBED)]),
        (
            "TagResource",
            vec![refusal(400, "AccessDeniedException", MESSAGE)],
        ),
    ]);
    let error = write_fails(&aws(&stub, LONG).await).await;
    assert_eq!(error.reason(), Reason::VaultAccessDenied);
}

#[tokio::test]
async fn vault_is_well_for_who_may_not_describe_and_not_for_who_is_unknown() {
    let refused = |code| refusal(400, code, MESSAGE);
    let answers = vec![
        Reply::json(200, DESCRIBED),
        refused("ResourceNotFoundException"),
        refused("AccessDeniedException"),
        refused("ExpiredTokenException"),
        refused("UnrecognizedClientException"),
        refused("ThrottlingException"),
    ];
    let stub = Stub::start(vec![("DescribeSecret", answers)]);
    let aws = aws(&stub, LONG).await;
    for _ in 0..3 {
        aws.check().await.expect("the credentials are taken");
    }
    let rejected = Reason::VaultCredentialsRejected;
    for (reason, remedy) in [
        (rejected, "have expired; renew them"),
        (rejected, "does not know the access key"),
        (Reason::VaultUnreachable, "has been asked too often"),
    ] {
        let error = aws.check().await.expect_err(remedy);
        assert_eq!(error.reason(), reason, "{remedy}");
        assert!(error.to_string().contains(remedy), "{error}");
        assert!(!error.to_string().contains("upstream"), "{error}");
    }
    // Reads are of the same quota, and `calls_per_second` is a share of it.
    assert_eq!(stub.count("GetSecretValue"), 0);
}
