//! A vault that is asked too often, or not now: nobody is refused for it, and nobody asks again too
//! early.

use std::time::Duration;

use claviger_backend::{Backend as _, requests_of};
use claviger_core::Reason;

use crate::stub::{Reply, Stub, refusal};
use crate::support::{LONG, aws, read_fails, script, write_fails};

#[tokio::test]
async fn throttling_and_time_outs_refuse_nobody() {
    // Of what was not taken in time, nobody knows whether it was taken.
    let unknown = Reason::WriteOutcomeUnknown;
    let untaken = Reason::VaultUnreachable;
    for (status, code, write) in [
        (400, "BandwidthLimitExceeded", untaken),
        (400, "PriorRequestNotComplete", untaken),
        (400, "ProvisionedThroughputExceededException", untaken),
        (400, "RequestLimitExceeded", untaken),
        (400, "RequestThrottled", untaken),
        (400, "RequestThrottledException", untaken),
        (400, "RequestTimeout", unknown),
        (400, "RequestTimeoutException", unknown),
        (400, "ThrottledException", untaken),
        (400, "TransactionInProgressException", untaken),
        (408, "AccessDeniedException", unknown),
        (408, "SomethingNewException", unknown),
        (429, "AccessDeniedException", untaken),
        (429, "SomethingNewException", untaken),
    ] {
        let stub = Stub::start(script(&refusal(status, code, "")));
        let aws = aws(&stub, LONG).await;
        let error = read_fails(&aws, None).await;
        assert_eq!(error.reason(), Reason::VaultUnreachable, "{status} {code}");
        let error = write_fails(&aws).await;
        assert_eq!(error.reason(), write, "{status} {code}");
        assert_eq!(stub.count("PutSecretValue"), 1, "{status} {code}");
    }
}

#[tokio::test]
async fn a_read_is_one_request_whatever_is_answered() {
    for (status, code) in [
        (400, "ThrottlingException"),
        (429, "TooManyRequestsException"),
        (503, "SlowDown"),
        (400, "AccessDeniedException"),
        (400, "ExpiredTokenException"),
        (400, "DecryptionFailure"),
        (400, "RequestTimeout"),
        (500, "InternalServiceError"),
        (502, ""),
        (503, ""),
        (504, ""),
    ] {
        let stub = Stub::start(script(&refusal(status, code, "")));
        let aws = aws(&stub, LONG).await;
        read_fails(&aws, None).await;
        let asked = stub.count("GetSecretValue");
        assert_eq!(asked, 1, "{status} {code}");
    }
}

#[tokio::test]
async fn a_listing_is_as_many_requests_as_it_has_pages() {
    let pages = [r#","NextToken":"one""#, r#","NextToken":"two""#, ""];
    let pages = pages.map(|next| Reply::json(200, &format!(r#"{{"SecretList":[]{next}}}"#)));
    let pages = pages.to_vec();
    let stub = Stub::start(vec![("ListSecrets", pages)]);
    let aws = aws(&stub, LONG).await;
    let listing = requests_of(async { aws.list(&|_| true, None, 10).await.expect("listed") });
    assert_eq!(listing.await, 3);
    assert_eq!(stub.count("ListSecrets"), 3);
}

#[tokio::test]
async fn who_is_to_come_back_later_hears_when() {
    let (second, millisecond) = (Duration::from_secs(1), Duration::from_millis(1));
    for (header, delay) in [
        ("Retry-After: 7", 7 * second),
        ("Retry-After: 86400", 60 * second),
        ("x-amz-retry-after: 1500", 1500 * millisecond),
        ("x-amz-retry-after: 86400000", 60 * second),
    ] {
        for (status, code) in [(400, "ThrottlingException"), (503, "")] {
            let reply = refusal(status, code, "").header(header);
            let stub = Stub::start(script(&reply));
            let error = read_fails(&aws(&stub, LONG).await, None).await;
            assert_eq!(error.retry_delay(), Some(delay), "{status} {header}");
            assert_eq!(stub.count("GetSecretValue"), 1, "{status} {header}");
        }
    }
}
