//! The page of the metrics: what it counts, what it never says, and to whom it is shown.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;
use std::{env, fs};

use claviger_backend::{Allow, Freshness, Limits};
use claviger_core::Reason;
use claviger_integration::{
    Client, Fault, FaultyBackend, FaultyVault, Options, Server, Verb, reason,
};
use claviger_proto::v1;
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;

use crate::profiles::{app, connecting, profile_name, put};
use crate::support::{fails, in_faulty, located, reading, secret};
use crate::tls::support::Files;

const PAGE: &str = "GET /metrics HTTP/1.1\r\nhost: claviger\r\n\r\n";

/// Where the program is that `cargo xtask` installs.
const PROMTOOL: &str = "CLAVIGER_TEST_PROMTOOL";

/// A daemon with an admin listener in front of a vault with one secret in it, `key`.
async fn prepared(config: &'static str) -> (Server, Client, Arc<FaultyBackend>) {
    let backend = FaultyBackend::shared();
    let vault = FaultyVault {
        id: "faulty",
        backend: Arc::clone(&backend),
        limits: Limits {
            timeout: Duration::from_secs(600),
            concurrent_calls: Some(8),
            calls_per_second: None,
            freshness: Freshness::DEFAULT,
        },
        allow: Allow::everything(),
    };
    let options = Options {
        vaults: vec![vault],
        config,
        ..Options::default()
    };
    let (server, client) = Server::prepared(options).await;
    backend.type_in("key", "first");
    let definition = located(&secret("key"), in_faulty("key"));
    client.put_definition(definition).await.unwrap();
    (server, client, backend)
}

const ADMIN: &str = "listen.admin = \"127.0.0.1:0\"";

/// The number of a series.
fn number(page: &str, series: &str) -> f64 {
    let line = page
        .lines()
        .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.map_or(0.0, |number| number.parse().expect("a number"))
}

/// How much a series grew.
fn growth(pages: (&str, &str), series: &str) -> f64 {
    number(pages.1, series) - number(pages.0, series)
}

/// The metrics of a page, each with its type.
fn kinds(page: &str) -> Vec<(&str, &str)> {
    let kinds = page.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    kinds
        .map(|kind| kind.split_once(' ').expect("name and type"))
        .collect()
}

#[tokio::test]
async fn metrics_change_as_what_they_count_does() {
    let (server, client, backend) = prepared(ADMIN).await;
    let request = reading(&secret("key"));
    let before = server.metrics().await;
    client.get_secret(request.clone()).await.unwrap();
    client.get_secret(request.clone()).await.unwrap();
    let after = server.metrics().await;
    let get = "rpc=\"claviger.v1.SecretService/GetSecret\"";
    for (series, grown) in [
        (format!("claviger_calls_total{{{get},reason=\"OK\"}}"), 2.0),
        (format!("claviger_call_seconds_count{{{get}}}"), 2.0),
        ("claviger_reads_total{reason=\"OK\"}".to_owned(), 2.0),
        ("claviger_cache_reads_total{met=\"miss\"}".to_owned(), 1.0),
        ("claviger_cache_reads_total{met=\"hit\"}".to_owned(), 1.0),
        ("claviger_cache_flights_total".to_owned(), 1.0),
        (
            "claviger_vault_calls_total{vault=\"faulty\",reason=\"OK\"}".to_owned(),
            1.0,
        ),
        (
            "claviger_vault_call_seconds_count{vault=\"faulty\"}".to_owned(),
            1.0,
        ),
        (
            "claviger_vault_wait_seconds_count{vault=\"faulty\"}".to_owned(),
            1.0,
        ),
        // The page before took a connection too.
        (
            "claviger_connections_opened_total{listener=\"admin\"}".to_owned(),
            1.0,
        ),
        (
            "claviger_connections_opened_total{listener=\"socket\"}".to_owned(),
            0.0,
        ),
    ] {
        assert_eq!(
            growth((&before, &after), &series),
            grown,
            "{series}\n{after}"
        );
    }
    assert!(number(&after, "claviger_cache_bytes") >= 5.0);
    assert!(growth((&before, &after), "claviger_audit_write_seconds_count") >= 1.0);
    assert_eq!(
        number(&after, "claviger_connections{listener=\"admin\"}"),
        1.0
    );
    assert_eq!(number(&after, "claviger_audit_health{state=\"well\"}"), 1.0);
    assert_eq!(
        number(&after, "claviger_audit_health{state=\"failed\"}"),
        0.0
    );

    // The vault takes no call of ours any more: one that comes waits for it, and the next one not.
    backend.set(Verb::Read, Fault::Fail(Reason::VaultCredentialsRejected));
    server.clock.advance(Freshness::DEFAULT.max_age);
    client.get_secret(request.clone()).await.unwrap();
    client.get_secret(request.clone()).await.unwrap();
    let failing = server.metrics().await;
    let grown = |series| growth((&after, &failing), series);
    assert_eq!(
        grown("claviger_cache_reads_total{met=\"miss\"}"),
        1.0,
        "{failing}"
    );
    assert_eq!(
        grown("claviger_cache_reads_total{met=\"stale\"}"),
        1.0,
        "{failing}"
    );
    assert_eq!(grown("claviger_cache_served_stale_total"), 2.0);
    let calls =
        "claviger_vault_calls_total{vault=\"faulty\",reason=\"VAULT_CREDENTIALS_REJECTED\"}";
    assert_eq!(grown(calls), 1.0);
    let open = "claviger_vault_breaker_open{vault=\"faulty\"}";
    // One document that fails is not the vault.
    assert_eq!((number(&after, open), number(&failing, open)), (0.0, 0.0));
    // Each one of a batch counts.
    let batch = v1::BatchGetSecretsRequest {
        names: vec![secret("key"), secret("none")],
        ..Default::default()
    };
    client.secrets().batch_get_secrets(batch).await.unwrap();
    let batched = server.metrics().await;
    for reason in ["OK", "DEFINITION_NOT_FOUND"] {
        let reads = format!("claviger_reads_total{{reason=\"{reason}\"}}");
        assert_eq!(growth((&failing, &batched), &reads), 1.0, "{reason}");
    }

    let error = client
        .get_secret(reading(&secret("none")))
        .await
        .unwrap_err();
    let refused = server.metrics().await;
    let series = format!(
        "claviger_calls_total{{{get},reason=\"{}\"}}",
        reason(&error)
    );
    assert_eq!(
        growth((&batched, &refused), &series),
        1.0,
        "{series}\n{refused}"
    );
}

