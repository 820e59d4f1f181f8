//! The promise of a sealed record: it opens only here, only under its key, only unchanged.

#![expect(clippy::expect_used, reason = "helpers of tests fail as tests do")]

use claviger_core::{Reason, Result, SecretBytes};
use claviger_seal::{Keyring, RootKey, hex};
use proptest::prelude::*;

fn secret(bytes: &[u8]) -> SecretBytes {
    SecretBytes::new(bytes.to_vec())
}

fn keyring() -> Keyring {
    Keyring::generate(&RootKey::generate())
        .expect("generates")
        .0
}

fn refusal<T>(outcome: Result<T>) -> String {
    let error = outcome.err().expect("must be refused");
    assert_eq!(error.reason(), Reason::IntegrityFailure);
    format!("{error:?}")
}

#[test]
fn a_changed_record_does_not_open_whichever_bit_changed() {
    let keyring = keyring();
    let sealed = keyring
        .seal("values/a/1", &secret(b"rk_test"))
        .expect("seals");
    for position in 0..sealed.len() {
        for bit in 0..8 {
            let mut changed = sealed.clone();
            changed[position] ^= 1 << bit;
            refusal(keyring.open_record("values/a/1", &changed));
        }
    }
}

#[test]
fn a_cut_or_extended_record_does_not_open() {
    let keyring = keyring();
    let sealed = keyring.seal("k", &secret(b"rk_test")).expect("seals");
    for len in 0..sealed.len() {
        refusal(keyring.open_record("k", &sealed[..len]));
        refusal(keyring.open_record("k", &sealed[sealed.len() - len..]));
    }
    refusal(keyring.open_record("k", &[sealed.as_slice(), &[0]].concat()));
    refusal(keyring.open_record("k", &[sealed.as_slice(), &sealed].concat()));
}

#[test]
fn a_record_opens_neither_under_another_key_nor_in_another_store() {
    let root = RootKey::generate();
    let (keyring, _) = Keyring::generate(&root).expect("generates");
    let sealed = keyring
        .seal("values/a/1", &secret(b"rk_test"))
        .expect("seals");
    for key in ["values/a/2", "values/b/1", "values/a/", "values/a/11", ""] {
        refusal(keyring.open_record(key, &sealed));
    }
    let (elsewhere, _) = Keyring::generate(&root).expect("generates");
    refusal(elsewhere.open_record("values/a/1", &sealed));
}

#[test]
fn the_boxes_of_two_records_cannot_be_mixed() {
    let keyring = keyring();
    let first = keyring.seal("k", &secret(b"one")).expect("seals");
    let second = keyring.seal("k", &secret(b"two")).expect("seals");
    let head = 1 + 4 + 12 + 32 + 16;
    refusal(keyring.open_record("k", &[&first[..head], &second[head..]].concat()));
}

#[test]
fn a_key_id_that_is_not_in_the_keyring_is_named_as_such() {
    let keyring = keyring();
    let mut sealed = keyring.seal("k", &secret(b"rk_test")).expect("seals");
    sealed[4] = 9;
    assert!(refusal(keyring.open_record("k", &sealed)).contains("not in the keyring"));
}

#[test]
fn no_two_seals_of_the_same_text_are_alike() {
    let keyring = keyring();
    let seal = || keyring.seal("k", &secret(b"rk_test")).expect("seals");
    let (first, second) = (seal(), seal());
    let tail = 1 + 4;
    for window in first[tail..].windows(8) {
        assert!(!second.windows(8).any(|other| other == window));
    }
}

#[test]
fn a_keyring_reopens_with_its_root_key_and_reads_its_records() {
    let root = RootKey::generate();
    let (keyring, record) = Keyring::generate(&root).expect("generates");
    let sealed = keyring.seal("k", &secret(b"rk_test")).expect("seals");
    let root = RootKey::from_text(&root.to_text()).expect("reads back");
    let reopened = Keyring::open(&root, &record).expect("opens");
    assert_eq!(reopened.store_id(), keyring.store_id());
    assert_eq!(reopened.mac("c", &[b"a"]), keyring.mac("c", &[b"a"]));
    assert_eq!(
        reopened.open_record("k", &sealed).expect("opens").expose(),
        b"rk_test"
    );
}

#[test]
fn another_root_key_and_a_changed_keyring_are_told_apart() {
    let root = RootKey::generate();
    let (_, record) = Keyring::generate(&root).expect("generates");
    assert!(refusal(Keyring::open(&RootKey::generate(), &record)).contains("root key is not"));

    let text = String::from_utf8(record.clone()).expect("text");
    let digits = text.find("sealed_keys").expect("is there") + 20;
    let mut changed = record.clone();
    changed[digits] = if changed[digits] == b'0' { b'1' } else { b'0' };
    assert!(refusal(Keyring::open(&root, &changed)).contains("changed"));
    for position in 0..record.len() {
        let mut changed = record.clone();
        changed[position] ^= 1;
        refusal(Keyring::open(&root, &changed));
        refusal(Keyring::open(&root, &record[..position]));
    }
}

#[test]
fn a_keyring_record_of_another_store_id_does_not_open() {
    let root = RootKey::generate();
    let (keyring, record) = Keyring::generate(&root).expect("generates");
    let (other, _) = Keyring::generate(&root).expect("generates");
    let record = String::from_utf8(record).expect("text").replace(
        &keyring.store_id().to_string(),
        &other.store_id().to_string(),
    );
    assert!(refusal(Keyring::open(&root, record.as_bytes())).contains("changed"));
}

