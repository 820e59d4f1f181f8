//! Answers that do not come, come too late, or lead astray.

use std::time::Duration;

use claviger_backend::Backend;
use claviger_core::{Detail, Id, Reason, Uid};
use tokio::time::Instant;

use crate::stub::{Reply, Stub};
use crate::support::*;

const DEADLINE: Duration = Duration::from_secs(2);

#[tokio::test(start_paused = true)]
async fn retry_after_beyond_the_deadline_is_told_and_not_slept() {
    for status in [429, 503] {
        let reply = Reply::error(status, "Throttled", "").header("retry-after", "30");
        let stub = Stub::new(vec![(GET, vec![reply])]);
        let azure = azure(&stub, DEADLINE);
        let vault = vault(azure, DEADLINE);
        let start = Instant::now();
        let error = vault.read(&address(), None).await;
        let error = safe(error.expect_err("throttled"));
        assert!(start.elapsed() <= DEADLINE, "{status}");
        assert_eq!(error.reason(), Reason::VaultUnreachable);
        let is_throttled = error.detail(Detail::Cause) == Some("THROTTLED");
        assert_eq!(is_throttled, status == 429);
        assert_eq!(error.retry_delay(), Some(Duration::from_secs(30)));
        assert_eq!(stub.count(GET), 1, "{status}");
    }
}

#[tokio::test(start_paused = true)]
async fn vault_and_login_that_hang_are_left_at_the_deadline() {
    for (hanging, requests) in [(GET, 1), (crate::stub::LOGIN, 0)] {
        let mut script = vec![(hanging, vec![Reply::Hang])];
        if hanging != GET {
            script.push((GET, vec![Reply::json(200, bundle(VERSION, ""))]));
        }
        let stub = Stub::new(script);
        let azure = azure(&stub, DEADLINE);
        let vault = vault(azure, DEADLINE);
        let start = Instant::now();
        let error = vault.read(&address(), None).await;
        let error = error.expect_err("hangs");
        assert_eq!(error.reason(), Reason::VaultUnreachable);
        assert_eq!(error.detail(Detail::Cause), Some("TIMEOUT"));
        assert_eq!(start.elapsed(), DEADLINE);
        assert_eq!(stub.count(GET), requests);
    }
}

#[tokio::test]
async fn lost_answer_is_harmless_to_a_read_and_leaves_a_write_open() {
    let stub = Stub::new(vec![(GET, vec![Reply::Lost])]);
    let error = read_fails(&azure(&stub, LONG), None).await;
    assert_eq!(error.reason(), Reason::VaultUnreachable);
    assert_eq!(stub.count(GET), 1);
    for after in [Reply::json(200, listed(&[])), Reply::Lost] {
        let stub = absent_until_put(vec![after], Reply::Lost);
        let error = write_fails(&azure(&stub, LONG)).await;
        assert_eq!(error.reason(), Reason::WriteOutcomeUnknown);
        assert_eq!(stub.count(PUT), 1);
    }
}

