//! TLS on TCP: who a client is by its certificate, and files that change under way.

mod floods;
mod pieces;
pub(crate) mod support;

use std::time::Duration;

use claviger_integration::{Client, Server, volume};
use claviger_proto::v1::get_status_response::Part;
use claviger_proto::v1::who_am_i_response::Proof;
use claviger_proto::v1::{ExchangeTokenRequest, ExchangeTokenResponse, GetStatusRequest, Role};
use claviger_raw::{Authority, connect_from};
use rcgen::{ExtendedKeyUsagePurpose, SanType};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::rustls::{HandshakeKind, version};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;

use support::{DAY, ETL, Files, NOW, Opened};

const EXCHANGE_TOKEN: &str = "claviger.v1.AccessService/ExchangeToken";
const UNAUTHENTICATED: &str = "code 16";

async fn tls_part(client: &Client) -> Part {
    let status = client.daemon().get_status(GetStatusRequest {}).await;
    let parts = status.expect("a status").into_inner().parts;
    let part = parts.into_iter().find(|part| part.name == "tls");
    part.expect("the part")
}

#[tokio::test]
async fn a_certificate_speaks_as_its_id_and_a_token_goes_before_it() {
    let files = Files::new();
    let (server, client) = files.serve("client_auth = \"optional\"").await;
    let etl = files.acme.client(&[ETL], |_| ());
    let mut opened = files
        .client(Some(&etl))
        .open(&server)
        .await
        .expect("let in");
    let who = opened.whole(&[]).await.expect("believed");
    let end = i64::try_from((NOW + 6 * DAY).as_secs()).expect("fits");
    assert_eq!(who.principal, ETL);
    assert_eq!(who.expire_time.map(|end| end.seconds), Some(end));
    assert!(who.grants.is_empty());
    client
        .grant("spiffe://acme.example/ns/*", Role::Runner, "*")
        .await;
    assert_eq!(opened.whole(&[]).await.expect("believed").grants.len(), 1);

    let made = client.token(&[(Role::Runner, "*")]).await;
    let bearer = format!("Bearer {}", made.token);
    let who = opened.who(&[("authorization", &bearer)]).await;
    assert!(who.expect("believed").starts_with("token:"));
    let who = opened.who(&[("authorization", "Bearer clv_wrong")]).await;
    assert_eq!(
        who,
        Err(UNAUTHENTICATED.to_owned()),
        "no way back to the certificate"
    );

    let nobody = files.client(None);
    assert_eq!(nobody.who(&server).await, Err(UNAUTHENTICATED.to_owned()));
}

#[tokio::test]
async fn certificates_that_are_not_believed_do_not_get_in() {
    let files = Files::new();
    for auth in ["optional", "required"] {
        let (server, _) = files.serve(&format!("client_auth = \"{auth}\"")).await;
        let other = Authority::new("acme", NOW);
        let made = |uris: &[&str]| files.acme.client(uris, |_| ());
        let revoked = made(&[ETL]);
        files.revoke(&[&revoked]);
        server.look_at_tls();
        let cases = [
            ("two ids", made(&[ETL, "spiffe://acme.example/ns/b"])),
            ("another domain", made(&["spiffe://acme.evil/ns/etl"])),
            ("no id", made(&[])),
            ("another authority", other.client(&[ETL], |_| ())),
            ("revoked", revoked),
            (
                "over",
                files.acme.client(&[ETL], |params| {
                    params.not_after = params.not_before + DAY / 2;
                }),
            ),
            (
                "early",
                files.acme.client(&[ETL], |params| {
                    params.not_before += 2 * DAY;
                }),
            ),
            (
                "a server",
                files.acme.client(&[ETL], |params| {
                    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
                }),
            ),
        ];
        for (case, certificate) in &cases {
            let who = files.client(Some(certificate)).who(&server).await;
            assert!(who.is_err(), "{auth}, {case}: {who:?}");
            assert_ne!(who, Err(UNAUTHENTICATED.to_owned()), "{auth}, {case}");
        }
        let nobody = files.client(None).who(&server).await;
        assert_eq!(
            nobody == Err(UNAUTHENTICATED.to_owned()),
            auth == "optional",
            "{nobody:?}"
        );
        let etl = made(&[ETL]);
        assert_eq!(
            files.client(Some(&etl)).who(&server).await.as_deref(),
            Ok(ETL)
        );
        files.revoke(&[]);
    }
}

