//! An authority that others have built: `openssl`, with a chain of three and revocation lists.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

use claviger_core::{Clock as _, SystemClock};
use claviger_identity::Bundles;

use super::{bundle, judge};

const ETL: &str = "spiffe://acme.example/ns/etl";

const CONFIG: &str = "
[ca]
default_ca = own
[own]
database = $ENV::AUTHORITY.index
serial = $ENV::AUTHORITY.serial
crlnumber = $ENV::AUTHORITY.number
new_certs_dir = .
certificate = $ENV::AUTHORITY.pem
private_key = $ENV::AUTHORITY.key
default_md = sha256
default_days = 2
default_crl_days = 2
policy = any
unique_subject = no
[any]
commonName = supplied
[signs]
basicConstraints = critical,CA:TRUE
keyUsage = critical,keyCertSign,cRLSign
subjectKeyIdentifier = hash
[workload]
basicConstraints = critical,CA:FALSE
keyUsage = critical,digitalSignature
extendedKeyUsage = serverAuth,clientAuth
authorityKeyIdentifier = keyid
subjectAltName = critical,URI:spiffe://acme.example/ns/etl
";

/// Runs `openssl` in a directory as one of the authorities.
fn openssl(dir: &Path, authority: &str, arguments: &str) {
    let mut command = Command::new("openssl");
    let command = command.current_dir(dir).env("AUTHORITY", authority);
    let output = command
        .args(arguments.split(' '))
        .output()
        .expect("openssl");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments}: {said}");
}

#[test]
fn chains_and_revocation_lists_of_openssl_are_understood() {
    let made = tempfile::tempdir().expect("a directory");
    let dir = made.path();
    let run = |authority: &str, arguments: &str| openssl(dir, authority, arguments);
    fs::write(dir.join("own.cnf"), CONFIG).expect("written");
    for authority in ["root", "middle"] {
        fs::write(dir.join(format!("{authority}.index")), "").expect("written");
        fs::write(dir.join(format!("{authority}.serial")), "1000").expect("written");
        fs::write(dir.join(format!("{authority}.number")), "01").expect("written");
    }
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -config own.cnf";
    run(
        "root",
        &format!(
            "req -x509 {key} -extensions signs -subj /CN=root -days 2 -keyout root.key -out root.pem"
        ),
    );
    let sign = "ca -batch -notext -config own.cnf";
    for (authority, name, section) in [
        ("root", "middle", "signs"),
        ("middle", "good", "workload"),
        ("middle", "bad", "workload"),
    ] {
        run(
            authority,
            &format!("req -new {key} -subj /CN={name} -keyout {name}.key -out {name}.csr"),
        );
        run(
            authority,
            &format!("{sign} -extensions {section} -in {name}.csr -out {name}.pem"),
        );
    }
    run("middle", "ca -config own.cnf -revoke bad.pem");
    for authority in ["root", "middle"] {
        run(
            authority,
            &format!("ca -config own.cnf -gencrl -out {authority}.crl"),
        );
    }

    let read = |name: &str| fs::read_to_string(dir.join(name)).expect("made");
    let lists = read("root.crl") + &read("middle.crl");
    let bundle = bundle("tls", Some("acme.example"), &read("root.pem"), Some(&lists));
    let bundles = Bundles::new(vec![bundle]);
    let now = SystemClock.now().duration_since(SystemTime::UNIX_EPOCH);
    let now = now.expect("after 1970") + Duration::from_secs(1);
    let whole = |name: &str| read(name) + &read("middle.pem");
    assert_eq!(judge(&bundles, &whole("good.pem"), now), ETL);
    assert_eq!(
        judge(&bundles, &whole("bad.pem"), now),
        "CERTIFICATE_REVOKED"
    );
    assert_eq!(
        judge(&bundles, &read("good.pem"), now),
        "CERTIFICATE_AUTHORITY"
    );
}
