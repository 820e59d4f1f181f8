//! Answers that lead elsewhere, and others that no client may believe.

use std::time::Duration;

use claviger_backend::Backend as _;
use claviger_backend::testkit::{Facing, Lie, address, hostile_answers};
use claviger_backend_snowflake::{SnowflakeSettings, Storage};
use claviger_core::Reason;
use claviger_stub::{Reply, Stub};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;

use crate::scripted::{LOGIN, refused, row, row_at, row_of, scripted, statement, vault};
use crate::support::{Account, TIMEOUT, put};

/// Passes in full where the connector does not give up.
const SHORT: Duration = Duration::from_secs(2);

const SECRET: &str = "ACME";

/// Longest value, in bytes.
const VALUE_BYTES_MAX: usize = 65_536;

/// To another port of this machine, in the clear and over TLS.
fn elsewhere() -> (Stub, [String; 2]) {
    let stub = Stub::always(Reply::json(200, "{}"));
    let urls = [stub.url(), stub.url().replace("http:", "https:")];
    (stub, urls)
}

fn redirect(status: u16, url: &str) -> Reply {
    Reply::text(status, "").header(&format!("Location: {url}/session/v1/login-request"))
}

#[tokio::test]
async fn redirect_takes_no_log_in_elsewhere() {
    let account = Account::start();
    let (elsewhere, urls) = elsewhere();
    for (status, url) in [307, 308, 302].into_iter().flat_map(|status| {
        let at = |url: &String| (status, url.clone());
        urls.each_ref().map(at)
    }) {
        let reply = redirect(status, &url);
        let stub = scripted(move |asked| (asked == LOGIN).then(|| reply.clone()));
        let vault = vault(&account, &stub, Storage::SecretObjects, TIMEOUT);
        let error = vault.check().await.expect_err("led astray");
        assert_eq!(error.reason(), Reason::VaultUnreachable);
        assert!(
            format!("{error:?}").contains("leads to a host"),
            "{error:?}"
        );
        assert!(elsewhere.asked().is_empty(), "{status} {url}");
    }
}

#[tokio::test]
async fn redirect_takes_no_value_elsewhere_and_leaves_the_write_open() {
    let account = Account::start();
    let (elsewhere, urls) = elsewhere();
    for (storage, storing) in [
        (Storage::SecretObjects, "CREATE SECRET"),
        (Storage::SealedTable, "MERGE"),
    ] {
        for url in &urls {
            let reply = redirect(307, url);
            let head = row_of("fixed", &[("HEAD", "0"), ("STORED", "0")]);
            let stub = scripted(move |asked| match asked {
                LOGIN => None,
                _ if asked.contains(storing) => Some(reply.clone()),
                _ if asked.starts_with("DESCRIBE") => Some(refused("002003")),
                _ => Some(head.clone()),
            });
            let vault = vault(&account, &stub, storage, TIMEOUT);
            let error = put(&vault, &address(SECRET), "canary-value").await;
            let error = error.expect_err("led astray");
            let asked = stub.asked();
            let sent = asked
                .iter()
                .map(statement)
                .filter(|asked| asked.contains(storing));
            assert_eq!(sent.count(), 1, "{storing}: {error:?}");
            assert_eq!(error.reason(), Reason::WriteOutcomeUnknown, "{storing}");
            assert!(!format!("{error:?}").contains("canary"), "{error:?}");
            assert!(elsewhere.asked().is_empty(), "{storing} {url}");
        }
    }
}

#[tokio::test]
async fn part_of_a_result_is_fetched_from_no_other_host() {
    let account = Account::start();
    let (elsewhere, urls) = elsewhere();
    for url in urls {
        let reply = row_at("name", &format!("{url}/part"));
        let stub = scripted(move |asked| asked.starts_with("SHOW").then(|| reply.clone()));
        let vault = vault(&account, &stub, Storage::SecretObjects, SHORT);
        let error = vault.list(&|_| true, None, 10).await.expect_err("astray");
        assert_eq!(error.reason(), Reason::VaultUnreachable);
        assert!(format!("{error:?}").contains("result_hosts"), "{error:?}");
        assert!(elsewhere.asked().is_empty(), "{url}");
    }
}

/// The first byte of TLS: nothing in between has opened it.
#[tokio::test]
async fn account_is_reached_through_the_guard_with_tls_from_end_to_end() {
    let account = Account::start();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    let settings = SnowflakeSettings {
        base_url: Some(format!("https://{address}")),
        ..account.readable()
    };
    let vault = account.vault(&settings);
    let peer = async {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        stream.read_u8().await.expect("a handshake")
    };
    let (checked, first) = tokio::join!(vault.check(), peer);
    assert_eq!(first, 0x16);
    let error = checked.expect_err("hung up");
    assert_eq!(error.reason(), Reason::VaultUnreachable);
}

fn lied(lie: Lie, asked: &str, elsewhere: &str) -> Option<Reply> {
    let endless = |status| Some(Reply::Endless(status, "x".repeat(64 * 1024)));
    let described = |name| Some(row(&[("name", name), ("comment", "")]));
    match (lie, asked) {
        (Lie::EndlessLogin, LOGIN) => endless(200),
        (_, LOGIN) => None,
        (Lie::Endless | Lie::EndlessLogin, _) => endless(200),
        (Lie::EndlessRefusal, _) => endless(400),
        (Lie::Garbage, _) => Some(Reply::text(200, Lie::CANARY)),
        (Lie::Redirect, _) => Some(redirect(307, elsewhere)),
        (Lie::OtherName, _) if asked.starts_with("DESCRIBE") => described("OTHER"),
        (Lie::LongValue, _) if asked.starts_with("DESCRIBE") => described(SECRET),
        (Lie::OtherName, _) => Some(row(&[("READ", "x")])),
        (Lie::LongValue, _) => Some(row(&[("READ", &"x".repeat(VALUE_BYTES_MAX + 1))])),
    }
}

#[tokio::test]
async fn hostile_answers_are_not_believed() {
    let account = Account::start();
    hostile_answers(async |lie| {
        let (elsewhere, [url, _]) = elsewhere();
        let stub = scripted(move |asked| lied(lie, asked, &url));
        let vault = vault(&account, &stub, Storage::SecretObjects, TIMEOUT);
        Some(Facing {
            backend: std::sync::Arc::new(vault),
            address: address(SECRET),
            version: None,
            sent: Box::new(move || stub.sent()),
            strayed: Box::new(move || elsewhere.asked().len()),
        })
    })
    .await;
}
