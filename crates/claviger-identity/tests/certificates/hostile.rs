//! Certificates that somebody has made up.

use std::time::Duration;

use claviger_core::Id;
use claviger_identity::{Bundle, BundleFile, Bundles, Vouches};
use claviger_raw::Authority;
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyUsagePurpose, SanType,
};

use super::{NOW, at, bundle, chain, judge};

const ETL: &str = "spiffe://acme.example/ns/etl";
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

type Change = fn(&mut CertificateParams);

fn names(params: &mut CertificateParams, names: &[SanType]) {
    params.subject_alt_names = names.to_vec();
}

fn host(name: &str) -> SanType {
    SanType::DnsName(name.try_into().expect("ASCII"))
}

fn uri(name: &str) -> SanType {
    SanType::URI(name.try_into().expect("ASCII"))
}

#[test]
fn a_certificate_counts_for_one_name_of_a_client_that_its_own_bundle_vouches_for() {
    let [acme, other, corp] = ["acme", "other", "corp"].map(|name| Authority::new(name, NOW));
    let bundles = Bundles::new(vec![
        bundle("tls", Some("acme.example"), &acme.pem(), None),
        bundle("partner", Some("other.example"), &other.pem(), None),
        bundle("corp", None, &corp.pem(), None),
    ]);
    let honest: Change = |_| ();
    let cases: &[(&str, &Authority, &[&str], Change, &str)] = &[
        ("a workload", &acme, &[ETL], honest, ETL),
        (
            "one with a host name",
            &acme,
            &[ETL],
            |p| names(p, &[uri(ETL), host("a.example")]),
            ETL,
        ),
        (
            "a host",
            &corp,
            &[],
            |p| names(p, &[host("A.example")]),
            "x509:corp:a.example",
        ),
        (
            "a URI",
            &corp,
            &["urn:job:7"],
            honest,
            "x509:corp:urn:job:7",
        ),
        (
            "two URIs",
            &acme,
            &[ETL, "spiffe://acme.example/ns/b"],
            honest,
            "CERTIFICATE_NAMES",
        ),
        (
            "an id and a URI",
            &acme,
            &[ETL, "urn:job:7"],
            honest,
            "CERTIFICATE_NAMES",
        ),
        (
            "two hosts",
            &corp,
            &[],
            |p| names(p, &[host("a"), host("b")]),
            "CERTIFICATE_NAMES",
        ),
        (
            "a host and a URI",
            &corp,
            &["urn:job:7"],
            |p| names(p, &[host("a"), uri("urn:b")]),
            "CERTIFICATE_NAMES",
        ),
        ("no name", &acme, &[], honest, "CERTIFICATE_NAMES"),
        (
            "a common name",
            &corp,
            &[],
            |p| p.distinguished_name.push(DnType::CommonName, "a.example"),
            "CERTIFICATE_NAMES",
        ),
        (
            "a domain",
            &acme,
            &["spiffe://acme.example"],
            honest,
            "CERTIFICATE_NAMES",
        ),
        (
            "a path that climbs",
            &acme,
            &["spiffe://acme.example/a/../b"],
            honest,
            "CERTIFICATE_NAMES",
        ),
        (
            "a loud scheme",
            &acme,
            &["SPIFFE://acme.example/ns"],
            honest,
            "CERTIFICATE_NAMES",
        ),
        (
            "all hosts",
            &corp,
            &[],
            |p| names(p, &[host("*.example")]),
            "CERTIFICATE_NAMES",
        ),
        (
            "a pattern",
            &corp,
            &["urn:job/*"],
            honest,
            "CERTIFICATE_NAMES",
        ),
        (
            "a URI like a host",
            &corp,
            &["a.example"],
            honest,
            "CERTIFICATE_NAMES",
        ),
        (
            "a foreign domain",
            &acme,
            &["spiffe://acme.evil/ns"],
            honest,
            "CERTIFICATE_TRUST_DOMAIN",
        ),
        (
            "a domain that only begins so",
            &acme,
            &["spiffe://acme.example.evil/ns"],
            honest,
            "CERTIFICATE_TRUST_DOMAIN",
        ),
        (
            "another domain's authority",
            &other,
            &[ETL],
            honest,
            "CERTIFICATE_AUTHORITY",
        ),
        (
            "an authority of hosts",
            &corp,
            &[ETL],
            honest,
            "CERTIFICATE_AUTHORITY",
        ),
        (
            "a host by a domain's authority",
            &acme,
            &[],
            |p| names(p, &[host("a")]),
            "CERTIFICATE_AUTHORITY",
        ),
        (
            "an authority",
            &acme,
            &[ETL],
            |p| p.is_ca = IsCa::Ca(BasicConstraints::Unconstrained),
            "CERTIFICATE_CA",
        ),
        (
            "one that may sign",
            &acme,
            &[ETL],
            |p| p.key_usages.push(KeyUsagePurpose::KeyCertSign),
            "CERTIFICATE_CA",
        ),
        (
            "a server",
            &acme,
            &[ETL],
            |p| p.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth],
            "CERTIFICATE_USAGE",
        ),
        (
            "any usage",
            &acme,
            &[ETL],
            |p| p.extended_key_usages = vec![ExtendedKeyUsagePurpose::Any],
            "CERTIFICATE_USAGE",
        ),
        (
            "no usage said",
            &acme,
            &[ETL],
            |p| p.extended_key_usages.clear(),
            "CERTIFICATE_USAGE",
        ),
        (
            "a key that may not sign",
            &acme,
            &[ETL],
            |p| p.key_usages = vec![KeyUsagePurpose::KeyAgreement],
            "CERTIFICATE_USAGE",
        ),
        (
            "what nobody knows",
            &acme,
            &[ETL],
            |p| {
                let mut unknown = CustomExtension::from_oid_content(&[1, 2, 3, 4], vec![5, 0]);
                unknown.set_criticality(true);
                p.custom_extensions.push(unknown);
            },
            "CERTIFICATE_MALFORMED",
        ),
    ];
    for (case, authority, uris, change, expected) in cases {
        let made = authority.client(uris, change);
        assert_eq!(judge(&bundles, &made.certificate, NOW), *expected, "{case}");
    }
    assert_eq!(judge(&bundles, &acme.pem(), NOW), "CERTIFICATE_CA");
    assert_eq!(judge(&bundles, "", NOW), "CERTIFICATE_MALFORMED");
    let nobody = Bundles::default();
    let etl = acme.client(&[ETL], honest).certificate;
    assert_eq!(judge(&nobody, &etl, NOW), "CERTIFICATE_TRUST_DOMAIN");
}

