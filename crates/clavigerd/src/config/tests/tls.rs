use claviger_api::serve::{ClientAuth, TlsOptions};

use super::super::tls::ClientsConfig;
use super::*;

const PAIR: &str = "certificate_file = \"/e/tls.crt\"\nprivate_key_file = \"/e/tls.key\"\n";
const CLIENTS: &str = "client_ca_file = \"/e/ca.crt\"\nspiffe_trust_domain = \"acme.example\"\n";

#[test]
fn with_tls_any_address_is_listened_on() {
    let case = Case::new();
    let text = format!("listen.tcp = \"0.0.0.0:7433\"\n[tls]\n{PAIR}");
    let config = case.with_file(&text, "").unwrap();
    assert_eq!(config.tcp, Some(SocketAddr::from(([0, 0, 0, 0], 7433))));
    let tls = config.tls.unwrap();
    assert_eq!(tls.certificate_file, Path::new("/e/tls.crt"));
    assert_eq!(tls.private_key_file, Path::new("/e/tls.key"));
    assert_eq!((tls.options, tls.clients), (TlsOptions::default(), None));
    let given = case.with_file(&text, "--listen [::]:1").unwrap();
    assert_eq!(given.tcp, Some("[::]:1".parse().unwrap()));

    let text = format!(
        "[tls]\n{PAIR}{CLIENTS}client_auth = \"required\"\ntls12 = true\ncrl_file = \"/e/a.crl\"\n"
    );
    let tls = case.with_file(&text, "").unwrap().tls.unwrap();
    let options = TlsOptions {
        client_auth: ClientAuth::Required,
        is_tls12_allowed: true,
    };
    let clients = ClientsConfig {
        ca_file: "/e/ca.crt".into(),
        crl_file: Some("/e/a.crl".into()),
        trust_domain: "acme.example".to_owned(),
    };
    assert_eq!((tls.options, tls.clients), (options, Some(clients)));
}

#[test]
fn the_admin_listener_stays_on_loopback() {
    let said = problems(&format!("listen.admin = \"0.0.0.0:1\"\n[tls]\n{PAIR}"));
    let expected = "listen.admin: is not a loopback address; put it on loopback (127.0.0.1:PORT)";
    assert!(said.contains(expected), "{said}");
}

#[test]
fn half_of_tls_is_refused_with_the_remedy() {
    let ca = "client_ca_file = \"/e/ca.crt\"\n";
    let optional = "client_auth = \"optional\"\n";
    for (text, expected) in [
        ("".to_owned(), "tls.certificate_file: is missing; name"),
        ("".to_owned(), "tls.private_key_file: is missing; name"),
        (
            format!("{PAIR}{optional}{ca}"),
            "tls.spiffe_trust_domain: is missing; name the domain",
        ),
        (
            format!("{PAIR}{optional}{ca}spiffe_trust_domain = \"ACME/x\""),
            "tls.spiffe_trust_domain: is not a trust domain; write",
        ),
        (
            format!("{PAIR}{optional}spiffe_trust_domain = \"acme.example\""),
            "tls.spiffe_trust_domain: goes with client_ca_file, which is missing; name",
        ),
        (
            format!("{PAIR}{optional}crl_file = \"/e/a.crl\""),
            "tls.crl_file: goes with client_ca_file, which is missing; name",
        ),
        (
            format!("{PAIR}{CLIENTS}"),
            "tls.client_auth: is missing, so no client is asked",
        ),
        (
            format!("{PAIR}client_auth = \"canary\""),
            "tls.client_auth: says nothing of client certificates; write \"none\"",
        ),
        (
            format!("{PAIR}min_version = \"1.2\""),
            "tls.min_version: is not a key",
        ),
        (
            "certificate_file = \"tls.crt\"".to_owned(),
            "tls.certificate_file: is not an absolute path",
        ),
    ] {
        let said = problems(&format!("[tls]\n{text}"));
        assert!(said.contains(expected), "{said}");
        assert!(!said.contains("canary"), "{said}");
    }
}