#[tokio::test]
async fn the_page_is_all_that_there_is_in_http_1() {
    let (server, _client, _) = prepared(ADMIN).await;
    for (request, status) in [
        (PAGE, "200 OK"),
        (
            "GET /metrics?x=y HTTP/1.1\r\nhost: claviger\r\n\r\n",
            "200 OK",
        ),
        (
            "POST /metrics HTTP/1.1\r\nhost: claviger\r\n\r\n",
            "405 Method Not Allowed",
        ),
        (
            "GET /metrics/ HTTP/1.1\r\nhost: claviger\r\n\r\n",
            "404 Not Found",
        ),
        // Shorter than the first bytes of HTTP/2, and beginning like them.
        ("GET / HTTP/1.1\r\n\r\n", "404 Not Found"),
        ("PRI / HTTP/1.1\r\n\r\n", "404 Not Found"),
    ] {
        let answer = server.http(request).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}\r\n")),
            "{request}: {answer}"
        );
        assert!(answer.contains("connection: close\r\n"), "{answer}");
    }
    let answer = server.http("POST /metrics HTTP/1.1\r\n\r\n").await;
    assert!(answer.contains("allow: GET\r\n"), "{answer}");
    // The gRPC of the same port is there as before.
    let health = server
        .admin()
        .await
        .health()
        .check(HealthCheckRequest::default())
        .await;
    assert!(health.is_ok());
}

#[tokio::test]
async fn projects_are_named_only_where_the_configuration_asks_for_it() {
    let (server, client, _) = prepared(ADMIN).await;
    client.get_secret(reading(&secret("key"))).await.unwrap();
    let page = server.metrics().await;
    assert_eq!(number(&page, "claviger_reads_total{reason=\"OK\"}"), 1.0);
    for name in ["acme", "\"key\"", "unix:", "token:"] {
        assert!(!page.contains(name), "{name}: {page}");
    }
    drop(server);

    let config = "listen.admin = \"127.0.0.1:0\"\nmetrics.labels = [\"project\"]";
    let (server, client, _) = prepared(config).await;
    client.get_secret(reading(&secret("key"))).await.unwrap();
    let page = server.metrics().await;
    let counted = "claviger_reads_total{project=\"acme\",reason=\"OK\"}";
    assert_eq!(number(&page, counted), 1.0);
    let names = page.lines().filter(|line| line.contains("acme"));
    assert_eq!(names.count(), 1, "{page}");
}

#[tokio::test]
async fn the_page_is_as_prometheus_wants_it_and_as_it_is_described() {
    let files = Files::new();
    let with_tls = files.config("", "client_auth = \"optional\"").leak();
    let (server, client, _) = prepared(with_tls).await;
    client.get_secret(reading(&secret("key"))).await.unwrap();
    // An exchange, which fails.
    let profile = connecting(&profile_name("stripe"), app());
    let name = put(&client, profile).await.unwrap().profile.unwrap().name;
    let request = v1::ResolveConnectionRequest {
        name,
        ..Default::default()
    };
    let resolved = client.profiles().resolve_connection(request).await;
    fails(resolved, Code::Unavailable, "STRIPE_UNREACHABLE");
    server.broker().sweep_installs().await.unwrap();
    let page = server.metrics().await;
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/dashboards");
    let read = |file| fs::read_to_string(directory.join(file)).unwrap();
    let described = read("README.md");
    let metrics = kinds(&page);
    for (name, kind) in &metrics {
        let row = format!("| `{name}` | {kind} |");
        assert!(described.contains(&row), "no row {row}");
    }
    // Dashboard and alerts ask for nothing else.
    let known: BTreeSet<&str> = metrics.iter().map(|(name, _)| *name).collect();
    for file in ["README.md", "alerts.yml", "claviger.json"] {
        let text = read(file);
        let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        for word in words.filter(|word| word.starts_with("claviger_")) {
            let histogram = ["_bucket", "_sum", "_count"];
            let histogram = histogram.iter().find_map(|end| word.strip_suffix(end));
            assert!(known.contains(histogram.unwrap_or(word)), "{file}: {word}");
        }
    }
    check(&page);
}

/// Asks Prometheus' own tool.
fn check(page: &str) {
    #[expect(
        clippy::disallowed_methods,
        reason = "the environment rule is the daemon's; this is how a test finds its peer"
    )]
    let program = env::var_os(PROMTOOL);
    let program = program.unwrap_or_else(|| {
        panic!("{PROMTOOL} is not set: run `cargo xtask test`, which installs promtool")
    });
    let mut promtool = Command::new(program)
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool starts");
    let mut stdin = promtool.stdin.take().expect("piped");
    stdin.write_all(page.as_bytes()).expect("taken");
    drop(stdin);
    let output = promtool.wait_with_output().expect("ends");
    let said = [output.stdout, output.stderr].concat();
    assert!(
        output.status.success(),
        "{}\n{page}",
        String::from_utf8_lossy(&said)
    );
}