#[test]
fn a_chain_counts_while_all_of_it_does() {
    let root = Authority::new("root", NOW);
    let middle = root.signs("middle");
    let bundles = Bundles::new(vec![bundle("tls", Some("acme.example"), &root.pem(), None)]);
    let etl = middle.client(&[ETL], |_| ());
    let alone = etl.certificate;
    let whole = format!("{alone}{}", middle.pem());
    assert_eq!(judge(&bundles, &alone, NOW), "CERTIFICATE_AUTHORITY");
    assert_eq!(judge(&bundles, &whole, NOW), ETL);
    let certified = bundles.judge(&chain(&whole), at(NOW)).expect("believed");
    assert_eq!(
        (certified.ends, certified.bundle.as_str()),
        (at(NOW + 6 * DAY), "tls")
    );
    assert_eq!(judge(&bundles, &whole, NOW + 6 * DAY), ETL);
    for (case, now, refusal) in [
        (
            "over",
            NOW + 6 * DAY + Duration::from_secs(1),
            "CERTIFICATE_EXPIRED",
        ),
        (
            "early",
            NOW - DAY - Duration::from_secs(1),
            "CERTIFICATE_NOT_YET_VALID",
        ),
    ] {
        assert_eq!(judge(&bundles, &whole, now), refusal, "{case}");
    }

    // The life of those that vouch counts as well, that of the root too, at which a library does
    // not look.
    let long: Change = |params| params.not_after += 30 * DAY;
    let (by_root, by_middle) = (root.client(&[ETL], long), middle.client(&[ETL], long));
    let by_middle = by_middle.certificate + &middle.pem();
    for pem in [&by_root.certificate, &by_middle] {
        let certified = bundles.judge(&chain(pem), at(NOW)).expect("believed");
        assert_eq!(certified.ends, at(NOW + 6 * DAY));
        assert_eq!(judge(&bundles, pem, NOW + 7 * DAY), "CERTIFICATE_EXPIRED");
    }
    // Whose name is right and whose key is not.
    let forged = Authority::new("root", NOW).client(&[ETL], |_| ());
    assert_eq!(
        judge(&bundles, &forged.certificate, NOW),
        "CERTIFICATE_AUTHORITY"
    );
}

