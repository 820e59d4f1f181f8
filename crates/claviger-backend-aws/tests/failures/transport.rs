//! Answers that do not come, or not whole.

use claviger_backend::Backend;
use claviger_core::{Detail, Reason};

use crate::stub::{Reply, Stub, refusal};
use crate::support::{LONG, SHORT, aws, aws_at, read_fails, script, write_fails};

#[tokio::test]
async fn lost_answer_is_harmless_to_a_read_and_leaves_a_write_open() {
    for (reply, timeout, cause) in [
        (
            Reply::HalfBody(r#"{"SecretString":""#.to_owned()),
            LONG,
            "CONNECTION",
        ),
        (Reply::Reset, LONG, "CONNECTION"),
        (Reply::Hang, SHORT, "TIMEOUT"),
    ] {
        let stub = Stub::start(script(&reply));
        let reading = aws(&stub, timeout).await;
        let error = read_fails(&reading, None).await;
        assert_eq!(error.detail(Detail::Cause), Some(cause), "{reply:?}");
        assert!(stub.count("GetSecretValue") <= 2, "{reply:?}");
        let error = write_fails(&aws(&stub, timeout).await).await;
        assert_eq!(error.reason(), Reason::WriteOutcomeUnknown, "{reply:?}");
        assert_eq!(stub.count("PutSecretValue"), 1, "{reply:?}");
    }
}

#[tokio::test]
async fn lost_answer_to_a_creation_leaves_it_open() {
    let absent = refusal(400, "ResourceNotFoundException", "");
    let stub = Stub::start(vec![
        ("DescribeSecret", vec![absent]),
        ("CreateSecret", vec![Reply::Reset]),
    ]);
    let error = write_fails(&aws(&stub, LONG).await).await;
    assert_eq!(error.reason(), Reason::WriteOutcomeUnknown);
    assert_eq!(stub.count("CreateSecret"), 1);
}

/// Nothing was stored: only the question before it got lost.
#[tokio::test]
async fn write_that_was_never_sent_has_a_known_outcome() {
    let stub = Stub::start(vec![("DescribeSecret", vec![Reply::Reset])]);
    let error = write_fails(&aws(&stub, LONG).await).await;
    assert_eq!(error.reason(), Reason::VaultUnreachable);
    assert_eq!(stub.count("PutSecretValue"), 0);
}

#[tokio::test]
async fn vault_that_is_not_there_is_unreachable_and_says_why() {
    let gone = Stub::start(Vec::new()).url();
    let plain = Stub::start(Vec::new());
    let tls = plain.url().replace("http://", "https://");
    for (url, cause) in [
        (gone.as_str(), "CONNECTION"),
        ("https://claviger.invalid", "DNS"),
        (tls.as_str(), "TLS"),
    ] {
        let aws = aws_at(url, LONG).await;
        let error = aws.check().await.expect_err("nobody listens");
        assert_eq!(error.reason(), Reason::VaultUnreachable);
        assert_eq!(error.detail(Detail::Cause), Some(cause), "{error:?}");
        let error = read_fails(&aws, None).await;
        assert_eq!(error.detail(Detail::Cause), Some(cause), "{error:?}");
        assert!(format!("{error:?}").contains("not sent"), "{error:?}");
    }
}
