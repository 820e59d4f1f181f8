//! What a caller gets to know when AWS refuses or does not answer: the reason and the remedy, and no
//! word of AWS's own. Against the stub, because moto plays none of this.

use claviger_e2e::{AwsReply, AwsRequest, AwsStub, Client, Home};
use claviger_proto::v1;
use claviger_proto::v1::vault_service_client::VaultServiceClient;
use serde_json::json;
use tonic_types::StatusExt as _;
use uuid::Uuid;

use super::support::{Caller, VAULT, adopt, assert_refused, put, seen, start, start_with, vault};

/// In everything that upstream says.
const MARKER: &str = "upstream-marker";

const ARN: &str = "arn:aws:sts::123456789012:assumed-role/claviger/i-0";

/// What stands for the beginning of a value in an answer that is cut off.
const CANARY: &str = "cAnAry51a7b2e9";

fn error(status: u16, code: &str, message: &str) -> AwsReply {
    let message = format!("{message} {MARKER} User: {ARN} is not pleased");
    AwsReply::json(status, &json!({ "__type": code, "Message": message }))
}

/// A failure by the name of the secret that is asked for.
struct Case {
    secret: &'static str,
    /// What AWS says when the value is read.
    reply: fn() -> AwsReply,
    reason: &'static str,
    /// In the message.
    word: &'static str,
}