#[test]
fn a_chain_with_many_ways_through_it_is_not_walked() {
    let root = Authority::new("root", NOW);
    let bundles = Bundles::new(vec![bundle("tls", Some("acme.example"), &root.pem(), None)]);
    // Authorities of one name, of which each could have signed each other one.
    let others: String = (0..5).map(|_| Authority::new("x", NOW).pem()).collect();
    let leaf = Authority::new("x", NOW).client(&[ETL], |_| ());
    let many = leaf.certificate + &others;
    assert_eq!(judge(&bundles, &many, NOW), "CERTIFICATE_MALFORMED");
}

#[test]
fn what_a_list_revokes_or_does_not_cover_is_refused() {
    let root = Authority::new("root", NOW);
    let middle = root.signs("middle");
    let (good, bad) = (middle.client(&[ETL], |_| ()), middle.client(&[ETL], |_| ()));
    let whole =
        |certificate: &claviger_raw::Certificate| certificate.certificate.clone() + &middle.pem();
    let by = |lists: &str| {
        let bundle = bundle("tls", Some("acme.example"), &root.pem(), Some(lists));
        Bundles::new(vec![bundle])
    };
    let of_middle = middle.revokes(&[&bad], DAY);
    let both = by(&(root.revokes(&[], DAY) + &of_middle));
    assert_eq!(judge(&both, &whole(&good), NOW), ETL);
    assert_eq!(judge(&both, &whole(&bad), NOW), "CERTIFICATE_REVOKED");
    // A list that has ended could be an old one, put back.
    let later = NOW + DAY + Duration::from_secs(1);
    assert_eq!(
        judge(&both, &whole(&good), later),
        "CERTIFICATE_REVOCATION_UNKNOWN"
    );
    // The middle is on no list.
    assert_eq!(
        judge(&by(&of_middle), &whole(&good), NOW),
        "CERTIFICATE_REVOCATION_UNKNOWN"
    );
    // One by another authority of that name.
    let forged = root.revokes(&[], DAY) + &Authority::new("middle", NOW).revokes(&[], DAY);
    assert_ne!(judge(&by(&forged), &whole(&good), NOW), ETL);
}

#[test]
fn a_bundle_of_anything_else_is_refused_with_the_remedy() {
    let root = Authority::new("root", NOW);
    let leaf = root.client(&[ETL], |_| ());
    let list = root.revokes(&[], DAY);
    let two_lists = root.revokes(&[&leaf], DAY) + &list;
    let parse = |authorities: &str, revoked: Option<&str>| {
        let name = Id::parse("id", "tls").expect("an id");
        let revoked = revoked.map(str::as_bytes);
        Bundle::parse(name, Vouches::Names, authorities.as_bytes(), revoked).map(drop)
    };
    for (authorities, revoked, file, words) in [
        ("", None, BundleFile::Authorities, "holds no certificate"),
        (
            &*leaf.key,
            None,
            BundleFile::Authorities,
            "holds no certificate",
        ),
        (
            &*leaf.certificate,
            None,
            BundleFile::Authorities,
            "no authority's (CA:TRUE)",
        ),
        (
            &*root.pem(),
            Some(""),
            BundleFile::Revoked,
            "BEGIN X509 CRL",
        ),
        (
            &*root.pem(),
            Some(&*root.pem()),
            BundleFile::Revoked,
            "BEGIN X509 CRL",
        ),
        (
            &*root.pem(),
            Some(&*two_lists),
            BundleFile::Revoked,
            "two revocation lists of one authority; keep the newest",
        ),
    ] {
        let (at, remedy) = parse(authorities, revoked).expect_err(words);
        assert_eq!(at, file, "{remedy}");
        assert!(remedy.contains(words), "{remedy}");
    }
    assert_eq!(parse(&root.pem(), Some(&list)), Ok(()));
}
