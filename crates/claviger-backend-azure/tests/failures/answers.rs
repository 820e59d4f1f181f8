//! One table: an answer of Key Vault and the reason it becomes, for a read and for a write.
//!
//! Statuses and codes are recorded or quoted unless the row says otherwise; the texts are ours, so
//! that they can be searched for.

use std::time::Duration;

use claviger_backend::{Backend, VersionState};
use claviger_core::{Detail, Id, Reason, Uid};

use crate::stub::{LOGIN, Reply, Stub};
use crate::support::*;

/// Status, code, inner code, what a read becomes, what a write becomes, and a word of the remedy.
type Row = (
    u16,
    &'static str,
    &'static str,
    Reason,
    Reason,
    &'static str,
);

const SAME: &[(u16, &str, &str, Reason, &str)] = &[
    (400, "BadParameter", "", Reason::LocationInvalid, "portal"),
    (
        403,
        "Forbidden",
        "AccessDenied",
        Reason::VaultAccessDenied,
        "access policy",
    ),
    (
        403,
        "Forbidden",
        "ForbiddenByConnection",
        Reason::VaultUnreachable,
        "FIREWALL",
    ),
    (
        403,
        "Forbidden",
        "ForbiddenByFirewall",
        Reason::VaultUnreachable,
        "FIREWALL",
    ),
    (
        403,
        "Forbidden",
        "ForbiddenByPolicy",
        Reason::VaultAccessDenied,
        "policy",
    ),
    (
        403,
        "Forbidden",
        "ForbiddenByRbac",
        Reason::VaultAccessDenied,
        "role",
    ),
    (
        403,
        "Forbidden",
        "SecretDisabled",
        Reason::VersionDisabled,
        "",
    ),
    (429, "Throttled", "", Reason::VaultUnreachable, "THROTTLED"),
];

/// What nobody has listed is not understood, whatever its status.
const OPEN: &[(u16, &str, &str)] = &[
    (403, "Forbidden", ""),
    (403, "Forbidden", "SomethingNew"),
    (405, "MethodNotAllowed", ""),
    (500, "InternalServerError", ""),
    (503, "ServiceUnavailable", ""),
];

fn rows() -> impl Iterator<Item = Row> {
    let same = SAME.iter();
    let same = same
        .map(|&(status, code, inner, reason, word)| (status, code, inner, reason, reason, word));
    let open = OPEN.iter().map(|&(status, code, inner)| {
        let (read, write) = (Reason::VaultUnreachable, Reason::WriteOutcomeUnknown);
        (status, code, inner, read, write, "SERVER_ERROR")
    });
    same.chain(open)
}

#[tokio::test]
async fn every_answer_has_its_reason_and_remedy() {
    for (status, code, inner, read, write, word) in rows() {
        let reply = Reply::error(status, code, inner);
        let case = format!("{status} {code} {inner}");
        let stub = Stub::new(vec![(GET, vec![reply.clone()])]);
        let error = read_fails(&azure(&stub, LONG), None).await;
        assert_eq!(error.reason(), read, "read: {case}");
        assert_eq!(stub.count(GET), 1, "{case}: a read is sent once");
        let cause = error.detail(Detail::Cause);
        if read == Reason::VaultUnreachable {
            assert_eq!(cause, Some(word), "{case}");
        } else {
            assert!(error.to_string().contains(word), "{case}: {error}");
        }
        assert!(
            format!("{error:?}").contains(&format!("HTTP {status}")),
            "{error:?}"
        );
        let stub = absent_until_put(vec![], reply);
        let error = write_fails(&azure(&stub, LONG)).await;
        assert_eq!(error.reason(), write, "write: {case}");
        assert_eq!(stub.count(PUT), 1, "{case}: a write is sent once");
    }
}

