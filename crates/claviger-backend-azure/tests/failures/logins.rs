//! Tokens that are not to be had.

use claviger_backend::Backend;
use claviger_backend_azure::Credential;
use claviger_core::{Detail, Reason};

use crate::stub::{LOGIN, Reply, Stub};
use crate::support::*;

/// As Entra answers; its text has escapes, which the SDK does not read.
fn refusal(error: &str, code: u32) -> Reply {
    Reply::json(
        if error == "invalid_client" { 401 } else { 400 },
        format!(
            r#"{{"error":"{error}","error_description":"AADSTS{code}: upstream \"quoted\".\r\nTrace ID: x","error_codes":[{code}],"trace_id":"x"}}"#
        ),
    )
}

async fn failed(login: Reply) -> claviger_core::Error {
    let stub = Stub::new(vec![
        (LOGIN, vec![login]),
        (GET, vec![Reply::json(200, bundle(VERSION, ""))]),
    ]);
    let error = read_fails(&azure(&stub, LONG), None).await;
    assert_eq!((stub.count(LOGIN), stub.count(GET)), (1, 0));
    error
}

#[tokio::test]
async fn every_refusal_of_entra_has_its_remedy() {
    for (error, code, word) in [
        ("invalid_client", 7_000_215, "not its id"),
        ("invalid_client", 7_000_222, "expired"),
        ("invalid_client", 700_027, "certificate"),
        ("invalid_client", 700_024, "clock"),
        ("invalid_request", 90_002, "tenant_id"),
        ("invalid_request", 900_023, "tenant_id"),
        ("unauthorized_client", 700_016, "client_id"),
        ("unauthorized_client", 7_000_112, "deactivated"),
        ("invalid_client", 700_213, "federated"),
        ("invalid_client", 1, "secret_file"),
        ("something_new", 2, "secret_file"),
    ] {
        let error = failed(refusal(error, code)).await;
        assert_eq!(error.reason(), Reason::VaultCredentialsRejected, "{code}");
        assert!(error.to_string().contains(word), "{code}: {error}");
        assert!(
            format!("{error:?}").contains(&code.to_string()),
            "{error:?}"
        );
    }
}

#[tokio::test]
async fn login_that_is_not_heard_is_an_unreachable_vault() {
    for (reply, cause) in [
        (Reply::NotSent, "CONNECTION"),
        (Reply::Lost, "CONNECTION"),
        (Reply::json(503, "<html>"), "SERVER_ERROR"),
        (
            Reply::json(429, "{}").header("retry-after", "3"),
            "THROTTLED",
        ),
        (Reply::json(403, "<html>proxy"), "PROXY"),
        (Reply::json(407, ""), "PROXY"),
        (Reply::json(200, "<html>canary"), "SERVER_ERROR"),
        (Reply::json(200, "{}"), "SERVER_ERROR"),
        (refusal("temporarily_unavailable", 90_033), "SERVER_ERROR"),
    ] {
        let error = failed(reply.clone()).await;
        assert_eq!(error.reason(), Reason::VaultUnreachable, "{reply:?}");
        assert_eq!(error.detail(Detail::Cause), Some(cause), "{reply:?}");
        let is_throttled = matches!(reply, Reply::Answer(429, ..));
        assert_eq!(error.retry_delay().is_some(), is_throttled, "{reply:?}");
    }
}

#[tokio::test]
async fn secret_is_read_from_its_file_whenever_a_token_is_asked_for() {
    let stub = Stub::new(vec![
        (
            LOGIN,
            vec![
                refusal("invalid_client", 7_000_215),
                Reply::json(
                    200,
                    r#"{"token_type":"Bearer","expires_in":0,"access_token":"t"}"#,
                ),
            ],
        ),
        (GET, vec![Reply::json(200, bundle(VERSION, ""))]),
    ]);
    let azure = azure(&stub, LONG);
    read_fails(&azure, None).await;
    assert!(stub.body().contains("client_secret=canary-client-secret&"));
    std::fs::write(stub.secret_file.path(), "rotated").expect("written");
    azure.read(&address(), None).await.expect("read");
    std::fs::write(stub.secret_file.path(), "").expect("written");
    let error = read_fails(&azure, None).await;
    assert_eq!(error.reason(), Reason::VaultCredentialsRejected);
    assert!(error.to_string().contains("empty"), "{error}");
}

/// Through the address that every machine in Azure has for it.
#[tokio::test]
async fn machine_without_the_identity_is_told_to_be_given_it() {
    const IDENTITY: &str = "GET /metadata/identity/oauth2/token";
    let token = r#"{"access_token":"t","expires_on":"4102444800","resource":"https://vault.azure.net","token_type":"Bearer"}"#;
    let absent = r#"{"error":"invalid_request","error_description":"Identity not found"}"#;
    for (login, reason, word) in [
        (Reply::json(200, token), None, ""),
        (
            Reply::json(400, absent),
            Some(Reason::VaultCredentialsRejected),
            "assign it",
        ),
        (Reply::json(500, "{}"), Some(Reason::VaultUnreachable), ""),
        (Reply::NotSent, Some(Reason::VaultUnreachable), ""),
    ] {
        let stub = Stub::new(vec![
            (IDENTITY, vec![login]),
            (GET, vec![Reply::json(200, bundle(VERSION, ""))]),
        ]);
        let client_id = Some(ID.to_owned());
        let azure = azure_as(&stub, LONG, Credential::ManagedIdentity { client_id });
        match azure.read(&address(), None).await {
            Ok(_) => assert_eq!(reason, None),
            Err(error) => {
                assert_eq!(Some(error.reason()), reason);
                assert!(error.to_string().contains(word), "{error}");
            }
        }
        assert_eq!(stub.count(IDENTITY), 1, "the SDK asks again and again");
    }
}

/// The environment that the webhook sets is missing outside a pod.
#[tokio::test]
async fn workload_identity_outside_a_pod_says_so() {
    let dir = tempfile::tempdir().expect("a directory");
    let pipe = dir.path().join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    assert!(made.expect("ran").success());
    for (token_file, word) in [
        (None, "service account"),
        (Some("/nowhere/token".into()), "does not exist"),
        // Nobody will ever write into it.
        (Some(pipe), "regular file"),
    ] {
        let stub = Stub::new(Vec::new());
        let credential = Credential::WorkloadIdentity {
            tenant_id: Some(ID.to_owned()),
            client_id: Some(ID.to_owned()),
            token_file,
        };
        let azure = azure_as(&stub, LONG, credential);
        let error = read_fails(&azure, None).await;
        assert_eq!(error.reason(), Reason::VaultCredentialsRejected);
        assert!(error.to_string().contains(word), "{error}");
        assert_eq!(stub.count(LOGIN), 0);
    }
}