#[tokio::test]
async fn an_identity_vouches_for_its_own_names_alone() {
    let files = Files::new();
    let (corp, partner) = (Authority::new("corp", NOW), Authority::new("partner", NOW));
    files.write("corp.pem", &corp.pem());
    files.write("partner.pem", &partner.pem());
    let identities = format!(
        "client_auth = \"required\"\n\
         [identity.corp]\nkind = \"x509\"\nca_file = \"{}\"\n\
         [identity.partner]\nkind = \"spiffe\"\ntrust_domain = \"partner.example\"\nca_file = \"{}\"\n",
        files.named("corp.pem"),
        files.named("partner.pem"),
    );
    let (server, _) = files.serve(&identities).await;
    let host = corp.client(&[], |params| {
        let host = "ETL.acme.example".try_into().expect("ASCII");
        params.subject_alt_names = vec![SanType::DnsName(host)];
    });
    let workload = "spiffe://partner.example/ns/etl";
    for (certificate, expected) in [
        (host, Some("x509:corp:etl.acme.example")),
        (
            corp.client(&["urn:job:7"], |_| ()),
            Some("x509:corp:urn:job:7"),
        ),
        (partner.client(&[workload], |_| ()), Some(workload)),
        (files.acme.client(&[ETL], |_| ()), Some(ETL)),
        (partner.client(&[ETL], |_| ()), None),
        (files.acme.client(&[workload], |_| ()), None),
        (corp.client(&[workload], |_| ()), None),
        (files.acme.client(&["urn:job:7"], |_| ()), None),
    ] {
        let who = files.client(Some(&certificate)).who(&server).await;
        assert_eq!(who.as_deref().ok(), expected, "{who:?}");
    }
}

#[tokio::test]
async fn only_h2_in_tls_of_today_is_spoken() {
    let files = Files::new();
    let (server, client) = files.serve("client_auth = \"optional\"").await;
    let etl = files.acme.client(&[ETL], |_| ());
    let mut plain = TcpStream::connect(server.address())
        .await
        .expect("connects");
    plain
        .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        .await
        .expect("taken");
    let mut answer = Vec::new();
    plain.read_to_end(&mut answer).await.ok();
    assert_eq!(answer.first().copied(), Some(21), "an alert of TLS");

    for protocols in [vec![], vec![b"http/1.1".to_vec()]] {
        let mut other = files.client(Some(&etl));
        other.0.alpn_protocols = protocols;
        assert!(other.who(&server).await.is_err());
    }
    let old = files.client_of(Some(&etl), &[&version::TLS12]);
    assert!(old.who(&server).await.is_err());
    let (lenient, _) = files
        .serve("client_auth = \"required\"\ntls12 = true")
        .await;
    assert_eq!(old.who(&lenient).await.as_deref(), Ok(ETL));
    assert!(tls_part(&client).await.ok);
}

/// What happens to files.
type Deed<'a> = &'a dyn Fn();

/// Opens a connection and hears who it is, by which its ticket has come.
async fn hears(opened: &mut Opened) {
    assert_eq!(opened.who(&[]).await.as_deref(), Ok(ETL));
}

#[tokio::test]
async fn what_changes_between_a_full_and_a_resumed_handshake_counts() {
    for versions in [&[&version::TLS13], &[&version::TLS12]] {
        let files = Files::new();
        let (server, _) = files
            .serve("client_auth = \"required\"\ntls12 = true")
            .await;
        let etl = files.acme.client(&[ETL], |_| ());
        let pem = files.acme.pem();
        let changes: [(&str, Deed<'_>, Deed<'_>); 2] = [
            ("revoked", &|| files.revoke(&[&etl]), &|| files.revoke(&[])),
            (
                "another bundle",
                &|| files.write("ca.pem", &Authority::new("other", NOW).pem()),
                &|| files.write("ca.pem", &pem),
            ),
        ];
        for (case, change, change_back) in changes {
            let client = files.client_of(Some(&etl), versions);
            let mut first = client.open(&server).await.expect("let in");
            assert_eq!(first.kind, HandshakeKind::Full);
            hears(&mut first).await;
            let mut second = client.open(&server).await.expect("let in");
            assert_eq!(second.kind, HandshakeKind::Resumed);
            hears(&mut second).await;

            change();
            server.look_at_tls();
            let resumed = client.who(&server).await;
            assert!(resumed.is_err(), "{case}: {resumed:?}");
            assert_ne!(resumed, Err(UNAUTHENTICATED.to_owned()), "{case}");
            for open in [&mut first, &mut second] {
                assert_eq!(
                    open.who(&[]).await,
                    Err(UNAUTHENTICATED.to_owned()),
                    "{case}"
                );
            }
            change_back();
            server.look_at_tls();
            hears(&mut first).await;
        }

        let client = files.client_of(Some(&etl), versions);
        let mut first = client.open(&server).await.expect("let in");
        hears(&mut first).await;
        server.clock.advance(6 * DAY);
        assert_eq!(
            first.who(&[]).await,
            Err(UNAUTHENTICATED.to_owned()),
            "over"
        );
        assert!(client.who(&server).await.is_err(), "over");
    }
}