#[tokio::test]
async fn who_is_not_azure_says_only_that_azure_was_not_heard() {
    for (status, body, cause) in [
        (503, "<html>upstream</html>", "SERVER_ERROR"),
        (504, "<html>upstream</html>", "TIMEOUT"),
        (403, "<html>upstream firewall</html>", "PROXY"),
        (404, "", "PROXY"),
        (407, "", "PROXY"),
        (413, "", "PROXY"),
        (302, "<html>upstream</html>", "PROXY"),
        (307, "", "PROXY"),
        (502, "<html>upstream gateway</html>", "SERVER_ERROR"),
        (
            200,
            "<html>upstream login page canary</html>",
            "SERVER_ERROR",
        ),
        (200, r#""canary-value""#, "SERVER_ERROR"),
        (200, r#"{"value":"canary-value","#, "SERVER_ERROR"),
        (200, "{}", "SERVER_ERROR"),
        (200, "", "SERVER_ERROR"),
    ] {
        let reply = Reply::json(status, body).header("location", "https://127.0.0.1/");
        let stub = Stub::new(vec![(GET, vec![reply.clone()])]);
        let error = read_fails(&azure(&stub, LONG), None).await;
        assert_eq!(error.reason(), Reason::VaultUnreachable, "{status} {body}");
        assert_eq!(error.detail(Detail::Cause), Some(cause), "{status} {body}");
        let stub = absent_until_put(vec![], reply);
        let error = write_fails(&azure(&stub, LONG)).await;
        assert_eq!(
            error.reason(),
            Reason::WriteOutcomeUnknown,
            "{status} {body}"
        );
        assert_eq!(stub.count(PUT), 1, "{status} {body}");
    }
}

#[tokio::test]
async fn throttling_says_when_to_come_back_and_is_not_asked_again() {
    for (given, delay) in [("7", Some(7)), ("86400", Some(60)), ("soon", None)] {
        let reply = Reply::error(429, "Throttled", "").header("retry-after", given);
        let stub = Stub::new(vec![(GET, vec![reply])]);
        let error = read_fails(&azure(&stub, LONG), None).await;
        assert_eq!(
            error.retry_delay(),
            delay.map(Duration::from_secs),
            "{given}"
        );
        assert_eq!(stub.count(GET), 1);
    }
}

/// As for a token whose signing key one machine of Azure's does not know yet.
#[tokio::test]
async fn refused_token_is_followed_by_a_fresh_one_once() {
    let refused = || {
        let challenge = r#"Bearer authorization="https://login.windows.net/t", resource="https://vault.azure.net""#;
        Reply::error(401, "Unauthorized", "").header("www-authenticate", challenge)
    };
    let good = || Reply::json(200, bundle(VERSION, ""));
    let stub = Stub::new(vec![(GET, vec![good(), refused(), good(), refused()])]);
    let azure = azure(&stub, LONG);
    for (requests, logins) in [(1, 1), (3, 2)] {
        let read = azure.read(&address(), None).await;
        read.expect("read");
        assert_eq!((stub.count(GET), stub.count(LOGIN)), (requests, logins));
    }
    let error = read_fails(&azure, None).await;
    assert_eq!(error.reason(), Reason::VaultCredentialsRejected);
    for word in ["tenant", "clock"] {
        assert!(error.to_string().contains(word), "{error}");
    }
    assert_eq!((stub.count(GET), stub.count(LOGIN)), (5, 3));
}

#[tokio::test]
async fn read_of_a_name_that_is_being_deleted_is_to_be_repeated() {
    let reply = Reply::error(409, "Conflict", "ObjectIsBeingDeleted");
    let stub = Stub::new(vec![(GET, vec![reply])]);
    let error = read_fails(&azure(&stub, LONG), None).await;
    assert_eq!(error.reason(), Reason::WriteInProgress);
}

#[tokio::test]
async fn absent_secret_absent_version_and_deleted_secret_are_told_apart() {
    let denied = || Reply::error(403, "Forbidden", "ForbiddenByRbac");
    let disabled = || Reply::error(403, "Forbidden", "SecretDisabled");
    let none = || Reply::json(200, listed(&[]));
    let some = || Reply::json(200, listed(&[bundle(VERSION, "")]));
    let gone = || Reply::json(200, bundle(VERSION, r#","deletedDate":1795000000"#));
    for (deleted, versions, latest, pinned) in [
        (
            Reply::absent(),
            none(),
            Reason::SecretNotFound,
            Reason::SecretNotFound,
        ),
        (
            Reply::absent(),
            some(),
            Reason::SecretNotFound,
            Reason::VersionNotFound,
        ),
        (gone(), none(), Reason::SecretDeleted, Reason::SecretDeleted),
        (
            disabled(),
            none(),
            Reason::SecretDeleted,
            Reason::SecretDeleted,
        ),
        (
            denied(),
            denied(),
            Reason::SecretNotFound,
            Reason::VersionNotFound,
        ),
    ] {
        let stub = Stub::new(vec![
            (GET, vec![Reply::absent()]),
            (
                "GET /secrets/acme/0123456789abcdef0123456789abcdef",
                vec![Reply::absent()],
            ),
            (DELETED, vec![deleted]),
            (VERSIONS, vec![versions]),
        ]);
        let azure = azure(&stub, LONG);
        assert_eq!(read_fails(&azure, None).await.reason(), latest);
        let error = read_fails(&azure, Some(&version())).await;
        assert_eq!(error.reason(), pinned);
    }
}

#[tokio::test]
async fn value_outside_its_dates_is_refused_although_azure_serves_it() {
    let now = NOW.as_secs();
    for (dates, reason) in [
        (format!(r#""exp":{now}"#), Some(Reason::ValueExpired)),
        (format!(r#""exp":{}"#, now + 1), None),
        (
            format!(r#""nbf":{}"#, now + 1),
            Some(Reason::ValueNotYetValid),
        ),
        (format!(r#""nbf":{now}"#), None),
        (
            r#""nbf":0,"enabled":false"#.to_owned(),
            Some(Reason::VersionDisabled),
        ),
    ] {
        let body = format!(
            r#"{{"value":"{VALUE}","id":"https://acme.vault.azure.net/secrets/acme/{VERSION}","attributes":{{{dates}}}}}"#
        );
        let azure = azure(&Stub::new(vec![(GET, vec![Reply::json(200, body)])]), LONG);
        match (azure.read(&address(), None).await, reason) {
            (Ok(reading), None) => assert_eq!(reading.value.expose(), VALUE.as_bytes()),
            (outcome, expected) => {
                let error = safe(outcome.expect_err("outside its dates"));
                assert_eq!(Some(error.reason()), expected, "{dates}");
            }
        }
    }
}

#[tokio::test]
async fn secret_of_a_certificate_is_read_and_never_written() {
    let more = r#","contentType":"application/x-pkcs12","managed":true,"kid":"https://acme.vault.azure.net/keys/acme/1""#;
    let whole = || Reply::json(200, bundle(VERSION, more));
    let stub = Stub::new(vec![
        (GET, vec![whole(), whole(), Reply::absent()]),
        (
            VERSIONS,
            vec![
                Reply::json(200, listed(&[bundle(VERSION, more)])),
                Reply::json(200, listed(&[bundle(VERSION, more)])),
                Reply::json(200, listed(&[])),
            ],
        ),
        (DELETED, vec![whole()]),
    ]);
    let azure = azure(&stub, LONG);
    azure.read(&address(), None).await.expect("read");
    let stub_count = |wanted| stub.count(wanted);
    let error = write_fails(&azure).await;
    assert_eq!(error.reason(), Reason::LocationInvalid);
    assert!(error.to_string().contains("certificate"), "{error}");
    let disabled = switch(&azure, &version(), VersionState::Disabled).await;
    let error = disabled.expect_err("not ours to change");
    assert!(error.to_string().contains("certificate"), "{error}");
    let error = write_fails(&azure).await;
    assert!(
        error.to_string().contains("certificate"),
        "deleted: {error}"
    );
    assert_eq!((stub_count(PUT), stub_count(RECOVER)), (0, 0));
}

#[tokio::test]
async fn version_of_a_secret_that_is_not_ours_is_not_switched() {
    let stub = Stub::new(vec![(
        VERSIONS,
        vec![Reply::json(200, listed(&[bundle(VERSION, "")]))],
    )]);
    let azure = azure(&stub, LONG);
    let disabled = switch(&azure, &version(), VersionState::Disabled).await;
    let error = disabled.expect_err("theirs");
    assert_eq!(error.reason(), Reason::SecretNotOwned);
}

#[tokio::test]
async fn vault_is_well_for_who_may_not_list_and_not_for_who_is_kept_out() {
    for (inner, reason) in [
        ("ForbiddenByRbac", None),
        ("AccessDenied", None),
        ("ForbiddenByFirewall", Some(Reason::VaultUnreachable)),
        ("SomethingNew", Some(Reason::VaultUnreachable)),
    ] {
        let reply = Reply::error(403, "Forbidden", inner);
        let stub = Stub::new(vec![("GET /secrets", vec![reply])]);
        let checked = azure(&stub, LONG).check().await;
        assert_eq!(checked.err().map(|error| error.reason()), reason, "{inner}");
    }
}

#[tokio::test]
async fn names_and_versions_that_would_lead_elsewhere_are_never_sent() {
    let stub = Stub::new(Vec::new());
    let azure = azure(&stub, LONG);
    let value = claviger_core::SecretBytes::new(VALUE.into());
    for secret in ["a/../../keys/k", "..", "a_b", "(a)", "", "%2e%2e/keys"] {
        let address = claviger_backend::Address {
            secret: secret.to_owned(),
            ..address()
        };
        let write = claviger_backend::Write {
            write_id: Uid::random(),
            value: &value,
            format: claviger_core::Format::Text,
            adopt: true,
        };
        let (version, enabled) = (version(), VersionState::Enabled);
        let errors = [
            azure.check_name(secret).err(),
            azure.read(&address, None).await.err(),
            azure.write(&address, &write).await.err(),
            azure.find_write(&address, Uid::random()).await.err(),
            azure.versions(&address, None, 1).await.err(),
            azure.set_state(&address, &version, enabled).await.err(),
        ];
        for error in errors {
            let error = error.expect("refused");
            assert_eq!(error.reason(), Reason::LocationInvalid, "{secret}");
            assert!(error.field_violation().is_some(), "{secret}");
        }
    }
    for version in ["latest", "0123456789ABCDEF0123456789ABCDEF", "()"] {
        let version = Id::parse("version", version).expect("an id");
        let error = azure.read(&address(), Some(version.as_str())).await;
        assert_eq!(error.expect_err("none").reason(), Reason::VersionNotFound);
        let set = switch(&azure, &version, VersionState::Enabled).await;
        assert_eq!(set.expect_err("none").reason(), Reason::VersionNotFound);
    }
    assert_eq!(stub.count(""), 0, "something was sent");
}

#[tokio::test]
async fn bytes_that_key_vault_cannot_hold_are_refused_unsent() {
    let stub = Stub::new(Vec::new());
    let azure = azure(&stub, LONG);
    let value = claviger_core::SecretBytes::new(vec![b'x'; 19_201]);
    let write = claviger_backend::Write {
        write_id: Uid::random(),
        value: &value,
        format: claviger_core::Format::Binary,
        adopt: true,
    };
    let error = azure.write(&address(), &write).await;
    let error = error.expect_err("too long");
    assert_eq!(error.reason(), Reason::PayloadTooLarge);
    assert!(error.to_string().contains("19200"), "{error}");
    assert_eq!(stub.count(""), 0);
}
