use claviger_api::serve::{ClientAuth, TlsOptions};
use claviger_identity::Vouches;

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
    let config = case.with_file(&text, "").unwrap();
    let tls = config.tls.unwrap();
    let options = TlsOptions {
        client_auth: ClientAuth::Required,
        is_tls12_allowed: true,
    };
    let clients = BundleFiles {
        name: Id::from_static("tls"),
        vouches: Vouches::Spiffe("acme.example".to_owned()),
        authorities: ("tls.client_ca_file".to_owned(), "/e/ca.crt".into()),
        revoked: Some(("tls.crl_file".to_owned(), "/e/a.crl".into())),
    };
    assert_eq!(tls.options, options);
    assert_eq!(config.bundles, [clients]);
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

#[test]
fn identities_vouch_for_certificates_where_clients_are_asked_for_them() {
    let case = Case::new();
    let identities = "\
[identity.corp]
kind = \"x509\"
ca_file = \"/e/corp.crt\"
crl_file = \"/e/corp.crl\"
[identity.partner]
kind = \"spiffe\"
trust_domain = \"partner.example\"
ca_file = \"/e/partner.crt\"
";
    let asking = format!("[tls]\n{PAIR}{CLIENTS}client_auth = \"optional\"\n");
    let config = case
        .with_file(&format!("{asking}{identities}"), "")
        .unwrap();
    let bundles = config.bundles.iter();
    let bundles = bundles.map(|bundle| (bundle.name.as_str(), &bundle.vouches));
    assert_eq!(
        bundles.collect::<Vec<_>>(),
        [
            ("corp", &Vouches::Names),
            ("partner", &Vouches::Spiffe("partner.example".to_owned())),
            ("tls", &Vouches::Spiffe("acme.example".to_owned())),
        ]
    );

    let nobody_asks = "ca_file: vouches for clients, none of which is asked for a certificate";
    for tls in [String::new(), format!("[tls]\n{PAIR}")] {
        let said = problems(&format!("{tls}{identities}"));
        for id in ["corp", "partner"] {
            assert!(
                said.contains(&format!("identity.{id}.{nobody_asks}")),
                "{said}"
            );
        }
    }
    let twice = identities.replace("partner.example", "acme.example");
    let said = problems(&format!("{asking}{twice}"));
    assert!(
        said.contains("identity.partner.ca_file: is for the trust domain of [tls]; put all"),
        "{said}"
    );
    let said = problems(&format!("{asking}{}", identities.replace("corp]", "tls]")));
    assert!(
        said.contains("identity.tls: is the name of what [tls] vouches for"),
        "{said}"
    );
    for (text, expected) in [
        (
            "kind = \"x509\"",
            "identity.corp.ca_file: is missing; name the authorities",
        ),
        (
            "kind = \"x509\"\nissuer = \"canary\"",
            "identity.corp.issuer: is not a key",
        ),
        (
            "kind = \"spiffe\"\ntrust_domain = \"a\"\ncrl_file = \"/e/a.crl\"",
            "identity.corp.crl_file: goes with ca_file, which is missing",
        ),
    ] {
        let said = problems(&format!("{asking}[identity.corp]\n{text}"));
        assert!(said.contains(expected), "{said}");
    }
}
