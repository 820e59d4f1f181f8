//! Finds a secret however it was written down.

use std::collections::HashMap;

/// Bytes of a form that are looked up at every place; no form is shorter.
const KEY_LEN: usize = 8;

/// A way to write bytes down.
type Encoding = (&'static str, fn(&[u8]) -> Vec<u8>);

const ENCODINGS: [Encoding; 15] = [
    ("raw", <[u8]>::to_vec),
    ("hex", |bytes| hex(bytes, |byte| format!("{byte:02x}"))),
    ("HEX", |bytes| hex(bytes, |byte| format!("{byte:02X}"))),
    ("base64 at 0", |bytes| base64(bytes, 0, STANDARD)),
    ("base64 at 1", |bytes| base64(bytes, 1, STANDARD)),
    ("base64 at 2", |bytes| base64(bytes, 2, STANDARD)),
    ("base64url at 0", |bytes| base64(bytes, 0, URL)),
    ("base64url at 1", |bytes| base64(bytes, 1, URL)),
    ("base64url at 2", |bytes| base64(bytes, 2, URL)),
    ("JSON string", |bytes| {
        inner(&serde_json::to_string(&lossy(bytes)).expect("a string"))
    }),
    ("JSON string in ASCII", |bytes| {
        json_ascii(&lossy(bytes), |_| false)
    }),
    ("JSON string, all escaped", |bytes| {
        json_ascii(&lossy(bytes), |_| true)
    }),
    ("Debug of text", |bytes| {
        inner(&format!("{:?}", lossy(bytes)))
    }),
    ("Debug of bytes", |bytes| inner(&format!("{bytes:?}"))),
    ("Rust escapes", |bytes| {
        bytes.escape_ascii().to_string().into_bytes()
    }),
];

const STANDARD: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const URL: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Without the quotes or brackets around it.
fn inner(text: &str) -> Vec<u8> {
    text.as_bytes()[1..text.len() - 1].to_vec()
}

fn hex(bytes: &[u8], digits: fn(&u8) -> String) -> Vec<u8> {
    bytes.iter().map(digits).collect::<String>().into_bytes()
}

fn json_ascii(text: &str, is_escaped: fn(char) -> bool) -> Vec<u8> {
    let escaped = text.chars().map(|c| {
        if c.is_ascii_graphic() && !matches!(c, '"' | '\\') && !is_escaped(c) {
            return c.to_string();
        }
        let mut units = [0; 2];
        c.encode_utf16(&mut units)
            .iter()
            .map(|unit| format!("\\u{unit:04x}"))
            .collect()
    });
    escaped.collect::<String>().into_bytes()
}

/// The digits that depend on `bytes` alone when `offset` unknown bytes stand before them.
fn base64(bytes: &[u8], offset: usize, alphabet: &[u8; 64]) -> Vec<u8> {
    let padded: Vec<u8> = std::iter::repeat_n(0, offset)
        .chain(bytes.iter().copied())
        .collect();
    let bits = padded.len() * 8;
    let digit = |index: usize| {
        let bit = |at: usize| usize::from(padded[at / 8] >> (7 - at % 8) & 1);
        let value = (index * 6..index * 6 + 6).fold(0, |value, at| value << 1 | bit(at));
        alphabet[value]
    };
    ((offset * 8).div_ceil(6)..bits / 6).map(digit).collect()
}

/// Every form of every secret, for one walk over the text.
pub(crate) struct Search {
    by_key: HashMap<[u8; KEY_LEN], Vec<(String, Vec<u8>)>>,
}

impl Search {
    /// Looks for these secrets, each with a label.
    pub(crate) fn of<'a>(secrets: impl Iterator<Item = (&'a str, &'a [u8])>) -> Self {
        let mut by_key: HashMap<_, Vec<_>> = HashMap::new();
        for (label, secret) in secrets {
            for (encoding, encode) in ENCODINGS {
                let form = encode(secret);
                let key = *form.first_chunk().expect("secrets are longer than that");
                by_key
                    .entry(key)
                    .or_default()
                    .push((format!("{label} as {encoding}"), form));
            }
        }
        Self { by_key }
    }

    /// The labels of those that stand in `text`.
    pub(crate) fn find(&self, text: &[u8]) -> Vec<&str> {
        let mut found: Vec<&str> = Vec::new();
        for (at, key) in text.windows(KEY_LEN).enumerate() {
            let forms = self.by_key.get(key).into_iter().flatten();
            let here = forms.filter(|(_, form)| text[at..].starts_with(form));
            found.extend(here.map(|(label, _)| label.as_str()));
        }
        found.sort_unstable();
        found.dedup();
        found
    }
}