fn golden_root() -> RootKey {
    RootKey::from_text(&secret(include_bytes!("golden/root-key.txt"))).expect("is a key")
}

#[test]
fn golden_keyrings_open_and_read_what_they_sealed() {
    let sealed = include_bytes!("golden/record.bin");
    for (format, record) in [
        (1, include_bytes!("golden/keyring-1.json").as_slice()),
        (2, include_bytes!("golden/keyring-2.json")),
    ] {
        let keyring = Keyring::open(&golden_root(), record).expect("opens");
        assert_eq!(keyring.format(), format);
        let store = keyring.store_id().to_string();
        assert_eq!(store, "4b6e9131-b0c4-4941-b50f-b6f6c7ac2d7e");
        let value = keyring.open_record("values/a/1", sealed).expect("opens");
        assert_eq!(value.expose(), b"made-up");
        assert_eq!(
            hex(&keyring.mac("c", &[b"a"])),
            "0f6996b7e1a903d458915164e3a4dd3817052092f124a8649e0e9d17d855339c"
        );
    }
}

#[test]
fn a_renewed_keyring_has_the_same_keys_in_the_new_format() {
    let old = include_bytes!("golden/keyring-1.json");
    let renewed = Keyring::renew(&golden_root(), old).expect("renews");
    let keyring = Keyring::open(&golden_root(), &renewed).expect("opens");
    assert_eq!(keyring.format(), Keyring::FORMAT);
    let old = Keyring::open(&golden_root(), old).expect("opens");
    assert_eq!(keyring.store_id(), old.store_id());
    assert_eq!(keyring.mac("c", &[b"a"]), old.mac("c", &[b"a"]));
    let sealed = keyring.seal("k", &secret(b"rk_test")).expect("seals");
    let opened = old.open_record("k", &sealed).expect("opens");
    assert_eq!(opened.expose(), b"rk_test");
}

#[test]
fn the_format_of_a_store_is_named_if_it_is_newer_and_bound_if_it_is_not() {
    let open = |text: &str| refusal(Keyring::open(&golden_root(), text.as_bytes()));
    let newer = open(r#"{"format":7,"spelt":"otherwise"}"#);
    assert!(
        newer.contains("format 7, this program reads formats up to 2"),
        "{newer}"
    );
    let taken_back = include_str!("golden/keyring-2.json").replace("\"format\":2", "\"format\":1");
    assert!(open(&taken_back).contains("was changed"));
}

#[test]
fn only_the_exact_text_form_is_a_root_key() {
    let digits = "0123456789abcdef".repeat(4);
    let good = format!("claviger-root-key-1:{digits}");
    for text in [
        good.clone(),
        format!("{good}\n"),
        format!(" {good}"),
        format!("{good}\r\n\r\n"),
    ] {
        let key = RootKey::from_text(&secret(text.as_bytes())).expect("is a key");
        assert_eq!(key.to_text().expose(), format!("{good}\n").as_bytes());
    }
    for text in [
        String::new(),
        digits.clone(),
        good.to_uppercase(),
        format!("claviger-root-key-2:{digits}"),
        format!("{good}0"),
        good.replace('f', "g"),
        good.replace("ef", ""),
    ] {
        let fault = RootKey::from_text(&secret(text.as_bytes())).expect_err(&text);
        assert!(!fault.contains("0123"), "{fault}");
    }
}

#[test]
fn debug_shows_no_key() {
    let root = RootKey::generate();
    let (keyring, record) = Keyring::generate(&root).expect("generates");
    assert_eq!(format!("{root:?}"), "RootKey(..)");
    assert_eq!(
        format!("{keyring:?}"),
        format!(
            "Keyring {{ store: \"{}\", current: 1, .. }}",
            keyring.store_id()
        )
    );
    let text = root.to_text();
    let digits = &text.expose()["claviger-root-key-1:".len()..][..16];
    assert!(!record.windows(16).any(|window| window == digits));
}

#[test]
fn a_mac_depends_on_store_context_and_the_cut_between_parts() {
    let keyring = keyring();
    let mac = keyring.mac("requests", &[b"ab", b"c"]);
    assert_eq!(mac, keyring.mac("requests", &[b"ab", b"c"]));
    assert_ne!(mac, keyring.mac("requests", &[b"a", b"bc"]));
    assert_ne!(mac, keyring.mac("requests", &[b"ab", b"c", b""]));
    assert_ne!(mac, keyring.mac("tokens", &[b"ab", b"c"]));
    assert_ne!(mac, self::keyring().mac("requests", &[b"ab", b"c"]));
    assert_eq!(hex(&mac).len(), 64);
}

proptest! {
    #[test]
    fn what_is_sealed_opens(key in ".{0,40}", bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
        let keyring = keyring();
        let sealed = keyring.seal(&key, &secret(&bytes)).expect("seals");
        let opened = keyring.open_record(&key, &sealed).expect("opens");
        prop_assert_eq!(opened.expose(), bytes);
    }

    #[test]
    fn any_bytes_are_refused_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let keyring = keyring();
        refusal(keyring.open_record("k", &bytes));
        refusal(Keyring::open(&RootKey::generate(), &bytes));
    }
}