#[tokio::test]
async fn a_connection_ends_with_the_certificate_of_its_client() {
    let files = Files::new();
    let (server, _) = files.serve("client_auth = \"required\"").await;
    let short = files.acme.client(&[ETL], |params| {
        params.not_after = params.not_before + DAY + Duration::from_secs(1);
    });
    let mut opened = files
        .client(Some(&short))
        .open(&server)
        .await
        .expect("let in");
    hears(&mut opened).await;
    // The server's clock stands still: it goes by the time that was left.
    opened.raw.ended().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pair_is_replaced_under_load_and_garbage_never_is() {
    let files = Files::new();
    let (server, client) = files.serve("client_auth = \"required\"").await;
    let etl = files.acme.client(&[ETL], |_| ());
    let tls = files.client(Some(&etl));
    let mut open = Vec::new();
    for _ in 0..8 {
        open.push(tls.open(&server).await.expect("let in"));
    }
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let mut calling = JoinSet::new();
    for mut opened in open {
        let stopped = stopped.clone();
        calling.spawn(async move {
            let mut calls = 0_u64;
            while !*stopped.borrow() {
                hears(&mut opened).await;
                calls += 1;
            }
            calls
        });
    }

    for _ in 0..20 {
        let new = files.replace_pair();
        server.look_at_tls();
        // Without tickets, by which the server shows none.
        let opened = files
            .client(Some(&etl))
            .open(&server)
            .await
            .expect("let in");
        assert_eq!(opened.server, new);
        assert_eq!(tls_part(&client).await.message, "");
    }
    let last = files.replace_pair();
    server.look_at_tls();
    let other = files.root.server(&["localhost"]);
    let long = "x".repeat(1024 * 1024 + 1);
    for (name, text, said) in [
        ("server.pem", "garbage", "server.pem: holds no certificate"),
        ("server.pem", &*other.certificate, "do not go together"),
        ("server.key", "garbage", "server.key: holds no key"),
        ("ca.pem", "garbage", "ca.pem: holds no certificate"),
        ("acme.crl", "garbage", "acme.crl: holds no revocation list"),
        ("acme.crl", &*long, "acme.crl: is longer than 1 MiB"),
    ] {
        let before = files.read(name);
        files.write(name, text);
        server.look_at_tls();
        let part = tls_part(&client).await;
        assert!(
            !part.ok && part.message.contains(said),
            "{name}: {}",
            part.message
        );
        let mut opened = files
            .client(Some(&etl))
            .open(&server)
            .await
            .expect("let in");
        assert_eq!(opened.server, last, "{name}");
        hears(&mut opened).await;
        let metrics = server.metrics().await;
        assert!(
            metrics.contains("\nclaviger_tls_reload_failed 1\n"),
            "{metrics}"
        );
        files.write(name, &before);
        server.look_at_tls();
        assert_eq!(tls_part(&client).await.message, "");
    }
    let end = (NOW + 6 * DAY).as_secs();
    let metrics = server.metrics().await;
    let gauge = format!("claviger_tls_certificate_expire_timestamp_seconds {end}\n");
    assert!(metrics.contains(&gauge), "{metrics}");
    assert!(
        metrics.contains("\nclaviger_tls_reload_failed 0\n"),
        "{metrics}"
    );
    let part = tls_part(&client).await;
    assert_eq!(
        part.expire_time.map(|end| end.seconds.cast_unsigned()),
        Some(end)
    );

    stop.send(true).expect("they listen");
    for calls in calling.join_all().await {
        assert!(calls > 0);
    }
}

/// Waits until the health of TLS is told so.
async fn health_becomes(server: &Server, wanted: ServingStatus) {
    let request = HealthCheckRequest {
        service: "tls".to_owned(),
    };
    let watching = server.admin().await.health().watch(request).await;
    let mut states = watching.expect("watched").into_inner();
    // Unknown until the files are looked at for the first time.
    while states
        .message()
        .await
        .expect("told")
        .expect("more")
        .status()
        != wanted
    {}
}

#[tokio::test]
async fn files_are_looked_at_without_being_told() {
    let files = Files::new();
    let (server, _) = files.serve("client_auth = \"optional\"").await;
    health_becomes(&server, ServingStatus::Serving).await;
    files.write("acme.crl", "garbage");
    health_becomes(&server, ServingStatus::NotServing).await;
    files.revoke(&[]);
    let new = files.replace_pair();
    health_becomes(&server, ServingStatus::Serving).await;
    let opened = files.client(None).open(&server).await.expect("let in");
    assert_eq!(opened.server, new);
}

#[tokio::test]
async fn a_thousand_half_open_handshakes_end_at_the_deadline_and_keep_nobody_out() {
    let files = Files::new();
    let listen = ", handshake_timeout = \"1s\", connections = 1024";
    let (server, client) = files.serve_with(listen, "client_auth = \"required\"").await;
    let etl = files.acme.client(&[ETL], |_| ());
    let mut half_open = Vec::new();
    for number in 0..1000_usize {
        let from = "127.0.0.2".parse().expect("an address");
        let mut stream = connect_from(from, server.address()).await.expect("room");
        // The beginning of a record that says that it is a hello of 256 bytes.
        let hello = [22, 3, 1, 1, 0, 1, 0, 0, 252, 3, 3];
        stream
            .write_all(&hello[..number % hello.len()])
            .await
            .expect("taken");
        half_open.push(stream);
    }
    let mut opened = files
        .client(Some(&etl))
        .open(&server)
        .await
        .expect("let in");
    hears(&mut opened).await;
    for stream in &mut half_open {
        stream.read_to_end(&mut Vec::new()).await.ok();
    }
    hears(&mut opened).await;
    assert!(tls_part(&client).await.ok);
}

#[tokio::test]
async fn a_certificate_is_exchanged_for_a_token_that_speaks_as_its_id() {
    let files = Files::new();
    let (server, client) = files.serve("client_auth = \"optional\"").await;
    client
        .grant("spiffe://acme.example/ns/*", Role::Runner, "*")
        .await;
    let etl = files.acme.client(&[ETL], |_| ());
    let mut opened = files
        .client(Some(&etl))
        .open(&server)
        .await
        .expect("let in");
    let request = ExchangeTokenRequest { ttl: None };
    let exchanged: Result<ExchangeTokenResponse, _> =
        opened.call(EXCHANGE_TOKEN, &[], &request).await;
    let bearer = format!("Bearer {}", exchanged.expect("exchanged").token);
    let headers = [("authorization", &*bearer)];

    // From a client without a certificate.
    let mut bare = files.client(None).open(&server).await.expect("let in");
    let who = bare.whole(&headers).await.expect("believed");
    assert_eq!(
        (who.principal.as_str(), who.identity.as_str()),
        (ETL, "tls")
    );
    assert_eq!(who.proof(), Proof::ExchangedToken);
    let again: Result<ExchangeTokenResponse, _> =
        opened.call(EXCHANGE_TOKEN, &headers, &request).await;
    assert_eq!(
        again.unwrap_err(),
        "code 9",
        "it goes before the certificate"
    );
}

/// At volume 20 ten thousand, if there are twice as many file descriptors.
#[tokio::test]
async fn one_address_with_all_connections_over_tls_keeps_nobody_out() {
    let files = Files::new();
    let connections = 500 * volume();
    let listen = format!(", connections = {connections}");
    let (server, _) = files
        .serve_with(&listen, "client_auth = \"required\"")
        .await;
    let etl = files.acme.client(&[ETL], |_| ());
    let client = files.client(Some(&etl));
    let mut flood = Vec::new();
    for _ in 0..connections {
        flood.push(client.open_from("127.0.0.2", &server).await.expect("room"));
    }
    for _ in 0..10 {
        let mut opened = client.open(&server).await.expect("let in");
        assert_eq!(opened.who(&[]).await.as_deref(), Ok(ETL));
        flood.push(opened);
    }
    // Those of the address that holds most went for them, the oldest first.
    for opened in flood.drain(..10) {
        opened.raw.ended().await;
    }
}

#[tokio::test]
async fn a_start_with_bad_files_is_refused_with_the_remedy() {
    let files = Files::new();
    let (mut server, _) = files.serve("client_auth = \"required\"").await;
    for (name, said) in [
        ("server.pem", "tls.certificate_file"),
        ("server.key", "tls.private_key_file"),
        ("ca.pem", "tls.client_ca_file"),
        ("acme.crl", "tls.crl_file"),
    ] {
        let before = files.read(name);
        files.write(name, "garbage");
        let stop = refusal(&mut server).await;
        assert!(stop.contains(said) && stop.contains("; put"), "{stop}");
        files.write(name, &before);
        files.open_to_all(name);
        let stop = refusal(&mut server).await;
        assert!(
            stop.contains(said) && stop.contains("; close it (chmod"),
            "{stop}"
        );
        files.write(name, &before);
    }
    server.clock.advance(30 * DAY);
    let stop = refusal(&mut server).await;
    assert!(
        stop.contains("the certificate has ended; put a new one there"),
        "{stop}"
    );
}

async fn refusal(server: &mut Server) -> String {
    server.refuses_after(|_| ()).await
}