#[test]
fn base64_is_that_of_the_rfc() {
    for (text, encoded) in [
        ("f", "Z"),
        ("fo", "Zm"),
        ("foo", "Zm9v"),
        ("foobar", "Zm9vYmFy"),
    ] {
        assert_eq!(base64(text.as_bytes(), 0, STANDARD), encoded.as_bytes());
    }
    // "xfoobar" is "eGZvb2Jhcg", "xxfoobar" is "eHhmb29iYXI"; the last digits depend on what follows.
    assert_eq!(base64(b"foobar", 1, STANDARD), b"Zvb2Jhc");
    assert_eq!(base64(b"foobar", 2, STANDARD), b"mb29iYX");
    assert_eq!(base64(&[0xfb, 0xff, 0xfe], 0, STANDARD), b"+//+");
    assert_eq!(base64(&[0xfb, 0xff, 0xfe], 0, URL), b"-__-");
}

#[test]
fn planted_secret_is_found_in_every_encoding() {
    let secret = "Zn\"4k\\ü9\nQ7\t~x/1LmPäWe☃";
    let written = [
        ("raw", secret.as_bytes().to_vec()),
        (
            "hex",
            b"5a6e22346b5cc3bc390a5137097e782f314c6d50c3a45765e29883".to_vec(),
        ),
        (
            "HEX",
            b"5A6E22346B5CC3BC390A5137097E782F314C6D50C3A45765E29883".to_vec(),
        ),
        (
            "base64 at 0",
            b"Wm4iNGtcw7w5ClE3CX54LzFMbVDDpFdl4piD".to_vec(),
        ),
        (
            "base64 at 1",
            b"eFpuIjRrXMO8OQpRNwl+eC8xTG1Qw6RXZeKYgw==".to_vec(),
        ),
        (
            "base64url at 1",
            b"eFpuIjRrXMO8OQpRNwl-eC8xTG1Qw6RXZeKYgw".to_vec(),
        ),
        (
            "base64 at 2",
            b"eHhabiI0a1zDvDkKUTcJfngvMUxtUMOkV2XimIM=".to_vec(),
        ),
        (
            "JSON string",
            r#"Zn\"4k\\ü9\nQ7\t~x/1LmPäWe☃"#.as_bytes().to_vec(),
        ),
        (
            "JSON string in ASCII",
            br"Zn\u00224k\u005c\u00fc9\u000aQ7\u0009~x/1LmP\u00e4We\u2603".to_vec(),
        ),
        ("Debug of text", format!("{secret:?}").into_bytes()),
        (
            "Debug of bytes",
            format!("{:?}", secret.as_bytes()).into_bytes(),
        ),
    ];
    let search = Search::of([("planted", secret.as_bytes())].into_iter());
    for (encoding, text) in written {
        let around = [b"before ".as_slice(), &text, b" after"].concat();
        let found = search.find(&around);
        let wanted = format!("planted as {encoding}");
        assert!(found.contains(&wanted.as_str()), "{encoding}: {found:?}");
        assert!(
            search.find(&around[..around.len() - 12]).is_empty(),
            "{encoding} cut short"
        );
    }
    assert!(search.find(b"Nothing of the sort stands here.").is_empty());
}