const CASES: &[Case] = &[
    Case {
        secret: "acme/access-denied",
        reply: || error(400, "AccessDeniedException", "User is not authorized"),
        reason: "VAULT_ACCESS_DENIED",
        word: "policy",
    },
    Case {
        secret: "acme/expired-token",
        reply: || {
            error(
                400,
                "ExpiredTokenException",
                "The security token is expired",
            )
        },
        reason: "VAULT_CREDENTIALS_REJECTED",
        word: "expired",
    },
    Case {
        secret: "acme/unrecognized-client",
        reply: || error(400, "UnrecognizedClientException", "The token is invalid."),
        reason: "VAULT_CREDENTIALS_REJECTED",
        word: "access key",
    },
    Case {
        secret: "acme/skewed-clock",
        reply: || {
            let text = "Signature expired: 20210502T144040Z is now earlier than 20210502T173143Z";
            let reply = error(400, "InvalidSignatureException", text);
            reply.header("Date: Sun, 02 May 2021 17:46:43 GMT")
        },
        reason: "VAULT_CREDENTIALS_REJECTED",
        word: "clock is off",
    },
    Case {
        secret: "acme/decryption-failure",
        reply: || error(400, "DecryptionFailure", "KMS says no"),
        reason: "VAULT_ACCESS_DENIED",
        word: "KMS",
    },
    Case {
        secret: "acme/deleted",
        reply: || error(400, "InvalidRequestException", "marked for deletion"),
        reason: "SECRET_DELETED",
        word: "scheduled for deletion",
    },
    Case {
        secret: "acme/not-found",
        reply: || error(400, "ResourceNotFoundException", "can't find the secret"),
        reason: "SECRET_NOT_FOUND",
        word: "has no value",
    },
    Case {
        secret: "acme/throttled",
        reply: || {
            let reply = error(400, "ThrottlingException", "Rate exceeded");
            reply.header("Retry-After: 7")
        },
        reason: "VAULT_UNREACHABLE",
        word: "does not answer",
    },
    Case {
        secret: "acme/unavailable",
        reply: || error(503, "ServiceUnavailable", "busy"),
        reason: "VAULT_UNREACHABLE",
        word: "does not answer",
    },
    Case {
        secret: "acme/truncated",
        reply: || AwsReply::HalfBody(format!(r#"{{"SecretString":"{CANARY}{MARKER}"#)),
        reason: "VAULT_UNREACHABLE",
        word: "does not answer",
    },
    Case {
        secret: "acme/garbage",
        reply: || {
            let page = format!("<html>{MARKER} {ARN} {CANARY}</html>");
            AwsReply::text(200, &page)
        },
        reason: "VAULT_UNREACHABLE",
        word: "does not answer",
    },
    Case {
        secret: "acme/garbage-json",
        reply: || AwsReply::json(200, &json!({ "SecretString": CANARY, "ARN": ARN })),
        reason: "VAULT_UNREACHABLE",
        word: "does not answer",
    },
    Case {
        secret: "slow/hang",
        reply: || AwsReply::Hang,
        reason: "VAULT_UNREACHABLE",
        word: "does not answer",
    },
];

fn play(request: &AwsRequest) -> AwsReply {
    let secret = request.secret();
    let case = CASES.iter().find(|case| case.secret == secret);
    match (request.operation.as_str(), secret) {
        ("GetSecretValue", _) => case.map_or(AwsReply::Hang, |case| (case.reply)()),
        ("DescribeSecret", "acme/deleted") => AwsReply::json(
            200,
            &json!({ "Name": secret, "DeletedDate": 1_795_000_000.0 }),
        ),
        ("DescribeSecret", "acme/not-found") => {
            error(400, "ResourceNotFoundException", "can't find the secret")
        }
        ("DescribeSecret", _) => AwsReply::json(200, &json!({ "Name": secret })),
        ("TagResource", _) => AwsReply::text(200, ""),
        ("PutSecretValue", "acme/put-unavailable") => error(503, "ServiceUnavailable", "busy"),
        ("PutSecretValue", "acme/put-garbage") => {
            AwsReply::text(200, &format!("<html>{MARKER}</html>"))
        }
        ("PutSecretValue", "acme/put-throttled") => {
            error(400, "ThrottlingException", "Rate exceeded")
        }
        _ => AwsReply::Hang,
    }
}

/// Two vaults at one place: one that gives up at once, and one that takes its time.
fn config(url: &str) -> String {
    let patient = vault(VAULT, url, ("dev", &["acme/*"]), "timeout = \"25s\"");
    let hasty = vault(
        "aws-hasty",
        url,
        ("dev", &["slow/*"]),
        "timeout = \"100ms\"",
    );
    format!("{patient}{hasty}")
}

fn assert_silent(log: &str, words: &[&str]) {
    for word in words {
        let mut lines = log.lines();
        let found = lines.find(|line| line.contains(word));
        assert_eq!(found, None, "{word} in the log");
    }
}

#[tokio::test]
async fn every_failure_has_its_reason_and_remedy_and_no_word_of_aws() {
    let (home, stub) = (Home::new(), AwsStub::start(play));
    let daemon = start_with(&home, &config(&stub.url()));
    let caller = Caller::of(&daemon).await;
    let token = caller.token("projects/dev", &[v1::Role::Runner]).await;
    let runner = Caller::with_token(&daemon, &token).await;
    for case in CASES {
        let id = case.secret.rsplit('/').next().expect("a name");
        let name = format!("projects/dev/secrets/{id}");
        let vault = match case.secret.starts_with("slow/") {
            true => "aws-hasty",
            false => VAULT,
        };
        let location = v1::Location {
            vault: vault.to_owned(),
            ..super::support::location(case.secret, "")
        };
        let put = caller
            .put(super::support::definition(&name, location))
            .await;
        put.expect("registered");
        let status = assert_refused(runner.get(&name).await, case.reason);
        let message = status.message();
        assert!(message.contains(case.word), "{}: {message}", case.secret);
        let seen = seen(&status);
        for word in [MARKER, "arn:", CANARY, "Exception"] {
            assert!(!seen.contains(word), "{}: {word} in {seen}", case.secret);
        }
    }
    let log = home.log();
    assert_eq!(
        log.matches("call failed").count(),
        CASES.len(),
        "each is logged"
    );
    // AWS says which action a policy forbids, and its operator needs to know; all else it says may
    // quote what was sent.
    let denied = |line: &&str| line.contains("HTTP 400, AccessDeniedException");
    assert_eq!(log.lines().filter(denied).count(), 1);
    let others: Vec<&str> = log.lines().filter(|line| !denied(line)).collect();
    assert_silent(&others.join("\n"), &[MARKER, ARN]);
    assert_silent(&log, &[CANARY]);
}

#[tokio::test]
async fn throttled_vault_is_asked_once_per_read_and_a_broken_one_at_most_twice() {
    let (home, stub) = (Home::new(), AwsStub::start(play));
    let daemon = start(&home, &stub.url(), &["acme/*"]);
    let client = Client::connect(&daemon.socket()).await;
    for (id, most) in [
        ("throttled", 1),
        ("access-denied", 1),
        ("expired-token", 1),
        ("decryption-failure", 1),
        ("unavailable", 2),
    ] {
        let put = put(&client, id, (&format!("acme/{id}"), ""), None).await;
        put.expect("registered");
        stub.take_asked();
        for _ in 0..3 {
            let status = client.read(id, "").await.expect_err("a failure");
            if id == "throttled" {
                let details = status.get_error_details();
                let delay = details.retry_info().and_then(|info| info.retry_delay);
                assert_eq!(delay.map(|delay| delay.as_secs()), Some(7), "{status:?}");
            }
        }
        let asked = stub.take_asked();
        let reads = asked.iter().filter(|one| one.operation == "GetSecretValue");
        let count = reads.count();
        assert!((3..=3 * most).contains(&count), "{id}: {count}");
    }
}

#[tokio::test]
async fn write_whose_answer_is_lost_is_sent_once_and_said_to_be_unknown() {
    let (home, stub) = (Home::new(), AwsStub::start(play));
    let daemon = start_with(&home, &config(&stub.url()).replace("60s", "2s"));
    let client = Client::connect(&daemon.socket()).await;
    for (id, reason) in [
        ("put-unavailable", "WRITE_OUTCOME_UNKNOWN"),
        ("put-garbage", "WRITE_OUTCOME_UNKNOWN"),
        ("put-throttled", "VAULT_UNREACHABLE"),
        ("put-hang", "WRITE_OUTCOME_UNKNOWN"),
    ] {
        let put = put(&client, id, (&format!("acme/{id}"), ""), None).await;
        put.expect("registered");
        stub.take_asked();
        let status = assert_refused(adopt(&client, id, CANARY).await, reason);
        assert!(!seen(&status).contains(MARKER), "{status:?}");
        let asked = stub.take_asked();
        let puts = asked.iter().filter(|one| one.operation == "PutSecretValue");
        assert_eq!(puts.count(), 1, "{id}");
    }
    // Somebody may still be at the one that hangs; the others are settled before the next.
    let next = client.rotate("put-unavailable", "v", Uuid::new_v4()).await;
    next.expect_err("not known to be there");
    assert_silent(&home.log(), &[MARKER, CANARY]);
}

#[tokio::test]
async fn check_of_a_vault_says_whether_it_is_well_and_else_what_to_do() {
    type Case = (&'static str, fn() -> AwsReply, &'static str, &'static str);
    let cases: &[Case] = &[
        (
            "found",
            || AwsReply::json(200, &json!({ "ARN": ARN })),
            "",
            "",
        ),
        (
            "absent",
            || error(400, "ResourceNotFoundException", ""),
            "",
            "",
        ),
        (
            "forbidden",
            || error(400, "AccessDeniedException", ""),
            "",
            "",
        ),
        (
            "expired",
            || error(400, "ExpiredTokenException", ""),
            "VAULT_CREDENTIALS_REJECTED",
            "have expired; renew them",
        ),
        (
            "unknown",
            || error(400, "UnrecognizedClientException", ""),
            "VAULT_CREDENTIALS_REJECTED",
            "does not know the access key",
        ),
        (
            "throttled",
            || error(400, "ThrottlingException", ""),
            "VAULT_UNREACHABLE",
            "does not answer in time",
        ),
    ];
    let stubs: Vec<AwsStub> = cases
        .iter()
        .map(|(_, reply, _, _)| *reply)
        .map(|reply| AwsStub::start(move |_: &AwsRequest| reply()))
        .collect();
    let blocks = cases.iter().zip(&stubs);
    let config: String = blocks
        .map(|((id, ..), stub)| vault(id, &stub.url(), ("dev", &["*"]), ""))
        .collect();
    let home = Home::new();
    let daemon = start_with(&home, &config);
    let client = Client::connect(&daemon.socket()).await;
    let mut vaults = VaultServiceClient::new(client.channel());
    for (id, _, reason, word) in cases {
        let name = format!("vaults/{id}");
        let checked = vaults.check_vault(v1::CheckVaultRequest { name });
        let checked = checked.await.expect("asked").into_inner();
        assert_eq!(checked.ok, reason.is_empty(), "{id}: {checked:?}");
        assert_eq!(checked.reason, *reason, "{id}");
        assert_eq!(checked.message.is_empty(), reason.is_empty(), "{id}");
        assert!(checked.message.contains(word), "{id}: {checked:?}");
        assert!(!checked.message.contains(MARKER), "{id}: {checked:?}");
    }
    // Reads are of the same quota, and `calls_per_second` is a share of it.
    for stub in &stubs {
        let asked = stub.take_asked();
        let is_describing = |request: &AwsRequest| request.operation == "DescribeSecret";
        assert!(
            !asked.is_empty() && asked.iter().all(is_describing),
            "{asked:?}"
        );
    }
}
