//! What is on the disk: records, envelopes, keyring, root key, audit log.

use claviger_broker::testkit::RECORDS;
use claviger_core::SecretBytes;
use claviger_fuzz::fuzz;
use claviger_seal::{Keyring, RootKey, key_id};

#[test]
fn records() {
    fuzz("records", |input| {
        for (kind, again) in RECORDS {
            if let Ok(written) = again(input) {
                let twice = again(written.expose()).expect("reads what it wrote");
                assert_eq!(twice.expose(), written.expose(), "{kind}");
            }
        }
    });
}

#[test]
fn sealed_bytes() {
    let root = RootKey::generate();
    let (keyring, record) = Keyring::generate(&root).unwrap();
    fuzz("sealed-bytes", |input| {
        key_id(input);
        assert!(keyring.open_record("a/b", input).is_err());
        assert!(Keyring::open(&root, input).is_err());
        drop(RootKey::from_text(&SecretBytes::new(input.to_vec())));
        // The same changes to what this key has sealed.
        let secret = SecretBytes::new(input.to_vec());
        for mut sealed in [
            record.clone(),
            keyring.seal("a/b", &secret).unwrap(),
            keyring.seal_erasable("a/b", &secret).unwrap(),
        ] {
            let at = input.len() % sealed.len();
            sealed[at] ^= input.first().copied().unwrap_or(1).max(1);
            assert!(keyring.open_record("a/b", &sealed).is_err());
            sealed.truncate(at);
            assert!(keyring.open_record("a/b", &sealed).is_err());
            assert!(Keyring::open(&root, &sealed).is_err());
        }
    });
}

#[test]
fn audit_logs() {
    fuzz("audit-logs", |input| {
        if let Ok(verified) = claviger_audit::verify(input) {
            let lines = input.split(|byte| *byte == b'\n');
            let lines = lines.filter(|line| !line.is_empty()).count();
            assert_eq!(verified.records, lines as u64);
        }
    });
}
