//! Answers that are too long, histories without end, and questions that take too long.

use std::time::Duration;

use claviger_backend::{Backend, Write};
use claviger_core::{Format, Reason, SecretBytes, Uid};

use crate::stub::{LOGIN, Reply, Stub};
use crate::support::*;

const DEADLINE: Duration = Duration::from_secs(2);

const NEW: &str = "fedcba9876543210fedcba9876543210";

fn tagged(version: &str, write_id: Uid) -> String {
    let tags = format!(r#","tags":{{"claviger-store":"x","claviger-write":"{write_id}"}}"#);
    bundle(version, &tags)
}

/// Pages that each name another one.
fn endless() -> Vec<Reply> {
    let page = |n| {
        let link = format!("https://acme.vault.azure.net/secrets/acme/versions?page={n}");
        let version = bundle(&format!("{n:032x}"), "");
        Reply::json(
            200,
            format!(r#"{{"value":[{version}],"nextLink":"{link}"}}"#),
        )
    };
    (0..1_000).map(page).collect()
}

#[tokio::test]
async fn write_that_is_the_latest_is_found_without_its_history() {
    let write_id = Uid::random();
    let stub = Stub::new(vec![
        (VERSIONS, endless()),
        (GET, vec![Reply::json(200, tagged(NEW, write_id))]),
    ]);
    let azure = azure(&stub, LONG);
    let found = azure.find_write(&address(), write_id).await;
    assert_eq!(found.expect("asked").expect("found").as_str(), NEW);
    assert_eq!(stub.count(VERSIONS), 0);
    let again = write(&azure, write_id).await.expect("there already");
    assert_eq!(again.version.as_str(), NEW);
    assert_eq!(stub.count(PUT), 0);
    let other = azure.find_write(&address(), Uid::random()).await;
    assert_eq!(other.expect("asked"), None);
    let replaced = azure.replaced(&address(), &version()).await;
    assert_eq!(replaced.expect("asked"), None);
    assert!(stub.count(VERSIONS) <= 60, "{}", stub.count(VERSIONS));
}

#[tokio::test]
async fn history_without_end_does_not_keep_a_value_from_being_written() {
    for (latest, before) in [
        (tagged(VERSION, Uid::random()), 2),
        (bundle(VERSION, ""), 10),
    ] {
        let stub = Stub::new(vec![
            (VERSIONS, endless()),
            (GET, vec![Reply::json(200, latest)]),
            (PUT, vec![Reply::json(200, bundle(NEW, ""))]),
        ]);
        let written = write(&azure(&stub, LONG), Uid::random()).await;
        let written = written.expect("written");
        assert_eq!((written.version.as_str(), written.replaced), (NEW, None));
        assert_eq!(stub.count(PUT), 1);
        assert_eq!(stub.count(VERSIONS), before + 40);
    }
}

#[tokio::test]
async fn part_of_a_history_makes_nobody_the_owner() {
    let stub = Stub::new(vec![
        (VERSIONS, endless()),
        (GET, vec![Reply::json(200, bundle(VERSION, ""))]),
    ]);
    let value = SecretBytes::new(VALUE.into());
    let write = Write {
        write_id: Uid::random(),
        value: &value,
        format: Format::Text,
        adopt: false,
    };
    let error = azure(&stub, LONG).write(&address(), &write).await;
    let error = error.expect_err("nobody's");
    assert_eq!(error.reason(), Reason::SecretNotOwned);
    assert_eq!(stub.count(PUT), 0);
}

/// Within the deadline of the daemon, after which it could not tell.
#[tokio::test(start_paused = true)]
async fn questions_that_hang_leave_no_write_open_that_was_not_sent() {
    let value = SecretBytes::new(VALUE.into());
    let write = Write {
        write_id: Uid::random(),
        value: &value,
        format: Format::Text,
        adopt: true,
    };
    let page = || Reply::json(200, listed(&[bundle(VERSION, "")]));
    let latest = || Reply::json(200, bundle(VERSION, ""));
    for (versions, get, sent) in [
        (vec![Reply::Hang], latest(), false),
        (vec![page()], Reply::Hang, false),
        (vec![page(), Reply::Hang], latest(), true),
    ] {
        let stub = Stub::new(vec![
            (VERSIONS, versions),
            (GET, vec![get]),
            (PUT, vec![Reply::json(200, bundle(NEW, ""))]),
        ]);
        let vault = vault(azure(&stub, DEADLINE), DEADLINE);
        let outcome = vault.write(&address(), &write).await;
        assert_eq!(stub.count(PUT), usize::from(sent));
        match outcome {
            Ok(written) => assert_eq!((written.version.as_str(), written.replaced), (NEW, None)),
            Err(error) => {
                assert_eq!(error.reason(), Reason::VaultUnreachable);
                assert!(!sent, "{error:?}");
            }
        }
    }
}

#[tokio::test]
async fn answer_that_is_too_long_is_not_taken() {
    let padded = |body: String, len: usize| Reply::json(200, format!("{body}{}", " ".repeat(len)));
    let token = r#"{"token_type":"Bearer","expires_in":86399,"access_token":"token"}"#;
    for (login, vault, is_taken) in [
        (1_000, 1_000, true),
        (64 * 1024, 0, false),
        (0, 1024 * 1024, false),
    ] {
        let stub = Stub::new(vec![
            (LOGIN, vec![padded(token.to_owned(), login)]),
            (GET, vec![padded(bundle(VERSION, ""), vault)]),
        ]);
        let read = azure(&stub, LONG).read(&address(), None).await;
        match read {
            Ok(_) => assert!(is_taken),
            Err(error) => {
                assert!(!is_taken, "{error:?}");
                assert_eq!(error.reason(), Reason::VaultUnreachable);
                assert!(format!("{error:?}").contains("too long"), "{error:?}");
            }
        }
    }
    let stub = absent_until_put(vec![], padded(bundle(VERSION, ""), 1024 * 1024));
    let error = write_fails(&azure(&stub, LONG)).await;
    assert_eq!(error.reason(), Reason::WriteOutcomeUnknown);
}

#[tokio::test]
async fn page_that_leads_back_is_an_error() {
    let page = r#"{"value":[],"nextLink":"https://acme.vault.azure.net/secrets/x?$skiptoken=a"}"#;
    let stub = Stub::new(vec![
        ("GET /secrets", vec![Reply::json(200, page)]),
        (VERSIONS, vec![Reply::json(200, page)]),
        ("GET /secrets/x", vec![Reply::json(200, page)]),
    ]);
    let azure = azure(&stub, LONG);
    let listed = azure.list(&|_| true, None, 10).await;
    let error = safe(listed.expect_err("a circle"));
    assert_eq!(error.reason(), Reason::VaultUnreachable);
    assert!(format!("{error:?}").contains("does not end"), "{error:?}");
    let versions = azure.versions(&address(), None, 10).await;
    assert_eq!(
        versions.expect_err("a circle").reason(),
        Reason::VaultUnreachable
    );
    assert_eq!(stub.count("GET /secrets/x"), 2);
}