#[tokio::test]
async fn write_that_arrived_although_its_answer_did_not_is_found_by_its_tag() {
    for lost in [
        Reply::Lost,
        Reply::json(200, "{"),
        Reply::error(500, "InternalServerError", ""),
    ] {
        let write_id = Uid::random();
        let tagged = bundle(
            VERSION,
            &format!(r#","tags":{{"claviger-write":"{write_id}"}}"#),
        );
        let stub = absent_until_put(vec![Reply::json(200, listed(&[tagged]))], lost);
        let written = write(&azure(&stub, LONG), write_id).await;
        assert_eq!(written.expect("found").version, version());
        assert_eq!(stub.count(PUT), 1);
        assert!(stub.count(VERSIONS) >= 2);
    }
}

/// Nothing was stored: the request never left, or only the question before it got lost.
#[tokio::test]
async fn write_that_was_never_sent_has_a_known_outcome() {
    let stub = absent_until_put(Vec::new(), Reply::NotSent);
    let error = write_fails(&azure(&stub, LONG)).await;
    assert_eq!(error.reason(), Reason::VaultUnreachable);
    let stub = Stub::new(vec![(VERSIONS, vec![Reply::Lost])]);
    let error = write_fails(&azure(&stub, LONG)).await;
    assert_eq!(error.reason(), Reason::VaultUnreachable);
    assert_eq!(stub.count(PUT), 0);
}

#[tokio::test]
async fn vault_that_is_not_there_is_unreachable() {
    let stub = Stub::new(vec![(GET, vec![Reply::NotSent])]);
    let error = read_fails(&azure(&stub, LONG), None).await;
    assert_eq!(error.reason(), Reason::VaultUnreachable);
    assert!(format!("{error:?}").contains("not sent"), "{error:?}");
}

#[tokio::test]
async fn link_to_another_origin_is_not_followed() {
    let last = || Reply::json(200, listed(&[]));
    for link in [
        "https://evil.example/secrets?api-version=7.3",
        "https://other.vault.azure.net/secrets",
        "https://acme.vault.azure.net:8443/secrets",
        "https://acme.vault.azure.net.evil.example/secrets",
        "https://acme.vault.azure.net@evil.example/secrets",
        "//evil.example/secrets",
        "http://acme.vault.azure.net/secrets",
    ] {
        let page = format!(r#"{{"value":[],"nextLink":"{link}"}}"#);
        let stub = Stub::new(vec![
            ("GET /secrets", vec![Reply::json(200, page.clone()), last()]),
            (VERSIONS, vec![Reply::json(200, page), last()]),
        ]);
        let azure = azure(&stub, LONG);
        let listed = azure.list(&|_| true, None, 10).await;
        let error = safe(listed.expect_err(link));
        assert_eq!(error.reason(), Reason::VaultUnreachable, "{link}");
        let versions = azure.versions(&address(), None, 10).await;
        versions.expect_err(link);
        assert_eq!(stub.count("GET /secrets"), 1, "{link}");
        assert_eq!(stub.count(VERSIONS), 1, "{link}");
        // The two, a challenge and a login.
        assert_eq!(stub.count(""), 4, "{link}");
    }
}

#[tokio::test]
async fn pages_go_on_with_the_port_in_the_link_and_may_be_empty() {
    let one = r#"{"value":[{"id":"https://acme.vault.azure.net/secrets/one","attributes":{"enabled":true}}],"nextLink":"https://acme.vault.azure.net:443/secrets?api-version=7.3&$skiptoken=a"}"#;
    let empty =
        r#"{"value":[],"nextLink":"https://acme.vault.azure.net:443/secrets?$skiptoken=b"}"#;
    let two = r#"{"value":[{"id":"https://acme.vault.azure.net/secrets/a-two"}],"nextLink":null}"#;
    let pages = [one, empty, two].map(|page| Reply::json(200, page));
    let stub = Stub::new(vec![("GET /secrets", pages.to_vec())]);
    let listed = azure(&stub, LONG).list(&|_| true, None, 10).await;
    let names: Vec<String> = listed
        .expect("listed")
        .into_iter()
        .map(|one| one.name)
        .collect();
    assert_eq!(names, ["a-two", "one"]);
}

/// The real service takes seconds to a minute, in which the secret reads like an absent one.
#[tokio::test(start_paused = true)]
async fn write_waits_for_a_deleted_secret_to_come_back() {
    let new = "fedcba9876543210fedcba9876543210";
    let none = || Reply::json(200, listed(&[]));
    let old = || Reply::json(200, listed(&[bundle(VERSION, "")]));
    let back = || Reply::json(200, bundle(VERSION, ""));
    for conflict in ["ObjectIsBeingDeleted", "ObjectIsDeletedButRecoverable"] {
        let refused = || Reply::error(409, "Conflict", conflict);
        let both = Reply::json(200, listed(&[bundle(VERSION, ""), bundle(new, "")]));
        let mut versions = vec![none(); 5];
        versions.extend([old(), old(), both]);
        let mut gets = vec![Reply::absent(); 6];
        gets.push(back());
        let (absent, deleted) = (Reply::absent, back);
        let stub = Stub::new(vec![
            (VERSIONS, versions),
            (GET, gets),
            (
                DELETED,
                vec![absent(), absent(), deleted(), deleted(), absent()],
            ),
            (RECOVER, vec![refused(), back()]),
            (PUT, vec![refused(), Reply::json(200, bundle(new, ""))]),
        ]);
        let written = write(&azure(&stub, LONG), Uid::random()).await;
        let written = written.expect("written");
        assert!(written.recovered);
        assert_eq!(written.version, Id::from_static(new));
        assert_eq!(written.replaced, Some(vec![version()]));
        assert_eq!((stub.count(RECOVER), stub.count(PUT)), (2, 2));
        assert!(stub.body().contains(VALUE), "the value is sent");
    }
}

/// Key Vault takes no condition, so what came in between is seen only afterwards: of two writes of
/// one second the one is the later that Key Vault calls the latest.
#[tokio::test]
async fn what_was_replaced_is_told_whoever_else_wrote() {
    let (new, other) = (
        "fedcba9876543210fedcba9876543210",
        "11111111111111111111111111111111",
    );
    let [old, stored, foreign] = [VERSION, new, other].map(|version| bundle(version, ""));
    let alone = [old.clone(), stored.clone()];
    let among = [old.clone(), foreign.clone(), stored.clone()];
    for (after, latest, replaced, followed) in [
        (alone.as_slice(), &stored, VERSION, false),
        (&among, &stored, other, false),
        (&among, &foreign, VERSION, true),
    ] {
        let before = listed(std::slice::from_ref(&old));
        let stub = Stub::new(vec![
            (
                VERSIONS,
                vec![Reply::json(200, before), Reply::json(200, listed(after))],
            ),
            (
                GET,
                vec![
                    Reply::json(200, old.clone()),
                    Reply::json(200, latest.clone()),
                ],
            ),
            (PUT, vec![Reply::json(200, stored.clone())]),
        ]);
        let written = write(&azure(&stub, LONG), Uid::random()).await;
        let written = written.expect("written");
        assert_eq!(written.replaced, Some(vec![Id::from_static(replaced)]));
        assert_eq!(written.followed, followed);
    }
}

#[tokio::test(start_paused = true)]
async fn who_may_not_see_deleted_secrets_creates_others_and_is_told_of_this_one() {
    let denied = || Reply::error(403, "Forbidden", "ForbiddenByRbac");
    let refused = || Reply::error(409, "Conflict", "ObjectIsDeletedButRecoverable");
    for (put, reason) in [
        (Reply::json(200, bundle(VERSION, "")), None),
        (refused(), Some(Reason::SecretDeleted)),
    ] {
        let stub = Stub::new(vec![
            (VERSIONS, vec![Reply::json(200, listed(&[]))]),
            (GET, vec![Reply::absent()]),
            (DELETED, vec![denied()]),
            (PUT, vec![put]),
        ]);
        let written = write(&azure(&stub, LONG), Uid::random()).await;
        assert_eq!(written.err().map(|error| error.reason()), reason);
        assert_eq!(stub.count(PUT), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn secret_that_stays_away_is_left_before_the_deadline_with_a_known_outcome() {
    let stub = Stub::new(vec![
        (VERSIONS, vec![Reply::json(200, listed(&[]))]),
        (GET, vec![Reply::absent()]),
        (DELETED, vec![Reply::json(200, bundle(VERSION, ""))]),
        (RECOVER, vec![Reply::json(200, bundle(VERSION, ""))]),
    ]);
    let azure = azure(&stub, LONG);
    let start = Instant::now();
    let error = write_fails(&azure).await;
    assert_eq!(error.reason(), Reason::WriteInProgress);
    assert!(error.retry_delay().is_some());
    assert!(start.elapsed() <= LONG / 2);
    assert!(stub.count(RECOVER) > 5, "it gave up at once");
}
