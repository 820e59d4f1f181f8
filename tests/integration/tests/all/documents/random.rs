//! Whatever is put is read byte for byte, or the put is refused: random documents, over random ones
//! that others left in the vault.

use std::collections::BTreeMap;

use claviger_integration::{data_payload, reason, volume};
use claviger_proto::v1;
use claviger_proto::v1::secret_definition::{Format, Kind};
use serde_json::value::RawValue;

use super::{KEY, MARK, bytes_of, of, property, shared, whole};
use crate::names::{Random, seeded};
use crate::support::{in_faulty, located, secret, storing};

/// Whether it is a JSON object with a key that is no Unicode.
fn is_broken(text: &str) -> bool {
    let is_document = serde_json::from_str::<&RawValue>(text).is_ok();
    keys_of(text).is_none()
        && text.trim_start_matches([' ', '\n', '\t']).starts_with('{')
        && is_document
}

/// How many keys a JSON object has; `None` of anything else.
fn keys_of(text: &str) -> Option<usize> {
    let object: Result<BTreeMap<String, &RawValue>, _> = serde_json::from_str(text);
    object.ok().map(|object| object.len())
}

/// Something that people and programs store, and much that only looks like it.
fn random_text(random: &mut Random) -> String {
    let mut text = random_json(random, 0);
    for _ in 0..random.below(3) {
        match random.below(6) {
            0 => text.insert(0, random.pick(&[' ', '\n', '\t', '\u{a0}', MARK])),
            1 => text.push(random.pick(&[' ', '\n', ',', '}', '\0', 'x'])),
            2 => drop(text.pop()),
            _ => {}
        }
    }
    match text.is_empty() {
        true => "x".to_owned(),
        false => text,
    }
}

fn random_json(random: &mut Random, depth: usize) -> String {
    const WORDS: [&str; 14] = [
        "null",
        "true",
        "0",
        "-0",
        "1e999",
        "123456789012345678901234567890",
        "\"\"",
        "\"null\"",
        "\"a \\\"quoted\\\" one\"",
        "\"\\u0000\"",
        "\"\\ud800\"",
        "\"\u{1f511}\"",
        "plain",
        "rk_test_x",
    ];
    const KEYS: [&str; 8] = [
        "apiKey",
        "b",
        "",
        "/",
        "/b",
        "a.b",
        "\\u0061piKey",
        "\\ud800",
    ];
    let members = |random: &mut Random, is_object| {
        let count = random.pick(&[0, 1, 1, 2, 3]);
        let member = |_| {
            let value = random_json(random, depth + 1);
            match is_object {
                true => format!("\"{}\":{value}", random.pick(&KEYS)),
                false => value,
            }
        };
        (0..count).map(member).collect::<Vec<_>>().join(", ")
    };
    match random.below(if depth > 3 { 2 } else { 6 }) {
        0 | 1 => random.pick(&WORDS).to_owned(),
        2 => format!("[{}]", members(random, false)),
        _ => format!("{{{}}}", members(random, true)),
    }
}

#[tokio::test]
async fn whatever_is_put_is_read_byte_for_byte_or_refused() {
    let (_server, client, vault) = shared().await;
    let count = 300 * volume();
    let random = &mut seeded("payloads", count);
    let mut places = Vec::new();
    for (id, location, format) in [
        ("none", in_faulty("none"), Format::Text),
        ("property", property("property", KEY), Format::Text),
        ("whole", whole("whole"), Format::Text),
        ("managed", v1::Location::default(), Format::Text),
        ("binary", in_faulty("binary"), Format::Binary),
        ("whole-binary", whole("whole-binary"), Format::Binary),
        ("managed-binary", v1::Location::default(), Format::Binary),
    ] {
        let put = of(located(&secret(id), location), Kind::Opaque, format);
        client.put_definition(put).await.unwrap();
        places.push((id, format));
    }
    // What was typed in where, and still is there.
    let mut typed: BTreeMap<&str, String> = BTreeMap::new();
    let (mut taken, mut refused) = (0, 0);
    for _ in 0..count {
        let (id, format) = random.pick(&places);
        let name = secret(id);
        let text = random_text(random);
        if random.below(2) == 0 && !id.starts_with("managed") {
            let text = random_text(random);
            vault.type_in(id, &text);
            typed.insert(id, text);
        }
        let over = typed.get(id);
        let mut put = storing(&name, &text);
        if format == Format::Binary {
            put.payload = Some(data_payload(text.as_bytes()));
        }
        let before = client.get(&name).await.map(|read| bytes_of(read.value));
        let case = format!("{text:?} at {id}, over {over:?}");
        match client.put_value(put).await {
            Ok(_) => {
                let read = client.get(&name).await.expect(&case).value;
                assert_eq!(bytes_of(read), text.as_bytes(), "{case}");
                typed.remove(id);
                taken += 1;
            }
            Err(status) => {
                let is_over_broken = over.is_some_and(|text| is_broken(text));
                let over = over.map(|text| keys_of(text));
                let expected = match id {
                    "none" if keys_of(&text).is_some() || is_broken(&text) => "PROPERTY_REQUIRED",
                    "none" | "property" if is_over_broken => "VALUE_NOT_TEXT",
                    "none" if over.flatten() != Some(1) => "PROPERTY_REQUIRED",
                    "property" if over == Some(None) => "VALUE_NOT_JSON",
                    _ => "none",
                };
                assert_eq!(reason(&status), expected, "{case}");
                let after = client.get(&name).await.map(|read| bytes_of(read.value));
                assert_eq!(after.ok(), before.ok(), "{case}");
                refused += 1;
            }
        }
    }
    assert!(
        taken > count / 4 && refused > count / 40,
        "{taken}, {refused}"
    );
}
